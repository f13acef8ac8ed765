/*
 * Setting right what a checksum proves to be one flipped bit. Pure; any thread.
 */
#ifndef WEFT_SPOOL_MEND_H
#define WEFT_SPOOL_MEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Makes data and *crc, its stored crc32c, agree by flipping at most one bit in
 * either. Two or three flipped bits, and any even number, are never taken for
 * one (the code's distance is 4 up to 256 MiB, and its polynomial is divisible
 * by x + 1); random damage is with a chance of bits / 2^32, so the caller
 * checks what was mended by other means too. False, and nothing changed, when
 * it is not one bit. Costs a step a bit.
 */
bool mend_bit(uint8_t *data, size_t bytes, uint32_t *crc);

#endif
