/*
 * A relay's view of its sinks: what each has said, and what follows from it
 * for the state that the relay publishes upstream. Inside bus/ only; no I/O,
 * so that each rule has its test.
 */
#ifndef WEFT_BUS_OUTS_H
#define WEFT_BUS_OUTS_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/bus.h"
#include "proto/state.h"

/* One sink as heard; all but its place is zero until then. */
struct out_view {
	char link[STATE_NAME_BYTES];
	uint32_t instance;
	bool known; /* heard at least once */
	bool heard; /* heard since it was last lost, and not silent */
	int64_t heard_mono_us;
	struct uuid incarnation, log_id;
	uint64_t generation, history;
	struct state_lane *lanes; /* of our number, sorted; owned */
	uint32_t lane_count;
};

/*
 * Takes what a sink says. `number` is the relay's own: lanes through others do
 * not concern it. True when something on the way to this sink may have been
 * lost, so that the generation must be raised: it is another incarnation, it
 * says so itself, or it is heard again after it was lost.
 */
bool out_view_hear(struct out_view *v, const struct state *state,
		   uint32_t number, int64_t now_mono_us) MUST_CHECK;

void out_view_free(struct out_view *v);

/*
 * The history number of a set of sinks: the same for the same links, instances,
 * logs and histories of theirs in any order.
 */
uint64_t outs_history(const struct out_view *const *views, uint32_t count);

/*
 * The lanes that any sink has, each through the least of all sinks (0 where one
 * lacks it), into *list (reused and grown, the caller's). At most
 * STATE_MAX_LANES. Returns how many.
 */
uint32_t outs_least(const struct out_view *const *views, uint32_t count,
		    struct state_lane **list);

#endif
