/* Dead letters of events that no table can take, as events of their own. */
#ifndef WEFT_SERVICES_ONELAKE_WRITER_LETTER_H
#define WEFT_SERVICES_ONELAKE_WRITER_LETTER_H

#include "lake/rows.h"
#include "services/onelake-writer/job.h"

#define LETTER_STREAM "dead_letter"

/*
 * Makes *letter of an event of `batch`, with the contract of dead letters; its
 * line is owned by the caller, and its identity, that of e within its stream,
 * lies in the same memory. It says the same for the same event, whenever it is
 * made: it is flagged, at no position of the log, and so told from others by
 * its identity.
 */
void letter_make(struct lake_event *letter, const struct contract *contract,
		 const struct job_batch *batch, const struct lake_event *e,
		 const struct err *why);

#endif
