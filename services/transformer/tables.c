#include "services/transformer/tables.h"

#include "run/counter_rows.h"

static const struct conf_row rows[] = {
    {CONF_FIELD(struct transformer_conf, silence, CONF_DURATION),
     .min = "500ms", .max = "5m", .def = "2s",
     .doc = "A sink that says nothing for this long counts as gone; nothing "
	    "is acked for it until it is heard again."},
};

const struct conf_table transformer_conf_table = {
    .section = "transformer",
    .doc = "Applies contracts to events on their way to the sinks.",
    .rows = rows,
    .row_count = sizeof(rows) / sizeof(rows[0]),
    .struct_bytes = sizeof(struct transformer_conf),
};

#define COUNTER(f) offsetof(struct transformer_counters, f)

static const struct counter_row counters[] = {
    BUS_IN_ROWS(struct transformer_counters),
    BUS_OUT_ROWS(struct transformer_counters),
    MAPPER_ROWS(struct transformer_counters),
    {"weft_events_passed_total", COUNTER_TOTAL, COUNTER(passed), "", 1,
     "Events that came mapped."},
    {"weft_dead_letters_total", COUNTER_TOTAL, COUNTER(mapper.dead_letters), "",
     1, "Events that became dead letters."},
};

const struct counter_table transformer_counter_table = {
    .rows = counters,
    .row_count = sizeof(counters) / sizeof(counters[0]),
    .struct_bytes = sizeof(struct transformer_counters),
};
