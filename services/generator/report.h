/* The outcome of a run, as JSON. */
#ifndef WEFT_SERVICES_GENERATOR_REPORT_H
#define WEFT_SERVICES_GENERATOR_REPORT_H

#include <cjson/cJSON.h>

#include "services/generator/sender.h"

/*
 * {"running", "sent", "accepted", "rejected": {code: n}, "mismatches",
 * "requests", "retries", "seconds", "events_per_second", "latency_ms": {"p50",
 * "p99"}}; owned by the caller.
 */
cJSON *report_json(struct sender *sender, bool running);

#endif
