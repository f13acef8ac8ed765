/* A lake in a local folder: what a caller sees, in which order it becomes
 * durable, and what of that a failing disk changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/durable.h"
#include "lake/store.h"

static char dir[] = "/tmp/test_store.XXXXXX";
static struct err err;

/* ---- a disk that tells what it did, and fails on demand ---- */

static struct buf calls;
static bool telling;
static int fail_file, fail_dir; /* how often a sync fails */

static void tell(const char *what)
{
	if (telling)
		buf_printf(&calls, "%s ", what);
}

int fdatasync(int fd)
{
	(void)fd;
	tell("sync");
	if (fail_file > 0 && fail_file--) {
		errno = EIO;
		return -1;
	}
	return 0;
}

int fsync(int fd)
{
	(void)fd;
	tell("dir");
	if (fail_dir > 0 && fail_dir--) {
		errno = EIO;
		return -1;
	}
	return 0;
}

int link(const char *from, const char *to)
{
	static int (*real)(const char *, const char *);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "link");
	tell("link");
	return real(from, to);
}

int rename(const char *from, const char *to)
{
	static int (*real)(const char *, const char *);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "rename");
	tell("rename");
	return real(from, to);
}

static void listen_to_calls(void)
{
	buf_clear(&calls);
	telling = true;
}

static void calls_were(const char *expected)
{
	telling = false;
	assert_string_equal(buf_str(&calls), expected);
}

/* ---- helpers ---- */

