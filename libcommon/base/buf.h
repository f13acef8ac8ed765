/* A growing byte buffer: one owner, one thread, no hidden terminator. */
#ifndef WEFT_BASE_BUF_H
#define WEFT_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Zero-initialise (`struct buf b = {0}`). data is NULL until something is in.
 */
struct buf {
	char *data;
	size_t used;
	size_t size;
};

/* Frees the memory and leaves an empty buffer. */
void buf_free(struct buf *b);

/* Makes room for `more` bytes behind used; pointers into data go stale. */
void buf_grow(struct buf *b, size_t more);

/* Appends a formatted text, without its NUL. */
void buf_printf(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Appends `bytes` bytes of UTF-8 as the inside of a JSON string (no quotes):
 * escapes quote, backslash and control characters, keeps the rest.
 */
void buf_json_escape(struct buf *b, const char *text, size_t bytes);

/* A NUL-terminated view of the contents, valid until the next change. */
const char *buf_str(struct buf *b);

static inline void buf_reserve(struct buf *b, size_t more)
{
	if (b->size - b->used < more)
		buf_grow(b, more);
}

static inline void buf_append(struct buf *b, const void *data, size_t bytes)
{
	buf_reserve(b, bytes);
	if (bytes)
		memcpy(b->data + b->used, data, bytes);
	b->used += bytes;
}

static inline void buf_char(struct buf *b, char c)
{
	buf_reserve(b, 1);
	b->data[b->used++] = c;
}

static inline void buf_text(struct buf *b, const char *text)
{
	buf_append(b, text, strlen(text));
}

static inline void buf_clear(struct buf *b)
{
	b->used = 0;
}

#endif
