#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "proto/batch.h"

/* A batch as it came from a peer: header, index and payload of their own. */
struct wire {
	uint8_t header[BATCH_HEADER_BYTES];
	uint8_t *index;
	char *payload;
	struct batch_header h;
};

static const struct batch_header sample_header = {
    .lane = {.source = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
			 16}},
	     .epoch = 0x1122334455667788,
	     .number = 0x01020304},
    .sequence = 0x2122232425262728,
    .flags = BATCH_REPLAY,
    .created_at_us = 1700000000123456,
    .contract_set = 0x3132333435363738,
    .trace = {0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa,
	      0xab, 0xac, 0xad, 0xae, 0xaf},
};

static struct batch_event put(struct batch_builder *w, const char *stream,
			      const char *line, const char *key)
{
	struct batch_event e = {0};
	size_t bytes = strlen(line);
	const char *found = key ? strstr(line, key) : NULL;
	char *to = batch_builder_room(w, bytes + 1);

	e.stream = batch_builder_stream(w, stream, strlen(stream));
	e.offset = batch_builder_offset(w);
	e.bytes = (uint32_t)bytes;
	memcpy(to, line, bytes + 1);
	to[bytes] = '\n';
	batch_builder_commit(w, bytes + 1);
	if (found) {
		e.key_offset = e.offset + (uint32_t)(found - line);
		e.key_bytes = (uint16_t)strlen(key);
		e.key_hash = 0x4142434445464748;
	}
	batch_builder_event(w, &e);
	return e;
}

static struct batch *sample(void)
{
	struct batch_builder *w = batch_builder_new();
	struct batch *b;

	put(w, "order", "{\"id\":\"a1\"}", "a1");
	put(w, "product", "{}", NULL);
	b = batch_builder_seal(w, &sample_header);
	batch_builder_free(&w);
	return b;
}

static void wire_from(struct wire *wire, const struct batch *b)
{
	batch_header_encode(&b->header, wire->header);
	wire->h = b->header;
	wire->index = xmalloc(b->header.index_bytes);
	memcpy(wire->index, b->index, b->header.index_bytes);
	wire->payload = xmalloc(b->header.payload_bytes);
	memcpy(wire->payload, b->payload, b->header.payload_bytes);
}

static void wire_sample(struct wire *wire)
{
	struct batch *b = sample();

	wire_from(wire, b);
	batch_unref(&b);
}

static void wire_free(struct wire *wire)
{
	free(wire->index);
	free(wire->payload);
}

/* Opens after making the crc true again, so that what is behind it judges. */
static struct batch *reopen(struct wire *wire, struct err *err)
{
	wire->h.body_crc = crc32c(crc32c(0, wire->index, wire->h.index_bytes),
				  wire->payload, wire->h.payload_bytes);
	return batch_open(&wire->h, wire->index, wire->payload, NULL, NULL,
			  err);
}

static struct batch_event *entry(struct wire *wire, uint32_t i)
{
	size_t table =
	    wire->h.index_bytes - wire->h.events * sizeof(struct batch_event);

	return (struct batch_event *)(void *)(wire->index + table) + i;
}

static void test_header_golden_bytes(void **state)
{
	/* clang-format off */
	static const uint8_t want[BATCH_HEADER_BYTES] = {
		'W', 'B', 'A', 'T', /* magic */
		1, 0, /* version */
		128, 0, /* header bytes */
		1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, /* source */
		0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, /* epoch */
		0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21, /* sequence */
		0x04, 0x03, 0x02, 0x01, /* number */
		1, 0, 0, 0, /* flags */
		0x40, 0x22, 0x20, 0x18, 0x24, 0x0a, 0x06, 0x00, /* created at */
		0x38, 0x37, 0x36, 0x35, 0x34, 0x33, 0x32, 0x31, /* contract set */
		2, 0, 0, 0, /* events */
		112, 0, 0, 0, /* index bytes */
		15, 0, 0, 0, /* payload bytes */
		0, 0, 0, 0, /* body crc, judged below */
		0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf, /* trace */
	};
	/* clang-format on */
	struct batch *b = sample();
	uint8_t out[BATCH_HEADER_BYTES];
	uint32_t crc;

	(void)state;
	batch_header_encode(&b->header, out);
	assert_memory_equal(out, want, 76);
	assert_memory_equal(out + 76, &b->header.body_crc, 4);
	assert_memory_equal(out + 80, want + 80, 44);
	crc = crc32c(0, out, 124);
	assert_memory_equal(out + 124, &crc, 4);
	batch_unref(&b);
}

