/* The rows of a query, chunk by chunk. */
#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "lake/duck_impl.h"

struct duck_result {
	struct duck *duck;
	duckdb_prepared_statement statement;
	duckdb_result result;
	duckdb_data_chunk chunk;
	uint64_t row, rows; /* in the chunk */
	uint32_t count;
	struct duck_column *columns;
	char **type_names; /* of those that were asked for */
};

static int read_columns(struct duck_result *r, struct err *err)
{
	r->count = (uint32_t)duckdb_column_count(&r->result);
	r->columns = xcalloc(r->count ? r->count : 1, sizeof(*r->columns));
	r->type_names =
	    xcalloc(r->count ? r->count : 1, sizeof(*r->type_names));
	for (uint32_t i = 0; i < r->count; i++)
		if (!duck_column_init(
			&r->columns[i],
			duckdb_column_logical_type(&r->result, i)))
			return err_set(err, ENOTSUP,
				       "column \"%s\" is of type %s, which is "
				       "not read; cast it to VARCHAR",
				       duck_column_name(r, i),
				       duck_column_type(r, i));
	return 0;
}

/* Rows come while they are read, so that a large result needs no room. */
static int start(struct duck_result *r, struct err *err)
{
	struct duck *d = r->duck;
	duckdb_pending_result pending = NULL;
	int bad = 0;

	if (duckdb_pending_prepared_streaming(r->statement, &pending) !=
	    DuckDBSuccess)
		bad = duck_fail(d, err, duckdb_pending_error(pending));
	else if (duckdb_execute_pending(pending, &r->result) != DuckDBSuccess)
		bad = duck_fail(d, err, duckdb_result_error(&r->result));
	duckdb_destroy_pending(&pending);
	return bad;
}

int duck_result_start(struct duck *d, duckdb_prepared_statement statement,
		      struct duck_result **result, struct err *err)
{
	struct duck_result *r = xcalloc(1, sizeof(*r));

	r->duck = d;
	r->statement = statement;
	d->rows_failed = false;
	*result = r;
	if (start(r, err) == 0 && read_columns(r, err) == 0)
		return 0;
	duck_result_free(result);
	return -1;
}

int duck_query(struct duck *d, const char *sql, struct duck_result **result,
	       struct err *err)
{
	duckdb_prepared_statement statement;

	*result = NULL;
	d->rows_failed = false;
	if (duckdb_prepare(d->connection, sql, &statement) == DuckDBSuccess)
		return duck_result_start(d, statement, result, err);
	duck_fail(d, err, duckdb_prepare_error(statement));
	duckdb_destroy_prepare(&statement);
	return -1;
}

void duck_result_free(struct duck_result **result)
{
	struct duck_result *r = *result;

	if (!r)
		return;
	for (uint32_t i = 0; i < r->count; i++) {
		duck_column_free(&r->columns[i]);
		free(r->type_names[i]);
	}
	free(r->columns);
	free(r->type_names);
	duckdb_destroy_data_chunk(&r->chunk);
	duckdb_destroy_result(&r->result);
	duckdb_destroy_prepare(&r->statement);
	free(r);
	*result = NULL;
}

uint32_t duck_columns(const struct duck_result *result)
{
	return result->count;
}

const char *duck_column_name(const struct duck_result *result, uint32_t i)
{
	return duckdb_column_name((duckdb_result *)&result->result, i);
}

static const char *type_name(duckdb_type type)
{
	static const char *const names[] = {
	    [DUCKDB_TYPE_BOOLEAN] = "BOOLEAN",
	    [DUCKDB_TYPE_TINYINT] = "TINYINT",
	    [DUCKDB_TYPE_SMALLINT] = "SMALLINT",
	    [DUCKDB_TYPE_INTEGER] = "INTEGER",
	    [DUCKDB_TYPE_BIGINT] = "BIGINT",
	    [DUCKDB_TYPE_UTINYINT] = "UTINYINT",
	    [DUCKDB_TYPE_USMALLINT] = "USMALLINT",
	    [DUCKDB_TYPE_UINTEGER] = "UINTEGER",
	    [DUCKDB_TYPE_UBIGINT] = "UBIGINT",
	    [DUCKDB_TYPE_FLOAT] = "FLOAT",
	    [DUCKDB_TYPE_DOUBLE] = "DOUBLE",
	    [DUCKDB_TYPE_TIMESTAMP] = "TIMESTAMP",
	    [DUCKDB_TYPE_DATE] = "DATE",
	    [DUCKDB_TYPE_TIME] = "TIME",
	    [DUCKDB_TYPE_INTERVAL] = "INTERVAL",
	    [DUCKDB_TYPE_HUGEINT] = "HUGEINT",
	    [DUCKDB_TYPE_UHUGEINT] = "UHUGEINT",
	    [DUCKDB_TYPE_VARCHAR] = "VARCHAR",
	    [DUCKDB_TYPE_BLOB] = "BLOB",
	    [DUCKDB_TYPE_TIMESTAMP_S] = "TIMESTAMP_S",
	    [DUCKDB_TYPE_TIMESTAMP_MS] = "TIMESTAMP_MS",
	    [DUCKDB_TYPE_TIMESTAMP_NS] = "TIMESTAMP_NS",
	    [DUCKDB_TYPE_ENUM] = "ENUM",
	    [DUCKDB_TYPE_UUID] = "UUID",
	    [DUCKDB_TYPE_UNION] = "UNION",
	    [DUCKDB_TYPE_BIT] = "BIT",
	    [DUCKDB_TYPE_TIME_TZ] = "TIME WITH TIME ZONE",
	    [DUCKDB_TYPE_TIMESTAMP_TZ] = "TIMESTAMP WITH TIME ZONE",
	    [DUCKDB_TYPE_BIGNUM] = "BIGNUM",
	    [DUCKDB_TYPE_SQLNULL] = "NULL",
	    [DUCKDB_TYPE_TIME_NS] = "TIME_NS",
	};

	if ((size_t)type < sizeof(names) / sizeof(*names) && names[type])
		return names[type];
	return "UNKNOWN";
}

