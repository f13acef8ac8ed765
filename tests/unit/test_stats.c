#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <math.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "proto/stats.h"

static const struct stats_process collector = {
    .service = "collector",
    .instance = 3,
    .pid = 0x01020304,
    .started_at_us = 0x0112131415161718,
    .sent_at_us = 0x0122232425262728,
};

/* A visitor that writes what it sees as text. */
static void see_process(void *arg, const struct stats_process *p)
{
	buf_printf(arg, "%s.%u pid=%u %" PRIx64 " %" PRIx64 "\n", p->service,
		   p->instance, p->pid, (uint64_t)p->started_at_us,
		   (uint64_t)p->sent_at_us);
}

static void see_family(void *arg, const char *name, const char *help,
		       enum stats_type type)
{
	buf_printf(arg, "%s|%s|%d\n", name, help, (int)type);
}

static void see_sample(void *arg, const char *suffix, const char *labels,
		       double value)
{
	buf_printf(arg, " %s{%s} %g\n", suffix, labels, value);
}

static void flip(struct buf *b, size_t bit)
{
	uint8_t *at = (uint8_t *)b->data + bit / 8;

	*at = (uint8_t)(*at ^ 1u << bit % 8);
}

static int decode(const void *data, size_t bytes, struct buf *seen,
		  struct err *err)
{
	const struct stats_visitor visitor = {see_process, see_family,
					      see_sample, seen};

	return stats_decode(data, bytes, &visitor, err);
}

static void make_crc(struct buf *b)
{
	uint32_t bytes = (uint32_t)b->used, crc;

	memcpy(b->data + 8, &bytes, 4);
	crc = crc32c(0, b->data, b->used - 4);
	memcpy(b->data + b->used - 4, &crc, 4);
}

static void encode_sample(struct buf *b)
{
	stats_begin(b, &collector);
	assert_true(
	    stats_family(b, "weft_x_total", "Some help.", STATS_COUNTER));
	assert_true(stats_sample(b, "", "source=\"a\"", 5));
	assert_true(stats_family(b, "weft_g", "", STATS_GAUGE));
	assert_true(stats_sample(b, "", "", -1.5));
	assert_true(stats_family(b, "weft_h", "H", STATS_HISTOGRAM));
	assert_true(stats_sample(b, "_bucket", "le=\"+Inf\"", 7));
	assert_true(stats_sample(b, "_sum", "", 0.25));
	assert_true(stats_sample(b, "_count", "", 7));
	stats_end(b);
}

static const char sample_seen[] =
    "collector.3 pid=16909060 112131415161718 122232425262728\n"
    "weft_x_total|Some help.|0\n"
    " {source=\"a\"} 5\n"
    "weft_g||1\n"
    " {} -1.5\n"
    "weft_h|H|2\n"
    " _bucket{le=\"+Inf\"} 7\n"
    " _sum{} 0.25\n"
    " _count{} 7\n";

static void test_golden_bytes(void **state)
{
	/* clang-format off */
	static const uint8_t want[] = {
		'W', 'T', 'S', 'T', 1, 0, 9, 0, 83, 0, 0, 0, 3, 0, 0, 0,
		0x04, 0x03, 0x02, 0x01, 0, 0, 0, 0,
		0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x01,
		0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x01,
		'c', 'o', 'l', 'l', 'e', 'c', 't', 'o', 'r', 0,
		/* family: kind, type, name and help bytes */
		1, 0, 1, 0, 2, 0, 'x', 0, 'h', '?', 0,
		/* sample: kind, suffix, label bytes, value 1.0 */
		2, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f,
		'a', '=', '"', 'b', '"', 0,
	};
	/* clang-format on */
	struct buf b = {0};
	uint32_t crc;

	(void)state;
	buf_text(&b, "what was there before goes");
	stats_begin(&b, &collector);
	stats_family(&b, "x", "h?", STATS_COUNTER);
	stats_sample(&b, "", "a=\"b\"", 1);
	stats_end(&b);
	assert_int_equal(b.used, sizeof(want) + 4);
	assert_memory_equal(b.data, want, sizeof(want));
	crc = crc32c(0, b.data, b.used - 4);
	assert_memory_equal(b.data + b.used - 4, &crc, 4);
	buf_free(&b);
}

