/* Listening, time limits, and the life of connections. */
#include "http/server.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "http/server_impl.h"

#define ACCEPTS_A_TURN 64
#define BACKLOG	       4096
#define REOPEN_US      100000

/* ---- time limits: a list for each, oldest first ---- */

void http_wait_leave(struct http_conn *c)
{
	struct http_waits *w = &c->server->waits[c->wait];

	if (!c->wait_mono_us)
		return;
	if (c->sooner)
		c->sooner->later = c->later;
	else
		w->first = c->later;
	if (c->later)
		c->later->sooner = c->sooner;
	else
		w->last = c->sooner;
	c->sooner = c->later = NULL;
	c->wait_mono_us = 0;
}

void http_wait_set(struct http_conn *c, enum http_wait wait)
{
	struct http_server *s = c->server;
	struct http_waits *w = &s->waits[wait];
	int64_t at_us;

	if (c->wait_mono_us && wait == c->wait && c->wait_serial == c->serial)
		return;
	http_wait_leave(c);
	c->wait = wait;
	c->wait_serial = c->serial;
	c->wait_mono_us = loop_now_mono_us(s->loop);
	c->sooner = w->last;
	if (w->last)
		w->last->later = c;
	else
		w->first = c;
	w->last = c;
	at_us = c->wait_mono_us + w->limit_us;
	if (w->limit_us &&
	    (!s->deadline.at_mono_us || at_us < s->deadline.at_mono_us))
		loop_timer_set(s->loop, &s->deadline, at_us);
}

static void on_deadline(void *arg)
{
	struct http_server *s = arg;
	int64_t now_us = loop_now_mono_us(s->loop), next_us = 0;

	for (int i = 0; i < HTTP_WAITS; i++) {
		struct http_waits *w = &s->waits[i];

		if (!w->limit_us)
			continue;
		while (w->first &&
		       w->first->wait_mono_us + w->limit_us <= now_us)
			http_conn_expire(w->first);
	}
	for (int i = 0; i < HTTP_WAITS; i++) {
		const struct http_waits *w = &s->waits[i];
		int64_t at_us;

		if (!w->limit_us || !w->first)
			continue;
		at_us = w->first->wait_mono_us + w->limit_us;
		if (!next_us || at_us < next_us)
			next_us = at_us;
	}
	if (next_us)
		loop_timer_set(s->loop, &s->deadline, next_us);
}

/* ---- answers leave at the end of the turn ---- */

void http_mark_dirty(struct http_conn *c)
{
	struct http_server *s = c->server;

	if (c->dirty)
		return;
	c->dirty = true;
	c->next_dirty = s->dirty;
	s->dirty = c;
	if (!s->flush.at_mono_us)
		loop_timer_set(s->loop, &s->flush, 1);
}

void http_mark_later(struct http_conn *c)
{
	struct http_server *s = c->server;

	if (!s->flush.at_mono_us)
		loop_timer_set(s->loop, &s->flush,
			       loop_now_mono_us(s->loop) + 1);
	http_mark_dirty(c);
}

static void on_flush(void *arg)
{
	struct http_server *s = arg;
	struct http_conn *now = s->dirty;

	s->dirty = NULL;
	while (now) {
		struct http_conn *c = now;

		now = c->next_dirty;
		c->dirty = false;
		http_conn_flush(c);
	}
}

/* ---- connections ---- */

struct http_conn *http_conn_take(struct http_server *s)
{
	struct http_conn *c = s->free_conns;

	if (c) {
		s->free_conns = c->next_free;
		memset(c, 0, sizeof(*c));
	} else {
		c = xcalloc(1, sizeof(*c));
	}
	c->server = s;
	c->io.fd = -1;
	s->counters.open_connections++;
	return c;
}

void http_conn_give(struct http_conn *c)
{
	struct http_server *s = c->server;

	if (c->dirty) {
		struct http_conn **at = &s->dirty;

		while (*at != c)
			at = &(*at)->next_dirty;
		*at = c->next_dirty;
		c->dirty = false;
	}
	s->counters.open_connections--;
	/*
	 * Its memory stays until the server closes: callers up the stack may
	 * still ask whether it is dead.
	 */
	c->next_free = s->free_conns;
	s->free_conns = c;
}

static void refuse_connection(struct http_server *s, int fd)
{
	static const char answer[] =
	    "HTTP/1.1 503 Service Unavailable\r\n"
	    "Content-Type: application/json\r\n"
	    "Content-Length: 86\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
	    "{\"error\":{\"code\":\"too_many_connections\","
	    "\"message\":\"all are in use; try again later\"}}\n";
	char away[4096];

	s->counters.refused_connections++;
	if (!s->tls && send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL) > 0) {
		shutdown(fd, SHUT_WR);
		/* Unread bytes at close would reset the answer away. */
		while (recv(fd, away, sizeof(away), 0) == sizeof(away))
			;
	}
	close(fd);
}

