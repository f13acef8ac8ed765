#include <inttypes.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "bus/source_inside.h"
#include "bus/wire.h"

#define BATCHES_A_TURN 32
#define NOBODY	       UINT32_MAX

bool source_usable(const struct peer *p)
{
	return p->heard && p->push.up;
}

static bool has_credit(const struct bus_source *s, uint32_t i)
{
	return s->window.lanes[i].inflight_bytes < s->window_bytes;
}

bool source_can_send(const struct bus_source *s, uint32_t i)
{
	const struct peer *p = s->peers[i];

	return source_usable(p) && has_credit(s, i) && p->push.writable;
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
	FAILPOINT("lane_sent");
	s->stats.batches_out++;
	s->stats.events_out += header.events;
	s->stats.bytes_out += batch_bytes(b);
	return 1;
}

static void note_sent(struct bus_source *s, const struct flight *f)
{
	if (s->unsent < f->next)
		s->unsent = f->next;
}

static int read_log(struct bus_source *s, struct flight *f, bool by_reference,
		    struct batch **b)
{
	char q[LOG_QUOTE_BYTES];
	struct err err = {0};
	int rc = (by_reference ? s->events.refer : s->events.read)(
	    s->events.arg, &f->position, &f->next, b, &err);

	if (rc < 0)
		log_error("log_unreadable", "position=%" PRIu64 " error=%s",
			  f->position, log_quote(q, err.text));
	return rc;
}

/*
 * The batch that is next in a lane and has a sequence already, from the log; 0
 * when what was sent under that sequence is not there any more.
 */
static int read_again(struct bus_source *s, uint32_t i, struct batch **b)
{
	const struct flight *old = window_again(&s->window, i);
	struct flight f = {.position = old->position, .next = old->next};
	struct batch *whole = NULL;
	int rc =
	    read_log(s, &f, s->peers[i]->refers && !source_cuts(s), &whole);

	if (rc == 1 && f.position == old->position && source_cuts(s))
		rc = source_piece(s, whole, i, b) == 0 ? 1 : -1;
	else if (rc == 1 && f.position == old->position)
		*b = batch_ref(whole);
	batch_unref(&whole);
	if (*b && (*b)->header.events != old->events)
		batch_unref(b);
	return rc == 1 ? *b != NULL : rc;
}

/* The next batch of a lane that has to go again; false when it must wait. */
static bool send_again(struct bus_source *s, uint32_t i)
{
	const struct flight old = *window_again(&s->window, i);
	const struct window_lane *l = &s->window.lanes[i];
	bool newest = l->send + 1 == l->end;
	struct batch *b = NULL;
	bool sent;
	int rc = 1;

	if (newest && s->peers[i]->piece)
		b = batch_ref(s->peers[i]->piece);
	else if (s->stuck)
		return false;
	else
		rc = read_again(s, i, &b);
	if (rc < 0)
		s->stuck = true;
	if (rc == 0)
		source_need_epoch(s,
				  "a record that is not acked cannot be read");
	if (rc != 1)
		return false;
	sent = send_batch(s, i, b, old.position);
	batch_unref(&b);
	if (!sent)
		return false;
	if (newest)
		batch_unref(&s->peers[i]->piece);
	s->stats.resends += window_resent(&s->window, i);
	note_sent(s, &old);
	return true;
}

/* Whoever gets the next new batch takes it by reference. */
static bool all_refer(const struct bus_source *s)
{
	for (uint32_t i = 0; i < s->peer_count; i++)
		if (source_usable(s->peers[i]) && !s->peers[i]->refers)
			return false;
	return !source_cuts(s) && s->events.refer;
}

bool source_look_ahead(struct bus_source *s)
{
	struct flight *f = &s->ahead_flight;

	if (s->ahead)
		return true;
	if (s->dry || window_full(&s->window))
		return false;
	*f = (struct flight){.position = s->position};
	if (read_log(s, f, all_refer(s), &s->ahead) != 1) {
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
static uint32_t most_credit(const struct bus_source *s)
{
	uint32_t best = NOBODY;

	for (uint32_t i = 0; i < s->peer_count; i++) {
		const struct window_lane *l = &s->window.lanes[i];

		if (l->send < l->end || !source_can_send(s, i))
			continue;
		if (best == NOBODY ||
		    l->inflight_bytes < s->window.lanes[best].inflight_bytes)
			best = i;
	}
	return best;
}

/*
 * What was read for a transformer that takes references may go to one that does
 * not, or does so no more. If it cannot be read now, it is as if it never was.
 */
static bool get_body(struct bus_source *s, const struct peer *p)
{
	struct flight f = s->ahead_flight;

	if (!s->ahead->reference || p->refers)
		return true;
	batch_unref(&s->ahead);
	if (read_log(s, &f, false, &s->ahead) == 1 &&
	    f.position == s->ahead_flight.position)
		return true;
	batch_unref(&s->ahead);
	s->position = s->ahead_flight.position;
	s->dry = true;
	return false;
}

/* One new batch; false when there is none or nobody takes it. */
static bool send_new(struct bus_source *s)
{
	uint32_t i = most_credit(s);

	if (i == NOBODY || !source_look_ahead(s) || !get_body(s, s->peers[i]) ||
	    !send_batch(s, i, s->ahead, s->ahead_flight.position))
		return false;
	window_sent(&s->window, i, &s->ahead_flight);
	note_sent(s, &s->ahead_flight);
	batch_unref(&s->ahead);
	return true;
}

/* Sends what has a sequence already; true when there is more. */
static bool send_queued(struct bus_source *s)
{
	bool more = false;
	int n;

	for (uint32_t i = 0; i < s->peer_count; i++) {
		const struct window_lane *l = &s->window.lanes[i];

		for (n = 0; n < BATCHES_A_TURN && l->send < l->end; n++)
			if (s->why || !source_can_send(s, i) ||
			    !send_again(s, i))
				break;
		more |= n == BATCHES_A_TURN;
	}
	return more;
}

/* One new batch, whole or in pieces. */
static bool send_next(struct bus_source *s)
{
	if (!source_cuts(s))
		return send_new(s);
	if (!source_deal(s))
		return false;
	(void)send_queued(s);
	return true;
}

bool source_send(struct bus_source *s)
{
	bool more = send_queued(s);
	int n = 0;

	/* While the transformers change, what is in flight comes to rest. */
	while (n < BATCHES_A_TURN && !s->why && !s->move.count && send_next(s))
		n++;
	return more || n == BATCHES_A_TURN;
}
