/* One connection: bytes in, requests out, answers back in their order. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/server_impl.h"

#define TLS_READS 16

static bool is_dead(const struct http_conn *c)
{
	return c->io.fd < 0;
}

/* ---- what it waits for ---- */

static bool may_read(const struct http_conn *c)
{
	if (c->eof)
		return false;
	if (c->mode == HTTP_OPEN)
		return c->current || c->outstanding < HTTP_MAX_PIPELINED;
	return c->mode != HTTP_CLOSING;
}

static enum http_wait waits_for(const struct http_conn *c)
{
	if (c->mode == HTTP_LINGERING)
		return HTTP_WAIT_LINGER;
	if (c->mode == HTTP_HANDSHAKE)
		return HTTP_WAIT_HEADERS;
	if (c->blocked)
		return HTTP_WAIT_WRITE;
	if (c->mode == HTTP_OPEN && c->current)
		return c->current->stage == HTTP_IN_BODY ? HTTP_WAIT_BODY
							 : HTTP_WAIT_HEADERS;
	return c->outstanding ? HTTP_WAIT_OWNER : HTTP_WAIT_IDLE;
}

static void watch(struct http_conn *c)
{
	uint32_t wanted = 0;

	if (may_read(c))
		wanted |= EPOLLIN;
	if (c->blocked || c->ssl_wants_write)
		wanted |= EPOLLOUT;
	if (wanted != c->watched) {
		loop_io_set(c->server->loop, &c->io, wanted);
		c->watched = wanted;
	}
}

/* ---- the end ---- */

static void let_go(struct http_conn *c, struct http_request *r)
{
	struct http_server *s = c->server;

	r->conn = NULL;
	if (!r->seen || r->answered) {
		http_request_give(r);
		return;
	}
	r->previous = NULL;
	r->next = s->orphans;
	if (r->next)
		r->next->previous = r;
	s->orphans = r;
	if (s->events.gone)
		s->events.gone(s->events.arg, r);
}

void http_conn_kill(struct http_conn *c)
{
	struct http_server *s = c->server;

	loop_io_del(s->loop, &c->io);
	http_tls_end(&c->ssl);
	close(c->io.fd);
	c->io.fd = -1;
	http_wait_leave(c);
	while (c->first) {
		struct http_request *r = c->first;

		c->first = r->next;
		let_go(c, r);
	}
	http_block_drop(&s->blocks, &c->block);
	http_conn_give(c);
}

/* All is answered: waits for the client to have read it. */
static void linger(struct http_conn *c)
{
	if (c->eof || c->mode == HTTP_LINGERING) {
		http_conn_kill(c);
		return;
	}
	http_block_drop(&c->server->blocks, &c->block);
	http_tls_end(&c->ssl);
	shutdown(c->io.fd, SHUT_WR);
	c->mode = HTTP_LINGERING;
}

/* ---- requests ---- */

struct http_request *http_conn_begin(struct http_conn *c)
{
	struct http_request *r = http_request_take(c->server);

	r->conn = c;
	r->data = c->block ? c->block->data + c->parsed : NULL;
	if (c->last)
		c->last->next = r;
	else
		c->first = r;
	c->last = r;
	c->current = r;
	c->outstanding++;
	c->serial++;
	return r;
}

/* The request being read is whole. */
static void complete(struct http_conn *c)
{
	struct http_request *r = c->current;
	struct http_server *s = c->server;
	size_t bytes = (size_t)(c->block->data + c->parsed - r->data);

	c->current = NULL;
	c->usual_bytes = bytes > c->usual_bytes
			     ? bytes
			     : c->usual_bytes - c->usual_bytes / 64;
	s->counters.requests++;
	if (r->close)
		c->mode = HTTP_CLOSING;
	if (r->discard) {
		http_mark_dirty(c);
		return;
	}
	r->block = c->block;
	r->block->references++;
	r->seen = true;
	s->events.request(s->events.arg, r);
}

