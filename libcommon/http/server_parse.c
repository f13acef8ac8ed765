/* llhttp's callbacks: bytes into a request, bad ones into an exact error. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "http/server_impl.h"

#define STOP (-1)

static struct http_conn *conn_of(llhttp_t *p)
{
	return p->data;
}

void http_parse_refuse(struct http_conn *c, unsigned status, const char *code,
		       const char *message)
{
	struct http_request *r = c->current;

	if (!r)
		r = http_conn_begin(c);
	r->close = true;
	if (r->answered) /* early, but the rest of it is broken */
		c->mode = HTTP_CLOSING;
	else
		http_respond_error(r, status, code, message);
}

static int refuse(struct http_conn *c, unsigned status, const char *code,
		  const char *message)
{
	http_parse_refuse(c, status, code, message);
	return STOP;
}

static int too_large_header(struct http_conn *c)
{
	char text[128];

	snprintf(text, sizeof(text),
		 "request line and headers exceed %llu bytes or %d headers",
		 (unsigned long long)c->server->options.max_header_bytes,
		 HTTP_MAX_HEADERS);
	return refuse(c, 431, "header_too_large", text);
}

static int too_large_body(struct http_conn *c)
{
	char text[128];

	snprintf(text, sizeof(text),
		 "the body exceeds %llu bytes; send smaller batches",
		 (unsigned long long)c->server->options.max_body_bytes);
	return refuse(c, 413, "body_too_large", text);
}

int http_parse_overloaded(struct http_conn *c)
{
	if (c->current && !c->current->answered)
		http_add_header(c->current, "Retry-After", "1");
	return refuse(c, 503, "overloaded",
		      "too many bodies are being received; try again later");
}

static int on_message_begin(llhttp_t *p)
{
	http_conn_begin(conn_of(p));
	return 0;
}

/* Takes the next piece of a token; its pieces follow each other in memory. */
static int extend(struct http_conn *c, uint32_t *offset, uint32_t *total,
		  const char *at, size_t bytes)
{
	const struct http_request *r = c->current;
	size_t end = (size_t)(at + bytes - r->data);

	if (end > c->server->options.max_header_bytes)
		return too_large_header(c);
	if (!*total)
		*offset = (uint32_t)(at - r->data);
	*total = (uint32_t)(end - *offset);
	return 0;
}

static int on_url(llhttp_t *p, const char *at, size_t bytes)
{
	struct http_conn *c = conn_of(p);
	struct http_request *r = c->current;

	if (r->target_bytes + bytes > HTTP_MAX_TARGET_BYTES)
		return refuse(c, 414, "uri_too_long",
			      "the request target exceeds 8192 bytes");
	return extend(c, &r->target, &r->target_bytes, at, bytes);
}

/* Trailers (RFC 9112 section 7.1.2) are read over. */
static bool is_trailer(const struct http_request *r)
{
	return r->stage != HTTP_IN_HEADERS;
}

static int on_header_field(llhttp_t *p, const char *at, size_t bytes)
{
	struct http_conn *c = conn_of(p);
	struct http_request *r = c->current;
	struct http_field *f = &r->headers[r->header_count];

	if (is_trailer(r))
		return 0;
	if (r->header_count == HTTP_MAX_HEADERS)
		return too_large_header(c);
	return extend(c, &f->name, &f->name_bytes, at, bytes);
}

static int on_header_value(llhttp_t *p, const char *at, size_t bytes)
{
	struct http_conn *c = conn_of(p);
	struct http_request *r = c->current;
	struct http_field *f = &r->headers[r->header_count];

	if (is_trailer(r))
		return 0;
	return extend(c, &f->value, &f->value_bytes, at, bytes);
}

static int on_header_value_complete(llhttp_t *p)
{
	struct http_request *r = conn_of(p)->current;
	struct http_field *f = &r->headers[r->header_count];

	if (is_trailer(r))
		return 0;
	while (f->value_bytes) {
		char c = r->data[f->value + f->value_bytes - 1];

		if (c != ' ' && c != '\t')
			break;
		f->value_bytes--;
	}
	r->name_lengths |= UINT64_C(1) << f->name_bytes % 64;
	memset(&r->headers[++r->header_count], 0, sizeof(*f));
	return 0;
}

static bool is(struct http_slice s, const char *text)
{
	return s.bytes == strlen(text) && strncasecmp(s.at, text, s.bytes) == 0;
}

static int begin_decoder(struct http_conn *c, struct http_slice coding)
{
	struct http_server *s = c->server;
	struct http_request *r = c->current;
	enum http_coding which = http_coding_of(coding.at, coding.bytes);

	if (which == HTTP_CODING_UNKNOWN)
		return refuse(c, 415, "unsupported_encoding",
			      "Content-Encoding may be gzip, zstd or identity");
	if (which == HTTP_IDENTITY)
		return 0;
	r->decoder = s->decoders[which];
	s->decoders[which] = NULL;
	if (!r->decoder)
		r->decoder = http_decoder_new(which);
	http_decoder_reset(r->decoder, s->options.max_body_bytes);
	return 0;
}

/* What HTTP asks of a head beyond its grammar; nonzero when it was refused. */
static int check_head(struct http_conn *c, const llhttp_t *p)
{
	struct http_request *r = c->current;
	int hosts = 0;
	const char *wrong;

	if (p->http_major != 1)
		return refuse(c, 505, "http_version_not_supported",
			      "this server speaks HTTP/1.1 and HTTP/1.0");
	if (p->method == HTTP_CONNECT)
		return refuse(c, 501, "not_implemented",
			      "this server is no proxy");
	for (int i = 0; i < r->header_count; i++) {
		const struct http_field *f = &r->headers[i];

		hosts += f->name_bytes == 4 &&
			 strncasecmp(r->data + f->name, "host", 4) == 0;
	}
	if (hosts > 1 || (!hosts && !r->old))
		return refuse(c, 400, "bad_request",
			      "HTTP/1.1 needs exactly one Host header");
	wrong = http_target_split(r);
	if (wrong)
		return refuse(c, 400, "bad_request", wrong);
	return 0;
}

