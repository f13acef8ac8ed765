#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lake/recent.h"

#define MINUTE_US INT64_C(60000000)

/* A hash for a number, as good as that of an identity. */
static uint64_t hash_of(uint64_t n)
{
	n = (n ^ n >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	n = (n ^ n >> 27) * UINT64_C(0x94d049bb133111eb);
	return n ^ n >> 31;
}

/* Adds `count` numbers spread evenly over the times from `from` to `to`. */
static void add(struct recent *w, uint64_t first, uint64_t count, int64_t from,
		int64_t to)
{
	for (uint64_t i = 0; i < count; i++)
		recent_add(w, hash_of(first + i),
			   from + (to - from) * (int64_t)i / (int64_t)count);
}

static uint64_t seen(const struct recent *w, uint64_t first, uint64_t count)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < count; i++)
		n += recent_has(w, hash_of(first + i));
	return n;
}

static void test_what_was_added_is_seen_and_little_else(void **state)
{
	struct recent_budget budget = {.limit_bytes = 40 << 20};
	struct recent *w = recent_new(&budget, 10 * MINUTE_US);

	(void)state;
	add(w, 0, 2000000, 0, 10 * MINUTE_US);
	recent_advance(w, 10 * MINUTE_US);
	assert_int_equal(seen(w, 0, 2000000), 2000000);
	assert_true(seen(w, 1u << 30, 1000000) < 1000);
	assert_true(budget.used_bytes <= budget.limit_bytes);
	assert_int_equal(recent_count(w), 2000000);
	recent_free(&w);
	assert_int_equal(budget.used_bytes, 0);
	assert_int_equal(budget.expected_keys, 0);
}

static void test_what_is_older_than_the_window_goes(void **state)
{
	struct recent_budget budget = {.limit_bytes = 40 << 20};
	struct recent *w = recent_new(&budget, 10 * MINUTE_US);
	size_t most = 0;

	(void)state;
	for (uint64_t m = 0; m < 100; m++) {
		add(w, m * 10000, 10000, (int64_t)m * MINUTE_US,
		    (int64_t)(m + 1) * MINUTE_US);
		recent_advance(w, (int64_t)(m + 1) * MINUTE_US);
		if (m >= 10)
			assert_int_equal(seen(w, (m - 9) * 10000, 100000),
					 100000);
		if (budget.used_bytes > most)
			most = budget.used_bytes;
	}
	/* One generation more than the window at most. */
	assert_true(recent_count(w) <= 126000);
	assert_true(seen(w, 0, 800000) < 800);
	assert_true(most < 2 << 20);
	recent_advance(w, 1000 * MINUTE_US);
	assert_int_equal(recent_count(w), 0);
	assert_int_equal(budget.used_bytes, 0);
	recent_free(&w);
}

static void test_a_full_budget_costs_doubt_and_nothing_else(void **state)
{
	struct recent_budget budget = {.limit_bytes = 1 << 20};
	struct recent *a = recent_new(&budget, 10 * MINUTE_US);
	struct recent *b = recent_new(&budget, 10 * MINUTE_US);

	(void)state;
	for (uint64_t m = 0; m < 30; m++) {
		add(a, m * 60000, 60000, (int64_t)m * MINUTE_US,
		    (int64_t)(m + 1) * MINUTE_US);
		add(b, m * 10000, 10000, (int64_t)m * MINUTE_US,
		    (int64_t)(m + 1) * MINUTE_US);
		recent_advance(a, (int64_t)m * MINUTE_US);
		recent_advance(b, (int64_t)m * MINUTE_US);
	}
	assert_int_equal(seen(a, 20 * 60000, 600000), 600000);
	assert_int_equal(seen(b, 20 * 10000, 100000), 100000);
	/* A generation may begin with a least filter beyond the limit. */
	assert_true(budget.used_bytes < budget.limit_bytes + (64 << 10));
	/* With 9 bits a key it does not come to calling everything seen. */
	assert_true(seen(a, 1u << 30, 100000) < 20000);
	assert_true(seen(b, 1u << 30, 100000) < 20000);
	recent_free(&a);
	recent_free(&b);
	assert_int_equal(budget.used_bytes, 0);
}

static void test_a_clock_that_goes_back_forgets_nothing(void **state)
{
	struct recent_budget budget = {.limit_bytes = 1 << 20};
	struct recent *w = recent_new(&budget, 10 * MINUTE_US);

	(void)state;
	add(w, 0, 1000, 100 * MINUTE_US, 100 * MINUTE_US + 1);
	add(w, 1000, 1000, 50 * MINUTE_US, 50 * MINUTE_US + 1);
	recent_advance(w, 50 * MINUTE_US);
	recent_advance(w, 109 * MINUTE_US);
	assert_int_equal(seen(w, 0, 2000), 2000);
	recent_advance(w, 111 * MINUTE_US);
	assert_int_equal(recent_count(w), 0);
	recent_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_what_was_added_is_seen_and_little_else),
	    cmocka_unit_test(test_what_is_older_than_the_window_goes),
	    cmocka_unit_test(test_a_full_budget_costs_doubt_and_nothing_else),
	    cmocka_unit_test(test_a_clock_that_goes_back_forgets_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
