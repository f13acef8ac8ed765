#include "base/log.h"
#include "bus/source_inside.h"

bool source_cuts(const struct bus_source *s)
{
	return s->by_key && s->peer_count > 1;
}

/* Those without a key have no order to keep: they are dealt out in turn. */
static uint32_t share_of(const struct batch_event *e, uint32_t i,
			 uint32_t count)
{
	return e->key_hash ? (uint32_t)(e->key_hash % count) : i % count;
}

/*
 * Only a batch that claims the same bytes for several events can be too large
 * when it is cut up. No builder makes one, so such a log is damaged: as with
 * what cannot be read, nothing moves and the reason is logged.
 */
int source_piece(struct bus_source *s, const struct batch *b, uint32_t peer,
		 struct batch **piece)
{
	struct batch_builder *w = s->cut;

	*piece = NULL;
	for (uint32_t i = 0; i < b->header.events; i++) {
		if (share_of(&b->events[i], i, s->peer_count) != peer ||
		    batch_builder_copy(w, b, i))
			continue;
		batch_builder_rollback(w, 0, 0);
		log_error("log_unreadable",
			  "error=\"the events of a batch lie one over the "
			  "other\"");
		return -1;
	}
	if (batch_builder_events(w))
		*piece = batch_builder_seal(w, &b->header);
	return 0;
}

/*
 * A lane whose transformer is away holds back its own keys only: they queue,
 * and are read again for it when it is there. One that is just busy holds back
 * all, or the log would be read once more for each lane.
 */
static bool lanes_wait(const struct bus_source *s)
{
	for (uint32_t i = 0; i < s->peer_count; i++) {
		const struct window_lane *l = &s->window.lanes[i];

		if (source_usable(s->peers[i]) &&
		    (l->send < l->end || !source_can_send(s, i)))
			return true;
	}
	return false;
}

static int cut(struct bus_source *s, struct batch **pieces)
{
	for (uint32_t i = 0; i < s->peer_count; i++) {
		if (source_piece(s, s->ahead, i, &pieces[i]) == 0)
			continue;
		while (i--)
			batch_unref(&pieces[i]);
		return -1;
	}
	return 0;
}

/* All pieces at once: a batch is freed with the last piece that is known. */
static void queue(struct bus_source *s, uint32_t i, struct batch **piece)
{
	struct peer *p = s->peers[i];
	struct flight f = s->ahead_flight;

	if (!*piece)
		return;
	f.bytes = (uint32_t)batch_bytes(*piece);
	f.events = (*piece)->header.events;
	window_queue(&s->window, i, &f);
	batch_unref(&p->piece);
	if (source_usable(p))
		p->piece = batch_ref(*piece);
	batch_unref(piece);
}

bool source_deal(struct bus_source *s)
{
	struct batch *pieces[BUS_MAX_PEERS];
	bool any = false;

	for (uint32_t i = 0; i < s->peer_count; i++)
		any |= source_usable(s->peers[i]);
	if (!any || s->stuck || lanes_wait(s) || !source_look_ahead(s))
		return false;
	if (cut(s, pieces) != 0) {
		s->stuck = true;
		return false;
	}
	for (uint32_t i = 0; i < s->peer_count; i++)
		queue(s, i, &pieces[i]);
	batch_unref(&s->ahead);
	return true;
}
