/*
 * The bus under random faults: nodes are killed, stopped and opened again,
 * connections are cut or hold everything back, logs refuse, syncs are late,
 * strangers push rubbish, bodies are not where references say, sinks lose their
 * logs. The net checks at every step that nothing is freed that some sink has
 * or had not durable, and that each lane is in order; here, that once the
 * faults end everything arrives, exactly once where no source began a new epoch
 * but behind a drain, and each key in order where the source keeps it to one
 * lane.
 *
 * WEFT_MODEL_SEED=n repeats a run, WEFT_MODEL_RUNS=n makes more of them.
 */
#include "test_bus_net.h"

#include <zmq.h>

#define RUNS  6
#define STEPS 120

struct model {
	struct net net;
	uint64_t random;
	bool source_faults;
	bool scales; /* the number of relays that sources use changes */
	bool logs_fail;
	int logs_lost;
};

/* xorshift64*: the same numbers from the same seed on every machine. */
static uint32_t below(struct model *m, uint32_t limit)
{
	m->random ^= m->random >> 12;
	m->random ^= m->random << 25;
	m->random ^= m->random >> 27;
	return (uint32_t)((m->random * 0x2545f4914f6cdd1dULL) >> 33) % limit;
}

static void fault_source(struct model *m)
{
	struct test_source *s = &m->net.sources[below(m, m->net.source_count)];

	if (!s->source)
		source_open(s);
	else if (m->source_faults && below(m, 2))
		source_kill(s);
	else
		s->node.stopped = !s->node.stopped;
}

static void fault_relay(struct model *m)
{
	struct test_relay *r = &m->net.relays[below(m, m->net.relay_count)];

	r->refuses = below(m, 8) == 0;
	r->looks = below(m, 3) == 0;
	r->blind = below(m, 3) == 0;
	if (!r->relay)
		relay_open(r);
	else if (below(m, 3))
		relay_kill(r);
	else
		r->node.stopped = !r->node.stopped;
}

static void fault_sink(struct model *m)
{
	struct test_sink *k = &m->net.sinks[below(m, m->net.sink_count)];

	if (!k->sink && m->logs_fail && below(m, 4) == 0) {
		sink_lose_log(k);
		m->logs_lost++;
	}
	if (!k->sink)
		sink_open(k);
	else if (below(m, 2))
		sink_kill(k);
	else
		k->node.stopped = !k->node.stopped;
}

static void fault_log(struct model *m)
{
	struct test_sink *k = &m->net.sinks[below(m, m->net.sink_count)];

	k->manual = below(m, 2);
	k->full = below(m, 3) == 0;
	k->blind = below(m, 3) == 0;
	if (!k->sink)
		return;
	if (!k->full)
		bus_sink_resume(k->sink);
	if (below(m, 3) == 0)
		sink_checkpoint(k);
	else if (below(m, 2))
		sink_sync(k);
}

static void fault_stranger(struct model *m)
{
	struct bus_endpoint at =
	    net_endpoint(&m->net, below(m, 2) ? "raw" : "lake", 0);
	void *ctx = zmq_ctx_new(), *z = zmq_socket(ctx, ZMQ_PUSH);
	int linger = 5;

	zmq_setsockopt(z, ZMQ_LINGER, &linger, sizeof(linger));
	assert_int_equal(zmq_connect(z, at.data), 0);
	assert_int_equal(zmq_send(z, "rubbish", 7, ZMQ_DONTWAIT), 7);
	zmq_close(z);
	zmq_ctx_term(ctx);
}

/* A wire is cut, or holds everything back until it is cut or let go. */
static void fault_wire(struct model *m)
{
	enum wire wire = (enum wire)below(m, WIRES);
	struct proxy *p = net_wire(
	    &m->net, wire,
	    below(m, wire < LAKE ? m->net.relay_count : m->net.sink_count));

	if (below(m, 2))
		proxy_cut(p);
	p->held = below(m, 3) == 0;
}

static void change_peers(struct model *m)
{
	struct test_source *s = &m->net.sources[below(m, m->net.source_count)];
	struct bus_endpoint peers[NET_MOST];
	struct err err;

	if (!m->scales)
		return;
	s->peers = net_peers(&m->net, peers, 1 + below(m, m->net.relay_count));
	if (s->source)
		assert_int_equal(
		    bus_source_set_peers(s->source, peers, s->peers, &err), 0);
}

