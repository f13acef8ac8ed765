/* Reads HTTP answers and compares them with what was expected. */
#ifndef WEFT_SERVICES_GENERATOR_ANSWER_H
#define WEFT_SERVICES_GENERATOR_ANSWER_H

#include <stdint.h>

#include "base/buf.h"
#include "services/generator/events.h"

struct answer {
	unsigned status;
	uint32_t retry_after_s; /* 0 = not said */
	bool close;
	const char *body; /* inside the buffer */
	size_t body_bytes;
	size_t total_bytes; /* head and body */
};

/*
 * Finds one whole answer at the start of `in`. 1: *answer is filled; 0: more
 * bytes are needed; -1: that is no HTTP answer with a Content-Length.
 */
int answer_parse(const struct buf *in, struct answer *answer);

/*
 * Counts how many of faults[count] the answer to their request disagrees with:
 * a good event must be accepted, a bad one refused with exactly its code. The
 * first disagreement is logged.
 */
uint32_t answer_mismatches(const struct answer *answer,
			   const enum event_fault *faults, uint32_t count);

#endif
