/*
 * Mapped events as rows of a table: each line of JSON is parsed once and its
 * values go straight, typed and exact, into DuckDB's vectors. Numbers never
 * pass through doubles unless the column is one; dynamic columns keep the JSON
 * text as it came.
 */
#ifndef WEFT_LAKE_ROWS_H
#define WEFT_LAKE_ROWS_H

#include "contract/contract.h"
#include "lake/duck.h"
#include "lake/parquet.h"
#include "proto/batch.h"

/* One event that becomes a row. Borrowed memory; it lives in a batch. */
struct lake_event {
	const char *line; /* mapped JSON, without '\n' */
	uint32_t bytes;
	bool flagged; /* may have been delivered before, whenever that was */
	bool skip;    /* a duplicate: not to be written */
	bool bad;     /* cannot be written: skip is set too */
	uint16_t id_bytes;
	const char *id; /* its identity, as in a batch's index; 0 bytes: none */
	const struct contract *contract; /* whose names the line has */
	uint64_t position;		 /* of its record in the log */
};

/*
 * A reader of `events` as rows of `schema`: a member of the line goes to the
 * column of that name, columns without a member are NULL, `skip` ones are left
 * out. A value that does not fit its column fails the statement with an error
 * that tells which event it was (rows_bad_event()); contracts have checked
 * values, so that is rare.
 */
struct rows;
struct rows *rows_new(struct schema *schema);
void rows_free(struct rows **r);
void rows_set(struct rows *r, const struct lake_event *events, size_t count);
/* The index of the event that failed the last statement, or SIZE_MAX. */
size_t rows_bad_event(const struct rows *r);
/*
 * Whether an event can become a row: what a statement would find out, for one
 * event. -1 with *err.
 */
int rows_check(struct rows *r, const struct lake_event *e,
	       struct err *err) MUST_CHECK;
/* Makes them readable as FROM <name>(). */
int rows_register(struct rows *r, struct duck *d, const char *name,
		  struct err *err) MUST_CHECK;

/*
 * parquet_write() of the events that were set, in the order of the schema, but
 * without columns that have never had a value: readers take those as NULL, and
 * each costs as much as a short one that has. The first file has all columns,
 * and so has one in which a column gets its first value (its rows are read
 * twice). Takes the name rows().
 */
int rows_write(struct rows *r, struct duck *d, const char *path,
	       const char *codec, struct parquet_written *w,
	       struct err *err) MUST_CHECK;

#endif
