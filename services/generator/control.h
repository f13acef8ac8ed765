/* The control API of the generator: start, stop and status over HTTP. */
#ifndef WEFT_SERVICES_GENERATOR_CONTROL_H
#define WEFT_SERVICES_GENERATOR_CONTROL_H

#include "http/server.h"
#include "services/generator/sender.h"

/*
 * Takes the members of a POST /start body over into *plan: rate, batch, burst,
 * count, duration ("30s"), bad_share, seed, connections. An empty body changes
 * nothing. -1 with *err naming the member that is wrong.
 */
int control_take_plan(const char *body, size_t bytes, struct sender_plan *plan,
		      struct err *err) MUST_CHECK;

#endif
