/* One event on its way in; private to this folder. */
#ifndef WEFT_CONTRACT_EVENT_H
#define WEFT_CONTRACT_EVENT_H

#include "base/uuid.h"
#include "contract/check.h"
#include "contract/intake.h"
#include "contract/json.h"
#include "contract/map.h"
#include "contract/match.h"

/* Three members: names of at most 200 bytes, values of at most 128. */
#define EVENT_ASSIGNED_BYTES 1024

/* What event.member_of says beside the number of a member. */
#define EVENT_NO_MEMBER UINT32_MAX
#define EVENT_GIVEN	0x80000000u /* and the number in event.given */

#define EVENT_MAX_GIVEN 3 /* id, time and source */

/*
 * The members of an event are json.members[first … member_count), and in front
 * of them those that were assigned here.
 */
struct event {
	const char *start; /* of its text; NULL when it is put together anew */
	const char *end;
	uint32_t first;
	int32_t data;	  /* member "data" of an object, or -1 */
	bool rebuild;	  /* the text cannot be copied as it came */
	bool envelope_id; /* event_id is a CloudEvents id: any string */
	const struct model *model;
	struct slice type;
	struct slice source;
	uint32_t unknown_count; /* members of no field */
	uint32_t type_member;	/* that has the type, or EVENT_NO_MEMBER */
	struct json_member given[EVENT_MAX_GIVEN];
	yyjson_val given_values[EVENT_MAX_GIVEN];
	uint32_t given_count;
	char assigned[EVENT_ASSIGNED_BYTES]; /* `"event_id":"…",` and so on */
	uint32_t assigned_bytes;
	char id[UUID_TEXT_BYTES];
	uint64_t seen[MODEL_SEEN_WORDS];
	uint64_t kept[MODEL_SEEN_WORDS]; /* masked before they came */
	bool any_kept;
	uint64_t filled[MODEL_SEEN_WORDS]; /* with a value that is not null */
	/* The member of each field in `filled`, see EVENT_NO_MEMBER. */
	uint32_t member_of[MODEL_MAX_FIELDS];
};

struct intake {
	struct json json;
	struct json envelope; /* of CloudEvents in binary mode */
	struct mapper *mapper;
	struct buf text;   /* of CloudEvents headers */
	struct buf joined; /* an identity of several fields */
	struct buf line;   /* an event that is put together to be mapped */
	struct event event;
	struct finding finding;
	char now[CLOCK_TEXT_BYTES];
	uint16_t streams[256]; /* of each contract in the builder; +1 */
};

/* What one call of intake_body works on. */
struct intake_run {
	struct intake *in;
	const struct contract_set *set;
	const struct intake_request *request;
	const struct intake_observer *observer;
	struct batch_builder *w;
	struct intake_result *result;
	uint32_t index;
	bool newlines; /* the body has line breaks somewhere */
};

/* Turns j's fault into in->finding; returns false. */
bool event_fault(struct intake *in, const struct json *j);

/* Forgets the event before. */
void event_reset(struct event *e);

/* Lists the members of an event's object. False with in->finding. */
bool event_open(struct intake *in, yyjson_val *object) MUST_CHECK;

/*
 * Makes an event of a CloudEvents envelope, whose members are
 * json.members[0 … count) or, in binary mode, those of in->envelope with `data`
 * as the data. False with in->finding.
 */
bool cloudevent_open(struct intake *in, struct json *envelope,
		     yyjson_val *data) MUST_CHECK;

/* Parses the attributes of binary mode into in->envelope. */
bool cloudevent_headers(struct intake *in,
			const struct intake_request *request) MUST_CHECK;

/* Finds the contract and checks every member. False with in->finding. */
bool event_check(struct intake_run *run) MUST_CHECK;

/*
 * Finds in event.kept the members that were masked before, of an event whose
 * contract is known. False with in->finding when one cannot be what the
 * contract asks for (event_kept.c).
 */
bool event_keep(struct intake_run *run) MUST_CHECK;

/* Appends line and index entry to the builder. False with in->finding. */
bool event_write(struct intake_run *run) MUST_CHECK;

/* Refuses the event because its batch takes no more: false, in->finding. */
bool event_full(struct intake *in);

/* event_write() of an event that is to be mapped, as this stream. */
bool event_map(struct intake_run *run, uint16_t stream) MUST_CHECK;

/*
 * The line of the event, unmapped: how long it may get at most, and writing it.
 * Each member then says where its value lies.
 */
size_t event_room(const struct intake_run *run);
size_t event_put(struct intake_run *run, char *line);

/* The member of a field; NULL: it has none, a null, or one inside another. */
const struct json_member *event_member(const struct intake *in, int32_t rule);

/* What the index says of the event, as texts. */
void event_traits(struct intake_run *run, struct traits *t);

/* Where event_put() has written them, one after the other: id, key, type. */
void event_spots(const struct intake *in, struct spot spots[3]);

#endif
