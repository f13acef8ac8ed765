/* Configuration and counters of the transformer. */
#ifndef WEFT_SERVICES_TRANSFORMER_TABLES_H
#define WEFT_SERVICES_TRANSFORMER_TABLES_H

#include "bus/bus.h"
#include "conf/conf.h"
#include "contract/mapper.h"

struct transformer_conf {
	int64_t silence; /* us */
};

struct transformer_counters {
	struct bus_stats bus;
	struct mapper_counts mapper;
	uint64_t passed; /* events that came mapped */
};

extern const struct conf_table transformer_conf_table;
extern const struct counter_table transformer_counter_table;

#endif
