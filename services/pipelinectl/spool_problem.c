/* How single events and findings of `spool` look. */
#include <inttypes.h>
#include <string.h>

#include "services/pipelinectl/spool_print.h"

static void put_slice(struct buf *out, const char *name, const struct batch *b,
		      uint32_t offset, uint16_t bytes)
{
	if (!bytes)
		return;
	buf_printf(out, "\"%s\":\"", name);
	buf_json_escape(out, b->payload + offset, bytes);
	buf_text(out, "\",");
}

void spool_print_event(const struct batch *b, uint32_t i, uint64_t position,
		       const char *more, struct buf *out)
{
	const struct batch_header *header = &b->header;
	const struct batch_event *event = &b->events[i];
	char source[UUID_TEXT_BYTES];

	buf_printf(out, "{\"position\":%" PRIu64 ",\"number\":%u,", position,
		   i);
	if (header->lane.epoch)
		buf_printf(out,
			   "\"lane\":\"%s/%" PRIu64 "/%" PRIu32
			   "\",\"sequence\":%" PRIu64 ",",
			   uuid_format(&header->lane.source, source),
			   header->lane.epoch, header->lane.number,
			   header->sequence);
	buf_text(out, "\"stream\":\"");
	buf_json_escape(out, b->streams[event->stream],
			b->stream_bytes[event->stream]);
	buf_printf(out, "\",\"version\":%u,", event->version);
	put_slice(out, "event_id", b, event->id_offset, event->id_bytes);
	put_slice(out, "event_type", b, event->type_offset, event->type_bytes);
	put_slice(out, "key", b, event->key_offset, event->key_bytes);
	buf_printf(out, "\"replay\":%s,%s\"event\":",
		   header->flags & BATCH_REPLAY ? "true" : "false", more);
	buf_append(out, b->payload + event->offset, event->bytes);
	buf_text(out, "}\n");
}

static void print_place(const struct spool_problem *p, FILE *to)
{
	if (p->next > p->position)
		fprintf(to,
			"positions %" PRIu64 " to %" PRIu64 ", %" PRIu64
			" bytes",
			p->position, p->next, p->next - p->position);
	if (p->next > p->position && p->file)
		fprintf(to, ", at offset %" PRId64 " of ", p->offset);
	if (p->file)
		fputs(p->file, to);
}

static void print_loss(const struct spool_problem *p, FILE *to)
{
	if (p->next == p->position)
		return;
	if (p->save)
		fprintf(to, "; a repair saves its %u events: %s", p->events,
			p->how);
	else if (p->events_known)
		fprintf(to, "; lost: %u events", p->events);
	else
		fputs("; lost: all in it", to);
	if (!p->save && p->ids[0])
		fprintf(to, ", with ids that read %s", p->ids);
}

void spool_print_problem(const struct spool_problem *problem, FILE *to)
{
	fprintf(to, "  %s: ", spool_trouble_name(problem->trouble));
	print_place(problem, to);
	fprintf(to, ": %s", problem->why);
	print_loss(problem, to);
	fputc('\n', to);
}

void spool_print_problem_json(const struct spool_problem *p, struct buf *out)
{
	buf_char(out, '{');
	spool_print_string(out, "kind", spool_trouble_name(p->trouble));
	if (p->file)
		spool_print_string(out, "file", p->file);
	if (p->next > p->position)
		buf_printf(out,
			   "\"position\":%" PRIu64 ",\"next\":%" PRIu64
			   ",\"saved\":%s,",
			   p->position, p->next, p->save ? "true" : "false");
	if (p->next > p->position && p->file)
		buf_printf(out, "\"offset\":%" PRId64 ",", p->offset);
	if (p->events_known)
		buf_printf(out, "\"events\":%u,", p->events);
	if (p->save)
		spool_print_string(out, "how", p->how);
	if (p->ids[0])
		spool_print_string(out, "ids", p->ids);
	spool_print_string(out, "why", p->why);
	out->used--; /* the comma */
	buf_char(out, '}');
}
