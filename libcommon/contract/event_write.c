#define XXH_INLINE_ALL
#include <xxhash.h>

#include "contract/event.h"
#include "contract/put.h"

/* Room for what goes between lines: identity, key and type, unescaped. */
#define ASIDE_BYTES (64u << 10)

/* True for a field whose member was assigned here. */
static bool is_assigned(const struct event *e, int32_t rule)
{
	return rule >= 0 && bit_get(e->filled, (uint32_t)rule) &&
	       e->member_of[rule] != EVENT_NO_MEMBER &&
	       (e->member_of[rule] & EVENT_GIVEN);
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

		if (is_assigned(e, m->rule))
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

size_t event_put(struct intake_run *run, char *line)
{
	struct event *e = &run->in->event;

	for (uint32_t i = 0; i < e->given_count; i++)
		e->given[i].at =
		    1 + (uint32_t)(e->given[i].value - e->assigned);
	return e->rebuild ? put_members(run, line) : put_copy(run, line);
}

size_t event_room(const struct intake_run *run)
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

const struct json_member *event_member(const struct intake *in, int32_t rule)
{
	const struct event *e = &in->event;
	uint32_t i;

	if (rule < 0 || !bit_get(e->filled, (uint32_t)rule))
		return NULL;
	i = e->member_of[rule];
	if (i == EVENT_NO_MEMBER)
		return NULL;
	return i & EVENT_GIVEN ? &e->given[i & ~EVENT_GIVEN]
			       : &in->json.members[i];
}

/* The unescaped text of a field's value. */
static struct slice value_of(const struct intake *in, int32_t rule)
{
	const struct json_member *m = event_member(in, rule);

	if (!m)
		return (struct slice){NULL, 0};
	if (json_type(m->val) == YYJSON_TYPE_STR ||
	    json_type(m->val) == YYJSON_TYPE_RAW)
		return (struct slice){m->val->uni.str, json_len(m->val)};
	return (struct slice){m->value, (size_t)(m->end - m->value)};
}

static struct slice identity_of(struct intake *in)
{
	const struct model *m = in->event.model;
	struct buf *joined = &in->joined;

	if (m->identity_count == 1)
		return value_of(in, m->identity[0]);
	buf_clear(joined);
	for (uint32_t i = 0; i < m->identity_count; i++) {
		struct slice value = value_of(in, m->identity[i]);

		if (i)
			buf_char(joined, BATCH_PART_SEPARATOR);
		buf_append(joined, value.text, value.bytes);
	}
	return (struct slice){joined->data, joined->used};
}

/* Of a masked key nothing may be left that could be guessed from. */
static uint64_t key_hash(const struct intake_run *run, const struct slice *key)
{
	const struct model *m = run->in->event.model;
	char hex[MASK_HASH_BYTES];

	if (!key->bytes)
		return 0;
	if (!(m->shape.rules[m->partition_rule].action & ACTION_MASK) ||
	    (run->in->event.any_kept &&
	     bit_get(run->in->event.kept, (uint32_t)m->partition_rule)))
		return XXH3_64bits(key->text, key->bytes);
	mask_hash_cached(run->in->mapper->cache, run->set->mask_key, key->text,
			 key->bytes, hex);
	return XXH3_64bits(hex, sizeof(hex));
}

void event_traits(struct intake_run *run, struct traits *t)
{
	const struct event *e = &run->in->event;

	t->id = identity_of(run->in);
	t->key = value_of(run->in, e->model->partition_rule);
	t->key_hash = key_hash(run, &t->key);
	t->type = e->type;
}

/* Where the unescaped value of a member lies in the line. */
static struct spot spot_of(const struct json_member *m)
{
	uint32_t bytes;

	if (!m)
		return (struct spot){0};
	bytes = (uint32_t)(m->end - m->value);
	if (json_type(m->val) != YYJSON_TYPE_STR)
		return (struct spot){m->at, bytes, true};
	/* Without escapes only the quotes are more than the value. */
	if (bytes == json_len(m->val) + 2)
		return (struct spot){m->at + 1, bytes - 2, true};
	return (struct spot){0};
}

void event_spots(const struct intake *in, struct spot spots[3])
{
	const struct event *e = &in->event;
	const struct model *m = e->model;

	spots[0] = spot_of(
	    m->identity_count == 1 ? event_member(in, m->identity[0]) : NULL);
	spots[1] = spot_of(event_member(in, m->partition_rule));
	spots[2] = spot_of(e->type_member == EVENT_NO_MEMBER
			       ? NULL
			       : &in->json.members[e->type_member]);
}

/* Where a text lies in the payload: in the line, or else put behind it. */
static uint32_t place(struct batch_builder *w, const struct slice *text,
		      const struct spot *spot, uint32_t line)
{
	uint32_t offset = batch_builder_offset(w);

	if (!text->bytes)
		return 0;
	if (spot->known)
		return line + spot->at;
	put(batch_builder_room(w, text->bytes), text->text, text->bytes);
	batch_builder_commit(w, text->bytes);
	return offset;
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

bool event_full(struct intake *in)
{
	return finding_set(&in->finding, INTAKE_TOO_MANY, "",
			   "the batch is full; send the event again");
}

static bool write_line(struct intake_run *run, struct batch_event *entry)
{
	struct intake *in = run->in;
	struct batch_builder *w = run->w;
	size_t room = event_room(run);
	struct spot spots[3];
	struct traits t;
	char *line;

	entry->offset = batch_builder_offset(w);
	if (entry->offset + room + ASIDE_BYTES > BATCH_MAX_PAYLOAD_BYTES)
		return event_full(in);
	line = batch_builder_room(w, room + 1);
	entry->bytes = (uint32_t)event_put(run, line);
	if (entry->bytes > BATCH_MAX_EVENT_BYTES)
		return finding_set(&in->finding, INTAKE_TOO_LARGE, "",
				   "an event of %u bytes, at most %d fit",
				   entry->bytes, BATCH_MAX_EVENT_BYTES);
	line[entry->bytes] = '\n';
	batch_builder_commit(w, entry->bytes + 1);
	event_traits(run, &t);
	event_spots(in, spots);
	entry->id_bytes = (uint16_t)t.id.bytes;
	entry->key_bytes = (uint16_t)t.key.bytes;
	entry->type_bytes = (uint16_t)t.type.bytes;
	entry->key_hash = t.key_hash;
	entry->id_offset = place(w, &t.id, &spots[0], entry->offset);
	entry->key_offset = place(w, &t.key, &spots[1], entry->offset);
	entry->type_offset = place(w, &t.type, &spots[2], entry->offset);
	batch_builder_event(w, entry);
	return true;
}

bool event_write(struct intake_run *run)
{
	struct event *e = &run->in->event;
	struct batch_event entry = {.version = e->model->pub.version};

	if (!e->rebuild && run->newlines && has_break(e))
		e->rebuild = true;
	entry.stream = stream_of(run);
	if (entry.stream == BATCH_NO_STREAM ||
	    batch_builder_events(run->w) >= BATCH_MAX_EVENTS)
		return event_full(run->in);
	if (!(run->request->map ? event_map(run, entry.stream)
				: write_line(run, &entry)))
		return false;
	if (run->result->accepted == 0)
		note_first(run);
	return true;
}
