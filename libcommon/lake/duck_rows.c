/* Tables that are made of our own rows. */
#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "lake/duck_chunk.h"
#include "lake/duck_impl.h"

/* A name in SQL and what it stands for now; lives as long as the database,
 * which keeps a pointer to it. */
struct duck_table {
	struct duck_table *next;
	struct duck *duck;
	char *name;
	struct duck_rows rows;
};

/* What one statement reads. */
struct reading {
	struct duck_table *table;
	struct schema *schema; /* as it was when the statement was bound */
	struct duck_chunk chunk;
};

static duckdb_logical_type primitive(const struct column *c)
{
	static const duckdb_type types[] = {
	    [COLUMN_STRING] = DUCKDB_TYPE_VARCHAR,
	    [COLUMN_INT] = DUCKDB_TYPE_INTEGER,
	    [COLUMN_LONG] = DUCKDB_TYPE_BIGINT,
	    [COLUMN_DOUBLE] = DUCKDB_TYPE_DOUBLE,
	    [COLUMN_BOOLEAN] = DUCKDB_TYPE_BOOLEAN,
	    [COLUMN_TIMESTAMP] = DUCKDB_TYPE_TIMESTAMP_TZ,
	    [COLUMN_DATE] = DUCKDB_TYPE_DATE,
	};
	static const struct {
		const char *name;
		duckdb_type type;
	} others[] = {
	    {"byte", DUCKDB_TYPE_TINYINT},
	    {"short", DUCKDB_TYPE_SMALLINT},
	    {"float", DUCKDB_TYPE_FLOAT},
	    {"binary", DUCKDB_TYPE_BLOB},
	    {"timestamp_ntz", DUCKDB_TYPE_TIMESTAMP},
	};

	if (c->type != COLUMN_OTHER)
		return duckdb_create_logical_type(types[c->type]);
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (strcmp(others[i].name, c->delta_type) == 0)
			return duckdb_create_logical_type(others[i].type);
	return duckdb_create_logical_type(DUCKDB_TYPE_VARCHAR);
}

static duckdb_logical_type logical_of(const struct column *c);

static duckdb_logical_type nested(const struct column *c)
{
	uint32_t count = c->child_count;
	duckdb_logical_type *types = xcalloc(count + 1, sizeof(*types));
	const char **names = xcalloc(count + 1, sizeof(*names));
	duckdb_logical_type type;

	for (uint32_t i = 0; i < count; i++) {
		types[i] = logical_of(&c->children[i]);
		names[i] = c->children[i].name;
	}
	if (c->type == COLUMN_ARRAY)
		type = duckdb_create_list_type(types[0]);
	else if (c->type == COLUMN_OTHER)
		type = duckdb_create_map_type(types[0], types[1]);
	else
		type = duckdb_create_struct_type(types, names, count);
	for (uint32_t i = 0; i < count; i++)
		duckdb_destroy_logical_type(&types[i]);
	free(types);
	free(names);
	return type;
}

static duckdb_logical_type logical_of(const struct column *c)
{
	if (c->type == COLUMN_DECIMAL)
		return duckdb_create_decimal_type(c->precision, c->scale);
	return c->child_count ? nested(c) : primitive(c);
}

static uint8_t bytes_of(const struct column *c)
{
	switch (c->type) {
	case COLUMN_BOOLEAN:
		return 1;
	case COLUMN_INT:
	case COLUMN_DATE:
		return 4;
	case COLUMN_LONG:
	case COLUMN_TIMESTAMP:
	case COLUMN_DOUBLE:
		return 8;
	case COLUMN_DECIMAL:
		return c->precision <= 4    ? 2
		       : c->precision <= 9  ? 4
		       : c->precision <= 18 ? 8
					    : 16;
	default:
		return 16;
	}
}

/* What is inside a column of another writer's type is never filled. */
static uint32_t filled_children(const struct column *c)
{
	return c->type == COLUMN_OTHER ? 0 : c->child_count;
}

