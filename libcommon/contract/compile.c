#include "contract/compile.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/text.h"

#define MAX_DOC_BYTES 4096

static const struct known_key contract_keys[] = {
    {"name", CONFIG_TYPE_STRING, false},
    {"version", CONFIG_TYPE_INT, false},
    {"doc", CONFIG_TYPE_STRING, false},
    {"extends", CONFIG_TYPE_STRING, false},
    {"abstract", CONFIG_TYPE_BOOL, false},
    {"match", KEY_ANY, false},
    {"identity", KEY_TEXTS, false},
    {"key", KEY_TEXTS, false},
    {"order", KEY_TEXTS, false},
    {"partition_key", CONFIG_TYPE_STRING, false},
    {"event_time", KEY_TEXTS, false},
    {"fields", CONFIG_TYPE_LIST, false},
    {"nulls", CONFIG_TYPE_STRING, false},
    {"unknown_fields", CONFIG_TYPE_STRING, false},
    {"unknown_column", CONFIG_TYPE_STRING, false},
    {"eventhub", CONFIG_TYPE_GROUP, false},
    {"lake", CONFIG_TYPE_GROUP, false},
    {"root", CONFIG_TYPE_STRING, false},
    {"also", KEY_ANY, true},
    {"explode", KEY_ANY, true},
    {"rules", KEY_ANY, true},
    {"delete_when", KEY_ANY, true},
    {NULL, 0, false},
};

static const struct known_key eventhub_keys[] = {
    {"topic", CONFIG_TYPE_STRING, false},
    {NULL, 0, false},
};

static const struct known_key lake_keys[] = {
    {"table", CONFIG_TYPE_STRING, false},
    {"mode", CONFIG_TYPE_STRING, false},
    {NULL, 0, false},
};

/* A key of a contract or of what it extends; the nearest one wins. */
static const config_setting_t *get_inherited(const struct source *s,
					     const char *key)
{
	for (; s; s = s->parent) {
		const config_setting_t *found =
		    config_setting_get_member(s->root, key);

		if (found)
			return found;
	}
	return NULL;
}

static const char *text_of(const config_setting_t *s)
{
	return s && config_setting_type(s) == CONFIG_TYPE_STRING
		   ? config_setting_get_string(s)
		   : NULL;
}

static const char *own_text(const struct source *s, const char *key)
{
	return text_of(config_setting_get_member(s->root, key));
}

/* Index into `words` of a key's text, or 0 (the default) when it is absent. */
static uint32_t word_of(struct compiler *c, const config_setting_t *s,
			const char *const *words, size_t count)
{
	const char *text = text_of(s);
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

static int32_t find_field(const struct model *m, const char *name)
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
	int32_t i = find_field(m, name);
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

/* The fields that identity, key, order or partition_key name. */
static uint32_t key_fields(struct compiler *c, const struct source *s,
			   const struct model *m, const char *what,
			   int32_t *fields)
{
	const config_setting_t *list = get_inherited(s, what);
	bool single = list && text_of(list);
	int count = !list ? 0 : single ? 1 : config_setting_length(list);
	uint32_t n = 0;

	for (int i = 0; i < count && n < 16; i++) {
		const char *name =
		    single ? text_of(list)
			   : config_setting_get_string_elem(list, i);
		int32_t f = name ? named_field(c, list, m, what, name) : -1;
		struct rule *r;

		if (f < 0)
			continue;
		r = (struct rule *)&m->shape.rules[f];
		fields[n++] = f;
		if (strcmp(what, "event_time") == 0) {
			if (r->type != CONTRACT_DATETIME)
				report_error(c, list,
					     "event_time field \"%s\" must be "
					     "of type datetime",
					     name);
			continue;
		}
		if (r->field->mask != CONTRACT_MASK_NONE &&
		    r->field->mask != CONTRACT_MASK_HASH)
			report_error(c, list,
				     "\"%s\" is in %s, where only mask = "
				     "\"hash\" keeps values apart",
				     name, what);
		if (r->type >= CONTRACT_DYNAMIC)
			report_error(c, list,
				     "\"%s\" is in %s and so must have a plain "
				     "type, not %s",
				     name, what, r->field->type_text);
		if (r->field->on_violation != CONTRACT_REJECT)
			report_error(
			    c, list,
			    "\"%s\" is in %s, so its on_violation must "
			    "be \"reject\"",
			    name, what);
		if (strcmp(what, "order") != 0)
			r->checks |= RULE_IDENTITY;
	}
	return n;
}

static void compile_keys(struct compiler *c, const struct source *s,
			 struct model *m)
{
	int32_t fields[16];
	int32_t *identity;
	uint32_t keys, orders, n;
	static const char *const modes[] = {"append", "upsert"};
	const config_setting_t *lake = get_inherited(s, "lake");
	const config_setting_t *mode =
	    lake ? config_setting_get_member(lake, "mode") : NULL;

	keys = key_fields(c, s, m, "key", fields);
	orders = key_fields(c, s, m, "order", fields);
	if (word_of(c, mode, modes, 2) == 1 && (!keys || !orders))
		report_error(c, mode,
			     "mode = \"upsert\" needs both key and order");
	(void)!key_fields(c, s, m, "event_time", fields);
	m->partition_rule =
	    key_fields(c, s, m, "partition_key", fields) ? fields[0] : -1;
	if (m->partition_rule >= 0)
		m->pub.partition_key = m->shape.rules[fields[0]].name;
	n = key_fields(c, s, m, "identity", fields);
	if (n == 0 && !get_inherited(s, "identity"))
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
}

static void compile_unknown(struct compiler *c, const struct source *s,
			    struct model *m)
{
	static const char *const words[] = {"keep", "drop", "reject"};
	const config_setting_t *at = get_inherited(s, "unknown_fields");
	const config_setting_t *named = get_inherited(s, "unknown_column");
	const char *column = text_of(named);
	struct rule *r;

	m->unknown = (enum unknown_fields)word_of(c, at, words, 3);
	m->unknown_rule = -1;
	if (m->unknown != UNKNOWN_KEEP)
		return;
	if (!at)
		at = s->root;
	if (!column)
		column = "custom_properties";
	m->unknown_rule = find_field(m, column);
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
	    r->gathered || r->field->mask != CONTRACT_MASK_NONE)
		report_error(
		    c, named ? named : at,
		    "field \"%s\", which unknown fields go to, must be "
		    "of type dynamic, without value, mask or several "
		    "paths",
		    column);
	r->checks |= RULE_OBJECT;
	r->action |= ACTION_OBJECT;
}

