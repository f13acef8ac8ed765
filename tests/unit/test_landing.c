/*
 * Landing in a folder with tables that cannot be written: what lands, what is
 * set aside, and that each event is a row once when it comes back.
 * LINK: services/onelake-writer/landing.c services/onelake-writer/archive.c
 * LINK: services/onelake-writer/landing_split.c services/onelake-writer/job.c
 * LINK: services/onelake-writer/landing_try.c services/onelake-writer/letter.c
 */
#include <errno.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "duck_help.h"
#include "services/onelake-writer/landing.h"

#define LOG_ID	    "11111111-2222-4333-8444-555555555555"
#define MINUTE	    INT64_C(60000000)
#define PATIENCE_US INT64_C(20000000)

struct lands {
	struct folder folder;
	struct contract_set *set;
	struct landing *landing;
	struct batch_builder *builder;
	struct job *job;
};

static void on_changed(void *arg)
{
	(void)arg;
}

static void open_landing(struct lands *t)
{
	char *url = xasprintf("file://%s/lake", t->folder.path);
	char *scratch = xasprintf("%s/scratch", t->folder.path);
	const struct landing_options options = {
	    .url = url,
	    .root = "Tables",
	    .log_id = LOG_ID,
	    .scratch = scratch,
	    .codec = "zstd",
	    .memory_bytes = 64 << 20,
	    .window_us = 10 * MINUTE,
	    .window_bytes = 1 << 20,
	    .cache_bytes = 1 << 20,
	    .checkpoint_interval = 10,
	    .retry_first_us = 1000,
	    .retry_max_us = 20000,
	    .cool_down_us = 5000,
	    .threshold = 2,
	    .changed = on_changed,
	};
	struct err err = {0};

	if (landing_new(&t->landing, &options, &err) != 0)
		fail_msg("landing_new: %s", err.text);
	free(url);
	free(scratch);
}

static struct lands *lands_new(void)
{
	struct lands *t = xcalloc(1, sizeof(*t));

	folder_make(&t->folder);
	t->set = set_of_folder("etc/contracts");
	t->builder = batch_builder_new();
	open_landing(t);
	return t;
}

static void lands_free(struct lands *t)
{
	landing_free(&t->landing);
	job_free(&t->job);
	batch_builder_free(&t->builder);
	contract_set_unref(&t->set);
	folder_remove(&t->folder);
	free(t);
}

/* What stands where a folder belongs, so that the table cannot be. */
static void spoil(struct lands *t, const char *table)
{
	char *path = xasprintf("%s/lake/Tables", t->folder.path);
	char *file = xasprintf("%s/%s", path, table);
	FILE *f;

	mkdir(path, 0755);
	f = fopen(file, "w");
	assert_non_null(f);
	fclose(f);
	free(path);
	free(file);
}

static void mend(struct lands *t, const char *table)
{
	char *file = xasprintf("%s/lake/Tables/%s", t->folder.path, table);

	assert_int_equal(unlink(file), 0);
	free(file);
}

static void add(struct lands *t, const char *stream, const char *id, bool good)
{
	size_t id_bytes = strlen(id);
	struct batch_event event = {
	    .stream = batch_builder_stream(t->builder, stream, strlen(stream)),
	    .offset = batch_builder_offset(t->builder),
	    .id_bytes = (uint16_t)id_bytes,
	};
	char *line = xasprintf(
	    "{\"event_id\":\"%s\",\"event_type\":\"t\",\"event_time\":"
	    "\"2026-01-01T00:00:00Z\"%s}\n",
	    id,
	    strcmp(stream, "dead_letter") == 0
		? ",\"code\":\"c\",\"stage\":\"s\",\"stream\":\"s\","
		  "\"original\":\"o\",\"received_at\":\"2026-01-01T00:00:00Z\""
	    : good ? ""
		   : ",\"item_count\":\"none\"");

	event.id_offset = event.offset + sizeof("{\"event_id\":\"") - 1;
	event.bytes = (uint32_t)strlen(line) - 1;
	memcpy(batch_builder_room(t->builder, event.bytes + 1), line,
	       event.bytes + 1);
	batch_builder_commit(t->builder, event.bytes + 1);
	batch_builder_event(t->builder, &event);
	free(line);
}

/* What was added becomes a record of the log, in the job. */
static void record(struct lands *t, uint64_t position, uint32_t flags)
{
	const struct batch_header header = {
	    .flags = flags,
	    .created_at_us = NOW_US,
	    .contract_set = contract_set_hash(t->set),
	};
	const struct spool_record record = {
	    .position = position,
	    .next = position + 1,
	    .appended_at_us = NOW_US,
	    .batch = batch_builder_seal(t->builder, &header),
	};

	if (!t->job)
		t->job = job_new();
	job_add(t->job, &record, t->set, MINUTE);
}

