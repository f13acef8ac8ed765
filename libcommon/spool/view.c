#include "spool/view.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"

/* Which log a segment is of, as its header or its first record says. */
static bool log_of(const struct view *v, const struct segment *segment,
		   struct uuid *log)
{
	uint8_t data[RECORD_PREFIX_BYTES];
	bool known = false;
	char *path;
	int fd;

	*log = segment->log;
	if (segment->header_good)
		return true;
	path = segment_path(v->dir, segment->base);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		known = pread(fd, data, sizeof(data), SEGMENT_HEADER_BYTES) ==
			    (ssize_t)sizeof(data) &&
			record_prefix_log(data, segment->base, log);
		close(fd);
	}
	free(path);
	return known;
}

/* Takes the ids that the segments say for the log's own. */
static void adopt_ids(struct view *v)
{
	struct log_ids *ids = &v->checkpoint.ids;
	bool first = true;
	struct uuid log;

	for (size_t i = 0; i < v->segments.count; i++) {
		if (!log_of(v, &v->segments.list[i], &log))
			continue;
		if (first)
			ids->id = log;
		else if (!log_ids_accept(ids, &log))
			log_ids_retire(ids, &log, UINT64_MAX);
		first = false;
	}
	if (v->segments.count)
		v->checkpoint.first = v->segments.list[0].base;
}

/* Segments of other logs do not count, nor do they void anything. */
static void part_foreign(struct view *v)
{
	for (size_t i = 0; i < v->segments.count;) {
		const struct segment *segment = &v->segments.list[i];

		if (!segment->header_good ||
		    log_ids_accept(&v->checkpoint.ids, &segment->log)) {
			i++;
			continue;
		}
		segments_push(&v->foreign, segment);
		segments_remove(&v->segments, i, 1);
	}
	segments_cut_overlaps(&v->segments);
}

/* A segment is made only when everything before its base is on disk. */
static void prove_by_segments(struct view *v)
{
	v->proven = v->checkpoint.durable;
	/* Without a checkpoint: where the first segment begins. */
	if (v->proven < v->checkpoint.first)
		v->proven = v->checkpoint.first;
	for (size_t i = 0; i < v->segments.count; i++) {
		const struct segment *segment = &v->segments.list[i];

		if (segment->header_good && segment->base > v->proven)
			v->proven = segment->base;
	}
}

static int open_view(struct view *v, const char *dir, bool mend,
		     struct err *err)
{
	bool missing = false;

	memset(v, 0, sizeof(*v));
	v->dir = xstrdup(dir);
	reader_init(&v->reader, v->dir, &v->checkpoint.ids);
	if (checkpoint_read(dir, &v->checkpoint, &v->memory, err) != 0) {
		missing = err->code == ENOENT;
		v->lost = missing || err->code == EBADMSG;
		if (!v->lost)
			goto fail;
	}
	if (v->lost && mend &&
	    checkpoint_mend(dir, &v->checkpoint, &v->memory)) {
		v->lost = false;
		v->mended = true;
	}
	if (segments_load(dir, &v->segments, err) != 0)
		goto fail;
	if (v->lost)
		adopt_ids(v);
	part_foreign(v);
	v->fresh =
	    missing && !v->mended && !v->segments.count && !v->foreign.count;
	v->lost = v->lost && !v->fresh;
	prove_by_segments(v);
	return 0;
fail:
	view_close(v);
	return -1;
}

int view_open(struct view *v, const char *dir, struct err *err)
{
	return open_view(v, dir, false, err);
}

int view_open_mended(struct view *v, const char *dir, struct err *err)
{
	return open_view(v, dir, true, err);
}

void view_close(struct view *v)
{
	reader_close(&v->reader);
	segments_free(&v->segments);
	segments_free(&v->foreign);
	free(v->memory);
	free(v->dir);
	memset(v, 0, sizeof(*v));
	v->reader.fd = -1;
}

/* A hole: from `position` to the next segment, or to what was durable. */
static void hole(struct found *f, uint64_t position, uint64_t next)
{
	memset(f, 0, sizeof(*f));
	f->position = position;
	f->next = next;
	err_set(&f->err, ENODATA,
		"%" PRIu64 " bytes of the log are missing at %" PRIu64,
		next - position, position);
}

/* 1 with *f, 0 when nothing is left on disk, -1 with *err. */
static int look(struct view *v, uint64_t position, struct found *f,
		struct err *err)
{
	const struct segment *segment = segments_find(&v->segments, position);

	if (!segment) {
		if (position >= v->proven)
			return 0;
		hole(f, position, v->proven);
		return 1;
	}
	if (segment->base > position) {
		hole(f, position, segment->base);
		return 1;
	}
	f->position = position;
	if (reader_read(&v->reader, segment, segment->end, f, err) == 0)
		return 1;
	if (err->code != ENOENT)
		return -1;
	hole(f, position, segment->end);
	return 1;
}

/* Asks all headers behind `position` what was durable when they were written.
 */
static int prove(struct view *v, uint64_t position, struct err *err)
{
	bool headers_only = v->reader.headers_only;
	struct found f;
	int rc = 0;

	v->proven_all = true;
	v->reader.headers_only = true;
	while ((rc = look(v, position, &f, err)) == 1) {
		if (f.header_good && f.record.durable > v->proven)
			v->proven = f.record.durable;
		position = f.next;
	}
	v->reader.headers_only = headers_only;
	return rc;
}

int view_next(struct view *v, uint64_t position, struct found *f,
	      struct err *err)
{
	int rc = look(v, position, f, err);

	if (rc != 1)
		return rc;
	if (!f->err.code) {
		if (f->record.durable > v->proven)
			v->proven = f->record.durable;
		return 1;
	}
	if (!v->proven_all && prove(v, f->next, err) != 0)
		return -1;
	if (f->position >= v->proven)
		return 0;
	/* Beside a running process it may just have been written. */
	if (look(v, position, f, err) != 1)
		return -1;
	if (f->err.code && f->next > v->proven)
		f->next = v->proven;
	return 1;
}

bool view_freed_meanwhile(const struct view *v, const struct found *f)
{
	struct checkpoint now;
	struct err ignored;
	char *memory;
	bool freed;

	if (checkpoint_read(v->dir, &now, &memory, &ignored) != 0)
		return false;
	freed = now.first >= f->next;
	free(memory);
	return freed;
}
