/* Values of DuckDB's vectors as integers and as text. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "contract/decimal.h"
#include "lake/duck_impl.h"

#define DAY_US INT64_C(86400000000)

static bool add_child(struct duck_column *c, uint32_t i,
		      duckdb_logical_type logical)
{
	return duck_column_init(&c->children[i], logical);
}

static bool init_members(struct duck_column *c)
{
	uint32_t count = (uint32_t)duckdb_struct_type_child_count(c->logical);
	bool known = true;

	c->children = xcalloc(count ? count : 1, sizeof(*c->children));
	c->child_count = count;
	for (uint32_t i = 0; i < count; i++) {
		char *name = duckdb_struct_type_child_name(c->logical, i);

		known &= add_child(
		    c, i, duckdb_struct_type_child_type(c->logical, i));
		c->children[i].name = xstrdup(name);
		duckdb_free(name);
	}
	return known;
}

/* A map is a list of structs of key and value. */
static bool init_map(struct duck_column *c)
{
	duckdb_logical_type types[] = {duckdb_map_type_key_type(c->logical),
				       duckdb_map_type_value_type(c->logical)};
	const char *names[] = {"key", "value"};
	bool known =
	    add_child(c, 0, duckdb_create_struct_type(types, names, 2));

	duckdb_destroy_logical_type(&types[0]);
	duckdb_destroy_logical_type(&types[1]);
	return known;
}

bool duck_column_init(struct duck_column *c, duckdb_logical_type logical)
{
	c->logical = logical;
	c->type = c->physical = duckdb_get_type_id(logical);
	switch (c->type) {
	case DUCKDB_TYPE_DECIMAL:
		c->physical = duckdb_decimal_internal_type(logical);
		c->scale = duckdb_decimal_scale(logical);
		return true;
	case DUCKDB_TYPE_ENUM:
		c->physical = duckdb_enum_internal_type(logical);
		return true;
	case DUCKDB_TYPE_STRUCT:
		return init_members(c);
	case DUCKDB_TYPE_LIST:
	case DUCKDB_TYPE_ARRAY:
	case DUCKDB_TYPE_MAP:
		c->children = xcalloc(1, sizeof(*c->children));
		c->child_count = 1;
		if (c->type == DUCKDB_TYPE_MAP)
			return init_map(c);
		if (c->type == DUCKDB_TYPE_LIST)
			return add_child(c, 0,
					 duckdb_list_type_child_type(logical));
		c->array_size = duckdb_array_type_array_size(logical);
		return add_child(c, 0, duckdb_array_type_child_type(logical));
	case DUCKDB_TYPE_UNION:
	case DUCKDB_TYPE_BIT:
	case DUCKDB_TYPE_TIME_TZ:
	case DUCKDB_TYPE_TIME_NS:
	case DUCKDB_TYPE_BIGNUM:
		return false;
	default:
		return c->type != DUCKDB_TYPE_INVALID &&
		       c->type <= DUCKDB_TYPE_TIME_NS;
	}
}

void duck_column_free(struct duck_column *c)
{
	for (uint32_t i = 0; i < c->child_count; i++)
		duck_column_free(&c->children[i]);
	free(c->children);
	free(c->name);
	duckdb_destroy_logical_type(&c->logical);
}

static duckdb_vector child_of(const struct duck_column *c, duckdb_vector vector,
			      uint32_t i)
{
	if (c->type == DUCKDB_TYPE_STRUCT)
		return duckdb_struct_vector_get_child(vector, i);
	if (c->type == DUCKDB_TYPE_ARRAY)
		return duckdb_array_vector_get_child(vector);
	return duckdb_list_vector_get_child(vector);
}

void duck_column_point(struct duck_column *c, duckdb_vector vector)
{
	c->data = duckdb_vector_get_data(vector);
	c->valid = duckdb_vector_get_validity(vector);
	for (uint32_t i = 0; i < c->child_count; i++)
		duck_column_point(&c->children[i], child_of(c, vector, i));
}

