/* How logs and the events in them look, as a table and as JSON. */
#ifndef WEFT_PIPELINECTL_SPOOL_PRINT_H
#define WEFT_PIPELINECTL_SPOOL_PRINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "spool/spool.h"

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

#endif
