/* The event loop: descriptors, timers, wakers, hooks, and changing each of them
 * from inside a callback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/loop.h"

#define SECOND INT64_C(1000000)

static struct loop *loop;
static struct err err;

static int start(void **state)
{
	(void)state;
	loop = loop_new();
	return 0;
}

static int end(void **state)
{
	(void)state;
	loop_free(&loop);
	if (loop)
		return -1;
	loop_free(&loop);
	return 0;
}

/* --- descriptors --------------------------------------------------------- */

/* One end of a socket pair on the loop, and what its callback saw. */
struct end {
	struct loop_io io;
	int other;
	uint32_t seen;
	int calls;
	struct end *kills;
};

static void end_close(struct end *e)
{
	loop_io_del(loop, &e->io);
	close(e->io.fd);
	if (e->other >= 0)
		close(e->other);
	e->io.fd = e->other = -1;
}

static void end_ready(void *arg, uint32_t events)
{
	struct end *e = arg;

	e->seen = events;
	e->calls++;
	if (e->kills) {
		end_close(e->kills);
		e->kills = NULL;
	}
}

static void end_open(struct end *e, uint32_t events)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	*e = (struct end){.io = {fds[0], end_ready, e}, .other = fds[1]};
	assert_int_equal(loop_io_add(loop, &e->io, events, &err), 0);
}

static void a_descriptor_is_told_what_it_waits_for(void **state)
{
	struct end e;

	(void)state;
	end_open(&e, EPOLLIN);
	loop_turn(loop, 0);
	assert_int_equal(e.calls, 0);
	assert_int_equal(write(e.other, "x", 1), 1);
	loop_turn(loop, SECOND);
	assert_int_equal(e.calls, 1);
	assert_int_equal(e.seen, EPOLLIN);
	/* Level-triggered: it is told again until it has read. */
	loop_turn(loop, SECOND);
	assert_int_equal(e.calls, 2);
	loop_io_set(loop, &e.io, EPOLLOUT);
	loop_turn(loop, SECOND);
	assert_int_equal(e.seen, EPOLLOUT);
	loop_io_set(loop, &e.io, 0);
	loop_turn(loop, 0);
	assert_int_equal(e.calls, 3);
	close(e.other);
	e.other = -1;
	loop_turn(loop, SECOND);
	assert_true(e.seen & EPOLLHUP);
	end_close(&e);
	loop_turn(loop, 0);
	assert_int_equal(e.calls, 4);
}

static void a_descriptor_that_epoll_refuses_is_an_error(void **state)
{
	struct loop_io io = {.fd = -1, .fn = end_ready};
	struct end e;

	(void)state;
	assert_int_equal(loop_io_add(loop, &io, EPOLLIN, &err), -1);
	assert_int_equal(err.code, EBADF);
	end_open(&e, EPOLLIN);
	assert_int_equal(loop_io_add(loop, &e.io, EPOLLIN, &err), -1);
	assert_int_equal(err.code, EEXIST);
	end_close(&e);
}

/* Both are ready in one batch; whichever runs first closes the other, whose
 * event is already fetched and must not come any more. */
static void one_callback_may_delete_another_of_its_batch(void **state)
{
	struct end a, b;

	(void)state;
	end_open(&a, EPOLLOUT);
	end_open(&b, EPOLLOUT);
	a.kills = &b;
	b.kills = &a;
	loop_turn(loop, SECOND);
	assert_int_equal(a.calls + b.calls, 1);
	loop_turn(loop, 0);
	assert_int_equal(a.calls + b.calls, 2);
	end_close(a.calls ? &a : &b);
}

/* More than one fetch holds: the rest comes in the next turns. */
static void no_descriptor_starves(void **state)
{
	static struct end ends[300];
	int served = 0;

	(void)state;
	for (int i = 0; i < 300; i++)
		end_open(&ends[i], EPOLLOUT);
	for (int i = 0; i < 4; i++)
		loop_turn(loop, SECOND);
	for (int i = 0; i < 300; i++) {
		served += ends[i].calls > 0;
		end_close(&ends[i]);
	}
	assert_int_equal(served, 300);
}

