#include "contract/intake.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "contract/event.h"

static const char *const code_names[] = {
    [INTAKE_OK] = "ok",
    [INTAKE_MALFORMED] = "malformed_json",
    [INTAKE_NOT_OBJECT] = "not_an_object",
    [INTAKE_TOO_DEEP] = "too_deep",
    [INTAKE_TOO_LARGE] = "event_too_large",
    [INTAKE_TOO_MANY] = "too_many_events",
    [INTAKE_DUPLICATE_KEY] = "duplicate_key",
    [INTAKE_NO_CONTRACT] = "no_contract",
    [INTAKE_MISSING_FIELD] = "missing_field",
    [INTAKE_WRONG_TYPE] = "wrong_type",
    [INTAKE_OUT_OF_RANGE] = "out_of_range",
    [INTAKE_TOO_LONG] = "too_long",
    [INTAKE_NOT_ALLOWED] = "not_allowed",
    [INTAKE_UNKNOWN_FIELD] = "unknown_field",
    [INTAKE_BAD_CHARACTER] = "bad_character",
    [INTAKE_BAD_ENVELOPE] = "bad_envelope",
    [INTAKE_MASKED] = "masked",
    [INTAKE_NOT_A_ROW] = "not_a_row",
    [INTAKE_STREAM_FULL] = "stream_full",
};

const char *intake_code_name(enum intake_code code)
{
	return code_names[code];
}

struct intake *intake_new(void)
{
	struct intake *in = xcalloc(1, sizeof(*in));

	in->mapper = mapper_new();
	return in;
}

void intake_free(struct intake **in)
{
	if (*in) {
		json_free(&(*in)->json);
		json_free(&(*in)->envelope);
		mapper_free(&(*in)->mapper);
		buf_free(&(*in)->text);
		buf_free(&(*in)->joined);
		buf_free(&(*in)->line);
	}
	free(*in);
	*in = NULL;
}

const struct mapper_counts *intake_get_counts(const struct intake *in)
{
	return mapper_get_counts(in->mapper);
}

static void observe(struct intake_run *run, const struct contract *contract,
		    enum intake_code code)
{
	const struct intake_observer *o = run->observer;
	const struct event *e = &run->in->event;

	if (o && o->on_event)
		o->on_event(o->arg, contract, code, e->type.text, e->type.bytes,
			    e->source.text, e->source.bytes);
}

static void refuse(struct intake_run *run)
{
	const struct finding *f = &run->in->finding;
	struct intake_result *r = run->result;
	struct intake_error *e;

	r->rejected++;
	r->held += f->code == INTAKE_STREAM_FULL;
	observe(run, NULL, f->code);
	if (r->error_count == INTAKE_MAX_ERRORS)
		return;
	e = &r->errors[r->error_count++];
	e->index = run->index;
	e->code = f->code;
	memcpy(e->field, f->field, sizeof(e->field));
	memcpy(e->text, f->text, sizeof(e->text));
}

/* Lets the owner of the builder seal it between two events of one body. */
static void offer_seal(struct intake_run *run)
{
	const struct intake_observer *o = run->observer;

	/* The streams of a new batch are numbered anew. */
	if (o && o->sealed && o->sealed(o->arg))
		memset(run->in->streams, 0, sizeof(run->in->streams));
}

/* Checks and writes the event that was opened, or refuses it. */
static void take_opened(struct intake_run *run, bool opened)
{
	if (opened && event_check(run) && event_write(run)) {
		run->result->accepted++;
		observe(run, &run->in->event.model->pub, INTAKE_OK);
		offer_seal(run);
	} else {
		refuse(run);
	}
	run->index++;
}

static bool open_envelope(struct intake_run *run, yyjson_val *v)
{
	struct intake *in = run->in;

	return event_open(in, v) && cloudevent_open(in, &in->json, NULL);
}

static bool open_value(struct intake_run *run, yyjson_val *v)
{
	const struct intake_request *rq = run->request;
	struct json *j = &run->in->json;

	event_reset(&run->in->event);
	j->member_count = 0;
	j->name_count = 0;
	j->fault = JSON_FINE;
	if (rq->attributes)
		return cloudevent_headers(run->in, rq) &&
		       cloudevent_open(run->in, &run->in->envelope, v);
	if (rq->form == INTAKE_CLOUDEVENT ||
	    rq->form == INTAKE_CLOUDEVENT_BATCH)
		return open_envelope(run, v);
	return event_open(run->in, v);
}

