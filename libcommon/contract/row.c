#include "contract/row.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "contract/json.h"
#include "contract/model.h"

#define DAY_US	      INT64_C(86400000000)
#define MAX_FAST      18 /* digits that int64_t holds whatever they are */
#define MAX_EXACT     15 /* digits that a double holds whatever they are */
#define MAX_TEN_EXACT 22 /* the largest power of ten that is a double */

struct row_reader {
	struct json json;
};

static const int64_t tens[MAX_FAST + 1] = {
    1,
    10,
    100,
    1000,
    10000,
    100000,
    1000000,
    10000000,
    100000000,
    1000000000,
    INT64_C(10000000000),
    INT64_C(100000000000),
    INT64_C(1000000000000),
    INT64_C(10000000000000),
    INT64_C(100000000000000),
    INT64_C(1000000000000000),
    INT64_C(10000000000000000),
    INT64_C(100000000000000000),
    INT64_C(1000000000000000000),
};

struct row_reader *row_reader_new(void)
{
	return xcalloc(1, sizeof(struct row_reader));
}

void row_reader_free(struct row_reader **r)
{
	if (!*r)
		return;
	json_free(&(*r)->json);
	free(*r);
	*r = NULL;
}

/* NOLINTNEXTLINE(readability-function-size) */
int row_open(struct row_reader *r, const struct contract *contract,
	     const char *line, size_t bytes, struct row_cursor *c,
	     struct err *err)
{
	/* The public part of a model is its first member. */
	const struct model *model = (const struct model *)contract;
	const char *why = NULL;
	size_t at = 0;
	yyjson_val *root = json_parse(&r->json, line, bytes, &at, &why);

	if (!root)
		return err_set(err, EINVAL,
			       "an event of %s is no JSON at byte %zu: %s",
			       contract->name, at, why);
	if (!json_is_object(root))
		return err_set(err, EINVAL, "an event of %s is no JSON object",
			       contract->name);
	*c = (struct row_cursor){.shape = &model->shape,
				 .at = json_first(root),
				 .left = (uint32_t)json_len(root)};
	return 0;
}

/*
 * A number of few digits and no exponent, as digits and how many of them are
 * behind the point; the parser has seen that it is a number. -1 for others.
 */
static int read_short(const char *text, size_t bytes, int most, int64_t *value)
{
	bool negative = *text == '-';
	const char *end = text + bytes, *point = NULL;
	int64_t n = 0;

	text += negative;
	if (end - text > most + 1)
		return -1;
	for (; text < end; text++) {
		unsigned digit = (unsigned)*text - '0';

		if (digit <= 9)
			n = n * 10 + digit;
		else if (*text == '.')
			point = text + 1;
		else
			return -1;
	}
	/* Without a point there may be one digit too many. */
	if (!point && bytes - negative > (size_t)most)
		return -1;
	*value = negative ? -n : n;
	return point ? (int)(end - point) : 0;
}

static bool take_integer(const struct rule *r, const yyjson_val *v,
			 struct row_value *value)
{
	size_t bytes = json_len(v);
	int64_t n;

	if (json_type(v) != YYJSON_TYPE_RAW ||
	    decimal_parse_integer(v->uni.str, bytes, &n) != 0)
		return false;
	if (r->type == CONTRACT_INT && (n < INT32_MIN || n > INT32_MAX))
		return false;
	value->kind = ROW_INTEGER;
	value->integer = n;
	return true;
}

static bool is_number(const yyjson_val *v)
{
	return json_type(v) == YYJSON_TYPE_RAW ||
	       json_type(v) == YYJSON_TYPE_STR;
}

static bool take_decimal(const struct rule *r, const yyjson_val *v,
			 struct row_value *value)
{
	const char *text = v->uni.str;
	size_t bytes = json_len(v);
	int64_t n;
	int behind = -1;

