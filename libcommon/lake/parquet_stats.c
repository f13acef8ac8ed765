#include "lake/parquet_stats.h"

#include <cJSON.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "lake/duck.h"

#define DAY_US INT64_C(86400000000)

struct stats {
	const cJSON *columns;
	bool cut;	 /* a text of it may end too early, at U+0000 */
	uint32_t leaves; /* seen so far */
	struct buf path;
};

enum bound { BOUND_MIN, BOUND_MAX, BOUND_NULLS };

/* JSON's numbers are digits, sign, point and exponent. */
static bool put_number(const char *text, struct buf *out)
{
	size_t bytes = strspn(text, "0123456789+-.eE");

	if (!bytes || text[bytes] ||
	    !isdigit((unsigned char)text[*text == '-']))
		return false;
	buf_append(out, text, bytes);
	return true;
}

static bool put_boolean(const char *text, struct buf *out)
{
	if (strcmp(text, "0") != 0 && strcmp(text, "1") != 0)
		return false;
	buf_text(out, *text == '1' ? "true" : "false");
	return true;
}

static bool put_date(const char *text, struct buf *out)
{
	if (strlen(text) != 10 || strspn(text, "0123456789-") != 10)
		return false;
	buf_printf(out, "\"%s\"", text);
	return true;
}

/*
 * Milliseconds are what all readers expect; the bounds stay bounds when they
 * are rounded away from what is between them.
 */
static bool put_time(const char *text, bool up, struct buf *out)
{
	char written[CLOCK_TEXT_BYTES];
	int64_t at_us, over;

	if (clock_parse(text, strlen(text), &at_us) < 0)
		return false;
	over = at_us % 1000;
	if (over < 0)
		over += 1000;
	at_us -= over;
	if (up && over)
		at_us += 1000;
	if (at_us >= clock_days(10000, 1, 1) * DAY_US)
		return false;
	clock_format(at_us, written);
	/* "….123000Z" */
	buf_printf(out, "\"%.23sZ\"", written);
	return true;
}

static uint32_t decode(const char *at, size_t bytes)
{
	static const uint8_t masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	uint32_t c = (uint8_t)at[0] & masks[bytes];

	for (size_t i = 1; i < bytes; i++)
		c = c << 6 | ((uint8_t)at[i] & 0x3f);
	return c;
}

static void put_character(struct buf *out, uint32_t c)
{
	char text[4];
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

	for (size_t i = n; i-- > 1; c >>= 6)
		text[i] = (char)(0x80 | (c & 0x3f));
	text[0] = (char)(n == 1 ? c : (0xf00u >> n & 0xf0) | c);
	buf_json_escape(out, text, n);
}

/*
 * The text up to its last character that has a successor, with that: greater
 * than all that begin as it does. False when there is none.
 */
static bool put_successor(const char *text, const uint32_t *starts,
			  uint32_t count, struct buf *out)
{
	while (count) {
		const char *at = text + starts[--count];
		uint32_t c = decode(at, starts[count + 1] - starts[count]);

		if (c == 0x10ffff)
			continue;
		buf_json_escape(out, text, starts[count]);
		/* Surrogates are no characters. */
		put_character(out, c == 0xd7ff ? 0xe000 : c + 1);
		return true;
	}
	return false;
}

static bool put_string(const char *text, bool up, struct buf *out)
{
	uint32_t starts[PARQUET_STATS_CHARACTERS + 1];
	uint32_t count = 0, at = 0;
	size_t bytes = strlen(text), before = out->used;

	starts[0] = 0;
	while (text[at] && count < PARQUET_STATS_CHARACTERS) {
		size_t n = text_utf8_bytes(text + at, bytes - at);

		if (!n)
			return false;
		at += (uint32_t)n;
		starts[++count] = at;
	}
	buf_char(out, '"');
	if (!text[at] || !up) {
		buf_json_escape(out, text, at);
	} else if (!put_successor(text, starts, count, out)) {
		out->used = before;
		return false;
	}
	buf_char(out, '"');
	return true;
}

static bool put_bound(const struct column *c, const char *text, bool up,
		      struct buf *out)
{
	switch (c->type) {
	case COLUMN_STRING:
		return put_string(text, up, out);
	case COLUMN_BOOLEAN:
		return put_boolean(text, out);
	case COLUMN_TIMESTAMP:
		return put_time(text, up, out);
	case COLUMN_DATE:
		return put_date(text, out);
	case COLUMN_INT:
	case COLUMN_LONG:
	case COLUMN_DOUBLE:
	case COLUMN_DECIMAL:
		return put_number(text, out);
	default:
		return false;
	}
}

static const char *text_of(const cJSON *column, const char *key)
{
	return cJSON_GetStringValue(
	    cJSON_GetObjectItemCaseSensitive(column, key));
}

static bool put_leaf(const struct stats *s, const struct column *c,
		     enum bound bound, struct buf *out)
{
	const char *path = buf_str((struct buf *)&s->path);
	const cJSON *column =
	    cJSON_GetObjectItemCaseSensitive(s->columns, path);
	const char *nan = text_of(column, "has_nan");
	const char *text = text_of(column, bound == BOUND_MIN	? "min"
					   : bound == BOUND_MAX ? "max"
								: "null_count");

	if (!text || c->type == COLUMN_ARRAY || c->type == COLUMN_OTHER)
		return false;
	if (bound == BOUND_NULLS)
		return put_number(text, out);
	if (c->type == COLUMN_STRING && bound == BOUND_MAX && s->cut)
		return false;
	/* No bound holds for what is not a number. */
	if (nan && strcmp(nan, "false") != 0)
		return false;
	return put_bound(c, text, bound == BOUND_MAX, out);
}

static bool put_columns(struct stats *s, const struct column *columns,
			uint32_t count, enum bound bound, struct buf *out)
{
	size_t path = s->path.used;
	bool any = false;

	for (uint32_t i = 0; i < count; i++) {
		const struct column *c = &columns[i];
		size_t before = out->used;
		bool put = false;

		if (path)
			buf_char(&s->path, '.');
		duck_name(&s->path, c->name);
		buf_text(out, any ? ",\"" : "\"");
		buf_json_escape(out, c->name, strlen(c->name));
		buf_text(out, "\":");
		if (c->type == COLUMN_STRUCT) {
			buf_char(out, '{');
			put = put_columns(s, c->children, c->child_count, bound,
					  out);
			buf_char(out, '}');
		} else if (s->leaves++ < PARQUET_STATS_COLUMNS) {
			put = put_leaf(s, c, bound, out);
		}
		if (!put)
			out->used = before;
		any |= put;
		s->path.used = path;
	}
	return any;
}

void parquet_stats(const struct schema *schema, int64_t rows,
		   const char *columns, struct buf *out)
{
	static const char *const names[] = {"minValues", "maxValues",
					    "nullCount"};
	cJSON *json = cJSON_Parse(columns);
	struct stats s = {.columns = json,
			  .cut = strstr(columns, "\\u0000") != NULL};

	buf_printf(out, "{\"numRecords\":%" PRId64, rows);
	for (int i = 0; i < 3; i++) {
		size_t before = out->used;

		s.leaves = 0;
		buf_printf(out, ",\"%s\":{", names[i]);
		if (schema_count(schema) &&
		    put_columns(&s, schema_at(schema, 0), schema_count(schema),
				(enum bound)i, out))
			buf_char(out, '}');
		else
			out->used = before;
	}
	buf_char(out, '}');
	buf_free(&s.path);
	cJSON_Delete(json);
}
