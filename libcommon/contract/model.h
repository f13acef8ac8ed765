/* What contracts compile to; private to this folder. Immutable once made. */
#ifndef WEFT_CONTRACT_MODEL_H
#define WEFT_CONTRACT_MODEL_H

#include <regex.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "contract/contract.h"
#include "contract/decimal.h"

#define MODEL_MAX_FIELDS      1024
#define MODEL_MAX_NAME_BYTES  63
#define MODEL_MAX_TABLE_BYTES 128
#define MODEL_MAX_KEY_BYTES   1024 /* of an identity, key or type value */
#define MODEL_SEEN_WORDS      (MODEL_MAX_FIELDS / 64)
#define MODEL_DQ_FLAGS	      "dq_flags"

struct slice {
	const char *text;
	size_t bytes;
};

enum rule_check {
	RULE_MIN = 1 << 0,
	RULE_MAX = 1 << 1,
	RULE_LENGTH = 1 << 2,
	RULE_ENUM = 1 << 3,
	RULE_PATTERN = 1 << 4,
	RULE_IDENTITY = 1 << 5, /* non-empty, at most MODEL_MAX_KEY_BYTES */
	RULE_OBJECT = 1 << 6,	/* the column that unknown members go to */
};

enum rule_value {
	VALUE_SENT,
	VALUE_NOW,
	VALUE_UUID,
	VALUE_FIXED, /* const and env */
};

/* What the mapper does with a member; 0 = copies it as it came. */
enum rule_action {
	ACTION_RENAME = 1 << 0,
	ACTION_MASK = 1 << 1,
	ACTION_CHECK = 1 << 2,	/* on_violation = flag or null */
	ACTION_DROP = 1 << 3,	/* value = …: what was sent does not count */
	ACTION_NULL = 1 << 4,	/* default_null: a null takes the default */
	ACTION_OBJECT = 1 << 5, /* unknown members go in here */
	ACTION_ROUND = 1 << 6,	/* a decimal is rounded to its scale */
	ACTION_NOTE = 1 << 7,	/* the index says where its value lies */
};

/* One path of `from`: names from the top of the event down. */
struct path {
	uint32_t count;
	const struct slice *names;
};

/* How one value is checked and mapped. */
struct rule {
	const struct contract_field *field;
	enum contract_type type;
	uint8_t precision, scale;
	uint8_t checks; /* enum rule_check */
	uint8_t action; /* enum rule_action */
	uint8_t value;	/* enum rule_value */
	bool required;
	bool emit_null;
	bool default_null;
	uint32_t max_length; /* characters, or elements of an array */
	uint32_t mask_keep;
	decimal_value min, max; /* integers; scaled decimals; µs; days */
	double min_double, max_double;
	const struct slice *allowed;
	uint32_t allowed_count;
	const regex_t *pattern;
	const struct rule *element; /* of an array */
	const struct shape *shape;  /* of a struct */
	const char *name;
	size_t name_bytes;
	struct slice key;  /* `"name":` */
	struct slice fill; /* `,"name":default` or fixed value; 0 bytes = none
			    */
	const struct path *from; /* from_count = 0: the member of its name */
	uint32_t from_count;
	bool gathered; /* found by its paths after all members were seen */
};

#define SHAPE_UNKNOWN  (-1)
#define SHAPE_CONSUMED (-2) /* the first name of a path of some field */

/* The members of an object and the table that finds them by name. */
struct shape {
	const struct rule *rules;
	uint32_t count;
	uint32_t words; /* of a seen bitmap */
	uint64_t *required;
	uint32_t slot_mask;
	const struct shape_slot *slots;
};

/* Both ends of a name; all of one of up to 16 bytes. */
struct name_ends {
	uint64_t first, last;
};

struct shape_slot {
	struct name_ends ends;
	uint32_t bytes;
	int32_t rule;
	const char *name; /* NULL = free */
};

enum unknown_fields { UNKNOWN_KEEP, UNKNOWN_DROP, UNKNOWN_REJECT };

struct match_rule {
	struct slice type; /* 0 bytes = any */
	bool prefix;
	const struct slice *has;
	uint32_t has_count;
	const struct model *model;
	const void *at; /* its setting, while compiling */
};

