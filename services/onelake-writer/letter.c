#define XXH_INLINE_ALL
#include <xxhash.h>

#include "services/onelake-writer/letter.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "lake/table.h"

#define MADE_ID_BYTES 32
#define ID_MOST	      (UINT16_MAX - BATCH_STREAM_NAME_BYTES - 1)

static void put_text(struct buf *line, const char *name, const char *text,
		     size_t bytes)
{
	buf_printf(line, ",\"%s\":\"", name);
	buf_json_escape(line, text, bytes);
	buf_char(line, '"');
}

/*
 * The event's own id; one without any, or whose identity would leave no room
 * for the stream, gets one made of its bytes. Returns how long it is.
 */
static size_t take_id(const struct lake_event *e, char made[MADE_ID_BYTES + 1],
		      const char **id)
{
	XXH128_hash_t hash;

	*id = e->id;
	if (e->id_bytes && e->id_bytes <= ID_MOST)
		return e->id_bytes;
	hash = XXH3_128bits(e->line, e->bytes);
	snprintf(made, MADE_ID_BYTES + 1, "%016" PRIx64 "%016" PRIx64,
		 hash.high64, hash.low64);
	*id = made;
	return MADE_ID_BYTES;
}

static void put_trace(struct buf *line, const uint8_t *trace)
{
	char text[2 * BATCH_TRACE_BYTES + 1];
	uint8_t any = 0;

	for (size_t i = 0; i < BATCH_TRACE_BYTES; i++) {
		snprintf(text + i * 2, 3, "%02x", trace[i]);
		any |= trace[i];
	}
	if (any)
		put_text(line, "trace", text, sizeof(text) - 1);
}

void letter_make(struct lake_event *letter, const struct contract *contract,
		 const struct job_batch *batch, const struct lake_event *e,
		 const struct err *why)
{
	const struct batch_header *header = &batch->batch->header;
	const char *stream = e->contract->name;
	char at[CLOCK_TEXT_BYTES], made[MADE_ID_BYTES + 1];
	struct buf line = {0};
	const char *id;
	size_t id_bytes = take_id(e, made, &id);

	clock_format(header->created_at_us, at);
	buf_text(&line, "{\"event_id\":\"");
	buf_json_escape(&line, id, id_bytes);
	buf_printf(&line,
		   "\",\"event_type\":\"" LETTER_STREAM
		   "\",\"event_time\":\"%s\",\"code\":\"not_a_row\","
		   "\"stage\":\"onelake-writer\",\"received_at\":\"%s\"",
		   at, at);
	put_text(&line, "stream", stream, strlen(stream));
	put_text(&line, "reason", why->text, strlen(why->text));
	put_trace(&line, header->trace);
	put_text(&line, "original", e->line, e->bytes);
	buf_char(&line, '}');
	*letter = (struct lake_event){
	    .bytes = (uint32_t)line.used,
	    .flagged = true,
	    .contract = contract,
	    .position = TABLE_NO_POSITION,
	    .id_bytes = (uint16_t)(strlen(stream) + 1 + id_bytes),
	};
	/* Its identity lies behind the line. */
	buf_text(&line, stream);
	buf_char(&line, BATCH_PART_SEPARATOR);
	buf_append(&line, id, id_bytes);
	letter->line = line.data;
	letter->id = line.data + letter->bytes;
}
