/*
 * Joins small batches of a log into large ones on their way out. A log commits
 * as often as its disk can, so that no answer waits; but each batch costs every
 * later stage the same, whether it holds one event or a thousand. Loop thread.
 */
#ifndef WEFT_RUN_GATHER_H
#define WEFT_RUN_GATHER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "contract/contract.h"
#include "proto/batch.h"

/* Where batches are read from; as spool_read(). */
struct gather_log {
	int (*read)(void *arg, uint64_t *position, uint64_t *next,
		    struct batch **b, struct err *err);
	/* How large a batch of a contract set may become unless it is mapped,
	 * or NULL. */
	struct contract_batch_limits (*limits)(void *arg,
					       uint64_t contract_set);
	void *arg;
};

struct gather;

/* Batches of a log (copied) are joined up to `target_bytes`. */
struct gather *gather_new(const struct gather_log *log, size_t target_bytes);
void gather_free(struct gather **g);

/*
 * As spool_read(), but *b may be several batches joined: those from *position
 * to *next, of one contract set and the same flags, in their order. The joined
 * batch has the created-at of the first and the first trace there is. With
 * *next = 0 it takes as many as there are and fit; with *next as it was given
 * once, it gives that same batch again, or 0 when the log has not all of it any
 * more.
 */
int gather_read(struct gather *g, uint64_t *position, uint64_t *next,
		struct batch **b, struct err *err) MUST_CHECK;

/*
 * The same without joining anything: r->position and r->next are what they are
 * there, r->bodies_crc is told, and *header is the one that the batch would
 * have, but for its body's crc.
 */
int gather_refer(struct gather *g, struct reference *r,
		 struct batch_header *header, struct err *err) MUST_CHECK;

#endif