/* Lands the job; returns what landing_run() did. */
static int land(struct lands *t)
{
	struct err err = {0};
	int rc = landing_run(t->landing, t->job, &err);

	if (rc < 0)
		fail_msg("landing_run: %s", err.text);
	return rc;
}

/* The job becomes one out of a side log: what was moved of a table. */
static void come_back(struct lands *t, const char *table, struct job *from)
{
	t->job = job_new();
	t->job->side = xstrdup(table);
	assert_int_equal(uuid_parse(LOG_ID, strlen(LOG_ID), &t->job->log_id),
			 0);
	for (size_t i = 0; i < from->moved_count; i++) {
		struct batch *b = from->moved[i].batch;
		const struct spool_record record = {
		    .position = b->header.sequence,
		    .next = b->header.sequence + 1,
		    .appended_at_us = (int64_t)b->header.lane.epoch,
		    .batch = b,
		};

		if (strcmp(from->moved[i].table, table) != 0)
			continue;
		batch_ref(b);
		job_add(t->job, &record, t->set, MINUTE);
	}
	assert_true(t->job->count > 0);
}

/* As the writer does: again when its time has come. */
static void land_back(struct lands *t, const char *table, struct job *from)
{
	int64_t until_us = clock_mono_us() + PATIENCE_US;
	int rc = 1;

	come_back(t, table, from);
	while (rc && clock_mono_us() < until_us)
		rc = land(t);
	assert_int_equal(rc, 0);
	job_free(&t->job);
}

struct wanted {
	const char *table;
	uint64_t rows;
};

static void find_rows(void *arg, const char *table, uint64_t rows)
{
	struct wanted *w = arg;

	if (strcmp(table, w->table) == 0)
		w->rows = rows;
}

static uint64_t rows_of(struct lands *t, const char *table)
{
	struct wanted w = {table, 0};

	landing_each_table(t->landing, find_rows, &w);
	return w.rows;
}

static uint64_t letters_of(struct lands *t)
{
	return rows_of(t, "dead_letter");
}

static void one_that_fails_is_moved_and_comes_back_once(void **state)
{
	struct lands *t = lands_new();
	struct job *first;

	(void)state;
	spoil(t, "order_events");
	add(t, "order", "o1", true);
	add(t, "product", "p1", true);
	record(t, 100, 0);
	add(t, "order", "o2", true);
	record(t, 200, BATCH_REPLAY);
	assert_int_equal(land(t), 0);
	assert_int_equal(rows_of(t, "product_events"), 1);
	first = t->job;
	t->job = NULL;
	assert_int_equal(first->aside_count, 1);
	assert_string_equal(first->aside[0], "order_events");
	assert_int_equal(first->moved_count, 2);
	for (size_t i = 0; i < 2; i++) {
		const struct batch *b = first->moved[i].batch;

		assert_int_equal(b->header.sequence, 100 * (i + 1));
		assert_int_equal(b->header.events, 1);
		assert_int_equal(b->header.lane.epoch, NOW_US);
		assert_int_equal(b->header.flags & BATCH_REPLAY,
				 i ? BATCH_REPLAY : 0);
		assert_int_equal(first->batches[i].moved, 1);
	}
	/* While it is aside, what comes is not even tried. */
	(void)job_set_aside(t->job = job_new(), "order_events");
	add(t, "order", "o3", true);
	record(t, 300, 0);
	assert_int_equal(land(t), 0);
	assert_int_equal(t->job->moved_count, 1);
	job_free(&t->job);
	/* Tried, and told when to come again. */
	come_back(t, "order_events", first);
	assert_int_equal(land(t), 1);
	assert_true(t->job->retry_at_mono_us > 0);
	job_free(&t->job);
	mend(t, "order_events");
	land_back(t, "order_events", first);
	assert_int_equal(rows_of(t, "order_events"), 2);
	/* What was moved twice is there once. */
	land_back(t, "order_events", first);
	assert_int_equal(rows_of(t, "order_events"), 2);
	job_free(&first);
	lands_free(t);
}

/*
 * Letters that come out of a side log say nothing about the positions of their
 * own table, whose events may still wait.
 */
