/*
 * Tools for a log on disk: telling exactly what is wrong with it, and repairing
 * it. Any thread; all of them block. Memory is bounded by the largest record
 * and a few words for each damaged place.
 */
#ifndef WEFT_SPOOL_TOOLS_H
#define WEFT_SPOOL_TOOLS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/uuid.h"
#include "proto/batch.h"

enum spool_trouble {
	SPOOL_RECORD,	  /* a record, or bytes between records */
	SPOOL_HOLE,	  /* positions that no file has */
	SPOOL_SEGMENT,	  /* a segment's header; its records are found */
	SPOOL_FOREIGN,	  /* a segment of another log */
	SPOOL_ASIDE,	  /* a file that was set aside */
	SPOOL_CHECKPOINT, /* damaged or gone */
	SPOOL_TAIL,	  /* a record behind the end: never proven durable */
};

/* "record", "hole", … */
const char *spool_trouble_name(enum spool_trouble trouble);

/* One finding; all of it is borrowed by the callback. */
struct spool_problem {
	enum spool_trouble trouble;
	uint64_t position, next; /* equal when it is about a file alone */
	const char *file;	 /* name in the directory, NULL for a hole */
	int64_t offset;		 /* in file */
	bool events_known;
	uint32_t events;    /* in the record, when known */
	const char *why;    /* what is wrong */
	struct batch *save; /* what a repair saves of it, NULL: nothing */
	int64_t appended_at_us;
	const char *how; /* … and how it was made good */
	const char *ids; /* "A, B, C and 3 more": of what is lost, or "" */
};

struct spool_verified {
	struct uuid id;
	uint64_t first, end; /* positions */
	uint64_t records, events;
	uint64_t voids;	      /* places that a repair gave up */
	uint64_t bytes;	      /* read */
	uint64_t lost_bytes;  /* in places that cannot be read */
	uint64_t lost_events; /* of those whose headers can be read */
	uint64_t problems;
	uint32_t segments;
	int64_t elapsed_us;
};

/*
 * Reads every record that is not freed, running or stopped, and tells what is
 * wrong, in order of position; what was freed or written meanwhile is not
 * wrong. ->save of a record's problem says whether a repair could save it. -1
 * with *err when dir holds no log (ENOENT) or cannot be read at all.
 */
int spool_verify(const char *dir,
		 void (*visit)(void *arg, const struct spool_problem *problem),
		 void *arg, struct spool_verified *verified,
		 struct err *err) MUST_CHECK;

/*
 * Gives every record that a repair would save, running or stopped: what is
 * damaged but can be made good, what lies behind the end, and what is in files
 * set aside and not in the log. Of what cannot be saved ->save is NULL. Stops
 * when visit returns false. Batches have neither lane nor sequence, and are
 * flagged BATCH_REPLAY. Errors as above.
 */
int spool_salvage(const char *dir,
		  bool (*visit)(void *arg, const struct spool_problem *problem),
		  void *arg, struct err *err) MUST_CHECK;

struct spool_repair_options {
	bool dry_run;	    /* only tell */
	const char *backup; /* directory to make; NULL: beside the log */
};

struct spool_repaired {
	uint64_t saved_records, saved_events, saved_bytes;
	uint64_t lost_places, lost_bytes, lost_events;
	uint64_t saved_at, end; /* where saved ones lie now, when not equal */
	uint64_t left;		/* places too small to be marked */
	bool needed;		/* something was wrong */
	bool renamed;		/* the checkpoint was lost: a new log id */
	char *backup;		/* the copy that was made, owned; or NULL */
	uint64_t backup_bytes;
};

/*
 * Repairs a log that nobody has open: copies it whole, writes what can be saved
 * behind its end as new records, replaces what cannot be read by void records,
 * damaged headers and a lost checkpoint by good ones, and takes the files set
 * aside away (the copy has them). Records that were good stay where they are.
 * Interrupted, it can be begun again. visit is called as by spool_verify and
 * spool_salvage. -1 with *err: EBUSY names the process that has it open, ENOSPC
 * says how much room is needed.
 */
int spool_repair(const char *dir, const struct spool_repair_options *options,
		 void (*visit)(void *arg, const struct spool_problem *problem),
		 void *arg, struct spool_repaired *repaired,
		 struct err *err) MUST_CHECK;

#endif
