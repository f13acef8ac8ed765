/* The rows of services = ( … ): which services run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "conf/load.h"

bool load_is_name(const char *name)
{
	size_t n = strlen(name);

	return n && n <= CONF_NAME_BYTES && *name >= 'a' && *name <= 'z' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static const struct conf_kind *find_kind(const struct conf_kinds *kinds,
					 const char *name)
{
	for (size_t i = 0; i < kinds->count; i++)
		if (strcmp(kinds->kinds[i].name, name) == 0)
			return &kinds->kinds[i];
	return NULL;
}

static void check_row_keys(struct loading *l, const config_setting_t *row)
{
	static const char *const keys[] = {"name", "service", "instances",
					   "in"};

	for (int i = 0; i < config_setting_length(row); i++) {
		const config_setting_t *s =
		    config_setting_get_elem(row, (unsigned)i);
		bool known = false;
		char path[300];

		for (size_t k = 0; k < 4; k++)
			known |= strcmp(config_setting_name(s), keys[k]) == 0;
		if (known)
			continue;
		snprintf(path, sizeof(path), "services.%s",
			 config_setting_name(s));
		load_unknown(l, s, path, keys, 4);
	}
}

/* A name in a row, NULL when it is absent; reported when it is none. */
static const char *row_name(struct loading *l, const config_setting_t *row,
			    const char *key, bool *ok)
{
	const config_setting_t *s = config_setting_get_member(row, key);
	const char *name = s ? config_setting_get_string(s) : NULL;

	if (!s)
		return NULL;
	if (name && load_is_name(name))
		return name;
	*ok = false;
	problem_error(&l->problems, load_where(l, s),
		      "services.%s: needs a name in quotes of small letters, "
		      "digits and dashes, at most %d, the first a letter",
		      key, CONF_NAME_BYTES);
	return NULL;
}

static const struct conf_kind *row_kind(struct loading *l,
					const config_setting_t *row,
					const char *name)
{
	const struct conf_kind *kind = find_kind(l->kinds, name);
	const char **names, *nearest;

	if (kind && (kind->flags & KIND_ON_DEMAND)) {
		problem_error(&l->problems, load_where(l, row),
			      "services: pipelinectl starts \"%s\" when there "
			      "is something to do; leave the row out",
			      kind->name);
		return NULL;
	}
	if (kind)
		return kind;
	names = xcalloc(l->kinds->count, sizeof(*names));
	for (size_t i = 0; i < l->kinds->count; i++)
		names[i] = l->kinds->kinds[i].name;
	nearest = text_nearest(name, names, l->kinds->count);
	if (nearest)
		problem_error(&l->problems, load_where(l, row),
			      "services: there is no service \"%s\"; did you "
			      "mean \"%s\"?",
			      name, nearest);
	else
		problem_error(&l->problems, load_where(l, row),
			      "services: there is no service \"%s\"; to run a "
			      "service under a name of your own, add service = "
			      "\"…\" to the row",
			      name);
	free(names);
	return NULL;
}

/* A row's name is also the name of its section. */
static void check_own_name(struct loading *l, const config_setting_t *row,
			   const char *name, const struct conf_kind *kind)
{
	const struct conf_kind *other = find_kind(l->kinds, name);
	bool fixed =
	    strcmp(name, "pipeline") == 0 || strcmp(name, "services") == 0 ||
	    strcmp(name, "links") == 0 || strcmp(name, "identities") == 0;

	if (fixed || (other && other != kind))
		problem_error(&l->problems, load_where(l, row),
			      "services: a \"%s\" cannot be called \"%s\", "
			      "which is the name of another section; choose "
			      "another name",
			      kind->name, name);
}

static uint32_t row_instances(struct loading *l, const config_setting_t *row,
			      const char *name, const struct conf_kind *kind)
{
	const config_setting_t *s = config_setting_get_member(row, "instances");
	int most = kind->flags & KIND_SINGLE ? 1 : CONF_MAX_INSTANCES;
	long long n;

	if (!s || scan_wrapped(&l->scan, config_setting_source_line(s)))
		return 1;
	n = config_setting_get_int64(s);
	if (config_setting_is_number(s) &&
	    config_setting_type(s) != CONFIG_TYPE_FLOAT && n >= 1 && n <= most)
		return (uint32_t)n;
	if (most == 1)
		problem_error(&l->problems, load_where(l, s),
			      "services: \"%s\" runs once; leave instances out",
			      name);
	else
		problem_error(&l->problems, load_where(l, s),
			      "services: \"%s\": instances needs an integer "
			      "from 1 to %d",
			      name, most);
	return 1;
}