static void vector_init(struct duck_vector *v, const struct column *c)
{
	uint32_t count = filled_children(c);

	*v = (struct duck_vector){.column = c, .bytes = bytes_of(c)};
	v->children = count ? xcalloc(count, sizeof(*v->children)) : NULL;
	for (uint32_t i = 0; i < count; i++)
		vector_init(&v->children[i], &c->children[i]);
}

static void vector_free(struct duck_vector *v)
{
	for (uint32_t i = 0; i < filled_children(v->column); i++)
		vector_free(&v->children[i]);
	free(v->children);
}

/* Where a vector's values are now; members of structs lie beside it. */
static void vector_point(struct duck_vector *v, duckdb_vector handle)
{
	v->handle = handle;
	v->data = duckdb_vector_get_data(handle);
	duckdb_vector_ensure_validity_writable(handle);
	v->valid = duckdb_vector_get_validity(handle);
	if (v->column->type != COLUMN_STRUCT)
		return;
	for (uint32_t i = 0; i < v->column->child_count; i++)
		vector_point(&v->children[i],
			     duckdb_struct_vector_get_child(handle, i));
}

/* Makes rows NULL, members of structs with them, and lists inside empty. */
static void vector_clear(struct duck_vector *v, uint64_t from, uint64_t count)
{
	if (from == 0)
		memset(v->valid, 0, (count + 63) / 64 * 8);
	else
		for (uint64_t i = from; i < from + count; i++)
			v->valid[i / 64] &= ~(UINT64_C(1) << (i % 64));
	if (v->column->type == COLUMN_STRUCT)
		for (uint32_t i = 0; i < v->column->child_count; i++)
			vector_clear(&v->children[i], from, count);
	/* Readers follow the entries of lists that are NULL as well. */
	if (v->column->type == COLUMN_ARRAY ||
	    (v->column->type == COLUMN_OTHER && v->column->child_count))
		memset((duckdb_list_entry *)v->data + from, 0,
		       count * sizeof(duckdb_list_entry));
}

/* A new chunk: its lists have no elements, and may have less room. */
static void vector_begin(struct duck_vector *v)
{
	v->used = v->room = 0;
	for (uint32_t i = 0; i < filled_children(v->column); i++)
		vector_begin(&v->children[i]);
}

void duck_put_copy(struct duck_vector *v, uint64_t row, const char *text,
		   uint32_t bytes)
{
	duckdb_vector_assign_string_element_len(v->handle, row, text, bytes);
	duck_put_valid(v, row);
}

uint64_t duck_put_list(struct duck_vector *v, uint64_t row, uint64_t count)
{
	struct duck_vector *child = &v->children[0];
	uint64_t first = v->used;

	((duckdb_list_entry *)v->data)[row] = (duckdb_list_entry){first, count};
	duck_put_valid(v, row);
	v->used += count;
	if (v->used > v->room) {
		v->room = v->used < 2048 ? 2048 : v->used * 2;
		duckdb_list_vector_reserve(v->handle, v->room);
		vector_point(child, duckdb_list_vector_get_child(v->handle));
	}
	duckdb_list_vector_set_size(v->handle, v->used);
	if (count)
		vector_clear(child, first, count);
	return first;
}

static void bind_free(void *data)
{
	struct schema *s = data;

	schema_unref(&s);
}

static void bind(duckdb_bind_info info)
{
	struct duck_table *t = duckdb_bind_get_extra_info(info);
	struct schema *s = schema_ref(t->rows.schema);

	duckdb_bind_set_bind_data(info, s, bind_free);
	for (uint32_t i = 0; i < schema_count(s); i++) {
		const struct column *c = schema_at(s, i);
		duckdb_logical_type type = logical_of(c);

		duckdb_bind_add_result_column(info, c->name, type);
		duckdb_destroy_logical_type(&type);
	}
}

