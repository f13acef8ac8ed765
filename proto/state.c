#include "proto/state.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/crc32c.h"

#define STATE_MAGIC   0x41545357u /* "WSTA" */
#define STATE_VERSION 1
#define COMPLETE      1u
#define LANE_BYTES    40
#define REFERENCES    1u

/* Offsets as in proto/state.md. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 4,
	AT_FLAGS = 6,
	AT_LANES = 8,
	AT_TAKES = 12,
	AT_INCARNATION = 16,
	AT_LOG_ID = 32,
	AT_GENERATION = 48,
	AT_HISTORY = 56,
	AT_NAME = 64,
	HEAD_BYTES = 128,

	LANE_SOURCE = 0,
	LANE_EPOCH = 16,
	LANE_THROUGH = 24,
	LANE_NUMBER = 32,
};

_Static_assert(AT_NAME + STATE_NAME_BYTES == HEAD_BYTES, "as on the wire");
_Static_assert(STATE_BYTES(0) == HEAD_BYTES + 4, "as on the wire");
_Static_assert(STATE_BYTES(1) - STATE_BYTES(0) == LANE_BYTES, "as on the wire");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "the wire is little-endian");

/* A name, then zeros to the end of its field. */
static bool name_ok(const char name[STATE_NAME_BYTES])
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "abcdefghijklmnopqrstuvwxyz"
				      "0123456789._-";
	size_t bytes = strnlen(name, STATE_NAME_BYTES);

	if (bytes < 1 || bytes == STATE_NAME_BYTES)
		return false;
	if (strspn(name, allowed) != bytes)
		return false;
	for (size_t i = bytes; i < STATE_NAME_BYTES; i++)
		if (name[i])
			return false;
	return true;
}

static void put_lane(uint8_t *at, const struct state_lane *lane)
{
	memset(at, 0, LANE_BYTES);
	memcpy(at + LANE_SOURCE, lane->lane.source.bytes, UUID_BYTES);
	memcpy(at + LANE_EPOCH, &lane->lane.epoch, 8);
	memcpy(at + LANE_THROUGH, &lane->through, 8);
	memcpy(at + LANE_NUMBER, &lane->lane.number, 4);
}

void state_encode(const struct state *state, struct buf *out)
{
	const uint32_t magic = STATE_MAGIC;
	const uint16_t version = STATE_VERSION;
	const uint16_t flags = state->complete ? COMPLETE : 0;
	const uint32_t takes = state->references ? REFERENCES : 0;
	size_t bytes = STATE_BYTES(state->lane_count);
	size_t name = strnlen(state->name, STATE_NAME_BYTES);
	uint8_t *at;
	uint32_t crc;

	assert(state->lane_count <= STATE_MAX_LANES);
	assert(name > 0 && name < STATE_NAME_BYTES);
	buf_reserve(out, bytes);
	at = (uint8_t *)out->data + out->used;
	memset(at, 0, HEAD_BYTES);
	memcpy(at + AT_MAGIC, &magic, 4);
	memcpy(at + AT_VERSION, &version, 2);
	memcpy(at + AT_FLAGS, &flags, 2);
	memcpy(at + AT_LANES, &state->lane_count, 4);
	memcpy(at + AT_TAKES, &takes, 4);
	memcpy(at + AT_INCARNATION, state->incarnation.bytes, UUID_BYTES);
	memcpy(at + AT_LOG_ID, state->log_id.bytes, UUID_BYTES);
	memcpy(at + AT_GENERATION, &state->generation, 8);
	memcpy(at + AT_HISTORY, &state->history, 8);
	memcpy(at + AT_NAME, state->name, name);
	assert(name_ok((const char *)at + AT_NAME));
	for (uint32_t i = 0; i < state->lane_count; i++)
		put_lane(at + HEAD_BYTES + (size_t)i * LANE_BYTES,
			 &state->lanes[i]);
	crc = crc32c(0, at, bytes - 4);
	memcpy(at + bytes - 4, &crc, 4);
	out->used += bytes;
}

/* Whether these bytes are a whole state message; the count of its lanes. */
static int check(const uint8_t *data, size_t bytes, uint32_t *lanes,
		 struct err *err)
{
	uint32_t magic = 0, crc;
	uint16_t version, flags;

	if (bytes >= 4)
		memcpy(&magic, data, 4);
	if (bytes < STATE_BYTES(0) || magic != STATE_MAGIC)
		return err_set(err, EBADMSG,
			       "state message of %zu bytes is none of Weft's; "
			       "the endpoint belongs to another program",
			       bytes);
	memcpy(&crc, data + bytes - 4, 4);
	if (crc != crc32c(0, data, bytes - 4))
		return err_set(err, EBADMSG,
			       "state message of %zu bytes has a wrong crc; it "
			       "was damaged on the way",
			       bytes);
	memcpy(&version, data + AT_VERSION, 2);
	memcpy(&flags, data + AT_FLAGS, 2);
	if (version != STATE_VERSION || flags & ~COMPLETE)
		return err_set(
		    err, EPROTO,
		    "state message has format version %u, flags "
		    "0x%x; this program reads version %d, flags "
		    "0x%x; run the same release of Weft at both ends",
		    version, flags, STATE_VERSION, COMPLETE);
	memcpy(lanes, data + AT_LANES, 4);
	if (*lanes > STATE_MAX_LANES || bytes != STATE_BYTES(*lanes))
		return err_set(err, EBADMSG,
			       "state message of %zu bytes counts %" PRIu32
			       " lanes; the limit is %d, 40 bytes each",
			       bytes, *lanes, STATE_MAX_LANES);
	if (!name_ok((const char *)data + AT_NAME))
		return err_set(err, EBADMSG,
			       "state message comes from an instance without "
			       "a proper name");
	return 0;
}

int state_decode(const uint8_t *data, size_t bytes, struct state *state,
		 struct state_lane **lanes, struct err *err)
{
	uint32_t count = 0, takes;
	uint16_t flags;

	if (check(data, bytes, &count, err))
		return -1;
	memset(state, 0, sizeof(*state));
	memcpy(state->name, data + AT_NAME, STATE_NAME_BYTES);
	memcpy(state->incarnation.bytes, data + AT_INCARNATION, UUID_BYTES);
	memcpy(state->log_id.bytes, data + AT_LOG_ID, UUID_BYTES);
	memcpy(&state->generation, data + AT_GENERATION, 8);
	memcpy(&state->history, data + AT_HISTORY, 8);
	memcpy(&flags, data + AT_FLAGS, 2);
	state->complete = flags & COMPLETE;
	memcpy(&takes, data + AT_TAKES, 4);
	state->references = takes & REFERENCES;
	state->lane_count = count;
	*lanes = xreallocarray(*lanes, count, sizeof(**lanes));
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *at = data + HEAD_BYTES + (size_t)i * LANE_BYTES;
		struct state_lane *lane = *lanes + i;

		memset(lane, 0, sizeof(*lane));
		memcpy(lane->lane.source.bytes, at + LANE_SOURCE, UUID_BYTES);
		memcpy(&lane->lane.epoch, at + LANE_EPOCH, 8);
		memcpy(&lane->through, at + LANE_THROUGH, 8);
		memcpy(&lane->lane.number, at + LANE_NUMBER, 4);
	}
	state->lanes = *lanes;
	return 0;
}
