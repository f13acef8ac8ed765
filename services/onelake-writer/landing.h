/*
 * Lands jobs in the lake: splits them by table, and sees to it that each event
 * gets into its table once. Works on the worker's thread, with a stack of 8 MiB
 * or more; what other threads may call says so.
 */
#ifndef WEFT_SERVICES_ONELAKE_WRITER_LANDING_H
#define WEFT_SERVICES_ONELAKE_WRITER_LANDING_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"
#include "lake/table.h"
#include "run/breaker.h"
#include "services/onelake-writer/job.h"

struct landing;

/* Texts are copied. */
struct landing_options {
	const char *url; /* of the lake, as store_open() */
	const char *identity_name;
	const struct conf_identity *identity; /* or NULL */
	const char *root;    /* that tables lie under: "Tables" */
	const char *log_id;  /* of the log that jobs come from */
	const char *scratch; /* a folder of our own, emptied at the start */
	const char *codec;
	int64_t memory_bytes; /* of DuckDB */
	int64_t window_us, window_bytes;
	int64_t cache_bytes;
	int64_t checkpoint_interval;
	int64_t retry_first_us, retry_max_us;
	int64_t cool_down_us; /* of circuits; the first */
	unsigned threshold;   /* failures in a row that open one */
	bool archive;	      /* keep all events as they were mapped, too */
	/* Worker thread: landing_get_stats() has something new to tell. */
	void (*changed)(void *arg);
	void *arg;
};

struct landing_stats {
	struct table_counts tables; /* of all together */
	uint64_t failures;	    /* tries that failed */
	uint64_t letters;	    /* events that became dead letters */
	uint64_t other;		    /* events that no table wants */
	uint32_t waiting;	    /* tables that wait to be tried again */
	struct err err;		    /* why the last of them; code 0: none do */
};

/* No network is used. Loop thread. */
int landing_new(struct landing **l, const struct landing_options *options,
		struct err *err) MUST_CHECK;
void landing_free(struct landing **l);

/*
 * Returns 0 when all events of the job are in their tables, however long that
 * takes; 1 when it was stopped before. -1 with *err: it cannot go on at all.
 * A job of the main log: a table whose circuit opens is set aside, and its
 * events, as those of tables that were so before, are in job->moved instead. A
 * job of a side log is tried once: 1 as well when it is to be tried again from
 * job->retry_at_mono_us on.
 */
int landing_run(struct landing *l, struct job *job, struct err *err) MUST_CHECK;

/* Ends landing_run() as soon as it can. Any thread. */
void landing_stop(struct landing *l);

/* Any thread. */
void landing_get_stats(struct landing *l, struct landing_stats *stats);
/* Calls fn for each table with the rows committed to it. Any thread. */
void landing_each_table(struct landing *l,
			void (*fn)(void *arg, const char *table, uint64_t rows),
			void *arg);
/* Calls fn for each circuit, that of the store and each table's. Any thread. */
void landing_each_circuit(struct landing *l,
			  void (*fn)(void *arg, const struct breaker *b),
			  void *arg);

#endif
