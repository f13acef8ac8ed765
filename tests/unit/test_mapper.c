#include <openssl/evp.h>
#include <openssl/hmac.h>
#define XXH_INLINE_ALL
#include <xxhash.h>
#include <yyjson.h>

#include "contract/mapper.h"
#include "tests/unit/test_contract_help.h"

#define EVENT(members)                                              \
	"{\"event_id\":\"e1\",\"event_type\":\"t\",\"event_time\":" \
	"\"2026-01-31T10:00:00Z\"" members "}"

/* The mapped line of one event under one contract; owned by the caller. */
static char *map_text(const char *contract, const char *event)
{
	struct contract_set *set = set_of_text(contract);
	struct taken *t = take_text(set, INTAKE_ONE, event);
	struct batch *out;
	char *line;

	if (t->result.error_count)
		print_error("%s\n", t->result.errors[0].text);
	assert_int_equal(t->result.accepted, 1);
	out = map_batch(set, t->batch, NULL);
	line = line_of(out, 0);
	batch_unref(&out);
	taken_free(&t);
	contract_set_unref(&set);
	return line;
}

static void assert_maps(const char *contract, const char *event,
			const char *wanted)
{
	char *line = map_text(contract, event);

	assert_string_equal(line, wanted);
	free(line);
}

/* A contract whose events grow by far: n hashed fields. */
static char *hashed_fields(int n)
{
	struct buf text = {0};
	char *owned;

	buf_text(&text, HEAD);
	for (int i = 0; i < n; i++)
		buf_printf(&text,
			   ",{ name = \"h%d\"; type = \"string\"; "
			   "mask = \"hash\"; }",
			   i);
	buf_text(&text, TAIL);
	owned = xstrdup(buf_str(&text));
	buf_free(&text);
	return owned;
}

static char *hashed_events(int n, int count)
{
	struct buf text = {0};
	char *owned;

	for (int k = 0; k < count; k++) {
		buf_printf(&text, "{\"event_type\":\"t\"");
		for (int i = 0; i < n; i++)
			buf_printf(&text, ",\"h%d\":\"a\"", i);
		buf_text(&text, "}\n");
	}
	owned = xstrdup(buf_str(&text));
	buf_free(&text);
	return owned;
}

/* 20,000 events that would be 57 MB when mapped. */
static void no_input_overfills_a_batch(void **state)
{
	char *contract = hashed_fields(40), *body = hashed_events(40, 20000);
	struct contract_set *set = set_of_text(contract);
	struct intake_request request = {.form = INTAKE_NDJSON,
					 .body = body,
					 .bytes = strlen(body),
					 .max_events = 20000,
					 .now_us = NOW_US};
	struct taken *t = take_request(set, &request);
	struct mapper_counts counts;
	struct batch *out;
	char *line;

	(void)state;
	assert_int_equal(t->result.accepted, 20000);
	out = map_batch(set, t->batch, &counts);
	assert_int_equal(out->header.events, 20000);
	assert_true(counts.mapped > 5000);
	assert_true(counts.dead_letters > 1000);
	line = line_of(out, 19999);
	assert_non_null(strstr(line, "\"code\":\"event_too_large\""));
	assert_true(strlen(line) < 448);
	free(line);
	batch_unref(&out);
	taken_free(&t);
	contract_set_unref(&set);
	free(contract);
	free(body);
}

struct parts {
	struct contract_set *set;
	struct batch_builder *w;
	uint32_t events, dead_letters;
	uint32_t batches;
	size_t largest;
};

static void map_part(struct parts *p)
{
	struct batch_header header = {.created_at_us = NOW_US};
	struct batch *in = batch_builder_seal(p->w, &header), *out;
	struct mapper_counts counts;

	out = map_batch(p->set, in, &counts);
	p->events += out->header.events;
	p->dead_letters += (uint32_t)counts.dead_letters;
	p->batches++;
	if (out->header.payload_bytes > p->largest)
		p->largest = out->header.payload_bytes;
	batch_unref(&in);
	batch_unref(&out);
}

static bool seal_in_limits(void *arg)
{
	struct parts *p = arg;
	const struct contract_batch_limits l =
	    contract_set_batch_limits(p->set);

	if (batch_builder_events(p->w) < l.events &&
	    batch_builder_bytes(p->w) < l.bytes)
		return false;
	map_part(p);
	return true;
}

