/* What differs between two configurations. */
#include "conf/load.h"

#include <string.h>

static bool same_number(const struct conf_row *row, const void *a,
			const void *b)
{
	struct buf x = {0}, y = {0};
	bool same;

	value_print(row, a, &x);
	value_print(row, b, &y);
	same = strcmp(buf_str(&x), buf_str(&y)) == 0;
	buf_free(&x);
	buf_free(&y);
	return same;
}

static bool same_value(const struct conf_row *row, const void *a, const void *b)
{
	const char *x, *y;

	if (row->type > CONF_LISTEN)
		return same_number(row, a, b);
	x = *(char *const *)((const char *)a + row->offset);
	y = *(char *const *)((const char *)b + row->offset);
	return x == y || (x && y && strcmp(x, y) == 0);
}

static void compare(const struct conf_section *before,
		    const struct conf_section *now, struct buf *out)
{
	for (size_t i = 0; i < before->table->row_count; i++) {
		const struct conf_row *row = &before->table->rows[i];

		if ((row->flags & CONF_RELOAD) ||
		    same_value(row, before->values, now->values))
			continue;
		buf_printf(out, "%s%s.%s", out->used ? " " : "", before->name,
			   row->name);
	}
}

void conf_restart_keys(const struct conf *before, const struct conf *now,
		       const char *row, struct buf *out)
{
	const char *const names[] = {"pipeline", row};

	for (int i = 0; i < 2; i++) {
		const struct conf_section *a = section_find(before, names[i]);
		const struct conf_section *b = section_find(now, names[i]);

		if (a && b && a->table == b->table)
			compare(a, b, out);
	}
}
