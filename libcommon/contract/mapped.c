#define XXH_INLINE_ALL
#include "contract/mapped.h"

#include <xxhash.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "contract/check.h"
#include "contract/match.h"
#include "contract/put.h"
#include "contract/row.h"

struct mapped {
	struct json json;
	struct row_reader *rows;
	struct buf joined; /* an identity of several fields */
	struct finding finding;
	const struct model *model;
	const char *line;
	size_t bytes;
};

struct mapped *mapped_new(void)
{
	struct mapped *m = xcalloc(1, sizeof(*m));

	m->rows = row_reader_new();
	return m;
}

void mapped_free(struct mapped **m)
{
	if (*m) {
		json_free(&(*m)->json);
		row_reader_free(&(*m)->rows);
		buf_free(&(*m)->joined);
	}
	free(*m);
	*m = NULL;
}

static int refuse(struct mapped *m, struct intake_error *error)
{
	*error = (struct intake_error){.code = m->finding.code};
	memcpy(error->field, m->finding.field, sizeof(error->field));
	memcpy(error->text, m->finding.text, sizeof(error->text));
	return -1;
}

/* ---- members ---- */

static const struct json_member *find(const struct mapped *m, const char *name)
{
	size_t bytes = strlen(name);

	for (uint32_t i = 0; i < m->json.member_count; i++) {
		const struct json_member *member = &m->json.members[i];

		if (member->name_bytes == bytes &&
		    memcmp(member->name, name, bytes) == 0)
			return json_is_null(member->val) ? NULL : member;
	}
	return NULL;
}

/* The member of a field, whose name a mapped line has. */
static const struct json_member *find_rule(const struct mapped *m, int32_t rule)
{
	return rule < 0 ? NULL : find(m, m->model->shape.rules[rule].name);
}

static struct slice text_of(const struct json_member *member)
{
	if (!member)
		return (struct slice){NULL, 0};
	if (json_type(member->val) == YYJSON_TYPE_STR)
		return (struct slice){member->val->uni.str,
				      json_len(member->val)};
	return (struct slice){member->value,
			      (size_t)(member->end - member->value)};
}

/* ---- opening ---- */

static bool parse(struct mapped *m)
{
	const char *why;
	size_t at;
	yyjson_val *root = json_parse(&m->json, m->line, m->bytes, &at, &why);

	m->json.member_count = 0;
	if (!root)
		return finding_set(&m->finding, INTAKE_MALFORMED, "",
				   "%s at byte %zu", why, at);
	if (!json_is_object(root))
		return finding_set(&m->finding, INTAKE_NOT_OBJECT, "",
				   "an event must be a JSON object");
	if (json_len(root) == 0 || json_members(&m->json, root, 1))
		return true;
	return finding_set(&m->finding, INTAKE_TOO_DEEP, "",
			   "the event is nested too deep, has a key twice or "
			   "too many members");
}

int mapped_open(struct mapped *m, const struct contract_set *set,
		const char *stream, const char *line, size_t bytes,
		struct intake_error *error)
{
	struct slice type;

	m->line = line;
	m->bytes = bytes;
	m->model = NULL;
	if (!parse(m))
		return refuse(m, error);
	type = text_of(find(m, "event_type"));
	if (stream)
		m->model = match_name(set, stream, strlen(stream));
	else
		m->model = match_event(set, type.text, type.bytes,
				       m->json.members, m->json.member_count);
	if (m->model)
		return 0;
	if (stream)
		finding_set(&m->finding, INTAKE_NO_CONTRACT, "",
			    "there is no contract for stream %.64s", stream);
	else
		finding_set(&m->finding, INTAKE_NO_CONTRACT, "event_type",
			    "no contract takes event_type \"%.*s\"",
			    (int)(type.bytes < 100 ? type.bytes : 100),
			    type.bytes ? type.text : "");
	return refuse(m, error);
}

const struct contract *mapped_contract(const struct mapped *m)
{
	return &m->model->pub;
}

bool mapped_time(const struct mapped *m, int64_t *at_us)
{
	struct slice text = text_of(find_rule(m, m->model->time_rule));

	return text.bytes && clock_parse(text.text, text.bytes, at_us) == 0;
}

/* ---- putting ---- */

