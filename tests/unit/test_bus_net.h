/*
 * A pipeline in one process for the tests of the bus: sources, relays and sinks
 * over real ZeroMQ on Unix sockets in a directory of its own. Each node has its
 * own loop and context, so that it can be killed, opened again or stopped at a
 * chosen moment; a stopped node is one whose loop is not turned. Logs are kept
 * here, outside the nodes, as a disk would.
 */
#ifndef TEST_BUS_NET_H
#define TEST_BUS_NET_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "bus/bus.h"
#include "test_bus_proxy.h"

#define NET_MOST	4
#define NET_BATCHES	4096
#define NET_TURN_US	200
#define NET_PATIENCE_US INT64_C(15000000)
/* Positions are not numbers of batches: a log's are byte offsets. */
#define NET_STRIDE 10u

struct net;

struct node {
	struct loop *loop; /* NULL while the node is down */
	struct bus *bus;
	bool stopped;
};

struct test_source {
	struct net *net;
	struct node node;
	struct bus_source *source;
	struct uuid id;
	uint32_t index;
	uint64_t epoch;
	uint64_t end;	/* batches in its log */
	uint64_t freed; /* of them */
	uint64_t bad;	/* this batch cannot be read; UINT64_MAX = none */
	uint32_t peers;
	bool unreadable;
	int referred; /* times that a batch was read without its body */
	int begins;
	int moves; /* times that it said that its peers have changed */
};

struct test_relay {
	struct net *net;
	struct node node;
	struct bus_relay *relay;
	uint32_t index;
	uint32_t sinks;
	bool refuses;
	bool looks; /* needs the body of every batch */
	bool blind; /* finds no body */
	int works;
	int resolved; /* bodies that it was to find */
};

/* A record of a sink's log. */
struct record {
	struct batch_header header;
	uint32_t source;
	uint64_t n;
	uint32_t keys; /* bit k: the event of key k is in it */
};

struct test_sink {
	struct net *net;
	struct node node;
	struct bus_sink *sink;
	struct uuid log_id;
	uint32_t index;
	struct record *log;
	size_t used, durable, size;
	size_t opened_at;    /* records in the log when it was opened */
	struct buf saved;    /* a checkpoint, */
	size_t saved_used;   /* which covers this many records */
	struct record *lost; /* durable in logs that it lost */
	size_t lost_count;
	bool full;     /* accepts nothing */
	bool by_value; /* takes no batches by reference */
	bool blind;    /* finds no body */
	int resolved;  /* bodies that it was to find */
	bool manual;   /* is durable only when the test says so */
};

enum wire { RAW, RAW_STATE, LAKE, LAKE_STATE, WIRES };

struct net {
	char dir[64];
	uint32_t source_count, relay_count, sink_count;
	struct test_source sources[NET_MOST];
	struct test_relay relays[NET_MOST];
	struct test_sink sinks[NET_MOST];
	int64_t window_bytes, silence_us;
	int64_t drain_us;
	bool by_key;
	bool refers;	  /* whoever can sends and takes batches by reference */
	int64_t rest_us;  /* as in a sink's options */
	uint32_t body_us; /* that reading one body takes */
	bool keyless;
	uint32_t keys;	      /* events of a batch, each of another key */
	size_t payload_bytes; /* of each event, about */
	uint16_t ports[4];    /* of raw, its state, lake, its state: over tcp */
	bool wires;	      /* connections go through proxies */
	struct proxy *proxies; /* NET_MOST of each enum wire */
	bool sinks_added;      /* which never get what was freed before */
};

/* ---- batches ---- */

/* The n-th batch of a source: always the same bytes, as from a log. */
static inline struct batch *net_batch(const struct net *net, uint32_t source,
				      uint64_t n)
{
	static struct batch_builder *w;
	struct batch_header header = {.created_at_us = 1000000,
				      .contract_set = 7};
	struct batch_event event = {0};
	struct batch *b;
	char *room;
	int bytes;

	if (!w)
		w = batch_builder_new();
	event.stream = batch_builder_stream(w, "orders", 6);
	for (uint32_t k = 0; k < net->keys; k++) {
		room = batch_builder_room(w, net->payload_bytes + 100);
		bytes = snprintf(room, net->payload_bytes + 100,
				 "{\"source\":%u,\"n\":%" PRIu64
				 ",\"key\":%u,\"pad\":\"%0*d\"}\n",
				 source, n, k, (int)net->payload_bytes, 0);
		event.offset = batch_builder_offset(w);
		event.bytes = (uint32_t)bytes - 1;
		event.key_hash = net->keyless ? 0 : k + 1;
		batch_builder_commit(w, (size_t)bytes);
		batch_builder_event(w, &event);
	}
	b = batch_builder_seal(w, &header);
	return b;
}

