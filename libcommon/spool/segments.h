/*
 * The segment files of a log: which there are, which position lies in which,
 * how one is made and given up. A table belongs to whoever holds it (the spool
 * guards its own with its mutex); functions that touch files block.
 */
#ifndef WEFT_SPOOL_SEGMENTS_H
#define WEFT_SPOOL_SEGMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "spool/format.h"

struct segment {
	uint64_t base; /* position of its first record, and its name */
	/* Behind its last byte, or where the next segment voids the rest. */
	uint64_t end;
	bool header_good; /* magic, version, crc, and base as in the name */
	/* Begun here, and no write or sync of it failed: see spares.c. */
	bool reusable;
	struct uuid log; /* as its header says, when that is good */
};

/* In order of base. Zero-initialise. */
struct segments {
	struct segment *list;
	size_t count;
	size_t size;
};

void segments_free(struct segments *t);

/* Adds a segment behind all others; one of the same base is replaced. */
void segments_push(struct segments *t, const struct segment *segment);

/* Removes `count` segments at index `at`. */
void segments_remove(struct segments *t, size_t at, size_t count);

/*
 * The segment that holds `position`, else the first behind it (whose base is
 * greater then), else NULL. Borrowed until the table changes.
 */
const struct segment *segments_find(const struct segments *t,
				    uint64_t position);

/*
 * Lists the segments of a directory with their headers into *t (empty before).
 * A file that vanishes meanwhile is left out. -1 with *err on an I/O error.
 */
int segments_load(const char *dir, struct segments *t,
		  struct err *err) MUST_CHECK;

/* Records at or behind the next segment's base are void: ends are cut there. */
void segments_cut_overlaps(struct segments *t);

/* The path of a segment, owned by the caller. */
char *segment_path(const char *dir, uint64_t base);

/*
 * Opens a segment for reading. A link or what else is no regular file is
 * refused, and never waited for: a directory that another process names may
 * hold anything. The descriptor, or -1 with *err.
 */
int segment_open(const char *dir, uint64_t base, struct err *err) MUST_CHECK;

/* Where `position` lies in the file of a segment. */
static inline int64_t segment_offset(uint64_t base, uint64_t position)
{
	return (int64_t)(position - base) + SEGMENT_HEADER_BYTES;
}

/*
 * Makes a segment under a temporary name: header written, `reserve_bytes` of
 * records preallocated. Gives the descriptor to write records to. Nothing is
 * synced yet. -1 with *err (ENOSPC: retriable).
 */
int segment_begin(const char *dir, const struct segment_header *header,
		  int64_t reserve_bytes, int *fd, struct err *err) MUST_CHECK;

/*
 * As segment_begin(), over the file of a spare, whose records stay behind the
 * new header until they are overwritten. On -1 the spare may be gone.
 */
int segment_begin_over(const char *dir, const struct segment_header *header,
		       uint64_t spare, int64_t reserve_bytes, int *fd,
		       struct err *err) MUST_CHECK;

/*
 * Makes a spare of a freed segment: *bytes is what it takes on the disk. -1
 * when that cannot be done.
 */
int segment_make_spare(const char *dir, uint64_t base,
		       int64_t *bytes) MUST_CHECK;

/* Unlinks a spare, if it is there. */
void segment_unlink_spare(const char *dir, uint64_t base);

/*
 * Unlinks what another process left: spares, of which nobody knows any more
 * whether a sync of them failed, and segments that never got their name.
 */
void segments_sweep(const char *dir);

/* Bytes of the spares in a directory, as the files say. */
uint64_t segments_spare_bytes(const char *dir);

/*
 * Syncs a segment made by segment_begin(), gives it its name (replacing a
 * former file of that base, none of whose records was durable) and syncs the
 * directory. Afterwards what was written to it is durable. The descriptor
 * stays open, also on -1.
 */
int segment_publish(const char *dir, uint64_t base, int fd,
		    struct err *err) MUST_CHECK;

/*
 * Gives back the space behind `end`, best effort. Cuts on a page boundary: the
 * page of the last record is not written again.
 */
void segment_trim(const char *dir, uint64_t base, uint64_t end);

/* Unlinks a segment, best effort; a crash brings back only what was freed. */
void segment_unlink(const char *dir, uint64_t base);

/* Keeps a segment that does not belong here under another name, and says so. */
void segment_set_aside(const char *dir, uint64_t base, const char *reason);

#endif
