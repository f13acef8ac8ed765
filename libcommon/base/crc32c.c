#include "base/crc32c.h"

#include <isa-l/crc.h>
#include <limits.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t bytes)
{
	/* The library takes a mutable pointer, an int length, and leaves both
	 * complements to its caller. */
	unsigned char *at = (unsigned char *)(uintptr_t)data;

	crc = ~crc;
	while (bytes) {
		int step = bytes > INT_MAX ? INT_MAX : (int)bytes;

		crc = crc32_iscsi(at, step, crc);
		at += step;
		bytes -= (size_t)step;
	}
	return ~crc;
}
