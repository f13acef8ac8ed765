/*
 * Reading V1 checkpoints, ours and others'. Each row becomes the JSON that a
 * commit would have for it, so that one piece of code knows what actions mean.
 * Others have columns that we leave alone (stats as structs), or lack some of
 * ours, so a file is asked for its columns first.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/uuid.h"
#include "lake/delta_inside.h"

/* What is taken of each kind of row. */
static const struct kind {
	const char *name;
	const char *members[12];
} kinds[] = {
    {"protocol",
     {"minReaderVersion", "minWriterVersion", "readerFeatures",
      "writerFeatures"}},
    {"metaData",
     {"id", "name", "description", "format", "schemaString", "partitionColumns",
      "configuration", "createdTime"}},
    {"txn", {"appId", "version", "lastUpdated"}},
    {"add",
     {"path", "partitionValues", "size", "modificationTime", "dataChange",
      "tags", "stats"}},
    {"remove",
     {"path", "deletionTimestamp", "dataChange", "extendedFileMetadata",
      "partitionValues", "size", "tags"}},
};
#define KINDS	(sizeof(kinds) / sizeof(kinds[0]))
#define MEMBERS (sizeof(kinds[0].members) / sizeof(kinds[0].members[0]))

/* Which columns a checkpoint's file has: a bit for each member of a kind. */
struct columns {
	bool kind[KINDS];
	uint32_t members[KINDS];
	bool parsed; /* add.stats_parsed.numRecords */
};

/* Where a walk over the flat list of a Parquet schema is. */
struct walk {
	int depth;
	int64_t left[128]; /* children still to come at each depth */
	size_t kind;	   /* of the column at depth 1, or KINDS */
	bool in_stats;
};

static void see_column(struct columns *c, struct walk *w, const char *name)
{
	if (w->depth <= 2)
		w->in_stats = false;
	if (w->depth == 1) {
		for (w->kind = 0; w->kind < KINDS; w->kind++) {
			if (strcmp(kinds[w->kind].name, name) == 0)
				break;
		}
		if (w->kind < KINDS)
			c->kind[w->kind] = true;
	} else if (w->depth == 2 && w->kind < KINDS) {
		for (size_t i = 0; i < MEMBERS; i++) {
			const char *member = kinds[w->kind].members[i];

			if (member && strcmp(member, name) == 0)
				c->members[w->kind] |= UINT32_C(1) << i;
		}
		w->in_stats = strcmp(kinds[w->kind].name, "add") == 0 &&
			      strcmp(name, "stats_parsed") == 0;
	} else if (w->depth == 3 && w->in_stats &&
		   strcmp(name, "numRecords") == 0) {
		c->parsed = true;
	}
}

/* One more of the list: a name and how many children follow it. */
static int walk_on(struct walk *w, struct columns *c, const char *name,
		   int64_t children)
{
	const int most = (int)(sizeof(w->left) / sizeof(w->left[0])) - 1;

	while (w->depth > 0 && w->left[w->depth - 1] == 0)
		w->depth--;
	if (w->depth > 0)
		w->left[w->depth - 1]--;
	see_column(c, w, name);
	if (children <= 0)
		return 0;
	if (w->depth == most)
		return -1;
	w->left[w->depth++] = children;
	return 0;
}

static int find_columns(struct duck *d, const char *path, struct columns *c,
			struct err *err)
{
	struct duck_result *result = NULL;
	struct walk w = {.kind = KINDS};
	struct buf sql = {0};
	int rc;

	buf_text(&sql, "SELECT name, coalesce(num_children, 0)::BIGINT FROM "
		       "parquet_schema(");
	duck_path(&sql, path);
	buf_char(&sql, ')');
	rc = duck_query(d, buf_str(&sql), &result, err);
	while (rc == 0 && (rc = duck_next(result, err)) == 1) {
		size_t bytes;
		const char *text = duck_string(result, 0, &bytes);
		char *name = xmemdup0(text, bytes);

		rc = walk_on(&w, c, name, duck_int(result, 1));
		free(name);
		if (rc != 0)
			err_set(err, EINVAL,
				"its columns are nested too deeply");
	}
	duck_result_free(&result);
	buf_free(&sql);
	return rc;
}

/* to_json(struct of the members it has), or NULL when the row is not of it. */
static void select_kind(const struct columns *c, size_t k, struct buf *sql)
{
	const char *separator = "";

	buf_printf(sql, "CASE WHEN \"%s\" IS NOT NULL THEN to_json({",
		   kinds[k].name);
	for (size_t i = 0; i < MEMBERS; i++) {
		if (!(c->members[k] & UINT32_C(1) << i))
			continue;
		buf_printf(sql, "%s'%s': \"%s\".\"%s\"", separator,
			   kinds[k].members[i], kinds[k].name,
			   kinds[k].members[i]);
		separator = ", ";
	}
	buf_text(sql, "})::VARCHAR END");
}

