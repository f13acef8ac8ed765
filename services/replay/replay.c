/*
 * NAME
 *	replay - sends events again: dead letters, and the raw archive
 * IN
 *	standard input: frames of pipelinectl dlq and pipelinectl replay, which
 *	start this service and end it; see proto/replay.md
 * WORK
 *	Checks and maps each event with the newest contracts, or passes it when
 *	it was mapped before, and appends it to a log of its own.
 * OUT
 *	Batches flagged replay, over the raw link to the transformers; answers
 *	on standard output.
 * GUARANTEE
 *	What was answered as done by flush is on disk, by sync on disk in every
 *	sink. Tables have each event once, however often it is sent again.
 * ON FAILURE
 *	What is in the log and no sink has yet goes on at the next start; who
 *	asked asks again, which does no harm.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "run/source.h"
#include "services/kinds.h"
#include "services/replay/events.h"
#include "services/replay/tables.h"

#define BATCH_BYTES    (256u << 10)
#define READ_BYTES     (256u << 10)
#define SEGMENT_BYTES  (8 << 20)
#define HEADROOM_BYTES (64 << 20)
#define CACHE_BYTES    (4 << 20)
#define WINDOW_BYTES   (8 << 20)
#define SILENCE_US     2000000
#define ROOM_BYTES     (2 * BATCH_MAX_LINE_BYTES)

struct replay {
	struct run *run;
	struct source *source;
	struct events events;
	struct loop_io in;
	struct loop_hook turn;
	struct buf input;
	size_t taken;	       /* bytes of input that are done */
	struct batch *pending; /* that the log has not taken yet, or NULL */
	uint64_t last;	       /* position of what was appended last */
	uint64_t durable;
	bool appended; /* anything at all */
	bool archived; /* what the builder holds is from the archive */
	/* A flush or sync that waits; nothing behind it is looked at. */
	enum replay_kind waits; /* or 0 */
	uint64_t number;
	struct timespec topology; /* when it was written */
};

static void fail(struct replay *r, const struct err *err)
{
	run_fail(r->run, err);
}

/* ---- the log ---- */

/* False while it does not take the batch; tick() tries again. */
static bool append_pending(struct replay *r)
{
	struct err err;

	if (!r->pending)
		return true;
	if (source_append(r->source, r->pending, &r->last, &err) != 0)
		return false;
	r->appended = true;
	batch_unref(&r->pending);
	return true;
}

static bool append(struct replay *r)
{
	struct contract_set *set = run_contracts(r->run);
	const struct batch_header header = {
	    .flags = BATCH_REPLAY | BATCH_MAPPED |
		     (r->archived ? BATCH_ARCHIVED : 0u),
	    .created_at_us = clock_wall_us(),
	    .contract_set = contract_set_hash(set),
	};

	if (!append_pending(r))
		return false;
	if (batch_builder_events(r->events.builder))
		r->pending = batch_builder_seal(r->events.builder, &header);
	return append_pending(r);
}

static void on_durable(void *arg, uint64_t durable)
{
	struct replay *r = arg;

	r->durable = durable;
}

static void on_failed(void *arg, const struct err *err)
{
	(void)arg;
	(void)err; /* logged; the log goes on trying */
}

/* ---- answers ---- */

static void send_answers(struct replay *r)
{
	struct buf *out = &r->events.answers;
	struct err err;

	if (io_write_all(STDOUT_FILENO, out->data, out->used) < out->used &&
	    errno != EPIPE) {
		err_errno(&err, errno, "cannot answer");
		fail(r, &err);
	}
	buf_clear(out);
}

static bool is_done(struct replay *r)
{
	if (!append(r))
		return false;
	if (r->waits == REPLAY_SYNC)
		return source_idle(r->source);
	return !r->appended || r->durable > r->last;
}

/* Answers a flush or sync once it is true. */
static void look(struct replay *r)
{
	size_t at = r->events.answers.used;

	if (!r->waits || !is_done(r))
		return;
	r->waits = 0;
	replay_begin(&r->events.answers, REPLAY_DONE, r->number);
	replay_end(&r->events.answers, at);
	send_answers(r);
}

/* ---- what is asked ---- */

/* One frame; false when it has to wait. */
static bool take(struct replay *r, struct replay_frame *frame)
{
	bool archived = frame->kind == REPLAY_ARCHIVED;
	struct err err;

	if (frame->kind == REPLAY_FLUSH || frame->kind == REPLAY_SYNC) {
		r->waits = frame->kind;
		r->number = frame->number;
		return true;
	}
	if ((batch_builder_bytes(r->events.builder) >= BATCH_BYTES ||
	     r->archived != archived) &&
	    (!source_has_room(r->source, ROOM_BYTES) || !append(r)))
		return false;
	r->archived = archived;
	if (events_take(&r->events, run_contracts(r->run), frame, &err) != 0)
		fail(r, &err);
	else if (frame->kind == REPLAY_TAKES)
		send_answers(r);
	return true;
}