static void test_round_trip(void **state)
{
	struct buf b = {0}, seen = {0};
	struct err err;

	(void)state;
	encode_sample(&b);
	assert_int_equal(decode(b.data, b.used, &seen, &err), 0);
	assert_string_equal(buf_str(&seen), sample_seen);
	/* the same buffer for the next message */
	buf_clear(&seen);
	encode_sample(&b);
	assert_int_equal(decode(b.data, b.used, &seen, &err), 0);
	assert_string_equal(buf_str(&seen), sample_seen);
	buf_free(&seen);
	buf_free(&b);
}

static void test_truncations_and_flips_are_refused_unvisited(void **state)
{
	struct buf b = {0}, seen = {0};
	struct err err;

	(void)state;
	encode_sample(&b);
	for (size_t n = 0; n < b.used; n++) {
		uint8_t *cut = xmalloc(n);

		memcpy(cut, b.data, n);
		assert_int_equal(decode(cut, n, &seen, &err), -1);
		free(cut);
	}
	for (size_t bit = 0; bit < b.used * 8; bit++) {
		flip(&b, bit);
		assert_int_equal(decode(b.data, b.used, &seen, &err), -1);
		flip(&b, bit);
	}
	assert_int_equal(seen.used, 0);
	buf_free(&b);
}

/*
 * A wrong sender with a true crc, cut anywhere: refused, except where a record
 * ends; never read beyond its end (the sanitizer judges that).
 */
static void test_cuts_with_a_true_crc(void **state)
{
	struct buf b = {0};
	unsigned good = 0;

	(void)state;
	encode_sample(&b);
	for (size_t n = 44; n < b.used; n++) {
		struct buf cut = {0}, seen = {0};
		struct err err;

		cut.data = xmalloc(n);
		cut.size = n;
		cut.used = n;
		memcpy(cut.data, b.data, n);
		make_crc(&cut);
		if (decode(cut.data, cut.used, &seen, &err) == 0)
			good++;
		else
			assert_int_equal(seen.used, 0);
		buf_free(&cut);
		buf_free(&seen);
	}
	/* with no record up to all but the last of eight */
	assert_int_equal(good, 8);
	buf_free(&b);
}

/* Each byte set to each of some values, with a true crc: no bad read. */
static void test_damage_with_a_true_crc(void **state)
{
	static const unsigned char values[] = {0,    1,	   2,	3,   '"',
					       '\\', '\n', 127, 128, 255};
	struct buf b = {0};

	(void)state;
	encode_sample(&b);
	for (size_t at = 12; at < b.used - 4; at++)
		for (size_t i = 0; i < sizeof(values); i++) {
			struct buf seen = {0};
			struct err err;
			char old = b.data[at];
			int result;

			b.data[at] = (char)values[i];
			make_crc(&b);
			result = decode(b.data, b.used, &seen, &err);
			assert_true(result == 0 || seen.used == 0);
			b.data[at] = old;
			buf_free(&seen);
		}
	buf_free(&b);
}

static void test_the_head_is_judged(void **state)
{
	const struct {
		size_t at;
		const char *bytes;
		size_t count;
		int code;
		const char *says;
	} cases[] = {
	    {0, "WBAT", 4, EBADMSG, "another program"},
	    {4, "\2", 1, EPROTO, "version 2"},
	    {6, "\0", 1, EBADMSG, "service"},
	    {6, "\10", 1, EBADMSG, "service"},
	    {6, "\377\377", 2, EBADMSG, "service"},
	    {31, "\x80", 1, EBADMSG, "years"},
	    {31, "\x04", 1, EBADMSG, "years"},
	    {39, "\x80", 1, EBADMSG, "years"},
	    {40, "coll/ctor", 9, EBADMSG, "service"},
	    {50, "\3", 1, EBADMSG, "bad record at byte 50"},
	};
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf b = {0}, seen = {0};

		encode_sample(&b);
		memcpy(b.data + cases[i].at, cases[i].bytes, cases[i].count);
		make_crc(&b);
		assert_int_equal(decode(b.data, b.used, &seen, &err), -1);
		assert_int_equal(err.code, cases[i].code);
		assert_non_null(strstr(err.text, cases[i].says));
		assert_int_equal(seen.used, 0);
		buf_free(&b);
	}
}

