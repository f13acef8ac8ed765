/*
 * What opening a log does with what it finds: new ids for a new, cloned or
 * damaged log, the torn tail cut, bad records before it set aside, and what
 * nothing proves to be on disk written again.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/durable.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "spool/aside.h"
#include "spool/internal.h"
#include "spool/view.h"

/* ---- identity ---- */

/* The checkpoint is kept for a person to look at; a new one takes its name. */
static void set_checkpoint_aside(const struct spool *s)
{
	char *path = xasprintf("%s/checkpoint", s->dir);
	char *aside = xasprintf("%s/checkpoint.aside", s->dir);

	if (rename(path, aside) != 0 && errno != ENOENT)
		log_warn("spool_set_aside_failed", "path=%s errno=%d", path,
			 errno);
	log_error("spool_checkpoint_lost",
		  "dir=%s action=\"the log goes on under a new id with all "
		  "records that its segments hold\"",
		  s->dir);
	free(aside);
	free(path);
}

/*
 * A log keeps its id as long as it remembers all that was said under it. A copy
 * on another machine, or one without its checkpoint, goes on as another log.
 */
static bool settle_identity(struct spool *s, struct view *v)
{
	struct log_ids *ids = &v->checkpoint.ids;
	uint64_t machine = checkpoint_machine();
	bool cloned = v->checkpoint.machine && machine &&
		      v->checkpoint.machine != machine;
	bool renew = v->fresh || v->lost || cloned;

	if (v->lost)
		set_checkpoint_aside(s);
	if (cloned)
		log_warn("spool_cloned",
			 "dir=%s action=\"this is a copy of another machine's "
			 "log; it goes on under a new id\"",
			 s->dir);
	if (renew) {
		if (!v->fresh)
			log_ids_retire(ids, &ids->id, UINT64_MAX);
		ids->id = uuid_new();
	}
	renew = renew || (machine && !v->checkpoint.machine);
	s->machine = machine ? machine : v->checkpoint.machine;
	s->ids = *ids;
	s->stats.checkpoint_lost = v->lost;
	return renew;
}

/* ---- files that are not part of the log ---- */

static void unlink_left_over(const struct spool *s)
{
	char *path = xasprintf("%s/checkpoint.new", s->dir);

	unlink(path);
	free(path);
	segments_sweep(s->dir);
}

static void set_foreign_aside(const struct spool *s, const struct view *v)
{
	for (size_t i = 0; i < v->foreign.count; i++)
		segment_set_aside(s->dir, v->foreign.list[i].base,
				  "it belongs to another log");
}

/* ---- the records behind the checkpoint ---- */

static void keep_bad(const struct spool *s, const struct view *v,
		     const struct found *f)
{
	const struct segment *segment =
	    segments_find(&v->segments, f->position);

	if (segment && segment->base <= f->position)
		aside_keep(s->dir, segment->base, f->position, f->next);
}

static void tell(struct spool *s, const struct view *v, const struct found *f)
{
	struct spool_record record = {
	    .position = f->position,
	    .next = f->next,
	    .appended_at_us = f->header_good ? f->record.appended_at_us : 0,
	    .batch = f->batch,
	    .err = f->err,
	};
	char quoted[LOG_QUOTE_BYTES];

	if (view_is_void(f))
		return;
	if (!f->batch) {
		keep_bad(s, v, f);
		s->stats.bad_records++;
		log_error("spool_bad_record",
			  "dir=%s position=%" PRIu64 " next=%" PRIu64
			  " error=%s",
			  s->dir, f->position, f->next,
			  log_quote(quoted, f->err.text));
	}
	if (s->events.recovered)
		s->events.recovered(s->events.arg, &record);
}

/* Tells every record from `position` on; s->end becomes the end of the log. */
static int scan(struct spool *s, struct view *v, uint64_t position,
		struct err *err)
{
	struct found f;
	int rc;

