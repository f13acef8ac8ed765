/* The log on a disk that fails, hangs or is full: nothing is told to be durable
 * that is not, and nothing is lost that was. */
#include "tests/unit/spool_fixture.h"

#include "spool/lock.h"
#include "tests/unit/spool_faults.h"

static int setup(void **state)
{
	fault_clear();
	return fixture_setup(state);
}

static int teardown(void **state)
{
	fault_clear();
	hold_syncs(false);
	return fixture_teardown(state);
}

#define FAULT_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static void assert_all(struct log_test *t, uint64_t count)
{
	uint64_t got[MANY] = {0};

	assert_int_equal(read_all(t, 0, got), count);
	for (uint64_t i = 0; i < count; i++)
		assert_int_equal(got[i], i + 1);
}

/* What a failed commit must look like, whatever failed. */
static void fail_and_come_back(struct log_test *t, struct fault *fault,
			       int code, int expected)
{
	uint64_t durable, position, got[MANY];
	struct err err = {0};

	append(t, 1, 1, 100);
	append(t, 2, 1, 100);
	wait_durable(t);
	durable = t->durable;
	fault_set(fault, -1, code);
	append(t, 3, 1, 100);
	WAIT_FOR(t, t->failed > 0);
	assert_int_equal(t->failure.code, code);
	assert_true(t->failure.retriable);
	assert_non_null(strstr(t->failure.text, t->dir));
	/* Neither told nor readable, and no more is taken. */
	assert_int_equal(t->durable, durable);
	assert_int_equal(read_all(t, 0, got), 2);
	assert_int_equal(try_append(t, 4, 1, 100, &position, &err), -1);
	assert_int_equal(err.code, expected);
	assert_true(err.retriable);
	assert_false(spool_has_room(t->spool, 300));
	/* It goes on trying, and more than once. */
	WAIT_FOR(t, t->failed > 1);
	assert_int_equal(t->durable, durable);
	fault_clear();
	wait_durable(t);
	assert_true(spool_has_room(t->spool, 300));
	append(t, 4, 1, 100);
	wait_durable(t);
	assert_all(t, 4);
	assert_true(stats_of(t).failures >= 2);
}

static void assert_survives_crashes(struct log_test *t, uint64_t count)
{
	t->options.cache_bytes = 0;
	crash_log(t);
	open_log(t);
	assert_int_equal(t->recovered_count, count);
	assert_int_equal(t->recovered_bad, 0);
	assert_all(t, count);
	crash_log(t);
	open_log(t);
	assert_all(t, count);
}

static void test_a_failed_sync_seals_the_file(void **state)
{
	struct log_test *t = *state;
	uint64_t bases[MANY];

	open_log(t);
	fail_and_come_back(t, &faults.sync, EIO, EIO);
	/* The third begins a new file, at the first position not durable. */
	assert_int_equal(segment_files(t, bases), 2);
	assert_survives_crashes(t, 4);
}

static void test_a_failed_write_seals_the_file(void **state)
{
	struct log_test *t = *state;

	open_log(t);
	fail_and_come_back(t, &faults.write, EIO, EIO);
	assert_survives_crashes(t, 4);
}

static void test_a_failed_directory_sync_of_a_new_segment(void **state)
{
	struct log_test *t = *state;
	uint64_t got[MANY];

	open_log(t);
	fault_set(&faults.dirsync, -1, EIO);
	append(t, 1, 1, 100);
	WAIT_FOR(t, t->failed > 0);
	assert_int_equal(t->committed, 0);
	assert_int_equal(read_all(t, 0, got), 0);
	fault_clear();
	wait_durable(t);
	assert_all(t, 1);
	assert_survives_crashes(t, 1);
}

static void test_a_full_disk_refuses_and_recovers(void **state)
{
	struct log_test *t = *state;

	open_log(t);
	fail_and_come_back(t, &faults.write, ENOSPC, ENOSPC);
	assert_survives_crashes(t, 4);
}

/* Every commit fails once: each record ends in a file of its own. */
static void test_failing_at_every_commit(void **state)
{
	struct log_test *t = *state;

	open_log(t);
	for (uint64_t i = 1; i <= 8; i++) {
		fault_set(i % 2 ? &faults.sync : &faults.write, 1, EIO);
		append(t, i, 3, 200);
		wait_durable(t);
	}
	assert_true(t->failed >= 8);
	assert_survives_crashes(t, 8);
}

