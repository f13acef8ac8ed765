/*
 * What could not be read or did not belong, kept beside a log for a repair and
 * for people: *.aside. Blocks on the disk.
 */
#ifndef WEFT_SPOOL_ASIDE_H
#define WEFT_SPOOL_ASIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum aside_kind {
	ASIDE_SEGMENT, /* <base>.log.aside: a whole segment file */
	ASIDE_RECORD,  /* <position>.record.aside: bytes from there on */
	ASIDE_OTHER,   /* checkpoint.aside, or somebody's */
};

struct aside {
	char *name; /* in the directory, owned */
	enum aside_kind kind;
	uint64_t position; /* of its first record, as in its name */
	int64_t bytes;	   /* of the file */
};

/*
 * Keeps a copy of what lies at [from, to) of the segment `base`, since the
 * segment goes when everything else in it was delivered. What is kept already
 * stays as it is. Best effort; says in the log what it did.
 */
void aside_keep(const char *dir, uint64_t base, uint64_t from, uint64_t to);

/* Lists them by name; *list is owned by the caller: aside_free(). */
int aside_list(const char *dir, struct aside **list, size_t *count,
	       struct err *err) MUST_CHECK;
void aside_free(struct aside *list, size_t count);

#endif
