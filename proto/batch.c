#include "proto/batch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "proto/batch_layout.h"

static uint16_t get16(const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static uint32_t get32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static uint64_t get64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

void batch_header_encode(const struct batch_header *header,
			 uint8_t out[BATCH_HEADER_BYTES])
{
	const uint32_t magic = BATCH_MAGIC;
	const uint16_t version = BATCH_VERSION, bytes = BATCH_HEADER_BYTES;
	uint32_t crc;

	memset(out, 0, BATCH_HEADER_BYTES);
	memcpy(out + AT_MAGIC, &magic, 4);
	memcpy(out + AT_VERSION, &version, 2);
	memcpy(out + AT_HEADER_BYTES, &bytes, 2);
	memcpy(out + AT_SOURCE, header->lane.source.bytes, UUID_BYTES);
	memcpy(out + AT_EPOCH, &header->lane.epoch, 8);
	memcpy(out + AT_SEQUENCE, &header->sequence, 8);
	memcpy(out + AT_NUMBER, &header->lane.number, 4);
	memcpy(out + AT_FLAGS, &header->flags, 4);
	memcpy(out + AT_CREATED, &header->created_at_us, 8);
	memcpy(out + AT_CONTRACTS, &header->contract_set, 8);
	memcpy(out + AT_EVENTS, &header->events, 4);
	memcpy(out + AT_INDEX_BYTES, &header->index_bytes, 4);
	memcpy(out + AT_PAYLOAD_BYTES, &header->payload_bytes, 4);
	memcpy(out + AT_BODY_CRC, &header->body_crc, 4);
	memcpy(out + AT_TRACE, header->trace, BATCH_TRACE_BYTES);
	crc = crc32c(0, out, AT_HEADER_CRC);
	memcpy(out + AT_HEADER_CRC, &crc, 4);
}

/* Magic, version and crc: whether these bytes are a header of ours at all. */
static int check_envelope(const uint8_t *data, size_t bytes, struct err *err)
{
	uint32_t want, got;

	if (bytes != BATCH_HEADER_BYTES)
		return err_set(err, EBADMSG,
			       "batch header has %zu bytes, not %d; the sender "
			       "does not speak Weft's batch format",
			       bytes, BATCH_HEADER_BYTES);
	if (get32(data + AT_MAGIC) != BATCH_MAGIC)
		return err_set(err, EBADMSG,
			       "batch header begins with 0x%08" PRIx32
			       ", not WBAT; the sender does not speak Weft's "
			       "batch format",
			       get32(data + AT_MAGIC));
	want = crc32c(0, data, AT_HEADER_CRC);
	got = get32(data + AT_HEADER_CRC);
	if (got != want)
		return err_set(err, EBADMSG,
			       "batch header has crc 0x%08" PRIx32
			       ", its bytes give 0x%08" PRIx32
			       "; it was damaged on the way",
			       got, want);
	if (get16(data + AT_VERSION) != BATCH_VERSION ||
	    get16(data + AT_HEADER_BYTES) != BATCH_HEADER_BYTES)
		return err_set(err, EPROTO,
			       "batch has format version %u (%u header bytes), "
			       "this program reads version %d (%d); run the "
			       "same release of Weft at both ends",
			       get16(data + AT_VERSION),
			       get16(data + AT_HEADER_BYTES), BATCH_VERSION,
			       BATCH_HEADER_BYTES);
	return 0;
}

static int check_limits(const struct batch_header *h, struct err *err)
{
	size_t entries = (size_t)h->events * sizeof(struct batch_event);
	size_t table;

	if (h->events > BATCH_MAX_EVENTS)
		return err_set(err, EBADMSG,
			       "batch header counts %" PRIu32
			       " events, the limit is %d",
			       h->events, BATCH_MAX_EVENTS);
	if (h->index_bytes > BATCH_MAX_INDEX_BYTES ||
	    h->payload_bytes > BATCH_MAX_PAYLOAD_BYTES)
		return err_set(err, EBADMSG,
			       "batch header gives an index of %" PRIu32
			       " and a payload of %" PRIu32
			       " bytes, the limits are %u and %u",
			       h->index_bytes, h->payload_bytes,
			       BATCH_MAX_INDEX_BYTES, BATCH_MAX_PAYLOAD_BYTES);
	table = h->index_bytes - entries;
	if (h->index_bytes < entries || table < 8 || table % 8 ||
	    table > TABLE_MAX_BYTES)
		return err_set(err, EBADMSG,
			       "batch header gives an index of %" PRIu32
			       " bytes, which %" PRIu32
			       " events and a stream table cannot have",
			       h->index_bytes, h->events);
	if (h->flags & ~BATCH_KNOWN_FLAGS)
		return err_set(err, EPROTO,
			       "batch header has unknown flags 0x%" PRIx32
			       "; run the same release of Weft at both ends",
			       h->flags & ~BATCH_KNOWN_FLAGS);
	if (h->created_at_us < 0 || h->created_at_us > BATCH_MAX_CREATED_US)
		return err_set(err, EBADMSG,
			       "batch header was created at %" PRId64
			       " us, outside the years 1970 to 9999",
			       h->created_at_us);
	return 0;
}

int batch_header_decode(const uint8_t *data, size_t bytes,
			struct batch_header *header, struct err *err)
{
	struct batch_header h;

	if (check_envelope(data, bytes, err))
		return -1;
	memset(&h, 0, sizeof(h));
	memcpy(h.lane.source.bytes, data + AT_SOURCE, UUID_BYTES);
	h.lane.epoch = get64(data + AT_EPOCH);
	h.lane.number = get32(data + AT_NUMBER);
	h.sequence = get64(data + AT_SEQUENCE);
	h.flags = get32(data + AT_FLAGS);
	h.created_at_us = (int64_t)get64(data + AT_CREATED);
	h.contract_set = get64(data + AT_CONTRACTS);
	h.events = get32(data + AT_EVENTS);
	h.index_bytes = get32(data + AT_INDEX_BYTES);
	h.payload_bytes = get32(data + AT_PAYLOAD_BYTES);
	h.body_crc = get32(data + AT_BODY_CRC);
	memcpy(h.trace, data + AT_TRACE, BATCH_TRACE_BYTES);
	if (check_limits(&h, err))
		return -1;
	*header = h;
	return 0;
}

bool batch_stream_name_ok(const char *name, size_t bytes)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "abcdefghijklmnopqrstuvwxyz"
				      "0123456789_-.";

	if (bytes < 1 || bytes > BATCH_STREAM_NAME_BYTES)
		return false;
	if (name[0] == '-' || name[0] == '.')
		return false;
	for (size_t i = 0; i < bytes; i++)
		if (!name[i] || !strchr(allowed, name[i]))
			return false;
	return true;
}

