#include "proto/refusal.h"

#include <errno.h>
#include <string.h>

#include "base/crc32c.h"
#include "proto/batch_layout.h"

#define REFUSAL_MAGIC	0x46455257u /* "WREF" */
#define REFUSAL_VERSION 1
#define HEAD_BYTES	8
#define CRC_BYTES	4

bool refusal_has(const struct refusal *r, const char *name, size_t bytes)
{
	for (uint16_t i = 0; i < r->count; i++)
		if (strlen(r->names[i]) == bytes &&
		    memcmp(r->names[i], name, bytes) == 0)
			return true;
	return false;
}

void refusal_add(struct refusal *r, const char *name, size_t bytes)
{
	if (r->count == REFUSAL_MAX_STREAMS ||
	    !batch_stream_name_ok(name, bytes) || refusal_has(r, name, bytes))
		return;
	memset(r->names[r->count], 0, sizeof(r->names[0]));
	memcpy(r->names[r->count++], name, bytes);
}

void refusal_encode(const struct refusal *r, struct buf *out)
{
	const uint32_t magic = REFUSAL_MAGIC;
	const uint16_t version = REFUSAL_VERSION;
	size_t start = out->used;
	uint32_t crc;

	buf_append(out, &magic, 4);
	buf_append(out, &version, 2);
	buf_append(out, &r->count, 2);
	for (uint16_t i = 0; i < r->count; i++) {
		const uint8_t bytes = (uint8_t)strlen(r->names[i]);

		buf_append(out, &bytes, 1);
		buf_append(out, r->names[i], bytes);
	}
	crc = crc32c(0, out->data + start, out->used - start);
	buf_append(out, &crc, 4);
}

bool refusal_is(const uint8_t *data, size_t bytes)
{
	const uint32_t magic = REFUSAL_MAGIC;

	return bytes >= 4 && memcmp(data, &magic, 4) == 0;
}

static int check(const uint8_t *data, size_t bytes, struct err *err)
{
	uint16_t version;
	uint32_t crc;

	if (bytes < HEAD_BYTES + CRC_BYTES || !refusal_is(data, bytes))
		return err_set(
		    err, EBADMSG,
		    "refusal message of %zu bytes is none of "
		    "Weft's; the endpoint belongs to another program",
		    bytes);
	memcpy(&crc, data + bytes - CRC_BYTES, 4);
	if (crc != crc32c(0, data, bytes - CRC_BYTES))
		return err_set(err, EBADMSG,
			       "refusal message of %zu bytes has a wrong crc; "
			       "it was damaged on the way",
			       bytes);
	memcpy(&version, data + 4, 2);
	if (version != REFUSAL_VERSION)
		return err_set(err, EPROTO,
			       "refusal message has format version %u; this "
			       "program reads version %d; run the same release "
			       "of Weft at both ends",
			       version, REFUSAL_VERSION);
	return 0;
}

int refusal_decode(const uint8_t *data, size_t bytes, struct refusal *r,
		   struct err *err)
{
	struct refusal found = {0};
	size_t at = HEAD_BYTES, end;
	uint16_t count;

	if (check(data, bytes, err) != 0)
		return -1;
	end = bytes - CRC_BYTES;
	memcpy(&count, data + 6, 2);
	for (uint16_t i = 0; i < count && at < end; i++) {
		size_t name = data[at++];

		if (name > end - at)
			break;
		refusal_add(&found, (const char *)data + at, name);
		at += name;
	}
	if (at != end || found.count != count)
		return err_set(err, EBADMSG,
			       "refusal message counts %u streams and has %u; "
			       "the limit is %d, each once",
			       count, found.count, REFUSAL_MAX_STREAMS);
	*r = found;
	return 0;
}
