#include "kafka/rounds.h"

/* Of a request, how much to plan for: the next round is never like the last. */
#define FILL_PERCENT 90
/* A limit grows by this part of what it could grow by. */
#define GROW 4
/* Requests in a round at most: then a round is cheap enough. */
#define MOST 64

static size_t limit_of(const struct rounds *r)
{
	return r->limit_bytes ? r->limit_bytes
			      : r->request_bytes * FILL_PERCENT / 100;
}

/*
 * Half of linger.ms: the first messages leave after all of it, and one that
 * came in that moment would be left behind alone.
 */
bool rounds_open(const struct rounds *r, int64_t now_mono_us)
{
	return !r->waiting ||
	       (r->bytes < limit_of(r) &&
		now_mono_us - r->began_mono_us <= r->linger_us / 2);
}

/* NULL when there are too many; then each of them has a small share. */
static struct rounds_share *share_of(struct rounds *r, const void *topic,
				     int32_t partition)
{
	size_t at = ((uintptr_t)topic >> 4) + (size_t)partition;

	for (size_t i = 0; i < ROUNDS_PARTITIONS; i++) {
		struct rounds_share *s =
		    &r->shares[(at + i) % ROUNDS_PARTITIONS];

		if (s->round != r->round) {
			*s = (struct rounds_share){topic, partition, 0,
						   r->round};
			return s;
		}
		if (s->topic == topic && s->partition == partition)
			return s;
	}
	return NULL;
}

/* So much that the partition with the largest share has just one request. */
static void learn(struct rounds *r)
{
	size_t least = r->request_bytes * FILL_PERCENT / 100;
	size_t fits = least * r->messages / r->largest;
	size_t limit = limit_of(r);

	if (fits > least * MOST)
		fits = least * MOST;
	/* One that was small says little of how a full one would be shared. */
	if (r->bytes < least / 2)
		return;
	r->limit_bytes = fits < limit ? fits : limit + (fits - limit) / GROW;
}

void rounds_add(struct rounds *r, size_t bytes, int64_t now_mono_us)
{
	if (!r->waiting) {
		if (r->largest)
			learn(r);
		r->round++;
		r->bytes = 0;
		r->messages = 0;
		r->largest = 0;
		r->began_mono_us = now_mono_us;
	}
	r->bytes += bytes;
	r->messages++;
	r->waiting++;
}

void rounds_reported(struct rounds *r, const void *topic, int32_t partition,
		     uint32_t messages)
{
	struct rounds_share *share = share_of(r, topic, partition);

	if (share)
		share->messages += messages;
	if (share && share->messages > r->largest)
		r->largest = share->messages;
	r->waiting -= messages < r->waiting ? messages : r->waiting;
}