static void step(struct model *m)
{
	switch (below(m, 14)) {
	case 13:
		change_peers(m);
		break;
	case 10:
	case 11:
	case 12:
		fault_wire(m);
		break;
	case 0:
		fault_source(m);
		break;
	case 1:
	case 2:
		fault_relay(m);
		break;
	case 3:
	case 4:
		fault_sink(m);
		break;
	case 5:
	case 6:
		fault_log(m);
		break;
	case 7:
		fault_stranger(m);
		break;
	default:
		source_add(&m->net.sources[below(m, m->net.source_count)],
			   1 + below(m, 20));
		break;
	}
	for (uint32_t n = below(m, 20); n > 0; n--)
		net_turn(&m->net);
}

static void heal(struct model *m)
{
	for (uint32_t i = 0; i < WIRES * NET_MOST; i++)
		m->net.proxies[i].held = false;
	for (uint32_t i = 0; i < m->net.sink_count; i++) {
		struct test_sink *k = &m->net.sinks[i];

		k->full = k->manual = k->node.stopped = false;
		if (!k->sink)
			sink_open(k);
		bus_sink_resume(k->sink);
	}
	for (uint32_t i = 0; i < m->net.relay_count; i++) {
		struct test_relay *r = &m->net.relays[i];

		r->refuses = r->node.stopped = false;
		if (!r->relay)
			relay_open(r);
	}
	for (uint32_t i = 0; i < m->net.source_count; i++) {
		struct test_source *s = &m->net.sources[i];

		s->node.stopped = false;
		if (!s->source)
			source_open(s);
	}
}

/* Whether nothing may come twice: a drain that is cut short is an exception. */
static bool is_exact(const struct model *m)
{
	return !m->source_faults && !m->logs_lost &&
	       (!m->scales || m->net.drain_us > NET_PATIENCE_US);
}

static void check(struct model *m)
{
	int begins = 0;

	net_finish(&m->net, is_exact(m));
	for (uint32_t i = 0; i < m->net.source_count; i++) {
		begins += m->net.sources[i].begins;
		for (uint32_t k = 0; m->net.by_key && k < m->net.sink_count;
		     k++)
			assert_keys_in_order(&m->net.sinks[k], i);
	}
	/* No other fault here is a reason for one. */
	if (!m->scales && !m->logs_lost)
		assert_int_equal(begins, 0);
}

static void run(uint64_t seed)
{
	struct model m = {.random = seed * 2 + 1};

	for (int i = 0; i < 8; i++)
		below(&m, 2); /* small seeds start alike */
	m.source_faults = below(&m, 2);
	net_init(&m.net, 1 + below(&m, 2), 1 + below(&m, 3), 1 + below(&m, 2));
	m.net.silence_us = 600000;
	m.net.payload_bytes = 100 + below(&m, 20000);
	m.net.window_bytes = 20000 + below(&m, 200000);
	m.scales = below(&m, 2);
	m.net.drain_us = below(&m, 2) ? 100 * NET_PATIENCE_US : 50000;
	m.net.by_key = below(&m, 2);
	m.net.refers = below(&m, 4) != 0;
	m.net.rest_us = 400000;
	m.net.keys = 1 + below(&m, 6);
	m.net.payload_bytes /= m.net.keys;
	m.logs_fail = below(&m, 3) == 0;
	printf("seed %" PRIu64 ": %u sources%s%s%s%s, %u relays, %u sinks%s\n",
	       seed, m.net.source_count, m.source_faults ? " that fail" : "",
	       m.net.by_key ? " by key" : "", m.scales ? " that change" : "",
	       m.net.refers ? " by reference" : "", m.net.relay_count,
	       m.net.sink_count, m.logs_fail ? " that lose their logs" : "");
	log_open("test", LOG_ERROR + (getenv("WEFT_MODEL_LOG") ? 2 : 0),
		 LOG_LOGFMT);
	net_add_wires(&m.net);
	net_open(&m.net);
	for (int i = 0; i < STEPS; i++)
		step(&m);
	heal(&m);
	check(&m);
	net_close(&m.net);
}

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

static void test_random_faults(void **state)
{
	uint64_t seed =
	    number("WEFT_MODEL_SEED", (uint64_t)clock_wall_us() % 1000000);
	uint64_t runs = number("WEFT_MODEL_RUNS", RUNS);

	(void)state;
	for (uint64_t i = 0; i < runs; i++)
		run(seed + i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_random_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
