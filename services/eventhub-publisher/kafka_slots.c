#include "services/eventhub-publisher/kafka_slots.h"

#include <assert.h>
#include <stdlib.h>

#include "base/alloc.h"

struct loan {
	struct batch *batches[KAFKA_SLOTS];
	char *lines[KAFKA_SLOTS];
	uint32_t count;
};

struct kafka_slot *kafka_slots_at(struct kafka_slots *s, uint32_t i)
{
	return &s->slots[(s->first + i) % KAFKA_SLOTS];
}

void kafka_slots_add(struct kafka_slots *s, struct batch *b, uint64_t next)
{
	assert(s->count < KAFKA_SLOTS);
	*kafka_slots_at(s, s->count) = (struct kafka_slot){
	    .batch = batch_ref(b), .next = next, .left = b->header.events};
	s->count++;
}

void *kafka_slots_opaque(const struct kafka_slots *s,
			 const struct kafka_slot *slot, uint32_t event)
{
	return (void *)(((uintptr_t)(slot - s->slots) << 16) | event);
}

struct kafka_slot *kafka_slots_of(struct kafka_slots *s, const void *opaque,
				  uint32_t *event)
{
	*event = (uint32_t)(uintptr_t)opaque & 0xffff;
	return &s->slots[(uintptr_t)opaque >> 16];
}

bool kafka_slots_take_done(struct kafka_slots *s, uint64_t *position)
{
	struct kafka_slot *slot = kafka_slots_at(s, 0);

	if (!s->filling || slot->left)
		return false;
	*position = slot->next;
	batch_unref(&slot->batch);
	free(slot->lines);
	s->first = (s->first + 1) % KAFKA_SLOTS;
	s->count--;
	s->filling--;
	return true;
}

void kafka_slots_clear(struct kafka_slots *s)
{
	while (s->count) {
		struct kafka_slot *slot = kafka_slots_at(s, --s->count);

		batch_unref(&slot->batch);
		free(slot->lines);
	}
	s->filling = 0;
}

void *kafka_slots_lend(struct kafka_slots *s)
{
	struct loan *loan = xcalloc(1, sizeof(*loan));

	for (uint32_t i = 0; i < s->count; i++) {
		struct kafka_slot *slot = kafka_slots_at(s, i);

		loan->batches[i] = batch_ref(slot->batch);
		loan->lines[i] = slot->lines;
		slot->lines = NULL;
		slot->line_at = 0;
		slot->produced = 0;
		slot->left = slot->batch->header.events;
	}
	loan->count = s->count;
	s->filling = 0;
	return loan;
}

void kafka_slots_returned(void *arg)
{
	struct loan *loan = arg;

	for (uint32_t i = 0; i < loan->count; i++) {
		batch_unref(&loan->batches[i]);
		free(loan->lines[i]);
	}
	free(loan);
}
