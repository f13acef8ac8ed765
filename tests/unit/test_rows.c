#include <errno.h>
#include <sys/stat.h>

#include "duck_help.h"
#include "lake/parquet.h"
#include "lake/parquet_stats.h"
#include "lake/rows.h"

#define FIELDS                                                 \
	",{ name = \"i\"; type = \"int\"; },"                  \
	"{ name = \"l\"; type = \"long\"; },"                  \
	"{ name = \"f\"; type = \"double\"; },"                \
	"{ name = \"d\"; type = \"decimal(18,6)\"; },"         \
	"{ name = \"h\"; type = \"decimal(38,18)\"; },"        \
	"{ name = \"n\"; type = \"decimal(4,2)\"; },"          \
	"{ name = \"m\"; type = \"decimal(9,2)\"; },"          \
	"{ name = \"b\"; type = \"boolean\"; },"               \
	"{ name = \"day\"; type = \"date\"; },"                \
	"{ name = \"a\"; type = \"array(decimal(9,2))\"; },"   \
	"{ name = \"s\"; type = \"struct\"; fields = ("        \
	"{ name = \"x\"; type = \"string\"; },"                \
	"{ name = \"t\"; type = \"array(struct)\"; fields = (" \
	"{ name = \"q\"; type = \"long\"; },"                  \
	"{ name = \"w\"; type = \"array(string)\"; }); }); }"

/* Lines of one contract as a table of DuckDB. */
struct table {
	struct duck_fixture f;
	struct contract_set *set;
	struct schema *schema;
	struct rows *rows;
	struct lake_event *events;
	size_t count;
};

static void table_begin(struct table *t, const char *fields)
{
	char *text = xasprintf("%s%s%s", HEAD, fields, TAIL);

	*t = (struct table){.set = set_of_text(text)};
	duck_begin(&t->f);
	t->schema = schema_of_contract(contract_set_at(t->set, 0));
	t->rows = rows_new(t->schema);
	assert_int_equal(rows_register(t->rows, t->f.duck, "rows", &t->f.err),
			 0);
	free(text);
}

static void table_lines(struct table *t, const char *const *lines, size_t count)
{
	t->events = xreallocarray(t->events, count, sizeof(*t->events));
	t->count = count;
	for (size_t i = 0; i < count; i++)
		t->events[i] = (struct lake_event){
		    .line = lines[i],
		    .bytes = (uint32_t)strlen(lines[i]),
		    .contract = contract_set_at(t->set, 0),
		    .position = 100 + i,
		};
	rows_set(t->rows, t->events, count);
}
#define LINES(t, list) table_lines(t, list, sizeof(list) / sizeof(*list))

static void table_end(struct table *t)
{
	rows_free(&t->rows);
	schema_unref(&t->schema);
	duck_end(&t->f);
	contract_set_unref(&t->set);
	free(t->events);
}

static const char *const typed[] = {
    "{\"event_id\":\"e1\",\"event_time\":\"1969-12-31T23:59:59.999999Z\","
    "\"k\":\"\\ud83d\\ude00 is more than twelve bytes\",\"custom_properties\":"
    "{\"p\": 2.50,\"q\":[1,\"]\"]},\"i\":-2147483648,\"l\":"
    "9223372036854775807,\"f\":0.1,\"d\":-999999999999.999999,\"h\":"
    "\"12345678901234567890.123456789012345678\",\"n\":-99.99,\"m\":"
    "9999999.99,\"b\":false,\"day\":\"1900-01-01\",\"a\":[1.5,null,-2],"
    "\"s\":{\"x\":\"\",\"t\":[{\"q\":1,\"w\":[\"a\",null,\"\\\"\"]},null,"
    "{}]}}",
    "{\"event_id\":\"e2\",\"k\":\"\",\"custom_properties\":\"t\",\"i\":"
    "2147483647,\"l\":-9223372036854775808,\"f\":-0.0,\"d\":0.000001,\"h\":"
    "-0.000000000000000001,\"n\":0,\"b\":true,\"day\":\"9999-12-31\",\"a\":[],"
    "\"s\":{\"t\":[]}}",
    "{\"event_id\":\"e3\",\"event_time\":\"2026-01-01T00:00:00.000001+01:00\","
    "\"k\":null,\"s\":null,\"custom_properties\":2.50}",
};

