/* Starting and stopping the whole pipeline, for start, stop and restart. */
#ifndef WEFT_PIPELINECTL_PIPELINE_H
#define WEFT_PIPELINECTL_PIPELINE_H

#include "services/pipelinectl/options.h"

/*
 * Starts weftd and waits until all is ready; says how it went. One that runs
 * already is success. Does not return with o->foreground. An enum cmd_exit.
 */
int pipeline_start(const struct options *o);

/*
 * Stops it and waits until it has ended; one that does not run is success.
 * Says so unless quiet.
 */
int pipeline_stop(const struct options *o, bool quiet);

#endif
