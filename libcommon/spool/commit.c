/*
 * The commit thread: takes everything that is queued, writes it in one run and
 * syncs once; the next commit starts when the last ends. After any error the
 * file is sealed and never synced again, and what is not durable goes to a new
 * one that begins at the first position not durable.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/durable.h"
#include "base/failpoint.h"
#include "spool/internal.h"

#define BACKOFF_FIRST_US INT64_C(100000)
#define BACKOFF_LAST_US	 INT64_C(5000000)

static int64_t next_backoff(int64_t *backoff_us)
{
	*backoff_us = *backoff_us ? *backoff_us * 2 : BACKOFF_FIRST_US;
	if (*backoff_us > BACKOFF_LAST_US)
		*backoff_us = BACKOFF_LAST_US;
	return clock_mono_us() + *backoff_us;
}

/*
 * Under the mutex, which is released while the loop is woken: otherwise it runs
 * into it at once, and sleeps again. spool_close() waits for this to be over.
 */
static void tell_loop(struct spool *s)
{
	if (s->abandoned) {
		pthread_cond_broadcast(&s->answered);
		return;
	}
	s->telling = true;
	pthread_mutex_unlock(&s->mutex);
	pthread_cond_broadcast(&s->answered);
	loop_wake(&s->waker);
	pthread_mutex_lock(&s->mutex);
	s->telling = false;
	if (s->closing)
		pthread_cond_broadcast(&s->answered);
}

/* ---- one commit ---- */

/* Room for records in the active segment; a fresh one takes any one record. */
static bool fits(const struct spool *s, const struct spool_entry *entry,
		 uint64_t base)
{
	return entry->position == base ||
	       entry->next - base <= (uint64_t)s->options.segment_bytes;
}

/* What a segment that begins here is to preallocate: never beyond the cap. */
static int64_t preallocation(const struct spool *s, uint64_t base)
{
	const struct spool_commit *c = &s->commit;
	int64_t taken = (int64_t)(c->taken[c->count - 1].next - base);
	int64_t room = s->options.cap_bytes - (int64_t)s->disk_bytes + taken;
	int64_t wish = s->options.segment_bytes;

	wish = wish < room ? wish : room;
	return wish > taken ? wish : taken;
}

/*
 * Copies what is queued, as far as one segment takes it. A segment that does
 * not take the first record is given up for a new one. Under the mutex.
 */
static bool take(struct spool *s)
{
	struct spool_commit *c = &s->commit;
	const struct spool_entry *first = ring_at(&s->ring, s->written);
	uint64_t base = c->base;
	/* Behind what was lent there is no room. */
	bool roll = c->fd < 0 || c->lent || !fits(s, first, base);

	if (roll)
		base = first->position;
	c->count = 0;
	for (uint64_t i = s->written; i != s->ring.tail; i++) {
		const struct spool_entry *entry = ring_at(&s->ring, i);

		if (!fits(s, entry, base))
			break;
		if (c->count == c->size) {
			c->size = c->size ? c->size * 2 : 64;
			c->taken =
			    xreallocarray(c->taken, c->size, sizeof(*c->taken));
		}
		c->taken[c->count++] = *entry;
	}
	c->reserve_bytes = preallocation(s, base);
	return roll;
}

static int write_and_sync(struct spool *s, bool roll, int64_t *sync_us,
			  struct err *err)
{
	struct spool_commit *c = &s->commit;
	int64_t began;
	int rc;

	if (roll && c->fd >= 0)
		spool_end_segment(s, c->taken[0].position, true);
	if (roll && spool_begin_segment(s, c->taken[0].position, err) != 0)
		return -1;
	spool_fit_spares(s);
	if (spool_write(s, c->taken, c->count, err) != 0)
		return -1;
	FAILPOINT("spool_after_write");
	began = clock_mono_us();
	rc = durable_sync(c->fd, c->path, err);
	*sync_us = clock_mono_us() - began;
	FAILPOINT("spool_after_sync");
	return rc;
}

static void commit_succeeded(struct spool *s, int64_t sync_us)
{
	const struct spool_commit *c = &s->commit;

	s->durable = c->taken[c->count - 1].next;
	s->written += c->count;
	s->segments.list[s->segments.count - 1].end = s->durable;
	s->stats.commits++;
	s->stats.commit_us += sync_us;
	s->failing = 0;
	s->commit.backoff_us = 0;
	if (s->durable - s->checkpoint_at >=
	    (uint64_t)s->options.checkpoint_bytes)
		s->checkpoint_due = true;
}

static void commit_failed(struct spool *s, struct err *err)
{
	s->stats.failures++;
	s->failing = err->code == EDQUOT ? ENOSPC : err->code;
	s->retry_us = next_backoff(&s->commit.backoff_us);
	err->retriable = true;
	err->fatal = false;
	s->failure = *err;
	s->failure_told = false;
	/* What is delivered meanwhile may be all that can be freed. */
	if (s->failing == ENOSPC && spool_frees_a_segment(s))
		s->checkpoint_due = true;
}

/* Under the mutex, which is released for the disk. */
static void commit(struct spool *s)
{
	struct err err = {0};
	int64_t sync_us = 0;
	bool roll = take(s);
	int rc;

	s->commit.began_us = clock_mono_us();
	pthread_mutex_unlock(&s->mutex);
	rc = write_and_sync(s, roll, &sync_us, &err);
	if (rc != 0 && s->commit.fd >= 0)
		spool_end_segment(s, 0, false);
	if (rc != 0)
		spool_drop_spares(s);
	pthread_mutex_lock(&s->mutex);
	if (rc == 0)
		commit_succeeded(s, sync_us);
	else
		commit_failed(s, &err);
	tell_loop(s);
}

