/*
 * Events that no broker will ever take, kept as dead letters in files. Loop
 * thread only.
 */
#ifndef WEFT_SERVICES_EVENTHUB_PUBLISHER_KAFKA_LETTERS_H
#define WEFT_SERVICES_EVENTHUB_PUBLISHER_KAFKA_LETTERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "proto/batch.h"
#include "services/eventhub-publisher/deadletters.h"
#include "services/eventhub-publisher/kafka_messages.h"

/* The first part is given, the rest zero at first. */
struct kafka_letters {
	struct loop *loop;
	char *dir; /* owned */
	int64_t cap_bytes;
	const char *section; /* of the configuration, for the letters */
	struct deadletters_events events;

	struct deadletters *files; /* NULL before the first letter */
};

/* An event of a batch, with the reason. All borrowed. */
struct kafka_letter {
	const struct batch *batch;
	uint32_t event;
	const struct kafka_stream *stream;
	int error; /* of kafka/ */
	void *opaque;
};

/*
 * Keeps a letter; events.stored() tells with its opaque when it is on disk. -1
 * with *err when there is no place for letters.
 */
int kafka_letters_put(struct kafka_letters *l,
		      const struct kafka_letter *letter,
		      struct err *err) MUST_CHECK;

/* No more may come for now. */
bool kafka_letters_full(const struct kafka_letters *l);

/* Forgets what is not on disk; the next one begins a file. */
void kafka_letters_close(struct kafka_letters *l);
void kafka_letters_free(struct kafka_letters *l);

#endif
