#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "bus/bus.h"
#include "bus/lanes.h"
#include "bus/socket.h"
#include "bus/wire.h"

#define BATCHES_A_TURN 32
#define MAX_UNDURABLE  65536 /* accepted, not durable; then nothing is read */

/* A batch that was accepted; what is durable is told by count, in order. */
struct accepted {
	struct batch_lane lane;
	uint64_t sequence;
};

struct bus_sink {
	struct bus *bus;
	struct bus_part part;
	struct loop_timer tick;
	struct bus_socket in, state;
	struct bus_sink_events events;
	char name[STATE_NAME_BYTES];
	struct uuid incarnation, log_id;
	struct lanes *lanes;
	struct accepted *undurable; /* ring of undurable_size, by count */
	uint32_t undurable_size;
	uint64_t accepted, durable;
	struct batch *refused; /* offered again on resume */
	bool begun, changed, bad;
	uint64_t generation;
	struct state_lane *list; /* scratch of publish() */
	struct buf frame;
	struct bus_stats stats;
};

static void publish(struct bus_sink *s)
{
	struct state state = {.incarnation = s->incarnation,
			      .log_id = s->log_id,
			      .generation = s->generation,
			      .complete = true};

	memcpy(state.name, s->name, sizeof(state.name));
	state.lane_count = lanes_list(s->lanes, &s->list);
	state.lanes = s->list;
	buf_clear(&s->frame);
	state_encode(&state, &s->frame);
	wire_send_frame(&s->state, s->frame.data, s->frame.used);
	s->changed = false;
}

/*
 * A batch that could not be read left a gap that only a resend closes, so it
 * is evidence. Told at the next repeat and not at once, so that a peer that
 * sends nothing but rubbish makes four resends a second and no more.
 */
static void repeat(void *arg)
{
	struct bus_sink *s = arg;

	s->generation += s->bad;
	s->bad = false;
	s->changed = true;
	loop_timer_set(bus_loop(s->bus), &s->tick,
		       loop_now_mono_us(bus_loop(s->bus)) + STATE_REPEAT_US);
}

static void remember(struct bus_sink *s, const struct batch_header *header)
{
	uint64_t waiting = s->accepted - s->durable;

	if (waiting == s->undurable_size) {
		uint32_t size = s->undurable_size ? s->undurable_size * 2 : 64;
		struct accepted *ring = xcalloc(size, sizeof(*ring));

		for (uint64_t i = s->durable; i < s->accepted; i++)
			ring[i % size] = s->undurable[i % s->undurable_size];
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

/* Takes, keeps (takes *b) or ignores one batch. */
static void receive(struct bus_sink *s, struct batch **b)
{
	const struct batch_header *header = &(*b)->header;

	s->stats.batches_in++;
	s->stats.events_in += header->events;
	s->stats.bytes_in += batch_bytes(*b);
	switch (lanes_judge(s->lanes, header)) {
	case LANES_NEXT:
		if (!offer(s, *b)) {
			s->refused = *b;
			*b = NULL;
		}
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

static void read_batches(struct bus_sink *s)
{
	char q[LOG_QUOTE_BYTES];
	struct err err = {0};
	struct batch *b;

	for (int n = 0; n < BATCHES_A_TURN && reading(s); n++) {
		int rc = wire_recv_batch(&s->in, &b, &err);

		if (rc == 0)
			return;
		if (rc < 0) {
			s->stats.refused++;
			s->bad = true;
			log_warn("batch_refused", "name=%s error=%s", s->name,
				 log_quote(q, err.text));
			continue;
		}
		receive(s, &b);
		batch_unref(&b);
	}
}

static void turn(void *arg)
{
	struct bus_sink *s = arg;
	zmq_msg_t msg;

	if (!s->begun)
		return;
	zmq_msg_init(&msg);
	while (wire_recv_frame(&s->state, &msg) != 0)
		s->changed = true; /* a new subscriber */
	zmq_msg_close(&msg);
	read_batches(s);
	if (s->changed)
		publish(s);
}

static int open_sockets(struct bus_sink *s, const struct bus_endpoint *in,
			struct err *err)
{
	if (bus_socket_bind(&s->in, s->bus, ZMQ_PULL, in->data,
			    WIRE_BATCH_BYTES, err) != 0)
		return -1;
	return bus_socket_bind(&s->state, s->bus, ZMQ_XPUB, in->state,
			       WIRE_STATE_BYTES, err);
}

int bus_sink_open(struct bus_sink **sink, struct bus *bus,
		  const struct bus_sink_options *options,
		  const struct bus_sink_events *events, struct err *err)
{
	struct bus_sink *s = xcalloc(1, sizeof(*s));

	s->bus = bus;
	s->events = *events;
	s->log_id = options->log_id;
	s->incarnation = uuid_new();
	s->lanes = lanes_new();
	snprintf(s->name, sizeof(s->name), "%s", options->name);
	s->part = (struct bus_part){.turn = turn, .arg = s};
	s->tick = (struct loop_timer){.fn = repeat, .arg = s};
	bus_part_add(bus, &s->part);
	if (options->saved_bytes &&
	    lanes_load(s->lanes, options->saved, options->saved_bytes, err)) {
		bus_sink_close(&s);
		return -1;
	}
	if (open_sockets(s, options->in, err) != 0) {
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
	loop_timer_cancel(bus_loop(s->bus), &s->tick);
	bus_socket_close(&s->in);
	bus_socket_close(&s->state);
	batch_unref(&s->refused);
	lanes_free(&s->lanes);
	buf_free(&s->frame);
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
	repeat(s);
}

void bus_sink_durable(struct bus_sink *s, uint64_t accepted)
{
	if (accepted > s->accepted)
		accepted = s->accepted;
	for (; s->durable < accepted; s->durable++) {
		const struct accepted *a =
		    &s->undurable[s->durable % s->undurable_size];

		lanes_durable(s->lanes, &a->lane, a->sequence);
		s->changed = true;
	}
}

uint64_t bus_sink_accepted(const struct bus_sink *s)
{
	return s->accepted;
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

void bus_sink_get_stats(const struct bus_sink *s, struct bus_stats *stats)
{
	*stats = s->stats;
	stats->unacked_batches = s->accepted - s->durable;
}
