#include "proto/stats.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/crc32c.h"

#define STATS_MAGIC   0x54535457u /* "WTST" */
#define STATS_VERSION 1

/* Offsets as in proto/stats.md. Strings are stored with their NUL. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 4,
	AT_SERVICE_BYTES = 6,
	AT_BYTES = 8,
	AT_INSTANCE = 12,
	AT_PID = 16,
	AT_RESERVED = 20,
	AT_STARTED = 24,
	AT_SENT = 32,
	AT_SERVICE = 40,

	FAMILY = 1,
	FAMILY_TYPE = 1,
	FAMILY_NAME_BYTES = 2,
	FAMILY_HELP_BYTES = 4,
	FAMILY_NAME = 6,

	SAMPLE = 2,
	SAMPLE_SUFFIX = 1,
	SAMPLE_LABELS_BYTES = 2,
	SAMPLE_VALUE = 4,
	SAMPLE_LABELS = 12,

	CRC_BYTES = 4,
	SERVICE_MAX_BYTES = 63,
};

/* 9999-12-31T23:59:59.999999Z, the last time that has a text. */
#define MAX_TIME_US INT64_C(253402300799999999)

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "the wire is little-endian");

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGITS	"0123456789"

static const char *const suffixes[] = {"", "_bucket", "_sum", "_count"};
enum { SUFFIX_NONE, SUFFIX_BUCKET, SUFFIX_SUM, SUFFIX_COUNT, SUFFIXES };

