#include "run/sink.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "run/resolver.h"

/*
 * The application's part of a sink's checkpoint: this head, the deliverer's
 * state, the lanes. The lanes describe all records before the position that the
 * checkpoint names, the head the ones that were delivered.
 */
struct saved {
	uint32_t version;
	uint32_t state_bytes;
	uint64_t delivered;
};
#define SAVED_VERSION	 1
#define MAX_STATE_BYTES	 (4u << 20)
#define CLOSE_TIMEOUT_US 5000000

/* Positions of accepted records that are not durable yet, oldest first. */
struct pending {
	uint64_t *positions;
	size_t first, count, size;
};

struct sink {
	struct run *run;
	struct sink_events events;
	struct spool *spool;
	struct bus_sink *bus;
	struct resolver *resolver;
	char *dir;
	struct pending pending;
	uint64_t durable_accepted; /* accepted batches that are on disk */
	uint64_t durable; /* as last heard: lanes and reads go no further */
	struct buf state; /* the deliverer's */
	uint64_t delivered;
	/* Of what was read last nothing can be had, from here to there. */
	uint64_t blank_from, blank_to;
	struct buf checkpoint; /* scratch */
	bool told_too_large;
	struct buf recovered; /* batch headers found while the log opened */
};

static void pending_push(struct pending *p, uint64_t position)
{
	if (p->count == p->size) {
		size_t size = p->size ? 2 * p->size : 64;
		uint64_t *grown = xmalloc(size * sizeof(*grown));

		for (size_t i = 0; i < p->count; i++)
			grown[i] = p->positions[(p->first + i) % p->size];
		free(p->positions);
		*p = (struct pending){grown, 0, p->count, size};
	}
	p->positions[(p->first + p->count++) % p->size] = position;
}

/* Drops those before `durable` and returns how many they were. */
static uint64_t pending_pop(struct pending *p, uint64_t durable)
{
	uint64_t popped = 0;

	while (p->count && p->positions[p->first] < durable) {
		p->first = (p->first + 1) % p->size;
		p->count--;
		popped++;
	}
	return popped;
}

static void on_saving(void *arg, uint64_t durable)
{
	struct sink *s = arg;
	struct saved head = {
	    .version = SAVED_VERSION,
	    .state_bytes = (uint32_t)s->state.used,
	    .delivered = s->delivered,
	};

	if (!s->bus) /* never opened: the checkpoint stays as it was */
		return;
	buf_clear(&s->checkpoint);
	buf_append(&s->checkpoint, &head, sizeof(head));
	buf_append(&s->checkpoint, s->state.data, s->state.used);
	bus_sink_save(s->bus, &s->checkpoint);
	spool_save(s->spool, durable, s->checkpoint.data, s->checkpoint.used);
}

/*
 * The lanes can only be opened with what the checkpoint says of them, and that
 * is known once the log is open: so the headers wait.
 */
static void on_recovered(void *arg, const struct spool_record *record)
{
	struct sink *s = arg;

	/* What a repair saved has no lane any more. */
	if (record->batch && record->batch->header.lane.epoch)
		buf_append(&s->recovered, &record->batch->header,
			   sizeof(record->batch->header));
}

static void on_committed(void *arg, uint64_t durable)
{
	struct sink *s = arg;

	s->durable_accepted += pending_pop(&s->pending, durable);
	s->durable = durable;
	FAILPOINT("sink_before_ack");
	bus_sink_durable(s->bus, s->durable_accepted);
	bus_sink_resume(s->bus);
	s->events.readable(s->events.arg);
}

static void on_failed(void *arg, const struct err *err)
{
	struct sink *s = arg;
	char quoted[LOG_QUOTE_BYTES];

	log_error("spool_failed", "error=%s", log_quote(quoted, err->text));
	s->events.failed(s->events.arg, err);
}

