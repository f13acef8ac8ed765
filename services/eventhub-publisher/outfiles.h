/*
 * The NDJSON files of the file backend: one growing file a stream, rotated by
 * size. One thread at a time.
 */
#ifndef WEFT_SERVICES_EVENTHUB_PUBLISHER_OUTFILES_H
#define WEFT_SERVICES_EVENTHUB_PUBLISHER_OUTFILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "proto/batch.h"

struct outfiles;

struct outfiles_options {
	const char *dir;
	const char *log_tag; /* part of every name, so that only files of this
				log are ever cut back */
	int64_t rotate_bytes;
	const void *state; /* from outfiles_save(), NULL at first */
	size_t state_bytes;
	bool fresh; /* write on in new files: a sync of the old ones failed */
};

/*
 * Makes the directory, cuts each file of `state` back to its saved length, and
 * removes files of this log that `state` does not know: nothing in them was
 * ever reported as delivered. -1 with *err.
 */
int outfiles_open(struct outfiles **files,
		  const struct outfiles_options *options,
		  struct err *err) MUST_CHECK;
void outfiles_close(struct outfiles **files);

/*
 * Appends each event of b (borrowed) and a '\n' to its stream's file. They are
 * gathered: they reach the file in large pieces, which may end inside a line,
 * and all with outfiles_sync().
 */
int outfiles_write(struct outfiles *files, const struct batch *b,
		   struct err *err) MUST_CHECK;

/* Makes all that was written durable, names of new files included. */
int outfiles_sync(struct outfiles *files, struct err *err) MUST_CHECK;

/* Appends names, numbers and lengths as of the last outfiles_sync(). */
void outfiles_save(const struct outfiles *files, struct buf *state);

#endif