/* A crash while the disk fails: what was durable is there, in order. */
static void test_a_crash_while_failing(void **state)
{
	struct log_test *t = *state;

	open_log(t);
	for (uint64_t i = 1; i <= 5; i++) {
		append(t, i, 1, 100);
		wait_durable(t);
	}
	fault_set(&faults.sync, -1, EIO);
	append(t, 6, 1, 100);
	WAIT_FOR(t, t->failed > 0);
	{
		char copy[] = "/tmp/weft-test-failing-XXXXXX";

		assert_non_null(mkdtemp(copy));
		copy_dir(t->dir, copy);
		spool_close(&t->spool, 1000);
		fault_clear();
		remove_files(t->dir);
		copy_dir(copy, t->dir);
		remove_files(copy);
		rmdir(copy);
	}
	open_log(t);
	assert_true(t->recovered_count == 5 || t->recovered_count == 6);
	for (uint64_t i = 0; i < t->recovered_count; i++)
		assert_int_equal(t->recovered[i], i + 1);
}

static void test_a_hanging_sync_tells_nothing_and_blocks_nobody(void **state)
{
	struct log_test *t = *state;
	struct err err = {0};
	uint64_t position, sequence = 1, got[MANY];

	open_log(t);
	append(t, 1, 1, 100);
	wait_durable(t);
	hold_syncs(true);
	/* Accepted up to a bound, then refused: memory does not grow. */
	while (try_append(t, sequence + 1, 10, 100000, &position, &err) == 0)
		sequence++;
	assert_int_equal(err.code, EAGAIN);
	assert_true(err.retriable);
	assert_true(sequence > 20 && sequence < 40);
	assert_true(wait_held());
	for (int i = 0; i < 20; i++)
		loop_turn(t->loop, 1000);
	assert_int_equal(read_all(t, 0, got), 1);
	hold_syncs(false);
	wait_durable(t);
	assert_all(t, sequence);
}

/* Together they are more than may wait: whoever sends them as one request would
 * never get it in. */
static void test_two_large_batches_wait_together(void **state)
{
	struct log_test *t = *state;
	struct err err = {0};
	uint64_t position;

	open_log(t);
	hold_syncs(true);
	assert_int_equal(try_append(t, 1, 20, 900000, &position, &err), 0);
	assert_int_equal(try_append(t, 2, 20, 900000, &position, &err), 0);
	assert_int_equal(try_append(t, 3, 1, 100, &position, &err), -1);
	assert_int_equal(err.code, EAGAIN);
	hold_syncs(false);
	wait_durable(t);
	assert_all(t, 2);
}

static void test_a_hanging_directory_sync_tells_nothing(void **state)
{
	struct log_test *t = *state;
	uint64_t got[MANY];

	open_log(t);
	hold_syncs(true);
	append(t, 1, 1, 100);
	assert_true(wait_held());
	for (int i = 0; i < 20; i++)
		loop_turn(t->loop, 1000);
	assert_int_equal(t->committed, 0);
	assert_int_equal(read_all(t, 0, got), 0);
	hold_syncs(false);
	wait_durable(t);
	assert_all(t, 1);
}

/* Closing returns; whoever opens meanwhile is refused; then all is there. */
static void test_closing_over_a_hanging_disk(void **state)
{
	struct log_test *t = *state;
	struct err err = {0};
	int64_t began;
	int lock;

	open_log(t);
	append(t, 1, 1, 100);
	wait_durable(t);
	hold_syncs(true);
	append(t, 2, 1, 100);
	assert_true(wait_held());
	began = clock_mono_us();
	spool_close(&t->spool, 50000);
	assert_true(clock_mono_us() - began < 5000000);
	assert_null(t->spool);
	assert_int_equal(spool_lock(t->dir, &lock, &err), -1);
	assert_int_equal(err.code, EBUSY);
	hold_syncs(false);
	WAIT_FOR(t, try_open(t, &err) == 0);
	assert_int_equal(t->recovered_count, 2);
}

static void test_a_checkpoint_that_fails_is_told_and_tried_again(void **state)
{
	struct log_test *t = *state;
	struct err err = {0};
	uint64_t bases[MANY];
	size_t before;

	t->options.segment_bytes = 65536;
	open_log(t);
	for (uint64_t i = 1; i <= 60; i++)
		append(t, i, 10, 500);
	wait_durable(t);
	before = segment_files(t, bases);
	fault_set(&faults.checkpoint, -1, EIO);
	assert_int_equal(checkpoint(t), EIO);
	assert_int_equal(spool_checkpoint_now(t->spool, &err), -1);
	assert_int_equal(err.code, EIO);
	spool_free_before(t->spool, bases[before - 1]);
	WAIT_FOR(t, faults.checkpoint.hits >= 4);
	/* Nothing goes before a checkpoint says so. */
	assert_int_equal(segment_files(t, bases), before);
	append(t, 61, 1, 100);
	wait_durable(t);
	fault_clear();
	WAIT_FOR(t, segment_files(t, bases) <= 2);
	assert_int_equal(checkpoint(t), 0);
}

