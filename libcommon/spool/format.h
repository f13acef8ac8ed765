/*
 * The log's bytes on disk, as written down in format.md: segment headers and
 * record headers. Pure functions without I/O; any thread. Little-endian, and
 * this code requires a little-endian host.
 */
#ifndef WEFT_SPOOL_FORMAT_H
#define WEFT_SPOOL_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/uuid.h"
#include "proto/batch.h"

/* A page of its own, so that no append ever rewrites the header's sector. */
#define SEGMENT_HEADER_BYTES 4096
#define SEGMENT_MAGIC	     UINT64_C(0x3130474553574657) /* "WFWSEG01" */
#define SEGMENT_VERSION	     1

#define RECORD_MAGIC	    0x43455257u /* "WREC" */
#define RECORD_HEADER_BYTES 64
/* Record header and batch header, read in one go. */
#define RECORD_PREFIX_BYTES (RECORD_HEADER_BYTES + BATCH_HEADER_BYTES)
#define RECORD_ALIGN	    8
#define RECORD_MAX_BYTES                               \
	(RECORD_PREFIX_BYTES + BATCH_MAX_INDEX_BYTES + \
	 BATCH_MAX_PAYLOAD_BYTES + RECORD_ALIGN)

/* Former ids that a log accepts in records: it was cloned or repaired. */
#define LOG_MAX_FORMER 16

/* The ids that may stand in a log's records. */
struct log_ids {
	struct uuid id; /* what is written now */
	uint32_t former_count;
	struct uuid former[LOG_MAX_FORMER];
	uint64_t until[LOG_MAX_FORMER]; /* none at or behind it has former[i] */
};

struct segment_header {
	struct uuid log;
	uint64_t base; /* position of the first record */
};

enum record_kind {
	RECORD_BATCH = 0,
	/* No batch: a repair found that what lay here cannot be read. Only the
	 * headers are there, of no batch; readers go on behind it. */
	RECORD_VOID = 1,
	/* A batch that a repair saved from elsewhere in the log. */
	RECORD_SAVED = 2,
};

struct record_header {
	struct uuid log;
	uint64_t position; /* must equal where it lies */
	uint64_t durable;  /* everything before was on disk when written */
	int64_t appended_at_us;
	uint32_t bytes;	 /* whole record, padding included */
	uint32_t kind;	 /* enum record_kind */
	uint64_t origin; /* where a saved one lay before, else 0 */
};

/* Whether records of log `id` belong to this log. */
bool log_ids_accept(const struct log_ids *ids, const struct uuid *id);

/* Adds a former id, dropping the oldest when full. */
void log_ids_retire(struct log_ids *ids, const struct uuid *id, uint64_t until);

/* Bytes on disk of a record with such a body, padded to RECORD_ALIGN. */
uint32_t record_bytes(uint32_t index_bytes, uint32_t payload_bytes);

void segment_header_encode(const struct segment_header *header,
			   uint8_t out[SEGMENT_HEADER_BYTES]);

/* -1 when magic, version or crc are wrong. */
int segment_header_decode(const uint8_t data[SEGMENT_HEADER_BYTES],
			  struct segment_header *header) MUST_CHECK;

/*
 * Encodes both headers of a record into out: *record, then *batch with its
 * crcs. The record's crc covers the batch header and with it the body's crc.
 */
void record_prefix_encode(const struct record_header *record,
			  const struct batch_header *batch,
			  uint8_t out[RECORD_PREFIX_BYTES]);

/*
 * The log that a record was written by, when its magic, crc and position are
 * right. For a log of which nothing else says its id.
 */
bool record_prefix_log(const uint8_t data[RECORD_PREFIX_BYTES],
		       uint64_t position, struct uuid *log);

/*
 * Decodes and checks both headers: magic, crc, that it belongs to one of `ids`
 * and to record->position, which the caller sets to where it lies, and that its
 * lengths agree. A void record's batch header is all zero. -1 with *err;
 * record->position stays.
 */
int record_prefix_decode(const uint8_t data[RECORD_PREFIX_BYTES],
			 const struct log_ids *ids,
			 struct record_header *record,
			 struct batch_header *batch,
			 struct err *err) MUST_CHECK;

#endif
