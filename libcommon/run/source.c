#include "run/source.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "run/gather.h"
#include "run/tap.h"

/* The application's part of a source's checkpoint. */
struct saved {
	uint32_t version;
	uint32_t reserved;
	uint64_t epoch;
};
#define SAVED_VERSION 1
/* For its checkpoint, a page long: without one nothing is freed. */
#define RESERVE_BYTES 65536

struct source {
	struct run *run;
	struct source_events events;
	struct spool *spool;
	struct bus_source *bus;
	char *dir;
	char *link;
	struct reference reference; /* no dir: nothing is sent by reference */
	uint64_t epoch;
	uint64_t generation; /* of the topology that was last asked for */
	struct gather *gather;
	uint64_t durable;
	int64_t join_bytes;
	int64_t join_delay_us;
	int64_t sent_mono_us; /* when the last batch was read to be sent */
	struct loop_timer join_timer;
	bool holding; /* a small batch waits for join_timer */
	struct tap *tap;
};

static void on_committed(void *arg, uint64_t durable)
{
	struct source *s = arg;

	s->durable = durable;
	FAILPOINT("source_durable");
	s->events.durable(s->events.arg, durable);
	if (s->bus)
		bus_source_kick(s->bus);
}

static void on_failed(void *arg, const struct err *err)
{
	struct source *s = arg;
	char quoted[LOG_QUOTE_BYTES];

	log_error("spool_failed", "error=%s", log_quote(quoted, err->text));
	s->events.failed(s->events.arg, err);
}

static int read_spool(void *arg, uint64_t *position, uint64_t *next,
		      struct batch **b, struct err *err)
{
	struct source *s = arg;

	return spool_read(s->spool, position, next, b, err);
}

/* Nothing is joined of a set that cannot be found: the transformer says why. */
static struct contract_batch_limits batch_limits(void *arg, uint64_t hash)
{
	struct source *s = arg;
	struct err err;
	struct contract_set *set = run_contracts_of(s->run, hash, &err);

	return set ? contract_set_batch_limits(set)
		   : (struct contract_batch_limits){0};
}

static void on_join_timer(void *arg)
{
	struct source *s = arg;

	bus_source_kick(s->bus);
}

/*
 * Whether what lies behind `position` is too little and too fresh to be sent.
 * A lone batch after a pause leaves at once: only a stream of small ones is
 * slowed down, to one each join_delay_us.
 */
static bool is_held(struct source *s, uint64_t position)
{
	int64_t due_us = s->sent_mono_us + s->join_delay_us;

	s->holding = s->join_bytes && s->durable > position &&
		     s->durable - position < (uint64_t)s->join_bytes &&
		     !run_draining(s->run) && clock_mono_us() < due_us;
	if (s->holding && !s->join_timer.at_mono_us)
		loop_timer_set(run_loop(s->run), &s->join_timer, due_us);
	return s->holding;
}

static int on_read(void *arg, uint64_t *position, uint64_t *next,
		   struct batch **b, struct err *err)
{
	struct source *s = arg;
	bool again = *next != 0;
	int rc;

	if (!again && is_held(s, *position))
		return 0;
	rc = gather_read(s->gather, position, next, b, err);
	if (rc == 1 && s->join_bytes && !again)
		s->sent_mono_us = clock_mono_us();
	if (rc == 1 && !again && tap_is_wanted(s->tap))
		tap_show(s->tap, s->link, *b);
	return rc;
}

/*
 * The body stays where it is, unless somebody looks at it here, or the records
 * carry an id that the log had before, by which no reader would know them.
 */
static int on_refer(void *arg, uint64_t *position, uint64_t *next,
		    struct batch **b, struct err *err)
{
	struct source *s = arg;
	struct reference *r = &s->reference;
	struct batch_header header;
	bool again = *next != 0;
	int rc;