static void put_type(const struct duck_column *c, struct buf *out)
{
	switch (c->type) {
	case DUCKDB_TYPE_DECIMAL:
		buf_printf(out, "DECIMAL(%u,%u)",
			   duckdb_decimal_width(c->logical), c->scale);
		break;
	case DUCKDB_TYPE_LIST:
		put_type(&c->children[0], out);
		buf_text(out, "[]");
		break;
	case DUCKDB_TYPE_ARRAY:
		put_type(&c->children[0], out);
		buf_printf(out, "[%llu]", (unsigned long long)c->array_size);
		break;
	case DUCKDB_TYPE_MAP:
		buf_text(out, "MAP(");
		put_type(&c->children[0].children[0], out);
		buf_text(out, ", ");
		put_type(&c->children[0].children[1], out);
		buf_char(out, ')');
		break;
	case DUCKDB_TYPE_STRUCT:
		buf_text(out, "STRUCT(");
		for (uint32_t i = 0; i < c->child_count; i++) {
			buf_text(out, i ? ", " : "");
			duck_name(out, c->children[i].name);
			buf_char(out, ' ');
			put_type(&c->children[i], out);
		}
		buf_char(out, ')');
		break;
	default:
		buf_text(out, type_name(c->type));
	}
}

const char *duck_column_type(struct duck_result *result, uint32_t i)
{
	struct buf out = {0};

	if (!result->type_names[i]) {
		put_type(&result->columns[i], &out);
		result->type_names[i] = xstrdup(buf_str(&out));
		buf_free(&out);
	}
	return result->type_names[i];
}

int duck_next(struct duck_result *result, struct err *err)
{
	struct duck_result *r = result;
	const char *why;

	if (r->chunk && ++r->row < r->rows)
		return 1;
	do {
		duckdb_destroy_data_chunk(&r->chunk);
		r->chunk = duckdb_fetch_chunk(r->result);
		if (!r->chunk) {
			why = duckdb_result_error(&r->result);
			return why ? duck_fail(r->duck, err, why) : 0;
		}
		r->row = 0;
		r->rows = duckdb_data_chunk_get_size(r->chunk);
	} while (r->rows == 0);
	for (uint32_t i = 0; i < r->count; i++)
		duck_column_point(&r->columns[i],
				  duckdb_data_chunk_get_vector(r->chunk, i));
	return 1;
}

bool duck_is_null(const struct duck_result *result, uint32_t column)
{
	return duck_column_null(&result->columns[column], result->row);
}

int64_t duck_int(const struct duck_result *result, uint32_t column)
{
	return duck_column_int(&result->columns[column], result->row);
}

void duck_text(const struct duck_result *result, uint32_t column,
	       struct buf *out)
{
	const struct duck_column *c = &result->columns[column];

	if (!duck_column_null(c, result->row))
		duck_column_text(c, result->row, false, out);
}

const char *duck_string(const struct duck_result *result, uint32_t column,
			size_t *bytes)
{
	const struct duck_column *c = &result->columns[column];
	duckdb_string_t *strings = (duckdb_string_t *)c->data;

	*bytes = 0;
	if (c->type != DUCKDB_TYPE_VARCHAR && c->type != DUCKDB_TYPE_BLOB)
		return "";
	if (duck_column_null(c, result->row))
		return "";
	*bytes = duckdb_string_t_length(strings[result->row]);
	return duckdb_string_t_data(&strings[result->row]);
}
