/*
 * The bodies of batches that come by reference, at a consumer. Inside bus/
 * only; embedded in a relay or a sink.
 */
#ifndef WEFT_BUS_BODIES_H
#define WEFT_BUS_BODIES_H

#include "bus/bus.h"

struct bodies {
	bus_resolve_fn *resolve; /* NULL: never are references taken */
	void *arg;
	int64_t rest_us;       /* the first rest */
	int64_t pause_us;      /* the last one, 0 = none yet */
	int64_t again_mono_us; /* when that is over, or was */
	bool rests;
};

/* References are taken at a local endpoint, by whoever can resolve them.
 * `rest_us` as in the options of a sink. */
void bodies_open(struct bodies *t, const char *endpoint,
		 bus_resolve_fn *resolve, void *arg, int64_t rest_us);

/* What the state that is being made says of it. A rest ends here and nowhere
 * else, so that it has not ended before senders can know. */
bool bodies_taken(struct bodies *t);

/*
 * Puts the batch with its body in place of *b, if it has none. -1 with *err
 * when that cannot be had: *b stays, and is to be refused. Then no reference is
 * taken for a while, so that what is sent again comes with its body. Those that
 * were under way give ENOTSUP, which is no news. What it was cannot be told:
 * the log may be hidden from this process for ever, or its disk may have had
 * one bad moment. So it is tried again, after a rest that doubles.
 */
int bodies_fetch(struct bodies *t, struct batch **b,
		 struct err *err) MUST_CHECK;

#endif
