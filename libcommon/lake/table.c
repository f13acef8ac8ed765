#include "lake/table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/uuid.h"
#include "lake/table_inside.h"

struct table *table_new(const struct table_options *options)
{
	struct table *t = xcalloc(1, sizeof(*t));

	t->options = *options;
	t->path = xstrdup(options->path);
	t->scratch = xstrdup(options->scratch);
	t->app_id = xstrdup(options->app_id);
	t->codec = xstrdup(options->codec);
	t->engine = xstrdup(options->engine);
	return t;
}

void table_free(struct table **table)
{
	struct table *t = *table;

	if (!t)
		return;
	table_drop(t);
	rows_free(&t->rows);
	buf_free(&t->columns);
	recent_free(&t->recent);
	delta_close(&t->delta);
	table_cache_free(t);
	free(t->path);
	free(t->scratch);
	free(t->app_id);
	free(t->codec);
	free(t->engine);
	free(t);
	*table = NULL;
}

bool table_prepared(const struct table *t)
{
	return t->prepared;
}

const struct table_counts *table_get_counts(const struct table *t)
{
	return &t->counts;
}

/* What lies at the store but is in no commit, nor will be: a vacuum would find
 * it as well, so a failure is only told. */
static void remove_upload(struct table *t)
{
	char *name = xasprintf("%s/%s", t->path, t->name);
	char quoted[LOG_QUOTE_BYTES];
	struct err err;

	if (store_remove(t->options.store, name, &err) != 0)
		log_warn("orphan_left", "file=%s error=%s", name,
			 log_quote(quoted, err.text));
	free(name);
}

/* Rows that were prepared are in the table, or soon may be. Of a range that is
 * prepared again the events may be gone. */
static void remember(struct table *t)
{
	for (size_t i = 0; i < t->range.count && t->hashes; i++)
		if (t->hashes[i])
			recent_add(t->recent, t->hashes[i],
				   t->range.last_at_us);
}

void table_drop(struct table *t)
{
	/* Once its positions are passed over nothing else would. */
	if (t->doubtful)
		remember(t);
	if (t->touched && !t->doubtful)
		remove_upload(t);
	if (t->file)
		unlink(t->file);
	free(t->file);
	free(t->name);
	free(t->hashes);
	t->file = t->name = NULL;
	t->hashes = NULL;
	schema_unref(&t->schema);
	parquet_written_free(&t->written);
	t->prepared = t->touched = t->uploaded = t->doubtful = false;
}

static int load(struct table *t, struct err *err)
{
	const struct table_options *o = &t->options;

	if (!t->delta)
		return delta_open(&t->delta, o->store, o->duck, t->path, err);
	if (t->stale && delta_refresh(t->delta, err) != 0)
		return -1;
	t->stale = false;
	return 0;
}

/* Events whose positions the table has, or are known to be no rows. */
static size_t skip_committed(struct table *t)
{
	struct table_range *r = &t->range;
	size_t left = 0;

	t->txn_from = delta_txn(t->delta, t->app_id);
	for (size_t i = 0; i < r->count; i++) {
		struct lake_event *e = &r->events[i];

		e->skip = e->bad || (t->txn_from > 0 &&
				     e->position < (uint64_t)t->txn_from);
		left += !e->skip;
	}
	return left;
}

/* What the table becomes to take rows of one contract more. */
static int widen(struct table *t, const struct contract *contract,
		 struct err *err)
{
	struct schema *wanted = schema_of_contract(contract);
	struct schema *merged = NULL;
	bool changed;
	int rc = 0;

	if (!t->schema) {
		t->schema = wanted;
		return 0;
	}
	rc = schema_merge(&merged, t->schema, wanted, &changed, err);
	schema_unref(&wanted);
	if (rc != 0)
		return err_wrap(err, "table %s, contract %s version %u",
				t->path, contract->name, contract->version);
	schema_unref(&t->schema);
	t->schema = merged;
	return 0;
}

/* The columns of the table and of all contracts that its events name. */
static int merge_schemas(struct table *t, struct err *err)
{
	const struct contract *last = NULL;

	if (delta_version(t->delta) >= 0)
		t->schema = schema_ref(
		    (struct schema *)(uintptr_t)delta_schema(t->delta));
	for (size_t i = 0; i < t->range.count; i++) {
		const struct lake_event *e = &t->range.events[i];

		if (e->skip || e->contract == last)
			continue;
		last = e->contract;
		if (widen(t, last, err) != 0)
			return -1;
	}
	return 0;
}

void table_sweep(struct table *t, size_t from)
{
	struct err why;

	for (size_t i = from; i < t->range.count; i++) {
		struct lake_event *e = &t->range.events[i];

		if (e->skip || rows_check(t->rows, e, &why) == 0)
			continue;
		e->bad = e->skip = true;
		t->options.bad(t->options.arg, e, &why);
	}
}

/*
 * Writes the scratch file. 1: done; 0: some events turned out to be no rows,
 * and are marked, so that what was said of the others is to be looked at anew.
 */
static int convert(struct table *t, struct err *err)
{
	size_t bad;

	rows_set(t->rows, t->range.events, t->range.count);
	if (rows_write(t->rows, t->options.duck, t->file, t->codec, &t->written,
		       err) == 0)
		return 1;
	bad = rows_bad_event(t->rows);
	if (bad == SIZE_MAX)
		return -1;
	table_sweep(t, bad);
	/* What no check finds can only be our own mistake: do not go round. */
	if (!t->range.events[bad].bad)
		return -1;
	return 0;
}

