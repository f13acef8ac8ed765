/* The links of a file, and whether the services join up by them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "conf/load.h"

static struct where link_where(const struct loading *l,
			       const struct conf_link *link)
{
	return (struct where){link->file ? link->file : l->file,
			      (unsigned)link->line};
}

static struct where row_where(const struct loading *l,
			      const struct conf_service *s)
{
	return (struct where){s->file ? s->file : l->file, (unsigned)s->line};
}

static struct conf_link *add_link(struct loading *l, const char *name,
				  const char *endpoint, struct where at)
{
	struct conf *conf = l->conf;
	struct conf_link *link;

	conf->links = xreallocarray(conf->links, conf->link_count + 1,
				    sizeof(*conf->links));
	link = &conf->links[conf->link_count++];
	*link = (struct conf_link){.name = xstrdup(name),
				   .endpoint = xstrdup(endpoint),
				   .file = load_other_file(l, at),
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
	   "from the sources to the transformer, \"eventhub\" and \"lake\" "
	   "from there to the publisher and the writer of tables. A link that "
	   "is not written here is { endpoint = \"ipc\"; }.",
    .rows = link_rows,
    .row_count = sizeof(link_rows) / sizeof(*link_rows),
    .struct_bytes = sizeof(struct link_conf),
};

static void check_endpoint(struct loading *l, const config_setting_t *s,
			   const struct conf_link *link)
{
	struct where at = load_where(l, s);

	if (strcmp(link->endpoint, "ipc") == 0)
		return;
	if (!link_tcp_port(link->endpoint))
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

	if (!load_is_name(name)) {
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
	link = add_link(l, name, values->endpoint, load_where(l, s));
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
		bool fits = k->flags & KIND_ON_DEMAND ? false
			    : feeders		      ? feeds(k, s->kind, s->in)
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

static void warn_unused(struct loading *l, const struct conf_link *link)
{
	const char **names = xcalloc(l->conf->service_count, sizeof(*names));
	const char *nearest;
	size_t count = 0;

	for (uint32_t i = 0; i < l->conf->service_count; i++)
		if (*l->conf->services[i].in)
			names[count++] = l->conf->services[i].in;
	nearest = text_nearest(link->name, names, count);
	problem_warning(&l->problems, link_where(l, link),
			"links.%s: no listed service consumes it; it is not "
			"used%s%s%s",
			link->name, nearest ? "; did you mean \"" : "",
			nearest ? nearest : "", nearest ? "\"?" : "");
	free(names);
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
		warn_unused(l, link);
		free(link->name);
		free(link->endpoint);
		free(link->file);
	}
	conf->link_count = kept;
}

static void long_run_dir(struct loading *l, const struct err *err)
{
	problem_error(&l->problems,
		      section_where(l, &l->conf->sections[0], "run_dir"), "%s",
		      err->text);
}

/* -1 when the run_dir is too long, which is told once. */
static int check_link(struct loading *l, const struct conf_link *link)
{
	const struct conf_service *to = conf_consumer(l->conf, link->name);
	char data[256], state[256];
	struct err err;

	if (strcmp(link->endpoint, "ipc") != 0 &&
	    !link_tcp_port(link->endpoint))
		return 0; /* reported before */
	if (conf_endpoint(l->conf, link->name, to->instances - 1, data, state,
			  &err) == 0)
		return 0;
	if (err.code == ENAMETOOLONG) {
		long_run_dir(l, &err);
		return -1;
	}
	problem_error(&l->problems, link_where(l, link), "%s", err.text);
	return 0;
}

static void check_links(struct loading *l)
{
	char control[256];
	struct err err;

	for (uint32_t i = 0; i < l->conf->link_count; i++)
		if (check_link(l, &l->conf->links[i]) == -1)
			return;
	/* weftd's own, which pipelinectl speaks to (proto/control.md). */
	if (link_ipc_endpoint(l->conf, "control.sock", "", control, &err) == -1)
		long_run_dir(l, &err);
}

/* Two services cannot listen on one address, unless any port will do. */
static void check_listen(struct loading *l, uint32_t i)
{
	const struct conf_service *s = &l->conf->services[i];
	const char *key, *listen = conf_listen(s, &key);

	if (!listen || strcmp(strrchr(listen, ':'), ":0") == 0)
		return;
	for (uint32_t k = 0; k < i; k++) {
		const struct conf_service *other = &l->conf->services[k];
		const char *other_key;
		const char *taken = conf_listen(other, &other_key);

		if (!taken || strcmp(listen, taken) != 0)
			continue;
		problem_error(
		    &l->problems,
		    section_where(l, section_find(l->conf, s->name), key),
		    "%s.%s: \"%s\" is also the address of %s.%s; "
		    "choose another port",
		    s->name, key, listen, other->name, other_key);
	}
}

/* Every transformer sends to every instance of every sink. */
static void check_sinks(struct loading *l)
{
	const struct conf *conf = l->conf;
	uint32_t total = 0;

	for (uint32_t i = 0; i < conf->service_count; i++) {
		const struct conf_service *s = &conf->services[i];

		if (!(s->kind->flags & KIND_SINK))
			continue;
		total += s->instances;
		if (total <= CONF_MAX_INSTANCES)
			continue;
		problem_error(&l->problems, row_where(l, s),
			      "services: with \"%s\" all sinks together have "
			      "%u instances, %d is the most; lower their "
			      "instances",
			      s->name, total, CONF_MAX_INSTANCES);
		return;
	}
}

void links_join(struct loading *l)
{
	struct conf *conf = l->conf;

	for (uint32_t i = 0; i < conf->service_count; i++) {
		const struct conf_service *s = &conf->services[i];

		check_fed(l, s);
		check_consumed(l, s);
		check_alone(l, s);
		check_listen(l, i);
		if (*s->in && !link_find(conf, s->in))
			add_link(l, s->in, "ipc", row_where(l, s));
	}
	check_sinks(l);
	drop_unused(l);
	check_links(l);
}
