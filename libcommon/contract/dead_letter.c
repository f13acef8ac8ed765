#include <stdio.h>

#include "base/uuid.h"
#include "contract/map.h"

#define STREAM "dead_letter"

/*
 * A letter of an event that its batch has no room for: a UUID, a code, a stream
 * and times, and its identity. A place of this size is kept for each event of a
 * batch, so that no input can overfill one.
 */
#define SHORT_BYTES 448

_Static_assert(BATCH_MAX_EVENTS *SHORT_BYTES <= BATCH_MAX_PAYLOAD_BYTES,
	       "a batch of short letters fits");

/* What is said of a letter beside its line. */
struct letter {
	char stream[BATCH_STREAM_NAME_BYTES + 1]; /* of the event that failed */
	char uuid[UUID_TEXT_BYTES];
	struct slice id;
	size_t type_at; /* in the line */
};

bool map_fits(const struct mapper *m, const struct batch_builder *w,
	      size_t bytes)
{
	return batch_builder_fits(w, 1,
				  bytes + (size_t)m->behind * SHORT_BYTES);
}

/*
 * A text that may be no UTF-8: what is beyond ASCII is escaped byte by byte, so
 * that the dead letter is JSON whatever came.
 */
static void escape_bytes(struct buf *out, const char *text, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c < 0x80)
			buf_json_escape(out, text + i, 1);
		else
			buf_printf(out, "\\u%04x", c);
	}
}

/* Notes that a member is not as it came: by which mask, or that it is gone. */
static void note_mask(struct mapper *m, const struct json_member *member,
		      const char *how)
{
	buf_char(&m->masked, m->masked.used ? ',' : '{');
	buf_append(&m->masked, member->key, member->key_bytes);
	buf_printf(&m->masked, ":\"%s\"", how);
}

/* Whether a field with a mask is taken out of a member that is none itself. */
static bool hides_masked(const struct mapper *m,
			 const struct json_member *member)
{
	const struct shape *shape = &m->model->shape;

	for (uint32_t i = 0; i < shape->count; i++) {
		const struct rule *r = &shape->rules[i];

		if (!r->gathered || !(r->action & ACTION_MASK))
			continue;
		for (uint32_t k = 0; k < r->from_count; k++) {
			const struct slice *first = &r->from[k].names[0];

			if (first->bytes == member->name_bytes &&
			    memcmp(first->text, member->name, first->bytes) ==
				0)
				return true;
		}
	}
	return false;
}

/* A member's value under its mask. */
static void put_mask(struct mapper *m, const struct rule *r,
		     const struct json_member *member)
{
	size_t value = (size_t)(member->end - member->value);
	struct buf masked = {0};
	char *end;

	buf_reserve(&masked, value + (size_t)2 * MASK_HASH_BYTES);
	end = map_mask(m, r, member, masked.data);
	if (end)
		buf_json_escape(&m->text, masked.data,
				(size_t)(end - masked.data));
	else
		buf_text(&m->text, "null");
	/* Redacted values that are no strings become null in events too. */
	note_mask(m, member,
		  end || r->field->mask == CONTRACT_MASK_REDACT
		      ? contract_mask_name(r->field->mask)
		      : MASK_REMOVED);
	buf_free(&masked);
}

/* One top-level member of the original, masked if its contract says so. */
static void put_member(struct mapper *m, const struct json_member *member)
{
	const struct rule *r =
	    member->rule >= 0 ? &m->model->shape.rules[member->rule] : NULL;

	buf_json_escape(&m->text, member->key, member->key_bytes);
	buf_char(&m->text, ':');
	if (r && (r->action & ACTION_MASK) && !json_is_null(member->val)) {
		put_mask(m, r, member);
	} else if (!r && hides_masked(m, member)) {
		buf_text(&m->text, "null");
		note_mask(m, member, MASK_REMOVED);
	} else {
		buf_json_escape(&m->text, member->value,
				(size_t)(member->end - member->value));
	}
}

static void put_original(struct mapper *m, bool parsed)
{
	const char *text = m->sent.text;
	const struct json *j = m->json;

	buf_clear(&m->masked);
	buf_text(&m->text, ",\"original\":\"");
	if (!parsed) {
		escape_bytes(&m->text, text, m->sent.bytes);
	} else if (!m->model || !j->member_count) {
		buf_json_escape(&m->text, text, m->sent.bytes);
	} else {
		for (uint32_t i = 0; i < j->member_count; i++) {
			buf_char(&m->text, i ? ',' : '{');
			put_member(m, &j->members[i]);
		}
		buf_char(&m->text, '}');
	}
	buf_char(&m->text, '"');
	if (!m->masked.used)
		return;
	buf_text(&m->text, ",\"masked\":");
	buf_append(&m->text, m->masked.data, m->masked.used);
	buf_char(&m->text, '}');
}

static void put_text(struct buf *out, const char *name, const char *text,
		     size_t bytes)
{
	if (!bytes)
		return;
	buf_printf(out, ",\"%s\":\"", name);
	buf_json_escape(out, text, bytes);
	buf_char(out, '"');
}