/* What a receiver would refuse is not sent, and costs nothing else. */
static void test_bad_samples_are_left_out(void **state)
{
	static const struct {
		const char *labels;
		bool ok;
	} cases[] = {
	    {"", true},
	    {"a=\"\"", true},
	    {"a=\"x\",b_2=\"y\"", true},
	    {"a=\"q\\\"b\\\\n\\n\"", true},
	    {"a=\"\xff\xc3\xa4\"", true},
	    {"a", false},
	    {"a=", false},
	    {"a=\"", false},
	    {"a=\"x", false},
	    {"a=x", false},
	    {"a=\"x\",", false},
	    {"a=\"x\" ", false},
	    {"a=\"x\",,b=\"y\"", false},
	    {",a=\"x\"", false},
	    {"=\"x\"", false},
	    {"1a=\"x\"", false},
	    {"a-b=\"x\"", false},
	    {"__a=\"x\"", false},
	    {"a=\"x\",a=\"y\"", false},
	    {"a=\"x\",b=\"y\",a=\"y\"", false},
	    {"a=\"x\ny\"", false},
	    {"a=\"\\t\"", false},
	    {"a=\"\\", false},
	    {"le=\"1\"", false},
	    {"a=\"1\",b=\"1\",c=\"1\",d=\"1\",e=\"1\",f=\"1\",g=\"1\","
	     "h=\"1\",i=\"1\",j=\"1\",k=\"1\",l=\"1\",m=\"1\",n=\"1\","
	     "o=\"1\",p=\"1\",q=\"1\"",
	     false},
	};
	struct buf b = {0}, seen = {0};
	struct err err;

	(void)state;
	stats_begin(&b, &collector);
	stats_family(&b, "x", "", STATS_COUNTER);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(stats_sample(&b, "", cases[i].labels, 1),
				 cases[i].ok);
	stats_end(&b);
	assert_int_equal(decode(b.data, b.used, &seen, &err), 0);
	buf_free(&b);
	buf_free(&seen);
}

static void test_types_suffixes_and_values(void **state)
{
	char labels[STATS_MAX_LABELS_BYTES + 2];
	struct buf b = {0};

	(void)state;
	stats_begin(&b, &collector);
	assert_false(stats_sample(&b, "", "", 1));
	stats_family(&b, "c", "", STATS_COUNTER);
	assert_true(stats_sample(&b, "", "", 0));
	assert_false(stats_sample(&b, "", "", -1));
	assert_false(stats_sample(&b, "", "", (double)NAN));
	assert_false(stats_sample(&b, "", "", (double)INFINITY));
	assert_false(stats_sample(&b, "_sum", "", 1));
	stats_family(&b, "g", "", STATS_GAUGE);
	assert_true(stats_sample(&b, "", "", (double)NAN));
	assert_false(stats_sample(&b, "_other", "", 1));
	stats_family(&b, "h", "", STATS_HISTOGRAM);
	assert_false(stats_sample(&b, "", "", 1));
	assert_false(stats_sample(&b, "_bucket", "", 1));
	assert_true(stats_sample(&b, "_bucket", "a=\"b\",le=\"1\"", 1));
	assert_false(stats_sample(&b, "_count", "le=\"1\"", 1));
	memset(labels, 'v', sizeof(labels));
	memcpy(labels, "a=\"", 3);
	labels[STATS_MAX_LABELS_BYTES - 1] = '"';
	labels[STATS_MAX_LABELS_BYTES] = '\0';
	assert_true(stats_sample(&b, "_sum", labels, 1));
	memcpy(labels + STATS_MAX_LABELS_BYTES - 1, "v\"", 3);
	assert_false(stats_sample(&b, "_sum", labels, 1));
	buf_free(&b);
}

