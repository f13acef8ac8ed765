#include <errno.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "bus/relay_inside.h"
#include "bus/wire.h"

#define RETRY_US    1000000
#define COMPLAIN_US 30000000

static void refuse(struct bus_relay *r, const struct err *err)
{
	char q[LOG_QUOTE_BYTES];

	r->stats.refused++;
	publisher_refused(&r->publisher);
	if (err->code == ENOTSUP)
		return;
	log_warn("batch_refused", "name=%s error=%s", r->name,
		 log_quote(q, err->text));
}

void relay_drop(struct bus_relay *r)
{
	for (uint32_t i = 0; i < r->out_count; i++)
		batch_unref(&r->outs[i]->pending);
	batch_unref(&r->held);
	batch_unref(&r->whole);
	r->worked = false;
}

static int receive(struct bus_relay *r)
{
	struct err err;
	int rc = wire_recv_batch(&r->in, &r->held, &err);

	if (rc > 0 && r->held->header.lane.number != r->number) {
		err_set(&err, EINVAL, "a batch of lane %u at instance %u",
			r->held->header.lane.number, r->number);
		batch_unref(&r->held);
		rc = -1;
	}
	if (rc < 0)
		refuse(r, &err);
	if (rc > 0) {
		FAILPOINT("relay_received");
		r->stats.batches_in++;
		r->stats.references += r->held->reference != NULL;
		r->stats.events_in += r->held->header.events;
		r->stats.bytes_in += batch_bytes(r->held);
	}
	return rc;
}

/* Fetches the body of *b, or refuses what is held: false. */
static bool fetch(struct bus_relay *r, struct batch **b)
{
	struct err err = {0};

	if (bodies_fetch(&r->bodies, b, &err) == 0)
		return true;
	refuse(r, &err);
	relay_drop(r);
	return false;
}

/* As events.work, which gets a body when it asks for one; -1 and nothing held
 * when that cannot be had. */
static int make(struct bus_relay *r, struct batch **made, struct err *err)
{
	int rc = r->events.work(r->events.arg, r->held, made, err);

	if (rc != BUS_NEEDS_BODY)
		return rc;
	if (!fetch(r, &r->held))
		return -1;
	return r->events.work(r->events.arg, r->held, made, err);
}

static bool work(struct bus_relay *r)
{
	struct batch *made[BUS_MAX_PEERS] = {0};
	char q[LOG_QUOTE_BYTES];
	struct err err = {0};
	int64_t now_mono_us = loop_now_mono_us(bus_loop(r->bus));

	if (now_mono_us < r->retry_mono_us)
		return false;
	if (make(r, made, &err) != 0) {
		if (!r->held)
			return false;
		r->retry_mono_us = now_mono_us + RETRY_US;
		/* For hours, maybe: not a line for each try. */
		if (now_mono_us >= r->complain_mono_us) {
			r->complain_mono_us = now_mono_us + COMPLAIN_US;
			log_error("batch_waits", "name=%s error=%s", r->name,
				  log_quote(q, err.text));
		}
		return false;
	}
	r->retry_mono_us = r->complain_mono_us = 0;
	for (uint32_t i = 0; i < r->out_count; i++)
		r->outs[i]->pending = made[i];
	r->worked = true;
	return true;
}

/* What is passed on without a body is what is held, so one will do for all. */
static bool give_body(struct bus_relay *r, struct out *o)
{
	if (!r->whole)
		r->whole = batch_ref(r->held);
	if (!fetch(r, &r->whole))
		return false;
	batch_unref(&o->pending);
	o->pending = batch_ref(r->whole);
	return true;
}

static bool push(struct bus_relay *r, struct out *o)
{
	const struct batch_header *in = &r->held->header;
	struct batch_header header;

	if (!o->push.up || !o->push.writable)
		return false;
	if (o->pending->reference && !o->references && !give_body(r, o))
		return false;
	header = o->pending->header;
	header.lane = in->lane;
	header.sequence = in->sequence;
	header.flags &= ~(uint32_t)BATCH_REPLAY;
	header.flags |= in->flags & BATCH_REPLAY;
	if (!wire_send_batch(&o->push, o->pending, &header))
		return false;
	r->stats.batches_out++;
	r->stats.events_out += header.events;
	r->stats.bytes_out += batch_bytes(o->pending);
	batch_unref(&o->pending);
	return true;
}

bool relay_step(struct bus_relay *r)
{
	bool waits = false;

	if (!r->held) {
		int rc = receive(r);

		if (rc <= 0)
			return rc < 0;
	}
	if (!r->worked && !work(r))
		return !r->held; /* refused: there may be another */
	for (uint32_t i = 0; i < r->out_count; i++) {
		if (r->outs[i]->pending && !push(r, r->outs[i]))
			waits = true;
		else if (i + 1 < r->out_count)
			FAILPOINT("relay_between_sinks");
	}
	if (waits)
		return !r->held;
	FAILPOINT("relay_sent");
	batch_unref(&r->held);
	batch_unref(&r->whole);
	r->worked = false;
	return true;
}
