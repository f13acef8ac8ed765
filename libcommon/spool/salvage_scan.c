/* Looking for records in bytes that may hold anything. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/crc32c.h"
#include "spool/mend.h"
#include "spool/salvage.h"

#define WINDOW_BYTES ((size_t)262144)
#define IDS_BYTES    1024 /* of ids that are named */
#define ID_MAX_BYTES 128  /* a longer one is damaged, or nobody's */
/* Where proto/batch.md has them in a batch's header. */
#define HEADER_CRC_AT (BATCH_HEADER_BYTES - 4)
#define RECORD_CRC_AT 4
#define RECORD_CRC_OF 8

static const uint32_t record_magic = RECORD_MAGIC;
static const char batch_magic[4] = {'W', 'B', 'A', 'T'};

struct prefix {
	struct record_header record;
	struct batch_header header;
	const char *how; /* NULL: nothing was wrong with it */
};

void places_add(struct places *places, uint64_t position)
{
	if (places->count == places->size) {
		places->size = places->size ? places->size * 2 : 64;
		places->list = xreallocarray(places->list, places->size,
					     sizeof(*places->list));
	}
	places->list[places->count++] = position;
}

bool places_have(const struct places *places, uint64_t position)
{
	for (size_t i = 0; i < places->count; i++)
		if (places->list[i] == position)
			return true;
	return false;
}

/* What there is of `bytes` bytes at a position; unreadable ones are zero. */
static size_t read_at(const struct salvage_scan *scan, uint64_t position,
		      uint8_t *data, size_t bytes)
{
	int64_t offset = (int64_t)(position - scan->base) + scan->skip;
	size_t used = 0;

	while (used < bytes) {
		ssize_t n = pread(scan->fd, data + used, bytes - used,
				  offset + (int64_t)used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			size_t page =
			    4096 - (size_t)(offset + (int64_t)used) % 4096;

			n = (ssize_t)(page < bytes - used ? page
							  : bytes - used);
			memset(data + used, 0, (size_t)n);
		}
		if (n == 0)
			break;
		used += (size_t)n;
	}
	return used;
}

/* ---- headers ---- */

static bool decode(const struct salvage_scan *scan, uint64_t position,
		   const uint8_t *data, struct prefix *p)
{
	struct err ignored;

	p->record.position = position;
	return record_prefix_decode(data, &scan->salvage->view.checkpoint.ids,
				    &p->record, &p->header, &ignored) == 0;
}

/* Whether the record's own checksum fits: then nothing is to be mended. */
static bool is_intact(const uint8_t *data)
{
	uint32_t crc;

	memcpy(&crc, data + RECORD_CRC_AT, sizeof(crc));
	return crc32c(0, data + RECORD_CRC_OF,
		      RECORD_PREFIX_BYTES - RECORD_CRC_OF) == crc;
}

static bool mend_record(uint8_t *data)
{
	uint32_t crc;

	memcpy(data, &record_magic, sizeof(record_magic));
	memcpy(&crc, data + RECORD_CRC_AT, sizeof(crc));
	if (!mend_bit(data + RECORD_CRC_OF, RECORD_PREFIX_BYTES - RECORD_CRC_OF,
		      &crc))
		return false;
	memcpy(data + RECORD_CRC_AT, &crc, sizeof(crc));
	return true;
}

static bool decode_batch_header(uint8_t *data, struct batch_header *header)
{
	struct err ignored;
	uint32_t crc;

	memcpy(&crc, data + HEADER_CRC_AT, sizeof(crc));
	if (!mend_bit(data, HEADER_CRC_AT, &crc))
		return false;
	memcpy(data + HEADER_CRC_AT, &crc, sizeof(crc));
	return batch_header_decode(data, BATCH_HEADER_BYTES, header,
				   &ignored) == 0;
}

/*
 * The headers of a record at `position`, whole or mended. One that is intact
 * and says that it lies elsewhere is stale, and never taken.
 */