static const char typed_rows[] =
    "e1|-|1969-12-31T23:59:59.999999Z|\xf0\x9f\x98\x80 is more than twelve "
    "bytes|{\"p\": 2.50,\"q\":[1,\"]\"]}|-2147483648|9223372036854775807|0.1|"
    "-999999999999.999999|12345678901234567890.123456789012345678|-99.99|"
    "9999999.99|false|1900-01-01|[1.50,null,-2.00]|{\"x\":\"\",\"t\":[{\"q\":"
    "1,\"w\":[\"a\",null,\"\\\"\"]},null,{\"q\":null,\"w\":null}]}\n"
    "e2|-|-||\"t\"|2147483647|-9223372036854775808|-0|0.000001|"
    "-0.000000000000000001|0.00|-|true|9999-12-31|[]|{\"x\":null,\"t\":[]}\n"
    "e3|-|2025-12-31T23:00:00.000001Z|-|2.50|-|-|-|-|-|-|-|-|-|-|-\n";

static void lines_become_rows(void **state)
{
	struct table t;

	(void)state;
	table_begin(&t, FIELDS);
	LINES(&t, typed);
	duck_expect(&t.f, "SELECT * FROM rows()", typed_rows);
	t.events[1].skip = true;
	duck_expect(&t.f, "SELECT event_id FROM rows()", "e1\ne3\n");
	table_end(&t);
}

static void a_file_has_the_rows_and_their_bounds(void **state)
{
	struct parquet_written w;
	struct table t;
	struct stat st;
	char *path, *sql;

	(void)state;
	table_begin(&t, FIELDS);
	LINES(&t, typed);
	path = xasprintf("%s/a'b.parquet", t.f.folder.path);
	assert_int_equal(parquet_write(t.f.duck, t.schema, "rows()", path,
				       "zstd", &w, &t.f.err),
			 0);
	assert_int_equal(w.rows, 3);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(w.bytes, st.st_size);
	assert_string_equal(
	    buf_str(&w.stats),
	    "{\"numRecords\":3,\"minValues\":{\"event_id\":\"e1\","
	    "\"event_time\":\"1969-12-31T23:59:59.999Z\",\"k\":\"\","
	    "\"custom_properties\":\"\\\"t\\\"\",\"i\":-2147483648,\"l\":"
	    "-9223372036854775808,\"f\":-0.0,\"d\":-999999999999.999999,"
	    "\"h\":-0.000000000000000001,\"n\":-99.99,\"m\":9999999.99,"
	    "\"b\":false,\"day\":\"1900-01-01\",\"s\":{\"x\":\"\"}},"
	    "\"maxValues\":{\"event_id\":\"e3\",\"event_time\":"
	    "\"2025-12-31T23:00:00.001Z\",\"k\":\"\xf0\x9f\x98\x80 is more "
	    "than twelve bytes\",\"custom_properties\":"
	    "\"{\\\"p\\\": 2.50,\\\"q\\\":[1,\\\"]\\\"]}\",\"i\":2147483647,"
	    "\"l\":9223372036854775807,\"f\":0.1,\"d\":0.000001,\"h\":"
	    "12345678901234567890.123456789012345678,\"n\":0.00,\"m\":"
	    "9999999.99,\"b\":true,\"day\":\"9999-12-31\",\"s\":{\"x\":"
	    "\"\"}},\"nullCount\":{\"event_id\":0,\"event_type\":3,"
	    "\"event_time\":1,\"k\":1,\"custom_properties\":0,\"i\":1,\"l\":1,"
	    "\"f\":1,\"d\":1,\"h\":1,\"n\":1,\"m\":2,\"b\":1,\"day\":1,"
	    "\"s\":{\"x\":2}}}");
	parquet_written_free(&w);
	sql = xasprintf("SELECT * FROM read_parquet('%s/a''b.parquet')",
			t.f.folder.path);
	duck_expect(&t.f, sql, typed_rows);
	free(sql);
	free(path);
	table_end(&t);
}

