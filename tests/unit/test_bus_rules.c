/*
 * Each rule of the bus alone: one real role between neighbours that are played
 * here, frame by frame, so that they can say what real ones say only in bad
 * luck. The whole pipeline is in test_bus.c.
 */
#include "test_bus_net.h"

#include <zmq.h>

/* A played consumer: what was pushed to it, and the state that it tells. */
struct played {
	void *zmq, *pull, *pub;
	struct state state;
	struct state_lane lane; /* told when state.lane_count is 1 */
	uint64_t got[1000];	/* sequences, in the order in which they came */
	struct batch_header last;
	int count;
};

/* One role on a loop, its played neighbours, and the state it publishes. */
struct stage {
	struct net net; /* for a directory, a log and its endpoints */
	struct played consumers[2];
	void *zmq, *push, *sub; /* a producer's side */
	struct state heard;
	struct state_lane *lanes;
	bool any; /* a state was heard */
	struct refusal refused;
	int refusals; /* heard */
	int64_t told_mono_us;
};

static void bind_to(void *z, const char *endpoint)
{
	assert_int_equal(zmq_bind(z, endpoint), 0);
}

static void play_consumer(struct played *p, struct bus_endpoint at)
{
	p->zmq = zmq_ctx_new();
	p->pull = zmq_socket(p->zmq, ZMQ_PULL);
	p->pub = zmq_socket(p->zmq, ZMQ_PUB);
	bind_to(p->pull, at.data);
	bind_to(p->pub, at.state);
	p->state = (struct state){.name = "played.0",
				  .incarnation = uuid_new(),
				  .log_id = uuid_new(),
				  .complete = true,
				  .lanes = &p->lane};
}

static void play_producer(struct stage *g, const char *link)
{
	struct bus_endpoint at = net_endpoint(&g->net, link, 0);
	int linger = 0;

	g->zmq = zmq_ctx_new();
	g->push = zmq_socket(g->zmq, ZMQ_PUSH);
	g->sub = zmq_socket(g->zmq, ZMQ_SUB);
	zmq_setsockopt(g->push, ZMQ_LINGER, &linger, sizeof(linger));
	zmq_setsockopt(g->sub, ZMQ_SUBSCRIBE, "", 0);
	assert_int_equal(zmq_connect(g->push, at.data), 0);
	assert_int_equal(zmq_connect(g->sub, at.state), 0);
}

static void tell(struct played *p)
{
	struct buf out = {0};

	state_encode(&p->state, &out);
	zmq_send(p->pub, out.data, out.used, ZMQ_DONTWAIT);
	buf_free(&out);
}

static void take(struct played *p)
{
	uint8_t frame[BATCH_HEADER_BYTES];
	struct err err;

	while (zmq_recv(p->pull, frame, sizeof(frame), ZMQ_DONTWAIT) >= 0) {
		assert_int_equal(
		    batch_header_decode(frame, sizeof(frame), &p->last, &err),
		    0);
		zmq_recv(p->pull, frame, 0, 0);
		zmq_recv(p->pull, frame, 0, 0);
		assert_true(p->count < 1000);
		p->got[p->count++] = p->last.sequence;
	}
}

static void hear(struct stage *g)
{
	struct err err;
	zmq_msg_t msg;

	zmq_msg_init(&msg);
	while (zmq_msg_recv(&msg, g->sub, ZMQ_DONTWAIT) >= 0) {
		if (refusal_is(zmq_msg_data(&msg), zmq_msg_size(&msg))) {
			assert_int_equal(refusal_decode(zmq_msg_data(&msg),
							zmq_msg_size(&msg),
							&g->refused, &err),
					 0);
			g->refusals++;
			continue;
		}
		assert_int_equal(state_decode(zmq_msg_data(&msg),
					      zmq_msg_size(&msg), &g->heard,
					      &g->lanes, &err),
				 0);
		g->any = true;
	}
	zmq_msg_close(&msg);
}

/* Everybody's turn; the played consumers tell their state ten times a second,
 * unless they are silent (no name). */
