/* Intake that maps: the bytes that the mapper would write, without it.
 * LINK: services/generator/events.c services/generator/families.c
 * LINK: services/generator/members.c
 */
#include "services/generator/events.h"
#include "tests/unit/test_contract_help.h"

#define EVENT(members)                                              \
	"{\"event_id\":\"e1\",\"event_type\":\"t\",\"event_time\":" \
	"\"2026-01-31T10:00:00Z\"" members "}"

/* Events that are mapped as they come in. */
static struct taken *take_counted(struct contract_set *set,
				  enum intake_form form, const char *body,
				  struct mapper_counts *counts)
{
	const struct intake_request request = {
	    .form = form,
	    .body = body,
	    .bytes = strlen(body),
	    .max_events = 1000,
	    .now_us = NOW_US,
	    .map = true,
	};

	return take_once(set, &request, counts);
}

static struct taken *take_mapped(struct contract_set *set,
				 enum intake_form form, const char *body)
{
	return take_counted(set, form, body, NULL);
}

/* take_text() compares; the line is what both ways gave. */
static char *alike(const char *contract, const char *body)
{
	struct contract_set *set = set_of_text(contract);
	struct taken *raw = take_text(set, INTAKE_BATCH, body);
	struct taken *t = take_mapped(set, INTAKE_BATCH, body);
	char *line = NULL;

	assert_true(raw->result.accepted > 0);
	if (t->result.accepted)
		line = line_of(t->batch, 0);
	taken_free(&raw);
	taken_free(&t);
	contract_set_unref(&set);
	return line;
}

/* A body of generated events; with a line break in each, none can be copied. */
static void put_generated(struct events *events, bool breaks, struct buf *body)
{
	struct buf one = {0};
	char id[UUID_TEXT_BYTES];

	for (int i = 0; i < 200; i++) {
		buf_clear(&one);
		events_next(events, &one, id);
		buf_text(body, i ? "," : "[");
		buf_append(body, one.data, 1);
		if (breaks && one.data[0] == '{')
			buf_char(body, '\n');
		buf_append(body, one.data + 1, one.used - 1);
	}
	buf_char(body, ']');
	buf_free(&one);
}

static void generated_events_are_mapped_alike(void **state)
{
	struct contract_set *set = set_of_folder("etc/contracts");
	struct events *events = events_new(7, NOW_US, 0.05);

	(void)state;
	for (int round = 0; round < 50; round++) {
		struct buf body = {0};
		struct taken *t;

		put_generated(events, round % 2, &body);
		t = take_text(set, INTAKE_BATCH, buf_str(&body));
		assert_true(t->result.accepted > 150);
		taken_free(&t);
		buf_free(&body);
	}
	events_free(&events);
	contract_set_unref(&set);
}

static void events_of_any_layout_are_mapped_alike(void **state)
{
	static const char *const bodies[] = {
	    "[" EVENT("") "]",
	    "[ { \"event_type\" : \"t\" , \"k\":\"v\" , \"u\" : [ 1 , 2 ] } ]",
	    "[{\"event_type\":\"t\"}]",
	    "[{ \"event_type\":\"t\"}]",
	    "[{\"event_type\":\"t\",\"event_id\":null,\"u\":{\"a\": 1}}]",
	    "[{\"event_type\":\"t\",\n\"k\":\"v\",\"u\":{\"a\":\n1}}]",
	    "[{\"event_type\":\"t\",\"k\":\"v\"},\n{\"event_type\":\"t\"}]",
	    "[{\"event_type\":\"t\",\"data\":{\"k\":\"v\",\"u\":1}}]",
	    "[{\"data\":{\"event_type\":\"t\",\"k\":\"v\",\"u\":1},\"w\":2}]",
	    "[" EVENT(",\"k\":\"\\u0041\",\"\\u006d\":\"jane@x.y\"") "]",
	    "[" EVENT(",\"m\":\"jane\",\"u\":1,\"custom_properties\":{}") "]",
	    "[" EVENT(",\"m\":null,\"f\":99,\"d\":null,\"p\":1.00000051") "]",
	    "[" EVENT(",\"f\":\"x\",\"g\":5,\"d\":7,\"r\":true,\"now\":1") "]",
	    "[" EVENT(",\"p\":\"0.30000000000000004\"") "]",
	    "[" EVENT(",\"r\":\"sent\",\"A\":\"b\",\"t\":\"\\ud83d\\ude00xyz\""
		      ",\"l\":\"4111111111111234\"") "]",
	};
	static const char contract[] = HEAD
	    ",{ name = \"m\"; type = \"string\"; mask = \"hash\"; },"
	    "{ name = \"l\"; type = \"string\"; mask = \"last4\"; },"
	    "{ name = \"t\"; type = \"string\"; mask = \"truncate\"; "
	    "mask_keep = 2; },"
	    "{ name = \"r\"; type = \"boolean\"; mask = \"redact\"; "
	    "on_violation = \"null\"; },"
	    "{ name = \"f\"; type = \"int\"; max = 5; "
	    "on_violation = \"flag\"; },"
	    "{ name = \"g\"; type = \"string\"; on_violation = \"flag\"; },"
	    "{ name = \"d\"; type = \"int\"; default = 8; "
	    "default_null = true; },"
	    "{ name = \"p\"; type = \"decimal(18,6)\"; round = true; },"
	    "{ name = \"a\"; type = \"string\"; from = \"A\"; },"
	    "{ name = \"now\"; type = \"datetime\"; value = \"now\"; }" TAIL;

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++)
		free(alike(contract, bodies[i]));
}