/* Reads the stream table, which takes exactly `bytes` bytes, into *b. */
static int open_streams(struct batch *b, size_t bytes, struct err *err)
{
	const uint8_t *table = b->index;
	size_t at = 2;
	uint16_t count = get16(table);

	if (count > BATCH_MAX_STREAMS)
		return err_set(err, EBADMSG,
			       "batch index counts %u streams, the limit is %d",
			       count, BATCH_MAX_STREAMS);
	for (uint16_t i = 0; i < count; i++) {
		size_t name_bytes = at < bytes ? table[at] : SIZE_MAX;
		const char *name = (const char *)table + at + 1;

		if (at >= bytes || name_bytes > bytes - at - 1)
			return err_set(err, EBADMSG,
				       "batch index ends inside the name of "
				       "stream %u of %u",
				       i, count);
		if (!batch_stream_name_ok(name, name_bytes))
			return err_set(err, EBADMSG,
				       "batch index names stream %u with %zu "
				       "bytes that are no stream name",
				       i, name_bytes);
		b->streams[i] = name;
		b->stream_bytes[i] = (uint8_t)name_bytes;
		at += 1 + name_bytes;
	}
	if (TABLE_PADDED(at) != bytes)
		return err_set(err, EBADMSG,
			       "batch index has a stream table of %zu bytes "
			       "with %zu used",
			       bytes, at);
	b->stream_count = count;
	return 0;
}

static bool slice_ok(uint32_t offset, uint16_t bytes, uint32_t payload_bytes)
{
	return (uint64_t)offset + bytes <= payload_bytes;
}

static bool event_ok(const struct batch *b, const struct batch_event *e)
{
	uint32_t payload_bytes = b->header.payload_bytes;
	uint64_t end = (uint64_t)e->offset + e->bytes;

	return e->bytes >= 1 && e->bytes <= BATCH_MAX_LINE_BYTES &&
	       end < payload_bytes && b->payload[end] == '\n' &&
	       e->stream < b->stream_count &&
	       slice_ok(e->key_offset, e->key_bytes, payload_bytes) &&
	       slice_ok(e->id_offset, e->id_bytes, payload_bytes) &&
	       slice_ok(e->type_offset, e->type_bytes, payload_bytes);
}

