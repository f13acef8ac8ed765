/* What a contract says of its fields: identity, keys, unknown members. */
#include <stdlib.h>

#include "base/buf.h"
#include "base/text.h"
#include "contract/compile.h"

#define MAX_KEY_FIELDS 16

/* A key of a contract or of what it extends; the nearest one wins. */
const config_setting_t *source_get(const struct source *s, const char *key)
{
	for (; s; s = s->parent) {
		const config_setting_t *found =
		    config_setting_get_member(s->root, key);

		if (found)
			return found;
	}
	return NULL;
}

const char *setting_text(const config_setting_t *s)
{
	return s && config_setting_type(s) == CONFIG_TYPE_STRING
		   ? config_setting_get_string(s)
		   : NULL;
}

/* Index into `words` of a key's text, or 0 (the default) when it is absent. */
uint32_t setting_word(struct compiler *c, const config_setting_t *s,
		      const char *const *words, size_t count)
{
	const char *text = setting_text(s);
	struct buf all = {0};

	if (!text)
		return 0;
	for (uint32_t i = 0; i < count; i++)
		if (strcmp(words[i], text) == 0)
			return i;
	for (uint32_t i = 0; i < count; i++)
		buf_printf(&all, "%s\"%s\"", i ? ", " : "", words[i]);
	report_error(c, s, "\"%s\" must be one of %s, not \"%s\"",
		     config_setting_name(s), buf_str(&all), text);
	buf_free(&all);
	return 0;
}

int32_t model_find(const struct model *m, const char *name)
{
	for (uint32_t i = 0; i < m->shape.count; i++)
		if (strcmp(m->shape.rules[i].name, name) == 0)
			return (int32_t)i;
	return -1;
}

static int32_t named_field(struct compiler *c, const config_setting_t *at,
			   const struct model *m, const char *what,
			   const char *name)
{
	int32_t i = model_find(m, name);
	const char *names[MODEL_MAX_FIELDS];
	const char *nearest;

	if (i >= 0)
		return i;
	for (uint32_t k = 0; k < m->shape.count; k++)
		names[k] = m->shape.rules[k].name;
	nearest = text_nearest(name, names, m->shape.count);
	report_error(c, at, "%s names no field \"%s\"%s%s%s", what, name,
		     nearest ? "; did you mean \"" : "", nearest ? nearest : "",
		     nearest ? "\"?" : "");
	return -1;
}

/* Why a field cannot be in identity, key, order or partition_key, or NULL. */
static const char *unfit_key(const struct rule *r)
{
	if (r->field->mask != CONTRACT_MASK_NONE &&
	    r->field->mask != CONTRACT_MASK_HASH)
		return "where only mask = \"hash\" keeps values apart";
	if (r->type >= CONTRACT_DYNAMIC)
		return "and so must have a plain type";
	if (r->field->on_violation != CONTRACT_REJECT)
		return "so its on_violation must be \"reject\"";
	if (r->action & ACTION_ROUND)
		return "so it cannot be rounded";
	if (r->gathered)
		return "where a from of several or nested paths is not "
		       "supported yet";
	return NULL;
}

static void check_key_field(struct compiler *c, const config_setting_t *at,
			    const char *what, struct rule *r)
{
	const char *why;

	if (strcmp(what, "event_time") == 0) {
		if (r->type != CONTRACT_DATETIME)
			report_error(c, at,
				     "event_time field \"%s\" must be of type "
				     "datetime",
				     r->name);
		return;
	}
	why = unfit_key(r);
	if (why)
		report_error(c, at, "\"%s\" is in %s, %s", r->name, what, why);
	if (strcmp(what, "order") != 0)
		r->checks |= RULE_IDENTITY;
}

