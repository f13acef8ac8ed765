/* The OpenAPI 3.1 document, from the table of routes and the contracts. */
#include <string.h>

#include "services/collector/collector.h"

static void append_string(struct buf *out, const char *text)
{
	buf_char(out, '"');
	buf_json_escape(out, text, strlen(text));
	buf_char(out, '"');
}

/* ---- schemas of events, one a contract ---- */

/* JSON Schema (2020-12) of what a field accepts as JSON. */
static const char *schema_of(const struct contract_field *f)
{
	switch (f->type) {
	case CONTRACT_STRING:
		return "\"type\":\"string\"";
	case CONTRACT_GUID:
		return "\"type\":\"string\",\"format\":\"uuid\"";
	case CONTRACT_INT:
		return "\"type\":\"integer\",\"format\":\"int32\"";
	case CONTRACT_LONG:
		return "\"type\":\"integer\",\"format\":\"int64\"";
	case CONTRACT_DOUBLE:
		return "\"type\":[\"number\",\"string\"],\"format\":\"double\"";
	case CONTRACT_DECIMAL:
		return "\"type\":[\"number\",\"string\"]";
	case CONTRACT_BOOLEAN:
		return "\"type\":\"boolean\"";
	case CONTRACT_DATETIME:
		return "\"type\":\"string\",\"format\":\"date-time\"";
	case CONTRACT_DATE:
		return "\"type\":\"string\",\"format\":\"date\"";
	case CONTRACT_ARRAY:
		return "\"type\":\"array\"";
	case CONTRACT_STRUCT:
		return "\"type\":\"object\"";
	case CONTRACT_DYNAMIC:
		break;
	}
	return "\"description\":\"any JSON\"";
}

static void append_field(struct buf *out, const struct contract_field *f)
{
	append_string(out, f->name);
	buf_text(out, ":{");
	buf_text(out, schema_of(f));
	if (f->doc && *f->doc && f->type != CONTRACT_DYNAMIC) {
		buf_text(out, ",\"description\":");
		append_string(out, f->doc);
	}
	if (f->default_text) {
		buf_text(out, ",\"default\":");
		buf_text(out, f->default_text);
	}
	buf_text(out, ",\"x-type\":");
	append_string(out, f->type_text);
	buf_char(out, '}');
}

/* The collector assigns these when they are missing. */
static bool is_assigned(const struct contract_field *f)
{
	return strcmp(f->name, "event_id") == 0 ||
	       strcmp(f->name, "event_time") == 0;
}

static void append_contract(struct buf *out, const struct contract *contract)
{
	const char *comma = "";

	append_string(out, contract->name);
	buf_text(out, ":{\"type\":\"object\",\"description\":");
	append_string(out, contract->doc ? contract->doc : "");
	buf_printf(out, ",\"x-version\":%u,\"properties\":{",
		   contract->version);
	for (uint32_t i = 0; i < contract->field_count; i++) {
		if (i)
			buf_char(out, ',');
		append_field(out, &contract->fields[i]);
	}
	buf_text(out, "},\"required\":[");
	for (uint32_t i = 0; i < contract->field_count; i++) {
		if (!contract->fields[i].required ||
		    is_assigned(&contract->fields[i]))
			continue;
		buf_text(out, comma);
		append_string(out, contract->fields[i].name);
		comma = ",";
	}
	buf_text(out, "]},");
}

static void append_event(struct buf *out, const struct contract_set *set)
{
	buf_text(out, "\"Event\":{\"description\":\"One of the contracts, "
		      "chosen by its match. Its own fields may lie in data{} "
		      "as well.\",\"anyOf\":[");
	for (uint32_t i = 0; i < contract_set_count(set); i++)
		buf_printf(out, "%s{\"$ref\":\"#/components/schemas/%s\"}",
			   i ? "," : "", contract_set_at(set, i)->name);
	buf_text(out, "]},");
}

static const char fixed_schemas[] =
    "\"EventBatch\":{\"oneOf\":["
    "{\"type\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/Event\"}},"
    "{\"type\":\"object\",\"required\":[\"events\"],\"properties\":{"
    "\"events\":{\"type\":\"array\",\"items\":{\"$ref\":"
    "\"#/components/schemas/Event\"}}}}]},"
    "\"CloudEvent\":{\"type\":\"object\",\"description\":\"CloudEvents 1.0\","
    "\"required\":[\"specversion\",\"id\",\"source\",\"type\"],"
    "\"properties\":{\"specversion\":{\"const\":\"1.0\"},"
    "\"id\":{\"type\":\"string\"},\"source\":{\"type\":\"string\"},"
    "\"type\":{\"type\":\"string\"},\"subject\":{\"type\":\"string\"},"
    "\"time\":{\"type\":\"string\",\"format\":\"date-time\"},"
    "\"data\":{\"type\":\"object\"}}},"
    "\"EventError\":{\"type\":\"object\",\"properties\":{"
    "\"index\":{\"type\":\"integer\"},\"code\":{\"type\":\"string\"},"
    "\"field\":{\"type\":[\"string\",\"null\"]},"
    "\"message\":{\"type\":\"string\"}}},"
    "\"Result\":{\"type\":\"object\",\"required\":[\"success\","
    "\"events_accepted\",\"events_failed\",\"message\"],\"properties\":{"
    "\"success\":{\"type\":\"boolean\",\"description\":\"no event was "
    "refused\"},\"event_id\":{\"type\":\"string\",\"description\":\"of a "
    "single event\"},\"events_accepted\":{\"type\":\"integer\"},"
    "\"events_failed\":{\"type\":\"integer\"},"
    "\"message\":{\"type\":\"string\"},"
    "\"errors\":{\"type\":\"array\",\"maxItems\":100,\"items\":{\"$ref\":"
    "\"#/components/schemas/EventError\"}}}},"
    "\"Error\":{\"type\":\"object\",\"required\":[\"success\",\"error\","
    "\"message\"],\"properties\":{"
    "\"success\":{\"const\":false},\"error\":{\"type\":\"object\","
    "\"required\":[\"code\",\"message\"],\"properties\":{"
    "\"code\":{\"type\":\"string\"},\"message\":{\"type\":\"string\"},"
    "\"offset\":{\"type\":\"integer\",\"description\":\"byte of the body\"}}},"
    "\"message\":{\"type\":\"string\"}}}";

