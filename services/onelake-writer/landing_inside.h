/* What the files of landing*.c share; nobody else includes it. */
#ifndef WEFT_SERVICES_ONELAKE_WRITER_LANDING_INSIDE_H
#define WEFT_SERVICES_ONELAKE_WRITER_LANDING_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "run/breaker.h"
#include "services/onelake-writer/archive.h"
#include "services/onelake-writer/landing.h"

/* A table as of one log: that is whose positions it is told of. */
struct landing_table {
	struct landing *landing;
	char *name;	   /* in messages and labels */
	char *destination; /* of its circuit */
	char *log_id;
	struct table *table;
	struct breaker circuit;
	struct lake_event *events; /* of this job */
	size_t count, room;
	bool done;	/* with this job */
	bool failing;	/* at the last try */
	struct err err; /* … why */
	/* Its events of this job are moved: what is left are letters. */
	const char *aside;
	bool letters; /* some events of this job became dead letters */
	bool stuck;   /* … which there is no place for */
	/* For others to see; under the lock. */
	uint64_t rows; /* committed */
	struct breaker shown;
};

struct landing {
	struct store *store;
	struct duck *duck; /* NULL until the first job */
	struct landing_options options;
	char *url, *root, *log_id, *scratch, *codec;
	struct recent_budget budget;
	struct landing_table **tables;
	size_t table_count;
	struct breaker circuit;	 /* of the store */
	struct archive *archive; /* or NULL */
	bool archive_failing;
	struct err archive_err;
	struct job *job;
	struct landing_table *letters; /* where dead letters go, or NULL */
	const struct contract *letter_contract;
	char **lines; /* of letters */
	size_t line_count;
	struct batch_builder *builder; /* of what is moved */
	size_t first; /* table of a round: another one each time */

	pthread_mutex_t lock; /* guards all below, and changes of tables */
	pthread_cond_t wanted;
	struct landing_stats stats;
	struct breaker shown; /* the store's */
	atomic_bool stop;
};

/*
 * Deals the events of a job, borrowed until landing_forget(), out to their
 * tables (landing_split.c), or to job->moved where those are set aside.
 */
void landing_split(struct landing *l, struct job *job);
void landing_forget(struct landing *l);

/*
 * Sets a table aside: its events of this job are moved. Its letters, and those
 * that were made of its events, are made again when they come out of the side
 * log.
 */
void landing_set_aside(struct landing_table *lt);

/*
 * One round over all that is not done yet (landing_try.c): true when all is
 * done. Else landing_try_next() is when the next round has anything to do.
 */
bool landing_try(struct landing *l, struct err *fatal);
int64_t landing_try_next(const struct landing *l);

/* Lets others see how it goes. */
void landing_publish(struct landing *l);

#endif
