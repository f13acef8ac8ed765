/*
 * Events that a sink will never take, as lines of files in a directory of their
 * own: <number>.ndjson, from 000001, a new one at each start and beyond 64 MiB.
 * Nothing is made before the first. All calls on the loop thread; writing and
 * syncing is a worker's.
 */
#ifndef WEFT_SERVICES_EVENTHUB_PUBLISHER_DEADLETTERS_H
#define WEFT_SERVICES_EVENTHUB_PUBLISHER_DEADLETTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"

struct deadletters;

/*
 * On the loop thread, never from within a call.
 *  stored: the oldest letters that were put, these, are durable.
 *  failed: it cannot go on: the disk, or the directory holds cap_bytes. Free it
 *    later, and put again what was not stored into another.
 */
struct deadletters_events {
	void (*stored)(void *arg, void *const *opaques, size_t count);
	void (*failed)(void *arg, const struct err *err);
	void *arg;
};

/* `dir` is copied. -1 with *err when there is no thread or descriptor left. */
int deadletters_open(struct deadletters **d, struct loop *loop, const char *dir,
		     int64_t cap_bytes, const struct deadletters_events *events,
		     struct err *err) MUST_CHECK;

/*
 * Forgets what is not stored; a disk that hangs does not hold it up for more
 * than a second. Accepts NULL.
 */
void deadletters_free(struct deadletters **d);

/* Puts one line (copied, without '\n'), of any size. */
void deadletters_put(struct deadletters *d, const char *line, size_t bytes,
		     void *opaque);

/* Much waits for the disk: put no more before stored(). */
bool deadletters_full(struct deadletters *d);

#endif
