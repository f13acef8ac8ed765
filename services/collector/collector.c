/*
 * NAME
 *	collector - takes business events over HTTP
 * IN
 *	HTTP/1.1, with TLS when a certificate is configured: POST /events and
 *	/events/batch (JSON, NDJSON, CloudEvents; gzip, zstd). See
 *	/openapi.json of the running service.
 * WORK
 *	Checks each event against its contract, completes, maps and masks it,
 *	and appends it to the log, many requests in one commit. With map =
 *	"transformer" events go to the log and on their way as they came.
 * OUT
 *	Batches in the log, sent over the raw link to the transformers.
 * GUARANTEE
 *	202 is answered only after fdatasync of the events: they survive the
 *	death of every process and of the machine. What is refused is not
 *	stored; 503 not_durable alone leaves it open, and the same event_id
 *	sent again is the same event.
 * ON FAILURE
 *	A full log or a failing disk: 503 with Retry-After until it is better.
 *	No transformer: events are accepted until the log is full.
 */
#include "services/collector/collector.h"

#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "services/kinds.h"

/* A few commits of a fast disk. */
#define GATHER_US 1000

const struct collector_turn *collector_turn(struct collector *c)
{
	struct collector_turn *t = &c->turn;

	if (!t->begun) {
		t->begun = true;
		t->has_room = source_has_room(c->source, COLLECTOR_ROOM_BYTES);
		t->now_us = clock_wall_us();
	}
	return t;
}

const char *collector_unready(struct collector *c, const char **code)
{
	*code = "not_ready";
	if (!run_contracts(c->run))
		return "the contracts are not loaded";
	*code = "log_failed";
	if (c->disk_fails)
		return "the disk of the log fails; try again";
	*code = "log_full";
	if (!collector_turn(c)->has_room)
		return "the log is full: what is in it was not taken over yet; "
		       "try again";
	*code = "overloaded";
	if (!group_has_room(c->group))
		return "the disk does not keep up; try again";
	return NULL;
}

/* ---- the log ---- */

static int append(void *arg, struct batch *b, uint64_t *position,
		  struct err *err)
{
	struct collector *c = arg;

	return source_append(c->source, b, position, err);
}

static void on_durable(void *arg, uint64_t durable)
{
	struct collector *c = arg;

	c->disk_fails = false;
	if (c->group)
		group_durable(c->group, durable, clock_mono_us());
}

static void on_failed(void *arg, const struct err *err)
{
	struct collector *c = arg;

	(void)err; /* the source has logged it */
	c->disk_fails = true;
}

static void on_gather(void *arg)
{
	(void)arg; /* on_turn() comes next */
}

static bool on_turn(void *arg)
{
	struct collector *c = arg;
	int64_t again_us = group_turn(c->group);

	c->turn.begun = false;
	if (again_us > 0)
		loop_timer_set(run_loop(c->run), &c->gather,
			       clock_mono_us() + again_us);
	return again_us == 0;
}

/* ---- init ---- */

static int open_log(struct collector *c, struct err *err)
{
	const struct collector_conf *conf = collector_conf(c);
	const struct source_options options = {
	    .link = "raw",
	    .segment_bytes = conf->segment_size,
	    .cap_bytes = conf->log_cap,
	    .headroom_bytes = conf->disk_headroom,
	    .cache_bytes = conf->cache_size,
	    .window_bytes = conf->window,
	    .silence_us = conf->silence,
	    .by_key = conf->order == COLLECTOR_ORDER_KEY,
	    .join_bytes = conf->batch_size,
	    .join_delay_us = conf->batch_delay_max,
	};
	const struct source_events events = {on_durable, on_failed, c};

	return source_open(&c->source, c->run, &options, &events, err);
}

static int open_http(struct collector *c, struct err *err)
{
	const struct collector_conf *conf = collector_conf(c);
	const struct http_options options = {
	    .listen = conf->listen,
	    .listen_fd = run_listen_fd(c->run, "listen"),
	    .tls_certificate = conf->tls_certificate,
	    .tls_key = conf->tls_key,
	    .max_connections = (uint32_t)conf->max_connections,
	    .max_header_bytes = (uint64_t)conf->max_header,
	    .max_body_bytes = (uint64_t)conf->max_body,
	    .max_buffered_bytes = (uint64_t)conf->max_buffered,
	    .header_timeout_us = conf->header_timeout,
	    .body_timeout_us = conf->body_timeout,
	    .idle_timeout_us = conf->idle_timeout,
	    .server_name = "weft",
	};
	const struct http_events events = {
	    .headers = api_headers,
	    .request = api_request,
	    .arg = c,
	};

	return http_server_open(&c->http, run_loop(c->run), &options, &events,
				err);
}

