/* Which services run, and whether the links between them join up. */
#include "conf/load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"

#define MAX_INSTANCES 64

static struct where row_where(const struct loading *l,
			      const struct conf_service *s)
{
	return (struct where){s->file ? s->file : l->file, (unsigned)s->line};
}

static bool is_name(const char *name)
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

/* ---- services ---- */

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
	if (name && is_name(name))
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
	bool fixed = strcmp(name, "pipeline") == 0 ||
		     strcmp(name, "services") == 0 ||
		     strcmp(name, "links") == 0;

	if (fixed || (other && other != kind))
		problem_error(&l->problems, load_where(l, row),
			      "services: a \"%s\" cannot be called \"%s\", "
			      "which is the name of another section; choose "
			      "another name",
			      kind->name, name);
}

static uint32_t row_instances(struct loading *l, const config_setting_t *row,
			      const struct conf_kind *kind)
{
	const config_setting_t *s = config_setting_get_member(row, "instances");
	int most = kind->flags & KIND_SINGLE ? 1 : MAX_INSTANCES;
	long long n;

	if (!s || scan_wrapped(&l->scan, s))
		return 1;
	n = config_setting_get_int64(s);
	if (config_setting_is_number(s) &&
	    config_setting_type(s) != CONFIG_TYPE_FLOAT && n >= 1 && n <= most)
		return (uint32_t)n;
	if (most == 1)
		problem_error(&l->problems, load_where(l, s),
			      "services.instances: \"%s\" runs once; leave the "
			      "key out",
			      kind->name);
	else
		problem_error(&l->problems, load_where(l, s),
			      "services.instances: needs an integer from 1 to "
			      "%d",
			      most);
	return 1;
}

static void add_service(struct loading *l, struct where at, const char *name,
			const struct conf_kind *kind, const char *in,
			uint32_t instances)
{
	struct conf *conf = l->conf;
	struct conf_service *s;

	conf->services = xreallocarray(conf->services, conf->service_count + 1,
				       sizeof(*conf->services));
	s = &conf->services[conf->service_count++];
	*s = (struct conf_service){
	    .name = xstrdup(name),
	    .kind = kind,
	    .instances = instances,
	    .in = xstrdup(in ? in : kind->in),
	    .file = at.file == l->file ? NULL : xstrdup(at.file),
	    .line = (int)at.line,
	};
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
	add_service(l, at, name, kind, *kind->in ? in : NULL,
		    row_instances(l, row, kind));
}

/* What runs when the file does not say, or there is none. */
static void default_services(struct loading *l)
{
	static const char *const names[] = {"collector", "transformer",
					    "eventhub-publisher", "metrics"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const struct conf_kind *kind = find_kind(l->kinds, names[i]);

		if (kind)
			add_service(l, load_where(l, NULL), names[i], kind,
				    NULL, 1);
	}
}

void services_read(struct loading *l)
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

/* ---- links ---- */

static struct conf_link *find_link(const struct conf *conf, const char *name)
{
	for (uint32_t i = 0; i < conf->link_count; i++)
		if (strcmp(conf->links[i].name, name) == 0)
			return &conf->links[i];
	return NULL;
}

static struct conf_link *add_link(struct conf *conf, const char *name,
				  const char *endpoint, struct where at)
{
	struct conf_link *link;

	conf->links = xreallocarray(conf->links, conf->link_count + 1,
				    sizeof(*conf->links));
	link = &conf->links[conf->link_count++];
	*link = (struct conf_link){.name = xstrdup(name),
				   .endpoint = xstrdup(endpoint),
				   .line = (int)at.line};
	return link;
}

/* The rows of one link, as any other section's. */
struct link_conf {
	char *endpoint;
	bool insecure;
};

