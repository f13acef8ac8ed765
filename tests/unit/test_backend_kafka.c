/*
 * The kafka backend against librdkafka's mock cluster: what arrives, and what
 * becomes of it when brokers refuse, are gone, or want less.
 * LINK: services/eventhub-publisher/backend_kafka.c
 * LINK: services/eventhub-publisher/kafka_letters.c
 * LINK: services/eventhub-publisher/kafka_slots.c
 * LINK: services/eventhub-publisher/kafka_messages.c
 * LINK: services/eventhub-publisher/kafka_target.c
 * LINK: services/eventhub-publisher/deadletters.c
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/durable.h"
#include "services/eventhub-publisher/backend.h"

#define PATIENCE_US  INT64_C(20000000)
#define MAX_BATCHES  64
#define MAX_MESSAGES 4096
#define PRODUCE	     0 /* its number among Kafka's requests */

struct world {
	rd_kafka_t *mock_handle;
	rd_kafka_mock_cluster_t *mock;
	struct loop *loop;
	char dir[64];
	struct eventhub_publisher_conf conf;
	struct eventhub_publisher_counters counters;
	/* As the publisher: a log of batches, read from `at` on. */
	struct batch *log[MAX_BATCHES];
	uint32_t batches, at;
	void *backend;
	uint64_t delivered;
	unsigned opened, failures;
	char waiting[ERR_TEXT_BYTES]; /* "" while it is not */
	char waited[ERR_TEXT_BYTES];  /* the last that it was not "" */
	char failure[ERR_TEXT_BYTES];
};

static struct contract_set *no_contracts(void *arg)
{
	(void)arg;
	return NULL;
}

/* Record i ends at 100 (i + 1). */
static void pump(struct world *w)
{
	while (w->backend && w->at < w->batches &&
	       backend_kafka.produce(w->backend, w->log[w->at],
				     100 * (uint64_t)(w->at + 1)))
		w->at++;
}

static void on_opened(void *arg)
{
	((struct world *)arg)->opened++;
}

static void on_delivered(void *arg, uint64_t position, const void *state,
			 size_t bytes)
{
	struct world *w = arg;

	(void)state;
	(void)bytes;
	assert_true(position > w->delivered);
	w->delivered = position;
	pump(w);
}

static void on_waiting(void *arg, const struct err *err)
{
	struct world *w = arg;

	snprintf(w->waiting, sizeof(w->waiting), "%s", err ? err->text : "");
	if (err)
		snprintf(w->waited, sizeof(w->waited), "%s", err->text);
}

static void on_failed(void *arg, const struct err *err)
{
	struct world *w = arg;

	w->failures++;
	backend_kafka.close(&w->backend);
	snprintf(w->failure, sizeof(w->failure), "%s", err->text);
}

static int open_backend(struct world *w, struct err *err)
{
	struct backend_options options = {
	    .loop = w->loop,
	    .conf = &w->conf,
	    .counters = &w->counters,
	    .section = "eventhub-publisher",
	    .state_dir = w->dir,
	    .contracts = no_contracts,
	    .log_tag = "3f2a9c01",
	};
	struct backend_events events = {.opened = on_opened,
					.delivered = on_delivered,
					.waiting = on_waiting,
					.failed = on_failed,
					.arg = w};

	w->at = (uint32_t)(w->delivered / 100);
	return backend_kafka.open(&w->backend, &options, &events, err);
}

/* Turns, opening a backend that failed again, until all is delivered. */
static void deliver_all(struct world *w)
{
	int64_t until_us = clock_mono_us() + PATIENCE_US;
	struct err err;

	while (w->delivered < 100 * (uint64_t)w->batches) {
		if (clock_mono_us() > until_us)
			fail_msg("delivered %d of %u batches; %u failures, "
				 "last: %s; waiting: %s",
				 (int)(w->delivered / 100), w->batches,
				 w->failures, w->failure, w->waiting);
		if (!w->backend)
			assert_int_equal(open_backend(w, &err), 0);
		pump(w);
		loop_turn(w->loop, 10000);
	}
}

