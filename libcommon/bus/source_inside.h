/*
 * The insides of a source, for source*.c only: source.c opens it and turns
 * epochs, source_hear.c takes what the transformers say, source_send.c sends.
 */
#ifndef WEFT_BUS_SOURCE_INSIDE_H
#define WEFT_BUS_SOURCE_INSIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/bus.h"
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
	int64_t heard_mono_us;
	struct uuid incarnation;
	uint64_t generation, history;
	bool based; /* in this epoch its history is to stay `base` */
	uint64_t base;
};

struct bus_source {
	struct bus *bus;
	struct bus_part part;
	struct loop_timer tick;
	struct bus_source_events events;
	struct uuid id;
	int64_t window_bytes, silence_us;
	struct peer *peers[BUS_MAX_PEERS];
	uint32_t peer_count;
	struct window window;
	uint64_t epoch, replay_before;
	uint64_t newest;     /* epoch that any state named */
	bool begun;	     /* an epoch is given */
	const char *why;     /* an epoch is needed; NULL while not */
	bool asked;	     /* and the owner was told */
	uint64_t position;   /* next to read */
	struct batch *ahead; /* read and not yet sent */
	struct flight ahead_flight;
	bool dry;   /* nothing new to read until the next kick or tick */
	bool stuck; /* nothing old either: reading failed; until the tick */
	bool ticked;
	int64_t tick_mono_us;
	struct state_lane *decoded; /* scratch */
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

#endif