static void add_connection(struct http_server *s, int fd)
{
	struct http_conn *c;
	struct err err;
	int one = 1;

	s->counters.connections++;
	if (s->counters.open_connections >= s->options.max_connections) {
		refuse_connection(s, fd);
		return;
	}
	c = http_conn_take(s);
	if (!s->unix_path)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->io.fd = fd;
	if (s->tls)
		c->ssl = http_tls_session(s->tls, fd);
	http_conn_start(c);
	if ((s->tls && !c->ssl) ||
	    loop_io_add(s->loop, &c->io, EPOLLIN, &err) != 0)
		http_conn_kill(c);
}

static void on_reopen(void *arg)
{
	struct http_server *s = arg;

	if (s->listening)
		loop_io_set(s->loop, &s->listener, EPOLLIN);
}

static void on_accept(void *arg, uint32_t events)
{
	struct http_server *s = arg;
	char quoted[LOG_QUOTE_BYTES];

	(void)events;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		int fd = accept4(s->listener.fd, NULL, NULL,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			add_connection(s, fd);
			continue;
		}
		if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS &&
		    errno != ENOMEM)
			return;
		/* The waiting client would wake us again at once. */
		log_warn("http_accept_paused", "pause_ms=%d error=%s",
			 REOPEN_US / 1000, log_quote(quoted, strerror(errno)));
		loop_io_set(s->loop, &s->listener, 0);
		loop_timer_set(s->loop, &s->reopen,
			       loop_now_mono_us(s->loop) + REOPEN_US);
		return;
	}
}

/* ---- open and close ---- */

static int listen_unix(struct http_server *s, const char *path, struct err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat st;
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(err, EINVAL,
			       "listen = unix:%s is longer than the %zu bytes "
			       "of a socket's path",
			       path, sizeof(address.sun_path) - 1);
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(err, errno, "cannot make a socket");
	s->listener.fd = fd;
	/* One that nobody answers is left over from a crash. */
	if (stat(path, &st) == 0 && S_ISSOCK(st.st_mode) &&
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0 &&
	    errno == ECONNREFUSED)
		unlink(path);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(fd, BACKLOG) != 0)
		return err_errno(err, errno, "cannot listen on unix:%s", path);
	s->unix_path = xstrdup(path);
	return 0;
}

static int listen_tcp(struct http_server *s, const struct addrinfo *address,
		      struct err *err)
{
	int one = 1;
	int fd = socket(address->ai_family,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_errno(err, errno, "cannot make a socket");
	s->listener.fd = fd;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, address->ai_addr, address->ai_addrlen) != 0 ||
	    listen(fd, BACKLOG) != 0)
		return err_errno(err, errno, "cannot listen on %s",
				 s->options.listen);
	return 0;
}

static int listen_on(struct http_server *s, const char *text, struct err *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				 .ai_flags = AI_PASSIVE};
	struct addrinfo *found = NULL;
	const char *colon = strrchr(text, ':');
	size_t bytes = colon ? (size_t)(colon - text) : 0;
	char host[256];
	int rc;

	if (strncmp(text, "unix:", 5) == 0)
		return listen_unix(s, text + 5, err);
	if (!colon || bytes >= sizeof(host))
		return err_set(err, EINVAL,
			       "listen = \"%s\" is not address:port, "
			       "[v6 address]:port or unix:/path",
			       text);
	if (bytes >= 2 && *text == '[' && text[bytes - 1] == ']') {
		text++;
		bytes -= 2;
	}
	memcpy(host, text, bytes);
	host[bytes] = '\0';
	rc = getaddrinfo(*host ? host : NULL, colon + 1, &hints, &found);
	if (rc != 0)
		return err_set(err, EINVAL, "cannot listen on %s: %s",
			       s->options.listen, gai_strerror(rc));
	rc = listen_tcp(s, found, err);
	freeaddrinfo(found);
	return rc;
}