static const struct conf_row link_rows[] = {
    {CONF_FIELD(struct link_conf, endpoint, CONF_STRING), .min = "3",
     .max = "200", .def = "ipc",
     .doc = "\"ipc\" for a Unix socket in run_dir, or \"tcp://address:port\" "
	    "that the consumer binds: instance i takes port + 2i for batches "
	    "and port + 2i + 1 for acknowledgements."},
    {CONF_FIELD(struct link_conf, insecure, CONF_BOOL), .def = "false",
     .doc = "A tcp link carries events readable and for everybody to write; "
	    "it refuses to start unless this says that its network is "
	    "trusted."},
};

const struct conf_table conf_link_table = {
    .section = "links",
    .doc = "How batches travel between the services. The link \"raw\" goes "
	   "from the sources to the transformer, \"eventhub\" from there to "
	   "the publisher. A link that is not written here is { endpoint = "
	   "\"ipc\"; }.",
    .rows = link_rows,
    .row_count = sizeof(link_rows) / sizeof(*link_rows),
    .struct_bytes = sizeof(struct link_conf),
};

/* The port of "tcp://host:port", 0 when it is not of that form. */
static unsigned tcp_port(const char *endpoint)
{
	const char *colon = strrchr(endpoint, ':');
	unsigned port = 0;
	char rest;

	if (strncmp(endpoint, "tcp://", 6) != 0 || colon <= endpoint + 6 ||
	    strspn(endpoint + 6, "abcdefghijklmnopqrstuvwxyz"
				 "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				 "0123456789.-_:[]") != strlen(endpoint + 6) ||
	    sscanf(colon + 1, "%5u%c", &port, &rest) != 1)
		return 0;
	return port <= 65535 ? port : 0;
}

static void check_endpoint(struct loading *l, const config_setting_t *s,
			   const struct conf_link *link)
{
	struct where at = load_where(l, s);

	if (strcmp(link->endpoint, "ipc") == 0)
		return;
	if (!tcp_port(link->endpoint))
		problem_error(&l->problems, at,
			      "links.%s.endpoint: \"%.60s\" is neither \"ipc\" "
			      "nor \"tcp://address:port\"",
			      link->name, link->endpoint);
	else if (!link->insecure)
		problem_error(&l->problems, at,
			      "links.%s: a tcp link needs CURVE keys, which "
			      "this version does not have; use endpoint = "
			      "\"ipc\", or set insecure = true when everybody "
			      "on its network may read and write events",
			      link->name);
}

static void read_link(struct loading *l, const config_setting_t *s)
{
	const char *name = config_setting_name(s);
	struct conf_section *section;
	struct conf_link *link;
	char path[CONF_NAME_BYTES + 8];
	struct link_conf *values;

	if (!is_name(name)) {
		problem_error(&l->problems, load_where(l, s),
			      "links.%.60s: a link's name has small letters, "
			      "digits and dashes, at most %d, the first a "
			      "letter",
			      name, CONF_NAME_BYTES);
		return;
	}
	snprintf(path, sizeof(path), "links.%s", name);
	section = section_read(l, path, &conf_link_table, s, true);
	values = section->values;
	if (!values->endpoint)
		return; /* refused, and reported */
	link = add_link(l->conf, name, values->endpoint, load_where(l, s));
	link->insecure = values->insecure;
	check_endpoint(l, s, link);
}

void links_read(struct loading *l)
{
	const config_setting_t *group =
	    config_setting_get_member(config_root_setting(&l->tree), "links");

	if (!group)
		return;
	if (!config_setting_is_group(group)) {
		problem_error(&l->problems, load_where(l, group),
			      "links: needs a group, such as links = { raw = { "
			      "endpoint = \"ipc\"; }; };");
		return;
	}
	for (int i = 0; i < config_setting_length(group); i++)
		read_link(l, config_setting_get_elem(group, (unsigned)i));
}

/* ---- joins ---- */

static bool feeds(const struct conf_kind *from, const struct conf_kind *to,
		  const char *link)
{
	if (strcmp(from->out, "*") == 0)
		return to->flags & KIND_SINK;
	return strcmp(from->out, link) == 0;
}

static const struct conf_service *find_feeder(const struct conf *conf,
					      const struct conf_service *to)
{
	for (uint32_t i = 0; i < conf->service_count; i++)
		if (feeds(conf->services[i].kind, to->kind, to->in))
			return &conf->services[i];
	return NULL;
}

/* "collector" or "a or b": the kinds that could be the other end. */
static void list_ends(const struct loading *l, struct buf *out,
		      const struct conf_service *s, bool feeders)
{
	size_t found = 0;

	for (size_t i = 0; i < l->kinds->count; i++) {
		const struct conf_kind *k = &l->kinds->kinds[i];
		bool fits = feeders ? feeds(k, s->kind, s->in)
				    : *k->in && feeds(s->kind, k, k->in);

		if (fits)
			buf_printf(out, "%s{ name = \"%s\"; }",
				   found++ ? " or " : "", k->name);
	}
	if (!found)
		buf_text(out, "a service that does");
}

static void check_fed(struct loading *l, const struct conf_service *s)
{
	struct buf ends = {0};

	if (!*s->in || find_feeder(l->conf, s))
		return;
	list_ends(l, &ends, s, true);
	problem_error(&l->problems, row_where(l, s),
		      "services: \"%s\" consumes link \"%s\", which no listed "
		      "service feeds; add %s",
		      s->name, s->in, buf_str(&ends));
	buf_free(&ends);
}

static void check_consumed(struct loading *l, const struct conf_service *s)
{
	struct buf ends = {0};
	bool all = strcmp(s->kind->out, "*") == 0;

	if (!*s->kind->out)
		return;
	for (uint32_t i = 0; i < l->conf->service_count; i++) {
		const struct conf_service *to = &l->conf->services[i];

		if (*to->in && feeds(s->kind, to->kind, to->in))
			return;
	}
	list_ends(l, &ends, s, false);
	if (all)
		problem_error(&l->problems, row_where(l, s),
			      "services: \"%s\" feeds the links of all sinks, "
			      "but no sink is listed; add %s",
			      s->name, buf_str(&ends));
	else
		problem_error(&l->problems, row_where(l, s),
			      "services: \"%s\" feeds link \"%s\", which no "
			      "listed service consumes; add %s",
			      s->name, s->kind->out, buf_str(&ends));
	buf_free(&ends);
}

static void check_alone(struct loading *l, const struct conf_service *s)
{
	const struct conf_service *other = conf_consumer(l->conf, s->in);

	if (!*s->in || other == s)
		return;
	if (s->kind->flags & KIND_SINK)
		problem_error(&l->problems, row_where(l, s),
			      "services: \"%s\" and \"%s\" both consume link "
			      "\"%s\"; give one of them a link of its own, "
			      "such as in = \"%s\"",
			      other->name, s->name, s->in, s->name);
	else
		problem_error(&l->problems, row_where(l, s),
			      "services: \"%s\" and \"%s\" both consume link "
			      "\"%s\"; list one of them, with instances",
			      other->name, s->name, s->in);
}

/* Links that nobody uses are left out of conf; a typing error most likely. */
static void drop_unused(struct loading *l)
{
	struct conf *conf = l->conf;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < conf->link_count; i++) {
		struct conf_link *link = &conf->links[i];

		if (conf_consumer(conf, link->name)) {
			conf->links[kept++] = *link;
			continue;
		}
		problem_warning(&l->problems,
				(struct where){l->file, (unsigned)link->line},
				"links.%s: no listed service consumes it; it "
				"is not used",
				link->name);
		free(link->name);
		free(link->endpoint);
	}
	conf->link_count = kept;
}

