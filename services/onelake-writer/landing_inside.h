/* What the files of landing*.c share; nobody else includes it. */
#ifndef WEFT_SERVICES_ONELAKE_WRITER_LANDING_INSIDE_H
#define WEFT_SERVICES_ONELAKE_WRITER_LANDING_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/backoff.h"
#include "services/onelake-writer/archive.h"
#include "services/onelake-writer/landing.h"

struct landing_table {
	struct landing *landing;
	char *name; /* in messages and labels */
	struct table *table;
	struct lake_event *events; /* of this job */
	size_t count, room;
	bool done;     /* with this job */
	bool failing;  /* at the last try */
	bool letters;  /* some events of this job became dead letters */
	bool stuck;    /* … which there is no place for */
	uint64_t rows; /* committed; under the lock */
};

struct landing {
	struct store *store;
	struct duck *duck; /* NULL until the first job */
	struct landing_options options;
	char *url, *root, *log_id, *scratch, *codec;
	struct recent_budget budget;
	struct landing_table **tables;
	size_t table_count;
	struct archive *archive; /* or NULL */
	bool archive_failing;
	struct job *job;
	struct landing_table *letters; /* where dead letters go, or NULL */
	const struct contract *letter_contract;
	char **lines; /* of letters */
	size_t line_count;
	size_t first;	   /* table of a round: another one each time */
	unsigned failures; /* of a round, of those that pass by themselves */
	int64_t asked_us;  /* the longest wait that one of them asked for */
	struct backoff backoff;

	pthread_mutex_t lock; /* guards all below, and changes of tables */
	pthread_cond_t wanted;
	struct landing_stats stats;
	atomic_bool stop;
};

/*
 * Deals the events of a job, borrowed until landing_forget(), out to their
 * tables (landing_split.c).
 */
void landing_split(struct landing *l, struct job *job);
void landing_forget(struct landing *l);

#endif
