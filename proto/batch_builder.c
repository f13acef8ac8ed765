#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "proto/batch.h"
#include "proto/batch_layout.h"

/* First sizes. Pages that are not written cost nothing. */
#define PAYLOAD_BYTES (384u << 10)
#define INDEX_BYTES   (TABLE_MAX_BYTES + 1024 * sizeof(struct batch_event))

/*
 * Memory of sealed batches comes back here: without it each batch of 256 KiB
 * costs an mmap, a page fault per 4 KiB and a munmap. Buffers that grew past
 * KEEP_BYTES are freed, so that one huge request leaves nothing behind.
 */
#define POOL_BUFFERS 16
#define KEEP_BYTES   (1u << 20)

struct slab {
	char *data;
	size_t size;
};

struct pool {
	pthread_mutex_t lock;
	struct slab slabs[POOL_BUFFERS];
	unsigned used;
};

static struct pool payloads = {.lock = PTHREAD_MUTEX_INITIALIZER};
static struct pool indexes = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* slots is a hash table over names: number + 1, 0 = free. */
#define SLOTS 1024

/* A part of a payload. */
struct slice {
	uint32_t offset, bytes;
};

struct name {
	uint8_t bytes;
	char text[BATCH_STREAM_NAME_BYTES];
};

/*
 * The index slab has room for the largest stream table in front of the entries;
 * seal writes the table right before the first entry, so nothing is moved.
 */
struct batch_builder {
	struct slab index;
	struct slab payload;
	uint32_t events;
	uint32_t payload_used;
	uint16_t stream_count;
	size_t table_used;
	struct name names[BATCH_MAX_STREAMS];
	uint16_t slots[SLOTS];
};

/* What a sealed batch owns: slabs, or a copy of index and payload in data. */
struct body {
	struct slab index;
	struct slab payload;
	uint8_t data[];
};

static struct slab slab_take(struct pool *pool, size_t size)
{
	struct slab slab = {0};

	pthread_mutex_lock(&pool->lock);
	if (pool->used)
		slab = pool->slabs[--pool->used];
	pthread_mutex_unlock(&pool->lock);
	if (!slab.data)
		slab = (struct slab){xmalloc(size), size};
	return slab;
}

static void slab_give(struct pool *pool, struct slab slab)
{
	if (!slab.data)
		return;
	if (slab.size <= KEEP_BYTES) {
		pthread_mutex_lock(&pool->lock);
		if (pool->used < POOL_BUFFERS) {
			pool->slabs[pool->used++] = slab;
			slab.data = NULL;
		}
		pthread_mutex_unlock(&pool->lock);
	}
	free(slab.data);
}

static void slab_grow(struct slab *slab, size_t need)
{
	size_t size = slab->size;

	while (size < need)
		size *= 2;
	slab->data = xreallocarray(slab->data, size, 1);
	slab->size = size;
}

struct batch_builder *batch_builder_new(void)
{
	struct batch_builder *w = xcalloc(1, sizeof(*w));

	w->table_used = 2;
	return w;
}

void batch_builder_free(struct batch_builder **w)
{
	struct batch_builder *old = *w;

	*w = NULL;
	if (!old)
		return;
	slab_give(&indexes, old->index);
	slab_give(&payloads, old->payload);
	free(old);
}

/* Asked once an event, so it looks at the two ends of a name only. */
static unsigned name_slot(const char *name, size_t bytes)
{
	uint64_t first = 0, last = 0;

	if (bytes >= 8) {
		memcpy(&first, name, 8);
		memcpy(&last, name + bytes - 8, 8);
	} else {
		for (size_t i = 0; i < bytes; i++)
			first = first << 8 | (uint8_t)name[i];
	}
	first = (first ^ (last << 1 | last >> 63) ^ bytes) *
		UINT64_C(0x9e3779b97f4a7c15);
	return (unsigned)(first >> 54) % SLOTS;
}

