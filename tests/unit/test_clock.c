/* Time: its text both ways, each form that is a time and many that are not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"

#define S INT64_C(1000000)

static void parses(const char *text, int64_t want)
{
	int64_t at_us = -1;

	if (clock_parse(text, strlen(text), &at_us) != 0)
		fail_msg("refused: %s", text);
	if (at_us != want)
		fail_msg("%s gave %lld, not %lld", text, (long long)at_us,
			 (long long)want);
}

static void refuses(const char *text)
{
	int64_t at_us;

	if (clock_parse(text, strlen(text), &at_us) == 0)
		fail_msg("took for a time: %s", text);
}

static void knows_days(void **state)
{
	(void)state;
	assert_int_equal(clock_days(1970, 1, 1), 0);
	assert_int_equal(clock_days(1969, 12, 31), -1);
	assert_int_equal(clock_days(2000, 2, 29), 11016);
	assert_int_equal(clock_days(2000, 3, 1), 11017);
	assert_int_equal(clock_days(1900, 3, 1), -25508);
	assert_int_equal(clock_days(1, 1, 1), -719162);
	assert_int_equal(clock_days(9999, 12, 31), 2932896);
}

/* Each day of 800 years follows the one before, in text too. */
static void counts_every_day_once(void **state)
{
	static const int usual[] = {31, 28, 31, 30, 31, 30,
				    31, 31, 30, 31, 30, 31};
	int64_t day = clock_days(1600, 1, 1);

	(void)state;
	for (int year = 1600; year < 2400; year++) {
		bool leap = (year % 4 == 0 && year % 100) || year % 400 == 0;

		for (int month = 1; month <= 12; month++) {
			int days = usual[month - 1] + (leap && month == 2);

			for (int d = 1; d <= days; d++, day++)
				assert_int_equal(clock_days(year,
							    (unsigned)month,
							    (unsigned)d),
						 day);
		}
	}
}

static void formats_six_decimals_and_z(void **state)
{
	char text[CLOCK_TEXT_BYTES];

	(void)state;
	assert_ptr_equal(clock_format(0, text), text);
	assert_string_equal(text, "1970-01-01T00:00:00.000000Z");
	clock_format(-1, text);
	assert_string_equal(text, "1969-12-31T23:59:59.999999Z");
	clock_format(951827696 * S + 7, text);
	assert_string_equal(text, "2000-02-29T12:34:56.000007Z");
	clock_format(-62135596800 * S, text);
	assert_string_equal(text, "0001-01-01T00:00:00.000000Z");
	clock_format(253402300799 * S + 999999, text);
	assert_string_equal(text, "9999-12-31T23:59:59.999999Z");
}

static void reads_back_what_it_wrote(void **state)
{
	/* A stride that is prime to the lengths of days and months. */
	const int64_t stride = INT64_C(777777777777);

	(void)state;
	for (int64_t t = -62135596800 * S; t <= 253402300799 * S;
	     t += stride * 53) {
		char text[CLOCK_TEXT_BYTES];

		clock_format(t, text);
		parses(text, t);
	}
}

static void takes_every_written_form(void **state)
{
	(void)state;
	parses("2024-02-29T00:00:00Z", 1709164800 * S);
	parses("2024-02-29t00:00:00z", 1709164800 * S);
	parses("2024-02-29 00:00:00Z", 1709164800 * S);
	parses("2024-02-29T00:00Z", 1709164800 * S);
	parses("2024-02-29T00:00+00:00", 1709164800 * S);
	parses("2024-02-29T00:00:00-00:00", 1709164800 * S);
	parses("2024-02-29T05:30:00+05:30", 1709164800 * S);
	parses("2024-02-29T05:30:00+0530", 1709164800 * S);
	parses("2024-02-29T05:00:00+05", 1709164800 * S);
	parses("2024-02-28T16:00:00-08:00", 1709164800 * S);
	parses("2024-02-29T23:59:00+23:59", 1709164800 * S);
	parses("2000-02-29T00:00:00Z", 951782400 * S);
}

static void cuts_fractions_at_the_microsecond(void **state)
{
	(void)state;
	parses("1970-01-01T00:00:00.5Z", 500000);
	parses("1970-01-01T00:00:00,25Z", 250000);
	parses("1970-01-01T00:00:00.000001Z", 1);
	parses("1970-01-01T00:00:00.0000019Z", 1);
	parses("1970-01-01T00:00:00.123456789123456789Z", 123456);
	parses("1969-12-31T23:59:59.9999999Z", -1);
	parses("1970-01-01T00:00:00.1+01:00", -3600 * S + 100000);
}

static void counts_second_60_as_the_next(void **state)
{
	(void)state;
	parses("2016-12-31T23:59:60Z", 1483228800 * S);
	parses("2017-01-01T00:59:60.5+01:00", 1483228800 * S + 500000);
	refuses("2016-12-31T23:59:61Z");
}

