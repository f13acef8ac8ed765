/* Routes, keys, limits and CORS: everything before the events themselves. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "services/collector/collector.h"
#include "services/collector/reply.h"

const struct api_route api_routes[] = {
    {"/events", "POST", post_one, true,
     "Accept one event, a JSON array of events, or CloudEvents."},
    {"/events/batch", "POST", post_batch, true,
     "Accept events as {\"events\": [...]}, JSON array, NDJSON or "
     "CloudEvents."},
    {"/health", "GET, HEAD", page_health, false, "How the collector is."},
    {"/health/live", "GET, HEAD", page_live, false, "200 as long as it runs."},
    {"/health/ready", "GET, HEAD", page_ready, false,
     "200 when it accepts events, else 503 with the reason."},
    {"/ready", "GET, HEAD", page_ready, false, "The same as /health/ready."},
    {"/metrics", "GET, HEAD", page_metrics, false,
     "Counters of this process as Prometheus text."},
    {"/openapi.json", "GET, HEAD", page_openapi, false, "This document."},
};
const size_t api_route_count = sizeof(api_routes) / sizeof(api_routes[0]);

static bool is(struct http_slice s, const char *text)
{
	return s.bytes == strlen(text) && memcmp(s.at, text, s.bytes) == 0;
}

static const struct api_route *find_route(struct http_slice path)
{
	if (path.bytes > 1 && path.at[path.bytes - 1] == '/')
		path.bytes--;
	for (size_t i = 0; i < api_route_count; i++)
		if (is(path, api_routes[i].path))
			return &api_routes[i];
	return NULL;
}

/* ---- CORS (the Fetch standard) ---- */

static bool is_allowed_origin(const char *list, struct http_slice origin)
{
	while (list && *list) {
		size_t n = strcspn(list, " ,");

		if ((n == 1 && *list == '*') ||
		    (n == origin.bytes && memcmp(list, origin.at, n) == 0))
			return true;
		list += n;
		list += strspn(list, " ,");
	}
	return false;
}

static void add_cors(struct collector *c, struct http_request *r)
{
	const char *allowed = collector_conf(c)->cors_origins;
	struct http_slice origin;
	char text[256];

	if (!allowed)
		return;
	origin = http_header(r, "origin");
	if (!origin.bytes || origin.bytes >= sizeof(text) ||
	    !is_allowed_origin(allowed, origin))
		return;
	memcpy(text, origin.at, origin.bytes);
	text[origin.bytes] = '\0';
	http_add_header(r, "Access-Control-Allow-Origin", text);
	http_add_header(r, "Vary", "Origin");
}

static void answer_options(struct collector *c, struct http_request *r,
			   const struct api_route *route)
{
	char methods[64];

	(void)c;
	snprintf(methods, sizeof(methods), "%s, OPTIONS",
		 route ? route->methods : "GET, HEAD, POST");
	http_add_header(r, "Allow", methods);
	http_add_header(r, "Access-Control-Allow-Methods", methods);
	http_add_header(r, "Access-Control-Allow-Headers",
			"Authorization, Content-Encoding, Content-Type, "
			"X-API-Key, traceparent, tracestate, ce-id, ce-source, "
			"ce-specversion, ce-type, ce-subject, ce-time");
	http_add_header(r, "Access-Control-Max-Age", "86400");
	http_respond(r, 204, "", NULL, 0);
}

/* ---- what is refused before the body is read ---- */

static void refuse_path(struct http_request *r)
{
	struct buf body = {0};

	buf_text(&body, "{\"success\":false,\"error\":{\"code\":\"not_found\","
			"\"message\":\"there is no such path\"},"
			"\"message\":\"there is no such path\",\"routes\":[");
	for (size_t i = 0; i < api_route_count; i++)
		buf_printf(&body, "%s\"%.*s %s\"", i ? "," : "",
			   (int)strcspn(api_routes[i].methods, ","),
			   api_routes[i].methods, api_routes[i].path);
	buf_text(&body, "]}\n");
	http_respond(r, 404, "application/json", body.data, body.used);
	buf_free(&body);
}

static bool has_method(const struct api_route *route, struct http_slice method)
{
	const char *at = route->methods;

	while (*at) {
		size_t n = strcspn(at, ", ");

		if (n == method.bytes && memcmp(at, method.at, n) == 0)
			return true;
		at += n;
		at += strspn(at, ", ");
	}
	return false;
}

static void refuse_method(struct http_request *r, const struct api_route *route)
{
	char methods[64], text[128];

	snprintf(methods, sizeof(methods), "%s, OPTIONS", route->methods);
	snprintf(text, sizeof(text), "%s takes %s", route->path, methods);
	http_add_header(r, "Allow", methods);
	http_respond_error(r, 405, "method_not_allowed", text);
}

static struct http_slice sent_key(const struct http_request *r)
{
	struct http_slice key = http_header(r, "x-api-key");

	if (key.at)
		return key;
	key = http_header(r, "authorization");
	if (key.bytes > 7 && strncasecmp(key.at, "Bearer ", 7) == 0)
		return (struct http_slice){key.at + 7, key.bytes - 7};
	return (struct http_slice){NULL, 0};
}

/* The key stays in the request's context. False when it was refused. */
static bool check_key(struct collector *c, struct http_request *r)
{
	struct http_slice sent;
	struct key *key;
	int64_t retry_s;
	char text[32];

	if (!keys_needed(c->keys))
		return true;
	sent = sent_key(r);
	key = sent.at ? keys_find(c->keys, sent.at, sent.bytes) : NULL;
	if (!key) {
		http_add_header(r, "WWW-Authenticate", "Bearer realm=\"weft\"");
		http_respond_error(r, 401, "unauthorized",
				   sent.at
				       ? "this API key is not known"
				       : "send an API key as X-API-Key or as "
					 "Authorization: Bearer");
		return false;
	}
	if (!key_admits(key, loop_now_mono_us(run_loop(c->run)), &retry_s)) {
		snprintf(text, sizeof(text), "%" PRId64, retry_s);
		http_add_header(r, "Retry-After", text);
		http_respond_error(
		    r, 429, "rate_limited",
		    "this API key sends faster than its rate; wait as "
		    "Retry-After says");
		return false;
	}
	http_set_context(r, key);
	return true;
}

static bool check_ready(struct collector *c, struct http_request *r)
{
	const char *code, *why = collector_unready(c, &code);

	if (!why)
		return true;
	http_add_header(r, "Retry-After", "1");
	http_respond_error(r, 503, code, why);
	return false;
}

void api_headers(void *arg, struct http_request *r)
{
	struct collector *c = arg;
	const struct api_route *route = find_route(http_path(r));

	add_cors(c, r);
	if (is(http_method(r), "OPTIONS"))
		answer_options(c, r, route);
	else if (!route)
		refuse_path(r);
	else if (!has_method(route, http_method(r)))
		refuse_method(r, route);
	else if (route->posts && check_key(c, r) && post_check(c, r))
		check_ready(c, r);
}

void api_request(void *arg, struct http_request *r)
{
	struct collector *c = arg;

	/* Only what has a route comes this far. */
	find_route(http_path(r))->fn(c, r);
}