static int open_events(const struct batch *b, struct err *err)
{
	for (uint32_t i = 0; i < b->header.events; i++) {
		const struct batch_event *e = &b->events[i];

		if (!event_ok(b, e))
			return err_set(
			    err, EBADMSG,
			    "batch index entry %" PRIu32 " (offset %" PRIu32
			    ", %" PRIu32
			    " bytes, stream %u) is not a line of its payload "
			    "of %" PRIu32 " bytes, or a slice of it lies "
			    "outside",
			    i, e->offset, e->bytes, e->stream,
			    b->header.payload_bytes);
	}
	return 0;
}

/* Entries are read in place, so an index that came misaligned is copied. */
static void align_index(struct batch *b)
{
	if ((uintptr_t)b->index % _Alignof(struct batch_event) == 0)
		return;
	b->index_copy = xmalloc(b->header.index_bytes);
	memcpy(b->index_copy, b->index, b->header.index_bytes);
	b->index = b->index_copy;
}

/* What is received comes with who lets it go, so it has a parameter more. */
/* NOLINTNEXTLINE(readability-function-size) */
struct batch *batch_open(const struct batch_header *header,
			 const uint8_t *index, const char *payload, void *owner,
			 void (*release)(void *owner), struct err *err)
{
	size_t table = header->index_bytes -
		       (size_t)header->events * sizeof(struct batch_event);
	struct batch *b;
	uint32_t crc;

	crc = crc32c(0, index, header->index_bytes);
	crc = crc32c(crc, payload, header->payload_bytes);
	if (crc != header->body_crc) {
		err_set(err, EBADMSG,
			"batch body has crc 0x%08" PRIx32
			", its header says 0x%08" PRIx32
			"; it was damaged on the way",
			crc, header->body_crc);
		return NULL;
	}
	b = batch_new(header);
	b->index = index;
	b->payload = payload;
	align_index(b);
	b->events =
	    (const struct batch_event *)(const void *)(b->index + table);
	if (open_streams(b, table, err) || open_events(b, err)) {
		batch_unref(&b);
		return NULL;
	}
	b->owner = owner;
	b->release = release;
	return b;
}

struct batch *batch_new(const struct batch_header *header)
{
	/* The stream arrays, most of it, stay unset beyond stream_count. */
	struct batch *b = xmalloc(sizeof(*b));

	b->header = *header;
	b->reference = NULL;
	b->index = NULL;
	b->payload = NULL;
	b->events = NULL;
	b->stream_count = 0;
	b->release = NULL;
	b->owner = NULL;
	b->index_copy = NULL;
	atomic_init(&b->references, 1);
	return b;
}

struct batch *batch_refer(const struct batch_header *header,
			  const struct reference *reference)
{
	struct batch *b = batch_new(header);
	struct reference *copy = xmalloc(sizeof(*copy));

	*copy = *reference;
	b->reference = b->owner = copy;
	b->release = free;
	return b;
}

struct batch *batch_ref(struct batch *b)
{
	atomic_fetch_add_explicit(&b->references, 1, memory_order_relaxed);
	return b;
}

void batch_unref(struct batch **b)
{
	struct batch *old = *b;

	*b = NULL;
	if (!old || atomic_fetch_sub_explicit(&old->references, 1,
					      memory_order_acq_rel) != 1)
		return;
	if (old->release)
		old->release(old->owner);
	free(old->index_copy);
	free(old);
}

size_t batch_bytes(const struct batch *b)
{
	return (size_t)BATCH_HEADER_BYTES + b->header.index_bytes +
	       b->header.payload_bytes;
}

const char *batch_stream(const struct batch *b, uint16_t stream,
			 char name[BATCH_STREAM_NAME_BYTES + 1])
{
	size_t bytes = b->stream_bytes[stream];

	memcpy(name, b->streams[stream], bytes);
	name[bytes] = '\0';
	return name;
}

static void release_shared(void *owner)
{
	struct batch *body = owner;

	batch_unref(&body);
}

struct batch *batch_relabel(struct batch *b, const struct batch_header *header)
{
	/* A label of a label holds on to the body, not to the label between. */
	struct batch *body = b->release == release_shared ? b->owner : b;
	struct batch *label = batch_new(&body->header);

	label->header.lane = header->lane;
	label->header.sequence = header->sequence;
	label->header.flags = header->flags;
	label->index = body->index;
	label->payload = body->payload;
	label->events = body->events;
	label->stream_count = body->stream_count;
	memcpy(label->streams, body->streams,
	       body->stream_count * sizeof(body->streams[0]));
	memcpy(label->stream_bytes, body->stream_bytes, body->stream_count);
	label->owner = batch_ref(body);
	label->release = release_shared;
	return label;
}
