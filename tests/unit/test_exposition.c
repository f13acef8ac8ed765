/*
 * LINK: services/metrics/labels.c
 * LINK: services/metrics/registry.c
 * LINK: services/metrics/registry_view.c
 * LINK: services/metrics/exposition.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "proto/stats.h"
#include "services/metrics/exposition.h"
#include "services/metrics/registry.h"

static const struct stats_process process = {.service = "c"};

static void take(struct registry *r, struct buf *message)
{
	struct err err;

	stats_end(message);
	assert_int_equal(
	    registry_take(r, (uint8_t *)message->data, message->used, 0, &err),
	    0);
	buf_free(message);
}

/* Two histograms with labels and buckets in no order, and escapes. */
static struct registry *sample(void)
{
	struct registry *r = registry_new();
	struct buf b = {0};

	stats_begin(&b, &process);
	stats_family(&b, "weft_z_seconds", "Back\\slash and \"quotes\".",
		     STATS_HISTOGRAM);
	stats_sample(&b, "_count", "s=\"b\"", 5);
	stats_sample(&b, "_bucket", "s=\"b\",le=\"+Inf\"", 5);
	stats_sample(&b, "_bucket", "s=\"b\",le=\"10\"", 4);
	stats_sample(&b, "_bucket", "le=\"2\",s=\"b\"", 3);
	stats_sample(&b, "_sum", "s=\"b\"", 0.1);
	stats_sample(&b, "_bucket", "s=\"a\",le=\"+Inf\"", 1);
	stats_sample(&b, "_sum", "s=\"a\"", 1);
	stats_sample(&b, "_count", "s=\"a\"", 1);
	stats_family(&b, "weft_a_total", "First.", STATS_COUNTER);
	stats_sample(&b, "", "v=\"a\\\\b\\\"c\\nd\"", 12345678901);
	stats_family(&b, "weft_odd", "A counter by another name.",
		     STATS_COUNTER);
	stats_sample(&b, "", "", 1);
	stats_family(&b, "weft_empty", "No samples.", STATS_GAUGE);
	take(r, &b);
	return r;
}

static void test_text(void **state)
{
	static const char want[] =
	    "# HELP weft_a_total First.\n"
	    "# TYPE weft_a_total counter\n"
	    "weft_a_total{service=\"c\",v=\"a\\\\b\\\"c\\nd\"} 12345678901\n"
	    "# HELP weft_odd A counter by another name.\n"
	    "# TYPE weft_odd counter\n"
	    "weft_odd{service=\"c\"} 1\n"
	    "# HELP weft_z_seconds Back\\\\slash and \"quotes\".\n"
	    "# TYPE weft_z_seconds histogram\n"
	    "weft_z_seconds_bucket{le=\"+Inf\",s=\"a\",service=\"c\"} 1\n"
	    "weft_z_seconds_sum{s=\"a\",service=\"c\"} 1\n"
	    "weft_z_seconds_count{s=\"a\",service=\"c\"} 1\n"
	    "weft_z_seconds_bucket{le=\"2\",s=\"b\",service=\"c\"} 3\n"
	    "weft_z_seconds_bucket{le=\"10\",s=\"b\",service=\"c\"} 4\n"
	    "weft_z_seconds_bucket{le=\"+Inf\",s=\"b\",service=\"c\"} 5\n"
	    "weft_z_seconds_sum{s=\"b\",service=\"c\"} 0.1\n"
	    "weft_z_seconds_count{s=\"b\",service=\"c\"} 5\n";
	struct registry *r = sample();
	struct buf out = {0};

	(void)state;
	exposition_write(r, EXPOSITION_TEXT, &out);
	assert_string_equal(buf_str(&out), want);
	/* and again: nothing is used up */
	buf_clear(&out);
	exposition_write(r, EXPOSITION_TEXT, &out);
	assert_string_equal(buf_str(&out), want);
	buf_free(&out);
	registry_free(&r);
}

static void test_openmetrics(void **state)
{
	static const char want[] =
	    "# HELP weft_a First.\n"
	    "# TYPE weft_a counter\n"
	    "weft_a_total{service=\"c\",v=\"a\\\\b\\\"c\\nd\"} 12345678901\n"
	    "# HELP weft_odd A counter by another name.\n"
	    "# TYPE weft_odd unknown\n"
	    "weft_odd{service=\"c\"} 1\n"
	    "# HELP weft_z_seconds Back\\\\slash and \\\"quotes\\\".\n"
	    "# TYPE weft_z_seconds histogram\n";
	struct registry *r = sample();
	struct buf out = {0};
	const char *text;

	(void)state;
	exposition_write(r, EXPOSITION_OPENMETRICS, &out);
	text = buf_str(&out);
	assert_memory_equal(text, want, strlen(want));
	assert_string_equal(text + strlen(text) - 6, "# EOF\n");
	buf_free(&out);
	registry_free(&r);
}

