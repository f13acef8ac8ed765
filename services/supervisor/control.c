/* The control socket: one line of JSON in, one out; proto/control.md. */
#include "proto/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "services/supervisor/requests.h"
#include "services/supervisor/supervisor.h"
#include "services/supervisor/unix_socket.h"

struct client {
	struct control *control;
	struct loop_io io;
	char in[CONTROL_MAX_REQUEST_BYTES];
	size_t used;
	struct buf out;
	size_t sent;
	struct request request;
	int64_t deadline_mono_us; /* 0 while it waits for us */
	bool gone;
	bool last; /* nothing more is read from it */
	struct client *next;
};

struct control {
	struct supervisor *supervisor;
	char *path;
	struct loop_io io;
	struct client *clients;
	unsigned count;
};

static void drop_gone(struct control *c)
{
	struct client **at = &c->clients;

	while (*at) {
		struct client *one = *at;

		if (!one->gone) {
			at = &one->next;
			continue;
		}
		*at = one->next;
		loop_io_del(c->supervisor->loop, &one->io);
		close(one->io.fd);
		buf_free(&one->out);
		free(one);
		c->count--;
	}
}

/* Sends what it takes; the rest waits for EPOLLOUT, but not for long. */
static void flush(struct client *one)
{
	while (one->sent < one->out.used) {
		ssize_t n = send(one->io.fd, one->out.data + one->sent,
				 one->out.used - one->sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0) {
			one->sent += (size_t)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			loop_io_set(one->control->supervisor->loop, &one->io,
				    EPOLLOUT);
			return;
		}
		one->gone = true;
		return;
	}
	buf_clear(&one->out);
	one->sent = 0;
	one->gone |= one->last;
	loop_io_set(one->control->supervisor->loop, &one->io, EPOLLIN);
}

static void begin_answer(struct client *one)
{
	one->deadline_mono_us = clock_mono_us() + CONTROL_ANSWER_TIMEOUT_US;
	flush(one);
	if (!one->out.used && !one->gone)
		one->deadline_mono_us =
		    one->request.wait == WAIT_END
			? 0
			: clock_mono_us() + CONTROL_REQUEST_TIMEOUT_US;
}

/* Carries out the lines that are in, one after the other. */
static void take_lines(struct client *one)
{
	struct supervisor *s = one->control->supervisor;

	while (!one->gone && !one->out.used &&
	       one->request.wait == WAIT_NOTHING) {
		char *end = memchr(one->in, '\n', one->used);
		size_t line;

		if (!end)
			break;
		line = (size_t)(end - one->in);
		request_begin(s, one->in, line, &one->request, &one->out);
		one->used -= line + 1;
		memmove(one->in, end + 1, one->used);
		one->deadline_mono_us = 0;
		if (one->out.used)
			begin_answer(one);
	}
	if (one->used < sizeof(one->in) || one->gone)
		return;
	request_refuse(&one->out, "bad_request",
		       "a request has at most %d bytes and ends in a line feed",
		       CONTROL_MAX_REQUEST_BYTES - 1);
	one->last = true;
	begin_answer(one);
}

static void client_ready(void *arg, uint32_t events)
{
	struct client *one = arg;
	ssize_t n;

	if (events & EPOLLOUT) {
		flush(one);
		take_lines(one);
		return;
	}
	if (one->used == sizeof(one->in)) {
		one->gone = true;
		return;
	}
	n = recv(one->io.fd, one->in + one->used, sizeof(one->in) - one->used,
		 MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		one->gone = true;
		return;
	}
	one->used += (size_t)n;
	take_lines(one);
}

static bool is_allowed(int fd, struct buf *answer)
{
	struct ucred who;
	socklen_t bytes = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &bytes) == 0 &&
	    (who.uid == geteuid() || who.uid == 0))
		return true;
	request_refuse(answer, "not_allowed",
		       "only root and the user that runs weftd may do that");
	return false;
}

static void refuse(int fd, struct buf *answer)
{
	(void)!send(fd, answer->data, answer->used,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
	log_warn("control_refused", "answer=%.*s", (int)answer->used - 1,
		 answer->data);
}

static void add_client(struct control *c, int fd)
{
	struct client *one;
	struct buf answer = {0};
	struct err err;

	if (c->count >= CONTROL_MAX_CLIENTS)
		request_refuse(&answer, "busy",
			       "%d clients are connected already",
			       CONTROL_MAX_CLIENTS);
	if (c->count >= CONTROL_MAX_CLIENTS || !is_allowed(fd, &answer)) {
		refuse(fd, &answer);
		goto out;
	}
	one = xcalloc(1, sizeof(*one));
	one->control = c;
	one->io = (struct loop_io){.fd = fd, .fn = client_ready, .arg = one};
	one->deadline_mono_us = clock_mono_us() + CONTROL_REQUEST_TIMEOUT_US;
	if (loop_io_add(c->supervisor->loop, &one->io, EPOLLIN, &err) != 0) {
		close(fd);
		free(one);
		goto out;
	}
	one->next = c->clients;
	c->clients = one;
	c->count++;
out:
	buf_free(&answer);
}

static void acceptable(void *arg, uint32_t events)
{
	struct control *c = arg;
	int fd = accept4(c->io.fd, NULL, NULL, SOCK_CLOEXEC);

	(void)events;
	if (fd >= 0)
		add_client(c, fd);
}

static int listen_at(const char *path, struct err *err)
{
	int fd = unix_socket_bind(path, SOCK_STREAM, err);

	if (fd >= 0 && listen(fd, SOMAXCONN) != 0) {
		err_errno(err, errno, "cannot listen on %s", path);
		close(fd);
		return -1;
	}
	return fd;
}

int control_open(struct supervisor *s, struct err *err)
{
	struct control *c = xcalloc(1, sizeof(*c));

	s->control = c;
	c->supervisor = s;
	c->path = xasprintf("%s/%s", s->run_dir, CONTROL_SOCKET);
	c->io = (struct loop_io){.fn = acceptable, .arg = c};
	c->io.fd = listen_at(c->path, err);
	return c->io.fd < 0 ? -1 : loop_io_add(s->loop, &c->io, EPOLLIN, err);
}

int64_t control_settle(struct supervisor *s, int64_t now)
{
	int64_t next = 0;

	if (!s->control)
		return 0;
	for (struct client *one = s->control->clients; one; one = one->next) {
		struct request *r = &one->request;
		int64_t at;

		if (!one->gone && r->wait != WAIT_NOTHING && !one->out.used &&
		    request_poll(s, r, now, &one->out)) {
			r->wait = WAIT_NOTHING;
			begin_answer(one);
			take_lines(one);
		}
		at = one->deadline_mono_us;
		if (at && at <= now)
			one->gone = true;
		if (!at && r->wait != WAIT_NOTHING && r->wait != WAIT_END)
			at = r->until_mono_us;
		if (at && !one->gone && (!next || at < next))
			next = at;
	}
	drop_gone(s->control);
	return next;
}

void control_close(struct supervisor *s)
{
	struct control *c = s->control;

	if (!c)
		return;
	for (struct client *one = c->clients; one; one = one->next)
		one->gone = true;
	drop_gone(c);
	if (c->io.fd >= 0) {
		loop_io_del(s->loop, &c->io);
		close(c->io.fd);
		unlink(c->path);
	}
	free(c->path);
	free(c);
	s->control = NULL;
}
