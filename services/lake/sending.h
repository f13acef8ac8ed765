/*
 * Events on their way back through the door: what was sent, what was refused,
 * and what of it is in the tables.
 */
#ifndef WEFT_LAKE_SENDING_H
#define WEFT_LAKE_SENDING_H

#include "services/lake/door.h"
#include "services/lake/letters.h"

/*
 * Keeps its books in DuckDB: `accepted` (n, tbl, columns, id, landed) and
 * `refused` (n, code, field, why), n being the frame's number.
 */
struct sending {
	struct letters *letters;
	struct door door;
	const char *name; /* of the command, for messages */
	int64_t wait_us;
	struct buf accepted, refused; /* rows on their way into the books */
	int64_t passed;		      /* answers that are neither */
};

/* Opens the door and empty books. -1 with *err. */
int sending_open(struct sending *s, struct letters *l, const struct args *a,
		 struct err *err) MUST_CHECK;
void sending_close(struct sending *s);

/*
 * Sends the frames in s->door.out, and `kind` (flush or sync) behind them, and
 * takes all answers into the books. What comes back within the wait is -1 with
 * ETIMEDOUT: it may still be done later.
 */
int sending_ask(struct sending *s, enum replay_kind kind,
		struct err *err) MUST_CHECK;

/*
 * Waits until all that was accepted is in its tables, and notes what is. 0
 * after the wait too: `landed` tells. What has no table, or one in which it
 * cannot be told, counts as landed.
 */
int sending_await(struct sending *s, struct err *err) MUST_CHECK;

/* A line on a terminal that the next one overwrites; "" ends it. */
void sending_progress(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));

#endif
