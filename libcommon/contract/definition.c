/* What a contract says, apart from its layout, comments and docs, as a hash. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "contract/compile.h"

static uint64_t hash_text(const char *text)
{
	return text ? XXH3_64bits(text, strlen(text)) : 0;
}

static uint64_t hash_pair(uint64_t a, uint64_t b)
{
	const uint64_t pair[2] = {a, b};

	return XXH3_64bits(pair, sizeof(pair));
}

static uint64_t hash_number(const config_setting_t *s)
{
	double value;
	uint64_t bits;

	if (config_setting_type(s) != CONFIG_TYPE_FLOAT)
		return (uint64_t)config_setting_get_int64(s);
	value = config_setting_get_float(s);
	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

/* In a group the order of keys says nothing, in a list it does. */
static uint64_t hash_setting(const config_setting_t *s)
{
	int count = config_setting_length(s);
	uint64_t hash = (uint64_t)count;

	switch (config_setting_type(s)) {
	case CONFIG_TYPE_STRING:
		return hash_text(config_setting_get_string(s));
	case CONFIG_TYPE_BOOL:
		return hash_pair(1, (uint64_t)config_setting_get_bool(s));
	case CONFIG_TYPE_GROUP:
		hash = 0;
		for (int i = 0; i < count; i++) {
			const config_setting_t *e =
			    config_setting_get_elem(s, (unsigned)i);
			const char *key = config_setting_name(e);

			if (strcmp(key, "doc") != 0)
				hash +=
				    hash_pair(hash_text(key), hash_setting(e));
		}
		return hash;
	case CONFIG_TYPE_ARRAY:
	case CONFIG_TYPE_LIST:
		for (int i = 0; i < count; i++)
			hash = hash_pair(
			    hash, hash_setting(
				      config_setting_get_elem(s, (unsigned)i)));
		return hash;
	default:
		return hash_pair(2, hash_number(s));
	}
}

/* Keys that say nothing of what the contract makes of events. */
static bool is_apart(const char *key, bool inherited)
{
	if (strcmp(key, "doc") == 0 || strcmp(key, "version") == 0 ||
	    strcmp(key, "abstract") == 0)
		return true;
	return inherited &&
	       (strcmp(key, "name") == 0 || strcmp(key, "match") == 0);
}

uint64_t source_definition(const struct source *source)
{
	uint64_t hash = 0;

	for (const struct source *s = source; s; s = s->parent) {
		uint64_t level = 0;

		for (int i = 0; i < config_setting_length(s->root); i++) {
			const config_setting_t *e =
			    config_setting_get_elem(s->root, (unsigned)i);
			const char *key = config_setting_name(e);

			if (!is_apart(key, s != source))
				level +=
				    hash_pair(hash_text(key), hash_setting(e));
		}
		hash = hash_pair(hash, level);
	}
	return hash;
}
