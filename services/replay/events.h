/*
 * What is asked of the replay service, made events of: without a socket, a disk
 * or a loop.
 */
#ifndef WEFT_SERVICES_REPLAY_EVENTS_H
#define WEFT_SERVICES_REPLAY_EVENTS_H

#include "base/buf.h"
#include "contract/intake.h"
#include "contract/mapped.h"
#include "proto/batch.h"
#include "proto/replay.h"

struct events {
	struct intake *intake;
	struct mapped *mapped;
	struct batch_builder *builder; /* what was accepted */
	struct buf answers;	       /* frames, for the caller to send */
	uint64_t accepted, refused;
	bool check; /* what is accepted goes nowhere */
};

void events_init(struct events *e);
void events_free(struct events *e);

/*
 * Does one raw, mapped, archived or takes frame with the newest contracts:
 * answers it, and what was accepted is in the builder, which has room for a
 * line of the largest size. -1 with *err when the frame says nothing that the
 * specification knows.
 */
int events_take(struct events *e, struct contract_set *set,
		struct replay_frame *frame, struct err *err) MUST_CHECK;

#endif
