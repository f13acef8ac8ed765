#include "base/backoff.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/uuid.h"

#define SECOND_US INT64_C(1000000)

int64_t backoff_bound_us(const struct backoff *b)
{
	int64_t bound_us = b->first_us;

	for (unsigned i = 0; i < b->failures && bound_us < b->max_us; i++)
		bound_us = bound_us <= b->max_us / 2 ? 2 * bound_us : b->max_us;
	return bound_us < b->max_us ? bound_us : b->max_us;
}

int64_t backoff_next_us(struct backoff *b, int64_t asked_us)
{
	uint64_t bound_us = (uint64_t)backoff_bound_us(b);
	struct uuid random = uuid_new();
	uint64_t n;

	/* Behind the bits that tell the variant. */
	memcpy(&n, random.bytes + 8, sizeof(n));
	if (b->failures < 64)
		b->failures++;
	if (asked_us > BACKOFF_MOST_ASKED_US)
		asked_us = BACKOFF_MOST_ASKED_US;
	return (asked_us > 0 ? asked_us : 0) +
	       (int64_t)((n >> 8) % (bound_us + 1));
}

void backoff_reset(struct backoff *b)
{
	b->failures = 0;
}

int64_t backoff_retry_after_us(const char *value, int64_t now_us)
{
	struct tm tm = {0};
	const char *end;
	int64_t wait_us;

	if (*value >= '0' && *value <= '9') {
		long long seconds = strtoll(value, NULL, 10);

		return seconds < BACKOFF_MOST_ASKED_US / SECOND_US
			   ? seconds * SECOND_US
			   : BACKOFF_MOST_ASKED_US;
	}
	end = strptime(value, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	if (!end || *end)
		return 0;
	wait_us = (int64_t)timegm(&tm) * SECOND_US - now_us;
	if (wait_us < 0)
		return 0;
	return wait_us < BACKOFF_MOST_ASKED_US ? wait_us
					       : BACKOFF_MOST_ASKED_US;
}
