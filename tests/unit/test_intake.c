#include "tests/unit/test_contract_help.h"

static struct contract_set *set;

static int setup(void **state)
{
	(void)state;
	set = set_of_folder("etc/contracts");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	contract_set_unref(&set);
	return 0;
}

#define GOOD                                                               \
	"{\"event_id\":\"e1\",\"event_type\":\"order.placed\","            \
	"\"event_source\":\"store-front\",\"event_time\":\"2026-01-31T10:" \
	"00:00+00:00\",\"order_id\":\"o-7\",\"order_total\":12.50}"

static void assert_slice(const struct batch *b, uint32_t offset, uint32_t bytes,
			 const char *text)
{
	assert_int_equal(bytes, strlen(text));
	assert_memory_equal(b->payload + offset, text, bytes);
}

static void an_event_keeps_its_bytes_and_is_indexed(void **state)
{
	struct taken *t = take_text(set, INTAKE_ONE, GOOD);
	const struct batch_event *e = t->batch->events;
	char name[BATCH_STREAM_NAME_BYTES + 1];
	char *line = line_of(t->batch, 0);

	(void)state;
	assert_string_equal(line, GOOD);
	assert_string_equal(batch_stream(t->batch, e->stream, name), "order");
	assert_slice(t->batch, e->id_offset, e->id_bytes, "e1");
	assert_slice(t->batch, e->key_offset, e->key_bytes, "o-7");
	assert_slice(t->batch, e->type_offset, e->type_bytes, "order.placed");
	assert_true(e->key_hash != 0);
	assert_int_equal(e->version, 1);
	assert_string_equal(t->result.first_id, "e1");
	free(line);
	taken_free(&t);
}

static void id_time_and_source_are_assigned_when_missing(void **state)
{
	const char *body = "{\"event_type\":\"product.viewed\"}";
	struct intake_request request = {
	    .form = INTAKE_ONE,
	    .body = body,
	    .bytes = strlen(body),
	    .max_events = 1,
	    .now_us = NOW_US,
	    .source = "shop",
	};
	struct taken *t = take_request(set, &request);
	char *line, *wanted;

	(void)state;
	assert_int_equal(t->result.accepted, 1);
	line = line_of(t->batch, 0);
	wanted = xasprintf("{\"event_id\":\"%s\",\"event_time\":\"" NOW_TEXT
			   "\",\"event_source\":\"shop\","
			   "\"event_type\":\"product.viewed\"}",
			   t->result.first_id);
	assert_string_equal(line, wanted);
	assert_int_equal(strlen(t->result.first_id), 36);
	assert_slice(t->batch, t->batch->events[0].id_offset,
		     t->batch->events[0].id_bytes, t->result.first_id);
	free(line);
	free(wanted);
	taken_free(&t);
}

static void a_null_id_is_replaced_not_doubled(void **state)
{
	struct taken *t =
	    take_text(set, INTAKE_ONE,
		      "{\"event_id\":null,\"event_type\":\"product.viewed\","
		      "\"event_source\":\"s\",\"event_time\":null}");
	char *line, *wanted;

	(void)state;
	line = line_of(t->batch, 0);
	wanted = xasprintf("{\"event_id\":\"%s\",\"event_time\":\"" NOW_TEXT
			   "\",\"event_type\":\"product.viewed\","
			   "\"event_source\":\"s\"}",
			   t->result.first_id);
	assert_string_equal(line, wanted);
	free(line);
	free(wanted);
	taken_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_event_keeps_its_bytes_and_is_indexed),
	    cmocka_unit_test(id_time_and_source_are_assigned_when_missing),
	    cmocka_unit_test(a_null_id_is_replaced_not_doubled),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
