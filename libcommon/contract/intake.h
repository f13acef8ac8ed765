/*
 * Intake: turns what a client sent into validated event lines of a batch. Each
 * event is parsed once, checked against its contract, completed (event_id,
 * event_time) and copied byte by byte: numbers and strings stay as sent. It can
 * be mapped at the same time, which costs least: nobody needs to parse it
 * again.
 */
#ifndef WEFT_CONTRACT_INTAKE_H
#define WEFT_CONTRACT_INTAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "contract/contract.h"
#include "contract/mapper.h"
#include "proto/batch.h"
#include "proto/refusal.h"

/* Parser memory and scratch of one thread. */
struct intake;
struct intake *intake_new(void);
void intake_free(struct intake **in);

/* What was mapped by it; dead letters it makes none. */
const struct mapper_counts *intake_get_counts(const struct intake *in);

enum intake_form {
	INTAKE_ONE,   /* one JSON object */
	INTAKE_BATCH, /* JSON array, or {"events": […]} */
	INTAKE_NDJSON,
	INTAKE_CLOUDEVENT,	 /* structured: one envelope */
	INTAKE_CLOUDEVENT_BATCH, /* array of envelopes */
};

/* Why an event was refused; the names are part of the HTTP interface. */
enum intake_code {
	INTAKE_OK,
	INTAKE_MALFORMED,     /* malformed_json */
	INTAKE_NOT_OBJECT,    /* not_an_object */
	INTAKE_TOO_DEEP,      /* too_deep */
	INTAKE_TOO_LARGE,     /* event_too_large */
	INTAKE_TOO_MANY,      /* too_many_events */
	INTAKE_DUPLICATE_KEY, /* duplicate_key */
	INTAKE_NO_CONTRACT,   /* no_contract */
	INTAKE_MISSING_FIELD, /* missing_field */
	INTAKE_WRONG_TYPE,    /* wrong_type */
	INTAKE_OUT_OF_RANGE,  /* out_of_range */
	INTAKE_TOO_LONG,      /* too_long */
	INTAKE_NOT_ALLOWED,   /* not_allowed (enum, pattern) */
	INTAKE_UNKNOWN_FIELD, /* unknown_field */
	INTAKE_BAD_CHARACTER, /* bad_character (U+0000) */
	INTAKE_BAD_ENVELOPE,  /* bad_envelope (CloudEvents attributes) */
	INTAKE_MASKED,	      /* masked: of a replay, its value is not known */
	INTAKE_NOT_A_ROW,     /* not_a_row: of a replay, no table takes it */
	INTAKE_STREAM_FULL,   /* stream_full: well, but not now */
};
const char *intake_code_name(enum intake_code code);

/* One refused event. text says which field and value was wrong, in one line. */
struct intake_error {
	uint32_t index; /* of the event in the body, from 0 */
	enum intake_code code;
	char field[64];
	char text[200];
};

#define INTAKE_MAX_ERRORS	100
#define INTAKE_MAX_SOURCE_BYTES 128
#define INTAKE_MAX_ATTRIBUTES	64

/*
 * CloudEvents binary mode: an attribute that came as a header, its value as it
 * stood there (percent-encoding is decoded by intake_body); borrowed.
 */
struct intake_attribute {
	const char *name; /* without "ce-" */
	const char *value;
	size_t bytes;
};

struct intake_request {
	enum intake_form form;
	const char *body;
	size_t bytes;
	uint32_t max_events;
	int64_t now_us; /* for value = now too, with `map` */
	/* Write each event as mapper_event() would map it, to the same bytes:
	 * the batch is then to be sealed as BATCH_MAPPED. What cannot be mapped
	 * is refused with its code. */
	bool map;
	/* What a missing event_id becomes, as `source`; NULL: a random UUID. */
	const char *id;
	/*
	 * The events were masked before, as a dead letter says in `masked`: the
	 * JSON text of an object of members and their masks. They stay as they
	 * are and are not checked; INTAKE_MASKED when that cannot give what the
	 * contract asks for. NULL: nothing was.
	 */
	const char *masked;
	/* Events of these streams are refused for now; NULL: none. */
	const struct refusal *refused;
	/* Default for event_source, or NULL: UTF-8 without quotes, backslashes
	 * and control characters; any other counts as NULL. */
	const char *source;
	/* Binary mode when not NULL; body is the data then, whatever the form.
	 */
	const struct intake_attribute *attributes;
	uint32_t attribute_count;
};

struct intake_result {
	uint32_t accepted;
	uint32_t rejected;
	uint32_t held; /* … of these, for now alone: stream_full */
	/* The whole body is unusable: nothing was accepted. */
	bool malformed;
	size_t malformed_at; /* byte offset in the body */
	char malformed_text[200];
	uint32_t error_count; /* min(rejected, INTAKE_MAX_ERRORS) */
	struct intake_error errors[INTAKE_MAX_ERRORS];
	/* event_id of the first accepted event, a slice of the builder. */
	char first_id[64];
};

/*
 * Appends the accepted events of a request to w and fills *result. A body that
 * is no JSON at all leaves w as it was. With NDJSON a bad line is refused
 * alone. on_event, when set, is called for each accepted event with its
 * contract and for each refused one with contract NULL (for counters). Of the
 * events over max_events only the first is reported and observed; all count as
 * rejected.
 */
struct intake_observer {
	void (*on_event)(void *arg, const struct contract *contract,
			 enum intake_code code, const char *type,
			 size_t type_bytes, const char *source,
			 size_t source_bytes);
	/* When set, called behind each accepted event: true when it sealed w,
	 * which may happen at any of them. */
	bool (*sealed)(void *arg);
	void *arg;
};
void intake_body(struct intake *in, struct contract_set *set,
		 const struct intake_request *request,
		 const struct intake_observer *observer,
		 struct batch_builder *w, struct intake_result *result);

#endif