static int begin(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));
	char reason[200];

	w->mock_handle =
	    rd_kafka_new(RD_KAFKA_PRODUCER, NULL, reason, sizeof(reason));
	w->mock = rd_kafka_mock_cluster_new(w->mock_handle, 1);
	rd_kafka_mock_topic_create(w->mock, "t", 1, 1);
	w->loop = loop_new();
	snprintf(w->dir, sizeof(w->dir), "/tmp/weft-kafka-XXXXXX");
	w->counters.failed = counter_family_new("sink_type,error_type");
	w->conf = (struct eventhub_publisher_conf){
	    .backend = BACKEND_KAFKA,
	    .bootstrap = xstrdup(rd_kafka_mock_cluster_bootstraps(w->mock)),
	    .topic = xstrdup("t"),
	    .headers = true,
	    .linger = 1000,
	    .request_timeout = 5000000,
	    .max_message = 1000000,
	    .queue_messages = 1000,
	    .dead_letter_cap = 1 << 20,
	};
	*state = w;
	return mkdtemp(w->dir) ? 0 : -1;
}

static int finish(void **state)
{
	struct world *w = *state;
	char *command = xasprintf("rm -r %s", w->dir);
	int rc = system(command);

	free(command);
	backend_kafka.close(&w->backend);
	for (uint32_t i = 0; i < w->batches; i++)
		batch_unref(&w->log[i]);
	counter_family_free(&w->counters.failed);
	loop_free(&w->loop);
	rd_kafka_mock_cluster_destroy(w->mock);
	rd_kafka_destroy(w->mock_handle);
	free(w->conf.bootstrap);
	free(w->conf.topic);
	free(w);
	return rc;
}

static int64_t cpu_us(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return used.tv_sec * INT64_C(1000000) + used.tv_nsec / 1000;
}

/* ---- what goes in ---- */

/* An event {"id":"e<number>","fill":"xxx…"} of key "k<number mod 3>". */
static void add_event(struct batch_builder *b, const char *stream,
		      unsigned number, size_t fill)
{
	struct batch_event e = {.offset = batch_builder_offset(b),
				.version = 3};
	char *at = batch_builder_room(b, fill + 200);
	int head = sprintf(at,
			   "{\"id\":\"e%05u\",\"key\":\"k%u\",\"type\":"
			   "\"thing.made\",\"fill\":\"",
			   number, number % 3);

	memset(at + head, 'x', fill);
	memcpy(at + head + fill, "\"}\n", 3);
	e.bytes = (uint32_t)((size_t)head + fill + 2);
	e.id_offset = e.offset + 7;
	e.id_bytes = 6;
	e.key_offset = e.offset + 22;
	e.key_bytes = 2;
	e.type_offset = e.offset + 34;
	e.type_bytes = 10;
	e.stream = batch_builder_stream(b, stream, strlen(stream));
	batch_builder_commit(b, e.bytes + 1);
	batch_builder_event(b, &e);
}

static void add_batch(struct world *w, unsigned from, unsigned count,
		      size_t fill)
{
	struct batch_builder *b = batch_builder_new();
	struct batch_header header = {.created_at_us = 1};

	header.trace[0] = 0xab;
	for (unsigned i = 0; i < count; i++)
		add_event(b, "order", from + i, fill);
	w->log[w->batches++] = batch_builder_seal(b, &header);
	batch_builder_free(&b);
}

/* ---- what came out ---- */

