#include "contract/event.h"

#include <stdio.h>

#include "base/clock.h"
#include "contract/put.h"

/* Longest event_type that is looked up. */
#define MAX_TYPE_BYTES 256

bool event_fault(struct intake *in, const struct json *j)
{
	struct finding *f = &in->finding;

	switch (j->fault) {
	case JSON_DUPLICATE_KEY:
		finding_set(
		    f, INTAKE_DUPLICATE_KEY, "",
		    "member \"%.*s\" is there twice",
		    (int)(j->fault_name_bytes < 64 ? j->fault_name_bytes : 64),
		    j->fault_name);
		snprintf(
		    f->field, sizeof(f->field), "%.*s",
		    (int)(j->fault_name_bytes < 63 ? j->fault_name_bytes : 63),
		    j->fault_name);
		return false;
	case JSON_TOO_DEEP:
		return finding_set(f, INTAKE_TOO_DEEP, "",
				   "nested deeper than %d levels",
				   JSON_MAX_DEPTH);
	default:
		return finding_set(f, INTAKE_TOO_LARGE, "",
				   "more members than an event can hold");
	}
}

void event_reset(struct event *e)
{
	e->start = e->end = NULL;
	e->first = 0;
	e->data = -1;
	e->rebuild = false;
	e->envelope_id = false;
	e->model = NULL;
	e->type = (struct slice){NULL, 0};
	e->source = (struct slice){NULL, 0};
	e->unknown_count = 0;
	e->type_member = EVENT_NO_MEMBER;
	e->given_count = 0;
	e->assigned_bytes = 0;
}

bool event_open(struct intake *in, yyjson_val *object)
{
	struct json *j = &in->json;
	struct event *e = &in->event;

	if (json_type(object) != YYJSON_TYPE_OBJ)
		return finding_set(&in->finding, INTAKE_NOT_OBJECT, "",
				   "an event must be a JSON object");
	if (json_len(object) == 0)
		return true;
	e->end = json_members(j, object, 1);
	if (!e->end)
		return event_fault(in, j);
	for (e->start = j->members[0].key - 1; *e->start != '{'; e->start--)
		;
	if (e->end - e->start > BATCH_MAX_EVENT_BYTES)
		return finding_set(&in->finding, INTAKE_TOO_LARGE, "",
				   "an event of %zu bytes, at most %d fit",
				   (size_t)(e->end - e->start),
				   BATCH_MAX_EVENT_BYTES);
	return true;
}

static bool is_named(const struct json_member *m, const char *name,
		     size_t bytes)
{
	return m->name_bytes == bytes && memcmp(m->name, name, bytes) == 0;
}

/* Finds what chooses the contract: the type, and a data object. */
static bool find_type(struct intake *in)
{
	struct json *j = &in->json;
	struct event *e = &in->event;

	e->data = -1;
	for (uint32_t i = e->first; i < j->member_count; i++) {
		const struct json_member *m = &j->members[i];

		if (is_named(m, "data", 4) && m->val && json_is_object(m->val))
			e->data = (int32_t)i;
		if (!is_named(m, "event_type", 10) || json_is_null(m->val))
			continue;
		if (json_type(m->val) != YYJSON_TYPE_STR)
			return finding_set(&in->finding, INTAKE_WRONG_TYPE,
					   "event_type",
					   "event_type is not a string");
		/* Asked again, the type is the one it was, if not its place. */
		if (e->type.text && e->type.text != m->val->uni.str)
			continue;
		e->type = (struct slice){m->val->uni.str, json_len(m->val)};
		e->type_member = i;
	}
	if (e->type.bytes > MAX_TYPE_BYTES)
		return finding_set(&in->finding, INTAKE_TOO_LONG, "event_type",
				   "event_type has %zu bytes, at most %d fit",
				   e->type.bytes, MAX_TYPE_BYTES);
	return true;
}

/* The form of seed clients: what is in data{} stands at the top. */
static bool flatten_data(struct intake *in)
{
	struct json *j = &in->json;
	struct event *e = &in->event;
	yyjson_val *data = j->members[e->data].val;
	struct json_member *m = &j->members[e->data];

	e->rebuild = true;
	/* Its place is taken by the last member: order means nothing here. */
	*m = j->members[--j->member_count];
	if (json_len(data) && !json_members_more(j, data, 2))
		return event_fault(in, j);
	return true;
}

