#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "bus/source_inside.h"
#include "bus/wire.h"

/*
 * A lane of ours that we did not send on shows a log that was restored from a
 * copy: its numbers were given out before, and what is sent under them now
 * would be ignored as duplicates, yet acked.
 */
static void take_ack(struct bus_source *s, uint32_t i, uint64_t through)
{
	const struct window_lane *l = &s->window.lanes[i];

	if (through + 1 < l->first)
		source_need_epoch(s, "a sink lost what it had acked");
	else if (l->end == 1 || window_ack(&s->window, i, through) != 0)
		source_need_epoch(s, "this epoch was used before");
}

/*
 * Cumulative: an ack that was missed is in the next. A complete state without
 * the lane says that a sink has nothing of it: what was acked before is lost
 * there, and the sink would wait for it for ever.
 */
static void take_acks(struct bus_source *s, uint32_t i,
		      const struct state *state)
{
	bool named = false;

	for (uint32_t k = 0; k < state->lane_count; k++) {
		const struct state_lane *l = &state->lanes[k];

		if (memcmp(&l->lane.source, &s->id, sizeof(s->id)) != 0 ||
		    l->lane.number != s->peers[i]->at.instance)
			continue;
		if (l->lane.epoch > s->newest)
			s->newest = l->lane.epoch;
		if (l->lane.epoch > s->epoch)
			source_need_epoch(
			    s, "a newer epoch of this source is known");
		if (l->lane.epoch != s->epoch)
			continue;
		named = true;
		take_ack(s, i, l->through);
	}
	if (state->complete && !named && s->window.lanes[i].first > 1)
		source_need_epoch(s, "a sink lost what it had acked");
}

static void take_history(struct bus_source *s, struct peer *p)
{
	if (p->based && p->base != p->history)
		source_need_epoch(s, "the sinks have changed");
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
	p->refers =
	    s->events.refer && state->references && wire_is_local(p->at.data);
	if (state->complete) {
		p->history = state->history;
		take_history(s, p);
	}
	/* Behind the history: sinks that have changed may know less. */
	if (s->begun)
		take_acks(s, i, state);
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

static void join_refused(struct bus_source *s)
{
	s->refused = (struct refusal){0};
	for (uint32_t i = 0; i < s->peer_count; i++)
		refused_join(&s->peers[i]->refused, &s->refused);
}

const struct refusal *bus_source_refused(const struct bus_source *s)
{
	return &s->refused;
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
			rc = refused_hear(&p->refused, &msg, clock_mono_us(),
					  &err);
		if (rc > 0) {
			join_refused(s);
			continue;
		}
		if (rc == 0)
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

		refused_expire(&p->refused, now_mono_us, s->silence_us);
		/* While this process stood still it could hear nobody. */
		if (pause_us > STATE_REPEAT_US)
			p->heard_mono_us += pause_us;
		if (!p->known || p->lost ||
		    now_mono_us - p->heard_mono_us < s->silence_us)
			continue;
		log_warn("transformer_silent", "peer=%s", p->at.state);
		lose(p);
	}
	join_refused(s);
}

void source_hear(struct bus_source *s)
{
	for (uint32_t i = 0; i < s->peer_count; i++)
		listen_to(s, i);
	if (s->ticked)
		check_silence(s, clock_mono_us());
}
