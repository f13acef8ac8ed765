#include "lake/recent.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

/*
 * Blocked Bloom filters: all bits of a key lie in one cache line, so a look-up
 * costs one miss. At 24 bits a key and 7 probes one filter errs on 0.01 %, and
 * the five generations at hand add up to less than 0.1. Each error costs a
 * look-up in the table, of all files of the window, so that more bits are well
 * spent as long as there is room: at 48 most ranges have no error at all.
 */
#define BLOCK_BYTES 64
#define BLOCK_BITS  UINT64_C(512)
#define BITS_MOST   48
#define BITS_LEAST  6
#define PROBES	    7
#define GENERATIONS 4 /* that the window is divided into; one more is held */
#define KEYS_LEAST  4096

struct filter {
	uint64_t *words;
	uint64_t blocks;
	uint64_t keys, keys_most;
	struct filter *older;
};

struct generation {
	int64_t first_at_us, last_at_us;
	uint64_t keys;
	struct filter *filters; /* the one that is filled first */
	struct generation *older;
};

struct recent {
	struct recent_budget *budget;
	int64_t window_us;
	uint64_t keys, expected_keys;
	struct generation *newest;
};

struct recent *recent_new(struct recent_budget *budget, int64_t window_us)
{
	struct recent *w = xcalloc(1, sizeof(*w));

	w->budget = budget;
	w->window_us = window_us;
	return w;
}

static void generation_free(struct recent *w, struct generation *g)
{
	while (g->filters) {
		struct filter *f = g->filters;

		g->filters = f->older;
		w->budget->used_bytes -= f->blocks * BLOCK_BYTES;
		free(f->words);
		free(f);
	}
	w->keys -= g->keys;
	free(g);
}

void recent_free(struct recent **w)
{
	if (!*w)
		return;
	recent_advance(*w, INT64_MAX);
	(*w)->budget->expected_keys -= (*w)->expected_keys;
	free(*w);
	*w = NULL;
}

void recent_advance(struct recent *w, int64_t at_us)
{
	struct generation **at = &w->newest;

	while (*at && (*at)->last_at_us >= at_us - w->window_us)
		at = &(*at)->older;
	while (*at) {
		struct generation *gone = *at;

		*at = gone->older;
		generation_free(w, gone);
	}
}

/* One word of nine bits a probe, from a hash that the block did not use up. */
static uint64_t probes_of(uint64_t hash)
{
	hash = (hash ^ hash >> 31) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 29;
}

static uint64_t *block_of(const struct filter *f, uint64_t hash)
{
	uint64_t block = (uint64_t)((__uint128_t)hash * f->blocks >> 64);

	return f->words + block * (BLOCK_BYTES / sizeof(*f->words));
}

static bool filter_has(const struct filter *f, uint64_t hash)
{
	const uint64_t *words = block_of(f, hash);
	uint64_t bits = probes_of(hash);

	for (int i = 0; i < PROBES; i++, bits >>= 9)
		if (!(words[bits >> 6 & 7] >> (bits & 63) & 1))
			return false;
	return true;
}

static void filter_add(struct filter *f, uint64_t hash)
{
	uint64_t *words = block_of(f, hash);
	uint64_t bits = probes_of(hash);

	for (int i = 0; i < PROBES; i++, bits >>= 9)
		words[bits >> 6 & 7] |= UINT64_C(1) << (bits & 63);
	f->keys++;
}

bool recent_has(const struct recent *w, uint64_t hash)
{
	for (const struct generation *g = w->newest; g; g = g->older)
		for (const struct filter *f = g->filters; f; f = f->older)
			if (filter_has(f, hash))
				return true;
	return false;
}

/* Bits that each key gets, so that all windows fit once they are full. */
static uint64_t share(struct recent *w, uint64_t keys)
{
	struct recent_budget *b = w->budget;
	uint64_t expected = (GENERATIONS + 2) * keys, bits;

	b->expected_keys += expected - w->expected_keys;
	w->expected_keys = expected;
	bits = (uint64_t)b->limit_bytes * 8 / b->expected_keys;
	if (bits > BITS_MOST)
		return BITS_MOST;
	return bits < BITS_LEAST ? BITS_LEAST : bits;
}

/* Puts a filter for `keys` before those of g, as far as the budget goes. */
static void grow(struct recent *w, struct generation *g, uint64_t keys)
{
	struct recent_budget *b = w->budget;
	uint64_t blocks = keys * share(w, g->keys + keys) / BLOCK_BITS + 1;
	uint64_t left = b->used_bytes < b->limit_bytes
			    ? (b->limit_bytes - b->used_bytes) / BLOCK_BYTES
			    : 0;
	uint64_t least = KEYS_LEAST * BITS_LEAST / BLOCK_BITS;
	struct filter *f;

	if (blocks > left)
		blocks = left;
	if (blocks < least) {
		/* A generation has one filter, whatever the budget says. */
		if (g->filters) {
			g->filters->keys_most = UINT64_MAX;
			return;
		}
		blocks = least;
	}
	f = xcalloc(1, sizeof(*f));
	f->blocks = blocks;
	f->keys_most = keys;
	f->words = xcalloc(blocks, BLOCK_BYTES);
	f->older = g->filters;
	g->filters = f;
	b->used_bytes += blocks * BLOCK_BYTES;
}

/* The generation that takes what was appended at at_us. */
static struct generation *begin(struct recent *w, int64_t at_us)
{
	struct generation *last = w->newest, *g;
	uint64_t keys = KEYS_LEAST;

	if (last && at_us - last->first_at_us < w->window_us / GENERATIONS)
		return last;
	/* About as much comes as came before. */
	if (last && last->keys + last->keys / 4 > keys)
		keys = last->keys + last->keys / 4;
	g = xcalloc(1, sizeof(*g));
	g->first_at_us = g->last_at_us = at_us;
	g->older = last;
	w->newest = g;
	grow(w, g, keys);
	return g;
}

void recent_add(struct recent *w, uint64_t hash, int64_t at_us)
{
	struct generation *g = begin(w, at_us);

	if (g->filters->keys >= g->filters->keys_most)
		grow(w, g, 4 * g->filters->keys_most);
	if (at_us > g->last_at_us)
		g->last_at_us = at_us;
	filter_add(g->filters, hash);
	g->keys++;
	w->keys++;
}

uint64_t recent_count(const struct recent *w)
{
	return w->keys;
}
