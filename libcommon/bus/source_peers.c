#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "bus/source_inside.h"
#include "bus/wire.h"

void source_forget_flights(struct bus_source *s)
{
	window_reset(&s->window);
	batch_unref(&s->ahead);
	for (uint32_t i = 0; i < s->peer_count; i++)
		batch_unref(&s->peers[i]->piece);
}

static void peer_close(struct peer *p)
{
	if (!p)
		return;
	bus_socket_close(&p->push);
	bus_socket_close(&p->sub);
	batch_unref(&p->piece);
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

static bool same_peers(struct peer *const *have, uint32_t have_count,
		       const struct bus_endpoint *peers, uint32_t count)
{
	if (count != have_count)
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (peers[i].instance != have[i]->at.instance ||
		    strcmp(peers[i].data, have[i]->at.data) != 0 ||
		    strcmp(peers[i].state, have[i]->at.state) != 0)
			return false;
	return true;
}

static void call_off(struct bus_source *s)
{
	for (uint32_t i = 0; i < s->move.count; i++)
		peer_close(s->move.peers[i]);
	s->move.count = 0;
}

static void moved(struct bus_source *s)
{
	if (s->events.moved)
		s->events.moved(s->events.arg);
}

static void take_over(struct bus_source *s)
{
	source_forget_flights(s);
	for (uint32_t i = 0; i < s->peer_count; i++)
		peer_close(s->peers[i]);
	memcpy(s->peers, s->move.peers, sizeof(s->peers));
	s->peer_count = s->move.count;
	s->move.count = 0;
	if (s->begun)
		source_need_epoch(s, "the transformers have changed");
}

/* What a transformer says before it is ours would be old when it is. */
static void hear_nothing(struct peer *p)
{
	zmq_msg_t msg;

	zmq_msg_init(&msg);
	while (wire_recv_frame(&p->sub, &msg) != 0)
		;
	zmq_msg_close(&msg);
}

void source_move(struct bus_source *s)
{
	bool late;

	if (!s->move.count)
		return;
	for (uint32_t i = 0; i < s->move.count; i++)
		hear_nothing(s->move.peers[i]);
	late = clock_mono_us() >= s->move.by_mono_us;
	/* Without an epoch nothing is in flight that could still arrive. */
	if (s->begun && !s->why && s->window.unacked_batches && !late)
		return;
	if (late && s->window.unacked_batches)
		log_warn("drain_cut_short",
			 "batches=%llu hint=\"they are sent again\"",
			 (unsigned long long)s->window.unacked_batches);
	take_over(s);
	moved(s);
}

static int open_peers(struct bus_source *s, const struct bus_endpoint *peers,
		      uint32_t count, struct err *err)
{
	struct peer *made[BUS_MAX_PEERS] = {0};

	for (uint32_t i = 0; i < count; i++) {
		made[i] = peer_open(s->bus, &peers[i], err);
		if (made[i])
			continue;
		while (i--)
			peer_close(made[i]);
		return -1;
	}
	call_off(s);
	memcpy(s->move.peers, made, sizeof(made));
	s->move.count = count;
	s->move.by_mono_us = clock_mono_us() + s->drain_us;
	return 0;
}

int bus_source_set_peers(struct bus_source *s, const struct bus_endpoint *peers,
			 uint32_t count, struct err *err)
{
	if (check_peers(peers, count, err) != 0)
		return -1;
	if (same_peers(s->peers, s->peer_count, peers, count)) {
		call_off(s);
		moved(s);
		return 0;
	}
	if (s->move.count &&
	    same_peers(s->move.peers, s->move.count, peers, count))
		return 0;
	if (open_peers(s, peers, count, err) != 0)
		return -1;
	if (!s->peer_count)
		take_over(s);
	return 0;
}

void source_close_peers(struct bus_source *s)
{
	call_off(s);
	for (uint32_t i = 0; i < s->peer_count; i++)
		peer_close(s->peers[i]);
	s->peer_count = 0;
}
