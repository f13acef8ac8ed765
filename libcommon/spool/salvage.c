#include "spool/salvage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "spool/lock.h"

int salvage_open(struct salvage *s, const char *dir, bool mend, struct err *err)
{
	memset(s, 0, sizeof(*s));
	s->view.reader.fd = -1;
	if ((mend ? view_open_mended(&s->view, dir, err)
		  : view_open(&s->view, dir, err)) != 0)
		return -1;
	reader_init(&s->probe, s->view.dir, &s->view.checkpoint.ids);
	s->probe.headers_only = true;
	if (!s->view.fresh)
		return 0;
	salvage_close(s);
	return err_set(err, ENOENT,
		       "%s holds no log: there is neither a checkpoint nor a "
		       "segment in it",
		       dir);
}

void salvage_close(struct salvage *s)
{
	if (s->view.dir)
		reader_close(&s->probe);
	view_close(&s->view);
	free(s->saved.list);
	free(s->lost.list);
	memset(s, 0, sizeof(*s));
}

static void tell(struct salvage *s, const struct spool_problem *problem)
{
	if (!s->stopped && !s->events.problem(s->events.arg, problem))
		s->stopped = true;
}

/* ---- what is wrong with files ---- */

static void tell_file(struct salvage *s, enum spool_trouble trouble,
		      const char *path, const char *why)
{
	const char *name = strrchr(path, '/');
	struct spool_problem problem = {
	    .trouble = trouble,
	    .file = name ? name + 1 : path,
	    .why = why,
	    .ids = "",
	};

	tell(s, &problem);
}

static bool is_freed(const struct salvage *s, const struct segment *segment)
{
	struct found f = {.position = segment->base, .next = segment->end};

	return view_freed_meanwhile(&s->view, &f);
}

static void tell_segment(struct salvage *s, enum spool_trouble trouble,
			 const struct segment *segment, const char *why)
{
	char *path = segment_path(s->view.dir, segment->base);

	if (access(path, F_OK) == 0 && !is_freed(s, segment))
		tell_file(s, trouble, path, why);
	free(path);
}

static void check_files(struct salvage *s)
{
	const struct view *v = &s->view;

	if (v->lost)
		tell_file(s, SPOOL_CHECKPOINT, "checkpoint",
			  "it is damaged or gone; what was delivered is not "
			  "known, so all records that are there are sent "
			  "again, flagged");
	if (v->mended)
		tell_file(s, SPOOL_CHECKPOINT, "checkpoint",
			  "it is damaged or gone, but can be made good");
	for (size_t i = 0; i < v->segments.count; i++)
		if (!v->segments.list[i].header_good)
			tell_segment(s, SPOOL_SEGMENT, &v->segments.list[i],
				     "its header is damaged; that alone loses "
				     "nothing");
	for (size_t i = 0; i < v->foreign.count; i++)
		tell_segment(s, SPOOL_FOREIGN, &v->foreign.list[i],
			     "it belongs to another log");
}

/* ---- the log itself ---- */

/* Whether a repair saved it before. */
static bool not_saved_yet(struct salvage *s, uint64_t position,
			  const struct batch_header *header)
{
	(void)header;
	return !places_have(&s->saved, position);
}

static void tell_hole(struct salvage *s, const struct found *f)
{
	struct spool_problem problem = {
	    .trouble = SPOOL_HOLE,
	    .position = f->position,
	    .next = f->next,
	    .why = f->err.text,
	    .ids = "",
	};

	if (!places_have(&s->saved, f->position))
		tell(s, &problem);
	places_add(&s->lost, f->position);
}

/* Scans a part of a segment. */
static void scan_segment(struct salvage *s, const struct segment *segment,
			 struct salvage_scan *scan)
{
	char *path = segment_path(s->view.dir, segment->base);

	scan->salvage = s;
	scan->base = segment->base;
	scan->skip = SEGMENT_HEADER_BYTES;
	scan->file = strrchr(path, '/') + 1;
	scan->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (scan->fd >= 0) {
		salvage_scan(scan);
		close(scan->fd);
	}
	free(path);
}

static void check_bad(struct salvage *s, const struct found *f)
{
	const struct segment *segment =
	    segments_find(&s->view.segments, f->position);
	struct salvage_scan scan = {
	    .from = f->position,
	    .to = f->next,
	    .trouble = SPOOL_RECORD,
	    .why = f->err.text,
	    .loose = true,
	    .wanted = not_saved_yet,
	};

	if (view_freed_meanwhile(&s->view, f))
		return;
	if (s->events.bad)
		s->events.bad(s->events.arg, f->position, f->next);
	if (f->err.code == ENODATA || !segment || segment->base > f->position)
		tell_hole(s, f);
	else
		scan_segment(s, segment, &scan);
}

