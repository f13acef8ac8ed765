/* The plan, the rate, and what came of it; connections do the sending. */
#include "services/generator/sender.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "services/generator/sender_inside.h"

#define TURN_US 20000

/* ---- the rate ---- */

static bool finished(const struct sender *s)
{
	return s->stopping ||
	       (s->plan.count && s->generated >= s->plan.count) ||
	       (s->plan.duration_us &&
		loop_now_mono_us(s->loop) - s->result.started_mono_us >=
		    s->plan.duration_us);
}

uint32_t sender_next_size(struct sender *s)
{
	uint64_t size = s->plan.batch;
	int64_t now = clock_mono_us();
	double most;

	if (finished(s))
		return 0;
	if (s->plan.count && size > s->plan.count - s->generated)
		size = s->plan.count - s->generated;
	if (s->plan.rate <= 0)
		return (uint32_t)size;
	/* What accrues between two looks is no burst, or high rates are never
	 * reached. */
	most =
	    (double)(s->plan.burst + size) + s->plan.rate * 2 * TURN_US / 1e6;
	s->allowance +=
	    (double)(now - s->allowance_at_mono_us) * s->plan.rate / 1e6;
	s->allowance_at_mono_us = now;
	if (s->allowance > most)
		s->allowance = most;
	if (s->allowance < (double)size)
		return 0;
	s->allowance -= (double)size;
	return (uint32_t)size;
}

/* ---- what came of it ---- */

static void keep_latency(struct sender *s, int64_t us)
{
	struct sender_result *r = &s->result;

	if (r->latency_count == s->latency_size) {
		s->latency_size = s->latency_size ? 2 * s->latency_size : 4096;
		r->latencies_us = xreallocarray(
		    r->latencies_us, s->latency_size, sizeof(uint32_t));
	}
	r->latencies_us[r->latency_count++] =
	    us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

static void note_accepted(struct sender *s, const struct connection *c)
{
	for (uint32_t i = 0; i < c->events; i++) {
		s->result.rejected[c->faults[i]] += c->faults[i] != FAULT_NONE;
		s->result.accepted += c->faults[i] == FAULT_NONE;
		if (s->ledger_fd >= 0 && c->faults[i] == FAULT_NONE) {
			buf_text(&s->ledger, c->ids[i]);
			buf_char(&s->ledger, '\n');
		}
	}
}

static void flush_ledger(struct sender *s)
{
	if (s->ledger_fd >= 0)
		io_write_all(s->ledger_fd, s->ledger.data, s->ledger.used);
	buf_clear(&s->ledger);
}

void sender_note_answer(struct sender *s, const struct connection *c,
			const struct answer *answer)
{
	uint32_t mismatches = answer_mismatches(answer, c->faults, c->events);

	s->answered_at_mono_us = clock_mono_us();
	keep_latency(s, s->answered_at_mono_us - c->sent_at_mono_us);
	s->result.requests++;
	s->result.sent += c->events;
	s->result.mismatches += mismatches;
	if (!mismatches)
		note_accepted(s, c);
	if (s->ledger.used >= READ_BYTES)
		flush_ledger(s);
}

/* ---- its end ---- */

static void finish(struct sender *s, const struct err *err)
{
	if (s->done)
		return;
	s->done = true;
	s->result.ended_mono_us = clock_mono_us();
	flush_ledger(s);
	loop_timer_cancel(s->loop, &s->timer);
	s->on_done(s->arg, err);
}

void sender_maybe_finish(struct sender *s)
{
	if (!finished(s))
		return;
	for (uint32_t i = 0; i < s->plan.connections; i++)
		if (s->connections[i].events)
			return;
	finish(s, NULL);
}

static void on_timer(void *arg)
{
	struct sender *s = arg;
	int64_t now = clock_mono_us();
	bool waiting = false;

	for (uint32_t i = 0; i < s->plan.connections && !s->done; i++) {
		connection_pump(&s->connections[i]);
		waiting |= s->connections[i].events != 0;
	}
	if (s->done)
		return;
	if (!waiting)
		s->answered_at_mono_us = now;
	if (now - s->answered_at_mono_us > s->plan.give_up_us) {
		struct err err;

		err_set(&err, ETIMEDOUT,
			"no answer from %s:%s for %" PRId64 " s; is the "
			"collector running there?",
			s->plan.host, s->plan.port,
			s->plan.give_up_us / 1000000);
		finish(s, &err);
		return;
	}
	loop_timer_set(s->loop, &s->timer, now + TURN_US);
}

/* ---- life ---- */

static int resolve(struct sender *s, struct err *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *found;
	int rc = getaddrinfo(s->plan.host, s->plan.port, &hints, &found);

	if (rc != 0)
		return err_set(err, EINVAL, "cannot resolve %s:%s: %s",
			       s->plan.host, s->plan.port, gai_strerror(rc));
	memcpy(&s->address, found->ai_addr, found->ai_addrlen);
	s->address_bytes = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

static void init_connections(struct sender *s)
{
	s->connections = xcalloc(s->plan.connections, sizeof(*s->connections));
	for (uint32_t i = 0; i < s->plan.connections; i++)
		connection_init(&s->connections[i], s);
}

int sender_start(struct sender **sender, struct loop *loop,
		 const struct sender_plan *plan,
		 void (*done)(void *arg, const struct err *err), void *arg,
		 struct err *err)
{
	struct sender *s = xcalloc(1, sizeof(*s));

	s->loop = loop;
	s->plan = *plan;
	s->on_done = done;
	s->arg = arg;
	s->ledger_fd = -1;
	init_connections(s);
	if (resolve(s, err) != 0)
		goto fail;
	if (plan->ledger) {
		s->ledger_fd =
		    open(plan->ledger,
			 O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		if (s->ledger_fd < 0) {
			err_errno(err, errno, "cannot open the ledger %s",
				  plan->ledger);
			goto fail;
		}
	}
	s->events = events_new(plan->seed, plan->start_us, plan->bad_share);
	s->result.started_mono_us = clock_mono_us();
	s->allowance_at_mono_us = s->result.started_mono_us;
	s->answered_at_mono_us = s->result.started_mono_us;
	s->timer = (struct loop_timer){.fn = on_timer, .arg = s};
	loop_timer_set(loop, &s->timer, 1);
	*sender = s;
	return 0;
fail:
	sender_free(&s);
	return -1;
}

void sender_stop(struct sender *s)
{
	s->stopping = true;
	sender_maybe_finish(s);
}

const struct sender_result *sender_result(const struct sender *s)
{
	return &s->result;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

uint32_t sender_latency(struct sender *s, double p)
{
	struct sender_result *r = &s->result;
	uint64_t at;

	if (!r->latency_count)
		return 0;
	qsort(r->latencies_us, r->latency_count, sizeof(uint32_t), by_value);
	at = (uint64_t)(p * (double)r->latency_count);
	return r
	    ->latencies_us[at < r->latency_count ? at : r->latency_count - 1];
}

void sender_free(struct sender **sender)
{
	struct sender *s = *sender;

	if (!s)
		return;
	loop_timer_cancel(s->loop, &s->timer);
	for (uint32_t i = 0; s->connections && i < s->plan.connections; i++)
		connection_release(&s->connections[i]);
	if (s->ledger_fd >= 0)
		close(s->ledger_fd);
	buf_free(&s->ledger);
	events_free(&s->events);
	free(s->connections);
	free(s->result.latencies_us);
	free(s);
	*sender = NULL;
}
