#include "services/collector/tables.h"

#include "run/counter_rows.h"

#define FIELD(f, t) CONF_FIELD(struct collector_conf, f, t)

static const struct conf_row rows[] = {
    {FIELD(listen, CONF_LISTEN), .def = "127.0.0.1:8080",
     .doc = "Where HTTP is served. The default is reachable from this machine "
	    "only; set api_keys before you open it to others."},
    {FIELD(api_keys, CONF_STRING), .min = "16",
     .flags = CONF_SECRET | CONF_RELOAD,
     .doc =
	 "One key a line: name:sha256[:rate]. The client sends the key "
	 "itself as X-API-Key or bearer token; only its SHA-256 in "
	 "hexadecimal stands here (printf %s \"$KEY\" | sha256sum). The name "
	 "is the event_source of events that have none; rate is in events "
	 "a second, 429 beyond it. Without keys everybody who reaches the "
	 "port may post."},
    {FIELD(tls_certificate, CONF_PATH), .needs = "tls_key",
     .flags = CONF_EXISTS,
     .doc = "PEM file with the certificate and its chain. With it, and "
	    "tls_key, HTTPS is served instead of HTTP."},
    {FIELD(tls_key, CONF_PATH), .needs = "tls_certificate",
     .flags = CONF_EXISTS | CONF_PRIVATE,
     .doc = "PEM file with the private key of tls_certificate."},
    {FIELD(cors_origins, CONF_STRING), .flags = CONF_RELOAD,
     .doc = "Origins whose pages may post from a browser, separated by "
	    "spaces, or \"*\". Without it none may."},
    {FIELD(max_connections, CONF_INT), .min = "1", .max = "100000",
     .def = "4096", .doc = "Open connections; those beyond it get 503."},
    {FIELD(max_header, CONF_BYTES), .min = "1KiB", .max = "1MiB",
     .def = "16KiB",
     .doc = "Request line and headers together; 431 beyond it."},
    {FIELD(max_body, CONF_BYTES), .min = "1KiB", .max = "16MiB", .def = "16MiB",
     .doc = "Body of a request, after decompression; 413 beyond it."},
    {FIELD(max_buffered, CONF_BYTES), .min = "1MiB", .max = "64GiB",
     .def = "128MiB",
     .doc = "Bodies held in memory at the same time; 503 beyond it."},
    {FIELD(max_events, CONF_INT), .min = "1", .max = "50000", .def = "10000",
     .doc = "Events in one request; those beyond it are refused."},
    {FIELD(header_timeout, CONF_DURATION), .min = "100ms", .max = "10m",
     .def = "10s",
     .doc = "From the first byte of a request to the end of its headers; 408 "
	    "beyond it."},
    {FIELD(body_timeout, CONF_DURATION), .min = "100ms", .max = "1h",
     .def = "30s",
     .doc = "From the end of the headers to the end of the body; 408 beyond "
	    "it."},
    {FIELD(idle_timeout, CONF_DURATION), .min = "1s", .max = "1h", .def = "60s",
     .doc = "How long an idle connection is kept open."},
    {FIELD(map, CONF_CHOICE), .choices = "collector|transformer",
     .def = "collector",
     .doc = "Who applies contracts: masks, defaults, new names. At the "
	    "collector it costs least, since each event is parsed there "
	    "anyway, and nothing unmasked reaches any disk. \"transformer\" "
	    "takes that work off the collector's core or host; its log then "
	    "holds events as they were sent. The delivered bytes are the "
	    "same, where all hosts have the same pipeline.secret."},
    {FIELD(batch_size, CONF_BYTES), .min = "4KiB", .max = "1MiB",
     .def = "256KiB",
     .doc = "Events of many requests go to the log as one batch: at once "
	    "when the log is idle, else when the commit before ends or the "
	    "batch is this large."},
    {FIELD(batch_delay_max, CONF_DURATION), .min = "0s", .max = "1s",
     .def = "20ms",
     .doc = "Batches smaller than batch_size are joined on their way to the "
	    "transformer, and leave at most once in this time. It never "
	    "delays an answer."},
    {FIELD(max_pending, CONF_BYTES), .min = "32MiB", .max = "4GiB",
     .def = "64MiB",
     .doc = "Events accepted into memory that the disk has not taken yet; "
	    "503 beyond it."},
    {FIELD(ack_timeout, CONF_DURATION), .min = "100ms", .max = "5m",
     .def = "10s",
     .doc = "How long a request waits for its events to be on disk; then it "
	    "gets 503, and the client should send the same event_id again."},
    {FIELD(segment_size, CONF_BYTES), .min = "1MiB", .max = "1GiB",
     .def = "16MiB",
     .doc =
	 "A new log segment begins beyond this size, or a 32nd of the disk."},
    {FIELD(log_cap, CONF_BYTES), .min = "8MiB", .max = "16TiB", .def = "4GiB",
     .doc = "The log holds at most this much; then requests get 503 with "
	    "Retry-After. A body larger than a quarter of it gets 413."},
    {FIELD(disk_headroom, CONF_BYTES), .min = "1MiB", .max = "1TiB",
     .def = "64MiB",
     .doc = "Requests get 503 while less than this is free on the log's disk, "
	    "or less than 5 % of it if that is less, so that sinks on the same "
	    "disk can go on."},
    {FIELD(cache_size, CONF_BYTES), .min = "0", .max = "1GiB", .def = "16MiB",
     .doc = "Batches kept in memory behind their append, so that sending "
	    "need not read them from disk."},
    {FIELD(window, CONF_BYTES), .min = "256KiB", .max = "256MiB", .def = "8MiB",
     .doc = "Unacknowledged bytes on the way to one transformer."},
    {FIELD(silence, CONF_DURATION), .min = "500ms", .max = "5m", .def = "2s",
     .doc = "A transformer that says nothing for this long counts as gone; "
	    "what it has not acknowledged is sent again once it is heard."},
    {FIELD(order, CONF_CHOICE), .choices = "any|key", .def = "any",
     .doc = "Which transformer a batch goes to: any gives it to the one with "
	    "the least to do; key cuts it up so that all events of a "
	    "partition key go through the same one, and arrive in the order "
	    "in which they were accepted, whatever has to be sent again. "
	    "Then one that is away holds back its keys until it is back."},
};

