/* Batches by reference: who sends them, who takes them, and what else goes. */
#include "test_bus_net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <zmq.h>

static void refer_init(struct net *net, uint32_t relays, uint32_t sinks)
{
	net_init(net, 1, relays, sinks);
	net->refers = true;
}

static struct bus_stats relay_stats(const struct test_relay *r)
{
	struct bus_stats stats;

	bus_relay_get_stats(r->relay, &stats);
	return stats;
}

/* The relay passes on what it never saw. */
static void test_bodies_stay_where_they_are(void **state)
{
	struct net net;

	(void)state;
	refer_init(&net, 1, 2);
	net_open(&net);
	source_add(&net.sources[0], 200);
	net_finish(&net, true);
	assert_int_equal(net.sources[0].referred, 200);
	assert_int_equal(relay_stats(&net.relays[0]).references, 200);
	assert_int_equal(net.relays[0].resolved, 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(sink_stats(&net.sinks[i]).references, 200);
		assert_int_equal(net.sinks[i].resolved, 200);
	}
	assert_int_equal(source_stats(&net.sources[0]).resends, 0);
	net_close(&net);
}

static bool half_done(struct net *net)
{
	return net->sources[0].freed * 2 > net->sources[0].end;
}

/* It refuses one, says so, and from then on gets them with their bodies. */
static void test_a_sink_that_cannot_read_gets_bodies(void **state)
{
	struct net net;
	struct bus_stats stats;
	uint64_t references;

	(void)state;
	refer_init(&net, 1, 2);
	net_open(&net);
	source_add(&net.sources[0], 100);
	assert_true(net_until(&net, half_done));
	net.sinks[1].blind = true;
	source_add(&net.sources[0], 100);
	net_finish(&net, true);
	stats = sink_stats(&net.sinks[1]);
	references = stats.references;
	assert_int_equal(stats.refused, 1);
	assert_true(source_stats(&net.sources[0]).evidence >= 1);
	/* It is not asked again at once, even when it could. */
	net.sinks[1].blind = false;
	source_add(&net.sources[0], 100);
	net_finish(&net, true);
	stats = sink_stats(&net.sinks[1]);
	assert_int_equal(stats.references, references);
	assert_int_equal(stats.refused, 1);
	/* The other goes on as before; the relay reads for the one. */
	assert_int_equal(sink_stats(&net.sinks[0]).refused, 0);
	assert_int_equal(net.sources[0].begins, 0);
	assert_true(net.relays[0].resolved >= 100);
	assert_true(sink_stats(&net.sinks[0]).references >= 200);
	/* In its next life it is, rest or no rest. */
	sink_kill(&net.sinks[1]);
	sink_open(&net.sinks[1]);
	source_add(&net.sources[0], 10);
	net_finish(&net, true);
	assert_true(sink_stats(&net.sinks[1]).references > 0);
	net_close(&net);
}

static void feed(struct net *net)
{
	if (net_done(net))
		source_add(&net->sources[0], 1);
}

static bool two_were_resolved(struct net *net)
{
	feed(net);
	return net->sinks[0].resolved >= 2;
}

static bool three_were_refused(struct net *net)
{
	feed(net);
	return sink_stats(&net->sinks[0]).refused >= 3;
}

/* A disk had a bad moment, or there were too many open files. */
static void test_references_come_back(void **state)
{
	struct net net;
	struct test_sink *k = &net.sinks[0];

	(void)state;
	refer_init(&net, 1, 1);
	net.rest_us = 700000;
	net_open(&net);
	k->blind = true;
	source_add(&net.sources[0], 100);
	net_finish(&net, true);
	assert_int_equal(k->resolved, 1);
	k->blind = false;
	assert_true(net_until(&net, two_were_resolved));
	net_finish(&net, true);
	assert_int_equal(sink_stats(k).refused, 1);
	assert_int_equal(net.sources[0].begins, 0);
	net_close(&net);
}

/* Whoever can never read fails ever more seldom, and loses nothing. */
static void test_rests_become_longer(void **state)
{
	struct net net;
	int64_t began_mono_us;

	(void)state;
	refer_init(&net, 1, 1);
	net.rest_us = 500000;
	net.sinks[0].blind = true;
	net_open(&net);
	began_mono_us = clock_mono_us();
	assert_true(net_until(&net, three_were_refused));
	assert_true(clock_mono_us() - began_mono_us >= 3 * net.rest_us);
	net_finish(&net, true);
	assert_int_equal(net.sources[0].begins, 0);
	net_close(&net);
}

