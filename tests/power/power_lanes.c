/*
 * A source and a sink with their logs, and a relay between them, under loss of
 * power of all at once: run/source.c and run/sink.c over the real bus and the
 * real log. What it promises, one a line:
 *
 *   intend N CRC           batch N may arrive from now on
 *   ack N                  its sender was told that it is safe
 *   epoch E                something was sent under it
 *   deliver N POS EPOCH REPLAY CRC
 *                          it left the sink, from that position of its log
 *
 * After a loss of power everything that was acknowledged arrives; what had left
 * the sink before leaves it again only from the same position, or flagged as a
 * replay; what comes new comes in order under a newer epoch.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "run/private.h"
#include "run/resolver.h"
#include "run/sink.h"
#include "run/source.h"
#include "services/kinds.h"
#include "tests/power/common.h"
#include "tests/power/record.h"

#define SEGMENT_BYTES 65536
#define CAP_BYTES     (4 << 20)
#define WAIT_US	      INT64_C(15000000)
#define LINK	      "eventhub"
#define LEFT_MOST     64

struct item {
	uint32_t crc;
	uint64_t position; /* in the source's log, in this life */
	bool intended, appended, acked;
	uint32_t left; /* times that it left the sink, and from where */
	uint64_t left_at[LEFT_MOST];
};

struct lanes_run {
	struct draw draw;
	struct loop *loop;
	struct bus *bus;
	struct batch_builder *builder;
	struct conf *conf;
	char *dir; /* of sockets and configuration */
	struct run source_run, relay_run, sink_run;
	struct source *source;
	struct bus_relay *relay;
	struct resolver *resolver; /* the relay's */
	struct sink *sink;
	struct item *items; /* by number */
	size_t item_count;
	uint64_t newest;
	uint64_t epoch;	      /* newest that anything left under, */
	uint64_t used;	      /* … was sent under before this life */
	uint64_t first_acked; /* all before are acked in this life */
	uint64_t told;	      /* durable in the source's log, as told */
	uint64_t read_at;     /* next to leave the sink */
	/* What was in the sink's log when it was opened; behind it only new
	 * ones come, in order. */
	uint64_t opened_end, last_new;
	bool checking;
};

static struct item *item_of(struct lanes_run *r, uint64_t n)
{
	size_t count = r->item_count;

	if (n >= count) {
		r->item_count = n + 64;
		r->items =
		    xreallocarray(r->items, r->item_count, sizeof(*r->items));
		memset(r->items + count, 0,
		       (r->item_count - count) * sizeof(*r->items));
	}
	return &r->items[n];
}

static bool has_left(const struct item *item, uint64_t position)
{
	for (uint32_t i = 0; i < item->left; i++)
		if (item->left_at[i] == position)
			return true;
	return false;
}

static void leave(struct item *item, uint64_t position)
{
	if (has_left(item, position))
		return;
	MUST(item->left < LEFT_MOST, "a batch leaves again and again");
	item->left_at[item->left++] = position;
}

/* ---- what was promised ---- */

static void take(struct lanes_run *r, const char *line)
{
	uint64_t v[5] = {0};
	char word[16] = "";
	struct item *item;

	MUST(sscanf(line,
		    "%15s %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
		    " %" SCNu64,
		    word, &v[0], &v[1], &v[2], &v[3], &v[4]) >= 2,
	     "no promise: %s", line);
	if (strcmp(word, "epoch") == 0) {
		r->used = v[0];
		return;
	}
	item = item_of(r, v[0]);
	if (strcmp(word, "intend") == 0) {
		item->intended = true;
		item->crc = (uint32_t)v[1];
		r->newest = v[0];
	} else if (strcmp(word, "ack") == 0) {
		item->acked = true;
	} else {
		leave(item, v[1]);
		r->epoch = v[2] > r->epoch ? v[2] : r->epoch;
	}
}

static void load(struct lanes_run *r, const char *path)
{
	size_t count;
	char **lines = read_promises(path, &count);

	for (size_t i = 0; i < count; i++)
		take(r, lines[i]);
}

/* ---- the parts ---- */

