/* Every type with good and bad values. */
#include "tests/unit/test_contract_help.h"

struct value {
	const char *text; /* JSON */
	const char *code;
};

static void check_values(const char *field, const struct value *values)
{
	char *contract = xasprintf(HEAD ",{ name = \"f\"; %s }" TAIL, field);
	struct contract_set *set = set_of_text(contract);

	for (; values->text; values++) {
		char *event = xasprintf("{\"event_id\":\"e\",\"event_type\":"
					"\"t\",\"f\":%s}",
					values->text);
		const char *code = code_of(set, INTAKE_ONE, event);

		if (strcmp(code, values->code) != 0)
			fail_msg("%s with %s: %s, not %s", field, values->text,
				 code, values->code);
		free(event);
	}
	contract_set_unref(&set);
	free(contract);
}

static void strings(void **state)
{
	(void)state;
	check_values("type = \"string\";", (const struct value[]){
					       {"\"\"", "ok"},
					       {"\"\\u0001\"", "ok"},
					       {"null", "ok"},
					       {"\"\\u0000\"", "bad_character"},
					       {"5", "wrong_type"},
					       {"true", "wrong_type"},
					       {"{}", "wrong_type"},
					       {"[\"a\"]", "wrong_type"},
					       {NULL, NULL},
					   });
	check_values("type = \"string\"; required = true; max_length = 3;",
		     (const struct value[]){
			 {"\"abc\"", "ok"},
			 {"\"\\u00e9é😀\"", "ok"},
			 {"\"abcd\"", "too_long"},
			 {"\"\\u00e9é😀.\"", "too_long"},
			 {"null", "missing_field"},
			 {NULL, NULL},
		     });
	check_values("type = \"string\"; enum = [\"a\", \"b c\"];",
		     (const struct value[]){
			 {"\"a\"", "ok"},
			 {"\"b\\u0020c\"", "ok"},
			 {"\"A\"", "not_allowed"},
			 {"\"\"", "not_allowed"},
			 {NULL, NULL},
		     });
	check_values("type = \"string\"; pattern = \"^[a-z]+[0-9]{2}$\";",
		     (const struct value[]){
			 {"\"ab12\"", "ok"},
			 {"\"\\u0061b12\"", "ok"},
			 {"\"ab1\"", "not_allowed"},
			 {"\" ab12\"", "not_allowed"},
			 {NULL, NULL},
		     });
}

static void guids(void **state)
{
	(void)state;
	check_values(
	    "type = \"guid\";",
	    (const struct value[]){
		{"\"123e4567-e89b-42d3-a456-426614174000\"", "ok"},
		{"\"123E4567-E89B-42D3-A456-426614174000\"", "ok"},
		{"\"123e4567e89b42d3a456426614174000\"", "wrong_type"},
		{"\"{123e4567-e89b-42d3-a456-426614174000}\"", "wrong_type"},
		{"\"123e4567-e89b-42d3-a456-42661417400g\"", "wrong_type"},
		{"\"\"", "wrong_type"},
		{"1", "wrong_type"},
		{NULL, NULL},
	    });
}

static void integers(void **state)
{
	(void)state;
	check_values("type = \"int\";", (const struct value[]){
					    {"0", "ok"},
					    {"-0", "ok"},
					    {"2147483647", "ok"},
					    {"-2147483648", "ok"},
					    {"2147483648", "out_of_range"},
					    {"-2147483649", "out_of_range"},
					    {"1.0", "wrong_type"},
					    {"1e3", "wrong_type"},
					    {"\"5\"", "wrong_type"},
					    {"true", "wrong_type"},
					    {NULL, NULL},
					});
	check_values("type = \"long\"; min = -5; max = 9007199254740993L;",
		     (const struct value[]){
			 {"9007199254740993", "ok"},
			 {"9007199254740994", "out_of_range"},
			 {"-5", "ok"},
			 {"-6", "out_of_range"},
			 {"99999999999999999999", "out_of_range"},
			 {NULL, NULL},
		     });
	check_values("type = \"long\";",
		     (const struct value[]){
			 {"9223372036854775807", "ok"},
			 {"-9223372036854775808", "ok"},
			 {"9223372036854775808", "out_of_range"},
			 {NULL, NULL},
		     });
	check_values("type = \"int\"; enum = [1, 20];",
		     (const struct value[]){
			 {"20", "ok"}, {"2", "not_allowed"}, {NULL, NULL}});
}