/* The identity as a batch's index has it. */
static bool find_identity(struct mapped *m, struct slice *id)
{
	const struct model *model = m->model;

	if (model->masked_identity && model->identity_count > 1)
		return finding_set(&m->finding, INTAKE_MASKED, "",
				   "contract %s masks a part of its identity: "
				   "what it was cannot be told any more",
				   model->pub.name);
	buf_clear(&m->joined);
	for (uint32_t i = 0; i < model->identity_count; i++) {
		struct slice part = text_of(find_rule(m, model->identity[i]));

		if (i)
			buf_char(&m->joined, BATCH_PART_SEPARATOR);
		buf_append(&m->joined, part.text, part.bytes);
	}
	*id = (struct slice){m->joined.data, m->joined.used};
	if (id->bytes < model->identity_count)
		return finding_set(
		    &m->finding, INTAKE_MISSING_FIELD,
		    m->model->shape.rules[model->identity[0]].name,
		    "the event has no identity, by which "
		    "duplicates could be told");
	return id->bytes <= UINT16_MAX ||
	       finding_set(&m->finding, INTAKE_TOO_LONG, "",
			   "an identity of %zu bytes", id->bytes);
}

static uint32_t put_aside(struct batch_builder *w, const struct slice *text,
			  uint16_t *bytes)
{
	uint32_t at = batch_builder_offset(w);

	*bytes = (uint16_t)text->bytes;
	if (!text->bytes)
		return 0;
	put(batch_builder_room(w, text->bytes), text->text, text->bytes);
	batch_builder_commit(w, text->bytes);
	return at;
}

static bool is_line(struct mapped *m, const struct slice *key,
		    const struct slice *type)
{
	struct err err;

	if (m->bytes > BATCH_MAX_LINE_BYTES)
		return finding_set(&m->finding, INTAKE_TOO_LARGE, "",
				   "an event of %zu bytes, at most %u fit",
				   m->bytes, BATCH_MAX_LINE_BYTES);
	if (memchr(m->line, '\n', m->bytes))
		return finding_set(&m->finding, INTAKE_MALFORMED, "",
				   "the event is not on one line");
	if (key->bytes > UINT16_MAX || type->bytes > UINT16_MAX)
		return finding_set(&m->finding, INTAKE_TOO_LONG, "",
				   "a key of %zu and a type of %zu bytes",
				   key->bytes, type->bytes);
	if (row_check(m->rows, &m->model->pub, m->line, m->bytes, &err) != 0)
		return finding_set(&m->finding, INTAKE_NOT_A_ROW, "", "%s",
				   err.text);
	return true;
}

int mapped_put(struct mapped *m, struct batch_builder *w,
	       struct intake_error *error)
{
	struct slice id = {NULL, 0};
	struct slice key = text_of(find_rule(m, m->model->partition_rule));
	struct slice type = text_of(find(m, "event_type"));
	struct batch_event e = {.version = m->model->pub.version};
	char *line;

	if (!find_identity(m, &id) || !is_line(m, &key, &type))
		return refuse(m, error);
	e.stream =
	    batch_builder_stream(w, m->model->pub.name, m->model->name_bytes);
	e.offset = batch_builder_offset(w);
	e.bytes = (uint32_t)m->bytes;
	line = batch_builder_room(w, m->bytes + 1);
	put(line, m->line, m->bytes);
	line[m->bytes] = '\n';
	batch_builder_commit(w, m->bytes + 1);
	e.key_hash = key.bytes ? XXH3_64bits(key.text, key.bytes) : 0;
	e.id_offset = put_aside(w, &id, &e.id_bytes);
	e.key_offset = put_aside(w, &key, &e.key_bytes);
	e.type_offset = put_aside(w, &type, &e.type_bytes);
	batch_builder_event(w, &e);
	return 0;
}

int mapped_check_last(struct mapped *m, const struct contract *contract,
		      struct batch_builder *w, uint32_t before,
		      struct intake_error *error)
{
	const char *payload;
	const struct batch_event *e = batch_builder_last(w, &payload);
	struct err err;

	if (row_check(m->rows, contract, payload + e->offset, e->bytes, &err) ==
	    0)
		return 0;
	finding_set(&m->finding, INTAKE_NOT_A_ROW, "", "%s", err.text);
	batch_builder_rollback(w, batch_builder_events(w) - 1, before);
	return refuse(m, error);
}

bool mapped_takes(const struct contract_set *set, const char *stream,
		  const char *type, size_t type_bytes)
{
	for (uint32_t i = 0; i < set->match_count; i++) {
		const struct match_rule *rule = &set->matches[i];

		if (strcmp(rule->model->pub.name, stream) != 0 ||
		    type_bytes < rule->type.bytes ||
		    (!rule->prefix && rule->type.bytes &&
		     type_bytes != rule->type.bytes))
			continue;
		if (memcmp(rule->type.text ? rule->type.text : "", type,
			   rule->type.bytes) == 0)
			return true;
	}
	return false;
}
