/* LINK: services/replay/events.c */
#include <yyjson.h>

#include "services/replay/events.h"
#include "test_contract_help.h"

#define MASKED_CONTRACT                                                       \
	HEAD ",{ name = \"mail\"; type = \"string\"; mask = \"hash\"; "       \
	     "pattern = \"^[^@]+@[^@]+$\"; }"                                 \
	     ",{ name = \"n\"; type = \"int\"; max = 10; }"                   \
	     ",{ name = \"at\"; type = \"datetime\"; value = \"now\"; }" TAIL \
	     "unknown_fields = \"keep\"; unknown_column = \"custom_"          \
	     "properties\"; lake = { table = \"ts\"; };"

struct world {
	struct contract_set *set;
	struct events e;
	size_t read; /* of answers */
};

static void begin(struct world *w, const char *contract)
{
	*w = (struct world){.set = set_of_text(contract)};
	events_init(&w->e);
}

static void finish(struct world *w)
{
	events_free(&w->e);
	contract_set_unref(&w->set);
}

/* Asks one frame of texts, ended by NULL, and a line. */
static int ask(struct world *w, enum replay_kind kind, const char *const *texts,
	       const char *line, struct err *err)
{
	struct replay_frame frame;
	struct buf asked = {0};
	size_t used;
	int rc;

	replay_begin(&asked, kind, 7);
	for (; *texts; texts++)
		replay_text(&asked, *texts);
	replay_data(&asked, line, strlen(line));
	replay_end(&asked, 0);
	assert_int_equal(
	    replay_next(asked.data, asked.used, &frame, &used, err), 1);
	assert_int_equal(used, asked.used);
	rc = events_take(&w->e, w->set, &frame, err);
	buf_free(&asked);
	return rc;
}

static struct replay_frame next_answer(struct world *w)
{
	struct replay_frame frame;
	struct err err;
	size_t used;

	assert_int_equal(replay_next(w->e.answers.data + w->read,
				     w->e.answers.used - w->read, &frame, &used,
				     &err),
			 1);
	w->read += used;
	assert_int_equal(frame.number, 7);
	return frame;
}

static void assert_accepted(struct world *w, const char *id)
{
	struct replay_frame a = next_answer(w);

	if (a.kind == REPLAY_REFUSED)
		print_error("%s %s %s\n", a.data, a.data + strlen(a.data) + 1,
			    "");
	assert_int_equal(a.kind, REPLAY_ACCEPTED);
	assert_string_equal(replay_take(&a), "t");
	assert_string_equal(replay_take(&a), "ts");
	assert_string_equal(replay_take(&a), "event_id");
	assert_int_equal(a.bytes, strlen(id));
	assert_memory_equal(a.data, id, a.bytes);
}

static void assert_refused(struct world *w, const char *code, const char *text)
{
	struct replay_frame a = next_answer(w);
	const char *why;

	assert_int_equal(a.kind, REPLAY_REFUSED);
	assert_string_equal(replay_take(&a), code);
	assert_non_null(replay_take(&a));
	why = replay_take(&a);
	if (!strstr(why, text))
		fail_msg("\"%s\" is not in \"%s\"", text, why);
}

static struct batch *seal(struct world *w)
{
	const struct batch_header header = {.created_at_us = NOW_US};

	return batch_builder_seal(w->e.builder, &header);
}

static void raw(struct world *w, const char *id, const char *masked,
		const char *line)
{
	const char *texts[] = {id, masked, "1767225600000000", NULL};
	struct err err;

	assert_int_equal(ask(w, REPLAY_RAW, texts, line, &err), 0);
}

static void mapped(struct world *w, const char *stream, const char *line)
{
	const char *texts[] = {stream, NULL};
	struct err err;

	assert_int_equal(ask(w, REPLAY_MAPPED, texts, line, &err), 0);
}

#define T "\"event_type\":\"t\",\"event_time\":\"2026-01-31T10:00:00Z\""

static void a_raw_event_is_mapped_the_same_each_time(void **state)
{
	struct world w;
	struct batch *b;
	char *first, *second;

	(void)state;
	begin(&w, MASKED_CONTRACT);
	raw(&w, "L-1", "", "{" T ",\"n\":3,\"u\":1}");
	raw(&w, "L-1", "", "{" T ",\"n\":3,\"u\":1}");
	raw(&w, "L-2", "", "{\"event_id\":\"e\"," T ",\"n\":11}");
	assert_accepted(&w, "L-1");
	assert_accepted(&w, "L-1");
	assert_refused(&w, "out_of_range", "n");
	b = seal(&w);
	assert_int_equal(b->header.events, 2);
	first = line_of(b, 0);
	second = line_of(b, 1);
	assert_string_equal(first, "{\"event_id\":\"L-1\"," T ",\"n\":3,"
				   "\"custom_properties\":{\"u\":1},"
				   "\"at\":\"" NOW_TEXT "\"}");
	assert_string_equal(first, second);
	assert_int_equal(w.e.accepted, 2);
	assert_int_equal(w.e.refused, 1);
	free(first);
	free(second);
	batch_unref(&b);
	finish(&w);
}

