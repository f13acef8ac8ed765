/* What people and their tools read: health, metrics, the OpenAPI document. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/stats.h"
#include "services/collector/collector.h"

static void respond(struct http_request *r, unsigned status, const char *type,
		    struct buf *body)
{
	http_add_header(r, "Cache-Control", "no-store");
	http_respond(r, status, type, body->data, body->used);
	buf_free(body);
}

void page_live(struct collector *c, struct http_request *r)
{
	struct buf body = {0};

	(void)c;
	buf_text(&body, "{\"status\":\"alive\"}\n");
	respond(r, 200, "application/json", &body);
}

void page_ready(struct collector *c, struct http_request *r)
{
	const char *code, *why = collector_unready(c, &code);
	struct buf body = {0};

	/* It still takes what comes, but new clients should go elsewhere. */
	if (!why && run_draining(c->run)) {
		code = "stopping";
		why = "the collector is stopping";
	}
	if (why)
		buf_printf(&body,
			   "{\"status\":\"not_ready\",\"code\":\"%s\","
			   "\"reason\":\"%s\"}\n",
			   code, why);
	else
		buf_text(&body, "{\"status\":\"ready\"}\n");
	respond(r, why ? 503 : 200, "application/json", &body);
}

void page_health(struct collector *c, struct http_request *r)
{
	const char *code, *why = collector_unready(c, &code);
	struct spool_stats spool;
	struct bus_stats bus;
	struct buf body = {0};

	source_get_stats(c->source, &spool, &bus);
	buf_printf(&body,
		   "{\"status\":\"%s\",\"service\":\"%s\",\"version\":\"%s\","
		   "\"ready\":%s,\"log\":{\"bytes\":%" PRIu64
		   ",\"cap_bytes\":%" PRIu64 "}",
		   why ? "degraded" : "healthy", run_label(c->run),
		   WEFT_VERSION, why ? "false" : "true", spool.bytes,
		   spool.cap_bytes);
	if (why)
		buf_printf(&body, ",\"code\":\"%s\",\"reason\":\"%s\"", code,
			   why);
	buf_text(&body, "}\n");
	respond(r, 200, "application/json", &body);
}

/* ---- metrics: the stats message as Prometheus text (format 0.0.4) ---- */

struct text {
	struct buf out;
	char name[256];
};

static void on_process(void *arg, const struct stats_process *process)
{
	(void)arg;
	(void)process;
}

static void on_family(void *arg, const char *name, const char *help,
		      enum stats_type type)
{
	static const char *const types[] = {
	    [STATS_COUNTER] = "counter",
	    [STATS_GAUGE] = "gauge",
	    [STATS_HISTOGRAM] = "histogram",
	};
	struct text *t = arg;

	/* Rows of one family follow each other; it is announced once. */
	if (strcmp(t->name, name) == 0)
		return;
	snprintf(t->name, sizeof(t->name), "%s", name);
	buf_printf(&t->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
		   types[type]);
}

static void on_sample(void *arg, const char *suffix, const char *labels,
		      double value)
{
	struct text *t = arg;

	if (*labels)
		buf_printf(&t->out, "%s%s{%s} %.17g\n", t->name, suffix, labels,
			   value);
	else
		buf_printf(&t->out, "%s%s %.17g\n", t->name, suffix, value);
}

void page_metrics(struct collector *c, struct http_request *r)
{
	struct text t = {0};
	struct stats_visitor visitor = {on_process, on_family, on_sample, &t};
	struct buf message = {0};
	struct err err;

	collector_count(c);
	run_export(c->run, &message);
	if (stats_decode((const uint8_t *)message.data, message.used, &visitor,
			 &err) != 0)
		http_respond_error(r, 500, "internal", err.text);
	else
		respond(r, 200, "text/plain; version=0.0.4; charset=utf-8",
			&t.out);
	buf_free(&t.out);
	buf_free(&message);
}

void page_openapi(struct collector *c, struct http_request *r)
{
	struct contract_set *set = run_contracts(c->run);

	if (c->openapi_set != contract_set_hash(set)) {
		buf_clear(&c->openapi);
		openapi_write(set, &c->openapi);
		c->openapi_set = contract_set_hash(set);
	}
	http_respond(r, 200, "application/json", c->openapi.data,
		     c->openapi.used);
}
