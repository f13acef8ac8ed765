#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "bus/bus.h"
#include "bus/socket.h"
#include "bus/window.h"
#include "bus/wire.h"

#define BATCHES_A_TURN 32
#define NOBODY	       UINT32_MAX

/* One transformer instance; its lane is window.lanes[its index]. */
struct peer {
	struct bus_endpoint at;
	struct bus_socket push, sub;
	uint64_t drops; /* of push, as noted */
	bool known;	/* heard at least once */
	bool heard;	/* complete, since it was last lost, and not silent */
	bool lost;	/* what is in flight may not arrive */
	int64_t heard_mono_us;
	struct uuid incarnation;
	uint64_t generation, history;
	bool based; /* in this epoch its history is to stay `base` */
	uint64_t base;
};

struct bus_source {
	struct bus *bus;
	struct bus_part part;
	struct loop_timer tick;
	struct bus_source_events events;
	struct uuid id;
	int64_t window_bytes, silence_us;
	struct peer *peers[BUS_MAX_PEERS];
	uint32_t peer_count;
	struct window window;
	uint64_t epoch, replay_before;
	uint64_t newest;     /* epoch that any state named */
	bool begun;	     /* an epoch is given */
	const char *why;     /* an epoch is needed; NULL while not */
	bool asked;	     /* and the owner was told */
	uint64_t position;   /* next to read */
	struct batch *ahead; /* read and not yet sent */
	struct flight ahead_flight;
	bool dry;   /* nothing new to read until the next kick or tick */
	bool stuck; /* nothing old either: reading failed; until the tick */
	bool ticked;
	int64_t tick_mono_us;
	struct state_lane *decoded; /* scratch */
	struct bus_stats stats;
};

/* ---- what the transformers say ---- */

static void need_epoch(struct bus_source *s, const char *why)
{
	if (!s->why)
		s->why = why;
}

/*
 * Cumulative: an ack that was missed is in the next. A lane of ours that we did
 * not send on shows a log that was restored from a copy: its numbers were given
 * out before, and what is sent under them now would be ignored as duplicates,
 * yet acked.
 */
static void take_acks(struct bus_source *s, uint32_t i,
		      const struct state *state)
{
	for (uint32_t k = 0; k < state->lane_count; k++) {
		const struct state_lane *l = &state->lanes[k];

		if (memcmp(&l->lane.source, &s->id, sizeof(s->id)) != 0 ||
		    l->lane.number != s->peers[i]->at.instance)
			continue;
		if (l->lane.epoch > s->newest)
			s->newest = l->lane.epoch;
		if (l->lane.epoch > s->epoch)
			need_epoch(s, "a newer epoch of this source is known");
		else if (l->lane.epoch == s->epoch &&
			 (s->window.lanes[i].end == 1 ||
			  window_ack(&s->window, i, l->through) != 0))
			need_epoch(s, "this epoch was used before");
	}
}

static void take_history(struct bus_source *s, struct peer *p)
{
	if (p->based && p->base != p->history)
		need_epoch(s, "the sinks have changed");
	p->based = true;
	p->base = p->history;
}

/*
 * Evidence: a transformer that began anew, or says that something was lost, or
 * is heard again after it was lost. Slowness never is.
 */
static bool is_evidence(const struct peer *p, const struct state *state)
{
	return p->known && (p->lost || p->generation != state->generation ||
			    memcmp(&p->incarnation, &state->incarnation,
				   sizeof(p->incarnation)) != 0);
}

static void hear(struct bus_source *s, uint32_t i, const struct state *state)
{
	struct peer *p = s->peers[i];
	const struct window_lane *l = &s->window.lanes[i];
	bool evidence = is_evidence(p, state);

	p->known = true;
	p->lost = false;
	p->heard = state->complete;
	p->heard_mono_us = clock_mono_us();
	p->incarnation = state->incarnation;
	p->generation = state->generation;
	if (s->begun)
		take_acks(s, i, state);
	if (state->complete) {
		p->history = state->history;
		take_history(s, p);
	}
	if (evidence && l->first < l->send) {
		s->stats.evidence++;
		log_info("resend", "peer=%s from=%" PRIu64 " batches=%" PRIu64,
			 state->name, l->first, l->send - l->first);
		window_rewind(&s->window, i);
	}
}

