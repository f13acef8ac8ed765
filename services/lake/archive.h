/* The files of the raw archive, as the onelake-writer lays them down. */
#ifndef WEFT_LAKE_ARCHIVE_H
#define WEFT_LAKE_ARCHIVE_H

#include "base/buf.h"
#include "lake/store.h"

/* Files/bronze/raw_events/event_type=<type>/date=<day>/<name>.ndjson.zst */
struct archive_file {
	char *name; /* under the lake's root */
	char *type; /* NULL: events of several types, or of none */
	int64_t bytes;
};

struct archive_files {
	struct archive_file *list; /* by type and day */
	size_t count, room;
	int64_t bytes;
	bool any; /* the archive holds some file, of whatever day */
};

/* Those of the days from `first` to `last`, "2026-11-20", both included. */
int archive_list(struct store *s, const char first[11], const char last[11],
		 struct archive_files *files, struct err *err) MUST_CHECK;
void archive_files_free(struct archive_files *files);

/*
 * Calls fn for each line of a file, borrowed and without its '\n'; one that is
 * longer than BATCH_MAX_LINE_BYTES is an error. The file is fetched to `temp`,
 * a path of ours, if it is not local. -1 with *err, what fn says, or EIO naming
 * the file when it is damaged: what was before has been told.
 */
int archive_read(struct store *s, const struct archive_file *file,
		 const char *temp,
		 int (*fn)(void *arg, const char *line, size_t bytes,
			   struct err *err),
		 void *arg, struct err *err) MUST_CHECK;

#endif