	if (*position < spool_id_since(s->spool) || tap_is_wanted(s->tap))
		return on_read(arg, position, next, b, err);
	if (!again && is_held(s, *position))
		return 0;
	r->position = *position;
	r->next = *next;
	rc = gather_refer(s->gather, r, &header, err);
	*position = r->position;
	if (rc != 1)
		return rc;
	*next = r->next;
	if (r->next - r->position > REFERENCE_MAX_SPAN)
		return gather_read(s->gather, position, next, b, err);
	if (s->join_bytes && !again)
		s->sent_mono_us = clock_mono_us();
	*b = batch_refer(&header, r);
	return 1;
}

static void on_freed(void *arg, uint64_t position)
{
	struct source *s = arg;

	FAILPOINT("source_acked");
	spool_free_before(s->spool, position);
}

/* Puts the next epoch into the next checkpoint; it counts once that is durable.
 */
static void raise_epoch(struct source *s, uint64_t above)
{
	struct saved saved = {.version = SAVED_VERSION};
	struct spool_stats stats;

	spool_get_stats(s->spool, &stats);
	s->epoch = (s->epoch > above ? s->epoch : above) + 1;
	saved.epoch = s->epoch;
	spool_save(s->spool, stats.durable, &saved, sizeof(saved));
}

static void begin_epoch(struct source *s)
{
	struct spool_stats stats;

	spool_get_stats(s->spool, &stats);
	log_info("epoch_begun",
		 "epoch=%" PRIu64 " from=%" PRIu64 " replay_before=%" PRIu64,
		 s->epoch, stats.first, stats.end);
	bus_source_begin(s->bus, s->epoch, stats.first, stats.end);
}

static void on_epoch_saved(void *arg, const struct err *err)
{
	struct source *s = arg;
	char quoted[LOG_QUOTE_BYTES];

	if (err) {
		/* The old epoch is retired at some sinks already, so there is
		 * no way on without a new one: come back with a new process. */
		log_error("epoch_not_saved", "error=%s",
			  log_quote(quoted, err->text));
		run_fail(s->run, err);
		return;
	}
	begin_epoch(s);
}

static void on_begin(void *arg, uint64_t above)
{
	struct source *s = arg;

	raise_epoch(s, above);
	spool_checkpoint(s->spool, on_epoch_saved, s);
}

static void on_moved(void *arg)
{
	struct source *s = arg;

	run_follows(s->run, s->generation);
}

static int take_saved(struct source *s, struct err *err)
{
	struct saved saved;
	size_t bytes;
	const void *data = spool_saved(s->spool, &bytes);

	if (!bytes)
		return 0;
	if (bytes != sizeof(saved))
		return err_set(err, EINVAL,
			       "%s: the checkpoint has %zu bytes of source "
			       "state, expected %zu; it is of another version "
			       "or another service",
			       s->dir, bytes, sizeof(saved));
	memcpy(&saved, data, sizeof(saved));
	if (saved.version != SAVED_VERSION)
		return err_set(err, EINVAL,
			       "%s: source state has version %u, this program "
			       "knows %u",
			       s->dir, saved.version, SAVED_VERSION);
	s->epoch = saved.epoch;
	return 0;
}

static int open_spool(struct source *s, const struct source_options *options,
		      struct err *err)
{
	struct spool_options log = {
	    .dir = s->dir,
	    .segment_bytes = options->segment_bytes,
	    .cap_bytes = options->cap_bytes,
	    .reserve_bytes = RESERVE_BYTES,
	    .headroom_bytes = options->headroom_bytes,
	    .checkpoint_bytes = options->segment_bytes,
	    .cache_bytes = options->cache_bytes,
	};
	struct spool_stats stats;
	struct spool_events events = {
	    .committed = on_committed,
	    .failed = on_failed,
	    .arg = s,
	};

	if (spool_open(&s->spool, run_loop(s->run), &log, &events, err) != 0)
		return -1;
	if (take_saved(s, err) != 0)
		return -1;
	spool_get_stats(s->spool, &stats);
	s->durable = stats.durable;
	raise_epoch(s, 0);
	FAILPOINT("epoch_raised");
	if (spool_checkpoint_now(s->spool, err) != 0)
		return -1;
	FAILPOINT("epoch_saved");
	return 0;
}

