#include "lake/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "lake/schema_impl.h"

struct schema *schema_new(void)
{
	struct schema *s = xcalloc(1, sizeof(*s));

	s->references = 1;
	s->root.type = COLUMN_STRUCT;
	s->root.name = "";
	return s;
}

void *schema_alloc(struct schema *s, size_t count, size_t bytes)
{
	if (s->owned_count == s->owned_room) {
		s->owned_room = s->owned_room ? s->owned_room * 2 : 64;
		s->owned =
		    xreallocarray(s->owned, s->owned_room, sizeof(void *));
	}
	return s->owned[s->owned_count++] = xcalloc(count ? count : 1, bytes);
}

const char *schema_text(struct schema *s, const char *text)
{
	size_t bytes = strlen(text) + 1;
	char *copy = schema_alloc(s, bytes, 1);

	memcpy(copy, text, bytes);
	return copy;
}

struct schema *schema_ref(struct schema *s)
{
	__atomic_add_fetch(&s->references, 1, __ATOMIC_RELAXED);
	return s;
}

void schema_unref(struct schema **s)
{
	struct schema *old = *s;

	*s = NULL;
	if (!old || __atomic_sub_fetch(&old->references, 1, __ATOMIC_ACQ_REL))
		return;
	for (size_t i = 0; i < old->owned_count; i++)
		free(old->owned[i]);
	free(old->owned);
	free(old);
}

uint32_t schema_count(const struct schema *s)
{
	return s->root.child_count;
}

const struct column *schema_at(const struct schema *s, uint32_t i)
{
	return &s->root.children[i];
}

int32_t column_find(const struct column *parent, const char *name)
{
	for (uint32_t i = 0; i < parent->child_count; i++)
		if (strcasecmp(parent->children[i].name, name) == 0)
			return (int32_t)i;
	return -1;
}

int32_t schema_find(const struct schema *s, const char *name)
{
	return column_find(&s->root, name);
}

const char *schema_type_text(struct schema *s, const struct column *c)
{
	static const char *const names[] = {
	    [COLUMN_STRING] = "string",	      [COLUMN_INT] = "integer",
	    [COLUMN_LONG] = "long",	      [COLUMN_DOUBLE] = "double",
	    [COLUMN_BOOLEAN] = "boolean",     [COLUMN_DATE] = "date",
	    [COLUMN_TIMESTAMP] = "timestamp", [COLUMN_OTHER] = NULL,
	};
	char text[32];

	if (c->type != COLUMN_DECIMAL)
		return names[c->type];
	snprintf(text, sizeof(text), "decimal(%u,%u)", c->precision, c->scale);
	return schema_text(s, text);
}

static enum column_type type_of(enum contract_type type)
{
	static const enum column_type types[] = {
	    [CONTRACT_STRING] = COLUMN_STRING,
	    [CONTRACT_GUID] = COLUMN_STRING,
	    [CONTRACT_INT] = COLUMN_INT,
	    [CONTRACT_LONG] = COLUMN_LONG,
	    [CONTRACT_DOUBLE] = COLUMN_DOUBLE,
	    [CONTRACT_DECIMAL] = COLUMN_DECIMAL,
	    [CONTRACT_BOOLEAN] = COLUMN_BOOLEAN,
	    [CONTRACT_DATETIME] = COLUMN_TIMESTAMP,
	    [CONTRACT_DATE] = COLUMN_DATE,
	    [CONTRACT_DYNAMIC] = COLUMN_STRING,
	    [CONTRACT_ARRAY] = COLUMN_ARRAY,
	    [CONTRACT_STRUCT] = COLUMN_STRUCT,
	};

	return types[type];
}

/* Fills *c, whose name may be another than the field's. */
static void column_of_field(struct schema *s, struct column *c,
			    const struct contract_field *f)
{
	const struct contract_field *fields =
	    f->type == CONTRACT_ARRAY ? f->element : f->fields;
	struct column *children = NULL;

	*c = (struct column){
	    .name = schema_text(s, f->name),
	    .type = type_of(f->type),
	    .precision = f->precision,
	    .scale = f->scale,
	};
	c->child_count = f->type == CONTRACT_ARRAY    ? 1
			 : f->type == CONTRACT_STRUCT ? f->field_count
						      : 0;
	if (c->type < COLUMN_ARRAY)
		c->delta_type = schema_type_text(s, c);
	if (c->child_count)
		children = schema_alloc(s, c->child_count, sizeof(*children));
	for (uint32_t i = 0; i < c->child_count; i++)
		column_of_field(s, &children[i], &fields[i]);
	c->children = children;
}

struct schema *schema_of_contract(const struct contract *contract)
{
	struct schema *s = schema_new();
	struct column *columns =
	    schema_alloc(s, contract->field_count, sizeof(*columns));

	for (uint32_t i = 0; i < contract->field_count; i++)
		column_of_field(s, &columns[i], &contract->fields[i]);
	s->root.children = columns;
	s->root.child_count = contract->field_count;
	return s;
}

struct schema *schema_pick(const struct schema *s, const bool *keep)
{
	struct schema *picked = schema_new();
	struct column *columns =
	    schema_alloc(picked, s->root.child_count, sizeof(*columns));
	uint32_t count = 0;

	for (uint32_t i = 0; i < s->root.child_count; i++)
		if (keep[i])
			column_copy(picked, &columns[count++],
				    &s->root.children[i]);
	picked->root.children = columns;
	picked->root.child_count = count;
	return picked;
}
