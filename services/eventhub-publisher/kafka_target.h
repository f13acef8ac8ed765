/* The kafka backend's configuration, as kafka/ takes it, and its errors. */
#ifndef WEFT_SERVICES_EVENTHUB_PUBLISHER_KAFKA_TARGET_H
#define WEFT_SERVICES_EVENTHUB_PUBLISHER_KAFKA_TARGET_H

#include <stddef.h>

#include "kafka/kafka.h"
#include "services/eventhub-publisher/backend.h"

#define TARGET_TEXTS 16

/* All that it names is its own: a reload frees the configuration. */
struct kafka_target {
	struct kafka_options options;
	const char *topic;    /* as the key `topic`; NULL: by contract */
	const char *section;  /* for messages */
	const char *identity; /* NULL: no login */
	char *texts[TARGET_TEXTS];
	size_t text_count;
};

/* -1 with *err, naming the key, when key and identity do not go together. */
int kafka_target_read(struct kafka_target *t,
		      const struct backend_options *options,
		      struct err *err) MUST_CHECK;
void kafka_target_free(struct kafka_target *t);

/* The topic of a stream; `contract_topic` may be NULL. */
void kafka_target_topic(const struct kafka_target *t, const char *stream,
			const char *contract_topic,
			char topic[TOPIC_BYTES + 1]);

/*
 * What an error of the producer means to a person, and which key to look at.
 * topic may be NULL. Retriable, but for what needs a person; returns -1.
 */
int kafka_target_explain(const struct kafka_target *t, int error,
			 const char *text, const char *topic, struct err *err);

#endif
