#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "bus/bodies.h"
#include "bus/bus.h"
#include "bus/lanes.h"
#include "bus/publisher.h"
#include "bus/socket.h"
#include "bus/wire.h"

#define BATCHES_A_TURN 32
/* Bodies may come from a slow disk: then fewer, or no state would go out and no
 * watchdog be told for so long. */
#define TURN_US	      20000
#define MAX_UNDURABLE 65536 /* accepted, not durable; then nothing is read */

/* A batch that was accepted; what is durable is told by count, in order. */
struct accepted {
	struct batch_lane lane;
	uint64_t sequence;
};

struct bus_sink {
	struct bus *bus;
	struct bus_part part;
	struct bus_socket in;
	struct publisher publisher;
	struct bus_sink_events events;
	const char *name; /* the publisher's */
	struct uuid log_id;
	struct lanes *lanes;
	struct accepted *undurable; /* ring of undurable_size, by count */
	uint32_t undurable_size;
	uint64_t accepted, durable;
	struct batch *refused; /* offered again on resume */
	bool begun;
	struct bodies bodies;
	struct state_lane *list; /* scratch of fill() */
	struct bus_stats stats;
};

static void fill(void *arg, struct state *state)
{
	struct bus_sink *s = arg;

	state->log_id = s->log_id;
	state->complete = true;
	state->references = bodies_taken(&s->bodies);
	state->lane_count = lanes_list(s->lanes, &s->list);
	state->lanes = s->list;
}

static void remember(struct bus_sink *s, const struct batch_header *header)
{
	uint64_t waiting = s->accepted - s->durable;

	if (waiting == s->undurable_size) {
		uint32_t size = s->undurable_size ? s->undurable_size * 2 : 64;
		struct accepted *ring = xcalloc(size, sizeof(*ring));

		for (uint64_t k = 0; k < s->undurable_size; k++) {
			uint64_t i = s->durable + k;

			ring[i % size] = s->undurable[i % s->undurable_size];
		}
		free(s->undurable);
		s->undurable = ring;
		s->undurable_size = size;
	}
	s->undurable[s->accepted++ % s->undurable_size] =
	    (struct accepted){header->lane, header->sequence};
}

/* True when the owner took it. */
static bool offer(struct bus_sink *s, struct batch *b)
{
	struct err err = {0};

	if (s->events.accept(s->events.arg, b, &err) != 0) {
		log_debug("batch_not_taken", "name=%s error=\"%s\"", s->name,
			  err.text);
		return false;
	}
	lanes_take(s->lanes, &b->header);
	remember(s, &b->header);
	s->stats.batches_out++;
	s->stats.events_out += b->header.events;
	s->stats.bytes_out += batch_bytes(b);
	return true;
}

static void no_room(const struct bus_sink *s, const struct batch_header *header)
{
	char id[UUID_TEXT_BYTES];

	log_error("lane_refused",
		  "name=%s source=%s lanes=%d action=\"remove sources that are "
		  "gone, or begin a new log\"",
		  s->name, uuid_format(&header->lane.source, id),
		  STATE_MAX_LANES);
}

/* A message that is none, or whose body is not where it says. */
static void refuse(struct bus_sink *s, const struct err *err)
{
	char q[LOG_QUOTE_BYTES];

	s->stats.refused++;
	publisher_refused(&s->publisher);
	if (err->code == ENOTSUP)
		return;
	log_warn("batch_refused", "name=%s error=%s", s->name,
		 log_quote(q, err->text));
}

/* The one that is next in its lane: taken, or kept (takes *b), or refused. */
static void receive_next(struct bus_sink *s, struct batch **b)
{
	struct err err = {0};

	if (bodies_fetch(&s->bodies, b, &err) != 0) {
		refuse(s, &err);
	} else if (!offer(s, *b)) {
		s->refused = *b;
		*b = NULL;
	}
}

/* Takes, keeps (takes *b) or ignores one batch. */
static void receive(struct bus_sink *s, struct batch **b)
{
	const struct batch_header *header = &(*b)->header;

	s->stats.batches_in++;
	s->stats.references += (*b)->reference != NULL;
	s->stats.events_in += header->events;
	s->stats.bytes_in += batch_bytes(*b);
	switch (lanes_judge(s->lanes, header)) {
	case LANES_NEXT:
		receive_next(s, b);
		break;
	case LANES_DUPLICATE:
		s->stats.duplicates++;
		break;
	case LANES_GAP:
		s->stats.gaps++;
		break;
	case LANES_STALE:
		s->stats.stale++;
		break;
	case LANES_FULL:
		s->stats.refused++;
		no_room(s, header);
		break;
	}
}

