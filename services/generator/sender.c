#include "services/generator/sender.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "services/generator/answer.h"

#define READ_BYTES	 (64u << 10)
#define FIRST_RETRY_US	 50000
#define LONGEST_RETRY_US 2000000
#define TURN_US		 20000

enum phase { IDLE, CONNECTING, SENDING, READING, WAITING };

/* One keep-alive connection and the request it carries. */
struct connection {
	struct sender *sender;
	struct loop_io io; /* fd -1 when closed */
	enum phase phase;
	struct buf head, body, in;
	size_t sent_bytes;
	enum event_fault *faults;
	char (*ids)[UUID_TEXT_BYTES];
	uint32_t events; /* in the body; 0 = no request */
	int64_t sent_at_mono_us;
	int64_t retry_at_mono_us;
	int64_t retry_us;
};

struct sender {
	struct loop *loop;
	struct sender_plan plan;
	struct sockaddr_storage address;
	socklen_t address_bytes;
	struct events *events;
	struct connection *connections;
	struct loop_timer timer;
	uint64_t generated;
	double allowance; /* events that the rate allows now */
	int64_t allowance_at_mono_us;
	int64_t answered_at_mono_us;
	bool stopping;
	bool done;
	int ledger_fd;
	struct buf ledger;
	uint64_t latency_size;
	struct sender_result result;
	void (*on_done)(void *arg, const struct err *err);
	void *arg;
};

static void pump(struct connection *c);

/* ---- the rate ---- */

static bool finished(const struct sender *s)
{
	return s->stopping ||
	       (s->plan.count && s->generated >= s->plan.count) ||
	       (s->plan.duration_us &&
		loop_now_mono_us(s->loop) - s->result.started_mono_us >=
		    s->plan.duration_us);
}

/* How many events the next request may have; 0 = not yet, or no more. */
static uint32_t next_size(struct sender *s)
{
	uint64_t size = s->plan.batch;
	int64_t now = clock_mono_us();

	if (finished(s))
		return 0;
	if (s->plan.count && size > s->plan.count - s->generated)
		size = s->plan.count - s->generated;
	if (s->plan.rate <= 0)
		return (uint32_t)size;
	s->allowance +=
	    (double)(now - s->allowance_at_mono_us) * s->plan.rate / 1e6;
	s->allowance_at_mono_us = now;
	if (s->allowance > (double)(s->plan.burst + size))
		s->allowance = (double)(s->plan.burst + size);
	if (s->allowance < (double)size)
		return 0;
	s->allowance -= (double)size;
	return (uint32_t)size;
}

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