static void test_index_golden_bytes(void **state)
{
	/* clang-format off */
	static const uint8_t want[112] = {
		2, 0, 5, 'o', 'r', 'd', 'e', 'r',
		7, 'p', 'r', 'o', 'd', 'u', 'c', 't',
		0, 0, 0, 0, 11, 0, 0, 0, /* offset, bytes */
		0x48, 0x47, 0x46, 0x45, 0x44, 0x43, 0x42, 0x41, /* key hash */
		7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* key, id, type offset */
		2, 0, 0, 0, 0, 0, /* key, id, type bytes */
		0, 0, 0, 0, 0, 0, /* stream, version, reserved */
		0, 0, 0, 0, 0, 0, 0, 0, /* reserved */
		12, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 1, 0, /* stream 1 */
	};
	/* clang-format on */
	struct batch *b = sample();

	(void)state;
	assert_int_equal(b->header.index_bytes, sizeof(want));
	assert_memory_equal(b->index, want, sizeof(want));
	assert_memory_equal(b->payload, "{\"id\":\"a1\"}\n{}\n", 15);
	assert_int_equal(b->header.body_crc,
			 crc32c(crc32c(0, want, 112), b->payload, 15));
	batch_unref(&b);
}

static void test_index_pads_the_stream_table(void **state)
{
	struct batch_builder *w = batch_builder_new();
	struct batch *b;

	(void)state;
	put(w, "a", "{}", NULL);
	put(w, "longer", "{}", NULL);
	b = batch_builder_seal(w, &sample_header);
	assert_int_equal(b->header.index_bytes, 16 + 96);
	assert_memory_equal(b->index, "\2\0\1a\6longer\0\0\0\0\0", 16);
	batch_unref(&b);
	batch_builder_free(&w);
}

static void test_header_round_trip(void **state)
{
	struct batch *b = sample();
	struct batch_header back;
	uint8_t out[BATCH_HEADER_BYTES];
	struct err err;

	(void)state;
	batch_header_encode(&b->header, out);
	assert_int_equal(batch_header_decode(out, sizeof(out), &back, &err), 0);
	assert_memory_equal(&back, &b->header, sizeof(back));
	batch_unref(&b);
}

