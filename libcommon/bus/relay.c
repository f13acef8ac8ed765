#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "bus/relay_inside.h"
#include "bus/wire.h"

#define BATCHES_A_TURN 32
/* As in a sink: bodies may come from a slow disk. */
#define TURN_US 20000

/* ---- what the sinks say ---- */

static void lost(struct bus_relay *r)
{
	publisher_lost(&r->publisher);
	r->stats.evidence++;
}

/* Passes on what any sink refuses. */
static void refuse(struct bus_relay *r, int64_t now_mono_us)
{
	struct refusal all = {0};

	for (uint32_t i = 0; i < r->out_count; i++) {
		refused_expire(&r->outs[i]->refused, now_mono_us,
			       r->silence_us);
		refused_join(&r->outs[i]->refused, &all);
	}
	publisher_refuse(&r->publisher, &all);
}

static void hear(struct bus_relay *r, struct out *o, const zmq_msg_t *msg)
{
	zmq_msg_t *m = (zmq_msg_t *)(uintptr_t)msg;
	char q[LOG_QUOTE_BYTES];
	struct state state;
	struct err err;
	int rc = refused_hear(&o->refused, m, clock_mono_us(), &err);

	if (rc == 0)
		rc = state_decode(zmq_msg_data(m), zmq_msg_size(m), &state,
				  &r->decoded, &err);
	else if (rc > 0)
		refuse(r, clock_mono_us());
	if (rc > 0)
		return;
	if (rc != 0) {
		r->stats.refused++;
		log_warn("state_refused", "name=%s peer=%s error=%s", r->name,
			 o->at.state, log_quote(q, err.text));
		return;
	}
	o->references = state.references && wire_is_local(o->at.data);
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
	state->references = bodies_taken(&r->bodies);
	state->history = 0;
	state->lane_count = 0;
	if (!state->complete)
		return;
	state->history = outs_history(views, r->out_count);
	state->lane_count = outs_least(views, r->out_count, &r->list);
	state->lanes = r->list;
}

static bool turn(void *arg)
{
	struct bus_relay *r = arg;
	int64_t until_mono_us = clock_mono_us() + TURN_US;
	bool more = true;

	for (uint32_t i = 0; i < r->out_count; i++)
		listen_to(r, r->outs[i]);
	if (r->publisher.ticked) {
		refuse(r, clock_mono_us());
		check_silence(r, clock_mono_us());
	}
	for (int n = 0; n < BATCHES_A_TURN && more; n++) {
		more = relay_step(r);
		if (clock_mono_us() >= until_mono_us)
			break;
	}
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
	relay_drop(r);
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
	bodies_open(&r->bodies, options->in->data, r->events.resolve,
		    r->events.arg, options->rest_us);
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
	relay_drop(r);
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
