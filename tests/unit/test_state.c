#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "proto/state.h"

static const struct state_lane sample_lanes[2] = {
    {{{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
      0x1112131415161718,
      0x21222324},
     0x3132333435363738},
    {{{{0xff}}, 1, 0}, 0},
};

static const struct state sample = {
    .name = "transformer.0",
    .incarnation = {{0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9,
		     0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf}},
    .log_id = {{0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9,
		0xba, 0xbb, 0xbc, 0xbd, 0xbe, 0xbf}},
    .generation = 0x4142434445464748,
    .history = 0x5152535455565758,
    .complete = true,
    .lane_count = 2,
    .lanes = sample_lanes,
};

static void make_crc(struct buf *b)
{
	uint32_t crc = crc32c(0, b->data, b->used - 4);

	memcpy(b->data + b->used - 4, &crc, 4);
}

static void flip(struct buf *b, size_t bit)
{
	uint8_t *at = (uint8_t *)b->data + bit / 8;

	*at = (uint8_t)(*at ^ 1u << bit % 8);
}

static int decode(const struct buf *b, struct err *err)
{
	struct state_lane *lanes = NULL;
	struct state out;
	int result =
	    state_decode((const uint8_t *)b->data, b->used, &out, &lanes, err);

	free(lanes);
	return result;
}

static void test_golden_bytes(void **state)
{
	/* clang-format off */
	static const uint8_t want[] = {
		'W', 'S', 'T', 'A', 1, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0,
		0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
		0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf,
		0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7,
		0xb8, 0xb9, 0xba, 0xbb, 0xbc, 0xbd, 0xbe, 0xbf,
		0x48, 0x47, 0x46, 0x45, 0x44, 0x43, 0x42, 0x41,
		0x58, 0x57, 0x56, 0x55, 0x54, 0x53, 0x52, 0x51,
		't', 'r', 'a', 'n', 's', 'f', 'o', 'r',
		'm', 'e', 'r', '.', '0', 0, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
		0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11,
		0x38, 0x37, 0x36, 0x35, 0x34, 0x33, 0x32, 0x31,
		0x24, 0x23, 0x22, 0x21, 0, 0, 0, 0,
		0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 0,
	};
	/* clang-format on */
	struct buf b = {0};
	uint32_t crc;

	(void)state;
	buf_text(&b, "before");
	state_encode(&sample, &b);
	assert_int_equal(b.used, 6 + STATE_BYTES(2));
	assert_int_equal(sizeof(want) + 4, STATE_BYTES(2));
	assert_memory_equal(b.data + 6, want, sizeof(want));
	crc = crc32c(0, want, sizeof(want));
	assert_memory_equal(b.data + 6 + sizeof(want), &crc, 4);
	buf_free(&b);
}

/* What a later release takes besides is nothing to this one. */
static void test_what_is_taken(void **state)
{
	struct state_lane *lanes = NULL;
	struct state out, takes = sample;
	struct buf b = {0};
	struct err err;

	(void)state;
	takes.references = true;
	state_encode(&takes, &b);
	assert_int_equal(b.data[12], 1);
	b.data[12] = (char)0xff;
	b.data[15] = (char)0xff;
	make_crc(&b);
	assert_int_equal(
	    state_decode((const uint8_t *)b.data, b.used, &out, &lanes, &err),
	    0);
	assert_true(out.references);
	b.data[12] = (char)0xfe;
	make_crc(&b);
	assert_int_equal(
	    state_decode((const uint8_t *)b.data, b.used, &out, &lanes, &err),
	    0);
	assert_false(out.references);
	free(lanes);
	buf_free(&b);
}

static void test_round_trip(void **state)
{
	struct state_lane *lanes = NULL;
	struct state out, none = sample;
	struct buf b = {0};
	struct err err;

	(void)state;
	state_encode(&sample, &b);
	assert_int_equal(
	    state_decode((uint8_t *)b.data, b.used, &out, &lanes, &err), 0);
	assert_string_equal(out.name, "transformer.0");
	assert_memory_equal(&out.incarnation, &sample.incarnation, 16);
	assert_memory_equal(&out.log_id, &sample.log_id, 16);
	assert_true(out.generation == sample.generation);
	assert_true(out.history == sample.history);
	assert_true(out.complete);
	assert_int_equal(out.lane_count, 2);
	assert_ptr_equal(out.lanes, lanes);
	assert_memory_equal(&lanes[0].lane.source, &sample_lanes[0].lane.source,
			    16);
	assert_true(lanes[0].lane.epoch == sample_lanes[0].lane.epoch);
	assert_true(lanes[0].through == sample_lanes[0].through);
	assert_int_equal(lanes[0].lane.number, 0x21222324);
	assert_int_equal(lanes[1].lane.source.bytes[0], 0xff);

	/* the same array again, for a message with no lanes, not complete */
	none.lane_count = 0;
	none.complete = false;
	buf_clear(&b);
	state_encode(&none, &b);
	assert_int_equal(
	    state_decode((uint8_t *)b.data, b.used, &out, &lanes, &err), 0);
	assert_int_equal(out.lane_count, 0);
	assert_false(out.complete);
	free(lanes);
	buf_free(&b);
}

static void test_the_most_lanes(void **state)
{
	struct state_lane *many = xcalloc(STATE_MAX_LANES, sizeof(*many));
	struct state_lane *lanes = NULL;
	struct state in = sample, out;
	struct buf b = {0};
	struct err err;

	(void)state;
	for (uint32_t i = 0; i < STATE_MAX_LANES; i++)
		many[i].through = i;
	in.lanes = many;
	in.lane_count = STATE_MAX_LANES;
	state_encode(&in, &b);
	assert_int_equal(
	    state_decode((uint8_t *)b.data, b.used, &out, &lanes, &err), 0);
	for (uint32_t i = 0; i < STATE_MAX_LANES; i++)
		assert_int_equal(lanes[i].through, i);
	free(lanes);
	free(many);
	buf_free(&b);
}

static void test_truncations_and_flips_are_refused(void **state)
{
	struct state_lane *lanes = NULL;
	struct state out = {.name = "as it was"};
	struct buf b = {0};
	struct err err;

	(void)state;
	state_encode(&sample, &b);
	for (size_t n = 0; n < b.used; n++) {
		uint8_t *cut = xmalloc(n);

		memcpy(cut, b.data, n);
		assert_int_equal(state_decode(cut, n, &out, &lanes, &err), -1);
		free(cut);
	}
	for (size_t bit = 0; bit < b.used * 8; bit++) {
		flip(&b, bit);
		assert_int_equal(decode(&b, &err), -1);
		flip(&b, bit);
	}
	buf_char(&b, 0);
	assert_int_equal(decode(&b, &err), -1);
	assert_null(lanes);
	assert_string_equal(out.name, "as it was");
	buf_free(&b);
}

/* What only a wrong sender sends: the crc is true. */
static void test_fields_out_of_limits_are_refused(void **state)
{
	const struct {
		size_t at;
		const char *bytes;
		size_t count;
		int code;
		const char *says;
	} cases[] = {
	    {0, "WBAT", 4, EBADMSG, "another program"},
	    {4, "\2", 1, EPROTO, "version 2"},
	    {6, "\3", 1, EPROTO, "flags 0x3"},
	    {8, "\1\0\0\0", 4, EBADMSG, "1 lanes"},
	    {8, "\3\0\0\0", 4, EBADMSG, "3 lanes"},
	    {8, "\1\x10\0\0", 4, EBADMSG, "4097 lanes"},
	    {8, "\xff\xff\xff\xff", 4, EBADMSG, "4294967295 lanes"},
	    {64, "\0", 1, EBADMSG, "name"},
	    {64, "a b", 3, EBADMSG, "name"},
	    {64, "a\nb", 3, EBADMSG, "name"},
	    {100, "x", 1, EBADMSG, "name"},
	    {77, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 51,
	     EBADMSG, "name"},
	};
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf b = {0};

		state_encode(&sample, &b);
		memcpy(b.data + cases[i].at, cases[i].bytes, cases[i].count);
		make_crc(&b);
		assert_int_equal(decode(&b, &err), -1);
		assert_int_equal(err.code, cases[i].code);
		assert_non_null(strstr(err.text, cases[i].says));
		buf_free(&b);
	}
}