static void test_header_truncations_and_flips_are_refused(void **state)
{
	struct batch *b = sample();
	struct batch_header back;
	uint8_t out[BATCH_HEADER_BYTES + 1] = {0};
	struct err err;

	(void)state;
	batch_header_encode(&b->header, out);
	for (size_t n = 0; n < BATCH_HEADER_BYTES; n++) {
		uint8_t *cut = xmalloc(n);

		memcpy(cut, out, n);
		assert_int_equal(batch_header_decode(cut, n, &back, &err), -1);
		free(cut);
	}
	assert_int_equal(batch_header_decode(out, 129, &back, &err), -1);
	for (unsigned bit = 0; bit < BATCH_HEADER_BYTES * 8; bit++) {
		out[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(batch_header_decode(out, 128, &back, &err),
				 -1);
		out[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_equal(batch_header_decode(out, 128, &back, &err), 0);
	batch_unref(&b);
}

/* Decodes a header with `value` put at `at` and a crc that is true again. */
static int decode_changed(size_t at, const void *value, size_t bytes,
			  struct err *err)
{
	struct batch *b = sample();
	uint8_t out[BATCH_HEADER_BYTES];
	struct batch_header back;
	uint32_t crc;

	batch_header_encode(&b->header, out);
	batch_unref(&b);
	memcpy(out + at, value, bytes);
	crc = crc32c(0, out, 124);
	memcpy(out + 124, &crc, 4);
	return batch_header_decode(out, sizeof(out), &back, err);
}

static void test_header_limits(void **state)
{
	const struct {
		size_t at;
		size_t bytes;
		uint64_t value;
		int code;
		const char *says;
	} cases[] = {
	    {4, 2, 2, EPROTO, "version 2"},
	    {6, 2, 136, EPROTO, "136 header bytes"},
	    {44, 4, 8, EPROTO, "unknown flags 0x8"},
	    {48, 8, UINT64_MAX, EBADMSG, "years 1970 to 9999"},
	    {48, 8, UINT64_C(253402300800000000), EBADMSG, "years"},
	    {64, 4, 65537, EBADMSG, "65537 events"},
	    {64, 4, UINT32_MAX, EBADMSG, "events"},
	    {64, 4, 3, EBADMSG, "stream table"},
	    {68, 4, (4u << 20) + 8, EBADMSG, "limits"},
	    {68, 4, 0, EBADMSG, "stream table"},
	    {68, 4, 96, EBADMSG, "stream table"},
	    {68, 4, 113, EBADMSG, "stream table"},
	    {68, 4, 96 + 16648 + 8, EBADMSG, "stream table"},
	    {72, 4, (32u << 20) + 1, EBADMSG, "limits"},
	};
	struct err err;
	uint32_t most = 32u << 20;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(decode_changed(cases[i].at, &cases[i].value,
						cases[i].bytes, &err),
				 -1);
		assert_int_equal(err.code, cases[i].code);
		assert_non_null(strstr(err.text, cases[i].says));
	}
	assert_int_equal(decode_changed(72, &most, 4, &err), 0);
	/* What a later release puts there may be ignored, or it would have
	 * raised the version. */
	assert_int_equal(decode_changed(96, &most, 4, &err), 0);
}

static void count_release(void *owner)
{
	++*(int *)owner;
}

static void test_open_round_trip(void **state)
{
	char name[BATCH_STREAM_NAME_BYTES + 1];
	struct wire wire;
	struct batch *b;
	struct err err;
	int released = 0;

	(void)state;
	wire_sample(&wire);
	b = batch_open(&wire.h, wire.index, wire.payload, &released,
		       count_release, &err);
	assert_non_null(b);
	assert_int_equal(b->stream_count, 2);
	assert_string_equal(batch_stream(b, 0, name), "order");
	assert_string_equal(batch_stream(b, 1, name), "product");
	assert_int_equal(b->events[0].bytes, 11);
	assert_memory_equal(b->payload + b->events[0].key_offset, "a1", 2);
	assert_int_equal(b->events[1].offset, 12);
	assert_int_equal(b->events[1].stream, 1);
	assert_int_equal(batch_bytes(b), 128 + 112 + 15);
	batch_ref(b);
	batch_unref(&(struct batch *){b});
	assert_int_equal(released, 0);
	batch_unref(&b);
	assert_null(b);
	assert_int_equal(released, 1);
	batch_unref(&b);
	wire_free(&wire);
}

static void test_open_takes_a_misaligned_index(void **state)
{
	struct wire wire;
	struct err err;

	(void)state;
	wire_sample(&wire);
	for (size_t shift = 1; shift < 8; shift++) {
		uint8_t *moved = xmalloc(wire.h.index_bytes + shift);
		struct batch *b;

		memcpy(moved + shift, wire.index, wire.h.index_bytes);
		b = batch_open(&wire.h, moved + shift, wire.payload, NULL, NULL,
			       &err);
		free(moved);
		assert_non_null(b);
		assert_int_equal(b->events[0].key_hash, 0x4142434445464748);
		assert_memory_equal(b->streams[1], "product", 7);
		batch_unref(&b);
	}
	wire_free(&wire);
}

static void test_open_refuses_any_flip_of_the_body(void **state)
{
	struct wire wire;
	struct err err;
	size_t index_bits, bits; /* of the index, and of both parts */

	(void)state;
	wire_sample(&wire);
	index_bits = (size_t)wire.h.index_bytes * 8;
	bits = index_bits + (size_t)wire.h.payload_bytes * 8;
	for (size_t bit = 0; bit < bits; bit++) {
		uint8_t *at = bit < index_bits ? wire.index + bit / 8
					       : (uint8_t *)wire.payload +
						     (bit - index_bits) / 8;

		*at ^= (uint8_t)(1u << bit % 8);
		assert_null(batch_open(&wire.h, wire.index, wire.payload, NULL,
				       NULL, &err));
		assert_int_equal(err.code, EBADMSG);
		*at ^= (uint8_t)(1u << bit % 8);
	}
	wire_free(&wire);
}

/* A peer with a bug sends a true crc over slices that lie. */
static void test_open_refuses_slices_out_of_range(void **state)
{
	const struct {
		struct batch_event e;
		bool ok;
	} cases[] = {
	    {{.offset = 0, .bytes = 11}, true},
	    {{.offset = 12, .bytes = 2}, true},
	    {{.offset = 9, .bytes = 2}, true}, /* no line start is required */
	    {{.offset = 0, .bytes = 0}, false},
	    {{.offset = 0, .bytes = 10}, false}, /* no '\n' behind it */
	    {{.offset = 12, .bytes = 3}, false},
	    {{.offset = 0, .bytes = 15}, false},
	    {{.offset = 15, .bytes = 1}, false},
	    {{.offset = UINT32_MAX, .bytes = 12}, false},
	    {{.offset = 12, .bytes = UINT32_MAX - 10}, false},
	    {{.offset = 0, .bytes = UINT32_MAX}, false},
	    {{.bytes = 11, .stream = 2}, false},
	    {{.bytes = 11, .stream = BATCH_NO_STREAM}, false},
	    {{.bytes = 11, .key_offset = 13, .key_bytes = 2}, true},
	    {{.bytes = 11, .key_offset = 14, .key_bytes = 2}, false},
	    {{.bytes = 11, .id_offset = 15, .id_bytes = 1}, false},
	    {{.bytes = 11, .id_offset = UINT32_MAX, .id_bytes = 2}, false},
	    {{.bytes = 11, .type_offset = 0, .type_bytes = 16}, false},
	    {{.bytes = 11, .type_offset = 16, .type_bytes = 0}, false},
	};
	struct wire wire;
	struct err err;

	(void)state;
	wire_sample(&wire);
	/* what happens to lie behind the payload must not count */
	wire.payload = xreallocarray(wire.payload, 16, 1);
	wire.payload[15] = '\n';
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct batch *b;

		*entry(&wire, 1) = cases[i].e;
		b = reopen(&wire, &err);
		assert_int_equal(b != NULL, cases[i].ok);
		if (!b)
			assert_non_null(strstr(err.text, "entry 1 "));
		batch_unref(&b);
	}
	wire_free(&wire);
}

static void test_open_refuses_bad_stream_tables(void **state)
{
	static const struct {
		const char *table;
		bool ok;
	} cases[] = {
	    {"\2\0\5order\7product", true},
	    {"\2\0\5order\7pro/uct", false},
	    {"\2\0\5order\7.roduct", false},
	    {"\2\0\5order\7pro\0uct", false},
	    {"\2\0\5order\0product", false}, /* an empty name */
	    {"\2\0\5order\10product", false},
	    {"\2\0\5order\377product", false},
	    {"\1\0\5order\7product", false}, /* eight bytes are left over */
	    {"\3\0\5order\7product", false},
	    {"\377\377\5order\7product", false},
	    {"\1\1\5order\7product", false}, /* 257 */
	};
	struct wire wire;
	struct err err;

	(void)state;
	wire_sample(&wire);
	entry(&wire, 1)->stream = 0; /* so that the table alone decides */
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct batch *b;

		memcpy(wire.index, cases[i].table, 16);
		b = reopen(&wire, &err);
		assert_int_equal(b != NULL, cases[i].ok);
		batch_unref(&b);
	}
	wire_free(&wire);
}