static void no_rows_leave_no_file(void **state)
{
	struct parquet_written w;
	struct table t;
	char *path;

	(void)state;
	table_begin(&t, "");
	rows_set(t.rows, NULL, 0);
	path = xasprintf("%s/none.parquet", t.f.folder.path);
	assert_int_equal(parquet_write(t.f.duck, t.schema, "rows()", path,
				       "snappy", &w, &t.f.err),
			 0);
	assert_int_equal(w.rows, 0);
	assert_int_not_equal(access(path, F_OK), 0);
	parquet_written_free(&w);
	free(path);
	table_end(&t);
}

static void a_bad_event_is_named_and_leaves_no_file(void **state)
{
	static const char *const lines[] = {
	    "{\"event_id\":\"e1\",\"d\":1}",
	    "{\"event_id\":\"e2\",\"d\":\"x\"}",
	    "{\"event_id\":\"e3\",\"d\":2}",
	};
	struct parquet_written w;
	struct table t;
	char *path;

	(void)state;
	table_begin(&t, FIELDS);
	LINES(&t, lines);
	path = xasprintf("%s/bad.parquet", t.f.folder.path);
	assert_int_equal(rows_bad_event(t.rows), SIZE_MAX);
	assert_int_equal(parquet_write(t.f.duck, t.schema, "rows()", path,
				       "zstd", &w, &t.f.err),
			 -1);
	assert_int_equal(t.f.err.code, EINVAL);
	assert_false(t.f.err.retriable);
	assert_string_equal(t.f.err.text,
			    "an event of t at log position 101: the value of d "
			    "is no decimal(18,6)");
	assert_int_equal(rows_bad_event(t.rows), 1);
	assert_int_not_equal(access(path, F_OK), 0);
	t.events[1].skip = true;
	assert_int_equal(parquet_write(t.f.duck, t.schema, "rows()", path,
				       "uncompressed", &w, &t.f.err),
			 0);
	assert_int_equal(rows_bad_event(t.rows), SIZE_MAX);
	assert_int_equal(w.rows, 2);
	parquet_written_free(&w);
	free(path);
	assert_int_equal(parquet_write(t.f.duck, t.schema, "rows()",
				       "/none/x.parquet", "zstd", &w, &t.f.err),
			 -1);
	assert_int_equal(t.f.err.code, EIO);
	assert_true(t.f.err.retriable);
	table_end(&t);
}

/* A table that was made otherwise: other order, names and more columns. */
static void columns_are_found_by_name(void **state)
{
	static const char *const lines[] = {
	    "{\"event_id\":\"e1\",\"k\":\"x\",\"v\":7}",
	    "{\"event_id\":\"e2\"}",
	    "{\"event_id\":\"e3\",\"w\":1}",
	    "{\"event_id\":\"e4\",\"k\":\"x\",\"event_type\":\"y\"}",
	};
	static const char json[] =
	    "{\"type\":\"struct\",\"fields\":["
	    "{\"name\":\"V\",\"type\":\"long\"},"
	    "{\"name\":\"x\",\"type\":\"float\"},"
	    "{\"name\":\"Event_ID\",\"type\":\"string\"},"
	    "{\"name\":\"w\",\"type\":\"string\"},"
	    "{\"name\":\"K\",\"type\":\"string\"}]}";
	struct schema *other;
	struct table t;

	(void)state;
	table_begin(&t, ", { name = \"v\"; type = \"int\"; },"
			"{ name = \"w\"; type = \"int\"; }");
	assert_int_equal(schema_parse(&other, json, sizeof(json) - 1, &t.f.err),
			 0);
	rows_free(&t.rows);
	t.rows = rows_new(other);
	schema_unref(&other);
	assert_int_equal(rows_register(t.rows, t.f.duck, "rows", &t.f.err), 0);
	table_lines(&t, lines, 2);
	duck_expect(&t.f, "SELECT * FROM rows()", "7|-|e1|-|x\n-|-|e2|-|-\n");
	LINES(&t, lines);
	assert_int_equal(duck_run(t.f.duck, "SELECT * FROM rows()", &t.f.err),
			 -1);
	assert_int_equal(rows_bad_event(t.rows), 2);
	assert_non_null(strstr(t.f.err.text, "log position 102: field w has "
					     "another type in the table"));
	t.events[2].skip = true;
	assert_int_equal(duck_run(t.f.duck, "SELECT * FROM rows()", &t.f.err),
			 -1);
	assert_int_equal(rows_bad_event(t.rows), 3);
	assert_non_null(strstr(t.f.err.text,
			       "field event_type has no column in the table"));
	table_end(&t);
}

