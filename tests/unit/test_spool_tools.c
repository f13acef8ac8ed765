/* Verifying, salvaging and repairing logs that are damaged in every way. */
#include "tests/unit/spool_fixture.h"

#include "tests/unit/spool_faults.h"

#include <glob.h>
#include <pthread.h>

#include "base/crc32c.h"
#include "spool/mend.h"
#include "spool/segments.h"
#include "spool/tools.h"

/* What a tool told. */
struct told {
	size_t count, saved, lost, files;
	uint64_t position, next; /* of the last place */
	enum spool_trouble trouble;
	char file[64];
	int64_t offset;
	uint32_t events;
	char ids[256];
	uint64_t numbers[MANY]; /* "n" of the first event of each saved one */
};

/* The number that make_batch() wrote into a batch's first event. */
static uint64_t number_of(const struct batch *b)
{
	const char *text = b->payload + b->events[0].offset;

	/* No string: nothing ends the payload. */
	assert_memory_equal(text, "{\"n\":", 5);
	return strtoull(text + 5, NULL, 10);
}

static void on_told(void *arg, const struct spool_problem *p)
{
	struct told *told = arg;

	told->count++;
	assert_true(strlen(p->why) > 0);
	if (p->next == p->position) {
		told->files++;
		return;
	}
	if (p->save) {
		assert_true(p->save->header.flags & BATCH_REPLAY);
		assert_int_equal(p->save->header.lane.epoch, 0);
		assert_int_equal(p->save->header.sequence, 0);
		told->numbers[told->saved++] = number_of(p->save);
	} else {
		told->lost++;
	}
	told->trouble = p->trouble;
	told->position = p->position;
	told->next = p->next;
	told->events = p->events;
	told->offset = p->offset;
	snprintf(told->file, sizeof(told->file), "%s", p->file ? p->file : "");
	snprintf(told->ids, sizeof(told->ids), "%s", p->ids);
}

static struct spool_verified verify(const struct log_test *t, struct told *told)
{
	struct spool_verified v;
	struct err err = {0};

	memset(told, 0, sizeof(*told));
	if (spool_verify(t->options.dir, on_told, told, &v, &err) != 0)
		fail_msg("spool_verify: %s", err.text);
	assert_int_equal(v.problems, told->count);
	return v;
}

static void expect_well(const struct log_test *t)
{
	struct told told;

	verify(t, &told);
	if (told.count)
		fail_msg("%zu findings: %s at %" PRIu64, told.count, told.file,
			 told.position);
}

static void remove_backup(struct spool_repaired *r)
{
	if (r->backup) {
		remove_files(r->backup);
		assert_int_equal(rmdir(r->backup), 0);
	}
	free(r->backup);
	r->backup = NULL;
}

static struct spool_repaired repair(const struct log_test *t, struct told *told)
{
	struct spool_repair_options options = {0};
	struct spool_repaired r;
	struct err err = {0};

	memset(told, 0, sizeof(*told));
	if (spool_repair(t->options.dir, &options, on_told, told, &r, &err))
		fail_msg("spool_repair: %s", err.text);
	if (r.backup)
		assert_true(access(r.backup, F_OK) == 0);
	remove_backup(&r);
	return r;
}

struct got {
	size_t count;
	uint64_t numbers[MANY];
	uint64_t positions[MANY];
	bool flagged[MANY];
};

/* All that the open log gives. */
static void read_numbers(struct log_test *t, struct got *got)
{
	uint64_t position = 0, next;
	struct err err = {0};
	struct batch *b;
	int rc;

	got->count = 0;
	while ((rc = spool_read(t->spool, &position, &next, &b, &err)) == 1) {
		got->numbers[got->count] = number_of(b);
		got->positions[got->count] = position;
		got->flagged[got->count++] = b->header.flags & BATCH_REPLAY;
		batch_unref(&b);
		position = next;
	}
	if (rc)
		fail_msg("spool_read: %s", err.text);
}

static size_t times(const struct got *got, uint64_t number)
{
	size_t n = 0;

	for (size_t i = 0; i < got->count; i++)
		n += got->numbers[i] == number;
	return n;
}

