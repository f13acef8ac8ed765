/*
 * Events that are mapped as they come in. What the mapper would make of the
 * unmapped line is written at once, to the same bytes: from the members that
 * were just checked, or, where these are not the line as it came (CloudEvents,
 * members of "data", line breaks), from the line put together.
 */
#include "contract/event.h"

/* What an event may take: its line, and between lines its identity and key. */
#define ROOM_BYTES (BATCH_MAX_LINE_BYTES + (64u << 10))

/*
 * True when the members as they lie in the body, and what stands between them,
 * are those of the line.
 */
static bool is_direct(const struct intake *in)
{
	const struct event *e = &in->event;
	const struct model *m = e->model;

	if (e->rebuild)
		return false;
	/* Paths look at the members of the body alone. */
	if (e->given_count && (m->gathered_count || e->start[1] != '"'))
		return false;
	return !m->makes_uuid || in->mapper->traits.id.bytes;
}

static bool too_large(struct mapper *m, size_t bytes)
{
	return bytes > BATCH_MAX_EVENT_BYTES &&
	       !finding_set(&m->finding, INTAKE_TOO_LARGE, "",
			    "an event of %zu bytes, at most %d fit", bytes,
			    BATCH_MAX_EVENT_BYTES);
}

static void take_spots(struct mapper *m, const struct spot spots[3])
{
	m->id = spots[0];
	m->key = spots[1];
	m->type = spots[2];
}

static bool map_direct(struct intake_run *run)
{
	struct intake *in = run->in;
	struct event *e = &in->event;
	struct mapper *m = in->mapper;
	const struct model *model = e->model;
	struct spot spots[3] = {0};
	size_t bytes = (size_t)(e->end - e->start) + e->assigned_bytes;
	bool plain;

	if (too_large(m, bytes))
		return false;
	m->json = &in->json;
	m->head = e->given;
	m->head_count = e->given_count;
	m->sent = (struct slice){e->start, bytes};
	for (uint32_t w = 0; w < model->shape.words; w++)
		m->seen[w] = e->seen[w];
	m->unknown_count =
	    model->unknown == UNKNOWN_KEEP ? e->unknown_count : 0;
	m->unknown_member = event_member(in, model->unknown_rule);
	for (uint32_t i = 0; i < e->given_count; i++)
		bit_set(m->seen, (uint32_t)e->given[i].rule);
	take_spots(m, spots);
	plain = map_is_plain(m);
	m->line.start = batch_builder_room(run->w, map_room(m));
	if (plain) {
		bytes = event_put(run, m->line.start);
		event_spots(in, spots);
		take_spots(m, spots);
		m->counts.copied++;
	} else {
		if (!map_members(m))
			return false;
		bytes = (size_t)(m->line.at - m->line.start);
		m->counts.mapped++;
	}
	return map_finish(m, run->w, bytes);
}

/* The text of a trait in the line, so that it keeps its place there. */
static void move_text(struct slice *text, const char *line,
		      const struct spot *spot)
{
	if (spot->known && text->bytes)
		text->text = line + spot->at;
}

static bool map_again(struct intake_run *run)
{
	struct intake *in = run->in;
	struct mapper *m = in->mapper;
	struct spot spots[3];
	size_t room = event_room(run), bytes;
	char *line;

	buf_clear(&in->line);
	buf_reserve(&in->line, room);
	line = in->line.data;
	bytes = event_put(run, line);
	if (too_large(m, bytes))
		return false;
	event_spots(in, spots);
	move_text(&m->traits.id, line, &spots[0]);
	move_text(&m->traits.key, line, &spots[1]);
	move_text(&m->traits.type, line, &spots[2]);
	m->sent = (struct slice){line, bytes};
	return map_parse(m) && map_line(m, run->w);
}

bool event_map(struct intake_run *run, uint16_t stream)
{
	struct intake *in = run->in;
	struct mapper *m = in->mapper;
	struct mapper_counts before = m->counts;

	if (!batch_builder_fits(run->w, 1, ROOM_BYTES))
		return event_full(in);
	m->set = run->set;
	m->model = in->event.model;
	m->kept = in->event.any_kept ? in->event.kept : NULL;
	m->stream = stream;
	m->behind = 0;
	m->batch = NULL;
	event_traits(run, &m->traits);
	if (is_direct(in) ? map_direct(run) : map_again(run))
		return true;
	/* What is refused was neither masked nor completed. */
	m->counts = before;
	in->finding = m->finding;
	return false;
}