static void letters_do_not_overtake_their_table(void **state)
{
	struct lands *t = lands_new();
	struct job *first;

	(void)state;
	spoil(t, "order_events");
	spoil(t, "dead_letter");
	add(t, "dead_letter", "d1", true);
	record(t, 100, 0);
	add(t, "order", "o1", true);
	add(t, "order", "o2", false);
	record(t, 200, 0);
	assert_int_equal(land(t), 0);
	first = t->job;
	t->job = NULL;
	assert_int_equal(first->moved_count, 2);
	mend(t, "order_events");
	mend(t, "dead_letter");
	land_back(t, "order_events", first);
	assert_int_equal(rows_of(t, "order_events"), 1);
	assert_int_equal(letters_of(t), 1);
	land_back(t, "dead_letter", first);
	assert_int_equal(letters_of(t), 2);
	/* Again: the letter is told by its identity, the other by its place. */
	land_back(t, "order_events", first);
	land_back(t, "dead_letter", first);
	assert_int_equal(rows_of(t, "order_events"), 1);
	assert_int_equal(letters_of(t), 2);
	job_free(&first);
	/* Then all goes the ordinary way. */
	add(t, "order", "o3", false);
	add(t, "dead_letter", "d2", true);
	record(t, 300, 0);
	assert_int_equal(land(t), 0);
	assert_int_equal(t->job->moved_count, 0);
	assert_int_equal(letters_of(t), 4);
	lands_free(t);
}

/* Whose letters cannot be written waits with them, and nobody else does. */
static void a_table_waits_for_its_letters(void **state)
{
	struct lands *t = lands_new();
	struct job *first;

	(void)state;
	spoil(t, "dead_letter");
	add(t, "order", "o1", true);
	add(t, "order", "o2", false);
	add(t, "product", "p1", true);
	record(t, 100, 0);
	assert_int_equal(land(t), 0);
	assert_int_equal(rows_of(t, "product_events"), 1);
	assert_int_equal(rows_of(t, "order_events"), 0);
	first = t->job;
	t->job = NULL;
	assert_int_equal(first->moved_count, 1);
	assert_int_equal(first->moved[0].batch->header.events, 2);
	come_back(t, "order_events", first);
	assert_int_equal(land(t), 1);
	assert_true(t->job->retry_at_mono_us > 0);
	job_free(&t->job);
	assert_int_equal(rows_of(t, "order_events"), 0);
	mend(t, "dead_letter");
	land_back(t, "order_events", first);
	assert_int_equal(rows_of(t, "order_events"), 1);
	assert_int_equal(letters_of(t), 1);
	job_free(&first);
	lands_free(t);
}

struct state_of {
	const char *destination;
	enum breaker_state state;
	unsigned failures;
};

static void find_circuit(void *arg, const struct breaker *b)
{
	struct state_of *of = arg;

	if (strcmp(b->options.destination, of->destination) != 0)
		return;
	of->state = b->state;
	of->failures = b->failures;
}

/* What all tables share is not held against one of them. */
static void the_root_of_all_tables_is_of_the_store(void **state)
{
	struct state_of store = {.destination = "lake"};
	struct state_of table = {.destination = "lake/order_events"};
	struct lands *t = lands_new();
	char *root = xasprintf("%s/lake/Tables", t->folder.path);
	FILE *f = fopen(root, "w");
	int64_t until_us;

	(void)state;
	assert_non_null(f);
	fclose(f);
	t->job = job_new();
	t->job->side = xstrdup("order_events");
	assert_int_equal(uuid_parse(LOG_ID, strlen(LOG_ID), &t->job->log_id),
			 0);
	add(t, "order", "o1", true);
	record(t, 100, 0);
	until_us = clock_mono_us() + PATIENCE_US;
	while (store.state != BREAKER_OPEN && clock_mono_us() < until_us) {
		assert_int_equal(land(t), 1);
		landing_each_circuit(t->landing, find_circuit, &store);
	}
	assert_int_equal(store.state, BREAKER_OPEN);
	landing_each_circuit(t->landing, find_circuit, &table);
	assert_int_equal(table.failures, 0);
	assert_int_equal(unlink(root), 0);
	until_us = clock_mono_us() + PATIENCE_US;
	while (land(t) != 0 && clock_mono_us() < until_us)
		continue;
	assert_int_equal(rows_of(t, "order_events"), 1);
	landing_each_circuit(t->landing, find_circuit, &store);
	assert_int_equal(store.state, BREAKER_CLOSED);
	free(root);
	lands_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(one_that_fails_is_moved_and_comes_back_once),
	    cmocka_unit_test(letters_do_not_overtake_their_table),
	    cmocka_unit_test(a_table_waits_for_its_letters),
	    cmocka_unit_test(the_root_of_all_tables_is_of_the_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
