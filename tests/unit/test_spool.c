/* The log in good weather: what is appended comes back, is freed, is capped. */
#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/spool_fixture.h"

static void test_appended_batches_come_back_in_order(void **state)
{
	struct log_test *t = *state;
	uint64_t got[MANY];

	open_log(t);
	for (uint64_t i = 1; i <= 100; i++)
		append(t, i, 3, 100);
	wait_durable(t);
	assert_int_equal(read_all(t, 0, got), 100);
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(got[i], i + 1);
}

static void test_nothing_is_readable_before_it_is_durable(void **state)
{
	struct log_test *t = *state;
	struct spool_stats stats;
	uint64_t got[MANY];
	size_t n;

	open_log(t);
	assert_int_equal(read_all(t, 0, got), 0);
	for (uint64_t i = 1; i <= 200; i++) {
		append(t, i, 1, 50);
		n = read_all(t, 0, got);
		stats = stats_of(t);
		assert_true(stats.durable <= stats.end);
		assert_true(n <= i);
	}
	wait_durable(t);
	assert_int_equal(read_all(t, 0, got), 200);
}

static void test_a_closed_log_opens_again_with_everything(void **state)
{
	struct log_test *t = *state;
	uint64_t got[MANY];
	struct uuid id;

	open_log(t);
	id = *spool_id(t->spool);
	for (uint64_t i = 1; i <= 50; i++)
		append(t, i, 2, 300);
	close_log(t);
	open_log(t);
	assert_memory_equal(&id, spool_id(t->spool), sizeof(id));
	assert_int_equal(t->recovered_count, 50);
	assert_int_equal(t->recovered_bad, 0);
	append(t, 51, 1, 10);
	wait_durable(t);
	assert_int_equal(read_all(t, 0, got), 51);
	for (uint64_t i = 0; i < 51; i++)
		assert_int_equal(got[i], i + 1);
}

static void test_closing_makes_what_is_queued_durable(void **state)
{
	struct log_test *t = *state;
	uint64_t end;

	open_log(t);
	for (uint64_t i = 1; i <= 300; i++)
		append(t, i, 10, 460);
	end = stats_of(t).end;
	close_log(t);
	assert_int_equal(t->durable, end);
	open_log(t);
	assert_int_equal(t->recovered_count, 300);
}

/* Equal bytes from memory and from disk, whatever the sizes. */
static void test_memory_and_disk_give_the_same_bytes(void **state)
{
	struct log_test *t = *state;
	struct batch *kept[40];
	uint64_t at = 0, next;
	struct err err = {0};

	open_log(t);
	for (uint64_t i = 0; i < 40; i++) {
		uint64_t position;

		kept[i] = make_batch(t, i + 1, (uint32_t)i, 17 * i + 1);
		assert_int_equal(
		    spool_append(t->spool, kept[i], &position, &err), 0);
	}
	wait_durable(t);
	t->options.cache_bytes = 0;
	close_log(t);
	open_log(t);
	for (int i = 0; i < 40; i++) {
		struct batch *b;

		assert_int_equal(spool_read(t->spool, &at, &next, &b, &err), 1);
		assert_ptr_not_equal(b, kept[i]);
		assert_memory_equal(&b->header, &kept[i]->header,
				    sizeof(b->header));
		assert_memory_equal(b->index, kept[i]->index,
				    b->header.index_bytes);
		assert_memory_equal(b->payload, kept[i]->payload,
				    b->header.payload_bytes);
		batch_unref(&b);
		batch_unref(&kept[i]);
		at = next;
	}
}

static void test_a_reader_behind_the_writer_gets_the_writers_batch(void **state)
{
	struct log_test *t = *state;
	struct batch *b = make_batch(t, 1, 5, 100), *got = NULL;
	uint64_t position, at = 0, next;
	struct err err = {0};

	open_log(t);
	assert_int_equal(spool_append(t->spool, b, &position, &err), 0);
	wait_durable(t);
	assert_int_equal(spool_read(t->spool, &at, &next, &got, &err), 1);
	assert_ptr_equal(got, b);
	batch_unref(&got);
	batch_unref(&b);
}

