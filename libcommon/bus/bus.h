/*
 * The bus: batches over ZeroMQ PUSH/PULL, with lanes, cumulative acks, credits
 * and resending on evidence. It works like TCP with the transformer as a
 * stateless router in the middle: a source numbers batches in lanes, a sink
 * accepts each lane strictly in sequence, and only the source sends again.
 * The protocol, with the reason for each rule, is written in proto/bus.md.
 *
 * Three roles: bus_source (has a log, numbers and resends), bus_relay (the
 * transformer: one input, a message to every sink for each batch, no memory but
 * counts), bus_sink (has a log, accepts in sequence, says what is durable).
 * Consumers bind, producers connect. All calls on the loop thread. Callbacks
 * run from the loop's hook; they may call anything of their own role but its
 * close.
 */
#ifndef WEFT_BUS_BUS_H
#define WEFT_BUS_BUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/uuid.h"
#include "proto/batch.h"
#include "proto/refusal.h"
#include "proto/state.h"

#define BUS_MAX_PEERS 64

/* One ZeroMQ context per process; made by the skeleton after fork+exec. */
struct bus;

/* A new bus on a loop (borrowed), owned by the caller. */
struct bus *bus_new(struct loop *loop);

/* Ends it after all that was opened on it was closed; accepts NULL. */
void bus_free(struct bus **bus);

/* The two endpoints of one consumer instance: its PULL, and its PUB of state.
 */
struct bus_endpoint {
	char link[STATE_NAME_BYTES]; /* "raw", "eventhub", … */
	uint32_t instance;
	char data[256];	 /* "ipc:///run/weft/raw.0", "tcp://10.0.0.5:7101" */
	char state[256]; /* "ipc:///run/weft/raw.0.state" */
};

/* Counters of one role, read by the skeleton for stats. */
struct bus_stats {
	uint64_t batches_in, batches_out;
	uint64_t events_in, events_out;
	uint64_t bytes_in, bytes_out;
	uint64_t resends;    /* batches sent again on evidence */
	uint64_t evidence;   /* times that evidence was seen */
	uint64_t epochs;     /* epochs begun */
	uint64_t duplicates; /* sink: below the expected sequence, ignored */
	uint64_t gaps;	     /* sink: beyond it, ignored */
	uint64_t stale;	     /* of an older epoch, ignored */
	uint64_t refused;    /* malformed frames, counted and logged */
	uint64_t references; /* batches that came by reference */
	uint64_t unacked_batches, unacked_bytes; /* source, now */
	uint32_t peers, peers_ready;		 /* configured, usable now */
};

/* ---- source ---- */

struct bus_source;

struct bus_source_options {
	struct uuid id;	      /* the source id: its log's */
	int64_t window_bytes; /* most bytes in flight on one lane; 8 MiB */
	int64_t silence_us;   /* a peer not heard this long is gone; > 250 ms */
	int64_t drain_us;     /* how long a change of peers waits for acks */
	/* All events of a key go through the same peer, in their order: a batch
	 * is cut into a piece for each. */
	bool by_key;
	const struct bus_endpoint *peers; /* copied */
	uint32_t peer_count;		  /* >= 1 */
};

/*
 * What a source asks of its owner.
 *  read: as spool_read: the durable batch at or behind *position; 1 with a
 *    reference, 0 when there is none yet, -1 with *err (logged, tried again).
 *    It may join several: what lies from *position to *next. *next is 0 at the
 *    first read, and later, for sending it again, where it ended then: the
 *    very same batch is wanted (0 when that cannot be).
 *  refer: as read, but *b has, if it can, a reference in place of its body
 *    (proto/batch.md). It is asked for peers that take such batches. NULL: the
 *    log cannot be read by others.
 *  freed: every batch before `position` is durable at every sink.
 *  begin: a new epoch is needed (see proto/bus.md); the owner raises its epoch
 *    durably to a number above its last one and above `above`, and then calls
 *    bus_source_begin(), at once or later. Called again only after that.
 *  moved: the peers that were set last are the ones in use, and nothing more
 *    goes to others. May be NULL.
 */
struct bus_source_events {
	int (*read)(void *arg, uint64_t *position, uint64_t *next,
		    struct batch **b, struct err *err);
	int (*refer)(void *arg, uint64_t *position, uint64_t *next,
		     struct batch **b, struct err *err);
	void (*freed)(void *arg, uint64_t position);
	void (*begin)(void *arg, uint64_t above);
	void (*moved)(void *arg);
	void *arg;
};

