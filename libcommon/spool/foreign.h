/*
 * Reading the log of another process of this host, while it is written: single
 * records at positions that its owner gave away, in the place of the bytes. The
 * owner may free, overwrite and repair meanwhile, so what is found is checked
 * in memory of our own before anybody may use it. One thread per reader.
 */
#ifndef WEFT_SPOOL_FOREIGN_H
#define WEFT_SPOOL_FOREIGN_H

#include <stdint.h>

#include "base/err.h"
#include "base/uuid.h"
#include "proto/batch.h"

struct foreign;

/*
 * A reader of the log `id` in `dir` (copied). Nothing is opened yet: whatever
 * is wrong with the directory shows when it is read.
 */
struct foreign *foreign_new(const char *dir, const struct uuid *id);
void foreign_free(struct foreign **f);

/*
 * Reads the record at `position`, or behind void ones there (format.md), whose
 * end must not lie behind `limit`: with crcs, position and log id checked. *b
 * is one reference to a batch in memory of its own, *next the position behind
 * it. Files that are no regular ones are not touched. -1 with *err: there is no
 * such record (any more), or it cannot be read here. Blocks on the disk, mostly
 * the page cache: two system calls for all of up to 1 MiB that is read in
 * sequence up to the same limit.
 */
int foreign_read(struct foreign *f, uint64_t position, uint64_t limit,
		 uint64_t *next, struct batch **b, struct err *err) MUST_CHECK;

/* Closes the file that is kept open: it may have been freed, and an open file
 * keeps its space. The next read opens it again. */
void foreign_rest(struct foreign *f);

#endif