static void test_memory_kept_is_bounded_by_cache_bytes(void **state)
{
	struct log_test *t = *state;
	struct batch *first = make_batch(t, 1, 10, 1000), *got = NULL;
	uint64_t position, at = 0, next, all[MANY];
	struct err err = {0};

	t->options.cache_bytes = 100000;
	open_log(t);
	assert_int_equal(spool_append(t->spool, first, &position, &err), 0);
	for (uint64_t i = 2; i <= 50; i++)
		append(t, i, 10, 1000);
	wait_durable(t);
	assert_int_equal(spool_read(t->spool, &at, &next, &got, &err), 1);
	assert_ptr_not_equal(got, first);
	assert_int_equal(got->header.body_crc, first->header.body_crc);
	batch_unref(&got);
	batch_unref(&first);
	assert_int_equal(read_all(t, 0, all), 50);
}

static void test_a_position_between_records_reads_the_next_one(void **state)
{
	struct log_test *t = *state;
	uint64_t second, at, next;
	struct batch *b;
	struct err err = {0};

	open_log(t);
	append(t, 1, 1, 100);
	second = append(t, 2, 1, 100);
	wait_durable(t);
	at = second - 8;
	assert_int_equal(spool_read(t->spool, &at, &next, &b, &err), 1);
	assert_int_equal(b->header.sequence, 2);
	assert_int_equal(at, second);
	assert_int_equal(next, stats_of(t).end);
	batch_unref(&b);
	at = second + 8;
	assert_int_equal(spool_read(t->spool, &at, &next, &b, &err), 0);
	t->options.cache_bytes = 0;
	close_log(t);
	open_log(t);
	at = second + 8;
	assert_int_equal(spool_read(t->spool, &at, &next, &b, &err), 0);
}

static void test_large_and_empty_batches(void **state)
{
	struct log_test *t = *state;
	uint64_t got[MANY];

	t->options.cache_bytes = 0;
	open_log(t);
	append(t, 1, 0, 0);
	append(t, 2, 10, 900000);
	append(t, 3, 0, 0);
	append(t, 4, 1, 1);
	wait_durable(t);
	assert_int_equal(read_all(t, 0, got), 4);
	close_log(t);
	open_log(t);
	assert_int_equal(t->recovered_count, 4);
	assert_int_equal(t->recovered[1], 2);
}

static void test_segments_are_rolled_and_freed_ones_unlinked(void **state)
{
	struct log_test *t = *state;
	uint64_t got[MANY], bases[MANY], middle = 0;
	size_t before;

	t->options.segment_bytes = 65536;
	open_log(t);
	for (uint64_t i = 1; i <= 100; i++) {
		uint64_t position = append(t, i, 10, 500);

		if (i == 50)
			middle = position;
	}
	wait_durable(t);
	before = segment_files(t, bases);
	assert_true(before >= 8);
	spool_free_before(t->spool, middle);
	/* They go one by one. */
	WAIT_FOR(t, segment_files(t, bases) < before && bases[1] > middle &&
			bases[0] <= middle);
	assert_int_equal(read_all(t, 0, got), 51);
	assert_int_equal(got[0], 50);
	assert_int_equal(stats_of(t).segments, segment_files(t, bases));
	close_log(t);
	open_log(t);
	assert_int_equal(stats_of(t).first, middle);
	assert_int_equal(t->recovered_count, 51);
	assert_int_equal(read_all(t, 0, got), 51);
}

static void test_commits_keep_their_interval_until_much_waits(void **state)
{
	struct log_test *t = *state;
	uint64_t sequence = 2;

	t->options.commit_interval_us = INT64_C(3600000000);
	t->options.segment_bytes = 8 << 20;
	t->options.cap_bytes = 64 << 20;
	open_log(t);
	append(t, 1, 1, 100);
	wait_durable(t);
	append(t, 2, 1, 100);
	while (stats_of(t).end - stats_of(t).durable < 1 << 20)
		append(t, ++sequence, 10, 10000);
	wait_durable(t);
	assert_int_equal(stats_of(t).commits, 2);
	append(t, ++sequence, 1, 100);
	close_log(t);
	open_log(t);
	assert_int_equal(t->recovered_count, sequence);
}

