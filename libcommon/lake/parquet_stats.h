/* What DuckDB tells of a file's columns, as Delta writes it down. */
#ifndef WEFT_LAKE_PARQUET_STATS_H
#define WEFT_LAKE_PARQUET_STATS_H

#include "base/buf.h"
#include "lake/schema.h"

/* At most so many characters of a string's bounds. */
#define PARQUET_STATS_CHARACTERS 32
/* Only so many leaf columns have statistics. */
#define PARQUET_STATS_COLUMNS 32

/*
 * Appends the `stats` of an add action (PROTOCOL.md, "Per-file Statistics").
 * `columns` is JSON: {"\"path\".\"of column\"": {"min": "…", "max": "…",
 * "null_count": "…"}}, all values as text. What is missing or odd in it is left
 * out: fewer statistics cost time, wrong ones rows.
 */
void parquet_stats(const struct schema *schema, int64_t rows,
		   const char *columns, struct buf *out);

#endif
