/*
 * Spares: the files of freed segments, overwritten by the next ones. A sync of
 * a file that grows also writes where its new blocks are; over blocks that
 * exist it writes the records alone. Why stale bytes are never taken for
 * records is said in format.md. Commit thread.
 */
#include <sys/statvfs.h>

#include "base/clock.h"
#include "spool/internal.h"

/* With less than so many segments free on the disk, others need the space. */
#define ROOMY_SEGMENTS 8
/* What is not in use gives its space back. */
#define IDLE_US INT64_C(2000000)

static bool is_roomy(const struct spool *s)
{
	struct statvfs v;

	return statvfs(s->dir, &v) == 0 &&
	       (int64_t)(v.f_bavail * v.f_frsize) >=
		   s->options.headroom_bytes +
		       ROOMY_SEGMENTS * s->options.segment_bytes;
}

/* Whether the log may hold a spare, and is to go on. */
static bool is_wanted(struct spool *s)
{
	uint64_t most = (uint64_t)s->options.cap_bytes -
			2 * (uint64_t)s->options.segment_bytes;
	bool wanted;

	pthread_mutex_lock(&s->mutex);
	wanted = !s->failing && !s->stopping &&
		 s->disk_bytes + s->spare_bytes <= most;
	pthread_mutex_unlock(&s->mutex);
	return wanted && is_roomy(s);
}

static uint64_t on_disk(struct spool *s, int64_t change)
{
	uint64_t bytes;

	pthread_mutex_lock(&s->mutex);
	s->spare_bytes += (uint64_t)change;
	bytes = s->disk_bytes + s->spare_bytes;
	pthread_mutex_unlock(&s->mutex);
	return bytes;
}

bool spool_keep_spare(struct spool *s, uint64_t base)
{
	struct spool_commit *c = &s->commit;
	int64_t bytes;

	if (c->spare_count == SPOOL_SPARES || !is_wanted(s) ||
	    segment_make_spare(s->dir, base, &bytes) != 0)
		return false;
	c->spares[c->spare_count++] = (struct spool_spare){base, bytes};
	on_disk(s, bytes);
	return true;
}

static struct spool_spare take_one(struct spool *s)
{
	struct spool_spare spare = s->commit.spares[--s->commit.spare_count];

	on_disk(s, -spare.bytes);
	return spare;
}

static void drop_one(struct spool *s)
{
	segment_unlink_spare(s->dir, take_one(s).base);
}

bool spool_drop_spares(struct spool *s)
{
	bool had = s->commit.spare_count > 0;

	while (s->commit.spare_count)
		drop_one(s);
	return had;
}

void spool_fit_spares(struct spool *s)
{
	while (s->commit.spare_count &&
	       on_disk(s, 0) > (uint64_t)s->options.cap_bytes)
		drop_one(s);
}

int spool_use_spare(struct spool *s, const struct segment_header *header)
{
	struct spool_commit *c = &s->commit;
	struct spool_spare spare;
	struct err ignored;

	if (!c->spare_count)
		return -1;
	spare = take_one(s);
	if (spare.bytes <= c->reserve_bytes + SPOOL_EXTRA_BYTES &&
	    segment_begin_over(s->dir, header, spare.base, c->reserve_bytes,
			       &c->fd, &ignored) == 0)
		return 0;
	segment_unlink_spare(s->dir, spare.base);
	return -1;
}

int64_t spool_spares_until_us(const struct spool *s)
{
	return s->commit.spare_count ? s->commit.began_us + IDLE_US : 0;
}

bool spool_spares_idle(const struct spool *s)
{
	return s->commit.spare_count &&
	       clock_mono_us() >= spool_spares_until_us(s);
}
