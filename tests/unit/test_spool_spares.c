/*
 * Files of freed segments are overwritten by the next ones, and whatever a
 * crash leaves of that, no record of their earlier life ever comes back.
 */
#include "tests/unit/spool_fixture.h"

#include "spool/segments.h"
#include "tests/unit/spool_faults.h"

#define RECORD_EVENTS 10
#define EVENT_BYTES   600

static int setup(void **state)
{
	struct log_test *t;

	fault_clear();
	fixture_setup(state);
	t = *state;
	t->options.segment_bytes = 65536;
	t->options.cache_bytes = 0;
	return 0;
}

static int teardown(void **state)
{
	fault_clear();
	return fixture_teardown(state);
}

#define SPARE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static ino_t inode_of(const struct log_test *t, uint64_t base)
{
	char *path = segment_file(t, base);
	struct stat st = {0};

	assert_int_equal(stat(path, &st), 0);
	free(path);
	return st.st_ino;
}

/* Commits of one record each, until there are `segments` segments. */
static uint64_t fill(struct log_test *t, uint64_t sequence, size_t segments)
{
	uint64_t bases[MANY];

	while (segment_files(t, bases) < segments) {
		append(t, sequence++, RECORD_EVENTS, EVENT_BYTES);
		wait_durable(t);
	}
	return sequence;
}

static int spare_files(const struct log_test *t)
{
	DIR *d = opendir(t->dir);
	struct dirent *entry;
	int n = 0;

	assert_non_null(d);
	while ((entry = readdir(d)))
		n += strstr(entry->d_name, ".spare") != NULL;
	closedir(d);
	return n;
}

/* Three segments, of which two are freed. Gives the next sequence. */
static uint64_t make_spares(struct log_test *t)
{
	uint64_t sequence, bases[MANY];

	open_log(t);
	sequence = fill(t, 1, 3);
	assert_int_equal(segment_files(t, bases), 3);
	spool_free_before(t->spool, bases[2]);
	assert_int_equal(checkpoint(t), 0);
	WAIT_FOR(t, spare_files(t) == 2);
	return sequence;
}

/* … and the next one has just begun, over one of them. */
static uint64_t begin_over(struct log_test *t, uint64_t *base)
{
	uint64_t sequence = fill(t, make_spares(t), 2), bases[MANY];

	assert_int_equal(segment_files(t, bases), 2);
	assert_int_equal(spare_files(t), 1);
	*base = bases[1];
	return sequence;
}

/* All from `from` to before `to` are there, in order, and nothing else. */
static void assert_holds(struct log_test *t, uint64_t from, uint64_t to)
{
	uint64_t got[MANY];

	assert_int_equal(t->recovered_bad, 0);
	assert_int_equal(stats_of(t).bad_records, 0);
	assert_int_equal(read_all(t, 0, got), to - from);
	for (uint64_t i = from; i < to; i++)
		assert_int_equal(got[i - from], i);
}

/* Opens what a crash left, and goes on with it through another crash. */
static void assert_goes_on(struct log_test *t, uint64_t from, uint64_t to)
{
	open_log(t);
	assert_holds(t, from, to);
	append(t, to, 1, 100);
	wait_durable(t);
	assert_holds(t, from, to + 1);
	crash_log(t);
	open_log(t);
	assert_holds(t, from, to + 1);
	assert_int_equal(spare_files(t), 0);
}

/* The sequence of the first record that is not freed. */
static uint64_t first_of(struct log_test *t)
{
	uint64_t got[MANY];

	assert_true(read_all(t, 0, got) > 0);
	return got[0];
}

static void test_a_freed_segment_becomes_the_next_one(void **state)
{
	struct log_test *t = *state;
	struct spool_stats stats;
	uint64_t next, base, bases[MANY];
	struct uuid id;
	struct err err;
	ino_t first, second;

	open_log(t);
	next = fill(t, 1, 3);
	segment_files(t, bases);
	first = inode_of(t, bases[0]);
	second = inode_of(t, bases[1]);
	spool_free_before(t->spool, bases[2]);
	assert_int_equal(checkpoint(t), 0);
	WAIT_FOR(t, spare_files(t) == 2);
	assert_true(stats_of(t).spare_bytes >= 100000);
	assert_int_equal(spool_inspect(t->dir, &id, &stats, &err), 0);
	assert_int_equal(stats.spare_bytes, stats_of(t).spare_bytes);
	assert_int_equal(stats.bytes, stats_of(t).bytes);
	next = fill(t, next, 2);
	segment_files(t, bases);
	base = bases[1];
	assert_true(inode_of(t, base) == first || inode_of(t, base) == second);
	/* Looked at while it is written to: nothing of it is bad. */
	assert_int_equal(spool_inspect(t->dir, &id, &stats, &err), 0);
	assert_int_equal(stats.bad_records, 0);
	assert_int_equal(stats.end, stats_of(t).end);
	assert_int_equal(stats.bytes, stats_of(t).bytes);
	assert_holds(t, first_of(t), next);
	close_log(t);
	assert_int_equal(spare_files(t), 0);
	open_log(t);
	assert_int_equal(stats_of(t).end, stats.end);
}

