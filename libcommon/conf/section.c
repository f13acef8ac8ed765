/* One section of the file, read by the rows of its table. */
#include "conf/load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"

/* What it takes to read the keys of one group. */
struct reading {
	struct loading *l;
	struct conf_section *section;
	struct places places;
	const config_setting_t *group; /* in the file; NULL: not there */
	bool live;
};

struct where load_where(const struct loading *l, const config_setting_t *s)
{
	if (!s)
		return (struct where){l->file, 0};
	return scan_where(&l->scan, config_setting_source_line(s));
}

char *load_other_file(const struct loading *l, struct where at)
{
	return strcmp(at.file, l->file) == 0 ? NULL : xstrdup(at.file);
}

void load_unknown(struct loading *l, const config_setting_t *s,
		  const char *path, const char *const *names, size_t count)
{
	const char *nearest =
	    text_nearest(config_setting_name(s), names, count);

	if (nearest)
		problem_error(&l->problems, load_where(l, s),
			      "%.200s: unknown key; did you mean \"%s\"?", path,
			      nearest);
	else
		problem_error(&l->problems, load_where(l, s),
			      "%.200s: unknown key; pipelinectl docs manual "
			      "lists all keys",
			      path);
}

static const struct conf_row *find_row(const struct conf_table *table,
				       const char *name)
{
	for (size_t i = 0; i < table->row_count; i++)
		if (strcmp(table->rows[i].name, name) == 0)
			return &table->rows[i];
	return NULL;
}

static void unknown_key(struct reading *r, const config_setting_t *s)
{
	const struct conf_table *table = r->section->table;
	const char **names = xcalloc(table->row_count, sizeof(*names));
	char *path =
	    xasprintf("%s.%s", r->section->name, config_setting_name(s));

	for (size_t i = 0; i < table->row_count; i++)
		names[i] = table->rows[i].name;
	load_unknown(r->l, s, path, names, table->row_count);
	free(path);
	free(names);
}

static const char *wanted_form(const struct conf_row *row)
{
	switch (row->type) {
	case CONF_INT:
		return "needs an integer, without quotes";
	case CONF_BOOL:
		return "needs true or false, without quotes";
	case CONF_BYTES:
		return "needs a size in quotes with a unit, such as \"16MiB\"";
	case CONF_DURATION:
		return "needs a duration in quotes with a unit, such as "
		       "\"5s\"";
	default:
		return "needs a text in quotes";
	}
}

/* The value as text, or NULL when the setting has another type. */
static const char *text_of(const struct conf_row *row,
			   const config_setting_t *s, char number[32])
{
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_STRING:
		return value_is_text(row) ? config_setting_get_string(s) : NULL;
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		if (row->type != CONF_INT)
			return NULL;
		snprintf(number, 32, "%lld", config_setting_get_int64(s));
		return number;
	case CONFIG_TYPE_BOOL:
		if (row->type != CONF_BOOL)
			return NULL;
		return config_setting_get_bool(s) ? "true" : "false";
	default:
		return NULL;
	}
}

/* Replaces the row's default by text. */
static int take(struct reading *r, const struct conf_row *row,
		const config_setting_t *s, const char *text)
{
	struct conf_section *section = r->section;
	struct origin *origin = &section->origins[row - section->table->rows];
	struct where at = load_where(r->l, s);
	struct why why;

	value_free(row, section->values);
	if (value_set(row, section->values, text, &r->places, &why) == -1) {
		problem_error(&r->l->problems, at, "%s.%s: %s", section->name,
			      row->name, why.text);
		value_default(row, section->values, &r->places);
		return -1;
	}
	free(origin->file);
	*origin = (struct origin){
	    .from = FROM_FILE, .file = xstrdup(at.file), .line = at.line};
	return 0;
}

/* Notes where a value is written that this process may not see. */
static void pass_by(struct reading *r, const struct conf_row *row,
		    const config_setting_t *s)
{
	struct origin *o = &r->section->origins[row - r->section->table->rows];
	struct where at = load_where(r->l, s);

	free(o->file);
	*o = (struct origin){.from = FROM_FILE,
			     .file = xstrdup(at.file),
			     .line = at.line,
			     .reference = true};
}

