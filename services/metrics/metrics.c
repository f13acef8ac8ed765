/*
 * NAME       metrics - shows the counters of all processes over HTTP
 * IN         <run_dir>/stats: each process's counters, once a second
 * WORK       merges them: instances of a service are added, counters stay
 *            monotonic over restarts, silent processes lose their gauges
 * OUT        GET /metrics (Prometheus text or OpenMetrics), GET /stats.json
 *            (for pipelinectl status), GET /health/live, GET /health/ready
 * GUARANTEE  bounded memory, however many series are sent; nothing waits for
 *            it: the data path runs the same without it
 * ON FAILURE a restart shows the present totals of all processes again within
 *            a second; only what dead processes had counted is forgotten
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "http/server.h"
#include "run/run.h"
#include "services/kinds.h"
#include "services/metrics/exposition.h"
#include "services/metrics/registry.h"
#include "services/metrics/status.h"
#include "services/metrics/tables.h"

struct metrics {
	struct registry *registry;
	struct status *status;
	struct bus_stats_in *in;
	struct http_server *http;
	struct buf text; /* of the last answer */
};

static void on_stats(void *arg, const uint8_t *data, size_t bytes)
{
	struct metrics *m = run_state(arg);
	const struct registry_process *from;
	char quoted[LOG_QUOTE_BYTES];
	struct err err;

	FAILPOINT("stats_received");
	if (registry_take(m->registry, data, bytes, clock_mono_us(), &err) != 0)
		log_warn("stats_refused", "error=%s",
			 log_quote(quoted, err.text));
	from = registry_sender(m->registry);
	if (from)
		status_note(m->status, from);
}

static void answer_metrics(struct run *run, struct http_request *r)
{
	struct metrics *m = run_state(run);
	struct metrics_counters *counters = run_counters(run);
	struct http_slice accept = http_header(r, "Accept");
	enum exposition form = exposition_choose(accept.at, accept.bytes);

	counters->scrapes++;
	buf_clear(&m->text);
	exposition_write(m->registry, form, &m->text);
	http_add_header(r, "Vary", "Accept");
	http_respond(r, 200, exposition_content_type(form), m->text.data,
		     m->text.used);
}

static void answer_stats(struct run *run, struct http_request *r)
{
	struct metrics *m = run_state(run);

	buf_clear(&m->text);
	status_write(m->status, m->registry, clock_wall_us(), clock_mono_us(),
		     &m->text);
	http_respond(r, 200, "application/json", m->text.data, m->text.used);
}

static void answer_live(struct run *run, struct http_request *r)
{
	static const char body[] = "{\"status\":\"live\"}\n";

	(void)run;
	http_respond(r, 200, "application/json", body, sizeof(body) - 1);
}

static void answer_ready(struct run *run, struct http_request *r)
{
	static const char body[] = "{\"status\":\"ready\"}\n";

	if (run_draining(run))
		http_respond_error(r, 503, "stopping",
				   "metrics is about to stop");
	else
		http_respond(r, 200, "application/json", body,
			     sizeof(body) - 1);
}

static const struct {
	const char *path;
	void (*answer)(struct run *run, struct http_request *r);
} routes[] = {
    {"/metrics", answer_metrics},
    {"/stats.json", answer_stats},
    {"/health/live", answer_live},
    {"/health/ready", answer_ready},
};

static bool is(struct http_slice slice, const char *text)
{
	return slice.bytes == strlen(text) &&
	       !memcmp(slice.at, text, slice.bytes);
}

static void on_request(void *arg, struct http_request *r)
{
	struct http_slice method = http_method(r), path = http_path(r);

	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		if (!is(path, routes[i].path))
			continue;
		if (is(method, "GET") || is(method, "HEAD")) {
			routes[i].answer(arg, r);
			return;
		}
		http_add_header(r, "Allow", "GET, HEAD");
		http_respond_error(r, 405, "method_not_allowed",
				   "only GET and HEAD are served here");
		return;
	}
	http_respond_error(r, 404, "not_found",
			   "there are /metrics, /stats.json, /health/live and "
			   "/health/ready");
}

static int open_http(struct run *run, struct err *err)
{
	const struct metrics_conf *conf = run_conf(run);
	const struct http_events events = {.request = on_request, .arg = run};
	const struct http_options options = {
	    .listen = conf->listen,
	    .listen_fd = run_listen_fd(run, "listen"),
	    .max_connections = 64,
	    .max_header_bytes = 16 << 10,
	    .max_body_bytes = 4 << 10, /* nothing here takes a body */
	    .max_buffered_bytes = 1 << 20,
	    .header_timeout_us = 10000000,
	    .body_timeout_us = 10000000,
	    .idle_timeout_us = 120000000, /* longer than a scrape interval */
	};
	struct metrics *m = run_state(run);

	return http_server_open(&m->http, run_loop(run), &options, &events,
				err);
}

static int init(struct run *run, struct err *err)
{
	struct metrics *m = run_state(run);
	char endpoint[256];

	m->registry = registry_new();
	m->status = status_new();
	if (conf_stats_endpoint(run_config(run), endpoint, err) != 0 ||
	    bus_stats_in_open(&m->in, run_bus(run), endpoint, on_stats, run,
			      err) != 0 ||
	    open_http(run, err) != 0)
		return -1;
	run_ready(run);
	return 0;
}

static void stats(struct run *run)
{
	struct metrics *m = run_state(run);
	struct metrics_counters *counters = run_counters(run);
	const struct metrics_conf *conf = run_conf(run);

	registry_expire(m->registry, clock_mono_us(), conf->stale);
	registry_get_counts(m->registry, &counters->registry);
}

static bool drain(struct run *run)
{
	struct metrics *m = run_state(run);

	http_server_drain(m->http);
	return http_server_idle(m->http);
}

static void fini(struct run *run)
{
	struct metrics *m = run_state(run);

	http_server_close(&m->http);
	bus_stats_in_close(&m->in);
	status_free(&m->status);
	registry_free(&m->registry);
	buf_free(&m->text);
}

static const struct service service = {
    .name = "metrics",
    .state_bytes = sizeof(struct metrics),
    .init = init,
    .stats = stats,
    .drain = drain,
    .fini = fini,
};

int main(int argc, char **argv)
{
	return run_main(argc, argv, &service, &weft_kinds);
}
