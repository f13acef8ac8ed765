/* What conf_load() is made of; for the files of this directory only. */
#ifndef WEFT_CONF_LOAD_H
#define WEFT_CONF_LOAD_H

#include <libconfig.h>

#include "conf/conf.h"

#define CONF_FILE_BYTES	   (1u << 20) /* of one file, and of its includes */
#define CONF_MAX_INCLUDES  32
#define CONF_MAX_PROBLEMS  200
#define CONF_NAME_BYTES	   40 /* of a service row or a link */
#define CONF_MAX_INSTANCES 64 /* of a row; of all sinks together */
#define CONF_SUN_BYTES	   107

/* ---- problems ---- */

struct where {
	const char *file;
	unsigned line; /* 0 = the file as a whole */
};

struct problem {
	char *file;
	unsigned line;
	bool warning;
	size_t number; /* in order of discovery */
	char *text;
};

struct problems {
	struct problem *list;
	size_t count;
	size_t left_out; /* beyond CONF_MAX_PROBLEMS */
};

void problem_error(struct problems *p, struct where at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void problem_warning(struct problems *p, struct where at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Moves them to *report, sorted by line, and frees them. */
void problems_report(struct problems *p, const char *main_file,
		     struct conf_report *report);

/* ---- the text, before libconfig sees it ---- */

/* Lines of `text` from `at` on are those of a file from `line` on. */
struct scan_part {
	const char *file;
	unsigned at, line;
};

/* A file with its includes in place, and what it takes to speak of it. */
struct scan {
	struct buf text;
	struct buf masked; /* the same with blanked strings, to quote from */
	struct scan_part *parts;
	size_t part_count;
	char **names; /* of the files, the main one first */
	size_t name_count;
	unsigned *wraps; /* lines of integers that libconfig 1.5 would wrap */
	size_t wrap_count;
	size_t bytes;
};

/*
 * Reads a file and all that it includes; reports what libconfig would hide:
 * unreadable, too large or endless includes, NUL bytes, integers outside of 32
 * bits, open strings and comments. `base` is the directory of the main file.
 * -1 when there is no text to parse.
 */
int scan_read(struct scan *scan, const char *path, const char *base,
	      struct problems *p) MUST_CHECK;
void scan_free(struct scan *scan);

/* Where a line of the text is written. Lives as long as the scan. */
struct where scan_where(const struct scan *scan, unsigned line);

/* The last line of the text that is not blank: where an end that comes too
 * early is to be mended. */
struct where scan_last(const struct scan *scan);

/* Whether an integer at that line was reported as too large. */
bool scan_wrapped(const struct scan *scan, unsigned line);

/* The line without string contents, trimmed, at most `bytes` - 1 bytes. */
char *scan_near(const struct scan *scan, unsigned line, char *near,
		size_t bytes);

/* ---- one value ---- */

/* Why a value was refused, without the name of its key. */
struct why {
	char text[400];
};

/* Returns -1. */
int why_set(struct why *why, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* What a CONF_PATH is resolved against. */
struct places {
	const char *base;      /* directory of the config file */
	const char *state_dir; /* for defaults; NULL before it is known */
	const char *name;      /* of the section */
};

/*
 * Sets the row's field in `values` from text; the old value is not freed. The
 * text of a secret never appears in *why.
 */
int value_set(const struct conf_row *row, void *values, const char *text,
	      const struct places *places, struct why *why) MUST_CHECK;
int value_set_text(const struct conf_row *row, char **field, const char *text,
		   const struct places *places, struct why *why) MUST_CHECK;
/* As value_set for the row's own default, or zero when it has none. */
void value_default(const struct conf_row *row, void *values,
		   const struct places *places);
void value_free(const struct conf_row *row, void *values);
/* The value as it is written in a file, without quotes; "" when unset. */
void value_print(const struct conf_row *row, const void *values,
		 struct buf *out);
bool value_is_unset(const struct conf_row *row, const void *values);
/* -1 and errno when there is nothing at a CONF_PATH. */
int value_check_exists(const struct conf_row *row,
		       const void *values) MUST_CHECK;
/* Whether everybody on this machine can read a file (not: get to it). */
bool value_is_open(const char *path);
/* Whether it is written in quotes. */
bool value_is_text(const struct conf_row *row);
/* "integer", "size" …, for messages and manuals. */
const char *value_type_name(const struct conf_row *row);
/* The i-th of "a|b|c" into out, false when there is none. */
bool value_choice(const char *choices, int i, char out[64]);
/* Joins a directory and a relative path, ".." and "." resolved. Owned. */
char *value_join_path(const char *base, const char *path);

/* ---- secrets ---- */

struct secret_places {
	const char *base; /* what relative paths start at */
	bool check_only;  /* only the form; nothing is read */
};

/*
 * Fills in the references of a secret value. *out is owned by the caller. -1
 * with *why, which never holds a secret; *warning is set (or left empty) when
 * the value is usable but not well kept.
 */
int secret_resolve(const char *text, const struct secret_places *places,
		   char **out, struct why *warning, struct why *why) MUST_CHECK;
/* Whether text holds a "${" at all. */
bool secret_is_reference(const char *text);
/* Overwrites a secret before it is freed. */
void secret_free(char **text);

/* ---- sections ---- */

enum origin_from { FROM_DEFAULT, FROM_PLACE, FROM_FILE };

struct origin {
	enum origin_from from;
	char *file;
	unsigned line;
	bool reference; /* a secret given as ${…} */
};

struct conf_section {
	char *name;
	const struct conf_table *table;
	void *values;
	struct origin *origins; /* one a row */
};

struct loading {
	struct conf *conf;
	const struct conf_kinds *kinds;
	struct problems problems;
	struct scan scan;
	config_t tree;
	char *base;
	const char *file; /* as shown in messages */
	const char *row;  /* only this one's secrets; NULL: all */
};

/* Where a setting is written; NULL = the file as a whole. */
struct where load_where(const struct loading *l, const config_setting_t *s);

/* A copy of the name of an included file; NULL for the main one. */
char *load_other_file(const struct loading *l, struct where at);

/* Whether a service row or a link may be called so. */
bool load_is_name(const char *name);

/* Reports "path: unknown key", with the nearest of names. */
void load_unknown(struct loading *l, const config_setting_t *s,
		  const char *path, const char *const *names, size_t count);

/*
 * A new section of conf->sections, all defaults, then read from a group (NULL:
 * none in the file). Owned by conf. `live` is false for the section of a
 * service that is not listed: its secrets are not resolved.
 */
struct conf_section *section_read(struct loading *l, const char *name,
				  const struct conf_table *table,
				  const config_setting_t *group, bool live);
void section_free(struct conf_section *s);
const struct conf_section *section_find(const struct conf *conf,
					const char *name);
/* Where a key of a section is written, else the file as a whole. */
struct where section_where(const struct loading *l,
			   const struct conf_section *s, const char *key);

/* The rows of services = ( … ) and links = { … }, then how they join. */
void services_read(struct loading *l);
void links_read(struct loading *l);
void links_join(struct loading *l);

/* The identities, after all sections that may name one. */
void identities_read(struct loading *l);
bool identity_is_section(const struct conf_section *s);
/* Its name in the file, without the group's. */
const char *identity_name(const struct conf_section *s);

/* NULL when there is none of that name. */
const struct conf_link *link_find(const struct conf *conf, const char *name);
/* "ipc://<run_dir>/<name><suffix>"; -1 when a socket's path cannot be so long.
 */
int link_ipc_endpoint(const struct conf *conf, const char *name,
		      const char *suffix, char out[256],
		      struct err *err) MUST_CHECK;
/* The port of "tcp://host:port", 0 when it is not of that form. */
unsigned link_tcp_port(const char *endpoint);

/* The places of the pipeline section that depend on user and build tree. */
void places_default(struct loading *l, struct conf_section *pipeline);

#endif