/* Whether events of its stream may come in now. */
static bool is_taken(struct intake_run *run)
{
	const struct refusal *refused = run->request->refused;
	const char *name = run->in->event.model->pub.name;

	if (!refused || !refused->count ||
	    !refusal_has(refused, name, strlen(name)))
		return true;
	return finding_set(&run->in->finding, INTAKE_STREAM_FULL, "event_type",
			   "events of stream \"%s\" cannot be taken now; send "
			   "it again later",
			   name);
}

static bool find_contract(struct intake_run *run)
{
	struct intake *in = run->in;
	struct json *j = &in->json;
	struct event *e = &in->event;

	if (!find_type(in))
		return false;
	e->model =
	    match_event(run->set, e->type.text, e->type.bytes,
			j->members + e->first, j->member_count - e->first);
	if (e->data >= 0 && !(e->model && e->model->takes_data)) {
		if (!flatten_data(in) || !find_type(in))
			return false;
		e->model = match_event(run->set, e->type.text, e->type.bytes,
				       j->members + e->first,
				       j->member_count - e->first);
	}
	if (e->model)
		return is_taken(run);
	if (!e->type.bytes)
		return finding_set(&in->finding, INTAKE_MISSING_FIELD,
				   "event_type", "the event has no event_type");
	return finding_set(&in->finding, INTAKE_NO_CONTRACT, "event_type",
			   "no contract takes event_type \"%.*s\"",
			   (int)(e->type.bytes < 100 ? e->type.bytes : 100),
			   e->type.text);
}

static bool check_unknown(struct intake *in, const struct json_member *m)
{
	struct finding *f = &in->finding;
	int shown = m->name_bytes < 63 ? (int)m->name_bytes : 63;

	json_name_add(&in->json, m->name, m->name_bytes);
	if (m->nul) {
		finding_set(f, INTAKE_BAD_CHARACTER, "",
			    "member \"%.*s\" has the character U+0000", shown,
			    m->name);
	} else if (m->rule == SHAPE_UNKNOWN &&
		   in->event.model->unknown == UNKNOWN_REJECT) {
		finding_set(f, INTAKE_UNKNOWN_FIELD, "",
			    "contract %s has no field \"%.*s\"",
			    in->event.model->pub.name, shown, m->name);
	} else {
		in->event.unknown_count += m->rule == SHAPE_UNKNOWN;
		return true;
	}
	snprintf(f->field, sizeof(f->field), "%.*s", shown, m->name);
	return false;
}

static inline bool check_member(struct intake *in, uint32_t i)
{
	struct json_member *m = &in->json.members[i];
	struct event *e = &in->event;
	const struct rule *r;

	m->rule = shape_find(&e->model->shape, m->name, m->name_bytes);
	if (m->rule < 0)
		return check_unknown(in, m);
	if (bit_get(e->seen, (uint32_t)m->rule))
		return finding_set(&in->finding, INTAKE_DUPLICATE_KEY, m->name,
				   "member \"%s\" is there twice", m->name);
	bit_set(e->seen, (uint32_t)m->rule);
	if (json_is_null(m->val))
		return true;
	bit_set(e->filled, (uint32_t)m->rule);
	e->member_of[m->rule] = i;
	r = &e->model->shape.rules[m->rule];
	if (r->value != VALUE_SENT || (r->action & ACTION_CHECK) ||
	    (e->any_kept && bit_get(e->kept, (uint32_t)m->rule)) ||
	    (e->envelope_id && m->rule == e->model->id_rule))
		return true;
	return check_is_plain(r, m->val, m->nul) ||
	       check_value(r, m->val, m->nul, &in->finding);
}

/* Fields that several paths or a nested one may fill. */
static bool check_gathered(struct intake *in)
{
	struct event *e = &in->event;

	for (uint32_t i = 0; i < e->model->shape.count; i++) {
		const struct rule *r = &e->model->shape.rules[i];
		yyjson_val *v;

		v = r->gathered ? rule_gather(r, &in->json, e->first) : NULL;
		if (!v)
			continue;
		bit_set(e->filled, i);
		e->member_of[i] = EVENT_NO_MEMBER;
		if (!(r->action & ACTION_CHECK) &&
		    !check_value(r, v, false, &in->finding))
			return false;
	}
	return true;
}

static bool check_required(struct intake *in)
{
	const struct event *e = &in->event;
	const struct shape *shape = &e->model->shape;

	for (uint32_t w = 0; w < shape->words; w++) {
		uint64_t missing = shape->required[w] & ~e->filled[w];
		const struct rule *r;

		if (!missing)
			continue;
		r = &shape->rules[w * 64 + (uint32_t)__builtin_ctzll(missing)];
		return finding_set(&in->finding, INTAKE_MISSING_FIELD, r->name,
				   "%s is required by contract %s", r->name,
				   e->model->pub.name);
	}
	return true;
}

