#include "contract/decimal.h"

#include <stdbool.h>

/* Beyond this every exponent says the same: too large, too fine or zero. */
#define MAX_EXPONENT 100000

struct number {
	const char *at;
	const char *end;
	bool negative;
	bool too_long; /* more significant digits than 38 */
	int digits;    /* significant ones, leading zeros not counted */
	int zeros;     /* trailing ones of those, held back */
	int exponent;
	int kept;    /* digits that are in value */
	int next;    /* the 39th digit */
	bool beyond; /* a digit other than 0 is behind that */
	int shift;   /* tens from the last digit up to the scale */
	decimal_value value;
};

static bool is_digit(const struct number *n)
{
	return n->at < n->end && *n->at >= '0' && *n->at <= '9';
}

/* Trailing zeros are held back until a digit follows, so 1.10 is 1.1. */
static void add_digit(struct number *n, int digit)
{
	if (digit == 0) {
		n->zeros += n->digits > 0;
		return;
	}
	n->digits += n->zeros + 1;
	if (n->digits > DECIMAL_MAX_PRECISION) {
		n->too_long = true;
		n->zeros = 0;
		if (n->digits == DECIMAL_MAX_PRECISION + 1)
			n->next = digit;
		else
			n->beyond = true;
		return;
	}
	for (; n->zeros; n->zeros--)
		n->value *= 10;
	n->value = n->value * 10 + digit;
	n->kept = n->digits;
}

static bool read_digits(struct number *n, bool fraction)
{
	const char *first = n->at;

	for (; is_digit(n); n->at++) {
		add_digit(n, *n->at - '0');
		n->exponent -= fraction;
	}
	return n->at > first;
}

static bool read_exponent(struct number *n)
{
	bool negative = false;
	int value = 0;
	const char *first;

	if (n->at < n->end && (*n->at == '+' || *n->at == '-'))
		negative = *n->at++ == '-';
	first = n->at;
	for (; is_digit(n); n->at++)
		if (value < MAX_EXPONENT)
			value = value * 10 + (*n->at - '0');
	n->exponent += negative ? -value : value;
	return n->at > first;
}

static bool read_number(struct number *n)
{
	const char *first;

	if (n->at < n->end && *n->at == '-') {
		n->negative = true;
		n->at++;
	}
	first = n->at;
	if (!read_digits(n, false) || (*first == '0' && n->at - first > 1))
		return false;
	if (n->at < n->end && *n->at == '.') {
		n->at++;
		if (!read_digits(n, true))
			return false;
	}
	if (n->at < n->end && (*n->at == 'e' || *n->at == 'E')) {
		n->at++;
		if (!read_exponent(n))
			return false;
	}
	return n->at == n->end;
}

/* Brings n->value to the scale if that is possible without rounding. */
static enum decimal_result fit(struct number *n, unsigned precision,
			       unsigned scale)
{
	if (!read_number(n))
		return DECIMAL_NOT_A_NUMBER;
	if (n->digits == 0)
		return DECIMAL_OK;
	n->shift = n->exponent + n->zeros + (int)scale;
	if (n->digits + n->shift > (int)precision)
		return DECIMAL_TOO_LARGE;
	if (n->shift < 0 || n->too_long)
		return DECIMAL_TOO_FINE;
	for (int i = 0; i < n->shift; i++)
		n->value *= 10;
	return DECIMAL_OK;
}

/*
 * Cuts n->value to the first `keep` of its digits, 0 to 38. Returns how what
 * was behind them compares with half a unit of the last one: -1, 0 or 1.
 */
static int cut(struct number *n, int keep)
{
	decimal_value unit = 1, rest;

	/* Digits up to the 38th that are not in value are zeros. */
	for (; n->kept < keep; n->kept++)
		n->value *= 10;
	for (int i = keep; i < n->kept; i++)
		unit *= 10;
	if (unit == 1) {
		if (keep < DECIMAL_MAX_PRECISION || n->next < 5)
			return -1;
		return n->next > 5 || n->beyond;
	}
	rest = n->value % unit;
	n->value /= unit;
	if (rest != unit / 2)
		return rest < unit / 2 ? -1 : 1;
	return n->too_long;
}