static void on_source_durable(void *arg, uint64_t durable)
{
	struct lanes_run *r = arg;

	r->told = durable;
	for (; r->first_acked <= r->newest; r->first_acked++) {
		struct item *item = item_of(r, r->first_acked);

		if (item->appended && item->position >= durable)
			return;
		if (item->appended) {
			item->acked = true;
			promise("ack %" PRIu64, r->first_acked);
		}
	}
}

static void on_failed(void *arg, const struct err *err)
{
	(void)arg;
	(void)err;
}

static void on_readable(void *arg)
{
	(void)arg;
}

/* An epoch is on disk before its first use, so a life never uses it again. */
static void note_epoch(struct lanes_run *r, uint64_t epoch)
{
	MUST(!r->checking || epoch > r->used,
	     "epoch %" PRIu64 " was used before", epoch);
	if (epoch <= r->used || r->checking)
		return;
	promise("epoch %" PRIu64, epoch);
	r->used = epoch;
}

static int pass_on(void *arg, struct batch *in, struct batch **out,
		   struct err *err)
{
	(void)err;
	note_epoch(arg, in->header.lane.epoch);
	out[0] = batch_ref(in);
	return 0;
}

/* So that bodies stay in the source's log until the sink reads them there. */
static int resolve(void *arg, struct batch *b, struct batch **whole,
		   struct err *err)
{
	struct lanes_run *r = arg;

	return resolver_read(r->resolver, b, whole, err);
}

static void open_source(struct lanes_run *r)
{
	struct source_options options = {.link = "raw",
					 .segment_bytes = SEGMENT_BYTES,
					 .cap_bytes = CAP_BYTES,
					 .cache_bytes = 50000,
					 .window_bytes = 60000,
					 .silence_us = 2000000};
	struct source_events events = {on_source_durable, on_failed, r};
	struct spool_stats stats;
	struct bus_stats ignored;
	struct err err = {0};

	for (size_t i = 0; i < r->item_count; i++)
		r->items[i].appended = false;
	r->first_acked = r->newest + 1;
	MUST(source_open(&r->source, &r->source_run, &options, &events, &err) ==
		 0,
	     "the source does not open: %s", err.text);
	source_get_stats(r->source, &stats, &ignored);
	r->told = stats.end;
}

static void open_relay(struct lanes_run *r)
{
	struct bus_endpoint in = {.link = "raw"}, out[BUS_MAX_PEERS];
	struct bus_relay_options options = {.name = "transformer.0",
					    .in = &in,
					    .outs = out,
					    .silence_us = 2000000};
	struct bus_relay_events events = {
	    .work = pass_on, .resolve = resolve, .arg = r};
	struct err err = {0};
	int count = run_endpoints(&r->relay_run, LINK, out, &err);

	options.out_count = (uint32_t)count;
	MUST(count == 1 &&
		 conf_endpoint(r->conf, "raw", 0, in.data, in.state, &err) ==
		     0 &&
		 bus_relay_open(&r->relay, r->bus, &options, &events, &err) ==
		     0,
	     "the relay does not open: %s", err.text);
}

static void open_sink(struct lanes_run *r)
{
	struct sink_options options = {.link = LINK,
				       .segment_bytes = SEGMENT_BYTES,
				       .cap_bytes = CAP_BYTES,
				       .cache_bytes = 50000};
	struct sink_events events = {on_readable, on_failed, r};
	struct spool_stats stats;
	struct bus_stats ignored;
	struct err err = {0};
	const void *state;
	size_t bytes;

	MUST(sink_open(&r->sink, &r->sink_run, &options, &events, &err) == 0,
	     "the sink does not open: %s", err.text);
	sink_get_stats(r->sink, &stats, &ignored);
	MUST(!stats.bad_records, "%" PRIu64 " bad records", stats.bad_records);
	r->read_at = sink_resume_at(r->sink, &state, &bytes);
	r->opened_end = stats.end;
	r->last_new = 0;
}

static void make_run(struct lanes_run *r, struct run *run, const char *folder,
		     const char *name)
{
	struct err err = {0};

	run->name = xstrdup(name);
	run->label = xasprintf("%s.0", name);
	run->conf = r->conf;
	run->loop = r->loop;
	run->bus = r->bus;
	run->lock_fd = -1;
	if (!folder)
		return;
	run->state_dir = xasprintf("%s/%s", folder, run->label);
	MUST(statedir_take(run, &err) == 0, "no state directory: %s", err.text);
}