/* Records of numbers 1 to n, each in a commit of its own; then closed. */
static void fill(struct log_test *t, uint64_t n, uint64_t *positions,
		 size_t bytes)
{
	open_log(t);
	for (uint64_t i = 1; i <= n; i++) {
		positions[i] = append(t, i, 2, bytes);
		wait_durable(t);
	}
	positions[n + 1] = stats_of(t).end;
	close_log(t);
}

/* Xors bytes of a segment from a position on. */
static void damage(const struct log_test *t, uint64_t base, uint64_t position,
		   size_t bytes, uint8_t mask)
{
	char *path = segment_file(t, base);
	int fd = open(path, O_RDWR);
	int64_t offset = segment_offset(base, position);
	uint8_t data[4096];

	assert_true(fd >= 0 && bytes <= sizeof(data));
	assert_int_equal(pread(fd, data, bytes, offset), bytes);
	for (size_t i = 0; i < bytes; i++)
		data[i] ^= mask;
	assert_int_equal(pwrite(fd, data, bytes, offset), bytes);
	close(fd);
	free(path);
}

static void unlink_in(const struct log_test *t, const char *name)
{
	char *path = xasprintf("%s/%s", t->options.dir, name);

	assert_int_equal(unlink(path), 0);
	free(path);
}

/* ---- bit flips ---- */

/* Two or three flipped bits anywhere are never taken for one. */
static void test_more_than_one_bit_is_left_alone(void **state)
{
	uint8_t data[600], was[600];
	uint32_t crc;

	(void)state;
	srandom(7);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)random();
	memcpy(was, data, sizeof(was));
	crc = crc32c(0, data, sizeof(data));
	for (int round = 0; round < 2000; round++) {
		size_t bits[3];
		uint32_t stored = crc;

		for (int i = 0; i < 3; i++)
			bits[i] = (size_t)random() % (8 * sizeof(data));
		if (bits[0] == bits[1] || bits[0] == bits[2] ||
		    bits[1] == bits[2])
			continue;
		for (int i = 0; i < 2 + round % 2; i++)
			data[bits[i] / 8] ^= (uint8_t)(1u << bits[i] % 8);
		assert_false(mend_bit(data, sizeof(data), &stored));
		assert_int_equal(stored, crc);
		memcpy(data, was, sizeof(data));
		data[bits[0] / 8] ^= (uint8_t)(1u << bits[0] % 8);
		assert_true(mend_bit(data, sizeof(data), &stored));
		assert_memory_equal(data, was, sizeof(data));
	}
}

static void test_one_flipped_bit_anywhere_is_saved(void **state)
{
	struct log_test *t = *state;
	uint64_t at[8];
	size_t pad;
	struct told told;

	fill(t, 5, at, 33);
	open_log(t); /* what its body has, and how much is padding */
	{
		uint64_t position = at[3], next;
		struct batch *b;
		struct err err;

		assert_int_equal(
		    spool_read(t->spool, &position, &next, &b, &err), 1);
		pad = (size_t)(at[4] - at[3]) - RECORD_PREFIX_BYTES -
		      b->header.index_bytes - b->header.payload_bytes;
		batch_unref(&b);
	}
	close_log(t);
	expect_well(t);
	for (uint64_t p = at[3]; p < at[4] - pad; p++) {
		uint8_t bit = (uint8_t)(1u << (p % 8));
		struct spool_verified v;

		damage(t, 0, p, 1, bit);
		v = verify(t, &told);
		if (told.count != 1 || told.saved != 1 || told.numbers[0] != 3)
			fail_msg("byte %" PRIu64 ": %zu findings, %zu saved",
				 p - at[3], told.count, told.saved);
		assert_int_equal(told.position, at[3]);
		assert_int_equal(told.next, at[4]);
		assert_int_equal(told.offset, at[3] + 4096);
		assert_string_equal(told.file, "00000000000000000000.log");
		assert_int_equal(v.lost_bytes, 0);
		assert_int_equal(v.records, 4);
		damage(t, 0, p, 1, bit);
	}
	expect_well(t);
}

