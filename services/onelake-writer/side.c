#include "services/onelake-writer/side.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/durable.h"
#include "base/log.h"

#define SEGMENT_BYTES	 (INT64_C(16) << 20)
#define CACHE_BYTES	 (INT64_C(1) << 20)
#define RESERVE_BYTES	 65536 /* for its checkpoint: without one nothing goes */
#define CLOSE_TIMEOUT_US 3000000
/* Behind an error of a side log itself: the disk, a set that is not here. */
#define READ_AGAIN_US INT64_C(1000000)

struct side {
	struct sides *sides;
	char *table;
	struct spool *log;
	uint64_t cursor; /* everything before it is in the table */
	uint64_t end;	 /* of the job that is landed, in the side log */
	uint64_t wanted; /* to be on disk, so that moved() may be said */
	uint64_t durable;
	int64_t next_mono_us;	/* no try before */
	bool told_full;		/* the last append was refused */
	bool refuses;		/* its streams */
	struct refusal streams; /* that its table has events of */
	struct side *next;
};

struct sides {
	struct sides_options options;
	struct sides_events events;
	char *dir;
	struct side *first;
	struct side *turn; /* whose job comes next, NULL = the first's */
	struct job *job;   /* whose moved batches are taken, borrowed */
	size_t taken;	   /* of them */
	uint64_t ahead_bytes;
	bool closing;
};

static uint64_t waiting_bytes(const struct side *side)
{
	struct spool_stats stats;

	spool_get_stats(side->log, &stats);
	return stats.end - side->cursor;
}

/* Tells when it becomes too full for more, and when it is not so any more. */
static void watch_room(struct side *side)
{
	struct sides *s = side->sides;
	uint64_t cap = (uint64_t)s->options.cap_bytes;
	uint64_t bytes = waiting_bytes(side);

	/* One that is empty is none: its table is written as all others are. */
	bytes += bytes ? s->ahead_bytes : 0;
	if (side->refuses ? bytes > cap / 2 : bytes < cap / 4 * 3)
		return;
	side->refuses = !side->refuses;
	if (side->refuses)
		log_warn("side_log_fills",
			 "table=%s action=\"mend the table, or raise "
			 "side_log_cap; its events are refused meanwhile\"",
			 side->table);
	else
		log_info("side_log_has_room", "table=%s", side->table);
	s->events.refused(s->events.arg);
}

/* Which streams those are is known from the events that came. */
static void note_streams(struct side *side, const struct batch *b)
{
	uint16_t before = side->streams.count;
	uint16_t last = BATCH_NO_STREAM;

	/* A batch may name streams of which it has no events. */
	for (uint32_t i = 0; i < b->header.events; i++) {
		uint16_t stream = b->events[i].stream;

		if (stream != last)
			refusal_add(&side->streams, b->streams[stream],
				    b->stream_bytes[stream]);
		last = stream;
	}
	if (side->refuses && side->streams.count != before)
		side->sides->events.refused(side->sides->events.arg);
}

static bool is_empty(const struct side *side)
{
	return waiting_bytes(side) == 0;
}

/* --- moving --- */

static void take_more(struct sides *s);

static void on_committed(void *arg, uint64_t durable)
{
	struct side *side = arg;
	struct sides *s = side->sides;

	side->durable = durable;
	if (s->closing)
		return;
	take_more(s);
	s->events.ready(s->events.arg);
}

static void on_failed(void *arg, const struct err *err)
{
	struct side *side = arg;
	char quoted[LOG_QUOTE_BYTES];

	log_error("side_log_failed", "table=%s error=%s", side->table,
		  log_quote(quoted, err->text));
}

static struct side *open_side(struct sides *s, const char *table,
			      struct err *err)
{
	struct side *side = xcalloc(1, sizeof(*side));
	char *dir = xasprintf("%s/%s", s->dir, table);
	const struct spool_options log = {
	    .dir = dir,
	    .segment_bytes = SEGMENT_BYTES,
	    .cap_bytes = s->options.cap_bytes,
	    .reserve_bytes = RESERVE_BYTES,
	    .checkpoint_bytes = SEGMENT_BYTES,
	    .cache_bytes = CACHE_BYTES,
	};
	const struct spool_events events = {
	    .committed = on_committed,
	    .failed = on_failed,
	    .arg = side,
	};
	struct spool_stats stats;

	side->sides = s;
	if (durable_mkdir(s->dir, err) != 0 ||
	    spool_open(&side->log, s->options.loop, &log, &events, err) != 0) {
		free(side);
		free(dir);
		return NULL;
	}
	free(dir);
	spool_get_stats(side->log, &stats);
	side->cursor = stats.first;
	side->durable = stats.durable;
	side->table = xstrdup(table);
	side->next = s->first;
	s->first = side;
	watch_room(side);
	return side;
}

