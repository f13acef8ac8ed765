/*
 * NAME       eventhub-publisher - delivers events to a hub, a file or nowhere
 * IN         link eventhub: mapped batches, in lanes
 * WORK       appends each batch to its log, acks it once it is on disk, then
 *            reads the log in order and hands it to the backend
 * OUT        the configured backend: Kafka or Event Hubs, file, console or null
 * GUARANTEE  what was acked arrives: Kafka gets it at least once, and in order
 *            for each key; file holds each event of the log exactly once, also
 *            over crashes
 * ON FAILURE of the backend: waits with growing back-off, opens it again from
 *            the last delivered position, and holds the log meanwhile. When it
 *            fails again and again its circuit opens: nothing is sent then but
 *            one batch behind each cool-down, until one is delivered
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"
#include "run/conf_rows.h"
#include "run/run.h"
#include "run/sink.h"
#include "services/eventhub-publisher/backend.h"
#include "services/eventhub-publisher/circuit.h"
#include "services/kinds.h"

static const struct backend *const backends[] = {
    [BACKEND_FILE] = &backend_file,
    [BACKEND_KAFKA] = &backend_kafka,
    [BACKEND_CONSOLE] = &backend_console,
    [BACKEND_NULL] = &backend_null,
};

#define IN_FLIGHT 512

/* A batch handed to the backend: enough to account for its delivery. */
struct handed {
	uint64_t next;
	int64_t created_at_us, handed_mono_us;
	uint32_t events;
};

struct publisher {
	struct sink *sink;
	const struct backend *backend;
	void *handle; /* NULL while the backend waits to be opened again */
	bool failed_before;
	uint64_t cursor; /* log position read next */
	struct handed handed[IN_FLIGHT];
	uint32_t handed_first, handed_count;
	struct circuit circuit;
	struct loop_timer read_again; /* after the log could not be read */
	struct backoff read_backoff;
};

static const struct eventhub_publisher_conf *conf_of(struct run *run)
{
	return run_conf(run);
}

/* Nothing may come that would make it read again, so a timer does. */
static void read_later(struct run *run, const struct err *err)
{
	struct publisher *state = run_state(run);
	int64_t wait_us;
	char quoted[LOG_QUOTE_BYTES];

	state->read_backoff.first_us = conf_of(run)->retry_first;
	state->read_backoff.max_us = conf_of(run)->retry_max;
	wait_us = backoff_next_us(&state->read_backoff, 0);
	log_error("spool_read_failed", "retry_ms=%" PRId64 " error=%s",
		  wait_us / 1000, log_quote(quoted, err->text));
	loop_timer_set(run_loop(run), &state->read_again,
		       clock_mono_us() + wait_us);
}