/* Bytes of the request being read that nobody needs any more. */
static void forget_parsed(struct http_conn *c)
{
	struct http_request *r = c->current;
	size_t keep;

	if (!r) {
		http_block_drop(&c->server->blocks, &c->block);
		c->parsed = 0;
		return;
	}
	if (r->stage != HTTP_IN_BODY || !r->body)
		return;
	keep = r->discard || r->decoder ? 0 : r->body_bytes;
	c->block->used = (size_t)(r->data - c->block->data) + r->body + keep;
	c->parsed = c->block->used;
}

static void parse(struct http_conn *c)
{
	while (c->mode == HTTP_OPEN && c->block && c->parsed < c->block->used &&
	       (c->current || c->outstanding < HTTP_MAX_PIPELINED)) {
		char *at = c->block->data + c->parsed;
		llhttp_errno_t error =
		    llhttp_execute(&c->parser, at, c->block->used - c->parsed);

		if (c->mode != HTTP_OPEN)
			return;
		if (error == HPE_OK) {
			c->parsed = c->block->used;
		} else if (error == HPE_PAUSED) {
			c->parsed = (size_t)(llhttp_get_error_pos(&c->parser) -
					     c->block->data);
			llhttp_resume(&c->parser);
			complete(c);
		} else {
			http_parse_error(c, error);
			return;
		}
	}
	if (c->mode == HTTP_OPEN && c->block && c->parsed == c->block->used)
		forget_parsed(c);
}

/* After the client's last byte: what is not whole now will never be. */
static void check_end(struct http_conn *c)
{
	char text[128];

	if (!c->eof || c->mode != HTTP_OPEN ||
	    (c->block && c->parsed < c->block->used))
		return;
	if (!c->current) {
		c->mode = HTTP_CLOSING;
		return;
	}
	snprintf(text, sizeof(text),
		 "the connection ended within the %s of a request",
		 c->current->stage == HTTP_IN_BODY ? "body" : "head");
	http_parse_refuse(c, 400, "incomplete_request", text);
}

static void check_header_size(struct http_conn *c)
{
	struct http_request *r = c->current;

	if (c->mode != HTTP_OPEN || !r || r->stage != HTTP_IN_HEADERS)
		return;
	if ((size_t)(c->block->data + c->parsed - r->data) >
	    c->server->options.max_header_bytes)
		http_parse_refuse(c, 431, "header_too_large",
				  "request line and headers are too large");
}

static void settle(struct http_conn *c)
{
	check_header_size(c);
	check_end(c);
	if (c->mode == HTTP_CLOSING && !c->first) {
		linger(c);
		if (is_dead(c))
			return;
	}
	http_wait_set(c, waits_for(c));
	watch(c);
}

/* ---- reading ---- */

static ssize_t receive(struct http_conn *c, void *to, size_t bytes)
{
	enum http_tls_state state = HTTP_TLS_DONE;
	ssize_t n;

	if (!c->ssl)
		return recv(c->io.fd, to, bytes, 0);
	n = http_tls_read(c->ssl, to, bytes, &state);
	c->ssl_wants_write = n < 0 && state == HTTP_TLS_WANT_WRITE;
	return n;
}

/* Reads once. False when there was nothing more, or the connection is dead. */
static bool read_once(struct http_conn *c)
{
	struct http_server *s = c->server;
	ssize_t n;

	if (http_conn_make_room(c) != 0) {
		http_parse_overloaded(c);
		return false;
	}
	n = receive(c, c->block->data + c->block->used,
		    c->block->size - c->block->used);
	if (n < 0) {
		if (!c->current && c->parsed == c->block->used)
			http_block_drop(&s->blocks, &c->block);
		if (errno != EAGAIN && errno != EINTR)
			http_conn_kill(c);
		return false;
	}
	if (n == 0) {
		c->eof = true;
		return false;
	}
	c->block->used += (size_t)n;
	s->counters.bytes_in += (uint64_t)n;
	parse(c);
	return true;
}

