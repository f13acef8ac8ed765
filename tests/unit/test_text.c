/* Sizes and durations from people, and the name they meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"

static void bytes_are(const char *text, int64_t want)
{
	int64_t got = -1;

	if (text_parse_bytes(text, &got) != 0)
		fail_msg("refused: %s", text);
	assert_int_equal(got, want);
}

static void no_bytes(const char *text)
{
	int64_t got;

	if (text_parse_bytes(text, &got) == 0)
		fail_msg("took for a size: %s", text);
}

static void duration_is(const char *text, int64_t want)
{
	int64_t got = -1;

	if (text_parse_duration(text, &got) != 0)
		fail_msg("refused: %s", text);
	assert_int_equal(got, want);
}

static void no_duration(const char *text)
{
	int64_t got;

	if (text_parse_duration(text, &got) == 0)
		fail_msg("took for a duration: %s", text);
}

static void sizes_have_units(void **state)
{
	(void)state;
	bytes_are("0", 0);
	bytes_are("512", 512);
	bytes_are("512B", 512);
	bytes_are("512 B", 512);
	bytes_are("10kB", 10000);
	bytes_are("10KB", 10000);
	bytes_are("10MB", 10000000);
	bytes_are("3GB", 3000000000);
	bytes_are("2TB", 2000000000000);
	bytes_are("16 KiB", 16384);
	bytes_are("128MiB", 134217728);
	bytes_are("10GiB", 10737418240);
	bytes_are("1TiB", 1099511627776);
	bytes_are("007MiB", 7340032);
}

static void sizes_stop_at_64_bits(void **state)
{
	(void)state;
	bytes_are("9223372036854775807", INT64_MAX);
	bytes_are("8388607TiB", INT64_C(8388607) << 40);
	no_bytes("9223372036854775808");
	no_bytes("8388608TiB");
	no_bytes("99999999999999999999999999999999");
	no_bytes("000000000000000000000000000000000000000000000001");
}

static void other_sizes_are_refused(void **state)
{
	(void)state;
	no_bytes("");
	no_bytes(" 1");
	no_bytes("-1");
	no_bytes("+1");
	no_bytes("MiB");
	no_bytes("1.5MiB");
	no_bytes("1 ");
	no_bytes("1mib");
	no_bytes("1MiBs");
	no_bytes("1s");
	no_bytes("0x10");
	no_bytes("1MiB2");
	no_bytes("1\tKiB");
}

static void durations_have_units(void **state)
{
	(void)state;
	duration_is("0", 0);
	duration_is("0s", 0);
	duration_is("100us", 100);
	duration_is("250ms", 250000);
	duration_is("5s", 5000000);
	duration_is("5 s", 5000000);
	duration_is("10m", 600000000);
	duration_is("1h", 3600000000);
	duration_is("7d", 604800000000);
	duration_is("106751991d", INT64_C(106751991) * 86400000000);
	no_duration("106751992d");
	no_duration("9223372036854775808us");
}

static void other_durations_are_refused(void **state)
{
	(void)state;
	no_duration("");
	no_duration("5");
	no_duration("-5s");
	no_duration("s");
	no_duration("1.5s");
	no_duration("5sec");
	no_duration("5S");
	no_duration("5s ");
	no_duration("1h30m");
	no_duration("5MiB");
}

static void sizes_are_written_shortest(void **state)
{
	char text[32];

	(void)state;
	assert_ptr_equal(text_format_bytes(0, text), text);
	assert_string_equal(text, "0B");
	assert_string_equal(text_format_bytes(1000, text), "1000B");
	assert_string_equal(text_format_bytes(1024, text), "1KiB");
	assert_string_equal(text_format_bytes(134217728, text), "128MiB");
	assert_string_equal(text_format_bytes(134217729, text), "134217729B");
	assert_string_equal(text_format_bytes(INT64_C(1) << 40, text), "1TiB");
	assert_string_equal(text_format_bytes(INT64_MAX, text),
			    "9223372036854775807B");
}

static void durations_are_written_shortest(void **state)
{
	char text[32];

	(void)state;
	assert_ptr_equal(text_format_duration(0, text), text);
	assert_string_equal(text, "0s");
	assert_string_equal(text_format_duration(1, text), "1us");
	assert_string_equal(text_format_duration(1500, text), "1500us");
	assert_string_equal(text_format_duration(250000, text), "250ms");
	assert_string_equal(text_format_duration(5000000, text), "5s");
	assert_string_equal(text_format_duration(90000000, text), "90s");
	assert_string_equal(text_format_duration(600000000, text), "10m");
	assert_string_equal(text_format_duration(604800000000, text), "7d");
}

static void what_is_written_reads_back(void **state)
{
	(void)state;
	for (int64_t n = 1; n > 0 && n < INT64_MAX / 7; n = n * 7 + 1) {
		char text[32];

		bytes_are(text_format_bytes(n, text), n);
		duration_is(text_format_duration(n, text), n);
		bytes_are(text_format_bytes(n << 2, text), n << 2);
		duration_is(text_format_duration(n * 4, text), n * 4);
	}
}

static const char *const keys[] = {"listen", "api_keys", "max_body",
				   "max_events", "flush"};

static const char *meant(const char *name)
{
	const char *got =
	    text_nearest(name, keys, sizeof(keys) / sizeof(*keys));

	return got ? got : "(none)";
}

static void the_nearest_name_is_found(void **state)
{
	(void)state;
	assert_string_equal(meant("listen"), "listen");
	assert_string_equal(meant("lisen"), "listen");
	assert_string_equal(meant("listenn"), "listen");
	assert_string_equal(meant("api-keys"), "api_keys");
	assert_string_equal(meant("apikey"), "api_keys");
	assert_string_equal(meant("max_bdy"), "max_body");
	assert_string_equal(meant("max_event"), "max_events");
	assert_string_equal(meant("fl"), "(none)");
	assert_string_equal(meant("flsh"), "flush");
}

static void what_is_too_far_is_not_meant(void **state)
{
	(void)state;
	assert_string_equal(meant("retention"), "(none)");
	assert_string_equal(meant(""), "(none)");
	assert_string_equal(meant("x"), "(none)");
	assert_null(text_nearest("listen", NULL, 0));
}

static void the_first_of_equals_is_taken(void **state)
{
	static const char *const equals[] = {"cat", "bat", "hat"};

	(void)state;
	assert_string_equal(text_nearest("rat", equals, 3), "cat");
	assert_string_equal(text_nearest("hat", equals, 3), "hat");
}

/* Names are compared over their first 64 bytes; length alone is not likeness.
 */
