/* Configuration and counters of the collector. */
#ifndef WEFT_SERVICES_COLLECTOR_TABLES_H
#define WEFT_SERVICES_COLLECTOR_TABLES_H

#include "bus/bus.h"
#include "conf/conf.h"
#include "contract/mapper.h"
#include "http/server.h"
#include "spool/spool.h"

/* collector_conf.map, as its row lists them. */
enum { MAP_AT_COLLECTOR, MAP_AT_TRANSFORMER };

struct collector_conf {
	char *listen;
	char *api_keys; /* lines as in keys.h; NULL: anybody may post */
	char *tls_certificate;
	char *tls_key;
	char *cors_origins;
	int64_t max_connections;
	int64_t max_header;	 /* bytes */
	int64_t max_body;	 /* bytes */
	int64_t max_buffered;	 /* bytes */
	int64_t max_events;	 /* in one request */
	int64_t header_timeout;	 /* us */
	int64_t body_timeout;	 /* us */
	int64_t idle_timeout;	 /* us */
	int64_t ack_timeout;	 /* us */
	int64_t batch_size;	 /* bytes */
	int64_t batch_delay_max; /* us */
	int64_t max_pending;	 /* bytes */
	int64_t segment_size;	 /* bytes */
	int64_t log_cap;	 /* bytes */
	int64_t disk_headroom;	 /* bytes */
	int64_t cache_size;	 /* bytes */
	int64_t window;		 /* bytes in flight on one lane */
	int64_t silence;	 /* us */
	int map;		 /* MAP_AT_… */
	int order;		 /* as enum collector_order */
};

enum collector_order { COLLECTOR_ORDER_ANY, COLLECTOR_ORDER_KEY };

struct collector_counters {
	struct http_counters http;
	struct spool_stats spool;
	struct bus_stats bus;
	struct mapper_counts mapper;
	struct counter_family *received; /* source, event_type */
	struct counter_family *failed;	 /* sink_type, error_type */
	struct counter_histogram latency;
	uint64_t not_durable; /* answers given up */
	uint64_t batches;
	int64_t waiting;       /* requests */
	int64_t backlog_bytes; /* in the log, not in every sink */
	int64_t oldest_us;     /* age of the oldest of it */
	int64_t http_open, http_buffered;
};

extern const struct conf_table collector_conf_table;
extern const struct counter_table collector_counter_table;

#endif
