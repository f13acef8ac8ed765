/*
 * A source whose transformers change in number, and one that keeps each key to
 * one of them.
 */
#include "test_bus_net.h"

static void set_peers(struct net *net, uint32_t count)
{
	struct bus_endpoint peers[NET_MOST];
	struct err err;

	net_peers(net, peers, count);
	assert_int_equal(
	    bus_source_set_peers(net->sources[0].source, peers, count, &err),
	    0);
}

static bool in_flight(struct net *net)
{
	return source_stats(&net->sources[0]).unacked_batches > 0;
}

static bool has_moved(struct net *net)
{
	return net->sources[0].moves > 0;
}

static bool sink_got_some(struct net *net)
{
	return net->sinks[0].used >= 20;
}

/* The newest transformer gets work as soon as there is enough for all. */
static bool third_works(struct net *net)
{
	if (net->sources[0].peers == 3 &&
	    bus_source_idle(net->sources[0].source))
		source_add(&net->sources[0], 20);
	return net->relays[2].works > 0;
}

/* Records of the log that carry the flag of a replay. */
static size_t replays(const struct test_sink *k)
{
	size_t count = 0;

	for (size_t i = 0; i < k->used; i++)
		count += (k->log[i].header.flags & BATCH_REPLAY) != 0;
	return count;
}

/* ---- another number of transformers ---- */

static void test_nothing_goes_twice_when_peers_change_under_load(void **state)
{
	static const uint32_t counts[] = {3, 1, 2};
	struct net net;

	(void)state;
	net_init(&net, 1, 3, 2);
	net.drain_us = NET_PATIENCE_US;
	net.sources[0].peers = 1;
	net_open(&net);
	for (int i = 0; i < 3; i++) {
		source_add(&net.sources[0], 400);
		assert_true(net_until(&net, in_flight));
		set_peers(&net, counts[i]);
		source_add(&net.sources[0], 100);
		net.sources[0].moves = 0;
		assert_true(net_until(&net, has_moved));
		net.sources[0].peers = counts[i];
		assert_true(net_until(&net, third_works));
	}
	net_finish(&net, true);
	assert_int_equal(net.sources[0].begins, 3);
	/* What was in the log, but never sent, is no replay. */
	assert_int_equal(replays(&net.sinks[0]), 0);
	assert_int_equal(source_stats(&net.sources[0]).resends, 0);
	net_close(&net);
}

static void test_a_drain_that_takes_too_long_is_cut_short(void **state)
{
	struct net net;

	(void)state;
	net_init(&net, 1, 2, 1);
	net.drain_us = 300000;
	net.sources[0].peers = 1;
	net_open(&net);
	net.sinks[0].manual = true;
	source_add(&net.sources[0], 50);
	assert_true(net_until(&net, sink_got_some));
	set_peers(&net, 2);
	net_turns(&net, 100000);
	assert_int_equal(net.sources[0].moves, 0);
	assert_true(net_until(&net, has_moved));
	net.sinks[0].manual = false;
	net_finish(&net, false);
	assert_true(replays(&net.sinks[0]) > 0);
	net_close(&net);
}

static void test_a_change_that_waits_can_be_called_off(void **state)
{
	struct net net;
	uint64_t out;

	(void)state;
	net_init(&net, 1, 2, 1);
	net.drain_us = NET_PATIENCE_US;
	net.sources[0].peers = 1;
	net_open(&net);
	net.sinks[0].manual = true;
	source_add(&net.sources[0], 50);
	assert_true(net_until(&net, sink_got_some));
	net_turns(&net, 50000);
	out = source_stats(&net.sources[0]).batches_out;
	set_peers(&net, 2);
	set_peers(&net, 2);
	/* What is new waits, or there would be no end to it. */
	source_add(&net.sources[0], 50);
	net_turns(&net, 50000);
	assert_int_equal(source_stats(&net.sources[0]).batches_out, out);
	assert_int_equal(net.sources[0].moves, 0);
	set_peers(&net, 1);
	assert_int_equal(net.sources[0].moves, 1);
	net.sinks[0].manual = false;
	net_finish(&net, true);
	assert_int_equal(net.sources[0].begins, 0);
	net_close(&net);
}

/* ---- order = key ---- */

static size_t keys_in(const struct test_sink *k, uint32_t lane)
{
	size_t count = 0;

	for (size_t i = 0; i < k->used; i++)
		if (k->log[i].header.lane.number == lane)
			count += (size_t)__builtin_popcount(k->log[i].keys);
	return count;
}

