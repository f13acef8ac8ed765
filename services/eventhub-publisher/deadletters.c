#include "services/eventhub-publisher/deadletters.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/durable.h"
#include "base/failpoint.h"
#include "base/io.h"
#include "base/log.h"
#include "base/text.h"

#define FILE_BYTES    (INT64_C(64) << 20)
#define FULL_BYTES    (16u << 20)
#define CLOSE_WAIT_US 1000000

/* Letters that wait for the disk, or to be told of. */
struct heap {
	struct buf lines;
	void **opaques;
	size_t count, size;
};

struct deadletters {
	struct loop *loop;
	struct deadletters_events events;
	struct loop_waker waker;
	pthread_t thread;
	int64_t cap_bytes;
	char *dir;

	/* The worker's. */
	int fd; /* -1 = none is open */
	char *path;
	int64_t file_bytes;

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t changed;
	struct heap waiting, stored;
	size_t writing_bytes;
	bool stop;
	bool ended;	/* the worker touches nothing any more */
	bool abandoned; /* it frees all itself */
	bool failed;
	struct err err;
};

static void heap_free(struct heap *h)
{
	buf_free(&h->lines);
	free(h->opaques);
	*h = (struct heap){0};
}

static void heap_add(struct heap *h, void *opaque)
{
	if (h->count == h->size) {
		h->size = h->size ? 2 * h->size : 16;
		h->opaques =
		    xreallocarray(h->opaques, h->size, sizeof(*h->opaques));
	}
	h->opaques[h->count++] = opaque;
}

/* ---- the worker ---- */

/* The number of "<number>.ndjson", 0 when it is no such name. */
static uint64_t number_of(const char *name)
{
	uint64_t number;
	int end = 0;

	if (sscanf(name, "%" SCNu64 ".ndjson%n", &number, &end) != 1 || !end ||
	    name[end])
		return 0;
	return number;
}

/* What lies there now: people move files away. */
static int look(const struct deadletters *d, uint64_t *last, int64_t *bytes,
		struct err *err)
{
	DIR *dir = opendir(d->dir);
	const struct dirent *entry;
	struct stat st;

	*last = 0;
	*bytes = 0;
	if (!dir)
		return err_errno(err, errno, "cannot read %s", d->dir);
	while ((entry = readdir(dir))) {
		uint64_t number = number_of(entry->d_name);

		if (!number || fstatat(dirfd(dir), entry->d_name, &st, 0) != 0)
			continue;
		*last = number > *last ? number : *last;
		*bytes += st.st_size;
	}
	closedir(dir);
	return 0;
}

static void close_file(struct deadletters *d)
{
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
	free(d->path);
	d->path = NULL;
}

