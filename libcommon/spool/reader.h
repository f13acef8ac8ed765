/*
 * Reads records of a log directory from disk, verified, in order, one system
 * call a record when read in sequence. One thread per reader.
 */
#ifndef WEFT_SPOOL_READER_H
#define WEFT_SPOOL_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "proto/batch.h"
#include "spool/format.h"
#include "spool/segments.h"

/* What lies at a position: a record, a bad one, or a hole. */
struct found {
	uint64_t position;
	uint64_t next; /* where to look for the record behind it */
	bool header_good;
	struct record_header record; /* when header_good */
	struct batch_header header;  /* when header_good */
	/* One reference; NULL when bad, void or headers_only. One that was
	 * written under a former id of the log is flagged BATCH_REPLAY. */
	struct batch *batch;
	struct err err; /* when it is bad: code is not 0 */
};

struct reader {
	const char *dir;	   /* borrowed */
	const struct log_ids *ids; /* borrowed */
	bool headers_only;	   /* do not read or verify bodies */
	/* What lies before the limit will be read too: small records are got
	 * by one system call for many. */
	bool reads_ahead;
	int fd;	       /* -1 = none */
	uint64_t base; /* of the open segment */
	bool peeked;   /* the prefix at peek_position was read along */
	uint64_t peek_position;
	uint8_t peek[RECORD_PREFIX_BYTES];
	uint8_t *ahead; /* bytes of the open segment that were read along */
	size_t ahead_size;
	size_t ahead_bytes; /* 0 = none */
	uint64_t ahead_position;
};

void reader_init(struct reader *r, const char *dir, const struct log_ids *ids);
void reader_close(struct reader *r);

/*
 * Reads what lies at f->position < limit <= segment->end of *segment (copied
 * from a table) into *f. Nothing at or behind limit is taken. A record whose
 * header cannot be read ends where the next good one begins, or at limit.
 * Returns 0, also for a bad record (f->err.code set), or -1 with *err when the
 * file cannot be opened (ENOENT: it is gone).
 */
int reader_read(struct reader *r, const struct segment *segment, uint64_t limit,
		struct found *f, struct err *err) MUST_CHECK;

#endif
