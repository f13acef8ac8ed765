#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/text.h"
#include "contract/compile.h"

#define MAX_ENUM	 1024
#define MAX_LENGTH_LIMIT 1000000
#define MAX_FROM	 16
#define MAX_MASK_KEEP	 4096
#define DEFAULT_KEEP	 32

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

static const config_setting_t *innermost(const struct declared *d)
{
	return d->levels[d->level_count - 1];
}

static const char *get_text(const struct declared *d, const char *key)
{
	const config_setting_t *s = declared_get(d, key);

	return s && config_setting_type(s) == CONFIG_TYPE_STRING
		   ? config_setting_get_string(s)
		   : NULL;
}

static bool get_bool(const struct declared *d, const char *key)
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
		if (innermost(d)->parent == group->parent ||
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
			    struct rule *r)
{
	const config_setting_t *fields = declared_get(d, "fields");
	struct shape *shape = set_alloc(c->set, 1, sizeof(*shape));
	struct declared_list list = {0};
	struct contract_field *public_fields;

	r->shape = shape;
	if (!fields || !config_setting_is_list(fields)) {
		report_error(c, innermost(d),
			     "struct field \"%s\" needs fields = ( … )",
			     d->name);
		compile_shape(c, &list, -1, shape, NULL);
		return;
	}
	declare_fields(c, fields, &list);
	public_fields =
	    set_alloc(c->set, list.count + 1, sizeof(*public_fields));
	compile_shape(c, &list, -1, shape, public_fields);
	free(list.fields);
}

static void compile_type(struct compiler *c, const struct declared *d,
			 struct rule *r, struct contract_field *f)
{
	const config_setting_t *at = declared_get(d, "type");
	const char *text = get_text(d, "type");
	size_t bytes = text ? strlen(text) : 0;

	r->type = CONTRACT_STRING;
	if (!text) {
		report_error(c, innermost(d), "field \"%s\" has no type",
			     d->name);
		f->type_text = "string";
		return;
	}
	f->type_text = set_text(c->set, text, bytes);
	if (strncmp(text, "array(", 6) == 0 && text[bytes - 1] == ')') {
		struct rule *element = set_alloc(c->set, 1, sizeof(*element));

		*element = *r;
		element->checks = 0;
		r->type = CONTRACT_ARRAY;
		r->element = element;
		if (parse_plain_type(c, at,
				     set_text(c->set, text + 6, bytes - 7),
				     element) &&
		    element->type == CONTRACT_STRUCT)
			compile_members(c, d, element);
		return;
	}
	if (parse_plain_type(c, at, text, r) && r->type == CONTRACT_STRUCT)
		compile_members(c, d, r);
}

