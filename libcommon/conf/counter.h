/*
 * Counters as tables: one row gives the exported name, type, labels and help.
 * Loop thread only; worker threads hand their numbers to it.
 */
#ifndef WEFT_CONF_COUNTER_H
#define WEFT_CONF_COUNTER_H

#include <stddef.h>
#include <stdint.h>

enum counter_type {
	COUNTER_TOTAL,		/* uint64_t, only grows */
	COUNTER_GAUGE,		/* int64_t */
	COUNTER_HISTOGRAM,	/* struct counter_histogram */
	COUNTER_LABELLED,	/* struct counter_family *, of totals */
	COUNTER_LABELLED_GAUGE, /* struct counter_family *, of gauges */
};

/* One exported family. `scale` turns the field into the exported unit. */
struct counter_row {
	const char *name; /* "weft_spool_bytes" */
	enum counter_type type;
	size_t offset;	    /* in the table's struct */
	const char *labels; /* "source,event_type" for labelled, else fixed text
			       such as `sink_type="file"`, or "" */
	double scale; /* e.g. 1e-6 for microseconds as seconds; 1 otherwise */
	const char *doc;
};

struct counter_table {
	const struct counter_row *rows;
	size_t row_count;
	size_t struct_bytes;
};

#define COUNTER_BUCKETS 16

/* A histogram over microseconds, bounds 1 ms · 2^i up to 32 s, then +Inf. */
struct counter_histogram {
	uint64_t buckets[COUNTER_BUCKETS + 1];
	uint64_t count;
	uint64_t sum_us;
};
void counter_observe(struct counter_histogram *h, int64_t us);
/* As counter_observe, `count` times at once. */
void counter_observe_many(struct counter_histogram *h, int64_t us,
			  uint64_t count);

/*
 * A family with label values, at most COUNTER_MAX_SERIES of them; beyond that
 * everything goes to one series whose values are all "other".
 */
#define COUNTER_MAX_SERIES 500
struct counter_family;

/* label_names as in the row, comma-separated; at most 4. */
struct counter_family *counter_family_new(const char *label_names);
void counter_family_free(struct counter_family **f);

/* One label value; any bytes, escaped on export, cut at 128 bytes. */
struct counter_label {
	const char *value;
	size_t bytes;
};

/*
 * The cell of a series (as many labels as the family has names), made at first
 * use; stays valid as long as the family. A lookup costs a hash of the values.
 */
int64_t *counter_cell(struct counter_family *f,
		      const struct counter_label *labels);

/* Calls fn for each series: labels as Prometheus text without braces. */
void counter_family_each(const struct counter_family *f,
			 void (*fn)(void *arg, const char *labels,
				    int64_t value),
			 void *arg);

/* What the skeleton exports of every process, beside the service's own. */
struct counter_process {
	uint64_t cpu_us; /* user and system */
	int64_t resident_bytes;
	int64_t open_fds;
	int64_t started_at_us;
};

extern const struct counter_table counter_process_table;

#endif
