#include "kafka/kafka.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "kafka/inside.h"
#include "kafka/rounds.h"

/* How long close waits; resolving a name may hang for longer. */
#define CLOSE_WAIT_US 1000000
#define REPORTS	      256
/* Events served before others on the loop get their turn. */
#define EVENTS_A_TURN 64
/* librdkafka's levels are those of syslog, whose header clashes with log.h. */
#define RD_CRITICAL 2
/* So often without a broker, while messages wait, is trouble: 10 s. */
#define DARK_STATS 2
/* Lengths, offsets and times around a message and a header, at most. */
#define MESSAGE_BYTES 36
#define HEADER_BYTES  4

struct kafka_topic {
	rd_kafka_topic_t *rkt;
	struct kafka_topic *next;
	char name[];
};

struct kafka {
	struct loop *loop;
	struct kafka_events events;
	struct loop_waker waker;
	rd_kafka_t *rk;
	rd_kafka_queue_t *queue;
	struct kafka_topic *topics;
	struct rounds rounds;
	bool failed;
	unsigned dark; /* statistics in a row without a broker */
};

/* What is left of a producer when it is closed, for the thread that ends it. */
struct ending {
	rd_kafka_t *rk;
	void (*released)(void *arg);
	void *released_arg;
	pthread_mutex_t lock;
	pthread_cond_t ended_now;
	bool ended;
	bool abandoned; /* nobody waits: the thread frees this */
};

/* From any thread of librdkafka. What matters comes as an event too. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility,
		   const char *text)
{
	char quoted[LOG_QUOTE_BYTES];

	(void)rk;
	if (level <= RD_CRITICAL)
		log_error("librdkafka", "facility=%s text=%s", facility,
			  log_quote(quoted, text));
	else
		log_debug("librdkafka", "facility=%s text=%s", facility,
			  log_quote(quoted, text));
}

/* ---- events ---- */

static void serve_reports(struct kafka *k, rd_kafka_event_t *event)
{
	const rd_kafka_message_t *messages[REPORTS];
	struct kafka_report reports[REPORTS];
	size_t n, total = rd_kafka_event_message_count(event);
	bool first = true;

	while ((n = rd_kafka_event_message_array(event, messages, REPORTS))) {
		for (size_t i = 0; i < n; i++)
			reports[i] = (struct kafka_report){
			    messages[i]->_private, messages[i]->err};
		if (first)
			rounds_reported(&k->rounds, messages[0]->rkt,
					messages[0]->partition,
					(uint32_t)total);
		first = false;
		k->events.reported(k->events.arg, reports, n);
	}
}

static void fail(struct kafka *k)
{
	char text[ERR_TEXT_BYTES - 64];
	struct err err;
	rd_kafka_resp_err_t code =
	    rd_kafka_fatal_error(k->rk, text, sizeof(text));

	if (k->failed)
		return;
	k->failed = true;
	err_set(&err, EIO, "%s: %s", kafka_error_name(code), text);
	err.fatal = true;
	k->events.failed(k->events.arg, &err);
}

static void serve_stats(struct kafka *k, rd_kafka_event_t *event)
{
	const char *json = rd_kafka_event_stats(event);
	struct kafka_stats stats;

	if (stats_read(json, strlen(json), &stats) != 0)
		return;
	/* A connection that is closed before it is of use is no error event. */
	k->dark = stats.queued && !stats.brokers_up ? k->dark + 1 : 0;
	if (k->dark == DARK_STATS)
		k->events.trouble(k->events.arg,
				  RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN,
				  "connected to none of the brokers");
	if (k->events.stats)
		k->events.stats(k->events.arg, &stats);
}

static void serve(struct kafka *k, rd_kafka_event_t *event)
{
	int error = rd_kafka_event_error(event);

	switch (rd_kafka_event_type(event)) {
	case RD_KAFKA_EVENT_DR:
		serve_reports(k, event);
		break;
	case RD_KAFKA_EVENT_STATS:
		serve_stats(k, event);
		break;
	case RD_KAFKA_EVENT_ERROR:
		if (error == RD_KAFKA_RESP_ERR__FATAL)
			fail(k);
		else
			k->events.trouble(k->events.arg, error,
					  rd_kafka_event_error_string(event));
		break;
	default:
		break;
	}
}

