#include "services/metrics/tables.h"

#define FIELD(f, t) CONF_FIELD(struct metrics_conf, f, t)

static const struct conf_row rows[] = {
    {FIELD(listen, CONF_LISTEN), .def = "127.0.0.1:9464",
     .doc = "Where /metrics is served for Prometheus, and /stats.json for "
	    "pipelinectl."},
    {FIELD(stale, CONF_DURATION), .min = "2s", .max = "1h", .def = "60s",
     .flags = CONF_RELOAD,
     .doc = "The gauges of a process that has not reported for so long are no "
	    "longer shown; its counters stay."},
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
    {"weft_metrics_messages_total", COUNTER_TOTAL, COUNTER(registry.messages),
     "", 1, "Reports of processes that were taken."},
    {"weft_metrics_refused_total", COUNTER_TOTAL, COUNTER(registry.refused), "",
     1, "Malformed reports, dropped."},
    {"weft_metrics_ignored_total", COUNTER_TOTAL, COUNTER(registry.stale),
     "reason=\"stale\"", 1,
     "Reports that were ignored: of a process that has a successor (stale), or "
     "beyond the limit of processes (crowded)."},
    {"weft_metrics_ignored_total", COUNTER_TOTAL, COUNTER(registry.crowded),
     "reason=\"crowded\"", 1,
     "Reports that were ignored: of a process that has a successor (stale), or "
     "beyond the limit of processes (crowded)."},
    {"weft_metrics_dropped_samples_total", COUNTER_TOTAL,
     COUNTER(registry.dropped), "reason=\"limit\"", 1,
     "Samples left out: beyond the limit of series (limit), or of a family "
     "that another process reports as another type (conflict)."},
    {"weft_metrics_dropped_samples_total", COUNTER_TOTAL,
     COUNTER(registry.conflicts), "reason=\"conflict\"", 1,
     "Samples left out: beyond the limit of series (limit), or of a family "
     "that another process reports as another type (conflict)."},
    {"weft_metrics_scrapes_total", COUNTER_TOTAL, COUNTER(scrapes), "", 1,
     "Times that /metrics was read."},
    {"weft_metrics_series", COUNTER_GAUGE, COUNTER(registry.series), "", 1,
     "Series held."},
    {"weft_metrics_processes", COUNTER_GAUGE, COUNTER(registry.processes), "",
     1, "Processes that report."},
};

const struct counter_table metrics_counter_table = {
    .rows = counters,
    .row_count = sizeof(counters) / sizeof(counters[0]),
    .struct_bytes = sizeof(struct metrics_counters),
};
