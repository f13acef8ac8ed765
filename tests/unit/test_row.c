#include <errno.h>

#include "contract/row.h"
#include "test_contract_help.h"

/* One line of the contract t, taken apart. */
struct reading {
	struct contract_set *set;
	const struct contract *contract;
	struct row_reader *reader;
	char *line;
	struct row_cursor cursor;
	struct err err;
};

static void begin(struct reading *r, const char *fields)
{
	char *text = xasprintf("%s%s%s", HEAD, fields, TAIL);

	*r = (struct reading){.set = set_of_text(text)};
	r->contract = contract_set_at(r->set, 0);
	r->reader = row_reader_new();
	free(text);
}

static void end(struct reading *r)
{
	row_reader_free(&r->reader);
	contract_set_unref(&r->set);
	free(r->line);
}

/* A copy of the exact size, so that ASan sees every step too far. */
static int line(struct reading *r, const char *text)
{
	size_t bytes = strlen(text);

	free(r->line);
	r->line = xmalloc(bytes ? bytes : 1);
	memcpy(r->line, text, bytes);
	return row_open(r->reader, r->contract, r->line, bytes, &r->cursor,
			&r->err);
}

/* The value of the only member of a line. */
static struct row_value only(struct reading *r, const char *text)
{
	struct row_value v = {0};
	uint32_t field;

	assert_int_equal(line(r, text), 0);
	if (row_next(r->reader, &r->cursor, &field, &v, &r->err) != 1)
		fail_msg("%s: %s", text, r->err.text);
	return v;
}

static const char *refusal(struct reading *r, const char *text)
{
	struct row_value v;
	uint32_t field = 0;

	assert_int_equal(line(r, text), 0);
	assert_int_equal(row_next(r->reader, &r->cursor, &field, &v, &r->err),
			 -1);
	assert_string_equal(r->contract->fields[field].name, "v");
	assert_int_equal(r->err.code, EINVAL);
	return r->err.text;
}

static void expect_decimal(struct reading *r, const char *text,
			   const char *wanted)
{
	char *json = xasprintf("{\"v\":%s}", text);
	struct row_value v = only(r, json);
	char digits[DECIMAL_TEXT_BYTES];

	assert_int_equal(v.kind, ROW_DECIMAL);
	decimal_format(v.decimal, r->contract->fields[5].scale, digits);
	assert_string_equal(digits, wanted);
	free(json);
}

static void expect_text(const struct row_value *v, const char *wanted)
{
	assert_int_equal(v->kind, ROW_TEXT);
	assert_int_equal(v->bytes, strlen(wanted));
	assert_memory_equal(v->text, wanted, v->bytes);
}

static void test_members(void **state)
{
	struct reading r;
	struct row_value v;
	uint32_t field;

	(void)state;
	begin(&r, "");
	assert_int_equal(
	    line(&r, "{ \"k\" : \"x\", \"other\":[{\"k\":1}], \"event_time\":"
		     "\"1969-12-31T23:59:59.999999Z\",\"event_id\":null }"),
	    0);
	assert_int_equal(row_next(r.reader, &r.cursor, &field, &v, &r.err), 1);
	assert_int_equal(field, 3);
	expect_text(&v, "x");
	assert_true(v.in_line);
	assert_ptr_equal(v.text, strchr(r.line, 'x'));
	assert_int_equal(row_next(r.reader, &r.cursor, &field, &v, &r.err), 1);
	assert_int_equal(field, 2);
	assert_int_equal(v.kind, ROW_TIMESTAMP);
	assert_int_equal(v.integer, -1);
	assert_int_equal(row_next(r.reader, &r.cursor, &field, &v, &r.err), 1);
	assert_int_equal(field, 0);
	assert_int_equal(v.kind, ROW_NULL);
	assert_int_equal(row_next(r.reader, &r.cursor, &field, &v, &r.err), 0);
	assert_int_equal(row_next(r.reader, &r.cursor, &field, &v, &r.err), 0);
	assert_int_equal(line(&r, "{}"), 0);
	assert_int_equal(row_next(r.reader, &r.cursor, &field, &v, &r.err), 0);
	end(&r);
}

static void test_bad_lines(void **state)
{
	struct reading r;

	(void)state;
	begin(&r, "");
	assert_int_equal(line(&r, "[1]"), -1);
	assert_string_equal(r.err.text, "an event of t is no JSON object");
	assert_int_equal(line(&r, "{\"a\":1"), -1);
	assert_non_null(strstr(r.err.text, "an event of t is no JSON at byte"));
	assert_int_equal(line(&r, ""), -1);
	assert_int_equal(line(&r, "{\"a\":\"\\ud800\"}"), -1);
	end(&r);
}

