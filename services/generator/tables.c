#include "services/generator/tables.h"

#define FIELD(f, t) CONF_FIELD(struct generator_conf, f, t)

static const struct conf_row rows[] = {
    {FIELD(listen, CONF_LISTEN), .def = "127.0.0.1:8090",
     .doc = "Where its control API is served: start, stop, rate, status."},
    {FIELD(target, CONF_STRING), .min = "8", .max = "1024",
     .def = "http://127.0.0.1:8080", .doc = "The collector that it posts to."},
    {FIELD(api_key, CONF_STRING), .flags = CONF_SECRET,
     .doc = "The key that it sends, when the collector wants one."},
    {FIELD(autostart, CONF_BOOL), .def = "false",
     .doc = "Whether it begins to post by itself, or waits for the control "
	    "API."},
    {FIELD(rate, CONF_INT), .min = "0", .max = "10000000", .def = "1000",
     .doc = "Events a second; 0 is as fast as the collector takes them."},
    {FIELD(batch, CONF_INT), .min = "1", .max = "10000", .def = "100",
     .doc = "Events in one request; 1 posts single events."},
    {FIELD(burst, CONF_INT), .min = "0", .max = "1000000", .def = "0",
     .doc = "Events that may go at once, beyond a request, under a rate."},
    {FIELD(events, CONF_INT), .min = "0", .def = "0",
     .doc = "It stops after so many events; 0 is no limit."},
    {FIELD(duration, CONF_DURATION), .min = "0s", .def = "0s",
     .doc = "It stops after this time; 0s is no limit."},
    {FIELD(bad_permil, CONF_INT), .min = "0", .max = "1000", .def = "0",
     .doc = "How many of 1000 events are made wrong on purpose. Each is "
	    "expected to be refused with a certain code."},
    {FIELD(seed, CONF_INT), .min = "0", .def = "1",
     .doc = "The same seed makes the same events."},
    {FIELD(connections, CONF_INT), .min = "1", .max = "256", .def = "4",
     .doc = "Connections to the collector."},
};

const struct conf_table generator_conf_table = {
    .section = "generator",
    .doc = "Makes events of all types and posts them to a collector.",
    .rows = rows,
    .row_count = sizeof(rows) / sizeof(rows[0]),
    .struct_bytes = sizeof(struct generator_conf),
};

#define COUNTER(f) offsetof(struct generator_counters, f)

static const struct counter_row counters[] = {
    {"weft_generator_sent_total", COUNTER_TOTAL, COUNTER(sent), "", 1,
     "Events posted."},
    {"weft_generator_accepted_total", COUNTER_TOTAL, COUNTER(accepted), "", 1,
     "Events that the collector accepted."},
    {"weft_generator_rejected_total", COUNTER_TOTAL, COUNTER(rejected), "", 1,
     "Events that the collector rejected."},
    {"weft_generator_unexpected_total", COUNTER_TOTAL, COUNTER(unexpected), "",
     1, "Events that were answered otherwise than they should be."},
};

const struct counter_table generator_counter_table = {
    .rows = counters,
    .row_count = sizeof(counters) / sizeof(counters[0]),
    .struct_bytes = sizeof(struct generator_counters),
};
