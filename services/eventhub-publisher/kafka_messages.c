#include "services/eventhub-publisher/kafka_messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

static struct kafka_stream *stream_new(struct kafka_messages *m,
				       const char *name, uint16_t version)
{
	struct contract_set *set = m->contracts(m->arg);
	const struct contract *contract =
	    set ? contract_set_find(set, name, strlen(name)) : NULL;
	struct kafka_stream *s = xcalloc(1, sizeof(*s));
	char topic[TOPIC_BYTES + 1];

	snprintf(s->name, sizeof(s->name), "%s", name);
	kafka_target_topic(m->target, name, contract ? contract->topic : NULL,
			   topic);
	s->topic = kafka_topic(m->kafka, topic);
	s->version = version;
	s->letters = strcmp(name, "dead_letter") == 0;
	s->contract_bytes = (size_t)snprintf(s->contract, sizeof(s->contract),
					     "%s/%u", name, version);
	if (m->envelope) {
		buf_text(&s->envelope, "{\"");
		buf_json_escape(&s->envelope, m->envelope, strlen(m->envelope));
		buf_printf(&s->envelope, "\":\"%s\"", name);
	}
	return s;
}

void kafka_messages_forget(struct kafka_messages *m)
{
	for (size_t i = 0; i < m->stream_count; i++) {
		buf_free(&m->streams[i]->envelope);
		free(m->streams[i]);
	}
	m->stream_count = 0;
	m->mapped = NULL;
}

void kafka_messages_free(struct kafka_messages *m)
{
	kafka_messages_forget(m);
	free(m->streams);
	free(m->envelope);
}

static struct kafka_stream *stream_find(struct kafka_messages *m,
					const char *name, uint16_t version)
{
	for (size_t i = 0; i < m->stream_count; i++)
		if (m->streams[i]->version == version &&
		    strcmp(m->streams[i]->name, name) == 0)
			return m->streams[i];
	m->streams =
	    xreallocarray(m->streams, m->stream_count + 1, sizeof(*m->streams));
	m->streams[m->stream_count] = stream_new(m, name, version);
	return m->streams[m->stream_count++];
}

const struct kafka_stream *kafka_messages_stream(struct kafka_messages *m,
						 const struct batch_event *e)
{
	struct kafka_stream *s = m->map[e->stream];
	char name[BATCH_STREAM_NAME_BYTES + 1];

	if (s && s->version == e->version)
		return s;
	s = stream_find(m, batch_stream(m->mapped, e->stream, name),
			e->version);
	m->map[e->stream] = s;
	return s;
}

void kafka_messages_turn(struct kafka_messages *m, const struct batch *b)
{
	struct contract_set *set = m->contracts(m->arg);
	uint64_t hash = set ? contract_set_hash(set) : 0;
	uint8_t any = 0;

	if (hash != m->set)
		kafka_messages_forget(m);
	m->set = hash;
	if (m->mapped == b)
		return;
	m->mapped = b;
	if (!b)
		return;
	memset(m->map, 0, b->stream_count * sizeof(m->map[0]));
	for (size_t i = 0; i < BATCH_TRACE_BYTES; i++) {
		snprintf(m->trace + i * 2, 3, "%02x", b->header.trace[i]);
		any |= b->header.trace[i];
	}
	if (!any)
		*m->trace = '\0';
}

void kafka_messages_prefetch(const struct batch *b, uint32_t event)
{
	const struct batch_event *e;

	if (event >= b->header.events)
		return;
	e = &b->events[event];
	__builtin_prefetch(b->payload + e->id_offset);
	__builtin_prefetch(b->payload + e->id_offset + e->id_bytes);
	__builtin_prefetch(b->payload + e->type_offset);
	__builtin_prefetch(b->payload + e->key_offset);
}

char *kafka_messages_wrap(struct kafka_messages *m)
{
	const struct batch *b = m->mapped;
	size_t bytes = 0;
	char *lines, *at;

	for (uint32_t i = 0; i < b->header.events; i++)
		bytes += b->events[i].bytes +
			 kafka_messages_stream(m, &b->events[i])->envelope.used;
	at = lines = xmalloc(bytes);
	for (uint32_t i = 0; i < b->header.events; i++) {
		const struct batch_event *e = &b->events[i];
		const struct buf *head = &kafka_messages_stream(m, e)->envelope;
		const char *line = b->payload + e->offset;

		memcpy(at, head->data, head->used);
		at += head->used;
		/* The brace that begins the event becomes the comma. */
		memcpy(at, line, e->bytes);
		*at = e->bytes == 2 ? ' ' : ',';
		at += e->bytes;
	}
	return lines;
}

#define HEADER(name, value, bytes) \
	((struct kafka_header){(name), sizeof(name) - 1, (value), (bytes)})

static struct kafka_header id_header(const char *id, size_t bytes, bool letter)
{
	const char *part =
	    letter ? memchr(id, BATCH_PART_SEPARATOR, bytes) : NULL;

	if (part) {
		bytes -= (size_t)(part + 1 - id);
		id = part + 1;
	}
	return HEADER("event_id", id, bytes);
}

size_t kafka_messages_headers(const struct kafka_messages *m,
			      const struct batch_event *e,
			      const struct kafka_stream *s,
			      struct kafka_header headers[KAFKA_HEADERS])
{
	const char *payload = m->mapped->payload;
	size_t n = 0;

	if (!m->headers)
		return 0;
	if (e->type_bytes)
		headers[n++] = HEADER("event_type", payload + e->type_offset,
				      e->type_bytes);
	headers[n++] = HEADER("contract", s->contract, s->contract_bytes);
	if (e->id_bytes)
		headers[n++] =
		    id_header(payload + e->id_offset, e->id_bytes, s->letters);
	if (*m->trace)
		headers[n++] =
		    HEADER("trace_id", m->trace, sizeof(m->trace) - 1);
	return n;
}
