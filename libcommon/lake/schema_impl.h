/* How schemas are made; private to this folder. */
#ifndef WEFT_LAKE_SCHEMA_IMPL_H
#define WEFT_LAKE_SCHEMA_IMPL_H

#include "lake/schema.h"

struct schema {
	int references;
	struct column root; /* a struct without a name */
	void **owned;
	size_t owned_count, owned_room;
};

/* With one reference and no columns. */
struct schema *schema_new(void);

/* Zeroed memory, and copies of texts, that live as long as the schema. */
void *schema_alloc(struct schema *s, size_t count, size_t bytes);
const char *schema_text(struct schema *s, const char *text);

/* Makes *to a copy that s owns. */
void column_copy(struct schema *s, struct column *to,
		 const struct column *from);

/* The index of a child, ignoring case, or -1. */
int32_t column_find(const struct column *parent, const char *name);

/* The Delta name of a primitive type; that of a decimal is made for s. */
const char *schema_type_text(struct schema *s, const struct column *c);

#endif