static int open_file(struct deadletters *d, uint64_t number, struct err *err)
{
	close_file(d);
	d->path = xasprintf("%s/%06" PRIu64 ".ndjson", d->dir, number);
	d->fd = open(d->path,
		     O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
	if (d->fd < 0)
		return err_errno(err, errno, "cannot make %s", d->path);
	d->file_bytes = 0;
	return durable_sync_dir(d->dir, err);
}

static int store(struct deadletters *d, const struct heap *h, struct err *err)
{
	int64_t bytes, more = (int64_t)h->lines.used;
	uint64_t last;
	char cap[32];

	if (durable_mkdir(d->dir, err) != 0 || look(d, &last, &bytes, err) != 0)
		return -1;
	if (bytes && bytes + more > d->cap_bytes)
		return err_set(err, ENOSPC,
			       "the dead letters in %s would be more than "
			       "dead_letter_cap = %s: see what is wrong with "
			       "them, and move files away",
			       d->dir, text_format_bytes(d->cap_bytes, cap));
	if ((d->fd < 0 || d->file_bytes >= FILE_BYTES) &&
	    open_file(d, last + 1, err) != 0)
		return -1;
	if (io_write_all(d->fd, h->lines.data, h->lines.used) != h->lines.used)
		return err_errno(err, errno, "cannot write %s", d->path);
	d->file_bytes += more;
	FAILPOINT("letter_written");
	return durable_sync(d->fd, d->path, err);
}

/* Takes all that waits; false when stopped. */
static bool take(struct deadletters *d, struct heap *h)
{
	bool stop;

	pthread_mutex_lock(&d->lock);
	while (!d->stop && !d->waiting.count)
		pthread_cond_wait(&d->changed, &d->lock);
	*h = d->waiting;
	d->waiting = (struct heap){0};
	d->writing_bytes = h->lines.used;
	stop = d->stop;
	pthread_mutex_unlock(&d->lock);
	return !stop;
}

static void tell(struct deadletters *d, const struct heap *h,
		 const struct err *err)
{
	pthread_mutex_lock(&d->lock);
	d->writing_bytes = 0;
	for (size_t i = 0; !err && i < h->count; i++)
		heap_add(&d->stored, h->opaques[i]);
	if (err) {
		d->failed = true;
		d->err = *err;
	}
	if (!d->stop)
		loop_wake(&d->waker);
	pthread_mutex_unlock(&d->lock);
}

static void destroy(struct deadletters *d)
{
	heap_free(&d->waiting);
	heap_free(&d->stored);
	pthread_cond_destroy(&d->changed);
	pthread_mutex_destroy(&d->lock);
	free(d->dir);
	free(d);
}

static void *work(void *arg)
{
	struct deadletters *d = arg;
	struct heap h = {0};
	bool abandoned, good = true;
	struct err err;

	while (good && take(d, &h)) {
		good = store(d, &h, &err) == 0;
		FAILPOINT("letter_stored");
		tell(d, &h, good ? NULL : &err);
		heap_free(&h);
	}
	heap_free(&h);
	close_file(d);
	pthread_mutex_lock(&d->lock);
	d->ended = true;
	abandoned = d->abandoned;
	pthread_cond_signal(&d->changed);
	pthread_mutex_unlock(&d->lock);
	if (abandoned)
		destroy(d);
	return NULL;
}

/* ---- the loop's side ---- */

static void on_wake(void *arg)
{
	struct deadletters *d = arg;
	struct heap stored;
	bool failed;

	pthread_mutex_lock(&d->lock);
	stored = d->stored;
	d->stored = (struct heap){0};
	failed = d->failed;
	d->failed = false;
	pthread_mutex_unlock(&d->lock);
	if (stored.count)
		d->events.stored(d->events.arg, stored.opaques, stored.count);
	heap_free(&stored);
	if (failed)
		d->events.failed(d->events.arg, &d->err);
}

int deadletters_open(struct deadletters **letters, struct loop *loop,
		     const char *dir, int64_t cap_bytes,
		     const struct deadletters_events *events, struct err *err)
{
	struct deadletters *d = xcalloc(1, sizeof(*d));
	pthread_condattr_t monotonic;
	int rc;

	d->loop = loop;
	d->events = *events;
	d->cap_bytes = cap_bytes;
	d->dir = xstrdup(dir);
	d->fd = -1;
	d->waker.fn = on_wake;
	d->waker.arg = d;
	pthread_mutex_init(&d->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&d->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	if (loop_waker_add(loop, &d->waker, err) != 0) {
		destroy(d);
		return -1;
	}
	rc = pthread_create(&d->thread, NULL, work, d);
	if (rc != 0) {
		loop_waker_del(loop, &d->waker);
		destroy(d);
		return err_errno(err, rc, "cannot start a thread");
	}
	*letters = d;
	return 0;
}

void deadletters_free(struct deadletters **letters)
{
	struct deadletters *d = *letters;
	int64_t until_us = clock_mono_us() + CLOSE_WAIT_US;
	struct timespec until = {until_us / 1000000, until_us % 1000000 * 1000};
	bool abandoned;
	int rc = 0;

	if (!d)
		return;
	*letters = NULL;
	pthread_mutex_lock(&d->lock);
	d->stop = true;
	pthread_cond_signal(&d->changed);
	loop_waker_del(d->loop, &d->waker);
	while (!d->ended && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&d->changed, &d->lock, &until);
	abandoned = d->abandoned = !d->ended;
	if (abandoned)
		pthread_detach(d->thread);
	pthread_mutex_unlock(&d->lock);
	if (abandoned)
		return;
	pthread_join(d->thread, NULL);
	destroy(d);
}

void deadletters_put(struct deadletters *d, const char *line, size_t bytes,
		     void *opaque)
{
	pthread_mutex_lock(&d->lock);
	buf_append(&d->waiting.lines, line, bytes);
	buf_char(&d->waiting.lines, '\n');
	heap_add(&d->waiting, opaque);
	pthread_cond_signal(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

bool deadletters_full(struct deadletters *d)
{
	bool full;

	pthread_mutex_lock(&d->lock);
	full = d->waiting.lines.used + d->writing_bytes >= FULL_BYTES;
	pthread_mutex_unlock(&d->lock);
	return full;
}