static void lose(struct peer *p)
{
	p->lost = true;
	p->heard = false;
}

static void listen_to(struct bus_source *s, uint32_t i)
{
	struct peer *p = s->peers[i];
	char q[LOG_QUOTE_BYTES];
	struct state state;
	struct err err;
	zmq_msg_t msg;
	int rc;

	zmq_msg_init(&msg);
	while ((rc = wire_recv_frame(&p->sub, &msg)) != 0) {
		if (rc < 0)
			err_set(&err, EINVAL, "a state has one frame");
		else
			rc =
			    state_decode(zmq_msg_data(&msg), zmq_msg_size(&msg),
					 &state, &s->decoded, &err);
		if (rc >= 0) {
			hear(s, i, &state);
			continue;
		}
		s->stats.refused++;
		log_warn("state_refused", "peer=%s error=%s", p->at.state,
			 log_quote(q, err.text));
	}
	zmq_msg_close(&msg);
	/* After the states: one that was said before the drop counts no more.
	 */
	if (p->drops != p->push.drops) {
		p->drops = p->push.drops;
		lose(p);
	}
}

/* At each tick, after all that was said has been read. */
static void check_silence(struct bus_source *s, int64_t now_mono_us)
{
	int64_t pause_us = now_mono_us - s->tick_mono_us - STATE_REPEAT_US;

	s->ticked = false;
	s->dry = s->stuck = false; /* a read that failed is tried again */
	s->tick_mono_us = now_mono_us;
	for (uint32_t i = 0; i < s->peer_count; i++) {
		struct peer *p = s->peers[i];

		/* While this process stood still it could hear nobody. */
		if (pause_us > STATE_REPEAT_US)
			p->heard_mono_us += pause_us;
		if (!p->heard || now_mono_us - p->heard_mono_us < s->silence_us)
			continue;
		log_warn("transformer_silent", "peer=%s", p->at.state);
		lose(p);
	}
}

static void tick(void *arg)
{
	struct bus_source *s = arg;
	struct loop *loop = bus_loop(s->bus);

	s->ticked = true;
	loop_timer_set(loop, &s->tick,
		       loop_now_mono_us(loop) + STATE_REPEAT_US);
}

/* ---- sending ---- */

static bool usable(const struct peer *p)
{
	return p->heard && p->push.up;
}

static bool has_credit(const struct bus_source *s, uint32_t i)
{
	return s->window.lanes[i].inflight_bytes < s->window_bytes;
}

static bool can_send(struct bus_source *s, uint32_t i)
{
	struct peer *p = s->peers[i];

	return usable(p) && has_credit(s, i) &&
	       (bus_socket_events(&p->push) & ZMQ_POLLOUT);
}

/* Sends b with a sequence of a lane; 1 when ZeroMQ took it. */
static int send_batch(struct bus_source *s, uint32_t i, struct batch *b,
		      uint64_t position)
{
	const struct window_lane *l = &s->window.lanes[i];
	struct batch_header header = b->header;

	header.lane =
	    (struct batch_lane){s->id, s->epoch, s->peers[i]->at.instance};
	header.sequence = l->send;
	if (position < s->replay_before)
		header.flags |= BATCH_REPLAY;
	if (!wire_send_batch(&s->peers[i]->push, b, &header))
		return 0;
	s->stats.batches_out++;
	s->stats.events_out += header.events;
	s->stats.bytes_out += batch_bytes(b);
	return 1;
}

static int read_log(struct bus_source *s, struct flight *f, struct batch **b)
{
	char q[LOG_QUOTE_BYTES];
	struct err err = {0};
	int rc = s->events.read(s->events.arg, &f->position, &f->next, b, &err);

	if (rc < 0)
		log_error("log_unreadable", "position=%" PRIu64 " error=%s",
			  f->position, log_quote(q, err.text));
	return rc;
}

