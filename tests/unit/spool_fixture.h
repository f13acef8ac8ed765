/*
 * What the tests of the log share: a log in a directory of its own, batches
 * that are told apart by their sequence, and waiting by turning the loop.
 */
#ifndef WEFT_TESTS_SPOOL_FIXTURE_H
#define WEFT_TESTS_SPOOL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "spool/format.h"
#include "spool/spool.h"

#define WAIT_US	 INT64_C(20000000)
#define MANY	 4096
#define CLOSE_US INT64_C(5000000)

struct log_test {
	char dir[64];
	struct loop *loop;
	struct spool *spool;
	struct spool_options options;
	struct spool_events events;
	uint64_t durable;
	int committed;
	int failed;
	struct err failure;
	/* What `recovered` told: sequences, 0 for a bad one. */
	uint64_t recovered[MANY];
	uint64_t recovered_at[MANY];
	size_t recovered_count;
	size_t recovered_bad;
	struct batch_builder *builder;
	void *user; /* a test's own */
};

static inline void on_recovered(void *arg, const struct spool_record *record)
{
	struct log_test *t = arg;

	assert_true(t->recovered_count < MANY);
	assert_true(record->next > record->position);
	t->recovered_at[t->recovered_count] = record->position;
	t->recovered[t->recovered_count++] =
	    record->batch ? record->batch->header.sequence : 0;
	if (!record->batch) {
		assert_int_not_equal(record->err.code, 0);
		assert_true(strlen(record->err.text) > 0);
		t->recovered_bad++;
	}
}

static inline void on_committed(void *arg, uint64_t durable)
{
	struct log_test *t = arg;

	assert_true(durable > t->durable);
	t->durable = durable;
	t->committed++;
}

static inline void on_failed(void *arg, const struct err *err)
{
	struct log_test *t = arg;

	t->failed++;
	t->failure = *err;
}

static inline struct log_test *log_test_new(void)
{
	struct log_test *t = xcalloc(1, sizeof(*t));

	strcpy(t->dir, "/tmp/weft-test-spool-XXXXXX");
	assert_non_null(mkdtemp(t->dir));
	t->loop = loop_new();
	t->builder = batch_builder_new();
	t->options = (struct spool_options){.dir = t->dir,
					    .segment_bytes = 1 << 20,
					    .cap_bytes = 64 << 20,
					    .checkpoint_bytes = 64 << 20,
					    .cache_bytes = 1 << 20};
	t->events = (struct spool_events){.recovered = on_recovered,
					  .committed = on_committed,
					  .failed = on_failed,
					  .arg = t};
	return t;
}

static inline void remove_files(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;

	while (d && (entry = readdir(d)))
		unlinkat(dirfd(d), entry->d_name, 0);
	if (d)
		closedir(d);
}

static inline void log_test_free(struct log_test *t)
{
	spool_close(&t->spool, CLOSE_US);
	batch_builder_free(&t->builder);
	loop_free(&t->loop);
	remove_files(t->dir);
	rmdir(t->dir);
	free(t);
}

static inline int try_open(struct log_test *t, struct err *err)
{
	struct spool_stats stats;

	t->recovered_count = t->recovered_bad = 0;
	if (spool_open(&t->spool, t->loop, &t->options, &t->events, err) != 0)
		return -1;
	spool_get_stats(t->spool, &stats);
	t->durable = stats.durable;
	assert_int_equal(stats.durable, stats.end);
	return 0;
}

static inline void open_log(struct log_test *t)
{
	struct err err = {0};

	if (try_open(t, &err) != 0)
		fail_msg("spool_open: %s", err.text);
}

static inline void close_log(struct log_test *t)
{
	spool_close(&t->spool, CLOSE_US);
	assert_null(t->spool);
}

/* A batch of `events` events of about `bytes` bytes each, all of its own. */
static inline struct batch *make_batch(struct log_test *t, uint64_t sequence,
				       uint32_t events, size_t bytes)
{
	struct batch_header header = {.sequence = sequence,
				      .created_at_us = (int64_t)sequence};
	uint16_t stream = batch_builder_stream(t->builder, "orders", 6);

	for (uint32_t i = 0; i < events; i++) {
		struct batch_event event = {.stream = stream};
		char *line = batch_builder_room(t->builder, bytes + 64);
		int n = snprintf(line, bytes + 64,
				 "{\"n\":%" PRIu64 ",\"i\":%u,\"fill\":\"",
				 sequence, i);

		memset(line + n, 'a' + (int)(sequence % 26), bytes);
		memcpy(line + n + (int)bytes - 1, "\"}\n", 3);
		event.offset = batch_builder_offset(t->builder);
		event.bytes = (uint32_t)n + (uint32_t)bytes + 1;
		batch_builder_commit(t->builder, event.bytes + 1);
		batch_builder_event(t->builder, &event);
	}
	return batch_builder_seal(t->builder, &header);
}

static inline int try_append(struct log_test *t, uint64_t sequence,
			     uint32_t events, size_t bytes, uint64_t *position,
			     struct err *err)
{
	struct batch *b = make_batch(t, sequence, events, bytes);
	int rc = spool_append(t->spool, b, position, err);

