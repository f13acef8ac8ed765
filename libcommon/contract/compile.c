#include "contract/compile.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/text.h"
#include "proto/batch.h"

#define MAX_DOC_BYTES	4096
#define MAX_TOPIC_BYTES 249 /* as in Kafka */

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

static const char *own_text(const struct source *s, const char *key)
{
	return setting_text(config_setting_get_member(s->root, key));
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

static void compile_lake(struct compiler *c, const struct source *s,
			 struct model *m)
{
	const config_setting_t *lake = source_get(s, "lake");
	const char *table, *mode;

	if (!lake || !config_setting_is_group(lake))
		return;
	check_keys(c, lake, "lake", lake_keys);
	mode = setting_text(config_setting_get_member(lake, "mode"));
	m->pub.upsert = mode && strcmp(mode, "upsert") == 0;
	table = setting_text(config_setting_get_member(lake, "table"));
	if (table &&
	    check_table(c, config_setting_get_member(lake, "table"), table))
		m->pub.table = set_text(c->set, table, strlen(table));
}

/* What Kafka takes, and the mark where the stream's name goes. */
static bool check_topic(struct compiler *c, const config_setting_t *at,
			const char *topic)
{
	static const char mark[] = "<stream>";
	const char *found = strstr(topic, mark);
	size_t bytes = strlen(topic);

	if (strcmp(topic, ".") == 0 || strcmp(topic, "..") == 0)
		bytes = 0;
	if (found)
		bytes += BATCH_STREAM_NAME_BYTES;
	for (const char *t = topic; *t; t++) {
		if (t == found)
			t += sizeof(mark) - 2;
		else if (!isalnum((unsigned char)*t) && !strchr("._-", *t))
			bytes = 0;
	}
	if (bytes && bytes <= MAX_TOPIC_BYTES)
		return true;
	report_error(c, at,
		     "eventhub.topic has 1 to %d letters, digits, '.', '_' "
		     "and '-', is not . or .., and has at most one "
		     "\"<stream>\"",
		     MAX_TOPIC_BYTES);
	return false;
}

static void compile_sinks(struct compiler *c, const struct source *s,
			  struct model *m)
{
	const config_setting_t *hub = source_get(s, "eventhub");

	if (hub && config_setting_is_group(hub)) {
		const char *topic =
		    setting_text(config_setting_get_member(hub, "topic"));

		check_keys(c, hub, "eventhub", eventhub_keys);
		if (topic &&
		    check_topic(c, config_setting_get_member(hub, "topic"),
				topic))
			m->pub.topic = set_text(c->set, topic, strlen(topic));
	}
	compile_lake(c, s, m);
}

static bool shares_table(const struct contract *a, const struct contract *b)
{
	return a->table && b->table && strcmp(a->table, b->table) == 0;
}

/* An upsert table has one of its changes beside it. */
static bool takes_changes(const struct contract *a, const struct contract *b)
{
	size_t bytes;

	if (!a->upsert || !a->table || !b->table)
		return false;
	bytes = strlen(a->table);
	return strncmp(b->table, a->table, bytes) == 0 &&
	       strcmp(b->table + bytes, "_changes") == 0;
}

void check_tables(struct compiler *c)
{
	for (uint32_t i = 0; i < c->set->count; i++)
		for (uint32_t k = 0; k < c->set->count; k++) {
			const struct contract *a = &c->set->models[k]->pub;
			const struct contract *b = &c->set->models[i]->pub;

			if (k < i && shares_table(a, b))
				report_line(c, true, b->file, 0,
					    "lake.table \"%s\" is that of "
					    "contract \"%s\" already; several "
					    "contracts in one table are not "
					    "supported yet",
					    b->table, a->name);
			if (takes_changes(a, b))
				report_line(c, true, b->file, 0,
					    "lake.table \"%s\" is where the "
					    "changes of \"%s\" go; choose "
					    "another",
					    b->table, a->table);
		}
}

static void compile_head(struct compiler *c, const struct source *s,
			 struct model *m)
{
	const config_setting_t *version =
	    config_setting_get_member(s->root, "version");
	const config_setting_t *root = source_get(s, "root");
	const char *doc = own_text(s, "doc");
	int number = version ? config_setting_get_int(version) : 0;

	m->name_bytes = strlen(s->name);
	m->pub.name = set_text(c->set, s->name, m->name_bytes);
	m->pub.file = s->file;
	m->pub.doc = doc ? set_text(c->set, doc, strlen(doc)) : "";
	if (number < 1 || number > UINT16_MAX)
		report_error(c, version ? version : s->root,
			     "version must be given, from 1 to 65535");
	m->pub.version = (uint16_t)number;
	if (setting_text(root) && *setting_text(root))
		report_error(c, root,
			     "\"root\" other than \"\" is not supported yet; "
			     "name paths with \"from\"");
	if (!doc)
		report_warning(c, s->root, "contract \"%s\" has no doc",
			       s->name);
}

/* Whether the index says where the value of a field lies. */
static bool is_indexed(const struct model *m, int32_t rule)
{
	return (m->identity_count == 1 && rule == m->identity[0]) ||
	       rule == m->partition_rule || rule == m->type_rule;
}

/* Fields whose text is appended when the event does not have them. */
static void compile_filled(struct compiler *c, struct model *m)
{
	uint64_t *filled =
	    set_alloc(c->set, m->shape.words ? m->shape.words : 1, 8);

	m->grow_bytes = 64;
	for (uint32_t i = 0; i < m->shape.count; i++) {
		struct rule *r = (struct rule *)&m->shape.rules[i];

		if (is_indexed(m, (int32_t)i))
			r->action |= ACTION_NOTE;
		if (r->fill.bytes || r->value == VALUE_NOW ||
		    r->value == VALUE_UUID)
			bit_set(filled, i);
		m->gathered_count += r->gathered;
		m->makes_uuid |= r->value == VALUE_UUID;
		/* Filled, hashed, rounded or flagged: each is at most this
		 * long. */
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
		      (int)setting_word(c, source_get(s, "nulls"), nulls, 2),
		      &m->shape, fields);
	free(list.fields);
	m->pub.fields = fields;
	m->pub.field_count = m->shape.count;
	m->id_rule = model_find(m, "event_id");
	m->time_rule = model_find(m, "event_time");
	m->source_rule = model_find(m, "event_source");
	m->type_rule = model_find(m, "event_type");
	m->flags_rule = model_find(m, MODEL_DQ_FLAGS);
	m->takes_data = shape_find(&m->shape, "data", 4) != SHAPE_UNKNOWN;
	compile_keys(c, s, m);
	compile_unknown(c, s, m);
	compile_sinks(c, s, m);
	compile_filled(c, m);
	if (match)
		compile_match(c, match, m);
	else if (strcmp(s->name, "dead_letter") != 0 &&
		 strcmp(s->name, "dead_letter_state") != 0)
		report_warning(c, s->root,
			       "contract \"%s\" has no match, so no event "
			       "takes it (abstract = true for one that is only "
			       "extended)",
			       s->name);
	m->definition = source_definition(s);
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
	const char *parent = setting_text(at);
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
	c->set->models = set_alloc(c->set, c->source_count, sizeof(void *));
	for (uint32_t i = 0; i < c->source_count; i++) {
		struct source *s = &c->sources[i];

		if (s->resolved && s->name && !s->abstract)
			compile_contract(c, s);
	}
	finish_matches(c);
	check_tables(c);
	index_names(c->set);
}
