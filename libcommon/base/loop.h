/*
 * The event loop of a process: descriptors, timers, wake-ups from worker
 * threads, and hooks that run before each wait. One thread owns a loop; only
 * loop_wake() may be called from others. All objects are embedded in their
 * owner and must stay in place while they are added.
 */
#ifndef WEFT_BASE_LOOP_H
#define WEFT_BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/err.h"

struct loop;

/* A descriptor to watch; fn gets EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR bits. */
struct loop_io {
	int fd;
	void (*fn)(void *arg, uint32_t events);
	void *arg;
};

/* A one-shot timer. at_mono_us is 0 while it is not set. */
struct loop_timer {
	void (*fn)(void *arg);
	void *arg;
	int64_t at_mono_us;
	struct loop_timer *next;
};

/* Runs before each wait; true when it did work and wants another turn soon. */
struct loop_hook {
	bool (*fn)(void *arg);
	void *arg;
	struct loop_hook *next;
};

/* Lets another thread run fn on the loop thread; wake-ups before it coalesce.
 */
struct loop_waker {
	void (*fn)(void *arg);
	void *arg;
	struct loop_io io;
};

/* A new loop, owned by the caller; aborts when the kernel has no descriptor. */
struct loop *loop_new(void);

/* Frees the loop, not what was added to it, and sets *loop to NULL. */
void loop_free(struct loop **loop);

/* Starts to watch io->fd for `events`. -1 with *err when epoll refuses it. */
int loop_io_add(struct loop *loop, struct loop_io *io, uint32_t events,
		struct err *err) MUST_CHECK;

/* Changes what a watched descriptor waits for. */
void loop_io_set(struct loop *loop, struct loop_io *io, uint32_t events);

/* Stops to watch; safe inside any callback, also for events already fetched. */
void loop_io_del(struct loop *loop, struct loop_io *io);

/*
 * Sets or moves a timer to fire at a monotonic time; for dozens, not thousands.
 * One that a timer's callback sets fires in a later turn, however early its
 * time.
 */
void loop_timer_set(struct loop *loop, struct loop_timer *timer,
		    int64_t at_mono_us);
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer);

/* The newest hook runs first; inside a hook, add and del are safe for any. */
void loop_hook_add(struct loop *loop, struct loop_hook *hook);
void loop_hook_del(struct loop *loop, struct loop_hook *hook);

/* Sets fn and arg first, then adds. -1 with *err without a descriptor. */
int loop_waker_add(struct loop *loop, struct loop_waker *waker,
		   struct err *err) MUST_CHECK;
void loop_waker_del(struct loop *loop, struct loop_waker *waker);

/* Any thread, signal handlers too. */
void loop_wake(struct loop_waker *waker);

/*
 * One turn: hooks, a wait of at most max_wait_us (shorter for timers, none when
 * a hook is busy), then callbacks.
 */
void loop_turn(struct loop *loop, int64_t max_wait_us);

/* Turns until loop_stop() is called in a callback. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* The monotonic time at the start of this turn's callbacks: cheap, recent. */
int64_t loop_now_mono_us(const struct loop *loop);

#endif