static int enter(void **state)
{
	(void)state;
	umask(022);
	return !mkdtemp(dir) || chdir(dir) != 0;
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static int leave(void **state)
{
	(void)state;
	buf_free(&calls);
	return chdir("/") != 0 ||
	       nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0;
}

/* A store in a folder of the test's own. */
static struct store *store_at(const char *name)
{
	struct store *s;
	char root[200];

	snprintf(root, sizeof(root), "%s/%s", dir, name);
	if (store_open_local(&s, root, &err) != 0)
		fail_msg("%s", err.text);
	return s;
}

static enum store_put create(struct store *s, const char *name,
			     const char *text)
{
	enum store_put result;

	if (store_put_if_absent(s, name, text, strlen(text), &result, &err))
		fail_msg("%s: %s", name, err.text);
	return result;
}

static void holds(struct store *s, const char *name, const char *text)
{
	struct buf data = {0};

	if (store_get(s, name, 1000, &data, &err) != 0)
		fail_msg("%s: %s", name, err.text);
	assert_string_equal(buf_str(&data), text);
	buf_free(&data);
}

static void is_absent(struct store *s, const char *name)
{
	struct buf data = {0};

	assert_int_equal(store_get(s, name, 1000, &data, &err), -1);
	assert_int_equal(err.code, ENOENT);
	assert_false(err.retriable);
	assert_int_equal(data.used, 0);
}

static bool note_file(void *arg, const struct store_file *file)
{
	buf_printf(arg, "%s|", file->name);
	return true;
}

static bool note_dir(void *arg, const char *name)
{
	buf_printf(arg, "%s|", name);
	return true;
}

static void lists(struct store *s, const char *prefix, const char *from,
		  const char *expected)
{
	struct buf names = {0};

	if (store_list(s, prefix, from, note_file, &names, &err) != 0)
		fail_msg("%s: %s", prefix, err.text);
	assert_string_equal(buf_str(&names), expected);
	buf_free(&names);
}

static void lists_dirs(struct store *s, const char *prefix,
		       const char *expected)
{
	struct buf names = {0};

	if (store_list_dirs(s, prefix, note_dir, &names, &err) != 0)
		fail_msg("%s: %s", prefix, err.text);
	assert_string_equal(buf_str(&names), expected);
	buf_free(&names);
}

static int entries_in(const char *path)
{
	DIR *d = opendir(path);
	int count = 0;

	assert_non_null(d);
	while (readdir(d))
		count++;
	closedir(d);
	return count - 2;
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* ---- put-if-absent ---- */

static void the_first_put_wins(void **state)
{
	struct store *s = store_at("first");
	struct stat st;

	(void)state;
	assert_int_equal(create(s, "t/_delta_log/0.json", "one"),
			 STORE_CREATED);
	assert_int_equal(create(s, "t/_delta_log/0.json", "two"), STORE_EXISTS);
	holds(s, "t/_delta_log/0.json", "one");
	assert_int_equal(create(s, "empty", ""), STORE_CREATED);
	holds(s, "empty", "");
	assert_int_equal(stat("first/t/_delta_log/0.json", &st), 0);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(stat("first/t", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	store_close(&s);
	assert_null(s);
}

struct racer {
	pthread_t thread;
	int number;
	atomic_int *created, *existed;
	pthread_barrier_t *barrier;
};

static void *race(void *arg)
{
	struct racer *r = arg;
	struct store *s = store_at("race");

	for (int round = 0; round < 20; round++) {
		char name[60], text[60];
		enum store_put result;
		struct err own;

		snprintf(name, sizeof(name), "log/%05d/x.json", round);
		snprintf(text, sizeof(text), "writer %d", r->number);
		pthread_barrier_wait(r->barrier);
		if (store_put_if_absent(s, name, text, strlen(text), &result,
					&own) != 0)
			continue;
		if (result == STORE_CREATED)
			r->created[round] =
			    r->created[round] * 1000 + 1 + r->number;
		else if (result == STORE_EXISTS)
			r->existed[round]++;
	}
	store_close(&s);
	return NULL;
}

static void of_64_writers_one_creates(void **state)
{
	struct racer racers[64];
	atomic_int created[20] = {0}, existed[20] = {0};
	pthread_barrier_t barrier;
	struct store *s;

	(void)state;
	pthread_barrier_init(&barrier, NULL, 64);
	for (int i = 0; i < 64; i++) {
		racers[i] = (struct racer){.number = i,
					   .created = created,
					   .existed = existed,
					   .barrier = &barrier};
		assert_int_equal(
		    pthread_create(&racers[i].thread, NULL, race, &racers[i]),
		    0);
	}
	for (int i = 0; i < 64; i++)
		pthread_join(racers[i].thread, NULL);
	pthread_barrier_destroy(&barrier);
	s = store_at("race");
	for (int round = 0; round < 20; round++) {
		char name[60], text[60];

		assert_int_equal(existed[round], 63);
		assert_in_range(created[round], 1, 64);
		snprintf(name, sizeof(name), "log/%05d/x.json", round);
		snprintf(text, sizeof(text), "writer %d", created[round] - 1);
		holds(s, name, text);
	}
	store_close(&s);
}

static void file_then_link_then_directory_are_synced(void **state)
{
	struct store *s = store_at("order");

	(void)state;
	assert_int_equal(create(s, "log/0", "x"), STORE_CREATED);
	listen_to_calls();
	assert_int_equal(create(s, "log/1", "x"), STORE_CREATED);
	calls_were("sync link dir ");
	write_file("data.parquet", "rows");
	listen_to_calls();
	assert_int_equal(store_upload(s, "log/data", "data.parquet", &err), 0);
	calls_were("sync rename dir ");
	listen_to_calls();
	assert_int_equal(store_put(s, "log/hint", "1", 1, &err), 0);
	calls_were("sync rename dir ");
	store_close(&s);
}

static void a_file_that_does_not_sync_is_not_created(void **state)
{
	struct store *s = store_at("eio");
	enum store_put result;

	(void)state;
	assert_int_equal(create(s, "log/0", "x"), STORE_CREATED);
	fail_file = 1;
	assert_int_equal(store_put_if_absent(s, "log/1", "x", 1, &result, &err),
			 -1);
	assert_int_equal(err.code, EIO);
	assert_true(err.retriable);
	assert_false(err.fatal);
	is_absent(s, "log/1");
	lists(s, "", NULL, "log/0|");
	assert_int_equal(entries_in("eio/log"), 1);
	assert_int_equal(create(s, "log/1", "x"), STORE_CREATED);
	store_close(&s);
}

/* The commit is there but may not survive: nobody may rely on it before its
 * directory is synced. */
static void a_directory_that_does_not_sync_is_settled_first(void **state)
{
	struct store *s = store_at("unknown");
	struct buf data = {0};

	(void)state;
	assert_int_equal(create(s, "log/0", "x"), STORE_CREATED);
	fail_dir = 1;
	assert_int_equal(create(s, "log/1", "mine"), STORE_UNKNOWN);
	assert_int_equal(err.code, EIO);
	assert_non_null(strstr(err.text, "unknown/log"));
	fail_dir = 1;
	assert_int_equal(store_get(s, "log/1", 100, &data, &err), -1);
	assert_int_equal(err.code, EIO);
	assert_true(err.retriable);
	fail_dir = 1;
	assert_int_equal(store_list(s, "log/", NULL, note_file, &data, &err),
			 -1);
	assert_int_equal(data.used, 0);
	listen_to_calls();
	holds(s, "log/1", "mine");
	calls_were("dir dir ");
	listen_to_calls();
	holds(s, "log/1", "mine");
	calls_were("");
	store_close(&s);
	buf_free(&data);
}

/* What a killed process left may be found by the next one and relied on. */
static void what_another_life_made_is_synced_when_found(void **state)
{
	struct store *s = store_at("life");

	(void)state;
	assert_int_equal(create(s, "a/b/0", "x"), STORE_CREATED);
	store_close(&s);
	s = store_at("life");
	listen_to_calls();
	lists(s, "a/b/", NULL, "a/b/0|");
	calls_were("dir dir ");
	listen_to_calls();
	assert_int_equal(create(s, "a/b/1", "x"), STORE_CREATED);
	calls_were("sync link dir ");
	store_close(&s);
}

static void a_table_that_was_removed_is_made_again(void **state)
{
	struct store *s = store_at("dropped");

	(void)state;
	assert_int_equal(create(s, "t/log/0", "x"), STORE_CREATED);
	assert_int_equal(
	    nftw("dropped/t", remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	assert_int_equal(create(s, "t/log/0", "y"), STORE_CREATED);
	holds(s, "t/log/0", "y");
	store_close(&s);
}

/* ---- files ---- */

static void upload_moves_the_file(void **state)
{
	struct store *s = store_at("upload");

	(void)state;
	write_file("scratch", "rows");
	assert_int_equal(store_upload(s, "t/part-1.parquet", "scratch", &err),
			 0);
	assert_int_equal(access("scratch", F_OK), -1);
	holds(s, "t/part-1.parquet", "rows");
	assert_int_equal(store_upload(s, "t/part-2.parquet", "scratch", &err),
			 -1);
	assert_int_equal(err.code, ENOENT);
	is_absent(s, "t/part-2.parquet");
	store_close(&s);
}

static void a_failed_upload_can_be_tried_again(void **state)
{
	struct store *s = store_at("again");

	(void)state;
	write_file("scratch", "rows");
	assert_int_equal(create(s, "t/0", "x"), STORE_CREATED);
	fail_dir = 1;
	assert_int_equal(store_upload(s, "t/p", "scratch", &err), -1);
	assert_true(err.retriable);
	assert_int_equal(store_upload(s, "t/p", "scratch", &err), 0);
	holds(s, "t/p", "rows");
	store_close(&s);
}

/* Memory is another file system than the one of /tmp, on most machines. */
static void upload_copies_from_another_file_system(void **state)
{
	struct store *s = store_at("other");
	char path[] = "/dev/shm/test_store.XXXXXX";
	int fd = mkstemp(path);
	struct stat here, there;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "far rows", 8), 8);
	close(fd);
	assert_int_equal(stat(dir, &here) | stat(path, &there), 0);
	listen_to_calls();
	assert_int_equal(store_upload(s, "p", path, &err), 0);
	calls_were(here.st_dev == there.st_dev
		       ? "dir dir dir sync rename dir "
		       : "dir dir dir sync rename sync rename dir ");
	holds(s, "p", "far rows");
	lists(s, "", NULL, "p|");
	unlink(path);
	store_close(&s);
}

static void put_replaces(void **state)
{
	struct store *s = store_at("put");

	(void)state;
	assert_int_equal(store_put(s, "t/_last_checkpoint", "{1}", 3, &err), 0);
	assert_int_equal(store_put(s, "t/_last_checkpoint", "{22}", 4, &err),
			 0);
	holds(s, "t/_last_checkpoint", "{22}");
	lists(s, "", NULL, "t/_last_checkpoint|");
	store_close(&s);
}

static void get_and_fetch_bring_the_bytes(void **state)
{
	struct store *s = store_at("get");
	struct buf data = {0};
	char *big = xmalloc(3000001), *back;
	size_t bytes;

	(void)state;
	for (size_t i = 0; i < 3000001; i++)
		big[i] = (char)(i * 7 >> 2);
	assert_int_equal(store_put(s, "b", big, 3000001, &err), 0);
	buf_text(&data, "before ");
	assert_int_equal(store_get(s, "b", 3000001, &data, &err), 0);
	assert_int_equal(data.used, 3000008);
	assert_memory_equal(data.data + 7, big, 3000001);
	assert_int_equal(store_get(s, "b", 3000000, &data, &err), -1);
	assert_int_equal(err.code, EFBIG);
	write_file("fetched", "something longer lay here before");
	assert_int_equal(store_fetch(s, "b", "fetched", &err), 0);
	assert_int_equal(durable_read("fetched", 1 << 22, &back, &bytes, &err),
			 0);
	assert_int_equal(bytes, 3000001);
	assert_memory_equal(back, big, bytes);
	assert_int_equal(store_fetch(s, "none", "fetched", &err), -1);
	assert_int_equal(err.code, ENOENT);
	is_absent(s, "no/such/folder");
	is_absent(s, "b2");
	free(back);
	free(big);
	buf_free(&data);
	store_close(&s);
}

static void remove_is_done_once_or_twice(void **state)
{
	struct store *s = store_at("remove");

	(void)state;
	assert_int_equal(create(s, "t/x", "x"), STORE_CREATED);
	assert_int_equal(store_remove(s, "t/x", &err), 0);
	is_absent(s, "t/x");
	assert_int_equal(store_remove(s, "t/x", &err), 0);
	assert_int_equal(store_remove(s, "none/x", &err), 0);
	assert_int_equal(create(s, "file", "x"), STORE_CREATED);
	assert_int_equal(store_remove(s, "file/x", &err), 0);
	assert_int_equal(store_remove(s, "t", &err), -1);
	assert_int_equal(err.code, EISDIR);
	store_close(&s);
}

static void a_local_file_has_a_path(void **state)
{
	struct store *s = store_at("path");
	struct buf path = {0};
	char expected[200];

	(void)state;
	snprintf(expected, sizeof(expected), "%s/path/t/a b.parquet", dir);
	assert_string_equal(store_local_path(s, "t/a b.parquet", &path),
			    expected);
	assert_null(store_local_path(s, "../x", &path));
	snprintf(expected, sizeof(expected), "file://%s/path", dir);
	assert_string_equal(s->url, expected);
	buf_free(&path);
	store_close(&s);
}

/* ---- names ---- */

static void names_may_have_any_characters(void **state)
{
	static const char *const names[] = {
	    "a b",
	    "a%20b",
	    "a+b",
	    "a#b?c&d=e",
	    "ä/日本/🧵.json",
	    "x=A%2FA/y",
	    "'\"`$(x)\\;|<>",
	    "...",
	    "-rf",
	    "~",
	    ".hidden",
	};
	struct store *s = store_at("names");

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		assert_int_equal(create(s, names[i], names[i]), STORE_CREATED);
		assert_int_equal(create(s, names[i], "again"), STORE_EXISTS);
		holds(s, names[i], names[i]);
	}
	lists(
	    s, "", NULL,
	    "'\"`$(x)\\;|<>|-rf|...|.hidden|a b|a#b?c&d=e|a%20b|a+b|x=A%2FA/y|"
	    "~|ä/日本/🧵.json|");
	lists(s, "a", NULL, "a b|a#b?c&d=e|a%20b|a+b|");
	store_close(&s);
}

static void names_outside_of_the_root_are_refused(void **state)
{
	static const char *const names[] = {
	    "",
	    "/",
	    "/etc/passwd",
	    "..",
	    "../x",
	    "a/../b",
	    "a//b",
	    "a/",
	    ".",
	    "./a",
	    "a/.",
	    "a/..",
	    "a\nb",
	    "a\x7f",
	    "\xff",
	    "\xc0\xaf",
	    "\xed\xa0\x80",
	};
	struct store *s = store_at("bad");
	struct buf data = {0};
	enum store_put result;
	char longest[STORE_NAME_BYTES + 2];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		assert_int_equal(
		    store_put_if_absent(s, names[i], "x", 1, &result, &err),
		    -1);
		assert_int_equal(err.code, EINVAL);
		assert_false(err.retriable);
		assert_int_equal(store_get(s, names[i], 9, &data, &err), -1);
		assert_int_equal(err.code, EINVAL);
		assert_int_equal(store_remove(s, names[i], &err), -1);
		assert_int_equal(err.code, EINVAL);
		assert_false(store_is_name(names[i]));
	}
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_false(store_is_name(longest));
	longest[sizeof(longest) - 2] = '\0';
	assert_true(store_is_name(longest));
	assert_int_equal(store_list(s, "../", NULL, note_file, &data, &err),
			 -1);
	assert_int_equal(err.code, EINVAL);
	assert_int_equal(store_list(s, "/tmp/", NULL, note_file, &data, &err),
			 -1);
	assert_int_equal(store_list_dirs(s, "a", note_dir, &data, &err), -1);
	assert_int_equal(data.used, 0);
	store_close(&s);
}

static void a_root_must_be_a_folder(void **state)
{
	struct store *s;
	char path[200];

	(void)state;
	assert_int_equal(store_open_local(&s, "relative", &err), -1);
	assert_int_equal(err.code, EINVAL);
	write_file("plain", "x");
	snprintf(path, sizeof(path), "%s/plain", dir);
	assert_int_equal(store_open_local(&s, path, &err), -1);
	assert_int_equal(err.code, ENOTDIR);
	assert_non_null(strstr(err.text, "/plain"));
	assert_null(s);
	store_close(&s);
}

/* ---- listing ---- */

static void list_is_in_order_of_whole_names(void **state)
{
	static const char *const names[] = {"a/b", "a-b",  "a.c",   "a0",
					    "B",   "a/b/", "a/c/d", "a/c.d"};
	struct store *s = store_at("order_of_names");

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (store_is_name(names[i]))
			create(s, names[i], "x");
	lists(s, "", NULL, "B|a-b|a.c|a/b|a/c.d|a/c/d|a0|");
	lists(s, "a/", NULL, "a/b|a/c.d|a/c/d|");
	lists(s, "a/c", NULL, "a/c.d|a/c/d|");
	lists(s, "a", "a/c", "a/c.d|a/c/d|a0|");
	lists(s, "", "a/c/d", "a/c/d|a0|");
	lists(s, "", "a/c/e", "a0|");
	lists(s, "", "z", "");
	lists(s, "none/", NULL, "");
	lists(s, "a/b/", NULL, "");
	lists(s, "none/x", "none/y", "");
	store_close(&s);
}

static bool stop_at_two(void *arg, const struct store_file *file)
{
	(void)file;
	return ++*(int *)arg < 2;
}

static bool look(void *arg, const struct store_file *file)
{
	*(struct store_file *)arg = *file;
	return true;
}

static void list_tells_sizes_and_stops_when_told(void **state)
{
	struct store *s = store_at("stop");
	struct store_file seen = {0};
	struct stat st;
	int count = 0;

	(void)state;
	create(s, "x/1", "12345");
	assert_int_equal(store_list(s, "", NULL, look, &seen, &err), 0);
	assert_int_equal(seen.bytes, 5);
	assert_int_equal(stat("stop/x/1", &st), 0);
	assert_int_equal(seen.modified_at_ms / 1000, st.st_mtim.tv_sec);
	create(s, "x/2", "");
	create(s, "y/3", "");
	assert_int_equal(store_list(s, "", NULL, stop_at_two, &count, &err), 0);
	assert_int_equal(count, 2);
	store_close(&s);
}

static void list_shows_files_only(void **state)
{
	struct store *s = store_at("only");

	(void)state;
	create(s, "t/x", "x");
	write_file("only/t/.weft-0f.tmp", "a torn attempt");
	write_file("only/t/bad\xff", "no name");
	assert_int_equal(symlink("..", "only/t/circle"), 0);
	assert_int_equal(symlink("nowhere", "only/t/dangling"), 0);
	assert_int_equal(symlink("x", "only/t/alias"), 0);
	assert_int_equal(mkfifo("only/t/fifo", 0600), 0);
	assert_int_equal(mkdir("only/empty", 0700), 0);
	assert_int_equal(symlink("t", "only/u"), 0);
	lists(s, "", NULL, "t/alias|t/x|");
	lists(s, "u/", NULL, "u/alias|u/x|");
	lists_dirs(s, "", "empty|t|u|");
	lists_dirs(s, "t/", "t/circle|");
	lists_dirs(s, "none/", "");
	store_close(&s);
}

static void thousands_are_listed(void **state)
{
	struct store *s = store_at("many");
	struct buf names = {0};
	char path[100], *at;

	(void)state;
	create(s, "log/x", "");
	for (int i = 0; i < 6000; i++) {
		snprintf(path, sizeof(path), "many/log/%020d.json",
			 (i * 4001) % 6000);
		write_file(path, "");
	}
	assert_int_equal(store_list(s, "log/0", NULL, note_file, &names, &err),
			 0);
	at = (char *)buf_str(&names);
	for (int i = 0; i < 6000; i++) {
		snprintf(path, sizeof(path), "log/%020d.json|", i);
		assert_memory_equal(at, path, strlen(path));
		at += strlen(path);
	}
	assert_string_equal(at, "");
	buf_free(&names);
	store_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_first_put_wins),
	    cmocka_unit_test(of_64_writers_one_creates),
	    cmocka_unit_test(file_then_link_then_directory_are_synced),
	    cmocka_unit_test(a_file_that_does_not_sync_is_not_created),
	    cmocka_unit_test(a_directory_that_does_not_sync_is_settled_first),
	    cmocka_unit_test(what_another_life_made_is_synced_when_found),
	    cmocka_unit_test(a_table_that_was_removed_is_made_again),
	    cmocka_unit_test(upload_moves_the_file),
	    cmocka_unit_test(a_failed_upload_can_be_tried_again),
	    cmocka_unit_test(upload_copies_from_another_file_system),
	    cmocka_unit_test(put_replaces),
	    cmocka_unit_test(get_and_fetch_bring_the_bytes),
	    cmocka_unit_test(remove_is_done_once_or_twice),
	    cmocka_unit_test(a_local_file_has_a_path),
	    cmocka_unit_test(names_may_have_any_characters),
	    cmocka_unit_test(names_outside_of_the_root_are_refused),
	    cmocka_unit_test(a_root_must_be_a_folder),
	    cmocka_unit_test(list_is_in_order_of_whole_names),
	    cmocka_unit_test(list_tells_sizes_and_stops_when_told),
	    cmocka_unit_test(list_shows_files_only),
	    cmocka_unit_test(thousands_are_listed),
	};

	return cmocka_run_group_tests(tests, enter, leave);
}