/* --- timers -------------------------------------------------------------- */

struct alarm {
	struct loop_timer timer;
	int order;
	int64_t fired_at_mono_us;
	int64_t again_us;      /* set it again this much after now; -1 never */
	struct alarm *cancels; /* and frees */
};

static int fired;

static void alarm_rings(void *arg)
{
	struct alarm *a = arg;

	a->order = ++fired;
	a->fired_at_mono_us = clock_mono_us();
	if (a->cancels) {
		loop_timer_cancel(loop, &a->cancels->timer);
		free(a->cancels);
		a->cancels = NULL;
	}
	if (a->again_us >= 0)
		loop_timer_set(loop, &a->timer,
			       loop_now_mono_us(loop) + a->again_us);
}

static struct alarm *alarm_init(struct alarm *a)
{
	*a = (struct alarm){.timer = {.fn = alarm_rings, .arg = a},
			    .again_us = -1};
	fired = 0;
	return a;
}

static void turn_until(const int *counter, int wanted)
{
	int64_t deadline = clock_mono_us() + 10 * SECOND;

	while (*counter < wanted && clock_mono_us() < deadline)
		loop_turn(loop, SECOND);
	assert_int_equal(*counter, wanted);
}

static void timers_fire_once_in_order_and_never_early(void **state)
{
	struct alarm a[4];
	int64_t now = clock_mono_us();
	static const int64_t after_us[4] = {3000, 1000, 4000, 2000};
	static const int order[4] = {3, 1, 4, 2};

	(void)state;
	for (int i = 0; i < 4; i++)
		loop_timer_set(loop, &alarm_init(&a[i])->timer,
			       now + after_us[i]);
	turn_until(&fired, 4);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(a[i].order, order[i]);
		assert_true(a[i].fired_at_mono_us >= now + after_us[i]);
		assert_int_equal(a[i].timer.at_mono_us, 0);
	}
	loop_turn(loop, 0);
	assert_int_equal(fired, 4);
}

