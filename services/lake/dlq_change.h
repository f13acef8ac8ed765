/* Dead letters that something is done with, and what became of them. */
#ifndef WEFT_LAKE_DLQ_CHANGE_H
#define WEFT_LAKE_DLQ_CHANGE_H

#include "base/uuid.h"
#include "services/lake/sending.h"

/* What was chosen, in the table `chosen`; page after page of it is sent. */
struct change {
	const struct args *a;
	struct letters letters;
	struct sending sending;
	char run[UUID_TEXT_BYTES];
	int64_t chosen, pages;
	struct buf failed; /* "2 masked, 1 wrong_type" */
	struct buf codes;  /* the same as members of a JSON object */
	int64_t failed_count, landed, waiting;
};

/*
 * Chooses the letters that the command is for, into the table `chosen`: n,
 * page, and what is known of each. It says so when there are none. -1 with
 * *err. Closed by the caller either way.
 */
int change_open(struct change *ch, const struct args *a, struct catalog *c,
		struct err *err) MUST_CHECK;
void change_close(struct change *ch);

/*
 * Says of each letter whose n the SELECT `which` gives what became of it, and
 * waits until that is in the table of states. The books of ch->sending are of
 * that then.
 */
int change_note(struct change *ch, const char *which, const char *state,
		struct err *err) MUST_CHECK;
/* Whether all of it is; -1 with *err. */
int change_check_noted(struct change *ch, struct err *err) MUST_CHECK;

#endif