static void doubles(void **state)
{
	(void)state;
	check_values("type = \"double\";", (const struct value[]){
					       {"1", "ok"},
					       {"-1.5e-3", "ok"},
					       {"1e308", "ok"},
					       {"1e309", "out_of_range"},
					       {"-1E400", "out_of_range"},
					       {"1e-999", "ok"},
					       {"\"2.5\"", "ok"},
					       {"\"2.5 \"", "wrong_type"},
					       {"\"NaN\"", "wrong_type"},
					       {"\"0x10\"", "wrong_type"},
					       {"\"\"", "wrong_type"},
					       {"true", "wrong_type"},
					       {NULL, NULL},
					   });
	check_values("type = \"double\"; min = 0.5; max = \"1\";",
		     (const struct value[]){
			 {"0.5", "ok"},
			 {"\"0.49\"", "out_of_range"},
			 {"1.0000001", "out_of_range"},
			 {NULL, NULL},
		     });
}

static void decimals(void **state)
{
	(void)state;
	check_values("type = \"decimal(18,6)\";",
		     (const struct value[]){
			 {"12", "ok"},
			 {"1.10", "ok"},
			 {"-0", "ok"},
			 {"1e3", "ok"},
			 {"1.5E-5", "ok"},
			 {"\"123456789012.123456\"", "ok"},
			 {"123456789012.123456", "ok"},
			 {"1234567890123", "out_of_range"},
			 {"999999999999.999999", "ok"},
			 {"1e12", "out_of_range"},
			 {"1e-6", "ok"},
			 {"1e-7", "out_of_range"},
			 {"0.1234560000000", "ok"},
			 {"0.1234561", "out_of_range"},
			 {"0.30000000000000004", "out_of_range"},
			 {"0e99999999999", "ok"},
			 {"1e99999999999", "out_of_range"},
			 {"1e-99999999999", "out_of_range"},
			 {"\"1,5\"", "wrong_type"},
			 {"\"01\"", "wrong_type"},
			 {"\" 1\"", "wrong_type"},
			 {"\"1e\"", "wrong_type"},
			 {"\"\"", "wrong_type"},
			 {"[]", "wrong_type"},
			 {NULL, NULL},
		     });
	check_values("type = \"decimal(20,6)\"; min = \"0\"; "
		     "max = \"12345678901234.123456\";",
		     (const struct value[]){
			 {"12345678901234.123456", "ok"},
			 {"12345678901234.123457", "out_of_range"},
			 {"-0.000001", "out_of_range"},
			 {NULL, NULL},
		     });
	check_values(
	    "type = \"decimal(38,0)\";",
	    (const struct value[]){
		{"99999999999999999999999999999999999999", "ok"},
		{"100000000000000000000000000000000000000", "out_of_range"},
		{"1e37", "ok"},
		{"1e38", "out_of_range"},
		{NULL, NULL},
	    });
}

static void rounded_decimals(void **state)
{
	(void)state;
	check_values("type = \"decimal(18,6)\"; round = true; min = 0; "
		     "max = \"999999999999.5\";",
		     (const struct value[]){
			 {"0.30000000000000004", "ok"},
			 {"\"12.499999999999998\"", "ok"},
			 {"-0.0000005", "ok"},
			 {"-0.00000051", "out_of_range"},
			 {"999999999999.5000005", "ok"},
			 {"999999999999.5000006", "out_of_range"},
			 {"999999999999.9999995", "out_of_range"},
			 {"1234567890123.0000001", "out_of_range"},
			 {"1e-99999999999", "ok"},
			 {"1e12", "out_of_range"},
			 {"\"1e\"", "wrong_type"},
			 {"\"0.3 \"", "wrong_type"},
			 {"true", "wrong_type"},
			 {NULL, NULL},
		     });
}

static void booleans(void **state)
{
	(void)state;
	check_values("type = \"boolean\";", (const struct value[]){
						{"true", "ok"},
						{"false", "ok"},
						{"0", "wrong_type"},
						{"\"true\"", "wrong_type"},
						{NULL, NULL},
					    });
}

static void times(void **state)
{
	(void)state;
	check_values("type = \"datetime\"; min = \"1950-01-01T00:00:00Z\";",
		     (const struct value[]){
			 {"\"2026-01-31T10:00:00Z\"", "ok"},
			 {"\"2026-01-31T10:00:00.123456789+05:30\"", "ok"},
			 {"\"2026-01-31 10:00:00-0800\"", "ok"},
			 {"\"2024-02-29T00:00:00Z\"", "ok"},
			 {"\"2026-02-29T00:00:00Z\"", "wrong_type"},
			 {"\"2026-01-31T24:00:00Z\"", "wrong_type"},
			 {"\"2026-01-31T10:00:00\"", "wrong_type"},
			 {"\"2026-01-31\"", "wrong_type"},
			 {"\"yesterday\"", "wrong_type"},
			 {"1767225600", "wrong_type"},
			 {"\"1899-12-31T23:59:59Z\"", "out_of_range"},
			 {"\"1949-12-31T23:59:59Z\"", "out_of_range"},
			 {NULL, NULL},
		     });
	check_values("type = \"date\"; max = \"2026-12-31\";",
		     (const struct value[]){
			 {"\"2026-01-31\"", "ok"},
			 {"\"2026-12-31\"", "ok"},
			 {"\"2027-01-01\"", "out_of_range"},
			 {"\"2026-1-31\"", "wrong_type"},
			 {"\"2026-02-30\"", "wrong_type"},
			 {"\"1899-12-31\"", "out_of_range"},
			 {"\"2026-01-31T00:00:00Z\"", "wrong_type"},
			 {NULL, NULL},
		     });
}

