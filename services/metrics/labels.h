/* Label texts: what a process sent, made fit to be shown. */
#ifndef WEFT_METRICS_LABELS_H
#define WEFT_METRICS_LABELS_H

#include <stddef.h>

#include "base/buf.h"

/*
 * Appends text, with each byte that is not part of valid UTF-8 (RFC 3629)
 * replaced by U+FFFD.
 */
void labels_put_utf8(struct buf *out, const char *text, size_t bytes);

/*
 * Appends the labels of `added` and then of `labels` (both label texts, "" for
 * none) in order of their names and with valid UTF-8. Of a name in both, the
 * label in `labels` counts.
 */
void labels_merge(struct buf *out, const char *added, const char *labels);

/* Appends the labels of a text but the one of that name. */
void labels_without(struct buf *out, const char *labels, const char *name);

/* The value of `le` as a number; +Inf when there is none. */
double labels_le(const char *labels);

#endif
