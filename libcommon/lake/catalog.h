/*
 * A lake to look into: which Delta tables it has, and each of them opened. It
 * writes nothing. One thread.
 *
 * A table lies in <tables>/<table> or <tables>/<schema>/<table>. Its name is
 * "table" when it lies in the schema of the configuration ("": none), else
 * "schema.table".
 */
#ifndef WEFT_LAKE_CATALOG_H
#define WEFT_LAKE_CATALOG_H

#include <stdatomic.h>

#include "conf/conf.h"
#include "lake/delta.h"
#include "lake/duck.h"
#include "lake/store.h"

/* Borrowed until catalog_close(). */
struct catalog_options {
	const char *url; /* as store_open() takes it */
	const char *identity_name;
	const struct conf_identity *identity; /* NULL: none */
	const char *tables, *schema;
	const char *temp_dir;	 /* for DuckDB, and what it is fed */
	const char *cache_dir;	 /* for files that lie elsewhere */
	int64_t cache_bytes;	 /* it holds at most this much */
	const atomic_bool *stop; /* ends calls: ECANCELED, EINTR */
};

struct catalog_table {
	char *name;	 /* as above, as people write it */
	char *schema;	 /* "" when it lies in <tables> itself */
	char *table;	 /* the last part */
	char *path;	 /* from the lake's root */
	int64_t version; /* that was asked for; -1: the newest */
	bool plain;	 /* the name is without a schema */
	bool viewed;	 /* lake/query.c made a view of it */
};

struct catalog {
	struct catalog_options options;
	struct store *store;
	struct duck *duck;
	struct catalog_table *tables; /* in order of names */
	uint32_t count;
};

/*
 * Opens a lake and lists its tables. ENOENT when there is none yet; what can be
 * wrong with a store (EACCES, …).
 */
int catalog_open(struct catalog *c, const struct catalog_options *options,
		 struct err *err) MUST_CHECK;
void catalog_close(struct catalog *c);

/* By "table" or "schema.table", ignoring case; ENOENT names near ones. */
struct catalog_table *catalog_find(struct catalog *c, const char *name,
				   struct err *err) MUST_CHECK;

/* Puts into *err that no table has that name, and which there are. */
void catalog_unknown(const struct catalog *c, const char *name,
		     struct err *err);

/* Its newest version, or the one asked for; the caller closes it. */
int catalog_load(struct catalog *c, const struct catalog_table *table,
		 struct delta **delta, struct err *err) MUST_CHECK;

#endif