/* A batch that can never fit holds its lane for ever: somebody has to act. */
static void tell_too_large(struct sink *s, const struct err *err)
{
	char quoted[LOG_QUOTE_BYTES];

	if (s->told_too_large)
		return;
	s->told_too_large = true;
	log_error("batch_too_large",
		  "error=%s action=\"raise log_cap and restart; the batch "
		  "waits at its source\"",
		  log_quote(quoted, err->text));
	run_status(s->run, err->text);
}

static int on_accept(void *arg, struct batch *b, struct err *err)
{
	struct sink *s = arg;
	uint64_t position;

	if (spool_append(s->spool, b, &position, err) != 0) {
		if (err->code == EFBIG)
			tell_too_large(s, err);
		return -1;
	}
	pending_push(&s->pending, position);
	FAILPOINT("sink_appended");
	return 0;
}

static int on_resolve(void *arg, struct batch *b, struct batch **whole,
		      struct err *err)
{
	struct sink *s = arg;

	return resolver_read(s->resolver, b, whole, err);
}

static int open_spool(struct sink *s, const struct sink_options *options,
		      struct err *err)
{
	struct spool_options log = {
	    .dir = s->dir,
	    .segment_bytes = options->segment_bytes,
	    .cap_bytes = options->cap_bytes,
	    .reserve_bytes = options->reserve_bytes,
	    .checkpoint_bytes = options->segment_bytes,
	    .cache_bytes = options->cache_bytes,
	    .commit_interval_us = options->commit_interval_us,
	};
	struct spool_events events = {
	    .recovered = on_recovered,
	    .committed = on_committed,
	    .failed = on_failed,
	    .saving = on_saving,
	    .arg = s,
	};

	return spool_open(&s->spool, run_loop(s->run), &log, &events, err);
}

/* Splits what the checkpoint carried; *lanes points into it. */
static int take_saved(struct sink *s, const void **lanes, size_t *lanes_bytes,
		      struct err *err)
{
	struct spool_stats stats;
	struct saved head;
	size_t bytes;
	const char *data = spool_saved(s->spool, &bytes);

	*lanes = NULL;
	*lanes_bytes = 0;
	spool_get_stats(s->spool, &stats);
	s->delivered = stats.first;
	if (!bytes)
		return 0;
	if (bytes < sizeof(head))
		return err_set(
		    err, EINVAL,
		    "%s: the checkpoint has %zu bytes of sink state, "
		    "expected at least %zu",
		    s->dir, bytes, sizeof(head));
	memcpy(&head, data, sizeof(head));
	if (head.version != SAVED_VERSION ||
	    head.state_bytes > bytes - sizeof(head))
		return err_set(err, EINVAL,
			       "%s: sink state of version %u cannot be read; "
			       "this program knows %u",
			       s->dir, head.version, SAVED_VERSION);
	s->delivered = head.delivered;
	buf_append(&s->state, data + sizeof(head), head.state_bytes);
	*lanes = data + sizeof(head) + head.state_bytes;
	*lanes_bytes = bytes - sizeof(head) - head.state_bytes;
	return 0;
}

static void replay_recovered(struct sink *s)
{
	struct batch_header header;

	for (size_t at = 0; at < s->recovered.used; at += sizeof(header)) {
		memcpy(&header, s->recovered.data + at, sizeof(header));
		bus_sink_recovered(s->bus, &header);
	}
	buf_free(&s->recovered);
}

static int open_bus(struct sink *s, const struct sink_options *options,
		    struct err *err)
{
	struct bus_endpoint in = {.instance = run_instance(s->run)};
	struct bus_sink_options lanes = {
	    .name = run_label(s->run),
	    .in = &in,
	    .log_id = *spool_id(s->spool),
	};
	struct bus_sink_events events = {
	    .accept = on_accept, .resolve = on_resolve, .arg = s};

