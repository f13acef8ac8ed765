#include "services/eventhub-publisher/tables.h"

#include <string.h>

#include "run/conf_rows.h"
#include "run/counter_rows.h"

#define FIELD(f, t) CONF_FIELD(struct eventhub_publisher_conf, f, t)

static const struct conf_row rows[] = {
    {FIELD(backend, CONF_CHOICE), .def = "file",
     .choices = "file|kafka|console|null",
     .doc = "Where events go: NDJSON files, Kafka or Event Hubs, standard "
	    "output, or nowhere (for measuring)."},
    {FIELD(path, CONF_PATH), .def = "<state_dir>/out/<name>",
     .doc = "Directory of the file backend. Each stream has its own files, "
	    "<stream>-<log>-<number>.ndjson, one event a line."},
    {FIELD(rotate_size, CONF_BYTES), .min = "64KiB", .max = "1TiB",
     .def = "1GiB", .doc = "A new file begins once one is this large."},
    {FIELD(sync_interval, CONF_DURATION), .min = "1ms", .max = "60s",
     .def = "250ms",
     .doc = "How often output files are synced at most. Nothing is lost in "
	    "between: the log holds what is not synced."},
    {FIELD(preset, CONF_CHOICE), .choices = "kafka|eventhubs", .def = "kafka",
     .doc = "What the kafka backend speaks to. eventhubs: Azure Event Hubs, "
	    "with TLS, and its limits and idle times."},
    {FIELD(bootstrap, CONF_STRING), .max = "4096",
     .doc = "Brokers to begin with, \"host:port,host:port\". With an identity "
	    "that is a connection string of Event Hubs it need not be given."},
    {FIELD(topic, CONF_STRING), .max = "249",
     .doc =
	 "One topic for all, or with \"" TOPIC_STREAM
	 "\" in it one for each stream, such as \"shop-" TOPIC_STREAM
	 "\". When it is not given, the EntityPath of the connection string "
	 "is the topic, else each stream has the one that its contract names "
	 "(eventhub.topic), or its own name."},
    {FIELD(envelope, CONF_STRING), .max = "64",
     .doc =
	 "Name of a member, such as \"stream\", that is put in front of "
	 "those of each event and holds the name of its stream: for those "
	 "who read one topic and see no headers. Choose one that no contract "
	 "has."},
    {FIELD(headers, CONF_BOOL), .def = "true",
     .doc = "Give each message the headers event_type, contract (its name and "
	    "version, \"order/1\"), event_id, and trace_id where there is one. "
	    "They cost some 0.7 CPU-seconds per million events."},
    {FIELD(identity, CONF_STRING), .choices = "connection_string|plain",
     .flags = CONF_IDENTITY,
     .doc = "Who to log in as: a connection string of Event Hubs, or a user "
	    "name with a password."},
    {FIELD(sasl, CONF_CHOICE), .choices = EVENTHUB_PUBLISHER_SASL,
     .def = "plain", .doc = "How a user name and password are shown to Kafka."},
    {FIELD(tls, CONF_BOOL), .def = "false",
     .doc = "Speak TLS with Kafka. Event Hubs always does."},
    {FIELD(ca_file, CONF_PATH), .flags = CONF_EXISTS,
     .doc = "Certificates (PEM) that the brokers' must be signed by; without "
	    "it those of the system."},
    {FIELD(client_cert, CONF_PATH), .flags = CONF_EXISTS, .needs = "client_key",
     .doc = "Certificate (PEM) to show to the brokers."},
    {FIELD(client_key, CONF_PATH), .flags = CONF_EXISTS | CONF_PRIVATE,
     .needs = "client_cert", .doc = "Private key (PEM) of client_cert."},
    {FIELD(key_password, CONF_STRING), .flags = CONF_SECRET,
     .needs = "client_key", .doc = "Password of client_key."},
    {FIELD(compression, CONF_CHOICE), .choices = EVENTHUB_PUBLISHER_COMPRESSION,
     .def = "none",
     .doc = "Compression of requests to Kafka. Event Hubs takes none or gzip, "
	    "and gzip in the premium and dedicated tiers only."},
    {FIELD(partitioner, CONF_CHOICE), .choices = EVENTHUB_PUBLISHER_PARTITIONER,
     .def = "murmur2_random",
     .doc = "How a key chooses its partition. murmur2_random does as Kafka's "
	    "clients in Java do, consistent_random as librdkafka does."},
    {FIELD(linger, CONF_DURATION), .min = "0ms", .max = "10s", .def = "10ms",
     .doc = "How long an event may wait for others of its partition, to go in "
	    "one request."},
    {FIELD(request_timeout, CONF_DURATION), .min = "1s", .max = "5m",
     .def = "30s",
     .doc = "How long a broker may take to store a request before it is sent "
	    "again. Event Hubs needs 20s or more."},
    {FIELD(max_message, CONF_BYTES), .min = "1KiB", .max = "64MiB",
     .def = "1000000B",
     .doc =
	 "The largest message, key and headers included. At most what the "
	 "topic takes (max.message.bytes; 1 MB in Event Hubs). What is larger "
	 "becomes a dead letter in a file, see dead_letter_cap."},
    {FIELD(queue_messages, CONF_INT), .min = "1", .max = "1000000",
     .def = "10000",
     .doc = "Events on their way to Kafka at most. More costs memory and CPU "
	    "time, and gains little."},
    {FIELD(properties, CONF_STRING), .max = "4096",
     .doc = "Other properties of librdkafka, \"name=value; name=value\"; see "
	    "its CONFIGURATION.md."},
    {FIELD(dead_letter_cap, CONF_BYTES), .min = "1MiB", .max = "1TiB",
     .def = "1GiB",
     .doc = "An event that Kafka will never take is written to "
	    "<state_dir>/<name>.<instance>/dead_letters/<number>.ndjson, with "
	    "the reason, and delivery goes on. When these files hold so much, "
	    "delivery waits until some are moved away."},
    SINK_LOG_ROWS(struct eventhub_publisher_conf),
    {FIELD(retry_first, CONF_DURATION), .min = "1ms", .max = "60s",
     .def = "200ms", .flags = CONF_RELOAD,
     .doc =
	 "The first wait after a failed delivery: a random part of this, then "
	 "of twice as much each time."},
    {FIELD(retry_max, CONF_DURATION), .min = "100ms", .max = "1h", .def = "30s",
     .flags = CONF_RELOAD,
     .doc = "The longest wait between deliveries that fail."},
    CIRCUIT_ROWS(struct eventhub_publisher_conf),
};

