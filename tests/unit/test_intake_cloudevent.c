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

#define CE "\"specversion\":\"1.0\",\"id\":\"A-1\",\"source\":\"/shop\","

static void an_envelope_becomes_a_flat_event(void **state)
{
	struct taken *t = take_text(
	    set, INTAKE_CLOUDEVENT,
	    "{" CE "\"type\":\"order.placed\",\"time\":\"2026-01-31T10:00:00Z\""
	    ",\"datacontenttype\":\"application/json; charset=utf-8\","
	    "\"subject\":\"o\",\"partner\":7,\"dataschema\":null,"
	    "\"data\":{\"order_id\":\"o\",\"order_total\":1.10}}");
	char *line = line_of(t->batch, 0);

	(void)state;
	assert_string_equal(
	    line, "{\"event_id\":\"A-1\",\"event_source\":\"/shop\","
		  "\"event_type\":\"order.placed\",\"event_time\":"
		  "\"2026-01-31T10:00:00Z\",\"subject\":\"o\",\"partner\":7,"
		  "\"order_id\":\"o\",\"order_total\":1.10}");
	assert_string_equal(t->result.first_id, "A-1");
	free(line);
	taken_free(&t);
}

static void a_time_is_assigned_when_there_is_none(void **state)
{
	struct taken *t = take_text(set, INTAKE_CLOUDEVENT,
				    "{" CE "\"type\":\"order.placed\"}");
	char *line = line_of(t->batch, 0);

	(void)state;
	assert_string_equal(line, "{\"event_time\":\"" NOW_TEXT
				  "\",\"event_id\":\"A-1\",\"event_source\":"
				  "\"/shop\",\"event_type\":\"order.placed\"}");
	free(line);
	taken_free(&t);
}

struct coded {
	const char *body;
	const char *code;
};

