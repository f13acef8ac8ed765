#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "proto/stats.h"
#include "run/private.h"

static const void *field(const struct run *run, const struct counter_row *row)
{
	return (const char *)run->counters + row->offset;
}

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

static void export_row(const struct run *run, struct buf *out,
		       const struct counter_row *row)
{
	static const enum stats_type types[] = {
	    [COUNTER_TOTAL] = STATS_COUNTER,
	    [COUNTER_GAUGE] = STATS_GAUGE,
	    [COUNTER_HISTOGRAM] = STATS_HISTOGRAM,
	    [COUNTER_LABELLED] = STATS_COUNTER,
	    [COUNTER_LABELLED_GAUGE] = STATS_GAUGE,
	};
	const void *value = field(run, row);
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

static double resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long size, resident = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%lu %lu", &size, &resident) != 2)
		resident = 0;
	fclose(f);
	return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static double open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	double count = -3; /* ".", ".." and the directory itself */

	if (!d)
		return 0;
	while (readdir(d))
		count++;
	closedir(d);
	return count;
}

static void export_process(const struct run *run, struct buf *out)
{
	stats_family(out, "weft_process_cpu_seconds_total",
		     "CPU time, user and system, of the process.",
		     STATS_COUNTER);
	stats_sample(out, "", "", (double)clock_cpu_us() / 1e6);
	stats_family(out, "weft_process_resident_memory_bytes",
		     "Resident memory of the process.", STATS_GAUGE);
	stats_sample(out, "", "", resident_bytes());
	stats_family(out, "weft_process_open_fds",
		     "Open file descriptors of the process.", STATS_GAUGE);
	stats_sample(out, "", "", open_descriptors());
	stats_family(out, "weft_process_start_time_seconds",
		     "When the process started, seconds since 1970.",
		     STATS_GAUGE);
	stats_sample(out, "", "", (double)run->started_at_us / 1e6);
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
	const struct counter_table *table = run->row->kind->counters;

	stats_begin(out, &process);
	export_process(run, out);
	for (size_t i = 0; i < table->row_count; i++)
		export_row(run, out, &table->rows[i]);
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