static void expect_file(struct table *t, const char *names, const char *rows)
{
	char *path = xasprintf("%s/w.parquet", t->f.folder.path);
	char *sql = xasprintf("SELECT string_agg(name, ' ') FROM "
			      "parquet_schema('%s') WHERE name NOT LIKE "
			      "'%%schema'",
			      path);
	struct parquet_written w;

	if (rows_write(t->rows, t->f.duck, path, "zstd", &w, &t->f.err) < 0)
		fail_msg("%s", t->f.err.text);
	assert_int_equal(w.rows, t->count);
	parquet_written_free(&w);
	duck_expect(&t->f, sql, names);
	free(sql);
	sql = xasprintf("SELECT * FROM '%s'", path);
	duck_expect(&t->f, sql, rows);
	free(sql);
	free(path);
}

static void columns_without_values_are_left_out(void **state)
{
	static const char *const few[] = {
	    "{\"event_id\":\"e1\",\"v\":null}",
	    "{\"event_id\":\"e2\",\"k\":\"x\"}",
	};
	static const char *const late[] = {
	    "{\"event_id\":\"e3\"}",
	    "{\"event_id\":\"e4\",\"v\":{\"a\":7}}",
	};
	static const char *const bad[] = {"{\"event_id\":\"e5\",\"v\":7}"};
	struct parquet_written w;
	struct table t;

	(void)state;
	table_begin(&t, ", { name = \"v\"; type = \"struct\"; fields = ("
			"{ name = \"a\"; type = \"int\"; }); }");
	LINES(&t, few);
	expect_file(&t,
		    "event_id event_type event_time k custom_properties v a\n",
		    "e1|-|-|-|-|-\ne2|-|-|x|-|-\n");
	expect_file(&t, "event_id k\n", "e1|-\ne2|x\n");
	LINES(&t, late);
	expect_file(&t,
		    "event_id event_type event_time k custom_properties v a\n",
		    "e3|-|-|-|-|-\ne4|-|-|-|-|{\"a\":7}\n");
	expect_file(&t, "event_id k v a\n", "e3|-|-\ne4|-|{\"a\":7}\n");
	LINES(&t, bad);
	assert_int_equal(
	    rows_write(t.rows, t.f.duck, "/none/x", "zstd", &w, &t.f.err), -1);
	/* All columns are there again for whoever reads rows(). */
	assert_int_equal(rows_register(t.rows, t.f.duck, "rows", &t.f.err), 0);
	LINES(&t, late);
	duck_expect(&t.f, "SELECT event_time, v FROM rows()",
		    "-|-\n-|{\"a\":7}\n");
	table_end(&t);
}

