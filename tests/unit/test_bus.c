/* The bus's promises, each with the failure that could break it. */
#include "test_bus_net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <zmq.h>

static void test_delivers_in_order(void **state)
{
	struct net net;

	(void)state;
	net_init(&net, 1, 1, 1);
	net_open(&net);
	source_add(&net.sources[0], 200);
	net_finish(&net, true);
	for (size_t i = 0; i < net.sinks[0].used; i++)
		assert_int_equal(net.sinks[0].log[i].n, i);
	assert_int_equal(source_stats(&net.sources[0]).resends, 0);
	assert_int_equal(sink_stats(&net.sinks[0]).gaps, 0);
	net_close(&net);
}

static void test_spreads_over_relays_and_sinks(void **state)
{
	struct net net;

	(void)state;
	net_init(&net, 2, 3, 2);
	net_open(&net);
	net_turns(&net, 100000);
	source_add(&net.sources[0], 300);
	source_add(&net.sources[1], 300);
	net_finish(&net, true);
	for (uint32_t i = 0; i < 3; i++)
		assert_true(net.relays[i].works > 30);
	assert_int_equal(source_stats(&net.sources[0]).resends, 0);
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

static void test_delivers_over_tcp(void **state)
{
	struct net net;

	(void)state;
	net_init(&net, 1, 1, 1);
	net.payload_bytes = 100000;
	for (int i = 0; i < 4; i++)
		net.ports[i] = free_port();
	net_open(&net);
	source_add(&net.sources[0], 100);
	net_turns(&net, 20000);
	sink_kill(&net.sinks[0]);
	sink_open(&net.sinks[0]);
	net_finish(&net, true);
	net_close(&net);
}

/* ---- restarts ---- */

static bool half_done(struct net *net)
{
	return net->sources[0].freed * 2 > net->sources[0].end;
}

static bool sink_has_undurable(struct net *net)
{
	return net->sinks[0].used > net->sinks[0].durable;
}

static void test_sink_restart_with_checkpoint(void **state)
{
	struct net net;

	(void)state;
	net_init(&net, 1, 1, 2);
	net_open(&net);
	source_add(&net.sources[0], 40);
	assert_true(net_until(&net, half_done));
	net.sinks[0].manual = true; /* the rest is lost when it dies */
	source_add(&net.sources[0], 200);
	assert_true(net_until(&net, sink_has_undurable));
	assert_true(net.sinks[0].durable > 0);
	assert_true(net.sinks[0].durable < net.sinks[0].used);
	sink_checkpoint(&net.sinks[0]);
	sink_kill(&net.sinks[0]);
	assert_true(net.sinks[0].used < 240);
	net.sinks[0].manual = false;
	sink_open(&net.sinks[0]);
	net_finish(&net, true);
	assert_true(source_stats(&net.sources[0]).evidence >= 1);
	assert_true(source_stats(&net.sources[0]).resends >= 1);
	assert_true(sink_stats(&net.sinks[1]).duplicates >= 1);
	assert_int_equal(net.sources[0].begins, 0);
	net_close(&net);
}

/* Without a checkpoint every lane is found again in the log's records. */
static void test_sink_restart_from_its_log(void **state)
{
	struct net net;

	(void)state;
	net_init(&net, 1, 1, 1);
	net_open(&net);
	source_add(&net.sources[0], 100);
	assert_true(net_until(&net, half_done));
	sink_kill(&net.sinks[0]);
	sink_open(&net.sinks[0]);
	source_add(&net.sources[0], 100);
	net_finish(&net, true);
	assert_int_equal(net.sources[0].begins, 0);
	net_close(&net);
}

static void test_relay_restart(void **state)
{
	struct net net;

	(void)state;
	net_init(&net, 1, 2, 2);
	net_open(&net);
	source_add(&net.sources[0], 400);
	for (int i = 0; i < 4; i++) {
		struct test_relay *r = &net.relays[i % 2];

		net_turns(&net, 5000);
		relay_kill(r);
		net_turns(&net, 5000);
		relay_open(r);
		source_add(&net.sources[0], 20);
	}
	net_finish(&net, true);
	assert_int_equal(net.sources[0].begins, 0);
	net_close(&net);
}

/* A relay that took batches and never passed them on: only a resend helps. */
static void test_relay_that_dies_with_batches(void **state)
{
	struct net net;

	(void)state;
	net_init(&net, 1, 1, 1);
	net.relays[0].refuses = true;
	net_open(&net);
	source_add(&net.sources[0], 10);
	net_turns(&net, 300000);
	assert_true(net.relays[0].works > 0);
	assert_int_equal(net.sinks[0].used, 0);
	relay_kill(&net.relays[0]);
	net.relays[0].refuses = false;
	relay_open(&net.relays[0]);
	net_finish(&net, true);
	assert_true(source_stats(&net.sources[0]).resends > 0);
	net_close(&net);
}

static uint64_t highest_epoch(const struct test_sink *k, bool *replay)
{
	const struct record *r = &k->log[k->used - 1];

	*replay = r->header.flags & BATCH_REPLAY;
	return r->header.lane.epoch;
}

static bool sink_holds_20(struct net *net)
{
	return net->sinks[0].used >= 20;
}

static void test_source_restart_begins_a_flagged_epoch(void **state)
{
	struct net net;
	bool replay;

	(void)state;
	net_init(&net, 1, 1, 1);
	net_open(&net);
	net.sinks[0].manual = true;
	source_add(&net.sources[0], 20);
	assert_true(net_until(&net, sink_holds_20));
	assert_int_equal(highest_epoch(&net.sinks[0], &replay), 1);
	assert_false(replay);
	source_kill(&net.sources[0]);
	net.sinks[0].manual = false;
	source_open(&net.sources[0]);
	net_finish(&net, false);
	assert_int_equal(net.sinks[0].used, 40);
	assert_int_equal(highest_epoch(&net.sinks[0], &replay), 2);
	assert_true(replay);
	source_add(&net.sources[0], 1);
	net_finish(&net, false);
	highest_epoch(&net.sinks[0], &replay);
	assert_false(replay); /* new in this epoch */
	net_close(&net);
}

static void test_sink_with_a_new_log_gets_a_new_epoch(void **state)
{
	struct net net;

	(void)state;
	net_init(&net, 1, 2, 2);
	net_open(&net);
	source_add(&net.sources[0], 50);
	net_finish(&net, true);
	sink_kill(&net.sinks[1]);
	sink_lose_log(&net.sinks[1]);
	sink_open(&net.sinks[1]);
	source_add(&net.sources[0], 50);
	net_finish(&net, false);
	for (uint64_t n = 50; n < 100; n++)
		assert_true(sink_count(&net.sinks[1], 0, n) >= 1);
	assert_true(net.sources[0].begins >= 1);
	assert_true(source_stats(&net.sources[0]).epochs >= 2);
	net_close(&net);
}

static void test_added_sink_gets_a_new_epoch(void **state)
{
	struct bus_endpoint outs[2];
	struct net net;
	struct err err;

	(void)state;
	net_init(&net, 1, 1, 1);
	net_open(&net);
	source_add(&net.sources[0], 50);
	net_finish(&net, true);
	net.sink_count = 2;
	net.sinks_added = true;
	sink_open(&net.sinks[1]);
	outs[0] = net_endpoint(&net, "lake", 0);
	outs[1] = net_endpoint(&net, "lake", 1);
	net.relays[0].sinks = 2;
	assert_int_equal(bus_relay_set_outs(net.relays[0].relay, outs, 2, &err),
			 0);
	source_add(&net.sources[0], 50);
	net_finish(&net, false);
	for (uint64_t n = 50; n < 100; n++)
		assert_int_equal(sink_count(&net.sinks[1], 0, n), 1);
	assert_int_equal(net.sources[0].begins, 1);
	net_close(&net);
}

static void test_changed_peers_need_a_new_epoch(void **state)
{
	struct bus_endpoint peers[3];
	struct net net;
	struct err err;

	(void)state;
	net_init(&net, 1, 3, 1);
	net.sources[0].peers = 2;
	net_open(&net);
	source_add(&net.sources[0], 100);
	net_turns(&net, 5000);
	net_peers(&net, peers, 3);
	assert_int_equal(
	    bus_source_set_peers(net.sources[0].source, peers, 3, &err), 0);
	net_until(&net, net_done);
	source_add(&net.sources[0], 100);
	net_finish(&net, false);
	assert_int_equal(net.sources[0].begins, 1);
	assert_true(net.relays[2].works > 0);
	peers[1].instance = 0;
	assert_int_equal(
	    bus_source_set_peers(net.sources[0].source, peers, 3, &err), -1);
	assert_non_null(strstr(err.text, "instance 0"));
	net_close(&net);
}

/* A new epoch repeats at the sinks what was in flight. */
static void test_the_same_peers_again_change_nothing(void **state)
{
	struct bus_endpoint peers[2];
	struct net net;
	struct err err;

	(void)state;
	net_init(&net, 1, 2, 1);
	net_open(&net);
	source_add(&net.sources[0], 100);
	net_turns(&net, 5000);
	net_peers(&net, peers, 2);
	assert_int_equal(
	    bus_source_set_peers(net.sources[0].source, peers, 2, &err), 0);
	source_add(&net.sources[0], 100);
	net_finish(&net, true);
	assert_int_equal(net.sources[0].begins, 0);
	net_close(&net);
}

/* ---- back-pressure and slowness ---- */

static void test_full_sink_stops_the_source(void **state)
{
	struct net net;
	struct bus_stats stats;

	(void)state;
	net_init(&net, 1, 1, 2);
	net.payload_bytes = 10000;
	net.window_bytes = 100000;
	net_open(&net);
	net.sinks[0].full = true;
	source_add(&net.sources[0], 300);
	net_turns(&net, 400000);
	stats = source_stats(&net.sources[0]);
	assert_true(stats.unacked_bytes > 0);
	assert_true(stats.unacked_bytes < 100000 + 12000);
	assert_int_equal(net.sources[0].freed, 0);
	net.sinks[0].full = false;
	bus_sink_resume(net.sinks[0].sink);
	net_finish(&net, true);
	stats = source_stats(&net.sources[0]);
	assert_int_equal(stats.resends, 0);
	assert_int_equal(stats.evidence, 0);
	net_close(&net);
}

/* Room that comes back behind the last delivery is told by nobody. */
static void test_room_is_found_without_a_resume(void **state)
{
	struct net net;

	(void)state;
	net_init(&net, 1, 1, 1);
	net_open(&net);
	net.sinks[0].full = true;
	source_add(&net.sources[0], 10);
	net_turns(&net, 400000);
	assert_int_equal(net.sources[0].freed, 0);
	net.sinks[0].full = false;
	net_finish(&net, true);
	net_close(&net);
}

/* Far slower than any timeout of the protocol, but talking: no resend. */
static void test_slowness_is_no_evidence(void **state)
{
	struct net net;

	(void)state;
	net_init(&net, 1, 2, 1);
	net.silence_us = 600000;
	net_open(&net);
	net.sinks[0].manual = true;
	source_add(&net.sources[0], 50);
	net_turns(&net, 1500000);
	assert_int_equal(net.sources[0].freed, 0);
	sink_sync(&net.sinks[0]);
	net_finish(&net, true);
	assert_int_equal(source_stats(&net.sources[0]).resends, 0);
	assert_int_equal(sink_stats(&net.sinks[0]).duplicates, 0);
	net_close(&net);
}

static void test_unheard_sink_acks_nothing(void **state)
{
	struct net net;

	(void)state;
	net_init(&net, 1, 1, 2);
	sink_open(&net.sinks[0]);
	relay_open(&net.relays[0]);
	source_open(&net.sources[0]);
	source_add(&net.sources[0], 20);
	net_turns(&net, 600000);
	assert_int_equal(net.sources[0].freed, 0);
	assert_int_equal(source_stats(&net.sources[0]).peers_ready, 0);
	assert_int_equal(source_stats(&net.sources[0]).batches_out, 0);
	sink_open(&net.sinks[1]);
	net_finish(&net, true);
	net_close(&net);
}

static bool peer_lost(struct net *net)
{
	return source_stats(&net->sources[0]).peers_ready == 0;
}

/* A stopped process says nothing; its batches are not given to others twice. */
static void test_silence_is_evidence(void **state)
{
	struct net net;

	(void)state;
	net_init(&net, 1, 1, 1);
	net.silence_us = 600000;
	net_open(&net);
	net_turns(&net, 100000);
	net.relays[0].node.stopped = true;
	source_add(&net.sources[0], 20);
	assert_true(net_until(&net, peer_lost));
	assert_int_equal(source_stats(&net.sources[0]).resends, 0);
	net.relays[0].node.stopped = false;
	net_finish(&net, true);
	assert_true(source_stats(&net.sources[0]).resends > 0);
	net_close(&net);
}

/*
 * A process that stood still heard nobody meanwhile, which proves nothing. Its
 * states are held back until it has looked, as a busy machine may do.
 */
static void pause_one(enum wire wire)
{
	struct net net;
	struct node *node =
	    wire == RAW_STATE ? &net.sources[0].node : &net.relays[0].node;

	net_init(&net, 1, 1, 1);
	net.silence_us = 600000;
	net_add_wires(&net);
	net_open(&net);
	source_add(&net.sources[0], 20);
	net_finish(&net, true);
	net.sinks[0].manual = true;
	source_add(&net.sources[0], 20);
	net_turns(&net, 100000);
	node->stopped = true;
	net_wire(&net, wire, 0)->held = true;
	/* Long for it, but not for who listens to it. */
	if (wire == LAKE_STATE)
		net.sources[0].node.stopped = true;
	net_turns(&net, 1500000);
	node->stopped = net.sources[0].node.stopped = false;
	net_turns(&net, 100000);
	net_wire(&net, wire, 0)->held = false;
	net_turns(&net, 600000);
	net.sinks[0].manual = false;
	net_finish(&net, true);
	assert_int_equal(source_stats(&net.sources[0]).resends, 0);
	net_close(&net);
}

static void test_own_pause_is_no_silence(void **state)
{
	(void)state;
	pause_one(RAW_STATE);
	pause_one(LAKE_STATE);
}

/* ---- broken connections: no process dies ---- */

static void cut_while_busy(enum wire wire)
{
	struct net net;

	net_init(&net, 1, 1, 2);
	net.payload_bytes = 50000; /* so that something is always under way */
	net_add_wires(&net);
	net_open(&net);
	for (int i = 0; i < 5; i++) {
		source_add(&net.sources[0], 40);
		for (int n = 0;
		     n < 3000 &&
		     source_stats(&net.sources[0]).unacked_batches < 5;
		     n++)
			net_turn(&net);
		proxy_cut(net_wire(&net, wire, 0));
	}
	net_finish(&net, true);
	assert_int_equal(net.sources[0].begins, 0);
	if (wire == RAW || wire == LAKE)
		assert_true(source_stats(&net.sources[0]).resends > 0);
	net_close(&net);
}

static void test_cut_between_source_and_relay(void **state)
{
	(void)state;
	cut_while_busy(RAW);
}

static void test_cut_between_relay_and_sink(void **state)
{
	(void)state;
	cut_while_busy(LAKE);
}

static void test_cut_of_states(void **state)
{
	(void)state;
	cut_while_busy(RAW_STATE);
	cut_while_busy(LAKE_STATE);
}

/* States that do not come for a while: nothing is sent, nothing is lost. */
static void test_states_held_back(void **state)
{
	struct net net;

	(void)state;
	net_init(&net, 1, 1, 1);
	net.silence_us = 600000;
	net_add_wires(&net);
	net_open(&net);
	source_add(&net.sources[0], 20);
	net_finish(&net, true);
	net_wire(&net, LAKE_STATE, 0)->held = true;
	source_add(&net.sources[0], 20);
	assert_true(net_until(&net, peer_lost));
	assert_int_equal(net.sources[0].freed, 20);
	net_wire(&net, LAKE_STATE, 0)->held = false;
	net_finish(&net, true);
	net_close(&net);
}

/* ---- idleness ---- */

/* A loop that has nothing to do waits: it does not turn all the time. */
static void assert_sleeps(struct node *node)
{
	int64_t end_mono_us = clock_mono_us() + 300000;
	int turns = 0;

	for (; clock_mono_us() < end_mono_us; turns++)
		loop_turn(node->loop, 20000);
	assert_true(turns < 60);
}

static void test_waiting_costs_nothing(void **state)
{
	struct net net;

	(void)state;
	net_init(&net, 1, 2, 2);
	net_open(&net);
	net.sinks[1].full = true;
	source_add(&net.sources[0], 100);
	net_turns(&net, 200000);
	relay_kill(&net.relays[0]);
	net_turns(&net, 100000);
	assert_sleeps(&net.sources[0].node);
	assert_sleeps(&net.relays[1].node);
	assert_sleeps(&net.sinks[0].node);
	assert_sleeps(&net.sinks[1].node);
	net_close(&net);
}

/* ---- bad input ---- */

/* A peer that is not ours, pushing to an endpoint. */
static void push_frames(const struct bus_endpoint *at, const char *frames[],
			int count)
{
	void *ctx = zmq_ctx_new(), *z = zmq_socket(ctx, ZMQ_PUSH);

	assert_int_equal(zmq_connect(z, at->data), 0);
	for (int i = 0; i < count; i++)
		assert_true(zmq_send(z, frames[i], strlen(frames[i]),
				     i < count - 1 ? ZMQ_SNDMORE : 0) >= 0);
	zmq_close(z);
	zmq_ctx_term(ctx); /* waits until it has left */
}

static bool both_refused(struct net *net)
{
	struct bus_stats stats;

	bus_relay_get_stats(net->relays[0].relay, &stats);
	return stats.refused >= 2 && sink_stats(&net->sinks[0]).refused >= 2;
}

static void test_refuses_what_is_no_batch(void **state)
{
	const char *one[] = {"hello"};
	const char *four[] = {"a", "", "c", "d"};
	struct bus_endpoint at;
	struct net net;

	(void)state;
	net_init(&net, 1, 1, 1);
	net_open(&net);
	source_add(&net.sources[0], 20);
	for (int i = 0; i < 2; i++) {
		at = net_endpoint(&net, i ? "raw" : "lake", 0);
		push_frames(&at, one, 1);
		push_frames(&at, four, 4);
	}
	assert_true(net_until(&net, both_refused));
	source_add(&net.sources[0], 20);
	net_finish(&net, true);
	net_close(&net);
}

/* A record that goes bad after it was sent cannot be sent again. */
static void test_unreadable_record_begins_an_epoch(void **state)
{
	struct net net;

	(void)state;
	net_init(&net, 1, 1, 1);
	net.relays[0].refuses = true;
	net_open(&net);
	source_add(&net.sources[0], 10);
	net_turns(&net, 100000);
	net.sources[0].bad = 2;
	relay_kill(&net.relays[0]);
	net.relays[0].refuses = false;
	relay_open(&net.relays[0]);
	assert_true(net_until(&net, net_done));
	assert_int_equal(net.sources[0].begins, 1);
	assert_int_equal(sink_count(&net.sinks[0], 0, 2), 0);
	assert_true(sink_count(&net.sinks[0], 0, 9) >= 1);
	net_close(&net);
}

static void test_waits_for_a_disk_that_cannot_be_read(void **state)
{
	struct net net;

	(void)state;
	net_init(&net, 1, 1, 1);
	net.sources[0].unreadable = true;
	net_open(&net);
	source_add(&net.sources[0], 10);
	net_turns(&net, 100000);
	assert_int_equal(net.sinks[0].used, 0);
	net.sources[0].unreadable = false;
	net_finish(&net, true);
	net_close(&net);
}

/*
 * A log restored from a copy: its epochs were used before, this one or later
 * ones. Sent under them, its batches would be taken for duplicates.
 */
static void test_used_epoch_is_left_behind(void **state)
{
	for (uint64_t restored = 2; restored <= 4; restored++) {
		struct net net;

		(void)state;
		net_init(&net, 1, 2, 2);
		net.sources[0].epoch = 4;
		net_open(&net);
		source_add(&net.sources[0], 30);
		net_finish(&net, true);
		source_kill(&net.sources[0]);
		net.sources[0].epoch = restored;
		source_open(&net.sources[0]);
		source_add(&net.sources[0], 30);
		net_finish(&net, false);
		assert_int_equal(net.sources[0].epoch, 6);
		net_close(&net);
	}
}

/* ---- stats ---- */

static void count_stats(void *arg, const uint8_t *data, size_t bytes)
{
	assert_memory_equal(data, "counters", bytes);
	++*(int *)arg;
}

static void test_stats_pipe(void **state)
{
	char dir[] = "/tmp/weft-bus-XXXXXX", endpoint[64];
	struct node node = {0};
	struct bus_stats_out *out;
	struct bus_stats_in *in;
	int64_t end_mono_us;
	struct err err;
	int got = 0;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(endpoint, sizeof(endpoint), "ipc://%s/stats", dir);
	node_up(&node);
	assert_int_equal(bus_stats_out_open(&out, node.bus, endpoint, &err), 0);
	for (int i = 0; i < 100; i++) /* nobody listens: dropped, not kept */
		bus_stats_out_send(out, "counters", 8);
	assert_int_equal(
	    bus_stats_in_open(&in, node.bus, endpoint, count_stats, &got, &err),
	    0);
	end_mono_us = clock_mono_us() + NET_PATIENCE_US;
	while (got < 3 && clock_mono_us() < end_mono_us) {
		bus_stats_out_send(out, "counters", 8);
		loop_turn(node.loop, NET_TURN_US);
	}
	assert_true(got >= 3);
	assert_sleeps(&node);
	bus_stats_in_close(&in);
	bus_stats_out_close(&out);
	assert_null(in);
	assert_null(out);
	node_down(&node);
	unlink(endpoint + strlen("ipc://"));
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_delivers_in_order),
	    cmocka_unit_test(test_spreads_over_relays_and_sinks),
	    cmocka_unit_test(test_delivers_over_tcp),
	    cmocka_unit_test(test_sink_restart_with_checkpoint),
	    cmocka_unit_test(test_sink_restart_from_its_log),
	    cmocka_unit_test(test_relay_restart),
	    cmocka_unit_test(test_relay_that_dies_with_batches),
	    cmocka_unit_test(test_source_restart_begins_a_flagged_epoch),
	    cmocka_unit_test(test_sink_with_a_new_log_gets_a_new_epoch),
	    cmocka_unit_test(test_added_sink_gets_a_new_epoch),
	    cmocka_unit_test(test_changed_peers_need_a_new_epoch),
	    cmocka_unit_test(test_the_same_peers_again_change_nothing),
	    cmocka_unit_test(test_full_sink_stops_the_source),
	    cmocka_unit_test(test_room_is_found_without_a_resume),
	    cmocka_unit_test(test_slowness_is_no_evidence),
	    cmocka_unit_test(test_unheard_sink_acks_nothing),
	    cmocka_unit_test(test_silence_is_evidence),
	    cmocka_unit_test(test_own_pause_is_no_silence),
	    cmocka_unit_test(test_cut_between_source_and_relay),
	    cmocka_unit_test(test_cut_between_relay_and_sink),
	    cmocka_unit_test(test_cut_of_states),
	    cmocka_unit_test(test_states_held_back),
	    cmocka_unit_test(test_waiting_costs_nothing),
	    cmocka_unit_test(test_refuses_what_is_no_batch),
	    cmocka_unit_test(test_unreadable_record_begins_an_epoch),
	    cmocka_unit_test(test_waits_for_a_disk_that_cannot_be_read),
	    cmocka_unit_test(test_used_epoch_is_left_behind),
	    cmocka_unit_test(test_stats_pipe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