/* Whoever waits for a checkpoint does not wait for the interval. */
static void test_a_checkpoint_does_not_keep_the_interval(void **state)
{
	struct log_test *t = *state;
	struct err err = {0};

	t->options.commit_interval_us = INT64_C(3600000000);
	open_log(t);
	append(t, 1, 1, 100);
	wait_durable(t);
	append(t, 2, 1, 100);
	assert_int_equal(checkpoint(t), 0);
	append(t, 3, 1, 100);
	spool_save(t->spool, stats_of(t).end, "three", 5);
	assert_int_equal(spool_checkpoint_now(t->spool, &err), 0);
	assert_int_equal(stats_of(t).durable, stats_of(t).end);
}

static void test_positions_go_on_when_everything_was_freed(void **state)
{
	struct log_test *t = *state;
	uint64_t end, got[MANY];

	open_log(t);
	for (uint64_t i = 1; i <= 10; i++)
		append(t, i, 1, 100);
	wait_durable(t);
	end = stats_of(t).end;
	spool_free_before(t->spool, end);
	close_log(t);
	open_log(t);
	assert_int_equal(stats_of(t).first, end);
	assert_int_equal(stats_of(t).end, end);
	assert_int_equal(append(t, 11, 1, 100), end);
	wait_durable(t);
	assert_int_equal(read_all(t, 0, got), 1);
}

static void test_the_cap_refuses_until_space_is_freed(void **state)
{
	struct log_test *t = *state;
	uint64_t position, sequence = 0;
	struct err err = {0};

	t->options.cap_bytes = 1 << 20;
	open_log(t);
	assert_true(spool_has_room(t->spool, 20000));
	while (try_append(t, sequence + 1, 10, 2000, &position, &err) == 0)
		sequence++;
	assert_int_equal(err.code, ENOSPC);
	assert_true(err.retriable);
	assert_non_null(strstr(err.text, t->dir));
	assert_false(spool_has_room(t->spool, 20000));
	assert_true(sequence > 40);
	wait_durable(t);
	assert_true(stats_of(t).bytes <= stats_of(t).cap_bytes);
	spool_free_before(t->spool, stats_of(t).durable);
	WAIT_FOR(t, spool_has_room(t->spool, 20000));
	append(t, sequence + 1, 10, 2000);
	wait_durable(t);
}

/* However small the cap, a log whose records are all freed takes the next. */
static void test_a_full_log_that_is_freed_always_takes_the_next(void **state)
{
	struct log_test *t = *state;
	uint64_t position;
	struct err err = {0};

	t->options.cap_bytes = 1 << 20;
	open_log(t);
	for (uint64_t i = 1; i <= 30; i++) {
		size_t bytes = i % 3 ? 30000 : 500000;

		WAIT_FOR(t, spool_has_room(t->spool, bytes + 200));
		append(t, i, 1, bytes);
		wait_durable(t);
		spool_free_before(t->spool, stats_of(t).durable);
	}
	assert_int_equal(try_append(t, 31, 1, 700000, &position, &err), -1);
	assert_int_equal(err.code, EFBIG);
	assert_false(err.retriable);
}

static void test_a_cap_that_is_too_small_is_refused(void **state)
{
	struct log_test *t = *state;
	struct err err = {0};

	t->options.cap_bytes = 4096;
	assert_int_equal(try_open(t, &err), -1);
	assert_int_equal(err.code, EINVAL);
	assert_null(t->spool);
}

static void test_what_is_saved_comes_back(void **state)
{
	struct log_test *t = *state;
	struct err err = {0};
	const char *saved;
	size_t bytes;

	open_log(t);
	saved = spool_saved(t->spool, &bytes);
	assert_int_equal(bytes, 0);
	append(t, 1, 1, 100);
	append(t, 2, 1, 100);
	spool_save(t->spool, stats_of(t).end, "epoch 7", 7);
	/* Waits for the records before it, which the part describes. */
	assert_int_equal(spool_checkpoint_now(t->spool, &err), 0);
	assert_int_equal(stats_of(t).durable, stats_of(t).end);
	append(t, 3, 1, 100);
	wait_durable(t);
	crash_log(t);
	open_log(t);
	saved = spool_saved(t->spool, &bytes);
	assert_int_equal(bytes, 7);
	assert_memory_equal(saved, "epoch 7", 7);
	assert_int_equal(t->recovered_count, 1);
	assert_int_equal(t->recovered[0], 3);
}

