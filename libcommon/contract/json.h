/*
 * JSON of the event path: yyjson over an in-situ copy, so that every value can
 * be traced back to its exact bytes in the original text. Strings and numbers
 * of the parsed tree point into the copy at the offset they have in the
 * original; everything else is found by walking forward from them.
 */
#ifndef WEFT_CONTRACT_JSON_H
#define WEFT_CONTRACT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <yyjson.h>

#include "base/buf.h"
#include "base/err.h"

#define JSON_MAX_DEPTH	  64
#define JSON_MAX_MEMBERS  200000
#define JSON_MAX_ELEMENTS 600000u

/*
 * Memory for parsed values is bounded, so that a body of "[[[[…" or "[0,0,0…"
 * cannot take more: 16 bytes a value, six million values.
 */
#define JSON_MAX_VALUE_BYTES (96u << 20)

/* What a walk over values found wrong. */
enum json_fault {
	JSON_FINE,
	JSON_TOO_DEEP,
	JSON_DUPLICATE_KEY,
	JSON_TOO_LARGE, /* more members than an event can hold */
};

struct json_name {
	const char *text;
	size_t bytes;
};

/* A member of an object, by its bytes in the original text. */
struct json_member {
	const char *name; /* unescaped */
	uint32_t name_bytes;
	uint32_t key_bytes; /* of the JSON text at key, quotes included */
	const char *key;
	const char *value; /* JSON text, up to end */
	const char *end;
	yyjson_val *val; /* NULL when it was made here and is known good */
	bool nul;	 /* U+0000 in its name or value */
	int32_t rule;	 /* for the caller: the rule it fell to */
	uint32_t at;	 /* for the caller: where its value was written */
};

/* Parser memory and the document last parsed. Zero-initialise; one thread. */
struct json {
	char *copy;
	size_t copy_bytes;
	void *values;
	size_t values_bytes;
	const char *text; /* the original, borrowed */
	size_t bytes;

	struct json_member *members; /* filled by json_members */
	uint32_t member_count;
	uint32_t member_room;

	bool nul;		/* U+0000 seen since it was last cleared */
	enum json_fault fault;	/* of the last walk */
	const char *fault_name; /* the key that came twice */
	size_t fault_name_bytes;
	/* Scratch of the search for names that come twice. */
	struct json_name *names;
	size_t name_count;
	size_t name_room;
	uint32_t *slots;
	size_t slot_room;
};

void json_free(struct json *j);

/*
 * Parses `bytes` bytes of text, which must stay in place while values and
 * slices are used. Returns the root, or NULL with the byte offset and a reason
 * (a constant string). Numbers stay raw text; comments, NaN, trailing commas,
 * broken UTF-8 and lone surrogates are refused.
 */
yyjson_val *json_parse(struct json *j, const char *text, size_t bytes,
		       size_t *error_at, const char **error) MUST_CHECK;

/*
 * Lists the members of an object in j->members and returns the end of its text,
 * or NULL with j->fault. `depth` is the object's own nesting depth, from 1.
 * Nested objects are checked for depth and duplicate keys, the listed members
 * themselves are not.
 */
const char *json_members(struct json *j, yyjson_val *object,
			 unsigned depth) MUST_CHECK;

/* As json_members, but appends to the list. */
const char *json_members_more(struct json *j, yyjson_val *object,
			      unsigned depth) MUST_CHECK;

/* Makes room for `more` members; pointers into j->members go stale. */
void json_member_room(struct json *j, size_t more);

/* Appends one member, to be filled by the caller. */
static inline struct json_member *json_member_add(struct json *j)
{
	if (j->member_count == j->member_room)
		json_member_room(j, 1);
	return &j->members[j->member_count++];
}

/*
 * Walks a value whose text begins at `at` and returns its end, or NULL with
 * j->fault. Sets j->nul when a string in it has U+0000.
 */
const char *json_walk_container(struct json *j, yyjson_val *v, const char *at,
				unsigned depth);

/* The first byte of the text of a member's value (v follows its key). */
const char *json_value_start(struct json *j, yyjson_val *v);

/* The end of a string's text (behind its quote) when it has escapes. */
const char *json_string_end_slow(struct json *j, const yyjson_val *v);

/* Appends a name to those that json_names_unique() compares. */
void json_name_add(struct json *j, const char *text, size_t bytes);

/*
 * True when the names collected since the last call differ, else false with
 * j->fault and the name in j->fault_name. Forgets them either way.
 */
bool json_names_unique(struct json *j);

/*
 * Copies JSON text without whitespace outside strings to `out` (at least
 * end - at bytes). Returns the end of what was written.
 */
char *json_minify(const char *at, const char *end, char *out);

static inline uint8_t json_type(const yyjson_val *v)
{
	return (uint8_t)(v->tag & YYJSON_TYPE_MASK);
}

/* Bytes of a string or raw number, elements or members of a container. */
static inline size_t json_len(const yyjson_val *v)
{
	return (size_t)(v->tag >> YYJSON_TAG_BIT);
}

static inline bool json_is_true(const yyjson_val *v)
{
	return (v->tag & YYJSON_TAG_MASK) ==
	       (YYJSON_TYPE_BOOL | YYJSON_SUBTYPE_TRUE);
}

static inline bool json_is_object(const yyjson_val *v)
{
	return json_type(v) == YYJSON_TYPE_OBJ;
}

static inline bool json_is_null(const yyjson_val *v)
{
	return json_type(v) == YYJSON_TYPE_NULL;
}

/* The first child of a container that is not empty; for objects its key. */
static inline yyjson_val *json_first(yyjson_val *v)
{
	return v + 1;
}

/* The value behind v and all that v contains. */
static inline yyjson_val *json_next(yyjson_val *v)
{
	return unsafe_yyjson_get_next(v);
}

/* The original text of a string or raw number's first byte. */
static inline const char *json_at(const struct json *j, const yyjson_val *v)
{
	return j->text + (v->uni.str - j->copy);
}

static inline const char *json_skip_space(const char *at)
{
	while (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')
		at++;
	return at;
}

/*
 * The end of a string's text. Without escapes the byte behind its unescaped
 * length is the closing quote; with escapes the text is longer, so a quote
 * found there must be an escaped one, and only then a backslash precedes it.
 */
static inline const char *json_string_end(struct json *j, const yyjson_val *v)
{
	const char *end = json_at(j, v) + json_len(v);

	if (*end == '"' && end[-1] != '\\')
		return end + 1;
	return json_string_end_slow(j, v);
}

static inline const char *json_walk(struct json *j, yyjson_val *v,
				    const char *at, unsigned depth)
{
	switch (json_type(v)) {
	case YYJSON_TYPE_STR:
		return json_string_end(j, v);
	case YYJSON_TYPE_RAW:
		return at + json_len(v);
	case YYJSON_TYPE_NULL:
		return at + 4;
	case YYJSON_TYPE_BOOL:
		return at + (json_is_true(v) ? 4 : 5);
	default:
		return json_walk_container(j, v, at, depth);
	}
}

#endif
