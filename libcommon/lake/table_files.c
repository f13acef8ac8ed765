/*
 * The data files of a table as local ones: in a lake that is a folder they are,
 * others are fetched. They never change, so what was fetched may be kept.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "lake/table_inside.h"

/* Read by one statement: each costs DuckDB an open file and its footer. */
#define FILES_AT_ONCE 256

void table_cache_free(struct table *t)
{
	struct table_cache *c = &t->cache;

	for (uint32_t i = 0; i < c->count; i++) {
		unlink(c->paths[i]);
		free(c->paths[i]);
	}
	free(c->paths);
	*c = (struct table_cache){0};
}

static bool is_cached(const struct table_cache *c, const char *path)
{
	for (uint32_t i = 0; i < c->count; i++)
		if (strcmp(c->paths[i], path) == 0)
			return true;
	return false;
}

static int fetch(struct table *t, const struct delta_file *file,
		 const char *path, struct err *err)
{
	struct table_cache *c = &t->cache;

	if (is_cached(c, path))
		return 0;
	if (store_fetch(t->options.store, file->name, path, err) != 0) {
		unlink(path);
		return -1;
	}
	c->paths = xreallocarray(c->paths, c->count + 1, sizeof(*c->paths));
	c->paths[c->count++] = xstrdup(path);
	c->bytes += file->bytes;
	return 0;
}

/* Where it is or, fetched, will be. */
static char *path_of(struct table *t, const struct delta_file *file,
		     bool *remote)
{
	struct buf path = {0};
	const char *local =
	    store_local_path(t->options.store, file->name, &path);
	XXH128_hash_t hash = XXH3_128bits(file->name, strlen(file->name));
	char *owned;

	*remote = !local;
	owned = local ? xstrdup(local)
		      : xasprintf("%s/%016" PRIx64 "%016" PRIx64 ".parquet",
				  t->scratch, hash.high64, hash.low64);
	buf_free(&path);
	return owned;
}

static int add_file(struct table *t, const struct delta_file *file,
		    struct buf *list, struct err *err)
{
	bool remote;
	char *path = path_of(t, file, &remote);
	int rc = remote ? fetch(t, file, path, err) : 0;

	if (rc == 0) {
		buf_char(list, list->used ? ',' : '[');
		duck_path(list, path);
	}
	free(path);
	return rc;
}

int table_next_files(struct table *t, const bool *files, uint32_t *next,
		     struct buf *list, struct err *err)
{
	uint32_t count = delta_file_count(t->delta), taken = 0;
	int64_t bytes = 0;

	buf_clear(list);
	for (; *next < count && taken < FILES_AT_ONCE; ++*next) {
		const struct delta_file *f = delta_file_at(t->delta, *next);

		if (!files[*next])
			continue;
		if (taken && bytes + f->bytes > t->options.cache_bytes)
			break;
		if (t->cache.bytes + f->bytes > t->options.cache_bytes) {
			/* What is on the list must stay. */
			if (taken)
				break;
			table_cache_free(t);
		}
		if (add_file(t, f, list, err) != 0)
			return -1;
		bytes += f->bytes;
		taken++;
	}
	if (taken)
		buf_char(list, ']');
	return taken > 0;
}
