/* The listening socket, and who comes in through it. */
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

static void refuse_connection(struct http_server *s, int fd)
{
	static const char answer[] =
	    "HTTP/1.1 503 Service Unavailable\r\n"
	    "Content-Type: application/json\r\n"
	    "Content-Length: 146\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
	    "{\"success\":false,\"error\":{\"code\":"
	    "\"too_many_connections\",\"message\":"
	    "\"all are in use; try again later\"},"
	    "\"message\":\"all are in use; try again later\"}\n";
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
	memcpy(address.sun_path, path, strlen(path) + 1);
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

/* Takes over an inherited socket, which blocks perhaps. */
static int inherit(struct http_server *s, struct err *err)
{
	int fd = s->options.listen_fd;
	int flags = fcntl(fd, F_GETFL);

	s->listener.fd = fd;
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
		return err_errno(err, errno,
				 "the inherited socket %d is unusable", fd);
	return 0;
}

int http_listen(struct http_server *s, struct err *err)
{
	int rc = s->options.listen_fd >= 0
		     ? inherit(s, err)
		     : listen_on(s, s->options.listen, err);

	if (rc != 0)
		return -1;
	s->port = bound_port(s->listener.fd);
	s->reopen.fn = on_reopen;
	s->reopen.arg = s;
	s->listener.fn = on_accept;
	s->listener.arg = s;
	if (loop_io_add(s->loop, &s->listener, EPOLLIN, err) != 0)
		return -1;
	s->listening = true;
	return 0;
}

void http_listen_stop(struct http_server *s)
{
	if (s->listening)
		loop_io_del(s->loop, &s->listener);
	s->listening = false;
	if (s->listener.fd >= 0)
		close(s->listener.fd);
	s->listener.fd = -1;
	if (s->unix_path)
		unlink(s->unix_path);
	free(s->unix_path);
	s->unix_path = NULL;
}
