/*
 * The logs of processes: their last lines, and the cap on their files.
 * LINK: services/supervisor/logpipe.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "services/supervisor/logpipe.h"

struct fixture {
	char folder[64];
	char path[96];
	struct loop *loop;
	struct logpipe log;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err err;

	strcpy(f->folder, "/tmp/weft-log-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->path, sizeof(f->path), "%s/x.log", f->folder);
	f->loop = loop_new();
	assert_int_equal(logpipe_open(&f->log, f->loop, f->path, &err), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char path[128];

	logpipe_close(&f->log);
	loop_free(&f->loop);
	for (int i = 0; i <= LOGPIPE_FILES; i++) {
		snprintf(path, sizeof(path), i ? "%s.%d" : "%s", f->path, i);
		unlink(path);
	}
	rmdir(f->folder);
	free(f);
	return 0;
}

static void say(struct fixture *f, const char *text)
{
	size_t bytes = strlen(text);

	assert_int_equal(write(f->log.write_fd, text, bytes), bytes);
	loop_turn(f->loop, 0);
}

static void expect_last(struct fixture *f, unsigned lines, const char *text)
{
	struct buf out = {0};

	logpipe_last(&f->log, lines, &out);
	assert_string_equal(buf_str(&out), text);
	buf_free(&out);
}

static off_t file_bytes(const struct fixture *f, int number)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), number ? "%s.%d" : "%s", f->path, number);
	return stat(path, &st) == 0 ? st.st_size : -1;
}

static void last_lines_are_at_hand(void **state)
{
	struct fixture *f = *state;

	expect_last(f, 5, "");
	say(f, "one\ntwo\nthr");
	expect_last(f, 1, "thr");
	say(f, "ee\n");
	expect_last(f, 1, "three\n");
	expect_last(f, 2, "two\nthree\n");
	expect_last(f, 9, "one\ntwo\nthree\n");
	logpipe_forget(&f->log);
	expect_last(f, 9, "");
	say(f, "next life\n");
	expect_last(f, 9, "next life\n");
	assert_int_equal(file_bytes(f, 0), 24);
}

static void only_the_end_of_much_is_kept_at_hand(void **state)
{
	char line[LOGPIPE_TAIL_BYTES + 100];
	struct fixture *f = *state;
	struct buf out = {0};

	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 2] = '\n';
	line[sizeof(line) - 1] = '\0';
	say(f, line);
	say(f, "end\n");
	logpipe_last(&f->log, 100, &out);
	assert_int_equal(out.used, LOGPIPE_TAIL_BYTES);
	buf_free(&out);
	expect_last(f, 1, "end\n");
}

static void files_are_capped_and_the_oldest_goes(void **state)
{
	char line[1025];
	struct fixture *f = *state;
	int lines = LOGPIPE_FILE_BYTES / 1024;

	memset(line, 'y', sizeof(line));
	line[1023] = '\n';
	line[1024] = '\0';
	for (int i = 0; i < lines; i++)
		say(f, line);
	assert_int_equal(file_bytes(f, 0), LOGPIPE_FILE_BYTES);
	assert_int_equal(file_bytes(f, 1), -1);
	for (int i = 0; i < 3 * lines; i++)
		say(f, line);
	for (int i = 0; i < LOGPIPE_FILES; i++)
		assert_int_equal(file_bytes(f, i), LOGPIPE_FILE_BYTES);
	assert_int_equal(file_bytes(f, LOGPIPE_FILES), -1);
}

static void lines_are_not_cut_by_a_rotation(void **state)
{
	char line[1024];
	struct fixture *f = *state;

	memset(line, 'z', sizeof(line));
	line[1023] = '\0';
	for (int i = 0; i < LOGPIPE_FILE_BYTES / 1023 + 1; i++)
		say(f, line);
	assert_int_equal(file_bytes(f, 1), -1);
	say(f, "\n");
	say(f, "next\n");
	assert_true(file_bytes(f, 1) > LOGPIPE_FILE_BYTES);
	assert_int_equal(file_bytes(f, 0), 5);
}

static void a_line_without_end_is_cut_all_the_same(void **state)
{
	char part[1024];
	struct fixture *f = *state;

	memset(part, 'e', sizeof(part));
	part[1023] = '\0';
	for (int i = 0; i < 3 * LOGPIPE_FILE_BYTES / 1023; i++)
		say(f, part);
	for (int i = 0; i < LOGPIPE_FILES; i++)
		assert_in_range(file_bytes(f, i), 1,
				LOGPIPE_FILE_BYTES + (64 << 10));
}

static void opening_again_appends(void **state)
{
	struct fixture *f = *state;
	struct err err;

	say(f, "before\n");
	logpipe_close(&f->log);
	assert_int_equal(logpipe_open(&f->log, f->loop, f->path, &err), 0);
	say(f, "after\n");
	assert_int_equal(file_bytes(f, 0), 13);
}

static void a_folder_that_is_missing_is_named(void **state)
{
	struct fixture *f = *state;
	struct logpipe other;
	struct err err;

	assert_int_equal(
	    logpipe_open(&other, f->loop, "/nonexistent/x.log", &err), -1);
	assert_non_null(strstr(err.text, "/nonexistent/x.log"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(last_lines_are_at_hand),
	    TEST(only_the_end_of_much_is_kept_at_hand),
	    TEST(files_are_capped_and_the_oldest_goes),
	    TEST(lines_are_not_cut_by_a_rotation),
	    TEST(a_line_without_end_is_cut_all_the_same),
	    TEST(opening_again_appends),
	    TEST(a_folder_that_is_missing_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