	batch_unref(&b);
	return rc;
}

static inline uint64_t append(struct log_test *t, uint64_t sequence,
			      uint32_t events, size_t bytes)
{
	uint64_t position = 0;
	struct err err = {0};

	if (try_append(t, sequence, events, bytes, &position, &err) != 0)
		fail_msg("spool_append: %s", err.text);
	return position;
}

static inline struct spool_stats stats_of(const struct log_test *t)
{
	struct spool_stats stats;

	spool_get_stats(t->spool, &stats);
	return stats;
}

/* Turns the loop until `condition` holds; fails the test after WAIT_US. */
#define WAIT_FOR(t, condition)                                 \
	do {                                                   \
		int64_t until_ = clock_mono_us() + WAIT_US;    \
		while (!(condition)) {                         \
			assert_true(clock_mono_us() < until_); \
			loop_turn((t)->loop, 10000);           \
		}                                              \
	} while (0)

static inline void wait_durable(struct log_test *t)
{
	WAIT_FOR(t, t->durable == stats_of(t).end);
}

static inline void on_checkpoint(void *arg, const struct err *err)
{
	*(int *)arg = err ? err->code : 0;
}

/* Asks for a checkpoint and waits for its answer: 0 or an errno value. */
static inline int checkpoint(struct log_test *t)
{
	int answer = -1;

	spool_checkpoint(t->spool, on_checkpoint, &answer);
	WAIT_FOR(t, answer != -1);
	return answer;
}

/* Reads everything from `position` on; sequences go to out. */
static inline size_t read_all(struct log_test *t, uint64_t position,
			      uint64_t *out)
{
	uint64_t next;
	struct batch *b;
	struct err err = {0};
	size_t n = 0;
	int rc;

	while ((rc = spool_read(t->spool, &position, &next, &b, &err)) == 1) {
		assert_true(n < MANY);
		out[n++] = b->header.sequence;
		batch_unref(&b);
		position = next;
	}
	if (rc != 0)
		fail_msg("spool_read: %s", err.text);
	return n;
}

static inline char *segment_file(const struct log_test *t, uint64_t base)
{
	return xasprintf("%s/%020" PRIu64 ".log", t->dir, base);
}

/* Bases of the segment files on disk, in order. */
static inline size_t segment_files(const struct log_test *t, uint64_t *bases)
{
	DIR *d = opendir(t->dir);
	struct dirent *entry;
	size_t n = 0;

	assert_non_null(d);
	while ((entry = readdir(d))) {
		size_t length = strlen(entry->d_name);
		size_t at = n;

		if (length != 24 ||
		    strcmp(entry->d_name + length - 4, ".log") != 0)
			continue;
		bases[n++] = strtoull(entry->d_name, NULL, 10);
		for (; at && bases[at - 1] > bases[at]; at--) {
			uint64_t swap = bases[at];

			bases[at] = bases[at - 1];
			bases[at - 1] = swap;
		}
	}
	closedir(d);
	return n;
}

static inline bool file_exists(const struct log_test *t, const char *name)
{
	char *path = xasprintf("%s/%s", t->dir, name);
	bool exists = access(path, F_OK) == 0;

	free(path);
	return exists;
}

/* Copies every file of one directory into another: what a crash leaves. */
static inline void copy_dir(const char *from, const char *to)
{
	DIR *d = opendir(from);
	struct dirent *entry;

	assert_non_null(d);
	while ((entry = readdir(d))) {
		char *source = xasprintf("%s/%s", from, entry->d_name);
		char *target = xasprintf("%s/%s", to, entry->d_name);
		struct stat st;

		if (stat(source, &st) == 0 && S_ISREG(st.st_mode)) {
			int in = open(source, O_RDONLY);
			int out =
			    open(target, O_WRONLY | O_CREAT | O_TRUNC, 0600);
			char data[65536];
			ssize_t n;

			assert_true(in >= 0 && out >= 0);
			while ((n = read(in, data, sizeof(data))) > 0)
				assert_int_equal(write(out, data, (size_t)n),
						 n);
			close(in);
			close(out);
		}
		free(source);
		free(target);
	}
	closedir(d);
}

/*
 * Leaves the log as kill -9 would: the files as they are now, without the last
 * checkpoint and trimming that closing does.
 */
static inline void crash_log(struct log_test *t)
{
	char copy[] = "/tmp/weft-test-crash-XXXXXX";

	assert_non_null(mkdtemp(copy));
	copy_dir(t->options.dir, copy);
	close_log(t);
	remove_files(t->options.dir);
	copy_dir(copy, t->options.dir);
	remove_files(copy);
	rmdir(copy);
}

static inline int fixture_setup(void **state)
{
	*state = log_test_new();
	return 0;
}

static inline int fixture_teardown(void **state)
{
	log_test_free(*state);
	return 0;
}

#define LOG_TEST(f) \
	cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

/* Bad weather is what is tested: warnings of it are shown with VERBOSE=1. */
static inline void quiet(void)
{
	if (!getenv("VERBOSE"))
		log_open("test", LOG_ERROR, LOG_LOGFMT);
}

#endif