/* From a slow disk, too, a process reads on between what else it has to do. */
static void test_slow_bodies_give_way(void **state)
{
	struct net net;
	struct test_sink *k = &net.sinks[0];

	(void)state;
	refer_init(&net, 1, 1);
	net_open(&net);
	source_add(&net.sources[0], 1);
	net_finish(&net, true);
	k->node.stopped = true;
	source_add(&net.sources[0], 8);
	net_turns(&net, 300000);
	net.body_us = 30000;
	k->node.stopped = false;
	for (int i = 0, had; k->resolved < 9 && i < 1000; i++) {
		had = k->resolved;
		net_turn(&net);
		assert_true(k->resolved <= had + 1);
	}
	net_finish(&net, true);
	net_close(&net);
}

static void test_a_sink_may_take_none(void **state)
{
	struct net net;

	(void)state;
	refer_init(&net, 1, 2);
	net.sinks[0].by_value = true;
	net_open(&net);
	source_add(&net.sources[0], 100);
	net_finish(&net, true);
	assert_int_equal(sink_stats(&net.sinks[0]).references, 0);
	assert_int_equal(sink_stats(&net.sinks[1]).references, 100);
	assert_int_equal(net.relays[0].resolved, 100); /* once each */
	assert_int_equal(source_stats(&net.sources[0]).resends, 0);
	net_close(&net);
}

static void test_a_relay_that_looks_reads_the_body(void **state)
{
	struct net net;

	(void)state;
	refer_init(&net, 1, 2);
	net.relays[0].looks = true;
	net_open(&net);
	source_add(&net.sources[0], 100);
	net_finish(&net, true);
	assert_int_equal(net.relays[0].resolved, 100);
	assert_int_equal(relay_stats(&net.relays[0]).references, 100);
	assert_int_equal(sink_stats(&net.sinks[0]).references, 0);
	net_close(&net);
}

static void test_a_relay_that_cannot_read_gets_bodies(void **state)
{
	struct net net;

	(void)state;
	refer_init(&net, 1, 1);
	net.relays[0].looks = net.relays[0].blind = true;
	net_open(&net);
	source_add(&net.sources[0], 100);
	net_finish(&net, true);
	assert_true(relay_stats(&net.relays[0]).refused >= 1);
	assert_int_equal(net.relays[0].resolved, 1);
	assert_int_equal(net.sources[0].begins, 0);
	net_close(&net);
}

/* Neither the relay nor the sink can read: it still arrives. */
static void test_nobody_can_read(void **state)
{
	struct net net;

	(void)state;
	refer_init(&net, 2, 2);
	for (int i = 0; i < 2; i++)
		net.relays[i].blind = net.sinks[i].blind = true;
	net_open(&net);
	source_add(&net.sources[0], 200);
	net_finish(&net, true);
	assert_int_equal(net.sources[0].begins, 0);
	net_close(&net);
}

/* One relay takes references and the other does not any more. */
static void test_relays_differ(void **state)
{
	struct net net;

	(void)state;
	refer_init(&net, 2, 1);
	net.relays[0].looks = net.relays[0].blind = true;
	net_open(&net);
	net_turns(&net, 100000);
	source_add(&net.sources[0], 400);
	net_finish(&net, true);
	assert_true(net.relays[0].works > 0);
	assert_true(net.relays[1].works > 0);
	assert_int_equal(net.sources[0].begins, 0);
	net_close(&net);
}

/* What a sink has is not read again, however often it comes. */
static void test_only_what_is_next_is_read(void **state)
{
	struct net net;
	struct test_sink *k = &net.sinks[1];

	(void)state;
	refer_init(&net, 1, 2);
	net_open(&net);
	net.sinks[0].manual = true;
	source_add(&net.sources[0], 50);
	net_turns(&net, 300000);
	sink_kill(&net.sinks[0]); /* all of it goes again */
	net.sinks[0].manual = false;
	sink_open(&net.sinks[0]);
	net_finish(&net, true);
	assert_true(source_stats(&net.sources[0]).resends >= 1);
	assert_true(sink_stats(k).duplicates >= 1);
	assert_int_equal(k->resolved, 50);
	net_close(&net);
}

