#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NAME_BYTES 64

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit byte_units[] = {
    {"TiB", INT64_C(1) << 40},
    {"GiB", 1 << 30},
    {"MiB", 1 << 20},
    {"KiB", 1 << 10},
    {"TB", 1000000000000},
    {"GB", 1000000000},
    {"MB", 1000000},
    {"kB", 1000},
    {"KB", 1000},
    {"B", 1},
    {NULL, 0},
};

static const struct unit time_units[] = {
    {"d", 86400000000}, {"h", 3600000000}, {"m", 60000000}, {"s", 1000000},
    {"ms", 1000},	{"us", 1},	   {NULL, 0},
};

static int parse(const char *text, const struct unit *units, int64_t *value)
{
	char *end;
	long long n;

	if (!isdigit((unsigned char)*text))
		return -1;
	errno = 0;
	n = strtoll(text, &end, 10);
	if (errno)
		return -1;
	while (*end == ' ')
		end++;
	for (; units->name; units++)
		if (strcmp(end, units->name) == 0)
			return __builtin_mul_overflow((int64_t)n, units->factor,
						      value)
				   ? -1
				   : 0;
	return -1;
}

int text_parse_bytes(const char *text, int64_t *bytes)
{
	char with_unit[40];
	size_t n = strlen(text);

	if (n && n < 32 && isdigit((unsigned char)text[n - 1])) {
		snprintf(with_unit, sizeof(with_unit), "%sB", text);
		text = with_unit;
	}
	return parse(text, byte_units, bytes);
}

int text_parse_duration(const char *text, int64_t *us)
{
	if (strcmp(text, "0") == 0) {
		*us = 0;
		return 0;
	}
	return parse(text, time_units, us);
}

static char *format(int64_t value, const struct unit *units, char text[32])
{
	while (units[1].name && (value == 0 || value % units->factor != 0))
		units++;
	snprintf(text, 32, "%" PRId64 "%s", value / units->factor, units->name);
	return text;
}

char *text_format_bytes(int64_t bytes, char text[32])
{
	static const struct unit binary[] = {
	    {"TiB", INT64_C(1) << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20},
	    {"KiB", 1 << 10},	       {"B", 1},	 {NULL, 0},
	};

	return format(bytes, binary, text);
}

char *text_format_duration(int64_t us, char text[32])
{
	if (us == 0) {
		snprintf(text, 32, "0s");
		return text;
	}
	return format(us, time_units, text);
}

static size_t distance(const char *a, const char *b)
{
	size_t row[NAME_BYTES + 1];
	size_t na = strnlen(a, NAME_BYTES), nb = strnlen(b, NAME_BYTES);

	for (size_t j = 0; j <= nb; j++)
		row[j] = j;
	for (size_t i = 1; i <= na; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= nb; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[nb];
}

const char *text_nearest(const char *name, const char *const *names,
			 size_t count)
{
	const char *nearest = NULL;
	size_t best = strnlen(name, NAME_BYTES) / 3;

	if (best == 0)
		best = 1;
	for (size_t i = 0; i < count; i++) {
		size_t d = distance(name, names[i]);

		if (d > best || (nearest && d == best))
			continue;
		best = d;
		nearest = names[i];
	}
	return nearest;
}

size_t text_utf8_bytes(const char *at, size_t left)
{
	const unsigned char *text = (const unsigned char *)at;
	size_t bytes = *text < 0x80   ? 1
		       : *text < 0xc2 ? 0
		       : *text < 0xe0 ? 2
		       : *text < 0xf0 ? 3
		       : *text < 0xf5 ? 4
				      : 0;

	if (bytes > left)
		return 0;
	/* A NUL is no continuation, so this never reads behind the end. */
	for (size_t i = 1; i < bytes; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	if ((*text == 0xe0 && text[1] < 0xa0) ||
	    (*text == 0xed && text[1] > 0x9f) ||
	    (*text == 0xf0 && text[1] < 0x90) ||
	    (*text == 0xf4 && text[1] > 0x8f))
		return 0;
	return bytes;
}