static inline struct bus_endpoint net_endpoint(const struct net *net,
					       const char *link, uint32_t i)
{
	struct bus_endpoint at = {.instance = i};

	snprintf(at.link, sizeof(at.link), "%s", link);
	snprintf(at.data, sizeof(at.data), "ipc://%s/%s.%u", net->dir, link, i);
	snprintf(at.state, sizeof(at.state), "ipc://%s/%s.%u.state", net->dir,
		 link, i);
	if (net->ports[0]) { /* one of each only */
		const uint16_t *port = &net->ports[*link == 'r' ? 0 : 2];

		snprintf(at.data, sizeof(at.data), "tcp://127.0.0.1:%u",
			 port[0]);
		snprintf(at.state, sizeof(at.state), "tcp://127.0.0.1:%u",
			 port[1]);
	}
	return at;
}

/* As the consumer binds it: behind the proxies, if there are any. */
static inline struct bus_endpoint net_bound(const struct net *net,
					    const char *link, uint32_t i)
{
	struct bus_endpoint at = net_endpoint(net, link, i);

	if (net->wires) {
		strcat(at.data, ".bound");
		strcat(at.state, ".bound");
	}
	return at;
}

static inline struct proxy *net_wire(struct net *net, enum wire wire,
				     uint32_t i)
{
	return &net->proxies[wire * NET_MOST + i];
}

/* Call before net_open(). */
static inline void net_add_wires(struct net *net)
{
	const char *ipc = "ipc://";

	net->wires = true;
	net->proxies = xcalloc(WIRES * NET_MOST, sizeof(*net->proxies));
	for (uint32_t i = 0; i < NET_MOST; i++)
		for (int k = 0; k < WIRES; k++) {
			const char *link = k < LAKE ? "raw" : "lake";
			struct bus_endpoint a = net_endpoint(net, link, i);
			struct bus_endpoint b = net_bound(net, link, i);
			bool state = k == RAW_STATE || k == LAKE_STATE;

			proxy_open(net_wire(net, (enum wire)k, i),
				   (state ? a.state : a.data) + strlen(ipc),
				   (state ? b.state : b.data) + strlen(ipc));
		}
}

static inline void node_up(struct node *node)
{
	node->loop = loop_new();
	node->bus = bus_new(node->loop);
	node->stopped = false;
}

static inline void node_down(struct node *node)
{
	bus_free(&node->bus);
	loop_free(&node->loop);
}

/* ---- source ---- */

static inline int net_read(void *arg, uint64_t *position, uint64_t *next,
			   struct batch **b, struct err *err)
{
	struct test_source *s = arg;
	uint64_t n = (*position + NET_STRIDE - 1) / NET_STRIDE;

	if (s->unreadable)
		return err_set(err, EIO, "the disk fails");
	if (n == s->bad)
		n++;
	if (n >= s->end)
		return 0;
	assert_true(n >= s->freed);
	*position = n * NET_STRIDE;
	*next = (n + 1) * NET_STRIDE;
	*b = net_batch(s->net, s->index, n);
	return 1;
}

/* Without its body; that lies in the "log" of the source's id. */
static inline int net_refer(void *arg, uint64_t *position, uint64_t *next,
			    struct batch **b, struct err *err)
{
	struct test_source *s = arg;
	struct reference r = {.log = s->id, .dir = "/log"};
	struct batch *whole;
	int rc = net_read(arg, position, next, &whole, err);

	if (rc != 1)
		return rc;
	s->referred++;
	r.position = *position;
	r.next = *next;
	*b = batch_refer(&whole->header, &r);
	batch_unref(&whole);
	return 1;
}

static inline int net_resolve(struct net *net, struct batch *b, bool blind,
			      struct batch **whole, struct err *err)
{
	const struct reference *r = b->reference;
	int64_t until_mono_us = clock_mono_us() + net->body_us;
	uint32_t i = 0;

