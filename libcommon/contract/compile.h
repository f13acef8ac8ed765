/* The compiler's parts and what they share; private to this folder. */
#ifndef WEFT_CONTRACT_COMPILE_H
#define WEFT_CONTRACT_COMPILE_H

#include <libconfig.h>

#include "contract/model.h"

#define COMPILE_MAX_EXTENDS 16
#define COMPILE_MAX_PATTERN 256

/* One file as read. */
struct source {
	char *path;
	const char *file; /* its name in the directory */
	const char *text;
	size_t bytes;
	config_t cfg;
	bool readable; /* its syntax is fine */
	const char *name;
	const config_setting_t *root;
	struct source *parent;
	bool abstract;
	bool resolved; /* extends was followed, without a cycle */
};

struct compiler {
	struct contract_set *set;
	struct contract_report *report;
	struct source *sources;
	uint32_t source_count;
};

/* A key that may stand in a group. `later` ones are known but refused. */
struct known_key {
	const char *name;
	int type; /* CONFIG_TYPE_… or KEY_ANY, KEY_TEXTS */
	bool later;
};
#define KEY_ANY	  (-1)
#define KEY_TEXTS (-2) /* a string or a list of strings */

/* A field as declared along the chain of extends: the last one wins. */
struct declared {
	const char *name;
	const config_setting_t *levels[COMPILE_MAX_EXTENDS + 1];
	uint32_t level_count;
};

struct declared_list {
	struct declared *fields;
	uint32_t count, room;
};

/* Appends `file:line: text` to the report; line 0: `file: text`. */
void report_error(struct compiler *c, const config_setting_t *at,
		  const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void report_warning(struct compiler *c, const config_setting_t *at,
		    const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void report_line(struct compiler *c, bool error, const char *path, int line,
		 const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* Reports members of a group that are unknown, of a wrong type or for later. */
void check_keys(struct compiler *c, const config_setting_t *group,
		const char *what, const struct known_key *keys);

/* A key of a contract or of what it extends, the nearest; or NULL. */
const config_setting_t *source_get(const struct source *s, const char *key);

/*
 * A hash of what a contract says: its own keys and those it extends, without
 * comments, docs and versions.
 */
uint64_t source_definition(const struct source *s);

/* The text of a setting, or NULL when it is NULL or no string. */
const char *setting_text(const config_setting_t *s);

/*
 * The place of a setting's text among `words`; 0, the default, when it is NULL
 * or, reported, none of them.
 */
uint32_t setting_word(struct compiler *c, const config_setting_t *s,
		      const char *const *words, size_t count);

/* The rule of a field by its name, or -1. */
int32_t model_find(const struct model *m, const char *name);

/* identity, key, order, partition_key, event_time; then unknown_fields. */
void compile_keys(struct compiler *c, const struct source *s, struct model *m);
void compile_unknown(struct compiler *c, const struct source *s,
		     struct model *m);

/* Follows extends of all sources and compiles every concrete one. */
void compile_sources(struct compiler *c);

/*
 * Compiles the fields of one object into *shape. emit: 1 when nulls are kept, 0
 * when they are left out, -1 for the members of a struct. `fields` has room for
 * one more than the list.
 */
void compile_shape(struct compiler *c, const struct declared_list *list,
		   int emit, struct shape *shape,
		   struct contract_field *fields);

/* Merges a list of field groups into *list. */
void declare_fields(struct compiler *c, const config_setting_t *fields,
		    struct declared_list *list);

/*
 * A key of a field: its innermost setting or NULL, its text or NULL, its truth,
 * its number (from 1 to max, else reported), and its place in a list of words
 * that ends in NULL (0 when it is absent; reported when it is none of them).
 */
const config_setting_t *declared_get(const struct declared *d, const char *key);
const char *declared_text(const struct declared *d, const char *key);
bool declared_bool(const struct declared *d, const char *key);
uint32_t declared_limit(struct compiler *c, const struct declared *d,
			const char *key, int max, uint32_t otherwise);
uint32_t declared_word(struct compiler *c, const struct declared *d,
		       const char *key, const char *const *words);

/* The innermost group that declares a field. */
const config_setting_t *declared_at(const struct declared *d);

/* max_length, pattern, enum, min and max of a field of known type. */
void compile_limits(struct compiler *c, const struct declared *d,
		    struct rule *r);

/* from, then mask, then value and default, of a field of known type. */
void compile_from(struct compiler *c, const struct declared *d, struct rule *r);
void compile_mask(struct compiler *c, const struct declared *d, struct rule *r,
		  struct contract_field *f);
void compile_value(struct compiler *c, const struct declared *d, struct rule *r,
		   struct contract_field *f);

/* True for a letter or _ and then letters, digits, _; else reported. */
bool check_plain_name(struct compiler *c, const config_setting_t *at,
		      const char *name);

/* True for a name that Delta, KQL and PostgreSQL all take; else reported. */
bool check_name(struct compiler *c, const config_setting_t *at,
		const char *name);

/* True for the name of a table of the lake; else reported. */
bool check_table(struct compiler *c, const config_setting_t *at,
		 const char *name);

/* Reports contracts that share a table of the lake. */
void check_tables(struct compiler *c);

/* Builds the table of a shape's member names from its rules. */
void build_slots(struct compiler *c, const config_setting_t *at,
		 struct shape *shape);

/* Compiles the match of one model into the set's list. */
void compile_match(struct compiler *c, const config_setting_t *match,
		   const struct model *model);

/* Sorts the list, reports ties, and builds the table of types. */
void finish_matches(struct compiler *c);

/* The setting as a JSON text for a rule's type; false when it does not fit. */
bool fixed_text(struct compiler *c, const config_setting_t *s,
		const struct rule *rule, struct slice *text);

/* min or max of a rule's type. False, reported, when it does not fit. */
bool compile_limit(struct compiler *c, const config_setting_t *s,
		   const struct rule *rule, decimal_value *value,
		   double *as_double);

#endif