/* Hands over what the log has, as far as the backend takes it. */
static void pump(struct run *run)
{
	struct publisher *state = run_state(run);
	bool probing = state->circuit.breaker.state != BREAKER_CLOSED;
	uint32_t most = probing ? 1 : IN_FLIGHT;
	struct err err;
	int rc = 1;

	while (state->handle && state->handed_count < most) {
		struct batch *b = NULL;
		struct handed *h;
		uint64_t next;
		bool taken;

		rc = sink_read(state->sink, &state->cursor, &next, &b, &err);
		if (rc <= 0)
			break;
		h = &state->handed[(state->handed_first + state->handed_count) %
				   IN_FLIGHT];
		*h = (struct handed){
		    .next = next,
		    .created_at_us = b->header.created_at_us,
		    .handed_mono_us = loop_now_mono_us(run_loop(run)),
		    .events = b->header.events,
		};
		taken = state->backend->produce(state->handle, b, next);
		batch_unref(&b);
		if (!taken)
			break;
		state->handed_count++;
		state->cursor = next;
		if (probing)
			circuit_probes(&state->circuit);
	}
	if (rc < 0)
		read_later(run, &err);
	else
		backoff_reset(&state->read_backoff);
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

static void on_delivered(void *arg, uint64_t position, const void *saved,
			 size_t bytes)
{
	struct run *run = arg;
	struct publisher *state = run_state(run);
	struct eventhub_publisher_counters *counters = run_counters(run);
	int kind = conf_of(run)->backend;
	int64_t now_us = clock_wall_us();
	bool flushed = false;

	while (state->handed_count) {
		struct handed *h = &state->handed[state->handed_first];

		if (h->next > position)
			break;
		if (!flushed)
			counter_observe(&counters->flush[kind],
					clock_mono_us() - h->handed_mono_us);
		flushed = true;
		counters->sent[kind] += h->events;
		counter_observe_many(&counters->end_to_end,
				     now_us - h->created_at_us, h->events);
		state->handed_first = (state->handed_first + 1) % IN_FLIGHT;
		state->handed_count--;
	}
	circuit_works(&state->circuit);
	sink_delivered(state->sink, position, saved, bytes);
	pump(run);
}

/* It may be minutes: status tells why, and the log once. */
static void on_waiting(void *arg, const struct err *err)
{
	struct publisher *state = run_state(arg);
	char quoted[LOG_QUOTE_BYTES];

	if (!err) {
		log_info("backend_works", "backend=%s", state->backend->name);
		circuit_works(&state->circuit);
		return;
	}
	log_warn("backend_waiting", "backend=%s error=%s", state->backend->name,
		 log_quote(quoted, err->text));
	circuit_waits(&state->circuit, err);
}

static struct contract_set *contracts(void *arg)
{
	return run_contracts(arg);
}

static void on_opened(void *arg)
{
	struct publisher *state = run_state(arg);

	/* What was handed over will tell more. */
	if (!state->handed_count)
		circuit_works(&state->circuit);
}

static void on_backend_failed(void *arg, const struct err *err);

static int open_backend(struct run *run, struct err *err)
{
	struct publisher *state = run_state(run);
	char tag[UUID_TEXT_BYTES];
	const char *label = run_label(run);
	char *section = xmemdup0(label, strcspn(label, "."));
	struct backend_options options = {
	    .loop = run_loop(run),
	    .conf = conf_of(run),
	    .counters = run_counters(run),
	    .section = section,
	    .state_dir = run_state_dir(run),
	    .contracts = contracts,
	    .log_tag = tag,
	    .after_failure = state->failed_before,
	};
	struct backend_events events = {
	    .opened = on_opened,
	    .delivered = on_delivered,
	    .waiting = on_waiting,
	    .failed = on_backend_failed,
	    .arg = run,
	};

	int rc;

	uuid_format(sink_log_id(state->sink), tag);
	tag[8] = '\0';
	state->cursor =
	    sink_resume_at(state->sink, &options.state, &options.state_bytes);
	state->handed_first = 0;
	state->handed_count = 0;
	if (options.conf->identity && *options.conf->identity)
		options.identity =
		    conf_find_identity(run_config(run), options.conf->identity);
	rc = state->backend->open(&state->handle, &options, &events, err);
	free(section);
	return rc;
}

/* It is closed, or was never open. */
static void backend_failed(struct run *run, const struct err *err)
{
	struct publisher *state = run_state(run);
	struct eventhub_publisher_counters *counters = run_counters(run);
	char quoted[LOG_QUOTE_BYTES];

	counters->failures++;
	state->failed_before = true;
	circuit_failed(&state->circuit, err, true);
	log_error(
	    "backend_failed", "backend=%s retry_ms=%" PRId64 " error=%s",
	    state->backend->name,
	    (breaker_next_mono_us(&state->circuit.breaker) - clock_mono_us()) /
		1000,
	    log_quote(quoted, err->text));
}

static void on_backend_failed(void *arg, const struct err *err)
{
	struct publisher *state = run_state(arg);

	state->backend->close(&state->handle);
	backend_failed(arg, err);
}

/* The backend is to be looked after: closed, or opened again. */
static void on_circuit(void *arg)
{
	struct run *run = arg;
	struct publisher *state = run_state(run);
	struct breaker *breaker = &state->circuit.breaker;
	struct err err;

	if (state->handle &&
	    circuit_lasts(&state->circuit, state->handed_count > 0))
		state->backend->close(&state->handle);
	if (state->handle)
		return;
	if (!breaker_allows(breaker, clock_mono_us())) {
		loop_timer_set(run_loop(run), &state->circuit.timer,
			       breaker_next_mono_us(breaker));
		return;
	}
	if (open_backend(run, &err) != 0)
		backend_failed(run, &err);
	else
		pump(run);
}

static int init(struct run *run, struct err *err)
{
	struct publisher *state = run_state(run);
	const struct eventhub_publisher_conf *conf = conf_of(run);
	struct eventhub_publisher_counters *counters = run_counters(run);
	struct sink_options options = {
	    .link = run_link(run),
	    SINK_LOG_OPTIONS(conf),
	};
	struct sink_events events = {
	    .readable = on_readable,
	    .failed = on_log_failed,
	    .arg = run,
	};

	state->backend = backends[conf->backend];
	circuit_init(&state->circuit, run, state->backend->name, on_circuit);
	counters->failed = counter_family_new("sink_type,error_type");
	counters->circuits = counter_family_new("destination");
	counters->circuits_opened = counter_family_new("destination");
	state->read_again = (struct loop_timer){.fn = on_readable, .arg = run};
	if (sink_open(&state->sink, run, &options, &events, err) != 0)
		return -1;
	/* Accepting does not wait for the backend: the log holds meanwhile. */
	if (open_backend(run, err) != 0) {
		if (err->code == EINVAL) /* a key is wrong */
			return -1;
		backend_failed(run, err);
	}
	run_ready(run);
	pump(run);
	return 0;
}

static void stats(struct run *run)
{
	struct publisher *state = run_state(run);
	struct eventhub_publisher_counters *counters = run_counters(run);
	int64_t buffered = 0;

	for (uint32_t i = 0; i < state->handed_count; i++)
		buffered +=
		    state->handed[(state->handed_first + i) % IN_FLIGHT].events;
	counters->buffered[conf_of(run)->backend] = buffered;
	breaker_export(&state->circuit.breaker, counters->circuits,
		       counters->circuits_opened);
	sink_get_stats(state->sink, &counters->spool, &counters->bus);
	counters->backlog_bytes =
	    (int64_t)(counters->spool.end - counters->spool.first);
	counters->oldest_us =
	    counters->spool.oldest_at_us
		? clock_wall_us() - counters->spool.oldest_at_us
		: 0;
}

static bool drain(struct run *run)
{
	struct publisher *state = run_state(run);

	return sink_idle(state->sink);
}

static void fini(struct run *run)
{
	struct publisher *state = run_state(run);
	struct eventhub_publisher_counters *counters = run_counters(run);

	if (state->backend)
		state->backend->close(&state->handle);
	sink_close(&state->sink);
	counter_family_free(&counters->failed);
	counter_family_free(&counters->circuits);
	counter_family_free(&counters->circuits_opened);
}

static const struct service eventhub_publisher = {
    .name = "eventhub-publisher",
    .state_bytes = sizeof(struct publisher),
    .init = init,
    .stats = stats,
    .drain = drain,
    .fini = fini,
};

int main(int argc, char **argv)
{
	return run_main(argc, argv, &eventhub_publisher, &weft_kinds);
}
