/* Text from people: sizes, durations, numbers, and the name they meant. */
#ifndef WEFT_BASE_TEXT_H
#define WEFT_BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* "128MiB", "16 KiB", "10MB", "512", "512B" → bytes. Returns 0 or -1. */
int text_parse_bytes(const char *text, int64_t *bytes) MUST_CHECK;

/*
 * "250ms", "5s", "10m", "1h", "7d", "100us" → microseconds. Only 0 needs no
 * unit. Returns 0 or -1.
 */
int text_parse_duration(const char *text, int64_t *us) MUST_CHECK;

/* Shortest exact form with a unit: 134217728 → "128MiB". Returns text. */
char *text_format_bytes(int64_t bytes, char text[32]);

/* Shortest exact form with a unit: 5000000 → "5s". Returns text. */
char *text_format_duration(int64_t us, char text[32]);

/*
 * The entry of names[count] nearest to `name` by edit distance, or NULL when
 * none is near enough to be what was meant (distance over a third of its
 * length, at least 1). Of equals the first; names beyond 64 bytes count as cut.
 */
const char *text_nearest(const char *name, const char *const *names,
			 size_t count);

/*
 * Bytes of the UTF-8 character at `at` (RFC 3629: no overlong forms, no
 * surrogates, nothing beyond U+10FFFF), or 0 when none begins there. Reads at
 * most `left` bytes, at least 1, and never behind a NUL.
 */
size_t text_utf8_bytes(const char *at, size_t left);

#endif
