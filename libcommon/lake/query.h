/*
 * SQL over the Delta tables of a lake: SELECT and what else only reads. Tables
 * are opened when a statement names them.
 */
#ifndef WEFT_LAKE_QUERY_H
#define WEFT_LAKE_QUERY_H

#include "lake/cache.h"
#include "lake/catalog.h"

struct query {
	struct catalog *catalog;
	struct cache cache; /* opened when a file has to be fetched */
	uint32_t skipped;   /* tables that cannot be read, of all of them */
};

/* `catalog` is borrowed. */
void query_init(struct query *q, struct catalog *catalog);
void query_free(struct query *q);

/*
 * Runs a statement as duck_select() does. A table is "table" or "schema.table",
 * or as it is at catalog_table.version. Rows come while they are read.
 */
int query_run(struct query *q, const char *sql, struct duck_result **result,
	      struct err *err) MUST_CHECK;

/*
 * Appends the SELECT that is the table: its columns by name and type as its
 * schema has them, whatever its files have; NULL where a file lacks one.
 */
int query_print_table(struct query *q, struct delta *t, struct buf *sql,
		      struct err *err) MUST_CHECK;

#endif
