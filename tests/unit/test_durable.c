/* Files that survive: what a caller sees. That a sync happens is seen with a
 * preloaded shim by the system tests; here are results and errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/durable.h"

static char dir[] = "/tmp/test_durable.XXXXXX";
static struct err err;

static int enter(void **state)
{
	(void)state;
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
	return chdir("/") != 0 ||
	       nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0;
}

static void put(const char *path, const char *text)
{
	if (durable_replace(path, text, strlen(text), &err) != 0)
		fail_msg("%s", err.text);
}

static void holds(const char *path, const char *text)
{
	char *data;
	size_t bytes;

	if (durable_read(path, 1 << 20, &data, &bytes, &err) != 0)
		fail_msg("%s", err.text);
	assert_int_equal(bytes, strlen(text));
	assert_string_equal(data, text);
	free(data);
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_mode : 0;
}

static void replace_makes_and_replaces(void **state)
{
	(void)state;
	put("file", "one");
	holds("file", "one");
	put("file", "two, longer");
	holds("file", "two, longer");
	put("file", "");
	holds("file", "");
	assert_int_equal(mode_of("file") & 07777, 0600);
	assert_int_equal(mode_of("file.new"), 0);
}

static void replace_outlives_a_torn_attempt(void **state)
{
	int fd = open("torn.new", O_CREAT | O_WRONLY, 0600);

	(void)state;
	assert_int_equal(write(fd, "half a longer thing", 19), 19);
	close(fd);
	put("torn", "whole");
	holds("torn", "whole");
}

static void replace_writes_all_of_a_big_file(void **state)
{
	size_t bytes = 5000003, got;
	char *data = xmalloc(bytes), *back;

	(void)state;
	for (size_t i = 0; i < bytes; i++)
		data[i] = (char)(i * 31 >> 3);
	assert_int_equal(durable_replace("big", data, bytes, &err), 0);
	assert_int_equal(durable_read("big", bytes, &back, &got, &err), 0);
	assert_int_equal(got, bytes);
	assert_memory_equal(back, data, bytes);
	free(back);
	free(data);
}

static void replace_says_what_is_in_the_way(void **state)
{
	(void)state;
	assert_int_equal(durable_replace("none/file", "x", 1, &err), -1);
	assert_int_equal(err.code, ENOENT);
	assert_non_null(strstr(err.text, "none/file"));
	put("plain", "x");
	assert_int_equal(durable_replace("plain/file", "x", 1, &err), -1);
	assert_int_equal(err.code, ENOTDIR);
	assert_int_equal(mkdir("folder", 0700), 0);
	assert_int_equal(durable_replace("folder", "x", 1, &err), -1);
	assert_int_equal(err.code, EISDIR);
	assert_int_equal(mode_of("folder.new"), 0);
}

/* A limit on file sizes stands in for a full disk. */
static void a_failed_replace_changes_and_leaves_nothing(void **state)
{
	struct rlimit old, tiny;
	char data[8192] = {0};
	int rc;

	(void)state;
	put("kept", "before");
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	tiny = old;
	tiny.rlim_cur = 4096;
	setrlimit(RLIMIT_FSIZE, &tiny);
	rc = durable_replace("kept", data, sizeof(data), &err);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(rc, -1);
	assert_int_equal(err.code, EFBIG);
	assert_non_null(strstr(err.text, "kept.new"));
	holds("kept", "before");
	assert_int_equal(mode_of("kept.new"), 0);
}

static void mkdir_makes_every_parent(void **state)
{
	(void)state;
	umask(022);
	assert_int_equal(durable_mkdir("a/b/c/d", &err), 0);
	assert_int_equal(mode_of("a/b/c/d"), S_IFDIR | 0700);
	assert_int_equal(mode_of("a"), S_IFDIR | 0700);
	assert_int_equal(durable_mkdir("a/b/c/d", &err), 0);
	assert_int_equal(durable_mkdir("a/b/e/", &err), 0);
	assert_int_equal(mode_of("a/b/e"), S_IFDIR | 0700);
	assert_int_equal(durable_mkdir("a//b/./f/g", &err), 0);
	assert_int_equal(durable_mkdir(".", &err), 0);
	assert_int_equal(durable_mkdir("/", &err), 0);
	assert_int_equal(symlink("a", "link"), 0);
	assert_int_equal(durable_mkdir("link/h", &err), 0);
	assert_int_equal(mode_of("a/h"), S_IFDIR | 0700);
}

static void mkdir_gives_the_mode_asked_for(void **state)
{
	(void)state;
	umask(022);
	assert_int_equal(durable_mkdir_mode("shared/x/y", 0777, &err), 0);
	assert_int_equal(mode_of("shared/x/y"), S_IFDIR | 0755);
	assert_int_equal(mode_of("shared"), S_IFDIR | 0755);
	assert_int_equal(durable_mkdir_mode("shared/x", 0700, &err), 0);
	assert_int_equal(mode_of("shared/x"), S_IFDIR | 0755);
}

static void create_makes_new_files_only(void **state)
{
	(void)state;
	umask(022);
	assert_int_equal(durable_create("fresh", 0666, "new", 3, &err), 0);
	holds("fresh", "new");
	assert_int_equal(mode_of("fresh") & 07777, 0644);
	assert_int_equal(durable_create("fresh", 0666, "other", 5, &err), -1);
	assert_int_equal(err.code, EEXIST);
	holds("fresh", "new");
	assert_int_equal(durable_create("none/fresh", 0666, "x", 1, &err), -1);
	assert_int_equal(err.code, ENOENT);
	assert_int_equal(durable_sync_file("fresh", &err), 0);
	assert_int_equal(durable_sync_file("none/fresh", &err), -1);
	assert_int_equal(err.code, ENOENT);
}

