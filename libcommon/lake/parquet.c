#include "lake/parquet.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lake/parquet_stats.h"

/* Of pages of one column the lowest level makes as little as the default, 3,
 * and takes two thirds of its time. */
#define ZSTD_LEVEL ", COMPRESSION_LEVEL 1"

void parquet_written_free(struct parquet_written *w)
{
	buf_free(&w->stats);
	*w = (struct parquet_written){0};
}

static void put_copy(struct buf *sql, const struct schema *schema,
		     const char *source, const char *path, const char *codec)
{
	buf_text(sql, "COPY (SELECT ");
	for (uint32_t i = 0; i < schema_count(schema); i++) {
		if (i)
			buf_text(sql, ", ");
		duck_name(sql, schema_at(schema, i)->name);
	}
	buf_printf(sql, " FROM %s) TO ", source);
	duck_literal(sql, path, strlen(path));
	buf_printf(sql, " (FORMAT parquet, COMPRESSION %s%s, RETURN_STATS)",
		   codec, strcmp(codec, "zstd") == 0 ? ZSTD_LEVEL : "");
}

static int64_t find_int(const struct duck_result *r, const char *name)
{
	for (uint32_t i = 0; i < duck_columns(r); i++)
		if (strcmp(duck_column_name(r, i), name) == 0)
			return duck_int(r, i);
	return -1;
}

/* The map of maps of texts that tells of each column. */
static void find_statistics(const struct duck_result *r, struct buf *json)
{
	for (uint32_t i = 0; i < duck_columns(r); i++)
		if (strcmp(duck_column_name(r, i), "column_statistics") == 0)
			duck_text(r, i, json);
}

/* What COPY tells of the file; nothing when it made none. */
static int read_answer(struct duck_result *r, const struct schema *schema,
		       struct parquet_written *w, struct err *err)
{
	struct buf json = {0};
	int more = duck_next(r, err);

	if (more <= 0)
		return more;
	w->rows = find_int(r, "count");
	w->bytes = find_int(r, "file_size_bytes");
	if (w->rows < 0 || w->bytes < 0)
		return err_set(err, EPROTO,
			       "DuckDB does not tell what it wrote");
	find_statistics(r, &json);
	parquet_stats(schema, w->rows, buf_str(&json), &w->stats);
	buf_free(&json);
	return 0;
}

/* NOLINTNEXTLINE(readability-function-size) */
int parquet_write(struct duck *d, const struct schema *schema,
		  const char *source, const char *path, const char *codec,
		  struct parquet_written *w, struct err *err)
{
	struct duck_result *r = NULL;
	struct buf sql = {0};
	int result;

	*w = (struct parquet_written){0};
	put_copy(&sql, schema, source, path, codec);
	result = duck_query(d, buf_str(&sql), &r, err);
	buf_free(&sql);
	if (result == 0)
		result = read_answer(r, schema, w, err);
	duck_result_free(&r);
	if (result < 0)
		parquet_written_free(w);
	if (w->rows == 0)
		unlink(path);
	return result;
}
