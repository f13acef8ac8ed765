#include "services/generator/events.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "services/generator/events_inside.h"

/* ---- faults ---- */

const char *event_fault_code(enum event_fault fault)
{
	static const char *const codes[] = {
	    [FAULT_NONE] = "",
	    [FAULT_WRONG_TYPE] = "wrong_type",
	    [FAULT_OUT_OF_RANGE] = "out_of_range",
	    [FAULT_TOO_LONG] = "too_long",
	    [FAULT_NO_CONTRACT] = "no_contract",
	    [FAULT_DUPLICATE_KEY] = "duplicate_key",
	    [FAULT_BAD_CHARACTER] = "bad_character",
	    [FAULT_NOT_OBJECT] = "not_an_object",
	    [FAULT_TOO_DEEP] = "too_deep",
	};

	return codes[fault];
}

/* Adds a member that alone makes the event bad. Members used here are of the
 * base contract, and no family writes them. */
static void spoil(struct events *e, enum event_fault fault)
{
	switch (fault) {
	case FAULT_WRONG_TYPE:
		member_key(e, "workload_id");
		buf_text(e->out, "17");
		break;
	case FAULT_OUT_OF_RANGE:
		/* event_time is written last for all but this one */
		member_key(e, "event_time");
		buf_text(e->out, "\"1492-10-12T00:00:00Z\"");
		break;
	case FAULT_TOO_LONG:
		member_key(e, "workload_id");
		buf_char(e->out, '"');
		for (int i = 0; i < 2000; i++)
			buf_char(e->out, 'w');
		buf_char(e->out, '"');
		break;
	case FAULT_DUPLICATE_KEY:
		member_text(e, "environment", "staging");
		member_text(e, "environment", "production");
		break;
	case FAULT_BAD_CHARACTER:
		member_text(e, "namespace", "sto\\u0000re");
		break;
	case FAULT_TOO_DEEP:
		member_key(e, "custom_properties");
		for (int i = 0; i < 80; i++)
			buf_text(e->out, "{\"in\":");
		buf_char(e->out, '1');
		for (int i = 0; i < 80; i++)
			buf_char(e->out, '}');
		break;
	default:
		break;
	}
}

/* ---- the stream ---- */

static const char *const regions[] = {"westeurope", "northeurope", "eastus2",
				      "japaneast"};

static void make_uuid(struct random *r, char out[UUID_TEXT_BYTES])
{
	uint64_t words[2] = {random_next(r), random_next(r)};
	struct uuid id;

	memcpy(id.bytes, words, sizeof(id.bytes));
	id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x40);
	id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80);
	uuid_format(&id, out);
}

static void put_time(struct events *e)
{
	int64_t second = e->at_us / 1000000;

	if (second != e->second) {
		clock_format(second * 1000000, e->time);
		e->second = second;
	}
	member_key(e, "event_time");
	buf_char(e->out, '"');
	buf_append(e->out, e->time, strlen("2026-01-01T00:00:00"));
	buf_char(e->out, '.');
	member_digits(e->out, (uint64_t)(e->at_us % 1000000), 6);
	buf_text(e->out, "+00:00\"");
}

struct events *events_new(uint64_t seed, int64_t start_us, double bad_share)
{
	struct events *e = xcalloc(1, sizeof(*e));

	random_seed(&e->random, seed);
	e->bad_below = (uint64_t)(bad_share * 4294967296.0);
	e->at_us = start_us;
	e->second = INT64_MIN;
	for (size_t i = 0; i < SESSIONS; i++) {
		struct session *s = &e->sessions[i];

		make_uuid(&e->random, s->session_id);
		make_uuid(&e->random, s->correlation_id);
		s->customer = random_below(&e->random, 1146483646);
		s->order = random_below(&e->random, 90000000);
	}
	return e;
}

void events_free(struct events **events)
{
	free(*events);
	*events = NULL;
}

static enum event_fault pick_fault(struct events *e)
{
	if ((random_next(&e->random) >> 32) >= e->bad_below)
		return FAULT_NONE;
	return (enum event_fault)random_between(&e->random, FAULT_NONE + 1,
						FAULT_COUNT - 1);
}

static void properties(struct events *e)
{
	member_key(e, "custom_properties");
	buf_text(e->out, "{\"region\":\"");
	buf_text(e->out, PICK(e, regions));
	buf_text(e->out, "\",\"experiment\":\"checkout-");
	buf_char(e->out, (char)('A' + random_below(&e->random, 4)));
	buf_text(e->out, "\"}");
}

enum event_fault events_next(struct events *e, struct buf *out,
			     char id[UUID_TEXT_BYTES])
{
	enum event_fault fault = pick_fault(e);
	const struct event_kind *kind = event_kind_pick(e);

	e->out = out;
	e->session = &e->sessions[random_below(&e->random, SESSIONS)];
	e->at_us += random_between(&e->random, 500, 1500);
	if (fault == FAULT_NOT_OBJECT) {
		id[0] = '\0';
		buf_text(out, "\"event\"");
		return fault;
	}
	make_uuid(&e->random, id);
	buf_text(out, "{\"event_id\":\"");
	buf_append(out, id, UUID_TEXT_BYTES - 1);
	buf_char(out, '"');
	member_text(e, "event_type",
		    fault == FAULT_NO_CONTRACT ? "warehouse.flooded"
					       : kind->type);
	member_text(e, "event_source", kind->source);
	if (fault != FAULT_OUT_OF_RANGE)
		put_time(e);
	member_text(e, "session_id", e->session->session_id);
	if (random_below(&e->random, 3) == 0)
		member_text(e, "correlation_id", e->session->correlation_id);
	kind->fill(e, kind->type);
	if (fault != FAULT_TOO_DEEP && random_below(&e->random, 2))
		properties(e);
	spoil(e, fault);
	buf_char(out, '}');
	return fault;
}
