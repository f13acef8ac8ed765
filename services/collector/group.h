/*
 * Group commit: events of many requests become one batch of the log, and each
 * request is answered when the log says that its batch is on disk. The clock is
 * the disk: a batch is appended when the commit before it ended and those who
 * were answered by it have sent again, or do not soon, or when it is large. A
 * request that is alone never waits. Loop thread only.
 */
#ifndef WEFT_SERVICES_COLLECTOR_GROUP_H
#define WEFT_SERVICES_COLLECTOR_GROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/counter.h"
#include "contract/contract.h"
#include "http/server.h"
#include "proto/batch.h"

/* append: as source_append(). The histogram and counts are the owner's. */
struct group_options {
	size_t batch_bytes;	/* appended at once when this large */
	bool mapped;		/* events come mapped: BATCH_MAPPED */
	uint64_t pending_bytes; /* at most so much not on disk */
	int64_t ack_timeout_us;
	int64_t gather_us; /* a commit waits for more at most this long */
	int (*append)(void *arg, struct batch *b, uint64_t *position,
		      struct err *err);
	void *arg;
	struct counter_histogram *latency;
	uint64_t *batches;
	uint64_t *not_durable;
};

struct group;
struct group *group_new(const struct group_options *options);

/* Requests that still wait are answered 503. */
void group_free(struct group **group);

/* False when so much waits for the disk that requests should be refused. */
bool group_has_room(const struct group *g);

/*
 * The builder for the events of one request, checked with `set` (referenced as
 * long as it is needed). The batch carries the trace id of its first request
 * that has one; NULL for none.
 */
struct batch_builder *group_builder(struct group *g, struct contract_set *set,
				    const uint8_t trace[BATCH_TRACE_BYTES]);

/*
 * To be asked behind each event that was put into the builder: appends what was
 * collected, and returns true, when it is as large as one batch may be. So a
 * large request lies in several batches, and waits for the last of them. Once
 * one of them was refused, the rest of the request is dropped here.
 */
bool group_seal_full(struct group *g);

/*
 * Lets a request, whose events were just put into the builder, wait for the
 * disk, all of them; then it is answered with this status and JSON body
 * (copied). 503 when the log refuses them: when the request lies in several
 * batches, its text says that some events may be stored.
 */
void group_wait(struct group *g, struct http_request *r, unsigned status,
		const struct buf *body, int64_t now_mono_us);

/*
 * Before each wait: appends what was collected, unless a commit is under way or
 * more is likely to come: something came since the last turn, or fewer requests
 * than were just answered, whose clients send again. One commit for all costs
 * less. It waits no longer for them than a commit takes, nor than gather_us.
 * Gives the microseconds in which it is to be called again, -1 = no need.
 */
int64_t group_turn(struct group *g);

/* Appends it in any case: before the contracts change, and to drain. */
void group_flush(struct group *g);

/* Everything before this position is on disk: answers. */
void group_durable(struct group *g, uint64_t durable, int64_t now_mono_us);

/* Answers 503 to those that waited too long. */
void group_expire(struct group *g, int64_t now_mono_us);

uint32_t group_waiting(const struct group *g);

#endif