	while (clock_mono_us() < until_mono_us)
		; /* a slow disk */
	if (blind)
		return err_set(err, EACCES, "the log cannot be read");
	while (memcmp(&net->sources[i].id, &r->log, sizeof(r->log)) != 0)
		i++;
	assert_true(i < NET_MOST);
	assert_int_equal(r->next, r->position + NET_STRIDE);
	*whole = net_batch(net, i, r->position / NET_STRIDE);
	(*whole)->header.lane = b->header.lane;
	(*whole)->header.sequence = b->header.sequence;
	(*whole)->header.flags = b->header.flags;
	return 0;
}

static inline bool sink_has(const struct test_sink *k, uint32_t source,
			    uint64_t n)
{
	uint32_t keys = 0;

	for (size_t i = 0; i < k->durable; i++)
		if (k->log[i].source == source && k->log[i].n == n)
			keys |= k->log[i].keys;
	for (size_t i = 0; i < k->lost_count; i++)
		if (k->lost[i].source == source && k->lost[i].n == n)
			keys |= k->lost[i].keys;
	return keys == (1u << k->net->keys) - 1;
}

/* The first promise: what is freed is, or was, durable at every sink. */
static inline void net_freed(void *arg, uint64_t position)
{
	struct test_source *s = arg;
	struct net *net = s->net;
	uint64_t freed = position / NET_STRIDE;

	assert_true(freed > s->freed && freed <= s->end);
	for (uint32_t i = 0; i < net->sink_count && !net->sinks_added; i++)
		for (uint64_t n = s->freed; n < freed; n++)
			if (n != s->bad)
				assert_true(
				    sink_has(&net->sinks[i], s->index, n));
	s->freed = freed;
}

static inline void source_begin(struct test_source *s)
{
	bus_source_begin(s->source, ++s->epoch, s->freed * NET_STRIDE,
			 s->end * NET_STRIDE);
}

static inline void net_begin(void *arg, uint64_t above)
{
	struct test_source *s = arg;

	s->begins++;
	s->epoch = s->epoch < above ? above : s->epoch;
	source_begin(s);
}

static inline void net_moved(void *arg)
{
	struct test_source *s = arg;

	s->moves++;
}

static inline uint32_t net_peers(const struct net *net, struct bus_endpoint *at,
				 uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		at[i] = net_endpoint(net, "raw", i);
	return count;
}

static inline void source_open(struct test_source *s)
{
	struct bus_endpoint peers[NET_MOST];
	struct bus_source_options options = {
	    .id = s->id,
	    .window_bytes = s->net->window_bytes,
	    .silence_us = s->net->silence_us,
	    .drain_us = s->net->drain_us,
	    .by_key = s->net->by_key,
	    .peers = peers,
	    .peer_count = net_peers(s->net, peers, s->peers)};
	struct bus_source_events events = {.read = net_read,
					   .refer = s->net->refers ? net_refer
								   : NULL,
					   .freed = net_freed,
					   .begin = net_begin,
					   .moved = net_moved,
					   .arg = s};
	struct err err;

	node_up(&s->node);
	assert_int_equal(
	    bus_source_open(&s->source, s->node.bus, &options, &events, &err),
	    0);
	source_begin(s);
}

static inline void source_kill(struct test_source *s)
{
	bus_source_close(&s->source);
	node_down(&s->node);
}

static inline void source_add(struct test_source *s, uint64_t batches)
{
	s->end += batches;
	if (s->source)
		bus_source_kick(s->source);
}

static inline struct bus_stats source_stats(const struct test_source *s)
{
	struct bus_stats stats;

	bus_source_get_stats(s->source, &stats);
	return stats;
}

/* ---- relay ---- */

static inline int net_work(void *arg, struct batch *in, struct batch **out,
			   struct err *err)
{
	struct test_relay *r = arg;

	if (in->reference && r->looks)
		return BUS_NEEDS_BODY;
	r->works++;
	if (r->refuses)
		return err_set(err, EAGAIN, "no such contract set");
	for (uint32_t i = 0; i < r->sinks; i++)
		out[i] = batch_ref(in);
	return 0;
}

