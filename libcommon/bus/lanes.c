#include "bus/lanes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define SAVED_MAGIC   0x4e414c57u /* "WLAN" */
#define SAVED_VERSION 1u

struct lane {
	uint32_t number;
	uint64_t next;	  /* expected sequence */
	uint64_t through; /* durable */
};

struct source {
	struct uuid id;
	uint64_t epoch;
	uint32_t count;
	struct lane *lanes;
};

struct lanes {
	struct source *sources;
	uint32_t count;
	uint32_t lanes; /* of all sources */
	uint32_t last;	/* source that was found last: most often the next */
};

/* As it lies in a checkpoint: little-endian, 40 bytes. */
struct saved_head {
	uint32_t magic, version, count, reserved;
};

struct saved_lane {
	struct uuid source;
	uint64_t epoch, next;
	uint32_t number, reserved;
};

struct lanes *lanes_new(void)
{
	return xcalloc(1, sizeof(struct lanes));
}

void lanes_free(struct lanes **t)
{
	if (!*t)
		return;
	for (uint32_t i = 0; i < (*t)->count; i++)
		free((*t)->sources[i].lanes);
	free((*t)->sources);
	free(*t);
	*t = NULL;
}

static bool is_source(const struct lanes *t, uint32_t i, const struct uuid *id)
{
	return i < t->count && memcmp(&t->sources[i].id, id, sizeof(*id)) == 0;
}

static struct source *find_source(struct lanes *t, const struct uuid *id)
{
	if (is_source(t, t->last, id))
		return &t->sources[t->last];
	for (uint32_t i = 0; i < t->count; i++)
		if (is_source(t, i, id)) {
			t->last = i;
			return &t->sources[i];
		}
	return NULL;
}

static struct lane *find_lane(struct source *s, uint32_t number)
{
	for (uint32_t i = 0; i < s->count; i++)
		if (s->lanes[i].number == number)
			return &s->lanes[i];
	return NULL;
}

enum lanes_verdict lanes_judge(struct lanes *t,
			       const struct batch_header *header)
{
	struct source *s = find_source(t, &header->lane.source);
	struct lane *l = NULL;
	uint32_t freed = 0;

	if (s && header->lane.epoch < s->epoch)
		return LANES_STALE;
	if (s && header->lane.epoch == s->epoch)
		l = find_lane(s, header->lane.number);
	else if (s)
		freed = s->count;
	if (header->sequence < (l ? l->next : 1))
		return LANES_DUPLICATE;
	if (header->sequence > (l ? l->next : 1))
		return LANES_GAP;
	return l || t->lanes - freed < STATE_MAX_LANES ? LANES_NEXT
						       : LANES_FULL;
}

static struct source *add_source(struct lanes *t, const struct uuid *id)
{
	t->sources =
	    xreallocarray(t->sources, t->count + 1, sizeof(*t->sources));
	t->last = t->count++;
	t->sources[t->last] = (struct source){.id = *id};
	return &t->sources[t->last];
}

static struct lane *add_lane(struct lanes *t, struct source *s, uint32_t number)
{
	s->lanes = xreallocarray(s->lanes, s->count + 1, sizeof(*s->lanes));
	s->lanes[s->count] = (struct lane){.number = number, .next = 1};
	t->lanes++;
	return &s->lanes[s->count++];
}

/* The lane, made if it is new; NULL when a newer epoch retired it. */
static struct lane *lane_of(struct lanes *t, const struct batch_lane *lane)
{
	struct source *s = find_source(t, &lane->source);
	struct lane *l;

	if (!s)
		s = add_source(t, &lane->source);
	if (lane->epoch < s->epoch)
		return NULL;
	if (lane->epoch > s->epoch) {
		t->lanes -= s->count;
		s->count = 0;
		s->epoch = lane->epoch;
	}
	l = find_lane(s, lane->number);
	return l ? l : add_lane(t, s, lane->number);
}

void lanes_take(struct lanes *t, const struct batch_header *header)
{
	struct lane *l = lane_of(t, &header->lane);

	if (l && header->sequence >= l->next)
		l->next = header->sequence + 1;
}

void lanes_durable(struct lanes *t, const struct batch_lane *lane,
		   uint64_t sequence)
{
	struct source *s = find_source(t, &lane->source);
	struct lane *l =
	    s && s->epoch == lane->epoch ? find_lane(s, lane->number) : NULL;

	if (l && sequence > l->through)
		l->through = sequence;
}

void lanes_all_durable(struct lanes *t)
{
	for (uint32_t i = 0; i < t->count; i++)
		for (uint32_t k = 0; k < t->sources[i].count; k++) {
			struct lane *l = &t->sources[i].lanes[k];

			l->through = l->next - 1;
		}
}

uint32_t lanes_list(const struct lanes *t, struct state_lane **list)
{
	uint32_t n = 0;

	if (!t->lanes)
		return 0;
	*list = xreallocarray(*list, t->lanes, sizeof(**list));
	for (uint32_t i = 0; i < t->count; i++) {
		const struct source *s = &t->sources[i];

		for (uint32_t k = 0; k < s->count; k++)
			(*list)[n++] = (struct state_lane){
			    .lane = {s->id, s->epoch, s->lanes[k].number},
			    .through = s->lanes[k].through};
	}
	return n;
}

void lanes_save(const struct lanes *t, struct buf *out)
{
	struct saved_head head = {SAVED_MAGIC, SAVED_VERSION, t->lanes, 0};

	buf_append(out, &head, sizeof(head));
	for (uint32_t i = 0; i < t->count; i++) {
		const struct source *s = &t->sources[i];

		for (uint32_t k = 0; k < s->count; k++) {
			struct saved_lane l = {s->id, s->epoch,
					       s->lanes[k].through + 1,
					       s->lanes[k].number, 0};

			buf_append(out, &l, sizeof(l));
		}
	}
}

int lanes_load(struct lanes *t, const void *data, size_t bytes, struct err *err)
{
	struct saved_head head = {0};
	const char *at = (const char *)data + sizeof(head);

	if (bytes >= sizeof(head))
		memcpy(&head, data, sizeof(head));
	if (head.magic != SAVED_MAGIC || head.version != SAVED_VERSION)
		return err_set(err, EINVAL,
			       "saved lanes have magic %08x version %u, this "
			       "program reads version %u",
			       head.magic, head.version, SAVED_VERSION);
	if (head.count > STATE_MAX_LANES ||
	    bytes != sizeof(head) + head.count * sizeof(struct saved_lane))
		return err_set(err, EINVAL,
			       "saved lanes: %u lanes in %zu bytes", head.count,
			       bytes);
	for (uint32_t i = 0; i < head.count;
	     i++, at += sizeof(struct saved_lane)) {
		struct saved_lane l;
		struct batch_lane lane;
		struct lane *found;

		memcpy(&l, at, sizeof(l));
		lane = (struct batch_lane){l.source, l.epoch, l.number};
		found = lane_of(t, &lane);
		if (!found || !l.next)
			return err_set(err, EINVAL,
				       "saved lanes: entry %u is not valid", i);
		found->next = l.next;
	}
	return 0;
}
