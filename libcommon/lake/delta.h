/*
 * A Delta table: reads its log, commits to it. Protocol reader 1, writer 2, V1
 * checkpoints (delta-io/delta PROTOCOL.md). One thread per table. All calls
 * block on the store.
 *
 * A table lives at `path` under the store's root; its log is
 * <path>/_delta_log/<20 digits>.json.
 */
#ifndef WEFT_LAKE_DELTA_H
#define WEFT_LAKE_DELTA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "lake/duck.h"
#include "lake/schema.h"
#include "lake/store.h"

struct delta;

/* One live data file. Strings belong to the table, until its next call. */
struct delta_file {
	const char *path; /* as in the log: URI-encoded, relative */
	const char *name; /* decoded, relative to the store's root */
	int64_t bytes;	  /* 0 when the log gives no size that could be one */
	int64_t modified_at_ms;
	int64_t records;   /* from stats, or -1 */
	const char *stats; /* raw JSON text, or NULL */
	/* partition values by partition column, in the table's order; NULL is
	 * null */
	const char *const *partition;
};

/*
 * Loads the newest state: `_last_checkpoint` if it is right, else by listing;
 * a checkpoint's Parquet is read by `duck` (borrowed, as is store; NULL can
 * read no checkpoint and writes none). A table that does not exist is
 * delta_version() == -1. -1 with *err when the log is broken (a missing
 * version, no metaData), names files outside the table (a shallow clone), or
 * needs reader features we lack: deletion vectors, column mapping, … are named.
 */
int delta_open(struct delta **t, struct store *store, struct duck *duck,
	       const char *path, struct err *err) MUST_CHECK;
/* The same at an older version, for time travel; never committed to. */
int delta_open_at(struct delta **t, struct store *store, struct duck *duck,
		  const char *path, int64_t version,
		  struct err *err) MUST_CHECK;
void delta_close(struct delta **t);

/* Reads what others committed since. */
int delta_refresh(struct delta *t, struct err *err) MUST_CHECK;

int64_t delta_version(const struct delta *t);
const struct schema *delta_schema(const struct delta *t);
uint32_t delta_partition_count(const struct delta *t);
const char *delta_partition_column(const struct delta *t, uint32_t i);
/* A table property ("delta.appendOnly"), or NULL. */
const char *delta_property(const struct delta *t, const char *name);
uint32_t delta_file_count(const struct delta *t);
const struct delta_file *delta_file_at(struct delta *t, uint32_t i);
/* The version that a txn action of appId has, or -1. */
int64_t delta_txn(const struct delta *t, const char *app_id);

/* A data file to add: written and uploaded already, not yet visible. */
struct delta_add {
	const char *name; /* relative to the table, not encoded */
	int64_t bytes;
	const char *stats; /* JSON text, or NULL */
};

struct delta_commit {
	const char *app_id; /* of the txn, or NULL */
	int64_t txn_version;
	/*
	 * What delta_txn() gave when the rows were chosen: the adds hold what
	 * lies between that and txn_version.
	 */
	int64_t txn_from;
	struct schema *schema; /* wanted columns; new ones are added */
	const struct delta_add *adds;
	uint32_t add_count;
	const char *operation; /* commitInfo: "WRITE", … */
	const char *engine;    /* commitInfo: "weft/0.1.0" */
};

enum delta_result {
	DELTA_COMMITTED,
	/* Our txn is there already, at txn_version or beyond: by this very
	 * commit, whose answer was lost, or by one of an earlier life. */
	DELTA_ALREADY,
	/*
	 * Our txn went to another position below txn_version since: a commit
	 * of ours that seemed lost was not. Nothing is committed now, lest its
	 * rows come twice; choose them anew from delta_txn() on.
	 */
	DELTA_MOVED,
};

/*
 * Commits at the next version that is free; creates the table when there is
 * none. A conflict or a lost answer is settled by reading what was committed
 * there: our own commit (its random id), our txn at txn_version or beyond
 * (DELTA_ALREADY) or elsewhere than txn_from (DELTA_MOVED), a foreign append
 * (tried again behind it), a change of protocol or metaData (checked anew
 * first). *mine tells whether the adds of this call are in the table.
 * *uncertain is true when a failure (-1) leaves open whether the commit
 * happened: then no file of it may be removed, and calling again with the same
 * commit is safe.
 * -1 with *err; retriable unless the table itself refuses: a type that would
 * change, a column that must not be null, constraints or features that we lack
 * (writers above 2), partition columns.
 */
int delta_write(struct delta *t, const struct delta_commit *commit,
		enum delta_result *result, bool *mine, bool *uncertain,
		struct err *err) MUST_CHECK;

/*
 * Writes a V1 checkpoint of the loaded version when it is at least `interval`
 * commits above the last, and points `_last_checkpoint` at it. A checkpoint
 * that fails harms nothing.
 */
int delta_checkpoint(struct delta *t, int64_t interval,
		     struct err *err) MUST_CHECK;

/* One commit of the history, newest first. Strings live during the visit. */
struct delta_entry {
	int64_t version;
	int64_t at_ms; /* commitInfo, or the file's time */
	const char *operation, *engine;
	int64_t files_added, files_removed, records;
};
int delta_history(struct delta *t, uint32_t limit,
		  bool (*visit)(void *arg, const struct delta_entry *entry),
		  void *arg, struct err *err) MUST_CHECK;

#endif