static struct side *find(const struct sides *s, const char *table)
{
	struct side *side = s->first;

	while (side && strcmp(side->table, table) != 0)
		side = side->next;
	return side;
}

/* False when it must wait: for room, for the disk, or for the next try. */
static bool take_one(struct sides *s, const struct job_moved *moved)
{
	struct side *side = find(s, moved->table);
	struct spool_stats stats;
	char quoted[LOG_QUOTE_BYTES];
	struct err err;
	uint64_t position;
	bool full;

	if (!side)
		side = open_side(s, moved->table, &err);
	if (side &&
	    spool_append(side->log, moved->batch, &position, &err) == 0) {
		spool_get_stats(side->log, &stats);
		side->wanted = stats.end;
		side->told_full = false;
		note_streams(side, moved->batch);
		watch_room(side);
		return true;
	}
	full = side && err.code == ENOSPC;
	if (!side)
		log_error("side_log_failed",
			  "table=%s error=%s action=\"mend what the error "
			  "says; until then all tables wait\"",
			  moved->table, log_quote(quoted, err.text));
	else if (full && !side->told_full)
		log_error("side_log_full",
			  "table=%s error=%s action=\"mend the table, or make "
			  "room: on the disk, or by side_log_cap; until then "
			  "all tables wait\"",
			  moved->table, log_quote(quoted, err.text));
	if (side)
		side->told_full = full;
	return false;
}

static bool all_durable(const struct sides *s)
{
	for (const struct side *side = s->first; side; side = side->next)
		if (side->durable < side->wanted)
			return false;
	return true;
}

static void take_more(struct sides *s)
{
	struct job *job = s->job;

	if (!job)
		return;
	while (s->taken < job->moved_count &&
	       take_one(s, &job->moved[s->taken])) {
		batch_unref(&job->moved[s->taken].batch);
		s->taken++;
	}
	if (s->taken < job->moved_count || !all_durable(s))
		return;
	s->job = NULL;
	s->events.moved(s->events.arg);
}

void sides_take(struct sides *s, struct job *job)
{
	s->job = job;
	s->taken = 0;
	take_more(s);
}

void sides_tick(struct sides *s, uint64_t ahead_bytes)
{
	s->ahead_bytes = ahead_bytes;
	for (struct side *side = s->first; side; side = side->next)
		watch_room(side);
	take_more(s);
}

void sides_mark(const struct sides *s, struct job *job)
{
	for (const struct side *side = s->first; side; side = side->next)
		if (!is_empty(side))
			job_set_aside(job, side->table);
}

/* --- landing --- */

/*
 * Turns the record into what it was in the log that it came from. What a repair
 * saved has no lane any more: it is then one of the side log itself, or all of
 * them would have the same position, and be taken for the same.
 */
static void origin_of(const struct side *side, struct spool_record *record,
		      struct uuid *log_id)
{
	const struct batch_header *header = &record->batch->header;

	*log_id = *spool_id(side->log);
	if (!header->lane.epoch)
		return;
	*log_id = header->lane.source;
	record->position = header->sequence;
	record->next = header->sequence + 1;
	record->appended_at_us = (int64_t)header->lane.epoch;
}

/* Takes a record into the job; false when the job ends before it. */
static bool collect(struct sides *s, struct side *side, struct job **job,
		    struct spool_record *record, struct contract_set *set)
{
	uint64_t next = record->next;
	struct uuid log_id;
	bool foreign;

	origin_of(side, record, &log_id);
	foreign =
	    memcmp(&log_id, &s->options.log_id, sizeof(s->options.log_id)) != 0;
	if (!*job) {
		*job = job_new();
		(*job)->side = xstrdup(side->table);
		(*job)->log_id = log_id;
	} else if (memcmp(&(*job)->log_id, &log_id, sizeof(log_id)) != 0) {
		return false;
	}
	side->end = next;
	note_streams(side, record->batch);
	/* It was moved twice. */
	if ((*job)->count && record->position < (*job)->end) {
		batch_unref(&record->batch);
		return true;
	}
	job_add(*job, record, set, s->options.late_us);
	/* Nothing is known of what came by way of another log. */
	(*job)->batches[(*job)->count - 1].flagged |= foreign;
	return true;
}

/* Nothing can be read any more before a position: else it would wait there. */
static void pass_over(struct side *side, const struct job *job,
		      uint64_t position)
{
	if (job) {
		side->end = position;
		return;
	}
	side->cursor = position;
	spool_free_before(side->log, position);
	watch_room(side);
}

/* -1 with *err, and the job as far as it got. */
static int read_side(struct sides *s, struct side *side, size_t bytes,
		     struct job **job, struct err *err)
{
	uint64_t at = side->cursor;

