/* UUIDs: version bits, uniqueness, text both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/uuid.h"

#define MANY 20000

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct uuid));
}

static void are_version_4_and_all_different(void **state)
{
	struct uuid *ids = xcalloc(MANY, sizeof(*ids));

	(void)state;
	for (size_t i = 0; i < MANY; i++) {
		ids[i] = uuid_new();
		assert_int_equal(ids[i].bytes[6] >> 4, 4);
		assert_int_equal(ids[i].bytes[8] >> 6, 2);
	}
	qsort(ids, MANY, sizeof(*ids), by_bytes);
	for (size_t i = 1; i < MANY; i++)
		assert_memory_not_equal(&ids[i - 1], &ids[i], sizeof(*ids));
	free(ids);
}

/* Every other bit takes both values: nothing is left unfilled. */
static void fill_every_random_bit(void **state)
{
	struct uuid all = {{0}}, none;

	(void)state;
	memset(&none, 0xff, sizeof(none));
	for (int i = 0; i < 2000; i++) {
		struct uuid id = uuid_new();

		for (int j = 0; j < UUID_BYTES; j++) {
			all.bytes[j] |= id.bytes[j];
			none.bytes[j] &= id.bytes[j];
		}
	}
	for (int j = 0; j < UUID_BYTES; j++) {
		uint8_t fixed = j == 6 ? 0xf0 : j == 8 ? 0xc0 : 0;

		assert_int_equal(all.bytes[j] | fixed, 0xff);
		assert_int_equal(none.bytes[j] & ~fixed & 0xff, 0);
	}
}

static void have_the_text_of_rfc_9562(void **state)
{
	struct uuid id = {{0x91, 0x91, 0x08, 0xf7, 0x52, 0xd1, 0x43, 0x20, 0x9b,
			   0xac, 0xf8, 0x47, 0xdb, 0x41, 0x48, 0xa8}};
	char text[UUID_TEXT_BYTES];
	struct uuid back;

	(void)state;
	assert_ptr_equal(uuid_format(&id, text), text);
	assert_string_equal(text, "919108f7-52d1-4320-9bac-f847db4148a8");
	assert_int_equal(uuid_parse(text, 36, &back), 0);
	assert_memory_equal(&back, &id, sizeof(id));
	assert_int_equal(
	    uuid_parse("919108F7-52D1-4320-9BAC-F847DB4148A8", 36, &back), 0);
	assert_memory_equal(&back, &id, sizeof(id));
}

static void refuse_other_texts(void **state)
{
	static const char *const bad[] = {
	    "",
	    "919108f7",
	    "919108f752d143209bacf847db4148a8",
	    "919108f7-52d1-4320-9bac-f847db4148a",
	    "919108f7-52d1-4320-9bac-f847db4148a8 ",
	    "919108f7-52d1-4320-9bac-f847db4148ag",
	    "919108f7 52d1-4320-9bac-f847db4148a8",
	    "919108f75-2d1-4320-9bac-f847db4148a8",
	    "{19108f7-52d1-4320-9bac-f847db4148a}",
	    "919108f7-52d1-4320-9bac\0f847db4148a8",
	};
	struct uuid id;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(uuid_parse(bad[i], strlen(bad[i]), &id), -1);
	assert_int_equal(uuid_parse(bad[9], 36, &id), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(are_version_4_and_all_different),
	    cmocka_unit_test(fill_every_random_bit),
	    cmocka_unit_test(have_the_text_of_rfc_9562),
	    cmocka_unit_test(refuse_other_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
