#include "contract/mapper.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "contract/map.h"
#include "contract/put.h"

struct mapper *mapper_new(void)
{
	struct mapper *m = xcalloc(1, sizeof(*m));

	m->cache = mask_cache_new();
	m->created_at_us = INT64_MIN;
	m->json = &m->parser;
	return m;
}

void mapper_free(struct mapper **m)
{
	if (*m) {
		json_free(&(*m)->parser);
		mask_cache_free(&(*m)->cache);
		buf_free(&(*m)->flags);
		buf_free(&(*m)->text);
		buf_free(&(*m)->tail);
		buf_free(&(*m)->masked);
	}
	free(*m);
	*m = NULL;
}

const struct mapper_counts *mapper_get_counts(const struct mapper *m)
{
	return &m->counts;
}

void map_created(struct mapper *m, int64_t created_at_us)
{
	if (m->created_at_us == created_at_us)
		return;
	m->created_at_us = created_at_us;
	clock_format(created_at_us, m->created);
}

static void find_rules(struct mapper *m)
{
	const struct shape *shape = &m->model->shape;
	struct json *j = m->json;

	m->unknown_member = NULL;
	m->unknown_count = 0;
	memset(m->seen, 0, shape->words * sizeof(*m->seen));
	for (uint32_t i = 0; i < j->member_count; i++) {
		struct json_member *member = &j->members[i];

		member->rule =
		    shape_find(shape, member->name, member->name_bytes);
		if (member->rule >= 0)
			bit_set(m->seen, (uint32_t)member->rule);
		else
			m->unknown_count += member->rule == SHAPE_UNKNOWN;
		if (member->rule == m->model->unknown_rule &&
		    member->rule >= 0 && !json_is_null(member->val))
			m->unknown_member = member;
	}
	if (m->model->unknown != UNKNOWN_KEEP)
		m->unknown_count = 0;
}

bool map_parse(struct mapper *m)
{
	struct json *j = &m->parser;
	const char *why;
	size_t at;
	yyjson_val *root =
	    json_parse(j, m->sent.text, m->sent.bytes, &at, &why);

	m->json = j;
	m->head_count = 0;
	j->member_count = 0;
	if (!root)
		return finding_set(&m->finding, INTAKE_MALFORMED, "",
				   "%s at byte %zu", why, at);
	if (!json_is_object(root))
		return finding_set(&m->finding, INTAKE_NOT_OBJECT, "",
				   "an event must be a JSON object");
	if (json_len(root) != 0 && !json_members(j, root, 1))
		return finding_set(&m->finding,
				   j->fault == JSON_TOO_DEEP ? INTAKE_TOO_DEEP
				   : j->fault == JSON_DUPLICATE_KEY
				       ? INTAKE_DUPLICATE_KEY
				       : INTAKE_TOO_LARGE,
				   "",
				   "the event is nested too deep, has a key "
				   "twice or too many members");
	if (m->model)
		find_rules(m);
	return true;
}

static uint32_t put_aside(struct batch_builder *w, const char *text,
			  size_t bytes)
{
	uint32_t offset = batch_builder_offset(w);

	put(batch_builder_room(w, bytes), text, bytes);
	batch_builder_commit(w, bytes);
	return offset;
}

/*
 * A slice of the output: where the value was written in the line, or else its
 * text, put between lines.
 */
static uint32_t place(const struct mapper *m, struct batch_builder *w,
		      const struct spot *spot, const struct slice *value,
		      uint16_t *bytes)
{
	*bytes = 0;
	if (!value->bytes)
		return 0;
	*bytes = (uint16_t)(spot->known ? spot->bytes : value->bytes);
	if (spot->known)
		return m->line_offset + spot->at;
	return put_aside(w, value->text, value->bytes);
}

/* An identity of several fields, one of which may not be read. */
static uint32_t place_masked_id(const struct mapper *m, struct batch_builder *w)
{
	char hex[MASK_HASH_BYTES];

	mask_hash(m->set->mask_key, m->traits.id.text, m->traits.id.bytes, hex);
	return put_aside(w, hex, sizeof(hex));
}

static bool has_mask(const struct model *model, int32_t rule)
{
	return rule >= 0 && (model->shape.rules[rule].action & ACTION_MASK);
}

