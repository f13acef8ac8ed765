#include "lake/schema.h"
#include "test_contract_help.h"

static struct schema *parsed(const char *json)
{
	struct schema *s;
	struct err err;

	if (schema_parse(&s, json, strlen(json), &err) < 0)
		fail_msg("%s: %s", json, err.text);
	return s;
}

/* The schema of fields written as Delta does. */
#define STRUCT(fields) "{\"type\":\"struct\",\"fields\":[" fields "]}"
#define FIELD(name, type)                       \
	"{\"name\":\"" name "\",\"type\":" type \
	",\"nullable\":true,\"metadata\":{}}"

static void expect_delta(const struct schema *s, const char *wanted)
{
	struct buf out = {0};

	schema_print_delta(s, &out);
	assert_string_equal(buf_str(&out), wanted);
	buf_free(&out);
}

static void expect_duck(const struct column *c, const char *wanted)
{
	struct buf out = {0};

	schema_print_duck(c, &out);
	assert_string_equal(buf_str(&out), wanted);
	buf_free(&out);
}

static void a_contract_gives_its_columns(void **state)
{
	/* clang-format off */
	static const char wanted[] = STRUCT(
	    FIELD("event_id", "\"string\"") ","
	    FIELD("event_type", "\"string\"") ","
	    FIELD("event_time", "\"timestamp\"") ","
	    FIELD("k", "\"string\"") ","
	    FIELD("custom_properties", "\"string\"") ","
	    FIELD("g", "\"string\"") ","
	    FIELD("i", "\"integer\"") ","
	    FIELD("l", "\"long\"") ","
	    FIELD("f", "\"double\"") ","
	    FIELD("d", "\"decimal(18,6)\"") ","
	    FIELD("b", "\"boolean\"") ","
	    FIELD("day", "\"date\"") ","
	    FIELD("a", "{\"type\":\"array\",\"elementType\":"
		       "\"decimal(38,18)\",\"containsNull\":true}") ","
	    FIELD("s", "{\"type\":\"array\",\"elementType\":"
		       STRUCT(FIELD("x", "\"string\"") ","
			      FIELD("y", "\"timestamp\""))
		       ",\"containsNull\":true}"));
	/* clang-format on */
	struct contract_set *set = set_of_text(
	    HEAD ", { name = \"g\"; type = \"guid\"; },"
		 "{ name = \"i\"; type = \"int\"; },"
		 "{ name = \"l\"; type = \"long\"; },"
		 "{ name = \"f\"; type = \"double\"; },"
		 "{ name = \"d\"; type = \"decimal(18,6)\"; },"
		 "{ name = \"b\"; type = \"boolean\"; },"
		 "{ name = \"day\"; type = \"date\"; },"
		 "{ name = \"a\"; type = \"array(decimal(38,18))\"; },"
		 "{ name = \"s\"; type = \"array(struct)\"; fields = ("
		 "{ name = \"x\"; type = \"dynamic\"; required = true; },"
		 "{ name = \"y\"; type = \"datetime\"; }); }" TAIL);
	struct schema *s = schema_of_contract(contract_set_at(set, 0));

	(void)state;
	contract_set_unref(&set);
	expect_delta(s, wanted);
	expect_duck(schema_at(s, 2), "TIMESTAMP WITH TIME ZONE");
	expect_duck(schema_at(s, 9), "DECIMAL(18,6)");
	expect_duck(schema_at(s, 12), "DECIMAL(38,18)[]");
	expect_duck(schema_at(s, 13),
		    "STRUCT(\"x\" VARCHAR, \"y\" TIMESTAMP WITH TIME ZONE)[]");
	assert_int_equal(schema_find(s, "EVENT_time"), 2);
	assert_int_equal(schema_find(s, "none"), -1);
	schema_unref(&s);
}