/* Many rows and long lists go over the edges of chunks and of their room. */
static void many_rows_are_all_there(void **state)
{
	const size_t count = 7000;
	char **lines = xcalloc(count, sizeof(*lines));
	struct table t;

	(void)state;
	table_begin(&t, FIELDS);
	for (size_t i = 0; i < count; i++) {
		struct buf b = {0};

		buf_printf(&b, "{\"event_id\":\"%zu\",\"a\":[", i);
		for (size_t k = 0; k < i % 50; k++)
			buf_printf(&b, "%s%zu.25", k ? "," : "", k);
		buf_printf(&b, "],\"s\":{\"t\":[");
		for (size_t k = 0; k < i % 7; k++)
			buf_printf(&b,
				   "%s{\"q\":%zu,\"w\":[\"short\",null,\"text "
				   "of more than twelve bytes \\n %zu\"]}",
				   k ? "," : "", k, i);
		buf_printf(&b, "]}}");
		lines[i] = xstrdup(buf_str(&b));
		buf_free(&b);
	}
	table_lines(&t, (const char *const *)lines, count);
	duck_expect(
	    &t.f,
	    "SELECT count(*), sum(event_id::BIGINT), sum(len(a)), "
	    "sum(list_sum(a)), sum(len(s.t)), "
	    "sum(list_sum(list_transform(s.t, lambda e: e.q))), "
	    "sum(list_sum(list_transform(s.t, lambda e: len(e.w)))), "
	    "count(*) FILTER (len(s.t) > 1 AND s.t[2].w[3] <> "
	    "'text of more than twelve bytes ' || chr(10) || ' ' || event_id) "
	    "FROM rows()",
	    "7000|24496500|171500|2786875.00|21000|35000|63000|0\n");
	table_end(&t);
	for (size_t i = 0; i < count; i++)
		free(lines[i]);
	free(lines);
}

/* The statistics of one string column v with these bounds. */
static void expect_bounds(const char *type, const char *bounds,
			  const char *wanted)
{
	char *json = xasprintf("{\"type\":\"struct\",\"fields\":[{\"name\":"
			       "\"v\",\"type\":\"%s\"}]}",
			       type);
	char *columns = xasprintf("{\"\\\"v\\\"\":{%s}}", bounds);
	struct buf out = {0};
	struct schema *s;
	struct err err;

	assert_int_equal(schema_parse(&s, json, strlen(json), &err), 0);
	parquet_stats(s, 7, columns, &out);
	assert_string_equal(buf_str(&out), wanted);
	buf_free(&out);
	schema_unref(&s);
	free(columns);
	free(json);
}

#define S31 "abcdefghijklmnopqrstuvwxyz01234"
#define BOUNDS(min, max)                              \
	"{\"numRecords\":7,\"minValues\":{\"v\":" min \
	"},\"maxValues\":{\"v\":" max "}}"

static void bounds_hold_what_they_bound(void **state)
{
	(void)state;
	/* cJSON's texts end at U+0000: less than it is, so no upper bound. */
	expect_bounds("string", "\"min\":\"a\\u0000b\",\"max\":\"a\\u0000b\"",
		      "{\"numRecords\":7,\"minValues\":{\"v\":\"a\"}}");
	expect_bounds("string", "\"min\":\"" S31 "xy\",\"max\":\"" S31 "xy\"",
		      BOUNDS("\"" S31 "x\"", "\"" S31 "y\""));
	expect_bounds("string", "\"min\":\"" S31 "x\",\"max\":\"" S31 "x\"",
		      BOUNDS("\"" S31 "x\"", "\"" S31 "x\""));
	/* The last of two, three and four bytes go up in length. */
	expect_bounds("string",
		      "\"min\":\"\",\"max\":\"" S31 "\x7f"
		      "a\"",
		      BOUNDS("\"\"", "\"" S31 "\xc2\x80\""));
	expect_bounds("string",
		      "\"min\":\"\",\"max\":\"" S31 "\xdf\xbf"
		      "a\"",
		      BOUNDS("\"\"", "\"" S31 "\xe0\xa0\x80\""));
	expect_bounds("string",
		      "\"min\":\"\",\"max\":\"" S31 "\xed\x9f\xbf"
		      "a\"",
		      BOUNDS("\"\"", "\"" S31 "\xee\x80\x80\""));
	expect_bounds("string",
		      "\"min\":\"\",\"max\":\"" S31 "\xef\xbf\xbf"
		      "a\"",
		      BOUNDS("\"\"", "\"" S31 "\xf0\x90\x80\x80\""));
	/* Nothing comes after the last character there is. */
	expect_bounds("string",
		      "\"min\":\"\",\"max\":\"" S31 "\xf4\x8f\xbf\xbf"
		      "a\"",
		      BOUNDS("\"\"", "\"abcdefghijklmnopqrstuvwxyz01235\""));
	expect_bounds("timestamp",
		      "\"min\":\"1969-12-31 23:59:59.999001+00\","
		      "\"max\":\"1969-12-31 23:59:59.999001+00\"",
		      BOUNDS("\"1969-12-31T23:59:59.999Z\"",
			     "\"1970-01-01T00:00:00.000Z\""));
	expect_bounds("timestamp",
		      "\"min\":\"2026-01-01 00:00:00+00\","
		      "\"max\":\"2026-01-01 00:00:00.5+00\"",
		      BOUNDS("\"2026-01-01T00:00:00.000Z\"",
			     "\"2026-01-01T00:00:00.500Z\""));
	expect_bounds("long",
		      "\"min\":\"-9007199254740993\",\"max\":"
		      "\"9007199254740993\"",
		      BOUNDS("-9007199254740993", "9007199254740993"));
	expect_bounds("double", "\"min\":\"-1e+20\",\"max\":\"2.5\"",
		      BOUNDS("-1e+20", "2.5"));
}