/* Random headers with a true crc, random bodies: refused or usable. */
static void test_open_survives_garbage(void **state)
{
	uint32_t seed = 12345;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		struct batch_header h = {.events = (uint32_t)round % 5};
		uint32_t bytes =
		    8u * (1u + (uint32_t)round % 4) + 48 * h.events;
		uint8_t *index = xmalloc(bytes);
		char *payload = xmalloc(32);
		struct batch *b;
		struct err err;

		for (uint32_t i = 0; i < bytes + 32; i++) {
			seed = seed * 1664525u + 1013904223u;
			/* mostly small values, so that some slices fit */
			if (i < bytes)
				index[i] = (uint8_t)(seed >> 24) % 4 == 0
					       ? (uint8_t)(seed >> 16) % 9
					       : 0;
			else
				payload[i - bytes] = seed >> 31 ? '\n' : 'x';
		}
		h.index_bytes = bytes;
		h.payload_bytes = 32;
		h.body_crc = crc32c(crc32c(0, index, bytes), payload, 32);
		b = batch_open(&h, index, payload, NULL, NULL, &err);
		for (uint32_t i = 0; b && i < h.events; i++)
			assert_int_equal(
			    payload[b->events[i].offset + b->events[i].bytes],
			    '\n');
		batch_unref(&b);
		free(index);
		free(payload);
	}
}

