#include <stdlib.h>

#include "base/alloc.h"
#include "bus/bus.h"
#include "bus/socket.h"
#include "bus/wire.h"
#include "proto/stats.h"

#define MESSAGES_A_TURN 64

struct bus_stats_out {
	struct bus_socket push;
};

struct bus_stats_in {
	struct bus *bus;
	struct bus_part part;
	struct bus_socket pull;
	void (*fn)(void *arg, const uint8_t *data, size_t bytes);
	void *arg;
};

int bus_stats_out_open(struct bus_stats_out **out, struct bus *bus,
		       const char *endpoint, struct err *err)
{
	struct bus_stats_out *o = xcalloc(1, sizeof(*o));

	if (bus_socket_connect(&o->push, bus, ZMQ_PUSH, endpoint,
			       STATS_MAX_BYTES, err) != 0) {
		free(o);
		return -1;
	}
	*out = o;
	return 0;
}

void bus_stats_out_send(struct bus_stats_out *o, const void *data, size_t bytes)
{
	wire_send_frame(&o->push, data, bytes);
}

void bus_stats_out_close(struct bus_stats_out **out)
{
	if (!*out)
		return;
	bus_socket_close(&(*out)->push);
	free(*out);
	*out = NULL;
}

static bool turn(void *arg)
{
	struct bus_stats_in *in = arg;
	zmq_msg_t msg;
	int n = 0;

	zmq_msg_init(&msg);
	for (; n < MESSAGES_A_TURN; n++) {
		int rc = wire_recv_frame(&in->pull, &msg);

		if (rc == 0)
			break;
		if (rc > 0)
			in->fn(in->arg, zmq_msg_data(&msg), zmq_msg_size(&msg));
	}
	zmq_msg_close(&msg);
	return n == MESSAGES_A_TURN;
}

int bus_stats_in_open(struct bus_stats_in **i, struct bus *bus,
		      const char *endpoint,
		      void (*fn)(void *arg, const uint8_t *data, size_t bytes),
		      void *arg, struct err *err)
{
	struct bus_stats_in *in = xcalloc(1, sizeof(*in));

	if (bus_socket_bind(&in->pull, bus, ZMQ_PULL, endpoint, STATS_MAX_BYTES,
			    err) != 0) {
		free(in);
		return -1;
	}
	in->bus = bus;
	in->fn = fn;
	in->arg = arg;
	in->part = (struct bus_part){.turn = turn, .arg = in};
	bus_part_add(bus, &in->part);
	*i = in;
	return 0;
}

void bus_stats_in_close(struct bus_stats_in **i)
{
	struct bus_stats_in *in = *i;

	if (!in)
		return;
	bus_part_del(in->bus, &in->part);
	bus_socket_close(&in->pull);
	free(in);
	*i = NULL;
}
