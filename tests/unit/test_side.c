/*
 * Side logs: what is moved comes back in order and once, over restarts and
 * moves that were done twice; what is full says so.
 * LINK: services/onelake-writer/side.c services/onelake-writer/job.c
 */
#include <errno.h>
#include <inttypes.h>

#include "base/clock.h"
#include "services/onelake-writer/side.h"
#include "spool_fixture.h"
#include "test_contract_help.h"

#define CAP_BYTES (8 << 20)
#define MOST	  (INT64_C(64) << 20)

struct side_test {
	struct log_test *log; /* for its folder and loop */
	char *dir;
	struct sides *sides;
	struct uuid log_id;
	struct contract_set *set;
	bool lost_set;
	int moved, refused, ready;
	struct job *job; /* of the main log, that is moved */
};

static void on_moved(void *arg)
{
	((struct side_test *)arg)->moved++;
}

static void on_refused(void *arg)
{
	((struct side_test *)arg)->refused++;
}

static void on_ready(void *arg)
{
	((struct side_test *)arg)->ready++;
}

static struct contract_set *set_of(void *arg, uint64_t hash, struct err *err)
{
	struct side_test *t = arg;

	(void)hash;
	if (!t->lost_set)
		return t->set;
	err_set(err, ENOENT, "it is not here");
	return NULL;
}

static void open_all(struct side_test *t)
{
	const struct sides_options options = {
	    .loop = t->log->loop,
	    .dir = t->dir,
	    .log_id = t->log_id,
	    .cap_bytes = CAP_BYTES,
	    .late_us = MOST,
	};
	const struct sides_events events = {
	    .refused = on_refused,
	    .moved = on_moved,
	    .ready = on_ready,
	    .set_of = set_of,
	    .arg = t,
	};
	struct err err = {0};

	if (sides_open(&t->sides, &options, &events, &err) != 0)
		fail_msg("sides_open: %s", err.text);
}

static struct side_test *side_test_new(void)
{
	struct side_test *t = xcalloc(1, sizeof(*t));

	t->log = log_test_new();
	t->dir = xasprintf("%s/side", t->log->dir);
	t->log_id = uuid_new();
	t->set = set_of_text(HEAD TAIL);
	open_all(t);
	return t;
}

static void side_test_free(struct side_test *t)
{
	static const char *const tables[] = {"orders", "products"};

	sides_close(&t->sides);
	job_free(&t->job);
	for (size_t i = 0; i < 2; i++) {
		char *dir = xasprintf("%s/%s", t->dir, tables[i]);

		remove_files(dir);
		rmdir(dir);
		free(dir);
	}
	rmdir(t->dir);
	free(t->dir);
	contract_set_unref(&t->set);
	log_test_free(t->log);
	free(t);
}

/* A batch as landing makes it: of a table, at a position of the main log. */
static void move(struct side_test *t, const char *table, uint64_t position,
		 uint32_t flags)
{
	struct batch *made = make_batch(t->log, 1, 3, 100);
	struct batch_header header = made->header;
	struct batch *b;

	if (!t->job)
		t->job = job_new();
	header.lane.source = t->log_id;
	header.lane.epoch = 5000000 + position;
	header.sequence = position;
	header.flags = flags;
	b = batch_relabel(made, &header);
	batch_unref(&made);
	job_move(t->job, job_set_aside(t->job, table), &b);
}

#define UNTIL(t, condition)                                        \
	do {                                                       \
		int64_t until_us = clock_mono_us() + WAIT_US;      \
		while (!(condition) && clock_mono_us() < until_us) \
			loop_turn((t)->log->loop, 10000);          \
		assert_true(condition);                            \
	} while (0)

static void take(struct side_test *t)
{
	int before = t->moved;

	sides_take(t->sides, t->job);
	UNTIL(t, t->moved > before);
	job_free(&t->job);
}

