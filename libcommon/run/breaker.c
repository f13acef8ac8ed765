#include "run/breaker.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/log.h"

const char *breaker_state_name(enum breaker_state state)
{
	static const char *const names[] = {
	    [BREAKER_CLOSED] = "closed",
	    [BREAKER_HALF_OPEN] = "half-open",
	    [BREAKER_OPEN] = "open",
	};

	return names[state];
}

void breaker_export(const struct breaker *b, struct counter_family *states,
		    struct counter_family *opened)
{
	const struct counter_label label = {b->options.destination,
					    strlen(b->options.destination)};

	*counter_cell(states, &label) = b->state;
	*counter_cell(opened, &label) = (int64_t)b->opened;
}

void breaker_set(struct breaker *b, const struct breaker_options *options)
{
	int64_t most_us = options->retry_max_us;
	int64_t cool_us = options->cool_down_us;

	b->options = *options;
	b->retry.first_us = options->retry_first_us;
	b->retry.max_us = most_us;
	/* Half of a cool-down is for sure, the other half is jitter. */
	b->cool.first_us = (cool_us < most_us ? cool_us : most_us) / 2 + 1;
	b->cool.max_us = most_us / 2 + 1;
}

void breaker_init(struct breaker *b, const struct breaker_options *options)
{
	*b = (struct breaker){.state = BREAKER_CLOSED};
	breaker_set(b, options);
}

bool breaker_allows(struct breaker *b, int64_t now_mono_us)
{
	if (now_mono_us < b->next_mono_us)
		return false;
	if (b->state == BREAKER_OPEN) {
		b->state = BREAKER_HALF_OPEN;
		log_info("circuit_half_open", "destination=%s",
			 b->options.destination);
	}
	return true;
}

int64_t breaker_next_mono_us(const struct breaker *b)
{
	return b->next_mono_us;
}

void breaker_succeeded(struct breaker *b)
{
	if (b->state != BREAKER_CLOSED)
		log_info("circuit_closed", "destination=%s",
			 b->options.destination);
	breaker_forgive(b);
}

void breaker_forgive(struct breaker *b)
{
	b->state = BREAKER_CLOSED;
	b->failures = 0;
	b->next_mono_us = 0;
	b->err.code = 0;
	backoff_reset(&b->retry);
	backoff_reset(&b->cool);
}

static void open_circuit(struct breaker *b, int64_t now_mono_us)
{
	bool again = b->state == BREAKER_HALF_OPEN;
	int64_t asked_us = b->err.retry_after_us;
	int64_t least_us = backoff_bound_us(&b->cool);
	char quoted[LOG_QUOTE_BYTES];
	int64_t wait_us = backoff_next_us(
	    &b->cool, asked_us > least_us ? asked_us : least_us);

	b->state = BREAKER_OPEN;
	b->next_mono_us = now_mono_us + wait_us;
	b->opened += !again;
	log_warn("circuit_open",
		 "destination=%s failures=%u cool_down_ms=%" PRId64
		 " error=%s action=\"none: it is tried again by itself\"",
		 b->options.destination, b->failures, wait_us / 1000,
		 log_quote(quoted, b->err.text));
}

void breaker_failed(struct breaker *b, int64_t now_mono_us,
		    const struct err *err)
{
	b->err = *err;
	if (!b->err.code)
		b->err.code = EIO;
	b->failures++;
	/* Told late, by a call that began before it opened. */
	if (b->state == BREAKER_OPEN)
		return;
	if (b->state == BREAKER_HALF_OPEN ||
	    b->failures >= b->options.threshold)
		open_circuit(b, now_mono_us);
	else
		b->next_mono_us =
		    now_mono_us +
		    backoff_next_us(&b->retry, err->retry_after_us);
}