/*
 * True when the request has had all its events. The first one too many is
 * refused as events are, and those behind it are only counted: a body may hold
 * millions.
 */
static bool over_limit(struct intake_run *run)
{
	uint32_t max = run->request->max_events;

	if (run->index < max)
		return false;
	event_reset(&run->in->event);
	if (run->index == max)
		take_opened(run,
			    finding_set(&run->in->finding, INTAKE_TOO_MANY, "",
					"over %u events in one request, "
					"this one and all behind it",
					max));
	else
		run->result->rejected++;
	run->index = max + 1;
	return true;
}

static void take(struct intake_run *run, yyjson_val *v)
{
	if (over_limit(run))
		return;
	take_opened(run, open_value(run, v));
}

static void malformed(struct intake_run *run, size_t at, const char *text)
{
	struct intake_result *r = run->result;

	r->malformed = true;
	r->malformed_at = at;
	snprintf(r->malformed_text, sizeof(r->malformed_text), "%s", text);
}

static void take_list(struct intake_run *run, yyjson_val *root)
{
	yyjson_val *list = root, *v;

	if (json_is_object(root) && run->request->form == INTAKE_BATCH)
		list = yyjson_obj_get(root, "events");
	if (!list || json_type(list) != YYJSON_TYPE_ARR) {
		malformed(run, 0,
			  run->request->form == INTAKE_BATCH
			      ? "a batch is a JSON array of events, or "
				"{\"events\": [...]}"
			      : "a batch of CloudEvents is a JSON array");
		return;
	}
	v = json_first(list);
	for (size_t n = json_len(list); n; n--, v = json_next(v))
		take(run, v);
}

static void take_whole(struct intake_run *run)
{
	const struct intake_request *rq = run->request;
	const char *why;
	size_t at;
	yyjson_val *root;

	if (rq->attributes && rq->bytes == 0) {
		take(run, NULL); /* an event without data */
		return;
	}
	root = json_parse(&run->in->json, rq->body, rq->bytes, &at, &why);
	if (!root)
		malformed(run, at, why);
	else if (!rq->attributes && (rq->form == INTAKE_BATCH ||
				     rq->form == INTAKE_CLOUDEVENT_BATCH))
		take_list(run, root);
	else
		take(run, root);
}

static bool is_blank(const char *line, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
			return false;
	return true;
}

static void take_line(struct intake_run *run, const char *line, size_t bytes)
{
	const char *why;
	size_t at;
	yyjson_val *root;

	root = json_parse(&run->in->json, line, bytes, &at, &why);
	if (root) {
		take(run, root);
		return;
	}
	event_reset(&run->in->event);
	take_opened(run, finding_set(&run->in->finding, INTAKE_MALFORMED, "",
				     "%s at byte %zu of the body", why,
				     (size_t)(line - run->request->body) + at));
}

static void take_lines(struct intake_run *run)
{
	const char *at = run->request->body;
	const char *end = at + run->request->bytes;

	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));

		if (!stop)
			stop = end;
		if (!is_blank(at, (size_t)(stop - at)) && !over_limit(run))
			take_line(run, at, (size_t)(stop - at));
		at = stop + 1;
	}
}

/* What a request is made of has six owners; a struct would hide that. */
/* NOLINTNEXTLINE(readability-function-size) */
void intake_body(struct intake *in, struct contract_set *set,
		 const struct intake_request *request,
		 const struct intake_observer *observer,
		 struct batch_builder *w, struct intake_result *result)
{
	struct intake_run run = {
	    .in = in,
	    .set = set,
	    .request = request,
	    .observer = observer,
	    .w = w,
	    .result = result,
	};

	result->accepted = result->rejected = result->error_count = 0;
	result->held = 0;
	result->malformed = false;
	result->malformed_at = 0;
	result->malformed_text[0] = result->first_id[0] = '\0';
	memset(in->streams, 0, sizeof(in->streams));
	map_created(in->mapper, request->now_us);
	memcpy(in->now, in->mapper->created, sizeof(in->now));
	run.newlines = memchr(request->body, '\r', request->bytes) != NULL;
	if (request->form == INTAKE_NDJSON) {
		take_lines(&run);
		return;
	}
	run.newlines =
	    run.newlines || memchr(request->body, '\n', request->bytes) != NULL;
	take_whole(&run);
}
