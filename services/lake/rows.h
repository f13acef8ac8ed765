/* The rows of a statement, printed for people or for programs. */
#ifndef WEFT_LAKE_ROWS_H
#define WEFT_LAKE_ROWS_H

#include <stdio.h>

#include "lake/duck.h"
#include "services/lake/args.h"

/* How many rows were printed, and whether there are more than that. */
struct rows_shown {
	uint64_t count;
	bool more;
};

/*
 * Prints at most `limit` rows (0: all) to `out`: as a table, or row by row when
 * `out` is a terminal that is too narrow for it; as JSON, an object
 * a line; or as CSV (RFC 4180), where NULL is nothing and "" an empty text. -1
 * with *err when the statement fails on the way, or nobody reads (EPIPE).
 */
int rows_print(struct duck_result *r, enum form form, uint64_t limit, FILE *out,
	       struct rows_shown *shown, struct err *err) MUST_CHECK;

#endif