/* ---- checkpoints ---- */

static void promote_saved(struct spool *s)
{
	if (!s->saved.data || s->saved.position > s->durable)
		return;
	free(s->current.data);
	s->current = s->saved;
	memset(&s->saved, 0, sizeof(s->saved));
}

/* An asked-for checkpoint waits until what was saved is durable. */
static bool answer_blocked_request(struct spool *s)
{
	if (!s->saved.data || s->saved.position <= s->durable)
		return false;
	if (s->failing && s->request_failed < s->request) {
		s->request_failed = s->request;
		s->checkpoint_err = s->failure;
		tell_loop(s);
	}
	return true;
}

static bool request_open(const struct spool *s)
{
	return s->request > s->request_done && s->request > s->request_failed;
}

static bool checkpoint_ready(struct spool *s)
{
	if (request_open(s) && !answer_blocked_request(s))
		return true;
	return s->checkpoint_wanted &&
	       clock_mono_us() >= s->checkpoint_retry_us;
}

/* Under the mutex, which is released for the disk. */
static void checkpoint(struct spool *s)
{
	uint64_t request = s->request_done;
	struct checkpoint snapshot;
	struct err err = {0};
	int rc;

	promote_saved(s);
	spool_snapshot(s, &snapshot);
	/* Without what was saved last it answers nobody. */
	if (!s->saved.data)
		request = s->request;
	s->checkpoint_wanted = false;
	pthread_mutex_unlock(&s->mutex);
	rc = spool_write_checkpoint(s, &snapshot, &err);
	pthread_mutex_lock(&s->mutex);
	if (rc == 0) {
		s->request_done = request;
		s->commit.checkpoint_backoff_us = 0;
		s->checkpoint_retry_us = 0;
		/* Freed while this was under way: nobody asks again. */
		if (s->events.saving && s->first > snapshot.first &&
		    spool_frees_a_segment(s))
			s->checkpoint_due = true;
		/* Space may have come free. */
		if (s->failing == ENOSPC)
			s->retry_us = 0;
	} else {
		s->stats.failures++;
		if (request > s->request_failed)
			s->request_failed = request;
		s->checkpoint_err = err;
		s->checkpoint_wanted = true;
		s->checkpoint_retry_us =
		    next_backoff(&s->commit.checkpoint_backoff_us);
	}
	tell_loop(s);
}

/* ---- the thread ---- */

void spool_kick(struct spool *s)
{
	if (s->idle || s->paced)
		pthread_cond_signal(&s->work);
}

bool spool_appended_enough(const struct spool *s)
{
	return s->idle || (s->paced && s->end - s->durable >= SPOOL_PACE_BYTES);
}

/* When what is queued is to be committed, monotonic; 0 = now. */
static int64_t commit_due_us(const struct spool *s)
{
	if (s->failing)
		return s->retry_us;
	if (!s->options.commit_interval_us || !s->commit.began_us || s->hurry ||
	    request_open(s) || s->end - s->durable >= SPOOL_PACE_BYTES)
		return 0;
	return s->commit.began_us + s->options.commit_interval_us;
}

static bool commit_ready(const struct spool *s)
{
	int64_t due_us;

	if (s->written == s->ring.tail)
		return false;
	due_us = commit_due_us(s);
	return !due_us || clock_mono_us() >= due_us;
}

/* The earlier of two times, of which 0 is never. */
static int64_t sooner(int64_t a_us, int64_t b_us)
{
	return !a_us || (b_us && b_us < a_us) ? b_us : a_us;
}

/* Until somebody kicks, or the next try is due. Under the mutex. */
static void wait_for_work(struct spool *s)
{
	int64_t until_us = 0;
	struct timespec ts;

	if (s->written != s->ring.tail)
		until_us = commit_due_us(s);
	s->paced = until_us && !s->failing;
	if (s->checkpoint_wanted)
		until_us = sooner(until_us, s->checkpoint_retry_us);
	until_us = sooner(until_us, spool_spares_until_us(s));
	s->idle = !s->paced;
	if (until_us) {
		ts.tv_sec = until_us / 1000000;
		ts.tv_nsec = until_us % 1000000 * 1000;
		pthread_cond_timedwait(&s->work, &s->mutex, &ts);
	} else {
		pthread_cond_wait(&s->work, &s->mutex);
	}
	s->idle = false;
	s->paced = false;
}

void *spool_commit_main(void *arg)
{
	struct spool *s = arg;
	bool abandoned;

	pthread_mutex_lock(&s->mutex);
	for (;;) {
		bool did = false;

		if (commit_ready(s) && !s->abandoned) {
			commit(s);
			did = true;
		}
		if (checkpoint_ready(s) && !s->abandoned) {
			checkpoint(s);
			did = true;
		}
		if (!did && s->stopping)
			break;
		if (!did && spool_spares_idle(s)) {
			pthread_mutex_unlock(&s->mutex);
			did = spool_drop_spares(s);
			pthread_mutex_lock(&s->mutex);
		}
		if (!did)
			wait_for_work(s);
	}
	abandoned = s->abandoned;
	s->stopped = true;
	pthread_cond_broadcast(&s->answered);
	pthread_mutex_unlock(&s->mutex);
	if (s->commit.fd >= 0)
		spool_end_segment(s, s->durable, true);
	spool_drop_spares(s);
	if (abandoned)
		spool_destroy(s);
	return NULL;
}
