/* Requests that carry events: their form, their intake, their wait. */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "services/collector/collector.h"
#include "services/collector/reply.h"

#define ATTRIBUTE_BYTES 64

/* How the events lie in the body. */
struct shape {
	enum intake_form form;
	bool json;   /* plain JSON: the first byte tells one from many */
	bool plain;  /* a known type without parameters */
	bool binary; /* CloudEvents binary mode */
};

/* ---- content types ---- */

/* What ends the name of a type, in front of its parameters. */
static bool is_end(char c)
{
	return c == ';' || c == ' ' || c == '\t';
}

/* The type without parameters: its length. */
static size_t type_bytes(struct http_slice type)
{
	size_t n = 0;

	while (n < type.bytes && !is_end(type.at[n]))
		n++;
	return n;
}

static bool is_type(struct http_slice type, const char *name)
{
	size_t bytes = strlen(name);

	return type.bytes >= bytes &&
	       (type.bytes == bytes || is_end(type.at[bytes])) &&
	       strncasecmp(type.at, name, bytes) == 0;
}

static bool ends_with(const char *text, size_t bytes, const char *end)
{
	size_t n = strlen(end);

	return bytes > n && strncasecmp(text + bytes - n, end, n) == 0;
}

/* No charset, or the only one that JSON has (RFC 8259 section 8.1). */
static bool is_utf8(struct http_slice type)
{
	char text[256];
	const char *charset;

	if (type.bytes >= sizeof(text))
		return false;
	for (size_t i = 0; i < type.bytes; i++)
		text[i] = (char)tolower((unsigned char)type.at[i]);
	text[type.bytes] = '\0';
	charset = strstr(text, "charset=");
	if (!charset)
		return true;
	charset += 8 + (charset[8] == '"');
	return strncmp(charset, "utf-8", 5) == 0 ||
	       strncmp(charset, "utf8", 4) == 0 ||
	       strncmp(charset, "us-ascii", 8) == 0;
}

/* False when the type is none of these. */
static bool shape_of(const struct http_request *r, struct shape *shape)
{
	static const struct {
		const char *type;
		struct shape shape;
	} known[] = {
	    {"application/json", {INTAKE_ONE, .json = true}},
	    {"application/cloudevents+json",
	     {INTAKE_CLOUDEVENT, .json = false}},
	    {"application/cloudevents-batch+json",
	     {INTAKE_CLOUDEVENT_BATCH, .json = false}},
	    {"application/x-ndjson", {INTAKE_NDJSON, .json = false}},
	    {"application/ndjson", {INTAKE_NDJSON, .json = false}},
	    {"application/jsonl", {INTAKE_NDJSON, .json = false}},
	    {"application/x-jsonlines", {INTAKE_NDJSON, .json = false}},
	    {"text/json", {INTAKE_ONE, .json = true}},
	};
	struct http_slice type = http_header(r, "content-type");
	size_t i = 0, count = sizeof(known) / sizeof(known[0]);

	while (i < count && !is_type(type, known[i].type))
		i++;
	*shape = known[i < count ? i : 0].shape;
	shape->plain = i < count && type.bytes == strlen(known[i].type);
	shape->binary = shape->json && http_header(r, "ce-specversion").at;
	return i < count || !type_bytes(type) ||
	       ends_with(type.at, type_bytes(type), "+json");
}

bool post_check(struct collector *c, struct http_request *r)
{
	struct http_slice type;
	struct shape shape;
	bool known = shape_of(r, &shape);

	(void)c;
	if (shape.plain)
		return true;
	type = http_header(r, "content-type");
	if (known && (!type.at || is_utf8(type)))
		return true;
	http_add_header(r, "Accept-Post",
			"application/json, application/x-ndjson, "
			"application/cloudevents+json, "
			"application/cloudevents-batch+json");
	http_respond_error(r, 415, "unsupported_media_type",
			   "send application/json, application/x-ndjson, "
			   "application/cloudevents+json or "
			   "application/cloudevents-batch+json, in UTF-8");
	return false;
}

