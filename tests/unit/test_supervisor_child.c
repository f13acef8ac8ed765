/*
 * The life of a supervised process, moved by a clock of the test's own.
 * LINK: services/supervisor/child.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "services/supervisor/child.h"

#define MS 1000
#define S  1000000

static const struct child_policy policy = {
    .start_timeout_us = 60 * S,
    .watchdog_us = 10 * S,
    .stop_timeout_us = 30 * S,
    .backoff_first_us = 100 * MS,
    .backoff_max_us = 1500 * MS,
    .restart_interval_us = 60 * S,
    .restart_burst = 5,
};

/* One child and its clock. */
struct life {
	struct child child;
	int64_t now;
};

static enum child_order step(struct life *l, enum child_event event)
{
	return child_step(&l->child, event, &policy, l->now);
}

/* Lets time pass until the deadline, and fires it. */
static enum child_order expire(struct life *l)
{
	assert_true(l->child.deadline_mono_us >= l->now);
	l->now = l->child.deadline_mono_us;
	return step(l, CHILD_DEADLINE);
}

static struct life ready_life(void)
{
	struct life l = {.now = S};

	assert_int_equal(step(&l, CHILD_START), CHILD_DO_SPAWN);
	assert_int_equal(l.child.state, CHILD_STARTING);
	assert_int_equal(step(&l, CHILD_SAYS_READY), CHILD_DO_NOTHING);
	assert_int_equal(l.child.state, CHILD_READY);
	return l;
}

static void starts_once_and_stops(void **state)
{
	struct life l = ready_life();

	(void)state;
	assert_int_equal(step(&l, CHILD_START), CHILD_DO_NOTHING);
	assert_int_equal(step(&l, CHILD_STOP), CHILD_DO_TERM);
	assert_int_equal(l.child.state, CHILD_STOPPING);
	assert_int_equal(step(&l, CHILD_STOP), CHILD_DO_NOTHING);
	assert_int_equal(step(&l, CHILD_EXIT), CHILD_DO_NOTHING);
	assert_int_equal(l.child.state, CHILD_STOPPED);
	assert_int_equal(l.child.deadline_mono_us, 0);
	assert_int_equal(l.child.restarts, 0);
	assert_int_equal(step(&l, CHILD_START), CHILD_DO_SPAWN);
	assert_int_equal(l.child.restarts, 1);
}

static void back_off_doubles_up_to_its_limit(void **state)
{
	static const int64_t waits[] = {100 * MS, 200 * MS, 400 * MS, 800 * MS,
					1500 * MS};
	struct life l = ready_life();

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(step(&l, CHILD_EXIT), CHILD_DO_NOTHING);
		assert_int_equal(l.child.state, CHILD_BACKOFF);
		assert_int_equal(l.child.deadline_mono_us - l.now, waits[i]);
		assert_int_equal(expire(&l), CHILD_DO_SPAWN);
		assert_int_equal(l.child.restarts, i + 1);
	}
}

static void a_life_that_was_ready_resets_the_back_off(void **state)
{
	struct life l = ready_life();

	(void)state;
	step(&l, CHILD_EXIT);
	expire(&l);
	step(&l, CHILD_SAYS_READY);
	l.now += CHILD_LIVED_US - 1;
	step(&l, CHILD_EXIT);
	assert_int_equal(l.child.backoff_us, 200 * MS);
	expire(&l);
	step(&l, CHILD_SAYS_READY);
	l.now += CHILD_LIVED_US;
	step(&l, CHILD_EXIT);
	assert_int_equal(l.child.backoff_us, 100 * MS);
}

static void budget_is_spent_by_deaths_in_its_interval(void **state)
{
	struct life l = ready_life();

	(void)state;
	for (unsigned i = 0; i < policy.restart_burst; i++) {
		step(&l, CHILD_EXIT);
		assert_int_equal(l.child.state, CHILD_BACKOFF);
		assert_int_equal(expire(&l), CHILD_DO_SPAWN);
	}
	assert_int_equal(step(&l, CHILD_EXIT), CHILD_DO_NOTHING);
	assert_int_equal(l.child.state, CHILD_FAILED);
	assert_int_equal(l.child.deadline_mono_us, 0);
	/* A person's start forgives. */
	assert_int_equal(step(&l, CHILD_START), CHILD_DO_SPAWN);
	step(&l, CHILD_EXIT);
	assert_int_equal(l.child.state, CHILD_BACKOFF);
	assert_int_equal(l.child.backoff_us, 100 * MS);
}

