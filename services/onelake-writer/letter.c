#define XXH_INLINE_ALL
#include <xxhash.h>

#include "services/onelake-writer/letter.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "lake/table.h"

#define ID_MEMBER "{\"event_id\":\""

static void put_text(struct buf *line, const char *name, const char *text,
		     size_t bytes)
{
	buf_printf(line, ",\"%s\":\"", name);
	buf_json_escape(line, text, bytes);
	buf_char(line, '"');
}

/* The event's own id; one without any gets one made of its bytes. */
static void put_id(struct buf *line, const struct lake_event *e)
{
	XXH128_hash_t hash;

	buf_text(line, ID_MEMBER);
	if (e->id_bytes) {
		buf_json_escape(line, e->id, e->id_bytes);
	} else {
		hash = XXH3_128bits(e->line, e->bytes);
		buf_printf(line, "%016" PRIx64 "%016" PRIx64, hash.high64,
			   hash.low64);
	}
	buf_char(line, '"');
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
	char at[CLOCK_TEXT_BYTES];
	struct buf line = {0};

	clock_format(header->created_at_us, at);
	put_id(&line, e);
	buf_printf(&line,
		   ",\"event_type\":\"" LETTER_STREAM
		   "\",\"event_time\":\"%s\",\"code\":\"not_a_row\","
		   "\"stage\":\"onelake-writer\",\"received_at\":\"%s\"",
		   at, at);
	put_text(&line, "stream", stream, strlen(stream));
	put_text(&line, "reason", why->text, strlen(why->text));
	put_trace(&line, header->trace);
	put_text(&line, "original", e->line, e->bytes);
	buf_char(&line, '}');
	*letter = (struct lake_event){
	    .line = line.data,
	    .bytes = (uint32_t)line.used,
	    .flagged = true,
	    .contract = contract,
	    .position = TABLE_NO_POSITION,
	    .id = e->id_bytes ? e->id : line.data + sizeof(ID_MEMBER) - 1,
	    .id_bytes = e->id_bytes ? e->id_bytes : 32,
	};
}
