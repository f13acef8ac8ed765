#include "services/onelake-writer/gauges.h"

#include <string.h>

#include "base/clock.h"

void gauges_landed(struct onelake_writer_counters *counters,
		   const struct job *job)
{
	int64_t now_us = clock_wall_us();

	for (size_t i = 0; i < job->count; i++) {
		const struct batch_header *header =
		    &job->batches[i].batch->header;

		uint32_t events = header->events - job->batches[i].moved;

		counter_observe_many(&counters->end_to_end,
				     now_us - header->created_at_us, events);
		counters->sent += events;
	}
	counter_observe(&counters->flush,
			clock_mono_us() - job->handed_mono_us);
}

static void count_table(void *arg, const char *table, uint64_t rows)
{
	const struct counter_label label = {table, strlen(table)};

	*counter_cell(arg, &label) = (int64_t)rows;
}

static void count_circuit(void *arg, const struct breaker *b)
{
	struct onelake_writer_counters *counters = arg;

	breaker_export(b, counters->circuits, counters->circuits_opened);
}

static void count_side(void *arg, const char *table, uint64_t bytes)
{
	const struct counter_label label = {table, strlen(table)};

	*counter_cell(arg, &label) = (int64_t)bytes;
}

void gauges_count_sides(struct onelake_writer_counters *counters,
			const struct sides *sides)
{
	sides_each(sides, count_side, counters->side_bytes);
}

void gauges_count(struct onelake_writer_counters *counters,
		  struct landing *landing)
{
	static const struct counter_label not_a_row[] = {{"onelake", 7},
							 {"not_a_row", 9}};
	struct landing_stats now;

	landing_get_stats(landing, &now);
	landing_each_table(landing, count_table, counters->table_rows);
	landing_each_circuit(landing, count_circuit, counters);
	if (now.letters)
		*counter_cell(counters->failed, not_a_row) =
		    (int64_t)now.letters;
	counters->other = now.other;
	counters->commits = now.tables.commits;
	counters->conflicts = now.tables.conflicts;
	counters->duplicates = now.tables.duplicates;
	counters->compared = now.tables.compared;
	counters->rows = now.tables.rows;
	counters->files = now.tables.files;
	counters->bytes = now.tables.bytes;
	counters->failures = now.failures;
	counters->waiting_tables = now.waiting;
}
