/*
 * What the files of the spool share. Two threads: the loop's, which appends,
 * reads and frees, and the commit thread, which writes, syncs and checkpoints.
 * One mutex guards what both touch; no call to the disk is made under it.
 */
#ifndef WEFT_SPOOL_INTERNAL_H
#define WEFT_SPOOL_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "spool/checkpoint.h"
#include "spool/reader.h"
#include "spool/segments.h"
#include "spool/spool.h"

/* No segment is smaller, however small the cap or the disk. */
#define SPOOL_SEGMENT_LEAST INT64_C(65536)
/* While more than this waits in memory for a slow disk nothing is appended. A
 * batch that brings it there is taken, or what is a request in two of them
 * might never be. */
#define SPOOL_QUEUE_BYTES INT64_C(33554432)
/* A commit is not put off any more once this much waits for it. */
#define SPOOL_PACE_BYTES UINT64_C(1048576)

/* Files of freed segments that are kept for the next ones. */
#define SPOOL_SPARES 2
/* A segment's header and the file system's own blocks, rounded up. */
#define SPOOL_EXTRA_BYTES 65536

struct spool_spare {
	uint64_t base;
	int64_t bytes; /* on disk */
};

/* A record in memory: not durable yet, or kept for the reader behind. */
struct spool_entry {
	uint64_t position;
	uint64_t next;
	int64_t appended_at_us;
	struct batch *batch;
};

/*
 * Entries in order of position, contiguous up to the end of the log. Index
 * `head` is the oldest; slots are a power of two and counted without wrapping.
 */
struct spool_ring {
	struct spool_entry *slots;
	uint64_t head;
	uint64_t tail;
	uint64_t size;
	int64_t bytes; /* of the records */
};

static inline struct spool_entry *ring_at(const struct spool_ring *ring,
					  uint64_t index)
{
	return &ring->slots[index & (ring->size - 1)];
}

/* ring.c. Pushing takes over the entry's reference. */
void ring_push(struct spool_ring *ring, const struct spool_entry *entry);
/* Drops the oldest entry (there is one); its reference goes to the caller. */
struct batch *ring_drop(struct spool_ring *ring) MUST_CHECK;
/* Index of the first entry at or behind position; tail when there is none. */
uint64_t ring_find(const struct spool_ring *ring, uint64_t position);

/* The application's part of a checkpoint, owned. */
struct spool_part {
	uint64_t position;
	uint64_t first; /* what was freed when it was saved */
	char *data;
	size_t bytes;
};

/* Somebody who wants to hear of a checkpoint. Loop thread. */
struct spool_waiter {
	uint64_t request;
	void (*done)(void *arg, const struct err *err);
	void *arg;
};

/* What the commit thread works with; nobody else touches it after open. */
struct spool_commit {
	int fd; /* of the active segment, -1 = none */
	uint64_t base;
	char *path; /* of the active segment, for messages */
	struct spool_entry *taken;
	size_t count;
	size_t size;
	uint8_t *prefixes;
	struct iovec *parts;
	int64_t reserve_bytes; /* what a new segment is to preallocate */
	bool lent;	       /* the active segment lies in the reserve */
	int64_t backoff_us;
	int64_t checkpoint_backoff_us;
	int64_t began_us; /* monotonic: when the last commit began */
	bool reserve_held;
	struct spool_spare spares[SPOOL_SPARES];
	size_t spare_count;
};

struct spool {
	/* Fixed after open. */
	struct spool_options options;
	char *dir;
	int lock_fd;
	struct log_ids ids;
	uint64_t machine;
	char *found; /* the application's part as found at open */
	size_t found_bytes;
	pthread_t thread;
	bool thread_started;

	/* Loop thread. */
	struct loop *loop;
	struct spool_events events;
	struct loop_waker waker;
	struct reader reader;
	struct spool_waiter *waiters;
	size_t waiter_count;
	size_t waiter_size;
	uint64_t told_durable;
	uint64_t bad_from, bad_to; /* already counted at open */
	uint64_t oldest_position;  /* UINT64_MAX = not looked up */
	int64_t oldest_at_us;	   /* of the record at oldest_position */
	int64_t space_mono_us;	   /* when the file system was looked at */
	uint64_t space_end;	   /* … and where the log ended then */

