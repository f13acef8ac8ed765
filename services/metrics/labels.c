#include "services/metrics/labels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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

/* Bytes of the character at `at`, 0 when it is no UTF-8. */
static size_t utf8_bytes(const unsigned char *at, size_t left)
{
	unsigned lead = at[0], low = 0x80, high = 0xbf;
	size_t bytes;

	if (lead < 0x80)
		return 1;
	if (lead < 0xc2 || lead > 0xf4)
		return 0;
	bytes = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
	if (bytes > left)
		return 0;
	/* no overlong forms, no surrogates, nothing beyond U+10FFFF */
	if (lead == 0xe0)
		low = 0xa0;
	else if (lead == 0xed)
		high = 0x9f;
	else if (lead == 0xf0)
		low = 0x90;
	else if (lead == 0xf4)
		high = 0x8f;
	if (at[1] < low || at[1] > high)
		return 0;
	for (size_t i = 2; i < bytes; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	return bytes;
}

void labels_put_utf8(struct buf *out, const char *text, size_t bytes)
{
	while (bytes) {
		size_t good = utf8_bytes((const unsigned char *)text, bytes);
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