static inline int relay_resolve(void *arg, struct batch *b,
				struct batch **whole, struct err *err)
{
	struct test_relay *r = arg;

	r->resolved++;
	return net_resolve(r->net, b, r->blind, whole, err);
}

static inline void relay_open(struct test_relay *r)
{
	struct bus_endpoint in = net_bound(r->net, "raw", r->index);
	struct bus_endpoint outs[NET_MOST];
	struct bus_relay_options options = {.name = "transformer.0",
					    .in = &in,
					    .outs = outs,
					    .out_count = r->sinks,
					    .silence_us = r->net->silence_us,
					    .rest_us = r->net->rest_us};
	struct bus_relay_events events = {
	    .work = net_work,
	    .resolve = r->net->refers ? relay_resolve : NULL,
	    .arg = r};
	struct err err;

	for (uint32_t i = 0; i < r->sinks; i++)
		outs[i] = net_endpoint(r->net, "lake", i);
	node_up(&r->node);
	assert_int_equal(
	    bus_relay_open(&r->relay, r->node.bus, &options, &events, &err), 0);
}

static inline void relay_kill(struct test_relay *r)
{
	bus_relay_close(&r->relay);
	node_down(&r->node);
}

/* ---- sink ---- */

static inline void check_order(const struct test_sink *k,
			       const struct batch_header *header)
{
	for (size_t i = k->used; i-- > 0;) {
		const struct batch_header *h = &k->log[i].header;

		if (memcmp(&h->lane.source, &header->lane.source,
			   sizeof(h->lane.source)) != 0)
			continue;
		assert_true(h->lane.epoch <= header->lane.epoch);
		if (h->lane.epoch < header->lane.epoch)
			break;
		if (h->lane.number != header->lane.number)
			continue;
		assert_true(h->sequence + 1 == header->sequence);
		return;
	}
	assert_true(header->sequence == 1);
}

/* The second promise: each lane arrives in order, and nothing is left out. */
static inline int net_accept(void *arg, struct batch *b, struct err *err)
{
	struct test_sink *k = arg;
	struct record record = {.header = b->header};

	if (k->full)
		return err_set(err, ENOSPC, "full");
	check_order(k, &b->header);
	for (uint32_t i = 0; i < b->header.events; i++) {
		size_t bytes = b->events[i].bytes;
		char line[64];
		uint32_t key;

		if (bytes >= sizeof(line))
			bytes = sizeof(line) - 1;
		memcpy(line, b->payload + b->events[i].offset, bytes);
		line[bytes] = '\0';
		assert_int_equal(
		    sscanf(line, "{\"source\":%u,\"n\":%" SCNu64 ",\"key\":%u",
			   &record.source, &record.n, &key),
		    3);
		if (!k->net->keyless)
			assert_int_equal(b->events[i].key_hash, key + 1);
		record.keys |= 1u << key;
	}
	if (k->used == k->size) {
		k->size = k->size ? 2 * k->size : 64;
		k->log = xreallocarray(k->log, k->size, sizeof(*k->log));
	}
	k->log[k->used++] = record;
	return 0;
}

static inline int sink_resolve(void *arg, struct batch *b, struct batch **whole,
			       struct err *err)
{
	struct test_sink *k = arg;

	k->resolved++;
	return net_resolve(k->net, b, k->blind, whole, err);
}

static inline void sink_open(struct test_sink *k)
{
	struct bus_endpoint in = net_bound(k->net, "lake", k->index);
	struct bus_sink_options options = {.name = "sink.0",
					   .in = &in,
					   .log_id = k->log_id,
					   .saved = k->saved.data,
					   .saved_bytes = k->saved.used,
					   .rest_us = k->net->rest_us};
	struct bus_sink_events events = {
	    .accept = net_accept,
	    .resolve = k->net->refers && !k->by_value ? sink_resolve : NULL,
	    .arg = k};
	struct err err;

	node_up(&k->node);
	assert_int_equal(
	    bus_sink_open(&k->sink, k->node.bus, &options, &events, &err), 0);
	for (size_t i = k->saved_used; i < k->used; i++)
		bus_sink_recovered(k->sink, &k->log[i].header);
	k->opened_at = k->used;
	bus_sink_begin(k->sink);
}

/* What was not durable is gone, as after a loss of power. */
static inline void sink_kill(struct test_sink *k)
{
	bus_sink_close(&k->sink);
	node_down(&k->node);
	k->used = k->durable;
}

