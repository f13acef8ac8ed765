/*
 * Events as messages of Kafka or Event Hubs. Batches wait in slots, in the
 * order of the log. Their events are produced as far as the queue allows, and a
 * slot is done when each of its events was reported, or kept as a dead letter.
 *
 * Order: librdkafka keeps that of a partition over its own retries. When it
 * gives up on a message the backend fails, and another goes back to the last
 * delivered position: a few events are repeated, but after any event come those
 * that follow it.
 *
 * A request that is too large does not say which of its messages was. So the
 * slots up to that one are sent again with one message a request, which tells,
 * and if it was none, requests are made smaller from then on.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "services/eventhub-publisher/backend.h"
#include "services/eventhub-publisher/kafka_letters.h"
#include "services/eventhub-publisher/kafka_messages.h"
#include "services/eventhub-publisher/kafka_slots.h"
#include "services/eventhub-publisher/kafka_target.h"

#define IN_FLIGHT_BYTES	  (32u << 20)
#define MIN_REQUEST_BYTES (16 << 10)
#define AHEAD		  4 /* events, whose bytes are fetched */

struct kafka_backend {
	struct loop *loop;
	struct eventhub_publisher_counters *counters;
	struct backend_events events;
	struct loop_hook hook;
	struct kafka_target target;
	struct kafka_messages messages;
	struct kafka_letters letters;
	struct kafka_slots slots;
	int64_t queue_messages;
	struct kafka *kafka;
	int64_t in_flight;
	size_t in_flight_bytes;
	uint64_t alone_until; /* log position, 0 = requests as usual */
	bool poison_found;    /* in what was sent alone */
	bool told_opened, troubled, restart, failed;
	char trouble[ERR_TEXT_BYTES]; /* as last told, while troubled */
	uint64_t retries;
	struct err err;
};

static void fill(struct kafka_backend *k);

/* Told by the hook, so that nobody is closed within a call of his. */
static void fail(struct kafka_backend *k, const struct err *err)
{
	if (k->failed)
		return;
	k->failed = true;
	k->err = *err;
}

/* ---- dead letters ---- */

static void on_stored(void *arg, void *const *opaques, size_t count)
{
	struct kafka_backend *k = arg;
	uint32_t event;

	k->counters->dead_letters += count;
	for (size_t i = 0; i < count; i++)
		kafka_slots_of(&k->slots, opaques[i], &event)->left--;
	fill(k);
}

static void on_letters_failed(void *arg, const struct err *err)
{
	fail(arg, err);
}

static void put_letter(struct kafka_backend *k, struct kafka_slot *slot,
		       uint32_t event, int error)
{
	struct kafka_letter letter = {
	    .batch = slot->batch,
	    .event = event,
	    .stream = kafka_messages_stream(&k->messages,
					    &slot->batch->events[event]),
	    .error = error,
	    .opaque = kafka_slots_opaque(&k->slots, slot, event),
	};
	struct err err;

	if (kafka_letters_put(&k->letters, &letter, &err) != 0)
		fail(k, &err);
}

static void count_failure(struct kafka_backend *k, int error)
{
	const char *name = kafka_error_name(error);
	struct counter_label labels[] = {{"kafka", 5}, {name, strlen(name)}};

	++*counter_cell(k->counters->failed, labels);
}

/* ---- producing ---- */

static bool has_room(const struct kafka_backend *k)
{
	return k->in_flight < k->queue_messages &&
	       k->in_flight_bytes < IN_FLIGHT_BYTES &&
	       !kafka_letters_full(&k->letters);
}

/* False when it has to be tried again later, if ever. */
static bool produce_one(struct kafka_backend *k, struct kafka_slot *slot)
{
	const struct batch *b = slot->batch;
	const struct batch_event *e = &b->events[slot->produced];
	const struct kafka_stream *s = kafka_messages_stream(&k->messages, e);
	struct kafka_header headers[KAFKA_HEADERS];
	struct kafka_message m = {
	    .topic = s->topic,
	    .payload = slot->lines ? slot->lines + slot->line_at
				   : b->payload + e->offset,
	    .payload_bytes = e->bytes + s->envelope.used,
	    .key = e->key_bytes ? b->payload + e->key_offset : NULL,
	    .key_bytes = e->key_bytes,
	    .headers = headers,
	    .header_count = kafka_messages_headers(&k->messages, e, s, headers),
	    .opaque = kafka_slots_opaque(&k->slots, slot, slot->produced),
	};
	struct err err;
	int error;

	kafka_messages_prefetch(b, slot->produced + AHEAD);
	error = kafka_produce(k->kafka, &m);
	if (error && kafka_error_is_full(error))
		return false;
	if (error)
		count_failure(k, error);
	if (error && !kafka_error_is_poison(error)) {
		kafka_target_explain(&k->target, error, kafka_error_text(error),
				     kafka_topic_name(s->topic), &err);
		fail(k, &err);
		return false;
	}
	if (error) {
		put_letter(k, slot, slot->produced, error);
	} else {
		k->in_flight++;
		k->in_flight_bytes += e->bytes;
		FAILPOINT("kafka_produced");
	}
	slot->line_at += m.payload_bytes;
	slot->produced++;
	return !k->failed;
}

