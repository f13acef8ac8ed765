#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/text.h"
#include "contract/compile.h"

static const struct known_key field_keys[] = {
    {"name", CONFIG_TYPE_STRING, false},
    {"doc", CONFIG_TYPE_STRING, false},
    {"type", CONFIG_TYPE_STRING, false},
    {"from", KEY_TEXTS, false},
    {"required", CONFIG_TYPE_BOOL, false},
    {"default", KEY_ANY, false},
    {"default_null", CONFIG_TYPE_BOOL, false},
    {"min", KEY_ANY, false},
    {"max", KEY_ANY, false},
    {"max_length", CONFIG_TYPE_INT, false},
    {"enum", KEY_ANY, false},
    {"pattern", CONFIG_TYPE_STRING, false},
    {"on_violation", CONFIG_TYPE_STRING, false},
    {"mask", CONFIG_TYPE_STRING, false},
    {"mask_keep", CONFIG_TYPE_INT, false},
    {"value", CONFIG_TYPE_STRING, false},
    {"const", KEY_ANY, false},
    {"env", CONFIG_TYPE_STRING, false},
    {"nulls", CONFIG_TYPE_STRING, false},
    {"round", CONFIG_TYPE_BOOL, false},
    {"fields", CONFIG_TYPE_LIST, false},
    {"compute", KEY_ANY, true},
    {"compute_when", KEY_ANY, true},
    {"lookup", KEY_ANY, true},
    {"accept", KEY_ANY, true},
    {NULL, 0, false},
};

/* What a field inside a struct may say. */
static const struct known_key nested_keys[] = {
    {"name", CONFIG_TYPE_STRING, false},
    {"doc", CONFIG_TYPE_STRING, false},
    {"type", CONFIG_TYPE_STRING, false},
    {"required", CONFIG_TYPE_BOOL, false},
    {"min", KEY_ANY, false},
    {"max", KEY_ANY, false},
    {"max_length", CONFIG_TYPE_INT, false},
    {"enum", KEY_ANY, false},
    {"pattern", CONFIG_TYPE_STRING, false},
    {"fields", CONFIG_TYPE_LIST, false},
    {"from", KEY_ANY, true},
    {"default", KEY_ANY, true},
    {"default_null", KEY_ANY, true},
    {"on_violation", KEY_ANY, true},
    {"mask", KEY_ANY, true},
    {"value", KEY_ANY, true},
    {"nulls", KEY_ANY, true},
    {"round", KEY_ANY, true},
    {NULL, 0, false},
};

static const char *const type_names[] = {
    [CONTRACT_STRING] = "string",     [CONTRACT_GUID] = "guid",
    [CONTRACT_INT] = "int",	      [CONTRACT_LONG] = "long",
    [CONTRACT_DOUBLE] = "double",     [CONTRACT_DECIMAL] = "decimal(p,s)",
    [CONTRACT_BOOLEAN] = "boolean",   [CONTRACT_DATETIME] = "datetime",
    [CONTRACT_DATE] = "date",	      [CONTRACT_DYNAMIC] = "dynamic",
    [CONTRACT_ARRAY] = "array(type)", [CONTRACT_STRUCT] = "struct",
};

const config_setting_t *declared_get(const struct declared *d, const char *key)
{
	for (uint32_t i = d->level_count; i > 0; i--) {
		const config_setting_t *s =
		    config_setting_get_member(d->levels[i - 1], key);

		if (s)
			return s;
	}
	return NULL;
}

const config_setting_t *declared_at(const struct declared *d)
{
	return d->levels[d->level_count - 1];
}

const char *declared_text(const struct declared *d, const char *key)
{
	const config_setting_t *s = declared_get(d, key);

	return s && config_setting_type(s) == CONFIG_TYPE_STRING
		   ? config_setting_get_string(s)
		   : NULL;
}

bool declared_bool(const struct declared *d, const char *key)
{
	const config_setting_t *s = declared_get(d, key);

	return s && config_setting_type(s) == CONFIG_TYPE_BOOL &&
	       config_setting_get_bool(s);
}

static void declare_field(struct compiler *c, const config_setting_t *group,
			  struct declared_list *list)
{
	const config_setting_t *at = config_setting_get_member(group, "name");
	const char *name = at ? config_setting_get_string(at) : NULL;
	struct declared *d;

	if (!name) {
		report_error(c, group, "a field has no name");
		return;
	}
	for (uint32_t i = 0; i < list->count; i++) {
		d = &list->fields[i];
		if (strcasecmp(d->name, name) != 0)
			continue;
		if (declared_at(d)->parent == group->parent ||
		    strcmp(d->name, name) != 0)
			report_error(c, at,
				     "field \"%s\" is declared twice (as "
				     "\"%s\"; names differ in more than case)",
				     name, d->name);
		else if (d->level_count <= COMPILE_MAX_EXTENDS)
			d->levels[d->level_count++] = group;
		return;
	}
	if (list->count == list->room) {
		list->room = list->room ? list->room * 2 : 64;
		list->fields = xreallocarray(list->fields, list->room,
					     sizeof(*list->fields));
	}
	list->fields[list->count++] = (struct declared){
	    .name = name, .levels = {group}, .level_count = 1};
}