static void containers(void **state)
{
	(void)state;
	check_values("type = \"dynamic\";",
		     (const struct value[]){
			 {"{\"a\":[1,{}]}", "ok"},
			 {"\"x\"", "ok"},
			 {"1", "ok"},
			 {"[\"\\u0000\"]", "bad_character"},
			 {NULL, NULL},
		     });
	check_values("type = \"array(int)\"; max_length = 3;",
		     (const struct value[]){
			 {"[]", "ok"},
			 {"[1,null,3]", "ok"},
			 {"[1,2,3,4]", "too_long"},
			 {"[1,\"2\"]", "wrong_type"},
			 {"[1,[2]]", "wrong_type"},
			 {"[2147483648]", "out_of_range"},
			 {"5", "wrong_type"},
			 {NULL, NULL},
		     });
	check_values(
	    "type = \"array(struct)\"; fields = ("
	    "{ name = \"id\"; type = \"int\"; required = true; },"
	    "{ name = \"p\"; type = \"decimal(9,2)\"; min = 0; });",
	    (const struct value[]){
		{"[{\"id\":1,\"p\":2.50},{\"id\":2,\"more\":{}}]", "ok"},
		{"[{\"p\":2.50}]", "missing_field"},
		{"[{\"id\":null}]", "missing_field"},
		{"[{\"id\":1,\"p\":-1}]", "out_of_range"},
		{"[1]", "wrong_type"},
		{NULL, NULL},
	    });
	check_values("type = \"struct\"; fields = ("
		     "{ name = \"box\"; type = \"struct\"; fields = ("
		     "{ name = \"x\"; type = \"array(string)\"; }); });",
		     (const struct value[]){
			 {"{\"box\":{\"x\":[\"a\"]}}", "ok"},
			 {"{}", "ok"},
			 {"{\"box\":{\"x\":[1]}}", "wrong_type"},
			 {"{\"box\":[]}", "wrong_type"},
			 {NULL, NULL},
		     });
}

static void a_violation_that_is_no_reason_to_refuse(void **state)
{
	(void)state;
	check_values(
	    "type = \"int\"; max = 3; on_violation = \"flag\";",
	    (const struct value[]){{"9", "ok"}, {"\"x\"", "ok"}, {NULL, NULL}});
	check_values("type = \"string\"; on_violation = \"null\";",
		     (const struct value[]){
			 {"\"\\u0000\"", "ok"}, {"5", "ok"}, {NULL, NULL}});
}

static void unknown_members_may_be_refused(void **state)
{
	struct contract_set *set = set_of_text(
	    "unknown_fields = \"reject\";" HEAD
	    ",{ name = \"g\"; type = \"int\"; from = [\"x.y\", \"z\"]; }" TAIL);

	(void)state;
	assert_string_equal(
	    code_of(set, INTAKE_ONE, "{\"event_type\":\"t\",\"u\":1}"),
	    "unknown_field");
	assert_string_equal(
	    code_of(set, INTAKE_ONE,
		    "{\"event_type\":\"t\",\"x\":{\"y\":1},\"z\":2}"),
	    "ok");
	assert_string_equal(
	    code_of(set, INTAKE_ONE,
		    "{\"event_type\":\"t\",\"x\":{\"y\":\"a\"}}"),
	    "wrong_type");
	assert_string_equal(
	    code_of(set, INTAKE_ONE,
		    "{\"event_type\":\"t\",\"x\":5,\"z\":\"a\"}"),
	    "wrong_type");
	contract_set_unref(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(strings),
	    cmocka_unit_test(guids),
	    cmocka_unit_test(integers),
	    cmocka_unit_test(doubles),
	    cmocka_unit_test(decimals),
	    cmocka_unit_test(rounded_decimals),
	    cmocka_unit_test(booleans),
	    cmocka_unit_test(times),
	    cmocka_unit_test(containers),
	    cmocka_unit_test(a_violation_that_is_no_reason_to_refuse),
	    cmocka_unit_test(unknown_members_may_be_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