/* Which places were saved by a repair before, and where the log ends. */
static int look_ahead(struct salvage *s, struct err *err)
{
	struct view *v = &s->view;
	struct found f;
	int rc;

	v->reader.headers_only = true;
	s->end = v->checkpoint.first;
	while ((rc = view_next(v, s->end, &f, err)) == 1) {
		if (f.header_good && f.record.kind == RECORD_SAVED)
			places_add(&s->saved, f.record.origin);
		s->end = f.next;
	}
	v->reader.headers_only = false;
	v->reader.peeked = false;
	return rc;
}

/* Behind the end: records that nothing proves to have been durable. */
static void check_tail(struct salvage *s)
{
	const struct segments *t = &s->view.segments;

	for (size_t i = 0; i < t->count && !s->stopped; i++) {
		struct salvage_scan scan = {
		    .from = t->list[i].base > s->end ? t->list[i].base : s->end,
		    .to = t->list[i].end,
		    .trouble = SPOOL_TAIL,
		    .why = "it lies behind the end of the log: what is before "
			   "it is damaged, and nothing proves that it was on "
			   "disk",
		    .quiet = true,
		    .wanted = not_saved_yet,
		};

		if (scan.from < scan.to)
			scan_segment(s, &t->list[i], &scan);
	}
}

static int check_records(struct salvage *s, struct err *err)
{
	struct view *v = &s->view;
	uint64_t position = v->checkpoint.first;
	struct found f;
	int rc;

	while (!s->stopped && (rc = view_next(v, position, &f, err)) != 0) {
		if (rc < 0)
			return -1;
		if (f.err.code)
			check_bad(s, &f);
		else if (s->events.good)
			s->events.good(s->events.arg, &f);
		batch_unref(&f.batch);
		position = f.next;
	}
	s->end = position;
	return 0;
}

/* ---- files set aside ---- */

/* Whether the log has this very record there. */
static bool in_log(struct salvage *s, uint64_t position,
		   const struct batch_header *header)
{
	const struct segment *segment =
	    segments_find(&s->view.segments, position);
	struct found f = {.position = position};
	struct err ignored;

	return segment && segment->base <= position &&
	       reader_read(&s->probe, segment, segment->end, &f, &ignored) ==
		   0 &&
	       f.header_good && f.record.kind != RECORD_VOID &&
	       f.header.body_crc == header->body_crc &&
	       f.header.payload_bytes == header->payload_bytes;
}

static bool wanted_of_segment(struct salvage *s, uint64_t position,
			      const struct batch_header *header)
{
	if (!s->view.lost && position < s->view.checkpoint.first)
		return false;
	return !places_have(&s->saved, position) &&
	       (places_have(&s->lost, position) ||
		!in_log(s, position, header));
}

/* Whether a segment that was set aside may hold records of this log. */
static bool is_ours(const struct salvage *s, int fd)
{
	uint8_t data[SEGMENT_HEADER_BYTES];
	struct segment_header header;

	if (pread(fd, data, sizeof(data), 0) != (ssize_t)sizeof(data) ||
	    segment_header_decode(data, &header) != 0)
		return true;
	return log_ids_accept(&s->view.checkpoint.ids, &header.log);
}

static void check_aside(struct salvage *s, const struct aside *a)
{
	bool segment = a->kind == ASIDE_SEGMENT;
	char *path = xasprintf("%s/%s", s->view.dir, a->name);
	struct salvage_scan scan = {
	    .salvage = s,
	    .fd = open(path, O_RDONLY | O_CLOEXEC),
	    .file = a->name,
	    .base = a->position,
	    .skip = segment ? SEGMENT_HEADER_BYTES : 0,
	    .from = a->position,
	    .trouble = SPOOL_ASIDE,
	    .why = "it was set aside",
	    .loose = !segment,
	    .quiet = segment,
	    .wanted = segment ? wanted_of_segment : not_saved_yet,
	};

	if (a->bytes > scan.skip)
		scan.to = a->position + (uint64_t)(a->bytes - scan.skip);
	tell_file(s, SPOOL_ASIDE, a->name,
		  a->kind == ASIDE_OTHER ? "it was set aside"
		  : segment		 ? "a segment that was set aside"
					 : "a record that was set aside");
	if (scan.fd >= 0 && a->kind != ASIDE_OTHER && scan.to > scan.from &&
	    (!segment || is_ours(s, scan.fd)))
		salvage_scan(&scan);
	if (scan.fd >= 0)
		close(scan.fd);
	free(path);
}

static int check_asides(struct salvage *s, struct err *err)
{
	struct aside *list;
	size_t count;

	if (aside_list(s->view.dir, &list, &count, err) != 0)
		return -1;
	for (size_t i = 0; i < count && !s->stopped; i++)
		check_aside(s, &list[i]);
	aside_free(list, count);
	return 0;
}

int salvage_walk(struct salvage *s, const struct salvage_events *events,
		 struct err *err)
{
	s->events = *events;
	if (look_ahead(s, err) != 0)
		return -1;
	check_files(s);
	if (check_records(s, err) != 0)
		return -1;
	/* Somebody who has it open may be writing there. */
	if (s->exclusive || !spool_lock_is_held(s->view.dir))
		check_tail(s);
	return s->stopped ? 0 : check_asides(s, err);
}
