/*
 * What it costs to make Parquet of mapped events: all streams of the contracts
 * that come along, with the generator's events, each stream to a file of its
 * own as the writer of the lake does it. Prints the best of several rounds, in
 * nanoseconds of CPU time an event, and what reading the lines costs alone.
 *
 * usage: micro_rows [EVENTS [ROUNDS [FOLDER]]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "contract/intake.h"
#include "contract/mapper.h"
#include "contract/row.h"
#include "lake/parquet.h"
#include "lake/rows.h"
#include "services/generator/events.h"

#define BODY_EVENTS 100
#define START_US    INT64_C(1767225600000000)
#define MAX_STREAMS 32

/* The events of one contract. */
struct stream {
	const struct contract *contract;
	struct schema *schema;
	struct rows *rows;
	struct lake_event *events;
	size_t count, bytes;
};

struct micro {
	struct contract_set *set;
	struct stream streams[MAX_STREAMS];
	uint32_t count;
	struct batch **batches;
	size_t batch_count;
	struct duck *duck;
	const char *folder;
	size_t events, line_bytes, file_bytes;
};

static void die(const char *text)
{
	fprintf(stderr, "micro_rows: %s\n", text);
	exit(1);
}

static void load(struct micro *m)
{
	static const uint8_t secret[32] = "an example of a secret";
	struct contract_report report;

	if (contract_set_load(&m->set, "etc/contracts", secret, sizeof(secret),
			      &report) != 0)
		die(buf_str(&report.lines));
	contract_report_free(&report);
	m->count = contract_set_count(m->set);
	for (uint32_t i = 0; i < m->count; i++) {
		struct stream *s = &m->streams[i];

		s->contract = contract_set_at(m->set, i);
		s->schema = schema_of_contract(s->contract);
		s->rows = rows_new(s->schema);
	}
}

static void add_event(struct micro *m, const struct batch *b, uint32_t i)
{
	const struct batch_event *e = &b->events[i];
	const struct contract *contract = contract_set_find(
	    m->set, b->streams[e->stream], b->stream_bytes[e->stream]);
	struct stream *s = m->streams;

	while (s->contract != contract)
		s++;
	if ((s->count & (s->count + 1)) == 0)
		s->events = xreallocarray(s->events, 2 * s->count + 2,
					  sizeof(*s->events));
	s->events[s->count++] = (struct lake_event){
	    .line = b->payload + e->offset,
	    .bytes = e->bytes,
	    .contract = contract,
	};
	m->line_bytes += e->bytes;
	m->events++;
}

static struct batch *make_batch(struct micro *m, struct intake *intake,
				struct mapper *mapper, const struct buf *body)
{
	const struct intake_request request = {
	    .form = INTAKE_BATCH,
	    .body = body->data,
	    .bytes = body->used,
	    .max_events = BODY_EVENTS,
	    .now_us = START_US,
	};
	const struct batch_header header = {.created_at_us = START_US};
	struct batch_builder *in = batch_builder_new();
	struct batch_builder *out = batch_builder_new();
	struct intake_result result;
	struct batch *taken, *mapped;

	intake_body(intake, m->set, &request, NULL, in, &result);
	if (result.accepted != BODY_EVENTS)
		die(result.errors[0].text);
	taken = batch_builder_seal(in, &header);
	for (uint32_t i = 0; i < taken->header.events; i++)
		mapper_event(mapper, m->set, taken, i, out);
	mapped = batch_builder_seal(out, &header);
	batch_unref(&taken);
	batch_builder_free(&in);
	batch_builder_free(&out);
	return mapped;
}

static void make_events(struct micro *m, size_t count)
{
	struct events *events = events_new(1, START_US, 0);
	struct intake *intake = intake_new();
	struct mapper *mapper = mapper_new();
	struct buf body = {0};
	char id[UUID_TEXT_BYTES];

	m->batch_count = (count + BODY_EVENTS - 1) / BODY_EVENTS;
	m->batches = xcalloc(m->batch_count, sizeof(struct batch *));
	for (size_t i = 0; i < m->batch_count; i++) {
		buf_clear(&body);
		for (int k = 0; k < BODY_EVENTS; k++) {
			buf_char(&body, k ? ',' : '[');
			events_next(events, &body, id);
		}
		buf_char(&body, ']');
		m->batches[i] = make_batch(m, intake, mapper, &body);
		for (uint32_t k = 0; k < m->batches[i]->header.events; k++)
			add_event(m, m->batches[i], k);
	}
	buf_free(&body);
	events_free(&events);
	intake_free(&intake);
	mapper_free(&mapper);
}

