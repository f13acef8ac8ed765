#include "contract/check.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/uuid.h"

/* Of a value shown in a message. */
#define SHOWN_BYTES 48

/* Longest text that is matched with a pattern: bounds regexec's time. */
#define MAX_PATTERN_TEXT 1024

/* Longest time: digits behind the second have no end of their own. */
#define MAX_TIME_BYTES 64

/* Longest number; no double or decimal needs as many digits. */
#define MAX_NUMBER_BYTES 400

#define YEAR_1900_US INT64_C(-2208988800000000)

/* A value as a message may show it: short, printable, never a masked one. */
static const char *shown(const struct rule *r, const yyjson_val *v,
			 char text[SHOWN_BYTES + 8])
{
	uint8_t type = json_type(v);
	size_t bytes = json_len(v);
	size_t n = 0;

	if (r->field->mask != CONTRACT_MASK_NONE)
		return "***";
	if (type == YYJSON_TYPE_OBJ)
		return "an object";
	if (type == YYJSON_TYPE_ARR)
		return "an array";
	if (type == YYJSON_TYPE_BOOL)
		return json_is_true(v) ? "true" : "false";
	if (type == YYJSON_TYPE_NULL)
		return "null";
	if (type == YYJSON_TYPE_STR)
		text[n++] = '"';
	for (size_t i = 0; i < bytes && n < SHOWN_BYTES; i++) {
		unsigned char c = (unsigned char)v->uni.str[i];

		text[n++] = (char)(c < 0x20 || c >= 0x7f ? '?' : c);
	}
	if (bytes > SHOWN_BYTES - 1)
		n += (size_t)sprintf(text + n, "...");
	if (type == YYJSON_TYPE_STR)
		text[n++] = '"';
	text[n] = '\0';
	return text;
}

/*
 * What refuses a value stays out of line: its text on the stack would make each
 * value that is fine pay for it.
 */
#define REFUSAL __attribute__((noinline, cold))

REFUSAL
static bool wrong_type(const struct rule *r, const yyjson_val *v,
		       struct finding *f, const char *wanted)
{
	char text[SHOWN_BYTES + 8];

	return finding_set(f, INTAKE_WRONG_TYPE, r->name, "%s: %s is not %s",
			   r->name, shown(r, v, text), wanted);
}

REFUSAL
static bool broken(const struct rule *r, const yyjson_val *v, struct finding *f,
		   enum intake_code code, const char *what)
{
	char text[SHOWN_BYTES + 8];

	finding_set(f, code, r->name, "%s: %s %s", r->name, shown(r, v, text),
		    what);
	f->fits = true;
	return false;
}

static bool is_allowed(const struct rule *r, const char *text, size_t bytes)
{
	for (uint32_t i = 0; i < r->allowed_count; i++)
		if (r->allowed[i].bytes == bytes &&
		    memcmp(r->allowed[i].text, text, bytes) == 0)
			return true;
	return false;
}

static bool matches(const struct rule *r, const char *text, size_t bytes)
{
	regmatch_t span = {.rm_so = 0, .rm_eo = (regoff_t)bytes};

	return bytes <= MAX_PATTERN_TEXT &&
	       regexec(r->pattern, text, 1, &span, REG_STARTEND) == 0;
}

/* The checks of text that few fields have. */
static bool check_text(const struct rule *r, const yyjson_val *v,
		       struct finding *f)
{
	const char *text = v->uni.str;
	size_t bytes = json_len(v);

	if ((r->checks & RULE_IDENTITY) && bytes == 0)
		return finding_set(f, INTAKE_MISSING_FIELD, r->name,
				   "%s is empty, and identifies the event",
				   r->name);
	if ((r->checks & RULE_IDENTITY) && bytes > MODEL_MAX_KEY_BYTES)
		return finding_set(f, INTAKE_TOO_LONG, r->name,
				   "%s has %zu bytes, a key at most %d",
				   r->name, bytes, MODEL_MAX_KEY_BYTES);
	if ((r->checks & RULE_LENGTH) && bytes > r->max_length) {
		size_t length = utf8_length(text, bytes);

		if (length > r->max_length) {
			finding_set(f, INTAKE_TOO_LONG, r->name,
				    "%s has %zu characters, at most %u fit",
				    r->name, length, r->max_length);
			f->fits = true;
			return false;
		}
	}
	if ((r->checks & RULE_ENUM) && !is_allowed(r, text, bytes))
		return broken(r, v, f, INTAKE_NOT_ALLOWED,
			      "is none of the allowed values");
	if ((r->checks & RULE_PATTERN) && !matches(r, text, bytes))
		return broken(r, v, f, INTAKE_NOT_ALLOWED,
			      "does not match the pattern");
	return true;
}

static bool check_string(const struct rule *r, const yyjson_val *v, bool nul,
			 struct finding *f)
{
	if (json_type(v) != YYJSON_TYPE_STR)
		return wrong_type(r, v, f, "a string");
	if (nul)
		return finding_set(f, INTAKE_BAD_CHARACTER, r->name,
				   "%s has the character U+0000", r->name);
	return check_is_plain(r, v, nul) || check_text(r, v, f);
}