static void stage_turn(struct stage *g)
{
	bool telling = clock_mono_us() - g->told_mono_us > 100000;

	for (int i = 0; i < 2; i++) {
		struct played *p = &g->consumers[i];

		if (!p->zmq)
			continue;
		if (telling && p->state.name[0])
			tell(p);
		take(p);
	}
	if (telling)
		g->told_mono_us = clock_mono_us();
	net_turn(&g->net);
	if (g->sub)
		hear(g);
}

static void stage_turns(struct stage *g, int64_t us)
{
	int64_t end_mono_us = clock_mono_us() + us;

	while (clock_mono_us() < end_mono_us)
		stage_turn(g);
}

#define UNTIL(g, condition)                                              \
	do {                                                             \
		int64_t end_mono_us = clock_mono_us() + NET_PATIENCE_US; \
		while (!(condition) && clock_mono_us() < end_mono_us)    \
			stage_turn(g);                                   \
		assert_true(condition);                                  \
	} while (0)

static void stage_close(struct stage *g)
{
	for (int i = 0; i < 2; i++) {
		struct played *p = &g->consumers[i];

		if (!p->zmq)
			continue;
		zmq_close(p->pull);
		zmq_close(p->pub);
		zmq_ctx_term(p->zmq);
	}
	if (g->zmq) {
		zmq_close(g->push);
		zmq_close(g->sub);
		zmq_ctx_term(g->zmq);
	}
	free(g->lanes);
	net_close(&g->net);
}

/* ---- source ---- */

static struct played *source_stage(struct stage *g, uint64_t batches)
{
	struct played *p = &g->consumers[0];

	*g = (struct stage){0};
	net_init(&g->net, 1, 1, 0);
	play_consumer(p, net_endpoint(&g->net, "raw", 0));
	source_open(&g->net.sources[0]);
	source_add(&g->net.sources[0], batches);
	return p;
}

static void ack(struct stage *g, uint64_t epoch, uint64_t through)
{
	struct played *p = &g->consumers[0];

	p->lane =
	    (struct state_lane){{g->net.sources[0].id, epoch, 0}, through};
	p->state.lane_count = 1;
}

static void assert_sequence(const struct played *p, int from, uint64_t first)
{
	for (int i = from; i < p->count; i++)
		assert_int_equal(p->got[i], first + (uint64_t)(i - from));
}

static void test_source_resends_to_another_incarnation(void **state)
{
	struct stage g;
	struct played *p = source_stage(&g, 10);

	(void)state;
	UNTIL(&g, p->count == 10);
	stage_turns(&g, 300000); /* the same state again is no evidence */
	assert_int_equal(p->count, 10);
	ack(&g, 1, 4);
	UNTIL(&g, g.net.sources[0].freed == 4);
	p->state.incarnation = uuid_new();
	UNTIL(&g, p->count == 16);
	assert_sequence(p, 10, 5);
	stage_turns(&g, 300000);
	assert_int_equal(p->count, 16);
	stage_close(&g);
}

static void test_source_resends_for_another_generation(void **state)
{
	struct stage g;
	struct played *p = source_stage(&g, 10);

	(void)state;
	UNTIL(&g, p->count == 10);
	p->state.generation = 7;
	UNTIL(&g, p->count == 20);
	p->state.generation = 3; /* another, not a higher one */
	UNTIL(&g, p->count == 30);
	assert_sequence(p, 20, 1);
	stage_close(&g);
}

static void test_source_waits_for_a_complete_relay(void **state)
{
	struct stage g;
	struct played *p = source_stage(&g, 10);

	(void)state;
	p->state.complete = false;
	stage_turns(&g, 400000);
	assert_int_equal(p->count, 0);
	p->state.complete = true;
	UNTIL(&g, p->count == 10);
	p->state.complete = false;
	stage_turns(&g, 200000);
	source_add(&g.net.sources[0], 5);
	stage_turns(&g, 200000);
	assert_int_equal(p->count, 10);
	p->state.complete = true;
	UNTIL(&g, p->count == 15);
	stage_close(&g);
}

