/*
 * Reading durable records back: from memory right behind the writer, else from
 * disk. Loop thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "spool/aside.h"
#include "spool/internal.h"

/* Where a record is to be looked for. */
enum where { NOWHERE, IN_MEMORY, ON_DISK, IN_A_HOLE };

/* A position on its way to a record. */
struct place {
	enum where where;
	uint64_t position;
	struct segment segment;
	uint64_t limit; /* of what may be read, or the end of the hole */
	uint64_t next;
	int64_t appended_at_us;
	struct batch *b; /* a reference */
};

/* Whether memory settles it: there it is, or not durable yet. Under the mutex.
 */
static bool locate_in_memory(const struct spool *s, struct place *place)
{
	const struct spool_ring *ring = &s->ring;
	const struct spool_entry *entry;
	uint64_t index;

	if (ring->head == ring->tail ||
	    place->position < ring_at(ring, ring->head)->position)
		return false;
	index = ring_find(ring, place->position);
	entry = ring_at(ring, index);
	if (index == ring->tail || entry->position >= s->durable)
		return true;
	place->where = IN_MEMORY;
	place->position = entry->position;
	place->next = entry->next;
	place->appended_at_us = entry->appended_at_us;
	place->b = batch_ref(entry->batch);
	return true;
}

/* Under the mutex. */
static void locate(const struct spool *s, struct place *place)
{
	const struct segment *segment;

	if (place->position < s->first)
		place->position = s->first;
	place->where = NOWHERE;
	if (place->position >= s->durable || locate_in_memory(s, place))
		return;
	segment = segments_find(&s->segments, place->position);
	place->where = IN_A_HOLE;
	place->limit = s->durable;
	if (segment && segment->base <= place->position) {
		place->where = ON_DISK;
		place->segment = *segment;
		if (segment->end < place->limit)
			place->limit = segment->end;
	} else if (segment) {
		place->limit = segment->base;
	}
}

/* Goes on behind what cannot be read, and counts it once. */
static void skip_bad(struct spool *s, struct place *place, uint64_t next,
		     const struct err *err)
{
	uint64_t position = place->position;
	char quoted[LOG_QUOTE_BYTES];

	place->position = next;
	if (position >= s->bad_from && position < s->bad_to)
		return;
	pthread_mutex_lock(&s->mutex);
	s->stats.bad_records++;
	pthread_mutex_unlock(&s->mutex);
	log_error("spool_bad_record",
		  "dir=%s position=%" PRIu64 " next=%" PRIu64 " error=%s",
		  s->dir, position, next, log_quote(quoted, err->text));
}

/* 1 with place->b, 0 when it is bad and was skipped, -1 with *err. */
static int read_disk(struct spool *s, struct place *place, struct err *err)
{
	struct found f;

	f.position = place->position;
	if (reader_read(&s->reader, &place->segment, place->limit, &f, err) !=
	    0) {
		if (err->code != ENOENT)
			return -1;
		skip_bad(s, place, place->limit, err);
		return 0;
	}
	if (!f.err.code && f.record.kind == RECORD_VOID) {
		place->position = f.next;
		return 0;
	}
	if (!f.batch) {
		/* Its segment goes when what is behind it is freed. */
		aside_keep(s->dir, place->segment.base, place->position,
			   f.next);
		skip_bad(s, place, f.next, &f.err);
		return 0;
	}
	place->next = f.next;
	place->appended_at_us = f.record.appended_at_us;
	place->b = f.batch;
	return 1;
}

static void skip_hole(struct spool *s, struct place *place)
{
	struct err err;

	err_set(&err, ENODATA, "%" PRIu64 " bytes of the log are missing",
		place->limit - place->position);
	skip_bad(s, place, place->limit, &err);
}

int spool_read_record(struct spool *s, struct spool_record *record,
		      struct err *err)
{
	struct place place = {.position = record->position};
	int rc = 0;

	while (rc == 0) {
		pthread_mutex_lock(&s->mutex);
		locate(s, &place);
		pthread_mutex_unlock(&s->mutex);
		if (place.where == NOWHERE)
			break;
		if (place.where == IN_MEMORY)
			rc = 1;
		else if (place.where == ON_DISK)
			rc = read_disk(s, &place, err);
		else
			skip_hole(s, &place);
	}
	record->position = place.position;
	if (rc == 1) {
		record->next = place.next;
		record->appended_at_us = place.appended_at_us;
		record->batch = place.b;
	}
	return rc;
}

int spool_read(struct spool *s, uint64_t *position, uint64_t *next,
	       struct batch **b, struct err *err)
{
	struct spool_record record = {.position = *position};
	int rc = spool_read_record(s, &record, err);

	*position = record.position;
	if (rc == 1) {
		*next = record.next;
		*b = record.batch;
	}
	return rc;
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
	f.position = position;
	if (reader_read(&reader, segment, segment->end, &f, &ignored) == 0 &&
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
	stats->bytes = s->disk_bytes + s->spare_bytes;
	stats->spare_bytes = s->spare_bytes;
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
