/*
 * Repairing a log: what can be saved is written behind its end, what cannot is
 * marked as void where it lies. The order of the steps is such that a crash at
 * any point leaves a log that can be opened, or repaired again: what was saved
 * names the place where it lay, and is not saved twice.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/durable.h"
#include "spool/backup.h"
#include "spool/lock.h"
#include "spool/repair_write.h"
#include "spool/salvage.h"

struct repair {
	const char *dir;
	const struct spool_repair_options *options;
	void (*visit)(void *arg, const struct spool_problem *problem);
	void *arg;
	struct spool_repaired *result;
	struct salvage salvage;
	struct repair_writer writer;
	struct places bad; /* pairs: from, to */
	bool writing;	   /* the second walk */
	struct err err;	   /* of a callback */
};

/* ---- looking ---- */

static bool count(struct repair *r, const struct spool_problem *problem)
{
	struct spool_repaired *result = r->result;

	result->needed = true;
	if (problem->save) {
		result->saved_records++;
		result->saved_events += problem->events;
		result->saved_bytes += problem->next - problem->position;
	} else if (problem->next > problem->position) {
		result->lost_places++;
		result->lost_bytes += problem->next - problem->position;
		result->lost_events += problem->events;
	}
	r->visit(r->arg, problem);
	return true;
}

static bool on_problem(void *arg, const struct spool_problem *problem)
{
	struct repair *r = arg;

	if (!r->writing)
		return count(r, problem);
	if (!problem->save || !problem->events)
		return true;
	return repair_write_saved(&r->writer, problem, &r->err) == 0;
}

static void on_bad(void *arg, uint64_t from, uint64_t to)
{
	struct repair *r = arg;
	struct places *p = &r->bad;

	if (r->writing)
		return;
	/* One that goes on where the last ended is one with it. */
	if (p->count && p->list[p->count - 1] == from) {
		p->list[p->count - 1] = to;
		return;
	}
	places_add(p, from);
	places_add(p, to);
}

static int walk(struct repair *r, bool writing, struct err *err)
{
	struct salvage_events events = {on_problem, NULL, on_bad, r};

	r->writing = writing;
	r->err.code = 0;
	r->salvage.saved.count = r->salvage.lost.count = 0;
	r->salvage.stopped = false;
	if (salvage_walk(&r->salvage, &events, err) != 0)
		return -1;
	if (!r->err.code)
		return 0;
	*err = r->err;
	return -1;
}

/* ---- writing ---- */

/* Nobody knows what was said under the old id; it stays known in records. */
static void renew_id(struct checkpoint *c)
{
	struct uuid former = c->ids.id;

	log_ids_retire(&c->ids, &former, UINT64_MAX);
	c->ids.id = uuid_new();
	c->machine = checkpoint_machine();
	c->covered = c->first;
	c->data = NULL;
	c->bytes = 0;
}

/* Once the id is durable, records may carry it. */
static int settle_checkpoint(struct repair *r, struct err *err)
{
	struct view *v = &r->salvage.view;
	struct checkpoint *c = &v->checkpoint;

	if (!v->lost && !v->mended)
		return 0;
	if (v->lost)
		renew_id(c);
	r->result->renamed = v->lost;
	if (c->durable < v->proven)
		c->durable = v->proven;
	if (c->durable < c->first)
		c->durable = c->first;
	return checkpoint_write(r->dir, c, err);
}

/*
 * What nothing proves to be on disk is written again at its own positions, as
 * opening the log does: a new segment says that all before it is.
 */
static int write_tail(struct repair *r, uint64_t from, struct err *err)
{
	struct view *v = &r->salvage.view;
	struct found f;
	int rc;

	while (from < r->salvage.end &&
	       (rc = view_next(v, from, &f, err)) != 0) {
		if (rc < 0)
			return -1;
		if (!f.batch)
			return err_wrap(&f.err, "%s changed while it was read",
					r->dir);
		rc = repair_write_again(&r->writer, &f, err);
		batch_unref(&f.batch);
		if (rc != 0)
			return -1;
		from = f.next;
	}
	return 0;
}

/* Their records are in the new segments, which they must not void. */
static void drop_segments_behind(struct repair *r, uint64_t base)
{
	const struct segments *t = &r->salvage.view.segments;

	for (size_t i = 0; i < t->count; i++)
		if (t->list[i].base > base)
			segment_unlink(r->dir, t->list[i].base);
	for (size_t i = 0; i < r->salvage.view.foreign.count; i++)
		segment_unlink(r->dir, r->salvage.view.foreign.list[i].base);
}

