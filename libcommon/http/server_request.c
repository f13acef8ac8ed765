/* A request: its memory, and what its owner may ask of it. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "http/server_impl.h"

#define KEPT_REQUESTS	  1024
#define KEPT_ANSWER_BYTES 65536

struct http_request *http_request_take(struct http_server *s)
{
	struct http_request *r = s->free_requests;
	struct buf out, extra;

	if (r) {
		s->free_requests = r->next;
		s->free_request_count--;
	} else {
		r = xcalloc(1, sizeof(*r));
	}
	out = r->out;
	extra = r->extra;
	/* Fields are zeroed one by one as headers begin. */
	memset(r, 0, offsetof(struct http_request, headers));
	memset(&r->headers[0], 0, sizeof(r->headers[0]));
	r->out = out;
	r->extra = extra;
	r->server = s;
	return r;
}

static void give_decoder(struct http_server *s, struct http_decoder *d)
{
	enum http_coding coding = http_decoder_coding(d);

	if (s->decoders[coding])
		http_decoder_free(&d);
	else
		s->decoders[coding] = d;
}

static void leave_orphans(struct http_request *r)
{
	struct http_server *s = r->server;

	if (r->previous)
		r->previous->next = r->next;
	else if (s->orphans == r)
		s->orphans = r->next;
	else
		return;
	if (r->next)
		r->next->previous = r->previous;
}

void http_request_give(struct http_request *r)
{
	struct http_server *s = r->server;

	leave_orphans(r);
	http_block_drop(&s->blocks, &r->block);
	if (r->decoder)
		give_decoder(s, r->decoder);
	s->counters.buffered_bytes -= r->decoded.size;
	buf_free(&r->decoded);
	if (r->out.size > KEPT_ANSWER_BYTES)
		buf_free(&r->out);
	buf_clear(&r->out);
	buf_clear(&r->extra);
	if (s->free_request_count >= KEPT_REQUESTS) {
		buf_free(&r->out);
		buf_free(&r->extra);
		free(r);
		return;
	}
	r->next = s->free_requests;
	s->free_requests = r;
	s->free_request_count++;
}

struct http_slice http_method(const struct http_request *r)
{
	const char *name = llhttp_method_name((llhttp_method_t)r->method);

	return (struct http_slice){name, strlen(name)};
}

struct http_slice http_path(const struct http_request *r)
{
	return (struct http_slice){r->path_bytes ? r->data + r->path : "/",
				   r->path_bytes ? r->path_bytes : 1};
}

struct http_slice http_header(const struct http_request *r, const char *name)
{
	size_t bytes = strlen(name);

	/* Most that are asked for are not there. */
	if (!(r->name_lengths >> bytes % 64 & 1))
		return (struct http_slice){NULL, 0};
	for (int i = 0; i < r->header_count; i++) {
		const struct http_field *f = &r->headers[i];

		if (f->name_bytes == bytes &&
		    strncasecmp(r->data + f->name, name, bytes) == 0)
			return (struct http_slice){r->data + f->value,
						   f->value_bytes};
	}
	return (struct http_slice){NULL, 0};
}

void http_each_header(const struct http_request *r,
		      bool (*fn)(void *arg, struct http_slice name,
				 struct http_slice value),
		      void *arg)
{
	for (int i = 0; i < r->header_count; i++) {
		const struct http_field *f = &r->headers[i];

		if (!fn(arg,
			(struct http_slice){r->data + f->name, f->name_bytes},
			(struct http_slice){r->data + f->value,
					    f->value_bytes}))
			return;
	}
}

struct http_slice http_body(const struct http_request *r)
{
	if (r->decoder)
		return (struct http_slice){r->decoded.data, r->decoded.used};
	return (struct http_slice){r->data + r->body, r->body_bytes};
}

void http_set_context(struct http_request *r, void *context)
{
	r->context = context;
}

void *http_context(const struct http_request *r)
{
	return r->context;
}

const char *http_peer(const struct http_request *r)
{
	struct sockaddr_storage address;
	socklen_t bytes = sizeof(address);
	struct http_conn *c = r->conn;
	char text[INET6_ADDRSTRLEN] = "";

	if (!c)
		return "-";
	if (*c->peer)
		return c->peer;
	memset(&address, 0, sizeof(address));
	getpeername(c->io.fd, (struct sockaddr *)&address, &bytes);
	if (address.ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const void *)&address;

		inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
		snprintf(c->peer, sizeof(c->peer), "%s:%u", text,
			 ntohs(v4->sin_port));
	} else if (address.ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const void *)&address;

		inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text));
		snprintf(c->peer, sizeof(c->peer), "[%s]:%u", text,
			 ntohs(v6->sin6_port));
	} else {
		snprintf(c->peer, sizeof(c->peer), "unix");
	}
	return c->peer;
}
