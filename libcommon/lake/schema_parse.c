/* A schema from what a Delta log says of it. */
#include <cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "lake/schema_impl.h"

#define MAX_BYTES   (1u << 20)
#define MAX_DEPTH   64
#define MAX_COLUMNS 10000

struct parser {
	struct schema *schema;
	uint32_t columns; /* so far, at all depths */
	struct err *err;
};

static int fail(struct parser *p, const char *name, const char *why)
{
	return err_set(p->err, EINVAL,
		       "the table's schema cannot be read: column \"%.100s\" "
		       "%.200s",
		       name, why);
}

static int parse_type(struct parser *p, struct column *c, const cJSON *type,
		      unsigned depth);

static int parse_decimal(struct parser *p, struct column *c, const char *text)
{
	unsigned precision, scale;
	int used = 0;

	if (sscanf(text, "decimal(%2u,%2u)%n", &precision, &scale, &used) !=
		2 ||
	    !used || text[used] || precision < 1 || precision > 38 ||
	    scale > precision)
		return fail(p, c->name, "has a decimal type that is none");
	c->type = COLUMN_DECIMAL;
	c->precision = (uint8_t)precision;
	c->scale = (uint8_t)scale;
	return 0;
}

static int parse_primitive(struct parser *p, struct column *c, const char *text)
{
	static const struct {
		const char *name;
		enum column_type type;
	} types[] = {
	    {"string", COLUMN_STRING},
	    {"integer", COLUMN_INT},
	    {"long", COLUMN_LONG},
	    {"double", COLUMN_DOUBLE},
	    {"boolean", COLUMN_BOOLEAN},
	    {"date", COLUMN_DATE},
	    {"timestamp", COLUMN_TIMESTAMP},
	    {"byte", COLUMN_OTHER},
	    {"short", COLUMN_OTHER},
	    {"float", COLUMN_OTHER},
	    {"binary", COLUMN_OTHER},
	    /* Of a column that never had a value. */
	    {"void", COLUMN_OTHER},
	    {"timestamp_ntz", COLUMN_OTHER},
	};
	char why[128];

	c->delta_type = schema_text(p->schema, text);
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (strcmp(types[i].name, text) == 0) {
			c->type = types[i].type;
			return 0;
		}
	if (strncmp(text, "decimal(", 8) == 0)
		return parse_decimal(p, c, text);
	snprintf(why, sizeof(why), "has the type \"%.80s\", which is unknown",
		 text);
	return fail(p, c->name, why);
}

static int compare_names(const void *a, const void *b)
{
	return strcasecmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_names(struct parser *p, const struct column *c)
{
	const char **names =
	    xcalloc(c->child_count ? c->child_count : 1, sizeof(*names));
	int result = 0;

	for (uint32_t i = 0; i < c->child_count; i++)
		names[i] = c->children[i].name;
	qsort(names, c->child_count, sizeof(*names), compare_names);
	for (uint32_t i = 1; i < c->child_count && result == 0; i++)
		if (strcasecmp(names[i - 1], names[i]) == 0)
			result = fail(p, names[i],
				      "is there twice (names are compared "
				      "ignoring case)");
	free(names);
	return result;
}

static int parse_field(struct parser *p, struct column *c, const cJSON *field,
		       unsigned depth)
{
	const cJSON *name = cJSON_GetObjectItemCaseSensitive(field, "name");
	const cJSON *metadata =
	    cJSON_GetObjectItemCaseSensitive(field, "metadata");
	char *text;

	if (!cJSON_IsString(name))
		return fail(p, "", "has no name");
	c->name = schema_text(p->schema, name->valuestring);
	c->required =
	    cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(field, "nullable"));
	/* Numbers beyond a double occur in features that no table here may
	 * have (identity columns). */
	if (cJSON_IsObject(metadata) && metadata->child) {
		text = cJSON_PrintUnformatted(metadata);
		c->metadata = schema_text(p->schema, text);
		cJSON_free(text);
	}
	return parse_type(p, c, cJSON_GetObjectItemCaseSensitive(field, "type"),
			  depth);
}