static void bad_envelopes_are_refused(void **state)
{
	static const struct coded cases[] = {
	    {"{\"id\":\"1\",\"source\":\"s\",\"type\":\"order.placed\"}",
	     "bad_envelope"},
	    {"{\"specversion\":\"0.3\",\"id\":\"1\",\"source\":\"s\","
	     "\"type\":\"order.placed\"}",
	     "bad_envelope"},
	    {"{\"specversion\":1.0,\"id\":\"1\",\"source\":\"s\","
	     "\"type\":\"order.placed\"}",
	     "bad_envelope"},
	    {"{\"specversion\":\"1.0\",\"id\":\"\",\"source\":\"s\","
	     "\"type\":\"order.placed\"}",
	     "bad_envelope"},
	    {"{\"specversion\":\"1.0\",\"id\":5,\"source\":\"s\","
	     "\"type\":\"order.placed\"}",
	     "bad_envelope"},
	    {"{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":null,"
	     "\"type\":\"order.placed\"}",
	     "bad_envelope"},
	    {"{" CE "\"typo\":\"order.placed\"}", "bad_envelope"},
	    {"{" CE "\"type\":\"order.placed\",\"data\":[]}", "bad_envelope"},
	    {"{" CE "\"type\":\"order.placed\",\"data\":\"x\"}",
	     "bad_envelope"},
	    {"{" CE "\"type\":\"order.placed\",\"data_base64\":\"eA==\"}",
	     "bad_envelope"},
	    {"{" CE "\"type\":\"order.placed\",\"datacontenttype\":"
	     "\"text/plain\",\"data\":{}}",
	     "bad_envelope"},
	    {"{" CE "\"type\":\"order.placed\",\"ext\":{}}", "bad_envelope"},
	    {"{" CE "\"type\":\"order.placed\",\"id\":\"2\"}", "duplicate_key"},
	    {"{" CE "\"type\":\"order.placed\",\"data\":{\"event_id\":"
	     "\"x\"}}",
	     "duplicate_key"},
	    {"{" CE "\"type\":\"order.placed\",\"data\":{\"a\":1,\"a\":1}}",
	     "duplicate_key"},
	    {"{" CE "\"type\":\"order.placed\",\"time\":\"noon\"}",
	     "wrong_type"},
	    {"{" CE "\"type\":\"order.eaten\"}", "no_contract"},
	    {"{" CE "\"type\":\"order.placed\",\"data\":{\"order_total\":"
	     "\"x\"}}",
	     "wrong_type"},
	    {"{}", "bad_envelope"},
	    {"[]", "not_an_object"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *code =
		    code_of(set, INTAKE_CLOUDEVENT, cases[i].body);

		if (strcmp(code, cases[i].code) != 0)
			fail_msg("%s: %s, not %s", cases[i].body, code,
				 cases[i].code);
	}
}

static void an_id_that_is_no_guid_is_kept(void **state)
{
	struct contract_set *own = set_of_text(
	    "name = \"t\"; version = 1; doc = \"d\";"
	    "match = { event_type = \"t\"; }; identity = [\"event_id\"];"
	    "unknown_fields = \"drop\"; fields = ("
	    "{ name = \"event_id\"; type = \"guid\"; },"
	    "{ name = \"event_type\"; type = \"string\"; });");

	(void)state;
	assert_string_equal(
	    code_of(own, INTAKE_CLOUDEVENT, "{" CE "\"type\":\"t\"}"), "ok");
	assert_string_equal(
	    code_of(own, INTAKE_ONE,
		    "{\"event_id\":\"A-1\",\"event_type\":\"t\"}"),
	    "wrong_type");
	contract_set_unref(&own);
}

static void a_batch_of_envelopes_is_a_list(void **state)
{
	struct taken *t =
	    take_text(set, INTAKE_CLOUDEVENT_BATCH,
		      "[{" CE "\"type\":\"order.placed\"},{},"
		      "{" CE "\"type\":\"ai.recommendation\",\"data\":{}}]");

	(void)state;
	assert_int_equal(t->result.accepted, 2);
	assert_int_equal(t->result.errors[0].index, 1);
	assert_int_equal(t->result.errors[0].code, INTAKE_BAD_ENVELOPE);
	taken_free(&t);
	t = take_text(set, INTAKE_CLOUDEVENT_BATCH, "{}");
	assert_true(t->result.malformed);
	taken_free(&t);
}

#define ATTRIBUTE(name, value)                 \
	{                                      \
		name, value, sizeof(value) - 1 \
	}

static struct taken *take_binary(const struct intake_attribute *attributes,
				 uint32_t count, const char *body)
{
	const struct intake_request request = {
	    .form = INTAKE_ONE,
	    .body = body,
	    .bytes = strlen(body),
	    .max_events = 1,
	    .now_us = NOW_US,
	    .attributes = attributes,
	    .attribute_count = count,
	};

	return take_request(set, &request);
}

static void headers_make_an_envelope(void **state)
{
	const struct intake_attribute attributes[] = {
	    ATTRIBUTE("specversion", "1.0"),
	    ATTRIBUTE("id", "caf%C3%A9 \"1\""),
	    ATTRIBUTE("type", "order.placed"),
	    ATTRIBUTE("source", "/shop"),
	    ATTRIBUTE("time", "2026-01-31T10:00:00Z"),
	    ATTRIBUTE("ext", "100%"),
	};
	struct taken *t = take_binary(attributes, 6, "{\"order_id\" : \"o\"}");
	char *line = line_of(t->batch, 0);

	(void)state;
	assert_string_equal(
	    line, "{\"event_id\":\"café \\\"1\\\"\",\"event_type\":"
		  "\"order.placed\",\"event_source\":\"/shop\",\"event_time\":"
		  "\"2026-01-31T10:00:00Z\",\"ext\":\"100%\",\"order_id\":"
		  "\"o\"}");
	assert_string_equal(t->result.first_id, "café \"1\"");
	free(line);
	taken_free(&t);
	t = take_binary(attributes, 5, "");
	assert_int_equal(t->result.accepted, 1);
	taken_free(&t);
}

static void bad_headers_are_refused(void **state)
{
	const struct intake_attribute attributes[] = {
	    ATTRIBUTE("specversion", "1.0"),
	    ATTRIBUTE("id", "\xff"),
	    ATTRIBUTE("type", "order.placed"),
	    ATTRIBUTE("source", "/shop"),
	};
	struct taken *t = take_binary(attributes, 4, "{}");

	(void)state;
	assert_int_equal(t->result.errors[0].code, INTAKE_BAD_ENVELOPE);
	taken_free(&t);
	t = take_binary(attributes, 1, "{}");
	assert_int_equal(t->result.errors[0].code, INTAKE_BAD_ENVELOPE);
	taken_free(&t);
	t = take_binary(attributes, 0, "{}");
	assert_int_equal(t->result.errors[0].code, INTAKE_BAD_ENVELOPE);
	taken_free(&t);
	/* A body cannot close the data and go on as the envelope. */
	t = take_binary(attributes, 4, "{},\"x\":{}");
	assert_true(t->result.malformed);
	taken_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_envelope_becomes_a_flat_event),
	    cmocka_unit_test(a_time_is_assigned_when_there_is_none),
	    cmocka_unit_test(bad_envelopes_are_refused),
	    cmocka_unit_test(an_id_that_is_no_guid_is_kept),
	    cmocka_unit_test(a_batch_of_envelopes_is_a_list),
	    cmocka_unit_test(headers_make_an_envelope),
	    cmocka_unit_test(bad_headers_are_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
