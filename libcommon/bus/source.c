#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "bus/source_inside.h"

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
	if (s->begun && window_freed(&s->window, &position))
		s->events.freed(s->events.arg, position);
	source_move(s);
	if (!s->begun)
		return false;
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

void bus_source_begin(struct bus_source *s, uint64_t epoch, uint64_t from,
		      uint64_t replay_before)
{
	source_forget_flights(s);
	s->epoch = epoch;
	s->position = from;
	/* Only before its first epoch others may have sent what is there. */
	if (!s->begun)
		s->unsent = replay_before;
	s->replay_before =
	    replay_before < s->unsent ? replay_before : s->unsent;
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

/* ---- open, close ---- */

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
	s->drain_us = options->drain_us;
	s->by_key = options->by_key;
	if (s->by_key)
		s->cut = batch_builder_new();
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
	source_close_peers(s);
	window_free(&s->window);
	batch_unref(&s->ahead);
	batch_builder_free(&s->cut);
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