/* Room for the children of a column; NULL when they are too many. */
static struct column *children_of(struct parser *p, struct column *c, int count)
{
	struct column *children;

	if (count < 0 || (uint32_t)count > MAX_COLUMNS - p->columns) {
		fail(p, c->name, "has too many columns inside");
		return NULL;
	}
	p->columns += (uint32_t)count;
	children = schema_alloc(p->schema, (size_t)count, sizeof(*children));
	c->children = children;
	c->child_count = (uint32_t)count;
	return children;
}

static int parse_struct(struct parser *p, struct column *c, const cJSON *type,
			unsigned depth)
{
	const cJSON *fields = cJSON_GetObjectItemCaseSensitive(type, "fields");
	const cJSON *field;
	struct column *child;

	c->type = COLUMN_STRUCT;
	if (!cJSON_IsArray(fields))
		return fail(p, c->name, "is a struct without fields");
	child = children_of(p, c, cJSON_GetArraySize(fields));
	if (!child)
		return -1;
	cJSON_ArrayForEach (field, fields) {
		if (parse_field(p, child++, field, depth) < 0)
			return -1;
	}
	return check_names(p, c);
}

/* The element of an array, or key and value of a map. */
static int parse_inside(struct parser *p, struct column *c, const cJSON *type,
			unsigned depth)
{
	bool map = c->type == COLUMN_OTHER;
	struct column *child = children_of(p, c, map ? 2 : 1);

	if (!child)
		return -1;
	child[0].name = map ? "key" : "element";
	child[map].required = cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(
	    type, map ? "valueContainsNull" : "containsNull"));
	if (map) {
		child[0].required = true;
		child[1].name = "value";
		if (parse_type(
			p, &child[1],
			cJSON_GetObjectItemCaseSensitive(type, "valueType"),
			depth) < 0)
			return -1;
	}
	return parse_type(p, &child[0],
			  cJSON_GetObjectItemCaseSensitive(
			      type, map ? "keyType" : "elementType"),
			  depth);
}

static int parse_type(struct parser *p, struct column *c, const cJSON *type,
		      unsigned depth)
{
	const cJSON *kind = cJSON_GetObjectItemCaseSensitive(type, "type");

	if (cJSON_IsString(type))
		return parse_primitive(p, c, type->valuestring);
	if (depth == 0)
		return fail(p, c->name, "is nested too deep");
	if (!cJSON_IsString(kind))
		return fail(p, c->name, "has no type");
	if (strcmp(kind->valuestring, "struct") == 0)
		return parse_struct(p, c, type, depth - 1);
	if (strcmp(kind->valuestring, "array") == 0) {
		c->type = COLUMN_ARRAY;
		return parse_inside(p, c, type, depth - 1);
	}
	if (strcmp(kind->valuestring, "map") == 0) {
		c->type = COLUMN_OTHER;
		c->delta_type = "map";
		return parse_inside(p, c, type, depth - 1);
	}
	return fail(p, c->name, "has a nested type that is unknown");
}

int schema_parse(struct schema **s, const char *json, size_t bytes,
		 struct err *err)
{
	struct parser p = {.err = err};
	cJSON *root;
	int result;

	*s = NULL;
	if (bytes > MAX_BYTES)
		return err_set(err, EINVAL,
			       "the table's schema has %zu bytes, at most %u "
			       "are read",
			       bytes, MAX_BYTES);
	root = cJSON_ParseWithLength(json, bytes);
	if (!cJSON_IsObject(root)) {
		cJSON_Delete(root);
		return err_set(err, EINVAL,
			       "the table's schema is no JSON object");
	}
	p.schema = schema_new();
	result = parse_type(&p, &p.schema->root, root, MAX_DEPTH);
	if (result == 0 && p.schema->root.type != COLUMN_STRUCT)
		result =
		    err_set(err, EINVAL, "the table's schema is no struct");
	cJSON_Delete(root);
	if (result < 0)
		schema_unref(&p.schema);
	*s = p.schema;
	return result;
}
