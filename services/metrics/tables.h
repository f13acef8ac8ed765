/* Configuration and counters of metrics. */
#ifndef WEFT_SERVICES_METRICS_TABLES_H
#define WEFT_SERVICES_METRICS_TABLES_H

#include "conf/conf.h"
#include "services/metrics/registry.h"

struct metrics_conf {
	char *listen;
	int64_t stale; /* us without a message */
};

struct metrics_counters {
	struct registry_counts registry;
	uint64_t scrapes;
};

extern const struct conf_table metrics_conf_table;
extern const struct counter_table metrics_counter_table;

#endif
