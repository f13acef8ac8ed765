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

struct rounding {
	const char *text;
	unsigned precision, scale;
	const char *wanted; /* NULL: too large */
};

static void decimals_are_rounded_half_to_even(void **state)
{
	static const struct rounding list[] = {
	    {"0.30000000000000004", 18, 6, "0.300000"},
	    {"12.499999999999998", 18, 6, "12.500000"},
	    {"1.10", 18, 6, "1.100000"},
	    {"0.0000005", 18, 6, "0.000000"},
	    {"0.00000050", 18, 6, "0.000000"},
	    {"0.00000050000000000000000000000000000000000000000001", 18, 6,
	     "0.000001"},
	    {"0.0000015", 18, 6, "0.000002"},
	    {"0.0000025", 18, 6, "0.000002"},
	    {"0.0000004999", 18, 6, "0.000000"},
	    {"-0.0000005", 18, 6, "0.000000"},
	    {"-0.0000015", 18, 6, "-0.000002"},
	    {"-2.6", 2, 0, "-3"},
	    {"9.9999995", 18, 6, "10.000000"},
	    {"-99.9999999", 18, 6, "-100.000000"},
	    {"999999999999.9999994", 18, 6, "999999999999.999999"},
	    {"999999999999.9999995", 18, 6, NULL},
	    {"-999999999999.9999995", 18, 6, NULL},
	    {"1234567890123.1234567", 18, 6, NULL},
	    {"1e-9", 18, 6, "0.000000"},
	    {"1e-99999999999", 18, 6, "0.000000"},
	    {"-5E-7", 18, 6, "0.000000"},
	    {"15e-7", 18, 6, "0.000002"},
	    {"123456789012.3456785e0", 18, 6, "123456789012.345678"},
	    {"0.1234567890123456785e+12", 18, 6, "123456789012.345678"},
	    {"123456789012.3456795", 18, 6, "123456789012.345680"},
	    {"0.5", 1, 0, "0"},
	    {"1.5", 1, 0, "2"},
	    {"9.5", 1, 0, NULL},
	    {"0.95", 1, 1, NULL},
	    {"0.05", 1, 1, "0.0"},
	    {"0.051", 1, 1, "0.1"},
	    /* Python's Decimal(0.1): 55 digits. */
	    {"0.1000000000000000055511151231257827021181583404541015625", 18, 6,
	     "0.100000"},
	    /* The 39th digit, and what is behind it, decide. */
	    {"0.123456789012345678901234567890123456785", 38, 38,
	     "0.12345678901234567890123456789012345678"},
	    {"0.1234567890123456789012345678901234567850001", 38, 38,
	     "0.12345678901234567890123456789012345679"},
	    {"0.123456789012345678901234567890123456784999", 38, 38,
	     "0.12345678901234567890123456789012345678"},
	    {"0.123456789012345678901234567890123456775", 38, 38,
	     "0.12345678901234567890123456789012345678"},
	    {"0.100000000000000000000000000000000000009", 38, 38,
	     "0.10000000000000000000000000000000000001"},
	    {"0.1000000000000000000000000000000000000009", 38, 38,
	     "0.10000000000000000000000000000000000000"},
	    {"0.99999999999999999999999999999999999999", 38, 38,
	     "0.99999999999999999999999999999999999999"},
	    {"0.999999999999999999999999999999999999995", 38, 38, NULL},
	    {"1.50000000000000000000000000000000000000001", 9, 0, "2"},
	    {"2.50000000000000000000000000000000000000001", 9, 0, "3"},
	    {"2.5000000000000000000000000000000000000000", 9, 0, "2"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++) {
		const struct rounding *r = &list[i];
		char text[DECIMAL_TEXT_BYTES] = "too large";
		decimal_value value;
		enum decimal_result result = decimal_round(
		    r->text, strlen(r->text), r->precision, r->scale, &value);

		if (result == DECIMAL_OK)
			decimal_format(value, r->scale, text);
		else
			assert_int_equal(result, DECIMAL_TOO_LARGE);
		if (strcmp(text, r->wanted ? r->wanted : "too large") != 0)
			fail_msg("%s: %s", r->text, text);
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
	    cmocka_unit_test(decimals_are_rounded_half_to_even),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
