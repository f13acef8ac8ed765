#include "spool/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/alloc.h"

#define RESYNC_BYTES	((size_t)262144)
#define PAGE_STEP_BYTES 4096
#define AHEAD_BYTES	((uint64_t)1048576)

void reader_init(struct reader *r, const char *dir, const struct log_ids *ids)
{
	memset(r, 0, sizeof(*r));
	r->dir = dir;
	r->ids = ids;
	r->fd = -1;
}

void reader_close(struct reader *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
	r->peeked = false;
	free(r->ahead);
	r->ahead = NULL;
	r->ahead_size = r->ahead_bytes = 0;
}

static int open_segment(struct reader *r, uint64_t base, struct err *err)
{
	if (r->fd >= 0 && r->base == base)
		return 0;
	reader_close(r);
	r->fd = segment_open(r->dir, base, err);
	r->base = base;
	return r->fd < 0 ? -1 : 0;
}

/* Whether all of these bytes were read along; then they are in data. */
static bool was_read(const struct reader *r, uint64_t position, void *data,
		     size_t bytes)
{
	uint64_t skip = position - r->ahead_position;

	if (!r->ahead || position < r->ahead_position ||
	    skip > r->ahead_bytes || bytes > r->ahead_bytes - skip)
		return false;
	memcpy(data, r->ahead + skip, bytes);
	return true;
}

/* Reads what there is of `bytes` bytes at `position`. -1 on an I/O error. */
static ssize_t read_at(const struct reader *r, uint64_t position, void *data,
		       size_t bytes)
{
	size_t used = was_read(r, position, data, bytes) ? bytes : 0;

	while (used < bytes) {
		ssize_t n = pread(r->fd, (char *)data + used, bytes - used,
				  segment_offset(r->base, position + used));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		used += (size_t)n;
	}
	return (ssize_t)used;
}

/* The first good record header in data, which was read at `position`. */
static bool search(const struct reader *r, const uint8_t *data, size_t bytes,
		   uint64_t position, uint64_t *at)
{
	const uint32_t magic = RECORD_MAGIC;
	struct record_header record;
	struct batch_header header;
	struct err ignored;

	for (size_t i = 0; i + RECORD_PREFIX_BYTES <= bytes;
	     i += RECORD_ALIGN) {
		if (memcmp(data + i, &magic, sizeof(magic)) != 0)
			continue;
		record.position = position + i;
		if (record_prefix_decode(data + i, r->ids, &record, &header,
					 &ignored) == 0) {
			*at = position + i;
			return true;
		}
	}
	return false;
}

/* Where the next good record header in [position, limit) lies, else limit. */
static uint64_t resync(const struct reader *r, uint64_t position,
		       uint64_t limit)
{
	uint8_t *data = xmalloc(RESYNC_BYTES);
	uint64_t at = limit;

	while (position + RECORD_PREFIX_BYTES <= limit) {
		uint64_t left = limit - position;
		ssize_t n = read_at(r, position, data,
				    left < RESYNC_BYTES ? left : RESYNC_BYTES);

		if (n < 0) {
			/* An unreadable page; its neighbours may be fine. */
			position += PAGE_STEP_BYTES;
			continue;
		}
		if (search(r, data, (size_t)n, position, &at))
			break;
		if ((size_t)n < RESYNC_BYTES)
			break;
		position += RESYNC_BYTES - RECORD_PREFIX_BYTES;
	}
	free(data);
	return at;
}

/* Gets both headers at f->position. -1 with f->err. */
static int read_prefix(struct reader *r, uint64_t limit, struct found *f)
{
	ssize_t n = RECORD_PREFIX_BYTES;

	if (limit - f->position < RECORD_PREFIX_BYTES)
		return err_set(&f->err, EBADMSG,
			       "the log is cut off in the header of the record "
			       "at %" PRIu64,
			       f->position);
	if (!r->peeked || r->peek_position != f->position)
		n = read_at(r, f->position, r->peek, RECORD_PREFIX_BYTES);
	r->peeked = false;
	if (n < 0)
		return err_errno(&f->err, errno,
				 "cannot read the record at %" PRIu64,
				 f->position);
	if (n < RECORD_PREFIX_BYTES)
		return err_set(&f->err, EBADMSG,
			       "the file ends in the header of the record at "
			       "%" PRIu64,
			       f->position);
	f->record.position = f->position;
	return record_prefix_decode(r->peek, r->ids, &f->record, &f->header,
				    &f->err);
}