static void test_empty_batch(void **state)
{
	struct batch_builder *w = batch_builder_new();
	struct batch *b = batch_builder_seal(w, &sample_header), *back;
	struct wire wire;
	struct err err;

	(void)state;
	assert_int_equal(b->header.events, 0);
	assert_int_equal(b->header.index_bytes, 8);
	assert_int_equal(b->header.payload_bytes, 0);
	wire_from(&wire, b);
	assert_int_equal(batch_header_decode(wire.header, 128, &wire.h, &err),
			 0);
	back = batch_open(&wire.h, wire.index, NULL, NULL, NULL, &err);
	assert_non_null(back);
	assert_int_equal(back->stream_count, 0);
	batch_unref(&back);
	batch_unref(&b);
	wire_free(&wire);
	batch_builder_free(&w);
	batch_builder_free(&w);
}

static void test_builder_grows_and_starts_anew(void **state)
{
	struct batch_builder *w = batch_builder_new();
	struct wire wire;
	struct err err;
	char line[500];

	(void)state;
	for (uint32_t round = 0; round < 3; round++) {
		uint32_t events = round == 1 ? 7 : 9000;
		struct batch *b, *back;

		for (uint32_t i = 0; i < events; i++) {
			int n = snprintf(line, sizeof(line),
					 "{\"n\":%u,%0400d}", i, (int)i);

			assert_true(n > 400);
			put(w, i % 2 ? "odd" : "even", line, NULL);
		}
		assert_int_equal(batch_builder_events(w), events);
		b = batch_builder_seal(w, &sample_header);
		assert_int_equal(batch_builder_events(w), 0);
		assert_int_equal(batch_builder_offset(w), 0);
		wire_from(&wire, b);
		back = batch_open(&wire.h, wire.index, wire.payload, NULL, NULL,
				  &err);
		assert_non_null(back);
		assert_int_equal(back->stream_count, 2);
		snprintf(line, sizeof(line), "{\"n\":%u,", events - 1);
		assert_memory_equal(back->payload +
					back->events[events - 1].offset,
				    line, strlen(line));
		batch_unref(&back);
		batch_unref(&b);
		wire_free(&wire);
	}
	batch_builder_free(&w);
}

/* A small batch may wait long for its ack and must not hold a large buffer. */
static void test_a_small_batch_holds_little_memory(void **state)
{
	struct batch_builder *w = batch_builder_new();
	const char *room = batch_builder_room(w, 1);
	struct batch *small, *large;
	char line[1001];

	(void)state;
	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	put(w, "s", line, NULL);
	small = batch_builder_seal(w, &sample_header);
	assert_ptr_equal(batch_builder_room(w, 1), room);
	assert_ptr_not_equal(small->payload, room);
	for (int i = 0; i < 300; i++)
		put(w, "s", line, NULL);
	large = batch_builder_seal(w, &sample_header);
	assert_ptr_equal(large->payload, room);
	assert_memory_equal(small->payload, line, sizeof(line) - 1);
	batch_unref(&small);
	batch_unref(&large);
	batch_builder_free(&w);
}

