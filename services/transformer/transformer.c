/*
 * NAME       transformer - applies contracts to batches on their way to sinks
 * IN         link raw: batches of validated events, in lanes
 * WORK       batches that their source has mapped pass as they are, shared
 *            out by key where a sink has several instances; those that came by
 *            reference pass unread if nothing has to be done; of others each
 *            event is mapped, masked and completed by the contract set that
 *            its batch names, and what cannot be mapped becomes a dead letter
 * OUT        every sink link: exactly one batch for each batch received, to
 *            every instance, holding the events whose key falls to it
 * GUARANTEE  keeps no data: it acks upstream what all sinks have on disk
 * ON FAILURE sources send again from their logs; the same batch and contracts
 *            give the same bytes
 */
#include "services/transformer/tables.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "contract/mapper.h"
#include "run/resolver.h"
#include "run/run.h"
#include "run/tap.h"
#include "services/kinds.h"

/* The instances of one sink link: they share the events by key. */
struct outlet {
	uint32_t first; /* in state.endpoints */
	uint32_t count;
};

struct transformer {
	struct bus_relay *relay;
	struct mapper *mapper;
	struct tap *tap;
	struct resolver *resolver;
	struct bus_endpoint endpoints[BUS_MAX_PEERS];
	uint32_t endpoint_count;
	struct outlet outlets[BUS_MAX_PEERS];
	uint32_t outlet_count;
	struct batch_builder *builders[BUS_MAX_PEERS];
	uint64_t missing; /* the contract set that is waited for, 0 = none */
	uint64_t passed;  /* events that came mapped */
};

/* Groups the endpoints, which come link by link, into outlets. */
static void find_outlets(struct transformer *state)
{
	state->outlet_count = 0;
	for (uint32_t i = 0; i < state->endpoint_count; i++) {
		if (i == 0 || strcmp(state->endpoints[i].link,
				     state->endpoints[i - 1].link) != 0)
			state->outlets[state->outlet_count++] =
			    (struct outlet){.first = i};
		state->outlets[state->outlet_count - 1].count++;
	}
}

/* Where an event goes: those of one key to one instance. */
static struct batch_builder *builder_of(const struct transformer *state,
					const struct outlet *outlet,
					const struct batch_event *e)
{
	uint32_t share =
	    outlet->count == 1 ? 0 : (uint32_t)(e->key_hash % outlet->count);

	return state->builders[outlet->first + share];
}

static void map_batch(struct transformer *state, struct contract_set *set,
		      const struct batch *in, const struct outlet *outlet)
{
	for (uint32_t i = 0; i < in->header.events; i++)
		mapper_event(state->mapper, set, in, i,
			     builder_of(state, outlet, &in->events[i]));
}

static int slice_batch(struct transformer *state, const struct batch *in,
		       const struct outlet *outlet, struct err *err)
{
	for (uint32_t i = 0; i < in->header.events; i++)
		if (!batch_builder_copy(
			builder_of(state, outlet, &in->events[i]), in, i))
			return err_set(err, EBADMSG,
				       "the events of a batch lie one over the "
				       "other: together they are more than a "
				       "batch");
	return 0;
}

/* Outlets of the same width get the same batches: mapping is done once. */
static const struct outlet *same_width(const struct transformer *state,
				       uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (state->outlets[i].count == state->outlets[n].count)
			return &state->outlets[i];
	return NULL;
}

/*
 * Sets are kept on the host of whoever read them: what a collector elsewhere
 * names may not be here. Nothing passes before it is, and only a person can
 * bring it, so the message says which, whose and where to.
 */
static void explain_missing(struct run *run, const struct batch *in,
			    struct err *err)
{
	struct transformer *state = run_state(run);
	const char *dir = run_config(run)->pipeline->state_dir;
	uint64_t hash = in->header.contract_set;
	char source[UUID_TEXT_BYTES], status[200];
	struct err cause = *err;

	uuid_format(&in->header.lane.source, source);
	err_set(err, cause.code,
		"a batch of source %s names contract set %016" PRIx64
		", which is not here: copy <state_dir>/contracts/%016" PRIx64
		" from the source's host to %.150s/contracts, or give both "
		"hosts the same contracts and reload (%.150s)",
		source, hash, hash, dir, cause.text);
	snprintf(status, sizeof(status),
		 "waiting for contract set %016" PRIx64 " of source %s; copy "
		 "it from there to %.60s/contracts",
		 hash, source, dir);
	if (state->missing != hash)
		run_status(run, status);
	state->missing = hash;
}

static struct contract_set *find_set(struct run *run, const struct batch *in,
				     struct err *err)
{
	struct transformer *state = run_state(run);
	struct contract_set *set =
	    run_contracts_of(run, in->header.contract_set, err);

	if (!set)
		explain_missing(run, in, err);
	else if (state->missing) {
		log_info("contract_set_found", "hash=%016" PRIx64,
			 in->header.contract_set);
		run_status(run, "");
		state->missing = 0;
	}
	return set;
}

/* The batches of an outlet: what was collected, or those of its twin. */
static void take_batches(struct transformer *state, const struct batch *in,
			 const struct outlet *outlet, const struct outlet *twin,
			 struct batch **out)
{
	struct batch_header header = in->header;

	header.flags |= BATCH_MAPPED;
	for (uint32_t i = 0; i < outlet->count; i++)
		out[outlet->first + i] =
		    twin ? batch_ref(out[twin->first + i])
			 : batch_builder_seal(
			       state->builders[outlet->first + i], &header);
}

/* Forgets what was made of a batch so far. */
static void give_up(struct transformer *state, struct batch **out)
{
	for (uint32_t i = 0; i < state->endpoint_count; i++) {
		batch_unref(&out[i]);
		batch_builder_rollback(state->builders[i], 0, 0);
	}
}

