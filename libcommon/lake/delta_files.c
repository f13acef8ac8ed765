/* The data files of a table by name, those removed among them. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "lake/delta_inside.h"

void data_file_free(struct data_file **file)
{
	struct data_file *d = *file;

	if (!d)
		return;
	for (uint32_t i = 0; i < d->part_count; i++) {
		free(d->parts[i].column);
		free(d->parts[i].value);
	}
	free(d->parts);
	free((void *)d->file.path);
	free((void *)d->file.name);
	free((void *)d->file.stats);
	free((void *)d->file.partition);
	free(d->tags);
	free(d);
	*file = NULL;
}

void files_free(struct files *f)
{
	for (uint32_t i = 0; i < f->count; i++)
		data_file_free(&f->all[i]);
	free(f->all);
	free(f->slots);
	free(f->live);
	memset(f, 0, sizeof(*f));
}

/* The slot where `key` is, or would be. There is always a free one. */
static uint32_t *find_slot(const struct files *f, const char *key,
			   uint64_t hash)
{
	for (uint64_t at = hash;; at++) {
		uint32_t *slot = &f->slots[at & (f->slot_count - 1)];
		const struct data_file *d;

		if (!*slot)
			return slot;
		d = f->all[*slot - 1];
		if (d->hash == hash && strcmp(d->key, key) == 0)
			return slot;
	}
}

static void index_anew(struct files *f, uint32_t slot_count)
{
	free(f->slots);
	f->slot_count = slot_count;
	f->slots = xcalloc(slot_count, sizeof(*f->slots));
	for (uint32_t i = 0; i < f->count; i++)
		*find_slot(f, f->all[i]->key, f->all[i]->hash) = i + 1;
}

struct data_file *files_find(const struct files *f, const char *key)
{
	uint32_t slot = 0;

	if (f->count)
		slot = *find_slot(f, key, XXH3_64bits(key, strlen(key)));
	return slot ? f->all[slot - 1] : NULL;
}

void files_put(struct files *f, struct data_file **file)
{
	struct data_file *d = *file;
	uint32_t *slot;

	if (f->slot_count < 2 * (f->count + 1))
		index_anew(f, f->slot_count ? 2 * f->slot_count : 64);
	d->hash = XXH3_64bits(d->key, strlen(d->key));
	slot = find_slot(f, d->key, d->hash);
	if (*slot) {
		data_file_free(&f->all[*slot - 1]);
	} else {
		if (f->count == f->room) {
			f->room = f->room ? 2 * f->room : 32;
			f->all =
			    xreallocarray(f->all, f->room, sizeof(*f->all));
		}
		*slot = ++f->count;
	}
	f->all[*slot - 1] = d;
	*file = NULL;
}

void files_expire(struct files *f, int64_t before_ms)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < f->count; i++) {
		struct data_file *d = f->all[i];

		if (d->live || d->deleted_at_ms >= before_ms)
			f->all[kept++] = d;
		else
			data_file_free(&d);
	}
	if (kept == f->count)
		return;
	f->count = kept;
	index_anew(f, f->slot_count);
}

/* The values of one file by the table's columns; a column it lacks is null. */
static void settle_partition(struct data_file *d, char *const *columns,
			     uint32_t count)
{
	const char **values = xcalloc(count ? count : 1, sizeof(*values));

	for (uint32_t i = 0; i < count; i++) {
		for (uint32_t p = 0; p < d->part_count; p++) {
			if (strcasecmp(d->parts[p].column, columns[i]) == 0)
				values[i] = d->parts[p].value;
		}
	}
	free((void *)d->file.partition);
	d->file.partition = values;
}

void files_settle(struct files *f, char *const *columns, uint32_t count,
		  bool anew)
{
	f->live = xreallocarray(f->live, f->count ? f->count : 1,
				sizeof(struct data_file *));
	f->live_count = 0;
	for (uint32_t i = 0; i < f->count; i++) {
		if (!f->all[i]->live)
			continue;
		if (anew || !f->all[i]->file.partition)
			settle_partition(f->all[i], columns, count);
		f->live[f->live_count++] = f->all[i];
	}
}