	while (at < side->durable && (!*job || (*job)->bytes < bytes)) {
		struct spool_record record = {.position = at};
		int rc = spool_read_record(side->log, &record, err);
		struct contract_set *set;

		if (rc == 0)
			pass_over(side, *job, record.position);
		if (rc <= 0)
			return rc;
		set = s->events.set_of(s->events.arg,
				       record.batch->header.contract_set, err);
		if (!set) {
			batch_unref(&record.batch);
			return -1;
		}
		at = record.next;
		if (!collect(s, side, job, &record, set)) {
			batch_unref(&record.batch);
			return 0;
		}
	}
	return 0;
}

static struct job *job_of(struct sides *s, struct side *side, size_t bytes,
			  struct err *err)
{
	struct job *job = NULL;
	char quoted[LOG_QUOTE_BYTES];

	if (read_side(s, side, bytes, &job, err) != 0 && !job) {
		side->next_mono_us = clock_mono_us() + READ_AGAIN_US;
		log_error("side_log_unreadable", "table=%s error=%s",
			  side->table, log_quote(quoted, err->text));
		return NULL;
	}
	err->code = 0;
	return job;
}

struct job *sides_next(struct sides *s, size_t bytes, int64_t *at_mono_us,
		       struct err *err)
{
	int64_t now_us = clock_mono_us();
	struct side *side = s->turn ? s->turn : s->first;
	struct side *last = side;
	struct job *job = NULL;

	*at_mono_us = 0;
	err->code = 0;
	while (side && !job) {
		if (side->cursor < side->durable &&
		    side->next_mono_us <= now_us)
			job = job_of(s, side, bytes, err);
		if (side->cursor < side->durable && !job &&
		    (!*at_mono_us || side->next_mono_us < *at_mono_us))
			*at_mono_us = side->next_mono_us;
		side = side->next ? side->next : s->first;
		if (side == last)
			break;
	}
	s->turn = side;
	return job;
}

void sides_done(struct sides *s, struct job **job)
{
	struct side *side = find(s, (*job)->side);

	if ((*job)->landed) {
		side->cursor = side->end;
		side->next_mono_us = 0;
		spool_free_before(side->log, side->cursor);
		watch_room(side);
		if (is_empty(side))
			log_info("table_rejoins", "table=%s", side->table);
	} else {
		side->next_mono_us = (*job)->retry_at_mono_us;
	}
	job_free(job);
	take_more(s);
}

/* --- open, close --- */

static bool on_any(void *arg, const struct spool_record *record)
{
	(void)record;
	*(bool *)arg = true;
	return false;
}

static int open_found(struct sides *s, const char *table, struct err *err)
{
	char *dir = xasprintf("%s/%s", s->dir, table);
	bool any = false;
	/* Its first record tells: no start takes longer for what waits. */
	int rc = spool_walk(dir, 0, on_any, &any, err);

	free(dir);
	if (rc != 0)
		return err->code == ENOENT ? 0 : -1;
	if (!any)
		return 0;
	log_info("table_set_aside", "table=%s since=before", table);
	return open_side(s, table, err) ? 0 : -1;
}

int sides_open(struct sides **sides, const struct sides_options *options,
	       const struct sides_events *events, struct err *err)
{
	struct sides *s = xcalloc(1, sizeof(*s));
	struct dirent *entry;
	DIR *d = opendir(options->dir);
	int rc = 0;

	s->options = *options;
	s->events = *events;
	s->dir = xstrdup(options->dir);
	if (!d && errno != ENOENT)
		rc = err_errno(err, errno, "cannot read %s", options->dir);
	/* No table has a dot in its name; what a repair keeps beside has. */
	while (rc == 0 && d && (entry = readdir(d)))
		if (!strchr(entry->d_name, '.'))
			rc = open_found(s, entry->d_name, err);
	if (d)
		closedir(d);
	if (rc != 0)
		sides_close(&s);
	*sides = s;
	return rc;
}

void sides_close(struct sides **sides)
{
	struct sides *s = *sides;

	if (!s)
		return;
	*sides = NULL;
	s->closing = true;
	while (s->first) {
		struct side *side = s->first;

		s->first = side->next;
		spool_close(&side->log, CLOSE_TIMEOUT_US);
		free(side->table);
		free(side);
	}
	free(s->dir);
	free(s);
}

void sides_refused(const struct sides *s, struct refusal *streams)
{
	*streams = (struct refusal){0};
	for (const struct side *side = s->first; side; side = side->next)
		for (uint16_t i = 0; side->refuses && i < side->streams.count;
		     i++)
			refusal_add(streams, side->streams.names[i],
				    strlen(side->streams.names[i]));
}

void sides_each(const struct sides *s,
		void (*fn)(void *arg, const char *table, uint64_t bytes),
		void *arg)
{
	for (const struct side *side = s->first; side; side = side->next)
		fn(arg, side->table, waiting_bytes(side));
}
