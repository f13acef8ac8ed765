/* Records into the active segment: a run of them by one system call. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/alloc.h"
#include "spool/internal.h"

/* Records written by one system call; three parts each, below IOV_MAX. */
#define RECORDS_A_WRITE 256
#define PREFIX_STRIDE	(RECORD_ALIGN + RECORD_PREFIX_BYTES)

void spool_commit_init(struct spool_commit *c)
{
	c->fd = -1;
	c->prefixes = xcalloc(RECORDS_A_WRITE, PREFIX_STRIDE);
	c->parts = xcalloc(3 * RECORDS_A_WRITE + 1, sizeof(*c->parts));
}

void spool_commit_free(struct spool_commit *c)
{
	free(c->prefixes);
	free(c->parts);
	free(c->taken);
	free(c->path);
}

static int write_parts(const struct spool_commit *c, struct iovec *parts,
		       size_t count, int64_t offset, struct err *err)
{
	while (count) {
		ssize_t n = pwritev(c->fd, parts, (int)count, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, errno, "cannot write %s",
					 c->path);
		if (n == 0)
			return err_errno(err, ENOSPC, "cannot write %s",
					 c->path);
		offset += n;
		while (count && (size_t)n >= parts->iov_len) {
			n -= (ssize_t)parts->iov_len;
			parts++;
			count--;
		}
		if (count) {
			parts->iov_base = (char *)parts->iov_base + n;
			parts->iov_len -= (size_t)n;
		}
	}
	return 0;
}

/*
 * Puts one record into the i-th parts of a write. The padding goes before the
 * next record's prefix, so that a record takes three parts. Returns the padding
 * it needs.
 */
static size_t record_parts(const struct spool *s, size_t i,
			   const struct spool_entry *entry, uint64_t durable,
			   size_t pad_before)
{
	uint8_t *slot = s->commit.prefixes + i * PREFIX_STRIDE;
	struct iovec *part = &s->commit.parts[3 * i];
	const struct batch_header *header = &entry->batch->header;
	size_t body = (size_t)header->index_bytes + header->payload_bytes;
	struct record_header record = {
	    .log = s->ids.id,
	    .position = entry->position,
	    .durable = durable,
	    .appended_at_us = entry->appended_at_us,
	    .bytes = (uint32_t)(entry->next - entry->position),
	};

	memset(slot, 0, RECORD_ALIGN);
	record_prefix_encode(&record, header, slot + RECORD_ALIGN);
	part[0].iov_base = slot + RECORD_ALIGN - pad_before;
	part[0].iov_len = RECORD_PREFIX_BYTES + pad_before;
	part[1].iov_base = (void *)(uintptr_t)entry->batch->index;
	part[1].iov_len = header->index_bytes;
	part[2].iov_base = (void *)(uintptr_t)entry->batch->payload;
	part[2].iov_len = header->payload_bytes;
	return record.bytes - RECORD_PREFIX_BYTES - body;
}

int spool_write(struct spool *s, const struct spool_entry *entries,
		size_t count, struct err *err)
{
	static const uint8_t zeros[RECORD_ALIGN];
	struct spool_commit *c = &s->commit;
	uint64_t durable = entries[0].position;
	size_t pad = 0;

	for (size_t at = 0; at < count;) {
		size_t n =
		    count - at < RECORDS_A_WRITE ? count - at : RECORDS_A_WRITE;
		int64_t offset = segment_offset(c->base, entries[at].position) -
				 (int64_t)pad;

		for (size_t i = 0; i < n; i++)
			pad =
			    record_parts(s, i, &entries[at + i], durable, pad);
		at += n;
		n *= 3;
		if (at == count && pad) {
			c->parts[n].iov_base = (void *)(uintptr_t)zeros;
			c->parts[n++].iov_len = pad;
		}
		if (write_parts(c, c->parts, n, offset, err) != 0)
			return -1;
	}
	return 0;
}
