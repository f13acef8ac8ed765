/*
 * What a sink remembers: of each source its newest epoch, and of each lane in
 * it the next sequence and what is durable. Inside bus/ only; no I/O.
 */
#ifndef WEFT_BUS_LANES_H
#define WEFT_BUS_LANES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "proto/batch.h"
#include "proto/state.h"

struct lanes;

enum lanes_verdict {
	LANES_NEXT,	 /* the one expected: take it */
	LANES_DUPLICATE, /* taken before */
	LANES_GAP,	 /* one before it is missing */
	LANES_STALE,	 /* of an epoch that a newer one retired */
	LANES_FULL	 /* of a lane that there is no room for */
};

struct lanes *lanes_new(void);
void lanes_free(struct lanes **t);

/* What to do with a batch; changes nothing. A new lane expects sequence 1. */
enum lanes_verdict lanes_judge(struct lanes *t,
			       const struct batch_header *header);

/*
 * Moves the lane of a batch that was taken on to the next sequence; a newer
 * epoch retires the source's older lanes. lanes_judge said LANES_NEXT, or the
 * batch comes from the log, which holds only such.
 */
void lanes_take(struct lanes *t, const struct batch_header *header);

/* The lane is durable through `sequence`; nothing if it has been retired. */
void lanes_durable(struct lanes *t, const struct batch_lane *lane,
		   uint64_t sequence);

/* All that was taken is durable. */
void lanes_all_durable(struct lanes *t);

/*
 * The lanes as a state carries them; the array is reused and grown, owned by
 * the caller. Returns how many.
 */
uint32_t lanes_list(const struct lanes *t, struct state_lane **list);

/* Appends the lanes as far as durable, for a checkpoint, and reads them back.
 */
void lanes_save(const struct lanes *t, struct buf *out);
int lanes_load(struct lanes *t, const void *data, size_t bytes,
	       struct err *err) MUST_CHECK;

#endif
