/* Loading a configuration: the order of the steps. */
#include "conf/conf.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "conf/load.h"

#define DEFAULT_PATH "/etc/weft/weft.conf"

#ifdef __SANITIZE_ADDRESS__
/* libconfig before 1.7.3 leaks the string that it holds at a syntax error. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig_yylex\nleak:strbuf_append\n";
}
#endif

const char *conf_default_path(void)
{
	const char *path = getenv("WEFT_CONFIG");

	if (path && *path)
		return path;
	return access(DEFAULT_PATH, F_OK) == 0 ? DEFAULT_PATH : NULL;
}

/* The absolute directory of a file; owned by the caller. */
static char *directory_of(const char *path)
{
	char *copy = xstrdup(path);
	char *resolved = realpath(dirname(copy), NULL);

	free(copy);
	return resolved ? resolved : xstrdup("/");
}

static void parse_failed(struct loading *l)
{
	const char *text = config_error_text(&l->tree);
	unsigned line = (unsigned)config_error_line(&l->tree);
	struct where at = scan_where(&l->scan, line);
	char near[80];

	scan_near(&l->scan, line, near, sizeof(near));
	if (strcmp(text, "duplicate setting name") == 0)
		problem_error(&l->problems, at,
			      "this key was given before in the same group; "
			      "remove one, near: %s",
			      near);
	else if (strcmp(text, "memory exhausted") == 0)
		problem_error(&l->problems, at,
			      "brackets are nested too deeply");
	else if (*near)
		problem_error(&l->problems, at,
			      "%s near: %s (quotes, brackets and names before "
			      "it are the usual suspects)",
			      text, near);
	else
		problem_error(&l->problems, scan_last(&l->scan),
			      "%s at the end of the file; is a bracket not "
			      "closed?",
			      text);
}

/* -1 when there is no tree to look at. */
static int parse(struct loading *l)
{
	if (scan_read(&l->scan, l->file, l->base, &l->problems) == -1)
		return -1;
	if (config_read_string(&l->tree, buf_str(&l->scan.text)))
		return 0;
	parse_failed(l);
	return -1;
}

static const struct conf_kind *kind_of_section(const struct loading *l,
					       const char *name)
{
	for (size_t i = 0; i < l->kinds->count; i++)
		if (strcmp(l->kinds->kinds[i].name, name) == 0)
			return &l->kinds->kinds[i];
	return NULL;
}

/* A top-level name that is neither fixed, a listed service nor a kind. */
static void unknown_section(struct loading *l, const config_setting_t *s)
{
	const struct conf *conf = l->conf;
	const char **names =
	    xcalloc(conf->service_count + l->kinds->count + 4, sizeof(*names));
	size_t n = 0;

	names[n++] = "pipeline";
	names[n++] = "services";
	names[n++] = "links";
	names[n++] = "identities";
	for (uint32_t i = 0; i < conf->service_count; i++)
		names[n++] = conf->services[i].name;
	for (size_t i = 0; i < l->kinds->count; i++)
		names[n++] = l->kinds->kinds[i].name;
	load_unknown(l, s, config_setting_name(s), names, n);
	free(names);
}

/*
 * Sections of services that are not listed are checked too, so that switching
 * one on brings no surprise.
 */
static void read_other_sections(struct loading *l)
{
	const config_setting_t *root = config_root_setting(&l->tree);

	for (int i = 0; i < config_setting_length(root); i++) {
		const config_setting_t *s =
		    config_setting_get_elem(root, (unsigned)i);
		const char *name = config_setting_name(s);
		const struct conf_kind *kind = kind_of_section(l, name);

		if (strcmp(name, "pipeline") == 0 ||
		    strcmp(name, "services") == 0 ||
		    strcmp(name, "links") == 0 ||
		    strcmp(name, "identities") == 0 ||
		    conf_find_service(l->conf, name))
			continue;
		if (kind)
			section_read(l, name, kind->conf, s, false);
		else
			unknown_section(l, s);
	}
}

static void read_sections(struct loading *l)
{
	config_setting_t *root = config_root_setting(&l->tree);
	struct conf *conf = l->conf;
	struct conf_section *pipeline;

	pipeline =
	    section_read(l, "pipeline", &conf_pipeline_table,
			 config_setting_get_member(root, "pipeline"), true);
	places_default(l, pipeline);
	conf->pipeline = pipeline->values;
	services_read(l);
	for (uint32_t i = 0; i < conf->service_count; i++) {
		struct conf_service *s = &conf->services[i];

		bool live = !l->row || strcmp(l->row, s->name) == 0;

		s->conf =
		    section_read(l, s->name, s->kind->conf,
				 config_setting_get_member(root, s->name), live)
			->values;
	}
	read_other_sections(l);
	identities_read(l);
	links_read(l);
}

int conf_load(struct conf **conf, const char *path,
	      const struct conf_kinds *kinds, struct conf_report *report)
{
	return conf_load_row(conf, path, kinds, NULL, report);
}

int conf_load_row(struct conf **conf, const char *path,
		  const struct conf_kinds *kinds, const char *row,
		  struct conf_report *report)
{
	struct loading l = {.kinds = kinds,
			    .row = row,
			    .file = path ? path : "built-in defaults"};
	uint32_t errors = report->errors;

	l.conf = xcalloc(1, sizeof(*l.conf));
	l.conf->path = path ? xstrdup(path) : NULL;
	l.base = path ? directory_of(path) : xstrdup("/");
	config_init(&l.tree);
	if (!path || parse(&l) == 0) {
		read_sections(&l);
		links_join(&l);
		free(report->contracts);
		report->contracts = xstrdup(l.conf->pipeline->contracts);
	}
	problems_report(&l.problems, l.file, report);
	config_destroy(&l.tree);
	scan_free(&l.scan);
	free(l.base);
	*conf = l.conf;
	if (report->errors > errors) {
		conf_free(conf);
		return -1;
	}
	return 0;
}

void conf_free(struct conf **conf)
{
	struct conf *c = *conf;

	if (!c)
		return;
	for (uint32_t i = 0; i < c->service_count; i++) {
		free(c->services[i].name);
		free(c->services[i].in);
		free(c->services[i].file);
	}
	for (uint32_t i = 0; i < c->link_count; i++) {
		free(c->links[i].name);
		free(c->links[i].endpoint);
		free(c->links[i].file);
	}
	for (uint32_t i = 0; i < c->section_count; i++)
		section_free(&c->sections[i]);
	free(c->sections);
	free(c->services);
	free(c->links);
	free(c->path);
	free(c);
	*conf = NULL;
}
