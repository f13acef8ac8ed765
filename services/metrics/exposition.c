#include "services/metrics/exposition.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct writer {
	struct buf *out;
	enum exposition form;
	char name[STATS_MAX_NAME_BYTES + 1]; /* of samples, without suffix */
};

/* ---- what the client wants ---- */

struct slice {
	const char *at;
	size_t bytes;
};

static struct slice trim(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	while (at < end && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	return (struct slice){at, (size_t)(end - at)};
}

static bool is(struct slice s, const char *text)
{
	return s.bytes == strlen(text) && !strncasecmp(s.at, text, s.bytes);
}

/* Takes the part of *rest before `separator`, or all of it; false at its end.
 */
static bool cut(struct slice *rest, char separator, struct slice *part)
{
	const char *end = rest->at + rest->bytes;
	const char *stop;

	if (!rest->bytes)
		return false;
	stop = memchr(rest->at, separator, rest->bytes);
	*part = trim(rest->at, stop ? stop : end);
	rest->at = stop ? stop + 1 : end;
	rest->bytes = (size_t)(end - rest->at);
	return true;
}

/* One media range of an Accept header. */
struct range {
	struct slice type;
	struct slice version; /* bytes 0 when it names none */
	int q;		      /* thousandths */
};

/* "0.75" → 750; what is no such number counts as 1. */
static int parse_q(struct slice value)
{
	char text[8];
	double q;
	char *end;

	if (!value.bytes || value.bytes >= sizeof(text) ||
	    !isdigit((unsigned char)value.at[0]))
		return 1000;
	memcpy(text, value.at, value.bytes);
	text[value.bytes] = '\0';
	q = strtod(text, &end);
	return *end || q > 1 ? 1000 : (int)lround(q * 1000);
}

static struct range parse_range(struct slice text)
{
	struct range range = {.q = 1000};
	struct slice part, name;

	cut(&text, ';', &range.type);
	while (cut(&text, ';', &part)) {
		if (!cut(&part, '=', &name))
			continue;
		part = trim(part.at, part.at + part.bytes);
		if (part.bytes >= 2 && part.at[0] == '"')
			part = (struct slice){part.at + 1, part.bytes - 2};
		if (is(name, "q"))
			range.q = parse_q(part);
		else if (is(name, "version"))
			range.version = part;
	}
	return range;
}

/* How well a range names a form: 0 not at all, 3 by its own name. */
static int fits(const struct range *range, enum exposition form)
{
	bool open = form == EXPOSITION_OPENMETRICS;
	const char *type = open ? "application/openmetrics-text" : "text/plain";
	const char *version = open ? "1.0.0" : "0.0.4";

	if (is(range->type, type))
		return range->version.bytes && !is(range->version, version) ? 0
									    : 3;
	if (is(range->type, open ? "application/*" : "text/*"))
		return 2;
	return is(range->type, "*/*");
}

/* How much a client wants a form, by the most specific range that names it. */
struct wish {
	int q;
	int fit;
};

static struct wish wish_for(struct slice accept, enum exposition form)
{
	struct wish wish = {0, 0};
	struct slice part;

	while (cut(&accept, ',', &part)) {
		struct range range = parse_range(part);
		int fit = fits(&range, form);

		if (fit > wish.fit ||
		    (fit && fit == wish.fit && range.q > wish.q))
			wish = (struct wish){range.q, fit};
	}
	return wish;
}

enum exposition exposition_choose(const char *accept, size_t bytes)
{
	struct slice all = {accept, bytes};
	struct wish open = wish_for(all, EXPOSITION_OPENMETRICS);
	struct wish text = wish_for(all, EXPOSITION_TEXT);

	if (open.q > text.q ||
	    (open.q && open.q == text.q && open.fit > text.fit))
		return EXPOSITION_OPENMETRICS;
	return EXPOSITION_TEXT;
}

const char *exposition_content_type(enum exposition form)
{
	if (form == EXPOSITION_OPENMETRICS)
		return "application/openmetrics-text; version=1.0.0; "
		       "charset=utf-8";
	return "text/plain; version=0.0.4; charset=utf-8";
}

/* ---- the text ---- */

void exposition_put_value(struct buf *out, double value)
{
	char text[32];

	if (isnan(value)) {
		buf_text(out, "NaN");
	} else if (isinf(value)) {
		buf_text(out, value > 0 ? "+Inf" : "-Inf");
	} else if (value == floor(value) && fabs(value) <= 0x1p53) {
		buf_printf(out, "%.0f", value);
	} else {
		snprintf(text, sizeof(text), "%.15g", value);
		if (strtod(text, NULL) != value)
			snprintf(text, sizeof(text), "%.17g", value);
		buf_text(out, text);
	}
}

static void put_help(struct writer *w, const char *help)
{
	for (; *help; help++) {
		if (*help == '\\')
			buf_text(w->out, "\\\\");
		else if (*help == '\n')
			buf_text(w->out, "\\n");
		else if (*help == '"' && w->form == EXPOSITION_OPENMETRICS)
			buf_text(w->out, "\\\"");
		else
			buf_char(w->out, *help);
	}
}

static size_t without_total(const char *name)
{
	size_t bytes = strlen(name);

	if (bytes > 6 && !strcmp(name + bytes - 6, "_total"))
		return bytes - 6;
	return 0;
}

static void put_family(void *arg, const char *name, const char *help,
		       enum stats_type type)
{
	static const char *const types[] = {"counter", "gauge", "histogram"};
	struct writer *w = arg;
	const char *word = types[type];
	size_t bytes = strlen(name);

	/* An OpenMetrics counter is called as its samples are less _total;
	 * one whose samples have another name cannot be one. */
	if (w->form == EXPOSITION_OPENMETRICS && type == STATS_COUNTER) {
		if (without_total(name))
			bytes = without_total(name);
		else
			word = "unknown";
	}
	snprintf(w->name, sizeof(w->name), "%s", name);
	buf_printf(w->out, "# HELP %.*s ", (int)bytes, name);
	put_help(w, help);
	buf_printf(w->out, "\n# TYPE %.*s %s\n", (int)bytes, name, word);
}

static void put_sample(void *arg, const char *suffix, const char *labels,
		       double value)
{
	struct writer *w = arg;

	buf_text(w->out, w->name);
	buf_text(w->out, suffix);
	if (*labels) {
		buf_char(w->out, '{');
		buf_text(w->out, labels);
		buf_char(w->out, '}');
	}
	buf_char(w->out, ' ');
	exposition_put_value(w->out, value);
	buf_char(w->out, '\n');
}

void exposition_write(struct registry *r, enum exposition form, struct buf *out)
{
	struct writer w = {.out = out, .form = form};
	const struct stats_visitor visitor = {NULL, put_family, put_sample, &w};

	registry_visit(r, &visitor);
	if (form == EXPOSITION_OPENMETRICS)
		buf_text(out, "# EOF\n");
}