/* What a process that died left may be in the page cache only. */
static void test_a_found_checkpoint_frees_nothing(void **state)
{
	struct log_test *t = *state;
	uint64_t bases[MANY], sequence = 1;
	size_t files = 0;

	t->options.segment_bytes = 65536;
	open_log(t);
	while ((files = segment_files(t, bases)) < 3) {
		append(t, sequence++, 10, 600);
		wait_durable(t);
	}
	spool_free_before(t->spool, bases[2]);
	/* Renamed, but its directory was not synced: nothing goes. */
	fault_set(&faults.dirsync, -1, EIO);
	assert_int_equal(checkpoint(t), EIO);
	assert_int_equal(segment_files(t, bases), files);
	crash_log(t);
	fault_clear();
	fault_set(&faults.checkpoint, -1, EIO);
	open_log(t);
	assert_int_equal(stats_of(t).first, bases[2]);
	WAIT_FOR(t, stats_of(t).failures > 0);
	assert_int_equal(segment_files(t, bases), files);
	/* Those that a checkpoint of its own frees do. */
	fault_clear();
	WAIT_FOR(t, segment_files(t, bases) == 1);
	assert_int_equal(stats_of(t).bad_records, 0);
}

/*
 * What was saved for records that cannot become durable is not carried: the
 * question is answered with the disk's failure.
 */
static void test_a_checkpoint_never_runs_ahead_of_the_disk(void **state)
{
	struct log_test *t = *state;
	struct err err = {0};
	size_t bytes;

	open_log(t);
	append(t, 1, 1, 100);
	wait_durable(t);
	spool_save(t->spool, t->durable, "one", 3);
	assert_int_equal(checkpoint(t), 0);
	fault_set(&faults.write, -1, EIO);
	append(t, 2, 1, 100);
	spool_save(t->spool, stats_of(t).end, "both", 4);
	assert_int_equal(spool_checkpoint_now(t->spool, &err), -1);
	assert_int_equal(err.code, EIO);
	spool_close(&t->spool, 1000);
	fault_clear();
	open_log(t);
	assert_memory_equal(spool_saved(t->spool, &bytes), "one", 3);
	assert_int_equal(bytes, 3);
}

/* ---- the reserve ---- */

static void test_the_reserve_lets_a_full_disk_be_freed(void **state)
{
	struct log_test *t = *state;
	uint64_t bases[MANY];
	size_t before;

	t->options.segment_bytes = 65536;
	t->options.reserve_bytes = 1 << 20;
	open_log(t);
	assert_true(file_exists(t, "reserve"));
	for (uint64_t i = 1; i <= 60; i++)
		append(t, i, 10, 500);
	wait_durable(t);
	before = segment_files(t, bases);
	/* The next checkpoint finds no space, but for the reserve. */
	fault_set(&faults.checkpoint, 1, ENOSPC);
	fault_set(&faults.allocate, -1, ENOSPC);
	append(t, 61, 10, 6000);
	WAIT_FOR(t, t->failed > 0);
	assert_int_equal(t->failure.code, ENOSPC);
	assert_true(file_exists(t, "reserve"));
	spool_free_before(t->spool, bases[before - 1]);
	WAIT_FOR(t, segment_files(t, bases) < before);
	assert_int_equal(faults.checkpoint.hits, 1);
	fault_clear();
	wait_durable(t);
	assert_int_equal(checkpoint(t), 0);
	assert_true(file_exists(t, "reserve"));
}

static int64_t file_bytes(const struct log_test *t, const char *name)
{
	char *path = xasprintf("%s/%s", t->dir, name);
	struct stat st = {0};

	assert_int_equal(stat(path, &st), 0);
	free(path);
	return st.st_size;
}

/* What a sink has in its log it delivers, and that is what frees the disk. */
static void test_a_full_disk_takes_a_segment_from_the_reserve(void **state)
{
	struct log_test *t = *state;
	uint64_t bases[MANY];

	t->options.reserve_bytes = 1 << 20;
	open_log(t);
	assert_int_equal(file_bytes(t, "reserve"), 1 << 20);
	/* Neither a whole segment nor what is queued: the rest is lent. */
	fault_set(&faults.allocate, 2, ENOSPC);
	append(t, 1, 10, 6000);
	wait_durable(t);
	assert_int_equal(t->failed, 0);
	assert_true(file_bytes(t, "reserve") < (1 << 20) - 60000);
	assert_true(file_bytes(t, "reserve") > 1 << 19);
	/* Whatever comes next lies elsewhere: there is nothing behind it. */
	append(t, 2, 1, 100);
	wait_durable(t);
	assert_int_equal(segment_files(t, bases), 2);
	assert_int_equal(checkpoint(t), 0);
	assert_int_equal(file_bytes(t, "reserve"), 1 << 20);
	assert_survives_crashes(t, 2);
}

