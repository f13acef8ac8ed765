#define XXH_INLINE_ALL
#include "contract/map.h"

#include <xxhash.h>

#include "base/uuid.h"
#include "contract/put.h"

/* Copies the run that waits. */
static void flush(struct line *l)
{
	if (!l->run)
		return;
	l->at =
	    put(l->start + l->run_at, l->run, (size_t)(l->run_end - l->run));
	l->run = NULL;
}

/* A member as it came begins a run. */
static void begin_run(struct line *l, const struct json_member *m)
{
	flush(l);
	if (l->at > l->start + 1)
		*l->at++ = ',';
	l->run = m->key;
	l->run_at = (uint32_t)(l->at - l->start);
	l->run_end = m->end;
}

/* It joins the run when its neighbour is in it. */
static inline void keep(struct line *l, const struct json_member *m, bool joins)
{
	if (joins)
		l->run_end = m->end;
	else
		begin_run(l, m);
}

/* The name of a member that is written anew. */
static void open_member(struct line *l, const char *key, size_t bytes)
{
	flush(l);
	if (l->at > l->start + 1)
		*l->at++ = ',';
	l->at = put(l->at, key, bytes);
}

/* Where the value of a field of the index was written; others do not matter. */
static void note(struct mapper *m, int32_t rule, uint32_t at, uint32_t bytes)
{
	const struct model *model = m->model;
	const struct spot spot = {at, bytes, true};

	if (model->identity_count == 1 && rule == model->identity[0])
		m->id = spot;
	if (rule == model->partition_rule)
		m->key = spot;
	if (rule == model->type_rule)
		m->type = spot;
}

/* Notes where the text of a value that was copied lies, unless escaped. */
static void note_copy(struct mapper *m, const struct json_member *member)
{
	uint32_t bytes = (uint32_t)(member->end - member->value);

	if (json_type(member->val) != YYJSON_TYPE_STR)
		note(m, member->rule, member->at, bytes);
	else if (json_len(member->val) + 2 == bytes)
		note(m, member->rule, member->at + 1, bytes - 2);
}

static void flag(struct mapper *m, const struct rule *r)
{
	m->counts.flagged++;
	if (m->flags.used)
		buf_char(&m->flags, ',');
	buf_append(&m->flags, r->name, r->name_bytes);
	buf_char(&m->flags, ':');
	buf_text(&m->flags, intake_code_name(m->finding.code));
}

/* False when on_violation says that the value becomes null. */
static bool survives(struct mapper *m, const struct rule *r, yyjson_val *v,
		     bool nul)
{
	if (check_value(r, v, nul, &m->finding))
		return true;
	if (r->field->on_violation == CONTRACT_FLAG) {
		flag(m, r);
		if (m->finding.fits)
			return true;
	}
	m->counts.nulled++;
	return false;
}

static void put_null(struct mapper *m, const struct rule *r)
{
	if (!r->emit_null)
		return;
	open_member(&m->line, r->key.text, r->key.bytes);
	m->line.at = put(m->line.at, "null", 4);
}

static void put_masked(struct mapper *m, const struct rule *r,
		       struct json_member *member)
{
	struct line *l = &m->line;
	char *before, *end, *value;

	flush(l);
	before = l->at;
	open_member(l, r->key.text, r->key.bytes);
	value = l->at;
	end = map_mask(m, r, member, value);
	m->counts.masked++;
	if (!end) {
		l->at = before;
		put_null(m, r);
		return;
	}
	l->at = end;
	if (r->action & ACTION_NOTE)
		note(m, member->rule, (uint32_t)(value - l->start) + 1,
		     (uint32_t)(end - value) - 2);
}

/* True for a number, or the text of one, that may be finer than its scale. */
static bool may_round(const struct rule *r, const struct json_member *member)
{
	uint8_t type = json_type(member->val);

	return (type == YYJSON_TYPE_RAW || type == YYJSON_TYPE_STR) &&
	       !decimal_is_short(member->val->uni.str, json_len(member->val),
				 r->scale);
}

/* True when a copy of the member may not be what its rule wants. */
static inline bool changes(const struct rule *r,
			   const struct json_member *member)
{
	unsigned action =
	    r->action & ~(unsigned)(ACTION_OBJECT | ACTION_NULL | ACTION_NOTE);

	return action && (action != ACTION_ROUND || may_round(r, member));
}