static void test_what_was_saved_comes_once_and_flagged(void **state)
{
	struct log_test *t = *state;
	uint64_t at[12];
	struct spool_repaired r;
	struct told told;
	struct got got;

	fill(t, 9, at, 50);
	damage(t, 0, at[2] + 300, 1, 4);   /* body */
	damage(t, 0, at[5] + 30, 1, 1);	   /* header */
	damage(t, 0, at[7] + 8, 40, 0xff); /* its batch header is whole */
	r = repair(t, &told);
	assert_int_equal(r.saved_records, 3);
	assert_int_equal(r.saved_events, 6);
	assert_int_equal(r.lost_places, 0);
	assert_int_equal(r.saved_at, at[10]);
	assert_true(r.end > r.saved_at);
	expect_well(t);
	for (int again = 0; again < 2; again++) {
		open_log(t);
		read_numbers(t, &got);
		assert_int_equal(got.count, 9);
		for (uint64_t n = 1; n <= 9; n++)
			assert_int_equal(times(&got, n), 1);
		for (size_t i = 0; i < 6; i++) {
			assert_false(got.flagged[i]);
			assert_true(got.positions[i] < at[10]);
		}
		for (size_t i = 6; i < 9; i++) {
			assert_true(got.flagged[i]);
			assert_true(got.positions[i] >= at[10]);
		}
		assert_int_equal(stats_of(t).bad_records, 0);
		close_log(t);
	}
	/* A second repair finds nothing, and copies nothing. */
	r = repair(t, &told);
	assert_false(r.needed);
	assert_int_equal(told.count, 0);
}

/* ---- what is lost is told ---- */

static struct batch *batch_with_ids(struct log_test *t, int n)
{
	struct batch_header header = {.created_at_us = 1};
	uint16_t stream = batch_builder_stream(t->builder, "orders", 6);

	for (int i = 0; i < n; i++) {
		struct batch_event event = {.stream = stream};
		char *line = batch_builder_room(t->builder, 128);
		int bytes = snprintf(
		    line, 128, "{\"n\":2,\"event_id\":\"E-%d\",\"x\":1}\n", i);

		event.offset = batch_builder_offset(t->builder);
		event.bytes = (uint32_t)bytes - 1;
		event.id_offset = event.offset + 19;
		event.id_bytes = 3;
		batch_builder_commit(t->builder, (size_t)bytes);
		batch_builder_event(t->builder, &event);
	}
	return batch_builder_seal(t->builder, &header);
}

static void test_what_is_lost_is_told_with_its_ids(void **state)
{
	struct log_test *t = *state;
	uint64_t first, second, third;
	struct spool_verified v;
	struct spool_repaired r;
	struct err err = {0};
	struct told told;
	struct batch *b;
	struct got got;

	open_log(t);
	first = append(t, 1, 1, 40);
	b = batch_with_ids(t, 3);
	assert_int_equal(spool_append(t->spool, b, &second, &err), 0);
	wait_durable(t);
	batch_unref(&b);
	third = append(t, 3, 1, 40);
	wait_durable(t);
	close_log(t);
	assert_int_equal(first, 0);
	/* The last event's id and more: not what a bit could explain. */
	damage(t, 0, third - 24, 12, 0x91);
	v = verify(t, &told);
	assert_int_equal(told.count, 1);
	assert_int_equal(told.lost, 1);
	assert_int_equal(told.position, second);
	assert_int_equal(told.next, third);
	assert_int_equal(told.events, 3);
	assert_string_equal(told.ids, "E-0, E-1 and 1 more");
	assert_int_equal(v.lost_bytes, third - second);
	assert_int_equal(v.lost_events, 3);
	r = repair(t, &told);
	assert_int_equal(r.lost_places, 1);
	assert_int_equal(r.lost_events, 3);
	assert_int_equal(r.saved_records, 0);
	expect_well(t);
	v = verify(t, &told);
	assert_int_equal(v.voids, 1);
	assert_int_equal(v.records, 2);
	open_log(t);
	append(t, 4, 1, 40);
	wait_durable(t);
	read_numbers(t, &got);
	assert_int_equal(got.count, 3);
	assert_int_equal(got.numbers[0], 1);
	assert_int_equal(got.numbers[1], 3);
	assert_int_equal(got.numbers[2], 4);
}

/* ---- whole parts gone ---- */

/* Four segments of several records; returns their bases. */
static size_t fill_segments(struct log_test *t, uint64_t *positions,
			    uint64_t *bases)
{
	t->options.segment_bytes = 1 << 16;
	fill(t, 40, positions, 2500);
	return segment_files(t, bases);
}