	s->bad_from = position;
	while ((rc = view_next(v, position, &f, err)) == 1) {
		tell(s, v, &f);
		batch_unref(&f.batch);
		position = f.next;
	}
	s->end = position;
	s->bad_to = s->end;
	return rc;
}

/* ---- the tail ---- */

/*
 * Cuts what lies behind the end. It was never durable, and can never be taken
 * for records again: what follows is written to a new file whose base voids it.
 */
static void cut_tail(struct spool *s, struct view *v)
{
	struct segments *t = &v->segments;

	while (t->count && t->list[t->count - 1].base >= s->end) {
		const struct segment *last = &t->list[t->count - 1];

		if (last->header_good)
			segment_unlink(s->dir, last->base);
		else
			segment_set_aside(s->dir, last->base,
					  "its header is damaged and nothing "
					  "in it belongs to the log");
		t->count--;
	}
	if (t->count && t->list[t->count - 1].end > s->end) {
		struct segment *last = &t->list[t->count - 1];

		/* Often an overwritten file's stale bytes, and no loss. */
		log_info("spool_tail_cut",
			 "dir=%s position=%" PRIu64 " bytes=%" PRIu64, s->dir,
			 s->end, last->end - s->end);
		last->end = s->end;
		segment_trim(s->dir, last->base, s->end);
	}
}

/* Reads the records from `position` to the end into memory. */
static int load_tail(struct spool *s, struct view *v, uint64_t position,
		     struct err *err)
{
	struct found f;
	int rc = 0;

	while (position < s->end &&
	       (rc = view_next(v, position, &f, err)) == 1) {
		struct spool_entry entry = {
		    .position = position, .next = f.next, .batch = f.batch};

		if (!f.batch)
			return err_wrap(&f.err, "%s changed while it was read",
					s->dir);
		entry.appended_at_us = f.record.appended_at_us;
		ring_push(&s->ring, &entry);
		position = f.next;
	}
	return rc < 0 ? -1 : 0;
}

static int write_tail(struct spool *s, uint64_t base, int64_t reserve_bytes,
		      struct err *err)
{
	struct segment_header header = {.log = s->ids.id, .base = base};
	struct spool_commit *c = &s->commit;
	const struct spool_ring *ring = &s->ring;
	size_t count = (size_t)(ring->tail - ring->head);
	int rc = -1;

	if (segment_begin(s->dir, &header, reserve_bytes, &c->fd, err) != 0)
		return -1;
	free(c->path);
	c->path = segment_path(s->dir, base);
	c->base = base;
	c->taken = xreallocarray(c->taken, count, sizeof(*c->taken));
	c->size = count;
	for (size_t i = 0; i < count; i++)
		c->taken[i] = *ring_at(ring, ring->head + i);
	if (spool_write(s, c->taken, count, err) == 0)
		rc = segment_publish(s->dir, base, c->fd, err);
	if (rc != 0) {
		close(c->fd);
		c->fd = -1;
	}
	return rc;
}

/*
 * Nothing proves that the last records before a crash are on disk: they may
 * live in the page cache only, and a sync that failed before says nothing the
 * second time. They are written to a new segment, which takes its name when
 * they are durable, so that the old ones are never void too early.
 */
static int secure_tail(struct spool *s, struct view *v, struct err *err)
{
	uint64_t from = v->proven;
	int64_t bytes = (int64_t)(s->end - from);
	int64_t wish = s->options.segment_bytes;
	struct segment segment = {
	    .base = from, .end = s->end, .header_good = true, .log = s->ids.id};
	struct segments *t = &v->segments;

	if (from == s->end)
		return 0;
	if (load_tail(s, v, from, err) != 0)
		return -1;
	/* On an almost full disk the tail alone, on a full one the reserve. */
	if (write_tail(s, from, wish > bytes ? wish : bytes, err) != 0 &&
	    (err->code != ENOSPC || write_tail(s, from, bytes, err) != 0) &&
	    (err->code != ENOSPC || !spool_release_reserve(s) ||
	     write_tail(s, from, bytes, err) != 0))
		return -1;
	FAILPOINT("spool_tail_written");
	/* Their records are in the new segment, which they must not void. */
	while (t->count && t->list[t->count - 1].base > from)
		segment_set_aside(s->dir, t->list[--t->count].base,
				  "its header is damaged; its records were "
				  "written again");
	if (t->count && t->list[t->count - 1].base < from) {
		t->list[t->count - 1].end = from;
		segment_trim(s->dir, t->list[t->count - 1].base, from);
	}
	segments_push(t, &segment);
	return 0;
}