static void check_link(struct loading *l, const struct conf_link *link)
{
	const struct conf_service *to = conf_consumer(l->conf, link->name);
	char data[256], state[256];
	struct err err;

	if (strncmp(link->endpoint, "tcp://", 6) == 0 &&
	    !tcp_port(link->endpoint))
		return; /* reported before */
	if (conf_endpoint(l->conf, link->name, to->instances - 1, data, state,
			  &err) == -1)
		problem_error(
		    &l->problems,
		    strcmp(link->endpoint, "ipc") == 0
			? section_where(l, &l->conf->sections[0], "run_dir")
			: (struct where){l->file, (unsigned)link->line},
		    "%s", err.text);
}

void links_join(struct loading *l)
{
	struct conf *conf = l->conf;

	for (uint32_t i = 0; i < conf->service_count; i++) {
		const struct conf_service *s = &conf->services[i];

		check_fed(l, s);
		check_consumed(l, s);
		check_alone(l, s);
		if (*s->in && !find_link(conf, s->in))
			add_link(conf, s->in, "ipc", row_where(l, s));
	}
	drop_unused(l);
	for (uint32_t i = 0; i < conf->link_count; i++)
		check_link(l, &conf->links[i]);
}

/* ---- for the services ---- */

const struct conf_service *conf_find_service(const struct conf *conf,
					     const char *name)
{
	for (uint32_t i = 0; i < conf->service_count; i++)
		if (strcmp(conf->services[i].name, name) == 0)
			return &conf->services[i];
	return NULL;
}