static size_t number_in(const uint64_t *at, uint64_t from, uint64_t to)
{
	size_t n = 0;

	for (size_t i = 1; i <= 40; i++)
		n += at[i] >= from && at[i] < to;
	return n;
}

/* After a repair: well, all but `gone` records are there, once. */
static void expect_rest(struct log_test *t, const uint64_t *at, uint64_t from,
			uint64_t to)
{
	struct got got;

	expect_well(t);
	open_log(t);
	assert_int_equal(stats_of(t).bad_records, 0);
	read_numbers(t, &got);
	for (size_t i = 1; i <= 40; i++)
		assert_int_equal(times(&got, i), at[i] < from || at[i] >= to);
	append(t, 99, 1, 100);
	wait_durable(t);
	read_numbers(t, &got);
	assert_int_equal(times(&got, 99), 1);
	close_log(t);
	expect_well(t);
}

static void test_a_missing_segment(void **state)
{
	struct log_test *t = *state;
	uint64_t at[48], bases[MANY];
	struct spool_repaired r;
	struct told told;
	char name[32];
	size_t n = fill_segments(t, at, bases);

	assert_true(n >= 4);
	snprintf(name, sizeof(name), "%020" PRIu64 ".log", bases[1]);
	unlink_in(t, name);
	verify(t, &told);
	assert_int_equal(told.count, 1);
	assert_int_equal(told.trouble, SPOOL_HOLE);
	assert_int_equal(told.position, bases[1]);
	assert_int_equal(told.next, bases[2]);
	r = repair(t, &told);
	assert_int_equal(r.lost_bytes, bases[2] - bases[1]);
	assert_int_equal(r.left, 0);
	expect_rest(t, at, bases[1], bases[2]);
	assert_true(number_in(at, bases[1], bases[2]) > 5);
}

static void test_a_segment_cut_short(void **state)
{
	struct log_test *t = *state;
	uint64_t at[48], bases[MANY];
	struct spool_repaired r;
	struct told told;
	char *path;

	fill_segments(t, at, bases);
	path = segment_file(t, bases[1]);
	/* In the middle of a record's body, and of no page. */
	assert_int_equal(truncate(path, 4096 + 9001), 0);
	free(path);
	verify(t, &told);
	assert_int_equal(told.lost, 2); /* that record, and the hole */
	r = repair(t, &told);
	assert_int_equal(r.left, 0);
	for (size_t i = 1; i <= 40; i++)
		if (at[i] <= bases[1] + 9001 && at[i + 1] > bases[1] + 9001) {
			expect_rest(t, at, at[i], bases[2]);
			return;
		}
	fail();
}

static void test_a_zeroed_part_loses_only_what_it_held(void **state)
{
	struct log_test *t = *state;
	uint64_t at[48], bases[MANY];
	static const uint8_t zeros[4096];
	struct told told;
	char *path;
	int fd;

	fill_segments(t, at, bases);
	path = segment_file(t, bases[0]);
	fd = open(path, O_RDWR);
	/* A page: the end of one record and the header of the next. */
	assert_int_equal(
	    pwrite(fd, zeros, sizeof(zeros), segment_offset(0, at[4] - 2000)),
	    sizeof(zeros));
	close(fd);
	free(path);
	repair(t, &told);
	assert_int_equal(told.lost, 2);
	expect_rest(t, at, at[3], at[5]);
}

static void test_a_damaged_segment_header(void **state)
{
	struct log_test *t = *state;
	uint64_t at[48], bases[MANY];
	struct told told;

	fill_segments(t, at, bases);
	damage(t, bases[1], bases[1] - 4096 + 20, 4, 0xff);
	verify(t, &told);
	assert_int_equal(told.count, 1);
	assert_int_equal(told.files, 1);
	repair(t, &told);
	expect_rest(t, at, 0, 0);
}

/* Makes a header say another base, as if it had been written so. */
static void give_base(const char *path, uint64_t base)
{
	uint8_t data[SEGMENT_HEADER_BYTES];
	struct segment_header header;
	int fd = open(path, O_RDWR);

	assert_int_equal(pread(fd, data, sizeof(data), 0), sizeof(data));
	assert_int_equal(segment_header_decode(data, &header), 0);
	header.base = base;
	segment_header_encode(&header, data);
	assert_int_equal(pwrite(fd, data, sizeof(data), 0), sizeof(data));
	close(fd);
}