static bool check_guid(const struct rule *r, const yyjson_val *v,
		       struct finding *f)
{
	struct uuid id;

	if (json_type(v) != YYJSON_TYPE_STR ||
	    uuid_parse(v->uni.str, json_len(v), &id) < 0)
		return wrong_type(r, v, f, "a GUID (8-4-4-4-12 hex digits)");
	return (r->checks & (RULE_ENUM | RULE_PATTERN)) ? check_text(r, v, f)
							: true;
}

/* min and max of everything that is ordered exactly. */
static bool check_range(const struct rule *r, const yyjson_val *v,
			decimal_value value, struct finding *f)
{
	if ((r->checks & RULE_MIN) && value < r->min)
		return broken(r, v, f, INTAKE_OUT_OF_RANGE,
			      "is below the minimum");
	if ((r->checks & RULE_MAX) && value > r->max)
		return broken(r, v, f, INTAKE_OUT_OF_RANGE,
			      "is above the maximum");
	return true;
}

REFUSAL
static bool out_of_type(const struct rule *r, const yyjson_val *v,
			struct finding *f, const char *what)
{
	broken(r, v, f, INTAKE_OUT_OF_RANGE, what);
	f->fits = false;
	return false;
}

static bool check_integer(const struct rule *r, const yyjson_val *v,
			  struct finding *f)
{
	int64_t value;
	int bad = -1;

	if (json_type(v) == YYJSON_TYPE_RAW)
		bad = decimal_parse_integer(v->uni.str, json_len(v), &value);
	if (bad < 0)
		return wrong_type(r, v, f,
				  "an integer (digits, no point, no exponent)");
	if (bad || (r->type == CONTRACT_INT &&
		    (value < INT32_MIN || value > INT32_MAX)))
		return out_of_type(r, v, f,
				   r->type == CONTRACT_INT
				       ? "does not fit 32 bits"
				       : "does not fit 64 bits");
	if ((r->checks & RULE_ENUM) && !is_allowed(r, v->uni.str, json_len(v)))
		return broken(r, v, f, INTAKE_NOT_ALLOWED,
			      "is none of the allowed values");
	return check_range(r, v, value, f);
}

static bool check_decimal(const struct rule *r, const yyjson_val *v,
			  struct finding *f)
{
	uint8_t type = json_type(v);
	enum decimal_result result = DECIMAL_NOT_A_NUMBER;
	decimal_value value = 0;
	char why[64];

	if (json_len(v) > MAX_NUMBER_BYTES && type <= YYJSON_TYPE_STR)
		return out_of_type(r, v, f, "is longer than 400 characters");
	if (type == YYJSON_TYPE_RAW || type == YYJSON_TYPE_STR)
		result = (r->action & ACTION_ROUND ? decimal_round
						   : decimal_parse)(
		    v->uni.str, json_len(v), r->precision, r->scale, &value);
	if (result == DECIMAL_NOT_A_NUMBER)
		return wrong_type(r, v, f, "a number");
	if (result == DECIMAL_TOO_LARGE) {
		snprintf(why, sizeof(why), "is too large for decimal(%u,%u)",
			 r->precision, r->scale);
		return out_of_type(r, v, f, why);
	}
	if (result == DECIMAL_TOO_FINE) {
		snprintf(why, sizeof(why), "has more than %u decimal places",
			 r->scale);
		return out_of_type(r, v, f, why);
	}
	return check_range(r, v, value, f);
}

static bool is_number(const char *text, size_t bytes)
{
	decimal_value ignored;

	return decimal_parse(text, bytes, DECIMAL_MAX_PRECISION, 0, &ignored) !=
	       DECIMAL_NOT_A_NUMBER;
}

static bool has_exponent(const char *text, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if ((text[i] | 0x20) == 'e')
			return true;
	return false;
}

static bool check_double(const struct rule *r, const yyjson_val *v,
			 struct finding *f)
{
	uint8_t type = json_type(v);
	size_t bytes = json_len(v);
	double value;

	if (type != YYJSON_TYPE_RAW &&
	    (type != YYJSON_TYPE_STR || !is_number(v->uni.str, bytes)))
		return wrong_type(r, v, f, "a number");
	if (bytes > MAX_NUMBER_BYTES)
		return out_of_type(r, v, f, "is longer than 400 characters");
	/* Up to 300 digits without an exponent are always finite. */
	if (!(r->checks & (RULE_MIN | RULE_MAX)) && bytes <= 300 &&
	    !has_exponent(v->uni.str, bytes))
		return true;
	value = strtod(v->uni.str, NULL);
	if (!isfinite(value))
		return out_of_type(r, v, f, "is too large for a double");
	if ((r->checks & RULE_MIN) && value < r->min_double)
		return broken(r, v, f, INTAKE_OUT_OF_RANGE,
			      "is below the minimum");
	if ((r->checks & RULE_MAX) && value > r->max_double)
		return broken(r, v, f, INTAKE_OUT_OF_RANGE,
			      "is above the maximum");
	return true;
}

