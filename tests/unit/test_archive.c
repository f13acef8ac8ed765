/*
 * The raw archive: what the writer keeps there, a replay reads.
 * LINK: services/onelake-writer/archive.c services/onelake-writer/job.c
 * LINK: services/lake/archive.c
 */
#include <inttypes.h>

#include "lake/store.h"
#include "services/lake/archive.h"
#include "services/onelake-writer/archive.h"
#include "test_contract_help.h"

#define DAY_US	INT64_C(86400000000)
#define TYPES	300 /* more than have folders of their own */
#define LOG_ID	"11111111-2222-3333-4444-555555555555"
#define LONG_AT 7 /* whose type is too long for a folder */

/* Hundreds of files need not outlive a test. */
int fdatasync(int fd)
{
	(void)fd;
	return 0;
}

int fsync(int fd)
{
	(void)fd;
	return 0;
}

static void put_event(struct batch_builder *w, uint32_t n)
{
	char line[300], type[100];
	struct batch_event e = {0};
	int bytes;

	snprintf(type, sizeof(type), "%0*" PRIu32, n == LONG_AT ? 99 : 3, n);
	bytes = snprintf(line, sizeof(line), "{\"event_type\":\"%s\"}\n", type);
	e.stream = batch_builder_stream(w, "s", 1);
	e.offset = batch_builder_offset(w);
	e.bytes = (uint32_t)bytes - 1;
	e.type_offset = e.offset + 15;
	e.type_bytes = (uint16_t)strlen(type);
	memcpy(batch_builder_room(w, (size_t)bytes), line, (size_t)bytes);
	batch_builder_commit(w, (size_t)bytes);
	batch_builder_event(w, &e);
}

static void add_batch(struct job *job, struct contract_set *set,
		      uint64_t position, int64_t created_at_us, uint32_t flags)
{
	const struct batch_header header = {.flags = flags,
					    .created_at_us = created_at_us};
	struct batch_builder *w = batch_builder_new();
	struct spool_record record = {.position = position,
				      .next = position + 1};

	for (uint32_t n = 0; n < TYPES; n++)
		put_event(w, n);
	record.batch = batch_builder_seal(w, &header);
	job_add(job, &record, set, 0);
	batch_builder_free(&w);
}

static int count_line(void *arg, const char *line, size_t bytes,
		      struct err *err)
{
	(void)line;
	(void)bytes;
	(void)err;
	++*(uint32_t *)arg;
	return 0;
}

/* How many events the archive has of the days from first to last. */
static uint32_t count(struct store *s, const struct folder *d,
		      const char *first, const char *last)
{
	char *temp = xasprintf("%s/temp", d->path);
	struct archive_files files;
	struct err err = {0};
	uint32_t lines = 0;

	if (archive_list(s, first, last, &files, &err) != 0)
		fail_msg("archive_list: %s", err.text);
	for (size_t i = 0; i < files.count; i++)
		if (archive_read(s, &files.list[i], temp, count_line, &lines,
				 &err) != 0)
			fail_msg("archive_read: %s", err.text);
	archive_files_free(&files);
	free(temp);
	return lines;
}

static void test_no_event_is_left_out_whatever_types_there_are(void **state)
{
	struct contract_set *set = set_of_text(HEAD TAIL);
	struct job *job = job_new();
	struct err err = {0};
	struct archive *a;
	struct folder d;
	struct store *s;

	(void)state;
	folder_make(&d);
	assert_int_equal(store_open_local(&s, d.path, &err), 0);
	a = archive_new(s, d.path, LOG_ID);
	/* 2001-01-01, the next day, and what a replay took from there. */
	add_batch(job, set, 1, 11323 * DAY_US, 0);
	add_batch(job, set, 2, 11324 * DAY_US, 0);
	add_batch(job, set, 3, 11324 * DAY_US, BATCH_ARCHIVED);
	if (archive_job(a, job, &err) != 0)
		fail_msg("archive_job: %s", err.text);
	assert_int_equal(count(s, &d, "2001-01-01", "2001-01-01"), TYPES);
	assert_int_equal(count(s, &d, "2001-01-02", "2001-01-02"), TYPES);
	archive_free(&a);
	job_free(&job);
	store_close(&s);
	folder_remove(&d);
	contract_set_unref(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
		test_no_event_is_left_out_whatever_types_there_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