static struct job *next(struct side_test *t, int64_t *at_us)
{
	struct err err;

	return sides_next(t->sides, (size_t)MOST, at_us, &err);
}

static void done(struct side_test *t, struct job **job, int64_t retry_at_us)
{
	(*job)->landed = retry_at_us == 0;
	(*job)->retry_at_mono_us = retry_at_us;
	sides_done(t->sides, job);
	assert_null(*job);
}

static void what_is_moved_comes_back(void **state)
{
	struct side_test *t = side_test_new();
	struct job *main_job = job_new(), *job;
	int64_t at_us;

	(void)state;
	assert_null(next(t, &at_us));
	assert_int_equal(at_us, 0);
	sides_mark(t->sides, main_job);
	assert_int_equal(main_job->aside_count, 0);
	move(t, "orders", 100, 0);
	move(t, "orders", 200, BATCH_REPLAY);
	take(t);
	/* From now on all that follows goes there. */
	sides_mark(t->sides, main_job);
	assert_int_equal(main_job->aside_count, 1);
	assert_string_equal(main_job->aside[0], "orders");
	job = next(t, &at_us);
	assert_non_null(job);
	assert_string_equal(job->side, "orders");
	assert_memory_equal(&job->log_id, &t->log_id, sizeof(t->log_id));
	assert_int_equal(job->count, 2);
	assert_int_equal(job->batches[0].position, 100);
	assert_int_equal(job->batches[0].appended_at_us, 5000100);
	assert_false(job->batches[0].flagged);
	assert_true(job->batches[1].flagged);
	/* Up to its last record, not beyond: the table's txn. */
	assert_int_equal(job->end, 201);
	done(t, &job, 0);
	assert_null(next(t, &at_us));
	job_free(&main_job);
	main_job = job_new();
	sides_mark(t->sides, main_job);
	assert_int_equal(main_job->aside_count, 0);
	job_free(&main_job);
	side_test_free(t);
}

static void a_try_that_failed_comes_again_in_its_time(void **state)
{
	struct side_test *t = side_test_new();
	int64_t at_us, retry_us;
	struct job *job;

	(void)state;
	move(t, "orders", 100, 0);
	move(t, "products", 100, 0);
	take(t);
	retry_us = clock_mono_us() + 300000;
	job = next(t, &at_us);
	assert_non_null(job);
	done(t, &job, retry_us);
	/* The other one is not held up. */
	job = next(t, &at_us);
	assert_non_null(job);
	done(t, &job, 0);
	assert_null(next(t, &at_us));
	assert_int_equal(at_us, retry_us);
	UNTIL(t, clock_mono_us() >= retry_us);
	job = next(t, &at_us);
	assert_non_null(job);
	assert_int_equal(job->count, 1);
	done(t, &job, 0);
	side_test_free(t);
}