const struct conf_service *conf_consumer(const struct conf *conf,
					 const char *link)
{
	for (uint32_t i = 0; i < conf->service_count; i++)
		if (*link && strcmp(conf->services[i].in, link) == 0)
			return &conf->services[i];
	return NULL;
}

static int ipc_endpoint(const struct conf *conf, const char *name,
			const char *suffix, char out[256], struct err *err)
{
	int n = snprintf(out, 256, "ipc://%s/%s%s", conf->pipeline->run_dir,
			 name, suffix);

	if (n - 6 <= CONF_SUN_BYTES)
		return 0;
	return err_set(err, ENAMETOOLONG,
		       "pipeline.run_dir: the socket %.200s/%s%s would have a "
		       "path of %d bytes, %d is the most; choose a shorter "
		       "run_dir",
		       conf->pipeline->run_dir, name, suffix, n - 6,
		       CONF_SUN_BYTES);
}

static int tcp_endpoint(const struct conf_link *link, unsigned offset,
			char out[256], struct err *err)
{
	unsigned port = tcp_port(link->endpoint) + offset;
	const char *colon = strrchr(link->endpoint, ':');

	if (port > 65535)
		return err_set(err, EINVAL,
			       "links.%s.endpoint: the last instance would "
			       "need port %u; choose a smaller port",
			       link->name, port);
	snprintf(out, 256, "%.*s:%u", (int)(colon - link->endpoint),
		 link->endpoint, port);
	return 0;
}

int conf_endpoint(const struct conf *conf, const char *name, uint32_t instance,
		  char data[256], char state[256], struct err *err)
{
	const struct conf_link *link = find_link(conf, name);
	char suffix[32];

	if (!link)
		return err_set(err, ENOENT, "there is no link \"%s\"", name);
	if (strcmp(link->endpoint, "ipc") != 0)
		return tcp_endpoint(link, 2 * instance + 1, state, err) == -1
			   ? -1
			   : tcp_endpoint(link, 2 * instance, data, err);
	snprintf(suffix, sizeof(suffix), ".%u.state", instance);
	if (ipc_endpoint(conf, name, suffix, state, err) == -1)
		return -1;
	suffix[strlen(suffix) - strlen(".state")] = '\0';
	return ipc_endpoint(conf, name, suffix, data, err);
}

int conf_stats_endpoint(const struct conf *conf, char endpoint[256],
			struct err *err)
{
	return ipc_endpoint(conf, "stats", "", endpoint, err);
}
