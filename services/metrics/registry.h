/*
 * The registry: merges the stats of all processes into one set of families and
 * series, as Prometheus is to see them. Loop thread only.
 *
 * Which labels a series gets beside those that its process gave it:
 *   business_telemetry_*  none: the names and labels that dashboards already
 *                         know. Values of all processes are added.
 *   counters, histograms  service="<row>". Values of its instances are added.
 *   gauges, weft_process_*  service="<row>" and process="<row>.<instance>", as
 *                         in the log lines. ("instance" would be renamed by
 *                         Prometheus, which uses it for the address it asked.)
 * A label that the process gave itself wins.
 *
 * Counters and histograms never go down while metrics runs: what the earlier
 * lives of a process had counted is added to what the present one has. A
 * process that is silent for REGISTRY_SILENT_US loses its gauges; its counters
 * stay. After a restart of metrics itself counters begin with the present lives
 * of the processes, which Prometheus takes as the reset it is.
 */
#ifndef WEFT_METRICS_REGISTRY_H
#define WEFT_METRICS_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "proto/stats.h"

#define REGISTRY_MAX_SERIES    10000
#define REGISTRY_MAX_CELLS     40000 /* series times processes that feed them */
#define REGISTRY_MAX_FAMILIES  1000
#define REGISTRY_MAX_PROCESSES 1024

struct registry;

struct registry_counts {
	uint64_t messages;  /* taken */
	uint64_t refused;   /* malformed */
	uint64_t crowded;   /* of one process too many, ignored */
	uint64_t stale;	    /* of a life that ended, ignored */
	uint64_t dropped;   /* samples beyond the limits above, left out */
	uint64_t conflicts; /* samples of a family that has another type */
	int64_t series;	    /* held now */
	int64_t processes;  /* not silent now */
};

/* One instance of a service; borrowed from the registry, lives as long. */
struct registry_process {
	char service[64];
	uint32_t instance;
	uint32_t pid;
	int64_t started_at_us;
	int64_t sent_at_us;   /* of its last message, by its clock */
	int64_t seen_mono_us; /* when that came, by ours */
};

struct registry *registry_new(void);
void registry_free(struct registry **r);

/*
 * Takes one stats message that came at now_mono_us. -1 with *err when it was
 * refused; nothing is changed then.
 */
int registry_take(struct registry *r, const uint8_t *data, size_t bytes,
		  int64_t now_mono_us, struct err *err) MUST_CHECK;

/* Whose the last message was; NULL when it was refused or ignored. */
const struct registry_process *registry_sender(const struct registry *r);

/*
 * Takes away the gauges of processes that were not heard for silent_us; call
 * once a second.
 */
void registry_expire(struct registry *r, int64_t now_mono_us,
		     int64_t silent_us);

/*
 * Visits all families in order of their names, each with its samples in order
 * of their labels (buckets by `le`, then _sum and _count of the same labels).
 * Families without a sample are left out. Labels are valid UTF-8, escaped, in
 * order of their names, no two samples of a family and suffix have the same.
 * visitor->process is not called.
 */
void registry_visit(struct registry *r, const struct stats_visitor *visitor);

/* Visits the processes that are not silent, by service and instance. */
void registry_each_process(struct registry *r,
			   void (*fn)(void *arg,
				      const struct registry_process *p),
			   void *arg);

/*
 * The sum over all series of a counter or gauge family as p itself reported it
 * in its last message (its present life only); 0 for a counter of which it has
 * no series yet. False when it did not report the family, or a gauge without
 * samples.
 */
bool registry_value(const struct registry_process *p, const char *family,
		    double *value);

/*
 * Calls fn for each series of a gauge family that p reported in its last
 * message, with the labels that it gave (as text, without braces), in no order.
 */
void registry_each_value(const struct registry_process *p, const char *family,
			 void (*fn)(void *arg, const char *labels,
				    double value),
			 void *arg);

void registry_get_counts(const struct registry *r,
			 struct registry_counts *counts);

#endif