static void budget_forgets_what_is_older_than_its_interval(void **state)
{
	struct life l = ready_life();

	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		/* 5 deaths in 60.5 s, for ever. */
		l.now += 12 * S;
		step(&l, CHILD_EXIT);
		assert_int_equal(l.child.state, CHILD_BACKOFF);
		expire(&l);
		step(&l, CHILD_SAYS_READY);
	}
}

static void bad_configuration_fails_at_once(void **state)
{
	struct life l = {.now = S};

	(void)state;
	step(&l, CHILD_START);
	assert_int_equal(step(&l, CHILD_EXIT_CONFIG), CHILD_DO_NOTHING);
	assert_int_equal(l.child.state, CHILD_FAILED);
	assert_int_equal(step(&l, CHILD_RESTART), CHILD_DO_SPAWN);
	/* The same when it says STOPPING=1 before it ends. */
	step(&l, CHILD_SAYS_STOPPING);
	assert_int_equal(l.child.state, CHILD_STOPPING);
	step(&l, CHILD_EXIT_CONFIG);
	assert_int_equal(l.child.state, CHILD_FAILED);
}

static void temporary_failure_never_spends_the_budget(void **state)
{
	struct life l = {.now = S};

	(void)state;
	step(&l, CHILD_START);
	for (unsigned i = 0; i < 20 * policy.restart_burst; i++) {
		if (i % 2)
			step(&l, CHILD_SAYS_STOPPING);
		step(&l, CHILD_EXIT_TEMPFAIL);
		assert_int_equal(l.child.state, CHILD_BACKOFF);
		assert_int_equal(expire(&l), CHILD_DO_SPAWN);
	}
	assert_int_equal(l.child.backoff_us, policy.backoff_max_us);
}

static void missed_watchdog_kills_and_respawns_after_the_reaping(void **state)
{
	struct life l = ready_life();

	(void)state;
	for (int i = 0; i < 10; i++) {
		l.now += policy.watchdog_us - 1;
		assert_int_equal(step(&l, CHILD_SAYS_ALIVE), CHILD_DO_NOTHING);
		assert_int_equal(l.child.deadline_mono_us,
				 l.now + policy.watchdog_us);
	}
	assert_int_equal(expire(&l), CHILD_DO_KILL);
	assert_int_equal(l.child.state, CHILD_STOPPING);
	/* Its last words change nothing, and nothing starts beside it. */
	assert_int_equal(step(&l, CHILD_SAYS_ALIVE), CHILD_DO_NOTHING);
	assert_int_equal(step(&l, CHILD_SAYS_READY), CHILD_DO_NOTHING);
	assert_int_equal(step(&l, CHILD_START), CHILD_DO_NOTHING);
	assert_int_equal(l.child.state, CHILD_STOPPING);
	assert_int_equal(step(&l, CHILD_EXIT), CHILD_DO_NOTHING);
	assert_int_equal(l.child.state, CHILD_BACKOFF);
	assert_int_equal(expire(&l), CHILD_DO_SPAWN);
}

static void slow_start_is_killed_unless_it_shows_life(void **state)
{
	struct life l = {.now = S};

	(void)state;
	step(&l, CHILD_START);
	for (int i = 0; i < 10; i++) {
		l.now += policy.start_timeout_us - 1;
		step(&l, CHILD_SAYS_ALIVE);
		assert_int_equal(l.child.state, CHILD_STARTING);
	}
	assert_int_equal(expire(&l), CHILD_DO_KILL);
	step(&l, CHILD_EXIT);
	assert_int_equal(l.child.state, CHILD_BACKOFF);
}

static void stop_that_takes_too_long_kills(void **state)
{
	struct life l = ready_life();

	(void)state;
	step(&l, CHILD_STOP);
	assert_int_equal(l.child.deadline_mono_us,
			 l.now + policy.stop_timeout_us);
	assert_int_equal(expire(&l), CHILD_DO_KILL);
	assert_int_equal(l.child.deadline_mono_us, 0);
	step(&l, CHILD_EXIT);
	assert_int_equal(l.child.state, CHILD_STOPPED);
}