bool duck_column_null(const struct duck_column *c, uint64_t row)
{
	return c->type == DUCKDB_TYPE_SQLNULL ||
	       (c->valid && !(c->valid[row / 64] >> (row % 64) & 1));
}

int64_t duck_column_int(const struct duck_column *c, uint64_t row)
{
	switch (c->physical) {
	case DUCKDB_TYPE_BOOLEAN:
	case DUCKDB_TYPE_UTINYINT:
		return ((const uint8_t *)c->data)[row];
	case DUCKDB_TYPE_TINYINT:
		return ((const int8_t *)c->data)[row];
	case DUCKDB_TYPE_SMALLINT:
		return ((const int16_t *)c->data)[row];
	case DUCKDB_TYPE_USMALLINT:
		return ((const uint16_t *)c->data)[row];
	case DUCKDB_TYPE_INTEGER:
	case DUCKDB_TYPE_DATE:
		return ((const int32_t *)c->data)[row];
	case DUCKDB_TYPE_UINTEGER:
		return ((const uint32_t *)c->data)[row];
	case DUCKDB_TYPE_BIGINT:
	case DUCKDB_TYPE_UBIGINT:
	case DUCKDB_TYPE_TIME:
	case DUCKDB_TYPE_TIMESTAMP:
	case DUCKDB_TYPE_TIMESTAMP_S:
	case DUCKDB_TYPE_TIMESTAMP_MS:
	case DUCKDB_TYPE_TIMESTAMP_NS:
	case DUCKDB_TYPE_TIMESTAMP_TZ:
		return ((const int64_t *)c->data)[row];
	case DUCKDB_TYPE_HUGEINT:
	case DUCKDB_TYPE_UHUGEINT:
		return (int64_t)((const duckdb_hugeint *)c->data)[row].lower;
	default:
		return 0;
	}
}

static decimal_value huge_of(const struct duck_column *c, uint64_t row)
{
	decimal_value value;

	if (c->physical != DUCKDB_TYPE_HUGEINT)
		return duck_column_int(c, row);
	memcpy(&value, (const char *)c->data + row * sizeof(value),
	       sizeof(value));
	return value;
}

static void put_decimal(const struct duck_column *c, uint64_t row,
			struct buf *out)
{
	char text[DECIMAL_TEXT_BYTES];

	buf_append(out, text, decimal_format(huge_of(c, row), c->scale, text));
}

/* The upper half of the range is beyond decimal_format(). */
static void put_unsigned_huge(const struct duck_column *c, uint64_t row,
			      struct buf *out)
{
	__extension__ unsigned __int128 value;
	char digits[40];
	size_t n = sizeof(digits);

	memcpy(&value, (const char *)c->data + row * sizeof(value),
	       sizeof(value));
	do {
		digits[--n] = (char)('0' + (int)(value % 10));
		value /= 10;
	} while (value);
	buf_append(out, digits + n, sizeof(digits) - n);
}

/* The shortest digits that are read back as the same number. */
static void put_double(double value, bool single, bool quoted, struct buf *out)
{
	char text[40];

	if (!isfinite(value)) {
		const char *name = isnan(value) ? "NaN"
				   : value > 0	? "Infinity"
						: "-Infinity";

		buf_printf(out, quoted ? "\"%s\"" : "%s", name);
		return;
	}
	for (int digits = single ? 6 : 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (single ? strtof(text, NULL) == (float)value
			   : strtod(text, NULL) == value)
			break;
	}
	buf_text(out, text);
}

static void put_date(int32_t days, struct buf *out)
{
	duckdb_date_struct d = duckdb_from_date((duckdb_date){days});

	if (!duckdb_is_finite_date((duckdb_date){days}))
		buf_text(out, days > 0 ? "infinity" : "-infinity");
	else
		buf_printf(out, "%04d-%02d-%02d", d.year, d.month, d.day);
}

static void put_time(int64_t day_us, struct buf *out)
{
	int64_t s = day_us / 1000000;

	buf_printf(out, "%02d:%02d:%02d.%06d", (int)(s / 3600),
		   (int)(s / 60 % 60), (int)(s % 60), (int)(day_us % 1000000));
}

