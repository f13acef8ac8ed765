#include "bus/window.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define LEAST_SIZE 64u

static struct flight *flight(const struct window *w, uint64_t number)
{
	return &w->flights[number % w->size];
}

static struct flight *in_lane(const struct window *w,
			      const struct window_lane *l, uint64_t sequence)
{
	return flight(w, l->flights[sequence % l->size]);
}

static void start_lanes(struct window *w)
{
	for (uint32_t i = 0; i < BUS_MAX_PEERS; i++) {
		struct window_lane *l = &w->lanes[i];

		l->first = l->send = l->end = l->fresh = 1;
		l->inflight_bytes = 0;
	}
}

void window_reset(struct window *w)
{
	w->head = w->tail = 0;
	w->unacked_batches = w->unacked_bytes = 0;
	start_lanes(w);
}

void window_free(struct window *w)
{
	for (uint32_t i = 0; i < BUS_MAX_PEERS; i++)
		free(w->lanes[i].flights);
	free(w->flights);
	*w = (struct window){0};
}

bool window_full(const struct window *w)
{
	return w->tail - w->head >= WINDOW_MAX_FLIGHTS;
}

static void grow(struct window *w)
{
	uint32_t size = w->size ? w->size * 2 : LEAST_SIZE;
	struct flight *flights = xcalloc(size, sizeof(*flights));

	/* It is full, so all of it moves. */
	for (uint64_t i = w->head; i < w->head + w->size; i++)
		flights[i % size] = *flight(w, i);
	free(w->flights);
	w->flights = flights;
	w->size = size;
}

static void grow_lane(struct window_lane *l)
{
	uint32_t size = l->size ? l->size * 2 : LEAST_SIZE;
	uint64_t *flights = xcalloc(size, sizeof(*flights));

	for (uint64_t i = l->first; i < l->first + l->size; i++)
		flights[i % size] = l->flights[i % l->size];
	free(l->flights);
	l->flights = flights;
	l->size = size;
}

void window_queue(struct window *w, uint32_t lane, const struct flight *f)
{
	struct window_lane *l = &w->lanes[lane];

	if (w->tail - w->head == w->size)
		grow(w);
	if (l->end - l->first == l->size)
		grow_lane(l);
	l->flights[l->end++ % l->size] = w->tail;
	*flight(w, w->tail++) = *f;
	w->unacked_batches++;
	w->unacked_bytes += f->bytes;
}

void window_sent(struct window *w, uint32_t lane, const struct flight *f)
{
	struct window_lane *l = &w->lanes[lane];

	window_queue(w, lane, f);
	l->send = l->fresh = l->end;
	l->inflight_bytes += f->bytes;
}

const struct flight *window_again(const struct window *w, uint32_t lane)
{
	const struct window_lane *l = &w->lanes[lane];

	return in_lane(w, l, l->send);
}

bool window_resent(struct window *w, uint32_t lane)
{
	struct window_lane *l = &w->lanes[lane];
	bool again = l->send < l->fresh;

	l->inflight_bytes += in_lane(w, l, l->send)->bytes;
	l->send++;
	if (!again)
		l->fresh = l->send;
	return again;
}

int window_ack(struct window *w, uint32_t lane, uint64_t through)
{
	struct window_lane *l = &w->lanes[lane];

	if (through >= l->end)
		return -1;
	for (; l->first <= through; l->first++) {
		struct flight *f = in_lane(w, l, l->first);

		f->acked = true;
		w->unacked_batches--;
		w->unacked_bytes -= f->bytes;
		if (l->first < l->send)
			l->inflight_bytes -= f->bytes;
	}
	if (l->send < l->first)
		l->send = l->first;
	return 0;
}

void window_rewind(struct window *w, uint32_t lane)
{
	struct window_lane *l = &w->lanes[lane];

	l->send = l->first;
	l->inflight_bytes = 0;
}

bool window_freed(struct window *w, uint64_t *position)
{
	bool any = false;

	while (w->head < w->tail && flight(w, w->head)->acked) {
		const struct flight *f = flight(w, w->head++);

		/* The pieces of one batch are freed with the last of them. */
		if (w->head < w->tail &&
		    flight(w, w->head)->position == f->position)
			continue;
		*position = f->next;
		any = true;
	}
	return any;
}
