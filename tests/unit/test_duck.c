#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "duck_help.h"
#include "lake/duck_chunk.h"

static void a_result_is_read_to_the_last_digit(void **state)
{
	struct duck_fixture f;

	(void)state;
	duck_begin(&f);
	duck_expect(
	    &f,
	    "SELECT 12345678901234.123456::DECIMAL(20,6), "
	    "(-9223372036854775808)::BIGINT, 18446744073709551615::UBIGINT, "
	    "-0.000000000000000001::DECIMAL(38,18), "
	    "170141183460469231731687303715884105727::HUGEINT, "
	    "340282366920938463463374607431768211455::UHUGEINT, "
	    "0.1::DOUBLE, 0.30000000000000004::DOUBLE, 0.1::FLOAT, NULL, true",
	    "12345678901234.123456|-9223372036854775808|18446744073709551615|"
	    "-0.000000000000000001|170141183460469231731687303715884105727|"
	    "340282366920938463463374607431768211455|0.1|0.30000000000000004|"
	    "0.1|-|true\n");
	duck_expect(
	    &f,
	    "SELECT TIMESTAMPTZ '1969-12-31 23:59:59.999999+00', "
	    "TIMESTAMP '2026-01-01 00:00:00', DATE '1900-01-01', "
	    "TIME '01:02:03.000004', "
	    "TIMESTAMP_NS '1969-12-31 23:59:59.999999999', "
	    "TIMESTAMP_MS '2026-01-01 00:00:00.5', 'infinity'::TIMESTAMP, "
	    "'0b1c2d3e-4f50-4162-8384-95a6b7c8d9ea'::UUID, 'a\\xC3\\xA9'::BLOB",
	    "1969-12-31T23:59:59.999999Z|2026-01-01T00:00:00.000000|1900-01-01|"
	    "01:02:03.000004|1969-12-31T23:59:59.999999999|"
	    "2026-01-01T00:00:00.500000|infinity|"
	    "0b1c2d3e-4f50-4162-8384-95a6b7c8d9ea|61c3a9\n");
	duck_end(&f);
}

static void nested_values_are_json(void **state)
{
	struct duck_fixture f;

	(void)state;
	duck_begin(&f);
	duck_expect(
	    &f,
	    "SELECT [1, NULL, 3], {'a': 'x\"y', 'b': [DATE '2026-01-02']}, "
	    "MAP {'k': 1.50, 'l': NULL}, [[]::INT[], NULL], "
	    "[1, 2]::INT[2], 'b'::ENUM('a', 'b'), ['b'::ENUM('a', 'b')], "
	    "MAP {1: 'x'}, {'n': 'nan'::DOUBLE}",
	    "[1,null,3]|{\"a\":\"x\\\"y\",\"b\":[\"2026-01-02\"]}|"
	    "{\"k\":1.50,\"l\":null}|[[],null]|[1,2]|b|[\"b\"]|{\"1\":\"x\"}|"
	    "{\"n\":\"NaN\"}\n");
	duck_end(&f);
}

static void columns_have_names_and_types(void **state)
{
	struct duck_fixture f;
	struct duck_result *r;
	size_t bytes;

	(void)state;
	duck_begin(&f);
	assert_int_equal(
	    duck_query(f.duck,
		       "SELECT 1.5::DECIMAL(9,2) AS d, [{'a': 1}] AS l, "
		       "MAP {'x': now()} AS m, 'long enough to be out of line' "
		       "AS s, 7::TINYINT AS i",
		       &r, &f.err),
	    0);
	assert_int_equal(duck_columns(r), 5);
	assert_string_equal(duck_column_name(r, 1), "l");
	assert_string_equal(duck_column_type(r, 0), "DECIMAL(9,2)");
	assert_string_equal(duck_column_type(r, 1), "STRUCT(\"a\" INTEGER)[]");
	assert_string_equal(duck_column_type(r, 2),
			    "MAP(VARCHAR, TIMESTAMP WITH TIME ZONE)");
	assert_int_equal(duck_next(r, &f.err), 1);
	assert_memory_equal(duck_string(r, 3, &bytes),
			    "long enough to be out of line", 29);
	assert_int_equal(bytes, 29);
	assert_int_equal(duck_int(r, 4), 7);
	assert_int_equal(duck_next(r, &f.err), 0);
	duck_result_free(&r);
	assert_int_equal(
	    duck_query(f.duck, "SELECT '101'::BIT AS b", &r, &f.err), -1);
	assert_string_equal(f.err.text,
			    "column \"b\" is of type BIT, which is not read; "
			    "cast it to VARCHAR");
	assert_null(r);
	duck_end(&f);
}

static void large_results_come_in_chunks(void **state)
{
	struct duck_fixture f;
	struct duck_result *r;
	int64_t sum = 0;
	int more;

	(void)state;
	duck_begin(&f);
	assert_int_equal(
	    duck_query(f.duck, "SELECT range FROM range(10000)", &r, &f.err),
	    0);
	while ((more = duck_next(r, &f.err)) > 0)
		sum += duck_int(r, 0);
	assert_int_equal(more, 0);
	assert_int_equal(sum, 49995000);
	duck_result_free(&r);
	/* One that is left unread is in nobody's way. */
	assert_int_equal(
	    duck_query(f.duck, "SELECT range FROM range(10000)", &r, &f.err),
	    0);
	assert_int_equal(duck_next(r, &f.err), 1);
	duck_result_free(&r);
	duck_expect(&f, "SELECT 1", "1\n");
	duck_end(&f);
}

