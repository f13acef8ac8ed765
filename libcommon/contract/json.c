#include "contract/json.h"

#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/alloc.h"
#include "contract/put.h"

/* Parser memory kept from one text to the next; more is given back. */
#define KEEP_BYTES (8u << 20)

/* Up to this many names are compared pair by pair. */
#define FEW_NAMES 8

/*
 * yyjson asks for one block of values, grows it, and gives it back with the
 * document, so one block that stays here serves every document.
 */
static void *values_alloc(void *ctx, size_t bytes)
{
	struct json *j = ctx;

	if (bytes > JSON_MAX_VALUE_BYTES)
		return NULL;
	if (bytes > j->values_bytes) {
		free(j->values);
		j->values = xmalloc(bytes);
		j->values_bytes = bytes;
	}
	return j->values;
}

static void *values_realloc(void *ctx, void *old, size_t old_bytes,
			    size_t bytes)
{
	struct json *j = ctx;

	(void)old_bytes;
	if (bytes > JSON_MAX_VALUE_BYTES)
		return NULL;
	if (bytes > j->values_bytes) {
		j->values = xreallocarray(old, bytes, 1);
		j->values_bytes = bytes;
	}
	return j->values;
}

static void values_free(void *ctx, void *old)
{
	(void)ctx;
	(void)old;
}

void json_free(struct json *j)
{
	free(j->copy);
	free(j->values);
	free(j->members);
	free(j->names);
	free(j->slots);
	*j = (struct json){0};
}

static void make_room(struct json *j, size_t bytes)
{
	size_t need = bytes + YYJSON_PADDING_SIZE;

	if (j->values_bytes > KEEP_BYTES) {
		free(j->values);
		j->values = NULL;
		j->values_bytes = 0;
	}
	if (need <= j->copy_bytes &&
	    (j->copy_bytes <= KEEP_BYTES || need > KEEP_BYTES))
		return;
	free(j->copy);
	j->copy_bytes = need < 4096 ? 4096 : need;
	j->copy = xmalloc(j->copy_bytes);
}

yyjson_val *json_parse(struct json *j, const char *text, size_t bytes,
		       size_t *error_at, const char **error)
{
	const yyjson_alc alc = {values_alloc, values_realloc, values_free, j};
	yyjson_read_err why;
	yyjson_doc *doc;

	make_room(j, bytes);
	put(j->copy, text, bytes);
	memset(j->copy + bytes, 0, YYJSON_PADDING_SIZE);
	j->text = text;
	j->bytes = bytes;
	j->nul = false;
	j->fault = JSON_FINE;
	doc = yyjson_read_opts(j->copy, bytes,
			       YYJSON_READ_INSITU | YYJSON_READ_NUMBER_AS_RAW,
			       &alc, &why);
	if (doc)
		return doc->root;
	*error_at = why.pos < bytes ? why.pos : bytes;
	*error = why.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION
		     ? "more values than fit"
		     : why.msg;
	return NULL;
}

void json_member_room(struct json *j, size_t more)
{
	size_t room = j->member_room ? j->member_room : 128;

	while (room < j->member_count + more)
		room *= 2;
	if (room == j->member_room)
		return;
	j->members = xreallocarray(j->members, room, sizeof(*j->members));
	j->member_room = (uint32_t)room;
}

static const char *fail(struct json *j, enum json_fault fault)
{
	j->fault = fault;
	return NULL;
}

/* Behind a key's text: the first byte of its value. */
static const char *value_start(const char *at)
{
	at = json_skip_space(at);
	return json_skip_space(at + 1);
}

const char *json_value_start(struct json *j, yyjson_val *v)
{
	return value_start(json_string_end(j, v - 1));
}

/* Behind a value: the first byte of the next, or behind the closing bracket. */
static const char *next_start(const char *at)
{
	at = json_skip_space(at);
	return at + 1;
}

const char *json_members_more(struct json *j, yyjson_val *object,
			      unsigned depth)
{
	size_t count = json_len(object);
	yyjson_val *key = json_first(object);
	struct json_member *m;
	const char *at = NULL;

	if (count > JSON_MAX_MEMBERS)
		return fail(j, JSON_TOO_LARGE);
	json_member_room(j, count);
	m = j->members + j->member_count;
	for (; count; count--, m++) {
		yyjson_val *v = key + 1;

		j->nul = false;
		m->name = key->uni.str;
		m->name_bytes = (uint32_t)json_len(key);
		m->key = json_at(j, key) - 1;
		at = json_string_end(j, key);
		m->key_bytes = (uint32_t)(at - m->key);
		/* Nearly everybody writes no space around the colon. */
		m->value = at[0] == ':' && (unsigned char)at[1] > ' '
			       ? at + 1
			       : value_start(at);
		m->val = v;
		at = json_walk(j, v, m->value, depth + 1);
		if (!at)
			return NULL;
		m->end = at;
		m->nul = j->nul;
		j->member_count++;
		key = json_next(v);
	}
	return at ? next_start(at) : NULL;
}

