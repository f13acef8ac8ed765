/* A schema as Delta and as DuckDB write it down. */
#include <stdio.h>
#include <string.h>

#include "lake/schema_impl.h"

static void print_text(struct buf *out, const char *text)
{
	buf_char(out, '"');
	buf_json_escape(out, text, strlen(text));
	buf_char(out, '"');
}

static void print_type(const struct column *c, struct buf *out);

static void print_fields(const struct column *c, struct buf *out)
{
	buf_text(out, "{\"type\":\"struct\",\"fields\":[");
	for (uint32_t i = 0; i < c->child_count; i++) {
		const struct column *f = &c->children[i];

		buf_text(out, i ? ",{\"name\":" : "{\"name\":");
		print_text(out, f->name);
		buf_text(out, ",\"type\":");
		print_type(f, out);
		buf_printf(out, ",\"nullable\":%s,\"metadata\":",
			   f->required ? "false" : "true");
		buf_text(out, f->metadata ? f->metadata : "{}");
		buf_char(out, '}');
	}
	buf_text(out, "]}");
}

static void print_map(const struct column *c, struct buf *out)
{
	buf_text(out, "{\"type\":\"map\",\"keyType\":");
	print_type(&c->children[0], out);
	buf_text(out, ",\"valueType\":");
	print_type(&c->children[1], out);
	buf_printf(out, ",\"valueContainsNull\":%s}",
		   c->children[1].required ? "false" : "true");
}

static void print_type(const struct column *c, struct buf *out)
{
	if (c->type == COLUMN_STRUCT) {
		print_fields(c, out);
	} else if (c->type == COLUMN_ARRAY) {
		buf_text(out, "{\"type\":\"array\",\"elementType\":");
		print_type(&c->children[0], out);
		buf_printf(out, ",\"containsNull\":%s}",
			   c->children[0].required ? "false" : "true");
	} else if (c->child_count) {
		print_map(c, out);
	} else {
		print_text(out, c->delta_type);
	}
}

void schema_print_delta(const struct schema *s, struct buf *out)
{
	print_fields(&s->root, out);
}

/* What primitives of foreign tables are to DuckDB. */
static const char *duck_other(const char *delta_type)
{
	static const char *const types[][2] = {
	    {"byte", "TINYINT"},
	    {"short", "SMALLINT"},
	    {"float", "FLOAT"},
	    {"binary", "BLOB"},
	    {"timestamp_ntz", "TIMESTAMP"},
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (strcmp(types[i][0], delta_type) == 0)
			return types[i][1];
	return "VARCHAR";
}

static void print_name(struct buf *out, const char *name)
{
	buf_char(out, '"');
	for (; *name; name++) {
		if (*name == '"')
			buf_char(out, '"');
		buf_char(out, *name);
	}
	buf_char(out, '"');
}

static void print_duck_struct(const struct column *c, struct buf *out)
{
	buf_text(out, "STRUCT(");
	for (uint32_t i = 0; i < c->child_count; i++) {
		if (i)
			buf_text(out, ", ");
		print_name(out, c->children[i].name);
		buf_char(out, ' ');
		schema_print_duck(&c->children[i], out);
	}
	buf_char(out, ')');
}

static void print_duck_other(const struct column *c, struct buf *out)
{
	if (!c->child_count) {
		buf_text(out, duck_other(c->delta_type));
		return;
	}
	buf_text(out, "MAP(");
	schema_print_duck(&c->children[0], out);
	buf_text(out, ", ");
	schema_print_duck(&c->children[1], out);
	buf_char(out, ')');
}

void schema_print_duck(const struct column *column, struct buf *out)
{
	static const char *const names[] = {
	    [COLUMN_STRING] = "VARCHAR",
	    [COLUMN_INT] = "INTEGER",
	    [COLUMN_LONG] = "BIGINT",
	    [COLUMN_DOUBLE] = "DOUBLE",
	    [COLUMN_BOOLEAN] = "BOOLEAN",
	    [COLUMN_DATE] = "DATE",
	    [COLUMN_TIMESTAMP] = "TIMESTAMP WITH TIME ZONE",
	};

	switch (column->type) {
	case COLUMN_DECIMAL:
		buf_printf(out, "DECIMAL(%u,%u)", column->precision,
			   column->scale);
		break;
	case COLUMN_ARRAY:
		schema_print_duck(&column->children[0], out);
		buf_text(out, "[]");
		break;
	case COLUMN_STRUCT:
		print_duck_struct(column, out);
		break;
	case COLUMN_OTHER:
		print_duck_other(column, out);
		break;
	default:
		buf_text(out, names[column->type]);
	}
}