/* The same, sealed when the set says so: nothing is lost to size. */
static void batches_in_the_limits_always_fit(void **state)
{
	char *contract = hashed_fields(200), *body = hashed_events(200, 5000);
	struct parts p = {.set = set_of_text(contract),
			  .w = batch_builder_new()};
	const struct intake_observer observer = {NULL, seal_in_limits, &p};
	struct intake_request request = {.form = INTAKE_NDJSON,
					 .body = body,
					 .bytes = strlen(body),
					 .max_events = 5000,
					 .now_us = NOW_US};
	struct intake_result *result = xcalloc(1, sizeof(*result));
	struct intake *in = intake_new();

	(void)state;
	intake_body(in, p.set, &request, &observer, p.w, result);
	map_part(&p);
	assert_int_equal(result->accepted, 5000);
	assert_int_equal(p.events, 5000);
	assert_int_equal(p.dead_letters, 0);
	assert_true(p.batches > 3);
	assert_true(p.largest > 1 << 20);
	assert_true(p.largest < BATCH_MAX_PAYLOAD_BYTES / 2);
	intake_free(&in);
	free(result);
	batch_builder_free(&p.w);
	contract_set_unref(&p.set);
	free(contract);
	free(body);
}

static void what_needs_no_change_is_copied(void **state)
{
	struct contract_set *set = set_of_text(HEAD TAIL);
	struct taken *t = take_text(
	    set, INTAKE_ONE,
	    "{ \"event_id\" : \"e1\",\"event_type\":\"t\",\"k\":\"\\u0041\","
	    "\"event_time\":\"2026-01-31T10:00:00Z\"}");
	struct mapper_counts counts;
	struct batch *out = map_batch(set, t->batch, &counts);
	char *line = line_of(out, 0);
	const struct batch_event *e = &out->events[0];

	(void)state;
	assert_string_equal(
	    line,
	    "{ \"event_id\" : \"e1\",\"event_type\":\"t\",\"k\":\"\\u0041\","
	    "\"event_time\":\"2026-01-31T10:00:00Z\"}");
	assert_int_equal(counts.copied, 1);
	assert_int_equal(counts.mapped, 0);
	assert_int_equal(e->key_bytes, 1);
	assert_memory_equal(out->payload + e->key_offset, "A", 1);
	assert_int_equal(e->key_hash, t->batch->events[0].key_hash);
	assert_int_equal(e->id_bytes, 2);
	assert_memory_equal(out->payload + e->id_offset, "e1", 2);
	free(line);
	batch_unref(&out);
	taken_free(&t);
	contract_set_unref(&set);
}

static void numbers_and_strings_stay_as_sent(void **state)
{
	(void)state;
	assert_maps(
	    HEAD ",{ name = \"a\"; type = \"decimal(20,6)\"; },"
		 "{ name = \"b\"; type = \"decimal(20,6)\"; },"
		 "{ name = \"c\"; type = \"double\"; },"
		 "{ name = \"d\"; type = \"int\"; },"
		 "{ name = \"e\"; type = \"long\"; },"
		 "{ name = \"f\"; type = \"string\"; },"
		 "{ name = \"x\"; type = \"string\"; default = \"y\"; }" TAIL,
	    EVENT(",\"a\":\"12345678901234.123456\",\"b\":1.10,\"c\":1e3,"
		  "\"d\":-0,\"e\":9007199254740993,"
		  "\"f\":\"\\ud83d\\ude00\\u00e9é😀\\/\\n\""),
	    EVENT(",\"a\":\"12345678901234.123456\",\"b\":1.10,\"c\":1e3,"
		  "\"d\":-0,\"e\":9007199254740993,"
		  "\"f\":\"\\ud83d\\ude00\\u00e9é😀\\/\\n\",\"x\":\"y\""));
}

#define ROUNDED \
	HEAD ",{ name = \"p\"; type = \"decimal(18,6)\"; round = true; }" TAIL

