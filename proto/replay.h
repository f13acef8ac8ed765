/*
 * What `pipelinectl dlq` and `pipelinectl replay` say to the replay service,
 * which they start, over its standard input and output. The written
 * specification is proto/replay.md. Both ends are of one release.
 */
#ifndef WEFT_PROTO_REPLAY_H
#define WEFT_PROTO_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "proto/batch.h"

#define REPLAY_HEADER_BYTES 16
#define REPLAY_MAX_BYTES    (BATCH_MAX_LINE_BYTES + (1u << 20))

enum replay_kind {
	/* asked */
	REPLAY_RAW = 1,	 /* texts: id, masked, received_at; the line */
	REPLAY_MAPPED,	 /* text: stream; the line */
	REPLAY_ARCHIVED, /* texts: stream, from_us, to_us; the line */
	REPLAY_TAKES,	 /* texts: stream, event_type */
	REPLAY_CHECK,	 /* from here on nothing is sent, only answered */
	REPLAY_FLUSH,
	REPLAY_SYNC,
	/* answered */
	REPLAY_ACCEPTED, /* texts: stream, table, columns; the identity */
	REPLAY_REFUSED,	 /* texts: code, field, why */
	REPLAY_PASSED,	 /* an archived line of another stream or time */
	REPLAY_YES,
	REPLAY_NO,
	REPLAY_DONE,
	REPLAY_KINDS
};

struct replay_frame {
	enum replay_kind kind;
	uint64_t number; /* an answer has that of what it answers */
	const char *data;
	size_t bytes;
};

/* A frame without data, then what comes into it. Owned by the caller of out. */
void replay_begin(struct buf *out, enum replay_kind kind, uint64_t number);
void replay_text(struct buf *out, const char *text); /* with its '\0' */
void replay_data(struct buf *out, const char *data, size_t bytes);
/* Ends the frame that began at `at` of out. */
void replay_end(struct buf *out, size_t at);

/*
 * Takes the frame at the start of `data`, which it borrows. 1 and in *used how
 * long it is; 0: it is not whole yet; -1 with *err: these are no frames.
 */
int replay_next(const char *data, size_t bytes, struct replay_frame *frame,
		size_t *used, struct err *err) MUST_CHECK;

/* Takes a text off the front of a frame's data; NULL when there is none. */
const char *replay_take(struct replay_frame *frame);

#endif
