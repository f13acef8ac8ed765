/*
 * Reading durable records back: from memory right behind the writer, else from
 * disk. Loop thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "spool/internal.h"

/* Where a record is to be looked for. */
enum where { NOWHERE, IN_MEMORY, ON_DISK, IN_A_HOLE };

struct place {
	enum where where;
	struct segment segment;
	uint64_t limit; /* of what may be read, or the end of the hole */
};

/* Takes a reference when it is in memory. Under the mutex. */
static void locate(struct spool *s, uint64_t *position, uint64_t *next,
		   struct batch **b, struct place *place)
{
	const struct spool_ring *ring = &s->ring;
	const struct segment *segment;

	place->where = NOWHERE;
	if (*position < s->first)
		*position = s->first;
	if (*position >= s->durable)
		return;
	if (ring->head != ring->tail &&
	    *position >= ring_at(ring, ring->head)->position) {
		const struct spool_entry *entry =
		    ring_at(ring, ring_find(ring, *position));

		if (entry->position >= s->durable)
			return;
		*position = entry->position;
		*next = entry->next;
		*b = batch_ref(entry->batch);
		place->where = IN_MEMORY;
		return;
	}
	segment = segments_find(&s->segments, *position);
	place->where = IN_A_HOLE;
	place->limit = s->durable;
	if (segment && segment->base <= *position) {
		place->where = ON_DISK;
		place->segment = *segment;
	}
	if (segment && segment->base > *position)
		place->limit = segment->base;
	else if (segment && segment->end < place->limit)
		place->limit = segment->end;
}

static void skip_bad(struct spool *s, uint64_t position, uint64_t next,
		     const struct err *err)
{
	char quoted[LOG_QUOTE_BYTES];

	if (position >= s->bad_from && position < s->bad_to)
		return;
	pthread_mutex_lock(&s->mutex);
	s->stats.bad_records++;
	pthread_mutex_unlock(&s->mutex);
	log_error("spool_bad_record",
		  "dir=%s position=%" PRIu64 " next=%" PRIu64 " error=%s",
		  s->dir, position, next, log_quote(quoted, err->text));
}

/* 1 with *b, 0 when it is bad and *position was moved on, -1 with *err. */
static int read_disk(struct spool *s, const struct place *place,
		     uint64_t *position, uint64_t *next, struct batch **b,
		     struct err *err)
{
	struct found f;

	if (reader_read(&s->reader, &place->segment, *position, place->limit,
			&f, err) != 0) {
		if (err->code != ENOENT)
			return -1;
		skip_bad(s, *position, place->limit, err);
		*position = place->limit;
		return 0;
	}
	*next = f.next;
	*b = f.batch;
	if (f.batch)
		return 1;
	skip_bad(s, *position, f.next, &f.err);
	*position = f.next;
	return 0;
}

int spool_read(struct spool *s, uint64_t *position, uint64_t *next,
	       struct batch **b, struct err *err)
{
	struct err missing;
	struct place place;
	int rc;

	for (;;) {
		pthread_mutex_lock(&s->mutex);
		locate(s, position, next, b, &place);
		pthread_mutex_unlock(&s->mutex);
		switch (place.where) {
		case NOWHERE:
			return 0;
		case IN_MEMORY:
			return 1;
		case ON_DISK:
			rc = read_disk(s, &place, position, next, b, err);
			if (rc != 0)
				return rc;
			break;
		case IN_A_HOLE:
			err_set(&missing, ENODATA,
				"%" PRIu64 " bytes of the log are missing",
				place.limit - *position);
			skip_bad(s, *position, place.limit, &missing);
			*position = place.limit;
			break;
		}
	}
}

void spool_trim_cache(struct spool *s)
{
	for (;;) {
		struct batch *b = NULL;

		pthread_mutex_lock(&s->mutex);
		if (s->ring.head != s->written &&
		    (s->ring.bytes > s->options.cache_bytes ||
		     ring_at(&s->ring, s->ring.head)->next <= s->first))
			b = ring_drop(&s->ring);
		pthread_mutex_unlock(&s->mutex);
		if (!b)
			return;
		batch_unref(&b);
	}
}

/* When the oldest record not freed was appended. Under no lock. */
static int64_t look_up_oldest(const struct spool *s, uint64_t position,
			      const struct segment *segment)
{
	struct reader reader;
	struct found f;
	struct err ignored;
	int64_t at_us = 0;

	reader_init(&reader, s->dir, &s->ids);
	reader.headers_only = true;
	if (reader_read(&reader, segment, position, segment->end, &f,
			&ignored) == 0 &&
	    f.header_good)
		at_us = f.record.appended_at_us;
	reader_close(&reader);
	return at_us;
}

void spool_get_stats(const struct spool *cs, struct spool_stats *stats)
{
	struct spool *s = (struct spool *)(uintptr_t)cs;
	const struct segment *found;
	struct segment segment = {0};
	uint64_t index;

	pthread_mutex_lock(&s->mutex);
	*stats = s->stats;
	stats->first = s->first;
	stats->durable = s->durable;
	stats->end = s->end;
	stats->bytes = s->disk_bytes;
	stats->cap_bytes = (uint64_t)s->options.cap_bytes;
	stats->segments = (uint32_t)s->segments.count;
	index = ring_find(&s->ring, s->first);
	if (s->first == s->end) {
		s->oldest_position = UINT64_MAX;
		s->oldest_at_us = 0;
	} else if (index != s->ring.tail &&
		   ring_at(&s->ring, index)->position == s->first) {
		s->oldest_position = s->first;
		s->oldest_at_us = ring_at(&s->ring, index)->appended_at_us;
	}
	found = segments_find(&s->segments, s->first);
	if (found)
		segment = *found;
	pthread_mutex_unlock(&s->mutex);
	if (s->oldest_position != stats->first && stats->first != stats->end) {
		s->oldest_position = stats->first;
		s->oldest_at_us =
		    segment.base <= stats->first && segment.end > stats->first
			? look_up_oldest(s, stats->first, &segment)
			: 0;
	}
	stats->oldest_at_us = s->oldest_at_us;
}