static void test_a_foreign_segment_is_not_taken(void **state)
{
	struct log_test *t = *state;
	struct log_test *other = log_test_new();
	uint64_t at[48], bases[MANY], far[8];
	struct spool_repaired r;
	struct told told;
	char *from, *to;

	fill(other, 3, far, 3000);
	fill_segments(t, at, bases);
	from = segment_file(other, 0);
	to = segment_file(t, at[7]); /* in the middle of our first segment */
	assert_int_equal(rename(from, to), 0);
	give_base(to, at[7]);
	verify(t, &told);
	assert_int_equal(told.count, 1);
	assert_int_equal(told.files, 1);
	r = repair(t, &told);
	assert_int_equal(r.saved_records, 0);
	expect_rest(t, at, 0, 0);
	free(from);
	free(to);
	log_test_free(other);
}

/* A crash may leave a segment without records; a void record ends there. */
static void test_an_empty_segment_in_a_hole(void **state)
{
	struct log_test *t = *state;
	uint64_t at[48], bases[MANY];
	struct spool_repaired r;
	struct told told;
	char *path, *to;
	size_t n = fill_segments(t, at, bases);

	assert_true(n >= 4);
	path = segment_file(t, bases[1]);
	to = segment_file(t, bases[1] + 8000);
	assert_int_equal(truncate(path, SEGMENT_HEADER_BYTES), 0);
	assert_int_equal(rename(path, to), 0);
	give_base(to, bases[1] + 8000);
	r = repair(t, &told);
	assert_int_equal(r.left, 0);
	expect_rest(t, at, bases[1], bases[2]);
	free(path);
	free(to);
}

/* Without a checkpoint only the first segment's name says where the log
 * begins, even if that is all that is left of its header. */
static void test_without_checkpoint_nor_the_first_header(void **state)
{
	struct log_test *t = *state;
	uint64_t at[48], bases[MANY];
	struct spool_repaired r;
	struct told told;
	struct got got;

	fill_segments(t, at, bases);
	open_log(t);
	spool_free_before(t->spool, bases[2]);
	assert_int_equal(checkpoint(t), 0);
	close_log(t);
	unlink_in(t, "checkpoint");
	for (size_t i = 2; i < segment_files(t, bases) + 2; i++)
		damage(t, bases[i - 2], bases[i - 2] - 4096, 64, 0xff);
	r = repair(t, &told);
	assert_true(r.renamed);
	expect_well(t);
	open_log(t);
	read_numbers(t, &got);
	for (size_t i = 1; i <= 40; i++)
		assert_int_equal(times(&got, i), at[i] >= bases[0]);
}

/* ---- the checkpoint ---- */

static void test_a_lost_checkpoint_flags_everything(void **state)
{
	struct log_test *t = *state;
	uint64_t at[12];
	struct spool_repaired r;
	struct uuid before;
	struct told told;
	struct got got;

	fill(t, 5, at, 50);
	open_log(t);
	before = *spool_id(t->spool);
	close_log(t);
	unlink_in(t, "checkpoint");
	verify(t, &told);
	assert_int_equal(told.files, 1);
	r = repair(t, &told);
	assert_true(r.renamed);
	expect_well(t);
	for (int again = 0; again < 2; again++) {
		open_log(t);
		assert_memory_not_equal(spool_id(t->spool), &before,
					sizeof(before));
		read_numbers(t, &got);
		assert_int_equal(got.count, 5 + (size_t)again);
		for (size_t i = 0; i < 5; i++)
			assert_true(got.flagged[i]);
		if (again)
			assert_false(got.flagged[5]);
		append(t, 6, 1, 10);
		wait_durable(t);
		close_log(t);
	}
}

/* Opening alone must not repeat unflagged what tables may have, either. */
static void test_opening_without_a_checkpoint_flags_everything(void **state)
{
	struct log_test *t = *state;
	uint64_t at[12];
	struct got got;

	fill(t, 5, at, 50);
	unlink_in(t, "checkpoint");
	for (int again = 0; again < 2; again++) {
		open_log(t);
		read_numbers(t, &got);
		assert_int_equal(got.count, 5);
		for (size_t i = 0; i < 5; i++)
			assert_true(got.flagged[i]);
		crash_log(t);
	}
}