int bus_source_open(struct bus_source **s, struct bus *bus,
		    const struct bus_source_options *options,
		    const struct bus_source_events *events,
		    struct err *err) MUST_CHECK;
void bus_source_close(struct bus_source **s);

/*
 * Begins an epoch whose number was raised durably before: lanes restart at
 * sequence 1, sending starts at log position `from` (the first not freed), and
 * batches before `replay_before` are flagged BATCH_REPLAY, but for those that
 * this source knows it has never sent. Nothing is sent before the first call.
 */
void bus_source_begin(struct bus_source *s, uint64_t epoch, uint64_t from,
		      uint64_t replay_before);

/* Says that read may have something new. Cheap. */
void bus_source_kick(struct bus_source *s);

/*
 * Replaces the set of peers (scaling, reload). Nothing new is sent until all
 * that is in flight is acked, so that nothing has to go twice, or drain_us have
 * passed; then the new peers are taken, and a new epoch is asked for. The set
 * in use again changes nothing, and calls off a change that waits. -1 with
 * *err: all is as before.
 */
int bus_source_set_peers(struct bus_source *s, const struct bus_endpoint *peers,
			 uint32_t count, struct err *err) MUST_CHECK;

/*
 * The streams of which some sink wants no more for now (borrowed until the next
 * turn of the loop).
 */
const struct refusal *bus_source_refused(const struct bus_source *s);

/* True when everything that was read is acked. */
bool bus_source_idle(const struct bus_source *s);

void bus_source_get_stats(const struct bus_source *s, struct bus_stats *stats);

/* ---- relay ---- */

struct bus_relay;

struct bus_relay_options {
	const char *name;		 /* "transformer.0", in its state */
	const struct bus_endpoint *in;	 /* bound here */
	const struct bus_endpoint *outs; /* every sink instance of every link */
	uint32_t out_count;		 /* >= 1 */
	int64_t silence_us;		 /* as in a source */
	int64_t rest_us;		 /* as in a sink */
};

/*
 * Reads the body that a batch refers to: *whole is one reference to the same
 * batch with its body, and the header that it has in b but for the body's crc.
 * -1 with *err: it cannot be read here, or what lies there is another. Then the
 * batch is refused, and for a while this consumer asks for batches with their
 * bodies.
 */
typedef int bus_resolve_fn(void *arg, struct batch *b, struct batch **whole,
			   struct err *err);

/*
 * work: makes one message for every sink out of *in (borrowed): out[i] gets a
 * batch with one reference (an empty one if need be), i as in options.outs.
 * Lane and sequence are set by the relay. -1 with *err when it cannot yet (a
 * contract set that is not here): the batch is kept, and tried again each
 * second, and nothing behind it moves. *in may be without a body: it may be
 * passed on like that, or work returns BUS_NEEDS_BODY and is called again.
 * resolve: of batches that came by reference, when work or a sink needs their
 * bodies. NULL: none are taken.
 */
#define BUS_NEEDS_BODY 1
struct bus_relay_events {
	int (*work)(void *arg, struct batch *in, struct batch **out,
		    struct err *err);
	bus_resolve_fn *resolve;
	void *arg;
};

int bus_relay_open(struct bus_relay **r, struct bus *bus,
		   const struct bus_relay_options *options,
		   const struct bus_relay_events *events,
		   struct err *err) MUST_CHECK;
void bus_relay_close(struct bus_relay **r);

/*
 * Replaces the set of sinks; the next call of work is for the new one. A batch
 * that was held is dropped, which the sources are told. The same set in the
 * same order changes nothing. -1: all is as before.
 */
int bus_relay_set_outs(struct bus_relay *r, const struct bus_endpoint *outs,
		       uint32_t count, struct err *err) MUST_CHECK;

/* True when nothing is held and nothing was waiting to be read. */
bool bus_relay_idle(const struct bus_relay *r);
void bus_relay_get_stats(const struct bus_relay *r, struct bus_stats *stats);

/* ---- sink ---- */

struct bus_sink;