static void load_conf(struct lanes_run *r)
{
	static const char format[] =
	    "pipeline = { state_dir = \"%s\"; run_dir = \"%s\"; };\n"
	    "services = ( { name = \"collector\"; }, { name = \"transformer\"; "
	    "}, { name = \"eventhub-publisher\"; } );\n"
	    "eventhub-publisher = { backend = \"null\"; };\n";
	struct conf_report report = {0};
	char *path;
	FILE *f;

	r->dir = xstrdup("/tmp/weft-power-XXXXXX");
	MUST(mkdtemp(r->dir), "no folder for sockets");
	path = xasprintf("%s/weft.conf", r->dir);
	f = fopen(path, "w");
	MUST(f && fprintf(f, format, r->dir, r->dir) > 0 && fclose(f) == 0,
	     "cannot write %s", path);
	MUST(conf_load(&r->conf, path, &weft_kinds, &report) == 0, "%s",
	     buf_str(&report.lines));
	unlink(path);
	free(path);
}

static void open_all(struct lanes_run *r, const char *folder)
{
	load_conf(r);
	r->loop = loop_new();
	r->bus = bus_new(r->loop);
	r->builder = batch_builder_new();
	r->resolver = resolver_new(r->loop);
	make_run(r, &r->source_run, folder, "collector");
	make_run(r, &r->relay_run, NULL, "transformer");
	make_run(r, &r->sink_run, folder, "eventhub-publisher");
	open_sink(r);
	open_relay(r);
	open_source(r);
}

static void close_all(struct lanes_run *r)
{
	char path[128];

	source_close(&r->source);
	bus_relay_close(&r->relay);
	sink_close(&r->sink);
	resolver_free(&r->resolver);
	bus_free(&r->bus);
	for (int i = 0; i < 5; i++) {
		static const char *const names[] = {"raw.0", "raw.0.state",
						    LINK ".0", LINK ".0.state",
						    "collector.0.tap"};

		snprintf(path, sizeof(path), "%s/%s", r->dir, names[i]);
		unlink(path);
	}
	rmdir(r->dir);
}

/* ---- what they do ---- */

static void compare_left(struct lanes_run *r, const struct batch *b,
			 uint64_t position)
{
	uint64_t n = sequence_of(b);
	struct item *item = item_of(r, n);
	bool replay = b->header.flags & BATCH_REPLAY;

	MUST(item->intended && item->crc == b->header.body_crc,
	     "batch %" PRIu64 " at %" PRIu64 " came from nowhere", n, position);
	MUST(!item->left || has_left(item, position) || replay,
	     "batch %" PRIu64 " left twice, from %" PRIu64 " and %" PRIu64, n,
	     item->left_at[0], position);
	if (position < r->opened_end)
		return;
	MUST(n > r->last_new || b->header.sequence == 1,
	     "batch %" PRIu64 " behind %" PRIu64, n, r->last_new);
	MUST(b->header.lane.epoch > r->epoch || r->last_new,
	     "batch %" PRIu64 " of epoch %" PRIu64 ", behind %" PRIu64, n,
	     b->header.lane.epoch, r->epoch);
	r->last_new = n;
}

/* At most `count` batches leave the sink; its log may free them then. */
static void deliver(struct lanes_run *r, uint64_t count)
{
	struct batch *b;
	struct err err = {0};
	uint64_t next;
	int rc = 1;

	while (count-- &&
	       (rc = sink_read(r->sink, &r->read_at, &next, &b, &err)) == 1) {
		uint64_t n = sequence_of(b);
		struct item *item = item_of(r, n);

		if (r->checking)
			compare_left(r, b, r->read_at);
		promise("deliver %" PRIu64 " %" PRIu64 " %" PRIu64 " %u %u", n,
			r->read_at, b->header.lane.epoch,
			b->header.flags & BATCH_REPLAY ? 1u : 0u,
			b->header.body_crc);
		leave(item, r->read_at);
		batch_unref(&b);
		r->read_at = next;
		sink_delivered(r->sink, next, "state", 5);
	}
	MUST(rc >= 0, "cannot read: %s", err.text);
}

