/*
 * The file backend: what its owner may do when it fails.
 * LINK: services/eventhub-publisher/backend_file.c
 * LINK: services/eventhub-publisher/appender.c
 * LINK: services/eventhub-publisher/outfiles.c
 */
#include <fcntl.h>
#include <malloc.h>
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

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "services/eventhub-publisher/backend.h"
#include "services/eventhub-publisher/outfiles.h"

#define PATIENCE_US INT64_C(15000000)

struct owner {
	void *backend;
	bool opened;
	uint64_t delivered;
	char why[ERR_TEXT_BYTES];
};

static void on_opened(void *arg)
{
	struct owner *o = arg;

	o->opened = true;
}

static void on_delivered(void *arg, uint64_t position, const void *state,
			 size_t bytes)
{
	struct owner *o = arg;

	(void)state;
	(void)bytes;
	o->delivered = position;
}

/* As the publisher does: closes first, then says why. */
static void on_failed(void *arg, const struct err *err)
{
	struct owner *o = arg;

	backend_file.close(&o->backend);
	snprintf(o->why, sizeof(o->why), "%s", err->text);
}

static struct batch *one_event(void)
{
	struct batch_builder *w = batch_builder_new();
	struct batch_header header = {.created_at_us = 1};
	struct batch_event event = {
	    .bytes = 2, .stream = batch_builder_stream(w, "order", 5)};
	struct batch *b;

	memcpy(batch_builder_room(w, 3), "{}\n", 3);
	batch_builder_commit(w, 3);
	batch_builder_event(w, &event);
	b = batch_builder_seal(w, &header);
	batch_builder_free(&w);
	return b;
}

static void test_the_reason_outlives_the_backend(void **state)
{
	char dir[] = "/tmp/weft-backend-XXXXXX";
	struct eventhub_publisher_conf conf = {
	    .path = dir, .rotate_size = 1 << 20, .sync_interval = 1000};
	struct loop *loop = loop_new();
	struct backend_options options = {
	    .loop = loop, .conf = &conf, .log_tag = "3f2a9c01"};
	struct owner o = {0};
	struct backend_events events = {.opened = on_opened,
					.delivered = on_delivered,
					.failed = on_failed,
					.arg = &o};
	int64_t until_us = clock_mono_us() + PATIENCE_US;
	struct batch *b = one_event();
	struct err err;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(backend_file.open(&o.backend, &options, &events, &err),
			 0);
	while (!o.opened && clock_mono_us() < until_us)
		loop_turn(loop, 10000);
	assert_int_equal(rmdir(dir), 0);
	assert_true(backend_file.produce(o.backend, b, 100));
	while (o.backend && clock_mono_us() < until_us)
		loop_turn(loop, 10000);
	assert_null(o.backend);
	assert_non_null(strstr(o.why, "cannot open /tmp/weft-backend-"));
	batch_unref(&b);
	loop_free(&loop);
}

/* Saved state of one file, which is a pipe now: opening it hangs. */
static char *make_hanging_file(const char *dir, struct buf *state)
{
	struct outfiles_options options = {
	    .dir = dir, .log_tag = "3f2a9c01", .rotate_bytes = 1 << 20};
	struct outfiles *files;
	struct batch *b = one_event();
	struct err err;
	char *path;

	assert_int_equal(outfiles_open(&files, &options, &err), 0);
	assert_int_equal(outfiles_write(files, b, &err), 0);
	assert_int_equal(outfiles_sync(files, &err), 0);
	outfiles_save(files, state);
	outfiles_close(&files);
	batch_unref(&b);
	path = xasprintf("%s/order-3f2a9c01-000001.ndjson", dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	return path;
}

static void test_a_hanging_disk_does_not_hold_the_loop(void **state)
{
	char dir[] = "/tmp/weft-backend-XXXXXX";
	struct eventhub_publisher_conf conf = {
	    .path = dir, .rotate_size = 1 << 20, .sync_interval = 1000};
	struct loop *loop = loop_new();
	struct backend_options options = {
	    .loop = loop, .conf = &conf, .log_tag = "3f2a9c01"};
	struct owner o = {0};
	struct backend_events events = {.opened = on_opened,
					.delivered = on_delivered,
					.failed = on_failed,
					.arg = &o};
	struct buf saved = {0};
	int64_t begun_us;
	struct err err;
	char *path, byte;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	path = make_hanging_file(dir, &saved);
	options.state = saved.data;
	options.state_bytes = saved.used;
	begun_us = clock_mono_us();
	assert_int_equal(backend_file.open(&o.backend, &options, &events, &err),
			 0);
	buf_free(&saved);
	loop_turn(loop, 10000);
	assert_false(o.opened);
	backend_file.close(&o.backend);
	assert_null(o.backend);
	assert_true(clock_mono_us() - begun_us < 5000000);
	/* It comes back: the worker finds nobody, and ends. */
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, &byte, 1), 0);
	close(fd);
	loop_turn(loop, 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	free(path);
	loop_free(&loop);
}

