/* The refusal message: there and back, and whatever else may come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "base/crc32c.h"
#include "proto/refusal.h"

static void add(struct refusal *r, const char *name)
{
	refusal_add(r, name, strlen(name));
}

static bool has(const struct refusal *r, const char *name)
{
	return refusal_has(r, name, strlen(name));
}

static int decode(const struct buf *b, struct refusal *r, struct err *err)
{
	return refusal_decode((const uint8_t *)b->data, b->used, r, err);
}

static void names_come_back(void **state)
{
	struct refusal r = {0}, back = {0};
	struct buf frame = {0};
	struct err err;

	(void)state;
	add(&r, "order");
	add(&r, "product.eu-1");
	add(&r, "order");
	assert_int_equal(r.count, 2);
	refusal_encode(&r, &frame);
	assert_true(refusal_is((const uint8_t *)frame.data, frame.used));
	assert_int_equal(decode(&frame, &back, &err), 0);
	assert_memory_equal(&r, &back, sizeof(r));
	assert_true(has(&back, "order") && has(&back, "product.eu-1"));
	assert_false(has(&back, "orde") || has(&back, "orders"));
	buf_clear(&frame);
	refusal_encode(&(struct refusal){0}, &frame);
	assert_int_equal(decode(&frame, &back, &err), 0);
	assert_int_equal(back.count, 0);
	buf_free(&frame);
}

static void what_is_no_name_is_left_out(void **state)
{
	struct refusal r = {0};
	char name[70];

	(void)state;
	add(&r, "");
	add(&r, "-a");
	add(&r, "a b");
	memset(name, 'a', sizeof(name));
	refusal_add(&r, name, 65);
	refusal_add(&r, "a\0b", 3);
	assert_int_equal(r.count, 0);
	for (int i = 0; i < REFUSAL_MAX_STREAMS + 5; i++) {
		snprintf(name, sizeof(name), "s%d", i);
		add(&r, name);
	}
	assert_int_equal(r.count, REFUSAL_MAX_STREAMS);
}

static void make_crc(struct buf *b)
{
	uint32_t crc = crc32c(0, b->data, b->used - 4);

	memcpy(b->data + b->used - 4, &crc, 4);
}

static void damage_is_refused(void **state)
{
	struct refusal r = {0}, kept;
	struct buf frame = {0};
	struct err err;

	(void)state;
	add(&r, "order");
	refusal_encode(&r, &frame);
	memset(&kept, 7, sizeof(kept));
	for (size_t bytes = 0; bytes < frame.used; bytes++) {
		struct refusal out = kept;

		assert_int_equal(refusal_decode((const uint8_t *)frame.data,
						bytes, &out, &err),
				 -1);
		assert_memory_equal(&out, &kept, sizeof(kept));
	}
	for (size_t bit = 0; bit < frame.used * 8; bit++) {
		frame.data[bit / 8] ^= (char)(1 << bit % 8);
		assert_int_equal(decode(&frame, &r, &err), -1);
		frame.data[bit / 8] ^= (char)(1 << bit % 8);
	}
	frame.data[4] = 2;
	make_crc(&frame);
	assert_int_equal(decode(&frame, &r, &err), -1);
	assert_int_equal(err.code, EPROTO);
	assert_non_null(strstr(err.text, "same release"));
	frame.data[4] = 1;
	/* Counts and lengths that lie. */
	for (int value = 0; value < 256; value++) {
		if (value != 1) {
			frame.data[6] = (char)value;
			make_crc(&frame);
			assert_int_equal(decode(&frame, &r, &err), -1);
		}
		frame.data[6] = 1;
		if (value == 5)
			continue;
		frame.data[8] = (char)value;
		make_crc(&frame);
		assert_int_equal(decode(&frame, &r, &err), -1);
		frame.data[8] = 5;
	}
	buf_free(&frame);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names_come_back),
	    cmocka_unit_test(what_is_no_name_is_left_out),
	    cmocka_unit_test(damage_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
