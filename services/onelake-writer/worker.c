#include "services/onelake-writer/worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

/* DuckDB walks plans by recursion. */
#define STACK_BYTES (16u << 20)
/* How long the end waits for a call that hangs: far less than a watchdog. */
#define CLOSE_WAIT_US 3000000

struct worker {
	struct loop *loop;
	struct worker_events events;
	struct loop_waker waker;
	struct landing *landing;
	pthread_t thread;
	bool busy; /* loop thread's: a job was given and has not come back */

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t wanted;
	pthread_cond_t ended_now;
	struct job *job;    /* to be landed */
	struct job *landed; /* done */
	bool stop;
	bool ended; /* the thread touches nothing any more */
	bool failed;
	struct err err;
};

static struct job *await(struct worker *w)
{
	struct job *job;

	pthread_mutex_lock(&w->lock);
	while (!w->stop && !w->job)
		pthread_cond_wait(&w->wanted, &w->lock);
	job = w->stop ? NULL : w->job;
	pthread_mutex_unlock(&w->lock);
	return job;
}

/* Under the lock: who stopped us listens no more. */
static void wake(struct worker *w)
{
	if (!w->stop)
		loop_wake(&w->waker);
}

static void on_changed(void *arg)
{
	struct worker *w = arg;

	pthread_mutex_lock(&w->lock);
	wake(w);
	pthread_mutex_unlock(&w->lock);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct job *job;
	struct err err;
	int rc = 0;

	while (rc == 0 && (job = await(w))) {
		rc = landing_run(w->landing, job, &err);
		pthread_mutex_lock(&w->lock);
		if (rc == 0 || (rc > 0 && w->job->side && !w->stop)) {
			w->job->landed = rc == 0;
			w->landed = w->job;
			w->job = NULL;
			rc = 0;
		} else if (rc < 0) {
			w->failed = true;
			w->err = err;
		}
		wake(w);
		pthread_mutex_unlock(&w->lock);
	}
	pthread_mutex_lock(&w->lock);
	w->ended = true;
	pthread_cond_signal(&w->ended_now);
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static void on_wake(void *arg)
{
	struct worker *w = arg;
	struct job *landed;
	bool failed;

	pthread_mutex_lock(&w->lock);
	landed = w->landed;
	w->landed = NULL;
	failed = w->failed;
	w->failed = false;
	pthread_mutex_unlock(&w->lock);
	w->events.changed(w->events.arg);
	if (failed)
		w->events.failed(w->events.arg, &w->err);
	if (landed) {
		w->busy = false;
		w->events.landed(w->events.arg, landed);
	}
}

static int start_thread(struct worker *w, struct err *err)
{
	pthread_attr_t attr;
	int rc;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	rc = pthread_create(&w->thread, &attr, work, w);
	pthread_attr_destroy(&attr);
	return rc == 0 ? 0
		       : err_errno(err, rc, "cannot start the lake's thread");
}

static void destroy(struct worker *w)
{
	landing_free(&w->landing);
	job_free(&w->job);
	job_free(&w->landed);
	pthread_cond_destroy(&w->wanted);
	pthread_cond_destroy(&w->ended_now);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

int worker_new(struct worker **worker, struct loop *loop,
	       const struct landing_options *given,
	       const struct worker_events *events, struct err *err)
{
	struct worker *w = xcalloc(1, sizeof(*w));
	struct landing_options options = *given;
	pthread_condattr_t monotonic;

	w->loop = loop;
	w->events = *events;
	w->waker.fn = on_wake;
	w->waker.arg = w;
	options.changed = on_changed;
	options.arg = w;
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&w->wanted, &monotonic);
	pthread_cond_init(&w->ended_now, &monotonic);
	pthread_condattr_destroy(&monotonic);
	if (landing_new(&w->landing, &options, err) != 0 ||
	    loop_waker_add(loop, &w->waker, err) != 0) {
		destroy(w);
		return -1;
	}
	if (start_thread(w, err) != 0) {
		loop_waker_del(loop, &w->waker);
		destroy(w);
		return -1;
	}
	*worker = w;
	return 0;
}

void worker_free(struct worker **worker)
{
	struct worker *w = *worker;
	int64_t until_us = clock_mono_us() + CLOSE_WAIT_US;
	struct timespec until = {until_us / 1000000, until_us % 1000000 * 1000};
	bool ended;
	int rc = 0;

	if (!w)
		return;
	*worker = NULL;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->wanted);
	pthread_mutex_unlock(&w->lock);
	landing_stop(w->landing);
	loop_waker_del(w->loop, &w->waker);
	pthread_mutex_lock(&w->lock);
	while (!w->ended && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&w->ended_now, &w->lock, &until);
	ended = w->ended;
	pthread_mutex_unlock(&w->lock);
	if (!ended) {
		/* The process ends now; what the thread uses lives as long. */
		log_warn("lake_close_stuck", "action=\"none: the log holds "
					     "what was not landed\"");
		pthread_detach(w->thread);
		return;
	}
	pthread_join(w->thread, NULL);
	destroy(w);
}

bool worker_idle(const struct worker *w)
{
	return !w->busy;
}

void worker_give(struct worker *w, struct job **job)
{
	w->busy = true;
	pthread_mutex_lock(&w->lock);
	w->job = *job;
	pthread_cond_signal(&w->wanted);
	pthread_mutex_unlock(&w->lock);
	*job = NULL;
}

struct landing *worker_landing(struct worker *w)
{
	return w->landing;
}
