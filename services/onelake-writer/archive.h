/*
 * The raw archive: all events as they came over the bus, mapped, as NDJSON
 *under zstd, beside the tables. Worker thread.
 *
 *	Files/bronze/raw_events/event_type=<type>/date=<yyyy-mm-dd>/
 *		<log id>-<position of the first batch>.ndjson.zst
 *
 * Events that a replay took from the archive are not put there again.
 * A job that is landed again after a crash may have other borders, and so its
 * files other names: an event is in at least one of them.
 */
#ifndef WEFT_SERVICES_ONELAKE_WRITER_ARCHIVE_H
#define WEFT_SERVICES_ONELAKE_WRITER_ARCHIVE_H

#include "lake/store.h"
#include "services/onelake-writer/job.h"

struct archive;

/* `store` is borrowed; `scratch` is a folder for files on their way. */
struct archive *archive_new(struct store *store, const char *scratch,
			    const char *log_id);
void archive_free(struct archive **a);

/*
 * Writes all events of the job, durably. -1 with *err: call it again with the
 * same job, and it goes on where it was.
 */
int archive_job(struct archive *a, const struct job *job,
		struct err *err) MUST_CHECK;
/* The next job is another one. */
void archive_forget(struct archive *a);

#endif