/* ---- CloudEvents binary mode: attributes are headers ---- */

struct attributes {
	char names[INTAKE_MAX_ATTRIBUTES][ATTRIBUTE_BYTES];
	struct intake_attribute list[INTAKE_MAX_ATTRIBUTES];
	uint32_t count;
};

static bool add_attribute(void *arg, struct http_slice name,
			  struct http_slice value)
{
	struct attributes *a = arg;
	char *to = a->names[a->count];
	size_t bytes = name.bytes - 3;

	if (name.bytes <= 3 || strncasecmp(name.at, "ce-", 3) != 0 ||
	    bytes >= ATTRIBUTE_BYTES)
		return true;
	for (size_t i = 0; i < bytes; i++)
		to[i] = (char)tolower((unsigned char)name.at[3 + i]);
	to[bytes] = '\0';
	a->list[a->count++] =
	    (struct intake_attribute){to, value.at, value.bytes};
	return a->count < INTAKE_MAX_ATTRIBUTES;
}

/* ---- trace ---- */

static int hex(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
				      : -1;
}

/* The trace id of a W3C traceparent, or NULL when there is none. */
static const uint8_t *trace_of(const struct http_request *r,
			       uint8_t trace[BATCH_TRACE_BYTES])
{
	struct http_slice t = http_header(r, "traceparent");

	if (t.bytes < 55 || t.at[2] != '-' || t.at[35] != '-')
		return NULL;
	for (int i = 0; i < BATCH_TRACE_BYTES; i++) {
		int high = hex(t.at[3 + 2 * i]), low = hex(t.at[4 + 2 * i]);

		if (high < 0 || low < 0)
			return NULL;
		trace[i] = (uint8_t)(high << 4 | low);
	}
	return trace;
}

/* ---- counting ---- */

static bool same(const char *kept, uint32_t kept_bytes, const char *text,
		 size_t bytes)
{
	return kept_bytes == bytes && memcmp(kept, text, bytes) == 0;
}

/* Types differ most at their ends; two that meet cost a look-up each time. */
static uint32_t cell_slot(const char *type, size_t bytes)
{
	uint64_t last = bytes;

	if (bytes >= sizeof(last))
		memcpy(&last, type + bytes - sizeof(last), sizeof(last));
	last = (last ^ bytes) * UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)(last >> 32) % COLLECTOR_CELLS;
}

static void count_accepted(struct collector *c, const char *type,
			   size_t type_size, const char *source,
			   size_t source_size)
{
	struct known_cell *known = &c->cells[cell_slot(type, type_size)];
	struct counter_label labels[] = {{source, source_size},
					 {type, type_size}};
	int64_t *cell;

	if (known->cell &&
	    same(known->type, known->type_bytes, type, type_size) &&
	    same(known->source, known->source_bytes, source, source_size)) {
		++*known->cell;
		return;
	}
	cell = counter_cell(collector_counters(c)->received, labels);
	++*cell;
	if (type_size > COLLECTOR_CELL_BYTES ||
	    source_size > COLLECTOR_CELL_BYTES)
		return;
	known->cell = cell;
	known->type_bytes = (uint32_t)type_size;
	known->source_bytes = (uint32_t)source_size;
	memcpy(known->type, type, type_size);
	memcpy(known->source, source, source_size);
}

static void count_failed(struct collector *c, const char *code)
{
	struct counter_label labels[] = {{"collector", 9},
					 {code, strlen(code)}};

	++*counter_cell(collector_counters(c)->failed, labels);
}

/* NOLINTNEXTLINE(readability-function-size): the observer's parameters */
static void on_event(void *arg, const struct contract *contract,
		     enum intake_code code, const char *type, size_t type_size,
		     const char *source, size_t source_size)
{
	if (contract)
		count_accepted(arg, type ? type : "", type ? type_size : 0,
			       source ? source : "", source ? source_size : 0);
	else
		count_failed(arg, intake_code_name(code));
}

static bool seal_full(void *arg)
{
	struct collector *c = arg;

	return group_seal_full(c->group);
}

/* ---- intake ---- */

