/*
 * A circuit breaker: who may call a destination, and when. One a destination.
 *
 *             threshold failures in a row
 *   closed ───────────────────────────────▶ open ◀──────┐
 *     ▲   (waits in between, with back-off)   │ cool-down │ the probe failed
 *     │                                       ▼           │
 *     └──────────────────────────────────  half-open ─────┘
 *               the probe succeeded
 *
 * While it is open nothing is sent; when the cool-down is over one call is let
 * through, the probe. Cool-downs double as back-off does, and neither ends
 * before the time that the destination asked for. Each change is logged once.
 * One thread at a time.
 */
#ifndef WEFT_RUN_BREAKER_H
#define WEFT_RUN_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/backoff.h"
#include "base/err.h"
#include "conf/counter.h"

/* As weft_circuit_state exports them. */
enum breaker_state { BREAKER_CLOSED, BREAKER_HALF_OPEN, BREAKER_OPEN };

struct breaker_options {
	const char *destination; /* borrowed: in the log, "kafka" */
	unsigned threshold;	 /* failures in a row; 1 or more */
	int64_t cool_down_us;	 /* the first */
	int64_t retry_first_us;	 /* the bound of the first wait while closed */
	int64_t retry_max_us; /* the longest of both, unless asked for more */
};

struct breaker {
	struct breaker_options options;
	enum breaker_state state;
	unsigned failures; /* in a row */
	struct backoff retry, cool;
	int64_t next_mono_us; /* no call before */
	uint64_t opened;      /* how often it has, in all */
	struct err err; /* the last failure; code 0: none since it works */
};

void breaker_init(struct breaker *b, const struct breaker_options *options);

/* Other numbers, from the next failure on. */
void breaker_set(struct breaker *b, const struct breaker_options *options);

/*
 * Whether a call may begin now; one that comes through an open circuit makes it
 * half-open, and is the probe: tell what came of it before asking again.
 */
bool breaker_allows(struct breaker *b, int64_t now_mono_us);

/* When it will allow one, 0 = now. */
int64_t breaker_next_mono_us(const struct breaker *b);

/* What came of a call, and for failed, why. */
void breaker_succeeded(struct breaker *b);
void breaker_failed(struct breaker *b, int64_t now_mono_us,
		    const struct err *err);

/*
 * Its failures were not the destination's own: closed, as if nothing had been
 * called.
 */
void breaker_forgive(struct breaker *b);

/* The families of CIRCUIT_COUNTER_ROWS (run/counter_rows.h). Loop thread. */
void breaker_export(const struct breaker *b, struct counter_family *states,
		    struct counter_family *opened);

/* "closed", "half-open", "open". */
const char *breaker_state_name(enum breaker_state state);

#endif
