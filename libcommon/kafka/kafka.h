/*
 * A Kafka producer on the loop: idempotent, never giving up on a message by
 * itself, and never copying a payload. The only user of librdkafka. Works with
 * Apache Kafka from 0.11 and with Azure Event Hubs. Loop thread only, but for
 * what is said of released().
 */
#ifndef WEFT_KAFKA_KAFKA_H
#define WEFT_KAFKA_KAFKA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"

struct kafka;
struct kafka_topic; /* lives as long as its producer */

/* How to reach a cluster and what to send. Texts are borrowed by the call. */
struct kafka_options {
	const char *bootstrap; /* "host:port,…" */
	bool eventhubs;	       /* idle and metadata times as Azure wants them */
	bool tls;
	const char *ca_file;	 /* PEM; NULL: the system's */
	const char *client_cert; /* PEM; NULL: none */
	const char *client_key;	 /* PEM */
	const char *client_key_password;
	const char *sasl; /* "PLAIN", "SCRAM-SHA-256", …; NULL: none */
	const char *username, *password;
	const char *compression;    /* as compression.type of librdkafka */
	const char *partitioner;    /* as partitioner of librdkafka */
	const char *properties;	    /* "key=value; key=value", or NULL */
	int64_t linger_us;	    /* wait for a fuller request */
	int64_t request_timeout_us; /* of the broker, to answer */
	int64_t max_message_bytes;  /* of one message with key and headers */
	int64_t max_request_bytes;  /* of messages for one partition */
	int64_t queue_messages;	    /* that are produced and not reported */
	bool alone;		    /* one message a request */
};

/* Of one message; error 0 means that every in-sync replica has it. */
struct kafka_report {
	void *opaque;
	int error; /* for kafka_error_*() */
};

/* What the producer knows of its cluster, every few seconds. */
struct kafka_stats {
	int64_t brokers_up;
	int64_t queued;	       /* messages */
	int64_t round_trip_us; /* mean of the last seconds, slowest broker */
	int64_t throttled_us;  /* mean of the last seconds, slowest broker */
	int64_t retries;       /* messages sent again, since it was opened */
};

/*
 * All on the loop thread, never from within a call of this interface, of which
 * they may call all but kafka_close().
 *  reported: `count` messages are done with, for good or bad; those of one
 *    partition come in their order. After a bad one those behind it may still
 *    be delivered.
 *  trouble: something is wrong with the way to the cluster; it goes on trying.
 *  failed: it can do nothing more; close it.
 *  stats: may be NULL.
 */
struct kafka_events {
	void (*reported)(void *arg, const struct kafka_report *reports,
			 size_t count);
	void (*trouble)(void *arg, int error, const char *text);
	void (*failed)(void *arg, const struct err *err);
	void (*stats)(void *arg, const struct kafka_stats *stats);
	void *arg;
};

/*
 * Starts a producer; connecting goes on behind it. -1 with *err when an option
 * is refused (EINVAL; names librdkafka's property, never a secret).
 */
int kafka_open(struct kafka **k, struct loop *loop,
	       const struct kafka_options *options,
	       const struct kafka_events *events, struct err *err) MUST_CHECK;

/*
 * Stops at once: nothing is reported any more. released(released_arg) is called
 * from any thread as soon as nothing reads the messages' payloads, maybe before
 * this returns; a name server or peer that hangs does not hold it up for more
 * than a second. Sets *k to NULL, accepts NULL (and then releases at once).
 */
void kafka_close(struct kafka **k, void (*released)(void *arg),
		 void *released_arg);

/*
 * Checks "key=value; key=value" as kafka_options.properties takes it. -1 with
 * *err naming the first property that does not exist, has a bad value, or is
 * one that Weft's guarantees rest on.
 */
int kafka_check_properties(const char *properties, struct err *err) MUST_CHECK;

/* The topic of that name (copied), the same each time. Needs no connection. */
struct kafka_topic *kafka_topic(struct kafka *k, const char *name);
const char *kafka_topic_name(const struct kafka_topic *topic);

struct kafka_header {
	const char *name;
	size_t name_bytes;
	const void *value;
	size_t bytes;
};

/* Payload is borrowed until its report, all else for the call alone. */
struct kafka_message {
	struct kafka_topic *topic;
	const void *payload;
	size_t payload_bytes;
	const void *key; /* NULL: any partition */
	size_t key_bytes;
	const struct kafka_header *headers;
	size_t header_count;
	void *opaque;
};

/*
 * Queues a message. Returns 0, or an error for kafka_error_*(), and then there
 * will be no report: kafka_error_is_poison() for a message that is too large,
 * kafka_error_is_full() when the queue is, or when messages had better wait for
 * reports (kafka/rounds.h); then there are some to come.
 */
int kafka_produce(struct kafka *k, const struct kafka_message *message);

/* "POLICY_VIOLATION": short, bounded in number, for counters. */
const char *kafka_error_name(int error);
/* "Broker: Policy violation". */
const char *kafka_error_text(int error);
/* The message itself will never be taken: too large, or not valid there. */
bool kafka_error_is_poison(int error);
bool kafka_error_is_full(int error);

enum kafka_cause {
	KAFKA_CAUSE_OTHER,
	KAFKA_CAUSE_LOGIN,    /* who we are was refused */
	KAFKA_CAUSE_RIGHTS,   /* what we want was refused */
	KAFKA_CAUSE_TOPIC,    /* does not exist */
	KAFKA_CAUSE_TLS,      /* certificates */
	KAFKA_CAUSE_NAME,     /* host not found */
	KAFKA_CAUSE_NETWORK,  /* nobody answers */
	KAFKA_CAUSE_THROTTLE, /* too fast for what was bought */
};
/* What a person would look at. */
enum kafka_cause kafka_error_cause(int error);

#endif
