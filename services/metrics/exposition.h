/* The registry as text: Prometheus 0.0.4, and OpenMetrics 1.0.0. */
#ifndef WEFT_METRICS_EXPOSITION_H
#define WEFT_METRICS_EXPOSITION_H

#include <stddef.h>

#include "base/buf.h"
#include "services/metrics/registry.h"

enum exposition { EXPOSITION_TEXT, EXPOSITION_OPENMETRICS };

/*
 * Which of the two an Accept header prefers (RFC 9110 section 12.5.1): the one
 * of the highest q, the more specific on a tie, then text. A request without
 * the header (bytes 0), or that accepts neither, gets text, as Prometheus'
 * own client libraries answer. Other versions of either are not offered.
 */
enum exposition exposition_choose(const char *accept, size_t bytes);

/* The Content-Type of an answer; static. */
const char *exposition_content_type(enum exposition form);

/*
 * Appends all families with a sample: HELP and TYPE once each, sorted, samples
 * without timestamps.
 */
void exposition_write(struct registry *r, enum exposition form,
		      struct buf *out);

/*
 * Appends a value: integers up to 2^53 without point or exponent, else the
 * shortest of 15 or 17 digits; NaN, +Inf, -Inf.
 */
void exposition_put_value(struct buf *out, double value);

#endif
