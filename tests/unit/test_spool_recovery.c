/* The log in bad weather: torn, flipped, zeroed, missing and foreign bytes. */
#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/spool_fixture.h"

#include "spool/checkpoint.h"
#include "spool/segments.h"
#include "tests/unit/spool_faults.h"

/* ---- hands on the files ---- */

static void flip(const char *path, int64_t offset)
{
	int fd = open(path, O_RDWR);
	uint8_t byte;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, offset), 1);
	byte ^= 0x55;
	assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
	close(fd);
}

static void zero(const char *path, int64_t offset, size_t bytes)
{
	uint8_t *zeros = xcalloc(1, bytes);
	int fd = open(path, O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, zeros, bytes, offset), bytes);
	close(fd);
	free(zeros);
}

static int64_t file_bytes(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

/* A picture of the directory, to start each trial from. */
struct picture {
	char dir[64];
};

static void take_picture(const struct log_test *t, struct picture *p)
{
	strcpy(p->dir, "/tmp/weft-test-picture-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	copy_dir(t->dir, p->dir);
}

static void restore_picture(const struct log_test *t, const struct picture *p)
{
	remove_files(t->dir);
	copy_dir(p->dir, t->dir);
}

static void drop_picture(struct picture *p)
{
	remove_files(p->dir);
	rmdir(p->dir);
}

/* Appends one record and waits for it: a commit of its own. */
static uint64_t append_alone(struct log_test *t, uint64_t sequence,
			     size_t bytes)
{
	uint64_t position = append(t, sequence, 1, bytes);

	wait_durable(t);
	return position;
}

/* Records in ONE commit: they are queued while an earlier sync hangs. */
static void append_together(struct log_test *t, uint64_t from, uint64_t to,
			    size_t bytes)
{
	hold_syncs(true);
	append(t, from - 1, 1, bytes);
	assert_true(wait_held());
	for (uint64_t i = from; i <= to; i++)
		append(t, i, 1, bytes);
	hold_syncs(false);
	wait_durable(t);
}

static void assert_recovered(const struct log_test *t, const uint64_t *want,
			     size_t count)
{
	assert_int_equal(t->recovered_count, count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(t->recovered[i], want[i]);
}

#define RECOVERED(t, ...)                                          \
	assert_recovered(t, (const uint64_t[]){__VA_ARGS__},       \
			 sizeof((const uint64_t[]){__VA_ARGS__}) / \
			     sizeof(uint64_t))

/* ---- the tail ---- */

static void test_a_tail_torn_at_any_byte_is_cut(void **state)
{
	struct log_test *t = *state;
	uint64_t third, fourth, end, got[MANY];
	struct picture before;
	char *path;

	open_log(t);
	append_alone(t, 1, 10);
	append_alone(t, 2, 10);
	third = append_alone(t, 3, 10);
	fourth = append_alone(t, 4, 10);
	end = stats_of(t).end;
	crash_log(t);
	take_picture(t, &before);
	path = segment_file(t, 0);
	for (uint64_t cut = third; cut <= end; cut++) {
		size_t whole = cut >= end ? 4 : cut >= fourth ? 3 : 2;

		restore_picture(t, &before);
		assert_int_equal(
		    truncate(path, (int64_t)cut + SEGMENT_HEADER_BYTES), 0);
		open_log(t);
		/* The fourth proves that the third was durable. */
		assert_int_equal(t->recovered_count, whole);
		assert_int_equal(t->recovered_bad, 0);
		if (cut % 7 == 0) {
			append(t, 9, 1, 3);
			wait_durable(t);
			assert_int_equal(read_all(t, 0, got), whole + 1);
			assert_int_equal(got[whole], 9);
		}
		close_log(t);
	}
	free(path);
	drop_picture(&before);
}

static void test_zeros_behind_the_end_are_no_records(void **state)
{
	struct log_test *t = *state;
	char *path;

	open_log(t);
	append_alone(t, 1, 100);
	append_alone(t, 2, 100);
	crash_log(t);
	path = segment_file(t, 0);
	assert_int_equal(truncate(path, file_bytes(path) + 100000), 0);
	open_log(t);
	RECOVERED(t, 1, 2);
	assert_int_equal(t->recovered_bad, 0);
	free(path);
}

/* The header's page got to the disk, the body's did not: zeros. */
static void test_a_zero_filled_record_is_not_taken(void **state)
{
	struct log_test *t = *state;
	struct picture before;
	uint64_t last, end;
	char *path = segment_file(t, 0);

	open_log(t);
	append_alone(t, 1, 5000);
	last = append_alone(t, 2, 5000);
	end = stats_of(t).end;
	crash_log(t);
	take_picture(t, &before);
	for (uint64_t from = last; from < end; from += 512) {
		restore_picture(t, &before);
		zero(path, segment_offset(0, from), (size_t)(end - from));
		open_log(t);
		RECOVERED(t, 1);
		append_alone(t, 3, 10);
		close_log(t);
		open_log(t);
		RECOVERED(t, 1, 3);
		close_log(t);
	}
	drop_picture(&before);
	free(path);
}

/* Whole records lie behind the torn one: they must stay dead for ever. */
static void test_stale_records_never_come_back(void **state)
{
	struct log_test *t = *state;
	uint64_t torn = 0;
	char *path = segment_file(t, 0);

	open_log(t);
	append_alone(t, 1, 100);
	append_together(t, 3, 6, 100);
	close_log(t);
	/* As after a crash in the last commit: no checkpoint knows it. */
	open_log(t);
	RECOVERED(t, 1, 2, 3, 4, 5, 6);
	torn = t->recovered_at[2];
	close_log(t);
	{
		struct checkpoint c;
		struct err err = {0};
		char *memory;

		assert_int_equal(checkpoint_read(t->dir, &c, &memory, &err), 0);
		c.durable = torn;
		assert_int_equal(checkpoint_write(t->dir, &c, &err), 0);
		free(memory);
	}
	zero(path, segment_offset(0, torn), 64);
	open_log(t);
	RECOVERED(t, 1, 2);
	assert_int_equal(append_alone(t, 13, 100), torn);
	crash_log(t);
	open_log(t);
	RECOVERED(t, 1, 2, 13);
	append_alone(t, 14, 37);
	append_alone(t, 15, 100);
	crash_log(t);
	open_log(t);
	RECOVERED(t, 1, 2, 13, 14, 15);
	free(path);
}

/* Nothing is lost by crashing again and again, also before anything new. */
static void test_many_crashes_in_a_row(void **state)
{
	struct log_test *t = *state;
	uint64_t sequence = 0, got[MANY];

	for (int round = 0; round < 15; round++) {
		open_log(t);
		assert_int_equal(t->recovered_count, sequence);
		for (int i = 0; i < round % 4; i++)
			append(t, ++sequence, 2, 700);
		wait_durable(t);
		crash_log(t);
	}
	open_log(t);
	assert_int_equal(read_all(t, 0, got), sequence);
	for (uint64_t i = 0; i < sequence; i++)
		assert_int_equal(got[i], i + 1);
}

/*
 * A sync that failed in a former process says nothing to the next one: what
 * nothing proves to be on disk is written again, and acknowledged only then.
 */
static void test_an_unproven_tail_is_written_again(void **state)
{
	struct log_test *t = *state;
	uint64_t second, bases[MANY];
	struct err err = {0};

	open_log(t);
	append_alone(t, 1, 100);
	second = append_alone(t, 2, 100);
	crash_log(t);
	fault_set(&faults.sync, -1, EIO);
	assert_int_equal(try_open(t, &err), -1);
	assert_int_equal(err.code, EIO);
	fault_clear();
	open_log(t);
	RECOVERED(t, 1, 2);
	assert_int_equal(segment_files(t, bases), 2);
	assert_int_equal(bases[1], second);
}

/* ---- kill -9 ---- */

/*
 * What the child does until it is killed: appends, frees, checkpoints, and says
 * each sequence on the pipe once it is durable.
 */
static void live_until_killed(struct log_test *t, uint64_t sequence, int out)
{
	uint64_t positions[64], told = sequence;

	t->loop = loop_new();
	t->builder = batch_builder_new();
	open_log(t);
	for (;;) {
		uint64_t first = sequence + 1;
		size_t n = 1 + sequence % 5;

		for (size_t i = 0; i < n; i++)
			positions[i] = append(t, ++sequence, 4, 1500);
		wait_durable(t);
		for (; told < sequence; told++)
			if (write(out, &(uint64_t){told + 1}, 8) != 8)
				_exit(1);
		/* Only the last group is kept: segments come and go. */
		if (first % 7 == 0)
			spool_free_before(t->spool, positions[0]);
		if (first % 11 == 0)
			checkpoint(t);
	}
}

/* Reads what the child says until `count` are durable, then kills it. */
static uint64_t kill_after(pid_t child, int in, unsigned count)
{
	uint64_t last = 0, said;
	int status;

	while (count-- && read(in, &said, 8) == 8)
		last = said;
	kill(child, SIGKILL);
	while (read(in, &said, 8) == 8)
		last = said;
	waitpid(child, &status, 0);
	assert_true(WIFSIGNALED(status));
	return last;
}

static void test_kill_at_any_moment_loses_nothing(void **state)
{
	struct log_test *t = *state;
	uint64_t last = 0, got[MANY];
	size_t n;

	t->options.segment_bytes = 65536;
	t->options.cap_bytes = 32 << 20;
	t->options.checkpoint_bytes = 100000;
	for (unsigned round = 0; round < 25; round++) {
		int ends[2];
		pid_t child;
		uint64_t said;

		assert_int_equal(pipe(ends), 0);
		child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			close(ends[0]);
			live_until_killed(t, last, ends[1]);
		}
		close(ends[1]);
		said = kill_after(child, ends[0], 5 + round * 7 % 40);
		close(ends[0]);
		assert_true(said > last);
		t->options.cache_bytes = 0;
		open_log(t);
		assert_int_equal(stats_of(t).bad_records, 0);
		n = read_all(t, 0, got);
		assert_true(n > 0 && got[n - 1] >= said);
		for (size_t i = 1; i < n; i++)
			assert_int_equal(got[i], got[i - 1] + 1);
		last = got[n - 1];
		close_log(t);
	}
}

/* ---- the middle ---- */

static void test_a_flipped_byte_costs_that_record_only(void **state)
{
	struct log_test *t = *state;
	uint64_t second, third, got[MANY];
	struct picture before;
	char *path = segment_file(t, 0);

	t->options.cache_bytes = 0;
	open_log(t);
	append_alone(t, 1, 40);
	second = append_alone(t, 2, 40);
	third = append_alone(t, 3, 40);
	append_alone(t, 4, 40);
	crash_log(t);
	take_picture(t, &before);
	for (uint64_t at = second; at < third; at += 3) {
		restore_picture(t, &before);
		flip(path, segment_offset(0, at));
		open_log(t);
		assert_int_equal(t->recovered_count, 4);
		assert_int_equal(t->recovered[0], 1);
		assert_int_equal(t->recovered[2], 3);
		assert_int_equal(t->recovered[3], 4);
		/* Only padding may be flipped without a consequence. */
		if (t->recovered[1] != 0)
			assert_true(third - at <= 8);
		assert_int_equal(stats_of(t).bad_records, t->recovered_bad);
		assert_int_equal(read_all(t, 0, got), 4 - t->recovered_bad);
		/* Read again, it is not counted again. */
		assert_int_equal(stats_of(t).bad_records, t->recovered_bad);
		close_log(t);
	}
	drop_picture(&before);
	free(path);
}

/* A bad record that the checkpoint covers is found when it is read. */
static void test_a_bad_record_found_by_reading_is_skipped_and_counted(
    void **state)
{
	struct log_test *t = *state;
	uint64_t second, got[MANY];
	char *path = segment_file(t, 0);

	open_log(t);
	append_alone(t, 1, 40);
	second = append_alone(t, 2, 40);
	append_alone(t, 3, 40);
	spool_save(t->spool, stats_of(t).end, "x", 1);
	close_log(t);
	flip(path, segment_offset(0, second) + 200);
	open_log(t);
	assert_int_equal(t->recovered_count, 0);
	assert_int_equal(stats_of(t).bad_records, 0);
	assert_int_equal(read_all(t, 0, got), 2);
	assert_int_equal(got[0], 1);
	assert_int_equal(got[1], 3);
	assert_int_equal(stats_of(t).bad_records, 1);
	free(path);
}

/* A whole record in the wrong place, as a misdirected write leaves it. */
static void test_a_record_that_lies_elsewhere_is_bad(void **state)
{
	struct log_test *t = *state;
	uint64_t second;
	char *path = segment_file(t, 0);
	char data[4096];
	int fd;

	open_log(t);
	append_alone(t, 1, 100);
	second = append_alone(t, 2, 100);
	append_alone(t, 3, 100);
	crash_log(t);
	assert_true(second < sizeof(data));
	fd = open(path, O_RDWR);
	assert_int_equal(pread(fd, data, second, segment_offset(0, 0)), second);
	assert_int_equal(pwrite(fd, data, second, segment_offset(0, second)),
			 second);
	close(fd);
	open_log(t);
	RECOVERED(t, 1, 0, 3);
	free(path);
}

static void test_several_bad_records_in_a_row(void **state)
{
	struct log_test *t = *state;
	uint64_t from, to, got[MANY];
	char *path = segment_file(t, 0);

	t->options.cache_bytes = 0;
	open_log(t);
	append_alone(t, 1, 400);
	from = append_alone(t, 2, 400);
	append_alone(t, 3, 400);
	to = append_alone(t, 4, 400);
	append_alone(t, 5, 400);
	crash_log(t);
	zero(path, segment_offset(0, from), (size_t)(to - from));
	open_log(t);
	RECOVERED(t, 1, 0, 4, 5);
	assert_int_equal(read_all(t, 0, got), 3);
	free(path);
}

/* ---- segments ---- */

/* 60 records over several segments; the bases go to bases. */
static size_t fill_segments(struct log_test *t, uint64_t *bases)
{
	t->options.segment_bytes = 65536;
	t->options.cache_bytes = 0;
	open_log(t);
	for (uint64_t i = 1; i <= 60; i++)
		append(t, i, 10, 500);
	wait_durable(t);
	append_alone(t, 61, 10);
	crash_log(t);
	return segment_files(t, bases);
}

static void test_a_missing_segment_is_a_hole(void **state)
{
	struct log_test *t = *state;
	uint64_t bases[MANY], got[MANY], end;
	size_t n = fill_segments(t, bases), good;
	struct picture before;

	take_picture(t, &before);
	for (size_t missing = 0; missing < n - 1; missing++) {
		char *path = segment_file(t, bases[missing]);

		restore_picture(t, &before);
		unlink(path);
		open_log(t);
		assert_int_equal(t->recovered_bad, 1);
		assert_int_equal(t->recovered[t->recovered_count - 1], 61);
		good = t->recovered_count - 1;
		end = stats_of(t).end;
		assert_int_equal(read_all(t, 0, got), good);
		assert_int_equal(append_alone(t, 62, 10), end);
		close_log(t);
		open_log(t);
		assert_int_equal(t->recovered_bad, 1);
		assert_int_equal(t->recovered_count, good + 2);
		close_log(t);
		free(path);
	}
	drop_picture(&before);
}

static void test_a_short_segment_costs_what_it_lacks(void **state)
{
	struct log_test *t = *state;
	uint64_t bases[MANY], got[MANY];
	size_t n = fill_segments(t, bases);
	char *path = segment_file(t, bases[1]);

	assert_true(n > 3);
	assert_int_equal(truncate(path, file_bytes(path) / 2), 0);
	open_log(t);
	assert_true(t->recovered_bad >= 1);
	assert_true(t->recovered_count > 50);
	assert_int_equal(t->recovered[t->recovered_count - 1], 61);
	assert_int_equal(read_all(t, 0, got),
			 t->recovered_count - t->recovered_bad);
	close_log(t);
	/* Empty, and shorter than a header. */
	assert_int_equal(truncate(path, 0), 0);
	open_log(t);
	assert_int_equal(t->recovered[t->recovered_count - 1], 61);
	free(path);
}

static void test_a_damaged_segment_header_costs_nothing(void **state)
{
	struct log_test *t = *state;
	uint64_t bases[MANY], got[MANY];
	size_t n = fill_segments(t, bases);

	for (size_t i = 0; i < n; i++) {
		char *path = segment_file(t, bases[i]);

		flip(path, 20);
		free(path);
	}
	open_log(t);
	assert_int_equal(t->recovered_bad, 0);
	assert_int_equal(t->recovered_count, 61);
	assert_int_equal(read_all(t, 0, got), 61);
	append_alone(t, 62, 10);
	crash_log(t);
	open_log(t);
	assert_int_equal(t->recovered_count, 62);
	assert_int_equal(t->recovered_bad, 0);
}

static void test_a_foreign_segment_is_set_aside_whole(void **state)
{
	struct log_test *t = *state;
	struct log_test *other = log_test_new();
	uint64_t got[MANY], base;
	char *from, *to, *aside;

	open_log(other);
	append_alone(other, 77, 100);
	base = append_alone(other, 78, 100);
	close_log(other);
	open_log(t);
	append_alone(t, 1, 100);
	append_alone(t, 2, 100);
	close_log(t);
	/* Under a name in the middle of ours: it must not void our records. */
	from = segment_file(other, 0);
	to = segment_file(t, base);
	{
		struct segment_header header = {.base = base};
		uint8_t data[SEGMENT_HEADER_BYTES];
		int fd;

		header.log.bytes[0] = 9;
		segment_header_encode(&header, data);
		assert_int_equal(rename(from, to), 0);
		fd = open(to, O_RDWR);
		assert_int_equal(pwrite(fd, data, sizeof(data), 0),
				 sizeof(data));
		close(fd);
	}
	open_log(t);
	RECOVERED(t, 1, 2);
	aside = xasprintf("%s.aside", to);
	assert_int_equal(access(aside, F_OK), 0);
	assert_int_equal(access(to, F_OK), -1);
	append_alone(t, 3, 100);
	assert_int_equal(read_all(t, 0, got), 3);
	free(aside);
	free(from);
	free(to);
	log_test_free(other);
}

static void test_all_segments_gone(void **state)
{
	struct log_test *t = *state;
	uint64_t bases[MANY], end, got[MANY];
	size_t n;

	open_log(t);
	append_alone(t, 1, 100);
	append_alone(t, 2, 100);
	close_log(t);
	n = segment_files(t, bases);
	for (size_t i = 0; i < n; i++) {
		char *path = segment_file(t, bases[i]);

		unlink(path);
		free(path);
	}
	open_log(t);
	RECOVERED(t, 0);
	end = stats_of(t).end;
	assert_true(end > 0);
	/* No position is ever used twice. */
	assert_int_equal(append_alone(t, 3, 100), end);
	assert_int_equal(read_all(t, 0, got), 1);
}

static void test_left_overs_are_swept_and_strangers_left_alone(void **state)
{
	struct log_test *t = *state;
	const char *names[] = {"00000000000000000000.log.new", "checkpoint.new",
			       "99999999999999999999.log",
			       "0000000000000000000x.log", "notes.txt"};

	for (size_t i = 0; i < 5; i++) {
		char *path = xasprintf("%s/%s", t->dir, names[i]);
		int fd = open(path, O_WRONLY | O_CREAT, 0600);

		assert_int_equal(pwrite(fd, "stale", 5, 0), 5);
		close(fd);
		free(path);
	}
	open_log(t);
	assert_int_equal(t->recovered_count, 0);
	append_alone(t, 1, 100);
	close_log(t);
	open_log(t);
	RECOVERED(t, 1);
	assert_false(file_exists(t, names[0]));
	assert_false(file_exists(t, names[1]));
	for (size_t i = 2; i < 5; i++)
		assert_true(file_exists(t, names[i]));
}

/* ---- checkpoints and identity ---- */

static void test_a_damaged_checkpoint_costs_only_what_it_held(void **state)
{
	struct log_test *t = *state;
	struct picture before;
	struct uuid id;
	char *path = xasprintf("%s/checkpoint", t->dir);
	int64_t bytes;
	size_t saved;

	open_log(t);
	id = *spool_id(t->spool);
	append_alone(t, 1, 100);
	append_alone(t, 2, 100);
	spool_save(t->spool, stats_of(t).end, "lanes", 5);
	close_log(t);
	bytes = file_bytes(path);
	take_picture(t, &before);
	for (int64_t at = -2; at < bytes; at += 5) {
		restore_picture(t, &before);
		if (at == -2)
			unlink(path);
		else if (at < bytes / 2)
			flip(path, at < 0 ? 0 : at);
		else
			assert_int_equal(truncate(path, at), 0);
		open_log(t);
		RECOVERED(t, 1, 2);
		spool_saved(t->spool, &saved);
		assert_int_equal(saved, 0);
		assert_true(stats_of(t).checkpoint_lost);
		/* What was said under the old id is forgotten. */
		assert_memory_not_equal(&id, spool_id(t->spool), sizeof(id));
		append_alone(t, 3, 100);
		crash_log(t);
		open_log(t);
		RECOVERED(t, 1, 2, 3);
		assert_false(stats_of(t).checkpoint_lost);
		close_log(t);
	}
	drop_picture(&before);
	free(path);
}

static void test_a_cloned_log_gets_an_id_of_its_own(void **state)
{
	struct log_test *t = *state;
	struct checkpoint c;
	struct uuid id, clone;
	struct err err = {0};
	char *memory;
	size_t saved;

	if (!checkpoint_machine())
		skip();
	open_log(t);
	id = *spool_id(t->spool);
	append_alone(t, 1, 100);
	append_alone(t, 2, 100);
	spool_save(t->spool, stats_of(t).end, "lanes", 5);
	close_log(t);
	assert_int_equal(checkpoint_read(t->dir, &c, &memory, &err), 0);
	c.machine++;
	assert_int_equal(checkpoint_write(t->dir, &c, &err), 0);
	free(memory);
	open_log(t);
	clone = *spool_id(t->spool);
	assert_memory_not_equal(&id, &clone, sizeof(id));
	spool_saved(t->spool, &saved);
	assert_int_equal(saved, 5);
	append_alone(t, 3, 100);
	crash_log(t);
	open_log(t);
	assert_memory_equal(&clone, spool_id(t->spool), sizeof(id));
	RECOVERED(t, 3);
	{
		uint64_t got[MANY];

		assert_int_equal(read_all(t, 0, got), 3);
	}
	/* The old id is forgotten with its last record. */
	spool_free_before(t->spool, stats_of(t).end);
	close_log(t);
	open_log(t);
	close_log(t);
	assert_int_equal(checkpoint_read(t->dir, &c, &memory, &err), 0);
	assert_int_equal(c.ids.former_count, 0);
	free(memory);
}

static bool walk_collect(void *arg, const struct spool_record *record)
{
	struct log_test *t = arg;

	on_recovered(t, record);
	return true;
}

/* A walk sees what an open would, and changes nothing. */
static void test_walking_a_damaged_log(void **state)
{
	struct log_test *t = *state;
	uint64_t second, last, bases[MANY];
	struct spool_stats stats;
	struct err err = {0};
	struct uuid id;
	char *path = segment_file(t, 0);
	int64_t bytes;

	open_log(t);
	append_alone(t, 1, 400);
	second = append_alone(t, 2, 400);
	append_alone(t, 3, 400);
	last = append_alone(t, 4, 400);
	crash_log(t);
	zero(path, segment_offset(0, second), 64);
	zero(path, segment_offset(0, last) + 300, 64);
	bytes = file_bytes(path);
	t->recovered_count = t->recovered_bad = 0;
	assert_int_equal(spool_walk(t->dir, 0, walk_collect, t, &err), 0);
	RECOVERED(t, 1, 0, 3);
	assert_int_equal(spool_inspect(t->dir, &id, &stats, &err), 0);
	/* By headers alone the last one looks whole. */
	assert_int_equal(stats.records, 3);
	assert_int_equal(stats.bad_records, 1);
	assert_int_equal(file_bytes(path), bytes);
	assert_int_equal(segment_files(t, bases), 1);
	open_log(t);
	RECOVERED(t, 1, 0, 3);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    LOG_TEST(test_a_tail_torn_at_any_byte_is_cut),
	    LOG_TEST(test_zeros_behind_the_end_are_no_records),
	    LOG_TEST(test_a_zero_filled_record_is_not_taken),
	    LOG_TEST(test_stale_records_never_come_back),
	    LOG_TEST(test_many_crashes_in_a_row),
	    LOG_TEST(test_an_unproven_tail_is_written_again),
	    LOG_TEST(test_kill_at_any_moment_loses_nothing),
	    LOG_TEST(test_a_flipped_byte_costs_that_record_only),
	    LOG_TEST(test_a_bad_record_found_by_reading_is_skipped_and_counted),
	    LOG_TEST(test_a_record_that_lies_elsewhere_is_bad),
	    LOG_TEST(test_several_bad_records_in_a_row),
	    LOG_TEST(test_a_missing_segment_is_a_hole),
	    LOG_TEST(test_a_short_segment_costs_what_it_lacks),
	    LOG_TEST(test_a_damaged_segment_header_costs_nothing),
	    LOG_TEST(test_a_foreign_segment_is_set_aside_whole),
	    LOG_TEST(test_all_segments_gone),
	    LOG_TEST(test_left_overs_are_swept_and_strangers_left_alone),
	    LOG_TEST(test_a_damaged_checkpoint_costs_only_what_it_held),
	    LOG_TEST(test_a_cloned_log_gets_an_id_of_its_own),
	    LOG_TEST(test_walking_a_damaged_log),
	};

	quiet();
	return cmocka_run_group_tests_name("spool recovery", tests, NULL, NULL);
}