static void open_group(struct collector *c)
{
	const struct collector_conf *conf = collector_conf(c);
	struct collector_counters *counters = collector_counters(c);
	const struct group_options options = {
	    .batch_bytes = (size_t)conf->batch_size,
	    .mapped = conf->map == MAP_AT_COLLECTOR,
	    .pending_bytes = (uint64_t)conf->max_pending,
	    .ack_timeout_us = conf->ack_timeout,
	    .gather_us = GATHER_US,
	    .append = append,
	    .arg = c,
	    .latency = &counters->latency,
	    .batches = &counters->batches,
	    .not_durable = &counters->not_durable,
	};

	c->group = group_new(&options);
	c->gather = (struct loop_timer){.fn = on_gather};
	c->hook = (struct loop_hook){.fn = on_turn, .arg = c};
	loop_hook_add(run_loop(c->run), &c->hook);
}

static int init(struct run *run, struct err *err)
{
	struct collector *c = run_state(run);
	const struct collector_conf *conf = run_conf(run);
	struct collector_counters *counters = run_counters(run);

	c->run = run;
	counters->received = counter_family_new("source,event_type");
	counters->failed = counter_family_new("sink_type,error_type");
	c->intake = intake_new();
	c->keys = keys_new();
	if (!conf->tls_certificate != !conf->tls_key)
		return err_set(err, EINVAL,
			       "collector: tls_certificate and tls_key belong "
			       "together; one of them is missing");
	if (keys_load(c->keys, conf->api_keys, err) != 0 ||
	    open_log(c, err) != 0)
		return -1;
	open_group(c);
	if (open_http(c, err) != 0)
		return -1;
	log_info("listening", "listen=%s port=%u tls=%s keys=%s", conf->listen,
		 http_server_port(c->http), conf->tls_key ? "yes" : "no",
		 keys_needed(c->keys) ? "yes" : "no");
	run_ready(run);
	return 0;
}

/* ---- tick, reload, stats ---- */

static void tick(struct run *run)
{
	struct collector *c = run_state(run);

	if (c->group)
		group_expire(c->group, clock_mono_us());
}

static void relink(struct run *run)
{
	struct collector *c = run_state(run);
	char quoted[LOG_QUOTE_BYTES];
	struct err err;

	if (source_reload(c->source, &err) != 0)
		log_error("link_reload_refused", "error=%s",
			  log_quote(quoted, err.text));
}

static void reload(struct run *run)
{
	struct collector *c = run_state(run);
	char quoted[LOG_QUOTE_BYTES];
	struct err err;

	if (keys_load(c->keys, collector_conf(c)->api_keys, &err) != 0)
		log_error("api_keys_refused", "error=%s",
			  log_quote(quoted, err.text));
	if (http_server_reload_tls(c->http, &err) != 0)
		log_error("tls_reload_refused", "error=%s",
			  log_quote(quoted, err.text));
	relink(run);
}

void collector_count(struct collector *c)
{
	struct collector_counters *counters = collector_counters(c);

	if (!c->http)
		return;
	counters->http = *http_server_counters(c->http);
	counters->http_open = counters->http.open_connections;
	counters->http_buffered = (int64_t)counters->http.buffered_bytes;
	counters->waiting = group_waiting(c->group);
	counters->mapper = *intake_get_counts(c->intake);
	source_get_stats(c->source, &counters->spool, &counters->bus);
	counters->backlog_bytes =
	    (int64_t)(counters->spool.end - counters->spool.first);
	counters->oldest_us =
	    counters->spool.oldest_at_us
		? clock_wall_us() - counters->spool.oldest_at_us
		: 0;
}

static void stats(struct run *run)
{
	collector_count(run_state(run));
}

/* ---- drain, fini ---- */

static bool drain(struct run *run)
{
	struct collector *c = run_state(run);

	if (!c->http)
		return true;
	http_server_drain(c->http);
	group_flush(c->group);
	return http_server_idle(c->http) && source_idle(c->source);
}

static void fini(struct run *run)
{
	struct collector *c = run_state(run);
	struct collector_counters *counters = run_counters(run);

	if (c->group) {
		loop_hook_del(run_loop(run), &c->hook);
		loop_timer_cancel(run_loop(run), &c->gather);
	}
	group_free(&c->group);
	http_server_close(&c->http);
	source_close(&c->source);
	keys_free(&c->keys);
	intake_free(&c->intake);
	buf_free(&c->openapi);
	buf_free(&c->reply);
	counter_family_free(&counters->received);
	counter_family_free(&counters->failed);
}

static const struct service collector = {
    .name = "collector",
    .state_bytes = sizeof(struct collector),
    .init = init,
    .tick = tick,
    .reload = reload,
    .relink = relink,
    .stats = stats,
    .drain = drain,
    .fini = fini,
};

int main(int argc, char **argv)
{
	return run_main(argc, argv, &collector, &weft_kinds);
}
