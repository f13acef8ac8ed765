/*
 * The output files of the publisher: exactly once over crashes.
 * LINK: services/eventhub-publisher/appender.c
 * LINK: services/eventhub-publisher/outfiles.c
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/durable.h"
#include "services/eventhub-publisher/outfiles.h"

struct world {
	char dir[64];
	struct outfiles *files;
	struct buf state;
};

static int setup(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	snprintf(w->dir, sizeof(w->dir), "/tmp/weft-outfiles-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	DIR *d = opendir(w->dir);
	struct dirent *entry;

	outfiles_close(&w->files);
	while ((entry = readdir(d)))
		unlinkat(dirfd(d), entry->d_name, 0);
	closedir(d);
	rmdir(w->dir);
	buf_free(&w->state);
	free(w);
	return 0;
}

static int try_open(struct world *w, int64_t rotate_bytes, bool fresh,
		    struct err *err)
{
	struct outfiles_options options = {
	    .dir = w->dir,
	    .log_tag = "3f2a9c01",
	    .rotate_bytes = rotate_bytes,
	    .state = w->state.data,
	    .state_bytes = w->state.used,
	    .fresh = fresh,
	};

	return outfiles_open(&w->files, &options, err);
}

static void reopen(struct world *w, int64_t rotate_bytes)
{
	struct err err;

	outfiles_close(&w->files);
	if (try_open(w, rotate_bytes, false, &err) != 0)
		fail_msg("%s", err.text);
}

/* One batch of "stream:line" texts, NULL-terminated; it reaches the files. */
static void write_lines(struct world *w, const char *const *lines)
{
	struct batch_builder *builder = batch_builder_new();
	struct batch_header header = {.created_at_us = 1};
	struct batch *b;
	struct err err;

	for (; *lines; lines++) {
		const char *colon = strchr(*lines, ':');
		size_t bytes = strlen(colon + 1);
		struct batch_event event = {
		    .offset = batch_builder_offset(builder),
		    .bytes = (uint32_t)bytes,
		    .stream = batch_builder_stream(builder, *lines,
						   (size_t)(colon - *lines)),
		};
		char *room = batch_builder_room(builder, bytes + 1);

		memcpy(room, colon + 1, bytes);
		room[bytes] = '\n';
		batch_builder_commit(builder, bytes + 1);
		batch_builder_event(builder, &event);
	}
	b = batch_builder_seal(builder, &header);
	if (outfiles_write(w->files, b, &err) != 0 ||
	    outfiles_sync(w->files, &err) != 0)
		fail_msg("%s", err.text);
	batch_unref(&b);
	batch_builder_free(&builder);
}

static void sync_and_save(struct world *w)
{
	struct err err;

	assert_int_equal(outfiles_sync(w->files, &err), 0);
	buf_clear(&w->state);
	outfiles_save(w->files, &w->state);
}

static void assert_file(struct world *w, const char *name, const char *expected)
{
	char *path = xasprintf("%s/%s", w->dir, name), *data;
	struct err err;
	size_t bytes;

	if (durable_read(path, 1 << 20, &data, &bytes, &err) != 0)
		fail_msg("%s", err.text);
	assert_string_equal(data, expected);
	free(data);
	free(path);
}

static bool exists(struct world *w, const char *name)
{
	char *path = xasprintf("%s/%s", w->dir, name);
	bool found = access(path, F_OK) == 0;

	free(path);
	return found;
}

static void test_streams_have_files(void **state)
{
	struct world *w = *state;

	reopen(w, 1 << 20);
	write_lines(w, (const char *[]){"order:{\"a\":1}", "product:{\"b\":2}",
					"order:{\"a\":3}", NULL});
	assert_file(w, "order-3f2a9c01-000001.ndjson",
		    "{\"a\":1}\n{\"a\":3}\n");
	assert_file(w, "product-3f2a9c01-000001.ndjson", "{\"b\":2}\n");
}

static void test_crash_cuts_to_the_saved_length(void **state)
{
	struct world *w = *state;

	reopen(w, 1 << 20);
	write_lines(w, (const char *[]){"order:{\"n\":1}", NULL});
	sync_and_save(w);
	write_lines(w, (const char *[]){"order:{\"n\":2}", "admin:{}", NULL});
	reopen(w, 1 << 20);
	assert_file(w, "order-3f2a9c01-000001.ndjson", "{\"n\":1}\n");
	assert_false(exists(w, "admin-3f2a9c01-000001.ndjson"));
	write_lines(w, (const char *[]){"order:{\"n\":2}", "admin:{}", NULL});
	assert_file(w, "order-3f2a9c01-000001.ndjson",
		    "{\"n\":1}\n{\"n\":2}\n");
	assert_file(w, "admin-3f2a9c01-000001.ndjson", "{}\n");
}

static void test_files_of_others_stay(void **state)
{
	struct world *w = *state;
	char *path = xasprintf("%s/order-0badcafe-000001.ndjson", w->dir);
	struct err err;

	assert_int_equal(durable_replace(path, "{}\n", 3, &err), 0);
	reopen(w, 1 << 20);
	assert_file(w, "order-0badcafe-000001.ndjson", "{}\n");
	free(path);
}