static bool check_time(const struct rule *r, const yyjson_val *v,
		       struct finding *f)
{
	int64_t at_us;

	if (json_type(v) != YYJSON_TYPE_STR || json_len(v) > MAX_TIME_BYTES ||
	    clock_parse(v->uni.str, json_len(v), &at_us) < 0)
		return wrong_type(r, v, f,
				  "a time with zone (2026-01-31T12:00:00Z)");
	if (at_us < YEAR_1900_US)
		return out_of_type(r, v, f, "is before the year 1900");
	return check_range(r, v, at_us, f);
}

static bool check_date(const struct rule *r, const yyjson_val *v,
		       struct finding *f)
{
	char text[] = "yyyy-mm-ddT00:00Z";
	int64_t at_us;

	if (json_type(v) != YYJSON_TYPE_STR || json_len(v) != 10)
		return wrong_type(r, v, f, "a date (2026-01-31)");
	memcpy(text, v->uni.str, 10);
	if (clock_parse(text, sizeof(text) - 1, &at_us) < 0)
		return wrong_type(r, v, f, "a date (2026-01-31)");
	if (at_us < YEAR_1900_US)
		return out_of_type(r, v, f, "is before the year 1900");
	return check_range(r, v, at_us / INT64_C(86400000000), f);
}

static bool check_array(const struct rule *r, yyjson_val *v, bool nul,
			struct finding *f)
{
	size_t count = json_len(v);
	yyjson_val *e;

	if (json_type(v) != YYJSON_TYPE_ARR)
		return wrong_type(r, v, f, "an array");
	if ((r->checks & RULE_LENGTH) && count > r->max_length) {
		finding_set(f, INTAKE_TOO_LONG, r->name,
			    "%s has %zu elements, at most %u fit", r->name,
			    count, r->max_length);
		f->fits = true;
		return false;
	}
	e = json_first(v);
	for (; count; count--, e = json_next(e))
		if (json_type(e) != YYJSON_TYPE_NULL &&
		    !check_value(r->element, e, nul, f)) {
			f->fits = false;
			return false;
		}
	return true;
}

static bool check_struct(const struct rule *r, yyjson_val *v, bool nul,
			 struct finding *f)
{
	uint64_t seen[MODEL_SEEN_WORDS] = {0};
	size_t count = json_len(v);
	yyjson_val *key;

	if (json_type(v) != YYJSON_TYPE_OBJ)
		return wrong_type(r, v, f, "an object");
	key = json_first(v);
	for (; count; count--, key = json_next(key + 1)) {
		int32_t i = shape_find(r->shape, key->uni.str, json_len(key));

		if (i < 0 || json_type(key + 1) == YYJSON_TYPE_NULL)
			continue;
		bit_set(seen, (uint32_t)i);
		if (!check_value(&r->shape->rules[i], key + 1, nul, f)) {
			f->fits = false;
			return false;
		}
	}
	for (uint32_t i = 0; i < r->shape->count; i++)
		if (r->shape->rules[i].required && !bit_get(seen, i))
			return finding_set(f, INTAKE_MISSING_FIELD,
					   r->shape->rules[i].name,
					   "%s has no %s, which is required",
					   r->name, r->shape->rules[i].name);
	return true;
}

bool check_value(const struct rule *r, yyjson_val *v, bool nul,
		 struct finding *f)
{
	switch (r->type) {
	case CONTRACT_STRING:
		return check_string(r, v, nul, f);
	case CONTRACT_GUID:
		return check_guid(r, v, f);
	case CONTRACT_INT:
	case CONTRACT_LONG:
		return check_integer(r, v, f);
	case CONTRACT_DOUBLE:
		return check_double(r, v, f);
	case CONTRACT_DECIMAL:
		return check_decimal(r, v, f);
	case CONTRACT_BOOLEAN:
		if (json_type(v) != YYJSON_TYPE_BOOL)
			return wrong_type(r, v, f, "true or false");
		return true;
	case CONTRACT_DATETIME:
		return check_time(r, v, f);
	case CONTRACT_DATE:
		return check_date(r, v, f);
	case CONTRACT_ARRAY:
	case CONTRACT_STRUCT:
	case CONTRACT_DYNAMIC:
		break;
	}
	if (nul)
		return finding_set(f, INTAKE_BAD_CHARACTER, r->name,
				   "%s has a string with the character U+0000",
				   r->name);
	if (r->type == CONTRACT_ARRAY)
		return check_array(r, v, nul, f);
	if (r->type == CONTRACT_STRUCT)
		return check_struct(r, v, nul, f);
	if ((r->checks & RULE_OBJECT) && json_type(v) != YYJSON_TYPE_OBJ)
		return wrong_type(r, v, f, "an object");
	return true;
}