static void test_a_flipped_bit_in_the_checkpoint_costs_nothing(void **state)
{
	struct log_test *t = *state;
	uint64_t at[12];
	struct spool_repaired r;
	struct uuid before;
	struct told told;
	size_t bytes;
	struct got got;
	char *path;
	int fd;

	fill(t, 5, at, 50);
	open_log(t);
	before = *spool_id(t->spool);
	spool_save(t->spool, at[6], "remember", 8);
	spool_free_before(t->spool, at[3]);
	close_log(t);
	path = xasprintf("%s/checkpoint", t->dir);
	for (int offset = 0; offset < 464; offset += 7) {
		uint8_t byte;

		fd = open(path, O_RDWR);
		assert_int_equal(pread(fd, &byte, 1, offset), 1);
		byte ^= 0x10;
		assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
		close(fd);
		r = repair(t, &told);
		assert_true(r.needed);
		assert_false(r.renamed);
		expect_well(t);
	}
	free(path);
	open_log(t);
	assert_memory_equal(spool_id(t->spool), &before, sizeof(before));
	assert_memory_equal(spool_saved(t->spool, &bytes), "remember", 8);
	assert_int_equal(bytes, 8);
	read_numbers(t, &got);
	assert_int_equal(got.count, 3);
	assert_false(got.flagged[0]);
	assert_int_equal(got.numbers[0], 3);
}

/* ---- what was set aside ---- */

static void test_a_bad_record_outlives_its_segment(void **state)
{
	struct log_test *t = *state;
	uint64_t at[48], bases[MANY];
	struct spool_repaired r;
	struct told told;
	struct got got;

	fill_segments(t, at, bases);
	/* Two bits: it cannot be mended before the second is put right. */
	damage(t, bases[0], at[3] + 1000, 1, 2);
	open_log(t);
	read_numbers(t, &got);
	assert_int_equal(times(&got, 3), 0);
	assert_int_equal(got.count, 39);
	spool_free_before(t->spool, at[38]);
	assert_int_equal(checkpoint(t), 0);
	close_log(t);
	{
		char *path = segment_file(t, bases[0]);

		assert_int_equal(access(path, F_OK), -1);
		free(path);
	}
	verify(t, &told);
	assert_int_equal(told.files, 1);
	assert_int_equal(told.saved, 1);
	assert_int_equal(told.numbers[0], 3);
	r = repair(t, &told);
	assert_int_equal(r.saved_records, 1);
	expect_well(t);
	open_log(t);
	read_numbers(t, &got);
	/* None of those that were freed: 38, 39, 40, and the saved one. */
	assert_int_equal(got.count, 4);
	assert_int_equal(got.numbers[3], 3);
	assert_true(got.flagged[3]);
}

static void test_a_segment_set_aside_gives_back_what_is_missing(void **state)
{
	struct log_test *t = *state;
	uint64_t at[48], bases[MANY];
	struct spool_repaired r;
	struct told told;
	char *path, *aside;
	struct got got;

	fill_segments(t, at, bases);
	path = segment_file(t, bases[1]);
	aside = xasprintf("%s.aside", path);
	assert_int_equal(rename(path, aside), 0);
	r = repair(t, &told);
	assert_int_equal(r.saved_records, number_in(at, bases[1], bases[2]));
	expect_well(t);
	open_log(t);
	read_numbers(t, &got);
	for (size_t i = 1; i <= 40; i++)
		assert_int_equal(times(&got, i), 1);
	close_log(t);
	/* One that is in the log whole brings nothing twice. */
	path[0] = '\0';
	free(path);
	free(aside);
	path = segment_file(t, bases[2]);
	aside = xasprintf("%s.aside", path);
	{
		char *command = xasprintf("cp %s %s", path, aside);

		assert_int_equal(system(command), 0);
		free(command);
	}
	r = repair(t, &told);
	assert_true(r.needed);
	assert_int_equal(r.saved_records, 0);
	expect_well(t);
	free(path);
	free(aside);
}

/* ---- behind the end ---- */

