/* The thread that lands jobs, one at a time. Calls on the loop thread. */
#ifndef WEFT_SERVICES_ONELAKE_WRITER_WORKER_H
#define WEFT_SERVICES_ONELAKE_WRITER_WORKER_H

#include "base/loop.h"
#include "services/onelake-writer/landing.h"

struct worker;

/*
 * Loop thread, never from within a call.
 *  landed: all events of the job are in their tables, or in job->moved; or it
 *    came out of a side log and is to be tried later (!job->landed). It is the
 *    callee's.
 *  changed: stats or why it waits.
 *  failed: it lands nothing any more; end the process.
 */
struct worker_events {
	void (*landed)(void *arg, struct job *job);
	void (*changed)(void *arg);
	void (*failed)(void *arg, const struct err *err);
	void *arg;
};

/* `options` without changed and arg. */
int worker_new(struct worker **w, struct loop *loop,
	       const struct landing_options *options,
	       const struct worker_events *events, struct err *err) MUST_CHECK;
/*
 * Stops at once; what was not landed is still in the log. A lake that hangs
 * does not hold it up for long: then the thread is left to the process's end.
 */
void worker_free(struct worker **w);

/* Whether it takes a job. */
bool worker_idle(const struct worker *w);
/* Takes the job. */
void worker_give(struct worker *w, struct job **job);

/* Of what it lands in: stats and tables. */
struct landing *worker_landing(struct worker *w);

#endif
