#include "base/clock.h"

#include <stdbool.h>
#include <time.h>

#define DAY_US	 INT64_C(86400000000)
#define FIRST_US INT64_C(-62135596800000000) /* 0001-01-01T00:00:00Z */
#define END_US	 INT64_C(253402300800000000) /* the year 10000 */

static int64_t read_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_wall_us(void)
{
	return read_us(CLOCK_REALTIME);
}

int64_t clock_mono_us(void)
{
	return read_us(CLOCK_MONOTONIC);
}

int64_t clock_cpu_us(void)
{
	return read_us(CLOCK_PROCESS_CPUTIME_ID);
}

/* Days from civil, after Howard Hinnant's "chrono-compatible" algorithms. */
int64_t clock_days(int64_t year, unsigned month, unsigned day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t of_era = y - era * 400;
	int64_t of_year =
	    (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 +
	    (int64_t)day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 +
	       of_year - 719468;
}

/* So many digits and what follows them; printf takes 20 times as long. */
static char *put_number(char *out, unsigned value, int count, char behind)
{
	for (int i = count; i--; value /= 10)
		out[i] = (char)('0' + value % 10);
	out[count] = behind;
	return out + count + 1;
}

char *clock_format(int64_t at_us, char text[CLOCK_TEXT_BYTES])
{
	int64_t days = at_us / DAY_US;
	int64_t us = at_us % DAY_US;
	int64_t era, of_era, year_of_era, of_year, mp, year;
	unsigned month, day;
	char *out;

	if (us < 0) {
		us += DAY_US;
		days--;
	}
	days += 719468;
	era = (days >= 0 ? days : days - 146096) / 146097;
	of_era = days - era * 146097;
	year_of_era =
	    (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	of_year =
	    of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	mp = (5 * of_year + 2) / 153;
	day = (unsigned)(of_year - (153 * mp + 2) / 5 + 1);
	month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
	year = year_of_era + era * 400 + (month <= 2);
	out = put_number(text, (unsigned)year % 10000, 4, '-');
	out = put_number(out, month, 2, '-');
	out = put_number(out, day, 2, 'T');
	out = put_number(out, (unsigned)(us / 3600000000), 2, ':');
	out = put_number(out, (unsigned)(us / 60000000 % 60), 2, ':');
	out = put_number(out, (unsigned)(us / 1000000 % 60), 2, '.');
	out = put_number(out, (unsigned)(us % 1000000), 6, 'Z');
	*out = '\0';
	return text;
}

struct scan {
	const char *at;
	const char *end;
};

static inline bool digits(struct scan *s, int count, int *value)
{
	if (s->end - s->at < count)
		return false;
	*value = 0;
	for (int i = 0; i < count; i++) {
		char c = s->at[i];

		if (c < '0' || c > '9')
			return false;
		*value = *value * 10 + (c - '0');
	}
	s->at += count;
	return true;
}

static inline bool either(struct scan *s, char one, char other)
{
	if (s->at == s->end || (*s->at != one && *s->at != other))
		return false;
	s->at++;
	return true;
}

static inline bool next_is(struct scan *s, char c)
{
	return either(s, c, c);
}

static bool fraction(struct scan *s, int *us)
{
	int scale = 100000;
	const char *first = s->at;

	for (; s->at < s->end && *s->at >= '0' && *s->at <= '9'; s->at++) {
		*us += (*s->at - '0') * scale;
		scale /= 10;
	}
	return s->at > first;
}

static bool zone(struct scan *s, int *minutes)
{
	int sign, hh, mm = 0;

	if (either(s, 'Z', 'z'))
		return true;
	if (s->at == s->end || (*s->at != '+' && *s->at != '-'))
		return false;
	sign = *s->at++ == '-' ? -1 : 1;
	if (!digits(s, 2, &hh))
		return false;
	if (s->at < s->end) {
		(void)next_is(s, ':');
		if (!digits(s, 2, &mm))
			return false;
	}
	*minutes = sign * (hh * 60 + mm);
	return hh <= 23 && mm <= 59;
}

static int month_days(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30,
				   31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

int clock_parse(const char *text, size_t bytes, int64_t *at_us)
{
	struct scan s = {text, text + bytes};
	int year, month, day, hour, minute, second = 0, us = 0, offset = 0;

	if (!digits(&s, 4, &year) || !next_is(&s, '-') ||
	    !digits(&s, 2, &month) || !next_is(&s, '-') || !digits(&s, 2, &day))
		return -1;
	if ((!either(&s, 'T', 't') && !next_is(&s, ' ')) ||
	    !digits(&s, 2, &hour) || !next_is(&s, ':') ||
	    !digits(&s, 2, &minute))
		return -1;
	if (next_is(&s, ':')) {
		if (!digits(&s, 2, &second))
			return -1;
		if (either(&s, '.', ',') && !fraction(&s, &us))
			return -1;
	}
	if (!zone(&s, &offset) || s.at != s.end)
		return -1;
	if (year < 1 || month < 1 || month > 12 || day < 1 ||
	    day > month_days(year, month) || hour > 23 || minute > 59 ||
	    second > 60)
		return -1;
	*at_us =
	    clock_days(year, (unsigned)month, (unsigned)day) * DAY_US +
	    ((int64_t)hour * 3600 + ((int64_t)minute - offset) * 60 + second) *
		1000000 +
	    us;
	/* Its zone can move a time out of the years that have a text. */
	return *at_us < FIRST_US || *at_us >= END_US ? -1 : 0;
}
