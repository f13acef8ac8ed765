/* DuckDB's C API and what its users here share; private to this folder. */
#ifndef WEFT_LAKE_DUCK_IMPL_H
#define WEFT_LAKE_DUCK_IMPL_H

#include <duckdb.h>

#include "lake/duck.h"

struct duck_table;

struct duck {
	duckdb_database db;
	duckdb_connection connection;
	char *temp_dir;
	struct duck_table *tables; /* registered ones, newest first */
	bool rows_failed;	   /* some table's fill did, with rows_err */
	struct err rows_err;
	bool watches;  /* for tables that are missing */
	char *missing; /* the last that a statement named */
};

/* Fills *err from what DuckDB says of a failed statement. Returns -1. */
int duck_fail(struct duck *d, struct err *err, const char *text);

/* Runs a prepared statement, which is taken. As duck_query(). */
int duck_result_start(struct duck *d, duckdb_prepared_statement statement,
		      struct duck_result **result, struct err *err) MUST_CHECK;

void duck_tables_free(struct duck *d);

/* A vector of a result: how its values are read. */
struct duck_column {
	duckdb_type type;     /* of the value */
	duckdb_type physical; /* of a decimal or enum, else type */
	uint8_t scale;
	uint64_t array_size; /* of an ARRAY */
	duckdb_logical_type logical;
	char *name; /* of a struct's member */
	const void *data;
	const uint64_t *valid; /* NULL: all are */
	struct duck_column *children;
	uint32_t child_count;
};

/* Reads `logical` (taken). False when it is of a type without a text. */
bool duck_column_init(struct duck_column *c, duckdb_logical_type logical);
void duck_column_free(struct duck_column *c);
/* Points it, and all in it, to the data of a vector. */
void duck_column_point(struct duck_column *c, duckdb_vector vector);
bool duck_column_null(const struct duck_column *c, uint64_t row);
int64_t duck_column_int(const struct duck_column *c, uint64_t row);
/* quoted: as a part of JSON text. */
void duck_column_text(const struct duck_column *c, uint64_t row, bool quoted,
		      struct buf *out);

#endif