/* A contract as it runs; `pub` is what others see. */
struct model {
	struct contract pub;
	size_t name_bytes;
	uint32_t index;	     /* in its set */
	uint64_t definition; /* a hash of all that it says, docs apart */
	struct shape shape;
	enum unknown_fields unknown;
	int32_t unknown_rule; /* of the unknown column, or -1 */
	int32_t id_rule;      /* event_id, event_time, event_source or -1 */
	int32_t time_rule;
	int32_t source_rule;
	int32_t type_rule;
	int32_t partition_rule;
	int32_t flags_rule; /* dq_flags or -1 */
	const int32_t *identity;
	uint32_t identity_count;
	const uint64_t *filled; /* fields with text to append when not seen */
	uint32_t gathered_count;
	bool masked_identity; /* some field of the identity has a mask */
	bool takes_data;      /* declares a member "data" of its own */
	bool makes_uuid;      /* some field has value = uuid */
	size_t grow_bytes; /* how much longer than its input a line may get */
};

struct contract_set {
	int references;
	uint64_t hash;
	uint32_t count;
	struct model **models;
	struct match_rule *matches; /* best first */
	uint32_t match_count;
	uint32_t typed_count; /* of them, those with an exact type */
	uint32_t *type_slots; /* first match of a type by hash; +1, 0 = free */
	uint32_t type_mask;
	uint32_t *name_slots; /* models by hash of their name; +1, 0 = free */
	uint32_t name_mask;
	struct slice *files; /* name and text of each, as pinned */
	struct slice *texts;
	uint32_t file_count;
	struct mask_key *mask_key;
	void **owned; /* everything allocated for it */
	size_t owned_count, owned_room;
	regex_t **patterns;
	size_t pattern_count;
};

/* Memory that lives as long as the set. */
void *set_alloc(struct contract_set *set, size_t count, size_t bytes);
const char *set_text(struct contract_set *set, const char *text, size_t bytes);
/* Takes a compiled pattern; it is freed with the set. */
const regex_t *set_pattern(struct contract_set *set, regex_t *pattern);

static inline bool same_word(const char *a, const char *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x == y;
}

/*
 * memcmp() == 0 for names: short, so a call would cost more than the work. Most
 * have 8 to 16 bytes and need two words that overlap.
 */
static inline bool same_bytes(const char *a, const char *b, size_t bytes)
{
	if (bytes < 8) {
		for (size_t i = 0; i < bytes; i++)
			if (a[i] != b[i])
				return false;
		return true;
	}
	for (size_t i = 8; i + 8 < bytes; i += 8)
		if (!same_word(a + i, b + i))
			return false;
	return same_word(a, b) && same_word(a + bytes - 8, b + bytes - 8);
}

static inline struct name_ends name_ends(const char *name, size_t bytes)
{
	struct name_ends e = {0, 0};

	if (bytes >= 8) {
		memcpy(&e.first, name, 8);
		memcpy(&e.last, name + bytes - 8, 8);
	} else if (bytes >= 4) {
		memcpy(&e.first, name, 4);
		memcpy(&e.last, name + bytes - 4, 4);
	} else if (bytes) {
		e.first = (uint8_t)name[0];
		e.last = (uint64_t)(uint8_t)name[bytes / 2] << 8 |
			 (uint8_t)name[bytes - 1];
	}
	return e;
}

static inline uint64_t ends_hash(struct name_ends e, size_t bytes)
{
	uint64_t a = (e.first ^ (e.last << 29 | e.last >> 35) ^ bytes) *
		     UINT64_C(0x9e3779b97f4a7c15);

	return a ^ a >> 32;
}

static inline uint64_t name_hash(const char *name, size_t bytes)
{
	return ends_hash(name_ends(name, bytes), bytes);
}

/* The rule of a member, or SHAPE_UNKNOWN or SHAPE_CONSUMED. */
static inline int32_t shape_find(const struct shape *shape, const char *name,
				 size_t bytes)
{
	struct name_ends ends = name_ends(name, bytes);

	for (uint64_t at = ends_hash(ends, bytes);; at++) {
		const struct shape_slot *slot =
		    &shape->slots[at & shape->slot_mask];

		if (slot->ends.first == ends.first &&
		    slot->ends.last == ends.last && slot->bytes == bytes &&
		    slot->name &&
		    (bytes <= 16 || same_bytes(slot->name, name, bytes)))
			return slot->rule;
		if (!slot->name)
			return SHAPE_UNKNOWN;
	}
}

static inline bool bit_get(const uint64_t *words, uint32_t bit)
{
	return words[bit / 64] >> (bit % 64) & 1;
}

static inline void bit_set(uint64_t *words, uint32_t bit)
{
	words[bit / 64] |= UINT64_C(1) << (bit % 64);
}

static inline void bit_clear(uint64_t *words, uint32_t bit)
{
	words[bit / 64] &= ~(UINT64_C(1) << (bit % 64));
}

#endif