/* Batches beyond the queue, none of which is worth a wake-up by its bytes. */
static void test_small_batches_wait_for_no_sync(void **state)
{
	char dir[] = "/tmp/weft-backend-XXXXXX";
	struct eventhub_publisher_conf conf = {
	    .path = dir, .rotate_size = 1 << 20, .sync_interval = 60000000};
	struct loop *loop = loop_new();
	struct backend_options options = {
	    .loop = loop, .conf = &conf, .log_tag = "3f2a9c01"};
	struct owner o = {0};
	struct backend_events events = {.opened = on_opened,
					.delivered = on_delivered,
					.failed = on_failed,
					.arg = &o};
	int64_t until_us = clock_mono_us() + PATIENCE_US;
	struct batch *b = one_event();
	uint64_t taken = 0;
	struct err err;
	char *path;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(backend_file.open(&o.backend, &options, &events, &err),
			 0);
	while (taken < 2000 && clock_mono_us() < until_us) {
		taken += backend_file.produce(o.backend, b, taken + 1);
		loop_turn(loop, 0);
	}
	assert_int_equal(taken, 2000);
	backend_file.close(&o.backend);
	path = xasprintf("%s/order-3f2a9c01-000001.ndjson", dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	free(path);
	batch_unref(&b);
	loop_free(&loop);
}

/* The last of them has no one behind it to wake the worker. */
static void test_all_is_delivered_in_the_end(void **state)
{
	char dir[] = "/tmp/weft-backend-XXXXXX";
	struct eventhub_publisher_conf conf = {
	    .path = dir, .rotate_size = 1 << 20, .sync_interval = 50000};
	struct loop *loop = loop_new();
	struct backend_options options = {
	    .loop = loop, .conf = &conf, .log_tag = "3f2a9c01"};
	struct owner o = {0};
	struct backend_events events = {.opened = on_opened,
					.delivered = on_delivered,
					.failed = on_failed,
					.arg = &o};
	int64_t until_us = clock_mono_us() + PATIENCE_US;
	struct batch *b = one_event();
	struct err err;
	char *path;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(backend_file.open(&o.backend, &options, &events, &err),
			 0);
	for (uint64_t next = 1; next <= 3; next++)
		assert_true(backend_file.produce(o.backend, b, next));
	while (o.delivered < 3 && clock_mono_us() < until_us)
		loop_turn(loop, 10000);
	assert_int_equal(o.delivered, 3);
	backend_file.close(&o.backend);
	path = xasprintf("%s/order-3f2a9c01-000001.ndjson", dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	free(path);
	batch_unref(&b);
	loop_free(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_the_reason_outlives_the_backend),
	    cmocka_unit_test(test_a_hanging_disk_does_not_hold_the_loop),
	    cmocka_unit_test(test_small_batches_wait_for_no_sync),
	    cmocka_unit_test(test_all_is_delivered_in_the_end),
	};

	/* What is freed reads as rubbish at once. */
	mallopt(M_PERTURB, 0x5a);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