/* Each message's number, in the order of the topic's one partition. */
static size_t consume(struct world *w, const char *topic, size_t wanted,
		      unsigned numbers[MAX_MESSAGES],
		      void (*look)(const rd_kafka_message_t *m))
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_topic_partition_list_t *all =
	    rd_kafka_topic_partition_list_new(1);
	int64_t until_us = clock_mono_us() + PATIENCE_US;
	char reason[200];
	rd_kafka_t *rk;
	size_t n = 0;

	rd_kafka_conf_set(conf, "bootstrap.servers", w->conf.bootstrap, reason,
			  sizeof(reason));
	rd_kafka_conf_set(conf, "group.id", "test", reason, sizeof(reason));
	rd_kafka_conf_set(conf, "enable.partition.eof", "true", reason,
			  sizeof(reason));
	rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof(reason));
	rd_kafka_topic_partition_list_add(all, topic, 0)->offset =
	    RD_KAFKA_OFFSET_BEGINNING;
	rd_kafka_assign(rk, all);
	while (clock_mono_us() < until_us && n < MAX_MESSAGES) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, 100);
		bool end = m && m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF &&
			   n >= wanted;

		if (m && !m->err) {
			const char *id =
			    memmem(m->payload, m->len, "\"id\":\"e", 7);

			assert_non_null(id);
			numbers[n++] = (unsigned)strtoul(id + 7, NULL, 10);
			if (look)
				look(m);
		}
		if (m)
			rd_kafka_message_destroy(m);
		if (end)
			break;
	}
	rd_kafka_topic_partition_list_destroy(all);
	rd_kafka_consumer_close(rk);
	rd_kafka_destroy(rk);
	return n;
}

/*
 * Each of 0 … count-1 came, and whatever was repeated, all that follows it came
 * again behind it: with no event does a key end before its last.
 */
static void assert_all_in_order(const unsigned *numbers, size_t n,
				unsigned count, unsigned missing)
{
	size_t last[MAX_MESSAGES];

	memset(last, 0xff, sizeof(last));
	for (size_t i = 0; i < n; i++)
		last[numbers[i]] = i;
	for (unsigned i = 0; i < count; i++) {
		if (i == missing)
			assert_int_equal(last[i], SIZE_MAX);
		else if (last[i] == SIZE_MAX)
			fail_msg("event %u is missing", i);
		for (unsigned j = i + 3; j < count; j += 3)
			if (i != missing && j != missing && last[j] < last[i])
				fail_msg("event %u came last before event %u",
					 j, i);
	}
}

static void assert_header(const rd_kafka_message_t *m, const char *name,
			  const char *expected)
{
	rd_kafka_headers_t *headers;
	const void *value;
	size_t bytes;

	assert_int_equal(rd_kafka_message_headers(m, &headers), 0);
	assert_int_equal(
	    rd_kafka_header_get_last(headers, name, &value, &bytes), 0);
	assert_int_equal(bytes, strlen(expected));
	assert_memory_equal(value, expected, bytes);
}

/* ---- tests ---- */

static void look_at_all(const rd_kafka_message_t *m)
{
	const char *id = (const char *)m->payload + 7;
	char text[8] = "", key[3] = "";

	memcpy(text, id, 6);
	snprintf(key, sizeof(key), "k%lu", strtoul(text + 1, NULL, 10) % 3);
	assert_int_equal(m->key_len, 2);
	assert_memory_equal(m->key, key, 2);
	assert_header(m, "event_id", text);
	assert_header(m, "event_type", "thing.made");
	assert_header(m, "contract", "order/3");
	assert_header(m, "trace_id", "ab000000000000000000000000000000");
	assert_int_equal(m->len,
			 strlen("{\"id\":\"e00000\",\"key\":\"k0\",\"type"
				"\":\"thing.made\",\"fill\":\"xxxxx\"}"));
	assert_memory_equal((const char *)m->payload + m->len - 3, "x\"}", 3);
}

static void test_events_arrive_with_key_and_headers(void **state)
{
	struct world *w = *state;
	unsigned numbers[MAX_MESSAGES];

	/* More than the queue takes, in batches and in one. */
	w->conf.queue_messages = 7;
	for (unsigned i = 0; i < 10; i++)
		add_batch(w, i * 20, 20, 5);
	add_batch(w, 200, 0, 0);
	deliver_all(w);
	assert_int_equal(w->opened, 1);
	assert_int_equal(w->failures, 0);
	assert_int_equal(consume(w, "t", 200, numbers, look_at_all), 200);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(numbers[i], i);
}

static void look_at_letter(const rd_kafka_message_t *m)
{
	assert_header(m, "event_id", "e00000");
	assert_header(m, "contract", "dead_letter/3");
}