static uint16_t get16(const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static bool service_ok(const char *name)
{
	size_t bytes = strlen(name);

	return bytes >= 1 && bytes <= SERVICE_MAX_BYTES &&
	       strspn(name, LETTERS DIGITS "._-") == bytes;
}

static bool name_ok(const char *name)
{
	size_t bytes = strlen(name);

	return bytes >= 1 && bytes <= STATS_MAX_NAME_BYTES &&
	       strspn(name, LETTERS DIGITS "_:") == bytes &&
	       !strchr(DIGITS, name[0]);
}

static bool help_ok(const char *help)
{
	return strlen(help) <= STATS_MAX_HELP_BYTES && !strchr(help, '\n');
}

/* The end of an escaped label value, at its closing quote; NULL if none. */
static const char *value_end(const char *at)
{
	for (; *at && *at != '"'; at++) {
		if ((unsigned char)*at < ' ')
			return NULL;
		if (*at == '\\') {
			at++;
			if (*at != '\\' && *at != '"' && *at != 'n')
				return NULL;
		}
	}
	return *at ? at : NULL;
}

bool stats_next_label(const char **at, const char **name, size_t *name_bytes,
		      const char **value, size_t *value_bytes)
{
	const char *end;

	if (!**at)
		return false;
	*name = *at;
	*name_bytes = strspn(*name, LETTERS DIGITS "_");
	if (!*name_bytes || strchr(DIGITS, **name))
		return false;
	*value = *name + *name_bytes + 2;
	if ((*value)[-2] != '=' || (*value)[-1] != '"')
		return false;
	end = value_end(*value);
	if (!end || (end[1] && end[1] != ',') || (end[1] && !end[2]))
		return false;
	*value_bytes = (size_t)(end - *value);
	*at = end[1] ? end + 2 : end + 1;
	return true;
}

/* Whether a label text before `stop` has that name already. */
static bool has_label(const char *labels, const char *stop, const char *name,
		      size_t bytes)
{
	const char *other, *value;
	size_t other_bytes, value_bytes;

	while (labels < stop && stats_next_label(&labels, &other, &other_bytes,
						 &value, &value_bytes))
		if (other_bytes == bytes && !memcmp(other, name, bytes))
			return true;
	return false;
}

static bool labels_ok(const char *labels, unsigned suffix)
{
	const char *at = labels, *start = at, *name, *value;
	size_t name_bytes, value_bytes;
	unsigned count = 0;
	bool le = false;

	if (strlen(labels) > STATS_MAX_LABELS_BYTES)
		return false;
	while (
	    stats_next_label(&at, &name, &name_bytes, &value, &value_bytes)) {
		if (++count > STATS_MAX_LABELS || !strncmp(name, "__", 2) ||
		    has_label(labels, start, name, name_bytes))
			return false;
		le |= name_bytes == 2 && !memcmp(name, "le", 2);
		start = at;
	}
	return !*at && le == (suffix == SUFFIX_BUCKET);
}

static bool value_ok(enum stats_type type, double value)
{
	return type == STATS_GAUGE || (isfinite(value) && value >= 0);
}

static bool time_ok(int64_t at_us)
{
	return at_us >= 0 && at_us <= MAX_TIME_US;
}

static bool suffix_ok(enum stats_type type, unsigned suffix)
{
	if (type == STATS_HISTOGRAM)
		return suffix > SUFFIX_NONE && suffix < SUFFIXES;
	return suffix == SUFFIX_NONE;
}

static bool has_room(const struct buf *out, size_t more)
{
	return out->used + more + CRC_BYTES <= STATS_MAX_BYTES;
}

static void put16(struct buf *out, size_t value)
{
	uint16_t small = (uint16_t)value;

	buf_append(out, &small, sizeof(small));
}

/*
 * The type of the family just begun is kept in the reserved bytes until the end
 * of the message, so that a message in the making needs no struct beside it.
 */
enum { NO_FAMILY = 0xff };

void stats_begin(struct buf *out, const struct stats_process *process)
{
	uint8_t head[AT_SERVICE] = {0};
	const uint32_t magic = STATS_MAGIC;
	const uint16_t version = STATS_VERSION;
	const uint16_t service = (uint16_t)strlen(process->service);

	assert(service_ok(process->service));
	memcpy(head + AT_MAGIC, &magic, 4);
	memcpy(head + AT_VERSION, &version, 2);
	memcpy(head + AT_SERVICE_BYTES, &service, 2);
	memcpy(head + AT_INSTANCE, &process->instance, 4);
	memcpy(head + AT_PID, &process->pid, 4);
	memcpy(head + AT_STARTED, &process->started_at_us, 8);
	memcpy(head + AT_SENT, &process->sent_at_us, 8);
	head[AT_RESERVED] = NO_FAMILY;
	buf_clear(out);
	buf_append(out, head, sizeof(head));
	buf_append(out, process->service, service + 1u);
}

bool stats_family(struct buf *out, const char *name, const char *help,
		  enum stats_type type)
{
	size_t name_bytes = strlen(name), help_bytes = strlen(help);

	out->data[AT_RESERVED] = (char)NO_FAMILY;
	if (!name_ok(name) || !help_ok(help) ||
	    !has_room(out, FAMILY_NAME + name_bytes + help_bytes + 2))
		return false;
	out->data[AT_RESERVED] = (char)type;
	buf_char(out, FAMILY);
	buf_char(out, (char)type);
	put16(out, name_bytes);
	put16(out, help_bytes);
	buf_append(out, name, name_bytes + 1);
	buf_append(out, help, help_bytes + 1);
	return true;
}

bool stats_sample(struct buf *out, const char *suffix, const char *labels,
		  double value)
{
	unsigned type = (unsigned char)out->data[AT_RESERVED], number = 0;
	size_t bytes = strlen(labels);

	while (number < SUFFIXES && strcmp(suffix, suffixes[number]) != 0)
		number++;
	if (type == NO_FAMILY || !suffix_ok(type, number) ||
	    !value_ok(type, value) || !labels_ok(labels, number) ||
	    !has_room(out, SAMPLE_LABELS + bytes + 1))
		return false;
	buf_char(out, SAMPLE);
	buf_char(out, (char)number);
	put16(out, bytes);
	buf_append(out, &value, sizeof(value));
	buf_append(out, labels, bytes + 1);
	return true;
}

void stats_end(struct buf *out)
{
	uint32_t bytes = (uint32_t)(out->used + CRC_BYTES), crc;

	out->data[AT_RESERVED] = 0;
	memcpy(out->data + AT_BYTES, &bytes, 4);
	crc = crc32c(0, out->data, out->used);
	buf_append(out, &crc, CRC_BYTES);
}

/* What is left to read of a message, and the family that was read last. */
struct reader {
	const uint8_t *at;
	const uint8_t *end;
	unsigned type;
	const struct stats_visitor *visitor; /* NULL while checking */
};

/* A string of exactly `bytes` bytes and its NUL at `at`, or NULL. */
static const char *string_at(const struct reader *r, size_t at, size_t bytes)
{
	const char *text = (const char *)r->at + at;

	if ((size_t)(r->end - r->at) < at + bytes + 1)
		return NULL;
	return strnlen(text, bytes + 1) == bytes ? text : NULL;
}

static int read_family(struct reader *r)
{
	const char *name, *help;
	size_t name_bytes, help_bytes;

	if (r->end - r->at < FAMILY_NAME)
		return -1;
	name_bytes = get16(r->at + FAMILY_NAME_BYTES);
	help_bytes = get16(r->at + FAMILY_HELP_BYTES);
	name = string_at(r, FAMILY_NAME, name_bytes);
	help = string_at(r, FAMILY_NAME + name_bytes + 1, help_bytes);
	r->type = r->at[FAMILY_TYPE];
	if (!name || !help || r->type > STATS_HISTOGRAM)
		return -1;
	if (r->visitor)
		r->visitor->family(r->visitor->arg, name, help, r->type);
	else if (!name_ok(name) || !help_ok(help))
		return -1;
	r->at += FAMILY_NAME + name_bytes + 1 + help_bytes + 1;
	return 0;
}

static int read_sample(struct reader *r)
{
	const char *labels;
	unsigned suffix;
	size_t bytes;
	double value;

	if (r->end - r->at < SAMPLE_LABELS)
		return -1;
	suffix = r->at[SAMPLE_SUFFIX];
	bytes = get16(r->at + SAMPLE_LABELS_BYTES);
	memcpy(&value, r->at + SAMPLE_VALUE, sizeof(value));
	labels = string_at(r, SAMPLE_LABELS, bytes);
	if (!labels || r->type == NO_FAMILY || !suffix_ok(r->type, suffix))
		return -1;
	if (r->visitor)
		r->visitor->sample(r->visitor->arg, suffixes[suffix], labels,
				   value);
	else if (!value_ok(r->type, value) || !labels_ok(labels, suffix))
		return -1;
	r->at += SAMPLE_LABELS + bytes + 1;
	return 0;
}

/* Reads all records; -1 at the first bad one, where r->at stays. */
static int read_records(struct reader *r)
{
	while (r->at < r->end) {
		if (*r->at == FAMILY) {
			if (read_family(r))
				return -1;
		} else if (*r->at != SAMPLE || read_sample(r)) {
			return -1;
		}
	}
	return 0;
}

static int check_head(const uint8_t *data, size_t bytes, struct err *err)
{
	uint32_t magic = 0, told, crc;

	if (bytes >= 4)
		memcpy(&magic, data, 4);
	if (bytes < AT_SERVICE + CRC_BYTES || bytes > STATS_MAX_BYTES ||
	    magic != STATS_MAGIC)
		return err_set(err, EBADMSG,
			       "stats message of %zu bytes is none of Weft's; "
			       "another program sends to this endpoint",
			       bytes);
	memcpy(&told, data + AT_BYTES, 4);
	memcpy(&crc, data + bytes - CRC_BYTES, 4);
	if (told != bytes || crc != crc32c(0, data, bytes - CRC_BYTES))
		return err_set(err, EBADMSG,
			       "stats message of %zu bytes has a wrong length "
			       "or crc; it was damaged on the way",
			       bytes);
	if (get16(data + AT_VERSION) != STATS_VERSION)
		return err_set(err, EPROTO,
			       "stats message has format version %u, this "
			       "program reads %d; run the same release of Weft "
			       "everywhere",
			       get16(data + AT_VERSION), STATS_VERSION);
	return 0;
}

int stats_decode(const uint8_t *data, size_t bytes,
		 const struct stats_visitor *visitor, struct err *err)
{
	struct stats_process process = {0};
	struct reader r = {.type = NO_FAMILY};
	struct reader start;
	size_t service_bytes;

	if (check_head(data, bytes, err))
		return -1;
	r.at = data + AT_SERVICE;
	r.end = data + bytes - CRC_BYTES;
	service_bytes = get16(data + AT_SERVICE_BYTES);
	process.service = string_at(&r, 0, service_bytes);
	if (!process.service || !service_ok(process.service))
		return err_set(err, EBADMSG,
			       "stats message names no proper service");
	memcpy(&process.instance, data + AT_INSTANCE, 4);
	memcpy(&process.pid, data + AT_PID, 4);
	memcpy(&process.started_at_us, data + AT_STARTED, 8);
	memcpy(&process.sent_at_us, data + AT_SENT, 8);
	if (!time_ok(process.started_at_us) || !time_ok(process.sent_at_us))
		return err_set(err, EBADMSG,
			       "stats message of %s has a time outside the "
			       "years 1970 to 9999; set the clock of its host",
			       process.service);
	r.at += service_bytes + 1;
	start = r;
	if (read_records(&r))
		return err_set(err, EBADMSG,
			       "stats message of %s has a bad record at byte "
			       "%td of %zu",
			       process.service, r.at - data, bytes);
	visitor->process(visitor->arg, &process);
	start.visitor = visitor;
	return read_records(&start);
}
