/*
 * The log: one per process for all its streams. Batches are appended by the
 * loop thread, written and synced by a commit thread (one fdatasync a commit,
 * the next starts when the last ends), read back by cursor, and freed in order.
 * The on-disk format is written down in libcommon/spool/format.md.
 *
 * Directory: <dir>/lock (flock), checkpoint, <20-digit position>.log segments,
 * reserve (preallocated space that only checkpoints and freeing work may use:
 * at a sink, whose deliveries free both its own log and its source's, that is
 * also the next segment).
 *
 * A position is the logical byte offset of a record in the log: 64-bit, never
 * reset, so a record at `position` in the segment whose base is `b` lies at
 * file offset position - b + segment header. Order of positions is order of
 * appends.
 */
#ifndef WEFT_SPOOL_SPOOL_H
#define WEFT_SPOOL_SPOOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/uuid.h"
#include "proto/batch.h"

struct spool;

struct spool_options {
	const char *dir;
	/* A new segment begins beyond this; 64 MiB, at most a quarter of cap
	 * and a 32nd of the file system. */
	int64_t segment_bytes;
	int64_t cap_bytes; /* appends are refused beyond this; >= 1 MiB */
	/* Disk space kept back, at least the largest batch and a checkpoint,
	 * at most a quarter of the file system; 0 = none. When the disk is
	 * full, checkpoints are written with it, and in a log without headroom
	 * segments too. */
	int64_t reserve_bytes;
	/* Appends are refused while less than this, or 5 % of the file system
	 * if that is less, is free on it: it is for those who free what is
	 * here. 0 = none. */
	int64_t headroom_bytes;
	int64_t checkpoint_bytes; /* a checkpoint at least this often; 64 MiB */
	int64_t cache_bytes;	  /* appended lately, kept in memory; 16 MiB */
	/* At most one commit in this time, unless 1 MiB waits; 0 = at once. For
	 * logs whose appends nobody waits for: a sync costs the same for less.
	 */
	int64_t commit_interval_us;
};

/* One record as reported while a log is opened or read. */
struct spool_record {
	uint64_t position;
	uint64_t next; /* position of the record behind it */
	int64_t appended_at_us;
	struct batch *batch; /* borrowed; NULL when the record is bad */
	struct err err;	     /* why it is bad */
};

struct spool_stats {
	uint64_t first;	      /* position of the oldest record not freed */
	uint64_t durable;     /* everything before it is on disk */
	uint64_t end;	      /* position of the next append */
	uint64_t bytes;	      /* on disk, reserve not counted */
	uint64_t spare_bytes; /* … of these, kept for the next segments */
	uint64_t cap_bytes;
	uint64_t records;  /* appended since open */
	uint64_t commits;  /* fdatasync calls that succeeded */
	uint64_t failures; /* writes or syncs that failed */
	uint64_t bad_records;
	int64_t commit_us;    /* time in fdatasync, summed */
	int64_t oldest_at_us; /* appended_at of the oldest record, 0 if none */
	uint32_t segments;
	/* At open the checkpoint was damaged or gone, and with it what the
	 * application had saved; the log has a new id and all its records. */
	bool checkpoint_lost;
};

/*
 * Callbacks, all on the loop thread.
 *  recovered: once per record that the application's part of the checkpoint
 *    does not cover, in order, during spool_open (the batch carries its header,
 *    so that a sink finds its lanes again). Bad records come with batch ==
 *    NULL. All of them are durable when spool_open returns 0. NULL when the
 *    application needs none: then start-up reads only what may be torn.
 *  committed: everything before position `durable` is on disk now.
 *  failed: a commit failed; records that are not durable stay queued and are
 *    written again to a new segment; `err` says what happened. The spool goes
 *    on trying, with back-off; spool_append refuses meanwhile.
 *  saving: a checkpoint is about to be taken (each checkpoint_bytes, when a
 *    segment can go, and at close): call spool_save(s, durable, …) with what
 *    is to be remembered of the records before `durable`, the position that
 *    `committed` told last. Nothing is freed that the saved part does not
 *    describe, nor what was freed after it was saved. NULL when what is saved
 * does not depend on the records, or is saved often enough without being asked.
 */
struct spool_events {
	void (*recovered)(void *arg, const struct spool_record *record);
	void (*committed)(void *arg, uint64_t durable);
	void (*failed)(void *arg, const struct err *err);
	void (*saving)(void *arg, uint64_t durable);
	void *arg;
};

