#include "services/eventhub-publisher/tables.h"

#include "run/counter_rows.h"

#define FIELD(f, t) CONF_FIELD(struct eventhub_publisher_conf, f, t)

static const struct conf_row rows[] = {
    {FIELD(backend, CONF_CHOICE), .def = "file", .choices = "file|console|null",
     .doc = "Where events go: NDJSON files, standard output, or nowhere (for "
	    "measuring)."},
    {FIELD(path, CONF_PATH), .def = "<state_dir>/out/<name>",
     .doc = "Directory of the file backend. Each stream has its own files, "
	    "<stream>-<log>-<number>.ndjson, one event a line."},
    {FIELD(rotate_size, CONF_BYTES), .min = "64KiB", .max = "1TiB",
     .def = "1GiB", .doc = "A new file begins once one is this large."},
    {FIELD(sync_interval, CONF_DURATION), .min = "1ms", .max = "60s",
     .def = "250ms",
     .doc = "How often output files are synced at most. Nothing is lost in "
	    "between: the log holds what is not synced."},
    {FIELD(segment_size, CONF_BYTES), .min = "1MiB", .max = "1GiB",
     .def = "64MiB",
     .doc =
	 "A new log segment begins beyond this size, or a 32nd of the disk."},
    /* Twice the largest batch, BATCH_MAX_PAYLOAD_BYTES and its index. */
    {FIELD(log_cap, CONF_BYTES), .min = "80MiB", .max = "16TiB", .def = "4GiB",
     .doc = "The log holds at most this much; then the sources are held "
	    "back."},
    {FIELD(log_reserve, CONF_BYTES), .min = "0", .max = "1GiB", .def = "40MiB",
     .doc = "Disk space kept for freeing work, so that a full disk can be "
	    "left again: the largest batch, and some; at most a quarter of the "
	    "disk."},
    {FIELD(cache_size, CONF_BYTES), .min = "0", .max = "1GiB", .def = "16MiB",
     .doc = "Batches kept in memory behind their append, so that delivery "
	    "need not read them from disk."},
    {FIELD(commit_interval, CONF_DURATION), .min = "0s", .max = "1s",
     .def = "10ms",
     .doc = "The log is synced at most this often, unless 1 MiB waits. "
	    "Batches are acked to their source only once they are synced."},
    {FIELD(retry_first, CONF_DURATION), .min = "1ms", .max = "60s",
     .def = "200ms", .flags = CONF_RELOAD,
     .doc = "The first wait after a failed delivery; it doubles each time."},
    {FIELD(retry_max, CONF_DURATION), .min = "100ms", .max = "1h", .def = "30s",
     .flags = CONF_RELOAD,
     .doc = "The longest wait between deliveries that fail."},
};

const struct conf_table eventhub_publisher_conf_table = {
    .section = "eventhub-publisher",
    .doc = "Delivers events to an event hub, files or nowhere.",
    .rows = rows,
    .row_count = sizeof(rows) / sizeof(rows[0]),
    .struct_bytes = sizeof(struct eventhub_publisher_conf),
};

#define COUNTER(f) offsetof(struct eventhub_publisher_counters, f)

/* One row for each kind of sink. */
#define KIND(name, type, cell, kind, doc)                                   \
	{                                                                   \
		name, type, COUNTER(cell), "sink_type=\"" kind "\"", 1, doc \
	}
/* NOLINTBEGIN(bugprone-macro-parentheses): a member cannot stand in them */
#define EACH_KIND(name, type, field, doc)                             \
	KIND(name, type, field[BACKEND_FILE], "file", doc),           \
	    KIND(name, type, field[BACKEND_CONSOLE], "console", doc), \
	    KIND(name, type, field[BACKEND_NULL], "null", doc)
/* NOLINTEND(bugprone-macro-parentheses) */

static const struct counter_row counters[] = {
    EACH_KIND("business_telemetry_events_sent_total", COUNTER_TOTAL, sent,
	      "Events delivered for good, by kind of sink."),
    EACH_KIND("business_telemetry_buffer_size", COUNTER_GAUGE, buffered,
	      "Events on their way into the sink, by kind of sink."),
    EACH_KIND(
	"business_telemetry_flush_duration_seconds", COUNTER_HISTOGRAM, flush,
	"From handing events to the sink until they are delivered, by kind "
	"of sink."),
    {"weft_event_to_sink_seconds", COUNTER_HISTOGRAM, COUNTER(end_to_end), "",
     1, "From acceptance at the source to delivery, per event."},
    {"weft_delivery_failures_total", COUNTER_TOTAL, COUNTER(failures), "", 1,
     "Times that the backend failed and was opened again."},
    BUS_IN_ROWS(struct eventhub_publisher_counters),
    BUS_ORDER_ROWS(struct eventhub_publisher_counters),
    LOG_ROWS(struct eventhub_publisher_counters),
};

const struct counter_table eventhub_publisher_counter_table = {
    .rows = counters,
    .row_count = sizeof(counters) / sizeof(counters[0]),
    .struct_bytes = sizeof(struct eventhub_publisher_counters),
};