static void read_some(struct http_conn *c)
{
	/* OpenSSL may hold bytes for which the socket will not wake us. */
	int reads = c->ssl ? TLS_READS : 1;

	c->ssl_unread = false;
	while (c->mode == HTTP_OPEN && may_read(c) && read_once(c))
		if (!--reads)
			break;
	if (is_dead(c))
		return;
	settle(c);
	if (!c->ssl || is_dead(c))
		return;
	c->ssl_unread = !reads || !may_read(c);
	if (c->ssl_unread && may_read(c))
		http_mark_later(c);
}

/* The rest that a client sends while it could already read the answer. */
static void read_away(struct http_conn *c)
{
	char away[16384];
	ssize_t n = recv(c->io.fd, away, sizeof(away), 0);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		http_conn_kill(c);
}

/* ---- events ---- */

void http_conn_flush(struct http_conn *c)
{
	if (!http_conn_write(c) && is_dead(c))
		return;
	if (c->mode == HTTP_OPEN && !c->blocked)
		parse(c); /* what waited for room among the pipelined */
	if (c->ssl_unread && c->mode == HTTP_OPEN && may_read(c))
		read_some(c);
	else
		settle(c);
}

static void shake_hands(struct http_conn *c)
{
	struct http_server *s = c->server;

	c->ssl_wants_write = false;
	switch (http_tls_handshake(c->ssl)) {
	case HTTP_TLS_DONE:
		c->mode = HTTP_OPEN;
		break;
	case HTTP_TLS_WANT_READ:
		break;
	case HTTP_TLS_WANT_WRITE:
		c->ssl_wants_write = true;
		break;
	case HTTP_TLS_PLAIN:
		s->counters.tls_failures++;
		http_tls_end(&c->ssl);
		c->mode = HTTP_OPEN;
		http_parse_refuse(c, 400, "tls_required",
				  "this port speaks HTTPS: use https://");
		break;
	case HTTP_TLS_FAILED:
		s->counters.tls_failures++;
		http_conn_kill(c);
		return;
	}
	settle(c);
}

static void on_event(void *arg, uint32_t events)
{
	struct http_conn *c = arg;

	if ((events & EPOLLERR) ||
	    ((events & EPOLLHUP) && !(events & EPOLLIN))) {
		http_conn_kill(c);
		return;
	}
	if (c->mode == HTTP_LINGERING) {
		read_away(c);
		return;
	}
	if (c->mode == HTTP_HANDSHAKE)
		shake_hands(c);
	if (!is_dead(c) && (events & EPOLLOUT) && c->blocked)
		http_conn_flush(c);
	if (!is_dead(c) && c->mode == HTTP_OPEN &&
	    ((events & EPOLLIN) || c->ssl_wants_write))
		read_some(c);
}

void http_conn_start(struct http_conn *c)
{
	c->io.fn = on_event;
	c->io.arg = c;
	llhttp_init(&c->parser, HTTP_REQUEST, &http_parse_settings);
	c->parser.data = c;
	c->mode = c->ssl ? HTTP_HANDSHAKE : HTTP_OPEN;
	c->watched = EPOLLIN;
	http_wait_set(c, waits_for(c));
}

void http_conn_expire(struct http_conn *c)
{
	c->server->counters.timeouts += c->wait != HTTP_WAIT_IDLE;
	if (c->wait == HTTP_WAIT_HEADERS && c->mode == HTTP_OPEN)
		http_parse_refuse(c, 408, "request_timeout",
				  "the headers did not arrive in time");
	else if (c->wait == HTTP_WAIT_BODY)
		http_parse_refuse(c, 408, "request_timeout",
				  "the body did not arrive in time");
	else if (c->wait == HTTP_WAIT_IDLE && c->mode == HTTP_OPEN)
		c->mode = HTTP_CLOSING;
	else {
		http_conn_kill(c);
		return;
	}
	settle(c);
}