static void a_failed_create_leaves_nothing(void **state)
{
	struct rlimit old, tiny;
	char data[8192] = {0};
	int rc;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	tiny = old;
	tiny.rlim_cur = 4096;
	setrlimit(RLIMIT_FSIZE, &tiny);
	rc = durable_create("large", 0666, data, sizeof(data), &err);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(rc, -1);
	assert_int_equal(err.code, EFBIG);
	assert_int_equal(mode_of("large"), 0);
}

static void mkdir_says_what_is_in_the_way(void **state)
{
	(void)state;
	put("taken", "x");
	assert_int_equal(durable_mkdir("taken", &err), -1);
	assert_int_equal(err.code, ENOTDIR);
	assert_non_null(strstr(err.text, "taken"));
	assert_int_equal(durable_mkdir("taken/x", &err), -1);
	assert_int_equal(err.code, ENOTDIR);
	assert_int_equal(durable_mkdir("taken/x/y", &err), -1);
	assert_int_equal(err.code, ENOTDIR);
	assert_int_equal(durable_mkdir("", &err), -1);
	assert_int_equal(err.code, ENOENT);
	assert_int_equal(symlink("nowhere", "dangling"), 0);
	assert_int_equal(durable_mkdir("dangling", &err), -1);
	assert_int_equal(durable_mkdir("dangling/x", &err), -1);
}

/* Runs `fn` as nobody in a child, since root may do anything. */
static int as_nobody(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (getuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
			_exit(100);
		_exit(fn());
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 101;
}

static int denied(void)
{
	char *data;
	size_t bytes;

	if (durable_mkdir("closed/x", &err) == 0 || err.code != EACCES)
		return 1;
	if (durable_replace("closed/f", "x", 1, &err) == 0 ||
	    err.code != EACCES)
		return 2;
	if (durable_read("closed/secret", 10, &data, &bytes, &err) == 0 ||
	    err.code != EACCES)
		return 3;
	if (durable_sync_dir("closed", &err) == 0 || err.code != EACCES)
		return 4;
	return 0;
}

/* It exists, and the folder that names it may be passed but not read. */
static int exists_behind_an_unreadable_parent(void)
{
	return durable_mkdir("passage/room", &err) == 0 ? 0 : 1;
}

static void permissions_are_told(void **state)
{
	(void)state;
	if (getuid() != 0)
		skip();
	assert_int_equal(chmod(dir, 0711), 0);
	assert_int_equal(mkdir("closed", 0700), 0);
	put("closed/secret", "x");
	assert_int_equal(as_nobody(denied), 0);
	assert_int_equal(mkdir("passage", 0711), 0);
	assert_int_equal(mkdir("passage/room", 0755), 0);
	assert_int_equal(as_nobody(exists_behind_an_unreadable_parent), 0);
}

static void sync_of_what_cannot_sync_is_fatal(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(durable_sync(fds[1], "a pipe", &err), -1);
	assert_int_equal(err.code, EINVAL);
	assert_true(err.fatal);
	assert_non_null(strstr(err.text, "a pipe"));
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(durable_sync_dir("none", &err), -1);
	assert_int_equal(err.code, ENOENT);
	put("no_folder", "x");
	assert_int_equal(durable_sync_dir("no_folder", &err), -1);
	assert_int_equal(err.code, ENOTDIR);
	assert_int_equal(durable_sync_dir(".", &err), 0);
}

static void read_keeps_to_its_limit(void **state)
{
	char *data;
	size_t bytes;

	(void)state;
	put("ten", "0123456789");
	assert_int_equal(durable_read("ten", 10, &data, &bytes, &err), 0);
	assert_int_equal(bytes, 10);
	assert_string_equal(data, "0123456789");
	free(data);
	assert_int_equal(durable_read("ten", 9, &data, &bytes, &err), -1);
	assert_int_equal(err.code, EFBIG);
	assert_non_null(strstr(err.text, "ten has 10 bytes"));
	assert_int_equal(durable_read("none", 9, &data, &bytes, &err), -1);
	assert_int_equal(err.code, ENOENT);
}

static void read_takes_regular_files_only(void **state)
{
	char *data;
	size_t bytes;

	(void)state;
	assert_int_equal(durable_read(".", 9, &data, &bytes, &err), -1);
	assert_int_equal(err.code, EINVAL);
	/* Nobody writes to it, which must not hold the reader. */
	assert_int_equal(mkfifo("fifo", 0600), 0);
	assert_int_equal(durable_read("fifo", 9, &data, &bytes, &err), -1);
	assert_int_equal(err.code, EINVAL);
	assert_int_equal(durable_read("/dev/zero", 9, &data, &bytes, &err), -1);
	assert_int_equal(err.code, EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(replace_makes_and_replaces),
	    cmocka_unit_test(replace_outlives_a_torn_attempt),
	    cmocka_unit_test(replace_writes_all_of_a_big_file),
	    cmocka_unit_test(replace_says_what_is_in_the_way),
	    cmocka_unit_test(a_failed_replace_changes_and_leaves_nothing),
	    cmocka_unit_test(mkdir_makes_every_parent),
	    cmocka_unit_test(mkdir_gives_the_mode_asked_for),
	    cmocka_unit_test(create_makes_new_files_only),
	    cmocka_unit_test(a_failed_create_leaves_nothing),
	    cmocka_unit_test(mkdir_says_what_is_in_the_way),
	    cmocka_unit_test(permissions_are_told),
	    cmocka_unit_test(sync_of_what_cannot_sync_is_fatal),
	    cmocka_unit_test(read_keeps_to_its_limit),
	    cmocka_unit_test(read_takes_regular_files_only),
	};

	return cmocka_run_group_tests(tests, enter, leave);
}
