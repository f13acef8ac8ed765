/*
 * NAME       onelake-writer - lands events in Delta tables, each once
 * IN         link lake: mapped batches, in lanes
 * WORK       appends each batch to its log, acks it once it is on disk, then
 *            collects what the log has for a while, or up to a size, and gives
 *            it to a worker, which drops duplicates, makes a Parquet file for
 *            each table, uploads and commits them
 * OUT        tables of a lake: a local folder or Azure Blob Storage
 * GUARANTEE  what was acked is in its table once, also over crashes, lost
 *            answers and events that were sent again
 * ON FAILURE of a table: it is tried again, with growing back-off, while the
 *            others go on; when it fails again and again its events are moved
 *            to a side log, and land from there when it works again. Of the
 *            store: the log holds. An event that cannot become a row becomes a
 *            dead letter
 */
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "run/conf_rows.h"
#include "run/run.h"
#include "run/sink.h"
#include "services/kinds.h"
#include "services/onelake-writer/gauges.h"
#include "services/onelake-writer/side.h"
#include "services/onelake-writer/tables.h"
#include "services/onelake-writer/worker.h"

/* After the log could not be read, or a contract set is not here. */
#define READ_AGAIN_US INT64_C(1000000)

struct writer {
	struct sink *sink;
	struct worker *worker;
	struct sides *sides;
	struct job *job;    /* that is collected */
	struct job *moving; /* landed, but for what goes to side logs */
	bool sides_turn;    /* the last job was one of the log */
	uint64_t cursor;    /* log position read next */
	int64_t in_work_events;
	struct loop_timer flush;
	struct loop_timer again; /* a side log may be tried again */
	struct loop_timer read_again;
	bool waits; /* for a contract set or the log; status says so */
};

static const struct onelake_writer_conf *conf_of(struct run *run)
{
	return run_conf(run);
}

/* Nothing may come that would make it read again, so a timer does. */
static void read_later(struct run *run, const struct err *err)
{
	struct writer *state = run_state(run);
	char quoted[LOG_QUOTE_BYTES];

	log_error("read_failed", "retry_ms=%" PRId64 " error=%s",
		  READ_AGAIN_US / 1000, log_quote(quoted, err->text));
	run_status(run, err->text);
	state->waits = true;
	loop_timer_set(run_loop(run), &state->read_again,
		       clock_mono_us() + READ_AGAIN_US);
}

/* Who comes so late may repeat what has left the window. */
static int64_t late_us(const struct onelake_writer_conf *conf)
{
	return conf->dedup_window > conf->retry_window
		   ? conf->dedup_window - conf->retry_window
		   : 0;
}

/* Takes the record into the job; false with *err when it cannot be. */
static bool collect(struct run *run, struct spool_record *record,
		    struct err *err)
{
	const struct onelake_writer_conf *conf = conf_of(run);
	struct writer *state = run_state(run);
	uint64_t hash = record->batch->header.contract_set;
	struct contract_set *set = run_contracts_of(run, hash, err);

	if (!set) {
		err_wrap(err,
			 "waiting for contract set %016" PRIx64
			 ": copy it from the source's host to "
			 "<state_dir>/contracts",
			 hash);
		batch_unref(&record->batch);
		return false;
	}
	if (!state->job)
		state->job = job_new();
	job_add(state->job, record, set, late_us(conf));
	state->cursor = record->next;
	return true;
}

/* Reads what the log has, as far as one job takes it. */
static void read_log(struct run *run)
{
	struct writer *state = run_state(run);
	size_t most = (size_t)conf_of(run)->flush_size;
	struct err err;
	int rc = 1;

	while (!state->job || state->job->bytes < most) {
		struct spool_record record = {.position = state->cursor};

		rc = sink_read_record(state->sink, &record, &err);
		if (rc > 0 && !collect(run, &record, &err))
			rc = -1;
		if (rc <= 0)
			break;
	}
	if (rc < 0)
		read_later(run, &err);
	else if (state->waits)
		run_status(run, "");
	state->waits = rc < 0;
}

/* Whether what is collected should go: full, old, or the end. */
static bool is_due(struct run *run)
{
	const struct onelake_writer_conf *conf = conf_of(run);
	const struct writer *state = run_state(run);

	return state->job->bytes >= (size_t)conf->flush_size ||
	       run_draining(run) ||
	       clock_mono_us() >= state->job->begun_mono_us + conf->flush;
}