	if (!is_number(v) || !bytes)
		return false;
	value->kind = ROW_DECIMAL;
	if (json_type(v) == YYJSON_TYPE_RAW)
		behind = read_short(text, bytes, MAX_FAST, &n);
	if (behind >= 0 && behind <= r->scale) {
		int shift = r->scale - behind;
		int most = r->precision < MAX_FAST ? r->precision : MAX_FAST;

		if (shift <= most && llabs(n) < tens[most - shift]) {
			value->decimal = n * tens[shift];
			return true;
		}
	}
	return decimal_parse(text, bytes, r->precision, r->scale,
			     &value->decimal) == DECIMAL_OK;
}

/*
 * A double of few digits is their integer over a power of ten, both exact, so
 * that IEEE's one division rounds right. All others go to strtod().
 */
static bool take_double(const yyjson_val *v, struct row_value *value)
{
	const char *text = v->uni.str;
	size_t bytes = json_len(v);
	decimal_value ignored;
	int64_t n;
	int behind = -1;

	if (!is_number(v) || !bytes)
		return false;
	value->kind = ROW_DOUBLE;
	if (json_type(v) == YYJSON_TYPE_RAW)
		behind = read_short(text, bytes, MAX_EXACT, &n);
	else if (decimal_parse(text, bytes, DECIMAL_MAX_PRECISION, 0,
			       &ignored) == DECIMAL_NOT_A_NUMBER)
		return false;
	/* -0 is a double of its own. */
	if (behind >= 0 && n && behind <= MAX_TEN_EXACT) {
		value->number = (double)n / (double)tens[behind];
		return true;
	}
	value->number = strtod(text, NULL);
	return isfinite(value->number);
}

static bool take_boolean(const yyjson_val *v, struct row_value *value)
{
	value->kind = ROW_BOOLEAN;
	value->truth = json_is_true(v);
	return json_type(v) == YYJSON_TYPE_BOOL;
}

static bool take_time(const yyjson_val *v, struct row_value *value)
{
	value->kind = ROW_TIMESTAMP;
	return json_type(v) == YYJSON_TYPE_STR &&
	       clock_parse(v->uni.str, json_len(v), &value->integer) == 0;
}

static bool take_date(const yyjson_val *v, struct row_value *value)
{
	char text[] = "yyyy-mm-ddT00:00Z";

	if (json_type(v) != YYJSON_TYPE_STR || json_len(v) != 10)
		return false;
	memcpy(text, v->uni.str, 10);
	if (clock_parse(text, sizeof(text) - 1, &value->integer) < 0)
		return false;
	value->kind = ROW_DATE;
	value->integer /= DAY_US; /* a whole number of days */
	return true;
}

/* A string without escapes is in the line as it is in the parsed copy. */
static bool take_text(struct row_reader *r, const yyjson_val *v,
		      struct row_value *value)
{
	size_t bytes = json_len(v);
	const char *text;

	if (json_type(v) != YYJSON_TYPE_STR)
		return false;
	text = json_at(&r->json, v);
	value->kind = ROW_TEXT;
	value->bytes = (uint32_t)bytes;
	value->in_line = text[bytes] == '"' && text[bytes - 1] != '\\';
	value->text = value->in_line ? text : v->uni.str;
	return true;
}

/* The first byte of a value's text, in an array or behind its key. */
static const char *text_of(struct row_reader *r, const struct row_cursor *c,
			   yyjson_val *v)
{
	return c->element ? c->text : json_value_start(&r->json, v);
}

/* A dynamic: the JSON text as it stands in the line. */
static bool take_json(struct row_reader *r, const struct row_cursor *c,
		      yyjson_val *v, struct row_value *value)
{
	const char *text = text_of(r, c, v);
	/* The parser keeps no ends; the walk is over containers alone. */
	const char *end = json_walk(&r->json, v, text, 2);

	if (!end)
		return false;
	value->kind = ROW_TEXT;
	value->in_line = true;
	value->text = text;
	value->bytes = (uint32_t)(end - text);
	return true;
}

static bool take_container(const struct rule *rule, yyjson_val *v,
			   struct row_value *value)
{
	bool array = rule->type == CONTRACT_ARRAY;

	value->kind = array ? ROW_ARRAY : ROW_STRUCT;
	value->count = (uint32_t)json_len(v);
	value->inside = v;
	return json_type(v) == (array ? YYJSON_TYPE_ARR : YYJSON_TYPE_OBJ);
}