static void test_nothing_to_show(void **state)
{
	struct registry *r = registry_new();
	struct buf out = {0};

	(void)state;
	exposition_write(r, EXPOSITION_TEXT, &out);
	assert_int_equal(out.used, 0);
	exposition_write(r, EXPOSITION_OPENMETRICS, &out);
	assert_string_equal(buf_str(&out), "# EOF\n");
	buf_free(&out);
	registry_free(&r);
}

static void test_values(void **state)
{
	static const struct {
		double value;
		const char *text;
	} cases[] = {
	    {0, "0"},
	    {1, "1"},
	    {-2, "-2"},
	    {0.1, "0.1"},
	    {1.5, "1.5"},
	    {1e-6, "1e-06"},
	    {1.0 / 3, "0.33333333333333331"},
	    {9007199254740992.0, "9007199254740992"},
	    {1e300, "1e+300"},
	};
	struct buf out = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_clear(&out);
		exposition_put_value(&out, cases[i].value);
		assert_string_equal(buf_str(&out), cases[i].text);
	}
	buf_clear(&out);
	exposition_put_value(&out, (double)NAN);
	exposition_put_value(&out, (double)INFINITY);
	exposition_put_value(&out, -(double)INFINITY);
	assert_string_equal(buf_str(&out), "NaN+Inf-Inf");
	buf_free(&out);
}

#define TEXT EXPOSITION_TEXT
#define OPEN EXPOSITION_OPENMETRICS

/* What a client accepts, and what it gets. */
static const struct {
	const char *accept;
	enum exposition form;
} wishes[] = {
    {"", TEXT},
    {"*/*", TEXT},
    {"text/html", TEXT},
    {"text/plain", TEXT},
    {"application/openmetrics-text", OPEN},
    {"application/openmetrics-text; version=1.0.0", OPEN},
    {"application/openmetrics-text;version=\"1.0.0\"", OPEN},
    {"APPLICATION/OpenMetrics-Text; VERSION=1.0.0", OPEN},
    {"application/openmetrics-text; version=0.0.1", TEXT},
    /* Prometheus 2.42 */
    {"application/openmetrics-text;version=1.0.0,"
     "application/openmetrics-text;version=0.0.1;q=0.75,"
     "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
     OPEN},
    /* Prometheus 2.5 */
    {"application/openmetrics-text; version=0.0.1,"
     "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
     TEXT},
    /* Prometheus 3 */
    {"application/openmetrics-text;version=1.0.0;escaping="
     "allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;"
     "q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
     "text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
     OPEN},
    {"text/plain;q=0.9, application/openmetrics-text;q=0.8", TEXT},
    {"text/plain;q=0.8 , application/openmetrics-text ; q=0.9", OPEN},
    {"application/openmetrics-text;q=0", TEXT},
    {"text/plain;q=0,application/openmetrics-text;q=0.1", OPEN},
    {"application/openmetrics-text,text/plain", TEXT},
    {"*/*;q=1,application/openmetrics-text;q=0.5", TEXT},
    {"*/*,application/openmetrics-text", OPEN},
    {"application/*", OPEN},
    {"application/*,text/plain;q=0.5", OPEN},
    {"application/openmetrics-text;q=junk", OPEN},
    {",;,=;q=,;;", TEXT},
    {"application/openmetrics-text;version", OPEN},
    {"text/plain;version=\"", TEXT},
};

static void test_negotiation(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
		size_t bytes = strlen(wishes[i].accept);
		char *exact = xmalloc(bytes);

		memcpy(exact, wishes[i].accept, bytes);
		if (exposition_choose(exact, bytes) != wishes[i].form)
			fail_msg("Accept: %s", wishes[i].accept);
		free(exact);
	}
	assert_int_equal(exposition_choose(NULL, 0), EXPOSITION_TEXT);
	assert_string_equal(exposition_content_type(EXPOSITION_TEXT),
			    "text/plain; version=0.0.4; charset=utf-8");
	assert_string_equal(exposition_content_type(EXPOSITION_OPENMETRICS),
			    "application/openmetrics-text; version=1.0.0; "
			    "charset=utf-8");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_text),
	    cmocka_unit_test(test_openmetrics),
	    cmocka_unit_test(test_nothing_to_show),
	    cmocka_unit_test(test_values),
	    cmocka_unit_test(test_negotiation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