void declare_fields(struct compiler *c, const config_setting_t *fields,
		    struct declared_list *list)
{
	for (int i = 0; i < config_setting_length(fields); i++) {
		const config_setting_t *group =
		    config_setting_get_elem(fields, (unsigned)i);

		if (!config_setting_is_group(group))
			report_error(c, group,
				     "a field must be a group "
				     "{ name = …; type = …; }");
		else
			declare_field(c, group, list);
	}
}

static bool parse_decimal_type(struct compiler *c, const config_setting_t *at,
			       const char *text, struct rule *r)
{
	unsigned p, s;
	int used = 0;

	if (sscanf(text, "decimal(%2u,%2u)%n", &p, &s, &used) != 2 ||
	    text[used] || !used) {
		report_error(c, at,
			     "type \"%s\" must be written decimal(p,s), e.g. "
			     "decimal(18,6)",
			     text);
		return false;
	}
	if (p < 1 || p > DECIMAL_MAX_PRECISION || s > p) {
		report_error(c, at,
			     "type \"%s\": precision must be 1 to 38, scale 0 "
			     "to the precision",
			     text);
		return false;
	}
	r->precision = (uint8_t)p;
	r->scale = (uint8_t)s;
	r->type = CONTRACT_DECIMAL;
	return true;
}

static bool parse_plain_type(struct compiler *c, const config_setting_t *at,
			     const char *text, struct rule *r)
{
	const char *nearest;

	if (strncmp(text, "decimal", 7) == 0)
		return parse_decimal_type(c, at, text, r);
	for (int i = CONTRACT_STRING; i <= CONTRACT_STRUCT; i++)
		if (i != CONTRACT_ARRAY && strcmp(type_names[i], text) == 0) {
			r->type = (enum contract_type)i;
			return true;
		}
	nearest = text_nearest(text, type_names, CONTRACT_STRUCT + 1);
	report_error(c, at,
		     "unknown type \"%s\"%s%s%s (string, guid, int, long, "
		     "double, decimal(p,s), boolean, datetime, date, dynamic, "
		     "array(type), struct)",
		     text, nearest ? "; did you mean \"" : "",
		     nearest ? nearest : "", nearest ? "\"?" : "");
	return false;
}

static void compile_members(struct compiler *c, const struct declared *d,
			    struct rule *r, struct contract_field *f)
{
	const config_setting_t *fields = declared_get(d, "fields");
	struct shape *shape = set_alloc(c->set, 1, sizeof(*shape));
	struct declared_list list = {0};
	struct contract_field *public_fields;

	r->shape = shape;
	if (!fields || !config_setting_is_list(fields)) {
		report_error(c, declared_at(d),
			     "struct field \"%s\" needs fields = ( … )",
			     d->name);
		compile_shape(c, &list, -1, shape, NULL);
		return;
	}
	declare_fields(c, fields, &list);
	public_fields =
	    set_alloc(c->set, list.count + 1, sizeof(*public_fields));
	compile_shape(c, &list, -1, shape, public_fields);
	f->fields = public_fields;
	f->field_count = shape->count;
	free(list.fields);
}

/* What `text`, the inside of array(…), says of each element. */
static void compile_element(struct compiler *c, const struct declared *d,
			    const char *text, struct rule *r,
			    struct contract_field *f)
{
	struct rule *element = set_alloc(c->set, 1, sizeof(*element));
	struct contract_field *inner = set_alloc(c->set, 1, sizeof(*inner));

	*element = *r;
	element->checks = 0;
	r->type = CONTRACT_ARRAY;
	r->element = element;
	if (parse_plain_type(c, declared_get(d, "type"), text, element) &&
	    element->type == CONTRACT_STRUCT)
		compile_members(c, d, element, inner);
	inner->name = "element";
	inner->doc = "";
	inner->type_text = text;
	inner->type = element->type;
	inner->precision = element->precision;
	inner->scale = element->scale;
	f->element = inner;
}

static void compile_type(struct compiler *c, const struct declared *d,
			 struct rule *r, struct contract_field *f)
{
	const config_setting_t *at = declared_get(d, "type");
	const char *text = declared_text(d, "type");
	size_t bytes = text ? strlen(text) : 0;

	r->type = CONTRACT_STRING;
	if (!text) {
		report_error(c, declared_at(d), "field \"%s\" has no type",
			     d->name);
		f->type_text = "string";
		return;
	}
	f->type_text = set_text(c->set, text, bytes);
	if (strncmp(text, "array(", 6) == 0 && text[bytes - 1] == ')') {
		compile_element(c, d, set_text(c->set, text + 6, bytes - 7), r,
				f);
		return;
	}
	if (parse_plain_type(c, at, text, r) && r->type == CONTRACT_STRUCT)
		compile_members(c, d, r, f);
}

