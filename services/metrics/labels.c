#include "services/metrics/labels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "proto/stats.h"

/* A label as slices of the text it came in. */
struct label {
	const char *name;
	size_t name_bytes;
	const char *value;
	size_t value_bytes;
};

static bool next(const char **at, struct label *l)
{
	return stats_next_label(at, &l->name, &l->name_bytes, &l->value,
				&l->value_bytes);
}

static int compare(const void *a, const void *b)
{
	const struct label *x = a, *y = b;
	size_t bytes =
	    x->name_bytes < y->name_bytes ? x->name_bytes : y->name_bytes;
	int order = memcmp(x->name, y->name, bytes);

	if (order)
		return order;
	return (x->name_bytes > y->name_bytes) -
	       (x->name_bytes < y->name_bytes);
}

void labels_put_utf8(struct buf *out, const char *text, size_t bytes)
{
	while (bytes) {
		size_t good = text_utf8_bytes(text, bytes);
		size_t step = good ? good : 1;

		if (good)
			buf_append(out, text, good);
		else
			buf_text(out, "\xef\xbf\xbd");
		text += step;
		bytes -= step;
	}
}

static void put(struct buf *out, const struct label *l, bool first)
{
	if (!first)
		buf_char(out, ',');
	buf_append(out, l->name, l->name_bytes);
	buf_text(out, "=\"");
	labels_put_utf8(out, l->value, l->value_bytes);
	buf_char(out, '"');
}

void labels_merge(struct buf *out, const char *added, const char *labels)
{
	struct label all[2 * STATS_MAX_LABELS], l;
	size_t count = 0, own;

	while (count < STATS_MAX_LABELS && next(&labels, &all[count]))
		count++;
	own = count;
	while (count < sizeof(all) / sizeof(all[0]) && next(&added, &l)) {
		bool given = false;

		for (size_t i = 0; i < own; i++)
			given |= !compare(&all[i], &l);
		if (!given)
			all[count++] = l;
	}
	qsort(all, count, sizeof(all[0]), compare);
	for (size_t i = 0; i < count; i++)
		put(out, &all[i], i == 0);
}

void labels_without(struct buf *out, const char *labels, const char *name)
{
	const struct label not = {.name = name, .name_bytes = strlen(name)};
	bool first = true;
	struct label l;

	while (next(&labels, &l)) {
		if (!compare(&l, &not ))
			continue;
		put(out, &l, first);
		first = false;
	}
}

double labels_le(const char *labels)
{
	struct label l;

	while (next(&labels, &l))
		if (l.name_bytes == 2 && !memcmp(l.name, "le", 2))
			return strtod(l.value, NULL);
	return (double)INFINITY;
}