static void fill(struct kafka_backend *k)
{
	while (!k->failed && !k->restart && k->slots.filling < k->slots.count) {
		struct kafka_slot *slot =
		    kafka_slots_at(&k->slots, k->slots.filling);
		uint32_t events = slot->batch->header.events;

		if (k->alone_until && slot->next > k->alone_until)
			return;
		kafka_messages_turn(&k->messages, slot->batch);
		if (k->messages.envelope && events && !slot->lines)
			slot->lines = kafka_messages_wrap(&k->messages);
		while (slot->produced < events && has_room(k) &&
		       produce_one(k, slot))
			;
		if (slot->produced < events)
			return;
		k->slots.filling++;
	}
}

static bool kafka_backend_produce(void *backend, struct batch *b, uint64_t next)
{
	struct kafka_backend *k = backend;

	if (k->failed || k->restart || k->slots.count == KAFKA_SLOTS ||
	    k->slots.filling < k->slots.count)
		return false;
	kafka_slots_add(&k->slots, b, next);
	fill(k);
	return true;
}

/* ---- what the producer says ---- */

static void on_bad(struct kafka_backend *k, struct kafka_slot *slot,
		   uint32_t event, int error)
{
	const struct batch *b = slot->batch;
	const struct batch_event *e = &b->events[event];
	const struct kafka_stream *s;
	struct err err;

	count_failure(k, error);
	/* It goes back already; most of a refused request come together. */
	if (k->restart)
		return;
	if (kafka_error_is_poison(error) && k->alone_until) {
		k->poison_found = true;
		kafka_messages_turn(&k->messages, b);
		put_letter(k, slot, event, error);
		return;
	}
	if (kafka_error_is_poison(error)) {
		k->restart = true;
		k->alone_until = slot->next;
		return;
	}
	kafka_messages_turn(&k->messages, b);
	s = kafka_messages_stream(&k->messages, e);
	kafka_target_explain(&k->target, error, kafka_error_text(error),
			     kafka_topic_name(s->topic), &err);
	fail(k, &err);
}

static void on_reported(void *arg, const struct kafka_report *reports,
			size_t count)
{
	struct kafka_backend *k = arg;

	for (size_t i = 0; i < count; i++) {
		uint32_t event;
		struct kafka_slot *slot =
		    kafka_slots_of(&k->slots, reports[i].opaque, &event);

		k->in_flight--;
		k->in_flight_bytes -= slot->batch->events[event].bytes;
		if (reports[i].error)
			on_bad(k, slot, event, reports[i].error);
		else
			slot->left--;
	}
	fill(k);
}

static void on_trouble(void *arg, int error, const char *text)
{
	struct kafka_backend *k = arg;
	struct err err;

	kafka_target_explain(&k->target, error, text, NULL, &err);
	/* It is told at each try to connect. */
	if (k->troubled && strcmp(k->trouble, err.text) == 0)
		return;
	k->troubled = true;
	snprintf(k->trouble, sizeof(k->trouble), "%s", err.text);
	k->events.waiting(k->events.arg, &err);
}

static void trouble_is_over(struct kafka_backend *k)
{
	if (k->troubled)
		k->events.waiting(k->events.arg, NULL);
	k->troubled = false;
}

static void tell_opened(struct kafka_backend *k)
{
	if (!k->told_opened)
		k->events.opened(k->events.arg);
	k->told_opened = true;
}

static void on_failed(void *arg, const struct err *err)
{
	fail(arg, err);
}

static void on_stats(void *arg, const struct kafka_stats *stats)
{
	struct kafka_backend *k = arg;
	uint64_t retries = (uint64_t)stats->retries;

	k->counters->kafka_brokers_up = stats->brokers_up;
	k->counters->kafka_round_trip_us = stats->round_trip_us;
	k->counters->kafka_throttled_us = stats->throttled_us;
	if (retries > k->retries)
		k->counters->kafka_retries += retries - k->retries;
	k->retries = retries;
	if (!stats->brokers_up || k->in_flight)
		return;
	trouble_is_over(k);
	tell_opened(k);
}

