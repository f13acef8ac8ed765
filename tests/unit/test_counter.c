/* Counters: histograms' bounds, label values of any bytes, the series limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "conf/counter.h"

static struct counter_label label(const char *value)
{
	return (struct counter_label){value, strlen(value)};
}

static void print_series(void *arg, const char *labels, int64_t value)
{
	buf_printf(arg, "%s %lld\n", labels, (long long)value);
}

static void a_bound_belongs_to_its_bucket(void **state)
{
	struct counter_histogram h = {0};

	(void)state;
	counter_observe(&h, 0);
	counter_observe(&h, 1000);
	counter_observe(&h, 1001);
	counter_observe_many(&h, INT64_C(32768000), 2);
	counter_observe(&h, INT64_C(32768001));
	counter_observe(&h, -5);
	assert_int_equal(h.buckets[0], 3);
	assert_int_equal(h.buckets[1], 1);
	assert_int_equal(h.buckets[15], 2);
	assert_int_equal(h.buckets[16], 1);
	assert_int_equal(h.count, 7);
	assert_int_equal(h.sum_us, 2001 + 3 * UINT64_C(32768000) + 1);
}

static void same_labels_give_the_same_cell(void **state)
{
	struct counter_family *f = counter_family_new("source,event_type");
	struct counter_label ab[] = {label("a"), label("b")};
	struct counter_label joined[] = {label("ab"), label("")};
	struct buf out = {0};
	int64_t *cell = counter_cell(f, ab);

	(void)state;
	*cell += 2;
	*counter_cell(f, joined) += 5;
	assert_ptr_equal(counter_cell(f, ab), cell);
	counter_family_each(f, print_series, &out);
	assert_string_equal(buf_str(&out), "source=\"a\",event_type=\"b\" 2\n"
					   "source=\"ab\",event_type=\"\" 5\n");
	buf_free(&out);
	counter_family_free(&f);
	assert_null(f);
}

static void any_bytes_become_one_clean_value(void **state)
{
	struct counter_family *f = counter_family_new("x");
	struct counter_label bad[] = {
	    {"\xff\x01", 2}, {"\xc3(", 2}, {"\0\n", 2}, {"\xed\xa0\x80", 3}};
	struct counter_label odd = label("q\"b\\\xc3\xa9");
	struct buf out = {0};

	(void)state;
	for (int i = 0; i < 4; i++)
		++*counter_cell(f, &bad[i]);
	++*counter_cell(f, &odd);
	counter_family_each(f, print_series, &out);
	assert_string_equal(buf_str(&out), "x=\"\?\?\" 2\n"
					   "x=\"?(\" 1\n"
					   "x=\"\?\?\?\" 1\n"
					   "x=\"q\\\"b\\\\\xc3\xa9\" 1\n");
	buf_free(&out);
	counter_family_free(&f);
}

static void long_values_are_cut_at_a_character(void **state)
{
	struct counter_family *f = counter_family_new("x");
	char text[300], expected[200];
	struct counter_label l = {text, 0};
	struct buf out = {0};

	(void)state;
	memset(text, 'a', 127);
	memcpy(text + 127, "\xc3\xa9tail", 6);
	l.bytes = 133;
	++*counter_cell(f, &l);
	counter_family_each(f, print_series, &out);
	snprintf(expected, sizeof(expected), "x=\"%.127s\" 1\n", text);
	assert_string_equal(buf_str(&out), expected);
	buf_free(&out);
	counter_family_free(&f);
}

struct tally {
	int series;
	int64_t total, other;
};

static void add_up(void *arg, const char *labels, int64_t value)
{
	struct tally *t = arg;

	t->series++;
	t->total += value;
	if (strcmp(labels, "a=\"other\",b=\"other\"") == 0)
		t->other = value;
}

static void beyond_the_limit_all_goes_to_other(void **state)
{
	struct counter_family *f = counter_family_new("a,b");
	struct tally t = {0};
	int64_t *first = NULL;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		char text[16];
		struct counter_label labels[2] = {{text, 0}, label("y")};

		labels[0].bytes = (size_t)snprintf(text, 16, "v%d", i);
		if (i == 0)
			first = counter_cell(f, labels);
		++*counter_cell(f, labels);
	}
	assert_int_equal(*first, 1);
	counter_family_each(f, add_up, &t);
	assert_int_equal(t.series, COUNTER_MAX_SERIES + 1);
	assert_int_equal(t.total, 1000);
	assert_int_equal(t.other, 500);
	counter_family_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_bound_belongs_to_its_bucket),
	    cmocka_unit_test(same_labels_give_the_same_cell),
	    cmocka_unit_test(any_bytes_become_one_clean_value),
	    cmocka_unit_test(long_values_are_cut_at_a_character),
	    cmocka_unit_test(beyond_the_limit_all_goes_to_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