static bool read_prefix(const struct salvage_scan *scan, uint64_t position,
			const uint8_t *raw, struct prefix *p)
{
	uint8_t data[RECORD_PREFIX_BYTES];

	memset(p, 0, sizeof(*p));
	if (decode(scan, position, raw, p))
		return true;
	memcpy(data, raw, sizeof(data));
	if (mend_record(data) && decode(scan, position, data, p)) {
		p->how = "a bit or the magic of its header was set right";
		return true;
	}
	if (!scan->loose || is_intact(raw))
		return false;
	memcpy(data, raw, sizeof(data));
	if (!decode_batch_header(data + RECORD_HEADER_BYTES, &p->header))
		return false;
	p->how = "its header is gone, but its batch has one of its own";
	p->record = (struct record_header){
	    .position = position,
	    .appended_at_us = p->header.created_at_us,
	    .bytes =
		record_bytes(p->header.index_bytes, p->header.payload_bytes),
	};
	return true;
}

/* ---- bodies ---- */

/*
 * A mended payload must look like one: JSON has no control characters, and 0x1f
 * joins the parts of an id.
 */
static bool is_text(const uint8_t *data, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (data[i] < 0x1f && data[i] != '\n')
			return false;
	return true;
}

static bool is_id(const char *text, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (text[i] < 0x20 || text[i] > 0x7e || text[i] == '"')
			return false;
	return bytes > 0 && bytes <= ID_MAX_BYTES;
}

/* The ids that can be read in a body that is damaged. */
static void name_ids(const struct batch_header *header, const uint8_t *body,
		     struct buf *out)
{
	size_t entries = header->events * sizeof(struct batch_event);
	const char *payload = (const char *)body + header->index_bytes;
	uint32_t left = header->events;

	for (uint32_t i = 0; i < header->events && out->used < IDS_BYTES; i++) {
		struct batch_event event;

		memcpy(&event,
		       body + header->index_bytes - entries + i * sizeof(event),
		       sizeof(event));
		if (event.id_offset > header->payload_bytes ||
		    event.id_bytes > header->payload_bytes - event.id_offset ||
		    !is_id(payload + event.id_offset, event.id_bytes))
			continue;
		buf_text(out, out->used ? ", " : "");
		buf_append(out, payload + event.id_offset, event.id_bytes);
		left--;
	}
	if (out->used && left)
		buf_printf(out, " and %u more", left);
}

/*
 * The body of a record as a batch of its own: without lane and sequence, and
 * flagged. NULL with *err.
 */
static struct batch *open_body(struct prefix *p, uint8_t *body, struct err *err)
{
	struct batch_header *h = &p->header;
	size_t bytes = (size_t)h->index_bytes + h->payload_bytes;
	uint32_t want = h->body_crc, crc = want;

	if (crc32c(0, body, bytes) != want) {
		if (!mend_bit(body, bytes, &crc) || crc != want ||
		    !is_text(body + h->index_bytes, h->payload_bytes)) {
			err_set(err, EBADMSG,
				"its body does not match its checksum");
			return NULL;
		}
		p->how = "a flipped bit of its body was set right";
	}
	memset(&h->lane, 0, sizeof(h->lane));
	h->sequence = 0;
	h->flags |= BATCH_REPLAY;
	return batch_open(h, body, (const char *)body + h->index_bytes, body,
			  free, err);
}

/* ---- telling ---- */

static void tell(struct salvage_scan *scan, struct spool_problem *problem)
{
	struct salvage *s = scan->salvage;

	problem->trouble = scan->trouble;
	problem->file = scan->file;
	problem->offset =
	    (int64_t)(problem->position - scan->base) + scan->skip;
	if (problem->save) {
		places_add(&s->saved, problem->position);
	} else {
		if (places_have(&s->lost, problem->position))
			return;
		places_add(&s->lost, problem->position);
	}
	if (!s->events.problem(s->events.arg, problem))
		s->stopped = true;
}

