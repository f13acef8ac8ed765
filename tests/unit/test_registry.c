/*
 * LINK: services/metrics/labels.c
 * LINK: services/metrics/registry.c
 * LINK: services/metrics/registry_view.c
 * LINK: services/metrics/exposition.c
 * LINK: services/metrics/status.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/buf.h"
#include "proto/stats.h"
#include "services/metrics/exposition.h"
#include "services/metrics/labels.h"
#include "services/metrics/registry.h"
#include "services/metrics/status.h"

#define SECOND INT64_C(1000000)

/* One life of one instance, which sends messages into a registry. */
struct sender {
	struct registry *r;
	struct stats_process process;
	struct buf message;
};

static void begin(struct sender *s, struct registry *r, const char *service,
		  uint32_t instance, int64_t started_at_us)
{
	s->r = r;
	s->process.service = service;
	s->process.instance = instance;
	s->process.pid = (uint32_t)started_at_us + instance;
	s->process.started_at_us = started_at_us;
	stats_begin(&s->message, &s->process);
}

static void sample(struct sender *s, const char *family, enum stats_type type,
		   const char *labels, double value)
{
	assert_true(stats_family(&s->message, family, "Help.", type));
	assert_true(stats_sample(&s->message, "", labels, value));
}

/* Sends at a monotonic time; gives the process, or NULL when ignored. */
static const struct registry_process *send_at(struct sender *s, int64_t now_us)
{
	struct err err;

	stats_end(&s->message);
	assert_int_equal(registry_take(s->r, (uint8_t *)s->message.data,
				       s->message.used, now_us, &err),
			 0);
	buf_free(&s->message);
	return registry_sender(s->r);
}

/* A message of one sample, by the service and instance "name.0". */
static const struct registry_process *tell(struct registry *r,
					   const char *process, int64_t started,
					   const char *family, double value)
{
	const char *dot = strchr(process, '.');
	struct sender s = {0};
	char service[64];

	snprintf(service, sizeof(service), "%.*s", (int)(dot - process),
		 process);
	begin(&s, r, service, (uint32_t)strtoul(dot + 1, NULL, 10), started);
	sample(&s, family,
	       strstr(family, "_total") ? STATS_COUNTER : STATS_GAUGE, "",
	       value);
	return send_at(&s, 0);
}

static void assert_text(struct registry *r, const char *want)
{
	struct buf out = {0};

	exposition_write(r, EXPOSITION_TEXT, &out);
	assert_string_equal(buf_str(&out), want);
	buf_free(&out);
}

/* Whether the exposition has this line. */
static bool shows(struct registry *r, const char *line)
{
	struct buf out = {0};
	const char *at;
	bool found;

	buf_char(&out, '\n');
	exposition_write(r, EXPOSITION_TEXT, &out);
	at = strstr(buf_str(&out), line);
	while (at && (at[-1] != '\n' || at[strlen(line)] != '\n'))
		at = strstr(at + 1, line);
	found = at != NULL;
	buf_free(&out);
	return found;
}

static void test_labels_by_family(void **state)
{
	struct registry *r = registry_new();
	struct sender s = {0};

	(void)state;
	begin(&s, r, "collector", 2, 1);
	sample(&s, "business_telemetry_events_received_total", STATS_COUNTER,
	       "source=\"web\",event_type=\"a\"", 3);
	sample(&s, "weft_x_total", STATS_COUNTER, "", 4);
	sample(&s, "weft_depth", STATS_GAUGE, "kind=\"k\"", 5);
	sample(&s, "weft_process_cpu_seconds_total", STATS_COUNTER, "", 0.5);
	sample(&s, "weft_own_total", STATS_COUNTER, "service=\"mine\"", 6);
	send_at(&s, 0);
	assert_text(r,
		    "# HELP business_telemetry_events_received_total Help.\n"
		    "# TYPE business_telemetry_events_received_total counter\n"
		    "business_telemetry_events_received_total{event_type=\"a\","
		    "source=\"web\"} 3\n"
		    "# HELP weft_depth Help.\n"
		    "# TYPE weft_depth gauge\n"
		    "weft_depth{kind=\"k\",process=\"collector.2\","
		    "service=\"collector\"} 5\n"
		    "# HELP weft_own_total Help.\n"
		    "# TYPE weft_own_total counter\n"
		    "weft_own_total{service=\"mine\"} 6\n"
		    "# HELP weft_process_cpu_seconds_total Help.\n"
		    "# TYPE weft_process_cpu_seconds_total counter\n"
		    "weft_process_cpu_seconds_total{process=\"collector.2\","
		    "service=\"collector\"} 0.5\n"
		    "# HELP weft_x_total Help.\n"
		    "# TYPE weft_x_total counter\n"
		    "weft_x_total{service=\"collector\"} 4\n");
	registry_free(&r);
	assert_null(r);
}