static void save_count(void *arg, uint64_t durable)
{
	struct log_test *t = arg;

	assert_int_equal(durable, t->durable);
	spool_save(t->spool, durable, "lanes", 5);
}

static void test_checkpoints_bound_what_an_open_scans(void **state)
{
	struct log_test *t = *state;
	uint64_t got[MANY];

	t->events.saving = save_count;
	t->options.checkpoint_bytes = 200000;
	t->options.segment_bytes = 1 << 20;
	open_log(t);
	for (uint64_t i = 1; i <= 2000; i++) {
		append(t, i, 10, 1000);
		if (i % 10 == 0)
			wait_durable(t);
	}
	wait_durable(t);
	assert_true(segment_files(t, got) >= 20);
	crash_log(t);
	open_log(t);
	assert_true(t->recovered_count < 100);
	assert_int_equal(read_all(t, 0, got), 2000);
}

/* What the saved part does not describe stays, freed or not. */
static void test_freeing_waits_for_what_is_saved(void **state)
{
	struct log_test *t = *state;
	uint64_t second;

	t->events.saving = save_count;
	open_log(t);
	append(t, 1, 1, 100);
	wait_durable(t);
	second = append(t, 2, 1, 100);
	wait_durable(t);
	spool_free_before(t->spool, stats_of(t).end);
	spool_save(t->spool, second, "one", 3);
	assert_int_equal(checkpoint(t), 0);
	crash_log(t);
	open_log(t);
	assert_int_equal(stats_of(t).first, second);
	assert_int_equal(t->recovered_count, 1);
	assert_int_equal(t->recovered[0], 2);
}

/* What was saved says of records freed behind it that they are to be done. */
static void test_freeing_waits_for_the_next_saving(void **state)
{
	struct log_test *t = *state;
	uint64_t second;

	t->events.saving = save_count;
	open_log(t);
	append(t, 1, 1, 100);
	second = append(t, 2, 1, 100);
	wait_durable(t);
	spool_save(t->spool, stats_of(t).durable, "none done", 9);
	spool_free_before(t->spool, second);
	assert_int_equal(checkpoint(t), 0);
	crash_log(t);
	open_log(t);
	assert_int_equal(stats_of(t).first, 0);
	spool_free_before(t->spool, second);
	spool_save(t->spool, stats_of(t).durable, "one done", 8);
	assert_int_equal(checkpoint(t), 0);
	crash_log(t);
	open_log(t);
	assert_int_equal(stats_of(t).first, second);
}

static void test_checkpoints_coalesce_and_all_are_answered(void **state)
{
	struct log_test *t = *state;
	int answers[50];

	open_log(t);
	append(t, 1, 1, 100);
	for (int i = 0; i < 50; i++) {
		answers[i] = -1;
		spool_checkpoint(t->spool, on_checkpoint, &answers[i]);
	}
	for (int i = 0; i < 50; i++)
		WAIT_FOR(t, answers[i] == 0);
}