/* Microseconds of day and date, rounded down. */
static void put_timestamp(const struct duck_column *c, uint64_t row,
			  struct buf *out)
{
	int64_t at = duck_column_int(c, row), day, rest;
	int64_t unit = c->type == DUCKDB_TYPE_TIMESTAMP_S    ? 1000000
		       : c->type == DUCKDB_TYPE_TIMESTAMP_MS ? 1000
							     : 1;
	int64_t day_units = DAY_US / unit;
	bool nano = c->type == DUCKDB_TYPE_TIMESTAMP_NS;

	if (at == INT64_MAX || at == -INT64_MAX) {
		buf_text(out, at > 0 ? "infinity" : "-infinity");
		return;
	}
	if (nano)
		day_units *= 1000;
	day = at / day_units - (at % day_units < 0);
	rest = at - day * day_units;
	put_date((int32_t)day, out);
	buf_char(out, 'T');
	put_time(nano ? rest / 1000 : rest * unit, out);
	if (nano)
		buf_printf(out, "%03d", (int)(rest % 1000));
	if (c->type == DUCKDB_TYPE_TIMESTAMP_TZ)
		buf_char(out, 'Z');
}

static void put_interval(const struct duck_column *c, uint64_t row,
			 struct buf *out)
{
	const duckdb_interval *v = (const duckdb_interval *)c->data + row;

	buf_printf(out, "P%dM%dDT%" PRId64 ".%06dS", v->months, v->days,
		   v->micros / 1000000, (int)llabs(v->micros % 1000000));
}

/* Stored with its first bit turned, so that it is ordered as an integer. */
static void put_uuid(const struct duck_column *c, uint64_t row, struct buf *out)
{
	const duckdb_hugeint *v = (const duckdb_hugeint *)c->data + row;
	uint64_t high = (uint64_t)v->upper ^ UINT64_C(1) << 63;

	buf_printf(out, "%08x-%04x-%04x-%04x-%012" PRIx64,
		   (unsigned)(high >> 32), (unsigned)(high >> 16 & 0xffff),
		   (unsigned)(high & 0xffff), (unsigned)(v->lower >> 48),
		   v->lower & UINT64_C(0xffffffffffff));
}

static void put_string(const struct duck_column *c, uint64_t row, bool quoted,
		       struct buf *out)
{
	duckdb_string_t *s = (duckdb_string_t *)c->data + row;
	const char *text = duckdb_string_t_data(s);
	uint32_t bytes = duckdb_string_t_length(*s);

	if (c->type == DUCKDB_TYPE_BLOB)
		for (uint32_t i = 0; i < bytes; i++)
			buf_printf(out, "%02x", (uint8_t)text[i]);
	else if (quoted)
		buf_json_escape(out, text, bytes);
	else
		buf_append(out, text, bytes);
}

static void put_enum(const struct duck_column *c, uint64_t row, bool quoted,
		     struct buf *out)
{
	char *text = duckdb_enum_dictionary_value(
	    c->logical, (uint64_t)duck_column_int(c, row));

	if (quoted)
		buf_json_escape(out, text, strlen(text));
	else
		buf_text(out, text);
	duckdb_free(text);
}

static void put_inner(const struct duck_column *c, uint64_t row,
		      struct buf *out)
{
	if (duck_column_null(c, row))
		buf_text(out, "null");
	else
		duck_column_text(c, row, true, out);
}

static void put_struct(const struct duck_column *c, uint64_t row,
		       struct buf *out)
{
	buf_char(out, '{');
	for (uint32_t i = 0; i < c->child_count; i++) {
		const char *name = c->children[i].name;

		buf_text(out, i ? ",\"" : "\"");
		buf_json_escape(out, name, strlen(name));
		buf_text(out, "\":");
		put_inner(&c->children[i], row, out);
	}
	buf_char(out, '}');
}

