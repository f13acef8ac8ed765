/* What the files of lake/table*.c share; nobody else includes it. */
#ifndef WEFT_LAKE_TABLE_INSIDE_H
#define WEFT_LAKE_TABLE_INSIDE_H

#include "base/buf.h"
#include "lake/parquet.h"
#include "lake/table.h"

/* Files of the table that were fetched to be compared with. */
struct table_cache {
	char **paths;
	uint32_t count;
	int64_t bytes;
};

struct table {
	struct table_options options;
	char *path, *scratch, *app_id, *codec, *engine;
	struct delta *delta;   /* NULL: not loaded yet */
	bool stale;	       /* a failure: look again before anything else */
	struct recent *recent; /* NULL: not filled from the table yet */
	/*
	 * The window cannot be filled from the table, whose columns do not tell
	 * identities byte by byte: until this log time all is compared.
	 */
	int64_t suspect_until_us;
	struct table_cache cache;
	struct rows *rows;
	struct buf columns; /* of rows, as a schemaString */
	struct table_counts counts;

	/* What is prepared. */
	bool prepared;
	bool doubtful; /* its commit may have happened */
	bool touched;  /* there may be a part of the file at the store */
	bool uploaded; /* … all of it */
	struct table_range range;
	struct schema *schema;
	struct parquet_written written;
	int64_t txn_from;
	char *file;	  /* scratch */
	char *name;	  /* relative to the table */
	uint64_t *hashes; /* of identities, 0: none, or no row */
};

/*
 * Marks duplicates among the events of t->range that are not skipped yet
 * (table_dedup.c). t->schema and t->rows are there. 1: done; 0: what was known
 * of the events or the table has changed, begin anew; -1 *err.
 */
int table_find_duplicates(struct table *t, struct err *err) MUST_CHECK;

/* Marks all events that cannot become rows, and tells of them. */
void table_sweep(struct table *t, size_t from);

/*
 * Looks the identities of `events` up in the table (table_compare.c): sets
 * found[i] where it has that of events[i], of the first `whole` in all of its
 * files, of the others in those that are not older than since_us.
 */
struct table_wanted {
	const struct lake_event *events;
	size_t count, whole;
	int64_t since_us;
};
int table_compare(struct table *t, const struct table_wanted *wanted,
		  bool *found, struct err *err) MUST_CHECK;

/*
 * Calls fn with the identity, as a batch's index has it, of all rows of files
 * that are not older than since_us. The identity is that of `contract`.
 */
int table_each_recent(struct table *t, const struct contract *contract,
		      int64_t since_us,
		      void (*fn)(void *arg, const char *id, size_t bytes),
		      void *arg, struct err *err) MUST_CHECK;

/* Whether a file may hold what was appended from since_us on. */
bool table_is_recent(const struct delta_file *file, int64_t since_us);

/*
 * Makes files of the table readable and appends their paths as a SQL list:
 * those that `files` marks, from number *next on, as many as go at once. *next
 * moves behind them. 1, 0 when there are none left, -1 (table_files.c).
 */
int table_next_files(struct table *t, const bool *files, uint32_t *next,
		     struct buf *list, struct err *err) MUST_CHECK;
void table_cache_free(struct table *t);

#endif