/* The value rounded. False: it fits, and stays as it was sent. */
static bool put_rounded(struct mapper *m, const struct rule *r,
			const struct json_member *member)
{
	const char *text = member->val->uni.str;
	size_t bytes = json_len(member->val);
	char rounded[DECIMAL_TEXT_BYTES];
	decimal_value value;
	bool quoted = json_type(member->val) == YYJSON_TYPE_STR;

	if (!may_round(r, member) ||
	    decimal_parse(text, bytes, r->precision, r->scale, &value) !=
		DECIMAL_TOO_FINE ||
	    decimal_round(text, bytes, r->precision, r->scale, &value) !=
		DECIMAL_OK)
		return false;
	bytes = decimal_format(value, r->scale, rounded);
	if (quoted)
		*m->line.at++ = '"';
	memcpy(m->line.at, rounded, bytes);
	m->line.at += bytes;
	if (quoted)
		*m->line.at++ = '"';
	return true;
}

/* A member whose rule wants more than a copy. */
static void put_changed(struct mapper *m, const struct rule *r,
			struct json_member *member)
{
	struct line *l = &m->line;

	bool kept = m->kept && bit_get(m->kept, (uint32_t)member->rule);

	if ((r->action & ACTION_CHECK) && !kept &&
	    !survives(m, r, member->val, member->nul)) {
		put_null(m, r);
		return;
	}
	if ((r->action & ACTION_MASK) && !kept) {
		put_masked(m, r, member);
		return;
	}
	open_member(l, r->key.text, r->key.bytes);
	if ((r->action & ACTION_ROUND) && put_rounded(m, r, member))
		return;
	member->at = (uint32_t)(l->at - l->start);
	l->at =
	    put(l->at, member->value, (size_t)(member->end - member->value));
	if (r->action & ACTION_NOTE)
		note_copy(m, member);
}

static void put_member(struct mapper *m, struct json_member *member, bool joins)
{
	const struct rule *r;

	if (member->rule < 0)
		return;
	r = &m->model->shape.rules[member->rule];
	if (json_is_null(member->val)) {
		if (!r->default_null && r->value == VALUE_SENT)
			put_null(m, r);
		else
			bit_clear(m->seen, (uint32_t)member->rule);
		return;
	}
	if (r->action & ACTION_DROP) {
		bit_clear(m->seen, (uint32_t)member->rule);
		return;
	}
	if ((r->action & ACTION_OBJECT) && m->unknown_count)
		return;
	if (changes(r, member)) {
		put_changed(m, r, member);
		return;
	}
	keep(&m->line, member, joins);
	if (!(r->action & ACTION_NOTE))
		return;
	member->at = m->line.run_at + (uint32_t)(member->value - m->line.run);
	note_copy(m, member);
}

static bool has_key(const struct json_member *explicit,
		    const struct json_member *unknown)
{
	return explicit && yyjson_obj_getn(explicit->val, unknown->name,
					   unknown->name_bytes);
}

/* The unknown members inside the column that takes them. */
static bool put_unknown(struct mapper *m)
{
	const struct json *j = m->json;
	struct line *l = &m->line;
	const struct rule *r = &m->model->shape.rules[m->model->unknown_rule];
	const struct json_member *explicit = m->unknown_member;
	bool any = false;

	if (explicit && !json_is_object(explicit->val))
		return finding_set(&m->finding, INTAKE_WRONG_TYPE, r->name,
				   "%s is no object, so unknown fields cannot "
				   "go there",
				   r->name);
	open_member(l, r->key.text, r->key.bytes);
	*l->at++ = '{';
	if (explicit && json_len(explicit->val)) {
		l->at = put(l->at, explicit->value + 1,
			    (size_t)(explicit->end - explicit->value) - 2);
		any = true;
	}
	for (uint32_t i = 0; i < j->member_count; i++) {
		const struct json_member *u = &j->members[i];

		if (u->rule != SHAPE_UNKNOWN || has_key(explicit, u))
			continue;
		if (any)
			*l->at++ = ',';
		l->at = put(l->at, u->key, (size_t)(u->end - u->key));
		any = true;
	}
	*l->at++ = '}';
	bit_set(m->seen, (uint32_t)m->model->unknown_rule);
	return true;
}

/* The text of a value inside a member that was walked before. */
static void put_gathered(struct mapper *m, uint32_t i)
{
	const struct rule *r = &m->model->shape.rules[i];
	yyjson_val *v = rule_gather(r, m->json, 0);
	struct json_member member = {.val = v, .rule = (int32_t)i};

	if (!v)
		return;
	bit_set(m->seen, i);
	/* Containers end where a walk from their start ends. */
	member.value = json_value_start(m->json, v);
	m->json->nul = false;
	member.end = json_walk(m->json, v, member.value, 1);
	member.nul = m->json->nul;
	put_changed(m, r, &member);
}

static void put_quoted(struct line *l, const struct rule *r, const char *text,
		       size_t bytes)
{
	open_member(l, r->key.text, r->key.bytes);
	*l->at++ = '"';
	l->at = put(l->at, text, bytes);
	*l->at++ = '"';
}

