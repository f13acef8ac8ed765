#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "spool/internal.h"

static void grow(struct spool_ring *ring)
{
	uint64_t size = ring->size ? ring->size * 2 : 256;
	struct spool_entry *slots = xcalloc(size, sizeof(*slots));

	for (uint64_t i = ring->head; i != ring->tail; i++)
		slots[i & (size - 1)] = *ring_at(ring, i);
	free(ring->slots);
	ring->slots = slots;
	ring->size = size;
}

void ring_push(struct spool_ring *ring, const struct spool_entry *entry)
{
	if (ring->tail - ring->head == ring->size)
		grow(ring);
	*ring_at(ring, ring->tail++) = *entry;
	ring->bytes += (int64_t)(entry->next - entry->position);
}

struct batch *ring_drop(struct spool_ring *ring)
{
	struct spool_entry *entry = ring_at(ring, ring->head++);

	ring->bytes -= (int64_t)(entry->next - entry->position);
	return entry->batch;
}

uint64_t ring_find(const struct spool_ring *ring, uint64_t position)
{
	uint64_t low = ring->head, high = ring->tail;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (ring_at(ring, middle)->position >= position)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}
