/* One process per log: an flock on <dir>/lock, which holds the pid. */
#ifndef WEFT_SPOOL_LOCK_H
#define WEFT_SPOOL_LOCK_H

#include <stdbool.h>

#include "base/err.h"

/*
 * Takes the lock; closing *fd lets it go. -1 with *err: EBUSY names the pid
 * that has it.
 */
int spool_lock(const char *dir, int *fd, struct err *err) MUST_CHECK;

/*
 * Whether some process has it, as the kernel's list of locks says: asking with
 * flock itself could keep a service out that begins just then.
 */
bool spool_lock_is_held(const char *dir);

#endif
