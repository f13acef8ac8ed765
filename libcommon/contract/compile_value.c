#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "contract/check.h"
#include "contract/compile.h"

#define MAX_VALUE_BYTES 4096

/* A float as the shortest text that reads back as the same double. */
static void put_float(struct buf *b, double value)
{
	char text[40];

	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	buf_text(b, text);
}

/* Strings stand for themselves in text-like types, for JSON text in others. */
static bool is_texty(enum contract_type type)
{
	return type == CONTRACT_STRING || type == CONTRACT_GUID ||
	       type == CONTRACT_DATETIME || type == CONTRACT_DATE;
}

static void put_setting(struct buf *b, const config_setting_t *s, bool texty)
{
	const char *text;

	switch (config_setting_type(s)) {
	case CONFIG_TYPE_STRING:
		text = config_setting_get_string(s);
		if (texty) {
			buf_char(b, '"');
			buf_json_escape(b, text, strlen(text));
			buf_char(b, '"');
		} else {
			buf_text(b, text);
		}
		break;
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		buf_printf(b, "%lld", config_setting_get_int64(s));
		break;
	case CONFIG_TYPE_FLOAT:
		put_float(b, config_setting_get_float(s));
		break;
	case CONFIG_TYPE_BOOL:
		buf_text(b, config_setting_get_bool(s) ? "true" : "false");
		break;
	default:
		break;
	}
}

static const char *why_unfit(const struct rule *rule, const struct buf *text,
			     struct json *j, struct finding *f)
{
	const char *error;
	size_t at;
	yyjson_val *v;

	if (text->used == 0)
		return "it must be a single value (JSON text in a string for "
		       "lists and objects)";
	if (text->used > MAX_VALUE_BYTES)
		return "it is longer than 4096 bytes";
	v = json_parse(j, text->data, text->used, &at, &error);
	if (!v)
		return "it is no JSON text";
	if (json_is_null(v))
		return "it is null";
	if (yyjson_is_ctn(v) && json_len(v) && !json_walk(j, v, text->data, 1))
		return "it is nested too deep or has a key twice";
	return check_value(rule, v, j->nul, f) ? NULL : f->text;
}

bool fixed_text(struct compiler *c, const config_setting_t *s,
		const struct rule *rule, struct slice *text)
{
	struct json j = {0};
	struct buf b = {0};
	struct finding f;
	const char *why;

	put_setting(&b, s, is_texty(rule->type));
	why = why_unfit(rule, &b, &j, &f);
	if (why)
		report_error(c, s, "the value of %s does not fit type %s: %s",
			     rule->name, rule->field->type_text, why);
	else
		*text =
		    (struct slice){set_text(c->set, b.data, b.used), b.used};
	json_free(&j);
	buf_free(&b);
	return !why;
}

static bool read_limit(const struct rule *r, const char *text, size_t bytes,
		       decimal_value *value, double *as_double)
{
	decimal_value ignored;
	int64_t number = 0;
	bool ok = false;

	switch (r->type) {
	case CONTRACT_INT:
	case CONTRACT_LONG:
		ok = decimal_parse_integer(text, bytes, &number) == 0;
		*value = number;
		break;
	case CONTRACT_DECIMAL:
		ok = decimal_parse(text, bytes, r->precision, r->scale,
				   value) == DECIMAL_OK;
		break;
	case CONTRACT_DOUBLE:
		ok = decimal_parse(text, bytes, DECIMAL_MAX_PRECISION, 0,
				   &ignored) != DECIMAL_NOT_A_NUMBER;
		*as_double = ok ? strtod(text, NULL) : 0;
		break;
	default:
		ok = clock_parse(text, bytes, &number) == 0;
		*value = r->type == CONTRACT_DATE
			     ? number / INT64_C(86400000000)
			     : number;
		break;
	}
	return ok;
}

