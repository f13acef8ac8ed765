/*
 * Business events of all 24 types, realistic and reproducible: the same seed
 * and start time give the same bytes. A share of them is bad, each in exactly
 * one way, so that the code it must be refused with is known.
 */
#ifndef WEFT_SERVICES_GENERATOR_EVENTS_H
#define WEFT_SERVICES_GENERATOR_EVENTS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/uuid.h"

/* How an event is bad; event_fault_code() gives the code it must get. */
enum event_fault {
	FAULT_NONE,
	FAULT_WRONG_TYPE,
	FAULT_OUT_OF_RANGE,
	FAULT_TOO_LONG,
	FAULT_NO_CONTRACT,
	FAULT_DUPLICATE_KEY,
	FAULT_BAD_CHARACTER,
	FAULT_NOT_OBJECT,
	FAULT_TOO_DEEP,
	FAULT_COUNT,
};

/* The code of the collector's answer, "" for FAULT_NONE. */
const char *event_fault_code(enum event_fault fault);

struct events;

/*
 * Events from `start_us` on, about 1 ms apart; bad_share of them (0 to 1) are
 * bad. Owned by the caller.
 */
struct events *events_new(uint64_t seed, int64_t start_us, double bad_share);
void events_free(struct events **events);

/*
 * Appends the next event to out, on one line without a '\n', and tells its
 * event_id (zero when it has none) and how it is bad.
 */
enum event_fault events_next(struct events *events, struct buf *out,
			     char id[UUID_TEXT_BYTES]);

#endif