/* What Spark wrote is written again as it was. */
static void foreign_schemas_are_kept(void **state)
{
	static const char text[] =
	    "{\"type\":\"struct\",\"fields\":["
	    "{\"name\":\"A b\",\"type\":\"integer\",\"nullable\":false,"
	    "\"metadata\":{\"comment\":\"a \\\"b\\\"\",\"x\":[1]}},"
	    "{\"name\":\"m\",\"type\":{\"type\":\"map\",\"keyType\":\"string\","
	    "\"valueType\":{\"type\":\"array\",\"elementType\":\"binary\","
	    "\"containsNull\":false},\"valueContainsNull\":false},"
	    "\"nullable\":true,\"metadata\":{}},"
	    "{\"name\":\"f\",\"type\":\"float\",\"nullable\":true,"
	    "\"metadata\":{}},"
	    "{\"name\":\"n\",\"type\":\"timestamp_ntz\",\"nullable\":true,"
	    "\"metadata\":{}},"
	    "{\"name\":\"y\",\"type\":\"byte\",\"nullable\":true,"
	    "\"metadata\":{}},"
	    "{\"name\":\"h\",\"type\":\"short\",\"nullable\":true,"
	    "\"metadata\":{}}]}";
	struct schema *s = parsed(text);

	(void)state;
	expect_delta(s, text);
	assert_true(schema_at(s, 0)->required);
	assert_int_equal(schema_at(s, 1)->type, COLUMN_OTHER);
	assert_int_equal(schema_at(s, 2)->type, COLUMN_OTHER);
	assert_string_equal(schema_at(s, 2)->delta_type, "float");
	expect_duck(schema_at(s, 1), "MAP(VARCHAR, BLOB[])");
	expect_duck(schema_at(s, 2), "FLOAT");
	expect_duck(schema_at(s, 3), "TIMESTAMP");
	expect_duck(schema_at(s, 4), "TINYINT");
	expect_duck(schema_at(s, 5), "SMALLINT");
	schema_unref(&s);
}

static void expect_bad(const char *json, const char *wanted)
{
	struct schema *s;
	struct err err;

	assert_int_equal(schema_parse(&s, json, strlen(json), &err), -1);
	assert_null(s);
	if (!strstr(err.text, wanted))
		fail_msg("%s\ngave: %s", json, err.text);
}

static void bad_schemas_are_refused(void **state)
{
	char *deep = xmalloc(200000);
	size_t at = 0;

	(void)state;
	expect_bad("", "no JSON object");
	expect_bad("[]", "no JSON object");
	expect_bad("{}", "has no type");
	expect_bad("{\"type\":\"struct\"}", "is a struct without fields");
	expect_bad("{\"type\":\"array\",\"elementType\":\"long\"}",
		   "the table's schema is no struct");
	expect_bad(STRUCT("1"), "has no name");
	expect_bad(STRUCT(FIELD("a", "\"interval\"")),
		   "column \"a\" has the type \"interval\", which is unknown");
	expect_bad(STRUCT(FIELD("a", "\"decimal(39,1)\"")), "column \"a\"");
	expect_bad(STRUCT(FIELD("a", "\"decimal(3,4)\"")), "column \"a\"");
	expect_bad(STRUCT(FIELD("a", "\"decimal(3,1)x\"")), "column \"a\"");
	expect_bad(STRUCT(FIELD("a", "{\"type\":\"tree\"}")), "is unknown");
	expect_bad(STRUCT(FIELD("a", "null")), "has no type");
	expect_bad(STRUCT(FIELD("a", "{\"type\":\"map\"}")), "\"value\" has");
	expect_bad(STRUCT(FIELD("ab", "\"long\"") "," FIELD("aB", "\"long\"")),
		   "is there twice");
	for (int i = 0; i < 70; i++)
		at += (size_t)sprintf(deep + at, "{\"type\":\"array\","
						 "\"elementType\":");
	at += (size_t)sprintf(deep + at, "\"long\"");
	for (int i = 0; i < 70; i++)
		deep[at++] = '}';
	deep[at] = '\0';
	expect_bad(deep, "is nested too deep");
	free(deep);
}

static void sizes_are_bounded(void **state)
{
	struct buf json = {0};
	struct schema *s;
	struct err err;

	(void)state;
	buf_text(&json, "{\"type\":\"struct\",\"fields\":[");
	for (int i = 0; i < 10001; i++)
		buf_printf(&json, "%s{\"name\":\"c%d\",\"type\":\"long\"}",
			   i ? "," : "", i);
	buf_text(&json, "]}");
	assert_int_equal(schema_parse(&s, json.data, json.used, &err), -1);
	assert_non_null(strstr(err.text, "too many columns"));
	buf_reserve(&json, 2u << 20);
	memset(json.data + json.used, ' ', 1u << 20);
	assert_int_equal(
	    schema_parse(&s, json.data, json.used + (1u << 20), &err), -1);
	assert_non_null(strstr(err.text, "at most 1048576"));
	buf_free(&json);
}

