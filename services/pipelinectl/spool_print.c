#include "services/pipelinectl/spool_print.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

enum column {
	COL_LOG,
	COL_ID,
	COL_FIRST,
	COL_DURABLE,
	COL_END,
	COL_BYTES,
	COL_SPARE,
	COL_RECORDS,
	COL_SEGMENTS,
	COL_BAD,
	COL_OLDEST,
	COLUMNS,
};

#define CELL_BYTES 64

static const char *const titles[COLUMNS] = {
    "LOG",   "ID",	"FIRST",    "DURABLE", "END",	 "BYTES",
    "SPARE", "RECORDS", "SEGMENTS", "BAD",     "OLDEST",
};

static void put_age(char cell[CELL_BYTES], int64_t at_us, int64_t now_us)
{
	int64_t s = (now_us - at_us) / 1000000;

	if (!at_us)
		snprintf(cell, CELL_BYTES, "-");
	else if (s < 60)
		snprintf(cell, CELL_BYTES, "%" PRId64 "s", s < 0 ? 0 : s);
	else if (s < 3600)
		snprintf(cell, CELL_BYTES, "%" PRId64 "m%02" PRId64 "s", s / 60,
			 s % 60);
	else if (s < 86400)
		snprintf(cell, CELL_BYTES, "%" PRId64 "h%02" PRId64 "m",
			 s / 3600, s / 60 % 60);
	else
		snprintf(cell, CELL_BYTES, "%" PRId64 "d%02" PRId64 "h",
			 s / 86400, s / 3600 % 24);
}

static void put_number(char cell[CELL_BYTES], uint64_t value)
{
	snprintf(cell, CELL_BYTES, "%" PRIu64, value);
}

static void fill(const struct spool_row *row, int64_t now_us,
		 char cells[COLUMNS][CELL_BYTES])
{
	const struct spool_stats *s = &row->stats;

	for (int c = 0; c < COLUMNS; c++)
		snprintf(cells[c], CELL_BYTES, "-");
	if (row->unreadable)
		return;
	uuid_format(&row->id, cells[COL_ID]);
	put_number(cells[COL_FIRST], s->first);
	put_number(cells[COL_DURABLE], s->durable);
	put_number(cells[COL_END], s->end);
	put_number(cells[COL_BYTES], s->bytes);
	put_number(cells[COL_SPARE], s->spare_bytes);
	put_number(cells[COL_RECORDS], s->records);
	put_number(cells[COL_SEGMENTS], s->segments);
	put_number(cells[COL_BAD], s->bad_records);
	put_age(cells[COL_OLDEST], s->oldest_at_us, now_us);
}

/* Labels may be long paths, so they are not cells. */
static void print_line(const char *label, int label_width,
		       char cells[COLUMNS][CELL_BYTES], const int *widths)
{
	printf("%-*s", label_width, label);
	for (int c = COL_ID; c < COLUMNS; c++)
		printf(c == COL_ID ? "  %-*s" : "  %*s", widths[c], cells[c]);
	putchar('\n');
}

static void print_problems(const struct spool_row *row)
{
	if (row->unreadable)
		fprintf(stderr, "%s: %s\n", row->label, row->err.text);
	else if (row->stats.checkpoint_lost)
		fprintf(stderr,
			"%s: the checkpoint is damaged or gone; when it is "
			"opened the log goes on under a new id\n",
			row->label);
	if (!row->unreadable && row->stats.bad_records)
		fprintf(stderr,
			"%s: bad records: %" PRIu64
			"; `pipelinectl spool verify "
			"%s` tells where\n",
			row->label, row->stats.bad_records, row->path);
}