static void test_source_leaves_a_used_epoch(void **state)
{
	struct stage g;
	struct played *p = source_stage(&g, 10);

	(void)state;
	ack(&g, 1, 0); /* a sink has it, another not yet */
	UNTIL(&g, p->count == 10);
	assert_int_equal(g.net.sources[0].begins, 1);
	assert_int_equal(p->last.lane.epoch, 2);
	ack(&g, 40, 3);
	UNTIL(&g, p->count == 20);
	assert_int_equal(p->last.lane.epoch, 41);
	assert_int_equal(g.net.sources[0].freed, 0);
	ack(&g, 41, 11); /* acks what was never sent */
	UNTIL(&g, g.net.sources[0].begins == 3);
	assert_int_equal(g.net.sources[0].freed, 0);
	stage_close(&g);
}

static void test_source_wants_a_state_of_each_epoch(void **state)
{
	struct stage g;
	struct played *p = source_stage(&g, 10);
	struct test_source *s = &g.net.sources[0];

	(void)state;
	UNTIL(&g, p->count == 10);
	p->state.name[0] = '\0';
	stage_turns(&g, 50000);
	source_begin(s);
	stage_turns(&g, 300000);
	assert_int_equal(p->count, 10);
	strcpy(p->state.name, "played.0");
	UNTIL(&g, p->count == 20);
	assert_sequence(p, 10, 1);
	assert_true(p->last.flags & BATCH_REPLAY);
	stage_close(&g);
}

static void test_source_begins_anew_with_another_history(void **state)
{
	struct stage g;
	struct played *p = source_stage(&g, 10);

	(void)state;
	p->state.history = 5;
	UNTIL(&g, p->count == 10);
	p->state.complete = false;
	p->state.history = 0; /* means nothing while not complete */
	stage_turns(&g, 200000);
	assert_int_equal(g.net.sources[0].begins, 0);
	p->state.complete = true;
	p->state.history = 6;
	UNTIL(&g, p->count == 20);
	assert_int_equal(g.net.sources[0].begins, 1);
	assert_int_equal(p->last.lane.epoch, 2);
	stage_close(&g);
}

/* A sink whose disk lost a record expects what the source has freed. */
static void test_source_leaves_a_lane_that_a_sink_lost(void **state)
{
	struct stage g;
	struct played *p = source_stage(&g, 10);
	struct test_source *s = &g.net.sources[0];

	(void)state;
	UNTIL(&g, p->count == 10);
	ack(&g, 1, 4);
	UNTIL(&g, s->freed == 4);
	ack(&g, 1, 3);
	UNTIL(&g, p->count == 16);
	assert_int_equal(p->last.lane.epoch, 2);
	assert_sequence(p, 10, 1);
	assert_true(p->last.flags & BATCH_REPLAY);
	/* One that lost the whole lane does not name it any more. */
	ack(&g, 2, 2);
	UNTIL(&g, s->freed == 6);
	p->state.lane_count = 0;
	UNTIL(&g, p->count == 20);
	assert_int_equal(p->last.lane.epoch, 3);
	assert_int_equal(s->begins, 2);
	stage_close(&g);
}

static void test_source_ignores_acks_of_others(void **state)
{
	struct stage g;
	struct played *p = source_stage(&g, 10);

	(void)state;
	UNTIL(&g, p->count == 10);
	ack(&g, 1, 10);
	p->lane.lane.number = 1;
	stage_turns(&g, 250000);
	ack(&g, 1, 10);
	p->lane.lane.source = uuid_new();
	stage_turns(&g, 250000);
	assert_int_equal(g.net.sources[0].freed, 0);
	ack(&g, 1, 10);
	UNTIL(&g, g.net.sources[0].freed == 10);
	stage_close(&g);
}

static void test_source_counts_bad_states(void **state)
{
	struct stage g;
	struct played *p = source_stage(&g, 1);

	(void)state;
	UNTIL(&g, p->count == 1);
	zmq_send(p->pub, "no state", 8, 0);
	UNTIL(&g, source_stats(&g.net.sources[0]).refused == 1);
	zmq_send(p->pub, "two", 3, ZMQ_SNDMORE);
	zmq_send(p->pub, "frames", 6, 0);
	UNTIL(&g, source_stats(&g.net.sources[0]).refused == 2);
	stage_close(&g);
}

static void refuse(struct played *p, const char *one, const char *other)
{
	struct refusal r = {0};
	struct buf out = {0};

	if (one)
		refusal_add(&r, one, strlen(one));
	if (other)
		refusal_add(&r, other, strlen(other));
	refusal_encode(&r, &out);
	zmq_send(p->pub, out.data, out.used, ZMQ_DONTWAIT);
	buf_free(&out);
}