/* Rows remember which columns had values, as long as the columns stay. */
static void renew_rows(struct table *t)
{
	struct buf columns = {0};

	schema_print_delta(t->schema, &columns);
	if (t->rows && columns.used == t->columns.used &&
	    memcmp(columns.data, t->columns.data, columns.used) == 0) {
		buf_free(&columns);
		return;
	}
	rows_free(&t->rows);
	t->rows = rows_new(t->schema);
	buf_free(&t->columns);
	t->columns = columns;
}

static void new_names(struct table *t)
{
	struct uuid id = uuid_new();
	char text[UUID_TEXT_BYTES];

	uuid_format(&id, text);
	t->name = xasprintf("part-%s.%s.parquet", text, t->codec);
	t->file = xasprintf("%s/%s.parquet", t->scratch, text);
}

static int make_rows(struct table *t, struct err *err)
{
	size_t left = skip_committed(t);
	int done = left == 0;

	if (left && merge_schemas(t, err) != 0)
		return -1;
	if (left)
		renew_rows(t);
	new_names(t);
	while (!done) {
		skip_committed(t);
		done = table_find_duplicates(t, err);
		if (done > 0)
			done = convert(t, err);
	}
	return done < 0 ? -1 : 0;
}

/* Leaves the hashes of those alone that become rows. */
static void keep_hashes_of_rows(struct table *t)
{
	for (size_t i = 0; i < t->range.count && t->hashes; i++)
		if (t->range.events[i].skip)
			t->hashes[i] = 0;
}

int table_prepare(struct table *t, const struct table_range *range,
		  struct err *err)
{
	table_drop(t);
	t->range = *range;
	if (load(t, err) != 0 || make_rows(t, err) != 0) {
		table_drop(t);
		t->stale = true;
		return -1;
	}
	keep_hashes_of_rows(t);
	t->prepared = true;
	return 0;
}

/* The range is in the table. */
static void finish(struct table *t)
{
	for (size_t i = 0; i < t->range.count && t->hashes; i++) {
		const struct lake_event *e = &t->range.events[i];

		if (e->skip && !e->bad &&
		    (t->txn_from < 0 || e->position >= (uint64_t)t->txn_from))
			t->counts.duplicates++;
	}
	table_drop(t);
}

static int upload(struct table *t, struct err *err)
{
	char *name = xasprintf("%s/%s", t->path, t->name);
	int rc;

	/* Whatever comes of it, something may lie there. */
	t->touched = true;
	rc = store_upload(t->options.store, name, t->file, err);
	free(name);
	t->uploaded = rc == 0;
	/* It may have moved there before it failed. */
	if (rc != 0 && access(t->file, F_OK) != 0)
		table_drop(t);
	return rc;
}

static void checkpoint(struct table *t)
{
	char quoted[LOG_QUOTE_BYTES];
	struct err err;

	if (delta_checkpoint(t->delta, t->options.checkpoint_interval, &err) !=
	    0)
		log_warn("checkpoint_failed", "table=%s error=%s", t->path,
			 log_quote(quoted, err.text));
}

/* Its commit has an answer: what that means for the files of this attempt. */
static void settle(struct table *t, enum delta_result settled, bool mine,
		   int64_t before, enum table_result *result)
{
	int64_t passed = delta_version(t->delta) - before;

	/* Ours, or of no use to anybody. */
	t->doubtful = mine;
	if (mine) {
		t->counts.commits++;
		t->counts.files++;
		t->counts.rows += (uint64_t)t->written.rows;
		t->counts.bytes += (uint64_t)t->written.bytes;
		passed--;
	}
	if (passed > 0)
		t->counts.conflicts += (uint64_t)passed;
	/* Another attempt at the same range may have had fewer events that no
	 * position tells of. */
	*result = mine && settled != DELTA_MOVED ? TABLE_DONE : TABLE_MOVED;
	if (*result == TABLE_DONE) {
		finish(t);
	} else {
		if (!mine)
			remember(t);
		table_drop(t);
	}
}

static int write_commit(struct table *t, enum table_result *result,
			struct err *err)
{
	const struct delta_add add = {
	    .name = t->name,
	    .bytes = t->written.bytes,
	    .stats = buf_str(&t->written.stats),
	};
	/*
	 * Events whose positions do not count, added when the table is beyond
	 * them: that they are there is told by their identities alone.
	 */
	bool behind = t->txn_from >= (int64_t)t->range.end;
	const struct delta_commit commit = {
	    .app_id = behind ? NULL : t->app_id,
	    .txn_version = (int64_t)t->range.end,
	    .txn_from = t->txn_from,
	    .schema = t->schema,
	    .adds = &add,
	    .add_count = 1,
	    .operation = "WRITE",
	    .engine = t->engine,
	};
	int64_t before = delta_version(t->delta);
	enum delta_result settled;
	bool mine, uncertain;

	if (delta_write(t->delta, &commit, &settled, &mine, &uncertain, err) ==
	    0) {
		settle(t, settled, mine, before, result);
		return 0;
	}
	t->doubtful = uncertain;
	t->stale = true;
	/* Certainly not made, and not by trying the same again. */
	if (!uncertain && !err->retriable)
		table_drop(t);
	return -1;
}

int table_commit(struct table *t, enum table_result *result, struct err *err)
{
	*result = TABLE_DONE;
	if (t->written.rows == 0) {
		finish(t);
		return 0;
	}
	if (!t->uploaded && upload(t, err) != 0)
		return -1;
	FAILPOINT("table_uploaded");
	if (write_commit(t, result, err) != 0)
		return -1;
	FAILPOINT("table_committed");
	checkpoint(t);
	return 0;
}
