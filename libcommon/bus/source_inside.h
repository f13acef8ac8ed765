/*
 * The insides of a source, for source*.c only: source.c opens it and turns
 * epochs, source_hear.c takes what the transformers say, source_send.c sends.
 */
#ifndef WEFT_BUS_SOURCE_INSIDE_H
#define WEFT_BUS_SOURCE_INSIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/bus.h"
#include "bus/refused.h"
#include "bus/socket.h"
#include "bus/window.h"

/* One transformer instance; its lane is window.lanes[its index]. */
struct peer {
	struct bus_endpoint at;
	struct bus_socket push, sub;
	uint64_t drops; /* of push, as noted */
	bool known;	/* heard at least once */
	bool heard;	/* complete, since it was last lost, and not silent */
	bool lost;	/* what is in flight may not arrive */
	bool refers;	/* it takes batches by reference */
	int64_t heard_mono_us;
	struct uuid incarnation;
	uint64_t generation, history;
	bool based; /* in this epoch its history is to stay `base` */
	uint64_t base;
	struct batch *piece; /* the newest of its lane, if it was not sent */
	struct refused refused;
};

/* The transformers that are to take over when nothing is in flight. */
struct move {
	struct peer *peers[BUS_MAX_PEERS];
	uint32_t count; /* 0 = none waits */
	int64_t by_mono_us;
};

struct bus_source {
	struct bus *bus;
	struct bus_part part;
	struct loop_timer tick;
	struct bus_source_events events;
	struct uuid id;
	int64_t window_bytes, silence_us, drain_us;
	bool by_key;
	struct batch_builder *cut; /* pieces are made here */
	struct peer *peers[BUS_MAX_PEERS];
	uint32_t peer_count;
	struct move move;
	struct window window;
	uint64_t epoch, replay_before;
	uint64_t newest;     /* epoch that any state named */
	bool begun;	     /* an epoch is given */
	const char *why;     /* an epoch is needed; NULL while not */
	bool asked;	     /* and the owner was told */
	uint64_t position;   /* next to read */
	uint64_t unsent;     /* from here on nothing was ever sent */
	struct batch *ahead; /* read and not yet sent */
	struct flight ahead_flight;
	bool dry;   /* nothing new to read until the next kick or tick */
	bool stuck; /* nothing old either: reading failed; until the tick */
	bool ticked;
	int64_t tick_mono_us;
	struct state_lane *decoded; /* scratch */
	struct refusal refused;	    /* by any sink */
	struct bus_stats stats;
};

/* Asks for a new epoch at the end of this turn; the first reason is kept. */
void source_need_epoch(struct bus_source *s, const char *why);

/* Takes all that the transformers said, and notes who is lost or silent. */
void source_hear(struct bus_source *s);

/* Whether a transformer may be sent to. */
bool source_usable(const struct peer *p);

/* Sends what it may; true when it stopped only to let others have a turn. */
bool source_send(struct bus_source *s);

/* ---- source_key.c: keys in lanes of their own ---- */

/* Whether batches are cut up: with one transformer there is nothing to cut. */
bool source_cuts(const struct bus_source *s);

/*
 * The events of b that fall to peer i, as a batch of their own (one reference);
 * NULL when there are none. The same b gives the same pieces as long as the
 * peers are the same. -1, logged, when b is damaged.
 */
int source_piece(struct bus_source *s, const struct batch *b, uint32_t i,
		 struct batch **piece) MUST_CHECK;

/*
 * Reads the next batch and queues its pieces; false when there is none, or a
 * lane that could take its piece is not done with what it has.
 */
bool source_deal(struct bus_source *s);

/* ---- source_send.c, for source_key.c ---- */

/* Reads the next new batch to s->ahead, unless it is there. */
bool source_look_ahead(struct bus_source *s);
bool source_can_send(const struct bus_source *s, uint32_t i);

/* ---- source_peers.c: who the transformers are ---- */

/* What a turn does for a change of them; the new ones are taken when it may. */
void source_move(struct bus_source *s);
void source_forget_flights(struct bus_source *s);
void source_close_peers(struct bus_source *s);

#endif
