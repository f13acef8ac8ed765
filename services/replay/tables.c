#include "services/replay/tables.h"

#include "run/counter_rows.h"

static const struct conf_row rows[] = {
    {CONF_FIELD(struct replay_conf, log_cap, CONF_BYTES), .min = "80MiB",
     .max = "16TiB", .def = "256MiB",
     .doc = "What is replayed waits here for the sinks; at most this much, "
	    "then the rest is held back."},
};

const struct conf_table replay_conf_table = {
    .section = "replay",
    .doc = "Sends events again, for `pipelinectl dlq` and `pipelinectl "
	   "replay`, which start it; no row of services lists it.",
    .rows = rows,
    .row_count = sizeof(rows) / sizeof(rows[0]),
    .struct_bytes = sizeof(struct replay_conf),
};

#define COUNTER(f) offsetof(struct replay_counters, f)

static const struct counter_row counters[] = {
    {"weft_replay_accepted_total", COUNTER_TOTAL, COUNTER(accepted), "", 1,
     "Events that were sent again."},
    {"weft_replay_refused_total", COUNTER_TOTAL, COUNTER(refused), "", 1,
     "Events that their contract did not take again."},
    BUS_OUT_ROWS(struct replay_counters),
    BUS_RESEND_ROWS(struct replay_counters),
    LOG_ROWS(struct replay_counters),
};

const struct counter_table replay_counter_table = {
    .rows = counters,
    .row_count = sizeof(counters) / sizeof(counters[0]),
    .struct_bytes = sizeof(struct replay_counters),
};
