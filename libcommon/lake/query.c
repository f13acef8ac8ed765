#include "lake/query.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"

/* Names a file in the rows of read_parquet(); no column is called so. */
#define FILE_COLUMN "weft file"

/* A statement with one of these may ask for tables that it does not name. */
static const char *const listings[] = {"show",		"information_schema",
				       "pg_catalog",	"duckdb_columns",
				       "duckdb_tables", "duckdb_views"};

void query_init(struct query *q, struct catalog *catalog)
{
	*q = (struct query){.catalog = catalog};
}

void query_free(struct query *q)
{
	cache_close(&q->cache);
	*q = (struct query){0};
}

/* ---- the SQL of a table ---- */

static int file_path(struct query *q, const struct delta_file *file,
		     struct buf *path, struct err *err)
{
	const struct catalog_options *o = &q->catalog->options;

	buf_clear(path);
	if (store_local_path(q->catalog->store, file->name, path))
		return 0;
	buf_clear(path);
	if (!q->cache.dir &&
	    cache_open(&q->cache, o->cache_dir, o->cache_bytes, err) != 0)
		return -1;
	return cache_fetch(&q->cache, q->catalog->store, file->name,
			   file->bytes, path, err);
}

/* The paths of all files as a list, and a row of each with its values. */
static int print_files(struct query *q, struct delta *t, struct buf *list,
		       struct buf *values, struct err *err)
{
	struct buf path = {0};
	int rc = 0;

	for (uint32_t i = 0; i < delta_file_count(t) && rc == 0; i++) {
		const struct delta_file *f = delta_file_at(t, i);

		rc = file_path(q, f, &path, err);
		buf_text(list, i ? "," : "");
		duck_path(list, buf_str(&path));
		buf_text(values, i ? ",(" : "(");
		duck_literal(values, path.data, path.used);
		for (uint32_t p = 0; p < delta_partition_count(t); p++) {
			const char *value = f->partition[p];

			buf_char(values, ',');
			/* The protocol's null is an empty text. */
			if (value && *value)
				duck_literal(values, value, strlen(value));
			else
				buf_text(values, "NULL::VARCHAR");
		}
		buf_char(values, ')');
	}
	buf_free(&path);
	return rc;
}

/* The number of a partition column, or -1. */
static int partition_of(const struct delta *t, const struct column *column)
{
	for (uint32_t p = 0; p < delta_partition_count(t); p++)
		if (strcasecmp(delta_partition_column(t, p), column->name) == 0)
			return (int)p;
	return -1;
}

static bool is_binary(const struct column *column)
{
	return column->type == COLUMN_OTHER && column->child_count == 0 &&
	       strcmp(column->delta_type, "binary") == 0;
}

/* What the table shows, each as a column of its type. */
static void print_columns(const struct delta *t, struct buf *sql)
{
	const struct schema *s = delta_schema(t);

	for (uint32_t i = 0; i < schema_count(s); i++) {
		const struct column *column = schema_at(s, i);
		int p = partition_of(t, column);

		buf_text(sql, i ? ", " : "");
		if (p >= 0 && is_binary(column)) {
			buf_printf(sql, "encode(p.\"v%d\")", p);
		} else {
			buf_text(sql, "CAST(");
			if (p >= 0)
				buf_printf(sql, "p.\"v%d\"", p);
			else
				duck_name(sql, column->name);
			buf_text(sql, " AS ");
			schema_print_duck(column, sql);
			buf_char(sql, ')');
		}
		buf_text(sql, " AS ");
		duck_name(sql, column->name);
	}
}

/* No rows of all columns that files hold, and of the file's name. */
static void print_shape(const struct delta *t, struct buf *sql)
{
	const struct schema *s = delta_schema(t);

	buf_text(sql, "SELECT NULL::VARCHAR AS \"" FILE_COLUMN "\"");
	for (uint32_t i = 0; i < schema_count(s); i++) {
		const struct column *column = schema_at(s, i);

		if (partition_of(t, column) >= 0)
			continue;
		buf_text(sql, ", NULL::");
		schema_print_duck(column, sql);
		buf_text(sql, " AS ");
		duck_name(sql, column->name);
	}
	buf_text(sql, " WHERE false");
}

