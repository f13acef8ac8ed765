#include "run/gather.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

struct gather {
	struct gather_log log;
	struct batch_builder *builder;
	size_t target_bytes;
	struct contract_batch_limits limits;
	/* Of what is being joined: */
	struct batch_header header; /* its lengths, and events, too */
	uint32_t bodies_crc;
	uint64_t first_next; /* position behind the first */
	bool refers;	     /* the builder gets the streams only */
};

struct gather *gather_new(const struct gather_log *log, size_t target_bytes)
{
	struct gather *g = xcalloc(1, sizeof(*g));

	g->builder = batch_builder_new();
	g->log = *log;
	g->target_bytes = target_bytes;
	return g;
}

void gather_free(struct gather **g)
{
	if (!*g)
		return;
	batch_builder_free(&(*g)->builder);
	free(*g);
	*g = NULL;
}

/* Of an index with the builder's streams. */
static uint32_t index_bytes(const struct batch_builder *w, uint32_t events)
{
	size_t bytes = batch_builder_bytes(w) - BATCH_HEADER_BYTES -
		       batch_builder_offset(w);

	bytes -= batch_builder_events(w) * sizeof(struct batch_event);
	return (uint32_t)(bytes + events * sizeof(struct batch_event));
}

static size_t joined_bytes(const struct gather *g)
{
	return (size_t)BATCH_HEADER_BYTES + g->header.index_bytes +
	       g->header.payload_bytes;
}

static bool has_trace(const struct batch_header *header)
{
	static const uint8_t none[BATCH_TRACE_BYTES];

	return memcmp(header->trace, none, sizeof(none)) != 0;
}

/* Appends the body of b to the builder, its streams under their new numbers. */
static void copy(struct batch_builder *w, const struct batch *b,
		 const uint16_t *streams)
{
	uint32_t base = batch_builder_offset(w);

	memcpy(batch_builder_room(w, b->header.payload_bytes), b->payload,
	       b->header.payload_bytes);
	batch_builder_commit(w, b->header.payload_bytes);
	for (uint32_t i = 0; i < b->header.events; i++) {
		struct batch_event e = b->events[i];

		e.offset += base;
		e.key_offset += base;
		e.id_offset += base;
		e.type_offset += base;
		e.stream = streams[e.stream];
		batch_builder_event(w, &e);
	}
}

/* Takes b to what is joined; false, and nothing of it taken, when it cannot. */
static bool join(struct gather *g, const struct batch *b)
{
	struct batch_header *all = &g->header;
	struct batch_builder *w = g->builder;
	uint16_t streams[BATCH_MAX_STREAMS];

	if (b->header.events > BATCH_MAX_EVENTS - all->events ||
	    b->header.payload_bytes >
		BATCH_MAX_PAYLOAD_BYTES - all->payload_bytes)
		return false;
	for (uint16_t i = 0; i < b->stream_count; i++) {
		streams[i] =
		    batch_builder_stream(w, b->streams[i], b->stream_bytes[i]);
		if (streams[i] == BATCH_NO_STREAM)
			return false;
	}
	if (!g->refers)
		copy(w, b, streams);
	all->events += b->header.events;
	all->payload_bytes += b->header.payload_bytes;
	all->index_bytes = index_bytes(w, all->events);
	g->bodies_crc = reference_crc(g->bodies_crc, b->header.body_crc);
	if (!has_trace(&g->header))
		memcpy(g->header.trace, b->header.trace,
		       sizeof(g->header.trace));
	return true;
}

static void find_limits(struct gather *g)
{
	g->limits =
	    (struct contract_batch_limits){BATCH_MAX_EVENTS, g->target_bytes};
	/* Only what is to be mapped yet grows. */
	if (g->log.limits && !(g->header.flags & BATCH_MAPPED))
		g->limits = g->log.limits(g->log.arg, g->header.contract_set);
	if (g->limits.bytes > g->target_bytes)
		g->limits.bytes = g->target_bytes;
}

static bool belongs(const struct gather *g, const struct batch *b)
{
	return b->header.contract_set == g->header.contract_set &&
	       b->header.flags == g->header.flags;
}

/* Whether b may still come behind what was joined. */
static bool is_next(const struct gather *g, const struct batch *b,
		    uint64_t wanted)
{
	if (!belongs(g, b))
		return false;
	if (wanted)
		return true;
	return joined_bytes(g) + batch_bytes(b) <= g->limits.bytes &&
	       g->header.events + b->header.events <= g->limits.events;
}

/* Joins what follows *end to what is there already, and moves *end behind it.
 */
static int join_rest(struct gather *g, uint64_t *end, uint64_t wanted,
		     struct err *err)
{
	for (;;) {
		uint64_t position = *end, next;
		struct batch *b = NULL;
		bool joined;
		int rc;

		if (wanted && *end >= wanted)
			return 0;
		rc = g->log.read(g->log.arg, &position, &next, &b, err);
		if (rc <= 0)
			return wanted ? rc : 0;
		joined = (!wanted || next <= wanted) && is_next(g, b, wanted) &&
			 join(g, b);
		batch_unref(&b);
		if (!joined)
			return 0;
		*end = next;
	}
}

/*
 * Starts with what was read first. 1, 0 when the log no longer has all up to
 * `wanted`, or -1. What *first refers to is changed or stays.
 */
static int join_all(struct gather *g, struct batch **first, uint64_t *end,
		    uint64_t wanted, struct err *err)
{
	uint64_t begin = *end;
	int rc;

	if (!wanted)
		find_limits(g);
	if (!join(g, *first)) {
		batch_builder_clear(g->builder);
		return err_set(err, EINVAL, "a batch of the log is too large");
	}
	rc = join_rest(g, end, wanted, err);
	if (rc == 0)
		rc = !wanted || *end == wanted;
	if (rc == 1 && *end != begin && !g->refers) {
		batch_unref(first);
		*first = batch_builder_seal(g->builder, &g->header);
	}
	batch_builder_clear(g->builder);
	return rc;
}

/* What is joined begins with the first batch's header, and without a body. */
static void begin(struct gather *g, const struct batch *first)
{
	g->header = first->header;
	g->header.events = g->header.index_bytes = g->header.payload_bytes = 0;
	g->header.body_crc = 0;
	g->bodies_crc = 0;
}

int gather_read(struct gather *g, uint64_t *position, uint64_t *next,
		struct batch **b, struct err *err)
{
	uint64_t wanted = *next, end;
	struct batch *first = NULL;
	int rc = g->log.read(g->log.arg, position, &end, &first, err);

	if (rc != 1)
		return rc;
	begin(g, first);
	g->first_next = end;
	if (end != wanted &&
	    (wanted || batch_bytes(first) < g->target_bytes / 2)) {
		rc = join_all(g, &first, &end, wanted, err);
		if (rc != 1) {
			batch_unref(&first);
			return rc;
		}
	}
	*next = end;
	*b = first;
	return 1;
}

int gather_refer(struct gather *g, struct reference *r,
		 struct batch_header *header, struct err *err)
{
	struct batch *first = NULL;
	int rc;

	g->refers = true;
	rc = gather_read(g, &r->position, &r->next, &first, err);
	g->refers = false;
	if (rc != 1)
		return rc;
	*header = g->header;
	r->bodies_crc = g->bodies_crc;
	/* One that is joined with nothing is sent as it is. */
	if (r->next == g->first_next) {
		*header = first->header;
		r->bodies_crc = reference_crc(0, first->header.body_crc);
	}
	batch_unref(&first);
	return 1;
}