/* Behind its few records lie many whole ones of the same log. */
static void test_stale_records_behind_the_end_are_none(void **state)
{
	struct log_test *t = *state;
	uint64_t base, next = begin_over(t, &base), first = first_of(t);

	append(t, next++, 1, 77);
	wait_durable(t);
	crash_log(t);
	assert_goes_on(t, first, next);
}

static void test_a_record_torn_over_stale_ones_is_cut(void **state)
{
	struct log_test *t = *state;
	uint64_t base, next = begin_over(t, &base), first = first_of(t);
	uint64_t end = stats_of(t).end, before;
	size_t bytes;
	char *path = segment_file(t, base), *old, dir[64];
	int fd;

	/* What the file held where the next record will be. */
	fd = open(path, O_RDWR);
	bytes = (size_t)lseek(fd, 0, SEEK_END);
	assert_true(bytes > 30000);
	old = xmalloc(bytes);
	assert_int_equal(pread(fd, old, bytes, 0), bytes);
	append(t, next, RECORD_EVENTS, EVENT_BYTES);
	wait_durable(t);
	close(fd);
	strcpy(dir, "/tmp/weft-test-torn-XXXXXX");
	assert_non_null(mkdtemp(dir));
	crash_log(t);
	copy_dir(t->dir, dir);
	/* The disk took its pages, or sectors, up to here or from here. */
	for (before = 0; before < 6000; before += 512) {
		int64_t at = segment_offset(base, end) + (int64_t)before;

		for (int half = 0; half < 2; half++) {
			remove_files(t->dir);
			copy_dir(dir, t->dir);
			fd = open(path, O_RDWR);
			if (half == 0)
				assert_true(pwrite(fd, old + at, 512, at) ==
					    512);
			else
				assert_true(pwrite(fd, old + at,
						   bytes - (size_t)at, at) > 0);
			close(fd);
			open_log(t);
			assert_holds(t, first, next);
			assert_int_equal(stats_of(t).end, end);
			close_log(t);
		}
	}
	assert_goes_on(t, first, next);
	remove_files(dir);
	rmdir(dir);
	free(old);
	free(path);
}

/* The header is on disk and the name too, but not a single record. */
static void test_a_segment_that_was_only_begun_is_empty(void **state)
{
	struct log_test *t = *state;
	struct segment_header header;
	uint64_t next = make_spares(t), first = first_of(t), spare = 0;
	struct err err;
	int fd;

	header.log = *spool_id(t->spool);
	header.base = stats_of(t).end;
	crash_log(t);
	assert_int_equal(spare_files(t), 2);
	assert_int_equal(
	    segment_begin_over(t->dir, &header, spare, 65536, &fd, &err), 0);
	assert_int_equal(segment_publish(t->dir, header.base, fd, &err), 0);
	close(fd);
	assert_goes_on(t, first, next);
}

/* It was given its header, but its new name did not reach the disk. */
static void test_a_lost_rename_brings_nothing_back(void **state)
{
	struct log_test *t = *state;
	struct segment_header header;
	uint64_t next = make_spares(t), first = first_of(t);
	char *path = segment_file(t, 0), *made;
	struct err err;
	int fd;

	header.log = *spool_id(t->spool);
	header.base = stats_of(t).end;
	crash_log(t);
	assert_int_equal(
	    segment_begin_over(t->dir, &header, 0, 65536, &fd, &err), 0);
	close(fd);
	made = xasprintf("%s/%020" PRIu64 ".log.new", t->dir, header.base);
	assert_int_equal(rename(made, path), 0);
	assert_goes_on(t, first, next);
	free(made);
	free(path);
}

/* Also when nothing else is left of the log. */
static void test_a_lost_rename_of_the_only_segment(void **state)
{
	struct log_test *t = *state;
	uint64_t base, end, bases[MANY], got[MANY] = {0};
	char *now, *before;

	begin_over(t, &base);
	end = stats_of(t).end;
	spool_free_before(t->spool, end);
	assert_int_equal(checkpoint(t), 0);
	WAIT_FOR(t, segment_files(t, bases) == 1);
	crash_log(t);
	now = segment_file(t, bases[0]);
	before = segment_file(t, 0);
	assert_int_equal(rename(now, before), 0);
	open_log(t);
	assert_int_equal(read_all(t, 0, got), 0);
	assert_true(stats_of(t).end >= end);
	append(t, 7000, 1, 100);
	wait_durable(t);
	crash_log(t);
	open_log(t);
	assert_int_equal(read_all(t, 0, got), 1);
	assert_int_equal(got[0], 7000);
	free(before);
	free(now);
}