static void it_survives_and_tells_what_was_moved_twice(void **state)
{
	struct side_test *t = side_test_new();
	struct job *job;
	int64_t at_us;

	(void)state;
	for (uint64_t position = 100; position <= 300; position += 100)
		move(t, "orders", position, 0);
	take(t);
	sides_close(&t->sides);
	open_all(t);
	/* A crash in front of the main log's checkpoint. */
	for (uint64_t position = 200; position <= 400; position += 100)
		move(t, "orders", position, 0);
	take(t);
	job = next(t, &at_us);
	assert_non_null(job);
	assert_int_equal(job->count, 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(job->batches[i].position, 100 * (i + 1));
	assert_int_equal(job->end, 401);
	done(t, &job, 0);
	assert_null(next(t, &at_us));
	side_test_free(t);
}

/* Positions of two logs say nothing about each other. */
static void another_log_is_another_job(void **state)
{
	struct side_test *t = side_test_new();
	struct uuid old = t->log_id;
	struct job *job;
	int64_t at_us;

	(void)state;
	move(t, "orders", 900, 0);
	take(t);
	sides_close(&t->sides);
	t->log_id = uuid_new();
	open_all(t);
	move(t, "orders", 100, 0);
	take(t);
	job = next(t, &at_us);
	assert_non_null(job);
	assert_int_equal(job->count, 1);
	assert_memory_equal(&job->log_id, &old, sizeof(old));
	assert_true(job->batches[0].flagged);
	done(t, &job, 0);
	job = next(t, &at_us);
	assert_non_null(job);
	assert_memory_equal(&job->log_id, &t->log_id, sizeof(old));
	assert_int_equal(job->batches[0].position, 100);
	assert_false(job->batches[0].flagged);
	done(t, &job, 0);
	side_test_free(t);
}

/* It has neither lane nor sequence, and comes once all the same. */
static void what_a_repair_saved_comes_too(void **state)
{
	struct side_test *t = side_test_new();
	const struct uuid nobody = {0};
	struct job *job;
	int64_t at_us;

	(void)state;
	move(t, "orders", 100, 0);
	for (uint64_t n = 1; n <= 2; n++) {
		struct batch *made = make_batch(t->log, n, 3, 100);
		struct batch_header none = made->header;
		struct batch *b;

		none.sequence = 0;
		none.flags = BATCH_REPLAY;
		b = batch_relabel(made, &none);
		batch_unref(&made);
		job_move(t->job, job_set_aside(t->job, "orders"), &b);
	}
	take(t);
	job = next(t, &at_us);
	assert_non_null(job);
	assert_int_equal(job->count, 1);
	assert_int_equal(job->batches[0].position, 100);
	done(t, &job, 0);
	job = next(t, &at_us);
	assert_non_null(job);
	assert_memory_not_equal(&job->log_id, &t->log_id, sizeof(t->log_id));
	assert_memory_not_equal(&job->log_id, &nobody, sizeof(nobody));
	assert_int_equal(job->count, 2);
	assert_true(job->batches[0].position < job->batches[1].position);
	assert_true(job->batches[1].position < job->end);
	assert_true(job->batches[0].flagged && job->batches[1].flagged);
	assert_true(job->batches[0].appended_at_us > 0);
	done(t, &job, 0);
	assert_null(next(t, &at_us));
	side_test_free(t);
}

/* The copy that a repair keeps is what it could not save. */
static void a_copy_beside_is_left_alone(void **state)
{
	struct side_test *t = side_test_new();
	char *log = xasprintf("%s/orders", t->dir);
	char *copy = xasprintf("%s/orders.backup-20260101T000000Z", t->dir);
	int64_t at_us;
	struct job *job;

	(void)state;
	move(t, "orders", 100, 0);
	take(t);
	sides_close(&t->sides);
	assert_int_equal(rename(log, copy), 0);
	open_all(t);
	job = next(t, &at_us);
	assert_null(job);
	sides_close(&t->sides);
	remove_files(copy);
	assert_int_equal(rmdir(copy), 0);
	free(copy);
	free(log);
	side_test_free(t);
}

/* Breaks the last bytes of a table's only segment that are not zero. */
static void damage_last(const struct side_test *t, const char *table)
{
	char *dir = xasprintf("%s/%s", t->dir, table);
	DIR *d = opendir(dir);
	struct dirent *entry;
	int damaged = 0;

	assert_non_null(d);
	while ((entry = readdir(d))) {
		const char *dot = strrchr(entry->d_name, '.');
		char byte = 0;
		off_t at;
		int fd;

		if (!dot || strcmp(dot, ".log") != 0)
			continue;
		fd = openat(dirfd(d), entry->d_name, O_RDWR);
		assert_true(fd >= 0);
		at = lseek(fd, 0, SEEK_END);
		while (at > 0 && !byte)
			assert_int_equal(pread(fd, &byte, 1, --at), 1);
		assert_true(at > 0);
		assert_int_equal(pwrite(fd, "????", 4, at - 60), 4);
		close(fd);
		damaged++;
	}
	assert_int_equal(damaged, 1);
	closedir(d);
	free(dir);
}

/* Its table would be set aside for ever. */
static void what_is_damaged_at_the_end_is_passed_over(void **state)
{
	for (uint64_t good = 0; good <= 1; good++) {
		struct side_test *t = side_test_new();
		struct job *job, *main_job = job_new();
		int64_t at_us;

		(void)state;
		for (uint64_t n = 0; n <= good; n++)
			move(t, "orders", 100 + n, 0);
		take(t);
		sides_close(&t->sides);
		damage_last(t, "orders");
		open_all(t);
		job = next(t, &at_us);
		assert_int_equal(job != NULL, good);
		if (job) {
			assert_int_equal(job->count, 1);
			done(t, &job, 0);
		}
		assert_null(next(t, &at_us));
		sides_mark(t->sides, main_job);
		assert_int_equal(main_job->aside_count, 0);
		job_free(&main_job);
		side_test_free(t);
	}
}

static void one_that_is_full_refuses_its_streams_and_waits(void **state)
{
	struct side_test *t = side_test_new();
	struct refusal streams;
	uint64_t position = 0;
	struct job *job;
	int64_t at_us;

	(void)state;
	/* More than it holds. */
	while (position < 2 * (CAP_BYTES / 500))
		move(t, "orders", ++position, 0);
	sides_take(t->sides, t->job);
	UNTIL(t, t->refused == 1);
	sides_refused(t->sides, &streams);
	assert_int_equal(streams.count, 1);
	/* It waits for room, which landing makes. */
	while (!t->moved) {
		loop_turn(t->log->loop, 10000);
		sides_tick(t->sides, 0);
		job = next(t, &at_us);
		if (job)
			done(t, &job, 0);
	}
	for (;;) {
		job = next(t, &at_us);
		if (!job)
			break;
		done(t, &job, 0);
	}
	sides_refused(t->sides, &streams);
	assert_int_equal(streams.count, 0);
	job_free(&t->job);
	/* What the main log has yet to land counts, once anything waits here.
	 */
	sides_tick(t->sides, CAP_BYTES);
	sides_refused(t->sides, &streams);
	assert_int_equal(streams.count, 0);
	move(t, "orders", ++position, 0);
	take(t);
	sides_refused(t->sides, &streams);
	assert_int_equal(streams.count, 1);
	sides_tick(t->sides, CAP_BYTES / 3);
	sides_refused(t->sides, &streams);
	assert_int_equal(streams.count, 0);
	side_test_free(t);
}

static void what_cannot_be_read_waits(void **state)
{
	struct side_test *t = side_test_new();
	struct err err = {0};
	struct job *job;
	int64_t at_us;

	(void)state;
	move(t, "orders", 100, 0);
	take(t);
	t->lost_set = true;
	assert_null(sides_next(t->sides, (size_t)MOST, &at_us, &err));
	assert_int_equal(err.code, ENOENT);
	assert_true(at_us > clock_mono_us());
	t->lost_set = false;
	UNTIL(t, clock_mono_us() >= at_us);
	job = next(t, &at_us);
	assert_non_null(job);
	done(t, &job, 0);
	side_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_moved_comes_back),
	    cmocka_unit_test(a_try_that_failed_comes_again_in_its_time),
	    cmocka_unit_test(it_survives_and_tells_what_was_moved_twice),
	    cmocka_unit_test(another_log_is_another_job),
	    cmocka_unit_test(what_a_repair_saved_comes_too),
	    cmocka_unit_test(a_copy_beside_is_left_alone),
	    cmocka_unit_test(what_is_damaged_at_the_end_is_passed_over),
	    cmocka_unit_test(one_that_is_full_refuses_its_streams_and_waits),
	    cmocka_unit_test(what_cannot_be_read_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
