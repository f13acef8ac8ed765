/*
 * What a repair writes into a log that it has the lock of: new segments, void
 * records, headers. Blocks on the disk.
 */
#ifndef WEFT_SPOOL_REPAIR_WRITE_H
#define WEFT_SPOOL_REPAIR_WRITE_H

#include <stdint.h>

#include "spool/reader.h"
#include "spool/segments.h"
#include "spool/tools.h"

/* A new segment begins beyond this. */
#define REPAIR_SEGMENT_BYTES UINT64_C(67108864)

/* Records into segments of their own; begun with zeros, fd is valid then. */
struct repair_writer {
	const char *dir; /* borrowed */
	struct uuid log; /* what records carry */
	bool open;	 /* fd is a segment without its name yet */
	int fd;
	uint64_t first_base; /* of its first segment */
	uint64_t base;	     /* of the open one */
	uint64_t position;   /* of the next record */
};

/* Begins a segment at `base`, before which all is or will be on disk. */
int repair_writer_begin(struct repair_writer *w, const char *dir,
			const struct uuid *log, uint64_t base,
			struct err *err) MUST_CHECK;

/* Writes a record of the log once more, at its own position, which is next. */
int repair_write_again(struct repair_writer *w, const struct found *f,
		       struct err *err) MUST_CHECK;

/* Writes problem->save as a new record that names where it lay. */
int repair_write_saved(struct repair_writer *w,
		       const struct spool_problem *problem,
		       struct err *err) MUST_CHECK;

/* Syncs the last segment and gives it its name. */
int repair_writer_finish(struct repair_writer *w, struct err *err) MUST_CHECK;

/* Closes it, whatever became of it. */
void repair_writer_close(struct repair_writer *w);

/*
 * Puts void records over [from, to), in the segment that has `from`, or in one
 * of its own. 1; 0 when there is no room for one; -1 with *err.
 */
int repair_write_void(const char *dir, const struct segments *segments,
		      const struct uuid *log, uint64_t from, uint64_t to,
		      struct err *err) MUST_CHECK;

/* Gives a segment the header that it ought to have. */
int repair_write_header(const char *dir, const struct uuid *log, uint64_t base,
			struct err *err) MUST_CHECK;

#endif