/* In the index it follows its stream; readers of Kafka join by the id alone. */
static void test_a_dead_letter_has_its_events_id(void **state)
{
	struct batch_builder *b = batch_builder_new();
	struct batch_header header = {.created_at_us = 1};
	struct batch_event e;
	struct world *w = *state;
	unsigned numbers[MAX_MESSAGES];
	struct batch *whole;

	add_event(b, "dead_letter", 0, 2);
	whole = batch_builder_seal(b, &header);
	e = whole->events[0];
	e.id_offset = whole->header.payload_bytes;
	e.id_bytes = 12;
	e.stream = batch_builder_stream(b, "dead_letter", 11);
	memcpy(batch_builder_room(b, whole->header.payload_bytes),
	       whole->payload, whole->header.payload_bytes);
	batch_builder_commit(b, whole->header.payload_bytes);
	memcpy(batch_builder_room(b, 12),
	       "order\x1f"
	       "e00000",
	       12);
	batch_builder_commit(b, 12);
	batch_builder_event(b, &e);
	w->log[w->batches++] = batch_builder_seal(b, &header);
	batch_unref(&whole);
	batch_builder_free(&b);
	deliver_all(w);
	assert_int_equal(consume(w, "t", 1, numbers, look_at_letter), 1);
}

static void look_at_envelope(const rd_kafka_message_t *m)
{
	static const char expected[] =
	    "{\"stream\":\"order\",\"id\":\"e00000\","
	    "\"key\":\"k0\",\"type\":\"thing.made\","
	    "\"fill\":\"xx\"}";
	rd_kafka_headers_t *headers;

	assert_int_equal(m->len, sizeof(expected) - 1);
	assert_memory_equal(m->payload, expected, m->len);
	assert_int_equal(rd_kafka_message_headers(m, &headers),
			 RD_KAFKA_RESP_ERR__NOENT);
}

static void test_an_envelope_names_the_stream(void **state)
{
	struct world *w = *state;
	unsigned numbers[MAX_MESSAGES];
	char envelope[] = "stream", topic[] = "x-<stream>-y";
	char *before = w->conf.topic;

	w->conf.envelope = envelope;
	w->conf.headers = false;
	w->conf.topic = topic;
	rd_kafka_mock_topic_create(w->mock, "x-order-y", 1, 1);
	add_batch(w, 0, 1, 2);
	deliver_all(w);
	w->conf.topic = before;
	assert_int_equal(consume(w, "x-order-y", 1, numbers, look_at_envelope),
			 1);
}

static void test_throttling_sends_again_from_what_was_delivered(void **state)
{
	struct world *w = *state;
	unsigned numbers[MAX_MESSAGES];
	size_t n;

	for (unsigned i = 0; i < 20; i++)
		add_batch(w, i * 10, 10, 5);
	rd_kafka_mock_push_request_errors(
	    w->mock, PRODUCE, 4, RD_KAFKA_RESP_ERR_NO_ERROR,
	    RD_KAFKA_RESP_ERR_POLICY_VIOLATION, RD_KAFKA_RESP_ERR_NO_ERROR,
	    RD_KAFKA_RESP_ERR_POLICY_VIOLATION);
	w->conf.max_message = 1000; /* several requests */
	deliver_all(w);
	assert_true(w->failures >= 1);
	assert_non_null(strstr(w->failure, "topic t is throttled"));
	n = consume(w, "t", 200, numbers, NULL);
	assert_all_in_order(numbers, n, 200, UINT32_MAX);
}

static void test_a_new_leader_is_no_failure(void **state)
{
	struct world *w = *state;
	unsigned numbers[MAX_MESSAGES];

	for (unsigned i = 0; i < 10; i++)
		add_batch(w, i * 10, 10, 5);
	rd_kafka_mock_push_request_errors(
	    w->mock, PRODUCE, 2, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
	    RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS);
	deliver_all(w);
	assert_int_equal(w->failures, 0);
	assert_int_equal(consume(w, "t", 100, numbers, NULL), 100);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(numbers[i], i);
}