static void test_builder_bytes_are_those_of_the_batch(void **state)
{
	struct batch_builder *w = batch_builder_new();
	struct batch *b;
	size_t bytes;

	(void)state;
	put(w, "a", "{}", NULL);
	put(w, "a_longer_name", "{\"x\":1}", NULL);
	bytes = batch_builder_bytes(w);
	b = batch_builder_seal(w, &sample_header);
	assert_int_equal(batch_bytes(b), bytes);
	batch_unref(&b);
	batch_builder_free(&w);
}

static void test_builder_rolls_back(void **state)
{
	struct batch_builder *w = batch_builder_new();
	uint32_t events, offset;
	struct batch *b;

	(void)state;
	put(w, "keep", "{\"a\":1}", NULL);
	events = batch_builder_events(w);
	offset = batch_builder_offset(w);
	put(w, "drop", "{\"b\":2}", NULL);
	batch_builder_rollback(w, events, offset);
	put(w, "keep", "{\"c\":3}", NULL);
	b = batch_builder_seal(w, &sample_header);
	assert_int_equal(b->header.events, 2);
	assert_int_equal(b->header.payload_bytes, 16);
	assert_memory_equal(b->payload, "{\"a\":1}\n{\"c\":3}\n", 16);
	batch_unref(&b);
	batch_builder_free(&w);
}

static void test_builder_streams(void **state)
{
	struct batch_builder *w = batch_builder_new();
	char name[80];
	struct batch *b;

	(void)state;
	for (int round = 0; round < 2; round++)
		for (uint16_t i = 0; i < BATCH_MAX_STREAMS; i++) {
			snprintf(name, sizeof(name), "stream_%u", i);
			assert_int_equal(
			    batch_builder_stream(w, name, strlen(name)), i);
		}
	assert_int_equal(batch_builder_stream(w, "more", 4), BATCH_NO_STREAM);
	b = batch_builder_seal(w, &sample_header);
	assert_int_equal(b->stream_count, BATCH_MAX_STREAMS);
	batch_unref(&b);
	assert_int_equal(batch_builder_stream(w, "more", 4), 0);
	assert_int_equal(batch_builder_stream(w, "", 0), BATCH_NO_STREAM);
	assert_int_equal(batch_builder_stream(w, "../x", 4), BATCH_NO_STREAM);
	assert_int_equal(batch_builder_stream(w, "a\0b", 3), BATCH_NO_STREAM);
	memset(name, 'n', sizeof(name));
	assert_int_equal(batch_builder_stream(w, name, 65), BATCH_NO_STREAM);
	assert_int_equal(batch_builder_stream(w, name, 64), 1);
	batch_builder_free(&w);
}

static void test_builder_fits(void **state)
{
	struct batch_builder *w = batch_builder_new();
	struct batch *b;

	(void)state;
	assert_true(
	    batch_builder_fits(w, BATCH_MAX_EVENTS, BATCH_MAX_PAYLOAD_BYTES));
	assert_false(batch_builder_fits(w, BATCH_MAX_EVENTS + 1, 0));
	assert_false(batch_builder_fits(w, 0, BATCH_MAX_PAYLOAD_BYTES + 1));
	for (uint32_t i = 0; i < BATCH_MAX_EVENTS; i++)
		put(w, "s", "{}", NULL);
	assert_false(batch_builder_fits(w, 1, 0));
	assert_true(batch_builder_fits(
	    w, 0, BATCH_MAX_PAYLOAD_BYTES - 3 * BATCH_MAX_EVENTS));
	assert_false(batch_builder_fits(w, 0, SIZE_MAX));
	b = batch_builder_seal(w, &sample_header);
	assert_int_equal(b->header.events, BATCH_MAX_EVENTS);
	batch_unref(&b);
	batch_builder_free(&w);
}

static void expect_slice(const struct batch *b, uint32_t offset, uint32_t bytes,
			 const char *wanted)
{
	assert_int_equal(bytes, strlen(wanted));
	assert_memory_equal(b->payload + offset, wanted, bytes);
}

/* A batch whose second event has its id behind its line. */
static struct batch *to_copy(void)
{
	struct batch_builder *w = batch_builder_new();
	struct batch_event e;
	struct batch *b;

