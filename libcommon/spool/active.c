/*
 * The active segment: how the commit thread begins and ends it, with what
 * space, and what it does where there is none.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "spool/internal.h"

void spool_end_segment(struct spool *s, uint64_t end, bool sound)
{
	struct spool_commit *c = &s->commit;

	close(c->fd);
	c->fd = -1;
	if (sound) {
		segment_trim(s->dir, c->base, end);
		return;
	}
	/* Nobody knows what of it is on disk: it is never written again. */
	pthread_mutex_lock(&s->mutex);
	if (s->segments.count)
		s->segments.list[s->segments.count - 1].reusable = false;
	pthread_mutex_unlock(&s->mutex);
}

static bool is_full(const struct err *err)
{
	return err->code == ENOSPC || err->code == EDQUOT;
}

/* Takes no more than the reserve may give; one record at least. */
static int64_t take_less(struct spool *s, uint64_t base)
{
	struct spool_commit *c = &s->commit;
	uint64_t most =
	    (uint64_t)s->options.reserve_bytes / 2; /* the rest: checkpoints */

	while (c->count > 1 && c->taken[c->count - 1].next - base > most)
		c->count--;
	return (int64_t)(c->taken[c->count - 1].next - base);
}

/*
 * Makes the file of a segment. On a disk that is almost full it preallocates
 * what is queued and no more. On a full one a sink takes that from its reserve:
 * it can deliver only what it has in its log, and nothing but deliveries frees
 * its source's log on the same disk.
 */
static int make_segment(struct spool *s, const struct segment_header *header,
			struct err *err)
{
	struct spool_commit *c = &s->commit;
	uint64_t base = header->base;
	int64_t needed = (int64_t)(c->taken[c->count - 1].next - base);
	int64_t half = spool_spare(s) / 2;

	/* What is preallocated here is missing elsewhere. */
	if (c->reserve_bytes > half)
		c->reserve_bytes = half > needed ? half : needed;
	c->lent = false;
	if (spool_use_spare(s, header) == 0)
		return 0;
	if (segment_begin(s->dir, header, c->reserve_bytes, &c->fd, err) == 0)
		return 0;
	if (!is_full(err))
		return -1;
	c->reserve_bytes = needed;
	if (segment_begin(s->dir, header, needed, &c->fd, err) == 0)
		return 0;
	if (!is_full(err) || s->options.headroom_bytes)
		return -1;
	c->reserve_bytes = take_less(s, base);
	if (!spool_lend_reserve(s, c->reserve_bytes + SPOOL_EXTRA_BYTES))
		return -1;
	c->lent = true;
	return segment_begin(s->dir, header, c->reserve_bytes, &c->fd, err);
}

int spool_begin_segment(struct spool *s, uint64_t base, struct err *err)
{
	struct segment segment = {
	    .base = base, .end = base, .header_good = true, .log = s->ids.id};
	struct segment_header header = {.log = s->ids.id, .base = base};
	struct spool_commit *c = &s->commit;

	if (make_segment(s, &header, err) != 0)
		return -1;
	if (segment_publish(s->dir, base, c->fd, err) != 0) {
		close(c->fd);
		c->fd = -1;
		return -1;
	}
	free(c->path);
	c->path = segment_path(s->dir, base);
	c->base = base;
	segment.reusable = !c->lent;
	pthread_mutex_lock(&s->mutex);
	/* One of the same base held nothing durable and was replaced. */
	if (!s->segments.count ||
	    s->segments.list[s->segments.count - 1].base != base)
		s->disk_bytes += SEGMENT_HEADER_BYTES;
	segments_push(&s->segments, &segment);
	s->allocated = base + (uint64_t)c->reserve_bytes;
	pthread_mutex_unlock(&s->mutex);
	return 0;
}
