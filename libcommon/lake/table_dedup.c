/*
 * Which events of a range the table has already. Identities are compared byte
 * by byte within the range; what the window may have seen, or what may have
 * been delivered before, is looked up in the table.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "lake/table_inside.h"

#define NO_EVENT UINT32_MAX

/* What an event's identity is to be looked up in. */
enum look { LOOK_NOWHERE, LOOK_RECENT, LOOK_WHOLE };

/* The identities of a range: events by hash. */
struct identities {
	uint32_t *slots; /* index + 1, 0 = free */
	uint64_t mask;
};

static uint64_t hash_of(const char *id, size_t bytes)
{
	uint64_t hash = XXH3_64bits(id, bytes);

	return hash ? hash : 1;
}

static bool same(const struct lake_event *a, const struct lake_event *b)
{
	return a->id_bytes == b->id_bytes &&
	       memcmp(a->id, b->id, a->id_bytes) == 0;
}

/* The event before number i that has its identity, or NO_EVENT. */
static uint32_t find_or_add(struct table *t, struct identities *ids, uint32_t i)
{
	const struct lake_event *events = t->range.events;
	uint64_t hash = t->hashes[i];

	for (uint64_t at = hash;; at++) {
		uint32_t *slot = &ids->slots[at & ids->mask];

		if (!*slot) {
			*slot = i + 1;
			return NO_EVENT;
		}
		if (t->hashes[*slot - 1] == hash &&
		    same(&events[*slot - 1], &events[i]))
			return *slot - 1;
	}
}

static enum look look_for(const struct table *t, uint32_t i)
{
	if (t->range.events[i].flagged)
		return LOOK_WHOLE;
	if (t->range.first_at_us < t->suspect_until_us)
		return LOOK_RECENT;
	if (t->hashes[i] && recent_has(t->recent, t->hashes[i]))
		return LOOK_RECENT;
	return LOOK_NOWHERE;
}

/*
 * Skips what comes again within the range, and notes of the rest what to look
 * it up in. Returns how many there are to be looked up.
 */
static size_t look_within(struct table *t, uint8_t *looks)
{
	struct lake_event *events = t->range.events;
	struct identities ids = {.mask = 63};
	size_t count = 0;

	while (ids.mask < 2 * t->range.count)
		ids.mask = 2 * ids.mask + 1;
	ids.slots = xcalloc(ids.mask + 1, sizeof(*ids.slots));
	for (uint32_t i = 0; i < t->range.count; i++) {
		uint32_t first = NO_EVENT;

		if (events[i].skip)
			continue;
		if (events[i].id_bytes) {
			t->hashes[i] =
			    hash_of(events[i].id, events[i].id_bytes);
			first = find_or_add(t, &ids, i);
		}
		if (first == NO_EVENT) {
			looks[i] = (uint8_t)look_for(t, i);
			count += looks[i] != LOOK_NOWHERE;
			continue;
		}
		/* One that may be old makes its twin one that may be, too. */
		events[i].skip = true;
		if (events[i].flagged) {
			count += looks[first] == LOOK_NOWHERE;
			looks[first] = LOOK_WHOLE;
		}
	}
	free(ids.slots);
	return count;
}

/* Those to be looked up in the whole table first; `of` has their numbers. */
static size_t gather(const struct table *t, const uint8_t *looks,
		     struct lake_event *events, uint32_t *of)
{
	size_t count = 0, whole = 0;

	for (int look = LOOK_WHOLE; look > LOOK_NOWHERE; look--) {
		for (uint32_t i = 0; i < t->range.count; i++) {
			if (looks[i] != look)
				continue;
			of[count] = i;
			events[count++] = t->range.events[i];
		}
		if (look == LOOK_WHOLE)
			whole = count;
	}
	return whole;
}

/* An event that is no row cannot be compared: 0 and it is marked. */
static int check_rows(struct table *t, const uint32_t *of, size_t count)
{
	struct err why;

	for (size_t i = 0; i < count; i++) {
		if (rows_check(t->rows, &t->range.events[of[i]], &why) == 0)
			continue;
		table_sweep(t, 0);
		return 0;
	}
	return 1;
}

static int look_up(struct table *t, const uint8_t *looks, size_t count,
		   struct err *err)
{
	struct lake_event *events = xcalloc(count, sizeof(*events));
	uint32_t *of = xcalloc(count, sizeof(*of));
	bool *found = xcalloc(count, sizeof(*found));
	struct table_wanted wanted = {
	    .events = events,
	    .count = count,
	    .whole = gather(t, looks, events, of),
	    .since_us = t->range.first_at_us - t->options.window_us,
	};
	int rc = check_rows(t, of, count);

	if (rc > 0 && table_compare(t, &wanted, found, err) != 0)
		rc = -1;
	for (size_t i = 0; rc > 0 && i < count; i++)
		if (found[i])
			t->range.events[of[i]].skip = true;
	t->counts.compared += count;
	free(events);
	free(of);
	free(found);
	return rc;
}

static void add_recent(void *arg, const char *id, size_t bytes)
{
	struct table *t = arg;

	recent_add(t->recent, hash_of(id, bytes), t->range.first_at_us);
}

/*
 * Whether the columns of an identity tell its bytes as a batch's index has
 * them: text that was not changed on its way.
 */
static bool has_text_identity(const struct contract *c)
{
	for (uint32_t i = 0; i < c->identity_count; i++) {
		const struct contract_field *f = &c->fields[c->identity[i]];

		if (f->type != CONTRACT_STRING && f->type != CONTRACT_GUID)
			return false;
		if (f->mask != CONTRACT_MASK_NONE && c->identity_count > 1)
			return false;
	}
	return true;
}

/* Whose identity counts: that of the newest event. */
static const struct contract *last_contract(const struct table *t)
{
	size_t i = t->range.count - 1;

	while (i && t->range.events[i].skip)
		i--;
	return t->range.events[i].contract;
}

/* What came before this process is in the table. */
static int fill_recent(struct table *t, struct err *err)
{
	const struct contract *contract = last_contract(t);
	int64_t since_us = t->range.first_at_us - t->options.window_us;

	t->recent = recent_new(t->options.budget, t->options.window_us);
	if (delta_version(t->delta) < 0)
		return 0;
	if (!has_text_identity(contract)) {
		t->suspect_until_us =
		    t->range.last_at_us + t->options.window_us;
		return 0;
	}
	if (table_each_recent(t, contract, since_us, add_recent, t, err) == 0)
		return 0;
	recent_free(&t->recent);
	return -1;
}

/* What others did to the table's files meanwhile, and what is in it by then. */
static int look_again(struct table *t, struct err *err)
{
	if (delta_refresh(t->delta, err) != 0)
		return -1;
	return delta_txn(t->delta, t->app_id) == t->txn_from;
}

int table_find_duplicates(struct table *t, struct err *err)
{
	uint8_t *looks = NULL;
	size_t count;
	int rc = 1;

	if (!t->recent && fill_recent(t, err) != 0)
		return -1;
	recent_advance(t->recent, t->range.first_at_us);
	free(t->hashes);
	t->hashes = xcalloc(t->range.count, sizeof(*t->hashes));
	looks = xcalloc(t->range.count, sizeof(*looks));
	count = look_within(t, looks);
	if (count && delta_version(t->delta) >= 0)
		rc = look_again(t, err);
	if (rc > 0 && count && delta_version(t->delta) >= 0)
		rc = look_up(t, looks, count, err);
	free(looks);
	return rc;
}
