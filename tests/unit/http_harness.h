/*
 * An HTTP server and its clients in one thread: the loop turns while a client
 * waits for what it expects. Shared by the tests of the server.
 */
#ifndef WEFT_TESTS_HTTP_HARNESS_H
#define WEFT_TESTS_HTTP_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/loop.h"
#include "http/server.h"

#define PATIENCE_US INT64_C(20000000)
#define MAX_HELD    64

/* What the owner does with a request. */
enum deed { ECHO, HOLD, REFUSE_EARLY };

struct world {
	struct loop *loop;
	struct http_server *server;
	enum deed deed;
	struct http_request *held[MAX_HELD];
	int held_count;
	int requests;
	int gone;
	char last_path[256];
	char last_header[256]; /* of X-Test */
	struct buf body;
};

static inline struct http_options default_options(void)
{
	return (struct http_options){
	    .listen = "127.0.0.1:0",
	    .listen_fd = -1,
	    .max_connections = 64,
	    .max_header_bytes = 4096,
	    .max_body_bytes = 100000,
	    .max_buffered_bytes = 1000000,
	    .header_timeout_us = 10000000,
	    .body_timeout_us = 10000000,
	    .idle_timeout_us = 10000000,
	    .server_name = "weft",
	};
}

static inline void copy_slice(char *to, size_t size, struct http_slice s)
{
	size_t n = s.bytes < size - 1 ? s.bytes : size - 1;

	if (n)
		memcpy(to, s.at, n);
	to[n] = '\0';
}

static inline void world_headers(void *arg, struct http_request *r)
{
	struct world *w = arg;

	if (w->deed == REFUSE_EARLY)
		http_respond_error(r, 401, "no_key", "no key was given");
}

static inline void world_request(void *arg, struct http_request *r)
{
	struct world *w = arg;
	struct http_slice body = http_body(r);

	w->requests++;
	copy_slice(w->last_path, sizeof(w->last_path), http_path(r));
	copy_slice(w->last_header, sizeof(w->last_header),
		   http_header(r, "x-test"));
	buf_clear(&w->body);
	buf_append(&w->body, body.at, body.bytes);
	if (w->deed == HOLD) {
		assert_true(w->held_count < MAX_HELD);
		w->held[w->held_count++] = r;
		return;
	}
	http_respond(r, 200, "text/plain", body.at, body.bytes);
}

static inline void world_gone(void *arg, struct http_request *r)
{
	struct world *w = arg;

	(void)r;
	w->gone++;
}

static inline void world_open(struct world *w,
			      const struct http_options *options)
{
	struct http_events events = {
	    .headers = world_headers,
	    .request = world_request,
	    .gone = world_gone,
	    .arg = w,
	};
	struct err err;

	memset(w, 0, sizeof(*w));
	w->loop = loop_new();
	if (http_server_open(&w->server, w->loop, options, &events, &err) != 0)
		fail_msg("%s", err.text);
}

static inline void world_close(struct world *w)
{
	http_server_close(&w->server);
	loop_free(&w->loop);
	buf_free(&w->body);
}

static inline void world_turn(struct world *w)
{
	loop_turn(w->loop, 1000);
}

#define WAIT_FOR(w, condition)                                            \
	do {                                                              \
		int64_t until_us = clock_mono_us() + PATIENCE_US;         \
		while (!(condition)) {                                    \
			if (clock_mono_us() > until_us)                   \
				fail_msg("never came true: " #condition); \
			world_turn(w);                                    \
		}                                                         \
	} while (0)

/* ---- clients ---- */

struct client {
	int fd;
	struct buf in;
	bool closed; /* the server closed its side */
	bool reset;
};

static inline void client_open(struct world *w, struct client *c)
{
	struct sockaddr_in address = {
	    .sin_family = AF_INET,
	    .sin_port = htons(http_server_port(w->server)),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};

	memset(c, 0, sizeof(*c));
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(c->fd >= 0);
	assert_int_equal(
	    connect(c->fd, (struct sockaddr *)&address, sizeof(address)), 0);
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
}

static inline void client_close(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	buf_free(&c->in);
}

/* Sends all of it, while the server reads. */
static inline void client_send(struct world *w, struct client *c,
			       const void *data, size_t bytes)
{
	const char *at = data;

	while (bytes) {
		ssize_t n = send(c->fd, at, bytes, MSG_NOSIGNAL);

		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return;
		assert_true(n > 0 || errno == EAGAIN);
		if (n > 0) {
			at += n;
			bytes -= (size_t)n;
		}
		world_turn(w);
	}
}

static inline void client_say(struct world *w, struct client *c,
			      const char *text)
{
	client_send(w, c, text, strlen(text));
}

static inline void client_read(struct client *c)
{
	ssize_t n;

	for (;;) {
		buf_reserve(&c->in, 65536);
		n = recv(c->fd, c->in.data + c->in.used, 65535, 0);
		if (n <= 0)
			break;
		c->in.used += (size_t)n;
	}
	c->closed |= n == 0;
	c->reset |= n < 0 && errno == ECONNRESET;
	c->in.data[c->in.used] = '\0';
}

/* Bytes of the first answer in c->in, 0 while it is not whole. */
static inline size_t answer_bytes(struct client *c, bool head)
{
	const char *end, *length;

	client_read(c);
	end = strstr(c->in.data, "\r\n\r\n");
	if (!end)
		return 0;
	end += 4;
	length = strstr(c->in.data, "Content-Length: ");
	if (length && length < end && !head)
		end += atoi(length + 16);
	return (size_t)(end - c->in.data) <= c->in.used
		   ? (size_t)(end - c->in.data)
		   : 0;
}

/* The next whole answer, owned by the caller. */
static inline char *client_next(struct world *w, struct client *c)
{
	size_t bytes;
	char *text;

	WAIT_FOR(w,
		 (bytes = answer_bytes(c, false)) > 0 || c->closed || c->reset);
	if (!bytes)
		fail_msg("closed (reset %d) without an answer: '%s'", c->reset,
			 buf_str(&c->in));
	text = xmemdup0(c->in.data, bytes);
	memmove(c->in.data, c->in.data + bytes, c->in.used - bytes);
	c->in.used -= bytes;
	c->in.data[c->in.used] = '\0';
	return text;
}

/* The next answer has this status and, unless NULL, this text in it. */
static inline void client_expect(struct world *w, struct client *c, int status,
				 const char *text)
{
	char *answer = client_next(w, c);

	if (atoi(answer + 9) != status || (text && !strstr(answer, text)))
		fail_msg("expected %d with '%s', got: %s", status,
			 text ? text : "", answer);
	free(answer);
}

static inline void client_expect_end(struct world *w, struct client *c)
{
	WAIT_FOR(w, (client_read(c), c->closed || c->reset));
	assert_false(c->reset);
	assert_int_equal(c->in.used, 0);
}

/* A fresh client is served: the server is alive and well. */
static inline void expect_alive(struct world *w)
{
	enum deed deed = w->deed;
	struct client c;

	w->deed = ECHO;
	client_open(w, &c);
	client_say(w, &c,
		   "POST /alive HTTP/1.1\r\nHost: a\r\n"
		   "Content-Length: 5\r\n\r\nhello");
	client_expect(w, &c, 200, "\r\n\r\nhello");
	client_close(&c);
	w->deed = deed;
}

#endif