/* Where others of this host find the log; without that all goes by value. */
static bool find_reference(struct source *s)
{
	char *path = realpath(s->dir, NULL);
	bool found = path && strlen(path) < sizeof(s->reference.dir);

	if (found)
		memcpy(s->reference.dir, path, strlen(path) + 1);
	s->reference.log = *spool_id(s->spool);
	free(path);
	return found;
}

static int open_bus(struct source *s, const struct source_options *options,
		    struct err *err)
{
	struct bus_endpoint peers[BUS_MAX_PEERS];
	struct bus_source_options lanes = {
	    .id = *spool_id(s->spool),
	    .window_bytes = options->window_bytes,
	    .silence_us = options->silence_us,
	    .drain_us = run_config(s->run)->pipeline->drain_timeout,
	    .by_key = options->by_key,
	    .peers = peers,
	};
	struct bus_source_events events = {
	    .read = on_read,
	    .refer = find_reference(s) ? on_refer : NULL,
	    .freed = on_freed,
	    .begin = on_begin,
	    .moved = on_moved,
	    .arg = s,
	};
	int count = run_endpoints(s->run, options->link, peers, err);

	if (count < 0)
		return -1;
	lanes.peer_count = (uint32_t)count;
	return bus_source_open(&s->bus, run_bus(s->run), &lanes, &events, err);
}

int source_open(struct source **source, struct run *run,
		const struct source_options *options,
		const struct source_events *events, struct err *err)
{
	struct source *s = xcalloc(1, sizeof(*s));
	const struct gather_log log = {read_spool, batch_limits, s};

	s->run = run;
	s->events = *events;
	s->dir = xasprintf("%s/log", run_state_dir(run));
	s->link = xstrdup(options->link);
	s->join_bytes = options->join_bytes;
	s->join_delay_us = options->join_delay_us;
	s->join_timer = (struct loop_timer){.fn = on_join_timer, .arg = s};
	s->gather = gather_new(&log, (size_t)options->join_bytes);
	s->tap = tap_new(run);
	if (open_spool(s, options, err) != 0 ||
	    open_bus(s, options, err) != 0) {
		source_close(&s);
		return -1;
	}
	begin_epoch(s);
	s->generation = run_generation(run);
	run_follows(run, s->generation);
	*source = s;
	return 0;
}

void source_close(struct source **source)
{
	struct source *s = *source;

	if (!s)
		return;
	loop_timer_cancel(run_loop(s->run), &s->join_timer);
	bus_source_close(&s->bus);
	gather_free(&s->gather);
	tap_free(&s->tap);
	spool_close(&s->spool, 5000000);
	free(s->dir);
	free(s->link);
	free(s);
	*source = NULL;
}

int source_append(struct source *s, struct batch *b, uint64_t *position,
		  struct err *err)
{
	return spool_append(s->spool, b, position, err);
}

bool source_has_room(const struct source *s, size_t bytes)
{
	return spool_has_room(s->spool, bytes);
}

const struct refusal *source_refused(const struct source *s)
{
	return bus_source_refused(s->bus);
}

bool source_idle(const struct source *s)
{
	struct spool_stats stats;

	spool_get_stats(s->spool, &stats);
	return stats.durable == stats.end && !s->holding &&
	       bus_source_idle(s->bus);
}

int source_reload(struct source *s, struct err *err)
{
	struct bus_endpoint peers[BUS_MAX_PEERS];
	int count = run_endpoints(s->run, s->link, peers, err);

	if (count < 0)
		return -1;
	s->generation = run_generation(s->run);
	return bus_source_set_peers(s->bus, peers, (uint32_t)count, err);
}

void source_get_stats(const struct source *s, struct spool_stats *spool,
		      struct bus_stats *bus)
{
	spool_get_stats(s->spool, spool);
	bus_source_get_stats(s->bus, bus);
}