uint16_t batch_builder_stream(struct batch_builder *w, const char *name,
			      size_t bytes)
{
	unsigned slot;

	if (bytes > BATCH_STREAM_NAME_BYTES)
		return BATCH_NO_STREAM;
	slot = name_slot(name, bytes);
	for (; w->slots[slot]; slot = (slot + 1) % SLOTS) {
		const struct name *n = &w->names[w->slots[slot] - 1];

		if (n->bytes == bytes && !memcmp(n->text, name, bytes))
			return (uint16_t)(w->slots[slot] - 1);
	}
	if (w->stream_count == BATCH_MAX_STREAMS ||
	    !batch_stream_name_ok(name, bytes))
		return BATCH_NO_STREAM;
	w->names[w->stream_count].bytes = (uint8_t)bytes;
	memcpy(w->names[w->stream_count].text, name, bytes);
	w->table_used += 1 + bytes;
	w->slots[slot] = ++w->stream_count;
	return (uint16_t)(w->stream_count - 1);
}

bool batch_builder_fits(const struct batch_builder *w, uint32_t events,
			size_t bytes)
{
	return events <= BATCH_MAX_EVENTS - w->events &&
	       bytes <= BATCH_MAX_PAYLOAD_BYTES - w->payload_used;
}

char *batch_builder_room(struct batch_builder *w, size_t bytes)
{
	if (!w->payload.data)
		w->payload = slab_take(&payloads, PAYLOAD_BYTES);
	if (w->payload.size - w->payload_used < bytes)
		slab_grow(&w->payload, w->payload_used + bytes);
	return w->payload.data + w->payload_used;
}

uint32_t batch_builder_offset(const struct batch_builder *w)
{
	return w->payload_used;
}

void batch_builder_commit(struct batch_builder *w, size_t bytes)
{
	assert(bytes <= w->payload.size - w->payload_used);
	assert(bytes <= BATCH_MAX_PAYLOAD_BYTES - w->payload_used);
	w->payload_used += (uint32_t)bytes;
}

void batch_builder_event(struct batch_builder *w,
			 const struct batch_event *event)
{
	size_t at =
	    TABLE_MAX_BYTES + (size_t)w->events * sizeof(struct batch_event);

	assert(w->events < BATCH_MAX_EVENTS);
	assert(event->bytes >= 1 && event->bytes <= BATCH_MAX_LINE_BYTES);
	assert((uint64_t)event->offset + event->bytes < w->payload_used);
	assert(event->stream < w->stream_count);
	if (!w->index.data)
		w->index = slab_take(&indexes, INDEX_BYTES);
	if (w->index.size - at < sizeof(*event))
		slab_grow(&w->index, at + sizeof(*event));
	memcpy(w->index.data + at, event, sizeof(*event));
	w->events++;
}

/* Where a slice of an event goes: with its line, or behind it. */
static uint32_t copy_slice(struct batch_builder *w, const struct batch *b,
			   const struct batch_event *e, uint32_t line,
			   const struct slice *slice)
{
	uint32_t at;

	if (!slice->bytes)
		return 0;
	if (slice->offset >= e->offset &&
	    slice->offset + slice->bytes <= e->offset + e->bytes)
		return line + (slice->offset - e->offset);
	at = batch_builder_offset(w);
	memcpy(batch_builder_room(w, slice->bytes), b->payload + slice->offset,
	       slice->bytes);
	batch_builder_commit(w, slice->bytes);
	return at;
}

bool batch_builder_copy(struct batch_builder *w, const struct batch *b,
			uint32_t i)
{
	const struct batch_event *e = &b->events[i];
	struct batch_event copy = *e;

	copy.stream = batch_builder_stream(w, b->streams[e->stream],
					   b->stream_bytes[e->stream]);
	if (copy.stream == BATCH_NO_STREAM ||
	    !batch_builder_fits(w, 1,
				(size_t)e->bytes + 1 + e->key_bytes +
				    e->id_bytes + e->type_bytes))
		return false;
	copy.offset = batch_builder_offset(w);
	memcpy(batch_builder_room(w, (size_t)e->bytes + 1),
	       b->payload + e->offset, (size_t)e->bytes + 1);
	batch_builder_commit(w, (size_t)e->bytes + 1);
	copy.key_offset = copy_slice(
	    w, b, e, copy.offset, &(struct slice){e->key_offset, e->key_bytes});
	copy.id_offset = copy_slice(w, b, e, copy.offset,
				    &(struct slice){e->id_offset, e->id_bytes});
	copy.type_offset =
	    copy_slice(w, b, e, copy.offset,
		       &(struct slice){e->type_offset, e->type_bytes});
	batch_builder_event(w, &copy);
	return true;
}

const struct batch_event *batch_builder_last(const struct batch_builder *w,
					     const char **payload)
{
	if (!w->events)
		return NULL;
	*payload = w->payload.data;
	return (const struct batch_event *)(w->index.data + TABLE_MAX_BYTES) +
	       (w->events - 1);
}