/* Gives the worker a job out of a side log, if there is one to be tried. */
static bool give_side(struct run *run)
{
	struct writer *state = run_state(run);
	int64_t at_us;
	struct err err;
	struct job *job;

	/* At the end only those that the log waits for. */
	if (run_draining(run) && !state->moving)
		return false;
	job = sides_next(state->sides, (size_t)conf_of(run)->flush_size, &at_us,
			 &err);
	if (!job && at_us)
		loop_timer_set(run_loop(run), &state->again, at_us);
	if (!job)
		return false;
	job->handed_mono_us = clock_mono_us();
	state->in_work_events = (int64_t)job->events;
	state->sides_turn = false;
	worker_give(state->worker, &job);
	return true;
}

static void give(struct run *run)
{
	struct writer *state = run_state(run);

	state->in_work_events = (int64_t)state->job->events;
	state->job->handed_mono_us = clock_mono_us();
	state->sides_turn = true;
	sides_mark(state->sides, state->job);
	worker_give(state->worker, &state->job);
	/* The next is collected meanwhile. */
	read_log(run);
}

static void pump(struct run *run)
{
	struct writer *state = run_state(run);
	bool due;

	read_log(run);
	if (!worker_idle(state->worker))
		return;
	due = state->job && !state->moving && is_due(run);
	if ((state->sides_turn || !due) && give_side(run))
		return;
	if (due)
		give(run);
	else if (state->job && !state->moving)
		loop_timer_set(run_loop(run), &state->flush,
			       state->job->begun_mono_us + conf_of(run)->flush);
}

static void on_readable(void *arg)
{
	pump(arg);
}

static void on_log_failed(void *arg, const struct err *err)
{
	/* sink.c said it in the log; status tells who looks there. */
	run_status(arg, err->text);
}

/* All that the log holds before its end is elsewhere, for good. */
static void finish(struct run *run, struct job **job)
{
	struct writer *state = run_state(run);

	sink_delivered(state->sink, (*job)->end, NULL, 0);
	job_free(job);
}

static void on_moved(void *arg)
{
	struct writer *state = run_state(arg);

	finish(arg, &state->moving);
	pump(arg);
}

static void on_refused(void *arg)
{
	struct writer *state = run_state(arg);
	struct refusal streams;

	/* NULL: while they are opened. */
	if (!state->sides)
		return;
	sides_refused(state->sides, &streams);
	sink_refuse(state->sink, &streams);
}

static void on_landed(void *arg, struct job *job)
{
	struct run *run = arg;
	struct writer *state = run_state(run);

	state->in_work_events = 0;
	if (job->landed)
		gauges_landed(run_counters(run), job);
	if (job->side) {
		sides_done(state->sides, &job);
	} else if (job->moved_count) {
		state->moving = job;
		sides_take(state->sides, job);
	} else {
		finish(run, &job);
	}
	pump(run);
	if (worker_idle(state->worker) && !state->job)
		/* Nothing comes next: others may need the memory of the last
		 * jobs, which the allocator would keep. */
		(void)malloc_trim(0);
}

static struct contract_set *set_of(void *arg, uint64_t hash, struct err *err)
{
	return run_contracts_of(arg, hash, err);
}

static void on_changed(void *arg)
{
	struct run *run = arg;
	struct writer *state = run_state(run);
	struct landing_stats now;
	char status[ERR_TEXT_BYTES + 64];

	landing_get_stats(worker_landing(state->worker), &now);
	if (state->waits)
		return;
	if (now.err.code)
		snprintf(status, sizeof(status), "%u table%s waiting: %s",
			 now.waiting, now.waiting == 1 ? "" : "s",
			 now.err.text);
	run_status(run, now.err.code ? status : "");
}

static void on_worker_failed(void *arg, const struct err *err)
{
	run_fail(arg, err);
}

static int open_worker(struct run *run, struct err *err)
{
	static const char *const codecs[] = {"zstd", "snappy", "uncompressed"};
	const struct onelake_writer_conf *conf = conf_of(run);
	struct writer *state = run_state(run);
	char log_id[UUID_TEXT_BYTES];
	char *scratch = xasprintf("%s/scratch", run_state_dir(run));
	char *lake =
	    conf->lake
		? xstrdup(conf->lake)
		: xasprintf("%s/lake", run_config(run)->pipeline->state_dir);
	const char *schema = conf->schema ? conf->schema : "";
	char *root =
	    xasprintf("%s%s%s", conf->tables, *schema ? "/" : "", schema);
	const struct landing_options options = {
	    .url = lake,
	    .identity_name = conf->identity,
	    .identity = conf->identity ? conf_find_identity(run_config(run),
							    conf->identity)
				       : NULL,
	    .root = root,
	    .log_id = uuid_format(sink_log_id(state->sink), log_id),
	    .scratch = scratch,
	    .codec = codecs[conf->codec],
	    .memory_bytes = conf->memory_limit,
	    .window_us = conf->dedup_window,
	    .window_bytes = conf->dedup_memory,
	    .cache_bytes = conf->compare_cache,
	    .checkpoint_interval = conf->checkpoint_interval,
	    .retry_first_us = conf->retry_first,
	    .retry_max_us = conf->retry_max,
	    .cool_down_us = conf->circuit_cool_down,
	    .threshold = (unsigned)conf->circuit_threshold,
	    .archive = conf->archive,
	};
	const struct worker_events events = {
	    .landed = on_landed,
	    .changed = on_changed,
	    .failed = on_worker_failed,
	    .arg = run,
	};
	int rc =
	    worker_new(&state->worker, run_loop(run), &options, &events, err);

	free(scratch);
	free(lake);
	free(root);
	return rc;
}

