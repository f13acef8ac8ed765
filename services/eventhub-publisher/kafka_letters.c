#include "services/eventhub-publisher/kafka_letters.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"

/* The event stays as it is, at the end of the line. */
static void write_line(const struct kafka_letters *l,
		       const struct kafka_letter *letter, struct buf *line)
{
	const struct batch *b = letter->batch;
	const struct batch_event *e = &b->events[letter->event];
	const struct kafka_stream *s = letter->stream;
	int error = letter->error;
	char now[CLOCK_TEXT_BYTES], received[CLOCK_TEXT_BYTES];

	buf_printf(line, "{\"code\":\"%s\",\"reason\":\"",
		   kafka_error_name(error));
	buf_json_escape(line, kafka_error_text(error),
			strlen(kafka_error_text(error)));
	buf_printf(line,
		   "\",\"stage\":\"%s\",\"stream\":\"%s\",\"version\":%u,"
		   "\"topic\":\"%s\",\"bytes\":%u,\"received_at\":\"%s\","
		   "\"failed_at\":\"%s\",\"event\":",
		   l->section, s->name, s->version, kafka_topic_name(s->topic),
		   e->bytes, clock_format(b->header.created_at_us, received),
		   clock_format(clock_wall_us(), now));
	buf_append(line, b->payload + e->offset, e->bytes);
	buf_char(line, '}');
}

int kafka_letters_put(struct kafka_letters *l,
		      const struct kafka_letter *letter, struct err *err)
{
	const struct batch_event *e = &letter->batch->events[letter->event];
	const struct kafka_stream *s = letter->stream;
	struct buf line = {0};

	if (!l->files && deadletters_open(&l->files, l->loop, l->dir,
					  l->cap_bytes, &l->events, err) != 0)
		return -1;
	write_line(l, letter, &line);
	log_error(
	    "event_dead_lettered",
	    "stream=%s topic=%s bytes=%u error=%s dir=%s "
	    "action=\"it is kept there; raise max_message and the topic's "
	    "max.message.bytes if such events are wanted\"",
	    s->name, kafka_topic_name(s->topic), e->bytes,
	    kafka_error_name(letter->error), l->dir);
	deadletters_put(l->files, line.data, line.used, letter->opaque);
	buf_free(&line);
	return 0;
}

bool kafka_letters_full(const struct kafka_letters *l)
{
	return l->files && deadletters_full(l->files);
}

void kafka_letters_close(struct kafka_letters *l)
{
	deadletters_free(&l->files);
}

void kafka_letters_free(struct kafka_letters *l)
{
	kafka_letters_close(l);
	free(l->dir);
}
