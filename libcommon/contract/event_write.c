#define XXH_INLINE_ALL
#include <xxhash.h>

#include "contract/event.h"
#include "contract/put.h"

/* Between the parts of an identity of several fields. */
#define PART_SEPARATOR '\x1f'

/* Room for what goes between lines: identity, key and type, unescaped. */
#define ASIDE_BYTES (64u << 10)

/* Where a member's value lies in the payload, and whether it is escaped. */
struct place {
	const struct json_member *m;
	uint32_t offset; /* of the value's JSON text */
	uint32_t bytes;
};

static bool is_assigned(const struct event *e, int32_t rule)
{
	const struct model *m = e->model;

	return (e->given_id && rule == m->id_rule) ||
	       (e->given_time && rule == m->time_rule) ||
	       (e->given_source && rule == m->source_rule);
}

static char *put_value(char *out, const struct json_member *m, bool minify)
{
	if (minify)
		return json_minify(m->value, m->end, out);
	return put(out, m->value, (size_t)(m->end - m->value));
}

/* The line from its members, without those that were assigned anew. */
static size_t put_members(struct intake_run *run, char *line)
{
	struct json *j = &run->in->json;
	struct event *e = &run->in->event;
	char *out = line;

	*out++ = '{';
	out = put(out, e->assigned, e->assigned_bytes);
	for (uint32_t i = e->first; i < j->member_count; i++) {
		struct json_member *m = &j->members[i];

		if (m->rule >= 0 && is_assigned(e, m->rule))
			continue;
		out = put(out, m->key, m->key_bytes);
		*out++ = ':';
		m->at = (uint32_t)(out - line);
		out = put_value(out, m, run->newlines);
		*out++ = ',';
	}
	out[-1] = '}';
	return (size_t)(out - line);
}

/* The line as it came, behind what was assigned. */
static size_t put_copy(struct intake_run *run, char *line)
{
	struct json *j = &run->in->json;
	struct event *e = &run->in->event;
	char *out = line;
	uint32_t shift = e->assigned_bytes;

	*out++ = '{';
	out = put(out, e->assigned, e->assigned_bytes);
	out = put(out, e->start + 1, (size_t)(e->end - e->start) - 1);
	for (uint32_t i = e->first; i < j->member_count; i++)
		j->members[i].at =
		    (uint32_t)(j->members[i].value - e->start) + shift;
	return (size_t)(out - line);
}

static size_t line_room(const struct intake_run *run)
{
	const struct json *j = &run->in->json;
	const struct event *e = &run->in->event;
	size_t bytes = e->assigned_bytes + 4;

	if (!e->rebuild)
		return bytes + (size_t)(e->end - e->start);
	for (uint32_t i = e->first; i < j->member_count; i++)
		bytes += j->members[i].key_bytes + 2 +
			 (size_t)(j->members[i].end - j->members[i].value);
	return bytes;
}

static const struct json_member *member_of(const struct intake *in,
					   int32_t rule)
{
	uint32_t i;

	if (rule < 0 || !bit_get(in->event.filled, (uint32_t)rule))
		return NULL;
	i = in->event.member_of[rule];
	return i == EVENT_NO_MEMBER ? NULL : &in->json.members[i];
}

/* The unescaped text of a field's value. */
static struct slice value_of(const struct intake *in, int32_t rule)
{
	const struct event *e = &in->event;
	const struct json_member *m;

	if (rule >= 0 && is_assigned(e, rule)) {
		if (rule == e->model->id_rule)
			return (struct slice){e->id, UUID_TEXT_BYTES - 1};
		if (rule == e->model->source_rule)
			return e->source;
		return (struct slice){in->now, strlen(in->now)};
	}
	m = member_of(in, rule);
	if (!m)
		return (struct slice){NULL, 0};
	if (json_type(m->val) == YYJSON_TYPE_STR ||
	    json_type(m->val) == YYJSON_TYPE_RAW)
		return (struct slice){m->val->uni.str, json_len(m->val)};
	return (struct slice){m->value, (size_t)(m->end - m->value)};
}

/* Puts bytes between lines; returns their offset. */
static uint32_t put_aside(struct batch_builder *w, const char *text,
			  size_t bytes)
{
	uint32_t offset = batch_builder_offset(w);

	put(batch_builder_room(w, bytes), text, bytes);
	batch_builder_commit(w, bytes);
	return offset;
}

/* Where a member's unescaped value lies in the payload. */
static uint32_t place_member(struct intake_run *run,
			     const struct json_member *m,
			     const struct slice *value, uint32_t line)
{
	if (json_type(m->val) != YYJSON_TYPE_STR)
		return line + m->at;
	/* Without escapes only the quotes are more than the value. */
	if ((size_t)(m->end - m->value) == value->bytes + 2)
		return line + m->at + 1;
	return put_aside(run->w, value->text, value->bytes);
}