static int pass_batch(struct transformer *state, struct batch *in,
		      struct batch **out, struct err *err)
{
	for (uint32_t n = 0; n < state->outlet_count; n++) {
		const struct outlet *outlet = &state->outlets[n];
		const struct outlet *twin = same_width(state, n);

		if (outlet->count == 1) {
			out[outlet->first] = batch_ref(in);
			continue;
		}
		if (!twin && slice_batch(state, in, outlet, err) != 0) {
			give_up(state, out);
			return -1;
		}
		take_batches(state, in, outlet, twin, out);
	}
	state->passed += in->header.events;
	return 0;
}

static void show(struct transformer *state, struct batch **out)
{
	for (uint32_t i = 0; i < state->endpoint_count; i++)
		tap_show(state->tap, state->endpoints[i].link, out[i]);
}

static int make_batches(struct run *run, struct batch *in, struct batch **out,
			struct err *err)
{
	struct transformer *state = run_state(run);
	struct contract_set *set;

	if (in->header.flags & BATCH_MAPPED)
		return pass_batch(state, in, out, err);
	set = find_set(run, in, err);
	if (!set)
		return -1;
	for (uint32_t n = 0; n < state->outlet_count; n++) {
		const struct outlet *outlet = &state->outlets[n];
		const struct outlet *twin = same_width(state, n);

		if (!twin)
			map_batch(state, set, in, outlet);
		take_batches(state, in, outlet, twin, out);
	}
	return 0;
}

/* Whether a batch goes to every sink as it is, and nobody looks at it here. */
static bool passes_whole(const struct transformer *state,
			 const struct batch *in)
{
	if (!(in->header.flags & BATCH_MAPPED) || tap_is_wanted(state->tap))
		return false;
	for (uint32_t n = 0; n < state->outlet_count; n++)
		if (state->outlets[n].count > 1)
			return false;
	return true;
}

static int on_resolve(void *arg, struct batch *b, struct batch **whole,
		      struct err *err)
{
	struct transformer *state = run_state(arg);

	return resolver_read(state->resolver, b, whole, err);
}

static int on_batch(void *arg, struct batch *in, struct batch **out,
		    struct err *err)
{
	struct run *run = arg;
	struct transformer *state = run_state(run);

	if (in->reference && !passes_whole(state, in))
		return BUS_NEEDS_BODY;
	if (make_batches(run, in, out, err) != 0)
		return -1;
	if (tap_is_wanted(state->tap))
		show(state, out);
	return 0;
}

static int find_endpoints(struct run *run, struct err *err)
{
	struct transformer *state = run_state(run);
	int count = run_endpoints(run, "*", state->endpoints, err);

	if (count < 0)
		return -1;
	state->endpoint_count = (uint32_t)count;
	find_outlets(state);
	for (uint32_t i = 0; i < state->endpoint_count; i++)
		if (!state->builders[i])
			state->builders[i] = batch_builder_new();
	return 0;
}

static int init(struct run *run, struct err *err)
{
	struct transformer *state = run_state(run);
	struct bus_endpoint in = {.instance = run_instance(run)};
	struct bus_relay_options options = {
	    .name = run_label(run),
	    .in = &in,
	    .outs = state->endpoints,
	};
	struct bus_relay_events events = {
	    .work = on_batch, .resolve = on_resolve, .arg = run};

	/* Not one of run_endpoints(): one that is leaving may start again. */
	snprintf(in.link, sizeof(in.link), "%s", run_link(run));
	if (conf_endpoint(run_config(run), in.link, in.instance, in.data,
			  in.state, err) != 0 ||
	    find_endpoints(run, err) != 0)
		return -1;
	state->mapper = mapper_new();
	state->tap = tap_new(run);
	state->resolver = resolver_new(run_loop(run));
	options.out_count = state->endpoint_count;
	options.silence_us =
	    ((const struct transformer_conf *)run_conf(run))->silence;
	if (bus_relay_open(&state->relay, run_bus(run), &options, &events,
			   err) != 0)
		return -1;
	run_ready(run);
	return 0;
}

static void reload(struct run *run)
{
	struct transformer *state = run_state(run);
	char quoted[LOG_QUOTE_BYTES];
	struct err err;

	if (find_endpoints(run, &err) != 0 ||
	    bus_relay_set_outs(state->relay, state->endpoints,
			       state->endpoint_count, &err) != 0)
		log_error("reload_failed", "error=%s",
			  log_quote(quoted, err.text));
}

static void stats(struct run *run)
{
	struct transformer *state = run_state(run);
	struct transformer_counters *counters = run_counters(run);

	bus_relay_get_stats(state->relay, &counters->bus);
	counters->mapper = *mapper_get_counts(state->mapper);
	counters->passed = state->passed;
}

static bool drain(struct run *run)
{
	struct transformer *state = run_state(run);

	return bus_relay_idle(state->relay);
}

static void fini(struct run *run)
{
	struct transformer *state = run_state(run);

	bus_relay_close(&state->relay);
	mapper_free(&state->mapper);
	tap_free(&state->tap);
	resolver_free(&state->resolver);
	for (uint32_t i = 0; i < BUS_MAX_PEERS; i++)
		batch_builder_free(&state->builders[i]);
}

static const struct service transformer = {
    .name = "transformer",
    .state_bytes = sizeof(struct transformer),
    .init = init,
    .reload = reload,
    .stats = stats,
    .drain = drain,
    .fini = fini,
};

int main(int argc, char **argv)
{
	return run_main(argc, argv, &transformer, &weft_kinds);
}