static void test_what_lies_behind_a_damaged_end_is_saved(void **state)
{
	struct log_test *t = *state;
	uint64_t at[8];
	struct spool_repaired r;
	struct told told;
	struct got got;

	open_log(t);
	at[1] = append(t, 1, 1, 50);
	wait_durable(t);
	/* One commit: nothing behind proves that it was on disk. */
	hold_syncs(true);
	at[2] = append(t, 2, 1, 50);
	assert_true(wait_held());
	at[3] = append(t, 3, 1, 50);
	at[4] = append(t, 4, 1, 50);
	hold_syncs(false);
	wait_durable(t);
	crash_log(t);
	damage(t, 0, at[3] + 220, 16, 0x5a);
	r = repair(t, &told);
	assert_int_equal(r.saved_records, 1);
	assert_int_equal(r.lost_places, 1);
	expect_well(t);
	open_log(t);
	read_numbers(t, &got);
	assert_int_equal(got.count, 3);
	assert_int_equal(times(&got, 1), 1);
	assert_int_equal(times(&got, 2), 1);
	assert_int_equal(times(&got, 4), 1);
}

/* ---- trouble while repairing ---- */

static void damage_three(struct log_test *t, uint64_t *at)
{
	fill(t, 9, at, 50);
	damage(t, 0, at[2] + 300, 1, 4);
	damage(t, 0, at[5] + 30, 1, 1);
	damage(t, 0, at[7] + 210, 30, 0xff);
}