static void take_all(struct replay *r)
{
	struct replay_frame frame;
	struct err err;
	size_t used;
	int whole = 1;

	while (!r->waits && !run_draining(r->run)) {
		whole =
		    replay_next(r->input.data + r->taken,
				r->input.used - r->taken, &frame, &used, &err);
		if (whole <= 0 || !take(r, &frame))
			break;
		r->taken += used;
		look(r);
	}
	if (whole < 0)
		fail(r, &err);
	if (r->taken) {
		memmove(r->input.data, r->input.data + r->taken,
			r->input.used - r->taken);
		r->input.used -= r->taken;
		r->taken = 0;
	}
	/* What is not done yet is there already: more would only pile up. */
	loop_io_set(run_loop(r->run), &r->in, whole == 0 ? EPOLLIN : 0);
}

/* Whatever came to pass in this turn may be what is waited for. */
static bool on_turn(void *arg)
{
	struct replay *r = arg;

	if (!r->waits)
		return false;
	look(r);
	if (!r->waits)
		take_all(r);
	return false;
}

static void on_readable(void *arg, uint32_t events)
{
	struct replay *r = arg;
	struct err err;
	ssize_t n;

	(void)events;
	buf_reserve(&r->input, READ_BYTES);
	n = read(r->in.fd, r->input.data + r->input.used, READ_BYTES);
	if (n > 0) {
		r->input.used += (size_t)n;
		take_all(r);
	} else if (n == 0) {
		loop_stop(run_loop(r->run));
	} else if (errno != EINTR && errno != EAGAIN) {
		err_errno(&err, errno, "cannot read what is asked");
		fail(r, &err);
	}
}

/* ---- the service ---- */

static int open_log(struct replay *r, struct err *err)
{
	const struct replay_conf *conf = run_conf(r->run);
	const struct source_options options = {
	    .link = "raw",
	    .segment_bytes = SEGMENT_BYTES,
	    .cap_bytes = conf->log_cap,
	    .headroom_bytes = HEADROOM_BYTES,
	    .cache_bytes = CACHE_BYTES,
	    .window_bytes = WINDOW_BYTES,
	    .silence_us = SILENCE_US,
	    .by_key = true,
	};
	const struct source_events events = {on_durable, on_failed, r};

	return source_open(&r->source, r->run, &options, &events, err);
}

static int init(struct run *run, struct err *err)
{
	struct replay *r = run_state(run);

	r->run = run;
	events_init(&r->events);
	if (open_log(r, err) != 0)
		return -1;
	r->in =
	    (struct loop_io){.fd = STDIN_FILENO, .fn = on_readable, .arg = r};
	if (loop_io_add(run_loop(run), &r->in, EPOLLIN, err) != 0)
		return err_wrap(err, "this is a part of pipelinectl: call "
				     "`pipelinectl dlq` or `pipelinectl "
				     "replay`");
	r->turn = (struct loop_hook){.fn = on_turn, .arg = r};
	loop_hook_add(run_loop(run), &r->turn);
	run_ready(run);
	return 0;
}

/* weftd tells its children of a scale; this is none of them. */
static void watch_topology(struct replay *r)
{
	const char *path = getenv("WEFT_TOPOLOGY");
	struct stat st;

	if (!path || stat(path, &st) != 0)
		return;
	if (r->topology.tv_sec && (st.st_mtim.tv_sec != r->topology.tv_sec ||
				   st.st_mtim.tv_nsec != r->topology.tv_nsec))
		kill(getpid(), SIGUSR1);
	r->topology = st.st_mtim;
}

static void tick(struct run *run)
{
	struct replay *r = run_state(run);

	watch_topology(r);
	take_all(r);
}

static void relink(struct run *run)
{
	struct replay *r = run_state(run);
	char quoted[LOG_QUOTE_BYTES];
	struct err err;

	if (source_reload(r->source, &err) != 0)
		log_error("link_reload_refused", "error=%s",
			  log_quote(quoted, err.text));
}

static void stats(struct run *run)
{
	struct replay *r = run_state(run);
	struct replay_counters *counters = run_counters(run);

	counters->accepted = r->events.accepted;
	counters->refused = r->events.refused;
	source_get_stats(r->source, &counters->spool, &counters->bus);
	counters->backlog_bytes =
	    (int64_t)(counters->spool.end - counters->spool.first);
	counters->oldest_us =
	    counters->spool.oldest_at_us
		? clock_wall_us() - counters->spool.oldest_at_us
		: 0;
}

static void fini(struct run *run)
{
	struct replay *r = run_state(run);

	if (r->turn.fn)
		loop_hook_del(run_loop(run), &r->turn);
	batch_unref(&r->pending);
	source_close(&r->source);
	events_free(&r->events);
	buf_free(&r->input);
}

static const struct service replay = {
    .name = "replay",
    .state_bytes = sizeof(struct replay),
    .init = init,
    .tick = tick,
    .relink = relink,
    .stats = stats,
    .fini = fini,
};

int main(int argc, char **argv)
{
	return run_main(argc, argv, &replay, &weft_kinds);
}
