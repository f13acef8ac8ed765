#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "bus/bus.h"
#include "bus/outs.h"
#include "bus/publisher.h"
#include "bus/socket.h"
#include "bus/wire.h"

#define BATCHES_A_TURN 32
#define RETRY_US       1000000
#define COMPLAIN_US    30000000

/* One sink instance. */
struct out {
	struct bus_endpoint at;
	struct bus_socket push, sub;
	struct out_view view;
	uint64_t drops; /* of push, as noted */
	struct batch *pending;
};

struct bus_relay {
	struct bus *bus;
	struct bus_part part;
	struct bus_socket in;
	struct publisher publisher;
	struct bus_relay_events events;
	const char *name; /* the publisher's */
	uint32_t number;  /* of the lanes that come through here */
	int64_t silence_us;
	struct out *outs[BUS_MAX_PEERS];
	uint32_t out_count;
	struct batch *held; /* received, not yet taken by every sink */
	bool worked;	    /* its messages are made */
	int64_t retry_mono_us, complain_mono_us;
	int64_t tick_mono_us;
	struct state_lane *decoded, *list; /* scratch */
	struct bus_stats stats;
};

/* ---- what the sinks say ---- */

static void lost(struct bus_relay *r)
{
	publisher_lost(&r->publisher);
	r->stats.evidence++;
}

static void hear(struct bus_relay *r, struct out *o, const zmq_msg_t *msg)
{
	zmq_msg_t *m = (zmq_msg_t *)(uintptr_t)msg;
	char q[LOG_QUOTE_BYTES];
	struct state state;
	struct err err;

	if (state_decode(zmq_msg_data(m), zmq_msg_size(m), &state, &r->decoded,
			 &err) != 0) {
		r->stats.refused++;
		log_warn("state_refused", "name=%s peer=%s error=%s", r->name,
			 o->at.state, log_quote(q, err.text));
		return;
	}
	if (out_view_hear(&o->view, &state, r->number, clock_mono_us()))
		lost(r);
	r->publisher.changed = true;
}

static void listen_to(struct bus_relay *r, struct out *o)
{
	zmq_msg_t msg;
	int rc;

	zmq_msg_init(&msg);
	while ((rc = wire_recv_frame(&o->sub, &msg)) != 0)
		if (rc > 0)
			hear(r, o, &msg);
	zmq_msg_close(&msg);
	/* After the states: one that was said before the drop counts no more.
	 */
	if (o->drops != o->push.drops) {
		o->drops = o->push.drops;
		o->view.heard = false;
		lost(r);
	}
}

/* At each tick, after all that was said has been read. */
static void check_silence(struct bus_relay *r, int64_t now_mono_us)
{
	int64_t pause_us = now_mono_us - r->tick_mono_us - STATE_REPEAT_US;

	r->publisher.ticked = false;
	r->tick_mono_us = now_mono_us;
	for (uint32_t i = 0; i < r->out_count; i++) {
		struct out_view *v = &r->outs[i]->view;

		/* While this process stood still it could hear nobody. */
		if (pause_us > STATE_REPEAT_US)
			v->heard_mono_us += pause_us;
		if (!v->heard || now_mono_us - v->heard_mono_us < r->silence_us)
			continue;
		v->heard = false;
		log_warn("sink_silent", "name=%s peer=%s", r->name,
			 r->outs[i]->at.state);
	}
}

/* ---- what it says itself ---- */

static bool complete(const struct bus_relay *r)
{
	for (uint32_t i = 0; i < r->out_count; i++)
		if (!r->outs[i]->view.heard)
			return false;
	return true;
}

static void fill(void *arg, struct state *state)
{
	const struct out_view *views[BUS_MAX_PEERS];
	struct bus_relay *r = arg;

	for (uint32_t i = 0; i < r->out_count; i++)
		views[i] = &r->outs[i]->view;
	state->complete = complete(r);
	state->history = 0;
	state->lane_count = 0;
	if (!state->complete)
		return;
	state->history = outs_history(views, r->out_count);
	state->lane_count = outs_least(views, r->out_count, &r->list);
	state->lanes = r->list;
}

/* ---- batches ---- */

