#define XXH_INLINE_ALL
#include <xxhash.h>

#include "lake/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/durable.h"
#include "base/text.h"

#define ENDING ".parquet"
/* Another process may read what it used so lately, or still be fetching. */
#define GRACE_US 3600000000LL

struct kept {
	char *path;
	int64_t bytes, used_us;
};

struct listing {
	struct kept *files;
	size_t count;
};

/* Copies, and parts of some that nobody has finished. */
static bool is_ours(const char *name)
{
	return strstr(name, ENDING) != NULL;
}

static void list_one(const char *dir, const char *name, struct listing *l)
{
	char *path = xasprintf("%s/%s", dir, name);
	struct stat st;

	if (stat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
		free(path);
		return;
	}
	l->files = xreallocarray(l->files, l->count + 1, sizeof(*l->files));
	l->files[l->count++] = (struct kept){
	    .path = path,
	    .bytes = st.st_size,
	    .used_us = (int64_t)st.st_mtim.tv_sec * 1000000 +
		       st.st_mtim.tv_nsec / 1000,
	};
}

static int oldest_first(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	return (x->used_us > y->used_us) - (x->used_us < y->used_us);
}

static int list(struct cache *c, struct listing *l, struct err *err)
{
	DIR *d = opendir(c->dir);
	struct dirent *entry;

	if (!d)
		return err_errno(err, errno, "cannot list %s", c->dir);
	while ((entry = readdir(d)))
		if (is_ours(entry->d_name))
			list_one(c->dir, entry->d_name, l);
	closedir(d);
	if (l->count)
		qsort(l->files, l->count, sizeof(*l->files), oldest_first);
	c->used = 0;
	for (size_t i = 0; i < l->count; i++)
		c->used += l->files[i].bytes;
	return 0;
}

static void free_listing(struct listing *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->files[i].path);
	free(l->files);
}

int cache_open(struct cache *c, const char *dir, int64_t limit, struct err *err)
{
	struct listing l = {0};
	int rc;

	*c = (struct cache){.limit = limit, .since_us = clock_wall_us()};
	if (durable_mkdir_mode(dir, 0700, err) != 0)
		return -1;
	c->dir = xstrdup(dir);
	rc = list(c, &l, err);
	free_listing(&l);
	if (rc < 0)
		cache_close(c);
	return rc;
}

void cache_close(struct cache *c)
{
	free(c->dir);
	*c = (struct cache){0};
}

static int make_room(struct cache *c, int64_t bytes, struct err *err)
{
	struct listing l = {0};
	char limit[32];
	int rc = list(c, &l, err);

	for (size_t i = 0; i < l.count && c->used + bytes > c->limit; i++) {
		if (l.files[i].used_us > c->since_us - GRACE_US)
			break;
		if (unlink(l.files[i].path) == 0 || errno == ENOENT)
			c->used -= l.files[i].bytes;
	}
	free_listing(&l);
	if (rc == 0 && c->used + bytes > c->limit)
		return err_set(err, ENOSPC,
			       "the files to read do not fit into %s, which "
			       "may hold %s of what was used within the last "
			       "hour; raise that with --cache-size",
			       c->dir, text_format_bytes(c->limit, limit));
	return rc;
}

static int fetch(struct store *store, const char *name, const char *path,
		 struct err *err)
{
	char *part = xasprintf("%s.%ld", path, (long)getpid());
	int rc = store_fetch(store, name, part, err);

	if (rc == 0 && rename(part, path) != 0)
		rc = err_errno(err, errno, "cannot write %s", path);
	if (rc != 0)
		unlink(part);
	free(part);
	return rc;
}

int cache_fetch(struct cache *c, struct store *store, const char *name,
		int64_t bytes, struct buf *path, struct err *err)
{
	char *key = xasprintf("%s\n%s", store->url, name);
	XXH128_hash_t hash = XXH3_128bits(key, strlen(key));
	struct stat st;
	int rc = 0;

	free(key);
	buf_printf(path, "%s/%016" PRIx64 "%016" PRIx64 ENDING, c->dir,
		   hash.high64, hash.low64);
	if (stat(buf_str(path), &st) == 0 && st.st_size == bytes &&
	    utimensat(AT_FDCWD, buf_str(path), NULL, 0) == 0)
		return 0;
	if (c->used + bytes > c->limit)
		rc = make_room(c, bytes, err);
	if (rc == 0)
		rc = fetch(store, name, buf_str(path), err);
	if (rc == 0)
		c->used += bytes;
	return rc;
}
