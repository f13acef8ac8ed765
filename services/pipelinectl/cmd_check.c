/*
 * pipelinectl check: everything that is wrong with a configuration and its
 * contracts, at once, and what would run. Starts and writes nothing.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "contract/contract.h"
#include "kafka/kafka.h"
#include "lake/store_blob.h"
#include "services/kinds.h"
#include "services/pipelinectl/cmd.h"
#include "services/pipelinectl/options.h"

struct check {
	const char *path;  /* NULL: built-in defaults */
	struct conf *conf; /* NULL when it has errors */
	struct conf_report report;
	struct contract_set *contracts; /* NULL when they have errors */
	struct contract_report contract_report;
	uint32_t errors, warnings;
};

static const char *shown_path(const struct check *c)
{
	return c->path ? c->path : "built-in defaults";
}

/* ---- for people ---- */

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
		       s->instances > 1 ? " and on" : "");
	if (*s->kind->out)
		printf(", feeds %s%s",
		       strcmp(s->kind->out, "*") == 0 ? "" : "link ",
		       strcmp(s->kind->out, "*") == 0 ? "all sinks"
						      : s->kind->out);
	putchar('\n');
}

static void print_text(struct check *c)
{
	const struct conf *conf = c->conf;
	uint32_t contracts;

	fprintf(stderr, "%s", buf_str(&c->report.lines));
	fprintf(stderr, "%s", buf_str(&c->contract_report.lines));
	if (!conf || c->errors) {
		fprintf(stderr, "%s: %" PRIu32 " error%s; it would not start\n",
			shown_path(c), c->errors, c->errors == 1 ? "" : "s");
		return;
	}
	contracts = contract_set_count(c->contracts);
	printf("%s is good. It would run:\n", shown_path(c));
	for (uint32_t i = 0; i < conf->service_count; i++)
		print_service(conf, &conf->services[i]);
	printf("%" PRIu32 " contract%s from %s, state in %s, sockets in %s.\n",
	       contracts, contracts == 1 ? "" : "s", conf->pipeline->contracts,
	       conf->pipeline->state_dir, conf->pipeline->run_dir);
}

/* ---- for programs ---- */

static void json_string(struct buf *out, const char *text)
{
	buf_char(out, '"');
	buf_json_escape(out, text, strlen(text));
	buf_char(out, '"');
}

/* {"severity":"error","text":"weft.conf:3: …"} for each line of a report. */
static void json_problems(struct buf *lines, struct buf *out, bool *first)
{
	const char *at = buf_str(lines);

	while (*at) {
		size_t n = strcspn(at, "\n");
		bool warning = memmem(at, n, ": warning: ", 11);

		buf_printf(out, "%s{\"severity\":\"%s\",\"text\":\"",
			   *first ? "" : ",", warning ? "warning" : "error");
		buf_json_escape(out, at, n);
		buf_text(out, "\"}");
		*first = false;
		at += n + (at[n] == '\n');
	}
}

static void json_service(const struct conf *conf, const struct conf_service *s,
			 struct buf *out)
{
	char data[256], state[256];
	const char *key, *listen = conf_listen(s, &key);
	struct err err;

	buf_printf(out,
		   "{\"name\":\"%s\",\"service\":\"%s\",\"instances\":%" PRIu32
		   ",\"in\":\"%s\",\"out\":\"%s\",\"listen\":",
		   s->name, s->kind->name, s->instances, s->in, s->kind->out);
	if (listen)
		json_string(out, listen);
	else
		buf_text(out, "null");
	buf_text(out, ",\"endpoints\":[");
	for (uint32_t i = 0; *s->in && i < s->instances; i++) {
		if (conf_endpoint(conf, s->in, i, data, state, &err) == -1)
			break;
		buf_text(out, i ? "," : "");
		json_string(out, data);
	}
	buf_text(out, "]}");
}

static void json_contracts(const struct contract_set *set, struct buf *out)
{
	for (uint32_t i = 0; i < contract_set_count(set); i++) {
		const struct contract *one = contract_set_at(set, i);

		buf_printf(out, "%s{\"name\":", i ? "," : "");
		json_string(out, one->name);
		buf_printf(out, ",\"version\":%u,\"fields\":%" PRIu32 "}",
			   one->version, one->field_count);
	}
}

