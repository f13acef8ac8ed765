/*
 * Reading the log of another while it is written, freed, overwritten and
 * repaired: what comes is the record that was meant, or an error.
 */
#include "tests/unit/spool_fixture.h"

#include "spool/foreign.h"
#include "tests/unit/spool_faults.h"

#define RECORD_EVENTS 10
#define EVENT_BYTES   600

struct record {
	uint64_t position, next;
};

static int reads; /* system calls */

ssize_t pread(int fd, void *data, size_t bytes, off_t offset)
{
	reads++;
	return syscall(SYS_pread64, fd, data, bytes, offset);
}

ssize_t preadv(int fd, const struct iovec *parts, int count, off_t offset)
{
	reads++;
	return syscall(SYS_preadv, fd, parts, count, offset, 0);
}

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

#define FOREIGN_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* Appends record number `sequence` and waits until it is durable. */
static struct record add(struct log_test *t, uint64_t sequence)
{
	struct record r;

	r.position = append(t, sequence, RECORD_EVENTS, EVENT_BYTES);
	r.next = stats_of(t).end;
	wait_durable(t);
	return r;
}

static uint64_t fill(struct log_test *t, uint64_t sequence, size_t segments,
		     struct record *records)
{
	uint64_t bases[MANY];

	while (segment_files(t, bases) < segments) {
		records[sequence] = add(t, sequence);
		sequence++;
	}
	return sequence;
}

static struct foreign *reader_of(struct log_test *t)
{
	return foreign_new(t->dir, spool_id(t->spool));
}

static void expect(struct foreign *f, const struct record *r, uint64_t sequence)
{
	struct batch *b = NULL;
	uint64_t next = 0;
	struct err err = {0};

	if (foreign_read(f, r->position, r->next, &next, &b, &err) != 0)
		fail_msg("foreign_read: %s", err.text);
	assert_int_equal(next, r->next);
	assert_int_equal(b->header.sequence, sequence);
	assert_int_equal(b->header.events, RECORD_EVENTS);
	batch_unref(&b);
}

static void refuse(struct foreign *f, const struct record *r, const char *why)
{
	struct batch *b = NULL;
	uint64_t next;
	struct err err = {0};

	assert_int_equal(foreign_read(f, r->position, r->next, &next, &b, &err),
			 -1);
	assert_null(b);
	if (!strstr(err.text, why))
		fail_msg("not \"%s\": %s", why, err.text);
}

/* Open files of this process that lie in the log's directory. */
static int files_open(const struct log_test *t)
{
	char path[512], name[64];
	int n = 0;

	for (int fd = 0; fd < 256; fd++) {
		ssize_t bytes;

		snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
		bytes = readlink(name, path, sizeof(path) - 1);
		if (bytes < 0)
			continue;
		path[bytes] = '\0';
		n += strncmp(path, t->dir, strlen(t->dir)) == 0;
	}
	return n;
}

static void test_follows_a_log_from_file_to_file(void **state)
{
	struct log_test *t = *state;
	struct record records[MANY] = {0};
	struct foreign *f;
	uint64_t end;

	open_log(t);
	f = reader_of(t);
	records[1] = add(t, 1);
	expect(f, &records[1], 1);
	end = fill(t, 2, 4, records);
	for (uint64_t i = 1; i < end; i++)
		expect(f, &records[i], i);
	expect(f, &records[1], 1); /* and back */
	foreign_free(&f);
}

/* Reads all up to `limit`; the first of them is number `n`. Gives the last. */
static uint64_t read_range(struct foreign *f, uint64_t at, uint64_t limit,
			   uint64_t n)
{
	struct batch *b;
	struct err err;

	for (; at < limit; n++) {
		assert_int_equal(foreign_read(f, at, limit, &at, &b, &err), 0);
		assert_int_equal(b->header.sequence, n);
		batch_unref(&b);
	}
	return n - 1;
}

/* One after the other up to the end of a range, as records that are joined. */
static void test_reads_a_range_in_sequence(void **state)
{
	struct log_test *t = *state;
	struct record records[MANY] = {0};
	struct foreign *f;
	uint64_t end;

	open_log(t);
	end = fill(t, 1, 3, records);
	f = reader_of(t);
	assert_int_equal(
	    read_range(f, records[1].position, records[end - 1].next, 1),
	    end - 1);
	foreign_free(&f);
}