/* The next batch of a lane that has to go again; false when it must wait. */
static bool send_again(struct bus_source *s, uint32_t i)
{
	const struct flight *old = window_again(&s->window, i);
	struct flight f = {.position = old->position};
	struct batch *b = NULL;
	bool sent;
	int rc;

	if (s->stuck)
		return false;
	rc = read_log(s, &f, &b);
	if (rc < 0) {
		s->stuck = true;
		return false;
	}
	if (rc == 0 || f.position != old->position) {
		/* What was sent under this sequence cannot be sent again. */
		need_epoch(s, "a record that is not acked cannot be read");
		batch_unref(&b);
		return false;
	}
	sent = send_batch(s, i, b, f.position);
	batch_unref(&b);
	if (sent) {
		window_resent(&s->window, i);
		s->stats.resends++;
	}
	return sent;
}

static bool look_ahead(struct bus_source *s)
{
	struct flight *f = &s->ahead_flight;

	if (s->ahead)
		return true;
	if (s->dry || window_full(&s->window))
		return false;
	*f = (struct flight){.position = s->position};
	if (read_log(s, f, &s->ahead) != 1) {
		s->dry = true;
		return false;
	}
	f->bytes = (uint32_t)batch_bytes(s->ahead);
	f->events = s->ahead->header.events;
	s->position = f->next;
	s->stats.batches_in++;
	s->stats.events_in += f->events;
	s->stats.bytes_in += f->bytes;
	return true;
}

/* The peer with the most credit of those that take something now. */
static uint32_t most_credit(struct bus_source *s)
{
	uint32_t best = NOBODY;

	for (uint32_t i = 0; i < s->peer_count; i++) {
		const struct window_lane *l = &s->window.lanes[i];

		if (l->send < l->end || !can_send(s, i))
			continue;
		if (best == NOBODY ||
		    l->inflight_bytes < s->window.lanes[best].inflight_bytes)
			best = i;
	}
	return best;
}

/* One new batch; false when there is none or nobody takes it. */
static bool send_new(struct bus_source *s)
{
	uint32_t i = most_credit(s);

	if (i == NOBODY || !look_ahead(s) ||
	    !send_batch(s, i, s->ahead, s->ahead_flight.position))
		return false;
	window_sent(&s->window, i, &s->ahead_flight);
	batch_unref(&s->ahead);
	return true;
}

static void send_some(struct bus_source *s)
{
	for (uint32_t i = 0; i < s->peer_count; i++) {
		const struct window_lane *l = &s->window.lanes[i];

		for (int n = 0; n < BATCHES_A_TURN && l->send < l->end; n++)
			if (s->why || !can_send(s, i) || !send_again(s, i))
				break;
	}
	for (int n = 0; n < BATCHES_A_TURN && !s->why && send_new(s); n++)
		;
}

static void turn(void *arg)
{
	struct bus_source *s = arg;
	uint64_t position;

	for (uint32_t i = 0; i < s->peer_count; i++)
		listen_to(s, i);
	if (s->ticked)
		check_silence(s, clock_mono_us());
	if (!s->begun)
		return;
	if (window_freed(&s->window, &position))
		s->events.freed(s->events.arg, position);
	if (s->why && !s->asked) {
		s->asked = true;
		log_info("epoch_needed", "epoch=%" PRIu64 " reason=\"%s\"",
			 s->epoch, s->why);
		s->events.begin(s->events.arg, s->newest);
	}
	if (!s->why)
		send_some(s);
}

/* ---- epochs ---- */

static void forget_flights(struct bus_source *s)
{
	window_reset(&s->window);
	batch_unref(&s->ahead);
}

void bus_source_begin(struct bus_source *s, uint64_t epoch, uint64_t from,
		      uint64_t replay_before)
{
	forget_flights(s);
	s->epoch = epoch;
	s->position = from;
	s->replay_before = replay_before;
	s->begun = true;
	s->asked = s->dry = s->stuck = false;
	s->why = NULL;
	s->stats.epochs++;
	/* Nothing goes out before a state that shows the lane is unused. */
	for (uint32_t i = 0; i < s->peer_count; i++)
		s->peers[i]->based = s->peers[i]->heard = false;
}

