/* Events as messages of Kafka: topic, payload and headers by stream. */
#ifndef WEFT_SERVICES_EVENTHUB_PUBLISHER_KAFKA_MESSAGES_H
#define WEFT_SERVICES_EVENTHUB_PUBLISHER_KAFKA_MESSAGES_H

#include "base/buf.h"
#include "contract/contract.h"
#include "kafka/kafka.h"
#include "proto/batch.h"
#include "services/eventhub-publisher/kafka_target.h"

#define KAFKA_HEADERS 4

/* A stream, and what all of its messages have in common. */
struct kafka_stream {
	char name[BATCH_STREAM_NAME_BYTES + 1];
	struct kafka_topic *topic;
	uint16_t version;
	/* Of dead letters the identity is their event's, behind its stream; the
	 * header has the event's own id all the same. */
	bool letters;
	char contract[BATCH_STREAM_NAME_BYTES + 8]; /* "order/1" */
	size_t contract_bytes;
	struct buf envelope; /* {"stream":"order", or empty */
};

/* The first part is given, the rest zero at first. Loop thread only. */
struct kafka_messages {
	const struct kafka_target *target;
	struct contract_set *(*contracts)(void *arg);
	void *arg;
	char *envelope; /* NULL: none; owned */
	bool headers;
	struct kafka *kafka; /* whose topics the streams have */

	struct kafka_stream **streams;
	size_t stream_count;
	uint64_t set; /* hash of the contracts that streams come from */
	struct kafka_stream *map[BATCH_MAX_STREAMS]; /* of the batch … */
	const struct batch *mapped;		     /* … that this one is */
	char trace[2 * BATCH_TRACE_BYTES + 1];	     /* of it, or "" */
};

/* Forgets all streams, since their topics end with the producer. */
void kafka_messages_forget(struct kafka_messages *m);
void kafka_messages_free(struct kafka_messages *m);

/* Makes b (borrowed until the next call, or NULL) the batch that is asked of.
 */
void kafka_messages_turn(struct kafka_messages *m, const struct batch *b);

/* The stream of an event of that batch, until the next forget or turn. */
const struct kafka_stream *kafka_messages_stream(struct kafka_messages *m,
						 const struct batch_event *e);

/*
 * Fetches what headers and key are copied from of an event that comes soon, or
 * of none. It was last read when the batch came in, and no cache has it still.
 */
void kafka_messages_prefetch(const struct batch *b, uint32_t event);

/*
 * The payloads of all events of that batch, one behind the other, each with its
 * stream's envelope. Owned by the caller.
 */
char *kafka_messages_wrap(struct kafka_messages *m);

/* The headers of an event of that batch; they borrow from it and from s. */
size_t kafka_messages_headers(const struct kafka_messages *m,
			      const struct batch_event *e,
			      const struct kafka_stream *s,
			      struct kafka_header headers[KAFKA_HEADERS]);

#endif