static bool reading(const struct bus_sink *s)
{
	return s->begun && !s->refused &&
	       s->accepted - s->durable < MAX_UNDURABLE;
}

/* True when there may be more. */
static bool read_batches(struct bus_sink *s)
{
	int64_t until_mono_us = clock_mono_us() + TURN_US;
	struct err err = {0};
	struct batch *b;

	for (int n = 0; n < BATCHES_A_TURN && reading(s); n++) {
		int rc = wire_recv_batch(&s->in, &b, &err);

		if (rc == 0)
			return false;
		if (rc < 0) {
			refuse(s, &err);
			continue;
		}
		receive(s, &b);
		batch_unref(&b);
		if (clock_mono_us() >= until_mono_us)
			break;
	}
	return reading(s);
}

static bool turn(void *arg)
{
	struct bus_sink *s = arg;
	bool more;

	if (!s->begun)
		return false;
	/* A log frees space when nobody tells: after its checkpoint. */
	if (s->publisher.ticked) {
		s->publisher.ticked = false;
		bus_sink_resume(s);
	}
	more = read_batches(s);
	publisher_turn(&s->publisher);
	return more;
}

static int open_sockets(struct bus_sink *s,
			const struct bus_sink_options *options, struct err *err)
{
	if (bus_socket_bind(&s->in, s->bus, ZMQ_PULL, options->in->data,
			    WIRE_BATCH_BYTES, err) != 0)
		return -1;
	bodies_open(&s->bodies, options->in->data, s->events.resolve,
		    s->events.arg, options->rest_us);
	s->publisher.fill = fill;
	s->publisher.arg = s;
	return publisher_open(&s->publisher, s->bus, options->name,
			      options->in->state, err);
}

int bus_sink_open(struct bus_sink **sink, struct bus *bus,
		  const struct bus_sink_options *options,
		  const struct bus_sink_events *events, struct err *err)
{
	struct bus_sink *s = xcalloc(1, sizeof(*s));

	s->bus = bus;
	s->events = *events;
	s->log_id = options->log_id;
	s->name = s->publisher.state.name;
	s->lanes = lanes_new();
	s->part = (struct bus_part){.turn = turn, .arg = s};
	bus_part_add(bus, &s->part);
	if (options->saved_bytes &&
	    lanes_load(s->lanes, options->saved, options->saved_bytes, err)) {
		bus_sink_close(&s);
		return -1;
	}
	if (open_sockets(s, options, err) != 0) {
		bus_sink_close(&s);
		return -1;
	}
	*sink = s;
	return 0;
}

void bus_sink_close(struct bus_sink **sink)
{
	struct bus_sink *s = *sink;

	if (!s)
		return;
	bus_part_del(s->bus, &s->part);
	bus_socket_close(&s->in);
	publisher_close(&s->publisher);
	batch_unref(&s->refused);
	lanes_free(&s->lanes);
	free(s->list);
	free(s->undurable);
	free(s);
	*sink = NULL;
}

void bus_sink_recovered(struct bus_sink *s, const struct batch_header *header)
{
	lanes_take(s->lanes, header);
}

void bus_sink_begin(struct bus_sink *s)
{
	lanes_all_durable(s->lanes);
	s->begun = true;
	publisher_start(&s->publisher);
}

void bus_sink_durable(struct bus_sink *s, uint64_t accepted)
{
	if (accepted > s->accepted)
		accepted = s->accepted;
	for (; s->durable < accepted; s->durable++) {
		const struct accepted *a =
		    &s->undurable[s->durable % s->undurable_size];

		lanes_durable(s->lanes, &a->lane, a->sequence);
		s->publisher.changed = true;
	}
}

void bus_sink_resume(struct bus_sink *s)
{
	if (s->refused && offer(s, s->refused))
		batch_unref(&s->refused);
}

void bus_sink_save(const struct bus_sink *s, struct buf *out)
{
	lanes_save(s->lanes, out);
}

void bus_sink_refuse(struct bus_sink *s, const struct refusal *streams)
{
	publisher_refuse(&s->publisher, streams);
}

void bus_sink_get_stats(const struct bus_sink *s, struct bus_stats *stats)
{
	*stats = s->stats;
	stats->unacked_batches = s->accepted - s->durable;
}