static struct schema *merged(const char *table, const char *wanted,
			     bool *changed, struct err *err)
{
	struct schema *a = parsed(table), *b = parsed(wanted), *m;

	if (schema_merge(&m, a, b, changed, err) == 0)
		assert_non_null(m);
	else
		assert_null(m);
	schema_unref(&a);
	schema_unref(&b);
	return m;
}

static void expect_merged(const char *table, const char *wanted,
			  const char *result)
{
	struct err err;
	bool changed;
	struct schema *m = merged(table, wanted, &changed, &err);

	if (!m)
		fail_msg("%s", err.text);
	expect_delta(m, result);
	assert_int_equal(changed, strcmp(table, result) != 0);
	schema_unref(&m);
}

static void merges_add_columns(void **state)
{
	(void)state;
	expect_merged(
	    STRUCT(FIELD("b", "\"long\"") "," FIELD("a", "\"long\"")),
	    STRUCT(FIELD("A", "\"long\"")),
	    STRUCT(FIELD("b", "\"long\"") "," FIELD("a", "\"long\"")));
	expect_merged(
	    STRUCT(FIELD("b", "\"float\"")),
	    STRUCT("{\"name\":\"n\",\"type\":\"date\",\"nullable\":false,"
		   "\"metadata\":{}}"),
	    STRUCT(FIELD("b", "\"float\"") "," FIELD("n", "\"date\"")));
	expect_merged(
	    STRUCT(
		FIELD("s", "{\"type\":\"array\",\"elementType\":" STRUCT(FIELD(
			       "x", "\"long\"")) ",\"containsNull\":true}")),
	    STRUCT(
		FIELD("S", "{\"type\":\"array\",\"elementType\":" STRUCT(FIELD(
			       "y", "\"date\"")) ",\"containsNull\":true}")),
	    STRUCT(FIELD("s",
			 "{\"type\":\"array\",\"elementType\":" STRUCT(
			     FIELD("x", "\"long\"") "," FIELD(
				 "y", "\"date\"")) ",\"containsNull\":true}")));
}

static void expect_refused(const char *table, const char *wanted,
			   const char *text)
{
	struct err err;
	bool changed;

	assert_null(merged(table, wanted, &changed, &err));
	if (!strstr(err.text, text))
		fail_msg("%s", err.text);
	assert_false(err.retriable);
}

static void merges_change_no_type(void **state)
{
	(void)state;
	expect_refused(STRUCT(FIELD("a", "\"long\"")),
		       STRUCT(FIELD("A", "\"string\"")),
		       "column \"a\" of the table is BIGINT, and the contract "
		       "makes it VARCHAR");
	expect_refused(STRUCT(FIELD("a", "\"decimal(9,2)\"")),
		       STRUCT(FIELD("a", "\"decimal(9,3)\"")),
		       "DECIMAL(9,2), and the contract makes it DECIMAL(9,3)");
	expect_refused(STRUCT(FIELD("a", "\"float\"")),
		       STRUCT(FIELD("a", "\"double\"")), "column \"a\"");
	expect_refused(
	    STRUCT(FIELD("s", STRUCT(FIELD("x", "\"long\"")))),
	    STRUCT(FIELD("s", STRUCT(FIELD("x", "\"date\"")))),
	    "column \"s.x\" of the table is BIGINT, and the contract");
	expect_refused(STRUCT("{\"name\":\"q\",\"type\":\"date\",\"nullable\":"
			      "false,\"metadata\":{}}"),
		       STRUCT(FIELD("a", "\"date\"")),
		       "column \"q\" of the table must not be null");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_contract_gives_its_columns),
	    cmocka_unit_test(foreign_schemas_are_kept),
	    cmocka_unit_test(bad_schemas_are_refused),
	    cmocka_unit_test(sizes_are_bounded),
	    cmocka_unit_test(merges_add_columns),
	    cmocka_unit_test(merges_change_no_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
