/* Memory for requests: blocks of a few sizes are kept for the next ones. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "http/server_impl.h"

#define LEAST_ROOM   1024
#define BODY_ROOM    16384
#define GROWTH_BYTES (256u << 10)

static const struct {
	size_t bytes;
	uint32_t keep;
} classes[HTTP_BLOCK_CLASSES] = {
    {HTTP_SMALL_BLOCK, 1024},
    {16384, 256},
    {65536, 128},
    {131072, 32},
    {262144, 16},
};

/* HTTP_BLOCK_CLASSES when it is of no class. */
static int class_of(size_t bytes)
{
	int i = 0;

	while (i < HTTP_BLOCK_CLASSES && classes[i].bytes < bytes)
		i++;
	return i;
}

size_t http_block_bytes(size_t bytes)
{
	int i = class_of(bytes);

	return i < HTTP_BLOCK_CLASSES ? classes[i].bytes : bytes;
}

struct http_block *http_block_take(struct http_blocks *pool, size_t bytes)
{
	int i = class_of(bytes);
	size_t size = http_block_bytes(bytes);
	struct http_block *b;

	if (i < HTTP_BLOCK_CLASSES && pool->free[i]) {
		b = pool->free[i];
		pool->free[i] = b->next;
		pool->kept[i]--;
	} else {
		b = xmalloc(sizeof(*b) + size);
		b->size = size;
	}
	b->references = 1;
	b->used = 0;
	b->next = NULL;
	if (i)
		*pool->buffered_bytes += size;
	return b;
}

void http_block_drop(struct http_blocks *pool, struct http_block **block)
{
	struct http_block *b = *block;
	int i;

	*block = NULL;
	if (!b || --b->references)
		return;
	i = class_of(b->size);
	if (i)
		*pool->buffered_bytes -= b->size;
	if (i == HTTP_BLOCK_CLASSES || pool->kept[i] >= classes[i].keep) {
		free(b);
		return;
	}
	b->next = pool->free[i];
	pool->free[i] = b;
	pool->kept[i]++;
}

void http_blocks_free(struct http_blocks *pool)
{
	for (int i = 0; i < HTTP_BLOCK_CLASSES; i++)
		for (struct http_block *b; (b = pool->free[i]);) {
			pool->free[i] = b->next;
			free(b);
		}
}

/* ---- room for the next read ---- */

/* How many bytes should fit behind those that are there. */
static size_t wanted_room(const struct http_conn *c)
{
	const struct http_request *r = c->current;
	uint64_t left;

	if (!r || r->stage != HTTP_IN_BODY || r->discard || r->chunked)
		return LEAST_ROOM;
	left = r->declared_bytes - r->body_bytes;
	if (r->decoder && left > BODY_ROOM)
		return BODY_ROOM;
	return left < GROWTH_BYTES ? (size_t)left + 1 : GROWTH_BYTES;
}

static bool has_budget(const struct http_server *s, size_t bytes)
{
	return bytes <= HTTP_SMALL_BLOCK ||
	       s->counters.buffered_bytes + http_block_bytes(bytes) <=
		   s->options.max_buffered_bytes;
}

/* Moves what is unfinished to where `room` more bytes fit. */
static int move_block(struct http_conn *c, size_t room)
{
	struct http_server *s = c->server;
	struct http_block *old = c->block;
	struct http_request *r = c->current;
	size_t from = r ? (size_t)(r->data - old->data) : c->parsed;
	size_t live = old->used - from;
	size_t size = live + (room > live ? room : live);
	struct http_block *b = old;

	if (old->references > 1 || size > old->size) {
		if (!has_budget(s, size))
			return -1;
		b = http_block_take(&s->blocks, size);
		memcpy(b->data, old->data + from, live);
		http_block_drop(&s->blocks, &old);
	} else {
		memmove(b->data, b->data + from, live);
	}
	b->used = live;
	c->block = b;
	c->parsed -= from;
	if (r)
		r->data = b->data;
	return 0;
}

int http_conn_make_room(struct http_conn *c)
{
	struct http_server *s = c->server;
	size_t wanted = wanted_room(c), room;

	if (!c->block) {
		c->block = http_block_take(
		    &s->blocks,
		    has_budget(s, c->usual_bytes) ? c->usual_bytes : 0);
		c->parsed = 0;
		return 0;
	}
	room = c->block->size - c->block->used;
	if (room >= wanted || room >= BODY_ROOM)
		return 0;
	return move_block(c, wanted);
}