static void refuses_what_is_not_a_date(void **state)
{
	(void)state;
	refuses("2023-02-29T00:00:00Z");
	refuses("1900-02-29T00:00:00Z");
	refuses("2024-02-30T00:00:00Z");
	refuses("2024-04-31T00:00:00Z");
	refuses("2024-00-10T00:00:00Z");
	refuses("2024-13-10T00:00:00Z");
	refuses("2024-01-00T00:00:00Z");
	refuses("2024-01-32T00:00:00Z");
	refuses("0000-01-01T00:00:00Z");
	refuses("2024-01-01T24:00:00Z");
	refuses("2024-01-01T23:60:00Z");
	refuses("2024-01-01T00:00:00+24:00");
	refuses("2024-01-01T00:00:00+00:60");
}

static void refuses_other_texts(void **state)
{
	(void)state;
	refuses("");
	refuses("Z");
	refuses("2024");
	refuses("2024-02-29");
	refuses("20240229T000000Z");
	refuses("2024-2-9T00:00:00Z");
	refuses("24-02-29T00:00:00Z");
	refuses("-2024-02-29T00:00:00Z");
	refuses("+2024-02-29T00:00:00Z");
	refuses("2024/02/29T00:00:00Z");
	refuses("2024-02-29_00:00:00Z");
	refuses("2024-02-29T00Z");
	refuses("2024-02-29T00:00:00.Z");
	refuses("2024-02-29T00:00:Z");
	refuses("2024-02-29T00:00:0Z");
	refuses("2024-02-29T-1:00:00Z");
	refuses("2024-02-29T00:00:00+1");
	refuses("2024-02-29T00:00:00+01:");
	refuses("2024-02-29T00:00:00+01:0");
	refuses("2024-02-29T00:00:00+01000");
	refuses(" 2024-02-29T00:00:00Z");
	refuses("2024-02-29T00:00:00Z ");
	refuses("2024-02-29T00:00:00ZZ");
	refuses("2024-02-29T00:00:00 Z");
	refuses("2024-02-29T00:00:00.1e3Z");
	refuses("\xd9\xa2"
		"024-02-29T00:00:00Z");
}

static void refuses_a_local_time(void **state)
{
	(void)state;
	refuses("2024-02-29T00:00:00");
	refuses("2024-02-29T00:00");
	refuses("2024-02-29T00:00:00.123");
}

/* What the zone moves out of the years that have a text. */
static void refuses_years_beyond_its_own(void **state)
{
	(void)state;
	parses("0001-01-01T00:00:00Z", -62135596800 * S);
	refuses("0001-01-01T00:00:00+00:01");
	parses("9999-12-31T23:59:59.999999Z", 253402300799 * S + 999999);
	refuses("9999-12-31T23:59:60Z");
	refuses("9999-12-31T23:59:59-00:01");
}

/* The text ends where `bytes` says, whatever follows; each cut is refused. */
static void reads_exactly_its_bytes(void **state)
{
	const char *text = "2024-02-29T00:00:00.5+01:30";
	const char with_nul[] = "2024-02-29T00:00:00\0Z";
	int64_t at_us;

	(void)state;
	assert_int_equal(clock_parse("2024-02-29T00:00:00Z9", 20, &at_us), 0);
	for (size_t n = 0; n < strlen(text); n++)
		if (n != 24) /* "…+01" is whole */
			assert_int_equal(clock_parse(text, n, &at_us), -1);
	assert_int_equal(clock_parse(with_nul, 21, &at_us), -1);
}

static void monotonic_time_does_not_go_back(void **state)
{
	int64_t last = clock_mono_us();

	(void)state;
	for (int i = 0; i < 10000; i++) {
		int64_t now = clock_mono_us();

		assert_true(now >= last);
		last = now;
	}
}

static void wall_time_is_in_this_century(void **state)
{
	(void)state;
	assert_in_range(clock_wall_us(), 1700000000 * S, 4102444800 * S);
}

static void cpu_time_counts_work(void **state)
{
	int64_t before = clock_cpu_us();
	int64_t deadline = clock_mono_us() + 10 * S;
	volatile unsigned work = 0;

	(void)state;
	while (clock_cpu_us() - before < 2000 && clock_mono_us() < deadline)
		work++;
	assert_true(clock_cpu_us() - before >= 2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(knows_days),
	    cmocka_unit_test(counts_every_day_once),
	    cmocka_unit_test(formats_six_decimals_and_z),
	    cmocka_unit_test(reads_back_what_it_wrote),
	    cmocka_unit_test(takes_every_written_form),
	    cmocka_unit_test(cuts_fractions_at_the_microsecond),
	    cmocka_unit_test(counts_second_60_as_the_next),
	    cmocka_unit_test(refuses_what_is_not_a_date),
	    cmocka_unit_test(refuses_other_texts),
	    cmocka_unit_test(refuses_a_local_time),
	    cmocka_unit_test(refuses_years_beyond_its_own),
	    cmocka_unit_test(reads_exactly_its_bytes),
	    cmocka_unit_test(monotonic_time_does_not_go_back),
	    cmocka_unit_test(wall_time_is_in_this_century),
	    cmocka_unit_test(cpu_time_counts_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