static bool take(struct row_reader *r, const struct row_cursor *c,
		 const struct rule *rule, yyjson_val *v,
		 struct row_value *value)
{
	switch (rule->type) {
	case CONTRACT_STRING:
	case CONTRACT_GUID:
		return take_text(r, v, value);
	case CONTRACT_INT:
	case CONTRACT_LONG:
		return take_integer(rule, v, value);
	case CONTRACT_DOUBLE:
		return take_double(v, value);
	case CONTRACT_DECIMAL:
		return take_decimal(rule, v, value);
	case CONTRACT_BOOLEAN:
		return take_boolean(v, value);
	case CONTRACT_DATETIME:
		return take_time(v, value);
	case CONTRACT_DATE:
		return take_date(v, value);
	case CONTRACT_DYNAMIC:
		return take_json(r, c, v, value);
	case CONTRACT_ARRAY:
	case CONTRACT_STRUCT:
		return take_container(rule, v, value);
	}
	return false;
}

/* In an array whose elements' text is wanted: on to that of the next. */
static void next_text(struct row_reader *r, struct row_cursor *c, yyjson_val *v)
{
	const char *end = json_walk(&r->json, v, c->text, 2);

	/* What cannot be walked fails in take_json() already. */
	if (end)
		c->text = json_skip_space(json_skip_space(end) + 1);
}

/* The next value and its rule; NULL when there is none. */
static yyjson_val *step(struct row_cursor *c, const struct rule **rule,
			uint32_t *field)
{
	while (c->left) {
		yyjson_val *v = c->at;
		int32_t i;

		c->left--;
		if (c->element) {
			c->at = json_next(v);
			*rule = c->element;
			*field = c->index++;
			return v;
		}
		c->at = json_next(v + 1);
		i = shape_find(c->shape, v->uni.str, json_len(v));
		if (i < 0)
			continue;
		*rule = &c->shape->rules[i];
		*field = (uint32_t)i;
		return v + 1;
	}
	return NULL;
}

int row_next(struct row_reader *r, struct row_cursor *c, uint32_t *field,
	     struct row_value *value, struct err *err)
{
	const struct rule *rule;
	yyjson_val *v = step(c, &rule, field);
	bool fits = true;

	if (!v)
		return 0;
	if (json_is_null(v))
		value->kind = ROW_NULL;
	else
		fits = take(r, c, rule, v, value);
	if (c->text && fits)
		next_text(r, c, v);
	if (!fits)
		return err_set(err, EINVAL, "the value of %s is no %s",
			       rule->name, rule->field->type_text);
	return 1;
}

/* NOLINTNEXTLINE(readability-function-size) */
void row_enter(struct row_reader *r, const struct row_cursor *from,
	       uint32_t field, const struct row_value *value,
	       struct row_cursor *c)
{
	const struct rule *rule =
	    from->element ? from->element : &from->shape->rules[field];
	yyjson_val *v = value->inside;

	*c = (struct row_cursor){.at = json_first(v), .left = value->count};
	if (value->kind == ROW_STRUCT) {
		c->shape = rule->shape;
		return;
	}
	c->element = rule->element;
	/* Arrays are no elements of arrays, so it has a key before it. */
	if (rule->element->type == CONTRACT_DYNAMIC)
		c->text = json_skip_space(json_value_start(&r->json, v) + 1);
}

static int check_all(struct row_reader *r, struct row_cursor *c,
		     struct err *err)
{
	struct row_value value;
	struct row_cursor inside;
	uint32_t field;
	int more;

	while ((more = row_next(r, c, &field, &value, err)) > 0) {
		if (value.kind < ROW_ARRAY)
			continue;
		row_enter(r, c, field, &value, &inside);
		if (check_all(r, &inside, err) < 0)
			return -1;
	}
	return more;
}

int row_check(struct row_reader *r, const struct contract *contract,
	      const char *line, size_t bytes, struct err *err)
{
	struct row_cursor c = {0};

	if (row_open(r, contract, line, bytes, &c, err) != 0)
		return -1;
	return check_all(r, &c, err);
}