bool compile_limit(struct compiler *c, const config_setting_t *s,
		   const struct rule *rule, decimal_value *value,
		   double *as_double)
{
	struct buf b = {0};
	bool ordered =
	    (rule->type >= CONTRACT_INT && rule->type <= CONTRACT_DECIMAL) ||
	    rule->type == CONTRACT_DATETIME || rule->type == CONTRACT_DATE;
	bool ok;

	if (!ordered) {
		report_error(c, s,
			     "%s of \"%s\" is for numbers, datetime and date",
			     config_setting_name(s), rule->name);
		return false;
	}
	put_setting(&b, s, false);
	if (rule->type == CONTRACT_DATE && b.used == 10)
		buf_text(&b, "T00:00Z");
	buf_str(&b);
	ok = read_limit(rule, b.data, b.used, value, as_double);
	if (!ok)
		report_error(c, s, "%s of \"%s\" does not fit type %s",
			     config_setting_name(s), rule->name,
			     rule->field->type_text);
	buf_free(&b);
	return ok;
}

static struct shape_slot *slot_for(struct shape_slot *slots, uint32_t mask,
				   const struct slice *name)
{
	uint64_t at = name_hash(name->text, name->bytes);

	while (slots[at & mask].name &&
	       (slots[at & mask].bytes != name->bytes ||
		memcmp(slots[at & mask].name, name->text, name->bytes) != 0))
		at++;
	return &slots[at & mask];
}

static void take_slot(struct shape_slot *slot, const struct slice *name,
		      int32_t rule)
{
	*slot = (struct shape_slot){
	    .ends = name_ends(name->text, name->bytes),
	    .bytes = (uint32_t)name->bytes,
	    .rule = rule,
	    .name = name->text,
	};
}

static void put_slot(struct compiler *c, const config_setting_t *at,
		     struct shape *shape, struct shape_slot *slots, uint32_t i)
{
	const struct rule *r = &shape->rules[i];
	struct slice name = {r->name, r->name_bytes};
	struct shape_slot *slot;

	if (r->from_count)
		name = r->from[0].names[0];
	slot = slot_for(slots, shape->slot_mask, &name);
	if (slot->name)
		report_error(c, at,
			     "fields \"%s\" and \"%s\" both take member "
			     "\"%s\"; one of them needs another from",
			     shape->rules[slot->rule].name, r->name, name.text);
	take_slot(slot, &name, (int32_t)i);
}

static void put_paths(struct shape *shape, struct shape_slot *slots,
		      const struct rule *r)
{
	for (uint32_t p = 0; p < r->from_count; p++) {
		const struct slice *name = &r->from[p].names[0];
		struct shape_slot *slot =
		    slot_for(slots, shape->slot_mask, name);

		if (!slot->name)
			take_slot(slot, name, SHAPE_CONSUMED);
	}
}

void build_slots(struct compiler *c, const config_setting_t *at,
		 struct shape *shape)
{
	uint32_t size = 16, names = 0;
	struct shape_slot *slots;
	uint64_t *required =
	    set_alloc(c->set, shape->words ? shape->words : 1, 8);

	for (uint32_t i = 0; i < shape->count; i++)
		names += 1 + shape->rules[i].from_count;
	while (size < 4 * names)
		size *= 2;
	slots = set_alloc(c->set, size, sizeof(*slots));
	shape->slots = slots;
	shape->slot_mask = size - 1;
	shape->required = required;
	for (uint32_t i = 0; i < shape->count; i++) {
		if (shape->rules[i].required)
			bit_set(required, i);
		/* dq_flags is ours: a member sent under its name is unknown. */
		if (!shape->rules[i].gathered &&
		    strcmp(shape->rules[i].name, MODEL_DQ_FLAGS) != 0)
			put_slot(c, at, shape, slots, i);
	}
	for (uint32_t i = 0; i < shape->count; i++)
		if (shape->rules[i].gathered)
			put_paths(shape, slots, &shape->rules[i]);
}