static void declare_chain(struct compiler *c, const struct source *s,
			  struct declared_list *list)
{
	const config_setting_t *fields;

	if (s->parent)
		declare_chain(c, s->parent, list);
	fields = config_setting_get_member(s->root, "fields");
	if (fields && config_setting_is_list(fields))
		declare_fields(c, fields, list);
}

static void compile_sinks(struct compiler *c, const struct source *s,
			  struct model *m)
{
	const config_setting_t *hub = get_inherited(s, "eventhub");
	const config_setting_t *lake = get_inherited(s, "lake");
	const char *table = NULL;

	if (hub && config_setting_is_group(hub)) {
		const char *topic =
		    text_of(config_setting_get_member(hub, "topic"));

		check_keys(c, hub, "eventhub", eventhub_keys);
		m->pub.topic =
		    topic ? set_text(c->set, topic, strlen(topic)) : NULL;
	}
	if (lake && config_setting_is_group(lake)) {
		check_keys(c, lake, "lake", lake_keys);
		table = text_of(config_setting_get_member(lake, "table"));
	}
	if (table)
		check_name(c, config_setting_get_member(lake, "table"), table);
}

static void compile_head(struct compiler *c, const struct source *s,
			 struct model *m)
{
	const config_setting_t *version =
	    config_setting_get_member(s->root, "version");
	const config_setting_t *root = get_inherited(s, "root");
	const char *doc = own_text(s, "doc");
	int number = version ? config_setting_get_int(version) : 0;

	m->pub.name = set_text(c->set, s->name, strlen(s->name));
	m->pub.file = s->file;
	m->pub.doc = doc ? set_text(c->set, doc, strlen(doc)) : "";
	if (number < 1 || number > UINT16_MAX)
		report_error(c, version ? version : s->root,
			     "version must be given, from 1 to 65535");
	m->pub.version = (uint16_t)number;
	if (text_of(root) && *text_of(root))
		report_error(c, root,
			     "\"root\" other than \"\" is not supported yet; "
			     "name paths with \"from\"");
	if (!doc)
		report_warning(c, s->root, "contract \"%s\" has no doc",
			       s->name);
}

/* Fields whose text is appended when the event does not have them. */
static void compile_filled(struct compiler *c, struct model *m)
{
	uint64_t *filled =
	    set_alloc(c->set, m->shape.words ? m->shape.words : 1, 8);

	m->grow_bytes = 64;
	for (uint32_t i = 0; i < m->shape.count; i++) {
		const struct rule *r = &m->shape.rules[i];

		if (r->fill.bytes || r->value == VALUE_NOW ||
		    r->value == VALUE_UUID)
			bit_set(filled, i);
		m->gathered_count += r->gathered;
		/* Filled, hashed or flagged: each is at most this long. */
		m->grow_bytes +=
		    r->key.bytes + r->fill.bytes + 80 + r->name_bytes + 24;
	}
	m->filled = filled;
}

