#include "spool/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "base/durable.h"
#include "base/failpoint.h"
#include "spool/mend.h"

#define CHECKPOINT_MAGIC   UINT64_C(0x31304b4843574657) /* "WFWCHK01" */
#define CHECKPOINT_VERSION 1
#define MACHINE_ID_BYTES   256

/* As it lies on disk, before the application's part. */
struct disk_checkpoint {
	uint64_t magic;
	uint32_t version;
	uint32_t crc; /* of all bytes behind this field */
	uint8_t log[UUID_BYTES];
	uint64_t machine;
	uint64_t first;
	uint64_t durable;
	uint64_t covered;
	uint32_t data_bytes;
	uint32_t former_count;
	uint8_t former[LOG_MAX_FORMER][UUID_BYTES];
	uint64_t until[LOG_MAX_FORMER];
};

#define CRC_FROM offsetof(struct disk_checkpoint, log)

static void from_disk(const struct disk_checkpoint *d, struct checkpoint *c)
{
	memcpy(c->ids.id.bytes, d->log, UUID_BYTES);
	c->ids.former_count = d->former_count;
	memcpy(c->ids.former, d->former, sizeof(d->former));
	memcpy(c->ids.until, d->until, sizeof(d->until));
	c->machine = d->machine;
	c->first = d->first;
	c->durable = d->durable;
	c->covered = d->covered;
	c->bytes = d->data_bytes;
}

static int decode(const char *memory, size_t bytes, struct checkpoint *c)
{
	struct disk_checkpoint d;

	if (bytes < sizeof(d))
		return -1;
	memcpy(&d, memory, sizeof(d));
	if (d.magic != CHECKPOINT_MAGIC || d.version != CHECKPOINT_VERSION ||
	    crc32c(0, memory + CRC_FROM, bytes - CRC_FROM) != d.crc ||
	    d.data_bytes != bytes - sizeof(d) ||
	    d.former_count > LOG_MAX_FORMER || d.first > d.durable ||
	    d.covered > d.durable)
		return -1;
	from_disk(&d, c);
	c->data = memory + sizeof(d);
	return 0;
}

int checkpoint_read(const char *dir, struct checkpoint *c, char **memory,
		    struct err *err)
{
	char *path = xasprintf("%s/checkpoint", dir);
	size_t bytes;
	int rc = -1;

	*memory = NULL;
	memset(c, 0, sizeof(*c));
	if (durable_read(path,
			 CHECKPOINT_MAX_DATA_BYTES +
			     sizeof(struct disk_checkpoint),
			 memory, &bytes, err) != 0) {
		/* One that is too large was not written by us. */
		if (err->code == EFBIG)
			err->code = EBADMSG;
		goto out;
	}
	if (decode(*memory, bytes, c) != 0) {
		err_set(err, EBADMSG, "%s is damaged", path);
		free(*memory);
		*memory = NULL;
		goto out;
	}
	rc = 0;
out:
	free(path);
	return rc;
}

/* Sets right the bit that flipped in it, if it is one. */
static void mend(char *memory, size_t bytes)
{
	const uint64_t magic = CHECKPOINT_MAGIC;
	const uint32_t version = CHECKPOINT_VERSION;
	uint32_t crc;

	if (bytes < sizeof(struct disk_checkpoint))
		return;
	/* The checksum does not cover them, nor need they be read. */
	memcpy(memory, &magic, sizeof(magic));
	memcpy(memory + sizeof(magic), &version, sizeof(version));
	memcpy(&crc, memory + offsetof(struct disk_checkpoint, crc),
	       sizeof(crc));
	if (!mend_bit((uint8_t *)memory + CRC_FROM, bytes - CRC_FROM, &crc))
		return;
	memcpy(memory + offsetof(struct disk_checkpoint, crc), &crc,
	       sizeof(crc));
}

bool checkpoint_mend(const char *dir, struct checkpoint *c, char **memory)
{
	static const char *const names[] = {"checkpoint", "checkpoint.new"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *path = xasprintf("%s/%s", dir, names[i]);
		struct err ignored;
		size_t bytes;
		int rc = durable_read(path,
				      CHECKPOINT_MAX_DATA_BYTES +
					  sizeof(struct disk_checkpoint),
				      memory, &bytes, &ignored);

		free(path);
		if (rc != 0)
			continue;
		mend(*memory, bytes);
		if (decode(*memory, bytes, c) == 0)
			return true;
		free(*memory);
	}
	*memory = NULL;
	return false;
}

static void to_disk(const struct checkpoint *c, struct disk_checkpoint *d)
{
	memset(d, 0, sizeof(*d));
	d->magic = CHECKPOINT_MAGIC;
	d->version = CHECKPOINT_VERSION;
	memcpy(d->log, c->ids.id.bytes, UUID_BYTES);
	d->former_count = c->ids.former_count;
	memcpy(d->former, c->ids.former, sizeof(d->former));
	memcpy(d->until, c->ids.until, sizeof(d->until));
	d->machine = c->machine;
	d->first = c->first;
	d->durable = c->durable;
	d->covered = c->covered;
	d->data_bytes = (uint32_t)c->bytes;
}

int checkpoint_write(const char *dir, const struct checkpoint *c,
		     struct err *err)
{
	char *path = xasprintf("%s/checkpoint", dir);
	size_t bytes = sizeof(struct disk_checkpoint) + c->bytes;
	char *memory = xmalloc(bytes);
	struct disk_checkpoint d;
	int rc;

	to_disk(c, &d);
	memcpy(memory, &d, sizeof(d));
	if (c->bytes)
		memcpy(memory + sizeof(d), c->data, c->bytes);
	d.crc = crc32c(0, memory + CRC_FROM, bytes - CRC_FROM);
	memcpy(memory, &d, sizeof(d));
	FAILPOINT("spool_checkpoint_written");
	rc = durable_replace(path, memory, bytes, err);
	FAILPOINT("spool_checkpoint_renamed");
	free(memory);
	free(path);
	return rc;
}

uint64_t checkpoint_machine(void)
{
	char id[MACHINE_ID_BYTES];
	int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return 0;
	n = read(fd, id, sizeof(id));
	close(fd);
	while (n > 0 && (id[n - 1] == '\n' || id[n - 1] == ' '))
		n--;
	return n > 0 ? XXH3_64bits_withSeed(id, (size_t)n, CHECKPOINT_MAGIC)
		     : 0;
}
