#include "services/onelake-writer/archive.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/io.h"

#define ROOT	  "Files/bronze/raw_events"
#define LEVEL	  1
#define OUT_BYTES (256u << 10)
/* Types beyond these share a file a day, lest there be as many as senders like;
 * so do those that are too long for a folder's name, in which %XX takes three.
 */
#define GROUPS_MOST 256
#define TYPE_MOST   64
#define DAY_US	    INT64_C(86400000000)

/* The events of one type and day; one file. */
struct group {
	char *folder;
	const char *type; /* in a batch of the job */
	size_t type_bytes;
	int64_t day;
};

/* A line of a batch, and the group that it belongs to. */
struct line {
	const char *text;
	uint32_t bytes; /* with its '\n' */
	uint32_t group;
};

struct archive {
	struct store *store;
	char *path; /* of the file on its way */
	char *log_id;
	ZSTD_CCtx *zstd;
	char *out;
	struct group *groups;
	uint32_t group_count, group_room;
	uint32_t done; /* groups of this job that are in the lake */
};

struct archive *archive_new(struct store *store, const char *scratch,
			    const char *log_id)
{
	struct archive *a = xcalloc(1, sizeof(*a));

	a->store = store;
	a->path = xasprintf("%s/archive.ndjson.zst", scratch);
	a->log_id = xstrdup(log_id);
	a->out = xmalloc(OUT_BYTES);
	a->group_room = GROUPS_MOST;
	a->groups = xcalloc(a->group_room, sizeof(*a->groups));
	a->zstd = ZSTD_createCCtx();
	if (!a->zstd)
		abort();
	(void)ZSTD_CCtx_setParameter(a->zstd, ZSTD_c_compressionLevel, LEVEL);
	(void)ZSTD_CCtx_setParameter(a->zstd, ZSTD_c_checksumFlag, 1);
	return a;
}

static void forget_groups(struct archive *a)
{
	while (a->group_count)
		free(a->groups[--a->group_count].folder);
}

void archive_forget(struct archive *a)
{
	forget_groups(a);
	a->done = 0;
}

void archive_free(struct archive **archive)
{
	struct archive *a = *archive;

	if (!a)
		return;
	archive_forget(a);
	ZSTD_freeCCtx(a->zstd);
	free(a->groups);
	free(a->out);
	free(a->path);
	free(a->log_id);
	free(a);
	*archive = NULL;
}

/* Letters, digits and few signs stay; others become %XX. */
static void put_type(struct buf *out, const char *type, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		unsigned char c = (unsigned char)type[i];

		if (c < 0x80 && (isalnum(c) || (c && strchr("._-", c))))
			buf_char(out, (char)c);
		else
			buf_printf(out, "%%%02X", c);
	}
}

static char *folder_of(const char *type, size_t bytes, int64_t day)
{
	char at[CLOCK_TEXT_BYTES];
	struct buf out = {0};

	buf_text(&out, ROOT "/event_type=");
	put_type(&out, type, bytes);
	clock_format(day * DAY_US, at);
	buf_printf(&out, "/date=%.10s", at);
	buf_char(&out, '\0');
	return out.data;
}

/* The group of that type and day; group_count when there is none. */
static uint32_t look_up(const struct archive *a, const char *type, size_t bytes,
			int64_t day)
{
	uint32_t i = 0;

	while (i < a->group_count &&
	       (a->groups[i].day != day || a->groups[i].type_bytes != bytes ||
		memcmp(a->groups[i].type, type, bytes) != 0))
		i++;
	return i;
}

