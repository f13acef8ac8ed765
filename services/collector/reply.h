/* The JSON that clients of the collector get. */
#ifndef WEFT_SERVICES_COLLECTOR_REPLY_H
#define WEFT_SERVICES_COLLECTOR_REPLY_H

#include <stdbool.h>

#include "base/buf.h"
#include "contract/intake.h"
#include "http/server.h"

/*
 * The answer to a request with events, accepted or not: 202 when at least one
 * was, 400 when the body was no JSON (with its byte offset), 413 when its only
 * fault was its size, 503 when some may be sent again as they are, else 422.
 * Appends the body to *out, returns the status. `one` says that the request was
 * for a single event.
 */
unsigned reply_result(const struct intake_result *result, bool one,
		      struct buf *out);

#endif
