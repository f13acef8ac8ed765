/* One event on its way in; private to this folder. */
#ifndef WEFT_CONTRACT_EVENT_H
#define WEFT_CONTRACT_EVENT_H

#include "base/uuid.h"
#include "contract/check.h"
#include "contract/intake.h"
#include "contract/json.h"
#include "contract/match.h"

/* Three members: names of at most 200 bytes, values of at most 128. */
#define EVENT_ASSIGNED_BYTES 1024

#define EVENT_NO_MEMBER UINT32_MAX

/* The members of an event are json.members[first … member_count). */
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
	bool given_id; /* which of them was assigned here */
	bool given_time;
	bool given_source;
	char assigned[EVENT_ASSIGNED_BYTES]; /* `"event_id":"…",` and so on */
	uint32_t assigned_bytes;
	uint32_t id_at; /* of an assigned id's text in `assigned` */
	uint32_t source_at;
	uint32_t source_bytes;
	char id[UUID_TEXT_BYTES];
	uint64_t seen[MODEL_SEEN_WORDS];
	uint64_t filled[MODEL_SEEN_WORDS]; /* with a value that is not null */
	/* The member of each field in `filled`, if it is one. */
	uint32_t member_of[MODEL_MAX_FIELDS];
};

struct intake {
	struct json json;
	struct json envelope; /* of CloudEvents in binary mode */
	struct buf text;
	struct event event;
	struct finding finding;
	int64_t now_us;
	char now[32];
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

/* Appends line and index entry to the builder. False with in->finding. */
bool event_write(struct intake_run *run) MUST_CHECK;

#endif
