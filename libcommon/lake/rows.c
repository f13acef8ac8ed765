#include "lake/rows.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "contract/row.h"
#include "lake/duck_chunk.h"
#include "lake/parquet.h"
#include "lake/schema_impl.h"

#define NO_COLUMN  (-1)
#define OTHER_TYPE (-2)
#define UNFORESEEN (-3) /* a column that is left out for now */

/* Where a field goes: a column, or a member of the struct around it. */
struct target {
	int32_t column;		 /* or NO_COLUMN, OTHER_TYPE, UNFORESEEN */
	struct target *children; /* of a struct's fields; [0] of an array */
	uint32_t child_count;
};

/* The fields of a contract whose events are among those at hand. */
struct known {
	const struct contract *contract;
	struct target *targets;
};

struct rows {
	struct schema *all;
	struct schema *schema; /* those of them that are made now */
	bool *seen;	       /* columns of all that ever had a value */
	bool learnt;	       /* seen is that of a whole file at least */
	bool unforeseen;       /* a value had no place for lack of a column */
	struct row_reader *reader;
	const struct lake_event *events;
	size_t count, next, bad;
	struct known *known;
	uint32_t known_count, last;
};

static void targets_free(struct target *targets, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		targets_free(targets[i].children, targets[i].child_count);
	free(targets);
}

static bool takes(const struct column *c, const struct contract_field *f)
{
	switch (f->type) {
	case CONTRACT_STRING:
	case CONTRACT_GUID:
	case CONTRACT_DYNAMIC:
		return c->type == COLUMN_STRING;
	case CONTRACT_INT:
		return c->type == COLUMN_INT || c->type == COLUMN_LONG;
	case CONTRACT_LONG:
		return c->type == COLUMN_LONG;
	case CONTRACT_DOUBLE:
		return c->type == COLUMN_DOUBLE;
	case CONTRACT_DECIMAL:
		return c->type == COLUMN_DECIMAL &&
		       c->precision == f->precision && c->scale == f->scale;
	case CONTRACT_BOOLEAN:
		return c->type == COLUMN_BOOLEAN;
	case CONTRACT_DATETIME:
		return c->type == COLUMN_TIMESTAMP;
	case CONTRACT_DATE:
		return c->type == COLUMN_DATE;
	case CONTRACT_ARRAY:
		return c->type == COLUMN_ARRAY;
	case CONTRACT_STRUCT:
		return c->type == COLUMN_STRUCT;
	}
	return false;
}

static struct target *targets_of(const struct column *parent,
				 const struct contract_field *fields,
				 uint32_t count);

/* A field that goes to the column c, which is number `column` of its parent. */
static void aim(struct target *t, int32_t column, const struct column *c,
		const struct contract_field *f)
{
	t->column = takes(c, f) ? column : OTHER_TYPE;
	if (t->column < 0)
		return;
	if (f->type == CONTRACT_ARRAY) {
		t->child_count = 1;
		t->children = xcalloc(1, sizeof(*t->children));
		aim(t->children, 0, &c->children[0], f->element);
	} else if (f->type == CONTRACT_STRUCT) {
		t->child_count = f->field_count;
		t->children = targets_of(c, f->fields, f->field_count);
	}
}

static struct target *targets_of(const struct column *parent,
				 const struct contract_field *fields,
				 uint32_t count)
{
	struct target *targets = xcalloc(count ? count : 1, sizeof(*targets));

	for (uint32_t i = 0; i < count; i++) {
		int32_t column = column_find(parent, fields[i].name);

		if (column < 0)
			targets[i].column = NO_COLUMN;
		else
			aim(&targets[i], column, &parent->children[column],
			    &fields[i]);
	}
	return targets;
}

/* Events of one contract often follow each other. */
static const struct target *find_targets(struct rows *r,
					 const struct contract *contract)
{
	struct known *k;

	if (r->last < r->known_count && r->known[r->last].contract == contract)
		return r->known[r->last].targets;
	for (uint32_t i = 0; i < r->known_count; i++)
		if (r->known[i].contract == contract) {
			r->last = i;
			return r->known[i].targets;
		}
	r->known = xreallocarray(r->known, r->known_count + 1, sizeof(*k));
	r->last = r->known_count++;
	k = &r->known[r->last];
	k->contract = contract;
	k->targets = targets_of(&r->schema->root, contract->fields,
				contract->field_count);
	for (uint32_t i = 0; i < contract->field_count; i++)
		if (k->targets[i].column == NO_COLUMN &&
		    schema_find(r->all, contract->fields[i].name) >= 0)
			k->targets[i].column = UNFORESEEN;
	return k->targets;
}

