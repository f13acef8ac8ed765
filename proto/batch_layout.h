/* The batch's wire layout, for proto/batch*.c and what names streams. See
 * proto/batch.md. */
#ifndef WEFT_PROTO_BATCH_LAYOUT_H
#define WEFT_PROTO_BATCH_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/batch.h"

#define BATCH_MAGIC   0x54414257u /* "WBAT" */
#define BATCH_VERSION 1
#define BATCH_KNOWN_FLAGS \
	((uint32_t)(BATCH_REPLAY | BATCH_MAPPED | BATCH_ARCHIVED))
/* 9999-12-31T23:59:59.999999Z, the last time that has a text. */
#define BATCH_MAX_CREATED_US INT64_C(253402300799999999)

enum {
	AT_MAGIC = 0,
	AT_VERSION = 4,
	AT_HEADER_BYTES = 6,
	AT_SOURCE = 8,
	AT_EPOCH = 24,
	AT_SEQUENCE = 32,
	AT_NUMBER = 40,
	AT_FLAGS = 44,
	AT_CREATED = 48,
	AT_CONTRACTS = 56,
	AT_EVENTS = 64,
	AT_INDEX_BYTES = 68,
	AT_PAYLOAD_BYTES = 72,
	AT_BODY_CRC = 76,
	AT_TRACE = 80,
	AT_RESERVED = 96,
	AT_HEADER_CRC = 124,
};

/* The stream table: a count, then names; entries follow at a multiple of 8. */
#define TABLE_PADDED(bytes) (((bytes) + 7) & ~(size_t)7)
#define TABLE_MAX_BYTES \
	TABLE_PADDED(2 + BATCH_MAX_STREAMS * (1 + BATCH_STREAM_NAME_BYTES))

_Static_assert(sizeof(struct batch_event) == 48, "as it lies on the wire");
_Static_assert(offsetof(struct batch_event, reserved2) == 40, "no padding");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "the wire is little-endian and read in place");
_Static_assert(BATCH_MAX_EVENTS * sizeof(struct batch_event) +
		       TABLE_MAX_BYTES <=
		   BATCH_MAX_INDEX_BYTES,
	       "a full batch fits its limits");

/* A batch with one reference, *header and nothing else set. */
struct batch *batch_new(const struct batch_header *header);

bool batch_stream_name_ok(const char *name, size_t bytes);

#endif