static void test_instances_are_added(void **state)
{
	struct registry *r = registry_new();

	(void)state;
	tell(r, "transformer.0", 1, "weft_x_total", 10);
	tell(r, "transformer.1", 1, "weft_x_total", 5);
	tell(r, "collector.0", 1, "weft_x_total", 1);
	tell(r, "transformer.0", 1, "weft_g", 7);
	tell(r, "transformer.1", 1, "weft_g", 8);
	tell(r, "a.0", 1, "business_telemetry_buffer_size", 2);
	tell(r, "b.0", 1, "business_telemetry_buffer_size", 3);
	assert_true(shows(r, "weft_x_total{service=\"transformer\"} 15"));
	assert_true(shows(r, "weft_x_total{service=\"collector\"} 1"));
	assert_true(shows(r, "business_telemetry_buffer_size 5"));
	assert_true(shows(r, "weft_g{process=\"transformer.0\",service="
			     "\"transformer\"} 7"));
	assert_true(shows(r, "weft_g{process=\"transformer.1\",service="
			     "\"transformer\"} 8"));
	registry_free(&r);
}

static void test_counters_survive_restarts(void **state)
{
	struct registry *r = registry_new();
	struct sender s = {0};

	(void)state;
	begin(&s, r, "c", 0, 100);
	sample(&s, "weft_x_total", STATS_COUNTER, "k=\"a\"", 10);
	sample(&s, "weft_x_total", STATS_COUNTER, "k=\"b\"", 20);
	send_at(&s, 0);
	tell(r, "c.1", 100, "weft_x_total", 1);
	/* a new life, which has not counted b again yet */
	begin(&s, r, "c", 0, 200);
	sample(&s, "weft_x_total", STATS_COUNTER, "k=\"a\"", 3);
	send_at(&s, 0);
	assert_true(shows(r, "weft_x_total{k=\"a\",service=\"c\"} 13"));
	assert_true(shows(r, "weft_x_total{k=\"b\",service=\"c\"} 20"));
	begin(&s, r, "c", 0, 200);
	sample(&s, "weft_x_total", STATS_COUNTER, "k=\"a\"", 4);
	send_at(&s, 0);
	assert_true(shows(r, "weft_x_total{k=\"a\",service=\"c\"} 14"));
	/* and another, whose clock was set back */
	begin(&s, r, "c", 0, 150);
	sample(&s, "weft_x_total", STATS_COUNTER, "k=\"a\"", 1);
	send_at(&s, 0);
	assert_true(shows(r, "weft_x_total{k=\"a\",service=\"c\"} 15"));
	assert_true(shows(r, "weft_x_total{service=\"c\"} 1"));
	registry_free(&r);
}

static void test_late_messages_of_a_dead_process_are_ignored(void **state)
{
	struct registry *r = registry_new();
	struct registry_counts counts;

	(void)state;
	tell(r, "c.0", 100, "weft_x_total", 10);
	tell(r, "c.0", 200, "weft_x_total", 1);
	assert_null(tell(r, "c.0", 100, "weft_x_total", 11));
	tell(r, "c.0", 200, "weft_x_total", 2);
	assert_true(shows(r, "weft_x_total{service=\"c\"} 12"));
	registry_get_counts(r, &counts);
	assert_int_equal(counts.stale, 1);
	assert_int_equal(counts.messages, 3);
	registry_free(&r);
}

/* A part of a process that begins anew must not take the sum down. */
static void test_counters_never_go_down(void **state)
{
	struct registry *r = registry_new();
	struct sender s = {0};

	(void)state;
	tell(r, "c.0", 1, "weft_x_total", 10);
	tell(r, "c.0", 1, "weft_x_total", 4);
	assert_true(shows(r, "weft_x_total{service=\"c\"} 14"));
	tell(r, "c.0", 1, "weft_x_total", 5);
	assert_true(shows(r, "weft_x_total{service=\"c\"} 15"));
	/* the same series twice in one message is no reset: the last counts */
	for (int i = 0; i < 3; i++) {
		begin(&s, r, "d", 0, 1);
		sample(&s, "weft_y_total", STATS_COUNTER, "", 9);
		sample(&s, "weft_y_total", STATS_COUNTER, "", 3);
		send_at(&s, 0);
	}
	assert_true(shows(r, "weft_y_total{service=\"d\"} 3"));
	registry_free(&r);
}