static void fine_decimals_are_rounded_and_others_stay_as_sent(void **state)
{
	static const char *const values[][2] = {
	    {"0.30000000000000004", "0.300000"},
	    {"\"12.499999999999998\"", "\"12.500000\""},
	    {"\"\\u0031.00000051\"", "\"1.000001\""},
	    {"-9.9999995", "-10.000000"},
	    {"0.0000005", "0.000000"},
	    {"0.0000015", "0.000002"},
	    {"1e-9", "0.000000"},
	    {"1.10", "1.10"},
	    {"\"1.10\"", "\"1.10\""},
	    {"1.100000000", "1.100000000"},
	    {"1.5e3", "1.5e3"},
	    {"-0", "-0"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		char *event =
		    xasprintf(EVENT(",\"p\":%s,\"k\":\"v\""), values[i][0]);
		char *wanted =
		    xasprintf(EVENT(",\"p\":%s,\"k\":\"v\""), values[i][1]);

		assert_maps(ROUNDED, event, wanted);
		free(event);
		free(wanted);
	}
	/* Behind a path and another name, and where it is flagged. */
	assert_maps(HEAD ",{ name = \"p\"; type = \"decimal(5,2)\"; "
			 "round = true; from = \"P\"; },"
			 "{ name = \"q\"; type = \"decimal(5,2)\"; "
			 "round = true; from = \"x.q\"; },"
			 "{ name = \"r\"; type = \"decimal(5,2)\"; max = 1; "
			 "round = true; on_violation = \"flag\"; }" TAIL,
		    EVENT(",\"P\":0.125,\"x\":{\"q\":\"2.675\"},"
			  "\"r\":1.006"),
		    EVENT(",\"p\":0.12,\"r\":1.01,\"q\":\"2.68\","
			  "\"dq_flags\":\"r:out_of_range\""));
}

static void a_rounding_field_costs_no_copy_when_nothing_is_rounded(void **state)
{
	struct contract_set *set = set_of_text(ROUNDED);
	struct taken *t =
	    take_text(set, INTAKE_ONE, EVENT(",\"p\":1.10,\"k\":\"v\""));
	struct mapper_counts counts;
	struct batch *out = map_batch(set, t->batch, &counts);

	(void)state;
	assert_int_equal(counts.copied, 1);
	assert_int_equal(counts.mapped, 0);
	batch_unref(&out);
	taken_free(&t);
	contract_set_unref(&set);
}

static void nulls_are_left_out_or_kept_or_defaulted(void **state)
{
	(void)state;
	assert_maps(
	    HEAD ",{ name = \"a\"; type = \"int\"; },"
		 "{ name = \"b\"; type = \"int\"; nulls = \"emit\"; },"
		 "{ name = \"c\"; type = \"int\"; default = 7; },"
		 "{ name = \"d\"; type = \"int\"; default = 8; "
		 "default_null = true; }" TAIL,
	    EVENT(",\"a\":null,\"b\":null,\"c\":null,\"d\":null,\"k\":\"v\""),
	    EVENT(",\"b\":null,\"k\":\"v\",\"d\":8"));
	assert_maps("nulls = \"emit\";" HEAD TAIL,
		    EVENT(",\"k\":null,\"custom_properties\":null"),
		    EVENT(",\"k\":null,\"custom_properties\":null"));
}

static void fields_are_renamed_and_gathered(void **state)
{
	(void)state;
	assert_maps(
	    HEAD ",{ name = \"a\"; type = \"int\"; from = \"A\"; },"
		 "{ name = \"b\"; type = \"string\"; "
		 "from = [\"x.y\", \"z\"]; },"
		 "{ name = \"c\"; type = \"dynamic\"; from = \"x.w\"; }" TAIL,
	    EVENT(",\"A\":1,\"k\":\"v\",\"x\":{\"w\":[1, {}],\"y\":\"Y\"}"),
	    EVENT(",\"a\":1,\"k\":\"v\",\"b\":\"Y\",\"c\":[1, {}]"));
	assert_maps(HEAD ",{ name = \"b\"; type = \"boolean\"; "
			 "from = [\"x.y\", \"z\"]; }" TAIL,
		    EVENT(",\"x\":{\"y\":null},\"z\":true,\"k\":\"v\""),
		    EVENT(",\"k\":\"v\",\"b\":true"));
}

static void what_is_assigned_goes_by_the_name_of_the_member(void **state)
{
	char *line = map_text(
	    "name = \"t\"; version = 1; doc = \"d\";"
	    "match = { event_type = \"t\"; }; identity = [\"event_id\"];"
	    "unknown_fields = \"reject\"; fields = ("
	    "{ name = \"event_id\"; type = \"guid\"; from = \"id\"; "
	    "required = true; },"
	    "{ name = \"event_type\"; type = \"string\"; },"
	    "{ name = \"event_time\"; type = \"datetime\"; "
	    "from = [\"a.b\", \"ts\"]; required = true; });",
	    "{\"event_type\":\"t\"}");

	(void)state;
	assert_memory_equal(line, "{\"event_id\":\"", 13);
	assert_non_null(strstr(
	    line, "\"event_type\":\"t\",\"event_time\":\"" NOW_TEXT "\"}"));
	free(line);
}

static void unknown_members_go_into_the_column(void **state)
{
	(void)state;
	assert_maps(HEAD TAIL, EVENT(",\"u\":1,\"k\":\"v\",\"w\":{\"a\":[]}"),
		    EVENT(",\"k\":\"v\",\"custom_properties\":{\"u\":1,"
			  "\"w\":{\"a\":[]}}"));
	assert_maps(HEAD TAIL,
		    EVENT(",\"custom_properties\":{\"u\":\"mine\"},\"u\":1,"
			  "\"w\":2"),
		    EVENT(",\"custom_properties\":{\"u\":\"mine\",\"w\":2}"));
	assert_maps(HEAD TAIL, EVENT(",\"custom_properties\":{},\"u\":1"),
		    EVENT(",\"custom_properties\":{\"u\":1}"));
	assert_maps("unknown_fields = \"drop\";" HEAD TAIL,
		    EVENT(",\"u\":1,\"k\":\"v\",\"w\":{\"a\":[]}"),
		    EVENT(",\"k\":\"v\""));
}

static void violations_flag_or_null(void **state)
{
	(void)state;
	assert_maps(
	    HEAD ",{ name = \"a\"; type = \"int\"; max = 5; "
		 "on_violation = \"flag\"; },"
		 "{ name = \"b\"; type = \"int\"; on_violation = \"flag\"; },"
		 "{ name = \"c\"; type = \"int\"; on_violation = \"null\"; },"
		 "{ name = \"d\"; type = \"string\"; max_length = 2; "
		 "on_violation = \"flag\"; }" TAIL,
	    EVENT(",\"a\":9,\"b\":\"x\",\"c\":1.5,\"d\":\"abc\",\"k\":\"v\""),
	    EVENT(",\"a\":9,\"d\":\"abc\",\"k\":\"v\",\"dq_flags\":"
		  "\"a:out_of_range,b:wrong_type,d:too_long\""));
}

static void values_are_made_from_batch_and_event(void **state)
{
	(void)state;
	char *line = map_text(
	    HEAD ",{ name = \"at\"; type = \"datetime\"; value = \"now\"; },"
		 "{ name = \"site\"; type = \"string\"; value = \"const\"; "
		 "const = \"a\\\"b\"; },"
		 "{ name = \"u\"; type = \"guid\"; value = \"uuid\"; }" TAIL,
	    EVENT(",\"site\":\"sent\""));
	char *again = map_text(
	    HEAD ",{ name = \"at\"; type = \"datetime\"; value = \"now\"; },"
		 "{ name = \"site\"; type = \"string\"; value = \"const\"; "
		 "const = \"a\\\"b\"; },"
		 "{ name = \"u\"; type = \"guid\"; value = \"uuid\"; }" TAIL,
	    EVENT(",\"site\":\"sent\""));

	assert_non_null(strstr(line, ",\"at\":\"" NOW_TEXT "\","));
	assert_non_null(strstr(line, ",\"site\":\"a\\\"b\",\"u\":\""));
	assert_null(strstr(line, "sent"));
	assert_string_equal(line, again);
	free(line);
	free(again);
}

/* What OpenSSL's own HMAC says, in hex. */
static void hmac_hex(const char *value, char hex[65])
{
	unsigned char digest[32];
	unsigned bytes = 0;

	assert_non_null(HMAC(EVP_sha256(), SECRET, SECRET_BYTES,
			     (const unsigned char *)value, strlen(value),
			     digest, &bytes));
	for (int i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

#define HASHED \
	HEAD ",{ name = \"m\"; type = \"string\"; mask = \"hash\"; }" TAIL

static void hashes_are_those_of_an_independent_hmac(void **state)
{
	char longest[2001];
	const char *values[] = {"", "a", "jane@example.com", "Zoë 😀", longest};

	(void)state;
	memset(longest, 'x', 2000);
	longest[2000] = '\0';
	for (size_t i = 0; i < 5; i++) {
		char hex[65];
		char *event = xasprintf(EVENT(",\"m\":\"%s\""), values[i]);
		char *wanted;

		hmac_hex(values[i], hex);
		wanted = xasprintf(EVENT(",\"m\":\"%s\""), hex);
		assert_maps(HASHED, event, wanted);
		free(event);
		free(wanted);
	}
}

static void a_hash_is_of_the_value_not_of_its_spelling(void **state)
{
	char *plain = map_text(HASHED, EVENT(",\"m\":\"jane\""));
	char *escaped = map_text(HASHED, EVENT(",\"m\":\"j\\u0061ne\""));

	(void)state;
	assert_string_equal(plain, escaped);
	free(plain);
	free(escaped);
}

static void masks_leave_what_they_say(void **state)
{
#define MASKED(kind) \
	HEAD ",{ name = \"m\"; type = \"string\"; mask = " kind "; }" TAIL
	(void)state;
	assert_maps(MASKED("\"redact\""), EVENT(",\"m\":\"secret\""),
		    EVENT(",\"m\":\"***\""));
	assert_maps(MASKED("\"last4\""), EVENT(",\"m\":\"4111111111111234\""),
		    EVENT(",\"m\":\"****1234\""));
	assert_maps(MASKED("\"last4\""), EVENT(",\"m\":\"1234\""),
		    EVENT(",\"m\":\"****\""));
	assert_maps(MASKED("\"last4\""), EVENT(",\"m\":\"abc\\né\\\"😀z\""),
		    EVENT(",\"m\":\"****é\\\"😀z\""));
	assert_maps(MASKED("\"truncate\"; mask_keep = 3"),
		    EVENT(",\"m\":\"a\\n😀more\""), EVENT(",\"m\":\"a\\n😀\""));
	assert_maps(MASKED("\"truncate\"; mask_keep = 2"),
		    EVENT(",\"m\":\"\\ud83d\\ude00\\u00e9more\""),
		    EVENT(",\"m\":\"\\ud83d\\ude00\\u00e9\""));
	assert_maps(MASKED("\"truncate\"; mask_keep = 3"),
		    EVENT(",\"m\":\"ab\""), EVENT(",\"m\":\"ab\""));
	assert_maps(HEAD ",{ name = \"m\"; type = \"long\"; "
			 "mask = \"redact\"; }" TAIL,
		    EVENT(",\"m\":5,\"k\":\"v\""), EVENT(",\"k\":\"v\""));
}

static void a_masked_key_is_masked_in_the_index_too(void **state)
{
	struct contract_set *set = set_of_text(
	    "name = \"t\"; version = 1; doc = \"d\";"
	    "match = { event_type = \"t\"; };"
	    "identity = [\"mail\", \"event_type\"]; partition_key = \"mail\";"
	    "unknown_fields = \"drop\"; fields = ("
	    "{ name = \"event_type\"; type = \"string\"; },"
	    "{ name = \"mail\"; type = \"string\"; mask = \"hash\"; });");
	struct taken *t = take_text(
	    set, INTAKE_ONE, "{\"event_type\":\"t\",\"mail\":\"jane@x.y\"}");
	struct batch *out = map_batch(set, t->batch, NULL);
	const struct batch_event *e = &out->events[0];
	char hex[65];

	(void)state;
	hmac_hex("jane@x.y", hex);
	assert_int_equal(e->key_bytes, 64);
	assert_memory_equal(out->payload + e->key_offset, hex, 64);
	assert_int_equal(e->key_hash, t->batch->events[0].key_hash);
	assert_int_equal(e->key_hash, XXH3_64bits(hex, 64));
	assert_int_equal(e->id_bytes, 64);
	assert_null(memmem(out->payload, out->header.payload_bytes, "jane", 4));
	batch_unref(&out);
	taken_free(&t);
	contract_set_unref(&set);
}

static void mapping_is_a_pure_function(void **state)
{
	struct contract_set *set = set_of_folder("etc/contracts");
	struct taken *t = take_text(
	    set, INTAKE_BATCH,
	    "[{\"event_type\":\"order.placed\",\"event_source\":\"s\","
	    "\"customer_email\":\"a@b.c\",\"order_id\":\"o\",\"zz\":1},"
	    "{\"event_type\":\"customer.query\",\"event_source\":\"s\","
	    "\"query_text\":\"what?\",\"customer_id\":\"c\"}]");
	struct batch *one = map_batch(set, t->batch, NULL);
	struct batch *two = map_batch(set, t->batch, NULL);

	(void)state;
	assert_int_equal(one->header.events, 2);
	assert_int_equal(one->header.body_crc, two->header.body_crc);
	assert_int_equal(one->header.payload_bytes, two->header.payload_bytes);
	assert_memory_equal(one->payload, two->payload,
			    one->header.payload_bytes);
	batch_unref(&one);
	batch_unref(&two);
	taken_free(&t);
	contract_set_unref(&set);
}

static void each_of_the_24_event_types_is_mapped(void **state)
{
	static const char *const types[] = {
	    "product.viewed",	      "product.searched",
	    "product.listed",	      "order.placed",
	    "order.status_checked",   "order.completed",
	    "order.failed",	      "customer.session_started",
	    "customer.session_ended", "customer.query",
	    "customer.feedback",      "admin.inventory_updated",
	    "admin.product_created",  "admin.product_creation_failed",
	    "admin.product_updated",  "admin.product_deleted",
	    "ai.recommendation",      "ai.description_generated",
	    "agent.session_started",  "agent.session_ended",
	    "agent.task_started",     "agent.task_completed",
	    "agent.model_invocation", "agent.tool_call",
	};
	struct contract_set *set = set_of_folder("etc/contracts");
	struct buf body = {0};
	struct mapper_counts counts;
	struct taken *t;
	struct batch *out;

	(void)state;
	for (size_t i = 0; i < 24; i++)
		buf_printf(&body,
			   "%s{\"event_type\":\"%s\",\"customer_name\":\"Jane\""
			   ",\"event_source\":\"s\",\"customer_email\":\"J\"}",
			   i ? "," : "[", types[i]);
	buf_char(&body, ']');
	t = take_text(set, INTAKE_BATCH, buf_str(&body));
	assert_int_equal(t->result.accepted, 24);
	out = map_batch(set, t->batch, &counts);
	assert_int_equal(counts.mapped, 24);
	assert_int_equal(counts.masked, 48);
	assert_int_equal(counts.dead_letters, 0);
	assert_null(memmem(out->payload, out->header.payload_bytes, "Jane", 4));
	batch_unref(&out);
	taken_free(&t);
	buf_free(&body);
	contract_set_unref(&set);
}

/* A batch of one event that no intake has seen. */
static struct batch *raw_batch(const char *stream, const char *text,
			       size_t bytes)
{
	struct batch_builder *w = batch_builder_new();
	struct batch_header header = {.created_at_us = NOW_US};
	struct batch_event e = {.bytes = (uint32_t)bytes};
	struct batch *b;

	e.stream = batch_builder_stream(w, stream, strlen(stream));
	memcpy(batch_builder_room(w, bytes + 1), text, bytes);
	batch_builder_room(w, bytes + 1)[bytes] = '\n';
	batch_builder_commit(w, bytes + 1);
	batch_builder_event(w, &e);
	header.trace[0] = 0xab;
	b = batch_builder_seal(w, &header);
	batch_builder_free(&w);
	return b;
}

static char *letter_of(struct contract_set *set, const char *stream,
		       const char *text, size_t bytes)
{
	struct batch *b = raw_batch(stream, text, bytes);
	struct mapper_counts counts;
	struct batch *out = map_batch(set, b, &counts);
	char name[BATCH_STREAM_NAME_BYTES + 1];
	const struct batch_event *e = &out->events[0];
	char *line = line_of(out, 0);

	assert_int_equal(counts.dead_letters, 1);
	assert_string_equal(batch_stream(out, e->stream, name), "dead_letter");
	assert_int_equal(e->type_bytes, 11);
	assert_memory_equal(out->payload + e->type_offset, "dead_letter", 11);
	/* The identity: the stream and the event's id, behind the line. */
	assert_int_equal(e->id_bytes, strlen(stream) + 1 + 36);
	assert_memory_equal(out->payload + e->id_offset, stream,
			    strlen(stream));
	assert_int_equal(out->payload[e->id_offset + strlen(stream)], '\x1f');
	assert_memory_equal(out->payload + e->id_offset + strlen(stream) + 1,
			    line + 13, 36);
	batch_unref(&out);
	batch_unref(&b);
	return line;
}

static void an_event_that_cannot_be_mapped_is_a_dead_letter(void **state)
{
	struct contract_set *set = set_of_folder("etc/contracts");
	const char *text = "{\"event_source\":\"s\",\"a\":\"x\\n\"}";
	char *line = letter_of(set, "gone", text, strlen(text));

	(void)state;
	assert_non_null(strstr(line, "\"event_type\":\"dead_letter\""));
	assert_non_null(strstr(line, "\"code\":\"no_contract\""));
	assert_non_null(strstr(line, "\"stage\":\"transformer\""));
	assert_non_null(strstr(line, "\"stream\":\"gone\""));
	assert_non_null(strstr(line, "\"source\":\"s\""));
	assert_non_null(strstr(line, "\"received_at\":\"" NOW_TEXT "\""));
	assert_non_null(strstr(line, "\"trace\":\"ab000000"));
	assert_non_null(strstr(line,
			       "\"original\":\"{\\\"event_source\\\":\\\"s\\\","
			       "\\\"a\\\":\\\"x\\\\n\\\"}\""));
	free(line);
	line = letter_of(set, "order", "{\"a\xff\":", 6);
	assert_non_null(strstr(line, "\"code\":\"malformed_json\""));
	assert_non_null(strstr(line, "\"original\":\"{\\\"a\\u00ff\\\":\""));
	free(line);
	contract_set_unref(&set);
}

static void a_dead_letter_is_masked(void **state)
{
	struct contract_set *set = set_of_folder("etc/contracts");
	const char *text = "{\"customer_name\":\"Jane\",\"query_text\":\"hm\","
			   "\"custom_properties\":5,\"u\":1}";
	char *line = letter_of(set, "customer", text, strlen(text));

	(void)state;
	assert_non_null(strstr(line, "\"code\":\"wrong_type\""));
	assert_non_null(strstr(line, "\"field\":\"custom_properties\""));
	assert_null(strstr(line, "Jane"));
	assert_non_null(strstr(line, "\\\"query_text\\\":\\\"***\\\""));
	assert_non_null(strstr(line, "\\\"u\\\":1}"));
	assert_non_null(strstr(line, ",\"masked\":{\"customer_name\":\"hash\","
				     "\"query_text\":\"redact\"}}"));
	free(line);
	contract_set_unref(&set);
}

/* What is inside a member, or is no string, cannot be shown under a mask. */
static void what_cannot_be_masked_is_left_out_of_a_letter(void **state)
{
	struct contract_set *set = set_of_text(
	    HEAD ",{ name = \"mail\"; type = \"string\"; from = \"who.mail\"; "
		 "mask = \"hash\"; }"
		 ",{ name = \"card\"; type = \"string\"; mask = \"last4\"; }"
		 ",{ name = \"pin\"; type = \"string\"; mask = \"hash\"; }" TAIL
		 "unknown_fields = \"keep\"; unknown_column = "
		 "\"custom_properties\";");
	const char *text = "{\"k\":\"v\",\"who\":{\"mail\":\"j@x\"},"
			   "\"card\":\"4111111111\",\"pin\":9,"
			   "\"custom_properties\":5,\"u\":1}";
	char *line = letter_of(set, "t", text, strlen(text));

	(void)state;
	assert_non_null(
	    strstr(line, "\"original\":\"{\\\"k\\\":\\\"v\\\",\\\"who\\\":null,"
			 "\\\"card\\\":\\\"****1111\\\",\\\"pin\\\":null,"
			 "\\\"custom_properties\\\":5,\\\"u\\\":1}\","
			 "\"masked\":{\"who\":\"removed\",\"card\":\"last4\","
			 "\"pin\":\"removed\"}}"));
	free(line);
	contract_set_unref(&set);
}

/* The index has texts without escapes, as a reader of the table sees them. */
static void letters_of_one_id_are_told_apart_by_stream(void **state)
{
	static const char *const streams[] = {"order", "gone", "order"};
	struct contract_set *set = set_of_folder("etc/contracts");
	struct batch_builder *w = batch_builder_new();
	struct batch_header header = {.created_at_us = NOW_US};
	struct batch *b, *out;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		static const char text[] = "{\"event_id\":\"a\\\"b\",\"x\n";
		struct batch_event e = {
		    .offset = batch_builder_offset(w),
		    .bytes = sizeof(text) - 2,
		    .id_bytes = 3,
		};

		e.stream =
		    batch_builder_stream(w, streams[i], strlen(streams[i]));
		memcpy(batch_builder_room(w, sizeof(text) - 1), text,
		       sizeof(text) - 1);
		batch_builder_commit(w, sizeof(text) - 1);
		e.id_offset = batch_builder_offset(w);
		memcpy(batch_builder_room(w, 3), "a\"b", 3);
		batch_builder_commit(w, 3);
		batch_builder_event(w, &e);
	}
	b = batch_builder_seal(w, &header);
	out = map_batch(set, b, NULL);
	for (uint32_t i = 0; i < 3; i++) {
		const struct batch_event *e = &out->events[i];
		char *id = xasprintf("%s\x1f"
				     "a\"b",
				     streams[i]);

		assert_int_equal(e->id_bytes, strlen(id));
		assert_memory_equal(out->payload + e->id_offset, id,
				    strlen(id));
		free(id);
	}
	batch_unref(&out);
	batch_unref(&b);
	batch_builder_free(&w);
	contract_set_unref(&set);
}

/* An id that leaves its stream no room gives way to one made of it. */
static void an_identity_has_a_limit(void **state)
{
	struct contract_set *set = set_of_folder("etc/contracts");
	struct batch_builder *w = batch_builder_new();
	struct batch_header header = {.created_at_us = NOW_US};
	struct batch_event e = {.bytes = 1, .id_bytes = UINT16_MAX - 5};
	struct batch *b, *out;
	char *id = xmalloc(UINT16_MAX);

	(void)state;
	memset(id, 'i', UINT16_MAX);
	e.stream = batch_builder_stream(w, "order", 5);
	memcpy(batch_builder_room(w, 2), "x\n", 2);
	batch_builder_commit(w, 2);
	e.id_offset = batch_builder_offset(w);
	memcpy(batch_builder_room(w, UINT16_MAX), id, UINT16_MAX);
	batch_builder_commit(w, UINT16_MAX);
	batch_builder_event(w, &e);
	b = batch_builder_seal(w, &header);
	out = map_batch(set, b, NULL);
	assert_int_equal(out->events[0].id_bytes, 5 + 1 + 36);
	batch_unref(&out);
	batch_unref(&b);
	batch_builder_free(&w);
	contract_set_unref(&set);
	free(id);
}

/* Whatever line reaches the mapper, what leaves it is JSON. */
static void mutated_lines_give_valid_lines(void **state)
{
	static const char good[] =
	    "{\"event_id\":\"e\",\"customer_email\":\"a\\u00e9@b\","
	    "\"query_text\":\"x\",\"data\":null,\"custom_properties\":{\"a\":1}"
	    ",\"z\":[true,{\"q\":-1.5}],\"customer_id\":\"c\\\"\"}";
	static const char with[] = "\"\\{}[],:0e-u\xff\x80 nt\0";
	struct contract_set *set = set_of_folder("etc/contracts");
	char line[sizeof(good)];
	uint32_t letters = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(good) - 1; i++)
		for (size_t k = 0; k < sizeof(with); k++) {
			struct mapper_counts counts;
			struct batch *b, *out;
			yyjson_doc *doc;

			memcpy(line, good, sizeof(good));
			line[i] = with[k];
			b = raw_batch("customer", line, sizeof(good) - 1);
			out = map_batch(set, b, &counts);
			letters += (uint32_t)counts.dead_letters;
			assert_int_equal(out->header.events, 1);
			doc = yyjson_read(out->payload + out->events[0].offset,
					  out->events[0].bytes, 0);
			assert_non_null(doc);
			yyjson_doc_free(doc);
			batch_unref(&out);
			batch_unref(&b);
		}
	assert_true(letters > 500);
	contract_set_unref(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_input_overfills_a_batch),
	    cmocka_unit_test(batches_in_the_limits_always_fit),
	    cmocka_unit_test(what_needs_no_change_is_copied),
	    cmocka_unit_test(numbers_and_strings_stay_as_sent),
	    cmocka_unit_test(fine_decimals_are_rounded_and_others_stay_as_sent),
	    cmocka_unit_test(
		a_rounding_field_costs_no_copy_when_nothing_is_rounded),
	    cmocka_unit_test(nulls_are_left_out_or_kept_or_defaulted),
	    cmocka_unit_test(fields_are_renamed_and_gathered),
	    cmocka_unit_test(what_is_assigned_goes_by_the_name_of_the_member),
	    cmocka_unit_test(mutated_lines_give_valid_lines),
	    cmocka_unit_test(unknown_members_go_into_the_column),
	    cmocka_unit_test(violations_flag_or_null),
	    cmocka_unit_test(values_are_made_from_batch_and_event),
	    cmocka_unit_test(hashes_are_those_of_an_independent_hmac),
	    cmocka_unit_test(a_hash_is_of_the_value_not_of_its_spelling),
	    cmocka_unit_test(masks_leave_what_they_say),
	    cmocka_unit_test(a_masked_key_is_masked_in_the_index_too),
	    cmocka_unit_test(mapping_is_a_pure_function),
	    cmocka_unit_test(each_of_the_24_event_types_is_mapped),
	    cmocka_unit_test(an_event_that_cannot_be_mapped_is_a_dead_letter),
	    cmocka_unit_test(a_dead_letter_is_masked),
	    cmocka_unit_test(what_cannot_be_masked_is_left_out_of_a_letter),
	    cmocka_unit_test(letters_of_one_id_are_told_apart_by_stream),
	    cmocka_unit_test(an_identity_has_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