static void keep_latency(struct sender *s, int64_t us)
{
	struct sender_result *r = &s->result;

	if (r->latency_count == s->latency_size) {
		s->latency_size = s->latency_size ? 2 * s->latency_size : 4096;
		r->latencies_us = xreallocarray(
		    r->latencies_us, s->latency_size, sizeof(uint32_t));
	}
	r->latencies_us[r->latency_count++] =
	    us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

static void note_accepted(struct connection *c)
{
	struct sender *s = c->sender;

	for (uint32_t i = 0; i < c->events; i++) {
		s->result.rejected[c->faults[i]] += c->faults[i] != FAULT_NONE;
		s->result.accepted += c->faults[i] == FAULT_NONE;
		if (s->ledger_fd >= 0 && c->faults[i] == FAULT_NONE) {
			buf_text(&s->ledger, c->ids[i]);
			buf_char(&s->ledger, '\n');
		}
	}
}

static void flush_ledger(struct sender *s)
{
	size_t at = 0;

	while (s->ledger_fd >= 0 && at < s->ledger.used) {
		ssize_t n = write(s->ledger_fd, s->ledger.data + at,
				  s->ledger.used - at);

		if (n < 0)
			break;
		at += (size_t)n;
	}
	buf_clear(&s->ledger);
}

static void finish(struct sender *s, const struct err *err)
{
	if (s->done)
		return;
	s->done = true;
	s->result.ended_mono_us = clock_mono_us();
	flush_ledger(s);
	loop_timer_cancel(s->loop, &s->timer);
	s->on_done(s->arg, err);
}

static void maybe_finish(struct sender *s)
{
	if (!finished(s))
		return;
	for (uint32_t i = 0; i < s->plan.connections; i++)
		if (s->connections[i].events)
			return;
	finish(s, NULL);
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
static void retry_later(struct connection *c, int64_t wait_us)
{
	c->sender->result.retries++;
	if (!wait_us) {
		c->retry_us = c->retry_us ? 2 * c->retry_us : FIRST_RETRY_US;
		if (c->retry_us > LONGEST_RETRY_US)
			c->retry_us = LONGEST_RETRY_US;
		wait_us = c->retry_us;
	}
	c->phase = WAITING;
	c->retry_at_mono_us = clock_mono_us() + wait_us;
	if (c->io.fd >= 0)
		loop_io_set(c->sender->loop, &c->io, 0);
}

static void on_answer(struct connection *c, const struct answer *answer)
{
	struct sender *s = c->sender;
	int64_t now = clock_mono_us();
	uint32_t mismatches;

	s->answered_at_mono_us = now;
	if (answer->status == 429 || answer->status == 503) {
		if (answer->close)
			disconnect(c);
		retry_later(c, (int64_t)answer->retry_after_s * 1000000);
		return;
	}
	keep_latency(s, now - c->sent_at_mono_us);
	s->result.requests++;
	s->result.sent += c->events;
	mismatches = answer_mismatches(answer, c->faults, c->events);
	s->result.mismatches += mismatches;
	if (!mismatches)
		note_accepted(c);
	if (s->ledger.used >= READ_BYTES)
		flush_ledger(s);
	c->events = 0;
	c->retry_us = 0;
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
	pump(c);
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

/* Moves a connection on: the next request, or the same again when it is due. */
static void pump(struct connection *c)
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
		uint32_t size = next_size(s);

		if (!size) {
			maybe_finish(s);
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

static void on_timer(void *arg)
{
	struct sender *s = arg;
	int64_t now = clock_mono_us();
	bool waiting = false;

	for (uint32_t i = 0; i < s->plan.connections && !s->done; i++) {
		pump(&s->connections[i]);
		waiting |= s->connections[i].events != 0;
	}
	if (s->done)
		return;
	if (!waiting)
		s->answered_at_mono_us = now;
	if (now - s->answered_at_mono_us > s->plan.give_up_us) {
		struct err err;

		err_set(&err, ETIMEDOUT,
			"no answer from %s:%s for %" PRId64 " s; is the "
			"collector running there?",
			s->plan.host, s->plan.port,
			s->plan.give_up_us / 1000000);
		finish(s, &err);
		return;
	}
	loop_timer_set(s->loop, &s->timer, now + TURN_US);
}

/* ---- life ---- */

static int resolve(struct sender *s, struct err *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *found;
	int rc = getaddrinfo(s->plan.host, s->plan.port, &hints, &found);

	if (rc != 0)
		return err_set(err, EINVAL, "cannot resolve %s:%s: %s",
			       s->plan.host, s->plan.port, gai_strerror(rc));
	memcpy(&s->address, found->ai_addr, found->ai_addrlen);
	s->address_bytes = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

static void open_connections(struct sender *s)
{
	uint32_t batch = s->plan.batch;

	s->connections = xcalloc(s->plan.connections, sizeof(*s->connections));
	for (uint32_t i = 0; i < s->plan.connections; i++) {
		struct connection *c = &s->connections[i];

		c->sender = s;
		c->io = (struct loop_io){.fd = -1, .fn = on_io, .arg = c};
		c->faults = xcalloc(batch, sizeof(*c->faults));
		c->ids = xcalloc(batch, sizeof(*c->ids));
	}
}

int sender_start(struct sender **sender, struct loop *loop,
		 const struct sender_plan *plan,
		 void (*done)(void *arg, const struct err *err), void *arg,
		 struct err *err)
{
	struct sender *s = xcalloc(1, sizeof(*s));

	s->loop = loop;
	s->plan = *plan;
	s->on_done = done;
	s->arg = arg;
	s->ledger_fd = -1;
	open_connections(s);
	if (resolve(s, err) != 0)
		goto fail;
	if (plan->ledger) {
		s->ledger_fd =
		    open(plan->ledger,
			 O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		if (s->ledger_fd < 0) {
			err_errno(err, errno, "cannot open the ledger %s",
				  plan->ledger);
			goto fail;
		}
	}
	s->events = events_new(plan->seed, plan->start_us, plan->bad_share);
	s->result.started_mono_us = clock_mono_us();
	s->allowance_at_mono_us = s->result.started_mono_us;
	s->answered_at_mono_us = s->result.started_mono_us;
	s->timer = (struct loop_timer){.fn = on_timer, .arg = s};
	loop_timer_set(loop, &s->timer, 1);
	*sender = s;
	return 0;
fail:
	sender_free(&s);
	return -1;
}

void sender_stop(struct sender *s)
{
	s->stopping = true;
	maybe_finish(s);
}

const struct sender_result *sender_result(const struct sender *s)
{
	return &s->result;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

uint32_t sender_latency(struct sender *s, double p)
{
	struct sender_result *r = &s->result;
	uint64_t at;

	if (!r->latency_count)
		return 0;
	qsort(r->latencies_us, r->latency_count, sizeof(uint32_t), by_value);
	at = (uint64_t)(p * (double)r->latency_count);
	return r
	    ->latencies_us[at < r->latency_count ? at : r->latency_count - 1];
}

void sender_free(struct sender **sender)
{
	struct sender *s = *sender;

	if (!s)
		return;
	loop_timer_cancel(s->loop, &s->timer);
	for (uint32_t i = 0; s->connections && i < s->plan.connections; i++) {
		struct connection *c = &s->connections[i];

		disconnect(c);
		buf_free(&c->head);
		buf_free(&c->body);
		buf_free(&c->in);
		free(c->faults);
		free(c->ids);
	}
	if (s->ledger_fd >= 0)
		close(s->ledger_fd);
	buf_free(&s->ledger);
	events_free(&s->events);
	free(s->connections);
	free(s->result.latencies_us);
	free(s);
	*sender = NULL;
}
