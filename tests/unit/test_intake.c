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

static void events_of_a_stream_that_is_full_are_held(void **state)
{
	const char *body = "[" GOOD ",{\"event_type\":\"product.viewed\"},"
			   "{\"event_type\":\"none.such\"}," GOOD "]";
	struct refusal refused = {0};
	struct intake_request request = {
	    .form = INTAKE_BATCH,
	    .body = body,
	    .bytes = strlen(body),
	    .max_events = 10,
	    .now_us = NOW_US,
	    .refused = &refused,
	};
	struct taken *t = take_request(set, &request);

	(void)state;
	assert_int_equal(t->result.accepted, 3);
	assert_int_equal(t->result.held, 0);
	taken_free(&t);
	refusal_add(&refused, "order", 5);
	t = take_request(set, &request);
	assert_int_equal(t->result.accepted, 1);
	assert_int_equal(t->result.rejected, 3);
	assert_int_equal(t->result.held, 2);
	assert_int_equal(t->result.errors[0].index, 0);
	assert_int_equal(t->result.errors[0].code, INTAKE_STREAM_FULL);
	assert_string_equal(t->result.errors[0].text,
			    "events of stream \"order\" cannot be taken now; "
			    "send it again later");
	assert_int_equal(t->result.errors[1].code, INTAKE_NO_CONTRACT);
	assert_int_equal(t->result.errors[2].index, 3);
	assert_string_equal(intake_code_name(INTAKE_STREAM_FULL),
			    "stream_full");
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

static void a_line_with_breaks_is_put_on_one_line(void **state)
{
	struct taken *t = take_text(
	    set, INTAKE_ONE,
	    "{\n  \"event_type\" : \"order.placed\",\r\n\t\"event_id\":"
	    "\"e 1\",\"event_source\":\"s\",\n\"event_time\":\"2026-01-31T10:"
	    "00:00Z\",\"order_id\" : \"a\\\" b\",\"order_items\": [ 1 , "
	    "{ \"a\" : \" \\\\\" } ]\n}");
	char *line;

	(void)state;
	line = line_of(t->batch, 0);
	assert_string_equal(
	    line, "{\"event_type\":\"order.placed\",\"event_id\":\"e 1\","
		  "\"event_source\":\"s\",\"event_time\":\"2026-01-31T10:00:"
		  "00Z\",\"order_id\":\"a\\\" b\",\"order_items\":[1,"
		  "{\"a\":\" \\\\\"}]}");
	/* The key is unescaped, beside the line. */
	assert_slice(t->batch, t->batch->events[0].key_offset,
		     t->batch->events[0].key_bytes, "a\" b");
	free(line);
	taken_free(&t);
}

static void the_data_form_is_flattened(void **state)
{
	struct taken *t =
	    take_text(set, INTAKE_ONE,
		      "{\"event_type\":\"order.placed\",\"event_source\":\"s\","
		      "\"session_id\":\"x\",\"data\":{\"order_id\":\"o\","
		      "\"order_total\":1.10,\"order_items\":[{\"a\":1}]},"
		      "\"custom_properties\":{\"c\":null},\"event_id\":\"e\","
		      "\"event_time\":\"2026-01-31T10:00:00Z\"}");
	char *line = line_of(t->batch, 0);

	(void)state;
	assert_non_null(strstr(line, "\"order_id\":\"o\",\"order_total\":1.10,"
				     "\"order_items\":[{\"a\":1}]"));
	assert_non_null(strstr(line, "\"custom_properties\":{\"c\":null}"));
	assert_null(strstr(line, "\"data\""));
	assert_slice(t->batch, t->batch->events[0].key_offset,
		     t->batch->events[0].key_bytes, "o");
	free(line);
	taken_free(&t);
	assert_string_equal(
	    code_of(set, INTAKE_ONE,
		    "{\"event_type\":\"order.placed\",\"event_source\":\"s\","
		    "\"session_id\":\"x\",\"data\":{\"session_id\":\"x\"}}"),
	    "duplicate_key");
	assert_string_equal(
	    code_of(set, INTAKE_ONE,
		    "{\"event_source\":\"s\",\"data\":{\"event_type\":"
		    "\"order.placed\"}}"),
	    "ok");
	assert_string_equal(
	    code_of(set, INTAKE_ONE,
		    "{\"event_type\":\"order.placed\",\"event_source\":\"s\","
		    "\"data\":{}}"),
	    "ok");
}

struct coded {
	const char *body;
	const char *code;
};

#define TYPED "\"event_type\":\"order.placed\",\"event_source\":\"s\""

static void each_fault_has_its_code(void **state)
{
	static const struct coded cases[] = {
	    {"{" TYPED "}", "ok"},
	    {"{\"event_type\":\"order.placed\"", "malformed"},
	    {"", "malformed"},
	    {"{" TYPED ",}", "malformed"},
	    {"{" TYPED ",\"a\":NaN}", "malformed"},
	    {"{" TYPED ",\"a\":Infinity}", "malformed"},
	    {"{" TYPED ",\"a\":01}", "malformed"},
	    {"{" TYPED ",\"a\":+1}", "malformed"},
	    {"{" TYPED ",\"a\":.5}", "malformed"},
	    {"{" TYPED ",\"a\":1.}", "malformed"},
	    {"{" TYPED ",\"a\":1e}", "malformed"},
	    {"{" TYPED ",\"a\":-}", "malformed"},
	    {"{" TYPED ",\"a\":\"\\ud800\"}", "malformed"},
	    {"{" TYPED ",\"a\":\"\\udc00\\ud800\"}", "malformed"},
	    {"{" TYPED ",\"a\":\"\xff\"}", "malformed"},
	    {"{" TYPED ",\"a\":\"\xc0\x80\"}", "malformed"},
	    {"{" TYPED ",\"a\":\"\xed\xa0\x80\"}", "malformed"},
	    {"{" TYPED ",\"a\":\"\t\"}", "malformed"},
	    {"{" TYPED "} x", "malformed"},
	    {"{" TYPED ",/* c */\"a\":1}", "malformed"},
	    {"{" TYPED ",'a':1}", "malformed"},
	    {"[]", "not_an_object"},
	    {"\"text\"", "not_an_object"},
	    {"17", "not_an_object"},
	    {"null", "not_an_object"},
	    {"{}", "missing_field"},
	    {"{\"event_type\":null}", "missing_field"},
	    {"{\"event_type\":7}", "wrong_type"},
	    {"{\"event_type\":\"\"}", "missing_field"},
	    {"{\"event_type\":\"order.eaten\",\"event_source\":\"s\"}",
	     "no_contract"},
	    {"{\"event_type\":\"Order.placed\",\"event_source\":\"s\"}",
	     "no_contract"},
	    {"{\"event_type\":\"order.placed\"}", "ok"},
	    {"{" TYPED ",\"event_source\":\"s\"}", "duplicate_key"},
	    {"{" TYPED ",\"x\":1,\"y\":2,\"x\":1}", "duplicate_key"},
	    {"{" TYPED ",\"x\":1,\"\\u0078\":1}", "duplicate_key"},
	    {"{" TYPED ",\"x\":{\"a\":1,\"a\":1}}", "duplicate_key"},
	    {"{" TYPED ",\"x\":[[{\"a\":{\"b\":1,\"b\":1}}]]}",
	     "duplicate_key"},
	    {"{" TYPED ",\"order_id\":\"\"}", "missing_field"},
	    {"{" TYPED ",\"order_id\":5}", "wrong_type"},
	    {"{" TYPED ",\"order_total\":\"abc\"}", "wrong_type"},
	    {"{" TYPED ",\"order_total\":-1}", "out_of_range"},
	    {"{" TYPED ",\"order_total\":1234567890123}", "out_of_range"},
	    {"{" TYPED ",\"item_count\":1.0}", "wrong_type"},
	    {"{" TYPED ",\"event_time\":\"2026-01-31T10:00:00\"}",
	     "wrong_type"},
	    {"{" TYPED ",\"event_time\":\"1899-12-31T10:00:00Z\"}",
	     "out_of_range"},
	    {"{" TYPED ",\"order_status\":\"a\\u0000b\"}", "bad_character"},
	    {"{" TYPED ",\"x\":\"\\u0000\"}", "bad_character"},
	    {"{" TYPED ",\"x\":[{\"\\u0000\":1}]}", "bad_character"},
	    {"{" TYPED ",\"\\u0000\":1}", "bad_character"},
	    {"{" TYPED ",\"order_items\":[\"\\u0000\"]}", "bad_character"},
	    {"{" TYPED ",\"custom_properties\":[1]}", "wrong_type"},
	    {"{" TYPED ",\"custom_properties\":null}", "ok"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *code = code_of(set, INTAKE_ONE, cases[i].body);

		if (strcmp(code, cases[i].code) != 0)
			fail_msg("%s: %s, not %s", cases[i].body, code,
				 cases[i].code);
	}
}

static void a_long_value_is_too_long_by_characters(void **state)
{
	struct buf b = {0};

	(void)state;
	buf_text(&b, "{" TYPED ",\"channel\":\"");
	for (int i = 0; i < 64; i++)
		buf_text(&b, "é");
	buf_text(&b, "\"}");
	assert_string_equal(code_of(set, INTAKE_ONE, buf_str(&b)), "ok");
	b.used -= 2;
	buf_text(&b, "e\"}");
	assert_string_equal(code_of(set, INTAKE_ONE, buf_str(&b)), "too_long");
	buf_free(&b);
}

/* {…,"x": followed by `levels` arrays } */
static char *nested(unsigned levels)
{
	struct buf b = {0};

	buf_text(&b, "{" TYPED ",\"x\":");
	for (unsigned i = 0; i < levels; i++)
		buf_text(&b, i % 2 ? "{\"a\":" : "[");
	buf_char(&b, '1');
	for (unsigned i = levels; i > 0; i--)
		buf_char(&b, (i - 1) % 2 ? '}' : ']');
	buf_char(&b, '}');
	buf_char(&b, '\0');
	return b.data;
}

static void depth_is_limited_to_64(void **state)
{
	char *fits = nested(63), *deep = nested(64), *abyss = nested(200000);

	(void)state;
	assert_string_equal(code_of(set, INTAKE_ONE, fits), "ok");
	assert_string_equal(code_of(set, INTAKE_ONE, deep), "too_deep");
	assert_string_equal(code_of(set, INTAKE_ONE, abyss), "too_deep");
	free(fits);
	free(deep);
	free(abyss);
}

static void an_event_is_limited_to_a_million_bytes(void **state)
{
	struct buf b = {0};
	size_t head;

	(void)state;
	buf_text(&b, "{\"event_id\":\"e\",\"event_time\":"
		     "\"2026-01-31T10:00:00Z\"," TYPED ",\"x\":\"");
	head = b.used;
	while (b.used < BATCH_MAX_EVENT_BYTES - 2)
		buf_char(&b, 'x');
	assert_true(b.used > head);
	buf_text(&b, "\"}");
	assert_string_equal(code_of(set, INTAKE_ONE, buf_str(&b)), "ok");
	b.used -= 2;
	buf_text(&b, "x\"}");
	assert_string_equal(code_of(set, INTAKE_ONE, buf_str(&b)),
			    "event_too_large");
	buf_free(&b);
}

static void bodies_that_would_eat_memory_are_refused(void **state)
{
	size_t bytes = 16u << 20;
	char *body = xmalloc(bytes + 1);
	struct taken *t;

	(void)state;
	memset(body, '[', bytes);
	t = take_bytes(set, INTAKE_BATCH, body, bytes);
	assert_true(t->result.malformed);
	taken_free(&t);
	/* Eight million numbers in one event. */
	for (size_t i = 0; i < bytes; i++)
		body[i] = i % 2 ? ',' : '1';
	memcpy(body, "[[1", 3);
	memcpy(body + bytes - 3, "1]]", 3);
	t = take_bytes(set, INTAKE_BATCH, body, bytes);
	assert_true(t->result.malformed);
	assert_non_null(strstr(t->result.malformed_text, "more values"));
	taken_free(&t);
	free(body);
}

static void many_keys_are_compared_in_linear_time(void **state)
{
	struct buf b = {0};

	(void)state;
	buf_text(&b, "{" TYPED);
	for (int i = 0; i < 60000; i++)
		buf_printf(&b, ",\"k%d\":%d", i, i);
	buf_char(&b, '}');
	assert_string_equal(code_of(set, INTAKE_ONE, buf_str(&b)), "ok");
	b.used--;
	buf_text(&b, ",\"k59999\":1}");
	assert_string_equal(code_of(set, INTAKE_ONE, buf_str(&b)),
			    "duplicate_key");
	buf_free(&b);
}

static void a_batch_takes_the_good_and_names_the_bad(void **state)
{
	struct taken *t = take_text(set, INTAKE_BATCH,
				    "{\"events\": [{" TYPED "}, 5, {" TYPED
				    ",\"item_count\":\"x\"},"
				    "[],{" TYPED "}, {}], \"more\": 1}");

	(void)state;
	assert_int_equal(t->result.accepted, 2);
	assert_int_equal(t->result.rejected, 4);
	assert_int_equal(t->result.error_count, 4);
	assert_int_equal(t->result.errors[0].index, 1);
	assert_int_equal(t->result.errors[0].code, INTAKE_NOT_OBJECT);
	assert_int_equal(t->result.errors[1].index, 2);
	assert_string_equal(t->result.errors[1].field, "item_count");
	assert_string_equal(t->result.errors[1].text,
			    "item_count: \"x\" is not an integer (digits, no "
			    "point, no exponent)");
	assert_int_equal(t->result.errors[3].index, 5);
	taken_free(&t);
}

static void a_broken_batch_is_refused_whole_with_its_offset(void **state)
{
	const char *body = "[{" TYPED "},{" TYPED ",\"a\":tru}]";
	struct taken *t = take_text(set, INTAKE_BATCH, body);

	(void)state;
	assert_true(t->result.malformed);
	assert_int_equal(t->result.accepted, 0);
	assert_int_equal(t->batch->header.events, 0);
	assert_int_equal(t->batch->header.payload_bytes, 0);
	assert_int_equal(t->result.malformed_at, strstr(body, "tru}") - body);
	taken_free(&t);
	t = take_text(set, INTAKE_BATCH, "{\"event\":[]}");
	assert_true(t->result.malformed);
	taken_free(&t);
	t = take_text(set, INTAKE_BATCH, "[]");
	assert_false(t->result.malformed);
	taken_free(&t);
}

static void a_broken_line_is_refused_alone(void **state)
{
	const char *body =
	    "{" TYPED "}\r\n\n  \n{" TYPED ",\"a\":}\n{" TYPED "}";
	struct taken *t = take_text(set, INTAKE_NDJSON, body);
	char *where = xasprintf("at byte %d of the body",
				(int)(strstr(body, ":}") + 1 - body));

	(void)state;
	assert_false(t->result.malformed);
	assert_int_equal(t->result.accepted, 2);
	assert_int_equal(t->result.rejected, 1);
	assert_int_equal(t->result.errors[0].index, 1);
	assert_int_equal(t->result.errors[0].code, INTAKE_MALFORMED);
	assert_non_null(strstr(t->result.errors[0].text, where));
	free(where);
	taken_free(&t);
}

static void check_limit(enum intake_form form, const char *body)
{
	struct intake_request request = {
	    .form = form,
	    .body = body,
	    .bytes = strlen(body),
	    .max_events = 2,
	    .now_us = NOW_US,
	};
	struct taken *t = take_request(set, &request);

	assert_int_equal(t->result.accepted, 2);
	assert_int_equal(t->result.rejected, 3);
	assert_int_equal(t->result.error_count, 1);
	assert_int_equal(t->result.errors[0].code, INTAKE_TOO_MANY);
	assert_int_equal(t->result.errors[0].index, 2);
	taken_free(&t);
}

static void events_over_the_limit_are_refused(void **state)
{
	(void)state;
	check_limit(INTAKE_BATCH, "[{" TYPED "},{" TYPED "},{" TYPED "},1,{}]");
	check_limit(INTAKE_NDJSON,
		    "{" TYPED "}\n{" TYPED "}\n{" TYPED "}\n\nx\n{}");
}

static void errors_beyond_a_hundred_are_counted_only(void **state)
{
	struct buf b = {0};
	struct taken *t;

	(void)state;
	buf_char(&b, '[');
	for (int i = 0; i < 150; i++)
		buf_text(&b, i ? ",1" : "1");
	buf_char(&b, ']');
	t = take_text(set, INTAKE_BATCH, buf_str(&b));
	assert_int_equal(t->result.rejected, 150);
	assert_int_equal(t->result.error_count, INTAKE_MAX_ERRORS);
	buf_free(&b);
	taken_free(&t);
}

/* What the observer saw, as text. */
static void see(void *arg, const struct contract *contract,
		enum intake_code code, const char *type, size_t type_bytes,
		const char *source, size_t source_bytes)
{
	buf_printf(arg, "%s,%s,%.*s,%.*s;", contract ? contract->name : "-",
		   intake_code_name(code), (int)type_bytes, type ? type : "",
		   (int)source_bytes, source ? source : "");
}

static void the_observer_sees_every_event(void **state)
{
	const char *body = "[{" TYPED "},{\"event_type\":\"x\"},3]";
	struct buf seen = {0};
	const struct intake_observer observer = {see, NULL, &seen};
	struct intake_request request = {
	    .form = INTAKE_BATCH,
	    .body = body,
	    .bytes = strlen(body),
	    .max_events = 9,
	    .now_us = NOW_US,
	};
	struct intake_result result;
	struct intake *in = intake_new();
	struct batch_builder *w = batch_builder_new();

	(void)state;
	intake_body(in, set, &request, &observer, w, &result);
	assert_string_equal(buf_str(&seen),
			    "order,ok,order.placed,s;-,no_contract,x,;"
			    "-,not_an_object,,;");
	buf_free(&seen);
	batch_builder_free(&w);
	intake_free(&in);
}

static void a_masked_value_is_not_shown_in_an_error(void **state)
{
	struct taken *t =
	    take_text(set, INTAKE_ONE, "{" TYPED ",\"customer_email\":4711}");

	(void)state;
	assert_string_equal(t->result.errors[0].text,
			    "customer_email: *** is not a string");
	taken_free(&t);
}

/* Every byte of a good body is changed in turn: an answer, and no crash. */
static void mutated_bodies_get_an_answer(void **state)
{
	static const char good[] =
	    "[{" TYPED ",\"order_id\":\"\\u00e9\\ud83d\\ude00\","
	    "\"order_items\":[{\"a\":[1,true,null]},{}],\"zz\":-1.5e+3},"
	    "{\"data\":{\"order_id\":\"x\\\"\"}," TYPED "}]";
	static const char with[] = "\"\\{}[],:0e-u\n\xff\x80 nt\0";
	char body[sizeof(good)];
	uint32_t accepted = 0, refused = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(good) - 1; i++)
		for (size_t k = 0; k < sizeof(with); k++) {
			struct taken *t;

			memcpy(body, good, sizeof(good));
			body[i] = with[k];
			t = take_bytes(set, INTAKE_BATCH, body,
				       sizeof(good) - 1);
			accepted += t->result.accepted;
			refused += t->result.rejected + t->result.malformed;
			taken_free(&t);
			t = take_bytes(set, INTAKE_NDJSON, body + 1, i);
			taken_free(&t);
		}
	assert_true(accepted > 100);
	assert_true(refused > 1000);
}

/* Batches of one event each, of which the streams are kept. */
struct sealed {
	struct batch_builder *w;
	char streams[4][BATCH_STREAM_NAME_BYTES + 1];
	int count;
};

static bool seal_each(void *arg)
{
	const struct batch_header header = {.created_at_us = NOW_US};
	struct sealed *s = arg;
	struct batch *b = batch_builder_seal(s->w, &header);

	assert_int_equal(b->header.events, 1);
	assert_int_equal(b->stream_count, 1);
	batch_stream(b, 0, s->streams[s->count++]);
	batch_unref(&b);
	return true;
}

/* Also of lines: a lone CR ends one for many who read them. */
static void a_carriage_return_in_a_line_is_left_out(void **state)
{
	static const char event[] =
	    "{\"event_type\":\"order.placed\",\"a\":[1,{\"b\":null}]}\n";
	uint32_t taken = 0;

	(void)state;
	for (size_t i = 0; i + 1 < sizeof(event); i++) {
		char body[sizeof(event) + 1];
		struct taken *t;

		memcpy(body, event, i);
		body[i] = '\r';
		memcpy(body + i + 1, event + i, sizeof(event) - i);
		t = take_text(set, INTAKE_NDJSON, body);
		if (t->result.accepted) {
			char *line = line_of(t->batch, 0);

			assert_null(strpbrk(line, "\r\n"));
			free(line);
		}
		taken += t->result.accepted;
		taken_free(&t);
	}
	assert_true(taken > 10);
}

static void one_body_may_lie_in_several_batches(void **state)
{
	const char *body = "[{\"event_type\":\"order.placed\","
			   "\"order_id\":\"1\"},"
			   "{\"event_type\":\"product.viewed\"},"
			   "{\"event_type\":\"order.placed\","
			   "\"order_id\":\"2\"}]";
	struct sealed s = {.w = batch_builder_new()};
	const struct intake_observer observer = {NULL, seal_each, &s};
	struct intake_request request = {.form = INTAKE_BATCH,
					 .body = body,
					 .bytes = strlen(body),
					 .max_events = 10,
					 .now_us = NOW_US};
	struct intake_result *result = xcalloc(1, sizeof(*result));
	struct intake *in = intake_new();

	(void)state;
	intake_body(in, set, &request, &observer, s.w, result);
	assert_int_equal(result->accepted, 3);
	assert_int_equal(s.count, 3);
	assert_string_equal(s.streams[0], "order");
	assert_string_equal(s.streams[1], "product");
	assert_string_equal(s.streams[2], "order");
	assert_int_equal(batch_builder_events(s.w), 0);
	intake_free(&in);
	free(result);
	batch_builder_free(&s.w);
}

/* Wherever a line break may stand, none is left in a line. */
static void a_line_break_anywhere_is_left_out(void **state)
{
	static const char event[] =
	    "[{\"event_type\":\"order.placed\",\"event_source\":\"s\",\"a\":1,"
	    "\"b\":[1,[],{},\"x\",{\"c\":null,\"d\":{\"e\":true,\"f\":[2,3]}}],"
	    "\"g\":{\"h\":\"i\",\"j\":-1.5}},{\"event_type\":"
	    "\"order.placed\",\"data\":{\"k\":{\"l\":[],\"m\":0}}}]";
	uint32_t taken = 0;

	(void)state;
	for (size_t i = 0; i + 1 < sizeof(event); i++) {
		char body[sizeof(event) + 1];
		struct taken *t;

		memcpy(body, event, i);
		body[i] = i % 2 ? '\n' : '\r';
		memcpy(body + i + 1, event + i, sizeof(event) - i);
		t = take_text(set, INTAKE_BATCH, body);
		for (uint32_t k = 0; k < t->batch->header.events; k++) {
			char *line = line_of(t->batch, k);

			assert_null(strpbrk(line, "\r\n"));
			free(line);
		}
		taken += t->result.accepted;
		taken_free(&t);
	}
	assert_true(taken > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_line_break_anywhere_is_left_out),
	    cmocka_unit_test(a_carriage_return_in_a_line_is_left_out),
	    cmocka_unit_test(one_body_may_lie_in_several_batches),
	    cmocka_unit_test(an_event_keeps_its_bytes_and_is_indexed),
	    cmocka_unit_test(events_of_a_stream_that_is_full_are_held),
	    cmocka_unit_test(id_time_and_source_are_assigned_when_missing),
	    cmocka_unit_test(a_null_id_is_replaced_not_doubled),
	    cmocka_unit_test(a_line_with_breaks_is_put_on_one_line),
	    cmocka_unit_test(the_data_form_is_flattened),
	    cmocka_unit_test(each_fault_has_its_code),
	    cmocka_unit_test(a_long_value_is_too_long_by_characters),
	    cmocka_unit_test(depth_is_limited_to_64),
	    cmocka_unit_test(an_event_is_limited_to_a_million_bytes),
	    cmocka_unit_test(bodies_that_would_eat_memory_are_refused),
	    cmocka_unit_test(many_keys_are_compared_in_linear_time),
	    cmocka_unit_test(a_batch_takes_the_good_and_names_the_bad),
	    cmocka_unit_test(a_broken_batch_is_refused_whole_with_its_offset),
	    cmocka_unit_test(a_broken_line_is_refused_alone),
	    cmocka_unit_test(events_over_the_limit_are_refused),
	    cmocka_unit_test(errors_beyond_a_hundred_are_counted_only),
	    cmocka_unit_test(the_observer_sees_every_event),
	    cmocka_unit_test(a_masked_value_is_not_shown_in_an_error),
	    cmocka_unit_test(mutated_bodies_get_an_answer),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