static uint32_t get_limit(struct compiler *c, const struct declared *d,
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

static uint32_t get_word(struct compiler *c, const struct declared *d,
			 const char *key, const char *const *words)
{
	const config_setting_t *s = declared_get(d, key);
	const char *text = get_text(d, key);
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

static void compile_length(struct compiler *c, const struct declared *d,
			   struct rule *r)
{
	const config_setting_t *s = declared_get(d, "max_length");

	if (!s)
		return;
	if (r->type != CONTRACT_STRING && r->type != CONTRACT_ARRAY)
		report_error(c, s,
			     "max_length of \"%s\" is for strings and arrays",
			     d->name);
	r->max_length = get_limit(c, d, "max_length", MAX_LENGTH_LIMIT, 1);
	r->checks |= RULE_LENGTH;
}

static void compile_pattern(struct compiler *c, const struct declared *d,
			    struct rule *r)
{
	const config_setting_t *s = declared_get(d, "pattern");
	const char *text = get_text(d, "pattern");
	regex_t *re;
	char why[128];
	int bad;

	if (!text)
		return;
	if (r->type != CONTRACT_STRING) {
		report_error(c, s, "pattern of \"%s\" is for strings", d->name);
		return;
	}
	for (const char *p = text; *p; p++)
		if (*p == '\\' && isdigit((unsigned char)p[1])) {
			report_error(c, s,
				     "pattern of \"%s\": back references take "
				     "exponential time; write it without",
				     d->name);
			return;
		}
	if (strlen(text) > COMPILE_MAX_PATTERN) {
		report_error(c, s, "pattern of \"%s\" is over %d characters",
			     d->name, COMPILE_MAX_PATTERN);
		return;
	}
	re = xcalloc(1, sizeof(*re));
	bad = regcomp(re, text, REG_EXTENDED | REG_NOSUB);
	if (bad) {
		regerror(bad, re, why, sizeof(why));
		report_error(c, s, "pattern of \"%s\": %s", d->name, why);
		free(re);
		return;
	}
	r->pattern = set_pattern(c->set, re);
	r->checks |= RULE_PATTERN;
}

static void compile_enum(struct compiler *c, const struct declared *d,
			 struct rule *r)
{
	const config_setting_t *s = declared_get(d, "enum");
	struct slice *allowed;
	int count;

	if (!s)
		return;
	count = config_setting_length(s);
	if ((!config_setting_is_array(s) && !config_setting_is_list(s)) ||
	    count < 1 || count > MAX_ENUM) {
		report_error(c, s, "enum of \"%s\" must be a list of 1 to %d",
			     d->name, MAX_ENUM);
		return;
	}
	if (r->type > CONTRACT_LONG) {
		report_error(c, s,
			     "enum of \"%s\" is for string, guid, int and long",
			     d->name);
		return;
	}
	allowed = set_alloc(c->set, (size_t)count, sizeof(*allowed));
	for (int i = 0; i < count; i++) {
		const config_setting_t *e =
		    config_setting_get_elem(s, (unsigned)i);

		if (!fixed_text(c, e, r, &allowed[i]))
			return;
		if (r->type <= CONTRACT_GUID) {
			const char *text = config_setting_get_string(e);

			allowed[i].bytes = strlen(text);
			allowed[i].text =
			    set_text(c->set, text, allowed[i].bytes);
		}
	}
	r->allowed = allowed;
	r->allowed_count = (uint32_t)count;
	r->checks |= RULE_ENUM;
}

static void compile_limits(struct compiler *c, const struct declared *d,
			   struct rule *r)
{
	const config_setting_t *low = declared_get(d, "min");
	const config_setting_t *high = declared_get(d, "max");
	bool ok = true;

	compile_length(c, d, r);
	compile_pattern(c, d, r);
	compile_enum(c, d, r);
	if (low)
		ok = compile_limit(c, low, r, &r->min, &r->min_double);
	if (high)
		ok &= compile_limit(c, high, r, &r->max, &r->max_double);
	r->checks |= (uint8_t)((low ? RULE_MIN : 0) | (high ? RULE_MAX : 0));
	if (ok && low && high &&
	    (r->type == CONTRACT_DOUBLE ? r->min_double > r->max_double
					: r->min > r->max))
		report_error(c, low, "min of \"%s\" is above its max", d->name);
}

static void compile_mask(struct compiler *c, const struct declared *d,
			 struct rule *r, struct contract_field *f)
{
	static const char *const masks[] = {"none",	"hash",	 "redact",
					    "truncate", "last4", NULL};
	const config_setting_t *keep = declared_get(d, "mask_keep");

	f->mask = (enum contract_mask)get_word(c, d, "mask", masks);
	r->mask_keep =
	    get_limit(c, d, "mask_keep", MAX_MASK_KEEP, DEFAULT_KEEP);
	if (keep && f->mask != CONTRACT_MASK_TRUNCATE)
		report_error(c, keep,
			     "mask_keep of \"%s\" needs mask = \"truncate\"",
			     d->name);
	if (f->mask == CONTRACT_MASK_NONE)
		return;
	r->action |= ACTION_MASK;
	if (f->mask != CONTRACT_MASK_REDACT && r->type != CONTRACT_STRING)
		report_error(c, declared_get(d, "mask"),
			     "mask = \"%s\" of \"%s\" is for strings; use "
			     "\"redact\" (null) for type %s",
			     masks[f->mask], d->name, f->type_text);
}

static void compile_fill(struct compiler *c, const config_setting_t *s,
			 struct rule *r, struct contract_field *f)
{
	struct slice text;
	struct buf b = {0};

	if (!fixed_text(c, s, r, &text))
		return;
	buf_append(&b, r->key.text, r->key.bytes);
	buf_append(&b, text.text, text.bytes);
	r->fill.bytes = b.used;
	r->fill.text = set_text(c->set, buf_str(&b), b.used);
	if (r->value == VALUE_SENT)
		f->default_text = text.text;
	buf_free(&b);
}

static void compile_env(struct compiler *c, const struct declared *d,
			struct rule *r)
{
	const char *name = get_text(d, "env");
	const char *value = name ? getenv(name) : NULL;
	struct buf b = {0};

	if (!name || !value) {
		report_error(c, innermost(d),
			     "field \"%s\": value = \"env\" needs env = "
			     "\"NAME\" of a variable that is set%s%s",
			     d->name, name ? ", and is not: " : "",
			     name ? name : "");
		return;
	}
	if (r->type != CONTRACT_STRING || strlen(value) > 1024) {
		report_error(c, innermost(d),
			     "field \"%s\": value = \"env\" is for strings of "
			     "at most 1024 bytes",
			     d->name);
		return;
	}
	buf_append(&b, r->key.text, r->key.bytes);
	buf_char(&b, '"');
	buf_json_escape(&b, value, strlen(value));
	buf_char(&b, '"');
	r->fill.bytes = b.used;
	r->fill.text = set_text(c->set, buf_str(&b), b.used);
	buf_free(&b);
}

static void compile_value(struct compiler *c, const struct declared *d,
			  struct rule *r, struct contract_field *f)
{
	static const char *const values[] = {"sent",  "now", "uuid",
					     "const", "env", NULL};
	const config_setting_t *s = declared_get(d, "const");
	const config_setting_t *otherwise = declared_get(d, "default");
	uint32_t value = get_word(c, d, "value", values);

	r->default_null = get_bool(d, "default_null");
	r->value = (uint8_t)(value > VALUE_FIXED ? VALUE_FIXED : value);
	if (value)
		r->action |= ACTION_DROP;
	if (value && (otherwise || r->required || r->from_count ||
		      f->mask != CONTRACT_MASK_NONE))
		report_error(c, declared_get(d, "value"),
			     "field \"%s\" with value = \"%s\" cannot have "
			     "default, required, from or mask as well",
			     d->name, values[value]);
	if ((value == VALUE_NOW && r->type != CONTRACT_DATETIME) ||
	    (value == VALUE_UUID && r->type > CONTRACT_GUID))
		report_error(c, declared_get(d, "value"),
			     "field \"%s\": value = \"%s\" needs type %s",
			     d->name, values[value],
			     value == VALUE_NOW ? "datetime"
						: "guid or string");
	if (value == 3 && s)
		compile_fill(c, s, r, f);
	else if ((value == 3) != (s != NULL))
		report_error(c, s ? s : innermost(d),
			     "field \"%s\": value = \"const\" and const = … go "
			     "together",
			     d->name);
	else if (value == 4)
		compile_env(c, d, r);
	else if (!value && otherwise)
		compile_fill(c, otherwise, r, f);
	if (r->default_null && !r->fill.bytes)
		report_error(c, declared_get(d, "default_null"),
			     "default_null of \"%s\" needs a default", d->name);
	if (r->default_null)
		r->action |= ACTION_NULL;
}

static void split_path(struct compiler *c, const char *text, struct path *path)
{
	struct slice *names = set_alloc(c->set, 16, sizeof(*names));

	path->names = names;
	while (path->count < 16) {
		size_t n = strcspn(text, ".");

		names[path->count].text = set_text(c->set, text, n);
		names[path->count++].bytes = n;
		if (!text[n])
			return;
		text += n + 1;
	}
}

static void compile_from(struct compiler *c, const struct declared *d,
			 struct rule *r)
{
	const config_setting_t *s = declared_get(d, "from");
	bool single = get_text(d, "from") != NULL;
	int count = !s ? 0 : single ? 1 : config_setting_length(s);
	struct path *paths;

	if (!s)
		return;
	if (count < 1 || count > MAX_FROM) {
		report_error(c, s, "from of \"%s\" must be 1 to %d paths",
			     d->name, MAX_FROM);
		return;
	}
	paths = set_alloc(c->set, (size_t)count, sizeof(*paths));
	for (int i = 0; i < count; i++) {
		const char *text = single
				       ? get_text(d, "from")
				       : config_setting_get_string_elem(s, i);

		if (!text || !*text || strstr(text, "..") || *text == '.' ||
		    text[strlen(text) - 1] == '.') {
			report_error(c, s,
				     "from of \"%s\" must be names joined by "
				     "dots",
				     d->name);
			return;
		}
		split_path(c, text, &paths[i]);
	}
	r->from = paths;
	r->from_count = (uint32_t)count;
	r->gathered = count > 1 || paths[0].count > 1;
	if (!r->gathered && strcmp(paths[0].names[0].text, r->name) != 0)
		r->action |= ACTION_RENAME;
}

static void compile_top(struct compiler *c, const struct declared *d, bool emit,
			struct rule *r, struct contract_field *f)
{
	static const char *const violations[] = {"reject", "flag", "null",
						 NULL};
	static const char *const nulls[] = {"omit", "emit", NULL};

	f->on_violation =
	    (enum contract_violation)get_word(c, d, "on_violation", violations);
	if (f->on_violation != CONTRACT_REJECT)
		r->action |= ACTION_CHECK;
	r->emit_null = declared_get(d, "nulls")
			   ? get_word(c, d, "nulls", nulls) == 1
			   : emit;
	compile_from(c, d, r);
	compile_mask(c, d, r, f);
	compile_value(c, d, r, f);
	if (strcasecmp(d->name, MODEL_DQ_FLAGS) == 0)
		report_error(c, innermost(d),
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
	const char *doc = get_text(d, "doc");

	for (uint32_t i = 0; i < d->level_count; i++)
		check_keys(c, d->levels[i],
			   emit < 0 ? "a field of a struct" : "a field",
			   emit < 0 ? nested_keys : field_keys);
	check_name(c, innermost(d), d->name);
	name_rule(c, d->name, r, f);
	f->doc = doc ? set_text(c->set, doc, strlen(doc)) : "";
	r->required = f->required = get_bool(d, "required");
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
		report_error(c, innermost(&list->fields[0]),
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
	build_slots(c, count ? innermost(&list->fields[0]) : NULL, shape);
}