static int open_sides(struct run *run, struct err *err)
{
	const struct onelake_writer_conf *conf = conf_of(run);
	struct writer *state = run_state(run);
	char *dir = xasprintf("%s/side", run_state_dir(run));
	const struct sides_options options = {
	    .loop = run_loop(run),
	    .dir = dir,
	    .log_id = *sink_log_id(state->sink),
	    .cap_bytes = conf->side_log_cap,
	    .late_us = late_us(conf),
	};
	const struct sides_events events = {
	    .refused = on_refused,
	    .moved = on_moved,
	    .ready = on_readable,
	    .set_of = set_of,
	    .arg = run,
	};
	int rc = sides_open(&state->sides, &options, &events, err);

	free(dir);
	return rc;
}

static int init(struct run *run, struct err *err)
{
	struct writer *state = run_state(run);
	struct onelake_writer_counters *counters = run_counters(run);
	const struct onelake_writer_conf *conf = conf_of(run);
	const struct sink_options options = {
	    .link = run_link(run),
	    SINK_LOG_OPTIONS(conf),
	};
	const struct sink_events events = {
	    .readable = on_readable,
	    .failed = on_log_failed,
	    .arg = run,
	};
	const void *none;
	size_t bytes;

	counters->failed = counter_family_new("sink_type,error_type");
	counters->table_rows = counter_family_new("table");
	counters->side_bytes = counter_family_new("table");
	counters->circuits = counter_family_new("destination");
	counters->circuits_opened = counter_family_new("destination");
	state->flush = (struct loop_timer){.fn = on_readable, .arg = run};
	state->again = (struct loop_timer){.fn = on_readable, .arg = run};
	state->read_again = (struct loop_timer){.fn = on_readable, .arg = run};
	if (sink_open(&state->sink, run, &options, &events, err) != 0 ||
	    open_worker(run, err) != 0 || open_sides(run, err) != 0)
		return -1;
	state->cursor = sink_resume_at(state->sink, &none, &bytes);
	on_refused(run);
	run_ready(run);
	pump(run);
	return 0;
}

static void stats(struct run *run)
{
	struct writer *state = run_state(run);
	struct onelake_writer_counters *counters = run_counters(run);

	gauges_count(counters, worker_landing(state->worker));
	gauges_count_sides(counters, state->sides);
	counters->buffered = state->in_work_events +
			     (state->job ? (int64_t)state->job->events : 0);
	sink_get_stats(state->sink, &counters->spool, &counters->bus);
	counters->backlog_bytes =
	    (int64_t)(counters->spool.end - counters->spool.first);
	counters->oldest_us =
	    counters->spool.oldest_at_us
		? clock_wall_us() - counters->spool.oldest_at_us
		: 0;
}

static void tick(struct run *run)
{
	struct writer *state = run_state(run);
	struct spool_stats spool;
	struct bus_stats bus;

	sink_get_stats(state->sink, &spool, &bus);
	sides_tick(state->sides, spool.end - spool.first);
}

static bool drain(struct run *run)
{
	struct writer *state = run_state(run);

	/* What is there goes at once, young as it may be. */
	pump(run);
	return sink_idle(state->sink);
}

static void fini(struct run *run)
{
	struct writer *state = run_state(run);
	struct onelake_writer_counters *counters = run_counters(run);

	worker_free(&state->worker);
	job_free(&state->job);
	job_free(&state->moving);
	sides_close(&state->sides);
	sink_close(&state->sink);
	counter_family_free(&counters->failed);
	counter_family_free(&counters->table_rows);
	counter_family_free(&counters->side_bytes);
	counter_family_free(&counters->circuits);
	counter_family_free(&counters->circuits_opened);
}

static const struct service onelake_writer = {
    .name = "onelake-writer",
    .state_bytes = sizeof(struct writer),
    .init = init,
    .tick = tick,
    .stats = stats,
    .drain = drain,
    .fini = fini,
};

int main(int argc, char **argv)
{
	return run_main(argc, argv, &onelake_writer, &weft_kinds);
}
