/* Answers on their way out: in order, as many as are ready in one call. */
#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "http/server_impl.h"

static const char continue_text[] = "HTTP/1.1 100 Continue\r\n\r\n";

/* Gathers what may leave now; the interim answer goes last. */
static int gather(struct http_conn *c, struct iovec *iov)
{
	struct http_request *r = c->first;
	int n = 0;

	for (; r && r->answered; r = r->next) {
		if (r->sent < r->out.used)
			iov[n++] = (struct iovec){r->out.data + r->sent,
						  r->out.used - r->sent};
	}
	if (r && r->continues && !r->out.used)
		buf_text(&r->out, continue_text);
	if (r && r->sent < r->out.used)
		iov[n++] = (struct iovec){r->out.data + r->sent,
					  r->out.used - r->sent};
	return n;
}

static ssize_t transmit(struct http_conn *c, struct iovec *iov, int n)
{
	enum http_tls_state state = HTTP_TLS_DONE;
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)n};
	ssize_t total = 0;

	if (!c->ssl && n == 1)
		return send(c->io.fd, iov->iov_base, iov->iov_len,
			    MSG_NOSIGNAL);
	if (!c->ssl)
		return sendmsg(c->io.fd, &message, MSG_NOSIGNAL);
	for (int i = 0; i < n; i++) {
		ssize_t sent = http_tls_write(c->ssl, iov[i].iov_base,
					      iov[i].iov_len, &state);

		if (sent < 0)
			return total ? total : -1;
		total += sent;
		if ((size_t)sent < iov[i].iov_len)
			break;
	}
	return total;
}

/* Takes what was sent off the oldest requests. */
static void take_sent(struct http_conn *c, size_t bytes)
{
	struct http_request *r = c->first;

	while (r) {
		size_t left = r->out.used - r->sent;
		size_t taken = bytes < left ? bytes : left;

		r->sent += taken;
		bytes -= taken;
		if (r->sent < r->out.used || !r->answered ||
		    (r == c->current && c->mode == HTTP_OPEN))
			break;
		c->first = r->next;
		if (!c->first)
			c->last = NULL;
		c->outstanding--;
		r->conn = NULL;
		http_request_give(r);
		r = c->first;
	}
}

bool http_conn_write(struct http_conn *c)
{
	struct iovec iov[HTTP_MAX_PIPELINED + 2];
	int n = gather(c, iov);
	ssize_t sent;

	if (!n) {
		take_sent(c, 0);
		return true;
	}
	sent = transmit(c, iov, n);
	if (sent < 0 && errno != EAGAIN && errno != EINTR) {
		http_conn_kill(c);
		return false;
	}
	if (sent > 0) {
		c->server->counters.bytes_out += (uint64_t)sent;
		take_sent(c, (size_t)sent);
		c->wait_serial = 0; /* progress: the time limit begins anew */
	}
	c->blocked = gather(c, iov) > 0;
	return !c->blocked;
}