/* Nobody knows what is on disk of a file whose sync failed. */
static void test_a_file_that_failed_is_not_used_again(void **state)
{
	struct log_test *t = *state;
	uint64_t next, bases[MANY];
	ino_t failed;

	open_log(t);
	for (next = 1; next <= 8; next++) {
		append(t, next, RECORD_EVENTS, EVENT_BYTES);
		wait_durable(t);
	}
	failed = inode_of(t, 0);
	fault_set(&faults.sync, 1, EIO);
	append(t, next++, RECORD_EVENTS, EVENT_BYTES);
	wait_durable(t);
	assert_int_equal(t->failed, 1);
	fill(t, next, 3);
	assert_int_equal(segment_files(t, bases), 3);
	assert_int_equal(inode_of(t, 0), failed);
	spool_free_before(t->spool, bases[1]);
	assert_int_equal(checkpoint(t), 0);
	WAIT_FOR(t, segment_files(t, bases) == 2);
	assert_int_equal(spare_files(t), 0);
	/* The one behind it is sound. */
	spool_free_before(t->spool, bases[1]);
	assert_int_equal(checkpoint(t), 0);
	WAIT_FOR(t, spare_files(t) == 1);
}

/* What a former process wrote may have failed in it. */
static void test_files_of_a_former_process_are_not_used_again(void **state)
{
	struct log_test *t = *state;
	uint64_t bases[MANY];

	open_log(t);
	fill(t, 1, 3);
	crash_log(t);
	open_log(t);
	segment_files(t, bases);
	spool_free_before(t->spool, bases[2]);
	assert_int_equal(checkpoint(t), 0);
	WAIT_FOR(t, !file_exists(t, "00000000000000000000.log"));
	assert_int_equal(spare_files(t), 0);
}

static void test_spares_are_given_up_when_idle(void **state)
{
	struct log_test *t = *state;

	make_spares(t);
	WAIT_FOR(t, spare_files(t) == 0);
	assert_int_equal(stats_of(t).spare_bytes, 0);
}

static void test_a_disk_that_gets_full_has_no_spares(void **state)
{
	struct log_test *t = *state;
	uint64_t bases[MANY], next = make_spares(t);

	fault_set(&faults.write, 1, ENOSPC);
	append(t, next++, 1, 100);
	WAIT_FOR(t, t->failed > 0);
	assert_int_equal(spare_files(t), 0);
	wait_durable(t);
	fill(t, next, segment_files(t, bases) + 1);
	/* Nor are any made on one that is. */
	faults.taken_kib = (1 << 20) - 400; /* of a GiB */
	segment_files(t, bases);
	spool_free_before(t->spool, bases[1]);
	assert_int_equal(checkpoint(t), 0);
	WAIT_FOR(t, segment_files(t, bases) == 2);
	assert_int_equal(spare_files(t), 0);
}

/* The cap holds for both: records push the spares out. */
static void test_spares_never_exceed_the_cap(void **state)
{
	struct log_test *t = *state;
	uint64_t next, position;
	struct err err;

	t->options.cap_bytes = 1 << 20;
	next = make_spares(t);
	while (try_append(t, next, RECORD_EVENTS, EVENT_BYTES, &position,
			  &err) == 0) {
		wait_durable(t);
		next++;
		assert_true(stats_of(t).bytes <= 1 << 20);
	}
	assert_int_equal(err.code, ENOSPC);
	assert_true(stats_of(t).bytes > (1 << 20) - 20000);
	assert_int_equal(spare_files(t), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    SPARE_TEST(test_a_freed_segment_becomes_the_next_one),
	    SPARE_TEST(test_stale_records_behind_the_end_are_none),
	    SPARE_TEST(test_a_record_torn_over_stale_ones_is_cut),
	    SPARE_TEST(test_a_segment_that_was_only_begun_is_empty),
	    SPARE_TEST(test_a_lost_rename_brings_nothing_back),
	    SPARE_TEST(test_a_lost_rename_of_the_only_segment),
	    SPARE_TEST(test_a_file_that_failed_is_not_used_again),
	    SPARE_TEST(test_files_of_a_former_process_are_not_used_again),
	    SPARE_TEST(test_spares_are_given_up_when_idle),
	    SPARE_TEST(test_a_disk_that_gets_full_has_no_spares),
	    SPARE_TEST(test_spares_never_exceed_the_cap),
	};

	quiet();
	return cmocka_run_group_tests_name("spool spares", tests, NULL, NULL);
}
