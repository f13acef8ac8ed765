/* What the files of requests share. */
#ifndef WEFT_SUPERVISOR_REQUESTS_INSIDE_H
#define WEFT_SUPERVISOR_REQUESTS_INSIDE_H

#include "services/supervisor/requests.h"
#include "services/supervisor/supervisor.h"

/* Appends json (taken) as a line. */
void request_put(struct buf *answer, struct cJSON *json);

/* Whether an instance is of the target. */
bool request_covers(const struct request *r, const struct instance *i);

/* Appends the answer to "status". */
void request_status(struct supervisor *s, const struct request *r,
		    struct buf *answer);

#endif