/* No two groups share a folder: the file of one would replace the other's. */
static uint32_t find_group(struct archive *a, const char *type, size_t bytes,
			   int64_t day)
{
	uint32_t i;

	if (!bytes || bytes > TYPE_MOST) {
		type = bytes ? "other" : "none";
		bytes = strlen(type);
	}
	i = look_up(a, type, bytes, day);
	if (i == a->group_count && i >= GROUPS_MOST) {
		type = "other";
		bytes = strlen(type);
		i = look_up(a, type, bytes, day);
	}
	if (i < a->group_count)
		return i;
	if (i == a->group_room) {
		a->group_room = 2 * a->group_room;
		a->groups =
		    xreallocarray(a->groups, a->group_room, sizeof(*a->groups));
	}
	a->groups[i] =
	    (struct group){folder_of(type, bytes, day), type, bytes, day};
	return a->group_count++;
}

/* All lines of the job that are not in the archive already, by group; owned by
 * the caller. The same job gives the same groups. */
static struct line *find_lines(struct archive *a, const struct job *job,
			       uint64_t *count)
{
	struct line *lines = xcalloc(job->events + 1, sizeof(*lines));
	size_t n = 0;

	forget_groups(a);
	for (size_t k = 0; k < job->count; k++) {
		const struct batch *b = job->batches[k].batch;
		int64_t day = b->header.created_at_us / DAY_US;

		if (b->header.flags & BATCH_ARCHIVED)
			continue;
		for (uint32_t i = 0; i < b->header.events; i++) {
			const struct batch_event *e = &b->events[i];

			lines[n++] = (struct line){
			    .text = b->payload + e->offset,
			    .bytes = e->bytes + 1,
			    .group = find_group(a, b->payload + e->type_offset,
						e->type_bytes, day),
			};
		}
	}
	*count = n;
	return lines;
}

/* Compresses one piece and writes what comes out of it. */
static int put(struct archive *a, int fd, const struct line *line,
	       ZSTD_EndDirective end, struct err *err)
{
	ZSTD_inBuffer in = {line ? line->text : NULL, line ? line->bytes : 0,
			    0};
	size_t left;

	do {
		ZSTD_outBuffer out = {a->out, OUT_BYTES, 0};

		left = ZSTD_compressStream2(a->zstd, &out, &in, end);
		if (ZSTD_isError(left))
			return err_set(err, EIO, "zstd: %s",
				       ZSTD_getErrorName(left));
		if (io_write_all(fd, a->out, out.pos) < out.pos) {
			err_errno(err, errno, "cannot write to %s", a->path);
			err->retriable = true;
			return -1;
		}
	} while (end == ZSTD_e_end ? left > 0 : in.pos < in.size);
	return 0;
}

static int write_group(struct archive *a, uint32_t group,
		       const struct line *lines, uint64_t count,
		       struct err *err)
{
	int fd = open(a->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int rc = 0;

	if (fd < 0) {
		err_errno(err, errno, "cannot make %s", a->path);
		err->retriable = true;
		return -1;
	}
	(void)ZSTD_CCtx_reset(a->zstd, ZSTD_reset_session_only);
	for (uint64_t i = 0; rc == 0 && i < count; i++)
		if (lines[i].group == group)
			rc = put(a, fd, &lines[i], ZSTD_e_continue, err);
	if (rc == 0)
		rc = put(a, fd, NULL, ZSTD_e_end, err);
	close(fd);
	return rc;
}

static int upload(struct archive *a, uint32_t group, uint64_t position,
		  struct err *err)
{
	char *name = xasprintf("%s/%s-%020" PRIu64 ".ndjson.zst",
			       a->groups[group].folder, a->log_id, position);
	int rc;

	FAILPOINT("archive_before_upload");
	rc = store_upload(a->store, name, a->path, err);
	FAILPOINT("archive_uploaded");
	free(name);
	return rc;
}

int archive_job(struct archive *a, const struct job *job, struct err *err)
{
	uint64_t count;
	struct line *lines = find_lines(a, job, &count);
	int rc = 0;

	while (rc == 0 && a->done < a->group_count) {
		rc = write_group(a, a->done, lines, count, err);
		if (rc == 0)
			rc = upload(a, a->done, job->batches[0].position, err);
		unlink(a->path);
		a->done += rc == 0;
	}
	free(lines);
	return rc;
}
