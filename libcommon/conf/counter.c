#include "conf/counter.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/text.h"

#define MAX_LABELS  4
#define VALUE_BYTES 128
#define SLOTS	    1024 /* at most half full */

struct series {
	uint64_t hash;
	int64_t value;
	char *labels; /* as Prometheus text */
	size_t key_bytes;
	char key[]; /* cleaned values, a NUL behind each */
};

struct counter_family {
	char names[MAX_LABELS][64];
	unsigned name_count;
	struct series *slots[SLOTS];
	struct series *list[COUNTER_MAX_SERIES + 1]; /* in order of birth */
	unsigned count;
};

/* ---- histograms ---- */

void counter_observe(struct counter_histogram *h, int64_t us)
{
	counter_observe_many(h, us, 1);
}

void counter_observe_many(struct counter_histogram *h, int64_t us,
			  uint64_t count)
{
	int64_t bound = 1000;
	unsigned i = 0;

	if (us < 0)
		us = 0; /* a clock went back */
	while (i < COUNTER_BUCKETS && us > bound) {
		bound *= 2;
		i++;
	}
	h->buckets[i] += count;
	h->count += count;
	h->sum_us += (uint64_t)us * count;
}

/* ---- families ---- */

struct counter_family *counter_family_new(const char *label_names)
{
	struct counter_family *f = xcalloc(1, sizeof(*f));

	while (*label_names) {
		size_t n = strcspn(label_names, ",");

		assert(f->name_count < MAX_LABELS && n && n < 64);
		memcpy(f->names[f->name_count++], label_names, n);
		label_names += n + (label_names[n] == ',');
	}
	return f;
}

void counter_family_free(struct counter_family **f)
{
	if (!*f)
		return;
	for (unsigned i = 0; i < (*f)->count; i++) {
		free((*f)->list[i]->labels);
		free((*f)->list[i]);
	}
	free(*f);
	*f = NULL;
}

static bool is_printable(const char *text, size_t bytes)
{
	bool plain = true;

	for (size_t i = 0; i < bytes; i++)
		plain &= text[i] >= ' ' && text[i] <= '~';
	return plain;
}

/*
 * Copies a value, cut at a character, with '?' for what is no text. The key is
 * made of cleaned values, or two series could be exported under one name.
 */
static size_t clean(const struct counter_label *label, char *out)
{
	size_t bytes = label->bytes, used = 0;

	if (bytes <= VALUE_BYTES && is_printable(label->value, bytes)) {
		memcpy(out, label->value, bytes);
		return bytes;
	}
	for (size_t i = 0; i < bytes;) {
		const char *at = label->value + i;
		size_t n = text_utf8_bytes(at, bytes - i);

		if (used + (n ? n : 1) > VALUE_BYTES)
			break;
		if (n == 0 ||
		    (n == 1 && ((unsigned char)*at < ' ' || *at == 0x7f))) {
			out[used++] = '?';
			i++;
			continue;
		}
		memcpy(out + used, at, n);
		used += n;
		i += n;
	}
	return used;
}

static char *render(const struct counter_family *f, const char *key,
		    size_t bytes)
{
	const char *end = key + bytes;
	struct buf b = {0};
	char *text;

	for (unsigned i = 0; i < f->name_count; i++) {
		buf_printf(&b, "%s%s=\"", i ? "," : "", f->names[i]);
		for (; key < end && *key; key++) {
			if (*key == '"' || *key == '\\')
				buf_char(&b, '\\');
			buf_char(&b, *key);
		}
		key++;
		buf_char(&b, '"');
	}
	text = xmemdup0(b.data ? b.data : "", b.used);
	buf_free(&b);
	return text;
}

static struct series **find_slot(struct counter_family *f, uint64_t hash,
				 const char *key, size_t bytes)
{
	size_t i = hash % SLOTS;

	for (; f->slots[i]; i = (i + 1) % SLOTS) {
		const struct series *s = f->slots[i];

		if (s->hash == hash && s->key_bytes == bytes &&
		    memcmp(s->key, key, bytes) == 0)
			break;
	}
	return &f->slots[i];
}

static int64_t *cell_of_key(struct counter_family *f, const char *key,
			    size_t bytes)
{
	uint64_t hash = XXH3_64bits(key, bytes);
	struct series **slot = find_slot(f, hash, key, bytes);
	struct series *s = *slot;

	if (s)
		return &s->value;
	s = xcalloc(1, sizeof(*s) + bytes);
	s->hash = hash;
	s->labels = render(f, key, bytes);
	s->key_bytes = bytes;
	memcpy(s->key, key, bytes);
	*slot = s;
	f->list[f->count++] = s;
	return &s->value;
}

/* Where the values go that come after the last free series. */
static int64_t *other_cell(struct counter_family *f)
{
	static const char others[] = "other\0other\0other\0other";

	return cell_of_key(f, others, (size_t)f->name_count * 6);
}

int64_t *counter_cell(struct counter_family *f,
		      const struct counter_label *labels)
{
	char key[MAX_LABELS * (VALUE_BYTES + 1)];
	struct series *s;
	size_t used = 0;

	for (unsigned i = 0; i < f->name_count; i++) {
		used += clean(&labels[i], key + used);
		key[used++] = '\0';
	}
	if (f->count < COUNTER_MAX_SERIES)
		return cell_of_key(f, key, used);
	s = *find_slot(f, XXH3_64bits(key, used), key, used);
	return s ? &s->value : other_cell(f);
}

void counter_family_each(const struct counter_family *f,
			 void (*fn)(void *arg, const char *labels,
				    int64_t value),
			 void *arg)
{
	for (unsigned i = 0; i < f->count; i++)
		fn(arg, f->list[i]->labels, f->list[i]->value);
}