static void take_secret(struct reading *r, const struct conf_row *row,
			const config_setting_t *s, const char *text)
{
	struct conf_section *section = r->section;
	struct secret_places places = {r->places.base, !r->live};
	struct where at = load_where(r->l, s);
	struct why warning, why;
	char *secret;

	if (secret_resolve(text, &places, &secret, &warning, &why) == -1) {
		problem_error(&r->l->problems, at, "%s.%s: %s", section->name,
			      row->name, why.text);
		return;
	}
	if (!secret_is_reference(text) && *text)
		problem_warning(&r->l->problems, at,
				"%s.%s: the secret is written out in this "
				"file%s; better refer to it by ${file:PATH} or "
				"${env:NAME}",
				section->name, row->name,
				value_is_open(at.file)
				    ? ", which everybody on this machine can "
				      "read"
				    : "");
	if (*warning.text)
		problem_warning(&r->l->problems, at, "%s.%s: %s", section->name,
				row->name, warning.text);
	if (!r->live && secret_is_reference(text))
		pass_by(r, row, s);
	else if (take(r, row, s, secret) == 0)
		section->origins[row - section->table->rows].reference =
		    secret_is_reference(text);
	secret_free(&secret);
}

static void read_key(struct reading *r, const config_setting_t *s)
{
	const struct conf_row *row =
	    find_row(r->section->table, config_setting_name(s));
	const char *text;
	char number[32];

	if (!row) {
		unknown_key(r, s);
		return;
	}
	if (config_setting_is_number(s) &&
	    scan_wrapped(&r->l->scan, config_setting_source_line(s)))
		return;
	text = text_of(row, s, number);
	if (!text)
		problem_error(&r->l->problems, load_where(r->l, s), "%s.%s: %s",
			      r->section->name, row->name, wanted_form(row));
	else if (row->flags & CONF_SECRET)
		take_secret(r, row, s, text);
	else if (value_is_text(row) && secret_is_reference(text))
		problem_error(&r->l->problems, load_where(r->l, s),
			      "%s.%s: ${…} is filled in only in keys that "
			      "hold a secret; write the value itself",
			      r->section->name, row->name);
	else
		(void)!take(r, row, s, text);
}

/* A required key that is missing is told at the section's own line. */
static void check_required(struct reading *r, const config_setting_t *group)
{
	const struct conf_table *table = r->section->table;

	for (size_t i = 0; i < table->row_count; i++) {
		const struct conf_row *row = &table->rows[i];

		if (!(row->flags & CONF_REQUIRED) ||
		    (group && config_setting_get_member(group, row->name)))
			continue;
		problem_error(&r->l->problems, load_where(r->l, group),
			      "%s: the key \"%s\" (%s) is missing",
			      r->section->name, row->name,
			      value_type_name(row));
	}
}

/* A file's owner may have reasons, and the key serves all the same. */
static void check_private(struct reading *r, const struct conf_row *row,
			  const config_setting_t *s)
{
	const char *path =
	    *(char *const *)(void *)((char *)r->section->values + row->offset);

	if (value_is_open(path))
		problem_warning(&r->l->problems, load_where(r->l, s),
				"%s.%s: everybody on this machine can read "
				"%.200s; chmod o-r it",
				r->section->name, row->name, path);
}

/* What a value asks for beyond its own form. */
static void check_given(struct reading *r, const config_setting_t *group)
{
	const struct conf_section *section = r->section;

	for (size_t i = 0; i < section->table->row_count; i++) {
		const struct conf_row *row = &section->table->rows[i];
		const config_setting_t *s =
		    config_setting_get_member(group, row->name);

		if (s && row->needs &&
		    !config_setting_get_member(group, row->needs))
			problem_error(&r->l->problems, load_where(r->l, s),
				      "%s.%s: needs the key \"%s\" too",
				      section->name, row->name, row->needs);
		if (s && r->live && (row->flags & CONF_EXISTS) &&
		    section->origins[i].from == FROM_FILE &&
		    value_check_exists(row, section->values) == -1)
			problem_error(&r->l->problems, load_where(r->l, s),
				      "%s.%s: %s: %s", section->name, row->name,
				      config_setting_get_string(s),
				      strerror(errno));
		else if (s && r->live && (row->flags & CONF_PRIVATE))
			check_private(r, row, s);
	}
}