static void errors_say_what_and_whether_to_try_again(void **state)
{
	struct duck_fixture f;
	struct duck_result *r;

	(void)state;
	duck_begin(&f);
	assert_int_equal(duck_run(f.duck, "SELEC 1", &f.err), -1);
	assert_non_null(strstr(f.err.text, "syntax error"));
	assert_null(strchr(f.err.text, '\n'));
	assert_false(f.err.retriable);
	assert_int_equal(
	    duck_query(f.duck, "SELECT * FROM nowhere", &r, &f.err), -1);
	assert_non_null(strstr(f.err.text, "nowhere"));
	assert_int_equal(duck_query(f.duck,
				    "SELECT * FROM read_parquet('/none/x')", &r,
				    &f.err),
			 -1);
	assert_int_equal(f.err.code, EIO);
	assert_true(f.err.retriable);
	assert_int_equal(duck_query(f.duck, "SELECT 1; SELECT 2", &r, &f.err),
			 -1);
	duck_end(&f);
}

static void nothing_can_be_loaded_or_set(void **state)
{
	static const char *const refused[] = {
	    "SET threads = 4",
	    "SET TimeZone = 'Europe/Berlin'",
	    "INSTALL httpfs",
	    "LOAD httpfs",
	    "SELECT * FROM read_parquet('https://localhost:1/x.parquet')",
	    "SET lock_configuration = false",
	};
	struct duck_fixture f;

	(void)state;
	duck_begin(&f);
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++)
		if (duck_run(f.duck, refused[i], &f.err) == 0)
			fail_msg("%s works", refused[i]);
	duck_expect(&f,
		    "SELECT current_setting('TimeZone'), "
		    "current_setting('threads')",
		    "UTC|1\n");
	duck_end(&f);
}

static void *open_on_small_stack(void *arg)
{
	struct duck_options options = {
	    .temp_dir = arg, .memory_bytes = 64 << 20, .threads = 1};
	static struct err err;
	struct duck *duck;

	return duck_open(&duck, &options, &err) < 0 ? err.text : NULL;
}

static void a_small_stack_is_refused(void **state)
{
	struct folder d;
	pthread_attr_t attr;
	pthread_t thread;
	void *text;

	(void)state;
	folder_make(&d);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 1 << 20);
	assert_int_equal(
	    pthread_create(&thread, &attr, open_on_small_stack, d.path), 0);
	pthread_attr_destroy(&attr);
	pthread_join(thread, &text);
	assert_non_null(text);
	assert_non_null(strstr(text, "needs a stack of 8 MiB"));
	folder_remove(&d);
}

/* Before the statement has begun an interrupt has no effect. */
struct interrupting {
	struct duck *duck;
	atomic_bool ended;
};

static void *interrupt(void *arg)
{
	struct interrupting *i = arg;

	while (!atomic_load(&i->ended)) {
		duck_interrupt(i->duck);
		sched_yield();
	}
	return NULL;
}

static void a_statement_can_be_ended(void **state)
{
	struct interrupting i = {0};
	struct duck_fixture f;
	pthread_t thread;

	(void)state;
	duck_begin(&f);
	i.duck = f.duck;
	assert_int_equal(pthread_create(&thread, NULL, interrupt, &i), 0);
	assert_int_equal(duck_run(f.duck,
				  "SELECT count(*) FROM range(1000000000) a, "
				  "range(1000000000) b WHERE a.range % 7 = "
				  "b.range % 11",
				  &f.err),
			 -1);
	atomic_store(&i.ended, true);
	pthread_join(thread, NULL);
	assert_int_equal(f.err.code, EINTR);
	assert_true(f.err.retriable);
	duck_expect(&f, "SELECT 1", "1\n");
	duck_end(&f);
}

static void texts_are_quoted(void **state)
{
	struct duck_fixture f;
	struct buf sql = {0};

	(void)state;
	duck_begin(&f);
	buf_text(&sql, "SELECT ");
	duck_literal(&sql, "a'b\"\\\n", 6);
	buf_text(&sql, " AS ");
	duck_name(&sql, "x\"y");
	duck_expect(&f, buf_str(&sql), "a'b\"\\\n\n");
	buf_free(&sql);
	duck_end(&f);
}

/* A table of numbers and lists, in chunks smaller than there is room for. */
struct numbers {
	int64_t next, count, fail_at;
};

static int fill_numbers(void *arg, struct duck_chunk *chunk, uint32_t room,
			struct err *err)
{
	struct numbers *n = arg;
	uint32_t row = 0;

