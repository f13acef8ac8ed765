#include "services/eventhub-publisher/backend.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/durable.h"
#include "services/eventhub-publisher/outfiles.h"

#define QUEUE_BATCHES 256
#define QUEUE_BYTES   (32u << 20)

struct item {
	struct batch *batch;
	uint64_t next;
};

/*
 * The worker writes batches as they come and syncs at most once an interval:
 * their log is on disk already, so only the freeing of it waits for the sync.
 */
struct file_backend {
	struct loop *loop;
	struct backend_events events;
	struct loop_waker waker;
	pthread_t thread;
	struct outfiles *files; /* worker's alone while it runs */
	int64_t sync_us;

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t wanted;
	bool stop;
	struct item queue[QUEUE_BATCHES];
	size_t first, count;
	size_t queued_bytes;
	uint64_t delivered; /* 0 = nothing new to report */
	struct buf state;
	bool failed;
	struct err err;
};

/* Takes the oldest item; false when stopped, or none came by `until_mono_us`
 * (0 = wait for ever). */
static bool take(struct file_backend *f, struct item *item,
		 int64_t until_mono_us)
{
	struct timespec until = {until_mono_us / 1000000,
				 until_mono_us % 1000000 * 1000};
	bool taken = false;
	int rc = 0;

	pthread_mutex_lock(&f->lock);
	while (!f->stop && !f->count && rc != ETIMEDOUT)
		rc = until_mono_us
			 ? pthread_cond_timedwait(&f->wanted, &f->lock, &until)
			 : pthread_cond_wait(&f->wanted, &f->lock);
	if (!f->stop && f->count) {
		*item = f->queue[f->first];
		f->first = (f->first + 1) % QUEUE_BATCHES;
		f->count--;
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

static void report_failure(struct file_backend *f, const struct err *err)
{
	pthread_mutex_lock(&f->lock);
	f->failed = true;
	f->err = *err;
	pthread_mutex_unlock(&f->lock);
	loop_wake(&f->waker);
}

static void report_delivered(struct file_backend *f, uint64_t next)
{
	pthread_mutex_lock(&f->lock);
	f->delivered = next;
	buf_clear(&f->state);
	outfiles_save(f->files, &f->state);
	pthread_mutex_unlock(&f->lock);
	loop_wake(&f->waker);
}

static int write_item(struct file_backend *f, struct item *item,
		      struct err *err)
{
	size_t bytes = batch_bytes(item->batch);
	int rc = outfiles_write(f->files, item->batch, err);

	batch_unref(&item->batch);
	pthread_mutex_lock(&f->lock);
	f->queued_bytes -= bytes;
	pthread_mutex_unlock(&f->lock);
	return rc;
}

static void *work(void *arg)
{
	struct file_backend *f = arg;
	uint64_t written = 0, synced = 0; /* log positions */
	int64_t sync_at = 0;
	struct item item;
	struct err err;

	while (!stopping(f)) {
		int rc = 0;

		if (take(f, &item, written > synced ? sync_at : 0)) {
			if (written == synced)
				sync_at = clock_mono_us() + f->sync_us;
			rc = write_item(f, &item, &err);
			written = item.next;
		}
		if (rc == 0 && (written == synced || clock_mono_us() < sync_at))
			continue;
		if (rc != 0 || outfiles_sync(f->files, &err) != 0) {
			report_failure(f, &err);
			break;
		}
		synced = written;
		report_delivered(f, synced);
	}
	return NULL;
}

static void on_wake(void *arg)
{
	struct file_backend *f = arg;
	struct buf state;
	struct err err;
	uint64_t delivered;
	bool failed;

	pthread_mutex_lock(&f->lock);
	delivered = f->delivered;
	f->delivered = 0;
	state = f->state;
	f->state = (struct buf){0};
	failed = f->failed;
	f->failed = false;
	err = f->err;
	pthread_mutex_unlock(&f->lock);
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
	struct file_backend *f;
	struct outfiles *files = NULL;
	struct outfiles_options out = {
	    .dir = options->conf->path,
	    .log_tag = options->log_tag,
	    .rotate_bytes = options->conf->rotate_size,
	    .state = options->state,
	    .state_bytes = options->state_bytes,
	    .fresh = options->after_failure,
	};

	if (outfiles_open(&files, &out, err) != 0)
		return -1;
	f = xcalloc(1, sizeof(*f));
	f->loop = options->loop;
	f->events = *events;
	f->files = files;
	f->sync_us = options->conf->sync_interval;
	if (start_worker(f, err) != 0) {
		outfiles_close(&f->files);
		free(f);
		return -1;
	}
	*backend = f;
	return 0;
}

static bool file_produce(void *backend, struct batch *b, uint64_t next)
{
	struct file_backend *f = backend;
	bool room;

	pthread_mutex_lock(&f->lock);
	room = f->count < QUEUE_BATCHES && f->queued_bytes < QUEUE_BYTES;
	if (room) {
		size_t at = (f->first + f->count++) % QUEUE_BATCHES;

		f->queue[at] = (struct item){batch_ref(b), next};
		f->queued_bytes += batch_bytes(b);
		pthread_cond_signal(&f->wanted);
	}
	pthread_mutex_unlock(&f->lock);
	return room;
}

static void file_close(void **backend)
{
	struct file_backend *f = *backend;

	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	f->stop = true;
	pthread_cond_signal(&f->wanted);
	pthread_mutex_unlock(&f->lock);
	pthread_join(f->thread, NULL);
	loop_waker_del(f->loop, &f->waker);
	for (size_t i = 0; i < f->count; i++)
		batch_unref(&f->queue[(f->first + i) % QUEUE_BATCHES].batch);
	outfiles_close(&f->files);
	buf_free(&f->state);
	pthread_cond_destroy(&f->wanted);
	pthread_mutex_destroy(&f->lock);
	free(f);
	*backend = NULL;
}

const struct backend backend_file = {
    .name = "file",
    .open = file_open,
    .produce = file_produce,
    .close = file_close,
};
