/* The loop's side of the log: open, append, tell, checkpoint, close. */
#include "spool/spool.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/durable.h"
#include "base/log.h"
#include "spool/internal.h"
#include "spool/lock.h"

#define CAP_MIN_BYTES INT64_C(1048576)
#define DEFAULT_BYTES INT64_C(67108864)
/* A thread that is not stuck in the disk ends within this. */
#define STOP_GRACE_US INT64_C(1000000)

/* ---- what the commit thread did, told on the loop thread ---- */

static void answer_waiters(struct spool *s, uint64_t done, uint64_t failed,
			   const struct err *err)
{
	size_t kept = 0;
	size_t count = s->waiter_count;

	/* A callback may ask for the next checkpoint: it is added behind. */
	for (size_t i = 0; i < count; i++) {
		struct spool_waiter waiter = s->waiters[i];

		if (waiter.request <= done)
			waiter.done(waiter.arg, NULL);
		else if (waiter.request <= failed)
			waiter.done(waiter.arg, err);
		else
			s->waiters[kept++] = waiter;
	}
	memmove(s->waiters + kept, s->waiters + count,
		(s->waiter_count - count) * sizeof(*s->waiters));
	s->waiter_count -= count - kept;
}

static void ask_to_save(struct spool *s)
{
	if (s->events.saving)
		s->events.saving(s->events.arg, s->told_durable);
}

static void tell_durable(struct spool *s, uint64_t durable)
{
	if (durable == s->told_durable)
		return;
	s->told_durable = durable;
	if (s->events.committed)
		s->events.committed(s->events.arg, durable);
}

/* Waker callback. */
static void deliver(void *arg)
{
	struct spool *s = arg;
	uint64_t durable, done, failed;
	struct err failure, checkpoint_err;
	bool tell_failure, due;

	pthread_mutex_lock(&s->mutex);
	durable = s->durable;
	done = s->request_done;
	failed = s->request_failed;
	due = s->checkpoint_due;
	s->checkpoint_due = false;
	tell_failure = s->failing && !s->failure_told;
	s->failure_told = true;
	if (tell_failure)
		failure = s->failure;
	if (s->waiter_count)
		checkpoint_err = s->checkpoint_err;
	pthread_mutex_unlock(&s->mutex);

	tell_durable(s, durable);
	if (tell_failure && s->events.failed)
		s->events.failed(s->events.arg, &failure);
	if (s->waiter_count)
		answer_waiters(s, done, failed, &checkpoint_err);
	if (due) {
		ask_to_save(s);
		pthread_mutex_lock(&s->mutex);
		s->checkpoint_wanted = true;
		spool_kick(s);
		pthread_mutex_unlock(&s->mutex);
	}
	spool_trim_cache(s);
}

/* ---- open and close ---- */

static int check_options(struct spool_options *o, struct err *err)
{
	if (o->cap_bytes < CAP_MIN_BYTES)
		return err_set(err, EINVAL,
			       "a log's cap of %" PRId64
			       " bytes is too small; give it at least 1MiB",
			       o->cap_bytes);
	if (o->segment_bytes <= 0)
		o->segment_bytes = DEFAULT_BYTES;
	if (o->checkpoint_bytes <= 0)
		o->checkpoint_bytes = DEFAULT_BYTES;
	if (o->segment_bytes > o->cap_bytes / 4)
		o->segment_bytes = o->cap_bytes / 4;
	if (o->segment_bytes < SPOOL_SEGMENT_LEAST)
		o->segment_bytes = SPOOL_SEGMENT_LEAST;
	return 0;
}