const struct conf_table collector_conf_table = {
    .section = "collector",
    .doc = "Takes events over HTTP. A 2xx answer means that they are on disk.",
    .rows = rows,
    .row_count = sizeof(rows) / sizeof(rows[0]),
    .struct_bytes = sizeof(struct collector_conf),
};

#define COUNTER(f) offsetof(struct collector_counters, f)

static const struct counter_row counters[] = {
    {"business_telemetry_events_received_total", COUNTER_LABELLED,
     COUNTER(received), "source,event_type", 1,
     "Events accepted, by source and type."},
    {"business_telemetry_events_failed_total", COUNTER_LABELLED,
     COUNTER(failed), "sink_type,error_type", 1,
     "Events refused, by the code that the client got."},
    {"weft_collector_request_seconds", COUNTER_HISTOGRAM, COUNTER(latency), "",
     1, "From a whole request with events to its answer."},
    {"weft_collector_not_durable_total", COUNTER_TOTAL, COUNTER(not_durable),
     "", 1,
     "Requests answered 503 because the disk did not take them in time."},
    {"weft_collector_batches_total", COUNTER_TOTAL, COUNTER(batches), "", 1,
     "Batches appended to the log."},
    {"weft_collector_waiting_requests", COUNTER_GAUGE, COUNTER(waiting), "", 1,
     "Requests whose events are on their way to the disk."},
    {"weft_http_open_connections", COUNTER_GAUGE, COUNTER(http_open), "", 1,
     "Connections open now."},
    {"weft_http_buffered_bytes", COUNTER_GAUGE, COUNTER(http_buffered), "", 1,
     "Bytes of requests held in memory."},
    {"weft_http_connections_total", COUNTER_TOTAL, COUNTER(http.connections),
     "", 1, "Connections accepted."},
    {"weft_http_refused_connections_total", COUNTER_TOTAL,
     COUNTER(http.refused_connections), "", 1,
     "Connections refused because too many were open."},
    {"weft_http_parse_errors_total", COUNTER_TOTAL, COUNTER(http.parse_errors),
     "", 1, "Requests that were no HTTP."},
    {"weft_http_tls_failures_total", COUNTER_TOTAL, COUNTER(http.tls_failures),
     "", 1, "TLS handshakes that failed."},
    {"weft_http_requests_total", COUNTER_TOTAL, COUNTER(http.requests), "", 1,
     "Requests read."},
    {"weft_http_responses_total", COUNTER_TOTAL, COUNTER(http.responses[2]),
     "status=\"2xx\"", 1, "Answers, by class of status."},
    {"weft_http_responses_total", COUNTER_TOTAL, COUNTER(http.responses[4]),
     "status=\"4xx\"", 1, "Answers, by class of status."},
    {"weft_http_responses_total", COUNTER_TOTAL, COUNTER(http.responses[5]),
     "status=\"5xx\"", 1, "Answers, by class of status."},
    {"weft_http_bytes_in_total", COUNTER_TOTAL, COUNTER(http.bytes_in), "", 1,
     "Bytes read from clients."},
    {"weft_http_bytes_out_total", COUNTER_TOTAL, COUNTER(http.bytes_out), "", 1,
     "Bytes written to clients."},
    {"weft_http_timeouts_total", COUNTER_TOTAL, COUNTER(http.timeouts), "", 1,
     "Requests given up because they took too long."},
    MAPPER_ROWS(struct collector_counters),
    BUS_OUT_ROWS(struct collector_counters),
    BUS_RESEND_ROWS(struct collector_counters),
    LOG_ROWS(struct collector_counters),
};

const struct counter_table collector_counter_table = {
    .rows = counters,
    .row_count = sizeof(counters) / sizeof(counters[0]),
    .struct_bytes = sizeof(struct collector_counters),
};
