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
	return m;
}

void mapper_free(struct mapper **m)
{
	if (*m) {
		json_free(&(*m)->json);
		mask_cache_free(&(*m)->cache);
		buf_free(&(*m)->flags);
		buf_free(&(*m)->text);
	}
	free(*m);
	*m = NULL;
}

const struct mapper_counts *mapper_get_counts(const struct mapper *m)
{
	return &m->counts;
}

/* Parses the event's line. False with m->finding. */
static bool parse(struct mapper *m)
{
	struct json *j = &m->json;
	const char *why;
	size_t at;
	yyjson_val *root = json_parse(j, m->batch->payload + m->event->offset,
				      m->event->bytes, &at, &why);

	j->member_count = 0;
	if (!root)
		return finding_set(&m->finding, INTAKE_MALFORMED, "",
				   "%s at byte %zu", why, at);
	if (!json_is_object(root))
		return finding_set(&m->finding, INTAKE_NOT_OBJECT, "",
				   "an event must be a JSON object");
	if (json_len(root) == 0 || json_members(j, root, 1))
		return true;
	return finding_set(&m->finding,
			   j->fault == JSON_TOO_DEEP ? INTAKE_TOO_DEEP
			   : j->fault == JSON_DUPLICATE_KEY
			       ? INTAKE_DUPLICATE_KEY
			       : INTAKE_TOO_LARGE,
			   "",
			   "the event is nested too deep, has a key twice "
			   "or too many members");
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
 * A slice of the output: where the value was written in the line, or else the
 * text the input's index had, put between lines.
 */
static void place(struct mapper *m, struct batch_builder *w,
		  const struct spot *spot, uint32_t *offset, uint16_t *bytes)
{
	if (!*bytes)
		return;
	if (spot->known) {
		*offset = m->line_offset + spot->at;
		*bytes = (uint16_t)spot->bytes;
	} else {
		*offset = put_aside(w, m->batch->payload + *offset, *bytes);
	}
}

/* An identity of several fields, one of which may not be read. */
static void place_masked_id(struct mapper *m, struct batch_builder *w,
			    struct batch_event *entry)
{
	char hex[MASK_HASH_BYTES];

	mask_hash(m->set->mask_key, m->batch->payload + entry->id_offset,
		  entry->id_bytes, hex);
	entry->id_offset = put_aside(w, hex, sizeof(hex));
	entry->id_bytes = sizeof(hex);
}

static bool has_mask(const struct model *model, int32_t rule)
{
	return rule >= 0 && (model->shape.rules[rule].action & ACTION_MASK);
}

static void commit(struct mapper *m, struct batch_builder *w, size_t bytes)
{
	struct batch_event entry = *m->event;
	const struct model *model = m->model;

	entry.offset = m->line_offset = batch_builder_offset(w);
	entry.bytes = (uint32_t)bytes;
	entry.stream =
	    batch_builder_stream(w, model->pub.name, model->name_bytes);
	entry.version = model->pub.version;
	/* A masked value that could not be written must not show here. */
	if (!m->key.known && has_mask(model, model->partition_rule))
		entry.key_bytes = 0;
	if (!m->id.known && model->identity_count == 1 &&
	    has_mask(model, model->identity[0]))
		entry.id_bytes = 0;
	batch_builder_commit(w, bytes + 1);
	place(m, w, &m->key, &entry.key_offset, &entry.key_bytes);
	if (model->masked_identity && model->identity_count > 1)
		place_masked_id(m, w, &entry);
	else
		place(m, w, &m->id, &entry.id_offset, &entry.id_bytes);
	place(m, w, &m->type, &entry.type_offset, &entry.type_bytes);
	batch_builder_event(w, &entry);
}

/* Passes the line byte by byte; slices inside it keep their place. */
static size_t copy_line(struct mapper *m, char *line)
{
	const struct batch_event *e = m->event;
	const struct {
		uint32_t offset, bytes;
		struct spot *spot;
	} slices[] = {
	    {e->id_offset, e->id_bytes, &m->id},
	    {e->key_offset, e->key_bytes, &m->key},
	    {e->type_offset, e->type_bytes, &m->type},
	};

	put(line, m->batch->payload + e->offset, e->bytes);
	for (int i = 0; i < 3; i++)
		if (slices[i].offset >= e->offset &&
		    slices[i].offset - e->offset + slices[i].bytes <= e->bytes)
			*slices[i].spot =
			    (struct spot){slices[i].offset - e->offset,
					  slices[i].bytes, true};
	m->counts.copied++;
	return e->bytes;
}

/* What may be put between lines at most. */
static size_t aside_bytes(const struct mapper *m)
{
	return (size_t)m->event->id_bytes + m->event->key_bytes +
	       m->event->type_bytes + MASK_HASH_BYTES;
}

static bool map_event(struct mapper *m, struct batch_builder *w)
{
	char name[BATCH_STREAM_NAME_BYTES + 1];
	bool plain;
	size_t bytes;

	if (!m->model)
		return finding_set(
		    &m->finding, INTAKE_NO_CONTRACT, "",
		    "the contract set has no contract for "
		    "stream %s",
		    batch_stream(m->batch, m->event->stream, name));
	plain = map_is_plain(m);
	m->line.start = batch_builder_room(w, map_room(m));
	if (plain) {
		bytes = copy_line(m, m->line.start);
	} else {
		if (!map_members(m))
			return false;
		m->counts.mapped++;
		bytes = (size_t)(m->line.at - m->line.start);
	}
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

void mapper_event(struct mapper *m, struct contract_set *set,
		  const struct batch *b, uint32_t i, struct batch_builder *w)
{
	uint16_t stream = b->events[i].stream;
	bool parsed;

	m->set = set;
	m->batch = b;
	m->event = &b->events[i];
	m->behind = b->header.events - i - 1;
	m->id = m->key = m->type = (struct spot){0};
	if (m->created_at_us != b->header.created_at_us) {
		m->created_at_us = b->header.created_at_us;
		clock_format(m->created_at_us, m->created);
	}
	m->model = match_name(set, b->streams[stream], b->stream_bytes[stream]);
	parsed = parse(m);
	if (!parsed || !map_event(m, w))
		map_dead_letter(m, w, parsed);
}