static inline void sink_sync(struct test_sink *k)
{
	k->durable = k->used;
	if (k->sink)
		bus_sink_durable(k->sink, k->used - k->opened_at);
}

/* A checkpoint of what is durable; what is only accepted is not in it. */
static inline void sink_checkpoint(struct test_sink *k)
{
	buf_clear(&k->saved);
	bus_sink_save(k->sink, &k->saved);
	k->saved_used = k->durable;
}

/* The disk is replaced: another log, nothing in it. */
static inline void sink_lose_log(struct test_sink *k)
{
	k->log_id = uuid_new();
	k->lost = xreallocarray(k->lost, k->lost_count + k->durable + 1,
				sizeof(*k->lost));
	for (size_t i = 0; i < k->durable; i++)
		k->lost[k->lost_count++] = k->log[i];
	k->used = k->durable = k->saved_used = 0;
	buf_clear(&k->saved);
}

static inline struct bus_stats sink_stats(const struct test_sink *k)
{
	struct bus_stats stats;

	bus_sink_get_stats(k->sink, &stats);
	return stats;
}

/* Events of the n-th batch of a source that are in the sink's log. */
static inline size_t sink_count(const struct test_sink *k, uint32_t source,
				uint64_t n)
{
	size_t count = 0;

	for (size_t i = 0; i < k->used; i++)
		if (k->log[i].source == source && k->log[i].n == n)
			count += (size_t)__builtin_popcount(k->log[i].keys);
	return count;
}

/* Of each key of a source: one lane an epoch, and its batches in their order.
 */
static inline void assert_keys_in_order(const struct test_sink *k,
					uint32_t source)
{
	for (uint32_t key = 0; key < k->net->keys; key++) {
		const struct record *last = NULL;

		for (size_t i = 0; i < k->used; i++) {
			const struct record *r = &k->log[i];

			if (r->source != source || !(r->keys & 1u << key))
				continue;
			if (last &&
			    last->header.lane.epoch == r->header.lane.epoch) {
				assert_int_equal(last->header.lane.number,
						 r->header.lane.number);
				assert_int_equal(last->n + 1, r->n);
			}
			last = r;
		}
	}
}

/* ---- the whole ---- */

static inline void net_init(struct net *net, uint32_t sources, uint32_t relays,
			    uint32_t sinks)
{
	*net = (struct net){.source_count = sources,
			    .relay_count = relays,
			    .sink_count = sinks,
			    .window_bytes = 8 << 20,
			    .silence_us = 2000000,
			    .keys = 1,
			    .payload_bytes = 300};
	log_open("test", LOG_ERROR, LOG_LOGFMT);
	snprintf(net->dir, sizeof(net->dir), "/tmp/weft-bus-XXXXXX");
	assert_non_null(mkdtemp(net->dir));
	for (uint32_t i = 0; i < NET_MOST; i++) {
		net->sinks[i] = (struct test_sink){
		    .net = net, .index = i, .log_id = uuid_new()};
		net->relays[i] =
		    (struct test_relay){.net = net, .index = i, .sinks = sinks};
		net->sources[i] = (struct test_source){.net = net,
						       .index = i,
						       .id = uuid_new(),
						       .bad = UINT64_MAX,
						       .peers = relays};
	}
}

static inline void net_open(struct net *net)
{
	for (uint32_t i = 0; i < net->sink_count; i++)
		sink_open(&net->sinks[i]);
	for (uint32_t i = 0; i < net->relay_count; i++)
		relay_open(&net->relays[i]);
	for (uint32_t i = 0; i < net->source_count; i++)
		source_open(&net->sources[i]);
}

/* ZeroMQ leaves the sockets of a listener that it closed. */
static inline void remove_socket(struct bus_endpoint at)
{
	unlink(at.data + strlen("ipc://"));
	unlink(at.state + strlen("ipc://"));
}

