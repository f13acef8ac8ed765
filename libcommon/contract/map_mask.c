#include "contract/map.h"
#include "contract/put.h"

#define KEEP_LAST 4

/* True for the first half of an escaped surrogate pair. */
static bool is_high_surrogate(const char *at)
{
	return at[0] == '\\' && at[1] == 'u' && (at[2] | 0x20) == 'd' &&
	       (at[3] == '8' || at[3] == '9' || (at[3] | 0x20) == 'a' ||
		(at[3] | 0x20) == 'b');
}

/* Behind one character of a JSON string's text. */
static const char *next_character(const char *at)
{
	if (is_high_surrogate(at))
		return at + 12;
	if (*at == '\\')
		return at + (at[1] == 'u' ? 6 : 2);
	for (at++; ((unsigned char)*at & 0xc0) == 0x80; at++)
		;
	return at;
}

/* The first mask_keep characters, as they were written. */
static char *truncate_text(const struct rule *r, const struct json_member *m,
			   char *out)
{
	const char *at = m->value + 1, *end = m->end - 1;
	size_t bytes = (size_t)(end - at);

	if (bytes > r->mask_keep)
		for (uint32_t n = 0; n < r->mask_keep && at < end; n++)
			at = next_character(at);
	else
		at = end;
	bytes = (size_t)(at - m->value);
	out = put(out, m->value, bytes);
	*out++ = '"';
	return out;
}

/* Four stars, which hide the length, and the last four characters. */
static char *last_four(struct mapper *m, const struct json_member *member,
		       char *out)
{
	const char *text = member->val->uni.str;
	size_t bytes = json_len(member->val), at = bytes;
	unsigned n = 0;

	while (at > 0 && n < KEEP_LAST) {
		at--;
		n += ((unsigned char)text[at] & 0xc0) != 0x80;
	}
	/* A value of four characters would be shown whole. */
	if (at == 0)
		at = bytes;
	buf_clear(&m->tail);
	buf_json_escape(&m->tail, text + at, bytes - at);
	out = put(out, "\"****", 5);
	if (m->tail.used)
		out = put(out, m->tail.data, m->tail.used);
	*out++ = '"';
	return out;
}

char *map_mask(struct mapper *m, const struct rule *r,
	       const struct json_member *member, char *out)
{
	if (json_type(member->val) != YYJSON_TYPE_STR)
		return NULL;
	switch (r->field->mask) {
	case CONTRACT_MASK_HASH:
		*out++ = '"';
		mask_hash_cached(m->cache, m->set->mask_key,
				 member->val->uni.str, json_len(member->val),
				 out);
		out += MASK_HASH_BYTES;
		*out++ = '"';
		return out;
	case CONTRACT_MASK_TRUNCATE:
		return truncate_text(r, member, out);
	case CONTRACT_MASK_LAST4:
		return last_four(m, member, out);
	default:
		if (r->type != CONTRACT_STRING)
			return NULL;
		return put(out, "\"***\"", 5);
	}
}
