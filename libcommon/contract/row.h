/*
 * A mapped event as typed values: one line of JSON is parsed once and its
 * members are visited in the order in which they stand. Numbers are exact, text
 * is not copied where it need not be, and nothing is allocated an event.
 */
#ifndef WEFT_CONTRACT_ROW_H
#define WEFT_CONTRACT_ROW_H

#include "contract/contract.h"
#include "contract/decimal.h"

enum row_kind {
	ROW_NULL,
	ROW_INTEGER,   /* int, long: integer */
	ROW_DECIMAL,   /* decimal, scaled as its field says */
	ROW_DOUBLE,    /* number, always finite */
	ROW_BOOLEAN,   /* truth */
	ROW_TIMESTAMP, /* integer: µs since 1970 UTC */
	ROW_DATE,      /* integer: days since 1970 */
	ROW_TEXT,      /* string, guid; JSON text as it came of a dynamic */
	ROW_ARRAY,     /* count elements, see row_enter() */
	ROW_STRUCT,    /* members, see row_enter() */
};

struct row_value {
	enum row_kind kind;
	union {
		uint32_t bytes; /* of text */
		uint32_t count; /* of an array */
	};
	/* The text lies in the line and lives as long as that; else it lives
	 * until the next row_open(). */
	bool in_line;
	union {
		int64_t integer;
		decimal_value decimal;
		double number;
		bool truth;
		const char *text;
		void *inside; /* for row_enter() */
	};
};

/* A walk over members or elements. For the caller to keep, not to read. */
struct row_cursor {
	const struct rule *element; /* of an array, else NULL */
	const struct shape *shape;  /* of an object */
	void *at;
	const char *text; /* of the next element, where that is needed */
	uint32_t left;
	uint32_t index;
};

/* Parser memory for one line at a time. One thread. */
struct row_reader;
struct row_reader *row_reader_new(void);
void row_reader_free(struct row_reader **r);

/*
 * Begins a line of `contract`: a JSON object of `bytes` bytes (at most
 * BATCH_MAX_LINE_BYTES), borrowed until the next row_open(). -1 with *err
 * (EINVAL) when it is none.
 */
int row_open(struct row_reader *r, const struct contract *contract,
	     const char *line, size_t bytes, struct row_cursor *c,
	     struct err *err) MUST_CHECK;

/*
 * The next member or element. 1: *value, and in *field its index in the fields
 * of the contract or struct, or in the array; members that are no field are
 * passed over. 0: no more. -1 with *err (EINVAL) naming the field when the
 * value is not of its type; *field is set then too.
 */
int row_next(struct row_reader *r, struct row_cursor *c, uint32_t *field,
	     struct row_value *value, struct err *err) MUST_CHECK;

/*
 * Whether all values of a line are of their types: 0; -1 with *err (EINVAL)
 * naming the field that is not. Ends walks begun before.
 */
int row_check(struct row_reader *r, const struct contract *contract,
	      const char *line, size_t bytes, struct err *err) MUST_CHECK;

/*
 * Begins a walk, in *c, over what is in a value of kind array or struct that
 * row_next() gave for `field` of `from`. Walks may be nested, and need not be
 * ended.
 */
void row_enter(struct row_reader *r, const struct row_cursor *from,
	       uint32_t field, const struct row_value *value,
	       struct row_cursor *c);

#endif