static void test_a_second_opener_is_told_who_holds_the_log(void **state)
{
	struct log_test *t = *state;
	struct spool *second;
	struct err err = {0};
	char pid[32];
	int ready[2], status;
	char byte;
	pid_t child;

	assert_int_equal(pipe(ready), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct loop *loop = loop_new();

		t->loop = loop;
		if (spool_open(&second, loop, &t->options, &t->events, &err) !=
			0 ||
		    write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(try_open(t, &err), -1);
	assert_int_equal(err.code, EBUSY);
	snprintf(pid, sizeof(pid), "process %d", (int)child);
	assert_non_null(strstr(err.text, pid));
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	close(ready[0]);
	open_log(t);
}

static bool count_record(void *arg, const struct spool_record *record)
{
	size_t *count = arg;

	assert_non_null(record->batch);
	return ++*count < 30;
}

static void test_walking_a_running_log(void **state)
{
	struct log_test *t = *state;
	struct spool_stats stats;
	struct uuid id;
	struct err err = {0};
	uint64_t fifth = 0;
	size_t count = 0;

	open_log(t);
	for (uint64_t i = 1; i <= 20; i++) {
		uint64_t position = append(t, i, 2, 100);

		if (i == 5)
			fifth = position;
	}
	wait_durable(t);
	spool_free_before(t->spool, fifth);
	assert_int_equal(checkpoint(t), 0);
	assert_int_equal(spool_walk(t->dir, 0, count_record, &count, &err), 0);
	assert_int_equal(count, 16);
	assert_int_equal(spool_inspect(t->dir, &id, &stats, &err), 0);
	assert_memory_equal(&id, spool_id(t->spool), sizeof(id));
	assert_int_equal(stats.records, 16);
	assert_int_equal(stats.bad_records, 0);
	assert_int_equal(stats.first, fifth);
	assert_int_equal(stats.end, stats_of(t).end);
	assert_int_equal(stats.bytes, stats_of(t).bytes);
	assert_int_equal(stats.oldest_at_us, stats_of(t).oldest_at_us);
	assert_true(stats.oldest_at_us > 0);
	for (uint64_t i = 21; i <= 60; i++)
		append(t, i, 2, 100);
	wait_durable(t);
	count = 0;
	assert_int_equal(spool_walk(t->dir, 0, count_record, &count, &err), 0);
	assert_int_equal(count, 30);
}

static void test_walking_what_is_no_log(void **state)
{
	struct log_test *t = *state;
	struct spool_stats stats;
	struct uuid id;
	struct err err = {0};
	size_t count = 0;

	assert_int_equal(spool_walk(t->dir, 0, count_record, &count, &err), -1);
	assert_int_equal(err.code, ENOENT);
	assert_non_null(strstr(err.text, t->dir));
	assert_int_equal(spool_inspect("/nonexistent", &id, &stats, &err), -1);
	assert_int_equal(err.code, ENOENT);
	assert_int_equal(count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    LOG_TEST(test_appended_batches_come_back_in_order),
	    LOG_TEST(test_nothing_is_readable_before_it_is_durable),
	    LOG_TEST(test_a_closed_log_opens_again_with_everything),
	    LOG_TEST(test_closing_makes_what_is_queued_durable),
	    LOG_TEST(test_memory_and_disk_give_the_same_bytes),
	    LOG_TEST(test_a_reader_behind_the_writer_gets_the_writers_batch),
	    LOG_TEST(test_memory_kept_is_bounded_by_cache_bytes),
	    LOG_TEST(test_a_position_between_records_reads_the_next_one),
	    LOG_TEST(test_large_and_empty_batches),
	    LOG_TEST(test_segments_are_rolled_and_freed_ones_unlinked),
	    LOG_TEST(test_commits_keep_their_interval_until_much_waits),
	    LOG_TEST(test_a_checkpoint_does_not_keep_the_interval),
	    LOG_TEST(test_positions_go_on_when_everything_was_freed),
	    LOG_TEST(test_the_cap_refuses_until_space_is_freed),
	    LOG_TEST(test_a_full_log_that_is_freed_always_takes_the_next),
	    LOG_TEST(test_a_cap_that_is_too_small_is_refused),
	    LOG_TEST(test_what_is_saved_comes_back),
	    LOG_TEST(test_checkpoints_bound_what_an_open_scans),
	    LOG_TEST(test_freeing_waits_for_what_is_saved),
	    LOG_TEST(test_freeing_waits_for_the_next_saving),
	    LOG_TEST(test_checkpoints_coalesce_and_all_are_answered),
	    LOG_TEST(test_a_second_opener_is_told_who_holds_the_log),
	    LOG_TEST(test_walking_a_running_log),
	    LOG_TEST(test_walking_what_is_no_log),
	};

	quiet();
	return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
