/* The numbers of metrics, for status. */
#ifndef WEFT_PIPELINECTL_STATS_H
#define WEFT_PIPELINECTL_STATS_H

#include <cjson/cJSON.h>

#include "services/pipelinectl/control.h"

/*
 * Asks the pipeline's metrics service for its snapshot (/stats.json, described
 * in services/metrics/README.md). NULL when there is none to be had within a
 * second; owned by the caller.
 */
cJSON *stats_fetch(const struct place *p);

/* The numbers of one process in a snapshot (NULL allowed), or NULL. */
const cJSON *stats_of(const cJSON *snapshot, const char *service, int instance);

#endif
