/*
 * Batches on their way to Kafka, in the order of the log: handed over event by
 * event, reported in any order, done in order. Loop thread only.
 */
#ifndef WEFT_SERVICES_EVENTHUB_PUBLISHER_KAFKA_SLOTS_H
#define WEFT_SERVICES_EVENTHUB_PUBLISHER_KAFKA_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/batch.h"

#define KAFKA_SLOTS 512

struct kafka_slot {
	struct batch *batch;
	uint64_t next;	   /* log position behind it */
	char *lines;	   /* of all events with their envelope, or NULL */
	size_t line_at;	   /* of the next event in lines */
	uint32_t produced; /* events handed to the producer */
	uint32_t left;	   /* events that are not delivered */
};

/* Zero at first. */
struct kafka_slots {
	struct kafka_slot slots[KAFKA_SLOTS];
	uint32_t first, count;
	uint32_t filling; /* of count, the first not wholly produced */
};

/* The i-th, 0 being the oldest; i < count, or where the next one goes. */
struct kafka_slot *kafka_slots_at(struct kafka_slots *s, uint32_t i);

/* Adds a batch, of which it takes a reference. Only while count is less than
 * KAFKA_SLOTS. */
void kafka_slots_add(struct kafka_slots *s, struct batch *b, uint64_t next);

/* An event as the producer carries it, and back. */
void *kafka_slots_opaque(const struct kafka_slots *s,
			 const struct kafka_slot *slot, uint32_t event);
struct kafka_slot *kafka_slots_of(struct kafka_slots *s, const void *opaque,
				  uint32_t *event);

/*
 * Frees the oldest when it is wholly produced and delivered, and sets
 * *position to what is behind it. False when it is not done.
 */
bool kafka_slots_take_done(struct kafka_slots *s, uint64_t *position);

/* Lets go of all batches. */
void kafka_slots_clear(struct kafka_slots *s);

/*
 * All have to be produced again; what an ended producer may still read is
 * lent to it. kafka_slots_returned() gives that back, on any thread.
 */
void *kafka_slots_lend(struct kafka_slots *s);
void kafka_slots_returned(void *loan);

#endif