static void open_by_key(struct net *net, uint32_t relays)
{
	net_init(net, 1, relays, 2);
	net->by_key = true;
	net->keys = 7;
	net->drain_us = NET_PATIENCE_US;
	net_open(net);
}

static void finish_by_key(struct net *net)
{
	assert_true(net_until(net, net_done));
	for (uint32_t i = 0; i < net->sink_count; i++) {
		size_t keys = 0;

		for (uint64_t n = 0; n < net->sources[0].end; n++)
			assert_true(sink_has(&net->sinks[i], 0, n));
		for (uint32_t lane = 0; lane < NET_MOST; lane++)
			keys += keys_in(&net->sinks[i], lane);
		/* Nothing came twice. */
		assert_int_equal(keys, 7 * net->sources[0].end);
		assert_keys_in_order(&net->sinks[i], 0);
	}
}

static void test_a_key_stays_in_its_lane(void **state)
{
	struct net net;

	(void)state;
	open_by_key(&net, 3);
	source_add(&net.sources[0], 500);
	finish_by_key(&net);
	/* Hashes 1 to 7: two, three and two of them modulo three. */
	assert_int_equal(keys_in(&net.sinks[0], 0), 2 * 500);
	assert_int_equal(keys_in(&net.sinks[0], 1), 3 * 500);
	assert_int_equal(keys_in(&net.sinks[0], 2), 2 * 500);
	assert_int_equal(source_stats(&net.sources[0]).resends, 0);
	net_close(&net);
}

static void test_events_without_a_key_are_dealt_out(void **state)
{
	struct net net;

	(void)state;
	open_by_key(&net, 2);
	net.keyless = true;
	source_add(&net.sources[0], 100);
	assert_true(net_until(&net, net_done));
	assert_int_equal(keys_in(&net.sinks[0], 0), 4 * 100);
	assert_int_equal(keys_in(&net.sinks[0], 1), 3 * 100);
	net_close(&net);
}

static bool others_are_done(struct net *net)
{
	return keys_in(&net->sinks[0], 1) == 3 * 300;
}

static void test_a_dead_transformer_holds_back_its_keys_alone(void **state)
{
	struct net net;

	(void)state;
	open_by_key(&net, 2);
	net.silence_us = 600000;
	source_add(&net.sources[0], 100);
	finish_by_key(&net);
	relay_kill(&net.relays[1]);
	net.sources[0].end += 300;
	bus_source_kick(net.sources[0].source);
	/* Lane 0 has the even hashes: three keys of seven. */
	while (keys_in(&net.sinks[0], 0) < 3 * 400)
		net_turn(&net);
	assert_int_equal(net.sources[0].freed, 100);
	assert_false(others_are_done(&net));
	relay_open(&net.relays[1]);
	finish_by_key(&net);
	net_close(&net);
}

static void test_keys_keep_their_order_over_resends(void **state)
{
	struct net net;

	(void)state;
	open_by_key(&net, 3);
	for (int i = 0; i < 6; i++) {
		source_add(&net.sources[0], 200);
		assert_true(net_until(&net, in_flight));
		relay_kill(&net.relays[i % 3]);
		net_turns(&net, 2000);
		relay_open(&net.relays[i % 3]);
	}
	finish_by_key(&net);
	assert_int_equal(net.sources[0].begins, 0);
	net_close(&net);
}

static void test_keys_keep_their_order_when_peers_change(void **state)
{
	struct net net;

	(void)state;
	open_by_key(&net, 3);
	for (uint32_t i = 1; i <= 3; i++) {
		source_add(&net.sources[0], 200);
		assert_true(net_until(&net, in_flight));
		set_peers(&net, i);
	}
	finish_by_key(&net);
	net_close(&net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
		test_nothing_goes_twice_when_peers_change_under_load),
	    cmocka_unit_test(test_a_drain_that_takes_too_long_is_cut_short),
	    cmocka_unit_test(test_a_change_that_waits_can_be_called_off),
	    cmocka_unit_test(test_a_key_stays_in_its_lane),
	    cmocka_unit_test(test_events_without_a_key_are_dealt_out),
	    cmocka_unit_test(test_a_dead_transformer_holds_back_its_keys_alone),
	    cmocka_unit_test(test_keys_keep_their_order_over_resends),
	    cmocka_unit_test(test_keys_keep_their_order_when_peers_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
