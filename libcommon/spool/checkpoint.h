/*
 * The file `checkpoint` of a log: which ids it has, what is freed, what was
 * durable, and the application's part. Replaced whole, so that it is either the
 * old or the new one. Blocks on the disk.
 */
#ifndef WEFT_SPOOL_CHECKPOINT_H
#define WEFT_SPOOL_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "spool/format.h"

#define CHECKPOINT_MAX_DATA_BYTES (16u << 20)

struct checkpoint {
	struct log_ids ids;
	uint64_t machine; /* hash of the machine id, 0 = not bound */
	uint64_t first;	  /* all before it is freed */
	uint64_t durable; /* all before it was on disk */
	/* The application's part describes all records before this. */
	uint64_t covered;
	const void *data; /* the application's part, borrowed */
	size_t bytes;
};

/*
 * Reads <dir>/checkpoint. *memory is owned by the caller and holds c->data. -1
 * with *err: ENOENT when there is none, EBADMSG when it is damaged.
 */
int checkpoint_read(const char *dir, struct checkpoint *c, char **memory,
		    struct err *err) MUST_CHECK;

/*
 * For a repair: reads a checkpoint of dir that is damaged or gone, when one
 * flipped bit is all that is wrong, or when the next one was ready but not
 * renamed yet. False when neither is so. *memory as above.
 */
bool checkpoint_mend(const char *dir, struct checkpoint *c, char **memory);

/* Makes *c the durable checkpoint of dir. -1 with *err, the old one stands. */
int checkpoint_write(const char *dir, const struct checkpoint *c,
		     struct err *err) MUST_CHECK;

/* The hash of this machine's id, 0 when it has none. */
uint64_t checkpoint_machine(void);

#endif
