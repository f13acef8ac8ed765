/* Exact decimals: what a number's text means, without doubles. */
#ifndef WEFT_CONTRACT_DECIMAL_H
#define WEFT_CONTRACT_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define DECIMAL_MAX_PRECISION 38
#define DECIMAL_TEXT_BYTES    42 /* sign, 39 digits, point, NUL */

__extension__ typedef __int128 decimal_value;

enum decimal_result {
	DECIMAL_OK,
	DECIMAL_NOT_A_NUMBER,
	DECIMAL_TOO_LARGE, /* more digits before the point than fit */
	DECIMAL_TOO_FINE,  /* more digits behind the point than the scale */
};

/*
 * Reads JSON's number grammar, exponent included, as value * 10^-scale with at
 * most `precision` digits. Trailing zeros never count. *value is set only with
 * DECIMAL_OK. precision 1 to 38, scale 0 to precision.
 */
enum decimal_result decimal_parse(const char *text, size_t bytes,
				  unsigned precision, unsigned scale,
				  decimal_value *value) MUST_CHECK;

/*
 * As decimal_parse, but what is finer than the scale is rounded to it, half to
 * even, over all digits of the text; DECIMAL_TOO_LARGE when that carries into
 * one digit too many. Never DECIMAL_TOO_FINE.
 */
enum decimal_result decimal_round(const char *text, size_t bytes,
				  unsigned precision, unsigned scale,
				  decimal_value *value) MUST_CHECK;

/*
 * Writes value * 10^-scale with all `scale` digits behind the point, and a
 * NUL. Zero has no sign. Returns the bytes before the NUL.
 */
size_t decimal_format(decimal_value value, unsigned scale,
		      char text[DECIMAL_TEXT_BYTES]);

/* True only for what has no exponent and at most `scale` digits behind the
 * point, so that no rounding can change it. */
static inline bool decimal_is_short(const char *text, size_t bytes,
				    unsigned scale)
{
	size_t whole = bytes;

	for (size_t i = 0; i < bytes; i++) {
		if ((text[i] | 0x20) == 'e')
			return false;
		if (text[i] == '.')
			whole = i + 1;
	}
	return bytes - whole <= scale;
}

/* An integer without point or exponent. 0, or -1 (not one), 1 (no int64). */
int decimal_parse_integer(const char *text, size_t bytes,
			  int64_t *value) MUST_CHECK;

#endif