static void gathered_fields_and_uuids_are_mapped_alike(void **state)
{
	static const char *const bodies[] = {
	    "[" EVENT(",\"x\":{\"y\":\"Y\",\"w\":[1, {}]},\"k\":\"v\"") "]",
	    "[" EVENT(",\"z\":\"Z\",\"x\":{\"y\":null}") "]",
	    "[{\"event_type\":\"t\",\"ts\":\"2026-01-31T10:00:00Z\"}]",
	    "[{\"event_type\":\"t\",\"x\":{\"w\":{\n}}}]",
	};
	static const char contract[] = HEAD
	    ",{ name = \"b\"; type = \"string\"; from = [\"x.y\", \"z\"]; },"
	    "{ name = \"c\"; type = \"dynamic\"; from = \"x.w\"; }" TAIL;
	/* Its UUID is made from the whole line: there is no identity. */
	static const char unnamed[] =
	    "name = \"t\"; version = 1; doc = \"d\";"
	    "match = { event_type = \"t\"; }; unknown_fields = \"drop\";"
	    "identity = [\"i\"]; fields = ("
	    "{ name = \"i\"; type = \"string\"; },"
	    "{ name = \"event_type\"; type = \"string\"; },"
	    "{ name = \"u\"; type = \"guid\"; value = \"uuid\"; });";

	/* What is assigned goes by a path, and into the UUID. */
	static const char timed[] =
	    "name = \"t\"; version = 1; doc = \"d\";"
	    "match = { event_type = \"t\"; }; unknown_fields = \"drop\";"
	    "identity = [\"i\"]; fields = ("
	    "{ name = \"i\"; type = \"string\"; },"
	    "{ name = \"event_time\"; type = \"datetime\"; },"
	    "{ name = \"event_source\"; type = \"string\"; },"
	    "{ name = \"u\"; type = \"guid\"; value = \"uuid\"; });";
	static const char by_path[] =
	    "name = \"t\"; version = 1; doc = \"d\";"
	    "match = { event_type = \"t\"; }; unknown_fields = \"drop\";"
	    "identity = [\"event_type\"]; fields = ("
	    "{ name = \"event_type\"; type = \"string\"; },"
	    "{ name = \"event_time\"; type = \"datetime\"; "
	    "from = [\"a.b\", \"ts\"]; });";

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++)
		free(alike(contract, bodies[i]));
	free(alike(by_path, "[{\"event_type\":\"t\",\"a\":1}]"));
	free(alike(unnamed, "[{\"event_type\":\"t\",\"k\":1}]"));
	free(alike(unnamed, "[{\"event_type\":\"t\",\"i\":\"a\"}]"));
	free(alike(timed, "[{\"event_type\":\"t\",\"x\":1}]"));
}

static void a_masked_identity_is_mapped_alike(void **state)
{
	static const char contract[] =
	    "name = \"t\"; version = 1; doc = \"d\";"
	    "match = { event_type = \"t\"; };"
	    "identity = [\"mail\", \"event_type\"]; partition_key = \"mail\";"
	    "unknown_fields = \"drop\"; fields = ("
	    "{ name = \"event_type\"; type = \"string\"; },"
	    "{ name = \"mail\"; type = \"string\"; mask = \"hash\"; });";

	(void)state;
	free(alike(contract, "[{\"event_type\":\"t\",\"mail\":\"a@b.c\"}]"));
	free(
	    alike(contract, "[{\"event_type\":\"t\",\"mail\":\"a\\u0040b\"}]"));
	free(alike(contract, "[{\"event_type\":\"t\"}]"));
}

static void nothing_unmasked_is_in_the_batch(void **state)
{
	struct contract_set *set = set_of_folder("etc/contracts");
	struct taken *t = take_mapped(
	    set, INTAKE_NDJSON,
	    "{\"event_type\":\"order.placed\",\"customer_name\":\"Jane\"}\n"
	    "{\"event_type\":\"order.placed\",\"data\":"
	    "{\"customer_name\":\"J\\u0061ne\"}}\n"
	    "{\"event_type\":\"order.placed\",\"customer_name\":null}\n");

	(void)state;
	assert_int_equal(t->result.accepted, 3);
	assert_null(memmem(t->batch->payload, t->batch->header.payload_bytes,
			   "Jane", 4));
	assert_null(memmem(t->batch->payload, t->batch->header.payload_bytes,
			   "u0061ne", 7));
	taken_free(&t);
	contract_set_unref(&set);
}

