#include "services/collector/group.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "services/collector/reply.h"

#define NOT_APPENDED	UINT64_MAX
#define KEPT_TICKETS	4096
#define KEPT_BODY_BYTES 4096

/* A request that waits; the answer is ready. */
struct ticket {
	struct ticket *next;
	struct http_request *r;
	uint64_t position; /* of its batch, or NOT_APPENDED */
	int64_t since_mono_us;
	unsigned status;
	bool split; /* a part of its events was appended before the rest */
	struct buf body;
};

/* A batch on its way to the disk. */
struct flight {
	struct flight *next;
	uint64_t position;
	size_t bytes;
};

struct group {
	struct group_options options;
	struct batch_builder *builder;
	struct contract_set *set;
	struct contract_batch_limits limits; /* of a batch of this set */
	uint8_t trace[BATCH_TRACE_BYTES];
	struct ticket *first, **last; /* in order of arrival */
	struct ticket **collected;    /* the first that is not appended */
	struct ticket *spare;
	uint32_t spare_count;
	uint32_t waiting;
	struct flight *flights, **last_flight;
	uint64_t flying_bytes;
	uint64_t last_position; /* of the last batch that was appended */
	uint32_t gathered;	/* events at the last turn, 0 = just begun */
	int64_t gather_mono_us; /* when they were first seen */
	uint32_t answered;	/* requests, by the last commit */
	int64_t commit_us;	/* what the last commit took */
	int64_t append_mono_us; /* when the one under way was appended */
	/* Of the request whose events are being put into the builder: */
	uint32_t parts; /* batches appended */
	int refused;	/* why one was not, or 0 */
};

struct group *group_new(const struct group_options *options)
{
	struct group *g = xcalloc(1, sizeof(*g));

	g->options = *options;
	g->builder = batch_builder_new();
	g->last = g->collected = &g->first;
	g->last_flight = &g->flights;
	return g;
}

static struct ticket *take_ticket(struct group *g)
{
	struct ticket *t = g->spare;

	if (!t)
		return xcalloc(1, sizeof(*t));
	g->spare = t->next;
	g->spare_count--;
	buf_clear(&t->body);
	return t;
}

static void give_ticket(struct group *g, struct ticket *t)
{
	if (t->body.size > KEPT_BODY_BYTES)
		buf_free(&t->body);
	if (g->spare_count >= KEPT_TICKETS) {
		buf_free(&t->body);
		free(t);
		return;
	}
	t->next = g->spare;
	g->spare = t;
	g->spare_count++;
}

/* Takes the oldest one out of the line. */
static struct ticket *pop_ticket(struct group *g)
{
	struct ticket *t = g->first;

	g->first = t->next;
	if (g->last == &t->next)
		g->last = &g->first;
	if (g->collected == &t->next)
		g->collected = &g->first;
	g->waiting--;
	return t;
}

#define MAYBE_STORED                                                          \
	"the events may or may not be stored: send them again with the same " \
	"event_id"

static void refuse(struct group *g, struct ticket *t, const char *code,
		   const char *message)
{
	http_add_header(t->r, "Retry-After", "1");
	http_respond_error(t->r, 503, code, message);
	give_ticket(g, t);
}

/* Answers a request whose events the log did not take. */
static void refuse_append(struct http_request *r, int why, bool split)
{
	static const struct {
		int why;
		unsigned status;
		const char *code, *text;
	} answers[] = {
	    {ENOSPC, 503, "log_full", "the log is full"},
	    {EAGAIN, 503, "overloaded", "the disk does not keep up"},
	    {EFBIG, 413, "batch_too_large",
	     "an event is too large for log_cap; raise it"},
	    {0, 503, "log_failed", "the disk of the log fails"},
	};
	char message[200];
	unsigned status;
	int i = 0;

	while (answers[i].why && answers[i].why != why)
		i++;
	status = split ? 503 : answers[i].status;
	snprintf(message, sizeof(message), "%s; %s", answers[i].text,
		 split		 ? MAYBE_STORED
		 : status == 413 ? "nothing was stored"
				 : "nothing was stored, try again");
	if (status == 503)
		http_add_header(r, "Retry-After", "1");
	http_respond_error(r, status, split ? "not_durable" : answers[i].code,
			   message);
}

