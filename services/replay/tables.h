/* Configuration and counters of the replay service. */
#ifndef WEFT_SERVICES_REPLAY_TABLES_H
#define WEFT_SERVICES_REPLAY_TABLES_H

#include "bus/bus.h"
#include "conf/conf.h"
#include "spool/spool.h"

struct replay_conf {
	int64_t log_cap; /* bytes */
};

struct replay_counters {
	struct bus_stats bus;
	struct spool_stats spool;
	uint64_t accepted, refused;
	int64_t backlog_bytes;
	int64_t oldest_us;
};

extern const struct conf_table replay_conf_table;
extern const struct counter_table replay_counter_table;

#endif
