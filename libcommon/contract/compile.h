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

/* Appends `file:line: text` to the report. */
void report_error(struct compiler *c, const config_setting_t *at,
		  const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void report_warning(struct compiler *c, const config_setting_t *at,
		    const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void report_line(struct compiler *c, bool error, const char *path, int line,
		 const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* Reports members of a group that are unknown, of a wrong type or for later. */
void check_keys(struct compiler *c, const config_setting_t *group,
		const char *what, const struct known_key *keys);

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

/* The innermost setting of a key of a field, or NULL. */
const config_setting_t *declared_get(const struct declared *d, const char *key);

/* True for a letter or _ and then letters, digits, _; else reported. */
bool check_plain_name(struct compiler *c, const config_setting_t *at,
		      const char *name);

/* True for a name that Delta, KQL and PostgreSQL all take; else reported. */
bool check_name(struct compiler *c, const config_setting_t *at,
		const char *name);

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