static void test_strings(void **state)
{
	struct reading r;
	struct row_value v;

	(void)state;
	begin(&r, ", { name = \"v\"; type = \"string\"; }");
	v = only(&r, "{\"v\":\"\"}");
	expect_text(&v, "");
	v = only(&r, "{\"v\":\"\\u00e9\\ud83d\\ude00\\n\\\"\"}");
	expect_text(&v, "\xc3\xa9\xf0\x9f\x98\x80\n\"");
	assert_false(v.in_line);
	v = only(&r, "{\"v\":\"\\\"\",\"x\":\"\"}");
	expect_text(&v, "\"");
	assert_false(v.in_line);
	v = only(&r, "{\"v\":\"\xf0\x9f\x98\x80\"}");
	expect_text(&v, "\xf0\x9f\x98\x80");
	assert_true(v.in_line);
	assert_string_equal(refusal(&r, "{\"v\":1}"),
			    "the value of v is no string");
	end(&r);
}

static void test_integers(void **state)
{
	struct reading r;

	(void)state;
	begin(&r, ", { name = \"v\"; type = \"long\"; }");
	assert_int_equal(only(&r, "{\"v\":-9223372036854775808}").integer,
			 INT64_MIN);
	assert_int_equal(only(&r, "{\"v\":9223372036854775807}").integer,
			 INT64_MAX);
	assert_int_equal(only(&r, "{\"v\":-0}").integer, 0);
	refusal(&r, "{\"v\":9223372036854775808}");
	refusal(&r, "{\"v\":1.0}");
	refusal(&r, "{\"v\":\"1\"}");
	refusal(&r, "{\"v\":true}");
	end(&r);
	begin(&r, ", { name = \"v\"; type = \"int\"; }");
	assert_int_equal(only(&r, "{\"v\":-2147483648}").integer, INT32_MIN);
	assert_string_equal(refusal(&r, "{\"v\":2147483648}"),
			    "the value of v is no int");
	end(&r);
}

static void test_decimals(void **state)
{
	struct reading r;

	(void)state;
	begin(&r, ", { name = \"v\"; type = \"decimal(18,6)\"; }");
	expect_decimal(&r, "1.5", "1.500000");
	expect_decimal(&r, "\"1.5\"", "1.500000");
	expect_decimal(&r, "-0", "0.000000");
	expect_decimal(&r, "-0.000001", "-0.000001");
	expect_decimal(&r, "1.5000000000", "1.500000");
	expect_decimal(&r, "1e3", "1000.000000");
	expect_decimal(&r, "999999999999.999999", "999999999999.999999");
	expect_decimal(&r, "-999999999999.999999", "-999999999999.999999");
	expect_decimal(&r, "123456789012", "123456789012.000000");
	assert_string_equal(refusal(&r, "{\"v\":1000000000000}"),
			    "the value of v is no decimal(18,6)");
	refusal(&r, "{\"v\":0.0000001}");
	refusal(&r, "{\"v\":\"\"}");
	refusal(&r, "{\"v\":\"1x\"}");
	refusal(&r, "{\"v\":[]}");
	end(&r);
	begin(&r, ", { name = \"v\"; type = \"decimal(38,18)\"; }");
	expect_decimal(&r, "12345678901234567890.123456789012345678",
		       "12345678901234567890.123456789012345678");
	expect_decimal(&r, "1", "1.000000000000000000");
	expect_decimal(&r, "999999999999999999",
		       "999999999999999999."
		       "000000000000000000");
	end(&r);
	begin(&r, ", { name = \"v\"; type = \"decimal(3,2)\"; }");
	expect_decimal(&r, "-9.99", "-9.99");
	expect_decimal(&r, "1.1", "1.10");
	refusal(&r, "{\"v\":10}");
	refusal(&r, "{\"v\":100.1}");
	end(&r);
}

static void expect_double(struct reading *r, const char *text)
{
	char *json = xasprintf("{\"v\":%s}", text);
	struct row_value v = only(r, json);
	double wanted = strtod(text + (*text == '"'), NULL);

	assert_int_equal(v.kind, ROW_DOUBLE);
	assert_memory_equal(&v.number, &wanted, sizeof(wanted));
	free(json);
}

static void test_doubles(void **state)
{
	static const char *const texts[] = {
	    "0.1",
	    "-0",
	    "-0.0",
	    "3",
	    "1e308",
	    "5e-324",
	    "\"2.5\"",
	    "0.3000001",
	    "1e-7",
	    "123456789012345",
	    "0.30000000000000004",
	    "1234567890123456789",
	    "9007199254740993",
	    "0.123456789012345",
	    "-99999.9999999999",
	};
	struct reading r;
	uint64_t seed = 88172645463325252u;

	(void)state;
	begin(&r, ", { name = \"v\"; type = \"double\"; }");
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		expect_double(&r, texts[i]);
	/* What strtod() says of all kinds of lengths is what is wanted. */
	for (int i = 0; i < 20000; i++) {
		char text[64];

		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		snprintf(text, sizeof(text), "%s%.*f", i % 3 ? "" : "-",
			 (int)(seed % 16),
			 (double)(seed >> 20) / (double)(1 + seed % 100000007));
		expect_double(&r, text);
	}
	refusal(&r, "{\"v\":1e309}");
	refusal(&r, "{\"v\":\"x\"}");
	end(&r);
}

