/*
 * The mapper: applies contracts to validated events that intake has not mapped,
 * as the transformer does.
 * A pure function of the event, the set and the batch's created-at: the same
 * input gives the same bytes.
 */
#ifndef WEFT_CONTRACT_MAPPER_H
#define WEFT_CONTRACT_MAPPER_H

#include <stdint.h>

#include "base/err.h"
#include "contract/contract.h"
#include "proto/batch.h"

struct mapper;
struct mapper *mapper_new(void);
void mapper_free(struct mapper **m);

struct mapper_counts {
	uint64_t mapped,
	    copied; /* events changed, events passed byte by byte */
	uint64_t masked, defaulted, flagged, nulled; /* fields */
	uint64_t dead_letters;
};

/*
 * Maps event number i of b with contract set `set` (the one b names) and
 * appends the result to w. An event that cannot be mapped becomes an event of
 * stream dead_letter with its code, reason, stage, stream, field and original
 * bytes (masked; left out when the batch could not take them any more, which
 * batches in the limits of contract_set_batch_limits() never cause: w holds
 * nothing but events of b, so a place is kept for each of those to come).
 * key_hash chooses among instances of a sink: the same event
 * has the same one on input and output.
 */
void mapper_event(struct mapper *m, struct contract_set *set,
		  const struct batch *b, uint32_t i, struct batch_builder *w);

const struct mapper_counts *mapper_get_counts(const struct mapper *m);

#endif
