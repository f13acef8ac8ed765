/*
 * Where a lake lies: a local folder or a container of Azure Blob Storage, seen
 * as files by name under one root. Names are relative ("Tables/orders/x.json"),
 * '/'-separated, at most 1,024 bytes of any UTF-8 but control characters and
 * "" and "." and ".." parts; a call with another name fails with EINVAL.
 *
 * All calls block; one thread at a time per store. A call that fails with
 * err->retriable may be tried again by whoever knows how long to wait: stores
 * try again themselves only what is safe, within their deadline.
 *
 * What get, fetch and list have shown survives power loss, even what a process
 * made that was killed before it synced: so who finds its own earlier work may
 * rely on it.
 */
#ifndef WEFT_LAKE_STORE_H
#define WEFT_LAKE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define STORE_NAME_BYTES 1024 /* as Azure Blob Storage has it */

struct store;

/* How a put-if-absent ended. */
enum store_put {
	STORE_CREATED,
	STORE_EXISTS, /* somebody has made that name before */
	/* The answer was lost, or does not tell: it may or may not be there.
	 * Read the name back and compare before anything else is decided. */
	STORE_UNKNOWN,
};

struct store_file {
	const char *name; /* relative to the root */
	int64_t bytes;
	int64_t modified_at_ms;
};

/* What kinds of stores are made of. Any member may block. */
struct store_kind {
	int (*put_if_absent)(struct store *s, const char *name,
			     const void *data, size_t bytes,
			     enum store_put *result, struct err *err);
	int (*upload)(struct store *s, const char *name, const char *path,
		      struct err *err);
	int (*put)(struct store *s, const char *name, const void *data,
		   size_t bytes, struct err *err);
	int (*get)(struct store *s, const char *name, size_t limit,
		   struct buf *data, struct err *err);
	int (*fetch)(struct store *s, const char *name, const char *path,
		     struct err *err);
	int (*list)(struct store *s, const char *prefix, const char *from,
		    bool (*visit)(void *arg, const struct store_file *file),
		    void *arg, struct err *err);
	int (*list_dirs)(struct store *s, const char *prefix,
			 bool (*visit)(void *arg, const char *name), void *arg,
			 struct err *err);
	int (*remove)(struct store *s, const char *name, struct err *err);
	const char *(*local_path)(struct store *s, const char *name,
				  struct buf *path);
	void (*close)(struct store *s);
};

/* The first member of each kind's own struct. */
struct store {
	const struct store_kind *kind;
	char *url; /* as given, without secrets: for messages */
};

/*
 * A folder, made if it is not there; others may read what it gets as far as the
 * umask lets them. `root` is absolute. EINVAL, ENOTDIR, EACCES …
 */
int store_open_local(struct store **s, const char *root,
		     struct err *err) MUST_CHECK;

void store_close(struct store **s);

/* Whether a store can hold a file of that name. */
bool store_is_name(const char *name);

/*
 * Creates `name` with these bytes, all or nothing and durably, unless it is
 * there; of any number of writers one gets STORE_CREATED. -1 with *err when it
 * is certain that nothing was made; with STORE_UNKNOWN *err says what happened.
 * Locally O_EXCL + link + sync of file and directory; on Blob `If-None-Match:
 * *` (409 and 412 both say it exists).
 */
int store_put_if_absent(struct store *s, const char *name, const void *data,
			size_t bytes, enum store_put *result,
			struct err *err) MUST_CHECK;

/*
 * Makes `name` a copy of the local file `path`, durable when it returns 0. The
 * name is new (data files have random names), so doing it twice does no harm.
 * Locally a rename where it can (then `path` is gone), else a copy.
 */
int store_upload(struct store *s, const char *name, const char *path,
		 struct err *err) MUST_CHECK;

/* Replaces or creates `name`; for what is a hint (`_last_checkpoint`). */
int store_put(struct store *s, const char *name, const void *data, size_t bytes,
	      struct err *err) MUST_CHECK;

/* Appends the whole of `name` to *data. ENOENT; EFBIG beyond `limit`. */
int store_get(struct store *s, const char *name, size_t limit, struct buf *data,
	      struct err *err) MUST_CHECK;

/* Copies `name` to the local file `path` (replaced). ENOENT. */
int store_fetch(struct store *s, const char *name, const char *path,
		struct err *err) MUST_CHECK;

/*
 * Visits the files whose names begin with `prefix` and are >= `from` (NULL:
 * all), in order of names as bytes, whatever their depth, until visit returns
 * false. No such folder is no error: nothing is visited. visit may use the
 * store. Not followed: links to folders below `prefix`.
 */
int store_list(struct store *s, const char *prefix, const char *from,
	       bool (*visit)(void *arg, const struct store_file *file),
	       void *arg, struct err *err) MUST_CHECK;

/*
 * Visits the folders right under `prefix` (""; or ends in '/') in order of
 * names, which are relative to the root as well and do not end in '/'.
 */
int store_list_dirs(struct store *s, const char *prefix,
		    bool (*visit)(void *arg, const char *name), void *arg,
		    struct err *err) MUST_CHECK;

/* Removes `name`; one that is not there is success. */
int store_remove(struct store *s, const char *name, struct err *err) MUST_CHECK;

/*
 * The path of `name` as a local file, in *path, or NULL when it has to be
 * fetched first.
 */
const char *store_local_path(struct store *s, const char *name,
			     struct buf *path);

#endif