static inline void net_close(struct net *net)
{
	for (uint32_t i = 0; i < NET_MOST; i++) {
		if (net->sources[i].source)
			source_kill(&net->sources[i]);
		if (net->relays[i].relay)
			relay_kill(&net->relays[i]);
		if (net->sinks[i].sink)
			sink_kill(&net->sinks[i]);
		free(net->sinks[i].log);
		free(net->sinks[i].lost);
		buf_free(&net->sinks[i].saved);
	}
	for (uint32_t i = 0; net->wires && i < WIRES * NET_MOST; i++)
		proxy_close(&net->proxies[i]);
	free(net->proxies);
	for (uint32_t i = 0; i < NET_MOST; i++) {
		remove_socket(net_endpoint(net, "raw", i));
		remove_socket(net_endpoint(net, "lake", i));
		remove_socket(net_bound(net, "raw", i));
		remove_socket(net_bound(net, "lake", i));
	}
	assert_int_equal(rmdir(net->dir), 0);
}

static inline void node_turn(struct node *node)
{
	if (node->loop && !node->stopped)
		loop_turn(node->loop, NET_TURN_US);
}

/* One turn of every node that runs. */
static inline void net_turn(struct net *net)
{
	for (uint32_t i = 0; net->wires && i < WIRES * NET_MOST; i++)
		proxy_turn(&net->proxies[i]);
	for (uint32_t i = 0; i < NET_MOST; i++) {
		struct test_sink *k = &net->sinks[i];

		node_turn(&net->sources[i].node);
		node_turn(&net->relays[i].node);
		node_turn(&k->node);
		if (k->sink && !k->manual && k->durable < k->used)
			sink_sync(k);
	}
}

static inline void net_turns(struct net *net, int64_t us)
{
	int64_t end_mono_us = clock_mono_us() + us;

	while (clock_mono_us() < end_mono_us)
		net_turn(net);
}

static inline bool net_done(struct net *net)
{
	for (uint32_t i = 0; i < net->source_count; i++) {
		struct test_source *s = &net->sources[i];

		if (!s->source || s->freed < s->end ||
		    !bus_source_idle(s->source))
			return false;
	}
	return true;
}

/* For whoever reads why a test failed. */
static inline void net_print(const struct net *net)
{
	for (uint32_t i = 0; i < NET_MOST; i++) {
		const struct test_source *s = &net->sources[i];
		const struct test_sink *k = &net->sinks[i];
		struct bus_stats t;

		if (s->source) {
			t = source_stats(s);
			printf("source %u: epoch %" PRIu64 " end %" PRIu64
			       " freed %" PRIu64 " out %" PRIu64
			       " unacked %" PRIu64 " ready %u refused %" PRIu64
			       "\n",
			       i, s->epoch, s->end, s->freed, t.batches_out,
			       t.unacked_batches, t.peers_ready, t.refused);
		}
		if (net->relays[i].relay) {
			bus_relay_get_stats(net->relays[i].relay, &t);
			printf("relay %u: in %" PRIu64 " out %" PRIu64
			       " held %" PRIu64 " ready %u refused %" PRIu64
			       "\n",
			       i, t.batches_in, t.batches_out,
			       t.unacked_batches, t.peers_ready, t.refused);
		}
		if (k->sink) {
			t = sink_stats(k);
			printf("sink %u: in %" PRIu64 " used %zu durable %zu "
			       "dup %" PRIu64 " gaps %" PRIu64 " stale %" PRIu64
			       " refused %" PRIu64 "\n",
			       i, t.batches_in, k->used, k->durable,
			       t.duplicates, t.gaps, t.stale, t.refused);
		}
	}
}

static inline bool net_until(struct net *net, bool (*done)(struct net *net))
{
	int64_t end_mono_us = clock_mono_us() + NET_PATIENCE_US;

	while (!done(net)) {
		if (clock_mono_us() > end_mono_us) {
			net_print(net);
			return false;
		}
		net_turn(net);
	}
	return true;
}

/* Everything arrives everywhere; `once`: and not twice. */
static inline void net_finish(struct net *net, bool once)
{
	assert_true(net_until(net, net_done));
	for (uint32_t i = 0; i < net->source_count; i++)
		for (uint64_t n = 0; n < net->sources[i].end; n++)
			for (uint32_t k = 0; k < net->sink_count; k++) {
				size_t c = sink_count(&net->sinks[k], i, n);

				if (once)
					assert_int_equal(c, net->keys);
				else if (!net->sinks_added)
					assert_true(
					    c >= net->keys ||
					    sink_has(&net->sinks[k], i, n));
			}
}

#endif