	put(w, "first", "{\"k\":\"a\"}", "a");
	e = put(w, "second", "{\"k\":\"b\",\"type\":1}", "b");
	e.type_offset = e.offset + 2;
	e.type_bytes = 1;
	e.id_offset = batch_builder_offset(w);
	e.id_bytes = 4;
	e.version = 7;
	e.key_hash = 99;
	memcpy(batch_builder_room(w, 4), "id-b", 4);
	batch_builder_commit(w, 4);
	batch_builder_event(w, &e);
	b = batch_builder_seal(w, &sample_header);
	batch_builder_free(&w);
	return b;
}

static void test_builder_copies_events_as_they_are(void **state)
{
	struct batch_builder *w = batch_builder_new();
	char name[BATCH_STREAM_NAME_BYTES + 1];
	struct batch *from = to_copy(), *b, *opened;
	const struct batch_event *e;
	struct wire wire;
	struct err err;

	(void)state;
	assert_true(batch_builder_copy(w, from, 2));
	assert_true(batch_builder_copy(w, from, 0));
	b = batch_builder_seal(w, &sample_header);
	wire_from(&wire, b);
	opened =
	    batch_open(&wire.h, wire.index, wire.payload, NULL, NULL, &err);
	assert_non_null(opened);
	assert_int_equal(opened->header.events, 2);
	assert_int_equal(opened->stream_count, 2);
	e = &opened->events[0];
	assert_string_equal(batch_stream(opened, e->stream, name), "second");
	expect_slice(opened, e->offset, e->bytes, "{\"k\":\"b\",\"type\":1}");
	expect_slice(opened, e->key_offset, e->key_bytes, "b");
	expect_slice(opened, e->type_offset, e->type_bytes, "k");
	expect_slice(opened, e->id_offset, e->id_bytes, "id-b");
	assert_true(e->key_offset > e->offset);
	assert_true(e->key_offset < e->offset + e->bytes);
	assert_int_equal(e->version, 7);
	assert_int_equal(e->key_hash, 99);
	e = &opened->events[1];
	assert_string_equal(batch_stream(opened, e->stream, name), "first");
	expect_slice(opened, e->offset, e->bytes, "{\"k\":\"a\"}");
	expect_slice(opened, e->key_offset, e->key_bytes, "a");
	assert_int_equal(e->id_bytes, 0);
	batch_unref(&opened);
	batch_unref(&b);
	batch_unref(&from);
	wire_free(&wire);
	batch_builder_free(&w);
}

/* On the wire events may lie one over the other; copied they cannot. */
static void test_builder_copies_no_more_than_fits(void **state)
{
	struct batch_builder *w = batch_builder_new();
	struct batch_event e = {.bytes = BATCH_MAX_LINE_BYTES};
	struct batch *from;
	char *line;

	(void)state;
	line = batch_builder_room(w, (size_t)e.bytes + 1);
	memset(line, ' ', e.bytes);
	line[e.bytes] = '\n';
	batch_builder_commit(w, (size_t)e.bytes + 1);
	e.stream = batch_builder_stream(w, "s", 1);
	for (int i = 0; i < 5; i++)
		batch_builder_event(w, &e);
	from = batch_builder_seal(w, &sample_header);
	for (uint32_t i = 0; i < 3; i++)
		assert_true(batch_builder_copy(w, from, i));
	assert_false(batch_builder_copy(w, from, 3));
	assert_int_equal(batch_builder_events(w), 3);
	batch_unref(&from);
	batch_builder_free(&w);
}

static void test_relabel_shares_the_body(void **state)
{
	struct batch_header other = {.lane = {.epoch = 9, .number = 3},
				     .sequence = 77,
				     .flags = BATCH_MAPPED,
				     .created_at_us = 1,
				     .contract_set = 1};
	struct wire wire;
	struct batch *b, *first, *second;
	struct err err;
	int released = 0;

	(void)state;
	wire_sample(&wire);
	b = batch_open(&wire.h, wire.index, wire.payload, &released,
		       count_release, &err);
	assert_non_null(b);
	first = batch_relabel(b, &other);
	other.sequence = 78;
	second = batch_relabel(first, &other);
	batch_unref(&b);
	assert_int_equal(first->header.sequence, 77);
	assert_int_equal(first->header.lane.epoch, 9);
	assert_int_equal(first->header.flags, BATCH_MAPPED);
	assert_int_equal(first->header.created_at_us,
			 sample_header.created_at_us);
	assert_int_equal(first->header.contract_set,
			 sample_header.contract_set);
	assert_int_equal(first->header.body_crc, wire.h.body_crc);
	batch_unref(&first);
	assert_int_equal(released, 0);
	assert_ptr_equal(second->payload, wire.payload);
	/* no chain: a batch that is resent for hours has one body behind it */
	assert_ptr_equal(((struct batch *)second->owner)->owner, &released);
	assert_int_equal(second->header.sequence, 78);
	assert_int_equal(second->stream_count, 2);
	assert_memory_equal(second->streams[1], "product", 7);
	batch_unref(&second);
	assert_int_equal(released, 1);
	wire_free(&wire);
}

