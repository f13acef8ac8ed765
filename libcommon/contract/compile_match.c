#include <stdlib.h>

#include "base/alloc.h"
#include "contract/compile.h"

#define MAX_MATCHES 4096
#define MAX_HAS	    16

static const struct known_key match_keys[] = {
    {"event_type", KEY_TEXTS, false},
    {"has", KEY_TEXTS, false},
    {"account", KEY_ANY, true},
    {"database", KEY_ANY, true},
    {"container", KEY_ANY, true},
    {"schema_version", KEY_ANY, true},
    {NULL, 0, false},
};

static const char *text_at(const config_setting_t *s, int i)
{
	return config_setting_type(s) == CONFIG_TYPE_STRING
		   ? config_setting_get_string(s)
		   : config_setting_get_string_elem(s, i);
}

static int texts(const config_setting_t *s)
{
	if (!s)
		return 0;
	return config_setting_type(s) == CONFIG_TYPE_STRING
		   ? 1
		   : config_setting_length(s);
}

static struct match_rule *add_match(struct compiler *c,
				    const struct match_rule *like)
{
	struct contract_set *set = c->set;

	set->matches[set->match_count] = *like;
	return &set->matches[set->match_count++];
}

static void add_typed(struct compiler *c, const config_setting_t *at,
		      const char *type, const struct match_rule *like)
{
	size_t bytes = strlen(type);
	struct match_rule *m;

	if (bytes == 0 || bytes > 256 || strcmp(type, "*") == 0 ||
	    memchr(type, '*', bytes - 1)) {
		report_error(c, at,
			     "event_type \"%s\" must be a type of at most 256 "
			     "bytes, or a prefix that ends in *",
			     type);
		return;
	}
	m = add_match(c, like);
	m->prefix = type[bytes - 1] == '*';
	m->type.bytes = bytes - m->prefix;
	m->type.text = set_text(c->set, type, m->type.bytes);
}

static void compile_group(struct compiler *c, const config_setting_t *group,
			  const struct model *model)
{
	const config_setting_t *type =
	    config_setting_get_member(group, "event_type");
	const config_setting_t *has = config_setting_get_member(group, "has");
	struct match_rule like = {.model = model, .at = group};
	struct slice *names;
	uint32_t errors = c->report->errors;

	check_keys(c, group, "match", match_keys);
	if (c->report->errors != errors)
		return;
	if (texts(has) > MAX_HAS || texts(type) > MAX_MATCHES / 4 ||
	    (!texts(has) && !texts(type))) {
		report_error(c, group,
			     "match needs event_type, or has (at most %d "
			     "names), or both",
			     MAX_HAS);
		return;
	}
	like.has_count = (uint32_t)texts(has);
	names = set_alloc(c->set, like.has_count + 1, sizeof(*names));
	for (uint32_t i = 0; i < like.has_count; i++) {
		const char *name = text_at(has, (int)i);

		names[i].bytes = strlen(name);
		names[i].text = set_text(c->set, name, names[i].bytes);
	}
	like.has = names;
	if (!type)
		add_match(c, &like);
	for (int i = 0; i < texts(type); i++)
		add_typed(c, type, text_at(type, i), &like);
}

void compile_match(struct compiler *c, const config_setting_t *match,
		   const struct model *model)
{
	int groups =
	    config_setting_is_list(match) ? config_setting_length(match) : 1;

	for (int i = 0; i < groups; i++) {
		const config_setting_t *group =
		    config_setting_is_list(match)
			? config_setting_get_elem(match, (unsigned)i)
			: match;
		size_t room;
		int types;

		if (!config_setting_is_group(group)) {
			report_error(c, group,
				     "match must be a group { event_type = …; "
				     "has = …; } or a list of such");
			continue;
		}
		types = texts(config_setting_get_member(group, "event_type"));
		room = c->set->match_count + (size_t)types + 1;
		c->set->matches = xreallocarray(c->set->matches, room,
						sizeof(*c->set->matches));
		compile_group(c, group, model);
	}
}

static int rank(const struct match_rule *m)
{
	return m->type.bytes == 0 ? 2 : m->prefix ? 1 : 0;
}

/* Exact types first, then prefixes, the longest first, then has alone. */
static int compare(const void *left, const void *right)
{
	const struct match_rule *a = left, *b = right;
	int order = rank(a) - rank(b);

	if (order)
		return order;
	if (rank(a) == 1 && a->type.bytes != b->type.bytes)
		return a->type.bytes > b->type.bytes ? -1 : 1;
	if (a->type.bytes && a->type.bytes == b->type.bytes)
		order = memcmp(a->type.text, b->type.text, a->type.bytes);
	else if (a->type.bytes != b->type.bytes)
		order = a->type.bytes < b->type.bytes ? -1 : 1;
	if (order)
		return order;
	if (a->has_count != b->has_count)
		return a->has_count > b->has_count ? -1 : 1;
	return strcmp(a->model->pub.name, b->model->pub.name);
}

static void report_ties(struct compiler *c)
{
	const struct match_rule *list = c->set->matches;

	for (uint32_t i = 1; i < c->set->match_count; i++) {
		const struct match_rule *a = &list[i - 1], *b = &list[i];
		bool same =
		    rank(a) == rank(b) && a->has_count == b->has_count &&
		    a->type.bytes == b->type.bytes &&
		    (!a->type.bytes ||
		     memcmp(a->type.text, b->type.text, a->type.bytes) == 0);

		if (same && a->model != b->model)
			report_error(c, b->at,
				     "match ties with contract \"%s\" (%s%.*s%s"
				     "%u has): an event could take either; add "
				     "has, or a longer prefix",
				     a->model->pub.name,
				     a->type.bytes ? "event_type " : "",
				     (int)a->type.bytes,
				     a->type.bytes ? a->type.text : "",
				     a->type.bytes ? (a->prefix ? "*, " : ", ")
						   : "",
				     a->has_count);
	}
}

static void index_types(struct contract_set *set)
{
	uint32_t size = 64;

	while (set->typed_count < set->match_count &&
	       rank(&set->matches[set->typed_count]) == 0)
		set->typed_count++;
	while (size < 4 * set->typed_count)
		size *= 2;
	set->type_slots = set_alloc(set, size, sizeof(*set->type_slots));
	set->type_mask = size - 1;
	for (uint32_t i = 0; i < set->typed_count; i++) {
		const struct slice *type = &set->matches[i].type;
		const struct slice *before = &set->matches[i ? i - 1 : 0].type;
		uint64_t at = name_hash(type->text, type->bytes);

		if (i && before->bytes == type->bytes &&
		    memcmp(before->text, type->text, type->bytes) == 0)
			continue;
		while (set->type_slots[at & set->type_mask])
			at++;
		set->type_slots[at & set->type_mask] = i + 1;
	}
}

void finish_matches(struct compiler *c)
{
	if (c->set->match_count)
		qsort(c->set->matches, c->set->match_count,
		      sizeof(*c->set->matches), compare);
	report_ties(c);
	index_types(c->set);
}
