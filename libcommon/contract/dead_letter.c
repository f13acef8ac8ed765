#include <stdio.h>

#include "contract/map.h"

#define STREAM "dead_letter"

/*
 * A letter of an event that its batch has no room for: a UUID, a code and
 * times. A place of this size is kept for each event of a batch, so that no
 * input can overfill one.
 */
#define SHORT_BYTES 448

_Static_assert(BATCH_MAX_EVENTS *SHORT_BYTES <= BATCH_MAX_PAYLOAD_BYTES,
	       "a batch of short letters fits");

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

/* One top-level member of the original, masked if its contract says so. */
static void put_masked(struct mapper *m, struct json_member *member)
{
	const struct rule *r = m->model && member->rule >= 0
				   ? &m->model->shape.rules[member->rule]
				   : NULL;
	size_t value = (size_t)(member->end - member->value);
	struct buf masked = {0};
	char *end;

	buf_json_escape(&m->text, member->key, member->key_bytes);
	buf_char(&m->text, ':');
	if (!r || !(r->action & ACTION_MASK)) {
		buf_json_escape(&m->text, member->value, value);
		return;
	}
	buf_reserve(&masked, value + (size_t)2 * MASK_HASH_BYTES);
	end = map_mask(m, r, member, masked.data);
	if (end)
		buf_json_escape(&m->text, masked.data,
				(size_t)(end - masked.data));
	else
		buf_text(&m->text, "null");
	buf_free(&masked);
}

static void put_original(struct mapper *m, bool parsed)
{
	const char *text = m->sent.text;
	struct json *j = m->json;

	buf_text(&m->text, ",\"original\":\"");
	if (!parsed) {
		escape_bytes(&m->text, text, m->sent.bytes);
	} else if (!m->model || !j->member_count) {
		buf_json_escape(&m->text, text, m->sent.bytes);
	} else {
		for (uint32_t i = 0; i < j->member_count; i++) {
			buf_char(&m->text, i ? ',' : '{');
			put_masked(m, &j->members[i]);
		}
		buf_char(&m->text, '}');
	}
	buf_char(&m->text, '"');
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
 * gives the same id. One that a mask covers is made from its hash.
 */
static void put_id(struct mapper *m, bool brief)
{
	const struct slice *id = &m->traits.id;
	char text[37];

	if (id->bytes && !brief && !(m->model && m->model->masked_identity)) {
		buf_text(&m->text, "\"event_id\":\"");
		buf_json_escape(&m->text, id->text, id->bytes);
	} else {
		map_uuid(m, STREAM, sizeof(STREAM) - 1, text);
		buf_printf(&m->text, "\"event_id\":\"%s", text);
	}
	buf_char(&m->text, '"');
}

static void put_head(struct mapper *m, bool brief)
{
	const struct finding *f = &m->finding;
	const char *code = intake_code_name(f->code);
	char name[BATCH_STREAM_NAME_BYTES + 1];

	batch_stream(m->batch, m->event->stream, name);
	buf_clear(&m->text);
	buf_char(&m->text, '{');
	put_id(m, brief);
	buf_printf(&m->text,
		   ",\"event_type\":\"" STREAM "\",\"event_time\":\"%s\","
		   "\"code\":\"%s\",\"stage\":\"transformer\","
		   "\"received_at\":\"%s\"",
		   m->created, code, m->created);
	put_text(&m->text, "stream", name, strlen(name));
}

static void put_line(struct mapper *m, bool parsed)
{
	const struct finding *f = &m->finding;

	put_head(m, false);
	put_text(&m->text, "reason", f->text, strlen(f->text));
	put_text(&m->text, "field", f->field, strlen(f->field));
	if (parsed)
		put_source(m);
	put_trace(m);
	put_original(m, parsed);
	buf_char(&m->text, '}');
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
	const char *id, *type;
	char *line;

	m->counts.dead_letters++;
	put_line(m, parsed);
	if (m->text.used > BATCH_MAX_LINE_BYTES ||
	    !map_fits(m, w, m->text.used + 1)) {
		put_head(m, true);
		buf_char(&m->text, '}');
	}
	line = batch_builder_room(w, m->text.used + 1);
	memcpy(line, m->text.data, m->text.used);
	line[m->text.used] = '\n';
	entry.bytes = (uint32_t)m->text.used;
	batch_builder_commit(w, m->text.used + 1);
	type = strstr(buf_str(&m->text), "\"" STREAM "\"");
	entry.type_offset = entry.offset + (uint32_t)(type + 1 - m->text.data);
	entry.type_bytes = sizeof(STREAM) - 1;
	/* Up to the type nothing but the id can hold a quote. */
	id = m->text.data + sizeof("{\"event_id\":\"") - 1;
	entry.id_offset = entry.offset + (uint32_t)(id - m->text.data);
	entry.id_bytes =
	    (uint16_t)(type - id - (long)sizeof("\",\"event_type\":") + 1);
	batch_builder_event(w, &entry);
}