/* ---- what rows cannot say by themselves ---- */

static bool is_set(const char *text)
{
	return text && *text;
}

/* Those who name a broker and forget the backend wonder where events go. */
static void warn_idle_keys(const struct eventhub_publisher_conf *conf,
			   const struct conf_judge *judge)
{
	const struct {
		const char *key, *value;
	} texts[] = {{"bootstrap", conf->bootstrap},
		     {"topic", conf->topic},
		     {"envelope", conf->envelope},
		     {"identity", conf->identity},
		     {"properties", conf->properties}};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		if (is_set(texts[i].value))
			judge->warn(judge->arg, texts[i].key,
				    "says nothing without backend = \"kafka\"");
}

static void check_topic(const char *topic, const struct conf_judge *judge)
{
	const char *stream = strstr(topic, TOPIC_STREAM);
	size_t before = stream ? (size_t)(stream - topic) : strlen(topic);
	static const char good[] = "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	const char *behind = stream ? stream + strlen(TOPIC_STREAM) : "";

	if (strspn(topic, good) < before ||
	    behind[strspn(behind, good)] != '\0')
		judge->refuse(
		    judge->arg, "topic",
		    "a topic's name has letters, digits, '.', '_' and "
		    "'-', and at most one \"" TOPIC_STREAM "\"");
}

