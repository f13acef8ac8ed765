#include "services/eventhub-publisher/backend.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "services/eventhub-publisher/outfiles.h"

#define QUEUE_BATCHES 256
#define QUEUE_BYTES   (32u << 20)
/* Between syncs nobody waits for a write, so a few batches go at once. */
#define WAKE_BYTES   (1u << 20)
#define WAKE_BATCHES (QUEUE_BATCHES / 2)
/* How long close waits for a disk that hangs: far less than a watchdog does. */
#define CLOSE_WAIT_US 1000000

struct item {
	struct batch *batch;
	uint64_t next;
};

/*
 * The worker opens the files, writes batches as they come and syncs at most
 * once an interval: their log is on disk already, so only the freeing of it
 * waits for the sync.
 */
struct file_backend {
	struct loop *loop;
	struct backend_events events;
	struct loop_waker waker;
	pthread_t thread;
	struct outfiles *files; /* worker's alone, as what it is opened with */
	char *dir;
	char *log_tag;
	struct buf resume;
	struct outfiles_options options;
	int64_t sync_us;

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t wanted;
	pthread_cond_t ended_now;
	bool stop;
	bool ended;	/* the worker touches nothing any more */
	bool abandoned; /* it frees all itself */
	bool opened;	/* and not told yet */
	struct item queue[QUEUE_BATCHES];
	size_t first, count;
	size_t queued_bytes;
	size_t wake_bytes;  /* the worker waits for so many queued */
	uint64_t delivered; /* 0 = nothing new to report */
	struct buf state;
	bool failed;
	struct err err;
};

/* Under the lock: whether there is what the worker waits for. */
static bool enough(const struct file_backend *f)
{
	return f->queued_bytes >= f->wake_bytes || f->count >= WAKE_BATCHES;
}

/*
 * Waits for work: until `until_mono_us` for a good deal of it, or (0) for any.
 * Returns how many items there are; none when stopped, or in time.
 */
static size_t await(struct file_backend *f, int64_t until_mono_us)
{
	struct timespec until = {until_mono_us / 1000000,
				 until_mono_us % 1000000 * 1000};
	size_t count;
	int rc = 0;

	pthread_mutex_lock(&f->lock);
	f->wake_bytes = until_mono_us ? WAKE_BYTES : 1;
	while (!f->stop && !enough(f) && rc != ETIMEDOUT)
		rc = until_mono_us
			 ? pthread_cond_timedwait(&f->wanted, &f->lock, &until)
			 : pthread_cond_wait(&f->wanted, &f->lock);
	count = f->stop ? 0 : f->count;
	pthread_mutex_unlock(&f->lock);
	return count;
}

/* Takes the oldest item; false when stopped. */
static bool take(struct file_backend *f, struct item *item)
{
	bool taken = false;

	pthread_mutex_lock(&f->lock);
	if (!f->stop) {
		*item = f->queue[f->first];
		f->first = (f->first + 1) % QUEUE_BATCHES;
		f->count--;
		f->queued_bytes -= batch_bytes(item->batch);
		taken = true;
	}
	pthread_mutex_unlock(&f->lock);
	return taken;
}

static bool stopping(struct file_backend *f)
{
	bool stop;

	pthread_mutex_lock(&f->lock);
	stop = f->stop;
	pthread_mutex_unlock(&f->lock);
	return stop;
}

/* Under the lock: who stopped us listens no more. */
static void wake(struct file_backend *f)
{
	if (!f->stop)
		loop_wake(&f->waker);
}

static void report_failure(struct file_backend *f, const struct err *err)
{
	pthread_mutex_lock(&f->lock);
	f->failed = true;
	f->err = *err;
	wake(f);
	pthread_mutex_unlock(&f->lock);
}

static void report_delivered(struct file_backend *f, uint64_t next)
{
	pthread_mutex_lock(&f->lock);
	f->delivered = next;
	buf_clear(&f->state);
	outfiles_save(f->files, &f->state);
	wake(f);
	pthread_mutex_unlock(&f->lock);
}

/* Writes `count` items, fewer when stopped; *written moves behind them. */
static int write_items(struct file_backend *f, size_t count, uint64_t *written,
		       struct err *err)
{
	struct item item;
	int rc = 0;

	while (rc == 0 && count-- && take(f, &item)) {
		rc = outfiles_write(f->files, item.batch, err);
		batch_unref(&item.batch);
		*written = item.next;
	}
	return rc;
}

static int open_files(struct file_backend *f, struct err *err)
{
	if (outfiles_open(&f->files, &f->options, err) != 0)
		return -1;
	pthread_mutex_lock(&f->lock);
	f->opened = true;
	wake(f);
	pthread_mutex_unlock(&f->lock);
	return 0;
}

static void deliver(struct file_backend *f)
{
	uint64_t written = 0, synced = 0; /* log positions */
	int64_t sync_at = 0;
	struct err err;

	while (!stopping(f)) {
		size_t count = await(f, written > synced ? sync_at : 0);
		int rc;

		if (written == synced)
			sync_at = clock_mono_us() + f->sync_us;
		rc = write_items(f, count, &written, &err);
		FAILPOINT("file_written");
		if (rc == 0 && (written == synced || clock_mono_us() < sync_at))
			continue;
		if (rc != 0 || outfiles_sync(f->files, &err) != 0) {
			report_failure(f, &err);
			break;
		}
		synced = written;
		FAILPOINT("file_synced");
		report_delivered(f, synced);
	}
}

