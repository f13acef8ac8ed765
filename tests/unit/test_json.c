/* Exact bytes of values, and exact decimals. */
#include "contract/decimal.h"
#include "contract/json.h"
#include "tests/unit/test_contract_help.h"

/* The members of an object, by their text in the original. */
static void check_members(const char *text, const char *const *values,
			  size_t count)
{
	struct json j = {0};
	const char *why, *end;
	size_t at;
	yyjson_val *root = json_parse(&j, text, strlen(text), &at, &why);

	assert_non_null(root);
	end = json_members(&j, root, 1);
	assert_non_null(end);
	assert_int_equal(end[-1], '}');
	assert_int_equal(j.member_count, count);
	for (size_t i = 0; i < count; i++) {
		const struct json_member *m = &j.members[i];

		assert_int_equal(m->end - m->value, strlen(values[i]));
		assert_memory_equal(m->value, values[i], strlen(values[i]));
		assert_int_equal(m->key[0], '"');
		assert_int_equal(m->key[m->key_bytes - 1], '"');
	}
	json_free(&j);
}

static void values_are_found_by_their_exact_bytes(void **state)
{
	static const char *const values[] = {
	    "\"\"",
	    "\"\\\"\"",
	    "\"\\\\\"",
	    "\"\\\\\\\"\"",
	    "\"a\\u0022b\"",
	    "\"\\ud83d\\ude00\"",
	    "-0",
	    "1.10",
	    "1E+3",
	    "12345678901234567890123456789",
	    "true",
	    "false",
	    "null",
	    "[]",
	    "{ }",
	    "[ ]",
	    "[true , null,\"]\",[ {\"}\":\"{\"}],false ]",
	    "{\"a\" : { \"b\\\"\":[1 ,2 ] } , \"c\":\"\\\\\"}",
	};
	size_t count = sizeof(values) / sizeof(*values);
	struct buf tight = {0}, loose = {0};

	(void)state;
	buf_char(&tight, '{');
	buf_text(&loose, " \n{\t");
	for (size_t i = 0; i < count; i++) {
		buf_printf(&tight, "%s\"k\\\"%zu\":%s", i ? "," : "", i,
			   values[i]);
		buf_printf(&loose, "%s\"k\\\"%zu\" \r\n:\t %s ",
			   i ? "\n, " : "", i, values[i]);
	}
	buf_char(&tight, '}');
	buf_text(&loose, "}  \n");
	check_members(buf_str(&tight), values, count);
	/* Behind the last bracket space may follow, which is not the object's.
	 */
	loose.used -= 3;
	check_members(buf_str(&loose), values, count);
	buf_free(&tight);
	buf_free(&loose);
}

static void whitespace_outside_strings_is_dropped(void **state)
{
	static const char text[] =
	    " {\n \"a b\" : [ 1 , \" \\\" \\\\\" ] ,\t\"\\\\\":{ } } ";
	char out[sizeof(text)];
	char *end = json_minify(text, text + sizeof(text) - 1, out);

	(void)state;
	*end = '\0';
	assert_string_equal(out, "{\"a b\":[1,\" \\\" \\\\\"],\"\\\\\":{}}");
}

static void errors_name_the_byte(void **state)
{
	struct json j = {0};
	const char *why;
	size_t at;

	(void)state;
	assert_null(json_parse(&j, "{\"a\":tru}", 9, &at, &why));
	assert_int_equal(at, 5);
	assert_null(json_parse(&j, "", 0, &at, &why));
	assert_null(json_parse(&j, "{}\0{}", 5, &at, &why));
	assert_int_equal(at, 2);
	json_free(&j);
}

static void memory_of_a_large_text_is_given_back(void **state)
{
	size_t bytes = 12u << 20;
	char *text = xmalloc(bytes);
	struct json j = {0};
	const char *why;
	size_t at;

	(void)state;
	memset(text, ' ', bytes);
	text[bytes - 1] = '1';
	assert_non_null(json_parse(&j, text, bytes, &at, &why));
	assert_non_null(json_parse(&j, "{}", 2, &at, &why));
	assert_true(j.copy_bytes < (1u << 20));
	assert_true(j.values_bytes < (1u << 20));
	json_free(&j);
	free(text);
}

struct number {
	const char *text;
	unsigned precision, scale;
	enum decimal_result result;
	long long value;
};

static void decimals_are_exact(void **state)
{
	static const struct number list[] = {
	    {"0", 1, 0, DECIMAL_OK, 0},
	    {"-0.000", 1, 0, DECIMAL_OK, 0},
	    {"1.10", 3, 2, DECIMAL_OK, 110},
	    {"-1.1e1", 2, 0, DECIMAL_OK, -11},
	    {"100", 3, 0, DECIMAL_OK, 100},
	    {"1e2", 2, 0, DECIMAL_TOO_LARGE, 0},
	    {"12345678901.123456", 18, 6, DECIMAL_OK, 12345678901123456LL},
	    {"0.00000000000000000000000000000000000000001", 38, 38,
	     DECIMAL_TOO_FINE, 0},
	    {"1.5", 2, 0, DECIMAL_TOO_FINE, 0},
	    {"10.0", 1, 0, DECIMAL_TOO_LARGE, 0},
	    {"", 9, 2, DECIMAL_NOT_A_NUMBER, 0},
	    {"-", 9, 2, DECIMAL_NOT_A_NUMBER, 0},
	    {"1.", 9, 2, DECIMAL_NOT_A_NUMBER, 0},
	    {".1", 9, 2, DECIMAL_NOT_A_NUMBER, 0},
	    {"1e", 9, 2, DECIMAL_NOT_A_NUMBER, 0},
	    {"+1", 9, 2, DECIMAL_NOT_A_NUMBER, 0},
	    {"00", 9, 2, DECIMAL_NOT_A_NUMBER, 0},
	    {"1 ", 9, 2, DECIMAL_NOT_A_NUMBER, 0},
	    {"1_0", 9, 2, DECIMAL_NOT_A_NUMBER, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++) {
		decimal_value value = 0;
		enum decimal_result result =
		    decimal_parse(list[i].text, strlen(list[i].text),
				  list[i].precision, list[i].scale, &value);

		if (result != list[i].result || value != list[i].value)
			fail_msg("%s: %d", list[i].text, (int)result);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(values_are_found_by_their_exact_bytes),
	    cmocka_unit_test(whitespace_outside_strings_is_dropped),
	    cmocka_unit_test(errors_name_the_byte),
	    cmocka_unit_test(memory_of_a_large_text_is_given_back),
	    cmocka_unit_test(decimals_are_exact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