struct bus_sink_options {
	const char *name;	       /* "eventhub-publisher.0" */
	const struct bus_endpoint *in; /* bound here */
	struct uuid log_id;
	const void *saved; /* from bus_sink_save, as of the log's checkpoint */
	size_t saved_bytes;
	/* Without references after one could not be resolved, each time twice
	 * as long up to 60 times that; well above STATE_REPEAT_US, or what is
	 * sent again comes by reference again. 0: 60 s. */
	int64_t rest_us;
};

/*
 * accept: appends the batch (borrowed) to the sink's log. 0 when it was taken:
 * the lane's next sequence is expected from then on. -1 with *err when it
 * cannot take it now: the batch is kept and offered again after
 * bus_sink_resume() and at each tick, and nothing more is read.
 * resolve: of batches that came by reference and are next in their lane. NULL:
 * none are taken.
 */
struct bus_sink_events {
	int (*accept)(void *arg, struct batch *b, struct err *err);
	bus_resolve_fn *resolve;
	void *arg;
};

/*
 * Opens the sink with the lanes it had; binds, but accepts and publishes
 * nothing before bus_sink_begin(). -1 with *err, also when what was saved is
 * damaged or of another version.
 */
int bus_sink_open(struct bus_sink **s, struct bus *bus,
		  const struct bus_sink_options *options,
		  const struct bus_sink_events *events,
		  struct err *err) MUST_CHECK;
void bus_sink_close(struct bus_sink **s);

/* A record that the log holds behind the checkpoint: moves its lane on. */
void bus_sink_recovered(struct bus_sink *s, const struct batch_header *header);

/* Starts to accept; all that was recovered is durable. */
void bus_sink_begin(struct bus_sink *s);

/* The first `accepted` of the batches that accept() has taken since open are
 * durable: acks them. */
void bus_sink_durable(struct bus_sink *s, uint64_t accepted);

/* Offers a refused batch again at once, without waiting for the tick. */
void bus_sink_resume(struct bus_sink *s);

/*
 * Appends all lanes as durable so far, for the log's checkpoint: a lane that
 * was accepted further but is not on disk yet must not be remembered as such.
 */
void bus_sink_save(const struct bus_sink *s, struct buf *out);

/*
 * Tells sources that events of these streams (copied) had better not come for
 * now, until it is called with others, or none. What comes is accepted as ever.
 */
void bus_sink_refuse(struct bus_sink *s, const struct refusal *streams);

void bus_sink_get_stats(const struct bus_sink *s, struct bus_stats *stats);

/* ---- taps: a look at what passes a producer, for people ---- */

/*
 * An XPUB beside a producer. A message is one frame: its topic, then whatever
 * the producer says. While nobody listens it costs nothing but the socket; a
 * listener that is too slow misses messages, and slows nobody down.
 */
struct bus_tap;
int bus_tap_open(struct bus_tap **t, struct bus *bus, const char *endpoint,
		 struct err *err) MUST_CHECK;
/* Whether anybody listens at all; then, to messages that begin like this. */
bool bus_tap_active(const struct bus_tap *t);
bool bus_tap_wants(const struct bus_tap *t, const char *topic, size_t bytes);
void bus_tap_send(struct bus_tap *t, const void *message, size_t bytes);
void bus_tap_close(struct bus_tap **t);

/* Listens to messages that begin with `topic`; fn gets each (borrowed). */
struct bus_tap_in;
int bus_tap_in_open(struct bus_tap_in **i, struct bus *bus,
		    const char *endpoint, const char *topic,
		    void (*fn)(void *arg, const char *message, size_t bytes),
		    void *arg, struct err *err) MUST_CHECK;
void bus_tap_in_close(struct bus_tap_in **i);

/* ---- stats and control plane over ZeroMQ ---- */

/* Pushes whole stats messages to metrics; drops them when nobody listens. */
struct bus_stats_out;
int bus_stats_out_open(struct bus_stats_out **o, struct bus *bus,
		       const char *endpoint, struct err *err) MUST_CHECK;
void bus_stats_out_send(struct bus_stats_out *o, const void *data,
			size_t bytes);
void bus_stats_out_close(struct bus_stats_out **o);

/* Receives stats messages; fn gets each (borrowed). */
struct bus_stats_in;
int bus_stats_in_open(struct bus_stats_in **i, struct bus *bus,
		      const char *endpoint,
		      void (*fn)(void *arg, const uint8_t *data, size_t bytes),
		      void *arg, struct err *err) MUST_CHECK;
void bus_stats_in_close(struct bus_stats_in **i);

#endif