static void put_trace(struct mapper *m)
{
	const uint8_t *trace = m->batch->header.trace;
	char text[2 * BATCH_TRACE_BYTES + 1];
	uint8_t any = 0;

	for (size_t i = 0; i < BATCH_TRACE_BYTES; i++) {
		snprintf(text + i * 2, 3, "%02x", trace[i]);
		any |= trace[i];
	}
	if (any)
		put_text(&m->text, "trace", text, sizeof(text) - 1);
}

static void put_source(struct mapper *m)
{
	const struct json *j = m->json;

	for (uint32_t i = 0; i < j->member_count; i++) {
		const struct json_member *member = &j->members[i];

		if (member->name_bytes == 12 &&
		    memcmp(member->name, "event_source", 12) == 0 &&
		    json_type(member->val) == YYJSON_TYPE_STR)
			put_text(&m->text, "source", member->val->uni.str,
				 json_len(member->val));
	}
}

/*
 * The id names the event that failed, not this letter: a replay of the event
 * gives the same id. One that a mask covers, or that leaves an identity no room
 * for the stream, is made from its hash. *id is what it says.
 */
static void put_id(struct mapper *m, bool brief, struct letter *letter)
{
	const struct slice *id = &m->traits.id;

	letter->id = *id;
	if (!id->bytes || brief || (m->model && m->model->masked_identity) ||
	    id->bytes + strlen(letter->stream) + 1 > UINT16_MAX) {
		map_uuid(m, STREAM, sizeof(STREAM) - 1, letter->uuid);
		letter->id =
		    (struct slice){letter->uuid, sizeof(letter->uuid) - 1};
	}
	buf_text(&m->text, "\"event_id\":\"");
	buf_json_escape(&m->text, letter->id.text, letter->id.bytes);
	buf_char(&m->text, '"');
}

static void put_head(struct mapper *m, bool brief, struct letter *letter)
{
	const struct finding *f = &m->finding;
	const char *code = intake_code_name(f->code);

	batch_stream(m->batch, m->event->stream, letter->stream);
	buf_clear(&m->text);
	buf_char(&m->text, '{');
	put_id(m, brief, letter);
	buf_text(&m->text, ",\"event_type\":\"");
	letter->type_at = m->text.used;
	buf_printf(&m->text,
		   STREAM "\",\"event_time\":\"%s\","
			  "\"code\":\"%s\",\"stage\":\"transformer\","
			  "\"received_at\":\"%s\"",
		   m->created, code, m->created);
	put_text(&m->text, "stream", letter->stream, strlen(letter->stream));
}

static void put_line(struct mapper *m, bool parsed, struct letter *letter)
{
	const struct finding *f = &m->finding;

	put_head(m, false, letter);
	put_text(&m->text, "reason", f->text, strlen(f->text));
	put_text(&m->text, "field", f->field, strlen(f->field));
	if (parsed)
		put_source(m);
	put_trace(m);
	put_original(m, parsed);
	buf_char(&m->text, '}');
}

/* Behind the line: the stream and the event's id, by which letters are told
 * from each other. */
static void put_identity(struct batch_builder *w, const struct letter *letter,
			 struct batch_event *entry)
{
	size_t stream = strlen(letter->stream);
	size_t bytes = stream + 1 + letter->id.bytes;
	char *out = batch_builder_room(w, bytes);

	entry->id_offset = batch_builder_offset(w);
	entry->id_bytes = (uint16_t)bytes;
	memcpy(out, letter->stream, stream);
	out[stream] = BATCH_PART_SEPARATOR;
	memcpy(out + stream + 1, letter->id.text, letter->id.bytes);
	batch_builder_commit(w, bytes);
}

void map_dead_letter(struct mapper *m, struct batch_builder *w, bool parsed)
{
	const struct model *letters =
	    match_name(m->set, STREAM, sizeof(STREAM) - 1);
	struct batch_event entry = {
	    .offset = batch_builder_offset(w),
	    .key_hash = m->traits.key_hash,
	    .stream = batch_builder_stream(w, STREAM, sizeof(STREAM) - 1),
	    .version = letters ? letters->pub.version : 0,
	};
	struct letter letter;
	char *line;

	m->counts.dead_letters++;
	put_line(m, parsed, &letter);
	if (m->text.used > BATCH_MAX_LINE_BYTES ||
	    !map_fits(m, w,
		      m->text.used + sizeof(letter.stream) + 1 +
			  letter.id.bytes)) {
		put_head(m, true, &letter);
		buf_char(&m->text, '}');
	}
	line = batch_builder_room(w, m->text.used + 1);
	memcpy(line, m->text.data, m->text.used);
	line[m->text.used] = '\n';
	entry.bytes = (uint32_t)m->text.used;
	batch_builder_commit(w, m->text.used + 1);
	entry.type_offset = entry.offset + (uint32_t)letter.type_at;
	entry.type_bytes = sizeof(STREAM) - 1;
	put_identity(w, &letter, &entry);
	batch_builder_event(w, &entry);
}
