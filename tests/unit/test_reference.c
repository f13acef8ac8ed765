/* References: their bytes, and what is refused of bytes that are none. */
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
#include "proto/batch.h"

static const struct reference sample = {
    .log = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
    .position = 0x1122334455667788,
    .next = 0x1122334455667f88,
    .bodies_crc = 0x21222324,
    .dir = "/var/log",
};

/* As it lies on the wire, with room for more. */
struct wire {
	uint8_t data[2 * REFERENCE_DIR_BYTES];
	size_t bytes;
};

static struct wire encoded(const struct reference *r)
{
	struct wire w = {.bytes = reference_bytes(r)};

	reference_encode(r, w.data);
	return w;
}

static void make_crc(struct wire *w)
{
	uint32_t crc = crc32c(0, w->data, w->bytes - 4);

	memcpy(w->data + w->bytes - 4, &crc, 4);
}

static void refuse(const struct wire *w, const char *why)
{
	struct reference out = sample;
	struct err err;

	assert_int_equal(reference_decode(w->data, w->bytes, &out, &err), -1);
	assert_non_null(strstr(err.text, why));
	assert_memory_equal(&out, &sample, sizeof(out));
}

static void test_golden_bytes(void **state)
{
	/* clang-format off */
	static const uint8_t want[] = {
		'W', 'R', 'E', 'F', 1, 0, 8, 0,
		1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
		0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
		0x88, 0x7f, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
		0x24, 0x23, 0x22, 0x21, 0, 0, 0, 0,
		'/', 'v', 'a', 'r', '/', 'l', 'o', 'g',
	};
	/* clang-format on */
	struct wire w = encoded(&sample);
	uint32_t crc = crc32c(0, want, sizeof(want));

	(void)state;
	assert_int_equal(w.bytes, sizeof(want) + 4);
	assert_memory_equal(w.data, want, sizeof(want));
	assert_memory_equal(w.data + sizeof(want), &crc, 4);
}

static void test_round_trip(void **state)
{
	struct reference longest = sample, out;
	struct wire w = encoded(&sample);
	struct err err;

	(void)state;
	assert_int_equal(reference_decode(w.data, w.bytes, &out, &err), 0);
	assert_memory_equal(&out, &sample, sizeof(out));
	memset(longest.dir + 1, 'd', sizeof(longest.dir) - 2);
	w = encoded(&longest);
	assert_int_equal(reference_decode(w.data, w.bytes, &out, &err), 0);
	assert_string_equal(out.dir, longest.dir);
	assert_int_equal(strlen(out.dir), REFERENCE_DIR_BYTES - 1);
}

static void test_refuses_damage_anywhere(void **state)
{
	struct wire w = encoded(&sample);
	struct reference out;
	struct err err;

	(void)state;
	for (size_t bit = 0; bit < 8 * w.bytes; bit++) {
		w.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(reference_decode(w.data, w.bytes, &out, &err),
				 -1);
		w.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t bytes = 0; bytes < w.bytes; bytes++)
		assert_int_equal(reference_decode(w.data, bytes, &out, &err),
				 -1);
}

static void test_refuses_other_versions(void **state)
{
	struct wire w = encoded(&sample);

	(void)state;
	w.data[4] = 2;
	make_crc(&w);
	refuse(&w, "version 2, this program reads version 1; run the same "
		   "release of Weft at both ends");
}

static void test_refuses_directories_that_are_none(void **state)
{
	struct wire w = encoded(&sample);

	(void)state;
	w.data[48] = '.';
	make_crc(&w);
	refuse(&w, "no absolute path");
	w = encoded(&sample);
	w.data[50] = '\0';
	make_crc(&w);
	refuse(&w, "no absolute path");
	w = encoded(&sample);
	w.data[6] = 7; /* shorter than what is there */
	make_crc(&w);
	refuse(&w, "says that its directory has 7");
	w = encoded(&sample);
	w.data[6] = 0;
	w.bytes = 52;
	make_crc(&w);
	refuse(&w, "no absolute path");
	w = encoded(&sample);
	memset(w.data + 49, 'd', REFERENCE_DIR_BYTES);
	w.data[6] = REFERENCE_DIR_BYTES & 0xff;
	w.data[7] = REFERENCE_DIR_BYTES >> 8;
	w.bytes = 52 + REFERENCE_DIR_BYTES;
	make_crc(&w);
	refuse(&w, "the limit is 1023");
}

static void refuse_range(uint64_t position, uint64_t next)
{
	struct wire w = encoded(&sample);

	memcpy(w.data + 24, &position, 8);
	memcpy(w.data + 32, &next, 8);
	make_crc(&w);
	refuse(&w, "which no batch can be made of");
}

static void test_refuses_ranges_that_are_none(void **state)
{
	(void)state;
	refuse_range(1000, 1000);
	refuse_range(1000, 900);
	refuse_range(0, REFERENCE_MAX_SPAN + 1);
	refuse_range(UINT64_MAX - 8, UINT64_MAX);
	refuse_range(INT64_MAX, 8);
}

/* Neither the order of bodies nor their number can change unseen. */
static void test_the_crc_of_bodies_tells_them_apart(void **state)
{
	uint32_t a = 0x11111111, b = 0x22222222;

	(void)state;
	assert_int_not_equal(reference_crc(reference_crc(0, a), b),
			     reference_crc(reference_crc(0, b), a));
	assert_int_not_equal(reference_crc(0, a), 0);
	assert_int_not_equal(reference_crc(reference_crc(0, a), 0),
			     reference_crc(0, a));
}

static void test_a_batch_without_a_body(void **state)
{
	struct batch_header header = {
	    .events = 2, .index_bytes = 200, .payload_bytes = 1000};
	struct reference r = sample;
	struct batch *b = batch_refer(&header, &r), *again;

	(void)state;
	memset(&r, 0, sizeof(r));
	assert_memory_equal(b->reference, &sample, sizeof(sample));
	assert_int_equal(batch_bytes(b), BATCH_HEADER_BYTES + 1200);
	assert_null(b->payload);
	again = batch_ref(b);
	batch_unref(&b);
	assert_string_equal(again->reference->dir, sample.dir);
	batch_unref(&again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_golden_bytes),
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_refuses_damage_anywhere),
	    cmocka_unit_test(test_refuses_other_versions),
	    cmocka_unit_test(test_refuses_directories_that_are_none),
	    cmocka_unit_test(test_refuses_ranges_that_are_none),
	    cmocka_unit_test(test_the_crc_of_bodies_tells_them_apart),
	    cmocka_unit_test(test_a_batch_without_a_body),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