/*
 * Reads along what comes behind the headers at `position`. Whatever cannot be
 * had is read, and told, when its turn comes.
 */
static void read_ahead(struct reader *r, uint64_t position, uint64_t limit)
{
	uint64_t at = position + RECORD_PREFIX_BYTES, bytes = limit - at;
	ssize_t n;

	bytes = bytes < AHEAD_BYTES ? bytes : AHEAD_BYTES;
	if (r->ahead_size < bytes) {
		r->ahead = xreallocarray(r->ahead, bytes, 1);
		r->ahead_size = bytes;
	}
	r->ahead_bytes = 0;
	n = read_at(r, at, r->ahead, bytes);
	r->ahead_position = at;
	r->ahead_bytes = n > 0 ? (size_t)n : 0;
}

/* Reads a body, and along with it the headers of the record behind it. */
static ssize_t read_body(struct reader *r, uint64_t limit,
			 const struct found *f, uint8_t *body, size_t bytes)
{
	struct iovec parts[2] = {
	    {.iov_base = body, .iov_len = bytes},
	    {.iov_base = r->peek, .iov_len = RECORD_PREFIX_BYTES},
	};
	/* What lies behind limit may not be written yet. */
	bool peek = limit - f->next >= RECORD_PREFIX_BYTES;
	uint64_t at = f->position + RECORD_PREFIX_BYTES;
	ssize_t n;

	if (was_read(r, at, body, bytes))
		return (ssize_t)bytes;
	do
		n = preadv(r->fd, parts, peek ? 2 : 1,
			   segment_offset(r->base, at));
	while (n < 0 && errno == EINTR);
	if (n >= 0 && (size_t)n < bytes) {
		ssize_t more =
		    read_at(r, at + (size_t)n, body + n, bytes - (size_t)n);

		return more < 0 ? -1 : n + more;
	}
	if (peek && n == (ssize_t)(bytes + RECORD_PREFIX_BYTES)) {
		r->peeked = true;
		r->peek_position = f->next;
	}
	return n;
}

static void open_body(struct reader *r, uint64_t limit, struct found *f)
{
	size_t bytes = f->record.bytes - RECORD_PREFIX_BYTES;
	uint8_t *body = xmalloc(bytes + 1);
	ssize_t n = read_body(r, limit, f, body, bytes);

	/* Nobody remembers what was said of it under its former id. */
	if (memcmp(&f->record.log, &r->ids->id, sizeof(f->record.log)) != 0)
		f->header.flags |= BATCH_REPLAY;

	if (n < 0)
		err_errno(&f->err, errno, "cannot read the record at %" PRIu64,
			  f->position);
	else if ((size_t)n < bytes)
		err_set(&f->err, EBADMSG,
			"the file ends in the record at %" PRIu64, f->position);
	else
		f->batch =
		    batch_open(&f->header, body,
			       (const char *)body + f->header.index_bytes, body,
			       free, &f->err);
	if (!f->batch) {
		free(body);
		err_wrap(&f->err, "the record at %" PRIu64, f->position);
	}
}

int reader_read(struct reader *r, const struct segment *segment, uint64_t limit,
		struct found *f, struct err *err)
{
	uint64_t position = f->position;

	if (open_segment(r, segment->base, err) != 0)
		return -1;
	f->batch = NULL;
	f->err.code = 0;
	f->header_good = read_prefix(r, limit, f) == 0;
	if (!f->header_good) {
		f->next = resync(r, position + RECORD_ALIGN, limit);
		return 0;
	}
	f->next = position + f->record.bytes;
	if (f->next > limit) {
		err_set(&f->err, EBADMSG,
			"the record at %" PRIu64 " is cut off at %" PRIu64,
			position, limit);
		f->next = limit;
		return 0;
	}
	if (r->headers_only || f->record.kind == RECORD_VOID)
		return 0;
	if (r->reads_ahead && f->next < limit &&
	    f->next > r->ahead_position + r->ahead_bytes)
		read_ahead(r, position, limit);
	open_body(r, limit, f);
	return 0;
}
