/* Configuration and counters of the publisher. */
#ifndef WEFT_SERVICES_EVENTHUB_PUBLISHER_TABLES_H
#define WEFT_SERVICES_EVENTHUB_PUBLISHER_TABLES_H

#include <stdint.h>

#include "bus/bus.h"
#include "conf/conf.h"
#include "spool/spool.h"

enum backend_choice { BACKEND_FILE, BACKEND_CONSOLE, BACKEND_NULL, BACKENDS };

struct eventhub_publisher_conf {
	int backend; /* enum backend_choice */
	char *path;
	int64_t rotate_size;
	int64_t sync_interval;
	int64_t segment_size;
	int64_t log_cap;
	int64_t log_reserve;
	int64_t cache_size;
	int64_t commit_interval;
	int64_t retry_first;
	int64_t retry_max;
};

struct eventhub_publisher_counters {
	struct bus_stats bus;
	struct spool_stats spool;
	/* By enum backend_choice. */
	uint64_t sent[BACKENDS];    /* events delivered */
	int64_t buffered[BACKENDS]; /* events handed over, not delivered */
	struct counter_histogram flush[BACKENDS]; /* handed over -> delivered */
	uint64_t failures;
	struct counter_histogram end_to_end; /* accepted -> delivered */
	int64_t backlog_bytes;		     /* in the log, not delivered */
	int64_t oldest_us;		     /* age of the oldest of it */
};

extern const struct conf_table eventhub_publisher_conf_table;
extern const struct counter_table eventhub_publisher_counter_table;

#endif