/* A mask over a mask would hide what readers join by. */
static void what_was_masked_stays_as_it_is(void **state)
{
	static const char line[] =
	    "{\"event_id\":\"e\"," T ",\"mail\":\"0f0f\",\"n\":3}";
	struct world w;
	struct batch *b;
	char *text;

	(void)state;
	begin(&w, MASKED_CONTRACT);
	raw(&w, "e", "{\"mail\":\"hash\"}", line);
	assert_accepted(&w, "e");
	b = seal(&w);
	text = line_of(b, 0);
	assert_non_null(strstr(text, "\"mail\":\"0f0f\""));
	free(text);
	batch_unref(&b);
	/* What the contract says now is not what was done then. */
	raw(&w, "e", "{\"mail\":\"redact\"}", line);
	assert_refused(&w, "masked",
		       "mail was masked (redact), and contract t "
		       "does not mask it that way now");
	raw(&w, "e", "{\"n\":\"hash\"}", line);
	assert_refused(&w, "masked", "n was masked");
	raw(&w, "e", "{\"gone\":\"hash\"}", line);
	assert_refused(&w, "masked", "gone was masked");
	raw(&w, "e", "{\"mail\":\"removed\"}", line);
	assert_refused(&w, "masked", "its value is not in the letter");
	raw(&w, "e", "{\"mail\":5}", line);
	assert_refused(&w, "masked", "does not say");
	raw(&w, "e", "[]", line);
	assert_refused(&w, "masked", "does not say");
	raw(&w, "e", "{", line);
	assert_refused(&w, "masked", "does not say");
	assert_int_equal(batch_builder_events(w.e.builder), 0);
	finish(&w);
}

static void a_masked_key_and_identity_stay_in_the_index(void **state)
{
	struct contract_set *set = set_of_text(
	    "name = \"t\"; version = 1; doc = \"d\"; match = { event_type = "
	    "\"t\"; }; identity = [\"who\"]; partition_key = \"who\"; "
	    "fields = ({ name = \"event_type\"; type = \"string\"; }, { name = "
	    "\"who\"; type = \"string\"; mask = \"hash\"; }); "
	    "unknown_fields = \"drop\";");
	struct taken *t = take_text(set, INTAKE_ONE,
				    "{\"event_type\":\"t\",\"who\":\"Jane\"}");
	struct batch *first = map_batch(set, t->batch, NULL), *again;
	char *line = line_of(first, 0);
	struct world w = {.set = set};
	const struct batch_event *a = &first->events[0], *b;

	(void)state;
	events_init(&w.e);
	raw(&w, "x", "{\"who\":\"hash\"}", line);
	mapped(&w, "t", line);
	again = seal(&w);
	assert_int_equal(again->header.events, 2);
	for (uint32_t i = 0; i < 2; i++) {
		b = &again->events[i];
		assert_int_equal(b->key_hash, a->key_hash);
		assert_int_equal(b->id_bytes, a->id_bytes);
		assert_memory_equal(again->payload + b->id_offset,
				    first->payload + a->id_offset, a->id_bytes);
		assert_int_equal(b->key_bytes, a->key_bytes);
		assert_int_equal(b->version, a->version);
	}
	free(line);
	batch_unref(&first);
	batch_unref(&again);
	taken_free(&t);
	finish(&w);
}

static void a_mapped_event_passes_byte_by_byte(void **state)
{
	static const char line[] = "{\"event_id\":\"a\\u00e9\"," T
				   ",\"k\":\"K\",\"mail\":\"0f0f\",\"n\":99}";
	struct world w;
	struct batch *b;
	const struct batch_event *e;
	char *text;

	(void)state;
	begin(&w, MASKED_CONTRACT);
	mapped(&w, "t", line);
	assert_accepted(&w, "a\xc3\xa9");
	b = seal(&w);
	text = line_of(b, 0);
	assert_string_equal(text, line);
	e = &b->events[0];
	assert_int_equal(e->id_bytes, 3);
	assert_memory_equal(b->payload + e->key_offset, "K", 1);
	assert_memory_equal(b->payload + e->type_offset, "t", 1);
	assert_int_equal(e->version, 1);
	free(text);
	batch_unref(&b);
	finish(&w);
}

static void mapped_lines_that_are_no_rows_are_refused(void **state)
{
	struct world w;

	(void)state;
	begin(&w, MASKED_CONTRACT);
	mapped(&w, "t", "{\"event_id\":\"e\"," T ",\"n\":\"x\"}");
	assert_refused(&w, "not_a_row", "the value of n is no int");
	mapped(&w, "t", "{" T "}");
	assert_refused(&w, "missing_field", "no identity");
	mapped(&w, "nobody", "{" T "}");
	assert_refused(&w, "no_contract", "stream nobody");
	mapped(&w, "t", "{\"event_id\":\"e\"\n}");
	assert_refused(&w, "malformed_json", "one line");
	mapped(&w, "t", "{\"event_id\"");
	assert_refused(&w, "malformed_json", "at byte");
	mapped(&w, "t", "5");
	assert_refused(&w, "not_an_object", "object");
	mapped(&w, "t", "{}");
	assert_refused(&w, "missing_field", "no identity");
	raw(&w, "e", "", "{\"event_id\"");
	assert_refused(&w, "malformed_json", "");
	raw(&w, "e", "", "{\"event_type\":\"other\"}");
	assert_refused(&w, "no_contract", "other");
	assert_int_equal(batch_builder_events(w.e.builder), 0);
	assert_int_equal(batch_builder_offset(w.e.builder), 0);
	finish(&w);
}

