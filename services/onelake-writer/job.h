/* What goes into the lake at once: the batches of one range of the log. */
#ifndef WEFT_SERVICES_ONELAKE_WRITER_JOB_H
#define WEFT_SERVICES_ONELAKE_WRITER_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/uuid.h"
#include "contract/contract.h"
#include "proto/batch.h"
#include "spool/spool.h"

struct job_batch {
	struct batch *batch;
	struct contract_set *set; /* that it names */
	uint64_t position;
	int64_t appended_at_us;
	bool flagged;	/* its events may have been delivered before */
	uint32_t moved; /* events of it that were moved to side logs */
};

/* Events of one batch whose table is set aside, on their way to its side log
 * (side.h tells what the header says). */
struct job_moved {
	const char *table; /* one of aside */
	struct batch *batch;
};

/*
 * Made, filled and freed on the loop thread, to which sets of contracts belong;
 * in between the worker reads it, and says what is to be moved.
 */
struct job {
	struct job_batch *batches;
	size_t count, room;
	uint64_t end; /* all records before it are in here, or were before */
	size_t bytes;
	uint64_t events;
	int64_t begun_mono_us;	/* when its first batch came */
	int64_t handed_mono_us; /* when the worker got it */

	/* Of the main log: tables that are set aside, more of them when it has
	 * been landed, and what is to be moved for that, in the order of the
	 * log. */
	char **aside;
	size_t aside_count;
	struct job_moved *moved;
	size_t moved_count, moved_room;

	/* Out of a side log: its table, and the log that positions are of. */
	char *side;
	struct uuid log_id;
	bool landed; /* or to be tried again later: */
	int64_t retry_at_mono_us;
};

struct job *job_new(void);
void job_free(struct job **job);

/*
 * Adds a record of the log; takes its batch, and a reference to the set.
 * late_us: a record appended so long after its batch was made counts as
 * flagged, since what its clients sent before may have left the window.
 */
void job_add(struct job *job, const struct spool_record *record,
	     struct contract_set *set, int64_t late_us);

/* Sets a table aside, copied, unless it is; returns the name. */
const char *job_set_aside(struct job *job, const char *table);

/* Adds what is to be moved; takes the batch. `table` as job_set_aside() gave
 * it. */
void job_move(struct job *job, const char *table, struct batch **batch);

/* The batch at a position of the log that is in the job. */
const struct job_batch *job_find(const struct job *job, uint64_t position);

#endif
