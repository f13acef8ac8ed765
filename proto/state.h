/*
 * The state message: what a consumer publishes beside each of its inputs, on
 * change and every 250 ms. It says what is durable, and carries the evidence
 * on which alone a source sends again. Specification: proto/state.md.
 */
#ifndef WEFT_PROTO_STATE_H
#define WEFT_PROTO_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "proto/batch.h"

#define STATE_MAX_LANES	 4096
#define STATE_NAME_BYTES 64
#define STATE_REPEAT_US	 250000

/*
 * Bytes of a message with `lanes` lanes: what a receiver's limit is made of.
 */
#define STATE_BYTES(lanes) (132 + 40 * (size_t)(lanes))

/* A lane is durable here through sequence `through` (0 = nothing yet). */
struct state_lane {
	struct batch_lane lane;
	uint64_t through;
};

struct state {
	char name[STATE_NAME_BYTES]; /* instance, e.g. "transformer.0" */
	struct uuid incarnation;     /* new at each start of the process */
	struct uuid log_id;  /* of the log behind it; zero when it has none */
	uint64_t generation; /* raised when something on the way may be lost */
	uint64_t history;    /* changes when lanes must begin anew */
	bool complete; /* all that it depends on was heard; else acks nothing */
	bool references; /* takes batches by reference */
	uint32_t lane_count;
	const struct state_lane *lanes; /* borrowed */
};

/*
 * Appends the encoded message, crc included, to out. At most STATE_MAX_LANES
 * lanes, and a name of 1 to 63 letters, digits, '.', '_' and '-' (asserted).
 */
void state_encode(const struct state *state, struct buf *out);

/*
 * Decodes and checks a message (magic, version, crc, counts, name). The lanes
 * are written to *lanes, an array that the caller frees and may hand in again
 * (NULL at first; it is resized); state->lanes points to it. A lane may appear
 * twice only if a sender is wrong; that is not looked for. -1 with *err, then
 * *state and *lanes are as they were.
 */
int state_decode(const uint8_t *data, size_t bytes, struct state *state,
		 struct state_lane **lanes, struct err *err) MUST_CHECK;

#endif
