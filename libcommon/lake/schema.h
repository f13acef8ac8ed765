/*
 * The columns of a table: as a contract wants them, as a Delta table has them,
 * as DuckDB names them. Immutable once made; any thread.
 */
#ifndef WEFT_LAKE_SCHEMA_H
#define WEFT_LAKE_SCHEMA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "contract/contract.h"

enum column_type {
	COLUMN_STRING,
	COLUMN_INT,	/* 32 bits */
	COLUMN_LONG,	/* 64 bits */
	COLUMN_DOUBLE,	/* 64 bits */
	COLUMN_DECIMAL, /* precision <= 38 */
	COLUMN_BOOLEAN,
	COLUMN_TIMESTAMP, /* µs UTC */
	COLUMN_DATE,
	COLUMN_ARRAY,  /* one child */
	COLUMN_STRUCT, /* its fields */
	/* Of foreign tables, read and never written: byte, short, float,
	 * binary, timestamp_ntz, map (children key and value). */
	COLUMN_OTHER,
};

struct column {
	const char *name; /* "element" in an array */
	enum column_type type;
	uint8_t precision, scale;
	bool required;		/* nullable (containsNull) is false */
	const char *delta_type; /* of a primitive: "decimal(18,6)"; "map" */
	const char *metadata;	/* JSON text of a field's metadata, or NULL */
	uint32_t child_count;
	const struct column *children;
};

struct schema;

/* All fields of a contract, base ones included, in the contract's order. */
struct schema *schema_of_contract(const struct contract *contract);

/*
 * From the schemaString of a Delta metaData action (PROTOCOL.md, "Schema
 * Serialization Format"). -1 with *err when it is none, when names of one
 * struct differ in case alone, or a type is unknown; limits: 1 MiB, depth 64,
 * 10,000 columns in all.
 */
int schema_parse(struct schema **s, const char *json, size_t bytes,
		 struct err *err) MUST_CHECK;

struct schema *schema_ref(struct schema *s);
void schema_unref(struct schema **s);

uint32_t schema_count(const struct schema *s);
const struct column *schema_at(const struct schema *s, uint32_t i);
/* The index of a column, ignoring case, or -1. */
int32_t schema_find(const struct schema *s, const char *name);

/*
 * What `table` becomes so that it takes rows of `wanted`: its own columns in
 * its order, then the new ones (all nullable), also inside structs. Names are
 * compared ignoring case, and the table's stay. *changed tells whether any is
 * new. -1 with *err naming the column when a type would change: that is a
 * breaking change, and the text says so; or when the table has a column that
 * must not be null, which nobody here checks.
 */
int schema_merge(struct schema **merged, const struct schema *table,
		 const struct schema *wanted, bool *changed,
		 struct err *err) MUST_CHECK;

/* The columns i of a schema for which keep[i] is true. */
struct schema *schema_pick(const struct schema *s, const bool *keep);

/* Appends the schemaString, not escaped; nullability and metadata of what was
 * parsed are kept. */
void schema_print_delta(const struct schema *s, struct buf *out);

/* Appends a column's DuckDB type: DECIMAL(18,6), STRUCT("a" INTEGER)[] … */
void schema_print_duck(const struct column *column, struct buf *out);

#endif
