/* CRC-32C (Castagnoli, RFC 3720 appendix B.4) by Intel's ISA-L. */
#ifndef WEFT_BASE_CRC32C_H
#define WEFT_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/*
 * The checksum of `bytes` bytes continued from `crc` (0 at the start):
 * crc32c(crc32c(0, a), b) is the checksum of a then b. "123456789" gives
 * 0xe3069283. Any thread.
 */
uint32_t crc32c(uint32_t crc, const void *data, size_t bytes);

#endif