/* A row is {"<kind>":<object>}: its first part, and the object. */
static void select_rows(const struct columns *c, const char *path,
			struct buf *sql)
{
	buf_text(sql, "SELECT CASE");
	for (size_t k = 0; k < KINDS; k++) {
		if (c->kind[k])
			buf_printf(sql, " WHEN \"%s\" IS NOT NULL THEN %zu",
				   kinds[k].name, k);
	}
	buf_text(sql, " ELSE -1 END::BIGINT AS kind, coalesce(NULL");
	for (size_t k = 0; k < KINDS; k++) {
		if (!c->kind[k] || !c->members[k])
			continue;
		buf_text(sql, ", ");
		select_kind(c, k, sql);
	}
	buf_text(sql, ") AS action, ");
	buf_text(sql, c->parsed ? "\"add\".stats_parsed.numRecords::BIGINT"
				: "NULL::BIGINT");
	buf_text(sql, " AS records FROM read_parquet(");
	duck_path(sql, path);
	buf_text(sql, ")");
}

/* A file without stats as text still has its number of rows. */
static void add_records(struct delta_state *s, int64_t records)
{
	struct data_file *d = s->files.all[s->files.count - 1];

	if (!d->live || d->file.stats)
		return;
	d->file.records = records;
	d->file.stats = xasprintf("{\"numRecords\":%" PRId64 "}", records);
}

static int apply_row(struct delta *t, struct delta_state *s,
		     struct duck_result *result, struct buf *line,
		     struct err *err)
{
	int64_t kind = duck_int(result, 0);
	uint32_t before = s->files.count;
	const char *text;
	size_t bytes;

	if (kind < 0 || duck_is_null(result, 1))
		return 0;
	text = duck_string(result, 1, &bytes);
	buf_clear(line);
	buf_printf(line, "{\"%s\":", kinds[kind].name);
	buf_append(line, text, bytes);
	buf_char(line, '}');
	if (delta_state_apply(t, s, line->data, line->used, err) != 0)
		return -1;
	if (s->files.count > before && !duck_is_null(result, 2))
		add_records(s, duck_int(result, 2));
	return 0;
}

/* One file of a checkpoint, local by now. */
static int read_part(struct delta *t, struct delta_state *s, const char *path,
		     struct err *err)
{
	struct duck_result *result = NULL;
	struct columns columns = {0};
	struct buf sql = {0}, line = {0};
	int rc = find_columns(t->duck, path, &columns, err);

	if (rc == 0) {
		select_rows(&columns, path, &sql);
		rc = duck_query(t->duck, buf_str(&sql), &result, err);
	}
	while (rc == 0 && (rc = duck_next(result, err)) == 1)
		rc = apply_row(t, s, result, &line, err);
	duck_result_free(&result);
	buf_free(&sql);
	buf_free(&line);
	return rc;
}

/* Reads one file of the store, where it is or as a copy. */
static int read_file(struct delta *t, struct delta_state *s, const char *name,
		     struct err *err)
{
	struct buf local = {0};
	const char *path = store_local_path(t->store, name, &local);
	char text[UUID_TEXT_BYTES], *copy = NULL;
	struct uuid id;
	int rc = 0;

	if (!path) {
		id = uuid_new();
		copy = xasprintf("%s/%s.parquet", duck_temp_dir(t->duck),
				 uuid_format(&id, text));
		rc = store_fetch(t->store, name, copy, err);
		path = copy;
	}
	if (rc == 0)
		rc = read_part(t, s, path, err);
	if (rc != 0)
		err_wrap(err, "table %s: cannot read checkpoint %s", t->path,
			 name);
	if (copy)
		unlink(copy);
	free(copy);
	buf_free(&local);
	return rc;
}

int delta_checkpoint_read(struct delta *t, struct delta_state *s,
			  const struct log_checkpoint *c, struct err *err)
{
	uint32_t count = c->parts ? c->parts : 1;
	struct buf name = {0};
	int rc = 0;

	if (!t->duck)
		return err_set(err, EINVAL,
			       "table %s: its log has a checkpoint at version "
			       "%" PRId64 ", which is not read here",
			       t->path, c->version);
	for (uint32_t i = 1; i <= count && rc == 0; i++) {
		char suffix[64] = ".checkpoint.parquet";

		if (c->parts)
			snprintf(suffix, sizeof(suffix),
				 ".checkpoint.%010u.%010u.parquet", i, count);
		rc = read_file(
		    t, s, delta_path_log(&name, t->path, c->version, suffix),
		    err);
	}
	if (rc == 0 && (!s->protocol || !s->metadata))
		rc = err_set(err, EINVAL,
			     "table %s: its checkpoint at version %" PRId64
			     " has no protocol or no metaData",
			     t->path, c->version);
	if (rc == 0) {
		s->version = c->version;
		s->hash = 0;
	}
	buf_free(&name);
	return rc;
}
