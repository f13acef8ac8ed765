#include "contract/model.h"
#include "proto/batch.h"

/*
 * The mapped batch has three shares: what each event grows by, whatever its
 * size; what is as long as its input, at most so many times; and the last
 * event, which may be as long as a line. A dead letter takes less of each.
 */
#define SHARE_BYTES (11u << 20)

/* A dead letter's own members, and the slices of an event that lie aside. */
#define LETTER_BYTES 1024
/* The line, its commas and its slices; or the line with each byte escaped. */
#define COPIES 5

_Static_assert(2 * SHARE_BYTES + BATCH_MAX_LINE_BYTES + 4 * 65536 <=
		   BATCH_MAX_PAYLOAD_BYTES,
	       "the shares fit a batch");

struct contract_batch_limits contract_set_batch_limits(
    const struct contract_set *set)
{
	size_t grow = 0, copies = 0, events;

	for (uint32_t i = 0; i < set->count; i++) {
		const struct model *m = set->models[i];

		if (m->grow_bytes > grow)
			grow = m->grow_bytes;
		if (m->gathered_count > copies)
			copies = m->gathered_count;
	}
	events = SHARE_BYTES / (grow + LETTER_BYTES);
	return (struct contract_batch_limits){
	    .events = events < 1		  ? 1
		      : events > BATCH_MAX_EVENTS ? BATCH_MAX_EVENTS
						  : (uint32_t)events,
	    .bytes = SHARE_BYTES / (COPIES + copies),
	};
}
