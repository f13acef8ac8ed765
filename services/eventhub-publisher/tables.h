/* Configuration and counters of the publisher. */
#ifndef WEFT_SERVICES_EVENTHUB_PUBLISHER_TABLES_H
#define WEFT_SERVICES_EVENTHUB_PUBLISHER_TABLES_H

#include <stdint.h>

#include "bus/bus.h"
#include "conf/conf.h"
#include "spool/spool.h"

enum backend_choice {
	BACKEND_FILE,
	BACKEND_KAFKA,
	BACKEND_CONSOLE,
	BACKEND_NULL,
	BACKENDS
};

enum kafka_preset { PRESET_KAFKA, PRESET_EVENTHUBS };

struct eventhub_publisher_conf {
	int backend; /* enum backend_choice */
	char *path;
	int64_t rotate_size;
	int64_t sync_interval;
	/* Of the kafka backend. */
	int preset; /* enum kafka_preset */
	char *bootstrap;
	char *topic;	/* NULL: as the contract says */
	char *envelope; /* NULL: payloads as they are */
	bool headers;
	char *identity; /* NULL: no login */
	int sasl;	/* index into eventhub_publisher_sasl */
	bool tls;
	char *ca_file;
	char *client_cert;
	char *client_key;
	char *key_password;
	int compression; /* index into eventhub_publisher_compression */
	int partitioner; /* index into eventhub_publisher_partitioner */
	int64_t linger;
	int64_t request_timeout;
	int64_t max_message;
	int64_t queue_messages;
	char *properties;
	int64_t dead_letter_cap;
	/* Of all. */
	int64_t segment_size;
	int64_t log_cap;
	int64_t log_reserve;
	int64_t cache_size;
	int64_t commit_interval;
	int64_t retry_first;
	int64_t retry_max;
	int64_t circuit_threshold;
	int64_t circuit_cool_down;
};

struct eventhub_publisher_counters {
	struct bus_stats bus;
	struct spool_stats spool;
	/* By enum backend_choice. */
	uint64_t sent[BACKENDS];    /* events delivered */
	int64_t buffered[BACKENDS]; /* events handed over, not delivered */
	struct counter_histogram flush[BACKENDS]; /* handed over -> delivered */
	uint64_t failures;
	struct counter_family *failed; /* sink_type, error_type: of events */
	uint64_t dead_letters;
	struct counter_family *circuits, *circuits_opened;
	int64_t kafka_brokers_up;
	int64_t kafka_round_trip_us;
	int64_t kafka_throttled_us;
	uint64_t kafka_retries;
	struct counter_histogram end_to_end; /* accepted -> delivered */
	int64_t backlog_bytes;		     /* in the log, not delivered */
	int64_t oldest_us;		     /* age of the oldest of it */
};

/* The choices of those rows, joined by "|". */
#define EVENTHUB_PUBLISHER_SASL	       "plain|scram-sha-256|scram-sha-512"
#define EVENTHUB_PUBLISHER_COMPRESSION "none|gzip|snappy|lz4|zstd"
#define EVENTHUB_PUBLISHER_PARTITIONER                                      \
	"murmur2_random|murmur2|consistent_random|consistent|fnv1a_random|" \
	"fnv1a|random"

/* In a topic's name: where the name of the stream goes. */
#define TOPIC_STREAM "<stream>"
/* The longest topic name: 249 in Kafka, 256 in Event Hubs. */
#define TOPIC_BYTES 249

extern const struct conf_table eventhub_publisher_conf_table;
extern const struct counter_table eventhub_publisher_counter_table;

#endif
