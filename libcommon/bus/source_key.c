#include <string.h>

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

/* Where a slice of the event lies in the copy: in its line, or beside it. */
static uint32_t copy_slice(struct batch_builder *w, const struct batch *b,
			   const struct batch_event *e, uint32_t line,
			   uint32_t offset, uint16_t bytes)
{
	uint32_t at;

	if (!bytes)
		return 0;
	if (offset >= e->offset && offset - e->offset + bytes <= e->bytes)
		return line + (offset - e->offset);
	at = batch_builder_offset(w);
	memcpy(batch_builder_room(w, bytes), b->payload + offset, bytes);
	batch_builder_commit(w, bytes);
	return at;
}

static void copy_event(struct batch_builder *w, const struct batch *b,
		       const struct batch_event *e, uint16_t stream)
{
	struct batch_event copy = *e;
	uint32_t line = batch_builder_offset(w);
	size_t bytes = (size_t)e->bytes + 1;

	memcpy(batch_builder_room(w, bytes), b->payload + e->offset, bytes);
	batch_builder_commit(w, bytes);
	copy.offset = line;
	copy.stream = stream;
	copy.key_offset =
	    copy_slice(w, b, e, line, e->key_offset, e->key_bytes);
	copy.id_offset = copy_slice(w, b, e, line, e->id_offset, e->id_bytes);
	copy.type_offset =
	    copy_slice(w, b, e, line, e->type_offset, e->type_bytes);
	batch_builder_event(w, &copy);
}

/*
 * It fits: a log holds what a builder made, where each slice outside of a line
 * is one event's alone, so a piece is never larger than the whole.
 */
struct batch *source_piece(struct bus_source *s, const struct batch *b,
			   uint32_t peer)
{
	uint16_t streams[BATCH_MAX_STREAMS];
	struct batch_builder *w = s->cut;

	for (uint16_t i = 0; i < b->stream_count; i++)
		streams[i] = BATCH_NO_STREAM;
	for (uint32_t i = 0; i < b->header.events; i++) {
		const struct batch_event *e = &b->events[i];
		uint16_t *stream = &streams[e->stream];

		if (share_of(e, i, s->peer_count) != peer)
			continue;
		if (*stream == BATCH_NO_STREAM)
			*stream =
			    batch_builder_stream(w, b->streams[e->stream],
						 b->stream_bytes[e->stream]);
		copy_event(w, b, e, *stream);
	}
	return batch_builder_events(w) ? batch_builder_seal(w, &b->header)
				       : NULL;
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

/* All pieces at once: a batch is freed with the last piece that is known. */
static void queue_pieces(struct bus_source *s)
{
	for (uint32_t i = 0; i < s->peer_count; i++) {
		struct batch *piece = source_piece(s, s->ahead, i);
		struct peer *p = s->peers[i];
		struct flight f = s->ahead_flight;

		if (!piece)
			continue;
		f.bytes = (uint32_t)batch_bytes(piece);
		f.events = piece->header.events;
		window_queue(&s->window, i, &f);
		batch_unref(&p->piece);
		if (source_usable(p))
			p->piece = batch_ref(piece);
		batch_unref(&piece);
	}
}

bool source_deal(struct bus_source *s)
{
	bool any = false;

	for (uint32_t i = 0; i < s->peer_count; i++)
		any |= source_usable(s->peers[i]);
	if (!any || lanes_wait(s) || !source_look_ahead(s))
		return false;
	queue_pieces(s);
	batch_unref(&s->ahead);
	return true;
}
