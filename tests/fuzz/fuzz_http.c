/*
 * A connection's bytes, in pieces, through the HTTP server's parser, decoders
 * and answers; no sockets: recv() and send() are this program's own. The first
 * byte is the size of the pieces, 0 = all at once.
 */
#include "tests/fuzz/fuzz.h"

#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/loop.h"
#include "http/server_impl.h"

static struct fuzz_bytes input;
static size_t piece;
static bool answering;

ssize_t recv(int fd, void *to, size_t bytes, int flags)
{
	(void)fd;
	(void)flags;
	if (piece && bytes > piece)
		bytes = piece;
	if (bytes > input.left)
		bytes = input.left;
	memcpy(to, input.at, bytes);
	input.at += bytes;
	input.left -= bytes;
	return (ssize_t)bytes;
}

/* An answer begins with its status; it may come in several calls. */
static void look_at(const void *data, size_t bytes)
{
	if (!answering && bytes >= 9)
		FUZZ_CHECK(memcmp(data, "HTTP/1.1 ", 9) == 0);
	answering = true;
}

ssize_t send(int fd, const void *data, size_t bytes, int flags)
{
	(void)fd;
	(void)flags;
	look_at(data, bytes);
	return (ssize_t)bytes;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	size_t bytes = 0;

	(void)fd;
	(void)flags;
	for (size_t i = 0; i < message->msg_iovlen; i++) {
		look_at(message->msg_iov[i].iov_base,
			message->msg_iov[i].iov_len);
		bytes += message->msg_iov[i].iov_len;
	}
	return (ssize_t)bytes;
}

static volatile size_t sum;

static void touch(struct http_slice s)
{
	for (size_t i = 0; i < s.bytes; i++)
		sum += (unsigned char)s.at[i];
}

static bool on_header(void *arg, struct http_slice name,
		      struct http_slice value)
{
	(void)arg;
	touch(name);
	touch(value);
	return true;
}

static void on_request(void *arg, struct http_request *r)
{
	struct http_slice path = http_path(r);

	(void)arg;
	touch(http_method(r));
	touch(path);
	touch(http_body(r));
	FUZZ_CHECK(!memchr(path.at, '\0', path.bytes));
	for (size_t i = 0; i + 3 < path.bytes; i++)
		FUZZ_CHECK(memcmp(path.at + i, "/../", 4) != 0);
	touch(http_header(r, "Content-Type"));
	http_each_header(r, on_header, NULL);
	http_respond(r, 200, "text/plain", "ok\n", 3);
}

static struct http_server *server(struct loop **loop)
{
	static struct http_server *s;
	static struct loop *of;
	struct http_options options = {
	    .listen = "127.0.0.1:0",
	    .listen_fd = -1,
	    .max_connections = 10,
	    .max_header_bytes = 2048,
	    .max_body_bytes = 16384,
	    .max_buffered_bytes = 1 << 20,
	    .header_timeout_us = 10000000,
	    .body_timeout_us = 10000000,
	    .idle_timeout_us = 10000000,
	};
	struct http_events events = {.request = on_request};
	struct err err;

	if (!s) {
		of = loop_new();
		FUZZ_CHECK(http_server_open(&s, of, &options, &events, &err) ==
			   0);
	}
	*loop = of;
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct loop *loop;
	struct http_server *s = server(&loop);
	struct http_conn *c;
	struct err err;

	input = (struct fuzz_bytes){data, bytes};
	piece = fuzz_take(&input, 1);
	answering = false;
	c = http_conn_take(s);
	c->io.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	http_conn_start(c);
	FUZZ_CHECK(loop_io_add(loop, &c->io, EPOLLIN, &err) == 0);
	for (size_t turns = 0; s->counters.open_connections; turns++) {
		FUZZ_CHECK(turns < bytes + 100);
		c->io.fn(c->io.arg, EPOLLIN);
		loop_turn(loop, 0);
	}
	FUZZ_CHECK(!s->counters.buffered_bytes);
	if (getenv("VERBOSE"))
		fprintf(stderr, "%llu requests, %llu refused\n",
			(unsigned long long)s->counters.requests,
			(unsigned long long)s->counters.parse_errors);
	return 0;
}
