/*
 * A tap of a producer: `pipelinectl tap` listens to what passes it, mapped and
 * so masked. While nobody listens a batch costs one comparison. Loop thread.
 */
#ifndef WEFT_RUN_TAP_H
#define WEFT_RUN_TAP_H

#include "proto/batch.h"
#include "run/run.h"

struct tap;

/*
 * Opens the tap of this process. A tap that cannot be opened is logged and does
 * without: the result is always usable.
 */
struct tap *tap_new(struct run *run);
void tap_free(struct tap **t);

/* Whether anybody listens. */
bool tap_is_wanted(const struct tap *t);

/*
 * Shows the events of a batch as they go to `link`, to those who want them; at
 * most a thousand a second, the others are counted. One that was not mapped is
 * mapped for it, with the set that it names.
 */
void tap_show(struct tap *t, const char *link, const struct batch *b);

#endif
