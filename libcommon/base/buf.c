#include "base/buf.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"

void buf_free(struct buf *b)
{
	free(b->data);
	*b = (struct buf){0};
}

void buf_grow(struct buf *b, size_t more)
{
	size_t size = b->size ? b->size : 256;
	size_t need;

	/* A sum that wraps asks for the impossible, which aborts below. */
	if (__builtin_add_overflow(b->used, more, &need) || need > SIZE_MAX / 2)
		size = need = SIZE_MAX;
	while (size < need)
		size += size / 2;
	b->data = xreallocarray(b->data, size, 1);
	b->size = size;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	buf_reserve(b, 128);
	va_start(ap, fmt);
	n = vsnprintf(b->data + b->used, b->size - b->used, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n >= b->size - b->used) {
		buf_reserve(b, (size_t)n + 1);
		va_start(ap, fmt);
		n = vsnprintf(b->data + b->used, b->size - b->used, fmt, ap);
		va_end(ap);
	}
	b->used += (size_t)n;
}

/* Whether any of 8 bytes is a control character, a quote or a backslash. */
static bool has_special(const char *text)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	const uint64_t tops = ones << 7;
	uint64_t x, quote, backslash;

	memcpy(&x, text, sizeof(x));
	quote = x ^ ones * '"';
	backslash = x ^ ones * '\\';
	/* A borrow may make a byte above a special one look special, too. */
	return (((x - ones * 0x20) & ~x) | ((quote - ones) & ~quote) |
		((backslash - ones) & ~backslash)) &
	       tops;
}

void buf_json_escape(struct buf *b, const char *text, size_t bytes)
{
	size_t from = 0;

	for (size_t i = 0; i < bytes; i++) {
		unsigned char c;

		while (bytes - i > 8 && !has_special(text + i))
			i += 8;
		c = (unsigned char)text[i];
		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		buf_append(b, text + from, i - from);
		from = i + 1;
		if (c == '"' || c == '\\')
			buf_printf(b, "\\%c", c);
		else if (c == '\n')
			buf_text(b, "\\n");
		else if (c == '\t')
			buf_text(b, "\\t");
		else if (c == '\r')
			buf_text(b, "\\r");
		else
			buf_printf(b, "\\u%04x", c);
	}
	if (from < bytes)
		buf_append(b, text + from, bytes - from);
}

const char *buf_str(struct buf *b)
{
	buf_reserve(b, 1);
	b->data[b->used] = '\0';
	return b->data;
}