/* Where the unescaped value of a field lies in the payload. */
static uint32_t place_value(struct intake_run *run, int32_t rule,
			    const struct slice *value, uint32_t line)
{
	const struct event *e = &run->in->event;

	if (!is_assigned(e, rule))
		return place_member(run, member_of(run->in, rule), value, line);
	if (rule == e->model->id_rule)
		return line + 1 + e->id_at;
	if (rule == e->model->source_rule)
		return line + 1 + e->source_at;
	return put_aside(run->w, value->text, value->bytes);
}

static void put_type(struct intake_run *run, uint32_t line,
		     struct batch_event *entry)
{
	const struct json *j = &run->in->json;
	const struct event *e = &run->in->event;

	for (uint32_t i = e->first; e->type.bytes && i < j->member_count; i++) {
		const struct json_member *m = &j->members[i];

		if (json_type(m->val) != YYJSON_TYPE_STR ||
		    m->val->uni.str != e->type.text)
			continue;
		entry->type_bytes = (uint16_t)e->type.bytes;
		entry->type_offset = place_member(run, m, &e->type, line);
		return;
	}
}

static void put_identity(struct intake_run *run, uint32_t line,
			 struct batch_event *entry)
{
	const struct model *m = run->in->event.model;
	struct buf *text = &run->in->text;
	struct slice value;

	if (m->identity_count == 1) {
		value = value_of(run->in, m->identity[0]);
		entry->id_bytes = (uint16_t)value.bytes;
		if (value.bytes)
			entry->id_offset =
			    place_value(run, m->identity[0], &value, line);
		return;
	}
	buf_clear(text);
	for (uint32_t i = 0; i < m->identity_count; i++) {
		value = value_of(run->in, m->identity[i]);
		if (i)
			buf_char(text, PART_SEPARATOR);
		buf_append(text, value.text, value.bytes);
	}
	entry->id_bytes = (uint16_t)text->used;
	entry->id_offset = put_aside(run->w, text->data, text->used);
}

static void put_key(struct intake_run *run, uint32_t line,
		    struct batch_event *entry)
{
	const struct model *m = run->in->event.model;
	struct slice key = value_of(run->in, m->partition_rule);

	if (!key.bytes)
		return;
	entry->key_bytes = (uint16_t)key.bytes;
	entry->key_offset = place_value(run, m->partition_rule, &key, line);
	entry->key_hash = XXH3_64bits(key.text, key.bytes);
}

static uint16_t stream_of(struct intake_run *run)
{
	const struct model *m = run->in->event.model;
	uint16_t *cached = &run->in->streams[m->index];

	if (!*cached) {
		uint16_t stream =
		    batch_builder_stream(run->w, m->pub.name, m->name_bytes);

		if (stream == BATCH_NO_STREAM)
			return stream;
		*cached = (uint16_t)(stream + 1);
	}
	return (uint16_t)(*cached - 1);
}

static void note_first(struct intake_run *run)
{
	struct slice id = value_of(run->in, run->in->event.model->id_rule);
	size_t room = sizeof(run->result->first_id) - 1;
	size_t bytes = id.bytes < room ? id.bytes : room;

	memcpy(run->result->first_id, id.text ? id.text : "", bytes);
	run->result->first_id[bytes] = '\0';
}

static bool has_break(const struct event *e)
{
	size_t bytes = (size_t)(e->end - e->start);

	return memchr(e->start, '\n', bytes) || memchr(e->start, '\r', bytes);
}

bool event_write(struct intake_run *run)
{
	struct intake *in = run->in;
	struct event *e = &in->event;
	struct batch_event entry = {.version = e->model->pub.version};
	struct batch_builder *w = run->w;
	size_t room;
	char *line;

	if (!e->rebuild && run->newlines && has_break(e))
		e->rebuild = true;
	room = line_room(run);
	entry.stream = stream_of(run);
	entry.offset = batch_builder_offset(w);
	if (entry.stream == BATCH_NO_STREAM ||
	    batch_builder_events(w) >= BATCH_MAX_EVENTS ||
	    entry.offset + room + ASIDE_BYTES > BATCH_MAX_PAYLOAD_BYTES)
		return finding_set(&in->finding, INTAKE_TOO_MANY, "",
				   "the batch is full; send the event again");
	line = batch_builder_room(w, room + 1);
	entry.bytes = (uint32_t)(e->rebuild ? put_members(run, line)
					    : put_copy(run, line));
	if (entry.bytes > BATCH_MAX_EVENT_BYTES)
		return finding_set(&in->finding, INTAKE_TOO_LARGE, "",
				   "an event of %u bytes, at most %d fit",
				   entry.bytes, BATCH_MAX_EVENT_BYTES);
	line[entry.bytes] = '\n';
	batch_builder_commit(w, entry.bytes + 1);
	put_identity(run, entry.offset, &entry);
	put_key(run, entry.offset, &entry);
	put_type(run, entry.offset, &entry);
	if (run->result->accepted == 0)
		note_first(run);
	batch_builder_event(w, &entry);
	return true;
}
