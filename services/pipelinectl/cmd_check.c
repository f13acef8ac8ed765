/*
 * pipelinectl check: everything that is wrong with a configuration and its
 * contracts, at once, and what would run. Starts and writes nothing.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "services/kinds.h"
#include "services/pipelinectl/cmd.h"

struct check {
	const char *path;  /* NULL: built-in defaults */
	struct conf *conf; /* NULL when it has errors */
	struct conf_report report;
};

static const char *shown_path(const struct check *c)
{
	return c->path ? c->path : "built-in defaults";
}

static void print_service(const struct conf *conf, const struct conf_service *s)
{
	char data[256], state[256];
	const char *key, *listen = conf_listen(s, &key);
	struct err err;

	printf("  %s", s->name);
	if (strcmp(s->name, s->kind->name) != 0)
		printf(" (%s)", s->kind->name);
	if (s->instances > 1)
		printf(" x %" PRIu32, s->instances);
	if (listen)
		printf(", listens on %s", listen);
	if (*s->in && conf_endpoint(conf, s->in, 0, data, state, &err) == 0)
		printf(", takes link %s at %s%s", s->in, data,
		       s->instances > 1 ? " …" : "");
	if (*s->kind->out)
		printf(", feeds %s", strcmp(s->kind->out, "*") == 0
					 ? "all sinks"
					 : s->kind->out);
	putchar('\n');
}

static void print_text(struct check *c)
{
	const struct conf *conf = c->conf;

	fprintf(stderr, "%s", buf_str(&c->report.lines));
	if (!conf) {
		fprintf(stderr, "%s: %" PRIu32 " error%s; nothing would run\n",
			shown_path(c), c->report.errors,
			c->report.errors == 1 ? "" : "s");
		return;
	}
	printf("%s is good. It would run:\n", shown_path(c));
	for (uint32_t i = 0; i < conf->service_count; i++)
		print_service(conf, &conf->services[i]);
	printf("State in %s, sockets in %s.\n", conf->pipeline->state_dir,
	       conf->pipeline->run_dir);
}

/* {"severity":"error","text":"weft.conf:3: …"} for each line of the report. */
static void json_problems(struct check *c, struct buf *out)
{
	const char *at = buf_str(&c->report.lines);
	bool first = true;

	while (*at) {
		size_t n = strcspn(at, "\n");
		bool warning = memmem(at, n, ": warning: ", 11);

		buf_printf(out, "%s{\"severity\":\"%s\",\"text\":\"",
			   first ? "" : ",", warning ? "warning" : "error");
		buf_json_escape(out, at, n);
		buf_text(out, "\"}");
		first = false;
		at += n + (at[n] == '\n');
	}
}

static void print_json(struct check *c)
{
	struct buf out = {0};

	buf_text(&out, "{\"config\":\"");
	buf_json_escape(&out, shown_path(c), strlen(shown_path(c)));
	buf_printf(&out,
		   "\",\"ok\":%s,\"errors\":%" PRIu32 ",\"warnings\":%" PRIu32
		   ",\"problems\":[",
		   c->conf ? "true" : "false", c->report.errors,
		   c->report.warnings);
	json_problems(c, &out);
	buf_text(&out, "],\"services\":[");
	for (uint32_t i = 0; c->conf && i < c->conf->service_count; i++) {
		const struct conf_service *s = &c->conf->services[i];

		buf_printf(&out,
			   "%s{\"name\":\"%s\",\"service\":\"%s\","
			   "\"instances\":%" PRIu32 ",\"in\":\"%s\","
			   "\"out\":\"%s\"}",
			   i ? "," : "", s->name, s->kind->name, s->instances,
			   s->in, s->kind->out);
	}
	buf_text(&out, "]}\n");
	fwrite(out.data, 1, out.used, stdout);
	buf_free(&out);
}

static int check(struct check *c, bool json)
{
	int rc = conf_load(&c->conf, c->path, &weft_kinds, &c->report);

	if (json)
		print_json(c);
	else
		print_text(c);
	conf_free(&c->conf);
	conf_report_free(&c->report);
	return rc == 0 ? CMD_OK : CMD_FAILED;
}

int cmd_check(int argc, char **argv)
{
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"json", no_argument, NULL, 'j'},
	    {NULL, 0, NULL, 0}};
	struct check state = {.path = conf_default_path()};
	bool json = false;
	int c;

	while ((c = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
		if (c == 'c')
			state.path = optarg;
		else if (c == 'j')
			json = true;
		else
			return cmd_usage_error("check", "%s", "");
	}
	if (optind < argc)
		return cmd_usage_error("check", "unexpected '%s'",
				       argv[optind]);
	return check(&state, json);
}
