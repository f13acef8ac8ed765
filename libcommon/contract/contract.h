/*
 * Contracts: one file per stream drives validation, mapping, routing, masking
 * and every generated schema. A set is all files of a directory, compiled once;
 * it is immutable and may be used by any thread. The file format is written
 * down in libcommon/contract/format.md.
 */
#ifndef WEFT_CONTRACT_CONTRACT_H
#define WEFT_CONTRACT_CONTRACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct contract_set;

enum contract_type {
	CONTRACT_STRING,
	CONTRACT_GUID,
	CONTRACT_INT,
	CONTRACT_LONG,
	CONTRACT_DOUBLE,
	CONTRACT_DECIMAL,
	CONTRACT_BOOLEAN,
	CONTRACT_DATETIME,
	CONTRACT_DATE,
	CONTRACT_DYNAMIC,
	CONTRACT_ARRAY,
	CONTRACT_STRUCT,
};

enum contract_mask {
	CONTRACT_MASK_NONE,
	CONTRACT_MASK_HASH, /* hex of HMAC-SHA-256 under the pipeline's secret
			     */
	CONTRACT_MASK_REDACT,
	CONTRACT_MASK_TRUNCATE,
	CONTRACT_MASK_LAST4,
};

/* As contracts write it: "hash", … */
const char *contract_mask_name(enum contract_mask mask);

enum contract_violation {
	CONTRACT_REJECT,
	CONTRACT_FLAG,
	CONTRACT_NULL,
};

/* One field of a contract, inherited ones included; read-only. */
struct contract_field {
	const char *name;
	const char *doc;
	enum contract_type type;
	uint8_t precision, scale; /* of a decimal */
	bool required;
	enum contract_mask mask;
	enum contract_violation on_violation;
	const char *type_text;	  /* as written, e.g. "decimal(18,6)" */
	const char *default_text; /* JSON text, or NULL */
	/* Of an array: what each element is, called "element". Else NULL. */
	const struct contract_field *element;
	/* Members of a struct, in their order. Else none. */
	const struct contract_field *fields;
	uint32_t field_count;
};

/* One compiled contract; read-only. Strings live as long as the set. */
struct contract {
	const char *name;
	const char *doc;
	const char *file;
	uint16_t version;
	uint32_t field_count;
	const struct contract_field *fields;
	const char *partition_key; /* field name or NULL */
	const char *topic;	   /* eventhub.topic or NULL */
	const char *table;	   /* lake.table or NULL; no other has it */
	bool upsert;		   /* lake.mode: "upsert", else "append" */
	/* Indexes of the fields that say when two events are the same. */
	const uint32_t *identity;
	uint32_t identity_count;
};

/* All that was wrong with a directory: one line each, `file:line: what`, or
 * `file: what` when it is not about one line. */
struct contract_report {
	struct buf lines;
	uint32_t errors;
	uint32_t warnings;
};
void contract_report_free(struct contract_report *report);

/*
 * Compiles every *.conf in `dir`. All problems of all files are in *report (to
 * be freed by the caller), and with any error the result is -1 and no set.
 * `secret` (secret_bytes >= 16) keys the hash mask; it is copied.
 */
int contract_set_load(struct contract_set **set, const char *dir,
		      const uint8_t *secret, size_t secret_bytes,
		      struct contract_report *report) MUST_CHECK;

struct contract_set *contract_set_ref(struct contract_set *set);
void contract_set_unref(struct contract_set **set);

/* A hash of the canonical text of all its files; 0 is never one. */
uint64_t contract_set_hash(const struct contract_set *set);

uint32_t contract_set_count(const struct contract_set *set);
const struct contract *contract_set_at(const struct contract_set *set,
				       uint32_t i);
/* NULL when there is none of that name. */
const struct contract *contract_set_find(const struct contract_set *set,
					 const char *name, size_t bytes);

/*
 * How large a batch of validated, unmapped events may be so that what the
 * mapper makes of it, masks, defaults and new names included, is in the limits
 * of a batch: one of fewer events and fewer bytes (as batch_bytes()) may take
 * another event, and two may be joined when the sum has no more.
 */
struct contract_batch_limits {
	uint32_t events;
	size_t bytes;
};
struct contract_batch_limits contract_set_batch_limits(
    const struct contract_set *set);

/*
 * Keeps a copy of the set's files as <dir>/<16 hex digits of the hash>/,
 * synced, so that batches that name it can be mapped after the files changed,
 * and notes in <dir>/newest that it is the last one.
 */
int contract_set_pin(const struct contract_set *set, const char *dir,
		     struct err *err) MUST_CHECK;

/*
 * Compares a set with the one that contract_set_pin() kept last in `dir`. -1
 * when a contract says something else than it did under the same version,
 * comments and docs apart; what was kept under one version of a contract must
 * mean one thing. 0 when none was kept, or it cannot be read.
 */
int contract_set_check_versions(const struct contract_set *set, const char *dir,
				struct err *err) MUST_CHECK;

/* Loads a pinned set. ENOENT when it was never pinned there. */
int contract_set_load_pinned(struct contract_set **set, const char *dir,
			     uint64_t hash, const uint8_t *secret,
			     size_t secret_bytes, struct err *err) MUST_CHECK;

#endif
