/* What a table's schema becomes when rows of another are to go into it. */
#include <errno.h>
#include <string.h>

#include "lake/schema_impl.h"

struct merge {
	struct schema *schema;
	bool changed;
	struct buf path; /* of the column at hand */
	struct err *err;
};

void column_copy(struct schema *s, struct column *to, const struct column *from)
{
	struct column *children =
	    schema_alloc(s, from->child_count, sizeof(*children));

	*to = *from;
	to->name = schema_text(s, from->name);
	if (from->delta_type)
		to->delta_type = schema_text(s, from->delta_type);
	if (from->metadata)
		to->metadata = schema_text(s, from->metadata);
	for (uint32_t i = 0; i < from->child_count; i++)
		column_copy(s, &children[i], &from->children[i]);
	to->children = children;
}

/* New columns may be null, and so may all in them. */
static void make_nullable(struct column *c)
{
	c->required = false;
	for (uint32_t i = 0; i < c->child_count; i++)
		make_nullable((struct column *)&c->children[i]);
}

static int refuse_type(struct merge *m, const struct column *have,
		       const struct column *want)
{
	struct buf is = {0}, wanted = {0};

	schema_print_duck(have, &is);
	schema_print_duck(want, &wanted);
	err_set(m->err, EINVAL,
		"column \"%.120s\" of the table is %.100s, and the contract "
		"makes it %.100s: a type that changes is a breaking change; "
		"choose another table or another name",
		buf_str(&m->path), buf_str(&is), buf_str(&wanted));
	buf_free(&is);
	buf_free(&wanted);
	return -1;
}

static bool same_type(const struct column *a, const struct column *b)
{
	return a->type == b->type && a->precision == b->precision &&
	       a->scale == b->scale &&
	       (a->type != COLUMN_OTHER ||
		strcmp(a->delta_type, b->delta_type) == 0);
}

static int merge_children(struct merge *m, struct column *to,
			  const struct column *table,
			  const struct column *wanted);

static int merge_column(struct merge *m, struct column *to,
			const struct column *table, const struct column *wanted)
{
	size_t before = m->path.used;
	int result;

	if (before)
		buf_char(&m->path, '.');
	buf_text(&m->path, table->name);
	if (table->required)
		result = err_set(m->err, EINVAL,
				 "column \"%.120s\" of the table must not be "
				 "null, which is not checked here; make it "
				 "nullable",
				 buf_str(&m->path));
	else if (!wanted)
		result = 0;
	else if (!same_type(table, wanted))
		result = refuse_type(m, table, wanted);
	else
		result = merge_children(m, to, table, wanted);
	m->path.used = before;
	return result;
}

/* An array's one child is its own whatever its name; those of a struct are
 * found by name. */
static const struct column *match(const struct column *parent,
				  const struct column *other,
				  const struct column *child)
{
	int32_t i;

	if (parent->type != COLUMN_STRUCT)
		return &other->children[child - parent->children];
	i = column_find(other, child->name);
	return i < 0 ? NULL : &other->children[i];
}

static int merge_children(struct merge *m, struct column *to,
			  const struct column *table,
			  const struct column *wanted)
{
	uint32_t count = table->child_count, room;
	struct column *children;

	if (table->type == COLUMN_OTHER)
		return 0;
	room = count + wanted->child_count;
	children = schema_alloc(m->schema, room, sizeof(*children));
	for (uint32_t i = 0; i < count; i++) {
		const struct column *have = &table->children[i];

		column_copy(m->schema, &children[i], have);
		if (merge_column(m, &children[i], have,
				 match(table, wanted, have)) < 0)
			return -1;
	}
	for (uint32_t i = 0; i < wanted->child_count; i++) {
		if (match(wanted, table, &wanted->children[i]))
			continue;
		column_copy(m->schema, &children[count], &wanted->children[i]);
		make_nullable(&children[count++]);
		m->changed = true;
	}
	to->children = children;
	to->child_count = count;
	return 0;
}

int schema_merge(struct schema **merged, const struct schema *table,
		 const struct schema *wanted, bool *changed, struct err *err)
{
	struct merge m = {.schema = schema_new(), .err = err};
	int result =
	    merge_children(&m, &m.schema->root, &table->root, &wanted->root);

	buf_free(&m.path);
	*changed = m.changed;
	if (result < 0)
		schema_unref(&m.schema);
	*merged = m.schema;
	return result;
}