static void test_gauges_go_with_their_process(void **state)
{
	struct registry *r = registry_new();
	struct registry_counts counts;
	struct sender s = {0};

	(void)state;
	begin(&s, r, "c", 0, 1);
	sample(&s, "weft_g", STATS_GAUGE, "", 1);
	sample(&s, "weft_x_total", STATS_COUNTER, "", 2);
	send_at(&s, 10 * SECOND);
	registry_expire(r, 70 * SECOND, 60 * SECOND);
	assert_true(shows(r, "weft_g{process=\"c.0\",service=\"c\"} 1"));
	registry_expire(r, 70 * SECOND + 1, 60 * SECOND);
	assert_text(r, "# HELP weft_x_total Help.\n"
		       "# TYPE weft_x_total counter\n"
		       "weft_x_total{service=\"c\"} 2\n");
	registry_get_counts(r, &counts);
	assert_int_equal(counts.processes, 0);
	/* the same process again */
	begin(&s, r, "c", 0, 1);
	sample(&s, "weft_g", STATS_GAUGE, "", 3);
	send_at(&s, 90 * SECOND);
	assert_true(shows(r, "weft_g{process=\"c.0\",service=\"c\"} 3"));
	registry_get_counts(r, &counts);
	assert_int_equal(counts.processes, 1);
	registry_free(&r);
}

static void test_gauges_are_of_the_last_message_only(void **state)
{
	struct registry *r = registry_new();

	(void)state;
	tell(r, "c.0", 1, "weft_g", 1);
	tell(r, "c.0", 1, "weft_other", 2);
	assert_false(shows(r, "weft_g{process=\"c.0\",service=\"c\"} 1"));
	assert_true(shows(r, "weft_other{process=\"c.0\",service=\"c\"} 2"));
	/* nor of an earlier life, nor added to it */
	tell(r, "c.0", 2, "weft_x_total", 2);
	assert_false(shows(r, "weft_other{process=\"c.0\",service=\"c\"} 2"));
	tell(r, "c.0", 2, "weft_other", 3);
	assert_true(shows(r, "weft_other{process=\"c.0\",service=\"c\"} 3"));
	registry_free(&r);
}

static void test_a_family_has_one_type(void **state)
{
	struct registry *r = registry_new();
	struct registry_counts counts;
	struct sender s = {0};

	(void)state;
	begin(&s, r, "a", 0, 1);
	sample(&s, "weft_x", STATS_GAUGE, "", 1);
	send_at(&s, 0);
	begin(&s, r, "b", 0, 1);
	sample(&s, "weft_x", STATS_COUNTER, "", 1);
	sample(&s, "weft_y_total", STATS_COUNTER, "", 1);
	send_at(&s, 0);
	assert_text(r, "# HELP weft_x Help.\n"
		       "# TYPE weft_x gauge\n"
		       "weft_x{process=\"a.0\",service=\"a\"} 1\n"
		       "# HELP weft_y_total Help.\n"
		       "# TYPE weft_y_total counter\n"
		       "weft_y_total{service=\"b\"} 1\n");
	registry_get_counts(r, &counts);
	assert_int_equal(counts.conflicts, 1);
	assert_int_equal(counts.dropped, 0);
	registry_free(&r);
}

static void test_a_refused_message_changes_nothing(void **state)
{
	struct registry *r = registry_new();
	struct registry_counts counts;
	struct sender s = {0};
	struct err err;

	(void)state;
	begin(&s, r, "a", 0, 1);
	sample(&s, "weft_x", STATS_GAUGE, "", 1);
	stats_end(&s.message);
	s.message.data[50]++;
	assert_int_equal(registry_take(r, (uint8_t *)s.message.data,
				       s.message.used, 0, &err),
			 -1);
	assert_null(registry_sender(r));
	assert_text(r, "");
	registry_get_counts(r, &counts);
	assert_int_equal(counts.refused, 1);
	assert_int_equal(counts.messages, 0);
	buf_free(&s.message);
	registry_free(&r);
}

