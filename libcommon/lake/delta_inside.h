/* What the files of lake/delta*.c share; nobody else includes it. */
#ifndef WEFT_LAKE_DELTA_INSIDE_H
#define WEFT_LAKE_DELTA_INSIDE_H

#include <cjson/cJSON.h>

#include "base/buf.h"
#include "lake/delta.h"

#define DELTA_VERSION_DIGITS 20
/* The largest whole number that a double, and so cJSON, tells exactly. */
#define DELTA_INT_MOST (INT64_C(1) << 53)
/* One commit is read whole: an OPTIMIZE of 100,000 files fits. */
#define DELTA_COMMIT_BYTES_MOST (256 << 20)

/* --- paths and names (delta_path.c) --- */

/* Appends a relative name as a log writes it: URI-encoded, RFC 2396. */
void delta_path_encode(struct buf *out, const char *name);

/* The name that a path of a log means, owned: %XX decoded, else verbatim. */
char *delta_path_decode(const char *path);

/*
 * The decoded path relative to the table at `table` under the store `url`,
 * owned. *outside is true when it is elsewhere (the path of a shallow clone),
 * or is none ("a//b", "../a").
 */
char *delta_path_name(const char *path, const char *url, const char *table,
		      bool *outside);

/* Puts "<table>/_delta_log/<20 digits><suffix>" into *name, and returns it. */
const char *delta_path_log(struct buf *name, const char *table, int64_t version,
			   const char *suffix);

/* --- the files of a table, live and removed (delta_files.c) --- */

struct partition_value {
	char *column;
	char *value; /* NULL is null */
};

struct data_file {
	struct delta_file file; /* path, name, stats and partition: owned */
	const char *key;	/* of name: relative to the table */
	uint64_t hash;		/* of key */
	bool live;
	bool outside;	       /* not in this table: cannot be read */
	bool known;	       /* a removed one's partition values and size */
	int64_t deleted_at_ms; /* of a removed one */
	char *tags;	       /* raw JSON object, or NULL */
	uint32_t part_count;
	struct partition_value *parts;
};

struct files {
	struct data_file **all; /* in the order in which they came */
	uint32_t count, room;
	uint32_t *slots; /* index + 1 by hash, 0 is free */
	uint32_t slot_count;
	struct data_file **live;
	uint32_t live_count;
};

void files_free(struct files *f);
struct data_file *files_find(const struct files *f, const char *key);
/* Takes *file, and frees an older one of the same key. */
void files_put(struct files *f, struct data_file **file);
void data_file_free(struct data_file **file);
/* Forgets what was removed before `before_ms`. */
void files_expire(struct files *f, int64_t before_ms);
/*
 * Makes `live` anew; the partition values of new files, or of all if `anew`,
 * come in the order of the columns given.
 */
void files_settle(struct files *f, char *const *columns, uint32_t count,
		  bool anew);

/* --- the state that a log adds up to (delta_state.c) --- */

struct txn {
	char *app_id;
	int64_t version;
	int64_t updated_at_ms; /* or -1 */
};

struct delta_state {
	int64_t version;    /* -1: nothing was read */
	int64_t checkpoint; /* the newest one's version, or -1 */
	uint64_t hash;	    /* of the version's commit; 0: was not read */
	cJSON *protocol, *metadata;
	bool fresh_schema; /* metadata came since the last settling */
	struct schema *schema;
	char **columns; /* of partitions */
	uint32_t column_count;
	struct files files;
	struct txn *txns; /* by app_id */
	uint32_t txn_count, txn_room;
};

struct delta {
	struct store *store;
	struct duck *duck;
	char *path;
	struct delta_state s;
	bool broken; /* s is half of two versions: to be loaded anew */
	bool pinned; /* an older version */
	/* A version whose commit may or may not be ours, or -1. */
	int64_t doubt;
};

void delta_state_free(struct delta_state *s);
const struct txn *delta_state_txn(const struct delta_state *s, const char *id);
/*
 * One line of a commit, or row of a checkpoint. `file` and `line` are for the
 * message. A line that fails may have been taken in part.
 */
int delta_state_apply(struct delta *t, struct delta_state *s, const char *line,
		      size_t bytes, struct err *err) MUST_CHECK;
/* All lines of the commit `version`, which becomes the state's. */
int delta_state_commit(struct delta *t, struct delta_state *s, int64_t version,
		       const struct buf *data, struct err *err) MUST_CHECK;
/*
 * To be called when all was applied: checks that it is a table, one that we can
 * read, and makes schema, columns and live files of it.
 */
int delta_state_settle(struct delta *t, struct delta_state *s,
		       struct err *err) MUST_CHECK;

/* A whole number that a double holds exactly, in *value. */
bool delta_json_int(const cJSON *item, int64_t *value);
const char *delta_json_text(const cJSON *object, const char *name);

/* --- what a table asks of its readers and writers (delta_feature.c) --- */

int delta_feature_check_read(const struct delta *t, const struct delta_state *s,
			     struct err *err) MUST_CHECK;
int delta_feature_check_write(const struct delta *t,
			      const struct delta_state *s,
			      struct err *err) MUST_CHECK;
const char *delta_state_property(const struct delta_state *s, const char *name);

/* --- what lies in _delta_log (delta_log.c) --- */

struct log_commit {
	int64_t version;
	int64_t modified_at_ms;
};

struct log_checkpoint {
	int64_t version;
	uint32_t parts; /* 0: one file without a number */
	uint32_t seen;
	bool foreign; /* of a kind that we do not read: V2 */
};

struct log_listing {
	struct log_commit *commits;
	uint32_t commit_count, commit_room;
	struct log_checkpoint *checkpoints;
	uint32_t checkpoint_count, checkpoint_room;
};

/*
 * What there is of versions `from` to `to` (INT64_MAX: all), in order. The
 * listing is emptied first.
 */
int delta_log_list(struct delta *t, int64_t from, int64_t to,
		   struct log_listing *l, struct err *err) MUST_CHECK;
void delta_log_listing_free(struct log_listing *l);
/* The version that _last_checkpoint names, or -1. */
int64_t delta_log_hint(struct delta *t);
/* Reads one commit's bytes. ENOENT. */
int delta_log_get(struct delta *t, int64_t version, struct buf *data,
		  struct err *err) MUST_CHECK;

/* --- checkpoints (delta_checkpoint_read.c) --- */

/* Applies all rows of a checkpoint; its version becomes the state's. */
int delta_checkpoint_read(struct delta *t, struct delta_state *s,
			  const struct log_checkpoint *c,
			  struct err *err) MUST_CHECK;

/* --- the parts of a commit (delta_body.c) --- */

/*
 * Appends the lines of a commit on top of t->s. `id` is its random id. -1 with
 * *err when the table does not take it.
 */
int delta_body_print(struct delta *t, const struct delta_commit *commit,
		     const char *id, struct buf *body,
		     struct err *err) MUST_CHECK;
/* Appends ,"name":"text" (or "name":"text" behind a brace). */
void delta_body_text(struct buf *out, const char *name, const char *text);

/* What is loaded is between two versions: it is loaded anew at the next use. */
void delta_spoil(struct delta *t);

/* Reads on from t->s.version; *ours if `id` (or NULL) is in what was read. */
int delta_catch_up(struct delta *t, const char *id, bool *ours,
		   struct err *err) MUST_CHECK;

#endif
