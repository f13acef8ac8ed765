/* crc32c() against published vectors, and in parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"

static void knows_the_check_value(void **state)
{
	(void)state;
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(0, "", 0), 0);
	assert_int_equal(crc32c(0x1234, NULL, 0), 0x1234);
}

/* RFC 3720 appendix B.4. The RFC prints the bytes in wire order. */
static void knows_the_vectors_of_rfc_3720(void **state)
{
	uint8_t bytes[32];
	static const uint8_t read_pdu[48] = {
	    0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,	 0, 0, 0, 0,
	    0x14, 0,	0, 0, 0, 0, 4, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18,
	    0x28, 0,	0, 0, 0, 0, 0, 0, 2, 0, 0, 0,	 0, 0, 0, 0,
	};

	(void)state;
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(crc32c(0, bytes, 32), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(crc32c(0, bytes, 32), 0x62a8ab43);
	for (uint8_t i = 0; i < 32; i++)
		bytes[i] = i;
	assert_int_equal(crc32c(0, bytes, 32), 0x46dd794e);
	for (uint8_t i = 0; i < 32; i++)
		bytes[i] = (uint8_t)(31 - i);
	assert_int_equal(crc32c(0, bytes, 32), 0x113fdb5c);
	assert_int_equal(crc32c(0, read_pdu, 48), 0xd9963a56);
}

static void goes_on_from_any_split(void **state)
{
	uint8_t bytes[300];
	uint32_t whole;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 37 + 11);
	whole = crc32c(0, bytes, sizeof(bytes));
	for (size_t cut = 0; cut <= sizeof(bytes); cut++) {
		uint32_t crc = crc32c(0, bytes, cut);

		crc = crc32c(crc, bytes + cut, sizeof(bytes) - cut);
		assert_int_equal(crc, whole);
	}
}

static void sees_one_changed_bit(void **state)
{
	uint8_t bytes[64] = {0};
	uint32_t before = crc32c(0, bytes, sizeof(bytes));

	(void)state;
	for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(crc32c(0, bytes, sizeof(bytes)), before);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(knows_the_check_value),
	    cmocka_unit_test(knows_the_vectors_of_rfc_3720),
	    cmocka_unit_test(goes_on_from_any_split),
	    cmocka_unit_test(sees_one_changed_bit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