bool group_has_room(const struct group *g)
{
	return g->flying_bytes + batch_builder_bytes(g->builder) <
	       g->options.pending_bytes;
}

/* What is mapped grows no more; else the set says by how much it may. */
static void find_limits(struct group *g)
{
	g->limits = (struct contract_batch_limits){BATCH_MAX_EVENTS,
						   g->options.batch_bytes};
	if (!g->options.mapped)
		g->limits = contract_set_batch_limits(g->set);
	if (g->limits.bytes > g->options.batch_bytes)
		g->limits.bytes = g->options.batch_bytes;
}

struct batch_builder *group_builder(struct group *g, struct contract_set *set,
				    const uint8_t trace[BATCH_TRACE_BYTES])
{
	static const uint8_t none[BATCH_TRACE_BYTES];

	if (set != g->set) {
		group_flush(g);
		contract_set_unref(&g->set);
		g->set = contract_set_ref(set);
		find_limits(g);
	}
	g->parts = 0;
	g->refused = 0;
	if (trace && memcmp(g->trace, none, sizeof(none)) == 0)
		memcpy(g->trace, trace, sizeof(g->trace));
	return g->builder;
}

static bool is_full(const struct group *g)
{
	return batch_builder_bytes(g->builder) >= g->limits.bytes ||
	       batch_builder_events(g->builder) >= g->limits.events;
}

/* Forgets what the builder holds. */
static void drop(struct group *g)
{
	batch_builder_rollback(g->builder, 0, 0);
	memset(g->trace, 0, sizeof(g->trace));
}

void group_wait(struct group *g, struct http_request *r, unsigned status,
		const struct buf *body, int64_t now_mono_us)
{
	bool appended = !batch_builder_events(g->builder);
	struct ticket *t;

	if (g->refused) {
		drop(g);
		refuse_append(r, g->refused, g->parts > 0);
		return;
	}
	t = take_ticket(g);
	t->next = NULL;
	t->r = r;
	t->split = g->parts > 0;
	t->position = appended ? g->last_position : NOT_APPENDED;
	t->since_mono_us = now_mono_us;
	t->status = status;
	buf_append(&t->body, body->data, body->used);
	*g->last = t;
	g->last = &t->next;
	if (appended) {
		g->collected = g->last;
		memset(g->trace, 0, sizeof(g->trace));
	}
	g->waiting++;
	if (is_full(g))
		group_flush(g);
}

/* The log did not take the batch: nothing of it is stored. */
static void refuse_collected(struct group *g, const struct err *err)
{
	struct ticket *t = *g->collected;
	char quoted[LOG_QUOTE_BYTES];

	log_warn("append_refused", "error=%s", log_quote(quoted, err->text));
	*g->collected = NULL;
	g->last = g->collected;
	while (t) {
		struct ticket *next = t->next;

		g->waiting--;
		refuse_append(t->r, err->code, t->split);
		give_ticket(g, t);
		t = next;
	}
}

static void add_flight(struct group *g, uint64_t position, size_t bytes)
{
	struct flight *f = xmalloc(sizeof(*f));

	if (!g->flights)
		g->append_mono_us = clock_mono_us();
	f->next = NULL;
	f->position = position;
	f->bytes = bytes;
	*g->last_flight = f;
	g->last_flight = &f->next;
	g->flying_bytes += bytes;
}

