/*
 * What the event path costs by itself: intake of requests of 100 events that
 * maps them, intake that does not, and mapping of the batches that come of the
 * latter, with the contracts that come along and the generator's events. Prints
 * the best of several rounds, in nanoseconds of CPU time an event.
 *
 * usage: micro_contract [ROUNDS]
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "contract/intake.h"
#include "contract/mapper.h"
#include "services/generator/events.h"

#define BODIES	    400
#define BODY_EVENTS 100
#define BATCH_BYTES (256u << 10)
#define START_US    INT64_C(1767225600000000)

struct micro {
	struct contract_set *set;
	struct buf bodies[BODIES];
	struct intake *intake;
	struct mapper *mapper;
	struct batch_builder *in, *out;
	struct intake_result result;
	int64_t mapping_us, intake_us, mapper_us;
	uint64_t events;
};

static void make_bodies(struct micro *m)
{
	struct events *events = events_new(1, START_US, 0);
	char id[UUID_TEXT_BYTES];

	for (int i = 0; i < BODIES; i++) {
		for (int k = 0; k < BODY_EVENTS; k++) {
			buf_char(&m->bodies[i], k ? ',' : '[');
			events_next(events, &m->bodies[i], id);
		}
		buf_char(&m->bodies[i], ']');
	}
	events_free(&events);
}

/* Takes one body in; returns the CPU time of it. */
static int64_t take(struct micro *m, const struct buf *body, bool mapped)
{
	const struct intake_request request = {
	    .form = INTAKE_BATCH,
	    .body = body->data,
	    .bytes = body->used,
	    .max_events = BODY_EVENTS,
	    .now_us = START_US,
	    .map = mapped,
	};
	int64_t start_us = clock_cpu_us(), took_us;

	intake_body(m->intake, m->set, &request, NULL, m->in, &m->result);
	took_us = clock_cpu_us() - start_us;
	if (m->result.accepted != BODY_EVENTS) {
		fprintf(stderr, "%s\n", m->result.errors[0].text);
		exit(1);
	}
	return took_us;
}

static bool is_full(const struct micro *m, int i)
{
	return batch_builder_bytes(m->in) > BATCH_BYTES || i == BODIES - 1;
}

static void map(struct micro *m)
{
	const struct batch_header header = {.created_at_us = START_US};
	struct batch *in = batch_builder_seal(m->in, &header), *out;
	int64_t start_us = clock_cpu_us();

	for (uint32_t i = 0; i < in->header.events; i++)
		mapper_event(m->mapper, m->set, in, i, m->out);
	m->mapper_us += clock_cpu_us() - start_us;
	m->events += in->header.events;
	out = batch_builder_seal(m->out, &header);
	batch_unref(&in);
	batch_unref(&out);
}

static void round_of(struct micro *m)
{
	const struct batch_header header = {.created_at_us = START_US};
	struct batch *mapped;

	m->mapping_us = m->intake_us = m->mapper_us = 0;
	m->events = 0;
	for (int i = 0; i < BODIES; i++) {
		m->mapping_us += take(m, &m->bodies[i], true);
		if (!is_full(m, i))
			continue;
		mapped = batch_builder_seal(m->in, &header);
		batch_unref(&mapped);
	}
	for (int i = 0; i < BODIES; i++) {
		m->intake_us += take(m, &m->bodies[i], false);
		if (is_full(m, i))
			map(m);
	}
}

static void keep_least(double *least_ns, int64_t us, uint64_t events)
{
	double ns = 1e3 * (double)us / (double)events;

	*least_ns = ns < *least_ns ? ns : *least_ns;
}

static void load(struct micro *m)
{
	static const uint8_t secret[32] = "an example of a secret";
	struct contract_report report;

	if (contract_set_load(&m->set, "etc/contracts", secret, sizeof(secret),
			      &report) != 0) {
		fputs(buf_str(&report.lines), stderr);
		exit(1);
	}
	contract_report_free(&report);
}

int main(int argc, char **argv)
{
	struct micro *m = xcalloc(1, sizeof(*m));
	int rounds = argc > 1 ? atoi(argv[1]) : 20;
	double mapping_ns = 1e9, intake_ns = 1e9, mapper_ns = 1e9;

	load(m);
	make_bodies(m);
	m->intake = intake_new();
	m->mapper = mapper_new();
	m->in = batch_builder_new();
	m->out = batch_builder_new();
	for (int i = 0; i < rounds; i++) {
		round_of(m);
		keep_least(&mapping_ns, m->mapping_us, m->events);
		keep_least(&intake_ns, m->intake_us, m->events);
		keep_least(&mapper_ns, m->mapper_us, m->events);
	}
	printf("intake_body %.0f ns/event mapped, %.0f unmapped; "
	       "mapper_event %.0f\n",
	       mapping_ns, intake_ns, mapper_ns);
	for (int i = 0; i < BODIES; i++)
		buf_free(&m->bodies[i]);
	intake_free(&m->intake);
	mapper_free(&m->mapper);
	batch_builder_free(&m->in);
	batch_builder_free(&m->out);
	contract_set_unref(&m->set);
	free(m);
	return 0;
}
