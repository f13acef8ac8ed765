/*
 * Checkpoints, what they free, and the reserve that only they may use: a full
 * disk can therefore always be freed.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "spool/internal.h"

#define FREED_AT_ONCE 256

/* ---- the reserve ---- */

/* The whole, or what there was of it: a try must not make the disk fuller. */
static bool fill_reserve(int fd, int64_t bytes)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return false;
	if (st.st_blocks * 512 >= bytes || posix_fallocate(fd, 0, bytes) == 0)
		return true;
	if (ftruncate(fd, st.st_size) != 0)
		log_warn("spool_reserve_kept", "errno=%d", errno);
	return false;
}

void spool_hold_reserve(struct spool *s)
{
	char *path;
	int fd;

	if (s->commit.reserve_held || !s->options.reserve_bytes)
		return;
	path = xasprintf("%s/reserve", s->dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0) {
		s->commit.reserve_held =
		    fill_reserve(fd, s->options.reserve_bytes);
		close(fd);
	}
	free(path);
}

bool spool_release_reserve(struct spool *s)
{
	char *path;
	bool had;

	if (!s->options.reserve_bytes)
		return false;
	path = xasprintf("%s/reserve", s->dir);
	had = unlink(path) == 0;
	if (had)
		log_warn("spool_reserve_used", "dir=%s bytes=%" PRId64, s->dir,
			 s->options.reserve_bytes);
	s->commit.reserve_held = false;
	free(path);
	return had;
}

bool spool_lend_reserve(struct spool *s, int64_t bytes)
{
	char *path = xasprintf("%s/reserve", s->dir);
	bool lent = false;
	struct stat st;

	if (stat(path, &st) == 0 && st.st_size >= bytes &&
	    st.st_blocks * 512 >= bytes)
		lent = truncate(path, st.st_size - bytes) == 0;
	if (lent) {
		log_warn("spool_reserve_lent", "dir=%s bytes=%" PRId64, s->dir,
			 bytes);
		s->commit.reserve_held = false;
	}
	free(path);
	return lent;
}

/* ---- freeing ---- */

/*
 * Takes the segments that a checkpoint with `first` frees out of the table;
 * they go to out. The active one goes only when it is large and nothing
 * is left in it. Under the mutex.
 */
static size_t take_freed(struct spool *s, uint64_t first,
			 struct segment out[FREED_AT_ONCE])
{
	struct segments *t = &s->segments;
	size_t n = 0;

	while (n < t->count && n < FREED_AT_ONCE && t->list[n].end <= first) {
		const struct segment *segment = &t->list[n];
		bool last = n + 1 == t->count;
		uint64_t bytes = segment->end - segment->base;

		if (last && s->commit.fd >= 0 &&
		    (s->written != s->ring.tail ||
		     bytes < (uint64_t)s->options.segment_bytes / 2))
			break;
		if (last)
			s->allocated = 0;
		out[n++] = *segment;
		s->disk_bytes -= bytes + SEGMENT_HEADER_BYTES;
	}
	segments_remove(t, 0, n);
	return n;
}

/* Small segments are not worth to be kept. */
static void let_go(struct spool *s, const struct segment *segment)
{
	uint64_t bytes = segment->end - segment->base;

	if (s->commit.fd >= 0 && s->commit.base == segment->base) {
		close(s->commit.fd);
		s->commit.fd = -1;
	}
	if (!segment->reusable ||
	    bytes < (uint64_t)s->options.segment_bytes / 2 ||
	    !spool_keep_spare(s, segment->base))
		segment_unlink(s->dir, segment->base);
}

static void let_go_of_freed(struct spool *s, uint64_t first)
{
	struct segment freed[FREED_AT_ONCE];
	size_t n;

	do {
		pthread_mutex_lock(&s->mutex);
		n = take_freed(s, first, freed);
		pthread_mutex_unlock(&s->mutex);
		for (size_t i = 0; i < n; i++)
			let_go(s, &freed[i]);
	} while (n == FREED_AT_ONCE);
}

/* ---- the checkpoint ---- */

bool spool_frees_a_segment(const struct spool *s)
{
	const struct segments *t = &s->segments;

	if (!t->count || t->list[0].end > s->first)
		return false;
	/* On a full disk every page counts; no segment is active then. */
	if (s->failing == ENOSPC)
		return true;
	return t->count > 1 || (s->first == s->end &&
				t->list[0].end - t->list[0].base >=
				    (uint64_t)s->options.segment_bytes / 2);
}

void spool_snapshot(const struct spool *s, struct checkpoint *c)
{
	memset(c, 0, sizeof(*c));
	c->ids = s->ids;
	c->machine = s->machine;
	c->durable = s->durable;
	c->first = s->first;
	c->covered = s->current.position;
	c->data = s->current.data;
	c->bytes = s->current.bytes;
	/*
	 * Nothing goes that the application's part does not describe: what came
	 * after it, and what was freed after it, for it says that this is still
	 * to be done.
	 */
	if (s->events.saving && c->first > c->covered)
		c->first = c->covered;
	if (s->events.saving && c->first > s->current.first)
		c->first = s->current.first;
}

int spool_write_checkpoint(struct spool *s, const struct checkpoint *c,
			   struct err *err)
{
	int rc = checkpoint_write(s->dir, c, err);

	while (rc != 0 && (err->code == ENOSPC || err->code == EDQUOT) &&
	       (spool_drop_spares(s) || spool_release_reserve(s)))
		rc = checkpoint_write(s->dir, c, err);
	if (rc != 0)
		return -1;
	pthread_mutex_lock(&s->mutex);
	s->checkpoint_at = c->durable;
	pthread_mutex_unlock(&s->mutex);
	FAILPOINT("spool_before_free");
	let_go_of_freed(s, c->first);
	spool_hold_reserve(s);
	return 0;
}
