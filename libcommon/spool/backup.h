/* A whole, durable copy of a log's directory. Blocks on the disk. */
#ifndef WEFT_SPOOL_BACKUP_H
#define WEFT_SPOOL_BACKUP_H

#include <stdint.h>

#include "base/err.h"

/*
 * Copies every file of dir but its lock, its reserve and its spares into the
 * new directory `to` and syncs them, the directory and its name. Refuses with
 * ENOSPC when not as many bytes are free there, or not `more` more on the disk
 * of dir. *bytes is what the copy takes. After an error what was copied is
 * removed.
 */
int backup_log(const char *dir, const char *to, uint64_t more, uint64_t *bytes,
	       struct err *err) MUST_CHECK;

/* <dir>.backup-<time>, owned by the caller. */
char *backup_name(const char *dir);

#endif