static void compile_contract(struct compiler *c, const struct source *s)
{
	struct model *m = set_alloc(c->set, 1, sizeof(*m));
	struct declared_list list = {0};
	const config_setting_t *match =
	    config_setting_get_member(s->root, "match");
	static const char *const nulls[] = {"omit", "emit"};
	struct contract_field *fields;

	compile_head(c, s, m);
	declare_chain(c, s, &list);
	fields = set_alloc(c->set, list.count + 1, sizeof(*fields));
	compile_shape(c, &list,
		      (int)word_of(c, get_inherited(s, "nulls"), nulls, 2),
		      &m->shape, fields);
	free(list.fields);
	m->pub.fields = fields;
	m->pub.field_count = m->shape.count;
	m->id_rule = find_field(m, "event_id");
	m->time_rule = find_field(m, "event_time");
	m->source_rule = find_field(m, "event_source");
	m->type_rule = find_field(m, "event_type");
	m->flags_rule = find_field(m, MODEL_DQ_FLAGS);
	m->takes_data = shape_find(&m->shape, "data", 4) != SHAPE_UNKNOWN;
	compile_keys(c, s, m);
	compile_unknown(c, s, m);
	compile_sinks(c, s, m);
	compile_filled(c, m);
	if (match)
		compile_match(c, match, m);
	else if (strcmp(s->name, "dead_letter") != 0)
		report_warning(c, s->root,
			       "contract \"%s\" has no match, so no event "
			       "takes it (abstract = true for one that is only "
			       "extended)",
			       s->name);
	m->index = c->set->count;
	c->set->models[c->set->count++] = m;
}

static struct source *find_source(struct compiler *c, const char *name)
{
	for (uint32_t i = 0; i < c->source_count; i++)
		if (c->sources[i].name &&
		    strcasecmp(c->sources[i].name, name) == 0)
			return &c->sources[i];
	return NULL;
}

static void name_source(struct compiler *c, struct source *s)
{
	const char *name = own_text(s, "name");
	const config_setting_t *abstract =
	    config_setting_get_member(s->root, "abstract");
	const config_setting_t *at = config_setting_get_member(s->root, "name");
	const struct source *other;

	check_keys(c, s->root, "a contract", contract_keys);
	s->abstract = abstract && config_setting_get_bool(abstract);
	if (!name) {
		report_error(c, s->root, "the contract has no name");
		return;
	}
	if (!check_plain_name(c, at, name))
		return;
	other = find_source(c, name);
	if (other)
		report_error(c, at, "name \"%s\" is taken by %s already", name,
			     other->path);
	else
		s->name = name;
}

static void link_parent(struct compiler *c, struct source *s)
{
	const config_setting_t *at =
	    config_setting_get_member(s->root, "extends");
	const char *parent = text_of(at);
	const char *names[256];
	const char *nearest;
	size_t n = 0;

	if (!parent)
		return;
	s->parent = find_source(c, parent);
	if (s->parent)
		return;
	for (uint32_t i = 0; i < c->source_count && n < 256; i++)
		if (c->sources[i].name)
			names[n++] = c->sources[i].name;
	nearest = text_nearest(parent, names, n);
	report_error(c, at, "extends names no contract \"%s\"%s%s%s", parent,
		     nearest ? "; did you mean \"" : "", nearest ? nearest : "",
		     nearest ? "\"?" : "");
	s->resolved = false;
}

static void check_chain(struct compiler *c, struct source *s)
{
	const config_setting_t *at =
	    config_setting_get_member(s->root, "extends");
	const struct source *up = s;
	uint32_t depth = 0;

	while (up->parent && depth < COMPILE_MAX_EXTENDS) {
		up = up->parent;
		depth++;
	}
	s->resolved = !up->parent && (!at || s->parent);
	if (up->parent)
		report_error(c, at,
			     "extends goes in a circle, or over more than %d "
			     "levels",
			     COMPILE_MAX_EXTENDS);
}

static void index_names(struct contract_set *set)
{
	uint32_t size = 16;

	while (size < 4 * set->count)
		size *= 2;
	set->name_slots = set_alloc(set, size, sizeof(*set->name_slots));
	set->name_mask = size - 1;
	for (uint32_t i = 0; i < set->count; i++) {
		const char *name = set->models[i]->pub.name;
		uint64_t at = name_hash(name, strlen(name));

		while (set->name_slots[at & set->name_mask])
			at++;
		set->name_slots[at & set->name_mask] = i + 1;
	}
}

void compile_sources(struct compiler *c)
{
	for (uint32_t i = 0; i < c->source_count; i++)
		if (c->sources[i].readable)
			name_source(c, &c->sources[i]);
	for (uint32_t i = 0; i < c->source_count; i++)
		if (c->sources[i].readable)
			link_parent(c, &c->sources[i]);
	for (uint32_t i = 0; i < c->source_count; i++)
		if (c->sources[i].readable)
			check_chain(c, &c->sources[i]);
	c->set->models =
	    set_alloc(c->set, c->source_count, sizeof(*c->set->models));
	for (uint32_t i = 0; i < c->source_count; i++) {
		struct source *s = &c->sources[i];

		if (s->resolved && s->name && !s->abstract)
			compile_contract(c, s);
	}
	finish_matches(c);
	index_names(c->set);
}
