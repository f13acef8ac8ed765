#include "services/replay/events.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void events_init(struct events *e)
{
	*e = (struct events){.intake = intake_new(),
			     .mapped = mapped_new(),
			     .builder = batch_builder_new()};
}

void events_free(struct events *e)
{
	intake_free(&e->intake);
	mapped_free(&e->mapped);
	batch_builder_free(&e->builder);
	buf_free(&e->answers);
}

/* ---- answers ---- */

static void answer(struct events *e, enum replay_kind kind, uint64_t number)
{
	size_t at = e->answers.used;

	replay_begin(&e->answers, kind, number);
	replay_end(&e->answers, at);
}

static void refuse(struct events *e, uint64_t number,
		   const struct intake_error *why)
{
	size_t at = e->answers.used;

	e->refused++;
	replay_begin(&e->answers, REPLAY_REFUSED, number);
	replay_text(&e->answers, intake_code_name(why->code));
	replay_text(&e->answers, why->field);
	replay_text(&e->answers, why->text);
	replay_end(&e->answers, at);
}

/* One that is masked and of several fields is no text of any columns. */
static bool tells_identity(const struct contract *c)
{
	for (uint32_t i = 0; i < c->identity_count; i++)
		if (c->identity_count > 1 &&
		    c->fields[c->identity[i]].mask != CONTRACT_MASK_NONE)
			return false;
	return true;
}

/* Where the event appended last is to be found. */
static void accept(struct events *e, uint64_t number, const struct contract *c)
{
	size_t at = e->answers.used;
	const char *payload, *table = c->table ? c->table : "";
	const struct batch_event *last =
	    batch_builder_last(e->builder, &payload);
	struct buf columns = {0};

	e->accepted++;
	for (uint32_t i = 0; tells_identity(c) && i < c->identity_count; i++)
		buf_printf(&columns, "%s%s", i ? "," : "",
			   c->fields[c->identity[i]].name);
	replay_begin(&e->answers, REPLAY_ACCEPTED, number);
	replay_text(&e->answers, c->name);
	buf_text(&e->answers, table);
	/* As the writer calls the table that an upsert is made of. */
	replay_text(&e->answers, c->upsert && *table ? "_changes" : "");
	replay_text(&e->answers, buf_str(&columns));
	replay_data(&e->answers, payload + last->id_offset, last->id_bytes);
	replay_end(&e->answers, at);
	buf_free(&columns);
}

/* ---- events ---- */

/* Its parameters are those of an observer of intake. */
/* NOLINTNEXTLINE(readability-function-size) */
static void note_contract(void *arg, const struct contract *contract,
			  enum intake_code code, const char *type,
			  size_t type_bytes, const char *source,
			  size_t source_bytes)
{
	const struct contract **found = arg;

	(void)code;
	(void)type;
	(void)type_bytes;
	(void)source;
	(void)source_bytes;
	*found = contract;
}

static void take_raw(struct events *e, struct contract_set *set,
		     const struct replay_frame *frame, struct intake_request *r)
{
	const struct contract *contract = NULL;
	const struct intake_observer observer = {.on_event = note_contract,
						 .arg = &contract};
	uint32_t before = batch_builder_offset(e->builder);
	struct intake_result result;
	struct intake_error why = {0};

	r->form = INTAKE_ONE;
	r->body = frame->data;
	r->bytes = frame->bytes;
	r->max_events = 1;
	r->map = true;
	intake_body(e->intake, set, r, &observer, e->builder, &result);
	if (result.malformed) {
		why.code = INTAKE_MALFORMED;
		snprintf(why.text, sizeof(why.text), "%s",
			 result.malformed_text);
		refuse(e, frame->number, &why);
	} else if (!result.accepted) {
		refuse(e, frame->number, &result.errors[0]);
	} else if (mapped_check_last(e->mapped, contract, e->builder, before,
				     &why) != 0) {
		refuse(e, frame->number, &why);
	} else {
		accept(e, frame->number, contract);
	}
}

static void take_mapped(struct events *e, const struct contract_set *set,
			const char *stream, const struct replay_frame *frame)
{
	struct intake_error why;

	if (mapped_open(e->mapped, set, stream, frame->data, frame->bytes,
			&why) != 0 ||
	    mapped_put(e->mapped, e->builder, &why) != 0)
		refuse(e, frame->number, &why);
	else
		accept(e, frame->number, mapped_contract(e->mapped));
}

static bool is_wanted(const struct events *e, const char *stream,
		      int64_t from_us, int64_t to_us)
{
	int64_t at_us;

	if (strcmp(mapped_contract(e->mapped)->name, stream) != 0)
		return false;
	if (!from_us && !to_us)
		return true;
	return mapped_time(e->mapped, &at_us) && at_us >= from_us &&
	       at_us < to_us;
}

static void take_archived(struct events *e, const struct contract_set *set,
			  const char *stream, const int64_t times[2],
			  const struct replay_frame *frame)
{
	struct intake_error why;

	if (mapped_open(e->mapped, set, NULL, frame->data, frame->bytes,
			&why) != 0) {
		/* What no contract takes is of another stream, too. */
		if (why.code == INTAKE_NO_CONTRACT)
			answer(e, REPLAY_PASSED, frame->number);
		else
			refuse(e, frame->number, &why);
	} else if (!is_wanted(e, stream, times[0], times[1])) {
		answer(e, REPLAY_PASSED, frame->number);
	} else if (mapped_put(e->mapped, e->builder, &why) != 0) {
		refuse(e, frame->number, &why);
	} else {
		e->accepted++;
	}
}

static int64_t number_of(const char *text)
{
	return strtoll(text, NULL, 10);
}

int events_take(struct events *e, struct contract_set *set,
		struct replay_frame *frame, struct err *err)
{
	const char *a = replay_take(frame);
	const char *b =
	    a && frame->kind != REPLAY_MAPPED ? replay_take(frame) : NULL;
	const char *c =
	    b && (frame->kind == REPLAY_RAW || frame->kind == REPLAY_ARCHIVED)
		? replay_take(frame)
		: NULL;

	if (frame->kind == REPLAY_CHECK)
		e->check = true;
	else if (frame->kind == REPLAY_RAW && c)
		take_raw(e, set, frame,
			 &(struct intake_request){
			     .id = a,
			     .masked = *b ? b : NULL,
			     .now_us = number_of(c),
			 });
	else if (frame->kind == REPLAY_MAPPED && a)
		take_mapped(e, set, a, frame);
	else if (frame->kind == REPLAY_ARCHIVED && c)
		take_archived(e, set, a,
			      (int64_t[]){number_of(b), number_of(c)}, frame);
	else if (frame->kind == REPLAY_TAKES && b)
		answer(e,
		       mapped_takes(set, a, b, strlen(b)) ? REPLAY_YES
							  : REPLAY_NO,
		       frame->number);
	else
		return err_set(err, EPROTO,
			       "a frame of kind %d lacks a text: the two "
			       "programs are of different releases",
			       (int)frame->kind);
	if (e->check)
		batch_builder_rollback(e->builder, 0, 0);
	return 0;
}
