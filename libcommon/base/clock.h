/* Wall and monotonic time in microseconds, and their text. UTC only. */
#ifndef WEFT_BASE_CLOCK_H
#define WEFT_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define CLOCK_TEXT_BYTES 32

/* Microseconds since 1970-01-01T00:00:00Z; may jump. */
int64_t clock_wall_us(void);

/* Microseconds that never go back; only differences mean anything. */
int64_t clock_mono_us(void);

/* CPU time of the calling process, in microseconds. */
int64_t clock_cpu_us(void);

/*
 * Writes a wall time as RFC 3339 with six decimals and Z, NUL-terminated, into
 * text[CLOCK_TEXT_BYTES]. Returns text. Years 0001 to 9999.
 */
char *clock_format(int64_t at_us, char text[CLOCK_TEXT_BYTES]);

/*
 * Parses ISO 8601 / RFC 3339 with a zone: YYYY-MM-DD, 'T', 't' or a space,
 * HH:MM[:SS[.fraction]] (or a comma), 'Z', 'z', ±HH, ±HHMM or ±HH:MM. Fractions
 * beyond the microsecond are cut; second 60 counts as the next second. Exactly
 * `bytes` bytes must be consumed. Returns 0, or -1 when the text is not such a
 * time (a local time without a zone is not one) or lies outside the years 0001
 * to 9999 UTC.
 */
int clock_parse(const char *text, size_t bytes, int64_t *at_us) MUST_CHECK;

/* Days since 1970-01-01 of a proleptic Gregorian date. */
int64_t clock_days(int64_t year, unsigned month, unsigned day);

#endif
