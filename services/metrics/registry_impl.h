/* The inside of the registry, shared by its two files only. */
#ifndef WEFT_METRICS_REGISTRY_IMPL_H
#define WEFT_METRICS_REGISTRY_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "services/metrics/registry.h"

#define BUCKETS 8192

/* Counter families of one process that are remembered while they are empty. */
#define MAX_COUNTERS 256

/* A family: what HELP and TYPE say. */
struct family {
	char *name;
	char *help;
	enum stats_type type;
	struct family *next; /* of the same bucket */
	struct series **series;
	size_t series_count;
	size_t series_size;
	bool sorted;
};

/* What one line of the exposition shows: the sum of its cells. */
struct series {
	struct family *family;
	struct series *next; /* of the same bucket */
	const char *suffix;  /* static */
	char *labels;	     /* with the added ones */
	char *group; /* labels without le: what keeps buckets together */
	double le;
	struct cell *cells;
};

/* What one process gives to a series. */
struct cell {
	struct cell *next; /* of the same bucket */
	struct cell *next_in_process;
	struct cell *next_in_series;
	struct process *process;
	struct series *series;
	double before;	  /* counted in earlier lives */
	double now;	  /* in the present life */
	uint64_t message; /* of the process, that told it last; 0 = none */
	char labels[];	  /* as sent */
};

struct process {
	struct registry_process public;
	struct process *next;
	uint64_t messages; /* of all lives */
	bool silent;
	struct cell *cells;
	/* counters named in its last message, with samples or without */
	const struct family *counters[MAX_COUNTERS];
	size_t counter_count;
	/* the life before the present one, whose late messages are ignored */
	uint32_t old_pid;
	int64_t old_started_at_us;
	char service_label[96];
	char process_label[192]; /* both */
};

struct registry {
	struct registry_counts counts;
	struct process *processes; /* by service and instance */
	size_t process_count;
	struct family *families[BUCKETS];
	struct series *series[BUCKETS];
	struct cell *cells[BUCKETS];
	size_t family_count;
	size_t cell_count;
	struct family **sorted; /* family_count of them, by name, or NULL */
	/* while a message is taken */
	struct process *from;  /* of the last message; NULL: none is taken */
	struct family *family; /* NULL: its samples are left out … */
	uint64_t *left_out;    /* … and counted here */
	int64_t now_mono_us;
};

#endif