static void restart_is_no_fault(void **state)
{
	struct life l = ready_life();

	(void)state;
	for (unsigned i = 0; i < 10 * policy.restart_burst; i++) {
		assert_int_equal(step(&l, CHILD_RESTART), CHILD_DO_TERM);
		assert_int_equal(step(&l, CHILD_EXIT), CHILD_DO_SPAWN);
		step(&l, CHILD_SAYS_READY);
	}
	assert_int_equal(l.child.backoff_us, 0);
	assert_int_equal(l.child.restarts, 10 * policy.restart_burst);
}

static void stop_and_start_can_change_their_mind(void **state)
{
	struct life l = ready_life();

	(void)state;
	step(&l, CHILD_STOP);
	step(&l, CHILD_START);
	assert_int_equal(step(&l, CHILD_EXIT), CHILD_DO_SPAWN);
	step(&l, CHILD_RESTART);
	step(&l, CHILD_STOP);
	assert_int_equal(step(&l, CHILD_EXIT), CHILD_DO_NOTHING);
	assert_int_equal(l.child.state, CHILD_STOPPED);
	/* In back-off nothing runs, so a stop is at once. */
	step(&l, CHILD_START);
	step(&l, CHILD_EXIT);
	assert_int_equal(step(&l, CHILD_STOP), CHILD_DO_NOTHING);
	assert_int_equal(l.child.state, CHILD_STOPPED);
	assert_int_equal(step(&l, CHILD_DEADLINE), CHILD_DO_NOTHING);
}

/*
 * Whatever comes in whatever order: never two processes at once, no signal
 * without a process, and a deadline wherever something is waited for that
 * might never come.
 */
static void no_order_of_events_doubles_a_process(void **state)
{
	struct life l = {.now = S};
	bool exists = false;
	uint32_t seed = 12345;

	(void)state;
	for (int i = 0; i < 300000; i++) {
		enum child_event event;
		enum child_order order;

		seed = seed * 1664525 + 1013904223;
		event = (seed >> 16) % CHILD_EVENTS;
		l.now += (seed >> 8) % (3 * S);
		/* A process that does not exist neither speaks nor ends. */
		if (!exists && event >= CHILD_SAYS_READY &&
		    event != CHILD_DEADLINE)
			continue;
		if (event == CHILD_DEADLINE && !l.child.deadline_mono_us)
			continue;
		exists = exists && event < CHILD_EXIT;
		order = step(&l, event);
		assert_false(order == CHILD_DO_SPAWN && exists);
		assert_false(
		    (order == CHILD_DO_TERM || order == CHILD_DO_KILL) &&
		    !exists);
		exists = exists || order == CHILD_DO_SPAWN;
		assert_int_equal(child_runs(&l.child), exists);
		if (l.child.state == CHILD_STARTING ||
		    l.child.state == CHILD_READY ||
		    l.child.state == CHILD_BACKOFF)
			assert_true(l.child.deadline_mono_us > 0);
		assert_non_null(child_state_name(l.child.state));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(starts_once_and_stops),
	    cmocka_unit_test(back_off_doubles_up_to_its_limit),
	    cmocka_unit_test(a_life_that_was_ready_resets_the_back_off),
	    cmocka_unit_test(budget_is_spent_by_deaths_in_its_interval),
	    cmocka_unit_test(budget_forgets_what_is_older_than_its_interval),
	    cmocka_unit_test(bad_configuration_fails_at_once),
	    cmocka_unit_test(temporary_failure_never_spends_the_budget),
	    cmocka_unit_test(
		missed_watchdog_kills_and_respawns_after_the_reaping),
	    cmocka_unit_test(slow_start_is_killed_unless_it_shows_life),
	    cmocka_unit_test(stop_that_takes_too_long_kills),
	    cmocka_unit_test(restart_is_no_fault),
	    cmocka_unit_test(stop_and_start_can_change_their_mind),
	    cmocka_unit_test(no_order_of_events_doubles_a_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