static void forget_contracts(struct rows *r)
{
	for (uint32_t i = 0; i < r->known_count; i++)
		targets_free(r->known[i].targets,
			     r->known[i].contract->field_count);
	r->known_count = r->last = 0;
}

struct rows *rows_new(struct schema *schema)
{
	struct rows *r = xcalloc(1, sizeof(*r));

	r->all = schema_ref(schema);
	r->schema = schema_ref(schema);
	r->seen = xcalloc(schema_count(schema) + 1, sizeof(*r->seen));
	r->reader = row_reader_new();
	r->bad = SIZE_MAX;
	return r;
}

void rows_free(struct rows **r)
{
	if (!*r)
		return;
	forget_contracts(*r);
	free((*r)->known);
	row_reader_free(&(*r)->reader);
	schema_unref(&(*r)->schema);
	schema_unref(&(*r)->all);
	free((*r)->seen);
	free(*r);
	*r = NULL;
}

void rows_set(struct rows *r, const struct lake_event *events, size_t count)
{
	forget_contracts(r);
	r->events = events;
	r->count = count;
	r->next = 0;
	r->bad = SIZE_MAX;
}

size_t rows_bad_event(const struct rows *r)
{
	return r->bad;
}

static void put_plain(struct duck_vector *v, uint64_t row,
		      const struct row_value *value)
{
	switch (value->kind) {
	case ROW_TEXT:
		if (value->in_line)
			duck_put_text(v, row, value->text, value->bytes);
		else
			duck_put_copy(v, row, value->text, value->bytes);
		break;
	case ROW_INTEGER:
	case ROW_TIMESTAMP:
	case ROW_DATE:
		duck_put_int(v, row, value->integer);
		break;
	case ROW_BOOLEAN:
		duck_put_int(v, row, value->truth);
		break;
	case ROW_DECIMAL:
		duck_put_decimal(v, row, value->decimal);
		break;
	case ROW_DOUBLE:
		duck_put_double(v, row, value->number);
		break;
	default: /* rows are NULL to begin with; the rest is nested */
		break;
	}
}

/* A walk over members or elements, and where they go. */
struct walk {
	struct row_cursor cursor;
	const struct contract_field *fields; /* one for all elements */
	const struct target *targets;	     /* as the fields */
	struct duck_vector *columns;
	bool list;
	uint64_t row; /* of the members, or of the first element */
};

static int no_place(const struct walk *w, uint32_t field, struct err *err)
{
	const struct contract_field *f = &w->fields[w->list ? 0 : field];
	bool there = w->targets[w->list ? 0 : field].column == OTHER_TYPE;

	return err_set(err, EINVAL,
		       "field %s has %s in the table; its contract changed in "
		       "a breaking way",
		       f->name, there ? "another type" : "no column");
}

static int put_all(struct rows *r, struct walk *w, struct err *err);

/* The values inside a struct or an array. */
static int put_nested(struct rows *r, const struct walk *w, uint32_t field,
		      const struct row_value *value, struct err *err)
{
	const struct contract_field *f = &w->fields[w->list ? 0 : field];
	const struct target *t = &w->targets[w->list ? 0 : field];
	struct duck_vector *v = &w->columns[t->column];
	uint64_t row = w->row + (w->list ? field : 0);
	struct walk inside = {
	    .fields = f->element ? f->element : f->fields,
	    .targets = t->children,
	    .columns = v->children,
	    .list = value->kind == ROW_ARRAY,
	    .row = row,
	};

	row_enter(r->reader, &w->cursor, field, value, &inside.cursor);
	if (inside.list)
		inside.row = duck_put_list(v, row, value->count);
	else
		duck_put_struct(v, row);
	return put_all(r, &inside, err);
}

