/*
 * What one consumer refuses, as its producer has heard; forgotten when it is
 * not said again for long. Inside bus/ only.
 */
#ifndef WEFT_BUS_REFUSED_H
#define WEFT_BUS_REFUSED_H

#include "bus/wire.h"
#include "proto/refusal.h"

struct refused {
	struct refusal streams;
	int64_t heard_mono_us;
};

/*
 * Takes a message if it is a refusal: 1, 0 when it is none, -1 *err when it is
 * damaged.
 */
int refused_hear(struct refused *r, zmq_msg_t *msg, int64_t now_mono_us,
		 struct err *err) MUST_CHECK;

/* Forgets what was not said for so long. */
void refused_expire(struct refused *r, int64_t now_mono_us, int64_t silence_us);

/* Adds it to the union of several. */
void refused_join(const struct refused *r, struct refusal *all);

#endif
