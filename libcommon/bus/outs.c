#include "bus/outs.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/alloc.h"

/* What the history number is computed from, one for each sink. */
struct identity {
	char link[STATE_NAME_BYTES];
	uint64_t instance;
	struct uuid log_id;
	uint64_t history;
};

static int by_lane(const void *a, const void *b)
{
	const struct batch_lane *x = &((const struct state_lane *)a)->lane;
	const struct batch_lane *y = &((const struct state_lane *)b)->lane;
	int order = memcmp(&x->source, &y->source, sizeof(x->source));

	if (order)
		return order;
	return x->epoch < y->epoch ? -1 : x->epoch > y->epoch;
}

static void take_lanes(struct out_view *v, const struct state *state,
		       uint32_t number)
{
	v->lane_count = 0;
	if (state->lane_count)
		v->lanes = xreallocarray(v->lanes, state->lane_count,
					 sizeof(*v->lanes));
	for (uint32_t i = 0; i < state->lane_count; i++)
		if (state->lanes[i].lane.number == number)
			v->lanes[v->lane_count++] = state->lanes[i];
	if (v->lane_count)
		qsort(v->lanes, v->lane_count, sizeof(*v->lanes), by_lane);
}

bool out_view_hear(struct out_view *v, const struct state *state,
		   uint32_t number, int64_t now_mono_us)
{
	bool lost = v->known && ((!v->heard && state->complete) ||
				 v->generation != state->generation ||
				 memcmp(&v->incarnation, &state->incarnation,
					sizeof(v->incarnation)) != 0);

	v->known = true;
	v->heard = state->complete;
	v->heard_mono_us = now_mono_us;
	v->incarnation = state->incarnation;
	v->log_id = state->log_id;
	v->generation = state->generation;
	v->history = state->history;
	take_lanes(v, state, number);
	return lost;
}

void out_view_free(struct out_view *v)
{
	free(v->lanes);
	*v = (struct out_view){0};
}

static int by_identity(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct identity));
}

uint64_t outs_history(const struct out_view *const *views, uint32_t count)
{
	struct identity ids[BUS_MAX_PEERS] = {0};

	for (uint32_t i = 0; i < count; i++) {
		memcpy(ids[i].link, views[i]->link,
		       strnlen(views[i]->link, sizeof(ids[i].link)));
		ids[i].instance = views[i]->instance;
		ids[i].log_id = views[i]->log_id;
		ids[i].history = views[i]->history;
	}
	qsort(ids, count, sizeof(*ids), by_identity);
	return XXH3_64bits(ids, count * sizeof(*ids));
}

static const struct state_lane *find(const struct out_view *v,
				     const struct state_lane *l)
{
	if (!v->lane_count)
		return NULL;
	return bsearch(l, v->lanes, v->lane_count, sizeof(*l), by_lane);
}

/* What every sink has of a lane; 0 when one has not even heard of it. */
static uint64_t least(const struct out_view *const *views, uint32_t count,
		      const struct state_lane *l)
{
	uint64_t through = l->through;

	for (uint32_t i = 0; i < count; i++) {
		const struct state_lane *found = find(views[i], l);

		if (!found)
			return 0;
		if (found->through < through)
			through = found->through;
	}
	return through;
}

static bool in_any(const struct out_view *const *views, uint32_t count,
		   const struct state_lane *l)
{
	for (uint32_t i = 0; i < count; i++)
		if (find(views[i], l))
			return true;
	return false;
}

uint32_t outs_least(const struct out_view *const *views, uint32_t count,
		    struct state_lane **list)
{
	uint32_t n = 0, most = 0;

	for (uint32_t i = 0; i < count; i++)
		most += views[i]->lane_count;
	most = most < STATE_MAX_LANES ? most : STATE_MAX_LANES;
	if (!most)
		return 0;
	*list = xreallocarray(*list, most, sizeof(**list));
	for (uint32_t i = 0; i < count; i++)
		for (uint32_t k = 0; k < views[i]->lane_count; k++) {
			const struct state_lane *l = &views[i]->lanes[k];

			if (n == most)
				return n;
			if (in_any(views, i, l))
				continue;
			(*list)[n] = *l;
			(*list)[n++].through = least(views, count, l);
		}
	return n;
}
