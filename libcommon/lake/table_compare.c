/* Identities of events and those that a table's files hold, by DuckDB. */
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "lake/table_inside.h"

#define EVENTS "lake_candidates"
#define WANTED "lake_wanted"
/*
 * A file's time is that of its commit, by the clock of whoever wrote it; rows
 * in it may have been appended to a log just before.
 */
#define RECENT_MARGIN_US INT64_C(60000000)
bool table_is_recent(const struct delta_file *file, int64_t since_us)
{
	return file->modified_at_ms >= (since_us - RECENT_MARGIN_US) / 1000;
}

/* The table's column of part number i of the identity. */
static const struct column *part(const struct table *t,
				 const struct contract *c, uint32_t i)
{
	const char *name = c->fields[c->identity[i]].name;

	return schema_at(t->schema, (uint32_t)schema_find(t->schema, name));
}

/*
 * The identities in the files of `list` as i0, i1, …: NULL in those that do not
 * have the columns.
 */
static void put_files(struct buf *sql, const struct table *t,
		      const struct contract *c, const char *list)
{
	buf_text(sql, "(SELECT ");
	for (uint32_t i = 0; i < c->identity_count; i++) {
		duck_name(sql, part(t, c, i)->name);
		buf_printf(sql, " AS i%u%s", i,
			   i + 1 < c->identity_count ? ", " : "");
	}
	buf_text(sql, " FROM (SELECT ");
	for (uint32_t i = 0; i < c->identity_count; i++) {
		buf_text(sql, i ? ", NULL::" : "NULL::");
		schema_print_duck(part(t, c, i), sql);
		buf_text(sql, " AS ");
		duck_name(sql, part(t, c, i)->name);
	}
	buf_printf(sql,
		   " WHERE false UNION ALL BY NAME SELECT * FROM read_parquet("
		   "%s, union_by_name = true, hive_partitioning = false)))",
		   list);
}

/* The events' identities as a table of numbers n and parts i0, i1, … */
static int put_wanted(struct table *t, const struct table_wanted *wanted,
		      const struct contract *c, struct err *err)
{
	struct rows *rows = rows_new(t->schema);
	struct buf sql = {0};
	int rc;

	rows_set(rows, wanted->events, wanted->count);
	buf_text(&sql, "CREATE OR REPLACE TEMP TABLE " WANTED
		       " AS SELECT row_number() OVER () - 1 AS n");
	for (uint32_t i = 0; i < c->identity_count; i++) {
		buf_text(&sql, ", ");
		duck_name(&sql, part(t, c, i)->name);
		buf_printf(&sql, " AS i%u", i);
	}
	buf_text(&sql, " FROM " EVENTS "()");
	rc = rows_register(rows, t->options.duck, EVENTS, err);
	if (rc == 0)
		rc = duck_run(t->options.duck, buf_str(&sql), err);
	buf_free(&sql);
	rows_free(&rows);
	return rc;
}

static void put_join(struct buf *sql, const struct table *t,
		     const struct contract *c, const char *list, size_t most)
{
	buf_text(sql, "SELECT n FROM " WANTED " w SEMI JOIN ");
	put_files(sql, t, c, list);
	buf_text(sql, " f ON ");
	for (uint32_t i = 0; i < c->identity_count; i++)
		buf_printf(sql, "%sw.i%u IS NOT DISTINCT FROM f.i%u",
			   i ? " AND " : "", i, i);
	buf_printf(sql, " WHERE n < %zu AND coalesce(", most);
	/* Without any part there is nothing that two could have in common. */
	for (uint32_t i = 0; i < c->identity_count; i++)
		buf_printf(sql, "%si%u::VARCHAR", i ? ", " : "", i);
	buf_text(sql, ") IS NOT NULL");
}

static int join(struct table *t, const char *sql,
		const struct table_wanted *wanted, bool *found, struct err *err)
{
	struct duck_result *r = NULL;
	int more = duck_query(t->options.duck, sql, &r, err);

	if (more < 0)
		return -1;
	while ((more = duck_next(r, err)) > 0) {
		int64_t n = duck_int(r, 0);

		if (n >= 0 && (size_t)n < wanted->count)
			found[n] = true;
	}
	duck_result_free(&r);
	return more;
}

/* The least and the greatest identity that is looked for in all files. */
struct bounds {
	const char *column; /* NULL: not known */
	const struct lake_event *least, *greatest;
};

static int compare_ids(const struct lake_event *a, const struct lake_event *b)
{
	size_t bytes = a->id_bytes < b->id_bytes ? a->id_bytes : b->id_bytes;
	int order = memcmp(a->id, b->id, bytes);

	return order ? order : (int)a->id_bytes - (int)b->id_bytes;
}

