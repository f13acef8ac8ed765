/* When messages go to librdkafka: small enough, and never behind a request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kafka/rounds.h"

#define REQUEST 1000000
#define LINGER	10000

static const int topic_a, topic_b;

static void start(struct rounds *r)
{
	*r = (struct rounds){.request_bytes = REQUEST, .linger_us = LINGER};
}

/* Hands over messages of 1,000 bytes until the round closes; how many. */
static uint32_t fill(struct rounds *r, int64_t now_us)
{
	uint32_t n = 0;

	while (rounds_open(r, now_us)) {
		rounds_add(r, 1000, now_us);
		n++;
		assert_true(n <= 100000);
	}
	return n;
}

static void a_round_waits_for_the_last_report(void **state)
{
	struct rounds r;
	uint32_t n;

	(void)state;
	start(&r);
	n = fill(&r, 0);
	assert_in_range(n, 800, 1000);
	rounds_reported(&r, &topic_a, 0, n - 1);
	assert_false(rounds_open(&r, 1));
	rounds_reported(&r, &topic_a, 0, 1);
	assert_true(rounds_open(&r, 1));
}

static void a_round_closes_before_its_first_message_leaves(void **state)
{
	struct rounds r;

	(void)state;
	start(&r);
	rounds_add(&r, 1000, 500);
	assert_true(rounds_open(&r, 500 + LINGER / 2));
	assert_false(rounds_open(&r, 500 + LINGER / 2 + 1));
	rounds_reported(&r, &topic_a, 0, 1);
	assert_true(rounds_open(&r, 500 + LINGER));
}

static void without_linger_a_turn_of_the_loop_is_a_round(void **state)
{
	struct rounds r;

	(void)state;
	start(&r);
	r.linger_us = 0;
	rounds_add(&r, 1000, 500);
	assert_true(rounds_open(&r, 500));
	assert_false(rounds_open(&r, 501));
}

static void rounds_grow_with_the_partitions(void **state)
{
	struct rounds r;
	uint32_t n = 0;

	(void)state;
	start(&r);
	for (int i = 0; i < 40; i++) {
		n = fill(&r, i);
		for (int p = 0; p < 3; p++)
			rounds_reported(&r, &topic_a, p, n / 4);
		rounds_reported(&r, &topic_b, 0, n - n / 4 * 3);
	}
	assert_in_range(n, 3300, 4000);
}

static void one_busy_partition_makes_them_small_at_once(void **state)
{
	struct rounds r;
	uint32_t n;

	(void)state;
	start(&r);
	r.limit_bytes = 4 * REQUEST;
	n = fill(&r, 0);
	assert_int_equal(n, 4000);
	/* In several requests, one after the other. */
	rounds_reported(&r, &topic_a, 0, 1000);
	rounds_reported(&r, &topic_a, 1, 100);
	rounds_reported(&r, &topic_a, 0, 2900);
	assert_in_range(fill(&r, 1), 850, 1000);
}

static void small_rounds_teach_nothing(void **state)
{
	struct rounds r;

	(void)state;
	start(&r);
	r.limit_bytes = 3 * REQUEST;
	rounds_add(&r, 1000, 0);
	rounds_reported(&r, &topic_a, 0, 1);
	assert_int_equal(fill(&r, 1), 3000);
}

static void more_partitions_than_are_counted_apart(void **state)
{
	struct rounds r;

	(void)state;
	start(&r);
	r.limit_bytes = 2 * REQUEST;
	assert_int_equal(fill(&r, 0), 2000);
	for (int32_t p = 0; p < 2000; p++)
		rounds_reported(&r, &topic_a, p, 1);
	assert_true(rounds_open(&r, 1));
	assert_true(fill(&r, 1) > 2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_round_waits_for_the_last_report),
	    cmocka_unit_test(a_round_closes_before_its_first_message_leaves),
	    cmocka_unit_test(without_linger_a_turn_of_the_loop_is_a_round),
	    cmocka_unit_test(rounds_grow_with_the_partitions),
	    cmocka_unit_test(one_busy_partition_makes_them_small_at_once),
	    cmocka_unit_test(small_rounds_teach_nothing),
	    cmocka_unit_test(more_partitions_than_are_counted_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
