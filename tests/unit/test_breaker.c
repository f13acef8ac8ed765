/* A circuit breaker: closed, open, half-open, and when a call may begin. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "run/breaker.h"

#define MS     INT64_C(1000)
#define SECOND INT64_C(1000000)
#define TIMES  200

static const struct breaker_options options = {
    .destination = "test",
    .threshold = 3,
    .cool_down_us = 4 * SECOND,
    .retry_first_us = 100 * MS,
    .retry_max_us = 30 * SECOND,
};

static struct err away(int64_t retry_after_us)
{
	struct err err;

	err_set(&err, ECONNREFUSED, "away");
	err.retriable = true;
	err.retry_after_us = retry_after_us;
	return err;
}

/* Fails whenever it may call, `times` times; returns the time then. */
static int64_t fail_times(struct breaker *b, int64_t now_us, unsigned times)
{
	struct err err = away(0);

	while (times--) {
		if (breaker_next_mono_us(b) > now_us)
			now_us = breaker_next_mono_us(b);
		assert_true(breaker_allows(b, now_us));
		breaker_failed(b, now_us, &err);
	}
	return now_us;
}

static void failures_in_a_row_open_it(void **state)
{
	struct breaker b;
	int64_t now_us = SECOND;

	(void)state;
	breaker_init(&b, &options);
	assert_true(breaker_allows(&b, now_us));
	now_us = fail_times(&b, now_us, 2);
	assert_int_equal(b.state, BREAKER_CLOSED);
	/* Between the failures it waits, less than it would when open. */
	assert_in_range(breaker_next_mono_us(&b), now_us, now_us + 200 * MS);
	breaker_succeeded(&b);
	assert_int_equal(breaker_next_mono_us(&b), 0);
	assert_int_equal(b.err.code, 0);
	now_us = fail_times(&b, now_us, 2);
	assert_int_equal(b.state, BREAKER_CLOSED);
	now_us = fail_times(&b, now_us, 1);
	assert_int_equal(b.state, BREAKER_OPEN);
	assert_int_equal(b.opened, 1);
	assert_int_equal(b.err.code, ECONNREFUSED);
	assert_false(breaker_allows(&b, now_us));
	assert_in_range(breaker_next_mono_us(&b), now_us + 2 * SECOND,
			now_us + 5 * SECOND);
}

static void one_probe_decides(void **state)
{
	struct breaker b;
	int64_t now_us =
	    fail_times((breaker_init(&b, &options), &b), SECOND, 3);
	struct err err = away(0);

	(void)state;
	assert_false(breaker_allows(&b, breaker_next_mono_us(&b) - 1));
	assert_int_equal(b.state, BREAKER_OPEN);
	now_us = breaker_next_mono_us(&b);
	assert_true(breaker_allows(&b, now_us));
	assert_int_equal(b.state, BREAKER_HALF_OPEN);
	breaker_failed(&b, now_us, &err);
	assert_int_equal(b.state, BREAKER_OPEN);
	/* Once for the outage, and the cool-down is longer. */
	assert_int_equal(b.opened, 1);
	assert_in_range(breaker_next_mono_us(&b), now_us + 4 * SECOND,
			now_us + 9 * SECOND);
	now_us = breaker_next_mono_us(&b);
	assert_true(breaker_allows(&b, now_us));
	breaker_succeeded(&b);
	assert_int_equal(b.state, BREAKER_CLOSED);
	assert_true(breaker_allows(&b, now_us));
	/* All begins anew. */
	now_us = fail_times(&b, now_us, 2);
	assert_int_equal(b.state, BREAKER_CLOSED);
	now_us = fail_times(&b, now_us, 1);
	assert_int_equal(b.opened, 2);
	assert_in_range(breaker_next_mono_us(&b), now_us + 2 * SECOND,
			now_us + 5 * SECOND);
}

static void cool_downs_have_a_limit_and_jitter(void **state)
{
	int64_t least_us = INT64_MAX, most_us = 0;

	(void)state;
	for (int i = 0; i < TIMES; i++) {
		struct breaker b;
		int64_t now_us, wait_us;

		breaker_init(&b, &options);
		now_us = fail_times(&b, SECOND, 12);
		wait_us = breaker_next_mono_us(&b) - now_us;
		assert_in_range(wait_us, 15 * SECOND, 31 * SECOND);
		least_us = wait_us < least_us ? wait_us : least_us;
		most_us = wait_us > most_us ? wait_us : most_us;
	}
	assert_true(most_us - least_us > 10 * SECOND);
}

static void what_was_asked_for_is_kept(void **state)
{
	struct breaker b;
	struct err err = away(100 * SECOND);

	(void)state;
	breaker_init(&b, &options);
	breaker_failed(&b, SECOND, &err);
	assert_int_equal(b.state, BREAKER_CLOSED);
	assert_false(breaker_allows(&b, 100 * SECOND));
	breaker_failed(&b, SECOND, &err);
	breaker_failed(&b, SECOND, &err);
	assert_int_equal(b.state, BREAKER_OPEN);
	assert_false(breaker_allows(&b, 100 * SECOND));
	assert_true(breaker_allows(&b, 140 * SECOND));
}

/* A wait that the configuration keeps short holds for cool-downs as well. */
static void the_longest_wait_holds_for_all(void **state)
{
	struct breaker_options quick = options;
	struct breaker b;
	int64_t now_us;

	(void)state;
	quick.retry_max_us = 500 * MS;
	breaker_init(&b, &quick);
	now_us = fail_times(&b, SECOND, 10);
	assert_in_range(breaker_next_mono_us(&b), now_us, now_us + 501 * MS);
}

static void what_is_told_late_changes_nothing(void **state)
{
	struct breaker b;
	int64_t next_us;
	struct err err = away(0);

	(void)state;
	breaker_init(&b, &options);
	fail_times(&b, SECOND, 3);
	next_us = breaker_next_mono_us(&b);
	breaker_failed(&b, 2 * SECOND, &err);
	assert_int_equal(breaker_next_mono_us(&b), next_us);
	breaker_forgive(&b);
	assert_int_equal(b.state, BREAKER_CLOSED);
	assert_true(breaker_allows(&b, 2 * SECOND));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(failures_in_a_row_open_it),
	    cmocka_unit_test(one_probe_decides),
	    cmocka_unit_test(cool_downs_have_a_limit_and_jitter),
	    cmocka_unit_test(what_was_asked_for_is_kept),
	    cmocka_unit_test(the_longest_wait_holds_for_all),
	    cmocka_unit_test(what_is_told_late_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