/* Whether and how the body can be taken; nonzero when it was refused. */
static int check_body(struct http_conn *c)
{
	struct http_server *s = c->server;
	struct http_request *r = c->current;
	struct http_slice expect = http_header(r, "expect");
	struct http_slice transfer = http_header(r, "transfer-encoding");

	if (transfer.at && r->old)
		return refuse(c, 400, "bad_request",
			      "HTTP/1.0 has no Transfer-Encoding");
	if (transfer.at && !is(transfer, "chunked"))
		return refuse(c, 501, "not_implemented",
			      "Transfer-Encoding may only be chunked");
	if (expect.at && !is(expect, "100-continue"))
		return refuse(c, 417, "expectation_failed",
			      "Expect may only be 100-continue");
	if (r->declared_bytes > s->options.max_body_bytes)
		return too_large_body(c);
	if (s->counters.buffered_bytes + r->declared_bytes >
	    s->options.max_buffered_bytes)
		return http_parse_overloaded(c);
	return begin_decoder(c, http_header(r, "content-encoding"));
}

static int on_headers_complete(llhttp_t *p)
{
	struct http_conn *c = conn_of(p);
	struct http_request *r = c->current;
	struct http_server *s = c->server;
	bool has_body;

	p->upgrade = 0; /* a server may ignore Upgrade (RFC 9110 7.8) */
	r->old = p->http_major == 1 && p->http_minor == 0;
	r->method = p->method;
	r->head = p->method == HTTP_HEAD;
	r->chunked = (p->flags & F_CHUNKED) != 0;
	r->close = !llhttp_should_keep_alive(p);
	if (p->flags & F_CONTENT_LENGTH)
		r->declared_bytes = p->content_length;
	has_body = r->chunked || r->declared_bytes;
	if (check_head(c, p) != 0)
		return STOP;
	r->expects =
	    has_body && !r->old && is(http_header(r, "expect"), "100-continue");
	r->stage = HTTP_IN_BODY;
	if (s->events.headers)
		s->events.headers(s->events.arg, r);
	if (!r->answered && check_body(c) != 0)
		return STOP;
	if (c->mode != HTTP_OPEN)
		return STOP;
	if (r->expects && !r->answered) {
		r->continues = true;
		http_mark_dirty(c);
	}
	return 0;
}

static int decode_body(struct http_conn *c, const char *at, size_t bytes)
{
	struct http_server *s = c->server;
	struct http_request *r = c->current;
	size_t before = r->decoded.size;
	enum http_decoded result;
	struct err err;
	char text[ERR_TEXT_BYTES + 64];

	result = http_decoder_feed(r->decoder, at, bytes, &r->decoded, &err);
	s->counters.buffered_bytes += r->decoded.size - before;
	if (result == HTTP_DECODE_TOO_LARGE)
		return too_large_body(c);
	if (result == HTTP_DECODED)
		return s->counters.buffered_bytes >
			       s->options.max_buffered_bytes
			   ? http_parse_overloaded(c)
			   : 0;
	snprintf(text, sizeof(text),
		 "the body is not what its "
		 "Content-Encoding says: %s",
		 err.text);
	return refuse(c, 400, "bad_encoding", text);
}

static int on_body(llhttp_t *p, const char *at, size_t bytes)
{
	struct http_conn *c = conn_of(p);
	struct http_request *r = c->current;
	char *to;

	r->continues = false; /* it did not wait */
	if (!r->body)
		r->body = (size_t)(at - r->data);
	if (r->discard)
		return 0;
	r->body_bytes += bytes;
	if (r->body_bytes > c->server->options.max_body_bytes)
		return too_large_body(c);
	if (r->decoder)
		return decode_body(c, at, bytes);
	/* Chunks move together, over the sizes between them. */
	to = r->data + r->body + r->body_bytes - bytes;
	if (to != at)
		memmove(to, at, bytes);
	return 0;
}

static int on_message_complete(llhttp_t *p)
{
	struct http_conn *c = conn_of(p);
	struct http_request *r = c->current;

	if (r->decoder && r->body_bytes && !http_decoder_complete(r->decoder))
		return refuse(c, 400, "bad_encoding",
			      "the compressed body ends too early");
	r->stage = HTTP_COMPLETE;
	return HPE_PAUSED;
}

void http_parse_error(struct http_conn *c, llhttp_errno_t error)
{
	const char *at = llhttp_get_error_pos(&c->parser);
	const char *start =
	    c->current ? c->current->data : c->block->data + c->parsed;
	char text[256];

	c->server->counters.parse_errors++;
	/* llhttp says "invalid version" of a bare LF behind one, too. */
	if (error == HPE_PAUSED_H2_UPGRADE ||
	    (error == HPE_INVALID_VERSION &&
	     !strstr(llhttp_get_error_reason(&c->parser), "CRLF"))) {
		http_parse_refuse(c, 505, "http_version_not_supported",
				  "this server speaks HTTP/1.1 and HTTP/1.0");
		return;
	}
	snprintf(text, sizeof(text), "malformed request at byte %zu: %s (%s)",
		 at && at >= start ? (size_t)(at - start) : 0,
		 llhttp_get_error_reason(&c->parser), llhttp_errno_name(error));
	http_parse_refuse(c, 400, "bad_request", text);
}

const llhttp_settings_t http_parse_settings = {
    .on_message_begin = on_message_begin,
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};