static void test_days(void **state)
{
	struct reading r;
	struct row_value v;

	(void)state;
	begin(&r, ", { name = \"v\"; type = \"date\"; }");
	v = only(&r, "{\"v\":\"1969-12-31\"}");
	assert_int_equal(v.kind, ROW_DATE);
	assert_int_equal(v.integer, -1);
	assert_int_equal(only(&r, "{\"v\":\"1900-01-01\"}").integer, -25567);
	assert_int_equal(only(&r, "{\"v\":\"2024-02-29\"}").integer, 19782);
	refusal(&r, "{\"v\":\"2023-02-29\"}");
	refusal(&r, "{\"v\":\"2023-02-2\"}");
	end(&r);
}

static void test_json_text(void **state)
{
	struct reading r;
	struct row_value v;

	(void)state;
	begin(&r, ", { name = \"v\"; type = \"dynamic\"; }");
	v = only(&r, "{\"v\" :  {\"a\" : 2.50,\"b\":[1, \"}\"]}  }");
	expect_text(&v, "{\"a\" : 2.50,\"b\":[1, \"}\"]}");
	assert_true(v.in_line);
	v = only(&r, "{\"v\":2.50}");
	expect_text(&v, "2.50");
	v = only(&r, "{\"v\":\"a\\u00e9\"}");
	expect_text(&v, "\"a\\u00e9\"");
	v = only(&r, "{\"v\":false,\"x\":1}");
	expect_text(&v, "false");
	v = only(&r, "{\"v\":[]}");
	expect_text(&v, "[]");
	assert_int_equal(only(&r, "{\"v\":null}").kind, ROW_NULL);
	end(&r);
}

/* Puts a value as text: what is nested in brackets, with field numbers. */
static void show(struct reading *r, const struct row_cursor *from,
		 uint32_t field, const struct row_value *v, struct buf *out)
{
	struct row_cursor c;
	struct row_value inner;
	uint32_t i;

	if (v->kind == ROW_NULL) {
		buf_text(out, "null");
	} else if (v->kind == ROW_TEXT) {
		buf_append(out, v->text, v->bytes);
	} else if (v->kind == ROW_INTEGER) {
		buf_printf(out, "%lld", (long long)v->integer);
	} else {
		assert_true(v->kind == ROW_ARRAY || v->kind == ROW_STRUCT);
		buf_char(out, v->kind == ROW_ARRAY ? '[' : '{');
		row_enter(r->reader, from, field, v, &c);
		while (row_next(r->reader, &c, &i, &inner, &r->err) > 0) {
			buf_printf(out, " %u:", i);
			show(r, &c, i, &inner, out);
		}
		buf_char(out, v->kind == ROW_ARRAY ? ']' : '}');
	}
}

static void expect_shown(struct reading *r, const char *text,
			 const char *wanted)
{
	struct row_value v = {0};
	struct buf out = {0};
	uint32_t field;

	assert_int_equal(line(r, text), 0);
	assert_int_equal(row_next(r->reader, &r->cursor, &field, &v, &r->err),
			 1);
	show(r, &r->cursor, field, &v, &out);
	assert_string_equal(buf_str(&out), wanted);
	buf_free(&out);
}

static void test_nested(void **state)
{
	struct reading r;
	const struct contract_field *f;

	(void)state;
	begin(&r, ", { name = \"v\"; type = \"array(struct)\"; fields = ("
		  "{ name = \"a\"; type = \"int\"; },"
		  "{ name = \"d\"; type = \"array(dynamic)\"; },"
		  "{ name = \"s\"; type = \"struct\"; fields = ("
		  "{ name = \"x\"; type = \"decimal(9,2)\"; },"
		  "{ name = \"t\"; type = \"array(string)\"; }); }); }");
	f = &r.contract->fields[5];
	assert_int_equal(f->type, CONTRACT_ARRAY);
	assert_string_equal(f->element->name, "element");
	assert_int_equal(f->element->type, CONTRACT_STRUCT);
	assert_int_equal(f->element->field_count, 3);
	assert_int_equal(f->element->fields[1].element->type, CONTRACT_DYNAMIC);
	assert_int_equal(f->element->fields[2].fields[0].scale, 2);
	expect_shown(&r, "{\"v\":[]}", "[]");
	expect_shown(&r,
		     "{\"v\":[{\"zz\":{},\"a\":1}, null , {\"s\":{\"t\":[\"q\","
		     "null,\"\\n\"]},\"a\":null},{}]}",
		     "[ 0:{ 0:1} 1:null 2:{ 2:{ 1:[ 0:q 1:null 2:\n]} 0:null} "
		     "3:{}]");
	expect_shown(&r,
		     "{\"v\":[{\"d\": [ 2.50 ,{\"a\": 1}, null,\"x\" ,[] ]}]}",
		     "[ 0:{ 1:[ 0:2.50 1:{\"a\": 1} 2:null 3:\"x\" 4:[]]}]");
	refusal(&r, "{\"v\":{}}");
	end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_members),  cmocka_unit_test(test_bad_lines),
	    cmocka_unit_test(test_strings),  cmocka_unit_test(test_integers),
	    cmocka_unit_test(test_decimals), cmocka_unit_test(test_doubles),
	    cmocka_unit_test(test_days),     cmocka_unit_test(test_json_text),
	    cmocka_unit_test(test_nested),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