static void test_reads_small_records_many_at_once(void **state)
{
	struct log_test *t = *state;
	struct foreign *f;
	struct record r;

	t->options.segment_bytes = 4 << 20;
	open_log(t);
	f = reader_of(t);
	r = add(t, 1);
	expect(f, &r, 1);
	for (uint64_t i = 2; i <= 300; i++)
		append(t, i, 1, 400);
	wait_durable(t);
	reads = 0;
	assert_int_equal(read_range(f, r.next, t->durable, 2), 300);
	assert_int_equal(reads, 2);
	/* Of those that are not small, each is read once. */
	r.next = t->durable;
	for (uint64_t i = 301; i <= 303; i++)
		append(t, i, 100, 9000);
	wait_durable(t);
	reads = 0;
	assert_int_equal(read_range(f, r.next, t->durable, 301), 303);
	assert_in_range(reads, 3, 8);
	foreign_free(&f);
}

/* As a repair leaves it in place of what nobody could read. */
static void test_goes_on_behind_void_records(void **state)
{
	static const struct batch_header none;
	struct log_test *t = *state;
	struct foreign *f;
	struct record r[4];
	struct record_header header = {.kind = RECORD_VOID};
	uint8_t prefix[RECORD_PREFIX_BYTES];
	char *path;
	int fd;

	open_log(t);
	for (uint64_t i = 1; i <= 3; i++)
		r[i] = add(t, i);
	f = reader_of(t);
	expect(f, &r[2], 2);
	header.log = *spool_id(t->spool);
	header.position = r[2].position;
	header.bytes = (uint32_t)(r[2].next - r[2].position);
	record_prefix_encode(&header, &none, prefix);
	path = segment_file(t, 0);
	fd = open(path, O_WRONLY);
	assert_int_equal(
	    pwrite(fd, prefix, sizeof(prefix), (off_t)(4096 + r[2].position)),
	    sizeof(prefix));
	close(fd);
	free(path);
	refuse(f, &r[2], "is void");
	r[2].next = r[3].next;
	expect(f, &r[2], 3);
	expect(f, &r[1], 1);
	foreign_free(&f);
}

static void test_takes_nothing_behind_the_limit(void **state)
{
	struct log_test *t = *state;
	struct record r;
	struct foreign *f;

	open_log(t);
	r = add(t, 1);
	f = reader_of(t);
	r.next -= 8;
	refuse(f, &r, "is cut off");
	r.next = r.position + 8;
	refuse(f, &r, "is cut off");
	r.next = r.position + 200000;
	r.position += 8;
	refuse(f, &r, "no record begins");
	foreign_free(&f);
}

static void test_refuses_what_it_cannot_find(void **state)
{
	struct log_test *t = *state;
	const struct uuid other = uuid_new();
	struct foreign *f;
	struct record r;

	open_log(t);
	r = add(t, 1);
	f = foreign_new(t->dir, &other);
	refuse(f, &r, "no segment");
	foreign_free(&f);
	f = foreign_new("/tmp/weft-no-such-log", spool_id(t->spool));
	refuse(f, &r, "cannot list");
	foreign_free(&f);
	f = foreign_new("/dev/null", spool_id(t->spool));
	refuse(f, &r, "cannot list");
	foreign_free(&f);
}

static void test_refuses_damage(void **state)
{
	struct log_test *t = *state;
	struct foreign *f;
	struct record r;
	char *path;
	int fd;

	open_log(t);
	r = add(t, 1);
	path = segment_file(t, 0);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "!", 1, 4096 + 3000), 1);
	close(fd);
	free(path);
	f = reader_of(t);
	refuse(f, &r, "body has crc");
	foreign_free(&f);
}

