/*
 * Files of a remote lake, kept in a local folder. They never change, so a name
 * stands for its bytes for ever. Several processes may share the folder. One
 * thread per struct cache.
 */
#ifndef WEFT_LAKE_CACHE_H
#define WEFT_LAKE_CACHE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "lake/store.h"

struct cache {
	char *dir;
	int64_t limit;	  /* bytes */
	int64_t used;	  /* as far as it is known */
	int64_t since_us; /* what was used from here on stays */
};

/* Makes the folder, for its owner alone. */
int cache_open(struct cache *c, const char *dir, int64_t limit,
	       struct err *err) MUST_CHECK;
void cache_close(struct cache *c);

/*
 * Appends to *path where a local copy of `name` lies, which has `bytes` bytes;
 * it is fetched if need be, and what was not used for longest is removed for
 * it. It stays until cache_close(). ENOSPC when what was asked for since
 * cache_open() is more than the limit.
 */
int cache_fetch(struct cache *c, struct store *store, const char *name,
		int64_t bytes, struct buf *path, struct err *err) MUST_CHECK;

#endif