	for (; row < room && row < 1000 && n->next < n->count; row++) {
		int64_t i = n->next++;
		uint64_t first;

		if (i == n->fail_at)
			return err_set(err, EILSEQ, "row %d is bad", (int)i);
		if (i % 3)
			duck_put_int(&chunk->columns[0], row, i);
		if (i % 5 == 0)
			continue;
		first =
		    duck_put_list(&chunk->columns[1], row, (uint64_t)(i % 100));
		for (int64_t k = 0; k < i % 100; k++)
			if (k % 2 == 0)
				duck_put_int(&chunk->columns[1].children[0],
					     first + (uint64_t)k, k);
	}
	return (int)row;
}

static void rewind_numbers(void *arg)
{
	((struct numbers *)arg)->next = 0;
}

static struct schema *schema_of(const char *json)
{
	struct schema *s;
	struct err err;

	assert_int_equal(schema_parse(&s, json, strlen(json), &err), 0);
	return s;
}

static void rows_of_ours_are_a_table(void **state)
{
	struct numbers n = {.count = 5000, .fail_at = -1};
	struct duck_rows rows = {
	    .fill = fill_numbers, .rewind = rewind_numbers, .arg = &n};
	struct duck_fixture f;

	(void)state;
	duck_begin(&f);
	rows.schema = schema_of(
	    "{\"type\":\"struct\",\"fields\":[{\"name\":\"n\",\"type\":"
	    "\"long\"},{\"name\":\"l\",\"type\":{\"type\":\"array\","
	    "\"elementType\":\"integer\"}},{\"name\":\"m\",\"type\":{\"type\":"
	    "\"map\",\"keyType\":\"string\",\"valueType\":\"float\"}}]}");
	assert_int_equal(duck_register(f.duck, "numbers", &rows, &f.err), 0);
	schema_unref(&rows.schema);
	for (int i = 0; i < 2; i++)
		duck_expect(&f,
			    "SELECT count(*), count(n), sum(n), count(l), "
			    "sum(len(l)), sum(list_sum(l)), count(m) "
			    "FROM numbers()",
			    "5000|3333|8331667|4000|200000|3282000|0\n");
	duck_expect(&f,
		    "SELECT l[3], l[4], len(l) FROM numbers() WHERE n = 4999",
		    "2|-|99\n");
	/* The same name with other columns. */
	rows.schema = schema_of("{\"type\":\"struct\",\"fields\":[{\"name\":"
				"\"x\",\"type\":\"long\"},{\"name\":\"l\","
				"\"type\":{\"type\":\"array\",\"elementType\":"
				"\"long\"}}]}");
	assert_int_equal(duck_register(f.duck, "numbers", &rows, &f.err), 0);
	schema_unref(&rows.schema);
	n.count = 10;
	duck_expect(&f, "SELECT sum(x) FROM numbers()", "27\n");
	n.fail_at = 7;
	assert_int_equal(
	    duck_run(f.duck, "SELECT sum(x) FROM numbers()", &f.err), -1);
	assert_int_equal(f.err.code, EILSEQ);
	assert_string_equal(f.err.text, "row 7 is bad");
	assert_int_equal(duck_run(f.duck, "SELECT 1 FROM none()", &f.err), -1);
	assert_int_equal(f.err.code, EINVAL);
	duck_end(&f);
}

/* What a result that was not read to its end leaves open must not be what the
 * table is made in: it would go with it. */
static void rows_are_a_table_whatever_was_read_before(void **state)
{
	struct numbers n = {.count = 3, .fail_at = -1};
	struct duck_rows rows = {
	    .fill = fill_numbers, .rewind = rewind_numbers, .arg = &n};
	struct duck_result *r = NULL;
	struct duck_fixture f;

	(void)state;
	duck_begin(&f);
	rows.schema = schema_of("{\"type\":\"struct\",\"fields\":[{\"name\":"
				"\"x\",\"type\":\"long\"},{\"name\":\"l\","
				"\"type\":{\"type\":\"array\",\"elementType\":"
				"\"long\"}}]}");
	assert_int_equal(
	    duck_query(f.duck, "SELECT * FROM range(100000)", &r, &f.err), 0);
	assert_int_equal(duck_next(r, &f.err), 1);
	duck_result_free(&r);
	assert_int_equal(duck_register(f.duck, "numbers", &rows, &f.err), 0);
	schema_unref(&rows.schema);
	for (int i = 0; i < 2; i++)
		duck_expect(&f, "SELECT count(*) FROM numbers()", "3\n");
	duck_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_result_is_read_to_the_last_digit),
	    cmocka_unit_test(nested_values_are_json),
	    cmocka_unit_test(columns_have_names_and_types),
	    cmocka_unit_test(large_results_come_in_chunks),
	    cmocka_unit_test(errors_say_what_and_whether_to_try_again),
	    cmocka_unit_test(nothing_can_be_loaded_or_set),
	    cmocka_unit_test(a_small_stack_is_refused),
	    cmocka_unit_test(a_statement_can_be_ended),
	    cmocka_unit_test(texts_are_quoted),
	    cmocka_unit_test(rows_of_ours_are_a_table),
	    cmocka_unit_test(rows_are_a_table_whatever_was_read_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