static void test_source_knows_what_is_refused(void **state)
{
	struct stage g;
	struct played *p;
	const struct refusal *refused;
	struct bus_stats before;

	(void)state;
	p = source_stage(&g, 3);
	refused = bus_source_refused(g.net.sources[0].source);
	UNTIL(&g, p->count == 3);
	before = source_stats(&g.net.sources[0]);
	assert_int_equal(refused->count, 0);
	refuse(p, "orders", "products");
	UNTIL(&g, refused->count == 2);
	assert_true(refusal_has(refused, "orders", 6));
	refuse(p, "orders", NULL);
	UNTIL(&g, refused->count == 1);
	/* It goes on sending all the same. */
	source_add(&g.net.sources[0], 2);
	UNTIL(&g, p->count == 5);
	/* It is forgotten when nobody says it any more. */
	UNTIL(&g, refused->count == 0);
	/* A damaged one counts as a bad state, and changes nothing. */
	refuse(p, "orders", NULL);
	UNTIL(&g, refused->count == 1);
	zmq_send(p->pub, "WREF rubbish", 12, 0);
	UNTIL(&g,
	      source_stats(&g.net.sources[0]).refused == before.refused + 1);
	refuse(p, NULL, NULL);
	UNTIL(&g, refused->count == 0);
	assert_int_equal(source_stats(&g.net.sources[0]).evidence,
			 before.evidence);
	stage_close(&g);
}

/* ---- relay ---- */

static void relay_stage(struct stage *g)
{
	*g = (struct stage){0};
	net_init(&g->net, 0, 1, 2);
	g->net.silence_us = 600000;
	for (uint32_t i = 0; i < 2; i++)
		play_consumer(&g->consumers[i],
			      net_endpoint(&g->net, "lake", i));
	relay_open(&g->net.relays[0]);
	play_producer(g, "raw");
	UNTIL(g, g->any && g->heard.complete);
}

/* The generation moves while `what` happens, and then stands still. */
#define MOVES(g, what)                                                         \
	do {                                                                   \
		uint64_t before;                                               \
		stage_turns(g, 400000);                                        \
		before = (g)->heard.generation;                                \
		stage_turns(g, 400000);                                        \
		assert_int_equal((g)->heard.generation, before);               \
		what;                                                          \
		UNTIL(g,                                                       \
		      (g)->heard.generation != before && (g)->heard.complete); \
	} while (0)

static void test_relay_passes_evidence_on(void **state)
{
	struct stage g;
	struct played *p = &g.consumers[1];

	(void)state;
	relay_stage(&g);
	MOVES(&g, p->state.generation++);
	MOVES(&g, p->state.incarnation = uuid_new());
	MOVES(&g, zmq_send(g.push, "rubbish", 7, 0));
	stage_close(&g);
}

static void test_relay_is_incomplete_while_a_sink_is_silent(void **state)
{
	struct stage g;
	struct played *p = &g.consumers[1];
	uint64_t before;

	(void)state;
	relay_stage(&g);
	before = g.heard.generation;
	p->state.name[0] = '\0';
	UNTIL(&g, !g.heard.complete);
	assert_int_equal(g.heard.lane_count, 0);
	strcpy(p->state.name, "played.0");
	UNTIL(&g, g.heard.complete);
	assert_true(g.heard.generation > before);
	stage_close(&g);
}

/* What any sink refuses, as long as it says so. */
static void test_relay_passes_refusals_on(void **state)
{
	struct stage g;

	(void)state;
	relay_stage(&g);
	stage_turns(&g, 400000);
	assert_int_equal(g.refusals, 0);
	refuse(&g.consumers[0], "orders", NULL);
	refuse(&g.consumers[1], "orders", "products");
	UNTIL(&g, g.refused.count == 2);
	/* Said again and again, then once that it is over. */
	UNTIL(&g, g.refusals > 2);
	UNTIL(&g, g.refused.count == 0);
	g.refusals = 0;
	stage_turns(&g, 400000);
	assert_int_equal(g.refusals, 0);
	stage_close(&g);
}

