/*
 * The insides of a relay, for relay*.c only: relay.c opens it, hears its sinks
 * and tells its state, relay_pass.c passes batches on.
 */
#ifndef WEFT_BUS_RELAY_INSIDE_H
#define WEFT_BUS_RELAY_INSIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/bodies.h"
#include "bus/bus.h"
#include "bus/outs.h"
#include "bus/publisher.h"
#include "bus/refused.h"
#include "bus/socket.h"

/* One sink instance. */
struct out {
	struct bus_endpoint at;
	struct bus_socket push, sub;
	struct out_view view;
	struct refused refused;
	uint64_t drops;	 /* of push, as noted */
	bool references; /* it takes batches by reference */
	struct batch *pending;
};

struct bus_relay {
	struct bus *bus;
	struct bus_part part;
	struct bus_socket in;
	struct publisher publisher;
	struct bus_relay_events events;
	const char *name; /* the publisher's */
	uint32_t number;  /* of the lanes that come through here */
	int64_t silence_us;
	struct out *outs[BUS_MAX_PEERS];
	uint32_t out_count;
	struct batch *held;  /* received, not yet taken by every sink */
	bool worked;	     /* its messages are made */
	struct batch *whole; /* held with its body, for a sink that wants it */
	struct bodies bodies;
	int64_t retry_mono_us, complain_mono_us;
	int64_t tick_mono_us;
	struct state_lane *decoded, *list; /* scratch */
	struct bus_stats stats;
};

/* One batch from the source to every sink; false when it must wait. */
bool relay_step(struct bus_relay *r);

/* What was received, if anything, goes to no sink any more: a resend covers it.
 */
void relay_drop(struct bus_relay *r);

#endif
