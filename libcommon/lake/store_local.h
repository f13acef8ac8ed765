/* A lake in a local folder; for the files store_local*.c only. */
#ifndef WEFT_LAKE_STORE_LOCAL_H
#define WEFT_LAKE_STORE_LOCAL_H

#include "lake/store.h"

#define LOCAL_SETTLED 64

struct local {
	struct store store;
	char *root;
	/* Directories whose names and entries were synced in our life. */
	char *settled[LOCAL_SETTLED];
	size_t settled_count;
};

/* The path of a name; the caller frees it. */
char *local_path(const struct local *l, const char *name);

/* Whether a file's own name (no folder before it) is that of an attempt. */
bool local_is_temporary(const char *name);

/*
 * Syncs a directory and its name, once: whoever made it, or a file in it, may
 * have been killed before it did. ENOENT.
 */
int local_settle(struct local *l, const char *dir, struct err *err) MUST_CHECK;

/* Says which errors may go away by themselves. Returns -1. */
int local_failed(struct err *err);

int local_list(struct store *s, const char *prefix, const char *from,
	       bool (*visit)(void *arg, const struct store_file *file),
	       void *arg, struct err *err) MUST_CHECK;
int local_list_dirs(struct store *s, const char *prefix,
		    bool (*visit)(void *arg, const char *name), void *arg,
		    struct err *err) MUST_CHECK;

#endif
