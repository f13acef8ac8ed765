/*
 * A batch as it comes over the bus: header, index, payload. The first byte:
 * bit 0 sets the checksums right, bit 1 the lengths too.
 */
#include "tests/fuzz/fuzz.h"

#include "proto/batch.h"

/* Where proto/batch.md has them. */
#define AT_INDEX_BYTES	 68
#define AT_PAYLOAD_BYTES 72
#define AT_BODY_CRC	 76
#define AT_HEADER_CRC	 124

static volatile size_t sum;

static void touch(const char *at, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		sum += (unsigned char)at[i];
}

/* Every slice may be used without looking again. */
static void use(struct batch *b)
{
	struct batch_builder *w = batch_builder_new();
	struct batch_header header = b->header;
	char name[BATCH_STREAM_NAME_BYTES + 1];
	struct batch *other;

	for (uint32_t i = 0; i < b->header.events; i++) {
		const struct batch_event *e = &b->events[i];

		touch(b->payload + e->offset, e->bytes);
		touch(b->payload + e->key_offset, e->key_bytes);
		touch(b->payload + e->id_offset, e->id_bytes);
		touch(b->payload + e->type_offset, e->type_bytes);
		FUZZ_CHECK(b->payload[e->offset + e->bytes] == '\n');
		FUZZ_CHECK(strlen(batch_stream(b, e->stream, name)) > 0);
		if (!batch_builder_copy(w, b, i))
			break;
	}
	header.sequence++;
	other = batch_relabel(b, &header);
	batch_unref(&other);
	other = batch_builder_seal(w, &header);
	batch_unref(&other);
	batch_builder_free(&w);
}

static void mend(uint8_t *data, size_t bytes, bool lengths)
{
	uint32_t index, payload;
	size_t body = bytes - BATCH_HEADER_BYTES;

	memcpy(&index, data + AT_INDEX_BYTES, 4);
	if (lengths) {
		index = body ? index % (uint32_t)(body + 1) : 0;
		payload = (uint32_t)body - index;
		memcpy(data + AT_INDEX_BYTES, &index, 4);
		memcpy(data + AT_PAYLOAD_BYTES, &payload, 4);
	}
	memcpy(&payload, data + AT_PAYLOAD_BYTES, 4);
	if ((uint64_t)index + payload <= body)
		fuzz_put_crc(data + AT_BODY_CRC, data + BATCH_HEADER_BYTES,
			     (size_t)index + payload);
	fuzz_put_crc(data + AT_HEADER_CRC, data, AT_HEADER_CRC);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct fuzz_bytes input = {data, bytes};
	uint64_t how = fuzz_take(&input, 1);
	uint8_t *copy = xmalloc(input.left + 1);
	struct batch_header header;
	struct batch *b = NULL;
	struct err err = {0};
	const uint8_t *body = copy + BATCH_HEADER_BYTES;

	memcpy(copy, input.at, input.left);
	if (input.left >= BATCH_HEADER_BYTES && how & 1)
		mend(copy, input.left, how & 2);
	if (batch_header_decode(copy,
				input.left < BATCH_HEADER_BYTES
				    ? input.left
				    : BATCH_HEADER_BYTES,
				&header, &err) != 0)
		FUZZ_CHECK(strlen(err.text) > 0);
	else if ((uint64_t)header.index_bytes + header.payload_bytes ==
		 input.left - BATCH_HEADER_BYTES)
		b = batch_open(&header, body,
			       (const char *)body + header.index_bytes, NULL,
			       NULL, &err);
	if (b)
		use(b);
	batch_unref(&b);
	free(copy);
	return 0;
}