static void append(struct lanes_run *r)
{
	uint64_t n = r->newest + 1, position;
	struct batch *b =
	    make_batch(r->builder, n, 1 + (uint32_t)draw(&r->draw, 4),
		       1 + draw(&r->draw, draw(&r->draw, 6) ? 900 : 8000));
	struct item *item = item_of(r, n);
	struct err err;

	promise("intend %" PRIu64 " %" PRIu32, n, b->header.body_crc);
	r->newest = n;
	item->intended = true;
	item->crc = b->header.body_crc;
	item->appended = source_append(r->source, b, &position, &err) == 0;
	item->position = position;
	batch_unref(&b);
}

static bool all_done(struct lanes_run *r)
{
	struct spool_stats stats;
	struct bus_stats ignored;

	/* Durable a moment before it is told, and then there is more to do. */
	source_get_stats(r->source, &stats, &ignored);
	return r->told == stats.end && source_idle(r->source) &&
	       sink_idle(r->sink);
}

/* A source that could not save its epoch ends its process. */
static void begin_again(struct lanes_run *r)
{
	if (!r->source_run.exit_code)
		return;
	r->source_run.exit_code = 0;
	record_fail_syncs(0, 0);
	source_close(&r->source);
	open_source(r);
}

static void settle(struct lanes_run *r)
{
	int64_t until = clock_mono_us() + WAIT_US;

	while (!all_done(r)) {
		MUST(clock_mono_us() < until,
		     "it does not come to rest: source %d, sink %d",
		     source_idle(r->source), sink_idle(r->sink));
		loop_turn(r->loop, 2000);
		deliver(r, 100);
		begin_again(r);
	}
}

/* ---- the life that is recorded ---- */

static void restart(struct lanes_run *r)
{
	/* An open that fails is another program's story. */
	record_fail_syncs(0, 0);
	switch (draw(&r->draw, 3)) {
	case 0:
		source_close(&r->source);
		open_source(r);
		break;
	case 1:
		bus_relay_close(&r->relay);
		open_relay(r);
		break;
	default:
		sink_close(&r->sink);
		open_sink(r);
	}
}

static void step(struct lanes_run *r)
{
	uint64_t what = draw(&r->draw, 100);

	for (uint64_t i = draw(&r->draw, 6); what < 60 && i; i--)
		append(r);
	for (uint64_t i = draw(&r->draw, 6); i; i--)
		loop_turn(r->loop, 1000);
	if (what < 80)
		deliver(r, draw(&r->draw, 8));
	else if (what < 86)
		settle(r);
	else if (what < 94)
		restart(r);
	else if (what < 97)
		record_fail_syncs((int)draw(&r->draw, 3),
				  (int)draw(&r->draw, 2));
	begin_again(r);
}

static void run(const char *folder, uint64_t seed, uint64_t steps,
		const char *promises)
{
	struct lanes_run r = {0};

	MUST(record_fail_syncs, "not under recorddisk.so");
	draw_seed(&r.draw, seed);
	load(&r, promises);
	open_all(&r, folder);
	for (uint64_t i = 0; i < steps; i++)
		step(&r);
	record_fail_syncs(0, 0);
	if (draw(&r.draw, 2))
		settle(&r);
	close_all(&r);
}

/* ---- what a loss of power left ---- */

static void check(const char *folder, const char *promises)
{
	struct lanes_run r = {.checking = true};

	load(&r, promises);
	open_all(&r, folder);
	settle(&r);
	append(&r);
	settle(&r);
	for (uint64_t n = 1; n <= r.newest; n++)
		MUST(!item_of(&r, n)->acked || item_of(&r, n)->left,
		     "batch %" PRIu64 " was acknowledged, and is lost", n);
	MUST(item_of(&r, r.newest)->left, "a new batch does not arrive");
	close_all(&r);
}

int main(int argc, char **argv)
{
	static const struct subject subject = {run, check};

	return power_main(argc, argv, &subject);
}
