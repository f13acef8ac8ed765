/* Batches and states as ZeroMQ messages, inside bus/ only. */
#ifndef WEFT_BUS_WIRE_H
#define WEFT_BUS_WIRE_H

#include "base/buf.h"
#include "base/err.h"
#include "bus/socket.h"
#include "proto/batch.h"
#include "proto/state.h"

/* The largest frame that a batch, or a state, may have. */
#define WIRE_BATCH_BYTES ((int64_t)BATCH_MAX_PAYLOAD_BYTES)
#define WIRE_STATE_BYTES INT64_C(1048576)

/*
 * Sends b's body behind *header as one message of three frames; the memory of
 * the body is lent to ZeroMQ with references of its own. Without a body b's
 * reference goes in its place, in one frame. 1 when it was taken, 0 when the
 * peer takes nothing now. Taken is not delivered.
 */
int wire_send_batch(struct bus_socket *s, struct batch *b,
		    const struct batch_header *header);

/*
 * Receives one message as a batch over ZeroMQ's own memory. 1: *b has one
 * reference; it may be without a body on a socket that is local. 0: there is
 * none. -1 with *err: a message that is no batch, which is gone; the text names
 * the peer where it has an address.
 */
int wire_recv_batch(struct bus_socket *s, struct batch **b,
		    struct err *err) MUST_CHECK;

/* Whether an endpoint is a Unix socket: whoever comes over it is on this host,
 * or at least let in by somebody who is. */
bool wire_is_local(const char *endpoint);

/* Sends one frame or drops it when it cannot go at once. */
void wire_send_frame(struct bus_socket *s, const void *data, size_t bytes);

/*
 * Receives a message of one frame into *msg, which is initialised and stays
 * the caller's. 1: there is one, 0: none, -1: it had more frames and is gone.
 */
int wire_recv_frame(struct bus_socket *s, zmq_msg_t *msg);

#endif