static void equal_timers_fire_in_the_order_they_were_set(void **state)
{
	struct alarm a[3];
	int64_t at = clock_mono_us() + 500;

	(void)state;
	for (int i = 0; i < 3; i++)
		loop_timer_set(loop, &alarm_init(&a[i])->timer, at);
	turn_until(&fired, 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(a[i].order, i + 1);
}

static void a_timer_can_be_moved_and_cancelled(void **state)
{
	struct alarm moved, cancelled, last;
	int64_t now = clock_mono_us();

	(void)state;
	loop_timer_set(loop, &alarm_init(&moved)->timer, now + 3600 * SECOND);
	loop_timer_set(loop, &alarm_init(&cancelled)->timer, now + 1000);
	loop_timer_set(loop, &alarm_init(&last)->timer, now + 2000);
	loop_timer_set(loop, &moved.timer, now + 500);
	loop_timer_cancel(loop, &cancelled.timer);
	loop_timer_cancel(loop, &cancelled.timer);
	turn_until(&fired, 2);
	assert_int_equal(moved.order, 1);
	assert_int_equal(last.order, 2);
	assert_int_equal(cancelled.order, 0);
}

static void a_time_in_the_past_fires_in_the_next_turn(void **state)
{
	struct alarm a, b;

	(void)state;
	loop_timer_set(loop, &alarm_init(&a)->timer, 0);
	loop_timer_set(loop, &alarm_init(&b)->timer, -5);
	loop_turn(loop, 0);
	assert_int_equal(fired, 2);
}

/* A timer that is always due again must not hold the loop. */
static void a_timer_set_by_its_callback_waits_a_turn(void **state)
{
	struct alarm a;
	struct end e;

	(void)state;
	end_open(&e, EPOLLOUT);
	alarm_init(&a)->again_us = 0;
	loop_timer_set(loop, &a.timer, 1);
	for (int i = 1; i <= 5; i++) {
		turn_until(&fired, i);
		assert_true(e.calls >= i);
	}
	loop_timer_cancel(loop, &a.timer);
	end_close(&e);
}

static void a_timer_may_cancel_the_next_one(void **state)
{
	struct alarm first, *second = xcalloc(1, sizeof(*second));

	(void)state;
	loop_timer_set(loop, &alarm_init(&first)->timer, 1);
	loop_timer_set(loop, &alarm_init(second)->timer, 2);
	first.cancels = second;
	loop_turn(loop, 0);
	assert_int_equal(fired, 1);
	loop_turn(loop, 0);
	assert_int_equal(fired, 1);
}

static void the_wait_ends_with_the_first_of_timer_and_limit(void **state)
{
	struct alarm a;
	int64_t before = clock_mono_us();

	(void)state;
	loop_timer_set(loop, &alarm_init(&a)->timer, before + 3600 * SECOND);
	loop_turn(loop, 2000);
	assert_true(clock_mono_us() - before >= 2000);
	assert_true(clock_mono_us() - before < 3000 * SECOND);
	assert_int_equal(fired, 0);
	loop_timer_set(loop, &a.timer, clock_mono_us() + 1000);
	turn_until(&fired, 1);
	/* A limit below zero is none at all. */
	loop_turn(loop, -1);
	loop_turn(loop, INT64_MIN);
}

static void now_is_the_start_of_the_callbacks(void **state)
{
	int64_t before = clock_mono_us();

	(void)state;
	loop_turn(loop, 0);
	assert_in_range(loop_now_mono_us(loop), before, clock_mono_us());
}

/* --- wakers -------------------------------------------------------------- */

static int woken;

static void wake_up(void *arg)
{
	woken++;
	if (arg)
		loop_stop(arg);
}

static void wakes_coalesce(void **state)
{
	struct loop_waker w = {.fn = wake_up};

	(void)state;
	woken = 0;
	assert_int_equal(loop_waker_add(loop, &w, &err), 0);
	loop_turn(loop, 0);
	assert_int_equal(woken, 0);
	for (int i = 0; i < 100; i++)
		loop_wake(&w);
	loop_turn(loop, SECOND);
	loop_turn(loop, 0);
	assert_int_equal(woken, 1);
	loop_wake(&w);
	loop_turn(loop, SECOND);
	assert_int_equal(woken, 2);
	loop_wake(&w);
	loop_waker_del(loop, &w);
	loop_turn(loop, 0);
	assert_int_equal(woken, 2);
}

static void *wake_from_a_thread(void *arg)
{
	loop_wake(arg);
	return NULL;
}

static void a_thread_wakes_a_waiting_loop(void **state)
{
	struct loop_waker w = {.fn = wake_up, .arg = loop};
	pthread_t thread;

	(void)state;
	woken = 0;
	assert_int_equal(loop_waker_add(loop, &w, &err), 0);
	assert_int_equal(pthread_create(&thread, NULL, wake_from_a_thread, &w),
			 0);
	loop_run(loop);
	pthread_join(thread, NULL);
	assert_int_equal(woken, 1);
	loop_waker_del(loop, &w);
}

static struct loop_waker *signalled;

static void on_signal(int number)
{
	(void)number;
	loop_wake(signalled);
}

static void a_signal_handler_wakes_and_keeps_errno(void **state)
{
	struct loop_waker w = {.fn = wake_up};
	int fd;

	(void)state;
	woken = 0;
	assert_int_equal(loop_waker_add(loop, &w, &err), 0);
	signalled = &w;
	signal(SIGUSR1, on_signal);
	raise(SIGUSR1);
	loop_turn(loop, SECOND);
	assert_int_equal(woken, 1);
	/* Its descriptor fails, and the interrupted code does not see it. */
	fd = w.io.fd;
	w.io.fd = -1;
	errno = ENOSPC;
	raise(SIGUSR1);
	assert_int_equal(errno, ENOSPC);
	w.io.fd = fd;
	signal(SIGUSR1, SIG_DFL);
	loop_waker_del(loop, &w);
}

/* --- hooks --------------------------------------------------------------- */

struct count {
	struct loop_hook hook;
	int calls;
	int busy;	       /* says so this many times */
	struct count *removes; /* and frees */
};

static bool count_turns(void *arg)
{
	struct count *c = arg;

	c->calls++;
	if (c->removes) {
		loop_hook_del(loop, &c->removes->hook);
		if (c->removes != c)
			free(c->removes);
		c->removes = NULL;
	}
	return c->busy-- > 0;
}

static struct loop_hook *count_init(struct count *c)
{
	*c = (struct count){.hook = {.fn = count_turns, .arg = c}};
	return &c->hook;
}

static void hooks_run_before_each_wait(void **state)
{
	struct count a, b;

	(void)state;
	loop_hook_add(loop, count_init(&a));
	loop_turn(loop, 0);
	loop_hook_add(loop, count_init(&b));
	loop_turn(loop, 0);
	loop_hook_del(loop, &a.hook);
	loop_hook_del(loop, &a.hook);
	loop_turn(loop, 0);
	assert_int_equal(a.calls, 2);
	assert_int_equal(b.calls, 2);
}

static void a_busy_hook_lets_nobody_wait(void **state)
{
	struct count a, b;
	int64_t before = clock_mono_us();

	(void)state;
	loop_hook_add(loop, count_init(&a));
	loop_hook_add(loop, count_init(&b));
	a.busy = 3;
	for (int i = 0; i < 3; i++)
		loop_turn(loop, 3000 * SECOND);
	assert_true(clock_mono_us() - before < 2000 * SECOND);
	assert_int_equal(b.calls, 3);
}

static void a_hook_may_remove_itself_and_the_next(void **state)
{
	struct count last, *next = xcalloc(1, sizeof(*next)), first;

	(void)state;
	loop_hook_add(loop, count_init(&last));
	loop_hook_add(loop, count_init(next));
	loop_hook_add(loop, count_init(&first));
	first.removes = next;
	last.removes = &last;
	loop_turn(loop, 0);
	loop_turn(loop, 0);
	assert_int_equal(first.calls, 2);
	assert_int_equal(last.calls, 1);
}

/* --- running ------------------------------------------------------------- */

static void stop_it(void *arg)
{
	loop_stop(arg);
}

static bool stop_in_hook(void *arg)
{
	loop_stop(arg);
	return false;
}

static void run_ends_at_stop_and_can_begin_again(void **state)
{
	struct loop_timer t = {.fn = stop_it, .arg = loop};
	struct loop_hook h = {.fn = stop_in_hook, .arg = loop};

	(void)state;
	for (int i = 0; i < 3; i++) {
		loop_timer_set(loop, &t, clock_mono_us() + 500);
		loop_run(loop);
		assert_int_equal(t.at_mono_us, 0);
	}
	/* Stopped before its wait, it does not wait. */
	loop_hook_add(loop, &h);
	loop_run(loop);
}

#define LOOPED(test) cmocka_unit_test_setup_teardown(test, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    LOOPED(a_descriptor_is_told_what_it_waits_for),
	    LOOPED(a_descriptor_that_epoll_refuses_is_an_error),
	    LOOPED(one_callback_may_delete_another_of_its_batch),
	    LOOPED(no_descriptor_starves),
	    LOOPED(timers_fire_once_in_order_and_never_early),
	    LOOPED(equal_timers_fire_in_the_order_they_were_set),
	    LOOPED(a_timer_can_be_moved_and_cancelled),
	    LOOPED(a_time_in_the_past_fires_in_the_next_turn),
	    LOOPED(a_timer_set_by_its_callback_waits_a_turn),
	    LOOPED(a_timer_may_cancel_the_next_one),
	    LOOPED(the_wait_ends_with_the_first_of_timer_and_limit),
	    LOOPED(now_is_the_start_of_the_callbacks),
	    LOOPED(wakes_coalesce),
	    LOOPED(a_thread_wakes_a_waiting_loop),
	    LOOPED(a_signal_handler_wakes_and_keeps_errno),
	    LOOPED(hooks_run_before_each_wait),
	    LOOPED(a_busy_hook_lets_nobody_wait),
	    LOOPED(a_hook_may_remove_itself_and_the_next),
	    LOOPED(run_ends_at_stop_and_can_begin_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