static void *take_and_drop(void *arg)
{
	for (int i = 0; i < 20000; i++) {
		struct batch *mine = batch_ref(arg);
		struct batch *label = batch_relabel(mine, &sample_header);

		batch_unref(&mine);
		batch_unref(&label);
	}
	return NULL;
}

static void test_references_from_several_threads(void **state)
{
	struct wire wire;
	pthread_t threads[4];
	struct batch *b;
	struct err err;
	int released = 0;

	(void)state;
	wire_sample(&wire);
	b = batch_open(&wire.h, wire.index, wire.payload, &released,
		       count_release, &err);
	assert_non_null(b);
	for (int i = 0; i < 4; i++)
		assert_int_equal(
		    pthread_create(&threads[i], NULL, take_and_drop, b), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(released, 0);
	assert_int_equal(atomic_load(&b->references), 1);
	batch_unref(&b);
	assert_int_equal(released, 1);
	wire_free(&wire);
}

static void *unref_thread(void *arg)
{
	struct batch *b = arg;

	batch_unref(&b);
	return NULL;
}

/* The commit thread often drops the last reference of what the loop sealed. */
static void test_memory_comes_back_from_another_thread(void **state)
{
	struct batch_builder *w = batch_builder_new();
	char line[4001];
	const char *first = NULL;
	int same = 0;

	(void)state;
	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	for (int round = 0; round < 20; round++) {
		struct batch *b;
		pthread_t thread;

		for (int i = 0; i < 64; i++)
			put(w, "s", line, NULL);
		b = batch_builder_seal(w, &sample_header);
		if (!first)
			first = b->payload;
		same += b->payload == first;
		assert_int_equal(pthread_create(&thread, NULL, unref_thread, b),
				 0);
		pthread_join(thread, NULL);
	}
	assert_int_equal(same, 20);
	batch_builder_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_header_golden_bytes),
	    cmocka_unit_test(test_index_golden_bytes),
	    cmocka_unit_test(test_index_pads_the_stream_table),
	    cmocka_unit_test(test_header_round_trip),
	    cmocka_unit_test(test_header_truncations_and_flips_are_refused),
	    cmocka_unit_test(test_header_limits),
	    cmocka_unit_test(test_open_round_trip),
	    cmocka_unit_test(test_open_takes_a_misaligned_index),
	    cmocka_unit_test(test_open_refuses_any_flip_of_the_body),
	    cmocka_unit_test(test_open_refuses_slices_out_of_range),
	    cmocka_unit_test(test_open_refuses_bad_stream_tables),
	    cmocka_unit_test(test_open_survives_garbage),
	    cmocka_unit_test(test_empty_batch),
	    cmocka_unit_test(test_builder_grows_and_starts_anew),
	    cmocka_unit_test(test_a_small_batch_holds_little_memory),
	    cmocka_unit_test(test_builder_bytes_are_those_of_the_batch),
	    cmocka_unit_test(test_builder_rolls_back),
	    cmocka_unit_test(test_builder_streams),
	    cmocka_unit_test(test_builder_fits),
	    cmocka_unit_test(test_builder_copies_events_as_they_are),
	    cmocka_unit_test(test_builder_copies_no_more_than_fits),
	    cmocka_unit_test(test_relabel_shares_the_body),
	    cmocka_unit_test(test_references_from_several_threads),
	    cmocka_unit_test(test_memory_comes_back_from_another_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