void bus_source_kick(struct bus_source *s)
{
	s->dry = false;
}

/* ---- open, change, close ---- */

static void peer_close(struct peer *p)
{
	if (!p)
		return;
	bus_socket_close(&p->push);
	bus_socket_close(&p->sub);
	free(p);
}

static struct peer *peer_open(struct bus *bus, const struct bus_endpoint *at,
			      struct err *err)
{
	struct peer *p = xcalloc(1, sizeof(*p));

	p->at = *at;
	if (bus_socket_connect(&p->sub, bus, ZMQ_SUB, at->state,
			       WIRE_STATE_BYTES, err) == 0 &&
	    bus_socket_connect_watched(&p->push, bus, ZMQ_PUSH, at->data,
				       WIRE_BATCH_BYTES, err) == 0)
		return p;
	peer_close(p);
	return NULL;
}

static int check_peers(const struct bus_endpoint *peers, uint32_t count,
		       struct err *err)
{
	if (count < 1 || count > BUS_MAX_PEERS)
		return err_set(err, EINVAL,
			       "%u transformers; 1 to %d can be connected",
			       count, BUS_MAX_PEERS);
	for (uint32_t i = 0; i < count; i++)
		for (uint32_t k = 0; k < i; k++)
			if (peers[i].instance == peers[k].instance)
				return err_set(err, EINVAL,
					       "two transformers are instance "
					       "%u: lanes would be mixed",
					       peers[i].instance);
	return 0;
}

int bus_source_set_peers(struct bus_source *s, const struct bus_endpoint *peers,
			 uint32_t count, struct err *err)
{
	struct peer *made[BUS_MAX_PEERS] = {0};

	if (check_peers(peers, count, err) != 0)
		return -1;
	for (uint32_t i = 0; i < count; i++) {
		made[i] = peer_open(s->bus, &peers[i], err);
		if (made[i])
			continue;
		while (i--)
			peer_close(made[i]);
		return -1;
	}
	for (uint32_t i = 0; i < s->peer_count; i++)
		peer_close(s->peers[i]);
	memcpy(s->peers, made, sizeof(made));
	s->peer_count = count;
	forget_flights(s);
	if (s->begun)
		need_epoch(s, "the transformers have changed");
	return 0;
}

int bus_source_open(struct bus_source **source, struct bus *bus,
		    const struct bus_source_options *options,
		    const struct bus_source_events *events, struct err *err)
{
	struct bus_source *s = xcalloc(1, sizeof(*s));

	s->bus = bus;
	s->events = *events;
	s->id = options->id;
	s->window_bytes = options->window_bytes;
	s->silence_us = options->silence_us;
	s->part = (struct bus_part){.turn = turn, .arg = s};
	s->tick = (struct loop_timer){.fn = tick, .arg = s};
	bus_part_add(bus, &s->part);
	if (bus_source_set_peers(s, options->peers, options->peer_count, err)) {
		bus_source_close(&s);
		return -1;
	}
	s->tick_mono_us = clock_mono_us();
	tick(s);
	*source = s;
	return 0;
}

void bus_source_close(struct bus_source **source)
{
	struct bus_source *s = *source;

	if (!s)
		return;
	bus_part_del(s->bus, &s->part);
	loop_timer_cancel(bus_loop(s->bus), &s->tick);
	for (uint32_t i = 0; i < s->peer_count; i++)
		peer_close(s->peers[i]);
	window_free(&s->window);
	batch_unref(&s->ahead);
	free(s->decoded);
	free(s);
	*source = NULL;
}

bool bus_source_idle(const struct bus_source *s)
{
	return s->begun && !s->why && !s->ahead && s->dry &&
	       !s->window.unacked_batches;
}

void bus_source_get_stats(const struct bus_source *s, struct bus_stats *stats)
{
	*stats = s->stats;
	stats->unacked_batches = s->window.unacked_batches;
	stats->unacked_bytes = s->window.unacked_bytes;
	stats->peers = s->peer_count;
	for (uint32_t i = 0; i < s->peer_count; i++)
		stats->peers_ready += usable(s->peers[i]);
}
