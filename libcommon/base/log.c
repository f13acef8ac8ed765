#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"

#define PAIRS_BYTES    1792
#define LINE_BYTES     4096
#define END_BYTES      64 /* kept for what closes a line */
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
	_Atomic enum log_level level; /* read without the lock */
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
	return level <=
	       atomic_load_explicit(&state.level, memory_order_relaxed);
}

/*
 * Writes the character at *text, as it stands in a JSON string, to out[8] and
 * moves *text behind it. Returns the bytes written.
 */
static size_t escape(char *out, const char **text)
{
	const unsigned char *at = (const unsigned char *)*text;
	size_t bytes = text_utf8_bytes(*text, 4);

	*text += bytes ? bytes : 1;
	if (!bytes)
		return (size_t)snprintf(out, 8, "\\ufffd");
	if (*at < 0x20 || *at == 0x7f)
		return (size_t)snprintf(out, 8, "\\u%04x", *at);
	if (*at == '"' || *at == '\\')
		return (size_t)snprintf(out, 8, "\\%c", *at);
	memcpy(out, at, bytes);
	return bytes;
}

const char *log_quote(char out[LOG_QUOTE_BYTES], const char *text)
{
	size_t at = 0;

	out[at++] = '"';
	while (*text && at < LOG_QUOTE_BYTES - 8)
		at += escape(out + at, &text);
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

/* Bytes of the pair at `pair`, up to the space or the end behind it. */
static size_t pair_bytes(const char *pair)
{
	size_t at = strcspn(pair, " =");

	if (pair[at] != '=' || pair[at + 1] != '"')
		return at + strcspn(pair + at, " ");
	for (at += 2; pair[at] && pair[at] != '"'; at++)
		at += pair[at] == '\\' && pair[at + 1];
	return at + (pair[at] == '"') +
	       strcspn(pair + at + (pair[at] == '"'), " ");
}

static void put_escaped(struct line *l, const char *text, size_t bytes)
{
	const char *end = text + bytes;

	while (text < end && l->used < sizeof(l->text) - END_BYTES)
		l->used += escape(l->text + l->used, &text);
}

/* True for what log_quote() returns, false for quotes put by hand around text
 * that needed more. */
static bool is_json_string(const char *text, size_t bytes)
{
	const char *at = text + 1, *end = text + bytes - 1;

	if (bytes < 2 || *text != '"' || *end != '"')
		return false;
	while (at < end) {
		size_t n = text_utf8_bytes(at, (size_t)(end - at));

		if (*at == '\\')
			n = strspn(at + 1, "\"\\") ? 2 : at[1] == 'u' ? 6 : 0;
		if (*at == '"' || !n)
			return false;
		at += n;
	}
	return at == end;
}

/* `a=1` becomes `,"a":"1"`; a value from log_quote() is a JSON string as it is.
 */
static void put_pair_as_json(struct line *l, const char *pair, size_t bytes)
{
	size_t key = strcspn(pair, "= ");
	const char *value = pair + key + 1;

	if (key >= bytes) /* a word without a value */
		return;
	put(l, ",\"");
	put_escaped(l, pair, key);
	put(l, "\":");
	if (is_json_string(value, bytes - key - 1)) {
		put(l, "%.*s", (int)(bytes - key - 1), value);
		return;
	}
	put(l, "\"");
	put_escaped(l, value, bytes - key - 1);
	put(l, "\"");
}

static void put_pairs_as_json(struct line *l, const char *pairs)
{
	/* A value grows at most sixfold, so the next pair may not fit. */
	while (*pairs && l->used < sizeof(l->text) - PAIRS_BYTES - END_BYTES) {
		size_t bytes = pair_bytes(pairs);

		put_pair_as_json(l, pairs, bytes);
		pairs += bytes;
		pairs += strspn(pairs, " ");
	}
	if (*pairs)
		put(l, ",\"cut\":\"1\"");
}

/* One line is one event: what would break it becomes a space. */
static void keep_to_one_line(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20)
			*text = ' ';
}

/* Takes the last, broken pair off a text that was cut, and says so. */
static void end_at_pair(char pairs[PAIRS_BYTES])
{
	static const char cut[] = "cut=1";
	size_t at = 0, end = 0;

	while (pairs[at] && at + sizeof(cut) <= PAIRS_BYTES) {
		end = at;
		at += pair_bytes(pairs + at);
		at += strspn(pairs + at, " ");
	}
	memcpy(pairs + end, cut, sizeof(cut));
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
	char now[CLOCK_TEXT_BYTES], pairs[PAIRS_BYTES];
	struct line l;
	unsigned held_back = 0;
	int saved = errno;
	bool json;
	va_list ap;
	int n;

	if (!log_enabled(level))
		return;
	l.used = 0;
	va_start(ap, fmt);
	n = vsnprintf(pairs, sizeof(pairs), fmt, ap);
	va_end(ap);
	if (n < 0)
		pairs[0] = '\0';
	keep_to_one_line(pairs);
	if (n >= (int)sizeof(pairs))
		end_at_pair(pairs);
	clock_format(clock_wall_us(), now);
	pthread_mutex_lock(&state.lock);
	if (!admit(event, &held_back)) {
		pthread_mutex_unlock(&state.lock);
		return;
	}
	json = state.format == LOG_JSON;
	put(&l,
	    json ? "{\"time\":\"%s\",\"level\":\"%s\",\"service\":\"%s\","
		   "\"event\":\"%.64s\""
		 : "time=%s level=%s service=%s event=%.64s",
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
	errno = saved;
}
