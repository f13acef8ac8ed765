/*
 * One ZeroMQ socket on our loop, inside bus/ only. ZeroMQ's descriptor says
 * "look at me", not "readable", and any call on the socket may swallow that
 * sign. So each socket remembers whether it must be looked at again: after its
 * descriptor fired, and after every send or receive. The bus does not let the
 * loop sleep while one must.
 */
#ifndef WEFT_BUS_SOCKET_H
#define WEFT_BUS_SOCKET_H

#include <stdbool.h>
#include <stdint.h>
#include <zmq.h>

#include "base/err.h"
#include "base/loop.h"

struct bus;

#define SOCKET_ENDPOINT_BYTES 256

/* Embedded in its owner, which must not move while it is open. */
struct bus_socket {
	struct bus *bus;
	void *z; /* NULL while closed */
	struct loop_io io;
	bool check; /* `events` may be out of date */
	int events; /* ZMQ_POLLIN | ZMQ_POLLOUT as last seen */
	void *monitor;
	struct loop_io monitor_io;
	bool up;	/* monitored: shook hands, not disconnected since */
	uint64_t ups;	/* times that it came up */
	uint64_t drops; /* times that what was queued may be lost */
	char endpoint[SOCKET_ENDPOINT_BYTES];
	struct bus_socket *next;
};

/* What a part of the bus does at every turn of the loop; embedded. */
struct bus_part {
	void (*turn)(void *arg);
	void *arg;
	struct bus_part *next;
};

void bus_part_add(struct bus *bus, struct bus_part *part);
void bus_part_del(struct bus *bus, struct bus_part *part);
struct loop *bus_loop(const struct bus *bus);

/*
 * Opens a socket of a ZMQ_ type and binds it or connects it. A message of more
 * than `max_bytes` a frame closes its connection. -1 with *err: nothing is
 * left open.
 */
int bus_socket_bind(struct bus_socket *s, struct bus *bus, int type,
		    const char *endpoint, int64_t max_bytes,
		    struct err *err) MUST_CHECK;
int bus_socket_connect(struct bus_socket *s, struct bus *bus, int type,
		       const char *endpoint, int64_t max_bytes,
		       struct err *err) MUST_CHECK;

/*
 * As bus_socket_connect, and watches the connection: `up` says whether there
 * is one, and `drops` moves after each loss, and once more when the next
 * connection is the one that sends go to.
 */
int bus_socket_connect_watched(struct bus_socket *s, struct bus *bus, int type,
			       const char *endpoint, int64_t max_bytes,
			       struct err *err) MUST_CHECK;

/* Closes at once; what was queued is dropped. A closed one is left alone. */
void bus_socket_close(struct bus_socket *s);

/* ZMQ_POLLIN and ZMQ_POLLOUT as they are now. */
int bus_socket_events(struct bus_socket *s);

#endif