	snprintf(in.link, sizeof(in.link), "%s", options->link);
	if (conf_endpoint(run_config(s->run), options->link, in.instance,
			  in.data, in.state, err) != 0)
		return -1;
	if (take_saved(s, &lanes.saved, &lanes.saved_bytes, err) != 0)
		return -1;
	if (bus_sink_open(&s->bus, run_bus(s->run), &lanes, &events, err) != 0)
		return -1;
	replay_recovered(s);
	bus_sink_begin(s->bus);
	return 0;
}

int sink_open(struct sink **sink, struct run *run,
	      const struct sink_options *options,
	      const struct sink_events *events, struct err *err)
{
	struct sink *s = xcalloc(1, sizeof(*s));
	struct spool_stats stats;

	s->run = run;
	s->events = *events;
	s->dir = xasprintf("%s/log", run_state_dir(run));
	s->resolver = resolver_new(run_loop(run));
	if (open_spool(s, options, err) != 0 ||
	    open_bus(s, options, err) != 0) {
		sink_close(&s);
		return -1;
	}
	spool_get_stats(s->spool, &stats);
	s->durable = stats.durable;
	*sink = s;
	return 0;
}

void sink_close(struct sink **sink)
{
	struct sink *s = *sink;

	if (!s)
		return;
	/* Its last checkpoint asks the lanes. */
	spool_close(&s->spool, CLOSE_TIMEOUT_US);
	bus_sink_close(&s->bus);
	resolver_free(&s->resolver);
	buf_free(&s->state);
	buf_free(&s->checkpoint);
	buf_free(&s->recovered);
	free(s->pending.positions);
	free(s->dir);
	free(s);
	*sink = NULL;
}

uint64_t sink_resume_at(const struct sink *s, const void **state, size_t *bytes)
{
	*state = s->state.data;
	*bytes = s->state.used;
	return s->delivered;
}

const struct uuid *sink_log_id(const struct sink *s)
{
	return spool_id(s->spool);
}

/* A log that ends in what cannot be read would have it undelivered for ever. */
static void pass_over(struct sink *s)
{
	if (s->delivered >= s->blank_from && s->delivered < s->blank_to)
		s->delivered = s->blank_to;
	spool_free_before(s->spool, s->delivered);
}

static void note_blank(struct sink *s, uint64_t from, uint64_t to)
{
	if (from == to)
		return;
	if (from != s->blank_to)
		s->blank_from = from;
	s->blank_to = to;
	pass_over(s);
}

int sink_read(struct sink *s, uint64_t *position, uint64_t *next,
	      struct batch **b, struct err *err)
{
	uint64_t from = *position;
	int rc;

	if (from >= s->durable)
		return 0;
	rc = spool_read(s->spool, position, next, b, err);
	if (rc == 0)
		note_blank(s, from, *position);
	return rc;
}

int sink_read_record(struct sink *s, struct spool_record *record,
		     struct err *err)
{
	uint64_t from = record->position;
	int rc;

	if (from >= s->durable)
		return 0;
	rc = spool_read_record(s->spool, record, err);
	if (rc == 0)
		note_blank(s, from, record->position);
	return rc;
}

void sink_delivered(struct sink *s, uint64_t position, const void *state,
		    size_t bytes)
{
	if (bytes > MAX_STATE_BYTES)
		abort();
	buf_clear(&s->state);
	buf_append(&s->state, state, bytes);
	s->delivered = position;
	FAILPOINT("sink_before_free");
	pass_over(s);
	bus_sink_resume(s->bus);
}

void sink_refuse(struct sink *s, const struct refusal *streams)
{
	bus_sink_refuse(s->bus, streams);
}

bool sink_idle(const struct sink *s)
{
	struct spool_stats stats;

	spool_get_stats(s->spool, &stats);
	return s->delivered == stats.end;
}

void sink_get_stats(const struct sink *s, struct spool_stats *spool,
		    struct bus_stats *bus)
{
	spool_get_stats(s->spool, spool);
	bus_sink_get_stats(s->bus, bus);
}
