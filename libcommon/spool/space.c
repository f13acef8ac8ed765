/*
 * The headroom: a source stops before the disk is full, so that the sinks on
 * the same disk can go on, whose deliveries are what frees its log.
 */
#include <sys/statvfs.h>

#include "base/clock.h"
#include "spool/internal.h"

/* A look costs a system call: not at each append. */
#define LOOK_US	   INT64_C(250000)
#define LOOK_BYTES UINT64_C(8388608)
/* On a small disk the headroom is this part of it. */
#define SMALLEST_PART 20
#define SEGMENT_PART  32
#define RESERVE_PART  4

int64_t spool_spare(const struct spool *s)
{
	int64_t headroom = s->options.headroom_bytes;
	int64_t part;
	struct statvfs v;

	/* Where nobody can say what is free, writing tells. */
	if (!headroom || statvfs(s->dir, &v) != 0 || !v.f_blocks)
		return INT64_MAX;
	part = (int64_t)(v.f_blocks / SMALLEST_PART * v.f_frsize);
	if (headroom > part)
		headroom = part;
	return (int64_t)(v.f_bavail * v.f_frsize) - headroom;
}

/*
 * Half a segment of freed records stays on the disk, and on a small one that
 * would be what the headroom lacks, for ever. A reserve is taken whole or not
 * at all, so it must fit too.
 */
void spool_fit_disk(struct spool *s)
{
	struct statvfs v;
	int64_t part;

	if (statvfs(s->dir, &v) != 0 || !v.f_blocks)
		return;
	part = (int64_t)(v.f_blocks / SEGMENT_PART * v.f_frsize);
	if (part < SPOOL_SEGMENT_LEAST)
		part = SPOOL_SEGMENT_LEAST;
	if (s->options.segment_bytes > part)
		s->options.segment_bytes = part;
	part = (int64_t)(v.f_blocks / RESERVE_PART * v.f_frsize);
	if (s->options.reserve_bytes > part)
		s->options.reserve_bytes = part;
}

/*
 * What the active segment has preallocated is free for this log alone; what is
 * queued beyond that is as good as taken.
 */
static uint64_t room_end(const struct spool *s, int64_t spare)
{
	uint64_t from = s->durable > s->allocated ? s->durable : s->allocated;

	if (spare < 0)
		return from > (uint64_t)-spare ? from - (uint64_t)-spare : 0;
	return from + (uint64_t)spare;
}

void spool_look_at_space(struct spool *s)
{
	int64_t now = clock_mono_us();
	int64_t spare;

	if (!s->options.headroom_bytes ||
	    (s->space_mono_us && now - s->space_mono_us < LOOK_US &&
	     s->end - s->space_end < LOOK_BYTES))
		return;
	spare = spool_spare(s);
	s->space_mono_us = now;
	s->space_end = s->end;
	pthread_mutex_lock(&s->mutex);
	s->room_end = spare == INT64_MAX ? UINT64_MAX : room_end(s, spare);
	pthread_mutex_unlock(&s->mutex);
}
