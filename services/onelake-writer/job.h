/* What goes into the lake at once: the batches of one range of the log. */
#ifndef WEFT_SERVICES_ONELAKE_WRITER_JOB_H
#define WEFT_SERVICES_ONELAKE_WRITER_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "contract/contract.h"
#include "proto/batch.h"
#include "spool/spool.h"

struct job_batch {
	struct batch *batch;
	struct contract_set *set; /* that it names */
	uint64_t position;
	int64_t appended_at_us;
	bool flagged; /* its events may have been delivered before */
};

/*
 * Made, filled and freed on the loop thread, to which sets of contracts belong;
 * in between the worker reads it.
 */
struct job {
	struct job_batch *batches;
	size_t count, room;
	uint64_t end; /* all records before it are in here, or were before */
	size_t bytes;
	uint64_t events;
	int64_t begun_mono_us;	/* when its first batch came */
	int64_t handed_mono_us; /* when the worker got it */
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

/* The batch at a position of the log that is in the job. */
const struct job_batch *job_find(const struct job *job, uint64_t position);

#endif