static char first_byte(struct http_slice body)
{
	for (size_t i = 0; i < body.bytes; i++)
		if (!strchr(" \t\r\n", body.at[i]) || !body.at[i])
			return body.at[i];
	return '\0';
}

static void take_events(struct collector *c, struct http_request *r,
			const struct shape *shape)
{
	struct attributes attributes;
	struct http_slice body = http_body(r);
	struct key *key = http_context(r);
	uint8_t trace[BATCH_TRACE_BYTES];
	const struct intake_observer observer = {on_event, seal_full, c};
	struct intake_request request = {
	    .form = shape->form,
	    .body = body.bytes ? body.at : "",
	    .bytes = body.bytes,
	    .max_events = (uint32_t)collector_conf(c)->max_events,
	    .now_us = collector_turn(c)->now_us,
	    .map = collector_conf(c)->map == MAP_AT_COLLECTOR,
	    .refused = source_refused(c->source),
	    .source = key ? key_name(key) : NULL,
	};

	if (shape->binary) {
		attributes.count = 0;
		http_each_header(r, add_attribute, &attributes);
		request.attributes = attributes.list;
		request.attribute_count = attributes.count;
	}
	intake_body(
	    c->intake, run_contracts(c->run), &request, &observer,
	    group_builder(c->group, run_contracts(c->run), trace_of(r, trace)),
	    &c->result);
	if (c->result.malformed)
		count_failed(c, "malformed_json");
	if (key)
		key_spend(key, c->result.accepted + c->result.rejected);
}

/*
 * A large request goes to the log in parts, so whether the log will take it is
 * asked first. What the events grow by may still be too much: then some of them
 * are stored, and the answer says so.
 */
static bool has_room(struct collector *c, struct http_request *r)
{
	size_t bytes = http_body(r).bytes;
	int64_t most = collector_conf(c)->log_cap / 4;

	if (bytes > (size_t)most) {
		http_respond_error(
		    r, 413, "body_too_large",
		    "the body is more than a quarter of log_cap; "
		    "send fewer events in one request");
		return false;
	}
	if (bytes <= COLLECTOR_ROOM_BYTES ||
	    source_has_room(c->source, bytes + COLLECTOR_ROOM_BYTES))
		return true;
	http_add_header(r, "Retry-After", "1");
	http_respond_error(r, 503, "log_full",
			   "the log has no room for so large a request; "
			   "nothing was stored, try again");
	return false;
}

static void post(struct collector *c, struct http_request *r,
		 struct shape *shape)
{
	const char *code, *why = collector_unready(c, &code);
	unsigned status;
	bool one;

	/* The body took its time: it may have become different since. */
	if (why) {
		http_add_header(r, "Retry-After", "1");
		http_respond_error(r, 503, code, why);
		return;
	}
	if (!http_body(r).bytes && !shape->binary) {
		http_respond_error(r, 400, "malformed_json",
				   "the body is empty");
		return;
	}
	if (!has_room(c, r))
		return;
	take_events(c, r, shape);
	one = shape->binary || shape->form == INTAKE_ONE ||
	      shape->form == INTAKE_CLOUDEVENT;
	buf_clear(&c->reply);
	status = reply_result(&c->result, one, &c->reply);
	if (c->result.held)
		http_add_header(r, "Retry-After", "5");
	if (c->result.accepted)
		group_wait(c->group, r, status, &c->reply,
			   loop_now_mono_us(run_loop(c->run)));
	else
		http_respond(r, status, "application/json", c->reply.data,
			     c->reply.used);
}

void post_one(struct collector *c, struct http_request *r)
{
	struct shape shape;

	shape_of(r, &shape);
	if (shape.json && !shape.binary && first_byte(http_body(r)) == '[')
		shape.form = INTAKE_BATCH;
	post(c, r, &shape);
}

void post_batch(struct collector *c, struct http_request *r)
{
	struct shape shape;

	shape_of(r, &shape);
	if (shape.json && !shape.binary)
		shape.form = INTAKE_BATCH;
	post(c, r, &shape);
}
