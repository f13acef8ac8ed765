#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "bus/source_inside.h"
#include "bus/wire.h"

static void tick(void *arg)
{
	struct bus_source *s = arg;
	struct loop *loop = bus_loop(s->bus);

	s->ticked = true;
	loop_timer_set(loop, &s->tick,
		       loop_now_mono_us(loop) + STATE_REPEAT_US);
}

void source_need_epoch(struct bus_source *s, const char *why)
{
	if (!s->why)
		s->why = why;
}

static bool turn(void *arg)
{
	struct bus_source *s = arg;
	uint64_t position;

	source_hear(s);
	if (!s->begun)
		return false;
	if (window_freed(&s->window, &position))
		s->events.freed(s->events.arg, position);
	if (s->why && !s->asked) {
		s->asked = true;
		log_info("epoch_needed", "epoch=%" PRIu64 " reason=\"%s\"",
			 s->epoch, s->why);
		s->events.begin(s->events.arg, s->newest);
	}
	if (s->why)
		return false;
	return source_send(s) || s->why;
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

static bool same_peers(const struct bus_source *s,
		       const struct bus_endpoint *peers, uint32_t count)
{
	if (count != s->peer_count)
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (peers[i].instance != s->peers[i]->at.instance ||
		    strcmp(peers[i].data, s->peers[i]->at.data) != 0 ||
		    strcmp(peers[i].state, s->peers[i]->at.state) != 0)
			return false;
	return true;
}

int bus_source_set_peers(struct bus_source *s, const struct bus_endpoint *peers,
			 uint32_t count, struct err *err)
{
	struct peer *made[BUS_MAX_PEERS] = {0};

	if (check_peers(peers, count, err) != 0)
		return -1;
	if (same_peers(s, peers, count))
		return 0;
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
		source_need_epoch(s, "the transformers have changed");
	return 0;
}

int bus_source_open(struct bus_source **source, struct bus *bus,
		    const struct bus_source_options *options,
		    const struct bus_source_events *events, struct err *err)
{
	struct bus_source *s = xcalloc(1, sizeof(*s));

	assert(options->silence_us > STATE_REPEAT_US);
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
		stats->peers_ready += source_usable(s->peers[i]);
}