/* Who names a directory may put anything into it. */
static void test_never_waits_for_what_is_no_file(void **state)
{
	struct log_test *t = *state;
	struct foreign *f;
	struct record r;
	char *path, *kept;

	open_log(t);
	r = add(t, 1);
	path = segment_file(t, 0);
	kept = xasprintf("%s/kept", t->dir);
	f = reader_of(t);
	assert_int_equal(rename(path, kept), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	refuse(f, &r, "not a regular file");
	unlink(path);
	assert_int_equal(symlink("kept", path), 0);
	refuse(f, &r, "cannot open");
	unlink(path);
	assert_int_equal(rename(kept, path), 0);
	expect(f, &r, 1);
	free(kept);
	free(path);
	foreign_free(&f);
}

/*
 * The file whose sync failed has the records too, but they do not count: the
 * ones that do are in the next file, from the same position on.
 */
static void test_reads_what_counts_after_a_failed_sync(void **state)
{
	struct log_test *t = *state;
	struct foreign *f;
	struct record r[5];
	uint64_t bases[MANY];
	char *path;

	open_log(t);
	r[1] = add(t, 1);
	f = reader_of(t);
	expect(f, &r[1], 1); /* it knows the first file only */
	fault_set(&faults.sync, 1, EIO);
	r[2] = add(t, 2);
	r[3] = add(t, 3);
	assert_int_equal(t->failed, 1);
	assert_int_equal(segment_files(t, bases), 2);
	assert_int_equal(bases[1], r[2].position);
	expect(f, &r[3], 3);
	expect(f, &r[2], 2);
	expect(f, &r[1], 1);
	/* What the first file has of the second record is not looked at. */
	path = segment_file(t, 0);
	assert_int_equal(truncate(path, 4096 + (off_t)r[2].position), 0);
	free(path);
	expect(f, &r[2], 2);
	foreign_free(&f);
}

/*
 * A reader that was stopped comes with a position that was freed since, and
 * whose file, which it has open, now is another segment's.
 */
static void test_never_takes_stale_bytes(void **state)
{
	struct log_test *t = *state;
	struct record records[MANY] = {0};
	struct foreign *f, *fresh;
	uint64_t end, bases[MANY];

	open_log(t);
	end = fill(t, 1, 3, records);
	segment_files(t, bases);
	f = reader_of(t);
	expect(f, &records[1], 1);
	spool_free_before(t->spool, bases[2]);
	assert_int_equal(checkpoint(t), 0);
	WAIT_FOR(t, segment_files(t, bases) == 1);
	/* The file is a spare now: its bytes are still those of the record. */
	fresh = reader_of(t);
	refuse(fresh, &records[1], "no segment");
	end = fill(t, end, 3, records); /* over the spares */
	refuse(f, &records[1], "no segment");
	refuse(fresh, &records[1], "no segment");
	expect(f, &records[end - 1], end - 1);
	expect(fresh, &records[end - 1], end - 1);
	foreign_free(&f);
	foreign_free(&fresh);
}

/* An open file keeps its space, so it is let go when nobody reads. */
static void test_rests_with_no_file_open(void **state)
{
	struct log_test *t = *state;
	struct foreign *f;
	struct record r;
	int own;

	open_log(t);
	r = add(t, 1);
	own = files_open(t);
	f = reader_of(t);
	expect(f, &r, 1);
	assert_int_equal(files_open(t), own + 1);
	foreign_rest(f);
	assert_int_equal(files_open(t), own);
	expect(f, &r, 1);
	foreign_free(&f);
	assert_int_equal(files_open(t), own);
}

/* Records before it have another id, by which nobody else would know them. */
static void test_an_id_is_known_by_the_position_it_began_at(void **state)
{
	struct log_test *t = *state;
	struct uuid before;
	struct foreign *f;
	struct record records[MANY] = {0}, last;
	uint64_t end;
	char *path = xasprintf("%s/checkpoint", t->dir);

	open_log(t);
	assert_int_equal(spool_id_since(t->spool), 0);
	before = *spool_id(t->spool);
	end = fill(t, 1, 3, records);
	close_log(t);
	unlink(path);
	free(path);
	open_log(t);
	assert_memory_not_equal(&before, spool_id(t->spool), sizeof(before));
	assert_int_equal(spool_id_since(t->spool), records[end - 1].next);
	last = add(t, end);
	f = reader_of(t);
	expect(f, &last, end);
	refuse(f, &records[1], "no segment");
	foreign_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    FOREIGN_TEST(test_follows_a_log_from_file_to_file),
	    FOREIGN_TEST(test_reads_a_range_in_sequence),
	    FOREIGN_TEST(test_reads_small_records_many_at_once),
	    FOREIGN_TEST(test_goes_on_behind_void_records),
	    FOREIGN_TEST(test_takes_nothing_behind_the_limit),
	    FOREIGN_TEST(test_refuses_what_it_cannot_find),
	    FOREIGN_TEST(test_refuses_damage),
	    FOREIGN_TEST(test_never_waits_for_what_is_no_file),
	    FOREIGN_TEST(test_reads_what_counts_after_a_failed_sync),
	    FOREIGN_TEST(test_never_takes_stale_bytes),
	    FOREIGN_TEST(test_rests_with_no_file_open),
	    FOREIGN_TEST(test_an_id_is_known_by_the_position_it_began_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