static void lane_at(struct played *p, struct uuid source, uint64_t through)
{
	p->lane = (struct state_lane){{source, 1, 0}, through};
	p->state.lane_count = 1;
}

static bool told(const struct stage *g, uint64_t through)
{
	return g->heard.complete && g->heard.lane_count == 1 &&
	       g->lanes[0].through == through;
}

static void test_relay_acks_the_least_of_all_sinks(void **state)
{
	struct uuid source = uuid_new();
	struct stage g;

	(void)state;
	relay_stage(&g);
	lane_at(&g.consumers[0], source, 9);
	UNTIL(&g, told(&g, 0)); /* the other does not have it */
	lane_at(&g.consumers[1], source, 5);
	UNTIL(&g, told(&g, 5));
	lane_at(&g.consumers[1], source, 12);
	UNTIL(&g, told(&g, 9));
	g.consumers[0].lane.lane.number = 3; /* another relay's */
	UNTIL(&g, told(&g, 0));
	stage_close(&g);
}

static void test_relay_history_is_that_of_its_sinks(void **state)
{
	struct stage g;
	uint64_t before;

	(void)state;
	relay_stage(&g);
	before = g.heard.history;
	g.consumers[0].state.incarnation = uuid_new();
	stage_turns(&g, 400000);
	assert_int_equal(g.heard.history, before);
	g.consumers[0].state.log_id = uuid_new();
	UNTIL(&g, g.heard.history != before);
	before = g.heard.history;
	g.consumers[1].state.history++;
	UNTIL(&g, g.heard.history != before);
	stage_close(&g);
}

static void push_in_lane(struct stage *g, struct batch_lane lane,
			 uint64_t sequence, uint32_t flags)
{
	struct batch *b = net_batch(&g->net, 0, sequence);
	struct batch_header header = b->header;
	uint8_t frame[BATCH_HEADER_BYTES];

	header.lane = lane;
	header.sequence = sequence;
	header.flags |= flags;
	batch_header_encode(&header, frame);
	zmq_send(g->push, frame, sizeof(frame), ZMQ_SNDMORE);
	zmq_send(g->push, b->index, header.index_bytes, ZMQ_SNDMORE);
	zmq_send(g->push, b->payload, header.payload_bytes, 0);
	batch_unref(&b);
}

static void push_batch(struct stage *g, uint32_t number, uint64_t sequence,
		       uint32_t flags)
{
	push_in_lane(g, (struct batch_lane){{{1}}, 1, number}, sequence, flags);
}

static struct bus_stats relay_stats(const struct stage *g)
{
	struct bus_stats stats;

	bus_relay_get_stats(g->net.relays[0].relay, &stats);
	return stats;
}

static void test_relay_refuses_lanes_of_others(void **state)
{
	struct stage g;

	(void)state;
	relay_stage(&g);
	push_batch(&g, 1, 1, 0);
	UNTIL(&g, relay_stats(&g).refused == 1);
	push_batch(&g, 0, 1, BATCH_REPLAY);
	UNTIL(&g, g.consumers[0].count == 1 && g.consumers[1].count == 1);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(g.consumers[i].last.sequence, 1);
		assert_true(g.consumers[i].last.flags & BATCH_REPLAY);
	}
	push_batch(&g, 0, 2, 0);
	UNTIL(&g, g.consumers[1].count == 2);
	assert_false(g.consumers[1].last.flags & BATCH_REPLAY);
	stage_close(&g);
}

static void test_relay_says_that_it_dropped_what_it_held(void **state)
{
	struct bus_endpoint outs[2];
	struct stage g;
	struct err err;

	(void)state;
	relay_stage(&g);
	for (uint32_t i = 0; i < 2; i++)
		outs[i] = net_endpoint(&g.net, "lake", 1 - i);
	g.net.relays[0].refuses = true;
	push_batch(&g, 0, 1, 0);
	UNTIL(&g, relay_stats(&g).unacked_batches == 1);
	assert_false(bus_relay_idle(g.net.relays[0].relay));
	MOVES(&g,
	      assert_int_equal(
		  bus_relay_set_outs(g.net.relays[0].relay, outs, 2, &err), 0));
	assert_int_equal(relay_stats(&g).unacked_batches, 0);
	assert_true(bus_relay_idle(g.net.relays[0].relay));
	stage_close(&g);
}