static int write_records(struct repair *r, struct err *err)
{
	struct view *v = &r->salvage.view;
	uint64_t base = v->proven < r->salvage.end ? v->proven : r->salvage.end;

	if (repair_writer_begin(&r->writer, r->dir, &v->checkpoint.ids.id, base,
				err) != 0 ||
	    write_tail(r, base, err) != 0)
		return -1;
	r->result->saved_at = r->writer.position;
	if (walk(r, true, err) != 0 ||
	    repair_writer_finish(&r->writer, err) != 0)
		return -1;
	r->result->end = r->writer.position;
	drop_segments_behind(r, base);
	return 0;
}

/* A void record ends where a segment begins, though it may be empty. */
static int write_void(struct repair *r, uint64_t from, uint64_t to,
		      struct err *err)
{
	const struct view *v = &r->salvage.view;

	for (size_t i = 0; from < to; i++) {
		uint64_t end = to;
		int rc;

		if (i < v->segments.count && v->segments.list[i].base <= from)
			continue;
		if (i < v->segments.count && v->segments.list[i].base < to)
			end = v->segments.list[i].base;
		rc = repair_write_void(r->dir, &v->segments,
				       &v->checkpoint.ids.id, from, end, err);
		if (rc < 0)
			return -1;
		r->result->left += rc == 0;
		from = end;
	}
	return 0;
}

static int write_voids(struct repair *r, struct err *err)
{
	for (size_t i = 0; i + 1 < r->bad.count; i += 2)
		if (write_void(r, r->bad.list[i], r->bad.list[i + 1], err) != 0)
			return -1;
	return 0;
}

static int write_headers(struct repair *r, struct err *err)
{
	struct view *v = &r->salvage.view;

	for (size_t i = 0; i < v->segments.count; i++) {
		const struct segment *s = &v->segments.list[i];

		if (!s->header_good && s->base < r->writer.first_base &&
		    repair_write_header(r->dir, &v->checkpoint.ids.id, s->base,
					err) != 0)
			return -1;
	}
	return 0;
}

static int remove_asides(struct repair *r, struct err *err)
{
	struct aside *list;
	size_t n;

	if (aside_list(r->dir, &list, &n, err) != 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		char *path = xasprintf("%s/%s", r->dir, list[i].name);

		unlink(path);
		free(path);
	}
	aside_free(list, n);
	return durable_sync_dir(r->dir, err);
}

static int write_all(struct repair *r, struct err *err)
{
	struct checkpoint *c = &r->salvage.view.checkpoint;

	if (settle_checkpoint(r, err) != 0)
		return -1;
	if (write_records(r, err) != 0)
		return -1;
	if (write_voids(r, err) != 0 || write_headers(r, err) != 0)
		return -1;
	c->durable = r->result->end;
	if (checkpoint_write(r->dir, c, err) != 0)
		return -1;
	return remove_asides(r, err);
}

/* Nothing of it stands before the copy does. */
static int change(struct repair *r, struct err *err)
{
	struct view *v = &r->salvage.view;
	uint64_t more = r->result->saved_bytes + 2 * REPAIR_SEGMENT_BYTES;
	char *to = r->options->backup ? xstrdup(r->options->backup)
				      : backup_name(r->dir);

	if (r->salvage.end > v->proven)
		more += r->salvage.end - v->proven;
	if (backup_log(r->dir, to, more, &r->result->backup_bytes, err) != 0) {
		free(to);
		return -1;
	}
	r->result->backup = to;
	segments_sweep(r->dir);
	return write_all(r, err);
}

int spool_repair(const char *dir, const struct spool_repair_options *options,
		 void (*visit)(void *arg, const struct spool_problem *problem),
		 void *arg, struct spool_repaired *repaired, struct err *err)
{
	struct repair r = {.dir = dir,
			   .options = options,
			   .visit = visit,
			   .arg = arg,
			   .result = repaired};
	int lock = -1;
	int rc = -1;

	memset(repaired, 0, sizeof(*repaired));
	if (access(dir, X_OK) != 0)
		return err_errno(err, errno, "cannot look into %s", dir);
	if (salvage_open(&r.salvage, dir, true, err) != 0)
		return -1;
	salvage_close(&r.salvage);
	if (spool_lock(dir, &lock, err) != 0)
		return -1;
	if (salvage_open(&r.salvage, dir, true, err) != 0)
		goto out;
	r.salvage.exclusive = true;
	if (walk(&r, false, err) == 0)
		rc =
		    repaired->needed && !options->dry_run ? change(&r, err) : 0;
	repair_writer_close(&r.writer);
	salvage_close(&r.salvage);
	free(r.bad.list);
out:
	close(lock);
	return rc;
}
