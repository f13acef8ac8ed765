/*
 * What the two halves of the event path cost by themselves: intake of requests
 * of 100 events, and mapping of the batches that come of them, with the
 * contracts that come along and the generator's events. Prints the best of
 * several rounds, in nanoseconds of CPU time an event.
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
	int64_t intake_us, mapper_us;
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

static void take(struct micro *m, const struct buf *body)
{
	const struct intake_request request = {
	    .form = INTAKE_BATCH,
	    .body = body->data,
	    .bytes = body->used,
	    .max_events = BODY_EVENTS,
	    .now_us = START_US,
	};
	int64_t start_us = clock_cpu_us();

	intake_body(m->intake, m->set, &request, NULL, m->in, &m->result);
	m->intake_us += clock_cpu_us() - start_us;
	if (m->result.accepted != BODY_EVENTS) {
		fprintf(stderr, "%s\n", m->result.errors[0].text);
		exit(1);
	}
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
	m->intake_us = m->mapper_us = 0;
	m->events = 0;
	for (int i = 0; i < BODIES; i++) {
		take(m, &m->bodies[i]);
		if (batch_builder_bytes(m->in) > BATCH_BYTES || i == BODIES - 1)
			map(m);
	}
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
	double intake_ns = 1e9, mapper_ns = 1e9;

	load(m);
	make_bodies(m);
	m->intake = intake_new();
	m->mapper = mapper_new();
	m->in = batch_builder_new();
	m->out = batch_builder_new();
	for (int i = 0; i < rounds; i++) {
		double intake, mapper;

		round_of(m);
		intake = 1e3 * (double)m->intake_us / (double)m->events;
		mapper = 1e3 * (double)m->mapper_us / (double)m->events;
		intake_ns = intake < intake_ns ? intake : intake_ns;
		mapper_ns = mapper < mapper_ns ? mapper : mapper_ns;
	}
	printf("intake_body %.0f ns/event, mapper_event %.0f ns/event\n",
	       intake_ns, mapper_ns);
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
