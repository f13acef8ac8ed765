/*
 * NAME       generator - posts realistic business events to a collector
 * IN         its control API: POST /start, POST /stop, GET /status
 * WORK       makes events of all 24 types from a seed, a share of them bad in a
 *            known way, at a rate, in bursts, for a count or a time
 * OUT        HTTP requests to a collector; each answer is checked
 * GUARANTEE  the same seed gives the same events; an answer other than expected
 *            is counted and logged
 * ON FAILURE of the collector: the same request goes again with back-off
 *
 * With --url it is a command of its own: one bounded run and a report.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "http/server.h"
#include "run/run.h"
#include "services/generator/cli.h"
#include "services/generator/control.h"
#include "services/generator/report.h"
#include "services/generator/sender.h"
#include "services/generator/tables.h"
#include "services/kinds.h"

struct generator {
	struct http_server *http;
	struct sender *sender; /* NULL before the first run */
	bool running;
	char host[256];
	char port[8];
	struct generator_counters before; /* of earlier runs */
};

static void on_done(void *arg, const struct err *err)
{
	struct generator *state = run_state(arg);
	char quoted[LOG_QUOTE_BYTES];

	state->running = false;
	if (err)
		log_error("run_failed", "error=%s",
			  log_quote(quoted, err->text));
	else
		log_info(
		    "run_ended", "sent=%llu",
		    (unsigned long long)sender_result(state->sender)->sent);
}

static int plan_of(struct run *run, struct sender_plan *plan, struct err *err)
{
	const struct generator_conf *conf = run_conf(run);
	struct generator *state = run_state(run);

	if (sscanf(conf->target, "http://%255[^:/]:%7[0-9]", state->host,
		   state->port) != 2)
		return err_set(err, EINVAL,
			       "generator.target \"%s\" is not of the form "
			       "http://HOST:PORT",
			       conf->target);
	*plan = (struct sender_plan){
	    .host = state->host,
	    .port = state->port,
	    .api_key = conf->api_key,
	    .connections = (uint32_t)conf->connections,
	    .batch = (uint32_t)conf->batch,
	    .count = (uint64_t)conf->events,
	    .rate = (double)conf->rate,
	    .burst = (uint64_t)conf->burst,
	    .duration_us = conf->duration,
	    .seed = (uint64_t)conf->seed,
	    .start_us = clock_wall_us(),
	    .bad_share = (double)conf->bad_permil / 1000,
	    .give_up_us = INT64_MAX / 2,
	};
	return 0;
}

static uint64_t rejected_in_all(const struct sender_result *r)
{
	uint64_t sum = 0;

	for (int i = 0; i < FAULT_COUNT; i++)
		sum += r->rejected[i];
	return sum;
}

static void stats(struct run *run)
{
	struct generator *state = run_state(run);
	struct generator_counters *counters = run_counters(run);
	const struct sender_result *r;

	*counters = state->before;
	if (!state->sender)
		return;
	r = sender_result(state->sender);
	counters->sent += r->sent;
	counters->accepted += r->accepted;
	counters->rejected += rejected_in_all(r);
	counters->unexpected += r->mismatches;
}

static int start(struct run *run, const struct sender_plan *plan,
		 struct err *err)
{
	struct generator *state = run_state(run);

	stats(run);
	state->before = *(struct generator_counters *)run_counters(run);
	sender_free(&state->sender);
	if (sender_start(&state->sender, run_loop(run), plan, on_done, run,
			 err) != 0)
		return -1;
	state->running = true;
	return 0;
}

/* Answers with the report of the current or last run. */
static void answer_report(struct generator *state, struct http_request *r)
{
	cJSON *json = state->sender ? report_json(state->sender, state->running)
				    : cJSON_CreateObject();
	char *text = cJSON_PrintUnformatted(json);

	http_respond(r, 200, "application/json", text, strlen(text));
	free(text);
	cJSON_Delete(json);
}

static void on_start(struct run *run, struct http_request *r)
{
	struct generator *state = run_state(run);
	struct http_slice body = http_body(r);
	struct sender_plan plan;
	struct err err;

	if (state->running) {
		http_respond_error(r, 409, "running",
				   "a run is under way; POST /stop first");
		return;
	}
	if (plan_of(run, &plan, &err) != 0 ||
	    control_take_plan(body.at, body.bytes, &plan, &err) != 0 ||
	    start(run, &plan, &err) != 0) {
		http_respond_error(r, 400, "bad_plan", err.text);
		return;
	}
	answer_report(state, r);
}

static bool is(struct http_slice s, const char *text)
{
	return s.bytes == strlen(text) && memcmp(s.at, text, s.bytes) == 0;
}

static void on_request(void *arg, struct http_request *r)
{
	struct generator *state = run_state(arg);
	struct http_slice path = http_path(r);
	bool post = is(http_method(r), "POST");

	if (is(path, "/start") && post) {
		on_start(arg, r);
	} else if (is(path, "/stop") && post) {
		if (state->running)
			sender_stop(state->sender);
		answer_report(state, r);
	} else if (is(path, "/status") && !post) {
		answer_report(state, r);
	} else {
		http_respond_error(r, 404, "not_found",
				   "there are POST /start, POST /stop and "
				   "GET /status");
	}
}

static int open_http(struct run *run, struct err *err)
{
	const struct generator_conf *conf = run_conf(run);
	struct generator *state = run_state(run);
	struct http_options options = {
	    .listen = conf->listen,
	    .listen_fd = run_listen_fd(run, "listen"),
	    .max_connections = 64,
	    .max_header_bytes = 16 << 10,
	    .max_body_bytes = 64 << 10,
	    .max_buffered_bytes = 1 << 20,
	    .header_timeout_us = 10000000,
	    .body_timeout_us = 10000000,
	    .idle_timeout_us = 60000000,
	};
	struct http_events events = {.request = on_request, .arg = run};

	return http_server_open(&state->http, run_loop(run), &options, &events,
				err);
}

static int init(struct run *run, struct err *err)
{
	const struct generator_conf *conf = run_conf(run);
	struct sender_plan plan;

	if (plan_of(run, &plan, err) != 0 || open_http(run, err) != 0)
		return -1;
	if (conf->autostart && start(run, &plan, err) != 0)
		return -1;
	run_ready(run);
	return 0;
}

static bool drain(struct run *run)
{
	struct generator *state = run_state(run);

	if (state->running)
		sender_stop(state->sender);
	return !state->running;
}

static void fini(struct run *run)
{
	struct generator *state = run_state(run);

	http_server_close(&state->http);
	sender_free(&state->sender);
}

static const struct service generator = {
    .name = "generator",
    .state_bytes = sizeof(struct generator),
    .init = init,
    .stats = stats,
    .drain = drain,
    .fini = fini,
};

int main(int argc, char **argv)
{
	if (cli_wanted(argc, argv))
		return cli_main(argc, argv);
	return run_main(argc, argv, &generator, &weft_kinds);
}