static void remove_backups(const struct log_test *t)
{
	char *pattern = xasprintf("%s.backup-*", t->dir);
	glob_t found;

	if (glob(pattern, 0, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc; i++) {
			remove_files(found.gl_pathv[i]);
			assert_int_equal(rmdir(found.gl_pathv[i]), 0);
		}
	globfree(&found);
	free(pattern);
}

static void test_an_interrupted_repair_is_begun_again(void **state)
{
	struct log_test *t = *state;
	struct spool_repair_options options = {0};
	uint64_t at[12];
	struct told told;
	struct got got;
	bool failed = true;

	for (int which = 1; failed; which++) {
		struct spool_repaired r;
		struct err err = {0};

		remove_files(t->dir);
		damage_three(t, at);
		memset(&told, 0, sizeof(told));
		fault_after(&faults.sync, which, EIO);
		failed = spool_repair(t->dir, &options, on_told, &told, &r,
				      &err) != 0;
		fault_set(&faults.sync, 0, 0);
		free(r.backup);
		remove_backups(t);
		if (failed)
			assert_int_equal(err.code, EIO);
		assert_true(which < 100);
		repair(t, &told);
		expect_well(t);
		open_log(t);
		read_numbers(t, &got);
		for (uint64_t n = 1; n <= 9; n++)
			assert_int_equal(times(&got, n), n == 7 ? 0 : 1);
		close_log(t);
	}
}

static void test_a_log_in_use_is_left_alone(void **state)
{
	struct log_test *t = *state;
	struct spool_repair_options options = {0};
	struct spool_repaired r;
	struct err err = {0};
	struct told told = {0};
	char pid[32];

	open_log(t);
	append(t, 1, 1, 10);
	wait_durable(t);
	snprintf(pid, sizeof(pid), "process %d;", (int)getpid());
	assert_int_equal(
	    spool_repair(t->dir, &options, on_told, &told, &r, &err), -1);
	assert_int_equal(err.code, EBUSY);
	assert_non_null(strstr(err.text, pid));
	assert_null(r.backup);
	expect_well(t);
}

static void test_without_room_for_the_copy_nothing_is_done(void **state)
{
	struct log_test *t = *state;
	struct spool_repair_options options = {0};
	struct spool_repaired r;
	struct err err = {0};
	struct told told = {0};
	uint64_t at[12];

	damage_three(t, at);
	faults.taken_kib = (1 << 20) - 64;
	assert_int_equal(
	    spool_repair(t->dir, &options, on_told, &told, &r, &err), -1);
	faults.taken_kib = 0;
	assert_int_equal(err.code, ENOSPC);
	assert_non_null(strstr(err.text, " 65536 are free"));
	assert_null(r.backup);
	verify(t, &told);
	assert_int_equal(told.saved, 2);
	assert_int_equal(told.lost, 1);
}

static void test_a_dry_run_changes_nothing(void **state)
{
	struct log_test *t = *state;
	struct spool_repair_options options = {.dry_run = true};
	struct spool_repaired r;
	struct err err = {0};
	struct told told = {0}, after;
	uint64_t at[12];

	damage_three(t, at);
	assert_int_equal(
	    spool_repair(t->dir, &options, on_told, &told, &r, &err), 0);
	assert_true(r.needed);
	assert_null(r.backup);
	assert_int_equal(r.saved_records, 2);
	assert_int_equal(r.lost_places, 1);
	verify(t, &after);
	assert_int_equal(after.count, told.count);
	assert_int_equal(after.saved, 2);
}

static void test_the_copy_is_whole(void **state)
{
	struct log_test *t = *state;
	char to[128];
	struct spool_repair_options options = {.backup = to};
	struct spool_repaired r;
	struct err err = {0};
	struct told told = {0};
	uint64_t at[12];
	const char *dir = t->options.dir;

	damage_three(t, at);
	snprintf(to, sizeof(to), "%s-copy", t->dir);
	assert_int_equal(
	    spool_repair(t->dir, &options, on_told, &told, &r, &err), 0);
	assert_string_equal(r.backup, to);
	t->options.dir = to;
	verify(t, &told);
	assert_int_equal(told.saved, 2);
	assert_int_equal(told.lost, 1);
	t->options.dir = dir;
	remove_backup(&r);
}

/* ---- beside a running process ---- */

struct watcher {
	const struct log_test *t;
	atomic_bool stop;
	atomic_int rounds;
	size_t findings;
};

static void *watch(void *arg)
{
	struct watcher *w = arg;

	while (!w->stop) {
		struct told told;

		verify(w->t, &told);
		w->findings += told.count;
		w->rounds++;
	}
	return NULL;
}

static void test_verifying_a_busy_log_finds_nothing(void **state)
{
	struct log_test *t = *state;
	struct watcher w = {.t = t};
	uint64_t n = 0, positions[64];
	pthread_t thread;

	t->options.segment_bytes = 1 << 17;
	t->options.checkpoint_bytes = 1 << 16;
	open_log(t);
	append(t, 1, 1, 10);
	wait_durable(t);
	assert_int_equal(pthread_create(&thread, NULL, watch, &w), 0);
	while (w.rounds < 200 && n < 20000) {
		n++;
		positions[n % 64] = append(t, n, 1, 700 + n % 1900);
		if (n % 8 == 0)
			wait_durable(t);
		if (n > 64)
			spool_free_before(t->spool, positions[(n + 1) % 64]);
	}
	w.stop = true;
	pthread_join(thread, NULL);
	assert_true(w.rounds > 20);
	assert_int_equal(w.findings, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_more_than_one_bit_is_left_alone),
	    LOG_TEST(test_one_flipped_bit_anywhere_is_saved),
	    LOG_TEST(test_what_was_saved_comes_once_and_flagged),
	    LOG_TEST(test_what_is_lost_is_told_with_its_ids),
	    LOG_TEST(test_a_missing_segment),
	    LOG_TEST(test_a_segment_cut_short),
	    LOG_TEST(test_a_zeroed_part_loses_only_what_it_held),
	    LOG_TEST(test_a_damaged_segment_header),
	    LOG_TEST(test_a_foreign_segment_is_not_taken),
	    LOG_TEST(test_an_empty_segment_in_a_hole),
	    LOG_TEST(test_without_checkpoint_nor_the_first_header),
	    LOG_TEST(test_a_lost_checkpoint_flags_everything),
	    LOG_TEST(test_opening_without_a_checkpoint_flags_everything),
	    LOG_TEST(test_a_flipped_bit_in_the_checkpoint_costs_nothing),
	    LOG_TEST(test_a_bad_record_outlives_its_segment),
	    LOG_TEST(test_a_segment_set_aside_gives_back_what_is_missing),
	    LOG_TEST(test_what_lies_behind_a_damaged_end_is_saved),
	    LOG_TEST(test_an_interrupted_repair_is_begun_again),
	    LOG_TEST(test_a_log_in_use_is_left_alone),
	    LOG_TEST(test_without_room_for_the_copy_nothing_is_done),
	    LOG_TEST(test_a_dry_run_changes_nothing),
	    LOG_TEST(test_the_copy_is_whole),
	    LOG_TEST(test_verifying_a_busy_log_finds_nothing),
	};

	quiet();
	return cmocka_run_group_tests_name("spool tools", tests, NULL, NULL);
}