static struct bounds find_bounds(const struct table *t,
				 const struct table_wanted *wanted,
				 const struct contract *c)
{
	struct bounds b = {0};
	const struct column *column = part(t, c, 0);

	if (c->identity_count != 1 || column->type != COLUMN_STRING ||
	    !wanted->whole)
		return b;
	b.least = b.greatest = wanted->events;
	for (size_t i = 0; i < wanted->whole; i++) {
		const struct lake_event *e = &wanted->events[i];

		if (!e->id_bytes)
			return (struct bounds){0};
		if (compare_ids(e, b.least) < 0)
			b.least = e;
		if (compare_ids(e, b.greatest) > 0)
			b.greatest = e;
	}
	b.column = column->name;
	return b;
}

static bool bound_of(const cJSON *stats, const char *which, const char *column,
		     struct lake_event *bound)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(
	    cJSON_GetObjectItemCaseSensitive(stats, which), column);

	if (!cJSON_IsString(item) || strlen(item->valuestring) > UINT16_MAX)
		return false;
	bound->id = item->valuestring;
	bound->id_bytes = (uint16_t)strlen(item->valuestring);
	return true;
}

/* Whether a file can hold any identity between the bounds, by its statistics.
 */
static bool may_hold(const struct delta_file *f, const struct bounds *b)
{
	struct lake_event least, greatest;
	bool may = true;
	cJSON *stats;

	/* cJSON's texts end at U+0000. */
	if (!b->column || !f->stats || strstr(f->stats, "\\u0000"))
		return true;
	stats = cJSON_Parse(f->stats);
	if (stats && bound_of(stats, "minValues", b->column, &least) &&
	    bound_of(stats, "maxValues", b->column, &greatest))
		may = compare_ids(&least, b->greatest) <= 0 &&
		      compare_ids(b->least, &greatest) <= 0;
	cJSON_Delete(stats);
	return may;
}

/* Joins with all files that `files` marks; only events before `most`. */
static int join_files(struct table *t, const struct table_wanted *wanted,
		      const bool *files, size_t most, bool *found,
		      struct err *err)
{
	const struct contract *c = wanted->events[0].contract;
	struct buf list = {0}, sql = {0};
	uint32_t next = 0;
	int rc;

	while ((rc = table_next_files(t, files, &next, &list, err)) > 0) {
		buf_clear(&sql);
		put_join(&sql, t, c, buf_str(&list), most);
		rc = join(t, buf_str(&sql), wanted, found, err);
		if (rc < 0)
			break;
	}
	buf_free(&list);
	buf_free(&sql);
	return rc;
}

int table_compare(struct table *t, const struct table_wanted *wanted,
		  bool *found, struct err *err)
{
	const struct contract *c = wanted->events[0].contract;
	struct bounds b = find_bounds(t, wanted, c);
	uint32_t count = delta_file_count(t->delta);
	bool *recent = xcalloc(count + 1, sizeof(*recent));
	bool *older = xcalloc(count + 1, sizeof(*older));
	int rc = put_wanted(t, wanted, c, err);

	for (uint32_t i = 0; i < count; i++) {
		const struct delta_file *f = delta_file_at(t->delta, i);

		recent[i] = table_is_recent(f, wanted->since_us);
		older[i] = !recent[i] && wanted->whole && may_hold(f, &b);
	}
	if (rc == 0)
		rc = join_files(t, wanted, recent, wanted->count, found, err);
	if (rc == 0)
		rc = join_files(t, wanted, older, wanted->whole, found, err);
	if (rc == 0)
		rc = duck_run(t->options.duck, "DROP TABLE " WANTED, err);
	free(recent);
	free(older);
	return rc;
}

static int each_row(struct table *t, const struct contract *c, const char *sql,
		    void (*fn)(void *arg, const char *id, size_t bytes),
		    void *arg, struct err *err)
{
	struct duck_result *r = NULL;
	struct buf id = {0};
	int more = duck_query(t->options.duck, sql, &r, err);

	while (more >= 0 && (more = duck_next(r, err)) > 0) {
		buf_clear(&id);
		for (uint32_t i = 0; i < c->identity_count; i++) {
			if (i)
				buf_char(&id, BATCH_PART_SEPARATOR);
			duck_text(r, i, &id);
		}
		fn(arg, id.data, id.used);
	}
	duck_result_free(&r);
	buf_free(&id);
	return more;
}

int table_each_recent(struct table *t, const struct contract *contract,
		      int64_t since_us,
		      void (*fn)(void *arg, const char *id, size_t bytes),
		      void *arg, struct err *err)
{
	uint32_t count = delta_file_count(t->delta), next = 0;
	bool *files = xcalloc(count + 1, sizeof(*files));
	struct buf list = {0}, sql = {0};
	int rc;

	for (uint32_t i = 0; i < count; i++)
		files[i] =
		    table_is_recent(delta_file_at(t->delta, i), since_us);
	while ((rc = table_next_files(t, files, &next, &list, err)) > 0) {
		buf_clear(&sql);
		buf_text(&sql, "SELECT * FROM ");
		put_files(&sql, t, contract, buf_str(&list));
		rc = each_row(t, contract, buf_str(&sql), fn, arg, err);
		if (rc < 0)
			break;
	}
	free(files);
	buf_free(&list);
	buf_free(&sql);
	return rc;
}
