#include "bus/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

enum { FRAME_HEADER, FRAME_INDEX, FRAME_PAYLOAD, FRAMES };
/* In place of index and payload. */
#define FRAME_REFERENCE	    FRAME_INDEX
#define FRAMES_BY_REFERENCE 2

/* The memory behind a received batch. */
struct received {
	zmq_msg_t frames[FRAMES];
};

/* Called by ZeroMQ's thread when the bytes have left. */
static void sent(void *data, void *hint)
{
	struct batch *b = hint;

	(void)data;
	batch_unref(&b);
}

static void lend(zmq_msg_t *msg, struct batch *b, const void *data,
		 size_t bytes)
{
	if (!bytes) {
		zmq_msg_init(msg);
		return;
	}
	if (zmq_msg_init_data(msg, (void *)(uintptr_t)data, bytes, sent,
			      batch_ref(b)) != 0)
		abort(); /* only for want of memory */
}

static void encode_reference(zmq_msg_t *msg, const struct reference *r)
{
	if (zmq_msg_init_size(msg, reference_bytes(r)) != 0)
		abort();
	reference_encode(r, zmq_msg_data(msg));
}

int wire_send_batch(struct bus_socket *s, struct batch *b,
		    const struct batch_header *header)
{
	zmq_msg_t frames[FRAMES];
	int last = b->reference ? FRAME_REFERENCE : FRAME_PAYLOAD;

	if (zmq_msg_init_size(&frames[FRAME_HEADER], BATCH_HEADER_BYTES) != 0)
		abort();
	batch_header_encode(header, zmq_msg_data(&frames[FRAME_HEADER]));
	if (bus_socket_send(s, &frames[FRAME_HEADER], ZMQ_SNDMORE) != 0) {
		zmq_msg_close(&frames[FRAME_HEADER]);
		return 0;
	}
	if (b->reference) {
		encode_reference(&frames[FRAME_REFERENCE], b->reference);
	} else {
		lend(&frames[FRAME_INDEX], b, b->index, header->index_bytes);
		lend(&frames[FRAME_PAYLOAD], b, b->payload,
		     header->payload_bytes);
	}
	/*
	 * The rest of a message fails only when its connection is lost midway.
	 * ZeroMQ then swallows frames until the message's last, which therefore
	 * must be offered, and offered once; the loss itself is evidence.
	 */
	for (int i = FRAME_INDEX; i <= last; i++)
		if (zmq_msg_send(&frames[i], s->z,
				 ZMQ_DONTWAIT | (i < last ? ZMQ_SNDMORE : 0)) <
		    0)
			zmq_msg_close(&frames[i]);
	return 1;
}

static void received_free(void *owner)
{
	struct received *r = owner;

	for (int i = 0; i < FRAMES; i++)
		zmq_msg_close(&r->frames[i]);
	free(r);
}

/* Takes all frames of the next message; keeps the first three. */
static int recv_frames(struct bus_socket *s, struct received *r)
{
	zmq_msg_t rest, *msg;
	int count = 0;
	bool more = true;

	zmq_msg_init(&rest);
	for (; more; count++) {
		msg = count < FRAMES ? &r->frames[count] : &rest;
		if (bus_socket_recv(s, msg) != 0)
			break;
		more = zmq_msg_more(msg);
	}
	zmq_msg_close(&rest);
	return count;
}

/* A batch over the frames, which it owns from then on. */
static struct batch *open_body(struct received *r,
			       const struct batch_header *header,
			       struct err *err)
{
	zmq_msg_t *index = &r->frames[FRAME_INDEX];
	zmq_msg_t *payload = &r->frames[FRAME_PAYLOAD];

	if (zmq_msg_size(index) != header->index_bytes ||
	    zmq_msg_size(payload) != header->payload_bytes) {
		err_set(err, EINVAL,
			"frames of %zu and %zu bytes, the header says %u and "
			"%u",
			zmq_msg_size(index), zmq_msg_size(payload),
			header->index_bytes, header->payload_bytes);
		return NULL;
	}
	return batch_open(header, zmq_msg_data(index), zmq_msg_data(payload), r,
			  received_free, err);
}

/* A batch that needs the frames no more. */
static struct batch *open_reference(struct received *r,
				    const struct batch_header *header,
				    struct err *err)
{
	zmq_msg_t *msg = &r->frames[FRAME_REFERENCE];
	struct reference reference;

	if (reference_decode(zmq_msg_data(msg), zmq_msg_size(msg), &reference,
			     err) != 0)
		return NULL;
	return batch_refer(header, &reference);
}

static struct batch *open_frames(struct received *r, int count, bool local,
				 struct err *err)
{
	struct batch_header header;

	if (count != FRAMES && count != FRAMES_BY_REFERENCE) {
		err_set(err, EINVAL,
			"message of %d frames, a batch has %d, or %d by "
			"reference",
			count, FRAMES, FRAMES_BY_REFERENCE);
		return NULL;
	}
	if (count == FRAMES_BY_REFERENCE && !local) {
		err_set(err, EINVAL,
			"a batch by reference comes over Unix sockets only");
		return NULL;
	}
	if (batch_header_decode(zmq_msg_data(&r->frames[FRAME_HEADER]),
				zmq_msg_size(&r->frames[FRAME_HEADER]), &header,
				err) != 0)
		return NULL;
	return count == FRAMES ? open_body(r, &header, err)
			       : open_reference(r, &header, err);
}

bool wire_is_local(const char *endpoint)
{
	return strncmp(endpoint, "ipc:", 4) == 0;
}

int wire_recv_batch(struct bus_socket *s, struct batch **b, struct err *err)
{
	struct received *r;
	const char *from = NULL;
	int count;

	*b = NULL;
	if (!s->readable && !s->fired)
		return 0;
	r = xcalloc(1, sizeof(*r));
	for (int i = 0; i < FRAMES; i++)
		zmq_msg_init(&r->frames[i]);
	count = recv_frames(s, r);
	if (count)
		*b = open_frames(r, count, wire_is_local(s->endpoint), err);
	if (*b) {
		if ((*b)->reference)
			received_free(r);
		return 1;
	}
	if (count)
		from = zmq_msg_gets(&r->frames[FRAME_HEADER], "Peer-Address");
	if (count)
		err_wrap(err, "from %s at %s",
			 from && *from ? from : "a local peer", s->endpoint);
	received_free(r);
	return count ? -1 : 0;
}

void wire_send_frame(struct bus_socket *s, const void *data, size_t bytes)
{
	zmq_msg_t msg;

	if (zmq_msg_init_size(&msg, bytes) != 0)
		abort();
	memcpy(zmq_msg_data(&msg), data, bytes);
	if (bus_socket_send(s, &msg, 0) != 0)
		zmq_msg_close(&msg);
	s->fired = true; /* sending may have swallowed a sign of a message */
}

int wire_recv_frame(struct bus_socket *s, zmq_msg_t *msg)
{
	bool more;

	if ((!s->readable && !s->fired) || bus_socket_recv(s, msg) != 0)
		return 0;
	if (!zmq_msg_more(msg))
		return 1;
	do {
		if (bus_socket_recv(s, msg) != 0)
			break;
		more = zmq_msg_more(msg);
	} while (more);
	return -1;
}