static void test_reserved_bytes_are_ignored(void **state)
{
	struct buf b = {0};
	struct err err;

	(void)state;
	state_encode(&sample, &b);
	b.data[12] = 1;
	b.data[128 + 36] = 1;
	make_crc(&b);
	assert_int_equal(decode(&b, &err), 0);
	buf_free(&b);
}

static void test_garbage_is_refused(void **state)
{
	uint32_t seed = 7;

	(void)state;
	for (size_t round = 0; round < 5000; round++) {
		size_t bytes = round % 300;
		struct buf b = {0};
		struct err err;

		for (size_t i = 0; i < bytes; i++) {
			seed = seed * 1664525u + 1013904223u;
			buf_char(&b, (char)(seed >> 24));
		}
		if (bytes >= 132) {
			memcpy(b.data, "WSTA\1\0\0\0", 8);
			make_crc(&b);
		}
		assert_int_equal(decode(&b, &err), -1);
		buf_free(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_golden_bytes),
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_what_is_taken),
	    cmocka_unit_test(test_the_most_lanes),
	    cmocka_unit_test(test_truncations_and_flips_are_refused),
	    cmocka_unit_test(test_fields_out_of_limits_are_refused),
	    cmocka_unit_test(test_reserved_bytes_are_ignored),
	    cmocka_unit_test(test_garbage_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