static void put_list(const struct duck_column *c, uint64_t row, struct buf *out)
{
	duckdb_list_entry e;

	if (c->type == DUCKDB_TYPE_ARRAY)
		e = (duckdb_list_entry){row * c->array_size, c->array_size};
	else
		e = ((const duckdb_list_entry *)c->data)[row];
	buf_char(out, '[');
	for (uint64_t i = 0; i < e.length; i++) {
		if (i)
			buf_char(out, ',');
		put_inner(&c->children[0], e.offset + i, out);
	}
	buf_char(out, ']');
}

/* An object; keys that are no strings are their text in quotes. */
static void put_map(const struct duck_column *c, uint64_t row, struct buf *out)
{
	const duckdb_list_entry e = ((const duckdb_list_entry *)c->data)[row];
	const struct duck_column *key = &c->children[0].children[0];
	struct buf text = {0};

	buf_char(out, '{');
	for (uint64_t i = 0; i < e.length; i++) {
		buf_clear(&text);
		duck_column_text(key, e.offset + i, false, &text);
		buf_text(out, i ? ",\"" : "\"");
		buf_json_escape(out, buf_str(&text), text.used);
		buf_text(out, "\":");
		put_inner(&c->children[0].children[1], e.offset + i, out);
	}
	buf_char(out, '}');
	buf_free(&text);
}

/* What JSON has no bare form for. */
static bool put_texts(const struct duck_column *c, uint64_t row, bool quoted,
		      struct buf *out)
{
	switch (c->type) {
	case DUCKDB_TYPE_VARCHAR:
	case DUCKDB_TYPE_BLOB:
		put_string(c, row, quoted, out);
		return true;
	case DUCKDB_TYPE_ENUM:
		put_enum(c, row, quoted, out);
		return true;
	case DUCKDB_TYPE_DATE:
		put_date((int32_t)duck_column_int(c, row), out);
		return true;
	case DUCKDB_TYPE_TIME:
		put_time(duck_column_int(c, row), out);
		return true;
	case DUCKDB_TYPE_TIMESTAMP:
	case DUCKDB_TYPE_TIMESTAMP_S:
	case DUCKDB_TYPE_TIMESTAMP_MS:
	case DUCKDB_TYPE_TIMESTAMP_NS:
	case DUCKDB_TYPE_TIMESTAMP_TZ:
		put_timestamp(c, row, out);
		return true;
	case DUCKDB_TYPE_INTERVAL:
		put_interval(c, row, out);
		return true;
	case DUCKDB_TYPE_UUID:
		put_uuid(c, row, out);
		return true;
	default:
		return false;
	}
}

void duck_column_text(const struct duck_column *c, uint64_t row, bool quoted,
		      struct buf *out)
{
	size_t before = out->used;

	switch (c->type) {
	case DUCKDB_TYPE_BOOLEAN:
		buf_text(out, duck_column_int(c, row) ? "true" : "false");
		return;
	case DUCKDB_TYPE_UBIGINT:
		buf_printf(out, "%" PRIu64, (uint64_t)duck_column_int(c, row));
		return;
	case DUCKDB_TYPE_UHUGEINT:
		put_unsigned_huge(c, row, out);
		return;
	case DUCKDB_TYPE_FLOAT:
		put_double(((const float *)c->data)[row], true, quoted, out);
		return;
	case DUCKDB_TYPE_DOUBLE:
		put_double(((const double *)c->data)[row], false, quoted, out);
		return;
	case DUCKDB_TYPE_STRUCT:
		put_struct(c, row, out);
		return;
	case DUCKDB_TYPE_LIST:
	case DUCKDB_TYPE_ARRAY:
		put_list(c, row, out);
		return;
	case DUCKDB_TYPE_MAP:
		put_map(c, row, out);
		return;
	default:
		break;
	}
	if (quoted)
		buf_char(out, '"');
	if (!put_texts(c, row, quoted, out)) {
		out->used = before;
		put_decimal(c, row, out);
		return;
	}
	if (quoted)
		buf_char(out, '"');
}
