/* Exact decimals: what a number's text means, without doubles. */
#ifndef WEFT_CONTRACT_DECIMAL_H
#define WEFT_CONTRACT_DECIMAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define DECIMAL_MAX_PRECISION 38

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

/* An integer without point or exponent. 0, or -1 (not one), 1 (no int64). */
int decimal_parse_integer(const char *text, size_t bytes,
			  int64_t *value) MUST_CHECK;

#endif