static void test_families_that_are_none(void **state)
{
	char name[STATS_MAX_NAME_BYTES + 2] = {0};
	char help[STATS_MAX_HELP_BYTES + 2] = {0};
	struct buf b = {0}, seen = {0};
	struct err err;

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	memset(help, 'h', sizeof(help) - 1);
	stats_begin(&b, &collector);
	assert_false(stats_family(&b, "", "", STATS_GAUGE));
	assert_false(stats_family(&b, "9x", "", STATS_GAUGE));
	assert_false(stats_family(&b, "a-b", "", STATS_GAUGE));
	assert_false(stats_family(&b, name, "", STATS_GAUGE));
	assert_false(stats_family(&b, "x", help, STATS_GAUGE));
	assert_false(stats_family(&b, "x", "two\nlines", STATS_GAUGE));
	/* nor samples of a family that was left out */
	assert_true(stats_family(&b, "y", "", STATS_GAUGE));
	assert_false(stats_family(&b, "a b", "", STATS_GAUGE));
	assert_false(stats_sample(&b, "", "", 1));
	name[STATS_MAX_NAME_BYTES] = '\0';
	help[STATS_MAX_HELP_BYTES] = '\0';
	assert_true(stats_family(&b, name, help, STATS_GAUGE));
	stats_end(&b);
	assert_int_equal(decode(b.data, b.used, &seen, &err), 0);
	buf_free(&b);
	buf_free(&seen);
}

static void test_a_full_message_stays_valid(void **state)
{
	struct buf b = {0}, seen = {0};
	unsigned samples = 0;
	char labels[1000];
	struct err err;

	(void)state;
	memset(labels, 'v', sizeof(labels));
	memcpy(labels, "a=\"", 3);
	labels[sizeof(labels) - 2] = '"';
	labels[sizeof(labels) - 1] = '\0';
	stats_begin(&b, &collector);
	stats_family(&b, "x", "", STATS_GAUGE);
	while (stats_sample(&b, "", labels, 1))
		samples++;
	while (stats_sample(&b, "", "", 1))
		samples++;
	assert_false(stats_family(&b, "y", "", STATS_GAUGE) &&
		     stats_sample(&b, "", "", 1));
	stats_end(&b);
	assert_true(b.used <= STATS_MAX_BYTES);
	assert_true(samples > 4000);
	assert_int_equal(decode(b.data, b.used, &seen, &err), 0);
	buf_free(&seen);
	buf_char(&b, 0);
	buf_reserve(&b, STATS_MAX_BYTES);
	b.used = STATS_MAX_BYTES + 1;
	make_crc(&b);
	assert_int_equal(decode(b.data, b.used, &seen, &err), -1);
	buf_free(&b);
}

static void test_next_label(void **state)
{
	const char *at = "le=\"+Inf\",path=\"a\\\"b\"", *name, *value;
	size_t name_bytes, value_bytes;

	(void)state;
	assert_true(
	    stats_next_label(&at, &name, &name_bytes, &value, &value_bytes));
	assert_int_equal(name_bytes, 2);
	assert_memory_equal(name, "le", 2);
	assert_int_equal(value_bytes, 4);
	assert_memory_equal(value, "+Inf", 4);
	assert_true(
	    stats_next_label(&at, &name, &name_bytes, &value, &value_bytes));
	assert_memory_equal(name, "path", 4);
	assert_int_equal(value_bytes, 4);
	assert_memory_equal(value, "a\\\"b", 4);
	assert_false(
	    stats_next_label(&at, &name, &name_bytes, &value, &value_bytes));
	assert_int_equal(*at, '\0');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_golden_bytes),
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_truncations_and_flips_are_refused_unvisited),
	    cmocka_unit_test(test_cuts_with_a_true_crc),
	    cmocka_unit_test(test_damage_with_a_true_crc),
	    cmocka_unit_test(test_the_head_is_judged),
	    cmocka_unit_test(test_bad_samples_are_left_out),
	    cmocka_unit_test(test_types_suffixes_and_values),
	    cmocka_unit_test(test_families_that_are_none),
	    cmocka_unit_test(test_a_full_message_stays_valid),
	    cmocka_unit_test(test_next_label),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