	/* Both, under the mutex. */
	pthread_mutex_t mutex;
	pthread_cond_t work;	 /* the commit thread waits */
	pthread_cond_t answered; /* the loop thread waits, in few calls */
	bool idle;		 /* the commit thread waits for work */
	bool paced;		 /* … or for the next commit's time */
	bool hurry;		 /* somebody waits for the log to be durable */
	bool stopping;
	bool stopped;
	bool abandoned; /* closed over a stuck disk: the thread frees */
	bool telling;	/* the commit thread wakes the loop */
	bool closing;	/* … and somebody waits for the end of that */
	struct spool_ring ring;
	uint64_t written; /* ring index of the first entry not durable */
	uint64_t first;
	uint64_t durable;
	uint64_t end;
	struct segments segments;
	uint64_t disk_bytes;  /* of the segments, with what is queued */
	uint64_t spare_bytes; /* of the spares */
	uint64_t allocated;   /* the active segment has its space up to here */
	uint64_t room_end;    /* appends beyond would use up the headroom */
	struct spool_part saved;   /* the latest */
	struct spool_part current; /* the latest that is all durable */
	uint64_t checkpoint_at;	   /* durable position of the last one */
	bool checkpoint_due;	   /* the loop is to ask the application */
	bool checkpoint_wanted;	   /* the application was asked */
	uint64_t request;	   /* last explicit request */
	uint64_t request_done;	   /* … that succeeded */
	uint64_t request_failed;   /* … that failed */
	struct err checkpoint_err;
	int64_t checkpoint_retry_us; /* monotonic, 0 = now */
	int failing;		     /* errno while commits fail, else 0 */
	int64_t retry_us;	     /* monotonic: the next try */
	bool failure_told;
	struct err failure;
	struct spool_stats stats;

	struct spool_commit commit;
};

/* recover.c: fills the log's state from its directory. Before the thread. */
int spool_recover(struct spool *s, struct err *err) MUST_CHECK;

/* write.c */
void spool_commit_init(struct spool_commit *c);
void spool_commit_free(struct spool_commit *c);
/*
 * Writes entries to the active segment, behind each other. The caller syncs.
 * Commit thread, or open before it runs.
 */
int spool_write(struct spool *s, const struct spool_entry *entries,
		size_t count, struct err *err) MUST_CHECK;
/*
 * active.c: begins the segment for what was taken, of which it may leave some
 * for later when the disk is full. Commit thread.
 */
int spool_begin_segment(struct spool *s, uint64_t base,
			struct err *err) MUST_CHECK;
/* Ends the active segment. A sound one gives back what it did not use. */
void spool_end_segment(struct spool *s, uint64_t end, bool sound);

/*
 * spares.c, commit thread, not under the mutex. Keeps the file of a freed,
 * reusable segment for the next one; false when it is to be unlinked.
 */
bool spool_keep_spare(struct spool *s, uint64_t base);
/* Begins the active segment over a spare, as segment_begin(). -1: without. */
int spool_use_spare(struct spool *s,
		    const struct segment_header *header) MUST_CHECK;
/* Gives spares up: all, true when there were any, and those beyond the cap. */
bool spool_drop_spares(struct spool *s);
void spool_fit_spares(struct spool *s);
/* When unused spares are to be given up, monotonic, 0 = none; and if so now. */
int64_t spool_spares_until_us(const struct spool *s);
bool spool_spares_idle(const struct spool *s);

/* commit.c */
void *spool_commit_main(void *arg);
/* Wakes the commit thread; under the mutex. */
void spool_kick(struct spool *s);
/*
 * Whether the commit thread is to be woken for what was appended; one that may
 * wait for its time does. Under the mutex.
 */
bool spool_appended_enough(const struct spool *s);

/*
 * checkpointing.c: what a checkpoint says now. Under the mutex, and under the
 * same hold of it in which what the application saved last became current: a
 * position freed in between would be freed in no state of the application's.
 * Its data is s->current's, which only the commit thread replaces.
 */
void spool_snapshot(const struct spool *s, struct checkpoint *c);
/* Whether a checkpoint now would let a segment go. Under the mutex. */
bool spool_frees_a_segment(const struct spool *s);
/* One attempt to write it; commit thread, without the mutex. */
int spool_write_checkpoint(struct spool *s, const struct checkpoint *c,
			   struct err *err) MUST_CHECK;
/* Takes or re-establishes the reserve, best effort. */
void spool_hold_reserve(struct spool *s);
/* Gives it up for work that frees space; false when there was none. */
bool spool_release_reserve(struct spool *s);
/*
 * Gives up `bytes` of it for a segment, and keeps the rest for checkpoints.
 * false when there is not that much.
 */
bool spool_lend_reserve(struct spool *s, int64_t bytes);

/* space.c: blocks on the file system, so not under the mutex. */
/* Bytes free beyond the headroom (below 0: it is used); INT64_MAX = no limit.
 */
int64_t spool_spare(const struct spool *s);
/* At open: neither segment nor reserve is a large part of a small disk. */
void spool_fit_disk(struct spool *s);
/* Now and then, before an append: how far the log may grow. Loop thread. */
void spool_look_at_space(struct spool *s);

/* Lets go of what is durable and freed, or beyond cache_bytes. Loop thread. */
void spool_trim_cache(struct spool *s);

/* spool.c: frees all, once the thread has ended. */
void spool_destroy(struct spool *s);

#endif
