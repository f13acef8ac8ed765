/*
 * Rows to one Parquet file and the statistics that its Delta add action gets.
 */
#ifndef WEFT_LAKE_PARQUET_H
#define WEFT_LAKE_PARQUET_H

#include "base/buf.h"
#include "base/err.h"
#include "lake/duck.h"
#include "lake/schema.h"

struct parquet_written {
	int64_t rows, bytes;
	struct buf stats; /* numRecords, minValues, maxValues, nullCount */
};
void parquet_written_free(struct parquet_written *w);

/*
 * COPY (SELECT <columns of schema> FROM <source>) TO path. `source` is SQL:
 * "rows()". codec is zstd, snappy or uncompressed. The file is not synced.
 * Stats are raw number text, never through doubles; strings of max are rounded
 * up when cut (32 code points); NaN and list leaves are left out; the first 32
 * leaf columns. Zero rows leave no file.
 */
int parquet_write(struct duck *d, const struct schema *schema,
		  const char *source, const char *path, const char *codec,
		  struct parquet_written *w, struct err *err) MUST_CHECK;

#endif
