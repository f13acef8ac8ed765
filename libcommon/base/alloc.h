/*
 * Allocation that cannot fail: out of memory aborts. Every length that comes
 * from a wire, a disk or a user is bounded by its caller first.
 */
#ifndef WEFT_BASE_ALLOC_H
#define WEFT_BASE_ALLOC_H

#include <stddef.h>

/* Uninitialised memory of `bytes` bytes; the caller frees it with free(). */
void *xmalloc(size_t bytes) __attribute__((malloc, returns_nonnull));

/* `count` zeroed elements of `bytes` bytes; aborts on overflow too. */
void *xcalloc(size_t count, size_t bytes)
    __attribute__((malloc, returns_nonnull));

/* Resizes `old` (NULL allowed) to count * bytes bytes; takes `old`. */
void *xreallocarray(void *old, size_t count, size_t bytes)
    __attribute__((returns_nonnull));

/* A copy of a string; the caller frees it. */
char *xstrdup(const char *text) __attribute__((malloc, returns_nonnull));

/* A copy of `bytes` bytes with a NUL behind them; the caller frees it. */
char *xmemdup0(const void *data, size_t bytes)
    __attribute__((malloc, returns_nonnull));

/* A formatted string; the caller frees it. */
char *xasprintf(const char *fmt, ...)
    __attribute__((malloc, returns_nonnull, format(printf, 1, 2)));

#endif