static struct spool *allocate(struct loop *loop,
			      const struct spool_options *options,
			      const struct spool_events *events)
{
	struct spool *s = xcalloc(1, sizeof(*s));
	pthread_mutexattr_t adaptive;
	pthread_condattr_t monotonic;

	s->options = *options;
	s->dir = xstrdup(options->dir);
	s->options.dir = s->dir;
	s->loop = loop;
	s->events = *events;
	s->lock_fd = -1;
	s->waker.io.fd = -1;
	s->oldest_position = UINT64_MAX;
	spool_commit_init(&s->commit);
	reader_init(&s->reader, s->dir, &s->ids);
	/* Held for moments: a short spin costs less than to sleep and wake. */
	pthread_mutexattr_init(&adaptive);
	pthread_mutexattr_settype(&adaptive, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(&s->mutex, &adaptive);
	pthread_mutexattr_destroy(&adaptive);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&s->work, &monotonic);
	pthread_cond_init(&s->answered, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return s;
}

void spool_destroy(struct spool *s)
{
	while (s->ring.head != s->ring.tail) {
		struct batch *b = ring_drop(&s->ring);

		batch_unref(&b);
	}
	reader_close(&s->reader);
	if (s->commit.fd >= 0)
		close(s->commit.fd);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	spool_commit_free(&s->commit);
	segments_free(&s->segments);
	free(s->ring.slots);
	free(s->saved.data);
	free(s->current.data);
	free(s->found);
	free(s->waiters);
	free(s->dir);
	pthread_cond_destroy(&s->answered);
	pthread_cond_destroy(&s->work);
	pthread_mutex_destroy(&s->mutex);
	free(s);
}

/* The thread takes no signals: they are the loop's. */
static int start_thread(struct spool *s, struct err *err)
{
	sigset_t all, before;
	int code;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	code = pthread_create(&s->thread, NULL, spool_commit_main, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (code)
		return err_errno(err, code, "cannot start a thread for %s",
				 s->dir);
	s->thread_started = true;
	return 0;
}

static int start(struct spool *s, struct err *err)
{
	if (durable_mkdir(s->dir, err) != 0 ||
	    spool_lock(s->dir, &s->lock_fd, err) != 0)
		return -1;
	spool_fit_disk(s);
	if (spool_recover(s, err) != 0)
		return -1;
	spool_hold_reserve(s);
	s->told_durable = s->durable;
	s->waker.fn = deliver;
	s->waker.arg = s;
	if (loop_waker_add(s->loop, &s->waker, err) != 0)
		return -1;
	return start_thread(s, err);
}

int spool_open(struct spool **s, struct loop *loop,
	       const struct spool_options *options,
	       const struct spool_events *events, struct err *err)
{
	struct spool_options checked = *options;
	struct spool *made;

	*s = NULL;
	if (check_options(&checked, err) != 0)
		return -1;
	made = allocate(loop, &checked, events);
	if (start(made, err) != 0) {
		if (made->waker.io.fd >= 0)
			loop_waker_del(loop, &made->waker);
		spool_destroy(made);
		return -1;
	}
	*s = made;
	return 0;
}

/* Waits on `answered` until a monotonic time; false when it came. */
static bool wait_answer(struct spool *s, int64_t until_us)
{
	struct timespec ts = {.tv_sec = until_us / 1000000,
			      .tv_nsec = until_us % 1000000 * 1000};

	return pthread_cond_timedwait(&s->answered, &s->mutex, &ts) == 0;
}

/* Until nothing is queued or the time comes. Returns what is durable then. */
static uint64_t drain(struct spool *s, int64_t until_us)
{
	uint64_t durable;

	pthread_mutex_lock(&s->mutex);
	s->hurry = true;
	pthread_cond_signal(&s->work);
	while (s->written != s->ring.tail)
		if (!wait_answer(s, until_us))
			break;
	durable = s->durable;
	pthread_mutex_unlock(&s->mutex);
	return durable;
}

void spool_close(struct spool **sp, int64_t timeout_us)
{
	int64_t until_us = clock_mono_us() + timeout_us;
	struct spool *s = *sp;

	if (!s)
		return;
	/* The application's callbacks still use its handle. */
	tell_durable(s, drain(s, until_us));
	ask_to_save(s);
	*sp = NULL;
	if (until_us < clock_mono_us() + STOP_GRACE_US)
		until_us = clock_mono_us() + STOP_GRACE_US;
	pthread_mutex_lock(&s->mutex);
	s->checkpoint_wanted = true;
	s->checkpoint_retry_us = 0;
	s->stopping = true;
	spool_kick(s);
	while (!s->stopped)
		if (!wait_answer(s, until_us))
			break;
	s->closing = true;
	while (s->telling)
		pthread_cond_wait(&s->answered, &s->mutex);
	s->abandoned = !s->stopped;
	/* The thread may free s as soon as the mutex is free. */
	loop_waker_del(s->loop, &s->waker);
	if (s->abandoned) {
		log_error("spool_close_stuck",
			  "dir=%s action=\"the disk does not answer; look at "
			  "the kernel's log\"",
			  s->dir);
		pthread_detach(s->thread);
		pthread_mutex_unlock(&s->mutex);
		return;
	}
	pthread_mutex_unlock(&s->mutex);
	pthread_join(s->thread, NULL);
	spool_destroy(s);
}

/* ---- appending ---- */

static int refuse(const struct spool *s, uint64_t bytes, struct err *err)
{
	uint64_t cap = (uint64_t)s->options.cap_bytes;

	if (bytes > cap / 2)
		return err_set(err, EFBIG,
			       "a batch of %" PRIu64 " bytes is more than half "
			       "of the cap of the log in %s; raise the cap",
			       bytes, s->dir);
	if (s->failing == ENOSPC)
		err_set(err, ENOSPC, "the disk of the log in %s is full",
			s->dir);
	else if (s->failing)
		err_set(err, EIO, "the log in %s cannot be written: %.300s",
			s->dir, s->failure.text);
	else if (s->disk_bytes + SEGMENT_HEADER_BYTES + bytes > cap)
		err_set(err, ENOSPC,
			"the log in %s is at its cap of %" PRIu64 " bytes",
			s->dir, cap);
	else if (s->options.headroom_bytes && s->end + bytes > s->room_end)
		err_set(
		    err, ENOSPC,
		    "the disk of the log in %s is almost full; what is left "
		    "is for those who empty the log",
		    s->dir);
	else if (s->end - s->durable > (uint64_t)SPOOL_QUEUE_BYTES)
		err_set(err, EAGAIN,
			"%" PRIu64 " bytes wait for the disk of the log in %s",
			s->end - s->durable, s->dir);
	else
		return 0;
	err->retriable = true;
	return -1;
}

int spool_append(struct spool *s, struct batch *b, uint64_t *position,
		 struct err *err)
{
	uint32_t bytes =
	    record_bytes(b->header.index_bytes, b->header.payload_bytes);
	struct spool_entry entry = {.batch = b};
	bool wake = false;
	int rc;

	spool_look_at_space(s);
	pthread_mutex_lock(&s->mutex);
	rc = refuse(s, bytes, err);
	if (rc == 0) {
		entry.position = s->end;
		entry.next = s->end + bytes;
		entry.appended_at_us = clock_wall_us();
		batch_ref(b);
		ring_push(&s->ring, &entry);
		s->end = entry.next;
		s->disk_bytes += bytes;
		s->stats.records++;
		*position = entry.position;
		wake = spool_appended_enough(s);
	}
	pthread_mutex_unlock(&s->mutex);
	/* Not before: it would wake into a mutex that is taken. */
	if (wake)
		pthread_cond_signal(&s->work);
	return rc;
}

bool spool_has_room(const struct spool *cs, size_t bytes)
{
	struct spool *s = (struct spool *)(uintptr_t)cs;
	struct err ignored;
	bool room;

	spool_look_at_space(s);
	pthread_mutex_lock(&s->mutex);
	room = refuse(s, bytes + RECORD_HEADER_BYTES + RECORD_ALIGN,
		      &ignored) == 0;
	pthread_mutex_unlock(&s->mutex);
	return room;
}

/* ---- checkpoints and freeing ---- */

const struct uuid *spool_id(const struct spool *s)
{
	return &s->ids.id;
}

uint64_t spool_id_since(const struct spool *s)
{
	uint64_t since = 0;

	for (uint32_t i = 0; i < s->ids.former_count; i++)
		if (s->ids.until[i] > since)
			since = s->ids.until[i];
	return since;
}

const void *spool_saved(const struct spool *s, size_t *bytes)
{
	*bytes = s->found_bytes;
	return s->found;
}

void spool_save(struct spool *s, uint64_t position, const void *data,
		size_t bytes)
{
	char *copy;

	assert(bytes <= CHECKPOINT_MAX_DATA_BYTES && position <= s->end);
	copy = xmemdup0(bytes ? data : "", bytes);
	pthread_mutex_lock(&s->mutex);
	free(s->saved.data);
	s->saved.position = position;
	s->saved.first = s->first;
	s->saved.data = copy;
	s->saved.bytes = bytes;
	pthread_mutex_unlock(&s->mutex);
}

static uint64_t request_checkpoint(struct spool *s)
{
	uint64_t request;

	pthread_mutex_lock(&s->mutex);
	request = ++s->request;
	spool_kick(s);
	pthread_mutex_unlock(&s->mutex);
	return request;
}

void spool_checkpoint(struct spool *s,
		      void (*done)(void *arg, const struct err *err), void *arg)
{
	if (s->waiter_count == s->waiter_size) {
		s->waiter_size = s->waiter_size ? s->waiter_size * 2 : 4;
		s->waiters = xreallocarray(s->waiters, s->waiter_size,
					   sizeof(*s->waiters));
	}
	s->waiters[s->waiter_count++] = (struct spool_waiter){
	    .request = request_checkpoint(s), .done = done, .arg = arg};
}

int spool_checkpoint_now(struct spool *s, struct err *err)
{
	uint64_t request = request_checkpoint(s);
	int rc = 0;

	pthread_mutex_lock(&s->mutex);
	while (s->request_done < request && s->request_failed < request)
		pthread_cond_wait(&s->answered, &s->mutex);
	if (s->request_done < request) {
		*err = s->checkpoint_err;
		rc = -1;
	}
	pthread_mutex_unlock(&s->mutex);
	return rc;
}

void spool_free_before(struct spool *s, uint64_t position)
{
	bool wake = false;

	pthread_mutex_lock(&s->mutex);
	if (position > s->durable)
		position = s->durable;
	if (position > s->first) {
		s->first = position;
		wake = spool_frees_a_segment(s) && !s->checkpoint_due &&
		       !s->checkpoint_wanted;
		s->checkpoint_due |= wake;
	}
	pthread_mutex_unlock(&s->mutex);
	/* Asked for in a turn of its own: the application is busy with this. */
	if (wake)
		loop_wake(&s->waker);
}
