#include "services/onelake-writer/job.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"

struct job *job_new(void)
{
	return xcalloc(1, sizeof(struct job));
}

void job_free(struct job **job)
{
	struct job *j = *job;

	if (!j)
		return;
	for (size_t i = 0; i < j->count; i++) {
		batch_unref(&j->batches[i].batch);
		contract_set_unref(&j->batches[i].set);
	}
	for (size_t i = 0; i < j->moved_count; i++)
		batch_unref(&j->moved[i].batch);
	for (size_t i = 0; i < j->aside_count; i++)
		free(j->aside[i]);
	free(j->batches);
	free(j->moved);
	free(j->aside);
	free(j->side);
	free(j);
	*job = NULL;
}

void job_add(struct job *job, const struct spool_record *record,
	     struct contract_set *set, int64_t late_us)
{
	const struct batch_header *header = &record->batch->header;

	if (job->count == job->room) {
		job->room = job->room ? 2 * job->room : 64;
		job->batches = xreallocarray(job->batches, job->room,
					     sizeof(*job->batches));
	}
	if (!job->count)
		job->begun_mono_us = clock_mono_us();
	job->batches[job->count++] = (struct job_batch){
	    .batch = record->batch,
	    .set = contract_set_ref(set),
	    .position = record->position,
	    .appended_at_us = record->appended_at_us,
	    .flagged = header->flags & BATCH_REPLAY ||
		       record->appended_at_us - header->created_at_us > late_us,
	};
	job->end = record->next;
	job->bytes += batch_bytes(record->batch);
	job->events += header->events;
}

const char *job_set_aside(struct job *job, const char *table)
{
	for (size_t i = 0; i < job->aside_count; i++)
		if (strcmp(job->aside[i], table) == 0)
			return job->aside[i];
	job->aside = xreallocarray(job->aside, job->aside_count + 1,
				   sizeof(*job->aside));
	return job->aside[job->aside_count++] = xstrdup(table);
}

void job_move(struct job *job, const char *table, struct batch **batch)
{
	if (job->moved_count == job->moved_room) {
		job->moved_room = job->moved_room ? 2 * job->moved_room : 64;
		job->moved = xreallocarray(job->moved, job->moved_room,
					   sizeof(*job->moved));
	}
	job->moved[job->moved_count++] = (struct job_moved){table, *batch};
	*batch = NULL;
}

const struct job_batch *job_find(const struct job *job, uint64_t position)
{
	size_t low = 0, high = job->count - 1;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (job->batches[middle].position < position)
			low = middle + 1;
		else
			high = middle;
	}
	return &job->batches[low];
}