static void print_json(struct check *c)
{
	struct buf out = {0};
	bool first = true;

	buf_text(&out, "{\"config\":");
	json_string(&out, shown_path(c));
	buf_printf(&out,
		   ",\"ok\":%s,\"errors\":%" PRIu32 ",\"warnings\":%" PRIu32
		   ",\"problems\":[",
		   c->errors ? "false" : "true", c->errors, c->warnings);
	json_problems(&c->report.lines, &out, &first);
	json_problems(&c->contract_report.lines, &out, &first);
	buf_text(&out, "],\"services\":[");
	for (uint32_t i = 0; c->conf && i < c->conf->service_count; i++) {
		buf_text(&out, i ? "," : "");
		json_service(c->conf, &c->conf->services[i], &out);
	}
	buf_text(&out, "],\"contracts\":[");
	if (c->contracts)
		json_contracts(c->contracts, &out);
	buf_text(&out, "]}\n");
	fwrite(out.data, 1, out.used, stdout);
	buf_free(&out);
}

/* ---- the command ---- */

/* The key of the hash mask plays no part in whether contracts are right. */
static void check_contracts(struct check *c)
{
	static const uint8_t any_secret[32];

	if (c->report.contracts &&
	    contract_set_load(&c->contracts, c->report.contracts, any_secret,
			      sizeof(any_secret), &c->contract_report) == -1)
		c->contracts = NULL;
	c->errors = c->report.errors + c->contract_report.errors;
	c->warnings = c->report.warnings + c->contract_report.warnings;
}

/* The value of a text key of a service, or NULL when it has none. */
static const char *text_of(const struct conf_service *s, const char *key)
{
	const struct conf_table *t = s->kind->conf;

	for (size_t i = 0; i < t->row_count; i++)
		if (t->rows[i].type == CONF_STRING &&
		    strcmp(t->rows[i].name, key) == 0)
			return *(char *const *)((const char *)s->conf +
						t->rows[i].offset);
	return NULL;
}

/*
 * Only librdkafka knows its properties. They are judged here, not while loading
 * the configuration, which would make every process load that library.
 */
static void check_properties(struct check *c)
{
	for (uint32_t i = 0; c->conf && i < c->conf->service_count; i++) {
		const struct conf_service *s = &c->conf->services[i];
		const char *properties = text_of(s, "properties");
		struct err err;

		if (!properties ||
		    kafka_check_properties(properties, &err) == 0)
			continue;
		buf_printf(&c->report.lines, "%s: %s.properties: %s\n",
			   shown_path(c), s->name, err.text);
		c->errors++;
	}
}

/* Here for the same reason: no other process needs what reads it. */
static void check_lakes(struct check *c)
{
	for (uint32_t i = 0; c->conf && i < c->conf->service_count; i++) {
		const struct conf_service *s = &c->conf->services[i];
		const char *lake = text_of(s, "lake");
		struct blob_options options = {.identity_name =
						   text_of(s, "identity")};
		struct err err;

		if (!lake || !*lake)
			continue;
		if (options.identity_name && *options.identity_name)
			options.identity =
			    conf_find_identity(c->conf, options.identity_name);
		if (store_check(lake, &options, &err) == 0)
			continue;
		buf_printf(&c->report.lines, "%s: %s.lake: %s\n", shown_path(c),
			   s->name, err.text);
		c->errors++;
	}
}

int cmd_check(int argc, char **argv)
{
	struct check c = {0};
	struct options o;
	int rc = options_read(argc, argv, OPTIONS_JSON, &o);

	if (rc)
		return rc;
	c.path = o.config;
	if (conf_load(&c.conf, c.path, &weft_kinds, &c.report) == -1)
		c.conf = NULL;
	check_contracts(&c);
	check_properties(&c);
	check_lakes(&c);
	if (o.json)
		print_json(&c);
	else
		print_text(&c);
	contract_set_unref(&c.contracts);
	contract_report_free(&c.contract_report);
	conf_free(&c.conf);
	conf_report_free(&c.report);
	return c.errors ? CMD_FAILED : CMD_OK;
}
