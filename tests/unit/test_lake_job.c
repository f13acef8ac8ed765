/* LINK: services/onelake-writer/job.c services/onelake-writer/letter.c */
#include <errno.h>

#include "lake/table.h"
#include "services/onelake-writer/letter.h"
#include "test_contract_help.h"

#define MINUTE_US INT64_C(60000000)

static struct batch *batch_of(struct contract_set *set, uint32_t flags)
{
	struct batch_header header = {
	    .flags = flags,
	    .created_at_us = NOW_US,
	    .contract_set = contract_set_hash(set),
	};
	struct batch_builder *w = batch_builder_new();
	struct batch *b = batch_builder_seal(w, &header);

	batch_builder_free(&w);
	return b;
}

static void add(struct job *job, struct contract_set *set, uint64_t position,
		uint32_t flags, int64_t after_us)
{
	const struct spool_record record = {
	    .position = position,
	    .next = position + 10,
	    .appended_at_us = NOW_US + after_us,
	    .batch = batch_of(set, flags),
	};

	job_add(job, &record, set, 8 * MINUTE_US);
}

static void test_what_comes_late_counts_as_flagged(void **state)
{
	struct contract_set *set = set_of_text(HEAD TAIL);
	struct job *job = job_new();

	(void)state;
	add(job, set, 10, 0, 0);
	add(job, set, 20, 0, 8 * MINUTE_US);
	add(job, set, 30, 0, 8 * MINUTE_US + 1);
	add(job, set, 40, BATCH_REPLAY, 0);
	assert_int_equal(job->end, 50);
	assert_false(job->batches[0].flagged);
	assert_false(job->batches[1].flagged);
	assert_true(job->batches[2].flagged);
	assert_true(job->batches[3].flagged);
	for (uint64_t at = 10; at <= 40; at += 10)
		assert_int_equal(job_find(job, at)->position, at);
	job_free(&job);
	assert_null(job);
	contract_set_unref(&set);
}

static void test_a_letter_says_what_and_why(void **state)
{
	static const char text[] = "{\"event_id\":\"a\\\"b\",\"k\":1}";
	struct contract_set *set = set_of_text(HEAD TAIL);
	struct job *job = job_new();
	struct lake_event letter, e = {
				      .line = text,
				      .bytes = sizeof(text) - 1,
				      .id = "a\"b",
				      .id_bytes = 3,
				      .contract = contract_set_at(set, 0),
				      .position = 10,
				  };
	struct err why;

	(void)state;
	add(job, set, 10, 0, 0);
	err_set(&why, EINVAL, "k is \"odd\"");
	letter_make(&letter, contract_set_at(set, 0), &job->batches[0], &e,
		    &why);
	assert_int_equal(letter.position, TABLE_NO_POSITION);
	assert_true(letter.flagged);
	assert_int_equal(letter.id_bytes, 5);
	assert_memory_equal(letter.id,
			    "t\x1f"
			    "a\"b",
			    5);
	assert_int_equal(
	    strlen("{\"event_id\":\"a\\\"b\",\"event_type\":"
		   "\"dead_letter\",\"event_time\":\"" NOW_TEXT
		   "\",\"code\":\"not_a_row\",\"stage\":\"onelake-"
		   "writer\",\"received_at\":\"" NOW_TEXT
		   "\",\"stream\":\"t\",\"reason\":\"k is "
		   "\\\"odd\\\"\",\"original\":\"{\\\"event_id\\\":"
		   "\\\"a\\\\\\\"b\\\",\\\"k\\\":1}\"}"),
	    letter.bytes);
	assert_memory_equal(letter.line,
			    "{\"event_id\":\"a\\\"b\",\"event_type\":"
			    "\"dead_letter\",\"event_time\":\"" NOW_TEXT
			    "\",\"code\":\"not_a_row\",\"stage\":\"onelake-"
			    "writer\",\"received_at\":\"" NOW_TEXT
			    "\",\"stream\":\"t\",\"reason\":\"k is "
			    "\\\"odd\\\"\",\"original\":\"{\\\"event_id\\\":"
			    "\\\"a\\\\\\\"b\\\",\\\"k\\\":1}\"}",
			    letter.bytes);
	free((char *)(uintptr_t)letter.line);
	/* Without an identity it gets one of its bytes: always the same. */
	e.id_bytes = 0;
	letter_make(&letter, contract_set_at(set, 0), &job->batches[0], &e,
		    &why);
	assert_int_equal(letter.id_bytes, 2 + 32);
	assert_memory_equal(letter.line + strlen("{\"event_id\":\""),
			    letter.id + 2, 32);
	free((char *)(uintptr_t)letter.line);
	/* So does one whose own leaves no room for the stream. */
	e.id = text;
	e.id_bytes = UINT16_MAX;
	letter_make(&letter, contract_set_at(set, 0), &job->batches[0], &e,
		    &why);
	assert_int_equal(letter.id_bytes, 2 + 32);
	free((char *)(uintptr_t)letter.line);
	job_free(&job);
	contract_set_unref(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_what_comes_late_counts_as_flagged),
	    cmocka_unit_test(test_a_letter_says_what_and_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