static void archived_lines_are_taken_by_stream_and_time(void **state)
{
	static const char line[] = "{\"event_id\":\"e\"," T "}";
	const char *const any[] = {"t", "0", "0", NULL};
	const char *const other[] = {"u", "0", "0", NULL};
	/* 2026-01-31T10:00:00Z and a µs behind it. */
	const char *const in[] = {"t", "1769853600000000", "1769853600000001",
				  NULL};
	const char *const behind[] = {"t", "1769853600000001",
				      "1869853600000001", NULL};
	struct world w;
	struct err err;

	(void)state;
	begin(&w, MASKED_CONTRACT);
	assert_int_equal(ask(&w, REPLAY_ARCHIVED, any, line, &err), 0);
	assert_int_equal(ask(&w, REPLAY_ARCHIVED, in, line, &err), 0);
	assert_int_equal(w.e.answers.used, 0);
	assert_int_equal(batch_builder_events(w.e.builder), 2);
	assert_int_equal(ask(&w, REPLAY_ARCHIVED, other, line, &err), 0);
	assert_int_equal(next_answer(&w).kind, REPLAY_PASSED);
	assert_int_equal(ask(&w, REPLAY_ARCHIVED, behind, line, &err), 0);
	assert_int_equal(next_answer(&w).kind, REPLAY_PASSED);
	assert_int_equal(
	    ask(&w, REPLAY_ARCHIVED, any, "{\"event_type\":\"q\"}", &err), 0);
	assert_int_equal(next_answer(&w).kind, REPLAY_PASSED);
	assert_int_equal(ask(&w, REPLAY_ARCHIVED, any, "{", &err), 0);
	assert_refused(&w, "malformed_json", "");
	assert_int_equal(batch_builder_events(w.e.builder), 2);
	finish(&w);
}

static void types_of_a_stream_are_told(void **state)
{
	struct world w = {.set = set_of_folder("etc/contracts")};
	const char *const yes[] = {"order", "order.placed", NULL};
	const char *const no[] = {"order", "product.viewed", NULL};
	const char *const none[] = {"nobody", "order.placed", NULL};
	struct err err;

	(void)state;
	events_init(&w.e);
	assert_int_equal(ask(&w, REPLAY_TAKES, yes, "", &err), 0);
	assert_int_equal(next_answer(&w).kind, REPLAY_YES);
	assert_int_equal(ask(&w, REPLAY_TAKES, no, "", &err), 0);
	assert_int_equal(next_answer(&w).kind, REPLAY_NO);
	assert_int_equal(ask(&w, REPLAY_TAKES, none, "", &err), 0);
	assert_int_equal(next_answer(&w).kind, REPLAY_NO);
	finish(&w);
}

static void what_is_no_frame_is_refused(void **state)
{
	const char *const texts[] = {"t", NULL};
	struct replay_frame frame;
	struct buf out = {0};
	struct world w;
	struct err err;
	size_t used;

	(void)state;
	begin(&w, MASKED_CONTRACT);
	assert_int_equal(ask(&w, REPLAY_RAW, texts, "{}", &err), -1);
	assert_non_null(strstr(err.text, "releases"));
	assert_int_equal(ask(&w, REPLAY_ARCHIVED, texts, "", &err), -1);
	assert_int_equal(ask(&w, REPLAY_DONE, texts, "", &err), -1);
	replay_begin(&out, REPLAY_TAKES, 1);
	replay_text(&out, "t");
	replay_end(&out, 0);
	for (size_t i = 0; i < out.used; i++)
		assert_int_equal(replay_next(out.data, i, &frame, &used, &err),
				 0);
	out.data[4] = 99;
	assert_int_equal(replay_next(out.data, out.used, &frame, &used, &err),
			 -1);
	out.data[4] = REPLAY_TAKES;
	out.data[3] = 1;
	assert_int_equal(replay_next(out.data, out.used, &frame, &used, &err),
			 -1);
	buf_free(&out);
	finish(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_raw_event_is_mapped_the_same_each_time),
	    cmocka_unit_test(what_was_masked_stays_as_it_is),
	    cmocka_unit_test(a_masked_key_and_identity_stay_in_the_index),
	    cmocka_unit_test(a_mapped_event_passes_byte_by_byte),
	    cmocka_unit_test(mapped_lines_that_are_no_rows_are_refused),
	    cmocka_unit_test(archived_lines_are_taken_by_stream_and_time),
	    cmocka_unit_test(types_of_a_stream_are_told),
	    cmocka_unit_test(what_is_no_frame_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
