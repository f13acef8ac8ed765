/*
 * One ZeroMQ socket on our loop, inside bus/ only. ZeroMQ's descriptor says
 * "look at me", not "readable", and looking costs two system calls. So each
 * socket remembers whether it may have something, or may take something, and is
 * tried until it says no; its descriptor fires when that has changed.
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
	bool fired;    /* must be looked at before the loop may sleep */
	bool readable; /* a receive may succeed */
	bool writable; /* a send may succeed */
	void *monitor;
	struct loop_io monitor_io;
	bool up;	/* monitored: shook hands, not disconnected since */
	uint64_t ups;	/* times that it came up */
	uint64_t drops; /* times that what was queued may be lost */
	char endpoint[SOCKET_ENDPOINT_BYTES];
	struct bus_socket *next;
};

/* What a part of the bus does at every turn of the loop; true when it stopped
 * before it was done and wants another turn. Embedded. */
struct bus_part {
	bool (*turn)(void *arg);
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

/*
 * Sends *msg with ZMQ_DONTWAIT | flags and takes it, or returns -1 when the
 * peer takes nothing now; then *msg stays the caller's.
 */
int bus_socket_send(struct bus_socket *s, zmq_msg_t *msg, int flags) MUST_CHECK;

/* Receives one frame into *msg, or returns -1 when there is none. */
int bus_socket_recv(struct bus_socket *s, zmq_msg_t *msg) MUST_CHECK;

/* Takes what ZeroMQ's threads told this socket; sets readable and writable. */
void bus_socket_look(struct bus_socket *s);

#endif