static void check_eventhubs(const struct eventhub_publisher_conf *conf,
			    const struct conf_judge *judge)
{
	static const int64_t limit = 1000000, timeout = 20000000;

	if (!is_set(conf->identity))
		judge->refuse(judge->arg, "identity",
			      "Event Hubs wants a login; name an identity of "
			      "type \"connection_string\"");
	if (conf->compression > 1)
		judge->refuse(judge->arg, "compression",
			      "Event Hubs takes \"none\" or \"gzip\" only");
	if (conf->sasl)
		judge->refuse(judge->arg, "sasl",
			      "Event Hubs takes \"plain\" only");
	if (conf->max_message > limit)
		judge->refuse(judge->arg, "max_message",
			      "Event Hubs closes the connection on larger "
			      "requests; at most \"1000000B\"");
	if (conf->request_timeout < timeout)
		judge->refuse(judge->arg, "request_timeout",
			      "Event Hubs needs \"20s\" or more");
}

static void check(const void *values, const struct conf_judge *judge)
{
	const struct eventhub_publisher_conf *conf = values;
	bool hubs = conf->preset == PRESET_EVENTHUBS;

	if (conf->backend != BACKEND_KAFKA) {
		warn_idle_keys(conf, judge);
		return;
	}
	if (!is_set(conf->bootstrap) && !hubs)
		judge->refuse(judge->arg, "bootstrap",
			      "is missing: name the brokers, such as "
			      "\"localhost:9092\"");
	if (is_set(conf->topic))
		check_topic(conf->topic, judge);
	if (hubs)
		check_eventhubs(conf, judge);
	if (conf->sasl && !is_set(conf->identity))
		judge->refuse(judge->arg, "sasl",
			      "needs an identity of type \"plain\"");
	if ((conf->ca_file || conf->client_cert) && !conf->tls && !hubs)
		judge->refuse(
		    judge->arg, "tls",
		    "certificates are of no use without it; write tls "
		    "= true");
}

const struct conf_table eventhub_publisher_conf_table = {
    .section = "eventhub-publisher",
    .doc = "Delivers events to Kafka, Azure Event Hubs, files or nowhere.",
    .rows = rows,
    .row_count = sizeof(rows) / sizeof(rows[0]),
    .struct_bytes = sizeof(struct eventhub_publisher_conf),
    .check = check,
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
	    KIND(name, type, field[BACKEND_KAFKA], "kafka", doc),     \
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
    {"business_telemetry_events_failed_total", COUNTER_LABELLED,
     COUNTER(failed), "sink_type,error_type", 1,
     "Deliveries of an event that failed, by kind of sink and reason; it is "
     "tried again, or becomes a dead letter."},
    {"weft_sink_dead_letters_total", COUNTER_TOTAL, COUNTER(dead_letters), "",
     1, "Events that the sink will never take, kept in dead letter files."},
    {"weft_kafka_brokers_up", COUNTER_GAUGE, COUNTER(kafka_brokers_up), "", 1,
     "Brokers that the publisher is connected to."},
    {"weft_kafka_round_trip_seconds", COUNTER_GAUGE,
     COUNTER(kafka_round_trip_us), "", 1e-6,
     "Mean time of a request to Kafka over the last seconds, of the slowest "
     "broker."},
    {"weft_kafka_throttled_seconds", COUNTER_GAUGE, COUNTER(kafka_throttled_us),
     "", 1e-6,
     "Mean time for which Kafka held back a request over the last seconds."},
    {"weft_kafka_retries_total", COUNTER_TOTAL, COUNTER(kafka_retries), "", 1,
     "Requests to Kafka that were sent again."},
    CIRCUIT_COUNTER_ROWS(struct eventhub_publisher_counters),
    BUS_IN_ROWS(struct eventhub_publisher_counters),
    BUS_ORDER_ROWS(struct eventhub_publisher_counters),
    LOG_ROWS(struct eventhub_publisher_counters),
};

const struct counter_table eventhub_publisher_counter_table = {
    .rows = counters,
    .row_count = sizeof(counters) / sizeof(counters[0]),
    .struct_bytes = sizeof(struct eventhub_publisher_counters),
};