static uint16_t bound_port(int fd)
{
	struct sockaddr_storage address = {0};
	socklen_t bytes = sizeof(address);

	getsockname(fd, (struct sockaddr *)&address, &bytes);
	if (address.ss_family == AF_INET)
		return ntohs(((struct sockaddr_in *)&address)->sin_port);
	if (address.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
	return 0;
}

static void set_limits(struct http_server *s)
{
	const struct http_options *o = &s->options;

	s->waits[HTTP_WAIT_IDLE].limit_us = o->idle_timeout_us;
	s->waits[HTTP_WAIT_HEADERS].limit_us = o->header_timeout_us;
	s->waits[HTTP_WAIT_BODY].limit_us = o->body_timeout_us;
	s->waits[HTTP_WAIT_WRITE].limit_us = o->body_timeout_us;
	s->waits[HTTP_WAIT_LINGER].limit_us = HTTP_LINGER_US;
	s->deadline.fn = on_deadline;
	s->deadline.arg = s;
	s->flush.fn = on_flush;
	s->flush.arg = s;
	s->reopen.fn = on_reopen;
	s->reopen.arg = s;
	s->blocks.buffered_bytes = &s->counters.buffered_bytes;
}

static int open_all(struct http_server *s, struct err *err)
{
	struct http_options *o = &s->options;
	int flags;

	if (o->tls_certificate &&
	    http_tls_open(&s->tls, o->tls_certificate, o->tls_key, err) != 0)
		return -1;
	if (o->listen_fd >= 0) {
		s->listener.fd = o->listen_fd;
		flags = fcntl(o->listen_fd, F_GETFL);
		if (flags < 0 ||
		    fcntl(o->listen_fd, F_SETFL, flags | O_NONBLOCK) != 0)
			return err_errno(err, errno,
					 "the inherited socket %d is unusable",
					 o->listen_fd);
	} else if (listen_on(s, o->listen, err) != 0) {
		return -1;
	}
	s->port = bound_port(s->listener.fd);
	s->listener.fn = on_accept;
	s->listener.arg = s;
	if (loop_io_add(s->loop, &s->listener, EPOLLIN, err) != 0)
		return -1;
	s->listening = true;
	return 0;
}

int http_server_open(struct http_server **out, struct loop *loop,
		     const struct http_options *options,
		     const struct http_events *events, struct err *err)
{
	struct http_server *s = xcalloc(1, sizeof(*s));

	s->loop = loop;
	s->options = *options;
	s->options.listen = xstrdup(options->listen ? options->listen : "");
	s->options.server_name =
	    options->server_name ? xstrdup(options->server_name) : NULL;
	s->events = *events;
	s->listener.fd = -1;
	set_limits(s);
	if (open_all(s, err) != 0) {
		http_server_close(&s);
		return -1;
	}
	*out = s;
	return 0;
}

static void stop_listening(struct http_server *s)
{
	if (s->listening)
		loop_io_del(s->loop, &s->listener);
	s->listening = false;
	if (s->listener.fd >= 0)
		close(s->listener.fd);
	s->listener.fd = -1;
	if (s->unix_path)
		unlink(s->unix_path);
}

static void kill_all(struct http_server *s, enum http_wait wait)
{
	while (s->waits[wait].first)
		http_conn_kill(s->waits[wait].first);
}

void http_server_drain(struct http_server *s)
{
	s->draining = true;
	stop_listening(s);
	kill_all(s, HTTP_WAIT_IDLE);
}

bool http_server_idle(const struct http_server *s)
{
	return s->counters.open_connections == 0;
}

void http_server_close(struct http_server **at)
{
	struct http_server *s = *at;

	*at = NULL;
	if (!s)
		return;
	for (int i = 0; i < HTTP_WAITS; i++)
		kill_all(s, (enum http_wait)i);
	stop_listening(s);
	while (s->orphans)
		http_request_give(s->orphans);
	for (struct http_request *r; (r = s->free_requests);) {
		s->free_requests = r->next;
		buf_free(&r->out);
		buf_free(&r->extra);
		free(r);
	}
	for (struct http_conn *c; (c = s->free_conns);) {
		s->free_conns = c->next_free;
		free(c);
	}
	for (int i = 0; i < HTTP_CODING_UNKNOWN; i++)
		http_decoder_free(&s->decoders[i]);
	http_blocks_free(&s->blocks);
	loop_timer_cancel(s->loop, &s->deadline);
	loop_timer_cancel(s->loop, &s->flush);
	loop_timer_cancel(s->loop, &s->reopen);
	http_tls_close(&s->tls);
	free(s->unix_path);
	free((char *)(uintptr_t)s->options.listen);
	free((char *)(uintptr_t)s->options.server_name);
	free(s);
}

int http_server_reload_tls(struct http_server *s, struct err *err)
{
	return s->tls ? http_tls_reload(s->tls, err) : 0;
}

uint16_t http_server_port(const struct http_server *s)
{
	return s->port;
}

const struct http_counters *http_server_counters(const struct http_server *s)
{
	return &s->counters;
}