uint32_t declared_limit(struct compiler *c, const struct declared *d,
			const char *key, int max, uint32_t otherwise)
{
	const config_setting_t *s = declared_get(d, key);
	int value;

	if (!s || config_setting_type(s) != CONFIG_TYPE_INT)
		return otherwise;
	value = config_setting_get_int(s);
	if (value < 1 || value > max)
		report_error(c, s, "%s of \"%s\" must be from 1 to %d", key,
			     d->name, max);
	return value < 1 ? 1 : (uint32_t)value;
}

uint32_t declared_word(struct compiler *c, const struct declared *d,
		       const char *key, const char *const *words)
{
	const config_setting_t *s = declared_get(d, key);
	const char *text = declared_text(d, key);
	struct buf all = {0};

	if (!text)
		return 0;
	for (uint32_t i = 0; words[i]; i++)
		if (strcmp(words[i], text) == 0)
			return i;
	for (uint32_t i = 0; words[i]; i++)
		buf_printf(&all, "%s\"%s\"", i ? ", " : "", words[i]);
	report_error(c, s, "%s of \"%s\" must be one of %s, not \"%s\"", key,
		     d->name, buf_str(&all), text);
	buf_free(&all);
	return 0;
}

/* Behind compile_value: a default is written as it is, and must be exact. */
static void compile_round(struct compiler *c, const struct declared *d,
			  struct rule *r)
{
	if (!declared_bool(d, "round"))
		return;
	r->action |= ACTION_ROUND;
	if (r->type != CONTRACT_DECIMAL)
		report_error(c, declared_get(d, "round"),
			     "round of \"%s\" is for decimals", d->name);
}

static void compile_top(struct compiler *c, const struct declared *d, bool emit,
			struct rule *r, struct contract_field *f)
{
	static const char *const violations[] = {"reject", "flag", "null",
						 NULL};
	static const char *const nulls[] = {"omit", "emit", NULL};

	f->on_violation = (enum contract_violation)declared_word(
	    c, d, "on_violation", violations);
	if (f->on_violation != CONTRACT_REJECT)
		r->action |= ACTION_CHECK;
	r->emit_null = declared_get(d, "nulls")
			   ? declared_word(c, d, "nulls", nulls) == 1
			   : emit;
	compile_from(c, d, r);
	compile_mask(c, d, r, f);
	compile_value(c, d, r, f);
	compile_round(c, d, r);
	if (strcasecmp(d->name, MODEL_DQ_FLAGS) == 0)
		report_error(c, declared_at(d),
			     "field \"%s\" is made by on_violation = \"flag\" "
			     "and cannot be declared",
			     d->name);
}

static void name_rule(struct compiler *c, const char *name, struct rule *r,
		      struct contract_field *f)
{
	struct buf b = {0};

	r->field = f;
	r->name_bytes = strlen(name);
	r->name = f->name = set_text(c->set, name, r->name_bytes);
	buf_printf(&b, "\"%s\":", name);
	r->key.bytes = b.used;
	r->key.text = set_text(c->set, buf_str(&b), b.used);
	buf_free(&b);
}

static void compile_field(struct compiler *c, const struct declared *d,
			  int emit, struct rule *r, struct contract_field *f)
{
	const char *doc = declared_text(d, "doc");

	for (uint32_t i = 0; i < d->level_count; i++)
		check_keys(c, d->levels[i],
			   emit < 0 ? "a field of a struct" : "a field",
			   emit < 0 ? nested_keys : field_keys);
	check_name(c, declared_at(d), d->name);
	name_rule(c, d->name, r, f);
	f->doc = doc ? set_text(c->set, doc, strlen(doc)) : "";
	r->required = f->required = declared_bool(d, "required");
	compile_type(c, d, r, f);
	compile_limits(c, d, r);
	if (emit >= 0)
		compile_top(c, d, emit, r, f);
	f->type = r->type;
	f->precision = r->precision;
	f->scale = r->scale;
}

static void add_flags(struct compiler *c, struct shape *shape,
		      struct contract_field *f)
{
	struct rule *r = (struct rule *)&shape->rules[shape->count];

	name_rule(c, MODEL_DQ_FLAGS, r, f);
	f->doc = "Fields that broke a rule of the contract, as "
		 "field:code, separated by commas.";
	f->type_text = "string";
	r->action = ACTION_DROP;
	shape->count++;
}

void compile_shape(struct compiler *c, const struct declared_list *list,
		   int emit, struct shape *shape, struct contract_field *fields)
{
	uint32_t count = list->count;
	struct rule *rules = set_alloc(c->set, count + 1, sizeof(*rules));
	bool flags = false;

	if (count >= MODEL_MAX_FIELDS) {
		report_error(c, declared_at(&list->fields[0]),
			     "over %d fields in one contract",
			     MODEL_MAX_FIELDS - 1);
		count = MODEL_MAX_FIELDS - 1;
	}
	for (uint32_t i = 0; i < count; i++) {
		compile_field(c, &list->fields[i], emit, &rules[i], &fields[i]);
		flags |= fields[i].on_violation == CONTRACT_FLAG;
	}
	shape->rules = rules;
	shape->count = count;
	if (flags)
		add_flags(c, shape, &fields[count]);
	shape->words = (shape->count + 63) / 64;
	build_slots(c, count ? declared_at(&list->fields[0]) : NULL, shape);
}
