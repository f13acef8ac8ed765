#include "bus/socket.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bus/context.h"

/*
 * Lost with their peer, and memory only as far as their source has credit. With
 * two, every batch makes ZeroMQ tell the other side that there is room again.
 */
#define QUEUE_BATCHES	  8
#define QUEUE_STATES	  32 /* a full queue keeps the old, drops the new */
#define HEARTBEAT_MS	  1000
#define HEARTBEAT_DEAD_MS 3000
#define RECONNECT_MS	  50
#define RECONNECT_MOST_MS 1000
#define MONITORED_EVENTS \
	(ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED)
#define MONITOR_NAME_BYTES 64
/* A batch in one or two writes; the kernel caps it at net.core.wmem_max. */
#define SEND_BUFFER_BYTES 1048576

static int set_int(void *z, int option, int value)
{
	return zmq_setsockopt(z, option, &value, sizeof(value));
}

/* Every option of every socket of the bus, in one place. */
static int set_options(struct bus_socket *s, int type, int64_t max_bytes)
{
	bool states = type == ZMQ_SUB || type == ZMQ_XPUB;
	int queue = states ? QUEUE_STATES : QUEUE_BATCHES;
	int rc = set_int(s->z, ZMQ_LINGER, 0);

	rc |= set_int(s->z, ZMQ_IMMEDIATE, 1);
	rc |= set_int(s->z, ZMQ_SNDHWM, queue);
	rc |= set_int(s->z, ZMQ_RCVHWM, queue);
	if (type == ZMQ_PUSH)
		rc |= set_int(s->z, ZMQ_SNDBUF, SEND_BUFFER_BYTES);
	rc |= set_int(s->z, ZMQ_RECONNECT_IVL, RECONNECT_MS);
	rc |= set_int(s->z, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MOST_MS);
	rc |=
	    zmq_setsockopt(s->z, ZMQ_MAXMSGSIZE, &max_bytes, sizeof(max_bytes));
	if (strncmp(s->endpoint, "tcp:", 4) == 0) {
		rc |= set_int(s->z, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS);
		rc |= set_int(s->z, ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_DEAD_MS);
		rc |= set_int(s->z, ZMQ_HEARTBEAT_TTL, HEARTBEAT_DEAD_MS);
	}
	if (type == ZMQ_SUB)
		rc |= zmq_setsockopt(s->z, ZMQ_SUBSCRIBE, "", 0);
	/* Each new subscriber shows up as a message, so it is told at once. */
	if (type == ZMQ_XPUB)
		rc |= set_int(s->z, ZMQ_XPUB_VERBOSE, 1);
	return rc;
}

static void fired(void *arg, uint32_t events)
{
	struct bus_socket *s = arg;

	(void)events;
	s->fired = true;
}

static int watch_fd(struct bus_socket *s, void *z, struct loop_io *io,
		    struct err *err)
{
	size_t bytes = sizeof(io->fd);

	io->arg = s;
	if (zmq_getsockopt(z, ZMQ_FD, &io->fd, &bytes) != 0)
		return err_set(err, zmq_errno(), "no descriptor for %s: %s",
			       s->endpoint, zmq_strerror(zmq_errno()));
	return loop_io_add(s->bus->loop, io, EPOLLIN, err);
}

static int make(struct bus_socket *s, struct bus *bus, int type,
		int64_t max_bytes, struct err *err)
{
	s->bus = bus;
	s->z = zmq_socket(bus->zmq, type);
	if (!s->z)
		return err_set(err, zmq_errno(), "no socket for %s: %s",
			       s->endpoint, zmq_strerror(zmq_errno()));
	s->next = bus->sockets;
	bus->sockets = s;
	s->io.fn = fired;
	s->io.fd = s->monitor_io.fd = -1;
	s->fired = s->readable = s->writable = true;
	if (set_options(s, type, max_bytes) != 0)
		return err_set(err, zmq_errno(), "cannot set up %s: %s",
			       s->endpoint, zmq_strerror(zmq_errno()));
	return watch_fd(s, s->z, &s->io, err);
}

static int start(struct bus_socket *s, const char *endpoint, struct err *err)
{
	memset(s, 0, sizeof(*s));
	if (strlen(endpoint) >= sizeof(s->endpoint))
		return err_set(err, ENAMETOOLONG,
			       "endpoint is longer than %zu bytes: %s",
			       sizeof(s->endpoint) - 1, endpoint);
	memcpy(s->endpoint, endpoint, strlen(endpoint) + 1);
	return 0;
}

int bus_socket_bind(struct bus_socket *s, struct bus *bus, int type,
		    const char *endpoint, int64_t max_bytes, struct err *err)
{
	if (start(s, endpoint, err) != 0)
		return -1;
	if (make(s, bus, type, max_bytes, err) != 0)
		goto failed;
	if (zmq_bind(s->z, endpoint) == 0)
		return 0;
	err_set(err, zmq_errno(), "cannot bind %s: %s", endpoint,
		zmq_strerror(zmq_errno()));
failed:
	bus_socket_close(s);
	return -1;
}

