/*
 * The side logs: what waits for tables that are set aside. A table whose own
 * circuit opens while the store answers would hold up all others, and the main
 * log. So its events are moved, durably, to a log of its own, and only then the
 * main log is freed; the table is written from there until nothing is left.
 *
 *	<state_dir>/<name>.<instance>/side/<table>/	a log (spool/spool.h)
 *
 * A record is a batch with the events of that table out of one record of the
 * main log. It stays a part of that log: its header has the log's id as the
 * lane's source and the record's position as the sequence, and, in the place of
 * the epoch, when that was appended; BATCH_REPLAY if its events count as
 * flagged. Thus the table's txn goes on by the positions of the main log, and
 * what is moved twice (a crash between the move and the checkpoint of the main
 * log) is in the table once.
 *
 * A side log that will be three quarters full with what the main log still has
 * says so (sides_refused()), until it will be half full: sources then refuse
 * that stream alone. What is on its way finds room in the last quarter. When
 * that is full too, the main log waits.
 *
 * While a side log holds anything, each later event of its table goes there as
 * well: the worker is told so with each job. So no later position of the table
 * is committed before an earlier one.
 *
 * Loop thread only.
 */
#ifndef WEFT_SERVICES_ONELAKE_WRITER_SIDE_H
#define WEFT_SERVICES_ONELAKE_WRITER_SIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "base/uuid.h"
#include "proto/refusal.h"
#include "services/onelake-writer/job.h"

struct sides;

struct sides_options {
	struct loop *loop;
	const char *dir;    /* that side logs lie in; copied */
	struct uuid log_id; /* of the main log */
	int64_t cap_bytes;  /* of each */
	int64_t late_us;    /* as for job_add() */
};

/*
 * refused: sides_refused() has changed. moved: all that sides_take() was given
 * is on disk. ready: sides_next() may have something. set_of: the contract set
 * that a batch names (borrowed), or NULL with *err.
 */
struct sides_events {
	void (*refused)(void *arg);
	void (*moved)(void *arg);
	void (*ready)(void *arg);
	struct contract_set *(*set_of)(void *arg, uint64_t hash,
				       struct err *err);
	void *arg;
};

/* Opens those that hold something. -1 with *err. */
int sides_open(struct sides **s, const struct sides_options *options,
	       const struct sides_events *events, struct err *err) MUST_CHECK;
void sides_close(struct sides **s);

/* Tells a job of the main log which tables are set aside (job_set_aside()). */
void sides_mark(const struct sides *s, struct job *job);

/*
 * Takes over what landing the job has moved. moved() follows once all of it is
 * on disk; never from within, and not before a side log that is full has room
 * again. One job at a time.
 */
void sides_take(struct sides *s, struct job *job);

/*
 * Tries again what had to wait: a log frees space when nobody tells. What the
 * main log has not landed yet, ahead_bytes, may all have to go there.
 */
void sides_tick(struct sides *s, uint64_t ahead_bytes);

/*
 * The next job to land out of a side log, of at most about `bytes`: NULL when
 * none has anything, or its time has not come; then *at_mono_us is when to ask
 * again, 0 = when ready() says so. *err has a code when one cannot be read.
 * One at a time, and not while a job of the main log is landed.
 */
struct job *sides_next(struct sides *s, size_t bytes, int64_t *at_mono_us,
		       struct err *err);

/* That job is landed, or not yet; frees it. */
void sides_done(struct sides *s, struct job **job);

/* The streams whose side logs are full. */
void sides_refused(const struct sides *s, struct refusal *streams);

/* Calls fn for each table that is, or was, set aside: bytes that wait for it.
 */
void sides_each(const struct sides *s,
		void (*fn)(void *arg, const char *table, uint64_t bytes),
		void *arg);

#endif