uint32_t batch_builder_events(const struct batch_builder *w)
{
	return w->events;
}

size_t batch_builder_bytes(const struct batch_builder *w)
{
	return BATCH_HEADER_BYTES + TABLE_PADDED(w->table_used) +
	       (size_t)w->events * sizeof(struct batch_event) + w->payload_used;
}

void batch_builder_rollback(struct batch_builder *w, uint32_t events,
			    uint32_t offset)
{
	assert(events <= w->events && offset <= w->payload_used);
	w->events = events;
	w->payload_used = offset;
}

static void body_release(void *owner)
{
	struct body *body = owner;

	slab_give(&indexes, body->index);
	slab_give(&payloads, body->payload);
	free(body);
}

/* Writes the stream table at `at`, TABLE_PADDED(table_used) bytes. */
static void put_streams(const struct batch_builder *w, uint8_t *at)
{
	const uint8_t *end = at + TABLE_PADDED(w->table_used);

	memcpy(at, &w->stream_count, sizeof(w->stream_count));
	at += sizeof(w->stream_count);
	for (uint16_t i = 0; i < w->stream_count; i++) {
		*at++ = w->names[i].bytes;
		memcpy(at, w->names[i].text, w->names[i].bytes);
		at += w->names[i].bytes;
	}
	memset(at, 0, (size_t)(end - at));
}

/* Memory of an ordinary size is kept. */
void batch_builder_clear(struct batch_builder *w)
{
	if (w->payload.size > KEEP_BYTES) {
		free(w->payload.data);
		w->payload = (struct slab){0};
	}
	w->events = 0;
	w->payload_used = 0;
	w->stream_count = 0;
	w->table_used = 2;
	memset(w->slots, 0, sizeof(w->slots));
}

/*
 * Gives index and payload to a body. A batch that leaves most of its slab empty
 * is copied to memory of its own size instead: it may wait long for an ack, and
 * would hold the whole slab all that time.
 */
static struct body *body_new(struct batch_builder *w, const uint8_t **index,
			     const char **payload, size_t index_bytes)
{
	struct body *body;

	if (w->payload_used > w->payload.size / 2) {
		body = xmalloc(sizeof(*body));
		body->index = w->index;
		body->payload = w->payload;
		w->index = (struct slab){0};
		w->payload = (struct slab){0};
		return body;
	}
	body = xmalloc(sizeof(*body) + index_bytes + w->payload_used);
	body->index = (struct slab){0};
	body->payload = (struct slab){0};
	memcpy(body->data, *index, index_bytes);
	*index = body->data;
	if (w->payload_used)
		memcpy(body->data + index_bytes, *payload, w->payload_used);
	*payload = (const char *)body->data + index_bytes;
	return body;
}

static void point_streams(struct batch *b, const struct batch_builder *w)
{
	const char *at = (const char *)b->index + 2;

	for (uint16_t i = 0; i < w->stream_count; i++) {
		b->streams[i] = at + 1;
		b->stream_bytes[i] = w->names[i].bytes;
		at += 1 + w->names[i].bytes;
	}
	b->stream_count = w->stream_count;
}

struct batch *batch_builder_seal(struct batch_builder *w,
				 const struct batch_header *header)
{
	size_t table = TABLE_PADDED(w->table_used);
	size_t bytes = table + w->events * sizeof(struct batch_event);
	struct batch *b = batch_new(header);
	struct body *body;

	if (!w->index.data)
		w->index = slab_take(&indexes, INDEX_BYTES);
	b->index = (uint8_t *)w->index.data + TABLE_MAX_BYTES - table;
	b->payload = w->payload.data;
	put_streams(w, (uint8_t *)w->index.data + TABLE_MAX_BYTES - table);
	body = body_new(w, &b->index, &b->payload, bytes);
	b->events =
	    (const struct batch_event *)(const void *)(b->index + table);
	point_streams(b, w);
	b->header.events = w->events;
	b->header.index_bytes = (uint32_t)bytes;
	b->header.payload_bytes = w->payload_used;
	b->header.body_crc =
	    crc32c(crc32c(0, b->index, bytes), b->payload, w->payload_used);
	b->owner = body;
	b->release = body_release;
	batch_builder_clear(w);
	return b;
}