static void tell_gap(struct salvage_scan *scan, uint64_t from, uint64_t to)
{
	struct spool_problem problem = {
	    .position = from, .next = to, .why = scan->why, .ids = ""};

	if (from < to && !scan->quiet && !scan->salvage->stopped)
		tell(scan, &problem);
}

/* Tells the record with that prefix. Returns where the next may begin. */
static uint64_t tell_record(struct salvage_scan *scan, uint64_t position,
			    struct prefix *p)
{
	size_t bytes = p->record.bytes - RECORD_PREFIX_BYTES;
	uint8_t *body = xcalloc(1, bytes + 1);
	struct err err = {0};
	struct buf ids = {0};
	struct spool_problem problem = {
	    .position = position,
	    .next = position + p->record.bytes,
	    .events_known = true,
	    .events = p->header.events,
	    .why = scan->why,
	    .appended_at_us = p->record.appended_at_us,
	};
	size_t n = bytes;

	/* The last write of a crash: no loss, for nobody was told of it. */
	if (problem.next > scan->to && scan->trouble == SPOOL_TAIL) {
		free(body);
		return scan->to;
	}
	if (problem.next > scan->to) {
		problem.next = scan->to;
		n = scan->to - position - RECORD_PREFIX_BYTES;
	}
	n = read_at(scan, position + RECORD_PREFIX_BYTES, body, n);
	problem.save = open_body(p, body, &err);
	if (!problem.save) {
		name_ids(&p->header, body, &ids);
		free(body);
		problem.why = n < bytes ? "it is cut off" : err.text;
	}
	problem.how = p->how ? p->how : "it is whole";
	problem.ids = ids.used ? buf_str(&ids) : "";
	tell(scan, &problem);
	batch_unref(&problem.save);
	buf_free(&ids);
	return problem.next;
}

/* ---- searching ---- */

/* The first place in [from, to) that looks like a record's, else to. */
static uint64_t next_candidate(const struct salvage_scan *scan, uint64_t from,
			       uint8_t *data)
{
	while (from + RECORD_PREFIX_BYTES <= scan->to) {
		size_t want = scan->to - from < WINDOW_BYTES
				  ? (size_t)(scan->to - from)
				  : WINDOW_BYTES;
		size_t n = read_at(scan, from, data, want);

		for (size_t i = 0; i + RECORD_PREFIX_BYTES <= n;
		     i += RECORD_ALIGN)
			if (memcmp(data + i, &record_magic, 4) == 0 ||
			    memcmp(data + i + RECORD_HEADER_BYTES, batch_magic,
				   4) == 0)
				return from + i;
		if (n < WINDOW_BYTES)
			break;
		from += WINDOW_BYTES - RECORD_PREFIX_BYTES;
	}
	return scan->to;
}

void salvage_scan(struct salvage_scan *scan)
{
	uint8_t *data = xmalloc(WINDOW_BYTES);
	uint64_t at = scan->from, gap = at;
	struct prefix p;

	while (at + RECORD_PREFIX_BYTES <= scan->to &&
	       !scan->salvage->stopped) {
		uint8_t raw[RECORD_PREFIX_BYTES];

		if (read_at(scan, at, raw, sizeof(raw)) != sizeof(raw))
			break;
		if (!read_prefix(scan, at, raw, &p)) {
			at = next_candidate(scan, at + RECORD_ALIGN, data);
			continue;
		}
		tell_gap(scan, gap, at);
		if (p.record.kind == RECORD_VOID ||
		    (scan->wanted &&
		     !scan->wanted(scan->salvage, at, &p.header)))
			at += p.record.bytes;
		else
			at = tell_record(scan, at, &p);
		gap = at;
	}
	tell_gap(scan, gap, scan->to);
	free(data);
}