void spool_print_table(const struct spool_row *rows, size_t count,
		       int64_t now_us)
{
	char cells[COLUMNS][CELL_BYTES];
	int widths[COLUMNS], label_width = (int)strlen(titles[COL_LOG]);

	for (int c = 0; c < COLUMNS; c++)
		widths[c] = (int)strlen(titles[c]);
	for (size_t i = 0; i < count; i++) {
		int label = (int)strlen(rows[i].label);

		label_width = label > label_width ? label : label_width;
		fill(&rows[i], now_us, cells);
		for (int c = 0; c < COLUMNS; c++)
			if ((int)strlen(cells[c]) > widths[c])
				widths[c] = (int)strlen(cells[c]);
	}
	for (int c = 0; c < COLUMNS; c++)
		snprintf(cells[c], CELL_BYTES, "%s", titles[c]);
	puts("as of each log's last checkpoint; what was freed since then "
	     "still counts here");
	print_line(titles[COL_LOG], label_width, cells, widths);
	for (size_t i = 0; i < count; i++) {
		fill(&rows[i], now_us, cells);
		print_line(rows[i].label, label_width, cells, widths);
	}
	fflush(stdout);
	for (size_t i = 0; i < count; i++)
		print_problems(&rows[i]);
}

void spool_print_string(struct buf *out, const char *name, const char *text)
{
	buf_printf(out, "\"%s\":\"", name);
	buf_json_escape(out, text, strlen(text));
	buf_text(out, "\",");
}

static void put_stats(struct buf *out, const struct spool_row *row)
{
	const struct spool_stats *s = &row->stats;
	char id[UUID_TEXT_BYTES], at[CLOCK_TEXT_BYTES];

	spool_print_string(out, "id", uuid_format(&row->id, id));
	buf_printf(
	    out,
	    "\"first\":%" PRIu64 ",\"durable\":%" PRIu64 ",\"end\":%" PRIu64
	    ",\"bytes\":%" PRIu64 ",\"spare_bytes\":%" PRIu64
	    ",\"records\":%" PRIu64 ",\"segments\":%" PRIu32
	    ",\"bad_records\":%" PRIu64 ",\"checkpoint_lost\":%s",
	    s->first, s->durable, s->end, s->bytes, s->spare_bytes, s->records,
	    s->segments, s->bad_records, s->checkpoint_lost ? "true" : "false");
	if (s->oldest_at_us)
		buf_printf(out, ",\"oldest_at\":\"%s\"",
			   clock_format(s->oldest_at_us, at));
}

void spool_print_json(const struct spool_row *rows, size_t count)
{
	struct buf out = {0};

	buf_text(&out, "{\"logs\":[");
	for (size_t i = 0; i < count; i++) {
		buf_text(&out, i ? ",{" : "{");
		spool_print_string(&out, "log", rows[i].label);
		spool_print_string(&out, "path", rows[i].path);
		if (rows[i].unreadable) {
			spool_print_string(&out, "error", rows[i].err.text);
			out.used--; /* the comma */
		} else {
			put_stats(&out, &rows[i]);
		}
		buf_char(&out, '}');
	}
	buf_text(&out, "]}\n");
	fwrite(out.data, 1, out.used, stdout);
	buf_free(&out);
}

/* Sources number their batches only when they send them. */
static void put_lane(struct buf *out, const struct batch_header *header)
{
	char source[UUID_TEXT_BYTES];

	if (!header->lane.epoch) {
		buf_text(out, "\"lane\":null,");
		return;
	}
	buf_printf(out, "\"lane\":\"%s/%" PRIu64 "/%" PRIu32 "\",",
		   uuid_format(&header->lane.source, source),
		   header->lane.epoch, header->lane.number);
}

uint64_t spool_print_events(const struct spool_record *record, uint64_t limit,
			    struct buf *out)
{
	const struct batch *b = record->batch;
	uint64_t n = b->header.events < limit ? b->header.events : limit;

	for (uint64_t i = 0; i < n; i++) {
		const struct batch_event *event = &b->events[i];

		buf_printf(
		    out, "{\"position\":%" PRIu64 ",\"sequence\":%" PRIu64 ",",
		    record->position, b->header.sequence);
		put_lane(out, &b->header);
		buf_text(out, "\"stream\":\"");
		buf_json_escape(out, b->streams[event->stream],
				b->stream_bytes[event->stream]);
		buf_text(out, "\",\"event\":");
		buf_append(out, b->payload + event->offset, event->bytes);
		buf_text(out, "}\n");
	}
	return n;
}
