/*
 * A sender and its connections; for sender.c and connection.c only. A
 * connection carries one request at a time; the sender decides how large the
 * next one is, and keeps what the answers tell.
 */
#ifndef WEFT_SERVICES_GENERATOR_SENDER_INSIDE_H
#define WEFT_SERVICES_GENERATOR_SENDER_INSIDE_H

#include <sys/socket.h>

#include "base/backoff.h"
#include "base/buf.h"
#include "services/generator/answer.h"
#include "services/generator/sender.h"

#define READ_BYTES (64u << 10)

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
	struct backoff backoff;
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

/* ---- sender.c ---- */

/* How many events the next request may have; 0 = not yet, or no more. */
uint32_t sender_next_size(struct sender *s);

/* Counts a request that was answered for good, and its events. */
void sender_note_answer(struct sender *s, const struct connection *c,
			const struct answer *answer);

/* Ends when there is no more to send and no request in flight. */
void sender_maybe_finish(struct sender *s);

/* ---- connection.c ---- */

/* Closed; for requests of plan.batch events. */
void connection_init(struct connection *c, struct sender *s);
void connection_release(struct connection *c);

/* Moves it on: the next request, or the same again when it is due. */
void connection_pump(struct connection *c);

#endif
