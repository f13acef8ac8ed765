/*
 * A log directory as a sequence of records, over all its segments and holes:
 * what opening, walking and inspecting have in common. Reads only.
 */
#ifndef WEFT_SPOOL_VIEW_H
#define WEFT_SPOOL_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "spool/checkpoint.h"
#include "spool/reader.h"
#include "spool/segments.h"

struct view {
	char *dir;
	struct checkpoint checkpoint; /* zero but for ids when it is lost */
	char *memory;		      /* behind checkpoint.data */
	/* The checkpoint is missing beside segments, or damaged. */
	bool lost;
	bool mended; /* the checkpoint is not the one on disk */
	bool fresh;  /* neither checkpoint nor segments: no log yet */
	struct segments segments;
	struct segments foreign; /* of other logs; not looked at */
	struct reader reader;
	/*
	 * Everything before it was on disk once, as far as is known: proven by
	 * the checkpoint, a segment's base or a later record.
	 */
	uint64_t proven;
	bool proven_all; /* every header behind the first bad one was asked */
};

/*
 * Reads the checkpoint and the list of segments of dir. Without a checkpoint
 * the ids that segments say are accepted. -1 with *err on an I/O error.
 */
int view_open(struct view *v, const char *dir, struct err *err) MUST_CHECK;
void view_close(struct view *v);

/*
 * As view_open(), for a repair: of a damaged checkpoint in which one bit
 * flipped, or of one that was being made, as much is used as if it were whole.
 */
int view_open_mended(struct view *v, const char *dir,
		     struct err *err) MUST_CHECK;

/* Whether f is a record that a repair left in place of what it could not read:
 * neither good nor bad. */
static inline bool view_is_void(const struct found *f)
{
	return f->header_good && f->record.kind == RECORD_VOID;
}

/*
 * Whether what was found bad was freed, and its file maybe used for other
 * records, since the view was opened.
 */
bool view_freed_meanwhile(const struct view *v, const struct found *f);

/*
 * What lies at or behind `position`, holes and void records included, into *f
 * (the caller drops f->batch). 1; 0 when the log ends there: what lies behind,
 * if anything, is the torn tail of a crash and was never durable; -1 with *err.
 */
int view_next(struct view *v, uint64_t position, struct found *f,
	      struct err *err) MUST_CHECK;

#endif
