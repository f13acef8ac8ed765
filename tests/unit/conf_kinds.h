/*
 * A catalogue of services for the tests of conf/, with the names of the real
 * ones and few rows, so that these tests do not change with a service's table.
 */
#ifndef WEFT_TESTS_CONF_KINDS_H
#define WEFT_TESTS_CONF_KINDS_H

#include "conf/conf.h"

struct test_source {
	char *listen;
	char *api_keys;
	char *tls_certificate;
	char *tls_key;
	char *cors_origins;
	int64_t max_events;
	int64_t max_body;
	int64_t idle_timeout;
	int64_t log_cap;
};

static const struct conf_row test_source_rows[] = {
    {CONF_FIELD(struct test_source, listen, CONF_LISTEN),
     .def = "127.0.0.1:8080"},
    {CONF_FIELD(struct test_source, api_keys, CONF_STRING), .min = "16",
     .flags = CONF_SECRET | CONF_RELOAD},
    {CONF_FIELD(struct test_source, tls_certificate, CONF_PATH),
     .needs = "tls_key", .flags = CONF_EXISTS},
    {CONF_FIELD(struct test_source, tls_key, CONF_PATH),
     .needs = "tls_certificate", .flags = CONF_EXISTS | CONF_PRIVATE},
    {CONF_FIELD(struct test_source, cors_origins, CONF_STRING),
     .flags = CONF_RELOAD},
    {CONF_FIELD(struct test_source, max_events, CONF_INT), .min = "1",
     .max = "1000000", .def = "10000"},
    {CONF_FIELD(struct test_source, max_body, CONF_BYTES), .min = "1KiB",
     .max = "1GiB", .def = "16MiB"},
    {CONF_FIELD(struct test_source, idle_timeout, CONF_DURATION), .min = "1s",
     .max = "1h", .def = "60s"},
    {CONF_FIELD(struct test_source, log_cap, CONF_BYTES), .min = "4MiB",
     .def = "4GiB"},
};

struct test_sink {
	int backend;
	char *path;
};

static const struct conf_row test_sink_rows[] = {
    {CONF_FIELD(struct test_sink, backend, CONF_CHOICE),
     .choices = "file|console|null", .def = "file"},
    {CONF_FIELD(struct test_sink, path, CONF_PATH),
     .def = "<state_dir>/out/<name>"},
};

struct test_tool {
	char *listen;
	char *target;
	char *api_key;
	bool autostart;
	int64_t events;
	int64_t duration;
};

static const struct conf_row test_tool_rows[] = {
    {CONF_FIELD(struct test_tool, listen, CONF_LISTEN),
     .def = "127.0.0.1:8090"},
    {CONF_FIELD(struct test_tool, target, CONF_STRING), .min = "8",
     .max = "1024", .def = "http://127.0.0.1:8080"},
    {CONF_FIELD(struct test_tool, api_key, CONF_STRING), .flags = CONF_SECRET},
    {CONF_FIELD(struct test_tool, autostart, CONF_BOOL), .def = "false"},
    {CONF_FIELD(struct test_tool, events, CONF_INT), .min = "0", .def = "0"},
    {CONF_FIELD(struct test_tool, duration, CONF_DURATION), .max = "1d"},
};

struct test_metrics {
	char *listen;
	int64_t stale;
};

static const struct conf_row test_metrics_rows[] = {
    {CONF_FIELD(struct test_metrics, listen, CONF_LISTEN),
     .def = "127.0.0.1:9464"},
    {CONF_FIELD(struct test_metrics, stale, CONF_DURATION), .min = "2s",
     .max = "1h", .def = "15s"},
};

#define TEST_TABLE(s, r, t)                                                \
	(&(const struct conf_table){.section = (s),                        \
				    .doc = "For tests.",                   \
				    .rows = (r),                           \
				    .row_count = sizeof(r) / sizeof(*(r)), \
				    .struct_bytes = sizeof(struct t)})

static const struct conf_kind test_kind_list[] = {
    {.name = "collector",
     .in = "",
     .out = "raw",
     .flags = KIND_SOURCE,
     .conf = TEST_TABLE("collector", test_source_rows, test_source)},
    {.name = "transformer",
     .in = "raw",
     .out = "*",
     .flags = KIND_RELAY,
     .conf = &(const struct conf_table){.section = "transformer"}},
    {.name = "eventhub-publisher",
     .in = "eventhub",
     .out = "",
     .flags = KIND_SINK,
     .conf = TEST_TABLE("eventhub-publisher", test_sink_rows, test_sink)},
    {.name = "generator",
     .in = "",
     .out = "",
     .flags = KIND_TOOL,
     .conf = TEST_TABLE("generator", test_tool_rows, test_tool)},
    {.name = "metrics",
     .in = "",
     .out = "",
     .flags = KIND_TOOL | KIND_SINGLE,
     .conf = TEST_TABLE("metrics", test_metrics_rows, test_metrics)},
    {.name = "replay",
     .in = "",
     .out = "raw",
     .flags = KIND_SOURCE | KIND_SINGLE | KIND_ON_DEMAND,
     .conf = &(const struct conf_table){.section = "replay"}},
};

static const struct conf_kinds test_kinds = {test_kind_list, 6};

#endif
