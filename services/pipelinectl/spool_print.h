/* How logs and the events in them look, as a table and as JSON. */
#ifndef WEFT_PIPELINECTL_SPOOL_PRINT_H
#define WEFT_PIPELINECTL_SPOOL_PRINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "spool/spool.h"
#include "spool/tools.h"

/* One log of `spool ls`; strings are owned by whoever made the row. */
struct spool_row {
	char *path;
	char *label; /* instance, or the path */
	struct uuid id;
	struct spool_stats stats;
	bool unreadable;
	struct err err; /* when it is */
};

/* On stdout; problems follow the table on stderr. */
void spool_print_table(const struct spool_row *rows, size_t count,
		       int64_t now_us);

/* {"logs":[…]} on stdout. */
void spool_print_json(const struct spool_row *rows, size_t count);

/*
 * Appends one line of JSON for each event of a record, at most `limit`:
 * {"position":…,"sequence":…,"lane":…,"stream":…,"event":…}. Returns how many.
 */
uint64_t spool_print_events(const struct spool_record *record, uint64_t limit,
			    struct buf *out);

/*
 * Appends event i of b as one line of JSON with all that is known of it:
 * position, lane, sequence, stream, contract version, event_id, event_type,
 * key, whether it is a replay, then `more` (members and a comma, or ""), and
 * "event": the payload as it is.
 */
void spool_print_event(const struct batch *b, uint32_t i, uint64_t position,
		       const char *more, struct buf *out);

/* A finding as a line for people, indented, and as an object of JSON. */
void spool_print_problem(const struct spool_problem *problem, FILE *to);
void spool_print_problem_json(const struct spool_problem *problem,
			      struct buf *out);

/* "name":"text", with a comma behind it; JSON's escapes are added. */
void spool_print_string(struct buf *out, const char *name, const char *text);

#endif
