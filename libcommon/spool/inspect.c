/* Looking at a log without opening it: for people, running or stopped. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "spool/internal.h"
#include "spool/view.h"

static int open_existing(struct view *v, const char *dir, struct err *err)
{
	if (view_open(v, dir, err) != 0)
		return -1;
	if (!v->fresh)
		return 0;
	view_close(v);
	return err_set(err, ENOENT,
		       "%s holds no log: there is neither a checkpoint nor a "
		       "segment in it",
		       dir);
}

/*
 * The first record at or behind `from`, whose own position a person may not
 * know: by headers, from the start of the segment that holds it.
 */
static int seek(struct view *v, uint64_t from, uint64_t *position,
		struct err *err)
{
	const struct segment *segment = segments_find(&v->segments, from);
	struct found f;
	int rc = 1;

	*position = v->checkpoint.first;
	if (segment && segment->base <= from && segment->base > *position)
		*position = segment->base;
	v->reader.headers_only = true;
	while (*position < from && (rc = view_next(v, *position, &f, err)) == 1)
		*position = f.next;
	v->reader.headers_only = false;
	v->reader.peeked = false;
	return rc < 0 ? -1 : 0;
}

int spool_walk(const char *dir, uint64_t from,
	       bool (*visit)(void *arg, const struct spool_record *record),
	       void *arg, struct err *err)
{
	struct view v;
	struct found f;
	uint64_t position;
	bool go_on = true;
	int rc;

	if (open_existing(&v, dir, err) != 0)
		return -1;
	rc = seek(&v, from, &position, err);
	if (rc != 0)
		goto out;
	while (go_on && (rc = view_next(&v, position, &f, err)) == 1) {
		struct spool_record record = {
		    .position = f.position,
		    .next = f.next,
		    .appended_at_us =
			f.header_good ? f.record.appended_at_us : 0,
		    .batch = f.batch,
		    .err = f.err,
		};

		if (f.batch ||
		    (!view_is_void(&f) && !view_freed_meanwhile(&v, &f)))
			go_on = visit(arg, &record);
		batch_unref(&f.batch);
		position = f.next;
	}
out:
	view_close(&v);
	return rc < 0 ? -1 : 0;
}

/* What is behind the end was written by nobody yet. */
static uint64_t segment_used(const struct segment *segment, uint64_t end)
{
	if (end > segment->end)
		end = segment->end;
	return SEGMENT_HEADER_BYTES +
	       (end > segment->base ? end - segment->base : 0);
}

int spool_inspect(const char *dir, struct uuid *id, struct spool_stats *stats,
		  struct err *err)
{
	struct view v;
	struct found f;
	uint64_t position;
	int rc;

	if (open_existing(&v, dir, err) != 0)
		return -1;
	memset(stats, 0, sizeof(*stats));
	v.reader.headers_only = true;
	position = v.checkpoint.first;
	while ((rc = view_next(&v, position, &f, err)) == 1) {
		if (f.err.code)
			stats->bad_records += !view_freed_meanwhile(&v, &f);
		else if (!view_is_void(&f))
			stats->records++;
		if (!f.err.code && !stats->oldest_at_us)
			stats->oldest_at_us = f.record.appended_at_us;
		position = f.next;
	}
	*id = v.checkpoint.ids.id;
	stats->first = v.checkpoint.first;
	stats->durable = v.proven;
	stats->end = position > v.proven ? position : v.proven;
	stats->segments = (uint32_t)v.segments.count;
	stats->checkpoint_lost = v.lost;
	stats->spare_bytes = segments_spare_bytes(dir);
	stats->bytes = stats->spare_bytes;
	for (size_t i = 0; i < v.segments.count; i++)
		stats->bytes += segment_used(&v.segments.list[i], stats->end);
	view_close(&v);
	return rc < 0 ? -1 : 0;
}
