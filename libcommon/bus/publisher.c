#include "bus/publisher.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "bus/wire.h"

/* Acks are cumulative: hundreds a second say as much as thousands. */
#define SPACING_US 1000

/* Only to wake the loop: the turn that follows publishes. */
static void wake(void *arg)
{
	(void)arg;
}

static void tick(void *arg)
{
	struct publisher *p = arg;
	struct loop *loop = bus_loop(p->bus);

	p->state.generation += p->bad;
	p->bad = false;
	p->changed = p->ticked = p->tell = true;
	loop_timer_set(loop, &p->tick,
		       loop_now_mono_us(loop) + STATE_REPEAT_US);
}

int publisher_open(struct publisher *p, struct bus *bus, const char *name,
		   const char *endpoint, struct err *err)
{
	p->bus = bus;
	p->tick = (struct loop_timer){.fn = tick, .arg = p};
	p->pace = (struct loop_timer){.fn = wake};
	p->state.incarnation = uuid_new();
	snprintf(p->state.name, sizeof(p->state.name), "%s", name);
	return bus_socket_bind(&p->socket, bus, ZMQ_XPUB, endpoint,
			       WIRE_STATE_BYTES, err);
}

void publisher_start(struct publisher *p)
{
	tick(p);
}

void publisher_close(struct publisher *p)
{
	if (!p->bus)
		return;
	loop_timer_cancel(bus_loop(p->bus), &p->tick);
	loop_timer_cancel(bus_loop(p->bus), &p->pace);
	bus_socket_close(&p->socket);
	buf_free(&p->frame);
}

void publisher_lost(struct publisher *p)
{
	p->state.generation++;
	p->changed = true;
}

void publisher_refused(struct publisher *p)
{
	p->bad = true;
}

void publisher_refuse(struct publisher *p, const struct refusal *refusal)
{
	if (memcmp(&p->refusal, refusal, sizeof(*refusal)) == 0)
		return;
	p->refusal = *refusal;
	p->changed = p->tell = true;
}

/* None is said once; a listener that missed it hears it no more, and forgets.
 */
static void tell_refusal(struct publisher *p)
{
	p->tell = false;
	if (!p->refusal.count && !p->refuses)
		return;
	p->refuses = p->refusal.count > 0;
	buf_clear(&p->frame);
	refusal_encode(&p->refusal, &p->frame);
	wire_send_frame(&p->socket, p->frame.data, p->frame.used);
}

static void publish(struct publisher *p)
{
	p->fill(p->arg, &p->state);
	buf_clear(&p->frame);
	state_encode(&p->state, &p->frame);
	FAILPOINT("state_before_publish");
	wire_send_frame(&p->socket, p->frame.data, p->frame.used);
	p->changed = false;
	if (p->tell)
		tell_refusal(p);
}

void publisher_turn(struct publisher *p)
{
	int64_t now_mono_us, due_mono_us;
	zmq_msg_t msg;

	zmq_msg_init(&msg);
	while (wire_recv_frame(&p->socket, &msg) != 0)
		p->changed = true; /* a new subscriber */
	zmq_msg_close(&msg);
	if (!p->changed)
		return;
	now_mono_us = clock_mono_us();
	due_mono_us = p->published_mono_us + SPACING_US;
	if (now_mono_us >= due_mono_us) {
		p->published_mono_us = now_mono_us;
		publish(p);
	} else if (!p->pace.at_mono_us) {
		loop_timer_set(bus_loop(p->bus), &p->pace, due_mono_us);
	}
}