/*
 * Opens or creates a log and starts its commit thread. Takes the flock first:
 * a second process gets EBUSY with the holder's pid. A record that is bad but
 * was durable (a later record proves it) is set aside, reported and counted; a
 * bad tail is cut. Records that the checkpoint covers are verified when read.
 * `loop` is borrowed and must outlive the log. Blocks for at most the bytes
 * since the last checkpoint. -1 with *err.
 */
int spool_open(struct spool **s, struct loop *loop,
	       const struct spool_options *options,
	       const struct spool_events *events, struct err *err) MUST_CHECK;

/*
 * Waits for queued records to be durable (at most timeout_us), tells them by
 * `committed`, asks `saving`, writes a last checkpoint, stops the thread and
 * frees. Over a disk that hangs longer than that the thread is left to end by
 * itself, and the log stays locked until it does. Sets *s to NULL; accepts
 * NULL.
 */
void spool_close(struct spool **s, int64_t timeout_us);

/* The log's identity, born with it; a cloned or new log has another. */
const struct uuid *spool_id(const struct spool *s);

/* The position from which on all records carry the present id: it is another
 * after a repair, and older records keep the one they were written with. */
uint64_t spool_id_since(const struct spool *s);

/*
 * The application's part of the last checkpoint (lanes, epochs, sink offsets),
 * as found at open, borrowed; *bytes is 0 in a new log.
 */
const void *spool_saved(const struct spool *s, size_t *bytes);

/*
 * Sets what the next checkpoint carries as the application's part (copied; at
 * most 16 MiB). It must describe all records before `position` and none at or
 * behind it; the records behind are given to `recovered` at the next open. A
 * checkpoint carries it once everything before `position` is durable.
 */
void spool_save(struct spool *s, uint64_t position, const void *data,
		size_t bytes);

/*
 * Asks for a checkpoint now; done is called on the loop thread when it is
 * durable (err == NULL) or failed. Checkpoints in flight coalesce.
 */
void spool_checkpoint(struct spool *s,
		      void (*done)(void *arg, const struct err *err),
		      void *arg);

/* As spool_checkpoint, but blocks until it is durable. For epochs at start. */
int spool_checkpoint_now(struct spool *s, struct err *err) MUST_CHECK;

/*
 * Queues a batch (takes a reference) and gives its position. Never blocks.
 * Refused with -1 and *err, all retriable: ENOSPC at the cap, on a full disk or
 * on one with less free than the headroom,
 * EIO while the disk fails, EAGAIN while it is so slow that over 32 MiB wait
 * for it. EFBIG (not retriable): larger than the log may ever hold. Nothing is
 * acknowledged before `committed` says so.
 */
int spool_append(struct spool *s, struct batch *b, uint64_t *position,
		 struct err *err) MUST_CHECK;

/* Whether an append of `bytes` would be accepted now. */
bool spool_has_room(const struct spool *s, size_t bytes);

/*
 * Reads the durable record at or behind *position (bad ones are skipped and
 * counted), from memory when it was appended lately, else from disk, verified.
 * 1: *b has a reference for the caller, *position is that record's position
 * and *next the one behind it. 0: nothing durable there yet. -1: *err.
 */
int spool_read(struct spool *s, uint64_t *position, uint64_t *next,
	       struct batch **b, struct err *err) MUST_CHECK;

/*
 * The same, with all that is known of the record: in, *record has the position;
 * out, it has the record, whose batch is a reference for the caller.
 */
int spool_read_record(struct spool *s, struct spool_record *record,
		      struct err *err) MUST_CHECK;

/*
 * Says that all records before `position` are no longer needed. Whole segments
 * go once a checkpoint that says so is durable.
 */
void spool_free_before(struct spool *s, uint64_t position);

void spool_get_stats(const struct spool *s, struct spool_stats *stats);

/*
 * Walks a log directory without opening it for writing (running or stopped):
 * visit is called for each record not freed at or behind position `from`, bad
 * ones with batch == NULL, until it returns false. -1 with *err when the
 * directory is no log (ENOENT). Any thread; blocks.
 */
int spool_walk(const char *dir, uint64_t from,
	       bool (*visit)(void *arg, const struct spool_record *record),
	       void *arg, struct err *err) MUST_CHECK;

/*
 * What a log directory holds, from its checkpoint and its records' headers
 * alone (bodies are not read), running or stopped: id, positions, bytes,
 * segments, records not freed, bad ones, oldest. Errors as spool_walk.
 */
int spool_inspect(const char *dir, struct uuid *id, struct spool_stats *stats,
		  struct err *err) MUST_CHECK;

#endif