/* ---- the table's own check ---- */

/* A value that was refused is not there: no use to judge it. */
static bool errors_since(const struct problems *p, size_t from)
{
	for (size_t i = from; i < p->count; i++)
		if (!p->list[i].warning)
			return true;
	return false;
}

static struct where judged_at(const struct reading *r, const char *key)
{
	struct where at = section_where(r->l, r->section, key);

	return at.line || !r->group ? at : load_where(r->l, r->group);
}

static void judge_refuse(void *arg, const char *key, const char *text)
{
	struct reading *r = arg;

	problem_error(&r->l->problems, judged_at(r, key), "%s.%s: %s",
		      r->section->name, key, text);
}

static void judge_warn(void *arg, const char *key, const char *text)
{
	struct reading *r = arg;

	problem_warning(&r->l->problems, judged_at(r, key), "%s.%s: %s",
			r->section->name, key, text);
}

static struct conf_section *add_section(struct conf *conf, const char *name,
					const struct conf_table *table)
{
	struct conf_section *s;

	conf->sections = xreallocarray(conf->sections, conf->section_count + 1,
				       sizeof(*conf->sections));
	s = &conf->sections[conf->section_count++];
	s->name = xstrdup(name);
	s->table = table;
	s->values = xcalloc(1, table->struct_bytes);
	s->origins = xcalloc(table->row_count, sizeof(*s->origins));
	return s;
}

/* Defaults first, row by row: later ones may refer to state_dir. */
static void set_defaults(struct reading *r)
{
	const struct conf_table *table = r->section->table;

	for (size_t i = 0; i < table->row_count; i++)
		if (value_is_unset(&table->rows[i], r->section->values) ||
		    table->rows[i].type > CONF_LISTEN)
			value_default(&table->rows[i], r->section->values,
				      &r->places);
}

struct conf_section *section_read(struct loading *l, const char *name,
				  const struct conf_table *table,
				  const config_setting_t *group, bool live)
{
	struct conf *conf = l->conf;
	struct reading r = {.l = l, .group = group, .live = live};
	struct conf_judge judge = {judge_refuse, judge_warn, &r};
	size_t problems = l->problems.count;

	r.section = add_section(conf, name, table);
	r.places = (struct places){.base = l->base, .name = name};
	r.places.state_dir =
	    conf->pipeline ? conf->pipeline->state_dir : "/var/lib/weft";
	set_defaults(&r);
	if (group && !config_setting_is_group(group)) {
		problem_error(&l->problems, load_where(l, group),
			      "%s: needs a group, such as %s = { key = value; "
			      "};",
			      name, config_setting_name(group));
		return r.section;
	}
	for (int i = 0; group && i < config_setting_length(group); i++)
		read_key(&r, config_setting_get_elem(group, (unsigned)i));
	if (live)
		check_required(&r, group);
	if (group)
		check_given(&r, group);
	if (live && table->check && !errors_since(&l->problems, problems))
		table->check(r.section->values, &judge);
	return r.section;
}

void section_free(struct conf_section *s)
{
	for (size_t i = 0; i < s->table->row_count; i++) {
		value_free(&s->table->rows[i], s->values);
		free(s->origins[i].file);
	}
	free(s->origins);
	free(s->values);
	free(s->name);
}

const struct conf_section *section_find(const struct conf *conf,
					const char *name)
{
	for (uint32_t i = 0; i < conf->section_count; i++)
		if (strcmp(conf->sections[i].name, name) == 0)
			return &conf->sections[i];
	return NULL;
}

struct where section_where(const struct loading *l,
			   const struct conf_section *s, const char *key)
{
	const struct conf_row *row = find_row(s->table, key);
	const struct origin *origin;

	if (!row)
		return (struct where){l->file, 0};
	origin = &s->origins[row - s->table->rows];
	return (struct where){origin->file ? origin->file : l->file,
			      origin->line};
}
