/*
 * A durable sink: what the bus brings is appended to a log, acked once it is on
 * disk, then read back in order and delivered. Delivery is remembered together
 * with the deliverer's own state in the log's checkpoint. Loop thread only.
 */
#ifndef WEFT_RUN_SINK_H
#define WEFT_RUN_SINK_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/bus.h"
#include "proto/batch.h"
#include "run/run.h"
#include "spool/spool.h"

struct sink;

struct sink_options {
	const char *link; /* consumed, bound as this instance */
	int64_t segment_bytes;
	int64_t cap_bytes;
	int64_t cache_bytes;
	int64_t reserve_bytes;
	int64_t commit_interval_us; /* at most one sync in this time */
};

/* readable: sink_read() may have something new. failed: the disk refuses. */
struct sink_events {
	void (*readable)(void *arg);
	void (*failed)(void *arg, const struct err *err);
	void *arg;
};

int sink_open(struct sink **s, struct run *run,
	      const struct sink_options *options,
	      const struct sink_events *events, struct err *err) MUST_CHECK;
void sink_close(struct sink **s);

/*
 * Where delivery resumes after a restart, and the deliverer's state as it was
 * given with that position (borrowed until sink_delivered; 0 bytes at first).
 */
uint64_t sink_resume_at(const struct sink *s, const void **state,
			size_t *bytes);

/* The identity of its log. */
const struct uuid *sink_log_id(const struct sink *s);

/* As spool_read: 1 with a reference, 0 nothing yet, -1 *err. */
int sink_read(struct sink *s, uint64_t *position, uint64_t *next,
	      struct batch **b, struct err *err) MUST_CHECK;

/* The same with the time of its append, as spool_read_record. */
int sink_read_record(struct sink *s, struct spool_record *record,
		     struct err *err) MUST_CHECK;

/*
 * Everything before `position` was delivered and need not be read again;
 * `state` (copied) is saved with that fact, in one piece.
 */
void sink_delivered(struct sink *s, uint64_t position, const void *state,
		    size_t bytes);

/* As bus_sink_refuse(). */
void sink_refuse(struct sink *s, const struct refusal *streams);

/* True when all that was accepted is delivered. */
bool sink_idle(const struct sink *s);

void sink_get_stats(const struct sink *s, struct spool_stats *spool,
		    struct bus_stats *bus);

#endif
