/* The insides of struct bus, for bus.c and socket.c. */
#ifndef WEFT_BUS_CONTEXT_H
#define WEFT_BUS_CONTEXT_H

#include "base/loop.h"
#include "bus/socket.h"

struct bus {
	struct loop *loop;
	void *zmq;
	struct loop_hook hook;
	struct bus_part *parts;
	struct bus_socket *sockets;
	uint64_t monitors; /* made so far: each needs a name of its own */
};

#endif
