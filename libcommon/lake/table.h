/*
 * One Delta table of which this process is the writer: turns events of its log
 * into rows, each once. What the table holds is told by its txn action, whose
 * version is a position of the log: everything before it is in. Blocks; one
 * thread per table, that of its store and of its DuckDB.
 *
 * The work of one range of the log is prepared (duplicates found, a Parquet
 * file made), then committed. Several tables of one range are all prepared
 * before the first is committed.
 */
#ifndef WEFT_LAKE_TABLE_H
#define WEFT_LAKE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "lake/delta.h"
#include "lake/duck.h"
#include "lake/recent.h"
#include "lake/rows.h"
#include "lake/store.h"

struct table;

/* Everything is borrowed and outlives the table, but texts, which are copied.
 */
struct table_options {
	struct store *store;
	struct duck *duck;
	const char *path;    /* under the store's root: "Tables/orders" */
	const char *scratch; /* a local folder that is there */
	const char *app_id;  /* "weft/<log id>/<table>" */
	const char *codec;   /* as parquet_write() */
	const char *engine;  /* commitInfo: "weft/0.1.0" */
	int64_t checkpoint_interval; /* commits */
	int64_t cache_bytes;	     /* of files fetched to compare with */
	int64_t window_us;	     /* of log time */
	struct recent_budget *budget;
	/*
	 * Told of each event that cannot become a row, when table_prepare()
	 * finds it; it has `bad` set and is left out.
	 */
	void (*bad)(void *arg, struct lake_event *e, const struct err *why);
	void *arg;
};

struct table_counts {
	uint64_t commits, conflicts, duplicates, compared;
	uint64_t rows, files, bytes;
};

/* No network is used: a table is loaded when something is prepared. */
struct table *table_new(const struct table_options *options);
/* Leaves what it had uploaded of an attempt that may have been committed. */
void table_free(struct table **t);

/*
 * All events of one table between two positions of the log, in its order.
 * Those at positions that the table has already are passed over. An event at
 * TABLE_NO_POSITION is never so; it must be `flagged`.
 */
#define TABLE_NO_POSITION UINT64_MAX
struct table_range {
	struct lake_event *events; /* borrowed until committed, dropped or
				    * prepared again */
	size_t count;
	uint64_t end; /* the range ends before this position */
	int64_t first_at_us, last_at_us; /* appended to the log */
};

/*
 * Loads the table if need be (again, after a failure), marks events as `skip`
 * that it has (at positions before its txn; duplicates of identities in the
 * range, in the window, or, when `flagged`, anywhere in the table), and writes
 * the others to a scratch file. Anything prepared before is dropped. 0; -1 with
 * *err: not retriable when somebody has to act, as for a breaking change of the
 * contract; then nothing is prepared, and it may be tried again all the same.
 */
int table_prepare(struct table *t, const struct table_range *range,
		  struct err *err) MUST_CHECK;
bool table_prepared(const struct table *t);

enum table_result {
	TABLE_DONE, /* the range is in the table */
	/* An earlier attempt was committed after all: prepare again. */
	TABLE_MOVED,
};

/*
 * Uploads and commits what was prepared, once, however often it is called and
 * whatever became of answers. -1 with *err: call it again if table_prepared(),
 * else prepare again. Files of an attempt are removed only on proof that it was
 * not committed and never will be.
 */
int table_commit(struct table *t, enum table_result *result,
		 struct err *err) MUST_CHECK;

/* Forgets what was prepared, if anything. */
void table_drop(struct table *t);

const struct table_counts *table_get_counts(const struct table *t);

#endif