static enum decimal_result round_off(struct number *n, unsigned precision)
{
	int keep = n->digits + n->shift;
	decimal_value limit = 1;
	int half;

	if (keep < 0) {
		n->value = 0;
		return DECIMAL_OK;
	}
	half = cut(n, keep);
	n->value += half > 0 || (half == 0 && n->value % 2);
	for (unsigned i = 0; i < precision; i++)
		limit *= 10;
	return n->value < limit ? DECIMAL_OK : DECIMAL_TOO_LARGE;
}

#define SHORT_DIGITS 18

/*
 * Nearly every number: few digits, no exponent, not finer than its scale. False
 * when it may be none of that; then it is to be read with care.
 */
static bool parse_short(const char *text, size_t bytes, unsigned precision,
			unsigned scale, decimal_value *value)
{
	bool negative = bytes && *text == '-';
	const char *at = text + negative, *end = text + bytes, *first = at;
	unsigned whole, fraction = 0;
	uint64_t n = 0;

	if (bytes > SHORT_DIGITS)
		return false;
	for (; at < end && *at >= '0' && *at <= '9'; at++)
		n = n * 10 + (uint64_t)(*at - '0');
	whole = (unsigned)(at - first);
	if (whole == 0 || (*first == '0' && whole > 1))
		return false;
	if (at < end && *at == '.') {
		for (at++; at < end && *at >= '0' && *at <= '9'; at++)
			n = n * 10 + (uint64_t)(*at - '0');
		fraction = (unsigned)(at - first) - whole - 1;
		if (fraction == 0)
			return false;
	}
	if (at < end || fraction > scale || whole + scale > precision)
		return false;
	*value = negative ? -(decimal_value)n : (decimal_value)n;
	for (; fraction < scale; fraction++)
		*value *= 10;
	return true;
}

enum decimal_result decimal_parse(const char *text, size_t bytes,
				  unsigned precision, unsigned scale,
				  decimal_value *value)
{
	struct number n = {.at = text, .end = text + bytes};
	enum decimal_result result;

	if (parse_short(text, bytes, precision, scale, value))
		return DECIMAL_OK;
	result = fit(&n, precision, scale);
	if (result == DECIMAL_OK)
		*value = n.negative ? -n.value : n.value;
	return result;
}

enum decimal_result decimal_round(const char *text, size_t bytes,
				  unsigned precision, unsigned scale,
				  decimal_value *value)
{
	struct number n = {.at = text, .end = text + bytes};
	enum decimal_result result;

	if (parse_short(text, bytes, precision, scale, value))
		return DECIMAL_OK;
	result = fit(&n, precision, scale);
	if (result == DECIMAL_TOO_FINE)
		result = round_off(&n, precision);
	if (result == DECIMAL_OK)
		*value = n.negative ? -n.value : n.value;
	return result;
}

size_t decimal_format(decimal_value value, unsigned scale,
		      char text[DECIMAL_TEXT_BYTES])
{
	char digits[DECIMAL_TEXT_BYTES];
	size_t n = 0, at = 0;

	if (value < 0)
		text[at++] = '-';
	for (; value || n <= scale; value /= 10) {
		int digit = (int)(value % 10);

		digits[n++] = (char)('0' + (digit < 0 ? -digit : digit));
	}
	while (n) {
		if (n == scale)
			text[at++] = '.';
		text[at++] = digits[--n];
	}
	text[at] = '\0';
	return at;
}

int decimal_parse_integer(const char *text, size_t bytes, int64_t *value)
{
	bool negative = bytes && text[0] == '-';
	size_t i = negative;
	uint64_t n = 0;

	if (i == bytes || (text[i] == '0' && bytes - i > 1))
		return -1;
	for (size_t k = i; k < bytes; k++)
		if (text[k] < '0' || text[k] > '9')
			return -1;
	if (bytes - i > 19)
		return 1;
	for (; i < bytes; i++)
		n = n * 10 + (uint64_t)(text[i] - '0');
	if (n > (uint64_t)INT64_MAX + negative)
		return 1;
	*value = (int64_t)(negative ? 0 - n : n);
	return 0;
}