static void print_partitions(const struct delta *t, const struct buf *values,
			     struct buf *sql)
{
	buf_text(sql, " f JOIN (VALUES ");
	buf_append(sql, values->data, values->used);
	buf_text(sql, ") p(\"file\"");
	for (uint32_t p = 0; p < delta_partition_count(t); p++)
		buf_printf(sql, ", \"v%u\"", p);
	buf_text(sql, ") ON f.\"" FILE_COLUMN "\" = p.\"file\"");
}

int query_print_table(struct query *q, struct delta *t, struct buf *sql,
		      struct err *err)
{
	bool parted = delta_partition_count(t) > 0;
	struct buf list = {0}, values = {0};
	int rc = print_files(q, t, &list, &values, err);

	if (parted && !delta_file_count(t)) {
		/* One row to take types from, which meets none. */
		buf_text(&values, "(NULL::VARCHAR");
		for (uint32_t p = 0; p < delta_partition_count(t); p++)
			buf_text(&values, ", NULL::VARCHAR");
		buf_char(&values, ')');
	}
	buf_text(sql, "SELECT ");
	print_columns(t, sql);
	buf_text(sql, " FROM (");
	print_shape(t, sql);
	if (delta_file_count(t)) {
		buf_text(sql,
			 " UNION ALL BY NAME SELECT * FROM read_parquet([");
		buf_append(sql, list.data, list.used);
		buf_text(sql, "], union_by_name = true, hive_partitioning = "
			      "false, filename = '" FILE_COLUMN "')");
	}
	buf_char(sql, ')');
	if (parted)
		print_partitions(t, &values, sql);
	buf_free(&list);
	buf_free(&values);
	return rc;
}

/* ---- views ---- */

static int make_view(struct query *q, const char *schema, const char *name,
		     const struct buf *select, struct err *err)
{
	struct buf sql = {0};
	int rc;

	buf_text(&sql, "CREATE SCHEMA IF NOT EXISTS ");
	duck_name(&sql, schema);
	buf_text(&sql, "; CREATE VIEW ");
	duck_name(&sql, schema);
	buf_char(&sql, '.');
	duck_name(&sql, name);
	buf_text(&sql, " AS ");
	buf_append(&sql, select->data, select->used);
	rc = duck_run(q->catalog->duck, buf_str(&sql), err);
	buf_free(&sql);
	return rc;
}

/* Tables of the schema that goes without saying are in "main" as well. */
static int view_table(struct query *q, struct catalog_table *table,
		      struct err *err)
{
	struct buf select = {0};
	struct delta *t = NULL;
	int rc = catalog_load(q->catalog, table, &t, err);

	table->viewed = true;
	if (rc == 0)
		rc = query_print_table(q, t, &select, err);
	if (rc == 0 && table->plain)
		rc = make_view(q, "main", table->table, &select, err);
	if (rc == 0 && *table->schema)
		rc = make_view(q, table->schema, table->table, &select, err);
	buf_free(&select);
	delta_close(&t);
	return rc;
}

/* All of that name, whatever schema the statement means. */
static int find_table(void *arg, const char *name, struct err *err)
{
	struct query *q = arg;
	struct catalog *c = q->catalog;
	bool found = false;

	for (uint32_t i = 0; i < c->count; i++) {
		if (c->tables[i].viewed ||
		    strcasecmp(c->tables[i].table, name) != 0)
			continue;
		if (view_table(q, &c->tables[i], err) != 0)
			return -1;
		found = true;
	}
	if (found)
		return 0;
	catalog_unknown(c, name, err);
	return -1;
}

/* Tables that cannot be read are left out of what a statement lists. */
static int view_all(struct query *q, const char *sql, struct err *err)
{
	struct catalog *c = q->catalog;
	bool wanted = false;

	for (size_t i = 0; i < sizeof(listings) / sizeof(*listings); i++)
		wanted = wanted || strcasestr(sql, listings[i]);
	for (uint32_t i = 0; wanted && i < c->count; i++) {
		if (c->options.stop && atomic_load(c->options.stop))
			return err_set(err, ECANCELED, "stopped");
		if (!c->tables[i].viewed &&
		    view_table(q, &c->tables[i], err) != 0)
			q->skipped++;
	}
	return 0;
}

int query_run(struct query *q, const char *sql, struct duck_result **result,
	      struct err *err)
{
	struct duck_lookup lookup = {.find = find_table, .arg = q};

	*result = NULL;
	if (view_all(q, sql, err) != 0)
		return -1;
	return duck_select(q->catalog->duck, sql, &lookup, result, err);
}