/* Adds a row; the strings of *row are copied. */
static void add_service(struct loading *l, struct where at,
			const struct conf_service *row)
{
	struct conf *conf = l->conf;
	struct conf_service *s;

	conf->services = xreallocarray(conf->services, conf->service_count + 1,
				       sizeof(*conf->services));
	s = &conf->services[conf->service_count++];
	*s = *row;
	s->name = xstrdup(row->name);
	s->in = xstrdup(row->in);
	s->file = load_other_file(l, at);
	s->line = (int)at.line;
}

static void check_double(struct loading *l, struct where at, const char *name,
			 const struct conf_kind *kind)
{
	for (uint32_t i = 0; i < l->conf->service_count; i++) {
		const struct conf_service *s = &l->conf->services[i];

		if (strcmp(s->name, name) == 0)
			problem_error(&l->problems, at,
				      "services: \"%s\" is listed twice, first "
				      "in line %d; to run more of it use "
				      "instances, to run another one beside "
				      "it give that another name and "
				      "service = \"%s\"",
				      name, s->line, kind->name);
		else if (s->kind == kind && (kind->flags & KIND_SINGLE))
			problem_error(&l->problems, at,
				      "services: \"%s\" runs once, and \"%s\" "
				      "in line %d is it already",
				      kind->name, s->name, s->line);
		else
			continue;
		return;
	}
}

static void read_service(struct loading *l, const config_setting_t *row)
{
	struct where at = load_where(l, row);
	const char *name, *service, *in;
	const struct conf_kind *kind;
	bool ok = true;

	if (!config_setting_is_group(row)) {
		problem_error(&l->problems, at,
			      "services: each row is a group, such as { name = "
			      "\"collector\"; }");
		return;
	}
	check_row_keys(l, row);
	name = row_name(l, row, "name", &ok);
	service = row_name(l, row, "service", &ok);
	in = row_name(l, row, "in", &ok);
	if (ok && !name)
		problem_error(&l->problems, at,
			      "services: the key \"name\" is missing in this "
			      "row");
	kind = ok && name ? row_kind(l, row, service ? service : name) : NULL;
	if (!kind)
		return;
	if (in && !*kind->in)
		problem_error(&l->problems, at,
			      "services: \"%s\" consumes no link; leave out "
			      "in = \"%s\"",
			      name, in);
	check_own_name(l, row, name, kind);
	check_double(l, at, name, kind);
	add_service(l, at,
		    &(struct conf_service){
			.name = (char *)name,
			.kind = kind,
			.instances = row_instances(l, row, name, kind),
			.in = (char *)(in && *kind->in ? in : kind->in),
		    });
}

static void add_kind(struct loading *l, const struct conf_kind *kind)
{
	add_service(l, load_where(l, NULL),
		    &(struct conf_service){
			.name = (char *)kind->name,
			.kind = kind,
			.instances = 1,
			.in = (char *)kind->in,
		    });
}

/* What runs when the file does not say, or there is none. */
static void default_services(struct loading *l)
{
	static const char *const names[] = {"collector", "transformer",
					    "eventhub-publisher",
					    "onelake-writer", "metrics"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const struct conf_kind *kind = find_kind(l->kinds, names[i]);

		if (kind)
			add_kind(l, kind);
	}
}

static void read_list(struct loading *l)
{
	const config_setting_t *list = config_setting_get_member(
	    config_root_setting(&l->tree), "services");

	if (!list) {
		default_services(l);
		return;
	}
	if (config_setting_type(list) != CONFIG_TYPE_LIST) {
		problem_error(&l->problems, load_where(l, list),
			      "services: needs a list, such as services = ( { "
			      "name = \"collector\"; } );");
		return;
	}
	if (config_setting_length(list) == 0)
		problem_error(&l->problems, load_where(l, list),
			      "services: the list is empty; leave the key out "
			      "to run the default services");
	for (int i = 0; i < config_setting_length(list); i++)
		read_service(l, config_setting_get_elem(list, (unsigned)i));
}

void services_read(struct loading *l)
{
	const struct conf_kind *asked =
	    l->row ? find_kind(l->kinds, l->row) : NULL;

	read_list(l);
	if (asked && (asked->flags & KIND_ON_DEMAND))
		add_kind(l, asked);
}
