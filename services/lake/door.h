/*
 * The way back into the pipeline: the service replay, started for one command.
 * One thread; calls block, until `stop` says otherwise.
 */
#ifndef WEFT_LAKE_DOOR_H
#define WEFT_LAKE_DOOR_H

#include <stdatomic.h>
#include <sys/types.h>

#include "conf/conf.h"
#include "proto/replay.h"

struct door {
	pid_t pid; /* 0: closed */
	int to, from;
	struct buf out, in;
	size_t taken; /* of in */
	char *log;    /* where the service logs */
	const atomic_bool *stop;
};

/*
 * Starts the service with this configuration. -1 with *err: it is not there,
 * or this user may not; ENOTCONN when events are to be sent, and no pipeline
 * runs that would take them.
 */
int door_open(struct door *d, const struct conf *conf, bool sends,
	      const atomic_bool *stop, struct err *err) MUST_CHECK;
/* Ends it, and waits for that. Accepts one that was never opened. */
void door_close(struct door *d);

/*
 * Sends what is in d->out, as replay_begin() and so on have put it there. -1
 * with *err as door_answer(); then no more may be sent.
 */
int door_send(struct door *d, int64_t timeout_us, struct err *err) MUST_CHECK;

/*
 * The next answer, borrowed until the next call. -1 with *err: ETIMEDOUT when
 * there is none within timeout_us (0: however long it takes), ECANCELED, or
 * ECONNABORTED when the service has ended, with what it logged last.
 */
int door_answer(struct door *d, struct replay_frame *answer, int64_t timeout_us,
		struct err *err) MUST_CHECK;

#endif