/* CPU time of reading every value of all lines. */
static int64_t read_lines(struct micro *m)
{
	struct row_reader *r = row_reader_new();
	int64_t start_us = clock_cpu_us();
	struct row_cursor c;
	struct row_value v;
	uint32_t field;
	struct err err;

	for (uint32_t s = 0; s < m->count; s++)
		for (size_t i = 0; i < m->streams[s].count; i++) {
			const struct lake_event *e = &m->streams[s].events[i];

			if (row_open(r, e->contract, e->line, e->bytes, &c,
				     &err) < 0)
				die(err.text);
			while (row_next(r, &c, &field, &v, &err) > 0)
				;
		}
	row_reader_free(&r);
	return clock_cpu_us() - start_us;
}

static int64_t write_files(struct micro *m)
{
	int64_t start_us = clock_cpu_us();
	struct parquet_written w;
	struct err err;

	m->file_bytes = 0;
	for (uint32_t i = 0; i < m->count; i++) {
		struct stream *s = &m->streams[i];
		char *path =
		    xasprintf("%s/%s.parquet", m->folder, s->contract->name);

		rows_set(s->rows, s->events, s->count);
		if (rows_write(s->rows, m->duck, path, "zstd", &w, &err) < 0)
			die(err.text);
		m->file_bytes += (size_t)w.bytes;
		parquet_written_free(&w);
		free(path);
	}
	return clock_cpu_us() - start_us;
}

static long peak_mb(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return use.ru_maxrss >> 10;
}

static void measure(struct micro *m, int rounds)
{
	double lines_ns = 1e9, files_ns = 1e9, ns;
	long before_mb = peak_mb();

	for (int i = 0; i < rounds; i++) {
		ns = 1e3 * (double)read_lines(m) / (double)m->events;
		lines_ns = ns < lines_ns ? ns : lines_ns;
		ns = 1e3 * (double)write_files(m) / (double)m->events;
		files_ns = ns < files_ns ? ns : files_ns;
	}
	printf("%zu events of %zu bytes: lines read %.0f ns/event, written as "
	       "Parquet (reading included) %.0f ns/event, %zu bytes/event; "
	       "peak RSS %ld MB more than the %ld MB of the events\n",
	       m->events, m->line_bytes / m->events, lines_ns, files_ns,
	       m->file_bytes / m->events, peak_mb() - before_mb, before_mb);
}

static void clean(struct micro *m)
{
	duck_close(&m->duck);
	for (uint32_t i = 0; i < m->count; i++) {
		rows_free(&m->streams[i].rows);
		schema_unref(&m->streams[i].schema);
		free(m->streams[i].events);
	}
	for (size_t i = 0; i < m->batch_count; i++)
		batch_unref(&m->batches[i]);
	free(m->batches);
	contract_set_unref(&m->set);
}

int main(int argc, char **argv)
{
	struct duck_options options = {.memory_bytes = 300 << 20, .threads = 1};
	size_t events = argc > 1 ? strtoul(argv[1], NULL, 10) : 250000;
	int rounds = argc > 2 ? atoi(argv[2]) : 5;
	char folder[] = "/tmp/weft-rows-XXXXXX";
	struct micro m = {.folder = argc > 3 ? argv[3] : mkdtemp(folder)};
	char *temp = xasprintf("%s/temp", m.folder);
	struct err err;

	options.temp_dir = temp;
	load(&m);
	make_events(&m, events);
	if (duck_open(&m.duck, &options, &err) < 0)
		die(err.text);
	measure(&m, rounds);
	for (uint32_t i = 0; i < m.count && argc <= 3; i++) {
		char *path = xasprintf("%s/%s.parquet", m.folder,
				       m.streams[i].contract->name);

		unlink(path);
		free(path);
	}
	clean(&m);
	rmdir(temp);
	rmdir(m.folder);
	free(temp);
	return 0;
}
