/* Waits: full jitter below a bound that doubles, and what was asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/backoff.h"

#define MS     INT64_C(1000)
#define SECOND INT64_C(1000000)
#define TIMES  2000
/* Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110. */
#define RFC_US (INT64_C(784111777) * SECOND)

static void the_bound_doubles_and_ends(void **state)
{
	struct backoff b = {.first_us = 100 * MS, .max_us = 1000 * MS};
	static const int64_t bounds_ms[] = {100, 200, 400, 800, 1000, 1000};

	(void)state;
	for (size_t i = 0; i < sizeof(bounds_ms) / sizeof(*bounds_ms); i++) {
		assert_int_equal(backoff_bound_us(&b), bounds_ms[i] * MS);
		assert_in_range(backoff_next_us(&b, 0), 0, bounds_ms[i] * MS);
	}
	backoff_reset(&b);
	assert_int_equal(backoff_bound_us(&b), 100 * MS);
	/* Neither many failures nor a large bound overflow. */
	b = (struct backoff){.first_us = INT64_MAX / 3,
			     .max_us = INT64_MAX / 2};
	for (int i = 0; i < 1000; i++)
		assert_true(backoff_next_us(&b, 0) >= 0);
	assert_int_equal(backoff_bound_us(&b), INT64_MAX / 2);
}

/* All of the bound is used, from nothing on: in each tenth of it lies about a
 * tenth of the waits. */
static void the_jitter_is_full(void **state)
{
	unsigned tenths[10] = {0};

	(void)state;
	for (int i = 0; i < TIMES; i++) {
		struct backoff b = {.first_us = SECOND, .max_us = SECOND};
		int64_t tenth = backoff_next_us(&b, 0) / (SECOND / 10);

		tenths[tenth < 10 ? tenth : 9]++;
	}
	for (int i = 0; i < 10; i++)
		assert_in_range(tenths[i], TIMES / 20, TIMES / 5);
}

static void nobody_comes_earlier_than_asked(void **state)
{
	(void)state;
	for (int i = 0; i < TIMES; i++) {
		struct backoff b = {.first_us = SECOND, .max_us = SECOND};

		assert_in_range(backoff_next_us(&b, 7 * SECOND), 7 * SECOND,
				8 * SECOND);
	}
	struct backoff b = {.first_us = 1, .max_us = 1};
	assert_in_range(backoff_next_us(&b, INT64_MAX), BACKOFF_MOST_ASKED_US,
			BACKOFF_MOST_ASKED_US + 1);
	assert_in_range(backoff_next_us(&b, -5), 0, 1);
}

static void retry_after_is_seconds_or_a_date(void **state)
{
	static const struct {
		const char *value;
		int64_t wait_us;
	} rows[] = {
	    {"0", 0},
	    {"120", 120 * SECOND},
	    {"99999999999999999999", BACKOFF_MOST_ASKED_US},
	    {"Sun, 06 Nov 1994 08:49:37 GMT", 0},
	    {"Sun, 06 Nov 1994 08:50:00 GMT", 23 * SECOND},
	    {"Sun, 06 Nov 1994 08:49:00 GMT", 0},
	    {"Fri, 31 Dec 9999 23:59:59 GMT", BACKOFF_MOST_ASKED_US},
	    {"Sun, 06 Nov 1994 08:50:00 GMT and more", 0},
	    {"soon", 0},
	    {"-5", 0},
	    {"", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_int_equal(backoff_retry_after_us(rows[i].value, RFC_US),
				 rows[i].wait_us);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_bound_doubles_and_ends),
	    cmocka_unit_test(the_jitter_is_full),
	    cmocka_unit_test(nobody_comes_earlier_than_asked),
	    cmocka_unit_test(retry_after_is_seconds_or_a_date),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
