#include "spool/repair_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/durable.h"

/* One void record says at most so much; a length has 32 bits. */
#define VOID_MAX_BYTES (UINT64_C(1) << 30)

static int write_at(int fd, const char *dir, const void *data, size_t bytes,
		    int64_t offset, struct err *err)
{
	size_t done = 0;

	while (done < bytes) {
		ssize_t n = pwrite(fd, (const char *)data + done, bytes - done,
				   offset + (int64_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_errno(err, n ? errno : ENOSPC,
					 "cannot write a segment in %s", dir);
		done += (size_t)n;
	}
	return 0;
}

/* ---- new records ---- */

static int begin(struct repair_writer *w, uint64_t base, struct err *err)
{
	struct segment_header header = {.log = w->log, .base = base};

	if (segment_begin(w->dir, &header, 0, &w->fd, err) != 0)
		return -1;
	w->open = true;
	w->base = w->position = base;
	return 0;
}

int repair_writer_begin(struct repair_writer *w, const char *dir,
			const struct uuid *log, uint64_t base, struct err *err)
{
	*w = (struct repair_writer){
	    .dir = dir, .log = *log, .fd = -1, .first_base = base};
	return begin(w, base, err);
}

void repair_writer_close(struct repair_writer *w)
{
	if (w->open)
		close(w->fd);
	w->open = false;
}

int repair_writer_finish(struct repair_writer *w, struct err *err)
{
	int rc = segment_publish(w->dir, w->base, w->fd, err);

	repair_writer_close(w);
	return rc;
}

/* Appends a record; the caller filled in what is its own. */
static int append(struct repair_writer *w, struct record_header *record,
		  const struct batch *b, struct err *err)
{
	uint8_t prefix[RECORD_PREFIX_BYTES], zeros[RECORD_ALIGN] = {0};
	int64_t at = segment_offset(w->base, w->position);
	size_t index = b->header.index_bytes, payload = b->header.payload_bytes;
	size_t pad;

	record->log = w->log;
	record->position = w->position;
	record->durable = w->base;
	record->bytes =
	    record_bytes(b->header.index_bytes, b->header.payload_bytes);
	record_prefix_encode(record, &b->header, prefix);
	pad = record->bytes - sizeof(prefix) - index - payload;
	if (write_at(w->fd, w->dir, prefix, sizeof(prefix), at, err) != 0 ||
	    write_at(w->fd, w->dir, b->index, index,
		     at + (int64_t)sizeof(prefix), err) != 0 ||
	    write_at(w->fd, w->dir, b->payload, payload,
		     at + (int64_t)(sizeof(prefix) + index), err) != 0 ||
	    write_at(w->fd, w->dir, zeros, pad,
		     at + (int64_t)(sizeof(prefix) + index + payload),
		     err) != 0)
		return -1;
	w->position += record->bytes;
	if (w->position - w->base < REPAIR_SEGMENT_BYTES)
		return 0;
	if (repair_writer_finish(w, err) != 0)
		return -1;
	return begin(w, w->position, err);
}

int repair_write_again(struct repair_writer *w, const struct found *f,
		       struct err *err)
{
	struct record_header record = {
	    .appended_at_us = f->record.appended_at_us,
	    .kind = f->record.kind,
	    .origin = f->record.origin,
	};

	return append(w, &record, f->batch, err);
}

int repair_write_saved(struct repair_writer *w,
		       const struct spool_problem *problem, struct err *err)
{
	struct record_header record = {
	    .appended_at_us = problem->appended_at_us,
	    .kind = RECORD_SAVED,
	    .origin = problem->position,
	};

	return append(w, &record, problem->save, err);
}

/* ---- void records ---- */

/* A place to be marked, and the segment that it is or will be in. */
struct gap {
	const char *dir;
	const struct uuid *log;
	uint64_t base;
	uint64_t from, to;
};

/* A record of no batch that reaches over `bytes` bytes from `position` on. */
static int put_void(int fd, const struct gap *gap, uint64_t position,
		    uint64_t bytes, struct err *err)
{
	struct record_header record = {
	    .log = *gap->log,
	    .position = position,
	    .durable = position,
	    .bytes = (uint32_t)bytes,
	    .kind = RECORD_VOID,
	};
	struct batch_header none = {0};
	uint8_t prefix[RECORD_PREFIX_BYTES];

	record_prefix_encode(&record, &none, prefix);
	return write_at(fd, gap->dir, prefix, sizeof(prefix),
			segment_offset(gap->base, position), err);
}

static int put_voids(int fd, const struct gap *gap, struct err *err)
{
	int64_t end = segment_offset(gap->base, gap->to);
	uint64_t at = gap->from;
	struct stat st;

	/* What the file lacks is a hole in it, which costs nothing. */
	if (fstat(fd, &st) != 0 || (st.st_size < end && ftruncate(fd, end)))
		return err_errno(
		    err, errno, "cannot make a segment in %s longer", gap->dir);
	while (at < gap->to) {
		uint64_t bytes = gap->to - at;

		if (bytes > 2 * VOID_MAX_BYTES)
			bytes = VOID_MAX_BYTES;
		if (put_void(fd, gap, at, bytes, err) != 0)
			return -1;
		at += bytes;
	}
	return 0;
}

static int void_in_place(const struct gap *gap, struct err *err)
{
	char *path = segment_path(gap->dir, gap->base);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	int rc = -1;

	if (fd < 0)
		err_errno(err, errno, "cannot open %s", path);
	else if (put_voids(fd, gap, err) == 0)
		rc = durable_sync(fd, path, err);
	if (fd >= 0)
		close(fd);
	free(path);
	return rc;
}

/* In a segment that is gone. */
static int void_in_new(const struct gap *gap, struct err *err)
{
	struct segment_header header = {.log = *gap->log, .base = gap->base};
	int fd, rc = -1;

	if (segment_begin(gap->dir, &header, 0, &fd, err) != 0)
		return -1;
	if (put_voids(fd, gap, err) == 0)
		rc = segment_publish(gap->dir, gap->base, fd, err);
	close(fd);
	return rc;
}

/*
 * The segment whose file `position` lies in or just behind, though what lies
 * there may be cut off: the last that begins before it.
 */
static const struct segment *file_of(const struct segments *t,
				     uint64_t position)
{
	const struct segment *found = NULL;

	for (size_t i = 0; i < t->count && t->list[i].base <= position; i++)
		found = &t->list[i];
	return found && position < found->end ? found : NULL;
}

int repair_write_void(const char *dir, const struct segments *segments,
		      const struct uuid *log, uint64_t from, uint64_t to,
		      struct err *err)
{
	const struct segment *s = file_of(segments, from);
	struct gap gap = {dir, log, s ? s->base : from, from, to};

	if (to - from < RECORD_PREFIX_BYTES || (to - from) % RECORD_ALIGN ||
	    from % RECORD_ALIGN)
		return 0;
	if ((s ? void_in_place(&gap, err) : void_in_new(&gap, err)) != 0)
		return -1;
	return 1;
}

int repair_write_header(const char *dir, const struct uuid *log, uint64_t base,
			struct err *err)
{
	struct segment_header header = {.log = *log, .base = base};
	uint8_t data[SEGMENT_HEADER_BYTES];
	char *path = segment_path(dir, base);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int rc = -1;

	segment_header_encode(&header, data);
	if (fd < 0)
		err_errno(err, errno, "cannot open %s", path);
	else if (write_at(fd, dir, data, sizeof(data), 0, err) == 0)
		rc = durable_sync(fd, path, err);
	if (fd >= 0)
		close(fd);
	free(path);
	return rc;
}