#define COPIES 10

/* Unmapped it would be accepted, and become a dead letter on its way. */
static void what_cannot_be_mapped_is_refused_and_not_counted(void **state)
{
	struct buf contract = {0}, body = {0};
	struct mapper_counts counts;
	struct contract_set *set;
	struct taken *t;

	(void)state;
	buf_text(&contract, HEAD ",{ name = \"m\"; type = \"string\"; "
				 "mask = \"hash\"; }");
	for (int i = 0; i < COPIES; i++)
		buf_printf(&contract,
			   ",{ name = \"f%d\"; type = \"string\"; "
			   "from = \"x.y\"; }",
			   i);
	buf_text(&contract, TAIL);
	set = set_of_text(buf_str(&contract));
	buf_text(&body, "[" EVENT(",\"m\":\"jane\",\"x\":{\"y\":\""));
	body.used -= 1; /* the event goes on */
	buf_reserve(&body, 900000);
	memset(body.data + body.used, 'y', 900000);
	body.used += 900000;
	buf_text(&body, "\"}}," EVENT(",\"m\":\"joe\"") "]");
	t = take_counted(set, INTAKE_BATCH, buf_str(&body), &counts);
	assert_int_equal(t->result.accepted, 1);
	assert_int_equal(t->result.rejected, 1);
	assert_int_equal(counts.masked, 1);
	assert_int_equal(counts.mapped, 1);
	assert_int_equal(t->result.errors[0].index, 0);
	assert_int_equal(t->result.errors[0].code, INTAKE_TOO_LARGE);
	assert_int_equal(t->batch->header.events, 1);
	taken_free(&t);
	/* The other way round it is one accepted, and a dead letter later. */
	t = take_text(set, INTAKE_BATCH, buf_str(&body));
	assert_int_equal(t->result.accepted, 2);
	taken_free(&t);
	buf_free(&body);
	buf_free(&contract);
	contract_set_unref(&set);
}

/* Nobody seals here: what does not fit is refused, never written too far. */
static void a_full_batch_refuses_what_grows_into_it(void **state)
{
	struct contract_set *set;
	struct buf body = {0}, contract = {0};
	struct taken *t;

	(void)state;
	buf_text(&contract, HEAD);
	for (int i = 0; i < 400; i++)
		buf_printf(&contract,
			   ",{ name = \"f%d\"; type = \"string\"; "
			   "default = \"%064d\"; }",
			   i, i);
	buf_text(&contract, TAIL);
	set = set_of_text(buf_str(&contract));
	for (int i = 0; i < 1000; i++)
		buf_text(&body, "{\"event_type\":\"t\"}\n");
	t = take_mapped(set, INTAKE_NDJSON, buf_str(&body));
	assert_true(t->result.accepted > 500);
	assert_true(t->result.rejected > 100);
	assert_int_equal(t->result.errors[0].code, INTAKE_TOO_MANY);
	assert_true(t->batch->header.payload_bytes < BATCH_MAX_PAYLOAD_BYTES);
	taken_free(&t);
	buf_free(&body);
	buf_free(&contract);
	contract_set_unref(&set);
}

static void the_limit_of_an_event_is_that_of_what_was_sent(void **state)
{
	struct contract_set *set = set_of_text(HEAD TAIL);
	/* With its id and time it is just short of a million bytes, or not. */
	static const int lengths[] = {999860, 999990};

	(void)state;
	for (int i = 0; i < 2; i++) {
		char *text = xmalloc(1000001), *body;
		struct taken *t;

		memset(text, 'x', 1000000);
		text[lengths[i] - 21] = '\0';
		body = xasprintf("{\"event_type\":\"t\",\"u\":\"%s\"}", text);
		t = take_text(set, INTAKE_ONE, body);
		assert_int_equal(t->result.accepted, i == 0);
		taken_free(&t);
		t = take_mapped(set, INTAKE_ONE, body);
		assert_int_equal(t->result.accepted, i == 0);
		if (i)
			assert_int_equal(t->result.errors[0].code,
					 INTAKE_TOO_LARGE);
		taken_free(&t);
		free(text);
		free(body);
	}
	contract_set_unref(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(generated_events_are_mapped_alike),
	    cmocka_unit_test(events_of_any_layout_are_mapped_alike),
	    cmocka_unit_test(gathered_fields_and_uuids_are_mapped_alike),
	    cmocka_unit_test(a_masked_identity_is_mapped_alike),
	    cmocka_unit_test(nothing_unmasked_is_in_the_batch),
	    cmocka_unit_test(what_cannot_be_mapped_is_refused_and_not_counted),
	    cmocka_unit_test(a_full_batch_refuses_what_grows_into_it),
	    cmocka_unit_test(the_limit_of_an_event_is_that_of_what_was_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
