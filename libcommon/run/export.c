#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "proto/stats.h"
#include "run/private.h"

static void export_histogram(struct buf *out, const struct counter_row *row,
			     const struct counter_histogram *h)
{
	const char *comma = *row->labels ? "," : "";
	uint64_t below = 0;
	char labels[256];

	for (int i = 0; i <= COUNTER_BUCKETS; i++) {
		below += h->buckets[i];
		if (i < COUNTER_BUCKETS)
			snprintf(labels, sizeof(labels), "%s%sle=\"%g\"",
				 row->labels, comma,
				 (double)(INT64_C(1) << i) / 1000);
		else
			snprintf(labels, sizeof(labels), "%s%sle=\"+Inf\"",
				 row->labels, comma);
		stats_sample(out, "_bucket", labels, (double)below);
	}
	stats_sample(out, "_sum", row->labels, (double)h->sum_us / 1e6);
	stats_sample(out, "_count", row->labels, (double)h->count);
}

struct labelled {
	struct buf *out;
	double scale;
};

static void export_cell(void *arg, const char *labels, int64_t value)
{
	struct labelled *l = arg;

	stats_sample(l->out, "", labels, (double)value * l->scale);
}

static void export_row(struct buf *out, const struct counter_row *row,
		       const void *value)
{
	static const enum stats_type types[] = {
	    [COUNTER_TOTAL] = STATS_COUNTER,
	    [COUNTER_GAUGE] = STATS_GAUGE,
	    [COUNTER_HISTOGRAM] = STATS_HISTOGRAM,
	    [COUNTER_LABELLED] = STATS_COUNTER,
	    [COUNTER_LABELLED_GAUGE] = STATS_GAUGE,
	};
	struct labelled l = {out, row->scale};

	stats_family(out, row->name, row->doc, types[row->type]);
	switch (row->type) {
	case COUNTER_TOTAL:
		stats_sample(out, "", row->labels,
			     (double)*(const uint64_t *)value * row->scale);
		break;
	case COUNTER_GAUGE:
		stats_sample(out, "", row->labels,
			     (double)*(const int64_t *)value * row->scale);
		break;
	case COUNTER_HISTOGRAM:
		export_histogram(out, row, value);
		break;
	case COUNTER_LABELLED:
	case COUNTER_LABELLED_GAUGE:
		if (*(struct counter_family *const *)value)
			counter_family_each(
			    *(struct counter_family *const *)value, export_cell,
			    &l);
		break;
	}
}

static int64_t resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	int64_t size, resident = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%" SCNd64 " %" SCNd64, &size, &resident) != 2)
		resident = 0;
	fclose(f);
	return resident * sysconf(_SC_PAGESIZE);
}

static int64_t open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int64_t count = -3; /* ".", ".." and the directory itself */

	if (!d)
		return 0;
	while (readdir(d))
		count++;
	closedir(d);
	return count;
}

static void export_table(struct buf *out, const struct counter_table *table,
			 const void *counters)
{
	for (size_t i = 0; i < table->row_count; i++)
		export_row(out, &table->rows[i],
			   (const char *)counters + table->rows[i].offset);
}

void run_export(struct run *run, struct buf *out)
{
	struct stats_process process = {
	    .service = run->name,
	    .instance = run->instance,
	    .pid = (uint32_t)getpid(),
	    .started_at_us = run->started_at_us,
	    .sent_at_us = clock_wall_us(),
	};
	struct counter_process usage = {
	    .cpu_us = (uint64_t)clock_cpu_us(),
	    .resident_bytes = resident_bytes(),
	    .open_fds = open_descriptors(),
	    .started_at_us = run->started_at_us,
	};

	stats_begin(out, &process);
	export_table(out, &counter_process_table, &usage);
	export_table(out, run->row->kind->counters, run->counters);
	stats_end(out);
}

void export_stats(struct run *run)
{
	struct buf out = {0};

	if (!run->stats_out)
		return;
	run_export(run, &out);
	bus_stats_out_send(run->stats_out, out.data, out.used);
	buf_free(&out);
}