const char *json_members(struct json *j, yyjson_val *object, unsigned depth)
{
	j->member_count = 0;
	return json_members_more(j, object, depth);
}

void json_name_add(struct json *j, const char *text, size_t bytes)
{
	if (j->name_count == j->name_room) {
		j->name_room = j->name_room ? j->name_room * 2 : 64;
		j->names =
		    xreallocarray(j->names, j->name_room, sizeof(*j->names));
	}
	j->names[j->name_count++] = (struct json_name){text, bytes};
}

static bool same_name(const struct json_name *a, const struct json_name *b)
{
	return a->bytes == b->bytes && memcmp(a->text, b->text, a->bytes) == 0;
}

static bool twice(struct json *j, const struct json_name *name)
{
	j->fault = JSON_DUPLICATE_KEY;
	j->fault_name = name->text;
	j->fault_name_bytes = name->bytes;
	return false;
}

static bool few_unique(struct json *j, size_t count)
{
	for (size_t i = 1; i < count; i++)
		for (size_t k = 0; k < i; k++)
			if (same_name(&j->names[i], &j->names[k]))
				return twice(j, &j->names[i]);
	return true;
}

/* Puts name i into the table. False when its like is there. */
static bool slot_new(struct json *j, uint32_t i, size_t mask)
{
	const struct json_name *name = &j->names[i];
	/* The address is a seed that a sender cannot know. */
	size_t at =
	    XXH3_64bits_withSeed(name->text, name->bytes, (uintptr_t)j->slots);

	for (; j->slots[at & mask]; at++)
		if (same_name(&j->names[j->slots[at & mask] - 1], name))
			return false;
	j->slots[at & mask] = i + 1;
	return true;
}

static bool many_unique(struct json *j, size_t count)
{
	size_t size = 64;

	while (size < 2 * count)
		size *= 2;
	if (size > j->slot_room) {
		j->slots = xreallocarray(j->slots, size, sizeof(*j->slots));
		j->slot_room = size;
	}
	memset(j->slots, 0, size * sizeof(*j->slots));
	for (size_t i = 0; i < count; i++)
		if (!slot_new(j, (uint32_t)i, size - 1))
			return twice(j, &j->names[i]);
	return true;
}

bool json_names_unique(struct json *j)
{
	size_t count = j->name_count;

	j->name_count = 0;
	return count <= FEW_NAMES ? few_unique(j, count)
				  : many_unique(j, count);
}

static bool keys_unique(struct json *j, yyjson_val *object)
{
	size_t count = json_len(object);
	yyjson_val *key = json_first(object);

	if (count < 2)
		return true;
	for (; count; count--, key = json_next(key + 1))
		json_name_add(j, key->uni.str, json_len(key));
	return json_names_unique(j);
}

const char *json_walk_container(struct json *j, yyjson_val *v, const char *at,
				unsigned depth)
{
	bool object = json_is_object(v);
	size_t count = json_len(v);
	yyjson_val *child = json_first(v);

	if (depth > JSON_MAX_DEPTH)
		return fail(j, JSON_TOO_DEEP);
	if (count == 0)
		return json_skip_space(at + 1) + 1;
	if (count > JSON_MAX_ELEMENTS)
		return fail(j, JSON_TOO_LARGE);
	if (object && !keys_unique(j, v))
		return NULL;
	at++;
	for (; count; count--) {
		if (object) {
			at = value_start(json_string_end(j, child));
			child++;
		} else {
			at = json_skip_space(at);
		}
		at = json_walk(j, child, at, depth + 1);
		if (!at)
			return NULL;
		at = next_start(at);
		child = json_next(child);
	}
	return at;
}

const char *json_string_end_slow(struct json *j, const yyjson_val *v)
{
	const char *at = json_at(j, v);

	if (memchr(v->uni.str, 0, json_len(v)))
		j->nul = true;
	while (*at != '"')
		at += *at == '\\' ? 2 : 1;
	return at + 1;
}

char *json_minify(const char *at, const char *end, char *out)
{
	while (at < end) {
		char c = *at++;

		if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
			continue;
		*out++ = c;
		if (c != '"')
			continue;
		do {
			c = *at++;
			*out++ = c;
			if (c == '\\')
				*out++ = *at++;
		} while (c != '"');
	}
	return out;
}
