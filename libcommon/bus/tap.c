#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "bus/bus.h"
#include "bus/socket.h"
#include "bus/wire.h"

#define MESSAGES_A_TURN 64
/* More listeners than that with topics of their own get everything. */
#define MOST_TOPICS	 64
#define MOST_TOPIC_BYTES 200

struct topic {
	size_t bytes;
	char text[MOST_TOPIC_BYTES];
};

struct bus_tap {
	struct bus *bus;
	struct bus_part part;
	struct bus_socket pub;
	struct topic topics[MOST_TOPICS];
	uint32_t count;
};

struct bus_tap_in {
	struct bus *bus;
	struct bus_part part;
	struct bus_socket sub;
	void (*fn)(void *arg, const char *message, size_t bytes);
	void *arg;
};

/* ---- the producer's end ---- */

static bool same_topic(const struct topic *a, const char *text, size_t bytes)
{
	return a->bytes == bytes && memcmp(a->text, text, bytes) == 0;
}

/* Subscriptions come each time, the last unsubscription of a topic once. */
static void take_wish(struct bus_tap *t, const char *frame, size_t bytes)
{
	bool wanted = bytes && frame[0] == 1;
	uint32_t i = 0;

	if (!bytes || --bytes > MOST_TOPIC_BYTES)
		return;
	frame++;
	while (i < t->count && !same_topic(&t->topics[i], frame, bytes))
		i++;
	if (i < t->count && !wanted)
		t->topics[i] = t->topics[--t->count];
	if (i < t->count || !wanted || t->count == MOST_TOPICS)
		return;
	t->topics[t->count].bytes = bytes;
	memcpy(t->topics[t->count++].text, frame, bytes);
}

static bool tap_turn(void *arg)
{
	struct bus_tap *t = arg;
	zmq_msg_t msg;
	int n = 0, rc;

	zmq_msg_init(&msg);
	for (; n < MESSAGES_A_TURN; n++) {
		rc = wire_recv_frame(&t->pub, &msg);
		if (rc == 0)
			break;
		if (rc > 0)
			take_wish(t, zmq_msg_data(&msg), zmq_msg_size(&msg));
	}
	zmq_msg_close(&msg);
	return n == MESSAGES_A_TURN;
}

int bus_tap_open(struct bus_tap **tap, struct bus *bus, const char *endpoint,
		 struct err *err)
{
	struct bus_tap *t = xcalloc(1, sizeof(*t));

	if (bus_socket_bind(&t->pub, bus, ZMQ_XPUB, endpoint, WIRE_STATE_BYTES,
			    err) != 0) {
		free(t);
		return -1;
	}
	t->bus = bus;
	t->part = (struct bus_part){.turn = tap_turn, .arg = t};
	bus_part_add(bus, &t->part);
	*tap = t;
	return 0;
}

bool bus_tap_active(const struct bus_tap *t)
{
	return t->count > 0;
}

bool bus_tap_wants(const struct bus_tap *t, const char *topic, size_t bytes)
{
	for (uint32_t i = 0; i < t->count; i++)
		if (t->topics[i].bytes <= bytes &&
		    memcmp(t->topics[i].text, topic, t->topics[i].bytes) == 0)
			return true;
	return t->count == MOST_TOPICS;
}

void bus_tap_send(struct bus_tap *t, const void *message, size_t bytes)
{
	wire_send_frame(&t->pub, message, bytes);
}

void bus_tap_close(struct bus_tap **tap)
{
	struct bus_tap *t = *tap;

	if (!t)
		return;
	bus_part_del(t->bus, &t->part);
	bus_socket_close(&t->pub);
	free(t);
	*tap = NULL;
}

/* ---- the listener's end ---- */

static bool in_turn(void *arg)
{
	struct bus_tap_in *in = arg;
	zmq_msg_t msg;
	int n = 0, rc;

	zmq_msg_init(&msg);
	for (; n < MESSAGES_A_TURN; n++) {
		rc = wire_recv_frame(&in->sub, &msg);
		if (rc == 0)
			break;
		if (rc > 0)
			in->fn(in->arg, zmq_msg_data(&msg), zmq_msg_size(&msg));
	}
	zmq_msg_close(&msg);
	return n == MESSAGES_A_TURN;
}

/* Six parameters: a callback comes with its argument. */
/* NOLINTNEXTLINE(readability-function-size) */
int bus_tap_in_open(struct bus_tap_in **i, struct bus *bus,
		    const char *endpoint, const char *topic,
		    void (*fn)(void *arg, const char *message, size_t bytes),
		    void *arg, struct err *err)
{
	struct bus_tap_in *in = xcalloc(1, sizeof(*in));

	if (bus_socket_connect(&in->sub, bus, ZMQ_SUB, endpoint,
			       WIRE_BATCH_BYTES, err) != 0) {
		free(in);
		return -1;
	}
	/* Every socket that listens begins with all topics. */
	if (zmq_setsockopt(in->sub.z, ZMQ_SUBSCRIBE, topic, strlen(topic)) !=
		0 ||
	    zmq_setsockopt(in->sub.z, ZMQ_UNSUBSCRIBE, "", 0) != 0) {
		err_set(err, zmq_errno(), "cannot listen to %s: %s", endpoint,
			zmq_strerror(zmq_errno()));
		bus_socket_close(&in->sub);
		free(in);
		return -1;
	}
	in->bus = bus;
	in->fn = fn;
	in->arg = arg;
	in->part = (struct bus_part){.turn = in_turn, .arg = in};
	bus_part_add(bus, &in->part);
	*i = in;
	return 0;
}

void bus_tap_in_close(struct bus_tap_in **i)
{
	struct bus_tap_in *in = *i;

	if (!in)
		return;
	bus_part_del(in->bus, &in->part);
	bus_socket_close(&in->sub);
	free(in);
	*i = NULL;
}
