#include "services/eventhub-publisher/appender.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"

/* What O_DIRECT asks of addresses, offsets and lengths, on all usual disks. */
#define BLOCK_BYTES 4096
/* Files that are written slowly keep little memory. */
#define LEAST_BYTES (64u << 10)
/* A write of this costs 0.1 s of CPU a GiB, half of one of 256 KiB. */
#define MOST_BYTES (512u << 10)
/* Below, waiting for the disk each time costs more than the page cache. */
#define DIRECT_BYTES (128u << 10)

void appender_init(struct appender *a, uint64_t written)
{
	*a = (struct appender){.fd = -1, .written = written};
}

void appender_open(struct appender *a, int fd)
{
	a->fd = fd;
	a->direct = true;
}

void appender_close(struct appender *a)
{
	if (a->fd >= 0)
		close(a->fd);
	free(a->blocks);
	appender_init(a, a->written);
}

/* Where in its block the file ends. */
static size_t lead(const struct appender *a)
{
	return (size_t)(a->written % BLOCK_BYTES);
}

static int put_through(struct appender *a, const char *data, size_t bytes)
{
	size_t done = io_write_all(a->fd, data, bytes);

	a->written += done;
	a->gathered -= done;
	return done == bytes ? 0 : -1;
}

static bool set_direct(int fd, bool direct)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 &&
	       fcntl(fd, F_SETFL,
		     direct ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

/* Whole blocks past the cache; a file system may refuse that at any time. */
static int put_blocks(struct appender *a, const char *blocks, size_t bytes)
{
	size_t behind = a->gathered - bytes, left;
	int failed = 0;

	if (!set_direct(a->fd, true)) {
		a->direct = false;
		return put_through(a, blocks, bytes);
	}
	if (put_through(a, blocks, bytes) != 0)
		failed = errno;
	if (!set_direct(a->fd, false))
		return -1;
	if (failed == EINVAL) {
		a->direct = false;
		left = a->gathered - behind;
		return put_through(a, blocks + bytes - left, left);
	}
	errno = failed;
	return failed ? -1 : 0;
}

int appender_flush(struct appender *a)
{
	size_t head = (BLOCK_BYTES - lead(a)) % BLOCK_BYTES, whole;
	const char *data;

	if (!a->gathered)
		return 0;
	data = a->blocks + lead(a);
	if (!a->direct || a->gathered < head + DIRECT_BYTES)
		return put_through(a, data, a->gathered);
	whole = (a->gathered - head) / BLOCK_BYTES * BLOCK_BYTES;
	if (head && put_through(a, data, head) != 0)
		return -1;
	if (put_blocks(a, data + head, whole) != 0)
		return -1;
	return put_through(a, data + head + whole, a->gathered);
}

static void grow(struct appender *a)
{
	size_t size = a->size ? 2 * a->size : LEAST_BYTES;
	char *blocks = aligned_alloc(BLOCK_BYTES, size);

	if (!blocks)
		abort();
	if (a->size)
		memcpy(blocks, a->blocks, a->size);
	free(a->blocks);
	a->blocks = blocks;
	a->size = size;
}

/* Bytes that may be gathered, after writing when they were none. */
static int make_room(struct appender *a, size_t *room)
{
	if (!a->size || lead(a) + a->gathered == a->size) {
		if (a->size < MOST_BYTES)
			grow(a);
		else if (appender_flush(a) != 0)
			return -1;
	}
	*room = a->size - lead(a) - a->gathered;
	return 0;
}

int appender_put(struct appender *a, const char *data, size_t bytes)
{
	size_t part;

	for (; bytes; data += part, bytes -= part) {
		if (make_room(a, &part) != 0)
			return -1;
		if (part > bytes)
			part = bytes;
		memcpy(a->blocks + lead(a) + a->gathered, data, part);
		a->gathered += part;
	}
	return 0;
}