static int connect_to(struct bus_socket *s, struct err *err)
{
	if (zmq_connect(s->z, s->endpoint) == 0)
		return 0;
	return err_set(err, zmq_errno(), "cannot connect to %s: %s",
		       s->endpoint, zmq_strerror(zmq_errno()));
}

int bus_socket_connect(struct bus_socket *s, struct bus *bus, int type,
		       const char *endpoint, int64_t max_bytes, struct err *err)
{
	if (start(s, endpoint, err) != 0)
		return -1;
	if (make(s, bus, type, max_bytes, err) == 0 && connect_to(s, err) == 0)
		return 0;
	bus_socket_close(s);
	return -1;
}

/*
 * ZeroMQ reports a lost connection from its own thread, maybe before our side
 * of the socket knows that the queue to it is gone: what is sent in between is
 * lost too. Asking for ZMQ_EVENTS makes our side take all that it was told, so
 * a drop that is counted behind that call covers every send before it.
 */
static void note(struct bus_socket *s, uint16_t event)
{
	bus_socket_look(s);
	s->fired = true; /* one more turn for those who watch `up` */
	if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
		s->up = true;
		if (s->ups++)
			s->drops++;
	} else if (event == ZMQ_EVENT_DISCONNECTED) {
		s->up = false;
		s->drops++;
	}
}

static void monitor_fired(void *arg, uint32_t events)
{
	struct bus_socket *s = arg;
	zmq_msg_t msg;
	uint16_t event;

	(void)events;
	zmq_msg_init(&msg);
	while (zmq_msg_recv(&msg, s->monitor, ZMQ_DONTWAIT) >= 0) {
		if (!zmq_msg_more(&msg))
			continue; /* the second frame: an address */
		memcpy(&event, zmq_msg_data(&msg), sizeof(event));
		note(s, event);
	}
	zmq_msg_close(&msg);
}

static int monitor(struct bus_socket *s, struct err *err)
{
	char name[MONITOR_NAME_BYTES];

	snprintf(name, sizeof(name), "inproc://monitor-%" PRIu64,
		 ++s->bus->monitors);
	if (zmq_socket_monitor(s->z, name, MONITORED_EVENTS) != 0)
		goto failed;
	s->monitor = zmq_socket(s->bus->zmq, ZMQ_PAIR);
	if (!s->monitor || set_int(s->monitor, ZMQ_LINGER, 0) != 0 ||
	    zmq_connect(s->monitor, name) != 0)
		goto failed;
	s->monitor_io.fn = monitor_fired;
	if (watch_fd(s, s->monitor, &s->monitor_io, err) != 0)
		return -1;
	/* A queue tells of news only after it was once found empty. */
	monitor_fired(s, EPOLLIN);
	return 0;
failed:
	return err_set(err, zmq_errno(), "cannot watch %s: %s", s->endpoint,
		       zmq_strerror(zmq_errno()));
}

int bus_socket_connect_watched(struct bus_socket *s, struct bus *bus, int type,
			       const char *endpoint, int64_t max_bytes,
			       struct err *err)
{
	if (start(s, endpoint, err) != 0)
		return -1;
	if (make(s, bus, type, max_bytes, err) == 0 && monitor(s, err) == 0 &&
	    connect_to(s, err) == 0)
		return 0;
	bus_socket_close(s);
	return -1;
}

static void unlist(struct bus_socket *s)
{
	for (struct bus_socket **at = &s->bus->sockets; *at; at = &(*at)->next)
		if (*at == s) {
			*at = s->next;
			return;
		}
}

void bus_socket_close(struct bus_socket *s)
{
	if (!s->z)
		return;
	unlist(s);
	if (s->monitor_io.fd >= 0)
		loop_io_del(s->bus->loop, &s->monitor_io);
	if (s->monitor) {
		zmq_socket_monitor(s->z, NULL, 0);
		zmq_close(s->monitor);
	}
	if (s->io.fd >= 0)
		loop_io_del(s->bus->loop, &s->io);
	zmq_close(s->z);
	s->z = s->monitor = NULL;
	s->fired = s->readable = s->writable = s->up = false;
}

void bus_socket_look(struct bus_socket *s)
{
	int events = 0;
	size_t bytes = sizeof(events);

	s->fired = false;
	if (zmq_getsockopt(s->z, ZMQ_EVENTS, &events, &bytes) != 0)
		events = 0;
	s->readable = events & ZMQ_POLLIN;
	s->writable = events & ZMQ_POLLOUT;
}

int bus_socket_send(struct bus_socket *s, zmq_msg_t *msg, int flags)
{
	if (zmq_msg_send(msg, s->z, flags | ZMQ_DONTWAIT) >= 0)
		return 0;
	/* It looks only now and then: what it refuses may be possible. */
	bus_socket_look(s);
	if (!s->writable || zmq_msg_send(msg, s->z, flags | ZMQ_DONTWAIT) < 0)
		return -1;
	return 0;
}

int bus_socket_recv(struct bus_socket *s, zmq_msg_t *msg)
{
	if (zmq_msg_recv(msg, s->z, ZMQ_DONTWAIT) >= 0)
		return 0;
	/* Before it says no it looks, so the descriptor tells what is new. */
	s->readable = s->fired = false;
	return -1;
}
