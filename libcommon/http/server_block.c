/* Memory for requests: blocks of a few sizes are kept for the next ones. */
#include <stdlib.h>

#include "base/alloc.h"
#include "http/server_impl.h"

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

void http_block_drop(struct http_blocks *pool, struct http_block **at)
{
	struct http_block *b = *at;
	int i;

	*at = NULL;
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
