/*
 * When to hand messages to librdkafka, and when to wait. Pure calculation.
 *
 * An idempotent producer of librdkafka has one request in flight for a
 * partition, and while messages behind it are older than linger.ms its thread
 * polls without a pause until the answer comes (2.0.2, 2.8: in
 * rd_kafka_toppar_producer_serve() the time to wake is set before the limit is
 * looked at). So messages go in rounds, small enough that those of a partition
 * fit into one request, and the next round waits for the last one's answers.
 * On a broker that answers slowly that halves what an event costs.
 */
#ifndef WEFT_KAFKA_ROUNDS_H
#define WEFT_KAFKA_ROUNDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ROUNDS_PARTITIONS 256 /* counted apart in a round */

/* How many messages of a round one partition has had. */
struct rounds_share {
	const void *topic;
	int32_t partition;
	uint32_t messages, round;
};

/* The first part is given, the rest zero at first. */
struct rounds {
	size_t request_bytes; /* that one request holds */
	int64_t linger_us;

	size_t limit_bytes; /* of a round, as learned; 0: one request */
	size_t bytes;	    /* of this round, as they are sent */
	uint32_t messages;  /* of this round */
	uint32_t waiting;   /* of them, not reported */
	uint32_t largest;   /* messages of one partition */
	int64_t began_mono_us;
	uint32_t round;
	struct rounds_share shares[ROUNDS_PARTITIONS];
};

/* Whether this round takes a message more. */
bool rounds_open(const struct rounds *r, int64_t now_mono_us);

/* A message of so many bytes was handed over. */
void rounds_add(struct rounds *r, size_t bytes, int64_t now_mono_us);

/* So many messages of a partition were reported, which were one request. */
void rounds_reported(struct rounds *r, const void *topic, int32_t partition,
		     uint32_t messages);

#endif
