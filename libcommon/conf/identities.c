/* Named credentials: identities = { … }, and the keys that name one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "conf/load.h"

#define PREFIX "identities."

#define IDENTITY(f, t) CONF_FIELD(struct conf_identity, f, t)

static const struct conf_row rows[] = {
    {IDENTITY(type, CONF_CHOICE), .choices = IDENTITY_TYPES,
     .flags = CONF_REQUIRED,
     .doc = "What the identity is, which tells the keys that it has: "
	    "account_key (key, account), sas (token), connection_string "
	    "(connection_string) or plain (username, password)."},
    {IDENTITY(account, CONF_STRING), .min = "1", .max = "63",
     .doc = "Storage account that the key belongs to. Needed where the URL "
	    "does not name it."},
    {IDENTITY(key, CONF_STRING), .min = "1", .max = "1024",
     .flags = CONF_SECRET, .doc = "Key of an Azure storage account, Base64."},
    {IDENTITY(token, CONF_STRING), .min = "1", .max = "4096",
     .flags = CONF_SECRET,
     .doc = "Shared access signature of Azure Storage, as the portal shows "
	    "it: \"sv=…&sig=…\"."},
    {IDENTITY(connection_string, CONF_STRING), .min = "1", .max = "8192",
     .flags = CONF_SECRET,
     .doc = "Connection string of a storage account, or of an Event Hubs "
	    "namespace, as the portal shows it."},
    {IDENTITY(username, CONF_STRING), .min = "1", .max = "1024",
     .doc = "User name."},
    {IDENTITY(password, CONF_STRING), .min = "1", .max = "8192",
     .flags = CONF_SECRET, .doc = "The user's password."},
};

const struct conf_table conf_identity_table = {
    .section = "identities",
    .doc = "Named credentials, any number of them: identities = { lake = { "
	   "type = \"account_key\"; key = \"${file:lake.key}\"; }; }. A "
	   "service names the one it uses in its key identity, and only then "
	   "its secrets are read.",
    .rows = rows,
    .row_count = sizeof(rows) / sizeof(*rows),
    .struct_bytes = sizeof(struct conf_identity),
};

/* Which keys belong to a type. */
static const struct {
	const char *type;
	const char *keys[2]; /* those that may be given … */
	size_t needed;	     /* … the first of which must be */
} types[] = {
    [IDENTITY_ACCOUNT_KEY] = {"account_key", {"key", "account"}, 1},
    [IDENTITY_SAS] = {"sas", {"token"}, 1},
    [IDENTITY_CONNECTION_STRING] = {"connection_string",
				    {"connection_string"},
				    1},
    [IDENTITY_PLAIN] = {"plain", {"username", "password"}, 2},
};

static const struct conf_section *find(const struct conf *conf,
				       const char *name)
{
	char path[CONF_NAME_BYTES + sizeof(PREFIX)];

	if (strlen(name) > CONF_NAME_BYTES)
		return NULL;
	snprintf(path, sizeof(path), PREFIX "%s", name);
	return section_find(conf, path);
}

const struct conf_identity *conf_find_identity(const struct conf *conf,
					       const char *name)
{
	const struct conf_section *s = find(conf, name);

	return s ? s->values : NULL;
}

bool identity_is_section(const struct conf_section *s)
{
	return s->table == &conf_identity_table;
}

const char *identity_name(const struct conf_section *s)
{
	return s->name + strlen(PREFIX);
}

/* ---- those who use one ---- */

/* Whether this process, or any of the pipeline, runs by a section's keys. */
static bool is_live(const struct loading *l, const struct conf_section *s)
{
	return conf_find_service(l->conf, s->name) &&
	       (!l->row || strcmp(l->row, s->name) == 0);
}

/* The value of a key that names an identity, or NULL. */
static char **user_value(const struct conf_section *s, size_t row)
{
	char **value =
	    (char **)((char *)s->values + s->table->rows[row].offset);

	return s->table->rows[row].flags & CONF_IDENTITY && *value ? value
								   : NULL;
}

static bool is_used(const struct loading *l, const char *name)
{
	for (uint32_t i = 0; i < l->conf->section_count; i++) {
		const struct conf_section *s = &l->conf->sections[i];

		for (size_t k = 0; k < s->table->row_count; k++) {
			char **value = user_value(s, k);

			if (value && strcmp(*value, name) == 0 && is_live(l, s))
				return true;
		}
	}
	return false;
}

