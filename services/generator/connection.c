/* One keep-alive connection: its request, its socket, and trying again. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "services/generator/sender_inside.h"

#define FIRST_RETRY_US	 50000
#define LONGEST_RETRY_US 2000000

/* ---- the request ---- */

static void build(struct connection *c, uint32_t events)
{
	const struct sender_plan *plan = &c->sender->plan;
	bool single = plan->batch == 1;

	buf_clear(&c->body);
	if (!single)
		buf_char(&c->body, '[');
	for (uint32_t i = 0; i < events; i++) {
		if (i)
			buf_append(&c->body, ",\n", 2);
		c->faults[i] =
		    events_next(c->sender->events, &c->body, c->ids[i]);
	}
	if (!single)
		buf_char(&c->body, ']');
	c->events = events;
	c->sender->generated += events;
	buf_clear(&c->head);
	buf_printf(&c->head,
		   "POST %s HTTP/1.1\r\nHost: %s:%s\r\n"
		   "Content-Type: application/json\r\n"
		   "Content-Length: %zu\r\n",
		   single ? "/events" : "/events/batch", plan->host, plan->port,
		   c->body.used);
	if (plan->api_key)
		buf_printf(&c->head, "X-API-Key: %s\r\n", plan->api_key);
	buf_text(&c->head, "\r\n");
}

static void disconnect(struct connection *c)
{
	if (c->io.fd < 0)
		return;
	loop_io_del(c->sender->loop, &c->io);
	close(c->io.fd);
	c->io.fd = -1;
	c->phase = IDLE;
	buf_clear(&c->in);
}

/* The same body goes again later: same events, same ids. */
static void retry_later(struct connection *c, int64_t asked_us)
{
	c->sender->result.retries++;
	c->phase = WAITING;
	c->retry_at_mono_us =
	    clock_mono_us() + backoff_next_us(&c->backoff, asked_us);
	if (c->io.fd >= 0)
		loop_io_set(c->sender->loop, &c->io, 0);
}

static void on_answer(struct connection *c, const struct answer *answer)
{
	struct sender *s = c->sender;

	if (answer->status == 429 || answer->status == 503) {
		s->answered_at_mono_us = clock_mono_us();
		if (answer->close)
			disconnect(c);
		retry_later(c, (int64_t)answer->retry_after_s * 1000000);
		return;
	}
	sender_note_answer(s, c, answer);
	c->events = 0;
	backoff_reset(&c->backoff);
	if (answer->close)
		disconnect(c);
	else
		c->phase = IDLE;
}

/* ---- the socket ---- */

static void lost(struct connection *c)
{
	disconnect(c);
	if (c->events)
		retry_later(c, 0);
}

static void send_some(struct connection *c)
{
	size_t head = c->head.used, total = head + c->body.used;

	while (c->sent_bytes < total) {
		size_t of_head =
		    c->sent_bytes < head ? head - c->sent_bytes : 0;
		size_t of_body = of_head ? 0 : c->sent_bytes - head;
		struct iovec parts[2] = {
		    {c->head.data + (head - of_head), of_head},
		    {c->body.data + of_body, c->body.used - of_body},
		};
		struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
		ssize_t n = sendmsg(c->io.fd, &message, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			loop_io_set(c->sender->loop, &c->io,
				    EPOLLIN | EPOLLOUT);
			return;
		}
		if (n < 0) {
			lost(c);
			return;
		}
		c->sent_bytes += (size_t)n;
	}
	loop_io_set(c->sender->loop, &c->io, EPOLLIN);
	c->phase = READING;
}

static void read_some(struct connection *c)
{
	struct answer answer;
	ssize_t n;
	int rc;

	buf_reserve(&c->in, READ_BYTES);
	n = recv(c->io.fd, c->in.data + c->in.used, READ_BYTES, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		lost(c);
		return;
	}
	c->in.used += (size_t)n;
	if (!c->events)
		return;
	rc = answer_parse(&c->in, &answer);
	if (rc < 0) {
		lost(c);
		return;
	}
	if (rc > 0) {
		on_answer(c, &answer);
		buf_clear(&c->in);
	}
}

static void on_io(void *arg, uint32_t events)
{
	struct connection *c = arg;

	if (c->phase == CONNECTING) {
		int error = 0;
		socklen_t bytes = sizeof(error);

		getsockopt(c->io.fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
		if (error || events & EPOLLHUP) {
			lost(c);
			return;
		}
		c->phase = SENDING;
	}
	if (c->phase == SENDING && events & EPOLLOUT)
		send_some(c);
	if (c->io.fd >= 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		read_some(c);
	connection_pump(c);
}

static int connect_now(struct connection *c)
{
	struct sender *s = c->sender;
	struct err err;
	int one = 1;

	c->io.fd = socket(s->address.ss_family,
			  SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->io.fd < 0)
		return -1;
	setsockopt(c->io.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if ((connect(c->io.fd, (struct sockaddr *)&s->address,
		     s->address_bytes) != 0 &&
	     errno != EINPROGRESS) ||
	    loop_io_add(s->loop, &c->io, EPOLLIN | EPOLLOUT, &err) != 0) {
		close(c->io.fd);
		c->io.fd = -1;
		return -1;
	}
	return 0;
}

void connection_pump(struct connection *c)
{
	struct sender *s = c->sender;

	if (c->phase == WAITING) {
		if (clock_mono_us() < c->retry_at_mono_us)
			return;
		c->phase = IDLE;
	}
	if (c->phase != IDLE || s->done)
		return;
	if (!c->events) {
		uint32_t size = sender_next_size(s);

		if (!size) {
			sender_maybe_finish(s);
			return;
		}
		build(c, size);
	}
	c->sent_bytes = 0;
	c->sent_at_mono_us = clock_mono_us();
	if (c->io.fd < 0) {
		c->phase = CONNECTING;
		if (connect_now(c) != 0)
			retry_later(c, 0);
		return;
	}
	c->phase = SENDING;
	send_some(c);
}

/* ---- life ---- */

void connection_init(struct connection *c, struct sender *s)
{
	c->sender = s;
	c->io = (struct loop_io){.fd = -1, .fn = on_io, .arg = c};
	c->backoff = (struct backoff){.first_us = FIRST_RETRY_US,
				      .max_us = LONGEST_RETRY_US};
	c->faults = xcalloc(s->plan.batch, sizeof(*c->faults));
	c->ids = xcalloc(s->plan.batch, sizeof(*c->ids));
}

void connection_release(struct connection *c)
{
	disconnect(c);
	buf_free(&c->head);
	buf_free(&c->body);
	buf_free(&c->in);
	free(c->faults);
	free(c->ids);
}
