#include "proto/reference.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/crc32c.h"

#define REFERENCE_MAGIC	  0x46455257u /* "WREF" */
#define REFERENCE_VERSION 1
/* Positions leave room for any record behind them. */
#define MAX_POSITION ((uint64_t)INT64_MAX / 2)

/* Offsets as in proto/batch.md; the crc lies behind the directory. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 4,
	AT_DIR_BYTES = 6,
	AT_LOG = 8,
	AT_POSITION = 24,
	AT_NEXT = 32,
	AT_BODIES_CRC = 40,
	AT_DIR = 48,
	CRC_BYTES = 4,
};

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "the wire is little-endian");

uint32_t reference_crc(uint32_t bodies_crc, uint32_t body_crc)
{
	return crc32c(bodies_crc, &body_crc, sizeof(body_crc));
}

size_t reference_bytes(const struct reference *r)
{
	return AT_DIR + strlen(r->dir) + CRC_BYTES;
}

void reference_encode(const struct reference *r, uint8_t *out)
{
	const uint32_t magic = REFERENCE_MAGIC;
	const uint16_t version = REFERENCE_VERSION;
	const uint16_t dir_bytes = (uint16_t)strlen(r->dir);
	uint32_t crc;

	assert(r->dir[0] == '/' && dir_bytes < REFERENCE_DIR_BYTES);
	memset(out, 0, AT_DIR);
	memcpy(out + AT_MAGIC, &magic, 4);
	memcpy(out + AT_VERSION, &version, 2);
	memcpy(out + AT_DIR_BYTES, &dir_bytes, 2);
	memcpy(out + AT_LOG, r->log.bytes, UUID_BYTES);
	memcpy(out + AT_POSITION, &r->position, 8);
	memcpy(out + AT_NEXT, &r->next, 8);
	memcpy(out + AT_BODIES_CRC, &r->bodies_crc, 4);
	memcpy(out + AT_DIR, r->dir, dir_bytes);
	crc = crc32c(0, out, AT_DIR + (size_t)dir_bytes);
	memcpy(out + AT_DIR + dir_bytes, &crc, CRC_BYTES);
}

/* Whether these bytes are a whole reference of ours. */
static int check(const uint8_t *data, size_t bytes, struct err *err)
{
	uint32_t magic = 0, crc;
	uint16_t version, dir_bytes;

	if (bytes >= 4)
		memcpy(&magic, data, 4);
	if (bytes < AT_DIR + CRC_BYTES || magic != REFERENCE_MAGIC)
		return err_set(err, EBADMSG,
			       "reference of %zu bytes is none of Weft's; the "
			       "sender does not speak Weft's batch format",
			       bytes);
	memcpy(&crc, data + bytes - CRC_BYTES, 4);
	if (crc != crc32c(0, data, bytes - CRC_BYTES))
		return err_set(err, EBADMSG,
			       "reference of %zu bytes has a wrong crc; it was "
			       "damaged on the way",
			       bytes);
	memcpy(&version, data + AT_VERSION, 2);
	if (version != REFERENCE_VERSION)
		return err_set(err, EPROTO,
			       "reference has format version %u, this program "
			       "reads version %d; run the same release of Weft "
			       "at both ends",
			       version, REFERENCE_VERSION);
	memcpy(&dir_bytes, data + AT_DIR_BYTES, 2);
	if (dir_bytes >= REFERENCE_DIR_BYTES ||
	    bytes != AT_DIR + (size_t)dir_bytes + CRC_BYTES)
		return err_set(err, EBADMSG,
			       "reference of %zu bytes says that its directory "
			       "has %u; the limit is %d",
			       bytes, dir_bytes, REFERENCE_DIR_BYTES - 1);
	if (dir_bytes < 1 || data[AT_DIR] != '/' ||
	    memchr(data + AT_DIR, '\0', dir_bytes))
		return err_set(err, EBADMSG,
			       "reference names a directory that is no "
			       "absolute path");
	return 0;
}

int reference_decode(const uint8_t *data, size_t bytes, struct reference *r,
		     struct err *err)
{
	uint64_t position, next;
	uint16_t dir_bytes;

	if (check(data, bytes, err) != 0)
		return -1;
	memcpy(&position, data + AT_POSITION, 8);
	memcpy(&next, data + AT_NEXT, 8);
	if (next > MAX_POSITION || position >= next ||
	    next - position > REFERENCE_MAX_SPAN)
		return err_set(err, EBADMSG,
			       "reference to the records from %" PRIu64
			       " to %" PRIu64 ", which no batch can be made of",
			       position, next);
	memcpy(&dir_bytes, data + AT_DIR_BYTES, 2);
	memset(r, 0, sizeof(*r));
	memcpy(r->log.bytes, data + AT_LOG, UUID_BYTES);
	r->position = position;
	r->next = next;
	memcpy(&r->bodies_crc, data + AT_BODIES_CRC, 4);
	memcpy(r->dir, data + AT_DIR, dir_bytes);
	return 0;
}
