#include "contract/match.h"

static bool has_member(const struct slice *name,
		       const struct json_member *members, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (members[i].name_bytes == name->bytes &&
		    memcmp(members[i].name, name->text, name->bytes) == 0)
			return !members[i].val || !json_is_null(members[i].val);
	return false;
}

static bool has_all(const struct match_rule *m,
		    const struct json_member *members, uint32_t count)
{
	for (uint32_t i = 0; i < m->has_count; i++)
		if (!has_member(&m->has[i], members, count))
			return false;
	return true;
}

static bool is_type(const struct match_rule *m, const char *type, size_t bytes)
{
	return m->type.bytes == bytes && same_bytes(m->type.text, type, bytes);
}

static uint32_t first_of_type(const struct contract_set *set, const char *type,
			      size_t bytes)
{
	for (uint64_t at = name_hash(type, bytes);; at++) {
		uint32_t i = set->type_slots[at & set->type_mask];

		if (!i)
			return set->typed_count;
		if (is_type(&set->matches[i - 1], type, bytes))
			return i - 1;
	}
}

const struct model *match_event(const struct contract_set *set,
				const char *type, size_t type_bytes,
				const struct json_member *members,
				uint32_t count)
{
	const struct match_rule *m, *end = set->matches + set->match_count;

	if (type) {
		m = set->matches + first_of_type(set, type, type_bytes);
		for (; m < set->matches + set->typed_count &&
		       is_type(m, type, type_bytes);
		     m++)
			if (has_all(m, members, count))
				return m->model;
	}
	for (m = set->matches + set->typed_count; m < end; m++)
		if ((m->type.bytes == 0 ||
		     (type && type_bytes >= m->type.bytes &&
		      memcmp(m->type.text, type, m->type.bytes) == 0)) &&
		    has_all(m, members, count))
			return m->model;
	return NULL;
}

const struct model *match_name(const struct contract_set *set, const char *name,
			       size_t bytes)
{
	for (uint64_t at = name_hash(name, bytes);; at++) {
		uint32_t i = set->name_slots[at & set->name_mask];
		const struct model *m;

		if (!i)
			return NULL;
		m = set->models[i - 1];
		if (m->name_bytes == bytes &&
		    same_bytes(m->pub.name, name, bytes))
			return m;
	}
}
