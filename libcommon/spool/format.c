#include "spool/format.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/crc32c.h"

/* As they lie on disk; every field is naturally aligned. */
struct disk_segment {
	uint64_t magic;
	uint32_t version;
	uint32_t crc; /* of the whole header with this field zero */
	uint8_t log[UUID_BYTES];
	uint64_t base;
};

struct disk_record {
	uint32_t magic;
	uint32_t crc; /* of the rest of the header and the batch header */
	uint8_t log[UUID_BYTES];
	uint64_t position;
	uint64_t durable;
	int64_t appended_at_us;
	uint32_t bytes;
	uint32_t kind;
	uint64_t origin;
};

_Static_assert(sizeof(struct disk_record) == RECORD_HEADER_BYTES, "layout");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little-endian");

#define CRC_FROM offsetof(struct disk_record, log)

bool log_ids_accept(const struct log_ids *ids, const struct uuid *id)
{
	if (memcmp(&ids->id, id, sizeof(*id)) == 0)
		return true;
	for (uint32_t i = 0; i < ids->former_count; i++)
		if (memcmp(&ids->former[i], id, sizeof(*id)) == 0)
			return true;
	return false;
}

void log_ids_retire(struct log_ids *ids, const struct uuid *id, uint64_t until)
{
	if (ids->former_count == LOG_MAX_FORMER) {
		ids->former_count--;
		memmove(ids->former, ids->former + 1,
			ids->former_count * sizeof(ids->former[0]));
		memmove(ids->until, ids->until + 1,
			ids->former_count * sizeof(ids->until[0]));
	}
	ids->former[ids->former_count] = *id;
	ids->until[ids->former_count++] = until;
}

uint32_t record_bytes(uint32_t index_bytes, uint32_t payload_bytes)
{
	uint32_t bytes = RECORD_PREFIX_BYTES + index_bytes + payload_bytes;

	return (bytes + RECORD_ALIGN - 1) & ~(uint32_t)(RECORD_ALIGN - 1);
}

void segment_header_encode(const struct segment_header *header,
			   uint8_t out[SEGMENT_HEADER_BYTES])
{
	struct disk_segment d = {
	    .magic = SEGMENT_MAGIC,
	    .version = SEGMENT_VERSION,
	    .base = header->base,
	};

	memcpy(d.log, header->log.bytes, UUID_BYTES);
	memset(out, 0, SEGMENT_HEADER_BYTES);
	memcpy(out, &d, sizeof(d));
	d.crc = crc32c(0, out, SEGMENT_HEADER_BYTES);
	memcpy(out, &d, sizeof(d));
}

int segment_header_decode(const uint8_t data[SEGMENT_HEADER_BYTES],
			  struct segment_header *header)
{
	uint8_t copy[SEGMENT_HEADER_BYTES];
	struct disk_segment d;
	uint32_t crc;

	memcpy(copy, data, sizeof(copy));
	memcpy(&d, copy, sizeof(d));
	crc = d.crc;
	d.crc = 0;
	memcpy(copy, &d, sizeof(d));
	if (d.magic != SEGMENT_MAGIC || d.version != SEGMENT_VERSION ||
	    crc32c(0, copy, sizeof(copy)) != crc)
		return -1;
	memcpy(header->log.bytes, d.log, UUID_BYTES);
	header->base = d.base;
	return 0;
}

void record_prefix_encode(const struct record_header *record,
			  const struct batch_header *batch,
			  uint8_t out[RECORD_PREFIX_BYTES])
{
	struct disk_record d = {
	    .magic = RECORD_MAGIC,
	    .position = record->position,
	    .durable = record->durable,
	    .appended_at_us = record->appended_at_us,
	    .bytes = record->bytes,
	    .kind = record->kind,
	    .origin = record->origin,
	};

	memcpy(d.log, record->log.bytes, UUID_BYTES);
	memcpy(out, &d, sizeof(d));
	batch_header_encode(batch, out + RECORD_HEADER_BYTES);
	d.crc = crc32c(0, out + CRC_FROM, RECORD_PREFIX_BYTES - CRC_FROM);
	memcpy(out + offsetof(struct disk_record, crc), &d.crc, sizeof(d.crc));
}

bool record_prefix_log(const uint8_t data[RECORD_PREFIX_BYTES],
		       uint64_t position, struct uuid *log)
{
	struct disk_record d;

	memcpy(&d, data, sizeof(d));
	if (d.magic != RECORD_MAGIC || d.position != position ||
	    crc32c(0, data + CRC_FROM, RECORD_PREFIX_BYTES - CRC_FROM) != d.crc)
		return false;
	memcpy(log->bytes, d.log, UUID_BYTES);
	return true;
}

static bool lengths_agree(const struct disk_record *d,
			  const struct batch_header *batch)
{
	if (d->durable > d->position)
		return false;
	if (d->kind == RECORD_VOID)
		return d->bytes >= RECORD_PREFIX_BYTES &&
		       d->bytes % RECORD_ALIGN == 0;
	return d->bytes ==
	       record_bytes(batch->index_bytes, batch->payload_bytes);
}

int record_prefix_decode(const uint8_t data[RECORD_PREFIX_BYTES],
			 const struct log_ids *ids,
			 struct record_header *record,
			 struct batch_header *batch, struct err *err)
{
	uint64_t position = record->position;
	struct disk_record d;

	memcpy(&d, data, sizeof(d));
	if (d.magic != RECORD_MAGIC)
		return err_set(err, EBADMSG, "no record begins at %" PRIu64,
			       position);
	if (crc32c(0, data + CRC_FROM, RECORD_PREFIX_BYTES - CRC_FROM) != d.crc)
		return err_set(err, EBADMSG,
			       "the header of the record at %" PRIu64
			       " does not match its checksum",
			       position);
	if (d.position != position)
		return err_set(err, EBADMSG,
			       "the record at %" PRIu64
			       " says it is at %" PRIu64,
			       position, d.position);
	memcpy(record->log.bytes, d.log, UUID_BYTES);
	if (!log_ids_accept(ids, &record->log))
		return err_set(err, EBADMSG,
			       "the record at %" PRIu64 " is of another log",
			       position);
	if (d.kind > RECORD_SAVED)
		return err_set(err, EBADMSG,
			       "the record at %" PRIu64 " is of kind %u, which "
			       "another release wrote",
			       position, d.kind);
	memset(batch, 0, sizeof(*batch));
	if (d.kind != RECORD_VOID &&
	    batch_header_decode(data + RECORD_HEADER_BYTES, BATCH_HEADER_BYTES,
				batch, err) != 0)
		return err_wrap(err, "the record at %" PRIu64, position);
	if (!lengths_agree(&d, batch))
		return err_set(err, EBADMSG,
			       "the record at %" PRIu64
			       " contradicts its own lengths",
			       position);
	record->durable = d.durable;
	record->appended_at_us = d.appended_at_us;
	record->bytes = d.bytes;
	record->kind = d.kind;
	record->origin = d.origin;
	return 0;
}