/*
 * librdkafka signals only when its queue stops being empty: what is left has to
 * be remembered.
 */
static void on_wake(void *arg)
{
	struct kafka *k = arg;
	rd_kafka_event_t *event;
	int served = 0;

	while (served < EVENTS_A_TURN &&
	       (event = rd_kafka_queue_poll(k->queue, 0))) {
		serve(k, event);
		rd_kafka_event_destroy(event);
		served++;
	}
	if (served == EVENTS_A_TURN)
		loop_wake(&k->waker);
}

/* ---- open and close ---- */

int kafka_open(struct kafka **kafka, struct loop *loop,
	       const struct kafka_options *options,
	       const struct kafka_events *events, struct err *err)
{
	static const uint64_t one = 1;
	rd_kafka_conf_t *conf = settings_new(options, err);
	struct kafka *k;
	char reason[300];

	if (!conf)
		return -1;
	rd_kafka_conf_set_log_cb(conf, on_log);
	rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR |
					   RD_KAFKA_EVENT_ERROR |
					   RD_KAFKA_EVENT_STATS);
	k = xcalloc(1, sizeof(*k));
	k->loop = loop;
	k->events = *events;
	k->waker.fn = on_wake;
	k->waker.arg = k;
	k->rounds.request_bytes = (size_t)options->max_request_bytes;
	k->rounds.linger_us = options->linger_us;
	if (loop_waker_add(loop, &k->waker, err) != 0) {
		rd_kafka_conf_destroy(conf);
		free(k);
		return -1;
	}
	k->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof(reason));
	if (!k->rk) {
		rd_kafka_conf_destroy(conf);
		loop_waker_del(loop, &k->waker);
		free(k);
		return err_set(err, EINVAL, "librdkafka: %s", reason);
	}
	k->queue = rd_kafka_queue_get_main(k->rk);
	rd_kafka_queue_io_event_enable(k->queue, k->waker.io.fd, &one,
				       sizeof(one));
	/* What came before is not signalled, and nothing behind it would be. */
	loop_wake(&k->waker);
	*kafka = k;
	return 0;
}

static void ending_free(struct ending *e)
{
	pthread_cond_destroy(&e->ended_now);
	pthread_mutex_destroy(&e->lock);
	free(e);
}

static void *end(void *arg)
{
	struct ending *e = arg;
	bool abandoned;

	rd_kafka_purge(e->rk, RD_KAFKA_PURGE_F_QUEUE |
				  RD_KAFKA_PURGE_F_INFLIGHT |
				  RD_KAFKA_PURGE_F_NON_BLOCKING);
	rd_kafka_destroy(e->rk);
	e->released(e->released_arg);
	pthread_mutex_lock(&e->lock);
	e->ended = true;
	abandoned = e->abandoned;
	pthread_cond_signal(&e->ended_now);
	pthread_mutex_unlock(&e->lock);
	if (abandoned)
		ending_free(e);
	return NULL;
}

/* Joins the thread if it ends in time, else leaves it to itself. */
static void wait_ended(struct ending *e, pthread_t thread)
{
	int64_t until_us = clock_mono_us() + CLOSE_WAIT_US;
	struct timespec until = {until_us / 1000000, until_us % 1000000 * 1000};
	bool ended;
	int rc = 0;

	pthread_mutex_lock(&e->lock);
	while (!e->ended && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&e->ended_now, &e->lock, &until);
	ended = e->ended;
	e->abandoned = !ended;
	if (!ended)
		pthread_detach(thread);
	pthread_mutex_unlock(&e->lock);
	if (!ended)
		return;
	pthread_join(thread, NULL);
	ending_free(e);
}