static void destroy(struct file_backend *f)
{
	for (size_t i = 0; i < f->count; i++)
		batch_unref(&f->queue[(f->first + i) % QUEUE_BATCHES].batch);
	buf_free(&f->state);
	buf_free(&f->resume);
	pthread_cond_destroy(&f->wanted);
	pthread_cond_destroy(&f->ended_now);
	pthread_mutex_destroy(&f->lock);
	free(f->dir);
	free(f->log_tag);
	free(f);
}

static void *work(void *arg)
{
	struct file_backend *f = arg;
	struct err err;
	bool abandoned;

	if (open_files(f, &err) == 0)
		deliver(f);
	else
		report_failure(f, &err);
	outfiles_close(&f->files);
	pthread_mutex_lock(&f->lock);
	f->ended = true;
	abandoned = f->abandoned;
	pthread_cond_signal(&f->ended_now);
	pthread_mutex_unlock(&f->lock);
	if (abandoned)
		destroy(f);
	return NULL;
}

static void on_wake(void *arg)
{
	struct file_backend *f = arg;
	struct buf state;
	struct err err;
	uint64_t delivered;
	bool opened, failed;

	pthread_mutex_lock(&f->lock);
	opened = f->opened;
	f->opened = false;
	delivered = f->delivered;
	f->delivered = 0;
	state = f->state;
	f->state = (struct buf){0};
	failed = f->failed;
	f->failed = false;
	err = f->err;
	pthread_mutex_unlock(&f->lock);
	if (opened)
		f->events.opened(f->events.arg);
	if (delivered)
		f->events.delivered(f->events.arg, delivered, state.data,
				    state.used);
	buf_free(&state);
	/* Its owner closes f in this call. */
	if (failed)
		f->events.failed(f->events.arg, &err);
}

static int start_worker(struct file_backend *f, struct err *err)
{
	pthread_condattr_t monotonic;
	int rc;

	pthread_mutex_init(&f->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&f->wanted, &monotonic);
	pthread_cond_init(&f->ended_now, &monotonic);
	pthread_condattr_destroy(&monotonic);
	f->waker.fn = on_wake;
	f->waker.arg = f;
	if (loop_waker_add(f->loop, &f->waker, err) != 0)
		return -1;
	rc = pthread_create(&f->thread, NULL, work, f);
	if (rc != 0) {
		loop_waker_del(f->loop, &f->waker);
		return err_errno(err, rc, "cannot start the file writer");
	}
	return 0;
}

static int file_open(void **backend, const struct backend_options *options,
		     const struct backend_events *events, struct err *err)
{
	struct file_backend *f = xcalloc(1, sizeof(*f));

	f->loop = options->loop;
	f->events = *events;
	f->sync_us = options->conf->sync_interval;
	/* What is borrowed does not live until the worker gets to it. */
	f->dir = xstrdup(options->conf->path);
	f->log_tag = xstrdup(options->log_tag);
	buf_append(&f->resume, options->state, options->state_bytes);
	f->options = (struct outfiles_options){
	    .dir = f->dir,
	    .log_tag = f->log_tag,
	    .rotate_bytes = options->conf->rotate_size,
	    .state = f->resume.data,
	    .state_bytes = f->resume.used,
	    .fresh = options->after_failure,
	};
	if (start_worker(f, err) != 0) {
		destroy(f);
		return -1;
	}
	*backend = f;
	return 0;
}

static bool file_produce(void *backend, struct batch *b, uint64_t next)
{
	struct file_backend *f = backend;
	bool room, wanted = false;

	pthread_mutex_lock(&f->lock);
	room = f->count < QUEUE_BATCHES && f->queued_bytes < QUEUE_BYTES;
	if (room) {
		size_t at = (f->first + f->count++) % QUEUE_BATCHES;

		f->queue[at] = (struct item){batch_ref(b), next};
		f->queued_bytes += batch_bytes(b);
		wanted = enough(f);
	}
	pthread_mutex_unlock(&f->lock);
	if (wanted)
		pthread_cond_signal(&f->wanted);
	return room;
}

/*
 * Only a disk that hangs keeps the worker; then the process is about to end (a
 * worker that failed has ended by itself), and the worker is left to it.
 */
static void file_close(void **backend)
{
	struct file_backend *f = *backend;
	int64_t until_us = clock_mono_us() + CLOSE_WAIT_US;
	struct timespec until = {until_us / 1000000, until_us % 1000000 * 1000};
	int rc = 0;
	bool abandoned;

	if (!f)
		return;
	*backend = NULL;
	pthread_mutex_lock(&f->lock);
	f->stop = true;
	pthread_cond_signal(&f->wanted);
	loop_waker_del(f->loop, &f->waker);
	while (!f->ended && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&f->ended_now, &f->lock, &until);
	abandoned = f->abandoned = !f->ended;
	/* The worker may free f as soon as the lock is free. */
	if (abandoned) {
		log_error("file_close_stuck",
			  "path=%s action=\"the disk does not answer; look at "
			  "the kernel's log\"",
			  f->dir);
		pthread_detach(f->thread);
	}
	pthread_mutex_unlock(&f->lock);
	if (abandoned)
		return;
	pthread_join(f->thread, NULL);
	destroy(f);
}

const struct backend backend_file = {
    .name = "file",
    .open = file_open,
    .produce = file_produce,
    .close = file_close,
};
