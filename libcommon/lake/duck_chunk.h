/*
 * What a table function of ours fills: a chunk of columns whose rows are all
 * NULL to begin with. Called by duck_rows.fill alone, on its thread. Rows are
 * numbered from 0; those inside a list are numbered by duck_put_list().
 */
#ifndef WEFT_LAKE_DUCK_CHUNK_H
#define WEFT_LAKE_DUCK_CHUNK_H

#include <string.h>

#include "contract/decimal.h"
#include "lake/duck.h"

/* One column, or what is inside one. */
struct duck_vector {
	void *data;
	uint64_t *valid;
	uint8_t bytes; /* of one value: 1, 2, 4, 8 or 16 */
	const struct column *column;
	struct duck_vector *children; /* as the column's */
	void *handle;
	uint64_t used, room; /* rows of a list's child */
};

struct duck_chunk {
	uint32_t count;
	struct duck_vector *columns;
};

/* The text of a VARCHAR as DuckDB keeps it: up to 12 bytes in place. */
struct duck_string {
	uint32_t bytes;
	char prefix[4];
	union {
		char rest[8];
		const char *text;
	};
};

static inline void duck_put_valid(struct duck_vector *v, uint64_t row)
{
	v->valid[row / 64] |= UINT64_C(1) << (row % 64);
}

/* Of INT, LONG, BOOLEAN (0, 1), TIMESTAMP (µs), DATE (days). */
static inline void duck_put_int(struct duck_vector *v, uint64_t row,
				int64_t value)
{
	if (v->bytes == 8)
		((int64_t *)v->data)[row] = value;
	else if (v->bytes == 4)
		((int32_t *)v->data)[row] = (int32_t)value;
	else
		((uint8_t *)v->data)[row] = (uint8_t)value;
	duck_put_valid(v, row);
}

static inline void duck_put_double(struct duck_vector *v, uint64_t row,
				   double value)
{
	((double *)v->data)[row] = value;
	duck_put_valid(v, row);
}

/* Scaled as the column is, and of no more digits than it has. */
static inline void duck_put_decimal(struct duck_vector *v, uint64_t row,
				    decimal_value value)
{
	if (v->bytes == 8)
		((int64_t *)v->data)[row] = (int64_t)value;
	else if (v->bytes == 16)
		memcpy((char *)v->data + row * sizeof(value), &value,
		       sizeof(value));
	else if (v->bytes == 4)
		((int32_t *)v->data)[row] = (int32_t)value;
	else
		((int16_t *)v->data)[row] = (int16_t)value;
	duck_put_valid(v, row);
}

/* UTF-8 that is copied. */
void duck_put_copy(struct duck_vector *v, uint64_t row, const char *text,
		   uint32_t bytes);

/*
 * UTF-8, known to be valid, that stays in place until the statement has ended;
 * only short text is copied.
 */
static inline void duck_put_text(struct duck_vector *v, uint64_t row,
				 const char *text, uint32_t bytes)
{
	struct duck_string *s = (struct duck_string *)v->data + row;

	s->bytes = bytes;
	if (bytes > sizeof(s->prefix) + sizeof(s->rest)) {
		memcpy(s->prefix, text, sizeof(s->prefix));
		s->text = text;
	} else {
		/* The bytes behind a short text are compared too. */
		memset(s->prefix, 0, sizeof(s->prefix) + sizeof(s->rest));
		memcpy(s->prefix, text, bytes);
	}
	duck_put_valid(v, row);
}

/* A struct that is not NULL; its members have the same row in children[]. */
static inline void duck_put_struct(struct duck_vector *v, uint64_t row)
{
	duck_put_valid(v, row);
}

/*
 * A list of `count` elements, which are NULL to begin with. Returns the row of
 * the first in children[0]; the others follow it.
 */
uint64_t duck_put_list(struct duck_vector *v, uint64_t row, uint64_t count);

#endif