/* The member that fills a field, or no text when only paths into others do. */
static struct slice member_name(const struct rule *r)
{
	if (!r->from_count)
		return (struct slice){r->name, r->name_bytes};
	for (uint32_t i = 0; i < r->from_count; i++)
		if (r->from[i].count == 1)
			return r->from[i].names[0];
	return (struct slice){NULL, 0};
}

/* A member `"name":"value",` in front; the value is borrowed. */
static void assign(struct event *e, int32_t rule, const struct slice *value)
{
	struct slice name = member_name(&e->model->shape.rules[rule]);
	struct json_member *m = &e->given[e->given_count];
	char *out = e->assigned + e->assigned_bytes;

	m->val = &e->given_values[e->given_count];
	m->val->tag =
	    (uint64_t)value->bytes << YYJSON_TAG_BIT | YYJSON_TYPE_STR;
	m->val->uni.str = value->text;
	m->nul = false;
	m->rule = rule;
	m->name = name.text;
	m->name_bytes = (uint32_t)name.bytes;
	m->key = out;
	*out++ = '"';
	out = put(out, name.text, name.bytes);
	*out++ = '"';
	m->key_bytes = (uint32_t)(out - m->key);
	*out++ = ':';
	m->value = out;
	*out++ = '"';
	out = put(out, value->text, value->bytes);
	*out++ = '"';
	m->end = out;
	*out++ = ',';
	e->assigned_bytes = (uint32_t)(out - e->assigned);
	e->rebuild |= bit_get(e->seen, (uint32_t)rule);
	e->member_of[rule] = EVENT_GIVEN | e->given_count++;
	bit_set(e->filled, (uint32_t)rule);
}

static bool is_missing(const struct event *e, int32_t rule)
{
	return rule >= 0 && !bit_get(e->filled, (uint32_t)rule) &&
	       e->model->shape.rules[rule].value == VALUE_SENT &&
	       member_name(&e->model->shape.rules[rule]).bytes != 0;
}

/* The caller's text, if it can stand in a JSON string as it is. */
static const char *usable_text(const char *text)
{
	size_t bytes = text ? strlen(text) : 0;

	if (bytes == 0 || bytes > INTAKE_MAX_SOURCE_BYTES)
		return NULL;
	for (size_t i = 0; i < bytes; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == '"' ||
		    text[i] == '\\')
			return NULL;
	return text;
}

/*
 * Gives the event what every event has. A member that is there but null is left
 * out of the line, which is put together anew then.
 */
static void complete(struct intake_run *run)
{
	struct intake *in = run->in;
	struct event *e = &in->event;
	const struct model *m = e->model;
	const char *source = usable_text(run->request->source);
	const char *id = usable_text(run->request->id);

	if (is_missing(e, m->id_rule)) {
		struct uuid random = uuid_new();

		if (!id)
			id = uuid_format(&random, e->id);
		assign(e, m->id_rule, &(struct slice){id, strlen(id)});
	}
	if (is_missing(e, m->time_rule))
		assign(e, m->time_rule,
		       &(struct slice){in->now, strlen(in->now)});
	if (source && is_missing(e, m->source_rule)) {
		e->source = (struct slice){source, strlen(source)};
		assign(e, m->source_rule, &e->source);
	}
}

bool event_check(struct intake_run *run)
{
	struct intake *in = run->in;
	struct json *j = &in->json;
	struct event *e = &in->event;
	const struct json_member *source;
	const struct model *m;

	if (!find_contract(run))
		return false;
	m = e->model;
	memset(e->seen, 0, m->shape.words * sizeof(*e->seen));
	memset(e->filled, 0, m->shape.words * sizeof(*e->filled));
	e->any_kept = false;
	if (run->request->masked && !event_keep(run))
		return false;
	for (uint32_t i = e->first; i < j->member_count; i++)
		if (!check_member(in, i))
			return false;
	source = event_member(in, m->source_rule);
	if (source && json_type(source->val) == YYJSON_TYPE_STR)
		e->source =
		    (struct slice){source->val->uni.str, json_len(source->val)};
	if (j->name_count > 1 && !json_names_unique(j))
		return event_fault(in, j);
	if (m->gathered_count && !check_gathered(in))
		return false;
	complete(run);
	return check_required(in);
}
