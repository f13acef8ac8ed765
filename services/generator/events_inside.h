/* How events are made; for events.c, families.c and members.c only. */
#ifndef WEFT_SERVICES_GENERATOR_EVENTS_INSIDE_H
#define WEFT_SERVICES_GENERATOR_EVENTS_INSIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/uuid.h"
#include "services/generator/random.h"

#define SESSIONS       512
#define COUNT(a)       (sizeof(a) / sizeof((a)[0]))
#define PICK(e, words) (words)[random_below(&(e)->random, COUNT(words))]

/* One visitor: what the events of a session have in common. */
struct session {
	char session_id[UUID_TEXT_BYTES];
	char correlation_id[UUID_TEXT_BYTES];
	uint32_t customer;
	uint32_t order;
};

struct events {
	struct random random;
	uint64_t bad_below; /* of 2^32 */
	int64_t at_us;
	int64_t second; /* that `time` shows */
	char time[CLOCK_TEXT_BYTES];
	struct session sessions[SESSIONS];
	struct buf *out;
	struct session *session;
};

/* ---- families.c ---- */

struct event_kind {
	const char *type;
	const char *source;
	/* Writes the members of its family about the session. */
	void (*fill)(struct events *e, const char *type);
	uint32_t weight; /* of 100 */
};

/* One by chance, as often as its weight says. */
const struct event_kind *event_kind_pick(struct events *e);

/* ---- members.c: each appends `,"name":value` to the event ---- */

/* Only `,"name":`. */
void member_key(struct events *e, const char *name);

/* A string; value is written as it is, so it holds nothing to escape. */
void member_text(struct events *e, const char *name, const char *value);
void member_number(struct events *e, const char *name, uint32_t value);
void member_flag(struct events *e, const char *name, bool value);

/* Below `most`, with two to six decimals, as shops and meters write it. */
void member_money(struct events *e, const char *name, uint32_t most);

/* The string of prefix and at least four digits. */
void member_prefixed(struct events *e, const char *name, const char *prefix,
		     uint32_t value);

/* A number alone, with at least so many digits. */
void member_digits(struct buf *out, uint64_t value, int least);

#endif
