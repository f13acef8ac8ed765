#include "spool/mend.h"

#include "base/crc32c.h"

/* RFC 3720's polynomial, bits reversed as crc32c() has them. */
#define POLYNOMIAL 0x82f63b78u

bool mend_bit(uint8_t *data, size_t bytes, uint32_t *crc)
{
	uint32_t error = crc32c(0, data, bytes) ^ *crc;
	/* What a flipped bit does to the crc, from the last bit backwards. */
	uint32_t effect = POLYNOMIAL;

	if (!error)
		return true;
	if (!(error & (error - 1))) {
		*crc ^= error;
		return true;
	}
	for (size_t at = bytes; at-- > 0;)
		for (int bit = 7; bit >= 0; bit--) {
			if (effect == error) {
				data[at] ^= (uint8_t)(1u << bit);
				return true;
			}
			effect = effect >> 1 ^ (effect & 1 ? POLYNOMIAL : 0);
		}
	return false;
}