static void test_rotation_over_a_crash(void **state)
{
	struct world *w = *state;

	reopen(w, 10);
	write_lines(w, (const char *[]){"order:{\"n\":1000000}", NULL});
	write_lines(w, (const char *[]){"order:{\"n\":2}", NULL});
	sync_and_save(w);
	write_lines(w, (const char *[]){"order:{\"n\":3000000}", NULL});
	write_lines(w, (const char *[]){"order:{\"n\":4}", NULL});
	assert_true(exists(w, "order-3f2a9c01-000003.ndjson"));
	reopen(w, 10);
	assert_file(w, "order-3f2a9c01-000001.ndjson", "{\"n\":1000000}\n");
	assert_file(w, "order-3f2a9c01-000002.ndjson", "{\"n\":2}\n");
	assert_false(exists(w, "order-3f2a9c01-000003.ndjson"));
}

static void test_fresh_files_after_a_failed_sync(void **state)
{
	struct world *w = *state;
	struct err err;

	reopen(w, 1 << 20);
	write_lines(w, (const char *[]){"order:{\"n\":1}", NULL});
	sync_and_save(w);
	write_lines(w, (const char *[]){"order:{\"n\":2}", NULL});
	outfiles_close(&w->files);
	assert_int_equal(try_open(w, 1 << 20, true, &err), 0);
	write_lines(w, (const char *[]){"order:{\"n\":2}", NULL});
	assert_file(w, "order-3f2a9c01-000001.ndjson", "{\"n\":1}\n");
	assert_file(w, "order-3f2a9c01-000002.ndjson", "{\"n\":2}\n");
}

static void test_a_file_cut_by_others_is_refused(void **state)
{
	struct world *w = *state;
	char *path = xasprintf("%s/order-3f2a9c01-000001.ndjson", w->dir);
	struct err err;

	reopen(w, 1 << 20);
	write_lines(w, (const char *[]){"order:{\"n\":1}", NULL});
	sync_and_save(w);
	outfiles_close(&w->files);
	assert_int_equal(truncate(path, 2), 0);
	assert_int_equal(try_open(w, 1 << 20, false, &err), -1);
	assert_non_null(strstr(err.text, "somebody cut it"));
	assert_non_null(strstr(err.text, path));
	free(path);
}

static void test_a_file_taken_away_ends_there(void **state)
{
	struct world *w = *state;
	char *path = xasprintf("%s/order-3f2a9c01-000001.ndjson", w->dir);

	reopen(w, 1 << 20);
	write_lines(w, (const char *[]){"order:{\"n\":1}", NULL});
	sync_and_save(w);
	outfiles_close(&w->files);
	assert_int_equal(unlink(path), 0);
	reopen(w, 1 << 20);
	write_lines(w, (const char *[]){"order:{\"n\":2}", NULL});
	sync_and_save(w);
	reopen(w, 1 << 20);
	assert_file(w, "order-3f2a9c01-000002.ndjson", "{\"n\":2}\n");
	assert_false(exists(w, "order-3f2a9c01-000001.ndjson"));
	free(path);
}

static void write_streams(struct world *w, int from, int to)
{
	char text[32];

	for (int i = from; i < to; i++) {
		snprintf(text, sizeof(text), "s%d:{}", i);
		write_lines(w, (const char *[]){text, NULL});
	}
}

static int open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(d))
		count++;
	closedir(d);
	return count;
}

/* Contracts come and go: a log lives through more streams than a batch has. */
static void test_many_streams_in_a_lifetime(void **state)
{
	struct world *w = *state;
	struct err err;
	int before;

	reopen(w, 1 << 20);
	before = open_files();
	write_streams(w, 0, 300);
	for (int i = 0; i < 64; i++)
		assert_int_equal(outfiles_sync(w->files, &err), 0);
	/* Those that are written no more are closed, and still known. */
	assert_int_equal(open_files(), before);
	write_streams(w, 0, 1);
	sync_and_save(w);
	reopen(w, 1 << 20);
	write_streams(w, 0, 1);
	assert_file(w, "s0-3f2a9c01-000001.ndjson", "{}\n{}\n{}\n");
	assert_file(w, "s299-3f2a9c01-000001.ndjson", "{}\n");
}

static void test_numbers_of_seven_digits(void **state)
{
	struct world *w = *state;
	char *path = xasprintf("%s/order-3f2a9c01-1000000.ndjson", w->dir);
	char *other = xasprintf("%s/order-3f2a9c01-x000000.ndjson", w->dir);
	struct err err;

	assert_int_equal(durable_replace(path, "{}\n", 3, &err), 0);
	assert_int_equal(durable_replace(other, "{}\n", 3, &err), 0);
	reopen(w, 1 << 20);
	assert_false(exists(w, "order-3f2a9c01-1000000.ndjson"));
	assert_true(exists(w, "order-3f2a9c01-x000000.ndjson"));
	free(path);
	free(other);
}

static void test_foreign_state_is_refused(void **state)
{
	struct world *w = *state;
	struct err err;

	buf_text(&w->state, "not a state");
	assert_int_equal(try_open(w, 1 << 20, false, &err), -1);
	assert_non_null(strstr(err.text, "another version"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	    TEST(test_streams_have_files),
	    TEST(test_crash_cuts_to_the_saved_length),
	    TEST(test_files_of_others_stay),
	    TEST(test_rotation_over_a_crash),
	    TEST(test_fresh_files_after_a_failed_sync),
	    TEST(test_a_file_cut_by_others_is_refused),
	    TEST(test_a_file_taken_away_ends_there),
	    TEST(test_many_streams_in_a_lifetime),
	    TEST(test_numbers_of_seven_digits),
	    TEST(test_foreign_state_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
