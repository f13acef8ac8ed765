#include "services/metrics/tables.h"

#define FIELD(f, t) CONF_FIELD(struct metrics_conf, f, t)

static const struct conf_row rows[] = {
    {FIELD(listen, CONF_LISTEN), .def = "127.0.0.1:9464",
     .doc = "Where /metrics is served for Prometheus."},
    {FIELD(stale, CONF_DURATION), .min = "2s", .max = "1h", .def = "15s",
     .flags = CONF_RELOAD,
     .doc = "The numbers of a process that has not reported for so long are "
	    "no longer shown."},
};

const struct conf_table metrics_conf_table = {
    .section = "metrics",
    .doc = "Collects the counters of all processes and serves them.",
    .rows = rows,
    .row_count = sizeof(rows) / sizeof(rows[0]),
    .struct_bytes = sizeof(struct metrics_conf),
};

#define COUNTER(f) offsetof(struct metrics_counters, f)

static const struct counter_row counters[] = {
    {"weft_stats_messages_total", COUNTER_TOTAL, COUNTER(messages), "", 1,
     "Reports received from processes."},
    {"weft_stats_refused_total", COUNTER_TOTAL, COUNTER(refused), "", 1,
     "Malformed reports, dropped."},
    {"weft_metrics_scrapes_total", COUNTER_TOTAL, COUNTER(scrapes), "", 1,
     "Times that /metrics was read."},
    {"weft_processes", COUNTER_GAUGE, COUNTER(processes), "", 1,
     "Processes that report."},
};

const struct counter_table metrics_counter_table = {
    .rows = counters,
    .row_count = sizeof(counters) / sizeof(counters[0]),
    .struct_bytes = sizeof(struct metrics_counters),
};