static void reading_free(void *data)
{
	struct reading *r = data;

	for (uint32_t i = 0; i < r->chunk.count; i++)
		vector_free(&r->chunk.columns[i]);
	free(r->chunk.columns);
	schema_unref(&r->schema);
	free(r);
}

static void init(duckdb_init_info info)
{
	struct reading *r = xcalloc(1, sizeof(*r));

	r->table = duckdb_init_get_extra_info(info);
	r->schema = schema_ref(duckdb_init_get_bind_data(info));
	r->chunk.count = schema_count(r->schema);
	r->chunk.columns =
	    xcalloc(r->chunk.count + 1, sizeof(struct duck_vector));
	for (uint32_t i = 0; i < r->chunk.count; i++)
		vector_init(&r->chunk.columns[i], schema_at(r->schema, i));
	duckdb_init_set_init_data(info, r, reading_free);
	/* One thread reads, and the rows keep their order. */
	duckdb_init_set_max_threads(info, 1);
	if (r->table->rows.rewind)
		r->table->rows.rewind(r->table->rows.arg);
}

static void fill(duckdb_function_info info, duckdb_data_chunk output)
{
	struct reading *r = duckdb_function_get_init_data(info);
	struct duck_table *t = r->table;
	struct duck *d = t->duck;
	uint32_t room = (uint32_t)duckdb_vector_size();
	int rows;

	for (uint32_t i = 0; i < r->chunk.count; i++) {
		struct duck_vector *v = &r->chunk.columns[i];

		vector_begin(v);
		vector_point(v, duckdb_data_chunk_get_vector(output, i));
		vector_clear(v, 0, room);
	}
	rows = t->rows.fill(t->rows.arg, &r->chunk, room, &d->rows_err);
	if (rows < 0) {
		d->rows_failed = true;
		duckdb_function_set_error(info, d->rows_err.text);
		rows = 0;
	}
	duckdb_data_chunk_set_size(output, (idx_t)rows);
}

static int make_function(struct duck *d, struct duck_table *t, struct err *err)
{
	duckdb_table_function f = duckdb_create_table_function();
	int result = 0;

	duckdb_table_function_set_name(f, t->name);
	duckdb_table_function_set_extra_info(f, t, NULL);
	duckdb_table_function_set_bind(f, bind);
	duckdb_table_function_set_init(f, init);
	duckdb_table_function_set_function(f, fill);
	if (duckdb_register_table_function(d->connection, f) != DuckDBSuccess)
		result = err_set(err, EINVAL, "DuckDB refuses the table %s",
				 t->name);
	duckdb_destroy_table_function(&f);
	return result;
}

/*
 * A result that was not read to its end leaves its transaction open, and the
 * next statement rolls that back. What was registered in it would be gone for
 * good, since a name is registered once.
 */
static int end_transaction(struct duck *d, struct err *err)
{
	return duck_run(d, "SELECT 1", err);
}

int duck_register(struct duck *d, const char *name,
		  const struct duck_rows *rows, struct err *err)
{
	struct duck_table *t = d->tables;
	struct schema *schema = schema_ref(rows->schema);

	while (t && strcmp(t->name, name) != 0)
		t = t->next;
	if (t) {
		schema_unref(&t->rows.schema);
	} else {
		t = xcalloc(1, sizeof(*t));
		t->duck = d;
		t->name = xstrdup(name);
		if (end_transaction(d, err) < 0 ||
		    make_function(d, t, err) < 0) {
			schema_unref(&schema);
			free(t->name);
			free(t);
			return -1;
		}
		t->next = d->tables;
		d->tables = t;
	}
	t->rows = *rows;
	t->rows.schema = schema;
	return 0;
}

void duck_tables_free(struct duck *d)
{
	while (d->tables) {
		struct duck_table *t = d->tables;

		d->tables = t->next;
		schema_unref(&t->rows.schema);
		free(t->name);
		free(t);
	}
}