static struct ending *ending_new(rd_kafka_t *rk, void (*released)(void *arg),
				 void *released_arg)
{
	struct ending *e = xcalloc(1, sizeof(*e));
	pthread_condattr_t monotonic;

	e->rk = rk;
	e->released = released;
	e->released_arg = released_arg;
	pthread_mutex_init(&e->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&e->ended_now, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return e;
}

void kafka_close(struct kafka **kafka, void (*released)(void *arg),
		 void *released_arg)
{
	struct kafka *k = *kafka;
	struct ending *e;
	pthread_t thread;

	*kafka = NULL;
	if (!k) {
		released(released_arg);
		return;
	}
	rd_kafka_queue_io_event_enable(k->queue, -1, NULL, 0);
	rd_kafka_queue_destroy(k->queue);
	while (k->topics) {
		struct kafka_topic *topic = k->topics;

		k->topics = topic->next;
		rd_kafka_topic_destroy(topic->rkt);
		free(topic);
	}
	loop_waker_del(k->loop, &k->waker);
	e = ending_new(k->rk, released, released_arg);
	free(k);
	if (pthread_create(&thread, NULL, end, e) == 0) {
		wait_ended(e, thread);
		return;
	}
	e->abandoned = true;
	end(e);
}

/* ---- messages ---- */

struct kafka_topic *kafka_topic(struct kafka *k, const char *name)
{
	size_t bytes = strlen(name) + 1;
	struct kafka_topic *topic;

	for (topic = k->topics; topic; topic = topic->next)
		if (strcmp(topic->name, name) == 0)
			return topic;
	topic = xcalloc(1, sizeof(*topic) + bytes);
	memcpy(topic->name, name, bytes);
	topic->rkt = rd_kafka_topic_new(k->rk, name, NULL);
	topic->next = k->topics;
	k->topics = topic;
	return topic;
}

const char *kafka_topic_name(const struct kafka_topic *topic)
{
	return topic->name;
}

static rd_kafka_headers_t *headers_of(const struct kafka_message *m)
{
	rd_kafka_headers_t *headers;

	if (!m->header_count)
		return NULL;
	headers = rd_kafka_headers_new(m->header_count);
	for (size_t i = 0; i < m->header_count; i++)
		rd_kafka_header_add(headers, m->headers[i].name,
				    (ssize_t)m->headers[i].name_bytes,
				    m->headers[i].value,
				    (ssize_t)m->headers[i].bytes);
	return headers;
}

/* As in a request. */
static size_t bytes_of(const struct kafka_message *m)
{
	size_t bytes = MESSAGE_BYTES + m->payload_bytes + m->key_bytes;

	for (size_t i = 0; i < m->header_count; i++)
		bytes += HEADER_BYTES + m->headers[i].name_bytes +
			 m->headers[i].bytes;
	return bytes;
}

/* The array form: measured a fifth cheaper than the one of varargs. */
static int hand_over(struct kafka *k, const struct kafka_message *m)
{
	rd_kafka_headers_t *headers = headers_of(m);
	rd_kafka_vu_t units[5] = {
	    {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = m->topic->rkt},
	    {.vtype = RD_KAFKA_VTYPE_VALUE,
	     .u.mem = {(void *)(uintptr_t)m->payload, m->payload_bytes}},
	    {.vtype = RD_KAFKA_VTYPE_KEY,
	     .u.mem = {(void *)(uintptr_t)m->key, m->key_bytes}},
	    {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = m->opaque},
	    {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
	};
	rd_kafka_error_t *error =
	    rd_kafka_produceva(k->rk, units, headers ? 5 : 4);
	int code;

	if (!error)
		return 0;
	code = rd_kafka_error_code(error);
	rd_kafka_error_destroy(error);
	if (headers)
		rd_kafka_headers_destroy(headers);
	return code;
}

int kafka_produce(struct kafka *k, const struct kafka_message *m)
{
	int64_t now_us = loop_now_mono_us(k->loop);
	int error;

	if (!rounds_open(&k->rounds, now_us))
		return RD_KAFKA_RESP_ERR__QUEUE_FULL;
	error = hand_over(k, m);
	if (!error)
		rounds_add(&k->rounds, bytes_of(m), now_us);
	return error;
}