/* Appends what was collected. 0, or why the log did not take it. */
static int append(struct group *g)
{
	struct batch_header header = {.created_at_us = clock_wall_us()};
	struct batch *b;
	uint64_t position;
	struct err err;
	int refused = 0;

	header.contract_set = contract_set_hash(g->set);
	header.flags = g->options.mapped ? BATCH_MAPPED : 0;
	memcpy(header.trace, g->trace, sizeof(header.trace));
	g->gathered = 0;
	b = batch_builder_seal(g->builder, &header);
	if (g->options.append(g->options.arg, b, &position, &err) != 0) {
		refuse_collected(g, &err);
		refused = err.code ? err.code : EIO;
	} else {
		for (struct ticket *t = *g->collected; t; t = t->next)
			t->position = position;
		g->collected = g->last;
		g->last_position = position;
		FAILPOINT("collector_appended");
		add_flight(g, position, batch_bytes(b));
		++*g->options.batches;
	}
	batch_unref(&b);
	return refused;
}

bool group_seal_full(struct group *g)
{
	if (!is_full(g))
		return false;
	if (g->refused) {
		drop(g);
		return true;
	}
	g->refused = append(g);
	g->parts += !g->refused;
	return true;
}

void group_flush(struct group *g)
{
	if (!batch_builder_events(g->builder))
		return;
	(void)append(g);
	memset(g->trace, 0, sizeof(g->trace));
}

/* How long to go on collecting, 0 = not at all. */
static int64_t gather_us(const struct group *g, bool more)
{
	if (more)
		return g->options.gather_us;
	if (g->waiting >= g->answered)
		return 0;
	return g->commit_us < g->options.gather_us ? g->commit_us
						   : g->options.gather_us;
}

int64_t group_turn(struct group *g)
{
	uint32_t events = batch_builder_events(g->builder);
	int64_t now_us, left_us;
	bool more = events != g->gathered;

	if (g->flights || !events)
		return -1;
	now_us = clock_mono_us();
	if (!g->gathered)
		g->gather_mono_us = now_us;
	g->gathered = events;
	left_us = g->gather_mono_us + gather_us(g, more) - now_us;
	if (left_us > 0)
		return more ? 0 : left_us;
	group_flush(g);
	return -1;
}

static void land(struct group *g, uint64_t durable)
{
	if (g->flights && g->flights->position < durable)
		g->commit_us = clock_mono_us() - g->append_mono_us;
	while (g->flights && g->flights->position < durable) {
		struct flight *f = g->flights;

		g->flights = f->next;
		g->flying_bytes -= f->bytes;
		free(f);
	}
	if (!g->flights)
		g->last_flight = &g->flights;
}

void group_durable(struct group *g, uint64_t durable, int64_t now_mono_us)
{
	uint32_t before = g->waiting;

	land(g, durable);
	while (g->first && g->first->position < durable) {
		struct ticket *t = pop_ticket(g);

		counter_observe(g->options.latency,
				now_mono_us - t->since_mono_us);
		FAILPOINT("collector_before_answer");
		http_respond(t->r, t->status, "application/json", t->body.data,
			     t->body.used);
		give_ticket(g, t);
	}
	if (g->waiting < before)
		g->answered = before - g->waiting;
}

void group_expire(struct group *g, int64_t now_mono_us)
{
	while (g->first &&
	       g->first->since_mono_us + g->options.ack_timeout_us <=
		   now_mono_us) {
		struct ticket *t = pop_ticket(g);

		++*g->options.not_durable;
		counter_observe(g->options.latency,
				now_mono_us - t->since_mono_us);
		refuse(g, t, "not_durable",
		       "the disk did not confirm in time; " MAYBE_STORED);
	}
}

uint32_t group_waiting(const struct group *g)
{
	return g->waiting;
}

void group_free(struct group **group)
{
	struct group *g = *group;

	if (!g)
		return;
	group_expire(g, INT64_MAX / 2);
	land(g, UINT64_MAX);
	for (struct ticket *t; (t = g->spare);) {
		g->spare = t->next;
		buf_free(&t->body);
		free(t);
	}
	contract_set_unref(&g->set);
	batch_builder_free(&g->builder);
	free(g);
	*group = NULL;
}