/* ---- sink ---- */

static struct test_sink *sink_stage(struct stage *g)
{
	*g = (struct stage){0};
	net_init(&g->net, 0, 0, 1);
	sink_open(&g->net.sinks[0]);
	play_producer(g, "lake");
	UNTIL(g, g->any);
	return &g->net.sinks[0];
}

static void test_sink_acks_what_is_durable(void **state)
{
	struct stage g;
	struct test_sink *k = sink_stage(&g);

	(void)state;
	k->manual = true;
	for (uint64_t i = 1; i <= 5; i++)
		push_batch(&g, 0, i, 0);
	UNTIL(&g, k->used == 5);
	stage_turns(&g, 400000);
	assert_int_equal(g.heard.lane_count, 1);
	assert_int_equal(g.lanes[0].through, 0);
	bus_sink_durable(k->sink, 3);
	UNTIL(&g, g.lanes[0].through == 3);
	stage_close(&g);
}

static void test_sink_tells_what_it_refuses(void **state)
{
	struct stage g;
	struct test_sink *k = sink_stage(&g);
	struct refusal r = {0};

	(void)state;
	refusal_add(&r, "orders", 6);
	bus_sink_refuse(k->sink, &r);
	UNTIL(&g, g.refused.count == 1 && g.refusals > 2);
	/* What comes is taken as ever. */
	push_batch(&g, 0, 1, 0);
	UNTIL(&g, k->used == 1);
	bus_sink_refuse(k->sink, &(struct refusal){0});
	UNTIL(&g, g.refused.count == 0);
	stage_close(&g);
}

static void test_sink_passes_evidence_on(void **state)
{
	struct stage g;

	(void)state;
	sink_stage(&g);
	MOVES(&g, zmq_send(g.push, "rubbish", 7, 0));
	stage_close(&g);
}

static void test_sink_takes_each_once_and_in_order(void **state)
{
	struct stage g;
	struct test_sink *k = sink_stage(&g);
	const uint64_t come[] = {1, 2, 2, 4, 5, 1, 3, 3, 4};

	(void)state;
	for (size_t i = 0; i < sizeof(come) / sizeof(come[0]); i++)
		push_batch(&g, 0, come[i], 0);
	UNTIL(&g, sink_stats(k).batches_in == 9);
	assert_int_equal(k->used, 4);
	assert_int_equal(sink_stats(k).gaps, 2);
	assert_int_equal(sink_stats(k).duplicates, 3);
	stage_close(&g);
}

static void test_sink_retires_older_epochs(void **state)
{
	struct batch_lane lane = {{{1}}, 5, 0};
	struct stage g;
	struct test_sink *k = sink_stage(&g);

	(void)state;
	push_in_lane(&g, lane, 1, 0);
	UNTIL(&g, k->used == 1);
	lane.epoch = 6;
	push_in_lane(&g, lane, 2, 0); /* a gap retires nothing */
	lane.epoch = 5;
	push_in_lane(&g, lane, 2, 0);
	UNTIL(&g, k->used == 2);
	lane.epoch = 6;
	push_in_lane(&g, lane, 1, 0);
	UNTIL(&g, k->used == 3);
	lane.epoch = 5;
	push_in_lane(&g, lane, 3, 0);
	UNTIL(&g, sink_stats(k).stale == 1);
	assert_int_equal(k->used, 3);
	UNTIL(&g, g.heard.lane_count == 1 && g.lanes[0].lane.epoch == 6);
	stage_close(&g);
}

/* Rubbish may cost resends, but not one for each message. */
static void test_sink_tells_of_rubbish_now_and_then(void **state)
{
	struct stage g;
	struct test_sink *k = sink_stage(&g);

	(void)state;
	for (int i = 0; i < 100; i++)
		zmq_send(g.push, "rubbish", 7, 0);
	UNTIL(&g, sink_stats(k).refused == 100);
	stage_turns(&g, 300000);
	assert_in_range(g.heard.generation, 1, 4);
	stage_close(&g);
}

