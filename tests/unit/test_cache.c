/* Files of a remote lake, kept in a folder of bounded size. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lake/cache.h"
#include "test_contract_help.h"

#define BYTES 1000

struct kept {
	struct folder folder;
	struct store *store;
	char *dir;
	struct cache cache;
	struct err err;
};

/* A folder stands for the remote lake: cache_fetch() asks it the same way. */
static void begin(struct kept *k, int64_t limit)
{
	char *root;

	*k = (struct kept){0};
	folder_make(&k->folder);
	root = xasprintf("%s/lake", k->folder.path);
	k->dir = xasprintf("%s/cache/deep", k->folder.path);
	assert_int_equal(store_open_local(&k->store, root, &k->err), 0);
	assert_int_equal(cache_open(&k->cache, k->dir, limit, &k->err), 0);
	free(root);
}

static void end(struct kept *k)
{
	cache_close(&k->cache);
	store_close(&k->store);
	free(k->dir);
	folder_remove(&k->folder);
}

static void put(struct kept *k, const char *name, char filling)
{
	char data[BYTES];

	memset(data, filling, sizeof(data));
	assert_int_equal(store_put(k->store, name, data, sizeof(data), &k->err),
			 0);
}

/* The first byte of the copy, or -1. */
static int get(struct kept *k, const char *name)
{
	struct buf path = {0};
	char c = 0;
	int fd;

	if (cache_fetch(&k->cache, k->store, name, BYTES, &path, &k->err) < 0) {
		buf_free(&path);
		return -1;
	}
	fd = open(buf_str(&path), O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, &c, 1), 1);
	close(fd);
	buf_free(&path);
	return c;
}

/* As if all of it had been used three hours ago. */
static void age(struct kept *k)
{
	struct timespec times[2];
	DIR *d = opendir(k->dir);
	struct dirent *entry;

	clock_gettime(CLOCK_REALTIME, &times[0]);
	times[0].tv_sec -= 3 * 3600;
	times[1] = times[0];
	while ((entry = readdir(d)))
		utimensat(dirfd(d), entry->d_name, times, 0);
	closedir(d);
}

static unsigned count(struct kept *k)
{
	DIR *d = opendir(k->dir);
	struct dirent *entry;
	unsigned n = 0;

	while ((entry = readdir(d)))
		n += entry->d_name[0] != '.';
	closedir(d);
	return n;
}

static void a_file_is_fetched_once(void **state)
{
	struct kept k;

	(void)state;
	begin(&k, 10 * BYTES);
	put(&k, "a/x.parquet", 'x');
	put(&k, "b/x.parquet", 'y');
	assert_int_equal(get(&k, "a/x.parquet"), 'x');
	assert_int_equal(get(&k, "b/x.parquet"), 'y');
	assert_int_equal(store_remove(k.store, "a/x.parquet", &k.err), 0);
	assert_int_equal(get(&k, "a/x.parquet"), 'x');
	assert_int_equal(count(&k), 2);
	assert_int_equal(get(&k, "none"), -1);
	assert_int_equal(k.err.code, ENOENT);
	assert_int_equal(count(&k), 2);
	end(&k);
}

static void what_was_not_used_for_long_makes_room(void **state)
{
	struct kept k;

	(void)state;
	begin(&k, 2 * BYTES);
	put(&k, "a", 'a');
	put(&k, "b", 'b');
	put(&k, "c", 'c');
	get(&k, "a");
	get(&k, "b");
	age(&k);
	/* The one that is used again stays. */
	assert_int_equal(get(&k, "b"), 'b');
	assert_int_equal(get(&k, "c"), 'c');
	assert_int_equal(count(&k), 2);
	assert_int_equal(store_remove(k.store, "b", &k.err), 0);
	assert_int_equal(get(&k, "b"), 'b');
	end(&k);
}

static void what_is_in_use_stays(void **state)
{
	struct kept k;

	(void)state;
	begin(&k, 2 * BYTES);
	put(&k, "a", 'a');
	put(&k, "b", 'b');
	put(&k, "c", 'c');
	get(&k, "a");
	get(&k, "b");
	assert_int_equal(get(&k, "c"), -1);
	assert_int_equal(k.err.code, ENOSPC);
	assert_non_null(strstr(k.err.text, "--cache-size"));
	assert_int_equal(count(&k), 2);
	end(&k);
}

static void a_copy_of_another_size_is_fetched_anew(void **state)
{
	struct buf path = {0};
	struct kept k;

	(void)state;
	begin(&k, 10 * BYTES);
	put(&k, "a", 'a');
	assert_int_equal(
	    cache_fetch(&k.cache, k.store, "a", BYTES, &path, &k.err), 0);
	assert_int_equal(truncate(buf_str(&path), 10), 0);
	assert_int_equal(get(&k, "a"), 'a');
	buf_free(&path);
	end(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_file_is_fetched_once),
	    cmocka_unit_test(what_was_not_used_for_long_makes_room),
	    cmocka_unit_test(what_is_in_use_stays),
	    cmocka_unit_test(a_copy_of_another_size_is_fetched_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