static int put_all(struct rows *r, struct walk *w, struct err *err)
{
	struct row_value value;
	uint32_t field;
	int more;

	while ((more = row_next(r->reader, &w->cursor, &field, &value, err)) >
	       0) {
		const struct target *t = &w->targets[w->list ? 0 : field];

		if (value.kind == ROW_NULL)
			continue;
		if (t->column < 0) {
			r->unforeseen = t->column == UNFORESEEN;
			return no_place(w, field, err);
		}
		if (value.kind >= ROW_ARRAY) {
			if (put_nested(r, w, field, &value, err) < 0)
				return -1;
			continue;
		}
		put_plain(&w->columns[t->column],
			  w->row + (w->list ? field : 0), &value);
	}
	return more;
}

static int put_event(struct rows *r, const struct lake_event *e,
		     struct duck_chunk *chunk, uint64_t row, struct err *err)
{
	struct walk w = {
	    .fields = e->contract->fields,
	    .targets = find_targets(r, e->contract),
	    .columns = chunk->columns,
	    .row = row,
	};

	if (row_open(r->reader, e->contract, e->line, e->bytes, &w.cursor,
		     err) == 0 &&
	    put_all(r, &w, err) == 0)
		return 0;
	return err_wrap(err, "an event of %s at log position %" PRIu64,
			e->contract->name, e->position);
}

/* Lines of one table lie apart, so that nobody else foresees the next one. */
static void prefetch(const struct lake_event *e)
{
	for (uint32_t at = 0; at < e->bytes && at < 1024; at += 64)
		__builtin_prefetch(e->line + at);
}

/* Notes which columns have a value in the first rows of a chunk. */
static void note_seen(struct rows *r, const struct duck_chunk *chunk,
		      uint32_t rows)
{
	for (uint32_t i = 0, all = 0; i < chunk->count; i++, all++) {
		const struct duck_vector *v = &chunk->columns[i];

		/* What is made now is in the order of all. */
		while (strcmp(v->column->name, schema_at(r->all, all)->name) !=
		       0)
			all++;
		for (uint32_t w = 0; !r->seen[all] && w < (rows + 63) / 64; w++)
			r->seen[all] = v->valid[w] != 0;
	}
}

static int fill(void *arg, struct duck_chunk *chunk, uint32_t room,
		struct err *err)
{
	struct rows *r = arg;
	uint32_t row = 0;

	for (; row < room && r->next < r->count; r->next++) {
		const struct lake_event *e = &r->events[r->next];

		if (r->next + 1 < r->count)
			prefetch(&e[1]);
		if (e->skip)
			continue;
		if (put_event(r, e, chunk, row++, err) < 0) {
			r->bad = r->next;
			return -1;
		}
	}
	note_seen(r, chunk, row);
	return (int)row;
}

static void rewind_rows(void *arg)
{
	struct rows *r = arg;

	r->next = 0;
	r->bad = SIZE_MAX;
}

int rows_check(struct rows *r, const struct lake_event *e, struct err *err)
{
	if (row_check(r->reader, e->contract, e->line, e->bytes, err) == 0)
		return 0;
	return err_wrap(err, "an event of %s at log position %" PRIu64,
			e->contract->name, e->position);
}

int rows_register(struct rows *r, struct duck *d, const char *name,
		  struct err *err)
{
	const struct duck_rows table = {
	    .schema = r->schema,
	    .fill = fill,
	    .rewind = rewind_rows,
	    .arg = r,
	};

	return duck_register(d, name, &table, err);
}

/* From now on rows have the columns of `schema` (taken). */
static void make_columns(struct rows *r, struct schema *schema)
{
	forget_contracts(r);
	schema_unref(&r->schema);
	r->schema = schema;
}

static int write_once(struct rows *r, struct duck *d, const char *path,
		      const char *codec, struct parquet_written *w,
		      struct err *err)
{
	r->unforeseen = false;
	if (rows_register(r, d, "rows", err) < 0)
		return -1;
	return parquet_write(d, r->schema, "rows()", path, codec, w, err);
}

int rows_write(struct rows *r, struct duck *d, const char *path,
	       const char *codec, struct parquet_written *w, struct err *err)
{
	int result;

	*w = (struct parquet_written){0};
	if (r->learnt) {
		make_columns(r, schema_pick(r->all, r->seen));
		result = write_once(r, d, path, codec, w, err);
		if (result == 0 || !r->unforeseen)
			goto out;
	}
	make_columns(r, schema_ref(r->all));
	result = write_once(r, d, path, codec, w, err);
	r->learnt = result == 0 && w->rows > 0;
out:
	make_columns(r, schema_ref(r->all));
	return result;
}