/* ---- paths ---- */

struct answer {
	const char *status;
	const char *doc;
	const char *schema;
};

static const struct answer post_answers[] = {
    {"202", "At least one event is on disk; the others are in errors.",
     "Result"},
    {"400", "The body or the request is malformed.", "Error"},
    {"401", "An API key is needed, or the one sent is not known.", "Error"},
    {"408", "The request did not arrive in time.", "Error"},
    {"413", "The body or the number of events is too large.", "Error"},
    {"415", "The content type or encoding is not supported.", "Error"},
    {"422", "Every event was refused; see errors.", "Result"},
    {"429", "The API key sends faster than its rate; see Retry-After.",
     "Error"},
    {"503",
     "Nothing can be accepted now; see Retry-After. With code "
     "not_durable the events may or may not be stored, with stream_full "
     "events of other streams are taken.",
     "Error"},
};

static void append_answers(struct buf *out)
{
	for (size_t i = 0; i < sizeof(post_answers) / sizeof(post_answers[0]);
	     i++) {
		const struct answer *a = &post_answers[i];

		buf_printf(out,
			   "%s\"%s\":{\"description\":\"%s\",\"content\":{"
			   "\"application/json\":{\"schema\":{\"$ref\":"
			   "\"#/components/schemas/%s\"}}}}",
			   i ? "," : "", a->status, a->doc, a->schema);
	}
}

static void append_content(struct buf *out, const char *type,
			   const char *schema)
{
	buf_printf(out, "\"%s\":{\"schema\":%s}", type, schema);
}

#define REF(name) "{\"$ref\":\"#/components/schemas/" name "\"}"

static void append_post(struct buf *out, const struct api_route *route)
{
	bool batch = strstr(route->path, "batch") != NULL;

	buf_printf(out, "\"post\":{\"operationId\":\"%s\",\"summary\":",
		   batch ? "postEvents" : "postEvent");
	append_string(out, route->doc);
	buf_text(out, ",\"security\":[{},{\"apiKey\":[]},{\"bearer\":[]}],"
		      "\"requestBody\":{\"required\":true,\"description\":"
		      "\"Content-Encoding may be gzip or zstd.\","
		      "\"content\":{");
	append_content(
	    out, "application/json",
	    batch ? REF("EventBatch")
		  : "{\"anyOf\":[" REF("Event") "," REF("EventBatch") "]}");
	buf_char(out, ',');
	append_content(out, "application/x-ndjson",
		       "{\"type\":\"string\",\"description\":\"one event a "
		       "line\"}");
	buf_char(out, ',');
	append_content(out, "application/cloudevents+json", REF("CloudEvent"));
	buf_char(out, ',');
	append_content(out, "application/cloudevents-batch+json",
		       "{\"type\":\"array\",\"items\":" REF("CloudEvent") "}");
	buf_text(out, "}},\"responses\":{");
	append_answers(out);
	buf_text(out, "}}");
}

static void append_get(struct buf *out, const struct api_route *route)
{
	bool text = strcmp(route->path, "/metrics") == 0;

	buf_text(out, "\"get\":{\"operationId\":\"get");
	for (const char *c = route->path; *c; c++)
		if (*c != '/' && *c != '.')
			buf_char(out, *c);
	buf_text(out, "\",\"summary\":");
	append_string(out, route->doc);
	buf_printf(out,
		   ",\"responses\":{\"200\":{\"description\":\"OK\","
		   "\"content\":{\"%s\":{\"schema\":{\"type\":\"%s\"}}}}%s}}",
		   text ? "text/plain" : "application/json",
		   text ? "string" : "object",
		   strstr(route->path, "ready")
		       ? ",\"503\":{\"description\":\"Not ready; the body has "
			 "the reason.\"}"
		       : "");
}

void openapi_write(const struct contract_set *set, struct buf *out)
{
	buf_printf(out,
		   "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"Weft "
		   "collector\",\"version\":\"%s\",\"description\":\"Takes "
		   "business events. A 2xx answer means that they are on "
		   "disk.\"},\"servers\":[{\"url\":\"/\"}],\"paths\":{",
		   WEFT_VERSION);
	for (size_t i = 0; i < api_route_count; i++) {
		buf_printf(out, "%s\"%s\":{", i ? "," : "", api_routes[i].path);
		if (api_routes[i].posts)
			append_post(out, &api_routes[i]);
		else
			append_get(out, &api_routes[i]);
		buf_char(out, '}');
	}
	buf_text(out, "},\"components\":{\"securitySchemes\":{"
		      "\"apiKey\":{\"type\":\"apiKey\",\"in\":\"header\","
		      "\"name\":\"X-API-Key\"},\"bearer\":{\"type\":\"http\","
		      "\"scheme\":\"bearer\"}},\"schemas\":{");
	for (uint32_t i = 0; i < contract_set_count(set); i++)
		append_contract(out, contract_set_at(set, i));
	append_event(out, set);
	buf_text(out, fixed_schemas);
	buf_text(out, "}}}\n");
}
