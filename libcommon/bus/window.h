/*
 * What a source has in flight: the batches of one epoch in the order of its
 * log, each in a lane, until every one before it is acked. Inside bus/ only;
 * no I/O, no memory of payloads.
 */
#ifndef WEFT_BUS_WINDOW_H
#define WEFT_BUS_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/bus.h"

/* Batches that one may have unfreed; 2.5 MB of memory when all are. */
#define WINDOW_MAX_FLIGHTS 65536

struct flight {
	uint64_t position, next; /* in the log */
	uint32_t bytes, events;
	bool acked;
};

/* Sequences: [1, first) acked, [first, send) in flight, [send, end) to be sent,
 * most of them again, end = the next new one. */
struct window_lane {
	uint64_t first, send, end;
	uint64_t fresh;		/* the first that was never sent */
	int64_t inflight_bytes; /* of [first, send) */
	uint64_t *flights;	/* ring of size: numbers in the window */
	uint32_t size;
};

struct window {
	struct flight *flights; /* ring of size, by number */
	uint32_t size;
	uint64_t head, tail; /* numbers: first not freed, next new */
	uint64_t unacked_batches, unacked_bytes;
	struct window_lane lanes[BUS_MAX_PEERS];
};

/* Forgets all flights and starts every lane at sequence 1. */
void window_reset(struct window *w);
void window_free(struct window *w);

bool window_full(const struct window *w);

/*
 * A new batch, or a piece of one, got sequence `end` of a lane, and is still to
 * be sent. Pieces of one batch are queued one behind the other.
 */
void window_queue(struct window *w, uint32_t lane, const struct flight *f);

/* A new batch went out in a lane; it had that lane's sequence `end`. */
void window_sent(struct window *w, uint32_t lane, const struct flight *f);

/* The batch with sequence `send` of a lane, which is before `end`. */
const struct flight *window_again(const struct window *w, uint32_t lane);

/* That batch went out; true when not for the first time. */
bool window_resent(struct window *w, uint32_t lane);

/*
 * A lane is durable everywhere through `through`. 0, or -1 when that was never
 * sent: then nothing changes.
 */
int window_ack(struct window *w, uint32_t lane, uint64_t through) MUST_CHECK;

/* What was in flight on a lane may be lost: all of it is to be sent again. */
void window_rewind(struct window *w, uint32_t lane);

/*
 * Drops acked flights from the front; true and *position = the first not freed
 * when there were any.
 */
bool window_freed(struct window *w, uint64_t *position) MUST_CHECK;

#endif