static void test_pieces_have_bodies(void **state)
{
	struct net net;

	(void)state;
	refer_init(&net, 2, 1);
	net.by_key = true;
	net.keys = 4;
	net_open(&net);
	source_add(&net.sources[0], 100);
	net_finish(&net, true);
	assert_int_equal(net.sources[0].referred, 0);
	assert_keys_in_order(&net.sinks[0], 0);
	net_close(&net);
}

static uint16_t free_port(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t bytes = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&at, bytes), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &bytes), 0);
	close(fd);
	return ntohs(at.sin_port);
}

/* Sends a batch of one of our sources by reference to a sink, as a stranger. */
static void push_reference(struct net *net, void **ctx, void **z)
{
	struct bus_endpoint at = net_endpoint(net, "lake", 0);
	struct reference r = {
	    .log = net->sources[0].id, .next = NET_STRIDE, .dir = "/etc"};
	struct batch *b = net_batch(net, 0, 0);
	uint8_t header[BATCH_HEADER_BYTES], reference[256];
	int linger = 5000;

	b->header.lane.source = uuid_new();
	b->header.lane.epoch = b->header.sequence = 1;
	batch_header_encode(&b->header, header);
	reference_encode(&r, reference);
	*ctx = zmq_ctx_new();
	*z = zmq_socket(*ctx, ZMQ_PUSH);
	zmq_setsockopt(*z, ZMQ_LINGER, &linger, sizeof(linger));
	assert_int_equal(zmq_connect(*z, at.data), 0);
	assert_true(zmq_send(*z, header, sizeof(header), ZMQ_SNDMORE) > 0);
	assert_true(zmq_send(*z, reference, reference_bytes(&r), 0) > 0);
	batch_unref(&b);
}

static bool sink_refused(struct net *net)
{
	return sink_stats(&net->sinks[0]).refused >= 1;
}

/* Another host could make us read files of ours. */
static void test_none_come_over_tcp(void **state)
{
	struct net net;
	void *ctx, *z;

	(void)state;
	refer_init(&net, 1, 1);
	for (int i = 0; i < 4; i++)
		net.ports[i] = free_port();
	net_open(&net);
	source_add(&net.sources[0], 50);
	net_finish(&net, true);
	assert_int_equal(net.sources[0].referred, 0);
	assert_int_equal(sink_stats(&net.sinks[0]).references, 0);
	push_reference(&net, &ctx, &z);
	assert_true(net_until(&net, sink_refused));
	assert_int_equal(net.sinks[0].resolved, 0);
	zmq_close(z);
	zmq_ctx_term(ctx);
	net_close(&net);
}

/* As an older one does: it says nothing of references, and refuses them. */
static void test_who_takes_none_refuses_them(void **state)
{
	struct net net;
	void *ctx, *z;

	(void)state;
	net_init(&net, 1, 1, 1);
	net_open(&net);
	push_reference(&net, &ctx, &z);
	assert_true(net_until(&net, sink_refused));
	source_add(&net.sources[0], 10);
	net_finish(&net, true);
	zmq_close(z);
	zmq_ctx_term(ctx);
	net_close(&net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bodies_stay_where_they_are),
	    cmocka_unit_test(test_a_sink_that_cannot_read_gets_bodies),
	    cmocka_unit_test(test_references_come_back),
	    cmocka_unit_test(test_rests_become_longer),
	    cmocka_unit_test(test_slow_bodies_give_way),
	    cmocka_unit_test(test_a_sink_may_take_none),
	    cmocka_unit_test(test_a_relay_that_looks_reads_the_body),
	    cmocka_unit_test(test_a_relay_that_cannot_read_gets_bodies),
	    cmocka_unit_test(test_nobody_can_read),
	    cmocka_unit_test(test_relays_differ),
	    cmocka_unit_test(test_only_what_is_next_is_read),
	    cmocka_unit_test(test_pieces_have_bodies),
	    cmocka_unit_test(test_none_come_over_tcp),
	    cmocka_unit_test(test_who_takes_none_refuses_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