/* More lanes than a state can name: the last are not taken. */
static void test_sink_has_room_for_so_many_lanes(void **state)
{
	struct batch_lane lane = {.epoch = 1};
	struct stage g;
	struct test_sink *k = sink_stage(&g);
	uint64_t generation;

	(void)state;
	for (uint32_t i = 0; i < STATE_MAX_LANES + 2; i++) {
		memcpy(lane.source.bytes, &i, sizeof(i));
		push_in_lane(&g, lane, 1, 0);
		/* Or the push would wait for ever. */
		UNTIL(&g, sink_stats(k).batches_in + 100 > i);
	}
	UNTIL(&g, sink_stats(k).refused == 2);
	assert_int_equal(k->used, STATE_MAX_LANES);
	UNTIL(&g, g.heard.lane_count == STATE_MAX_LANES);
	generation = g.heard.generation;
	stage_turns(&g, 400000);
	assert_int_equal(g.heard.generation, generation); /* no use */
	lane.epoch = 2; /* another epoch of a lane that it has */
	memset(&lane.source, 0, sizeof(lane.source));
	push_in_lane(&g, lane, 1, 0);
	UNTIL(&g, k->used == STATE_MAX_LANES + 1);
	stage_close(&g);
}

static void refuse_saved(struct test_sink *k, size_t bytes, const char *why)
{
	struct bus_endpoint in = net_endpoint(k->net, "lake", 1);
	struct bus_sink_options options = {.name = "sink.1",
					   .in = &in,
					   .saved = k->saved.data,
					   .saved_bytes = bytes};
	struct bus_sink_events events = {.accept = net_accept, .arg = k};
	struct bus_sink *sink = NULL;
	struct err err;

	assert_int_equal(
	    bus_sink_open(&sink, k->node.bus, &options, &events, &err), -1);
	assert_null(sink);
	assert_non_null(strstr(err.text, why));
}

static void test_sink_refuses_what_it_did_not_save(void **state)
{
	struct stage g;
	struct test_sink *k = sink_stage(&g);

	(void)state;
	push_batch(&g, 0, 1, 0);
	UNTIL(&g, k->durable == 1);
	sink_checkpoint(k);
	refuse_saved(k, k->saved.used - 1, "1 lanes in 55 bytes");
	refuse_saved(k, 3, "magic");
	k->saved.data[4] = 2;
	refuse_saved(k, k->saved.used, "version 2");
	k->saved.data[4] = 1;
	memset(k->saved.data + 40, 0, 8); /* expects sequence 0 */
	refuse_saved(k, k->saved.used, "entry 0");
	stage_close(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_source_resends_to_another_incarnation),
	    cmocka_unit_test(test_source_resends_for_another_generation),
	    cmocka_unit_test(test_source_waits_for_a_complete_relay),
	    cmocka_unit_test(test_source_leaves_a_used_epoch),
	    cmocka_unit_test(test_source_wants_a_state_of_each_epoch),
	    cmocka_unit_test(test_source_begins_anew_with_another_history),
	    cmocka_unit_test(test_source_leaves_a_lane_that_a_sink_lost),
	    cmocka_unit_test(test_source_ignores_acks_of_others),
	    cmocka_unit_test(test_source_counts_bad_states),
	    cmocka_unit_test(test_source_knows_what_is_refused),
	    cmocka_unit_test(test_relay_passes_evidence_on),
	    cmocka_unit_test(test_relay_passes_refusals_on),
	    cmocka_unit_test(test_relay_is_incomplete_while_a_sink_is_silent),
	    cmocka_unit_test(test_relay_acks_the_least_of_all_sinks),
	    cmocka_unit_test(test_relay_history_is_that_of_its_sinks),
	    cmocka_unit_test(test_relay_refuses_lanes_of_others),
	    cmocka_unit_test(test_relay_says_that_it_dropped_what_it_held),
	    cmocka_unit_test(test_sink_acks_what_is_durable),
	    cmocka_unit_test(test_sink_tells_what_it_refuses),
	    cmocka_unit_test(test_sink_passes_evidence_on),
	    cmocka_unit_test(test_sink_takes_each_once_and_in_order),
	    cmocka_unit_test(test_sink_retires_older_epochs),
	    cmocka_unit_test(test_sink_tells_of_rubbish_now_and_then),
	    cmocka_unit_test(test_sink_has_room_for_so_many_lanes),
	    cmocka_unit_test(test_sink_refuses_what_it_did_not_save),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
