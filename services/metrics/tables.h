/* Configuration and counters of metrics. */
#ifndef WEFT_SERVICES_METRICS_TABLES_H
#define WEFT_SERVICES_METRICS_TABLES_H

#include "conf/conf.h"

struct metrics_conf {
	char *listen;
	int64_t stale; /* us */
};

struct metrics_counters {
	uint64_t messages;
	uint64_t refused;
	uint64_t scrapes;
	int64_t processes;
};

extern const struct conf_table metrics_conf_table;
extern const struct counter_table metrics_counter_table;

#endif
