/*
 * A durable source: a log and the lanes that carry it to the transformers. What
 * is appended is sent after it is on disk, and freed once every sink has it on
 * disk. Each start and each change of the transformers' history begins a new
 * epoch, raised durably first. Loop thread only.
 */
#ifndef WEFT_RUN_SOURCE_H
#define WEFT_RUN_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/bus.h"
#include "proto/batch.h"
#include "run/run.h"
#include "spool/spool.h"

struct source;

struct source_options {
	const char *link; /* "raw" */
	int64_t segment_bytes;
	int64_t cap_bytes;
	int64_t headroom_bytes; /* disk space left to the sinks */
	int64_t cache_bytes;
	int64_t window_bytes; /* in flight on one lane */
	int64_t silence_us;   /* a transformer not heard this long is gone */
	bool by_key;	      /* all events of a key in one lane */
	/* Small batches are joined up to this on their way out; 0: they are
	 * sent as they are. */
	int64_t join_bytes;
	/* One that is smaller leaves only so long after the one before it. */
	int64_t join_delay_us;
};

/*
 * durable: every batch whose position is below `durable` is on disk: it may be
 * acknowledged to whoever sent it. failed: the disk refuses; appends fail with
 * EIO until a later durable() says otherwise.
 */
struct source_events {
	void (*durable)(void *arg, uint64_t durable);
	void (*failed)(void *arg, const struct err *err);
	void *arg;
};

/* Opens the log in run_state_dir() and connects to the link's consumers. */
int source_open(struct source **s, struct run *run,
		const struct source_options *options,
		const struct source_events *events, struct err *err) MUST_CHECK;
void source_close(struct source **s);

/* As spool_append: takes a reference, gives the position, never blocks. */
int source_append(struct source *s, struct batch *b, uint64_t *position,
		  struct err *err) MUST_CHECK;
bool source_has_room(const struct source *s, size_t bytes);

/* As bus_source_refused(): events of these streams had better not come in. */
const struct refusal *source_refused(const struct source *s);

/* True when nothing is unacked: all that was appended is in every sink. */
bool source_idle(const struct source *s);

/*
 * Takes over a changed set of consumers, for a service's reload and relink:
 * once nothing is in flight, or after the pipeline's drain_timeout.
 */
int source_reload(struct source *s, struct err *err) MUST_CHECK;

void source_get_stats(const struct source *s, struct spool_stats *spool,
		      struct bus_stats *bus);

#endif
