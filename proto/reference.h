/*
 * A reference: where the body of a batch lies, sent in place of the body to
 * whoever can read the log of its source. Specification: proto/batch.md,
 * "References".
 */
#ifndef WEFT_PROTO_REFERENCE_H
#define WEFT_PROTO_REFERENCE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/uuid.h"

/* The longest directory, with its NUL. */
#define REFERENCE_DIR_BYTES 1024
/* The most of a log that one batch may be made of. */
#define REFERENCE_MAX_SPAN (UINT64_C(64) << 20)

/*
 * Records of a log, from the one at `position` to the one before `next`: their
 * batches, joined in this order, are the batch.
 */
struct reference {
	struct uuid log; /* as each of the records says */
	uint64_t position, next;
	uint32_t bodies_crc;	       /* reference_crc() over all of them */
	char dir[REFERENCE_DIR_BYTES]; /* of the log: an absolute path */
};

/*
 * Takes the body crc of one batch more into the crc of all (0 at first). It
 * makes the reference mean the same bytes for ever: what a log holds at a
 * position may be another batch once it was repaired or lost its tail.
 */
uint32_t reference_crc(uint32_t bodies_crc, uint32_t body_crc);

/* Bytes of the encoded reference. */
size_t reference_bytes(const struct reference *r);

/* Encodes *r, crc included, into reference_bytes(r) bytes at out. Its directory
 * is absolute (asserted). */
void reference_encode(const struct reference *r, uint8_t *out);

/*
 * Decodes and checks a reference of exactly `bytes` bytes: magic, version, crc,
 * that the path is absolute and whole, and the range one that a log may have.
 * What lies there is not looked at. -1 with *err, and *r as it was.
 */
int reference_decode(const uint8_t *data, size_t bytes, struct reference *r,
		     struct err *err) MUST_CHECK;

#endif