static void commit(struct mapper *m, struct batch_builder *w, size_t bytes)
{
	const struct model *model = m->model;
	struct traits *t = &m->traits;
	struct batch_event entry = {
	    .offset = batch_builder_offset(w),
	    .bytes = (uint32_t)bytes,
	    .key_hash = t->key_hash,
	    .stream = m->stream,
	    .version = model->pub.version,
	};

	m->line_offset = entry.offset;
	/* A masked value that could not be written must not show here. */
	if (!m->key.known && has_mask(model, model->partition_rule))
		t->key.bytes = 0;
	if (!m->id.known && model->identity_count == 1 &&
	    has_mask(model, model->identity[0]))
		t->id.bytes = 0;
	batch_builder_commit(w, bytes + 1);
	entry.key_offset = place(m, w, &m->key, &t->key, &entry.key_bytes);
	if (model->masked_identity && model->identity_count > 1) {
		entry.id_offset = place_masked_id(m, w);
		entry.id_bytes = MASK_HASH_BYTES;
	} else {
		entry.id_offset = place(m, w, &m->id, &t->id, &entry.id_bytes);
	}
	entry.type_offset = place(m, w, &m->type, &t->type, &entry.type_bytes);
	batch_builder_event(w, &entry);
}

/* Where a text lies in the line as it came, unless it lies elsewhere. */
static struct spot spot_of(const struct slice *line, const struct slice *text)
{
	if (text->text < line->text ||
	    text->text + text->bytes > line->text + line->bytes)
		return (struct spot){0};
	return (struct spot){(uint32_t)(text->text - line->text),
			     (uint32_t)text->bytes, true};
}

/* Passes the line byte by byte; slices inside it keep their place. */
static size_t copy_line(struct mapper *m)
{
	put(m->line.start, m->sent.text, m->sent.bytes);
	m->id = spot_of(&m->sent, &m->traits.id);
	m->key = spot_of(&m->sent, &m->traits.key);
	m->type = spot_of(&m->sent, &m->traits.type);
	return m->sent.bytes;
}

/* What may be put between lines at most. */
static size_t aside_bytes(const struct mapper *m)
{
	const struct traits *t = &m->traits;

	return t->id.bytes + t->key.bytes + t->type.bytes + MASK_HASH_BYTES;
}

bool map_finish(struct mapper *m, struct batch_builder *w, size_t bytes)
{
	if (bytes > BATCH_MAX_LINE_BYTES)
		return finding_set(&m->finding, INTAKE_TOO_LARGE, "",
				   "the mapped event has %zu bytes", bytes);
	if (!map_fits(m, w, bytes + 1 + aside_bytes(m)))
		return finding_set(&m->finding, INTAKE_TOO_LARGE, "",
				   "its batch is too large when mapped");
	m->line.start[bytes] = '\n';
	commit(m, w, bytes);
	return true;
}

bool map_line(struct mapper *m, struct batch_builder *w)
{
	bool plain = map_is_plain(m);
	size_t bytes;

	m->id = m->key = m->type = (struct spot){0};
	m->line.start = batch_builder_room(w, map_room(m));
	if (plain) {
		bytes = copy_line(m);
		m->counts.copied++;
	} else {
		if (!map_members(m))
			return false;
		m->counts.mapped++;
		bytes = (size_t)(m->line.at - m->line.start);
	}
	return map_finish(m, w, bytes);
}

static bool map_event(struct mapper *m, struct batch_builder *w)
{
	const struct model *model = m->model;
	char name[BATCH_STREAM_NAME_BYTES + 1];

	if (!model)
		return finding_set(
		    &m->finding, INTAKE_NO_CONTRACT, "",
		    "the contract set has no contract for "
		    "stream %s",
		    batch_stream(m->batch, m->event->stream, name));
	m->stream = batch_builder_stream(w, model->pub.name, model->name_bytes);
	return map_line(m, w);
}

void mapper_event(struct mapper *m, struct contract_set *set,
		  const struct batch *b, uint32_t i, struct batch_builder *w)
{
	const struct batch_event *e = &b->events[i];
	bool parsed;

	m->set = set;
	m->kept = NULL;
	m->batch = b;
	m->event = e;
	m->behind = b->header.events - i - 1;
	m->sent = (struct slice){b->payload + e->offset, e->bytes};
	m->traits = (struct traits){
	    .id = {b->payload + e->id_offset, e->id_bytes},
	    .key = {b->payload + e->key_offset, e->key_bytes},
	    .type = {b->payload + e->type_offset, e->type_bytes},
	    .key_hash = e->key_hash,
	};
	map_created(m, b->header.created_at_us);
	m->model =
	    match_name(set, b->streams[e->stream], b->stream_bytes[e->stream]);
	parsed = map_parse(m);
	if (!parsed || !map_event(m, w))
		map_dead_letter(m, w, parsed);
}
