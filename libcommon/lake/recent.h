/*
 * Identities that were seen lately: a Bloom filter by generations of log time,
 * so that what is older than the window is forgotten without looking at it. It
 * says "never seen" for sure and "seen" with a doubt of less than 0.1 %, as
 * long as there are 3 bytes an identity; who needs to know asks the table. One
 * thread.
 */
#ifndef WEFT_LAKE_RECENT_H
#define WEFT_LAKE_RECENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What all windows of a process may take together; all zero but the limit to
 * begin with. The more identities there are, the fewer bits each gets: a window
 * then says "seen" more often than it should, which costs time, never rows.
 */
struct recent_budget {
	size_t limit_bytes;
	size_t used_bytes;
	uint64_t expected_keys; /* of all windows when they are full */
};

struct recent;

/* `budget` is borrowed and must outlive the window. */
struct recent *recent_new(struct recent_budget *budget, int64_t window_us);
void recent_free(struct recent **w);

/* Forgets what was added for times more than the window before at_us. */
void recent_advance(struct recent *w, int64_t at_us);

/* Whether an identity of that hash may have been added. */
bool recent_has(const struct recent *w, uint64_t hash);

/* Adds one that was appended to the log at at_us. */
void recent_add(struct recent *w, uint64_t hash, int64_t at_us);

/* Identities added and not forgotten; the same one may count twice. */
uint64_t recent_count(const struct recent *w);

#endif