static void a_very_long_name_is_near_nothing(void **state)
{
	char name[5000];
	char near[81];
	const char *const names[] = {near};

	(void)state;
	memset(name, 'z', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_string_equal(meant(name), "(none)");
	memset(near, 'n', sizeof(near) - 1);
	near[80] = '\0';
	assert_ptr_equal(text_nearest(near, names, 1), near);
}

static void utf8_is_told_from_other_bytes(void **state)
{
	static const struct {
		const char *text;
		size_t left, bytes;
	} rows[] = {
	    {"a", 1, 1},
	    {"", 1, 1},
	    {"\x7f", 1, 1},
	    {"\xc2\x80", 2, 2},
	    {"\xe2\x82\xac", 3, 3},
	    {"\xf0\x9f\x98\x80", 4, 4},
	    {"\xf4\x8f\xbf\xbf", 4, 4},
	    {"\xed\x9f\xbf", 3, 3},
	    {"\x80", 1, 0},
	    {"\xc0\x80", 2, 0},
	    {"\xc1\xbf", 2, 0},
	    {"\xc3\xa9", 1, 0},
	    {"\xc3", 4, 0},
	    {"\xc3(", 2, 0},
	    {"\xe0\x9f\xbf", 3, 0},
	    {"\xe2\x82", 4, 0},
	    {"\xed\xa0\x80", 3, 0},
	    {"\xf0\x8f\xbf\xbf", 4, 0},
	    {"\xf4\x90\x80\x80", 4, 0},
	    {"\xf5\x80\x80\x80", 4, 0},
	    {"\xff", 1, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_int_equal(text_utf8_bytes(rows[i].text, rows[i].left),
				 rows[i].bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sizes_have_units),
	    cmocka_unit_test(sizes_stop_at_64_bits),
	    cmocka_unit_test(other_sizes_are_refused),
	    cmocka_unit_test(durations_have_units),
	    cmocka_unit_test(other_durations_are_refused),
	    cmocka_unit_test(sizes_are_written_shortest),
	    cmocka_unit_test(durations_are_written_shortest),
	    cmocka_unit_test(what_is_written_reads_back),
	    cmocka_unit_test(the_nearest_name_is_found),
	    cmocka_unit_test(what_is_too_far_is_not_meant),
	    cmocka_unit_test(the_first_of_equals_is_taken),
	    cmocka_unit_test(a_very_long_name_is_near_nothing),
	    cmocka_unit_test(utf8_is_told_from_other_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
