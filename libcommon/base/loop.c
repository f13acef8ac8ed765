#include "base/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"

#define EVENTS_A_TURN	128
#define LONGEST_WAIT_US INT64_C(3600000000)

struct loop {
	int epoll_fd;
	bool stopped;
	int64_t now_mono_us;
	struct loop_timer *timers; /* by time, soonest first */
	bool firing;
	struct loop_hook *hooks;
	struct loop_hook *next_hook; /* in run_hooks() */
	struct epoll_event fetched[EVENTS_A_TURN];
	int fetched_count;
	int fetched_at;
};

struct loop *loop_new(void)
{
	struct loop *loop = xcalloc(1, sizeof(*loop));

	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		abort();
	loop->now_mono_us = clock_mono_us();
	return loop;
}

void loop_free(struct loop **loop)
{
	if (!*loop)
		return;
	close((*loop)->epoll_fd);
	free(*loop);
	*loop = NULL;
}

int loop_io_add(struct loop *loop, struct loop_io *io, uint32_t events,
		struct err *err)
{
	struct epoll_event ev = {.events = events, .data.ptr = io};

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, io->fd, &ev) != 0)
		return err_errno(err, errno, "cannot watch descriptor %d",
				 io->fd);
	return 0;
}

void loop_io_set(struct loop *loop, struct loop_io *io, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = io};

	epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, io->fd, &ev);
}

void loop_io_del(struct loop *loop, struct loop_io *io)
{
	struct epoll_event ev = {0};

	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, io->fd, &ev);
	for (int i = loop->fetched_at; i < loop->fetched_count; i++)
		if (loop->fetched[i].data.ptr == io)
			loop->fetched[i].data.ptr = NULL;
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
	struct loop_timer **at = &loop->timers;

	if (!timer->at_mono_us)
		return;
	while (*at && *at != timer)
		at = &(*at)->next;
	if (*at)
		*at = timer->next;
	timer->at_mono_us = 0;
	timer->next = NULL;
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer,
		    int64_t at_mono_us)
{
	struct loop_timer **at = &loop->timers;

	loop_timer_cancel(loop, timer);
	timer->at_mono_us = at_mono_us > 0 ? at_mono_us : 1;
	/* One that is due at once again must not keep descriptors waiting. */
	if (loop->firing && timer->at_mono_us <= loop->now_mono_us)
		timer->at_mono_us = loop->now_mono_us + 1;
	while (*at && (*at)->at_mono_us <= timer->at_mono_us)
		at = &(*at)->next;
	timer->next = *at;
	*at = timer;
}

void loop_hook_add(struct loop *loop, struct loop_hook *hook)
{
	hook->next = loop->hooks;
	loop->hooks = hook;
}

void loop_hook_del(struct loop *loop, struct loop_hook *hook)
{
	if (loop->next_hook == hook)
		loop->next_hook = hook->next;
	for (struct loop_hook **at = &loop->hooks; *at; at = &(*at)->next)
		if (*at == hook) {
			*at = hook->next;
			return;
		}
}

static void waker_ready(void *arg, uint32_t events)
{
	struct loop_waker *waker = arg;
	uint64_t count;

	(void)events;
	if (read(waker->io.fd, &count, sizeof(count)) == sizeof(count))
		waker->fn(waker->arg);
}

int loop_waker_add(struct loop *loop, struct loop_waker *waker, struct err *err)
{
	waker->io.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	waker->io.fn = waker_ready;
	waker->io.arg = waker;
	if (waker->io.fd < 0)
		return err_errno(err, errno, "cannot make an eventfd");
	if (loop_io_add(loop, &waker->io, EPOLLIN, err) != 0) {
		close(waker->io.fd);
		waker->io.fd = -1;
		return -1;
	}
	return 0;
}

void loop_waker_del(struct loop *loop, struct loop_waker *waker)
{
	loop_io_del(loop, &waker->io);
	close(waker->io.fd);
	waker->io.fd = -1;
}

void loop_wake(struct loop_waker *waker)
{
	uint64_t one = 1;
	int saved = errno;

	/* The only failure is a full counter, which wakes all the same; errno
	 * belongs to what a signal interrupted. */
	if (write(waker->io.fd, &one, sizeof(one)) < 0)
		errno = saved;
}

static void fire_timers(struct loop *loop)
{
	loop->firing = true;
	while (loop->timers && loop->timers->at_mono_us <= loop->now_mono_us) {
		struct loop_timer *timer = loop->timers;

		loop_timer_cancel(loop, timer);
		timer->fn(timer->arg);
	}
	loop->firing = false;
}

static bool run_hooks(struct loop *loop)
{
	bool busy = false;

	for (struct loop_hook *h = loop->hooks; h; h = loop->next_hook) {
		loop->next_hook = h->next;
		busy |= h->fn(h->arg);
	}
	return busy;
}

/* Waits for events at most wait_us, to the microsecond since Linux 5.11. */
static int fetch(struct loop *loop, int64_t wait_us)
{
	struct timespec ts = {.tv_sec = wait_us / 1000000,
			      .tv_nsec = wait_us % 1000000 * 1000};
	int n;

	n = epoll_pwait2(loop->epoll_fd, loop->fetched, EVENTS_A_TURN, &ts,
			 NULL);
	/* Valgrind and some sandboxes do not know the call. */
	if (n < 0 && (errno == ENOSYS || errno == EPERM))
		n = epoll_wait(loop->epoll_fd, loop->fetched, EVENTS_A_TURN,
			       (int)((wait_us + 999) / 1000));
	return n;
}

void loop_turn(struct loop *loop, int64_t max_wait_us)
{
	bool busy = run_hooks(loop);
	int64_t wait_us = busy || loop->stopped ? 0 : max_wait_us;
	int n;

	if (loop->timers && wait_us > 0) {
		int64_t left = loop->timers->at_mono_us - clock_mono_us();

		wait_us = left < wait_us ? left : wait_us;
	}
	wait_us = wait_us < 0 ? 0 : wait_us;
	n = fetch(loop, wait_us < LONGEST_WAIT_US ? wait_us : LONGEST_WAIT_US);
	loop->now_mono_us = clock_mono_us();
	loop->fetched_count = n > 0 ? n : 0;
	for (loop->fetched_at = 0; loop->fetched_at < loop->fetched_count;) {
		struct epoll_event *ev = &loop->fetched[loop->fetched_at++];
		struct loop_io *io = ev->data.ptr;

		if (io)
			io->fn(io->arg, ev->events);
	}
	fire_timers(loop);
}

void loop_run(struct loop *loop)
{
	loop->stopped = false;
	while (!loop->stopped)
		loop_turn(loop, LONGEST_WAIT_US);
}

void loop_stop(struct loop *loop)
{
	loop->stopped = true;
}

int64_t loop_now_mono_us(const struct loop *loop)
{
	return loop->now_mono_us;
}