static void test_series_are_bounded(void **state)
{
	struct registry *r = registry_new();
	struct registry_counts counts;
	struct sender s = {0};
	char labels[64];

	(void)state;
	for (int round = 0; round < 2; round++) {
		begin(&s, r, "c", 0, 1);
		stats_family(&s.message, "weft_x_total", "", STATS_COUNTER);
		for (int i = 0; i < REGISTRY_MAX_SERIES + 5; i++) {
			snprintf(labels, sizeof(labels), "n=\"%d\"", i);
			stats_sample(&s.message, "", labels, i);
		}
		send_at(&s, 0);
	}
	registry_get_counts(r, &counts);
	assert_int_equal(counts.series, REGISTRY_MAX_SERIES);
	assert_int_equal(counts.dropped, 10);
	/* those that are known go on */
	assert_true(shows(r, "weft_x_total{n=\"9999\",service=\"c\"} 9999"));
	registry_free(&r);
}

static void test_cells_families_and_processes_are_bounded(void **state)
{
	struct registry *r = registry_new();
	struct registry_counts counts;
	struct sender s = {0};
	char text[64];

	(void)state;
	for (uint32_t i = 0; i < 5; i++) {
		begin(&s, r, "c", i, 1);
		stats_family(&s.message, "weft_x_total", "", STATS_COUNTER);
		for (int n = 0; n < REGISTRY_MAX_CELLS / 4; n++) {
			snprintf(text, sizeof(text), "n=\"%d\"", n);
			stats_sample(&s.message, "", text, 1);
		}
		send_at(&s, 0);
	}
	registry_get_counts(r, &counts);
	assert_int_equal(counts.dropped, REGISTRY_MAX_CELLS / 4);
	assert_true(shows(r, "weft_x_total{n=\"7\",service=\"c\"} 4"));
	registry_free(&r);

	r = registry_new();
	begin(&s, r, "c", 0, 1);
	for (int n = 0; n < REGISTRY_MAX_FAMILIES + 3; n++) {
		snprintf(text, sizeof(text), "weft_%d_total", n);
		sample(&s, text, STATS_COUNTER, "", 1);
	}
	send_at(&s, 0);
	registry_get_counts(r, &counts);
	assert_int_equal(counts.dropped, 3);
	for (uint32_t i = 0; i < REGISTRY_MAX_PROCESSES + 2; i++) {
		snprintf(text, sizeof(text), "p.%u", i);
		tell(r, text, 1, "weft_1_total", 1);
	}
	registry_get_counts(r, &counts);
	assert_int_equal(counts.processes, REGISTRY_MAX_PROCESSES);
	assert_int_equal(counts.crowded, 3);
	registry_free(&r);
}