static void test_a_lost_sequence_takes_a_new_producer(void **state)
{
	struct world *w = *state;
	unsigned numbers[MAX_MESSAGES];
	size_t n;

	for (unsigned i = 0; i < 10; i++)
		add_batch(w, i * 10, 10, 5);
	rd_kafka_mock_push_request_errors(
	    w->mock, PRODUCE, 1,
	    RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
	deliver_all(w);
	assert_int_equal(w->failures, 1);
	n = consume(w, "t", 100, numbers, NULL);
	assert_all_in_order(numbers, n, 100, UINT32_MAX);
}

/* The one dead letter there is, or "". Owned. */
static char *letters(struct world *w)
{
	char *path = xasprintf("%s/dead_letters/000001.ndjson", w->dir);
	struct err err;
	char *text;
	size_t bytes;

	if (durable_read(path, 1 << 20, &text, &bytes, &err) != 0)
		text = xstrdup("");
	free(path);
	return text;
}

static void test_what_is_too_large_becomes_a_dead_letter(void **state)
{
	struct world *w = *state;
	unsigned numbers[MAX_MESSAGES];
	char *text;

	w->conf.max_message = 2000;
	add_batch(w, 0, 5, 10);
	add_batch(w, 5, 1, 2000);
	add_batch(w, 6, 5, 10);
	deliver_all(w);
	assert_int_equal(w->failures, 0);
	assert_int_equal(w->counters.dead_letters, 1);
	assert_int_equal(consume(w, "t", 10, numbers, NULL), 10);
	assert_int_equal(numbers[5], 6);
	text = letters(w);
	assert_non_null(strstr(text, "{\"code\":\"MSG_SIZE_TOO_LARGE\""));
	assert_non_null(strstr(text, "\"stream\":\"order\",\"version\":3,"
				     "\"topic\":\"t\",\"bytes\":"));
	assert_non_null(strstr(text, "\"event\":{\"id\":\"e00005\""));
	assert_string_equal(text + strlen(text) - 5, "x\"}}\n");
	free(text);
}

/* The broker's limit is smaller than ours: which of them was it? */
static void test_a_broker_that_takes_less_gets_one_at_a_time(void **state)
{
	struct world *w = *state;
	unsigned numbers[MAX_MESSAGES];
	char *text;
	size_t n;

	w->conf.linger = 100000;
	add_batch(w, 0, 30, 10);
	rd_kafka_mock_push_request_errors(
	    w->mock, PRODUCE, 3, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
	    RD_KAFKA_RESP_ERR_NO_ERROR, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
	deliver_all(w);
	assert_int_equal(w->failures, 0);
	assert_int_equal(w->counters.dead_letters, 1);
	text = letters(w);
	assert_non_null(strstr(text, "\"event\":{\"id\":\"e00001\""));
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	free(text);
	n = consume(w, "t", 29, numbers, NULL);
	assert_all_in_order(numbers, n, 30, 1);
}

static void test_dead_letters_have_a_cap(void **state)
{
	struct world *w = *state;
	int64_t until_us = clock_mono_us() + PATIENCE_US;
	char *path;
	struct err err;

	w->conf.max_message = 2000;
	w->conf.dead_letter_cap = 3000;
	add_batch(w, 0, 1, 2000);
	deliver_all(w);
	add_batch(w, 1, 1, 2000);
	while (!w->failures && clock_mono_us() < until_us) {
		pump(w);
		loop_turn(w->loop, 10000);
	}
	assert_int_equal(w->failures, 1);
	assert_non_null(strstr(w->failure, "dead_letter_cap = 3000B"));
	assert_int_equal(w->delivered, 100);
	/* Somebody takes them away. */
	path = xasprintf("%s/dead_letters/000001.ndjson", w->dir);
	assert_int_equal(unlink(path), 0);
	free(path);
	assert_int_equal(open_backend(w, &err), 0);
	deliver_all(w);
	assert_int_equal(w->counters.dead_letters, 2);
}

static void test_an_outage_is_told_and_outlived(void **state)
{
	struct world *w = *state;
	int64_t until_us = clock_mono_us() + PATIENCE_US;
	unsigned numbers[MAX_MESSAGES];
	struct err err;

	rd_kafka_mock_broker_set_down(w->mock, 1);
	assert_int_equal(open_backend(w, &err), 0);
	for (unsigned i = 0; i < 5; i++)
		add_batch(w, i * 10, 10, 5);
	while (!*w->waiting && clock_mono_us() < until_us) {
		pump(w);
		loop_turn(w->loop, 10000);
	}
	if (!strstr(w->waiting, "eventhub-publisher.bootstrap"))
		fail_msg("waiting: %s; delivered to %d, %d brokers up",
			 w->waiting, (int)w->delivered,
			 (int)w->counters.kafka_brokers_up);
	assert_int_equal(w->delivered, 0);
	rd_kafka_mock_broker_set_up(w->mock, 1);
	deliver_all(w);
	assert_string_equal(w->waiting, "");
	assert_int_equal(w->failures, 0);
	assert_int_equal(consume(w, "t", 50, numbers, NULL), 50);
}

static void test_what_may_not_be_is_named(void **state)
{
	struct world *w = *state;
	int64_t until_us = clock_mono_us() + PATIENCE_US;
	struct err err;

	add_batch(w, 0, 1, 5);
	assert_int_equal(open_backend(w, &err), 0);
	rd_kafka_mock_push_request_errors(
	    w->mock, PRODUCE, 1, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
	while (!w->failures && clock_mono_us() < until_us) {
		pump(w);
		loop_turn(w->loop, 10000);
	}
	assert_non_null(strstr(w->failure, "topic t: "));
	assert_non_null(strstr(w->failure, "eventhub-publisher.identity"));
	deliver_all(w);
}

static void test_bad_properties_open_nothing(void **state)
{
	struct world *w = *state;
	char properties[] = "linger.ms=5; no.such=1";
	struct err err;

	w->conf.properties = properties;
	assert_int_equal(open_backend(w, &err), -1);
	assert_int_equal(err.code, EINVAL);
	assert_non_null(strstr(err.text, "\"no.such\""));
	w->conf.properties = NULL;
}

/* librdkafka's thread would poll without a pause for what waits its turn. */
static void test_waiting_for_a_slow_broker_costs_no_cpu_time(void **state)
{
	struct world *w = *state;
	int64_t began_us, used_us;

	add_batch(w, 0, 10, 10);
	deliver_all(w);
	rd_kafka_mock_broker_set_rtt(w->mock, 1, 300);
	began_us = clock_mono_us();
	used_us = cpu_us();
	for (unsigned i = 1; i < 30; i++) {
		add_batch(w, 10 * i, 10, 10);
		pump(w);
		loop_turn(w->loop, 20000);
	}
	deliver_all(w);
	used_us = cpu_us() - used_us;
	rd_kafka_mock_broker_set_rtt(w->mock, 1, 0);
	assert_true(clock_mono_us() - began_us > 600000);
	assert_true(used_us < 200000);
	assert_int_equal(w->failures, 0);
}

static void test_closing_with_all_in_flight_lets_go(void **state)
{
	struct world *w = *state;
	int64_t begun_us;
	struct err err;

	rd_kafka_mock_broker_set_rtt(w->mock, 1, 3000);
	add_batch(w, 0, 500, 100);
	assert_int_equal(open_backend(w, &err), 0);
	pump(w);
	for (int i = 0; i < 50; i++)
		loop_turn(w->loop, 10000);
	begun_us = clock_mono_us();
	backend_kafka.close(&w->backend);
	assert_true(clock_mono_us() - begun_us < 2000000);
	rd_kafka_mock_broker_set_rtt(w->mock, 1, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, finish)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    T(test_events_arrive_with_key_and_headers),
	    T(test_a_dead_letter_has_its_events_id),
	    T(test_an_envelope_names_the_stream),
	    T(test_throttling_sends_again_from_what_was_delivered),
	    T(test_a_new_leader_is_no_failure),
	    T(test_a_lost_sequence_takes_a_new_producer),
	    T(test_what_is_too_large_becomes_a_dead_letter),
	    T(test_a_broker_that_takes_less_gets_one_at_a_time),
	    T(test_dead_letters_have_a_cap),
	    T(test_an_outage_is_told_and_outlived),
	    T(test_what_may_not_be_is_named),
	    T(test_bad_properties_open_nothing),
	    T(test_waiting_for_a_slow_broker_costs_no_cpu_time),
	    T(test_closing_with_all_in_flight_lets_go),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