static void odd_bounds_are_left_out(void **state)
{
	static const char none[] = "{\"numRecords\":7}";

	(void)state;
	expect_bounds("double", "\"min\":\"-inf\",\"max\":\"nan\"", none);
	expect_bounds("double",
		      "\"min\":\"1\",\"max\":\"2\",\"has_nan\":\"true\"", none);
	expect_bounds("double",
		      "\"min\":\"1\",\"max\":\"2\",\"has_nan\":\"false\"",
		      BOUNDS("1", "2"));
	expect_bounds("long", "\"min\":\"\",\"max\":\"x\"", none);
	expect_bounds("boolean", "\"min\":\"2\"", none);
	expect_bounds("date", "\"min\":\"infinity\"", none);
	expect_bounds("timestamp", "\"min\":\"infinity\"", none);
	expect_bounds("timestamp", "\"max\":\"9999-12-31 23:59:59.999999+00\"",
		      none);
	expect_bounds("float", "\"min\":\"1\",\"max\":\"2\"", none);
	expect_bounds("string", "\"min\":1", none);
	expect_bounds("string", "\"null_count\":\"3\"",
		      "{\"numRecords\":7,\"nullCount\":{\"v\":3}}");
}

static void only_the_first_columns_are_told_of(void **state)
{
	struct buf json = {0}, columns = {0}, out = {0};
	struct schema *s;
	struct err err;

	(void)state;
	buf_text(&json, "{\"type\":\"struct\",\"fields\":[");
	buf_char(&columns, '{');
	for (int i = 0; i < 40; i++) {
		buf_printf(&json, "%s{\"name\":\"a\\\"%d\",\"type\":\"long\"}",
			   i ? "," : "", i);
		buf_printf(&columns,
			   "%s\"\\\"a\\\"\\\"%d\\\"\":{\"min\":\"%d\"}",
			   i ? "," : "", i, i);
	}
	buf_text(&json, "]}");
	buf_char(&columns, '}');
	assert_int_equal(schema_parse(&s, json.data, json.used, &err), 0);
	parquet_stats(s, 1, buf_str(&columns), &out);
	assert_non_null(strstr(buf_str(&out), "\"a\\\"31\":31}"));
	assert_null(strstr(buf_str(&out), "32"));
	schema_unref(&s);
	buf_free(&json);
	buf_free(&columns);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lines_become_rows),
	    cmocka_unit_test(a_file_has_the_rows_and_their_bounds),
	    cmocka_unit_test(no_rows_leave_no_file),
	    cmocka_unit_test(a_bad_event_is_named_and_leaves_no_file),
	    cmocka_unit_test(columns_are_found_by_name),
	    cmocka_unit_test(columns_without_values_are_left_out),
	    cmocka_unit_test(many_rows_are_all_there),
	    cmocka_unit_test(bounds_hold_what_they_bound),
	    cmocka_unit_test(odd_bounds_are_left_out),
	    cmocka_unit_test(only_the_first_columns_are_told_of),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
