/*
 * DuckDB in this process: Parquet, SQL. The only user of its C API. One thread
 * per struct duck, with a stack of at least 8 MB (a worker thread has it when
 * `ulimit -s` says so, or by pthread_attr_setstacksize()); a statement blocks.
 * It can reach local files only: extensions do not load, and no settings
 * change. Errors are retriable when a disk, memory or duck_interrupt() (EINTR)
 * was the cause, and fatal when DuckDB must be opened anew.
 */
#ifndef WEFT_LAKE_DUCK_H
#define WEFT_LAKE_DUCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "lake/schema.h"

struct duck;

struct duck_options {
	const char *temp_dir; /* where it spills; made when missing */
	int64_t memory_bytes; /* its memory_limit, not a cap on RSS */
	int threads;	      /* 1 by default */
	/*
	 * Folders, ended by NULL: files elsewhere than in them and in temp_dir
	 * are out of reach. NULL: all files can be reached.
	 */
	const char *const *folders;
};

int duck_open(struct duck **d, const struct duck_options *options,
	      struct err *err) MUST_CHECK;
void duck_close(struct duck **d);

/* The temp_dir it was opened with: for files made for or by a statement. */
const char *duck_temp_dir(const struct duck *d);

/* Runs one or more statements; the result is dropped. */
int duck_run(struct duck *d, const char *sql, struct err *err) MUST_CHECK;

/* Ends the statement that runs on another thread as soon as it can. */
void duck_interrupt(struct duck *d);

/* The rows of a query, read by chunks; one result at a time. */
struct duck_result;

/*
 * One statement. Rows are made while they are read, so nothing else may run
 * before the result is freed.
 */
int duck_query(struct duck *d, const char *sql, struct duck_result **result,
	       struct err *err) MUST_CHECK;
void duck_result_free(struct duck_result **result);

/*
 * A statement of somebody else, which can do nothing but read: one SELECT
 * (FROM, VALUES, WITH, DESCRIBE, SUMMARIZE, …), or EXPLAIN of one. Functions
 * that would write or change settings, or run text as SQL, are refused. The
 * duck should have been opened with `folders`.
 *
 * `find` is called with the name of a table that the statement needs and that
 * is not there: it makes it by duck_run() and returns 0, or -1 with *err. The
 * name comes without its schema.
 */
struct duck_lookup {
	int (*find)(void *arg, const char *name, struct err *err);
	void *arg;
};
int duck_select(struct duck *d, const char *sql,
		const struct duck_lookup *lookup, struct duck_result **result,
		struct err *err) MUST_CHECK;
uint32_t duck_columns(const struct duck_result *result);
const char *duck_column_name(const struct duck_result *result, uint32_t i);
/* DuckDB's name of its type, for people. Owned by the result. */
const char *duck_column_type(struct duck_result *result, uint32_t i);
/* 1: there is a row now. 0: no more. -1: *err. */
int duck_next(struct duck_result *result, struct err *err) MUST_CHECK;
bool duck_is_null(const struct duck_result *result, uint32_t column);
/* Integers, booleans, µs or days of times; 0 for other types. */
int64_t duck_int(const struct duck_result *result, uint32_t column);
/*
 * Appends the value's text, nothing for NULL: decimals and 64-bit integers to
 * the last digit, timestamps as ISO 8601 with Z when they are of UTC, blobs in
 * hex. Lists, structs and maps are JSON.
 */
void duck_text(const struct duck_result *result, uint32_t column,
	       struct buf *out);
/* The bytes of a VARCHAR, valid until the next duck_next(). */
const char *duck_string(const struct duck_result *result, uint32_t column,
			size_t *bytes);

/* Appends 'text' as a SQL literal, or "name" as an identifier, quoted. */
void duck_literal(struct buf *sql, const char *text, size_t bytes);
void duck_name(struct buf *sql, const char *name);
/* The same of a path for read_parquet() and the like, which take patterns. */
void duck_path(struct buf *sql, const char *path);

/*
 * Rows of ours as a table. `fill` puts up to `room` rows into the chunk with
 * duck_put_*() (lake/duck_chunk.h) and returns how many; 0 ends the table; -1
 * with *err fails the statement with that error. Called on the thread of the
 * statement. In SQL it is FROM <name>(). It stays registered until replaced
 * under the same name; `schema` is referenced, arg is borrowed while
 * statements run. The chunk has all columns of the schema; those of type
 * COLUMN_OTHER stay NULL.
 */
struct duck_chunk;
struct duck_rows {
	struct schema *schema;
	int (*fill)(void *arg, struct duck_chunk *chunk, uint32_t room,
		    struct err *err);
	void (*rewind)(void *arg); /* a statement begins to read it */
	void *arg;
};
int duck_register(struct duck *d, const char *name,
		  const struct duck_rows *rows, struct err *err) MUST_CHECK;

#endif
