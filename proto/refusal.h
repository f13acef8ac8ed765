/*
 * The refusal message: the streams of which a consumer cannot take more for
 * now, while it takes all others. Published beside its states; passed on to the
 * sources, which refuse such events where they come in. Nothing rests on it but
 * that: a source that has not heard it sends as ever, and waits for all.
 * Specification: proto/state.md, "Refusals".
 */
#ifndef WEFT_PROTO_REFUSAL_H
#define WEFT_PROTO_REFUSAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "proto/batch.h"

/* Streams that are refused at a time; more are not told of. */
#define REFUSAL_MAX_STREAMS 64

/* Zero is none. */
struct refusal {
	uint16_t count;
	char names[REFUSAL_MAX_STREAMS][BATCH_STREAM_NAME_BYTES + 1];
};

/* Adds a stream, unless it is there, or there are too many, or it is no name of
 * a stream (as batch_builder_stream() has it). */
void refusal_add(struct refusal *r, const char *name, size_t bytes);
bool refusal_has(const struct refusal *r, const char *name, size_t bytes);

/* Appends the encoded message. */
void refusal_encode(const struct refusal *r, struct buf *out);

/* Whether a message says that it is one. */
bool refusal_is(const uint8_t *data, size_t bytes);

/* Decodes and checks one. -1 with *err, and *r as it was. */
int refusal_decode(const uint8_t *data, size_t bytes, struct refusal *r,
		   struct err *err) MUST_CHECK;

#endif
