/*
 * What `pipelinectl status` asks of metrics: a few numbers of each process, as
 * JSON. Loop thread only. The shape is written down in
 * services/metrics/README.md.
 */
#ifndef WEFT_METRICS_STATUS_H
#define WEFT_METRICS_STATUS_H

#include <stdint.h>

#include "base/buf.h"
#include "services/metrics/registry.h"

/* Rates are over the messages of the last 10 seconds. */
#define STATUS_WINDOW_US 10000000

struct status;

struct status *status_new(void);
void status_free(struct status **s);

/* Notes the numbers of a process whose message was just taken. */
void status_note(struct status *s, const struct registry_process *p);

/* Appends the snapshot, one JSON object and a line feed. */
void status_write(struct status *s, struct registry *r, int64_t now_us,
		  int64_t now_mono_us, struct buf *out);

#endif
