#include "services/onelake-writer/tables.h"

#include "run/conf_rows.h"
#include "run/counter_rows.h"

#define FIELD(f, t) CONF_FIELD(struct onelake_writer_conf, f, t)

static const struct conf_row rows[] = {
    {FIELD(lake, CONF_STRING), .max = "2048",
     .doc = "Where the lake lies: file:///FOLDER, or a container of Azure Blob "
	    "Storage, https://ACCOUNT.blob.core.windows.net/CONTAINER/FOLDER, "
	    "abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/FOLDER, or "
	    "http://HOST:PORT/ACCOUNT/CONTAINER (Azurite). Without it, the "
	    "folder lake in pipeline.state_dir."},
    {FIELD(identity, CONF_STRING), .def = "", .flags = CONF_IDENTITY,
     .choices = "account_key|sas|connection_string",
     .doc = "The identity that opens the container."},
    {FIELD(tables, CONF_STRING), .min = "1", .max = "256", .def = "Tables",
     .doc = "The folder of the lake in which tables lie."},
    {FIELD(schema, CONF_STRING), .max = "128", .def = "",
     .doc = "A folder between that one and the tables, for lakehouses with "
	    "schemas; \"\" is none."},
    {FIELD(flush, CONF_DURATION), .min = "100ms", .max = "1h", .def = "5s",
     .flags = CONF_RELOAD,
     .doc = "Events wait at most this long for others that go into the same "
	    "files, unless the lake is slower."},
    {FIELD(flush_size, CONF_BYTES), .min = "1MiB", .max = "1GiB",
     .def = "64MiB", .flags = CONF_RELOAD,
     .doc = "So many bytes of events, of all tables, go at once. Twice as much "
	    "is in memory at most, and what DuckDB takes."},
    {FIELD(codec, CONF_CHOICE), .def = "zstd",
     .choices = "zstd|snappy|uncompressed",
     .doc = "How columns are compressed."},
    {FIELD(memory_limit, CONF_BYTES), .min = "64MiB", .max = "1TiB",
     .def = "256MiB",
     .doc = "What DuckDB may take; beyond it, it uses the disk."},
    {FIELD(dedup_window, CONF_DURATION), .min = "1m", .max = "7d", .def = "10m",
     .doc = "An event that comes again within this time is written once."},
    {FIELD(retry_window, CONF_DURATION), .min = "1s", .max = "7d", .def = "2m",
     .doc = "How long clients send an event again at most. One that arrives "
	    "later than dedup_window without this is compared with the whole "
	    "table."},
    {FIELD(dedup_memory, CONF_BYTES), .min = "1MiB", .max = "64GiB",
     .def = "40MiB",
     .doc = "What remembers the identities of the window, in all. With less "
	    "than 3 bytes an event of the window, more events are compared "
	    "with the tables than need be."},
    {FIELD(compare_cache, CONF_BYTES), .min = "1MiB", .max = "1TiB",
     .def = "1GiB",
     .doc = "Disk space a table for files fetched to compare events with; a "
	    "lake in a folder needs none."},
    {FIELD(checkpoint_interval, CONF_INT), .min = "1", .max = "10000",
     .def = "10",
     .doc = "A checkpoint of a table's log every so many commits."},
    {FIELD(archive, CONF_BOOL), .def = "false",
     .doc = "Keep all events as they were mapped, too, as "
	    "Files/bronze/raw_events/event_type=TYPE/date=DAY/*.ndjson.zst of "
	    "the lake. Each event is there at least once."},
    SINK_LOG_ROWS(struct onelake_writer_conf),
    {FIELD(retry_first, CONF_DURATION), .min = "1ms", .max = "60s",
     .def = "200ms",
     .doc = "The first wait after a failure; each is a random part of twice "
	    "the one before."},
    {FIELD(retry_max, CONF_DURATION), .min = "100ms", .max = "1h", .def = "30s",
     .doc = "The longest wait."},
    CIRCUIT_ROWS(struct onelake_writer_conf),
    {FIELD(side_log_cap, CONF_BYTES), .min = "80MiB", .max = "16TiB",
     .def = "1GiB",
     .doc = "While the circuit of a table is open and the store answers, its "
	    "events are moved to a side log, <state_dir>/<name>.<instance>/"
	    "side/TABLE, which holds at most this much; the other tables go "
	    "on. It is written from there when it works again."},
};

const struct conf_table onelake_writer_conf_table = {
    .section = "onelake-writer",
    .doc = "Lands events in Delta tables, each once.",
    .rows = rows,
    .row_count = sizeof(rows) / sizeof(rows[0]),
    .struct_bytes = sizeof(struct onelake_writer_conf),
};

#define ROW(name, kind, member, labels, doc)                                  \
	{                                                                     \
		name, COUNTER_##kind,                                         \
		    offsetof(struct onelake_writer_counters, member), labels, \
		    1, doc                                                    \
	}
#define SINK "sink_type=\"onelake\""

static const struct counter_row counters[] = {
    ROW("business_telemetry_events_sent_total", TOTAL, sent, SINK,
	"Events delivered for good, by kind of sink."),
    ROW("business_telemetry_buffer_size", GAUGE, buffered, SINK,
	"Events on their way into the sink, by kind of sink."),
    ROW("business_telemetry_flush_duration_seconds", HISTOGRAM, flush, SINK,
	"From handing events to the sink until they are delivered, by kind "
	"of sink."),
    ROW("business_telemetry_events_failed_total", LABELLED, failed,
	"sink_type,error_type",
	"Events that the sink could not take, which became dead letters."),
    ROW("weft_event_to_table_seconds", HISTOGRAM, end_to_end, "",
	"From acceptance at the source to a row in a table, per event."),
    ROW("weft_lake_other_events_total", TOTAL, other, "",
	"Events whose contract names no table."),
    ROW("weft_lake_commits_total", TOTAL, commits, "", "Commits to tables."),
    ROW("weft_lake_conflicts_total", TOTAL, conflicts, "",
	"Commits of others that were met while committing."),
    ROW("weft_lake_duplicates_total", TOTAL, duplicates, "",
	"Events that their table had already, dropped."),
    ROW("weft_lake_compared_total", TOTAL, compared, "",
	"Events that were looked up in their table."),
    ROW("weft_lake_rows_total", TOTAL, rows, "", "Rows committed."),
    ROW("weft_lake_files_total", TOTAL, files, "", "Data files committed."),
    ROW("weft_lake_file_bytes_total", TOTAL, bytes, "",
	"Bytes of data files committed."),
    ROW("weft_lake_failures_total", TOTAL, failures, "",
	"Times that a table could not be written and was tried again."),
    ROW("weft_lake_waiting_tables", GAUGE, waiting_tables, "",
	"Tables that cannot be written now."),
    ROW("weft_lake_table_rows_total", LABELLED, table_rows, "table",
	"Rows committed, by table."),
    CIRCUIT_COUNTER_ROWS(struct onelake_writer_counters),
    ROW("weft_side_log_bytes", LABELLED_GAUGE, side_bytes, "table",
	"Bytes that wait in the side log of a table that is set aside."),
    BUS_IN_ROWS(struct onelake_writer_counters),
    BUS_ORDER_ROWS(struct onelake_writer_counters),
    LOG_ROWS(struct onelake_writer_counters),
};

const struct counter_table onelake_writer_counter_table = {
    .rows = counters,
    .row_count = sizeof(counters) / sizeof(counters[0]),
    .struct_bytes = sizeof(struct onelake_writer_counters),
};