static int receive(struct bus_relay *r)
{
	char q[LOG_QUOTE_BYTES];
	struct err err;
	int rc = wire_recv_batch(&r->in, &r->held, &err);

	if (rc > 0 && r->held->header.lane.number != r->number) {
		err_set(&err, EINVAL, "a batch of lane %u at instance %u",
			r->held->header.lane.number, r->number);
		batch_unref(&r->held);
		rc = -1;
	}
	if (rc < 0) {
		r->stats.refused++;
		publisher_refused(&r->publisher);
		log_warn("batch_refused", "name=%s error=%s", r->name,
			 log_quote(q, err.text));
	}
	if (rc > 0) {
		FAILPOINT("relay_received");
		r->stats.batches_in++;
		r->stats.events_in += r->held->header.events;
		r->stats.bytes_in += batch_bytes(r->held);
	}
	return rc;
}

static bool work(struct bus_relay *r)
{
	struct batch *made[BUS_MAX_PEERS] = {0};
	char q[LOG_QUOTE_BYTES];
	struct err err = {0};
	int64_t now_mono_us = loop_now_mono_us(bus_loop(r->bus));

	if (now_mono_us < r->retry_mono_us)
		return false;
	if (r->events.work(r->events.arg, r->held, made, &err) != 0) {
		r->retry_mono_us = now_mono_us + RETRY_US;
		/* For hours, maybe: not a line for each try. */
		if (now_mono_us >= r->complain_mono_us) {
			r->complain_mono_us = now_mono_us + COMPLAIN_US;
			log_error("batch_waits", "name=%s error=%s", r->name,
				  log_quote(q, err.text));
		}
		return false;
	}
	r->retry_mono_us = r->complain_mono_us = 0;
	for (uint32_t i = 0; i < r->out_count; i++)
		r->outs[i]->pending = made[i];
	r->worked = true;
	return true;
}

static bool push(struct bus_relay *r, struct out *o)
{
	const struct batch_header *in = &r->held->header;
	struct batch_header header = o->pending->header;

	if (!o->push.up || !o->push.writable)
		return false;
	header.lane = in->lane;
	header.sequence = in->sequence;
	header.flags &= ~(uint32_t)BATCH_REPLAY;
	header.flags |= in->flags & BATCH_REPLAY;
	if (!wire_send_batch(&o->push, o->pending, &header))
		return false;
	r->stats.batches_out++;
	r->stats.events_out += header.events;
	r->stats.bytes_out += batch_bytes(o->pending);
	batch_unref(&o->pending);
	return true;
}

/* One batch from the source to every sink; false when it must wait. */
static bool step(struct bus_relay *r)
{
	bool waits = false;

	if (!r->held) {
		int rc = receive(r);

		if (rc <= 0)
			return rc < 0;
	}
	if (!r->worked && !work(r))
		return false;
	for (uint32_t i = 0; i < r->out_count; i++) {
		if (r->outs[i]->pending && !push(r, r->outs[i]))
			waits = true;
		else if (i + 1 < r->out_count)
			FAILPOINT("relay_between_sinks");
	}
	if (waits)
		return false;
	FAILPOINT("relay_sent");
	batch_unref(&r->held);
	r->worked = false;
	return true;
}

static bool turn(void *arg)
{
	struct bus_relay *r = arg;
	bool more = true;

	for (uint32_t i = 0; i < r->out_count; i++)
		listen_to(r, r->outs[i]);
	if (r->publisher.ticked)
		check_silence(r, clock_mono_us());
	for (int n = 0; n < BATCHES_A_TURN && more; n++)
		more = step(r);
	publisher_turn(&r->publisher);
	return more;
}

/* ---- open, change, close ---- */

static void out_close(struct out *o)
{
	if (!o)
		return;
	bus_socket_close(&o->push);
	bus_socket_close(&o->sub);
	batch_unref(&o->pending);
	out_view_free(&o->view);
	free(o);
}

static struct out *out_open(struct bus *bus, const struct bus_endpoint *at,
			    struct err *err)
{
	struct out *o = xcalloc(1, sizeof(*o));

	o->at = *at;
	memcpy(o->view.link, at->link, sizeof(o->view.link));
	o->view.instance = at->instance;
	if (bus_socket_connect(&o->sub, bus, ZMQ_SUB, at->state,
			       WIRE_STATE_BYTES, err) == 0 &&
	    bus_socket_connect_watched(&o->push, bus, ZMQ_PUSH, at->data,
				       WIRE_BATCH_BYTES, err) == 0)
		return o;
	out_close(o);
	return NULL;
}