/* ---- all of it ---- */

static uint64_t scan_from(const struct spool *s, const struct view *v)
{
	const struct checkpoint *c = &v->checkpoint;
	uint64_t from = s->events.recovered ? c->covered : c->durable;

	return from > c->first ? from : c->first;
}

/*
 * Freed segments go with the next checkpoint: of the one that was found nobody
 * knows whether its name is on disk, and the one before it needs them.
 */
static bool has_freed(const struct view *v)
{
	const struct segments *t = &v->segments;

	return t->count && t->list[0].end <= v->checkpoint.first &&
	       t->list[0].base < v->checkpoint.first;
}

static void adopt(struct spool *s, struct view *v)
{
	const struct checkpoint *c = &v->checkpoint;

	s->durable = s->end;
	s->written = s->ring.tail;
	s->checkpoint_at = c->durable;
	s->checkpoint_wanted = has_freed(v);
	s->current.position = c->covered;
	s->current.first = c->first;
	if (c->bytes) {
		s->current.data = xmemdup0(c->data, c->bytes);
		s->current.bytes = c->bytes;
		s->found = xmemdup0(c->data, c->bytes);
		s->found_bytes = c->bytes;
	}
	s->segments = v->segments;
	memset(&v->segments, 0, sizeof(v->segments));
	for (size_t i = 0; i < s->segments.count; i++)
		s->disk_bytes += SEGMENT_HEADER_BYTES +
				 s->segments.list[i].end -
				 s->segments.list[i].base;
	/* Those whose end is known now; later records carry the new id. */
	for (uint32_t i = 0; i < s->ids.former_count; i++)
		if (s->ids.until[i] == UINT64_MAX)
			s->ids.until[i] = s->end;
}

/* Former ids of which no record is left. */
static void forget_former(struct log_ids *ids, uint64_t first)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < ids->former_count; i++) {
		if (ids->until[i] <= first)
			continue;
		ids->former[kept] = ids->former[i];
		ids->until[kept++] = ids->until[i];
	}
	ids->former_count = kept;
}

static int write_first_checkpoint(struct spool *s, const struct view *v,
				  struct err *err)
{
	struct checkpoint c = v->checkpoint;

	c.ids = s->ids;
	c.machine = s->machine;
	if (c.durable < v->proven)
		c.durable = v->proven;
	if (c.durable < c.first)
		c.durable = c.first;
	if (checkpoint_write(s->dir, &c, err) == 0)
		return 0;
	if (err->code != ENOSPC || !spool_release_reserve(s))
		return -1;
	return checkpoint_write(s->dir, &c, err);
}

int spool_recover(struct spool *s, struct err *err)
{
	struct view v;
	bool renewed;
	int rc = -1;

	if (view_open(&v, s->dir, err) != 0)
		return -1;
	unlink_left_over(s);
	forget_former(&v.checkpoint.ids, v.checkpoint.first);
	renewed = settle_identity(s, &v);
	set_foreign_aside(s, &v);
	/* The new id must be known before a record carries it. */
	v.reader.ids = &s->ids;
	if (renewed && write_first_checkpoint(s, &v, err) != 0)
		goto out;
	s->first = v.checkpoint.first;
	if (scan(s, &v, scan_from(s, &v), err) != 0)
		goto out;
	cut_tail(s, &v);
	if (secure_tail(s, &v, err) != 0)
		goto out;
	adopt(s, &v);
	rc = 0;
out:
	view_close(&v);
	return rc;
}