/* Label values may hold any bytes; what is shown is UTF-8, and merged. */
static void test_values_that_are_no_utf8(void **state)
{
	static const struct {
		const char *in;
		const char *out;
	} cases[] = {
	    {"plain", "plain"},
	    {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
	     "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
	    {"a\xff"
	     "b",
	     "a\xef\xbf\xbd"
	     "b"},
	    {"\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd"},
	    {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
	    {"\xf4\x90\x80\x80",
	     "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
	    {"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"},
	    {"\xf0\x9f\x98", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
	};
	struct registry *r = registry_new();
	struct sender s = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf out = {0};

		labels_put_utf8(&out, cases[i].in, strlen(cases[i].in));
		assert_string_equal(buf_str(&out), cases[i].out);
		buf_free(&out);
	}
	begin(&s, r, "c", 0, 1);
	sample(&s, "weft_x_total", STATS_COUNTER, "v=\"\xff\"", 1);
	sample(&s, "weft_x_total", STATS_COUNTER, "v=\"\xfe\"", 2);
	send_at(&s, 0);
	assert_true(
	    shows(r, "weft_x_total{service=\"c\",v=\"\xef\xbf\xbd\"} 3"));
	registry_free(&r);
}

static void test_labels_in_another_order_are_the_same(void **state)
{
	struct registry *r = registry_new();
	struct sender s = {0};

	(void)state;
	begin(&s, r, "c", 0, 1);
	sample(&s, "weft_x_total", STATS_COUNTER, "a=\"1\",zz=\"2\"", 1);
	send_at(&s, 0);
	begin(&s, r, "c", 1, 1);
	sample(&s, "weft_x_total", STATS_COUNTER, "zz=\"2\",a=\"1\"", 1);
	send_at(&s, 0);
	assert_true(shows(r, "weft_x_total{a=\"1\",service=\"c\",zz=\"2\"} 2"));
	registry_free(&r);
}

/* ---- stats.json ---- */

/* When the transformer of these tests begins its second life. */
#define RESTART_US (150 * SECOND)

static void assert_member(struct status *status, struct registry *r,
			  const char *want)
{
	struct buf out = {0};

	status_write(status, r, 0, 0, &out);
	if (!strstr(buf_str(&out), want))
		fail_msg("%s is not in %s", want, buf_str(&out));
	buf_free(&out);
}

/* A transformer's message, noted. */
static void note(struct status *status, struct registry *r, int64_t sent_at_us,
		 double in, double out)
{
	struct sender s = {.process.sent_at_us = sent_at_us};

	begin(&s, r, "transformer", 0, 1 + (sent_at_us >= RESTART_US));
	sample(&s, "weft_bus_events_in_total", STATS_COUNTER, "", in);
	sample(&s, "weft_bus_events_out_total", STATS_COUNTER, "", out);
	status_note(status, send_at(&s, 0));
}

static void test_status_golden(void **state)
{
	static const char want[] =
	    "{\"at\":\"1970-01-01T00:00:10.000000Z\",\"processes\":["
	    "{\"service\":\"collector\",\"instance\":3,\"pid\":4,"
	    "\"started_at\":\"1970-01-01T00:00:00.000001Z\","
	    "\"heard_ms_ago\":4000,\"events_in\":8,\"events_in_per_s\":null,"
	    "\"events_out\":null,\"events_out_per_s\":null,\"log_bytes\":7,"
	    "\"log_age_s\":0.25,\"unacked_batches\":2,\"unacked_bytes\":null,"
	    "\"lag_events\":null,\"rss_bytes\":1024,\"cpu\":null,"
	    "\"circuits\":[{\"destination\":\"lake/orders\","
	    "\"state\":\"open\"}],"
	    "\"side_logs\":[{\"table\":\"orders\",\"bytes\":512}]},"
	    "{\"service\":\"transformer\",\"instance\":0,\"pid\":1,"
	    "\"started_at\":\"1970-01-01T00:00:00.000001Z\","
	    "\"heard_ms_ago\":9000,\"events_in\":1,\"events_in_per_s\":null,"
	    "\"events_out\":2,\"events_out_per_s\":null,\"log_bytes\":null,"
	    "\"log_age_s\":null,\"unacked_batches\":null,"
	    "\"unacked_bytes\":null,\"lag_events\":null,\"rss_bytes\":null,"
	    "\"cpu\":null,\"circuits\":[],\"side_logs\":[]}]}\n";
	struct registry *r = registry_new();
	struct status *status = status_new();
	struct sender s = {0};
	struct buf out = {0};

	(void)state;
	note(status, r, 5, 1, 2);
	begin(&s, r, "collector", 3, 1);
	sample(&s, "business_telemetry_events_received_total", STATS_COUNTER,
	       "source=\"a\"", 3);
	sample(&s, "business_telemetry_events_received_total", STATS_COUNTER,
	       "source=\"b\"", 5);
	sample(&s, "weft_spool_disk_bytes", STATS_GAUGE, "", 99);
	sample(&s, "weft_circuit_state", STATS_GAUGE,
	       "destination=\"lake/orders\"", 2);
	/* What could not stand in JSON as it is, and what is no state. */
	sample(&s, "weft_circuit_state", STATS_GAUGE, "destination=\"a\\\"b\"",
	       1);
	sample(&s, "weft_circuit_state", STATS_GAUGE, "destination=\"c\"", 3);
	sample(&s, "weft_side_log_bytes", STATS_GAUGE, "table=\"orders\"", 512);
	sample(&s, "weft_side_log_bytes", STATS_GAUGE, "table=\"empty\"", 0);
	sample(&s, "weft_spool_backlog_bytes", STATS_GAUGE, "", 7);
	sample(&s, "weft_spool_oldest_seconds", STATS_GAUGE, "", 0.25);
	sample(&s, "weft_bus_unacked_batches", STATS_GAUGE, "", 2);
	sample(&s, "weft_process_resident_memory_bytes", STATS_GAUGE, "", 1024);
	status_note(status, send_at(&s, 5 * SECOND));
	status_write(status, r, 10 * SECOND, 9 * SECOND, &out);
	assert_string_equal(buf_str(&out), want);
	buf_free(&out);
	/* a gauge that it no longer reports is unknown */
	begin(&s, r, "collector", 3, 1);
	sample(&s, "weft_spool_oldest_seconds", STATS_GAUGE, "", 0.5);
	status_note(status, send_at(&s, 5 * SECOND));
	assert_member(status, r, "\"log_bytes\":null,\"log_age_s\":0.5,");
	/* a silent process is left out */
	registry_expire(r, 61 * SECOND, 60 * SECOND);
	status_write(status, r, 0, 61 * SECOND, &out);
	assert_null(strstr(buf_str(&out), "transformer"));
	assert_non_null(strstr(buf_str(&out), "collector"));
	buf_free(&out);
	status_free(&status);
	status_free(&status);
	registry_free(&r);
	registry_free(&r);
}

/* A counter with labels has no series before its first event: that is 0. */
static void test_status_of_a_counter_that_is_empty(void **state)
{
	struct registry *r = registry_new();
	struct status *status = status_new();

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct sender s = {.process.sent_at_us = i * SECOND};

		begin(&s, r, "collector", 0, 1);
		stats_family(&s.message,
			     "business_telemetry_events_received_total", "",
			     STATS_COUNTER);
		if (i == 2)
			stats_sample(&s.message, "", "source=\"a\"", 50);
		stats_family(&s.message, "weft_spool_disk_bytes", "",
			     STATS_GAUGE);
		status_note(status, send_at(&s, 0));
		assert_member(status, r,
			      i == 2   ? "\"events_in_per_s\":25,"
			      : i == 1 ? "\"events_in_per_s\":0,"
				       : "\"events_in\":0,");
		assert_member(status, r, "\"log_bytes\":null");
	}
	status_free(&status);
	registry_free(&r);
}

static void test_status_rates(void **state)
{
	struct registry *r = registry_new();
	struct status *status = status_new();

	(void)state;
	/* 100 a second for 30 s, then 10 a second for 10 s */
	for (int i = 0; i <= 30; i++)
		note(status, r, (100 + i) * SECOND, 100 * i, 0);
	assert_member(status, r, "\"events_in_per_s\":100,");
	assert_member(status, r, "\"events_out_per_s\":0,");
	for (int i = 1; i <= 10; i++)
		note(status, r, (130 + i) * SECOND, 3000 + 10 * i, 5 * i);
	assert_member(status, r, "\"events_in_per_s\":10,");
	assert_member(status, r, "\"events_out_per_s\":5,");
	/* a restart: no rate from the old count to the new */
	note(status, r, RESTART_US, 0, 0);
	assert_member(status, r, "\"events_in_per_s\":null");
	note(status, r, RESTART_US + 2 * SECOND, 4, 0);
	assert_member(status, r, "\"events_in_per_s\":2,");
	/* the present life only */
	assert_member(status, r, "\"events_in\":4,");
	/* a clock set back */
	note(status, r, RESTART_US + 1 * SECOND, 8, 0);
	assert_member(status, r, "\"events_in_per_s\":null");
	note(status, r, RESTART_US + 3 * SECOND, 10, 0);
	assert_member(status, r, "\"events_in_per_s\":1,");
	status_free(&status);
	registry_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_labels_by_family),
	    cmocka_unit_test(test_instances_are_added),
	    cmocka_unit_test(test_counters_survive_restarts),
	    cmocka_unit_test(test_late_messages_of_a_dead_process_are_ignored),
	    cmocka_unit_test(test_counters_never_go_down),
	    cmocka_unit_test(test_gauges_go_with_their_process),
	    cmocka_unit_test(test_gauges_are_of_the_last_message_only),
	    cmocka_unit_test(test_a_family_has_one_type),
	    cmocka_unit_test(test_a_refused_message_changes_nothing),
	    cmocka_unit_test(test_series_are_bounded),
	    cmocka_unit_test(test_cells_families_and_processes_are_bounded),
	    cmocka_unit_test(test_values_that_are_no_utf8),
	    cmocka_unit_test(test_labels_in_another_order_are_the_same),
	    cmocka_unit_test(test_status_golden),
	    cmocka_unit_test(test_status_of_a_counter_that_is_empty),
	    cmocka_unit_test(test_status_rates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