/* What was received for the old set of sinks is dropped: a resend covers it. */
static void drop_held(struct bus_relay *r)
{
	if (!r->held)
		return;
	for (uint32_t i = 0; i < r->out_count; i++)
		batch_unref(&r->outs[i]->pending);
	batch_unref(&r->held);
	r->worked = false;
}

static bool same_outs(const struct bus_relay *r,
		      const struct bus_endpoint *outs, uint32_t count)
{
	if (count != r->out_count)
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (outs[i].instance != r->outs[i]->at.instance ||
		    strcmp(outs[i].link, r->outs[i]->at.link) != 0 ||
		    strcmp(outs[i].data, r->outs[i]->at.data) != 0 ||
		    strcmp(outs[i].state, r->outs[i]->at.state) != 0)
			return false;
	return true;
}

int bus_relay_set_outs(struct bus_relay *r, const struct bus_endpoint *outs,
		       uint32_t count, struct err *err)
{
	struct out *made[BUS_MAX_PEERS] = {0};

	if (count < 1 || count > BUS_MAX_PEERS)
		return err_set(err, EINVAL,
			       "%u sinks; 1 to %d can be connected", count,
			       BUS_MAX_PEERS);
	if (same_outs(r, outs, count))
		return 0;
	for (uint32_t i = 0; i < count; i++) {
		made[i] = out_open(r->bus, &outs[i], err);
		if (made[i])
			continue;
		while (i--)
			out_close(made[i]);
		return -1;
	}
	if (r->out_count)
		lost(r);
	drop_held(r);
	for (uint32_t i = 0; i < r->out_count; i++)
		out_close(r->outs[i]);
	memcpy(r->outs, made, sizeof(made));
	r->out_count = count;
	return 0;
}

static int open_sockets(struct bus_relay *r,
			const struct bus_relay_options *options,
			struct err *err)
{
	if (bus_socket_bind(&r->in, r->bus, ZMQ_PULL, options->in->data,
			    WIRE_BATCH_BYTES, err) != 0)
		return -1;
	r->publisher.fill = fill;
	r->publisher.arg = r;
	if (publisher_open(&r->publisher, r->bus, options->name,
			   options->in->state, err) != 0)
		return -1;
	return bus_relay_set_outs(r, options->outs, options->out_count, err);
}

int bus_relay_open(struct bus_relay **relay, struct bus *bus,
		   const struct bus_relay_options *options,
		   const struct bus_relay_events *events, struct err *err)
{
	struct bus_relay *r = xcalloc(1, sizeof(*r));

	assert(options->silence_us > STATE_REPEAT_US);
	r->bus = bus;
	r->events = *events;
	r->number = options->in->instance;
	r->silence_us = options->silence_us;
	r->name = r->publisher.state.name;
	r->part = (struct bus_part){.turn = turn, .arg = r};
	bus_part_add(bus, &r->part);
	if (open_sockets(r, options, err) != 0) {
		bus_relay_close(&r);
		return -1;
	}
	r->tick_mono_us = clock_mono_us();
	publisher_start(&r->publisher);
	*relay = r;
	return 0;
}

void bus_relay_close(struct bus_relay **relay)
{
	struct bus_relay *r = *relay;

	if (!r)
		return;
	bus_part_del(r->bus, &r->part);
	drop_held(r);
	for (uint32_t i = 0; i < r->out_count; i++)
		out_close(r->outs[i]);
	bus_socket_close(&r->in);
	publisher_close(&r->publisher);
	free(r->decoded);
	free(r->list);
	free(r);
	*relay = NULL;
}

bool bus_relay_idle(const struct bus_relay *r)
{
	return !r->held && !r->in.readable && !r->in.fired;
}

void bus_relay_get_stats(const struct bus_relay *r, struct bus_stats *stats)
{
	*stats = r->stats;
	stats->unacked_batches = r->held ? 1 : 0;
	stats->peers = r->out_count;
	for (uint32_t i = 0; i < r->out_count; i++)
		stats->peers_ready += r->outs[i]->view.heard;
}