/* The fields that a key of a contract names; at most MAX_KEY_FIELDS. */
static uint32_t key_fields(struct compiler *c, const struct source *s,
			   const struct model *m, const char *what,
			   int32_t *fields)
{
	const config_setting_t *list = source_get(s, what);
	bool single = list && setting_text(list);
	int count = !list ? 0 : single ? 1 : config_setting_length(list);
	uint32_t n = 0;

	if (count > MAX_KEY_FIELDS) {
		report_error(c, list, "%s names over %d fields", what,
			     MAX_KEY_FIELDS);
		return 0;
	}
	for (int i = 0; i < count; i++) {
		const char *name =
		    single ? setting_text(list)
			   : config_setting_get_string_elem(list, i);
		int32_t f = name ? named_field(c, list, m, what, name) : -1;

		if (f < 0)
			continue;
		fields[n++] = f;
		check_key_field(c, list, what,
				(struct rule *)&m->shape.rules[f]);
	}
	return n;
}

void compile_keys(struct compiler *c, const struct source *s, struct model *m)
{
	int32_t fields[MAX_KEY_FIELDS];
	int32_t *identity;
	uint32_t keys, orders, n;
	static const char *const modes[] = {"append", "upsert"};
	const config_setting_t *lake = source_get(s, "lake");
	const config_setting_t *mode =
	    lake ? config_setting_get_member(lake, "mode") : NULL;

	keys = key_fields(c, s, m, "key", fields);
	orders = key_fields(c, s, m, "order", fields);
	if (setting_word(c, mode, modes, 2) == 1 && (!keys || !orders))
		report_error(c, mode,
			     "mode = \"upsert\" needs both key and order");
	(void)!key_fields(c, s, m, "event_time", fields);
	m->partition_rule =
	    key_fields(c, s, m, "partition_key", fields) ? fields[0] : -1;
	if (m->partition_rule >= 0)
		m->pub.partition_key = m->shape.rules[fields[0]].name;
	n = key_fields(c, s, m, "identity", fields);
	if (n == 0 && !source_get(s, "identity"))
		report_error(c, s->root,
			     "identity is missing: name the fields that say "
			     "when two events are the same");
	identity = set_alloc(c->set, n ? n : 1, sizeof(*identity));
	memcpy(identity, fields, n * sizeof(*identity));
	for (uint32_t i = 0; i < n; i++)
		m->masked_identity |=
		    m->shape.rules[fields[i]].field->mask != CONTRACT_MASK_NONE;
	m->identity = identity;
	m->identity_count = n;
	m->pub.identity = (const uint32_t *)identity;
	m->pub.identity_count = n;
}

void compile_unknown(struct compiler *c, const struct source *s,
		     struct model *m)
{
	static const char *const words[] = {"keep", "drop", "reject"};
	const config_setting_t *at = source_get(s, "unknown_fields");
	const config_setting_t *named = source_get(s, "unknown_column");
	const char *column = setting_text(named);
	struct rule *r;

	m->unknown = (enum unknown_fields)setting_word(c, at, words, 3);
	m->unknown_rule = -1;
	if (m->unknown != UNKNOWN_KEEP)
		return;
	if (!at)
		at = s->root;
	if (!column)
		column = "custom_properties";
	m->unknown_rule = model_find(m, column);
	if (m->unknown_rule < 0) {
		report_error(
		    c, named ? named : at,
		    "unknown_fields = \"keep\" needs a field \"%s\" of "
		    "type dynamic (or unknown_column, or \"drop\", or "
		    "\"reject\")",
		    column);
		return;
	}
	r = (struct rule *)&m->shape.rules[m->unknown_rule];
	if (r->type != CONTRACT_DYNAMIC || r->value != VALUE_SENT ||
	    r->gathered || r->field->mask != CONTRACT_MASK_NONE ||
	    r->field->on_violation != CONTRACT_REJECT)
		report_error(
		    c, named ? named : at,
		    "field \"%s\", which unknown fields go to, must be "
		    "of type dynamic, without value, mask, "
		    "on_violation or several paths",
		    column);
	r->checks |= RULE_OBJECT;
	r->action |= ACTION_OBJECT;
}