/* ---- open, restart, close ---- */

static int open_producer(struct kafka_backend *k, struct err *err)
{
	struct kafka_events events = {on_reported, on_trouble, on_failed,
				      on_stats, k};

	k->target.options.alone = k->alone_until != 0;
	k->retries = 0;
	if (kafka_open(&k->kafka, k->loop, &k->target.options, &events, err) !=
	    0)
		return -1;
	k->messages.kafka = k->kafka;
	return 0;
}

static void close_producer(struct kafka_backend *k)
{
	void *loan = kafka_slots_lend(&k->slots);

	k->in_flight = 0;
	k->in_flight_bytes = 0;
	kafka_messages_forget(&k->messages);
	kafka_close(&k->kafka, kafka_slots_returned, loan);
	kafka_letters_close(&k->letters);
}

static void restart(struct kafka_backend *k)
{
	struct err err;

	close_producer(k);
	k->restart = false;
	log_warn("kafka_restarted", "reason=%s request_bytes=%" PRId64,
		 k->alone_until ? "to_find_what_is_too_large" : "found",
		 k->target.options.max_request_bytes);
	if (open_producer(k, &err) != 0)
		fail(k, &err);
	fill(k);
}

/* What was too large is found or was the request, and nothing is in flight. */
static void end_alone(struct kafka_backend *k)
{
	int64_t *bytes = &k->target.options.max_request_bytes;

	if (!k->poison_found && *bytes > MIN_REQUEST_BYTES)
		*bytes /= 2;
	k->poison_found = false;
	k->alone_until = 0;
	k->restart = true;
}

/* Frees the slots that are done; returns the position behind them, or 0. */
static uint64_t advance(struct kafka_backend *k)
{
	uint64_t position = 0;

	for (;;) {
		const struct batch *b = kafka_slots_at(&k->slots, 0)->batch;

		if (!kafka_slots_take_done(&k->slots, &position))
			return position;
		/* Only compared: another may come to lie where it was. */
		if (k->messages.mapped == b)
			kafka_messages_turn(&k->messages, NULL);
	}
}

static bool on_turn(void *arg)
{
	struct kafka_backend *k = arg;
	uint64_t position = k->restart ? 0 : advance(k);

	if (position) {
		tell_opened(k);
		trouble_is_over(k);
		FAILPOINT("kafka_delivered");
		k->events.delivered(k->events.arg, position, NULL, 0);
	}
	if (k->alone_until && position >= k->alone_until)
		end_alone(k);
	if (k->failed) {
		struct err err = k->err;

		k->events.failed(k->events.arg, &err);
		return true;
	}
	if (k->restart)
		restart(k);
	return position != 0;
}

static void destroy(struct kafka_backend *k)
{
	kafka_target_free(&k->target);
	kafka_messages_free(&k->messages);
	kafka_letters_free(&k->letters);
	free(k);
}

static int kafka_backend_open(void **backend,
			      const struct backend_options *options,
			      const struct backend_events *events,
			      struct err *err)
{
	const struct eventhub_publisher_conf *conf = options->conf;
	struct kafka_backend *k = xcalloc(1, sizeof(*k));

	k->loop = options->loop;
	k->queue_messages = conf->queue_messages;
	k->counters = options->counters;
	k->events = *events;
	k->messages = (struct kafka_messages){
	    .target = &k->target,
	    .contracts = options->contracts,
	    .arg = events->arg,
	    .headers = conf->headers,
	};
	if (conf->envelope && *conf->envelope)
		k->messages.envelope = xstrdup(conf->envelope);
	k->letters = (struct kafka_letters){
	    .loop = k->loop,
	    .dir = xasprintf("%s/dead_letters", options->state_dir),
	    .cap_bytes = conf->dead_letter_cap,
	    .events = {on_stored, on_letters_failed, k},
	};
	if (kafka_target_read(&k->target, options, err) != 0 ||
	    open_producer(k, err) != 0) {
		destroy(k);
		return -1;
	}
	k->letters.section = k->target.section;
	k->hook = (struct loop_hook){.fn = on_turn, .arg = k};
	loop_hook_add(k->loop, &k->hook);
	*backend = k;
	return 0;
}

static void kafka_backend_close(void **backend)
{
	struct kafka_backend *k = *backend;

	if (!k)
		return;
	*backend = NULL;
	loop_hook_del(k->loop, &k->hook);
	close_producer(k);
	kafka_slots_clear(&k->slots);
	destroy(k);
}

const struct backend backend_kafka = {
    .name = "kafka",
    .open = kafka_backend_open,
    .produce = kafka_backend_produce,
    .close = kafka_backend_close,
};