static void unknown_identity(struct loading *l, const struct conf_section *s,
			     const char *key, const char *name)
{
	const struct conf *conf = l->conf;
	const char **names = xcalloc(conf->section_count, sizeof(*names));
	const char *nearest;
	size_t count = 0;

	for (uint32_t i = 0; i < conf->section_count; i++)
		if (identity_is_section(&conf->sections[i]))
			names[count++] = identity_name(&conf->sections[i]);
	nearest = text_nearest(name, names, count);
	if (nearest)
		problem_error(&l->problems, section_where(l, s, key),
			      "%s.%s: there is no identity \"%.60s\"; did you "
			      "mean \"%s\"?",
			      s->name, key, name, nearest);
	else
		problem_error(&l->problems, section_where(l, s, key),
			      "%s.%s: there is no identity \"%.60s\"; add "
			      "identities = { %.60s = { type = \"…\"; … }; };",
			      s->name, key, name, name);
	free(names);
}

static void check_user(struct loading *l, const struct conf_section *s,
		       size_t row)
{
	const struct conf_row *r = &s->table->rows[row];
	const struct conf_identity *id;
	char **value = user_value(s, row);
	char choice[64];

	if (!value)
		return;
	if (!**value) { /* "" says that there is none */
		free(*value);
		*value = NULL;
		return;
	}
	id = conf_find_identity(l->conf, *value);
	if (!id) {
		unknown_identity(l, s, r->name, *value);
		return;
	}
	for (int i = 0; value_choice(r->choices, i, choice); i++)
		if (strcmp(choice, types[id->type].type) == 0)
			return;
	problem_error(&l->problems, section_where(l, s, r->name),
		      "%s.%s: the identity \"%s\" is of type %s, which is of "
		      "no use here; choose one of type %s",
		      s->name, r->name, *value, types[id->type].type,
		      r->choices);
}

/* ---- the identities themselves ---- */

static bool belongs(int type, const char *key)
{
	if (strcmp(key, "type") == 0)
		return true;
	for (size_t i = 0; i < 2; i++)
		if (types[type].keys[i] &&
		    strcmp(types[type].keys[i], key) == 0)
			return true;
	return false;
}

static bool is_key(const char *name)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (strcmp(rows[i].name, name) == 0)
			return true;
	return false;
}

/* Whether the keys are those of the type. */
static void check_keys(struct loading *l, const struct conf_section *s,
		       const config_setting_t *group)
{
	const struct conf_identity *id = s->values;

	for (int i = 0; i < config_setting_length(group); i++) {
		const config_setting_t *key =
		    config_setting_get_elem(group, (unsigned)i);

		if (is_key(config_setting_name(key)) &&
		    !belongs(id->type, config_setting_name(key)))
			problem_error(
			    &l->problems, load_where(l, key),
			    "%s.%s: an identity of type %s has no "
			    "such key; it has %s%s%s",
			    s->name, config_setting_name(key),
			    types[id->type].type, types[id->type].keys[0],
			    types[id->type].keys[1] ? " and " : "",
			    types[id->type].keys[1] ? types[id->type].keys[1]
						    : "");
	}
	for (size_t i = 0; i < types[id->type].needed; i++)
		if (!config_setting_get_member(group, types[id->type].keys[i]))
			problem_error(&l->problems, load_where(l, group),
				      "%s: an identity of type %s needs the "
				      "key \"%s\"",
				      s->name, types[id->type].type,
				      types[id->type].keys[i]);
}

static void read_identity(struct loading *l, const config_setting_t *group)
{
	const char *name = config_setting_name(group);
	char path[CONF_NAME_BYTES + sizeof(PREFIX)];
	const config_setting_t *type;
	struct conf_section *s;
	bool used;

	if (!load_is_name(name)) {
		problem_error(&l->problems, load_where(l, group),
			      PREFIX "%.60s: an identity's name has small "
				     "letters, digits and dashes, at most %d, "
				     "the first a letter",
			      name, CONF_NAME_BYTES);
		return;
	}
	snprintf(path, sizeof(path), PREFIX "%s", name);
	used = is_used(l, name);
	s = section_read(l, path, &conf_identity_table, group, used);
	if (!config_setting_is_group(group))
		return;
	type = config_setting_get_member(group, "type");
	if (!type && !used)
		problem_error(&l->problems, load_where(l, group),
			      "%s: the key \"type\" (choice) is missing", path);
	/* What is wrong with the type itself was told. */
	if (s->origins[0].from == FROM_FILE)
		check_keys(l, s, group);
}

void identities_read(struct loading *l)
{
	const config_setting_t *group = config_setting_get_member(
	    config_root_setting(&l->tree), "identities");
	uint32_t users = l->conf->section_count;

	if (group && !config_setting_is_group(group))
		problem_error(&l->problems, load_where(l, group),
			      "identities: needs a group, such as identities = "
			      "{ lake = { type = \"account_key\"; key = "
			      "\"${file:lake.key}\"; }; };");
	else if (group)
		for (int i = 0; i < config_setting_length(group); i++)
			read_identity(
			    l, config_setting_get_elem(group, (unsigned)i));
	for (uint32_t i = 0; i < users; i++)
		for (size_t k = 0; k < l->conf->sections[i].table->row_count;
		     k++)
			check_user(l, &l->conf->sections[i], k);
}
