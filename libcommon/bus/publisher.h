/*
 * The state that a consumer publishes: on change, to each new subscriber, and
 * every 250 ms. Inside bus/ only; embedded in a relay or a sink.
 */
#ifndef WEFT_BUS_PUBLISHER_H
#define WEFT_BUS_PUBLISHER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "bus/socket.h"
#include "proto/refusal.h"
#include "proto/state.h"

struct publisher {
	struct bus *bus;
	struct bus_socket socket;
	struct loop_timer tick, pace;
	struct state
	    state; /* name, incarnation, generation; the rest by fill */
	bool changed;
	bool bad;    /* something was refused since the last tick */
	bool ticked; /* for its owner, who clears it */
	int64_t published_mono_us;
	struct refusal refusal; /* told at each tick, and when it changes */
	bool refuses;		/* the last one told was not empty */
	bool tell;
	struct buf frame;
	void (*fill)(void *arg, struct state *state);
	void *arg;
};

/*
 * Binds, with a new incarnation; says nothing before publisher_start(). `fill`
 * sets log_id, history, complete and the lanes (borrowed until the next call).
 * After an error the publisher may be closed.
 */
int publisher_open(struct publisher *p, struct bus *bus, const char *name,
		   const char *endpoint, struct err *err) MUST_CHECK;
void publisher_start(struct publisher *p);
void publisher_close(struct publisher *p);

/* Something that passed here may be lost: raises the generation. */
void publisher_lost(struct publisher *p);

/*
 * A batch was refused, so its lane has a gap that only a resend closes: that is
 * evidence too, but told at the next tick, so that a peer that sends nothing
 * but rubbish makes four resends a second and no more.
 */
void publisher_refused(struct publisher *p);

/* The streams that are refused from now on (copied). */
void publisher_refuse(struct publisher *p, const struct refusal *refusal);

/* At the end of each turn of its owner. */
void publisher_turn(struct publisher *p);

#endif
