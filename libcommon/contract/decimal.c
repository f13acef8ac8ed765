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
		return;
	}
	for (; n->zeros; n->zeros--)
		n->value *= 10;
	n->value = n->value * 10 + digit;
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

enum decimal_result decimal_parse(const char *text, size_t bytes,
				  unsigned precision, unsigned scale,
				  decimal_value *value)
{
	struct number n = {.at = text, .end = text + bytes};
	int shift;

	if (!read_number(&n))
		return DECIMAL_NOT_A_NUMBER;
	if (n.digits == 0) {
		*value = 0;
		return DECIMAL_OK;
	}
	shift = n.exponent + n.zeros + (int)scale;
	if (n.digits + shift > (int)precision)
		return DECIMAL_TOO_LARGE;
	if (shift < 0 || n.too_long)
		return DECIMAL_TOO_FINE;
	for (; shift; shift--)
		n.value *= 10;
	*value = n.negative ? -n.value : n.value;
	return DECIMAL_OK;
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