/* A member and the comma in front, which the first one does not need. */
static void put_text(struct line *l, const struct slice *fill)
{
	bool first;

	flush(l);
	first = l->at == l->start + 1;
	l->at = put(l->at, fill->text + first, fill->bytes - first);
}

static void put_fill(struct mapper *m, const struct rule *r)
{
	char text[UUID_TEXT_BYTES];

	m->counts.defaulted++;
	if (r->value == VALUE_NOW) {
		put_quoted(&m->line, r, m->created, strlen(m->created));
	} else if (r->value == VALUE_UUID) {
		map_uuid(m, r->name, r->name_bytes, text);
		put_quoted(&m->line, r, text, UUID_TEXT_BYTES - 1);
	} else {
		put_text(&m->line, &r->fill);
	}
}

static void put_fills(struct mapper *m)
{
	const struct shape *shape = &m->model->shape;

	for (uint32_t w = 0; w < shape->words; w++) {
		uint64_t missing = m->model->filled[w] & ~m->seen[w];

		for (; missing; missing &= missing - 1)
			put_fill(
			    m, &shape->rules[w * 64 + (uint32_t)__builtin_ctzll(
							  missing)]);
	}
}

/* Whether a copy of each member is what its rule wants. */
static bool are_as_wanted(const struct mapper *m,
			  const struct json_member *members, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct json_member *member = &members[i];
		const struct rule *r;

		if (member->rule < 0)
			return false;
		r = &m->model->shape.rules[member->rule];
		if (changes(r, member) || (json_is_null(member->val) &&
					   (!r->emit_null || r->default_null)))
			return false;
	}
	return true;
}

bool map_is_plain(const struct mapper *m)
{
	const struct model *model = m->model;

	if (model->gathered_count)
		return false;
	for (uint32_t w = 0; w < model->shape.words; w++)
		if (model->filled[w] & ~m->seen[w])
			return false;
	return are_as_wanted(m, m->head, m->head_count) &&
	       are_as_wanted(m, m->json->members, m->json->member_count);
}

size_t map_room(const struct mapper *m)
{
	size_t bytes = m->sent.bytes;

	/* Escapes that a mask writes anew stay below 6 bytes a character. */
	return bytes * (1 + m->model->gathered_count) + m->model->grow_bytes +
	       2 * (size_t)(m->json->member_count + m->head_count) +
	       m->flags.used + 256;
}

static void put_list(struct mapper *m, struct json_member *members,
		     uint32_t count)
{
	const struct rule *rules = m->model->shape.rules;
	struct line *l = &m->line;
	bool before = false;

	for (uint32_t i = 0; i < count; i++) {
		struct json_member *member = &members[i];

		/* Most are copied, and no more is to be known of them. */
		if (member->rule >= 0 && !rules[member->rule].action &&
		    !json_is_null(member->val)) {
			keep(l, member, before);
			before = true;
			continue;
		}
		put_member(m, member, before);
		/* The next joins the run only if this one is its end. */
		before = l->run && l->run_end == member->end;
	}
}

bool map_members(struct mapper *m)
{
	struct line *l = &m->line;

	buf_clear(&m->flags);
	l->run = NULL;
	l->at = l->start;
	*l->at++ = '{';
	put_list(m, m->head, m->head_count);
	put_list(m, m->json->members, m->json->member_count);
	for (uint32_t i = 0;
	     m->model->gathered_count && i < m->model->shape.count; i++)
		if (m->model->shape.rules[i].gathered)
			put_gathered(m, i);
	if (m->unknown_count && !put_unknown(m))
		return false;
	put_fills(m);
	if (m->flags.used)
		put_quoted(l, &m->model->shape.rules[m->model->flags_rule],
			   m->flags.data, m->flags.used);
	flush(l);
	*l->at++ = '}';
	return true;
}

void map_uuid(const struct mapper *m, const char *name, size_t bytes,
	      char text[37])
{
	const struct slice *from =
	    m->traits.id.bytes ? &m->traits.id : &m->sent;
	XXH3_state_t state;
	XXH128_canonical_t hash;
	struct uuid id;

	XXH3_INITSTATE(&state);
	XXH3_128bits_reset(&state);
	XXH3_128bits_update(&state, from->text, from->bytes);
	XXH3_128bits_update(&state, "\x1f", 1);
	XXH3_128bits_update(&state, name, bytes);
	XXH128_canonicalFromHash(&hash, XXH3_128bits_digest(&state));
	memcpy(id.bytes, hash.digest, sizeof(id.bytes));
	id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x80);
	id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80);
	uuid_format(&id, text);
}