/* Where the disk is small, or almost full, a whole segment need not fit. */
static void test_a_segment_takes_what_there_is(void **state)
{
	struct log_test *t = *state;

	t->options.headroom_bytes = 1 << 20;
	open_log(t);
	fault_set(&faults.allocate, 1, ENOSPC);
	append(t, 1, 1, 100);
	wait_durable(t);
	assert_int_equal(t->failed, 0);
	assert_int_equal(faults.allocate.hits, 1);
}

/* A source refuses while there is still room for those who empty it. */
static void test_the_headroom_is_left_to_others(void **state)
{
	struct log_test *t = *state;
	struct err err = {0};
	uint64_t position;

	t->options.headroom_bytes = 10 << 20;
	t->options.segment_bytes = 65536;
	open_log(t);
	append(t, 1, 1, 100);
	wait_durable(t);
	faults.taken_kib = (1 << 20) - (10 << 10) + 1; /* 10 MiB - 1 KiB left */
	WAIT_FOR(t, !spool_has_room(t->spool, 65536));
	/* What the segment has allocated harms nobody. */
	assert_int_equal(try_append(t, 2, 1, 70000, &position, &err), -1);
	assert_int_equal(err.code, ENOSPC);
	assert_true(err.retriable);
	assert_non_null(strstr(err.text, t->dir));
	faults.taken_kib = (1 << 20) - (12 << 10);
	WAIT_FOR(t, spool_has_room(t->spool, 65536));
	append(t, 2, 1, 70000);
	wait_durable(t);
	/* Not even what is appended between two looks goes beyond. */
	for (position = 0; try_append(t, 3, 1, 100000, &position, &err) == 0;)
		assert_true(position < 4 << 20);
	assert_int_equal(err.code, ENOSPC);
	wait_durable(t);
}

/* On a small disk the configured headroom would be all of it. */
static void test_the_headroom_is_a_twentieth_at_most(void **state)
{
	struct log_test *t = *state;

	t->options.headroom_bytes = INT64_C(1) << 40;
	open_log(t);
	faults.taken_kib = (1 << 20) - (60 << 10); /* 60 MiB of 1 GiB */
	append(t, 1, 1, 100);
	wait_durable(t);
	faults.taken_kib = (1 << 20) - (48 << 10);
	WAIT_FOR(t, !spool_has_room(t->spool, 2 << 20));
}

static void test_a_full_disk_does_not_keep_a_log_shut(void **state)
{
	struct log_test *t = *state;

	t->options.reserve_bytes = 1 << 20;
	open_log(t);
	append(t, 1, 1, 100);
	wait_durable(t);
	append(t, 2, 1, 100);
	wait_durable(t);
	crash_log(t);
	/* The tail has to be written again, and there is only the reserve. */
	fault_set(&faults.allocate, 2, ENOSPC);
	open_log(t);
	assert_int_equal(faults.allocate.hits, 2);
	assert_int_equal(faults.allocate.times, 0);
	assert_int_equal(t->recovered_count, 2);
	assert_all(t, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    FAULT_TEST(test_a_failed_sync_seals_the_file),
	    FAULT_TEST(test_a_failed_write_seals_the_file),
	    FAULT_TEST(test_a_failed_directory_sync_of_a_new_segment),
	    FAULT_TEST(test_a_full_disk_refuses_and_recovers),
	    FAULT_TEST(test_failing_at_every_commit),
	    FAULT_TEST(test_a_crash_while_failing),
	    FAULT_TEST(test_a_hanging_sync_tells_nothing_and_blocks_nobody),
	    FAULT_TEST(test_two_large_batches_wait_together),
	    FAULT_TEST(test_a_hanging_directory_sync_tells_nothing),
	    FAULT_TEST(test_closing_over_a_hanging_disk),
	    FAULT_TEST(test_a_checkpoint_that_fails_is_told_and_tried_again),
	    FAULT_TEST(test_a_found_checkpoint_frees_nothing),
	    FAULT_TEST(test_a_checkpoint_never_runs_ahead_of_the_disk),
	    FAULT_TEST(test_the_reserve_lets_a_full_disk_be_freed),
	    FAULT_TEST(test_a_full_disk_takes_a_segment_from_the_reserve),
	    FAULT_TEST(test_a_segment_takes_what_there_is),
	    FAULT_TEST(test_the_headroom_is_left_to_others),
	    FAULT_TEST(test_the_headroom_is_a_twentieth_at_most),
	    FAULT_TEST(test_a_full_disk_does_not_keep_a_log_shut),
	};

	quiet();
	return cmocka_run_group_tests_name("spool faults", tests, NULL, NULL);
}
