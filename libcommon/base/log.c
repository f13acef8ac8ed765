#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define LINE_BYTES     2048
#define RATE_WORDS     64
#define LINES_A_SECOND 10

struct rate {
	char event[32];
	int64_t since_mono_us;
	unsigned lines;
	unsigned held_back;
};

static struct {
	pthread_mutex_t lock;
	char service[64];
	enum log_level level;
	enum log_format format;
	struct rate rates[RATE_WORDS];
} state = {.lock = PTHREAD_MUTEX_INITIALIZER, .level = LOG_INFO};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_open(const char *service, enum log_level level, enum log_format format)
{
	pthread_mutex_lock(&state.lock);
	snprintf(state.service, sizeof(state.service), "%s", service);
	state.level = level;
	state.format = format;
	pthread_mutex_unlock(&state.lock);
}

bool log_enabled(enum log_level level)
{
	return level <= state.level;
}

const char *log_quote(char out[LOG_QUOTE_BYTES], const char *text)
{
	size_t at = 0;

	out[at++] = '"';
	for (; *text && at < LOG_QUOTE_BYTES - 8; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\') {
			out[at++] = '\\';
			out[at++] = (char)c;
		} else if (c < 0x20 || c == 0x7f) {
			at += (size_t)snprintf(out + at, 7, "\\u%04x", c);
		} else {
			out[at++] = (char)c;
		}
	}
	out[at++] = '"';
	out[at] = '\0';
	return out;
}

/* Finds the event word's slot, evicting the stalest when all are taken. */
static struct rate *rate_of(const char *event)
{
	struct rate *stalest = &state.rates[0];

	for (size_t i = 0; i < RATE_WORDS; i++) {
		struct rate *r = &state.rates[i];

		if (strncmp(r->event, event, sizeof(r->event) - 1) == 0)
			return r;
		if (r->since_mono_us < stalest->since_mono_us)
			stalest = r;
	}
	*stalest = (struct rate){0};
	snprintf(stalest->event, sizeof(stalest->event), "%s", event);
	return stalest;
}

/* True when the line may appear; *held_back is what to own up to in it. */
static bool admit(const char *event, unsigned *held_back)
{
	struct rate *r = rate_of(event);
	int64_t now = clock_mono_us();

	if (!r->since_mono_us || now - r->since_mono_us >= 1000000) {
		r->since_mono_us = now;
		r->lines = 0;
	}
	if (r->lines >= LINES_A_SECOND) {
		r->held_back++;
		return false;
	}
	r->lines++;
	*held_back = r->held_back;
	r->held_back = 0;
	return true;
}

struct line {
	char text[LINE_BYTES];
	size_t used;
};

static void put(struct line *l, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void put(struct line *l, const char *fmt, ...)
{
	size_t room = sizeof(l->text) - 1 - l->used;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(l->text + l->used, room, fmt, ap);
	va_end(ap);
	if (n > 0)
		l->used += (size_t)n < room ? (size_t)n : room - 1;
}

/* Turns `a=1 b="x y"` into `,"a":"1","b":"x y"`; quoted values are JSON. */
static void put_pairs_as_json(struct line *l, const char *pairs)
{
	while (*pairs) {
		size_t key = strcspn(pairs, "= ");
		const char *value = pairs + key + 1;
		size_t bytes = 0;

		if (pairs[key] != '=') {
			pairs += key + (pairs[key] != '\0');
			continue;
		}
		if (*value == '"') {
			for (bytes = 1; value[bytes] && value[bytes] != '"';)
				bytes +=
				    value[bytes] == '\\' && value[bytes + 1]
					? 2
					: 1;
			bytes += value[bytes] == '"';
			put(l, ",\"%.*s\":%.*s", (int)key, pairs, (int)bytes,
			    value);
		} else {
			bytes = strcspn(value, " ");
			put(l, ",\"%.*s\":\"%.*s\"", (int)key, pairs,
			    (int)bytes, value);
		}
		pairs = value + bytes;
		pairs += *pairs == ' ';
	}
}

static void emit(struct line *l)
{
	size_t at = 0;

	l->text[l->used++] = '\n';
	while (at < l->used) {
		ssize_t n = write(STDERR_FILENO, l->text + at, l->used - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		at += (size_t)n;
	}
}

void log_write(enum log_level level, const char *event, const char *fmt, ...)
{
	char now[CLOCK_TEXT_BYTES], pairs[LINE_BYTES - 256];
	struct line l = {.used = 0};
	unsigned held_back = 0;
	bool json;
	va_list ap;

	if (!log_enabled(level))
		return;
	va_start(ap, fmt);
	vsnprintf(pairs, sizeof(pairs), fmt, ap);
	va_end(ap);
	clock_format(clock_wall_us(), now);
	pthread_mutex_lock(&state.lock);
	if (!admit(event, &held_back)) {
		pthread_mutex_unlock(&state.lock);
		return;
	}
	json = state.format == LOG_JSON;
	put(&l,
	    json ? "{\"time\":\"%s\",\"level\":\"%s\",\"service\":\"%s\","
		   "\"event\":\"%s\""
		 : "time=%s level=%s service=%s event=%s",
	    now, level_names[level], state.service, event);
	if (json)
		put_pairs_as_json(&l, pairs);
	else if (pairs[0])
		put(&l, " %s", pairs);
	if (held_back)
		put(&l, json ? ",\"suppressed\":\"%u\"" : " suppressed=%u",
		    held_back);
	if (json)
		put(&l, "}");
	emit(&l);
	pthread_mutex_unlock(&state.lock);
}
