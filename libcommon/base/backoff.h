/*
 * How long to wait before a destination that failed is called again: a random
 * part, from nothing to all (full jitter), of a bound that doubles with each
 * failure in a row, so that many who failed together do not come back together;
 * and at least as long as the destination asked for.
 */
#ifndef WEFT_BASE_BACKOFF_H
#define WEFT_BASE_BACKOFF_H

#include <stdint.h>

/* The longest wait that a destination may ask for. */
#define BACKOFF_MOST_ASKED_US (INT64_C(24) * 3600 * 1000000)

/* Zero but for its limits to begin with; 0 < first_us <= max_us. */
struct backoff {
	int64_t first_us; /* the bound behind the first failure */
	int64_t max_us;	  /* the bound grows no further */
	unsigned failures;
};

/* The bound of the next wait. */
int64_t backoff_bound_us(const struct backoff *b);

/*
 * Counts a failure and returns how long to wait: from asked_us to asked_us and
 * the bound. asked_us is what the destination asked for, 0 when it did not.
 */
int64_t backoff_next_us(struct backoff *b, int64_t asked_us);

/* It works again: the next failure is a first one. */
void backoff_reset(struct backoff *b);

/*
 * The wait that the value of a Retry-After header asks for (RFC 9110 section
 * 10.2.3: seconds, or a date, which is held against now_us, wall time); at most
 * BACKOFF_MOST_ASKED_US. 0 when it is over, or no such value.
 */
int64_t backoff_retry_after_us(const char *value, int64_t now_us);

#endif
