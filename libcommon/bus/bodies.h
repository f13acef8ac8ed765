/*
 * The bodies of batches that come by reference, at a consumer. Inside bus/
 * only; embedded in a relay or a sink.
 */
#ifndef WEFT_BUS_BODIES_H
#define WEFT_BUS_BODIES_H

#include "bus/bus.h"

struct bodies {
	bus_resolve_fn *resolve;
	void *arg;
	bool taken; /* what the state says of it */
	bool gave_up;
};

/* References are taken at a local endpoint, by whoever can resolve them. */
void bodies_open(struct bodies *t, const char *endpoint,
		 bus_resolve_fn *resolve, void *arg);

/*
 * Puts the batch with its body in place of *b, if it has none. -1 with *err
 * when that cannot be had: *b stays, and is to be refused. Then no reference is
 * taken any more: whoever cannot read one log once will hardly do it later, and
 * what is sent again comes with its body. Those that were under way then give
 * ENOTSUP, which is no news.
 */
int bodies_fetch(struct bodies *t, struct batch **b,
		 struct err *err) MUST_CHECK;

#endif
