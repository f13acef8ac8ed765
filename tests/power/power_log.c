/*
 * The log under loss of power: random appends, commits, frees, checkpoints,
 * restarts and syncs that fail. What it promises, one a line:
 *
 *   log SAVING             1: the application is asked what to save
 *   open ID FIRST END      the log is open; all before END is there
 *   intend SEQ CRC         may be in the log from now on
 *   append SEQ POS NEXT    … and there it lies
 *   durable POS            everything before is on disk
 *   free POS               what is before may go
 *   save N                 may be what a checkpoint says from now on
 *   checkpoint FIRST N     it is on disk: all before FIRST is gone for good
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/loop.h"
#include "spool/spool.h"
#include "tests/power/common.h"
#include "tests/power/record.h"

#define SEGMENT_BYTES 65536
#define CAP_BYTES     (4 << 20)
#define WAIT_US	      INT64_C(20000000)

struct entry {
	uint64_t sequence;
	uint64_t position, next; /* when placed */
	uint32_t crc;
	bool placed;
	bool found;
};

/* What was promised, and may be there. */
struct model {
	struct entry *entries; /* by sequence, rising */
	size_t count;
	char id[UUID_TEXT_BYTES];
	bool opened, saving;
	uint64_t durable;
	uint64_t free_told, freed; /* may be gone, must be gone */
	uint64_t save_told, saved; /* may be saved, must be at least */
	uint64_t newest;	   /* sequence */
};

/* The application's part of the checkpoint. */
struct part {
	uint64_t number, position;
};

struct log_run {
	struct model m;
	struct draw draw;
	struct loop *loop;
	struct spool *spool;
	struct batch_builder *builder;
	const char *folder;
	uint64_t durable;
	uint64_t freed; /* told since the log was opened */
	/* What `recovered` told. */
	uint64_t *told;
	size_t told_count;
	int answer; /* of the checkpoint that was asked for; -1 = none yet */
};

/* ---- the model ---- */

static void forget_behind(struct model *m, uint64_t end)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->count; i++)
		if (m->entries[i].placed && m->entries[i].position < end)
			m->entries[kept++] = m->entries[i];
	m->count = kept;
}

static struct entry *entry_of(struct model *m, uint64_t sequence)
{
	for (size_t i = m->count; i-- > 0;)
		if (m->entries[i].sequence == sequence)
			return &m->entries[i];
	return NULL;
}

static void intend(struct model *m, uint64_t sequence, uint64_t crc)
{
	m->entries =
	    xreallocarray(m->entries, m->count + 1, sizeof(*m->entries));
	m->entries[m->count++] =
	    (struct entry){.sequence = sequence, .crc = (uint32_t)crc};
	m->newest = sequence;
}

static void place(struct model *m, uint64_t sequence, uint64_t position,
		  uint64_t next)
{
	struct entry *e = entry_of(m, sequence);

	MUST(e, "record %" PRIu64 " was never to be appended", sequence);
	e->position = position;
	e->next = next;
	e->placed = true;
}

static void open_promised(struct model *m, const char *line)
{
	uint64_t first, end;
	char id[UUID_TEXT_BYTES];

	MUST(sscanf(line, "open %36s %" SCNu64 " %" SCNu64, id, &first, &end) ==
		 3,
	     "no promise: %s", line);
	MUST(!m->opened || strcmp(id, m->id) == 0,
	     "the log changed its id from %s to %s", m->id, id);
	strcpy(m->id, id);
	m->opened = true;
	m->durable = end;
	/* What was lost then may never come back. */
	forget_behind(m, end);
}

static void model_take(struct model *m, const char *line)
{
	uint64_t v[3] = {0};
	char word[16] = "";

	if (strncmp(line, "open ", 5) == 0) {
		open_promised(m, line);
		return;
	}
	MUST(sscanf(line, "%15s %" SCNu64 " %" SCNu64 " %" SCNu64, word, &v[0],
		    &v[1], &v[2]) >= 2,
	     "no promise: %s", line);
	if (strcmp(word, "log") == 0) {
		m->saving = v[0];
	} else if (strcmp(word, "intend") == 0) {
		intend(m, v[0], v[1]);
	} else if (strcmp(word, "append") == 0) {
		place(m, v[0], v[1], v[2]);
	} else if (strcmp(word, "durable") == 0) {
		m->durable = v[0];
	} else if (strcmp(word, "free") == 0) {
		m->free_told = v[0];
	} else if (strcmp(word, "save") == 0) {
		m->save_told = v[0];
	} else if (strcmp(word, "checkpoint") == 0) {
		m->freed = v[0];
		m->saved = v[1];
	} else {
		bad("no promise: %s", line);
	}
}

static void model_load(struct model *m, const char *path)
{
	size_t count;
	char **lines = read_promises(path, &count);

	for (size_t i = 0; i < count; i++) {
		model_take(m, lines[i]);
		free(lines[i]);
	}
	free(lines);
}

static void say(struct log_run *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(struct log_run *r, const char *format, ...)
{
	char line[256];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	model_take(&r->m, line);
	promise("%s", line);
}

/* ---- the log ---- */

static void on_recovered(void *arg, const struct spool_record *record)
{
	struct log_run *r = arg;

	MUST(record->batch, "bad record at %" PRIu64 ": %s", record->position,
	     record->err.text);
	r->told = xreallocarray(r->told, r->told_count + 1, sizeof(*r->told));
	r->told[r->told_count++] = record->position;
}

static void on_committed(void *arg, uint64_t durable)
{
	struct log_run *r = arg;

	r->durable = durable;
	say(r, "durable %" PRIu64, durable);
}

static void on_failed(void *arg, const struct err *err)
{
	(void)arg;
	(void)err;
}

static void save(struct log_run *r, uint64_t position)
{
	struct part part = {r->m.save_told + 1, position};

	say(r, "save %" PRIu64, part.number);
	spool_save(r->spool, position, &part, sizeof(part));
}

static void on_saving(void *arg, uint64_t durable)
{
	save(arg, durable);
}

static void open_log(struct log_run *r)
{
	struct spool_options options = {.dir = r->folder,
					.segment_bytes = SEGMENT_BYTES,
					.cap_bytes = CAP_BYTES,
					.checkpoint_bytes = 200000,
					.cache_bytes = 100000};
	struct spool_events events = {.recovered = on_recovered,
				      .committed = on_committed,
				      .failed = on_failed,
				      .arg = r};
	struct spool_stats stats;
	struct err err = {0};

	if (r->m.saving)
		events.saving = on_saving;
	r->told_count = 0;
	MUST(spool_open(&r->spool, r->loop, &options, &events, &err) == 0,
	     "the log does not open: %s", err.text);
	spool_get_stats(r->spool, &stats);
	r->durable = stats.durable;
	MUST(stats.end == stats.durable, "an open log is not durable");
	MUST(!stats.bad_records, "%" PRIu64 " bad records", stats.bad_records);
	MUST(!r->m.opened || !stats.checkpoint_lost, "the checkpoint is lost");
}

static void log_start(struct log_run *r, const char *folder)
{
	r->folder = folder;
	r->loop = loop_new();
	r->builder = batch_builder_new();
}

static uint64_t log_end(const struct log_run *r)
{
	struct spool_stats stats;

	spool_get_stats(r->spool, &stats);
	return stats.end;
}

static void wait_durable(struct log_run *r)
{
	int64_t until = clock_mono_us() + WAIT_US;

	while (r->durable != log_end(r)) {
		MUST(clock_mono_us() < until, "nothing becomes durable");
		loop_turn(r->loop, 10000);
	}
}

/* ---- comparing what is there with what was promised ---- */

static void compare_record(struct model *m, const struct batch *b,
			   uint64_t position)
{
	uint64_t sequence = sequence_of(b);
	struct entry *e = entry_of(m, sequence);

	MUST(e, "record %" PRIu64 " at %" PRIu64 " came from nowhere", sequence,
	     position);
	MUST(!e->found, "record %" PRIu64 " is there twice", sequence);
	MUST(e->crc == b->header.body_crc, "record %" PRIu64 " has changed",
	     sequence);
	MUST(!e->placed || e->position == position,
	     "record %" PRIu64 " was at %" PRIu64 ", is at %" PRIu64, sequence,
	     e->position, position);
	e->found = true;
}

/* The application is told all that its part does not describe. */
static void compare_told(const struct log_run *r, const uint64_t *at,
			 size_t count, uint64_t from)
{
	size_t i = 0;

	while (i < count && at[i] < from)
		i++;
	MUST(r->told_count == count - i,
	     "%zu records behind what was saved, %zu were told", count - i,
	     r->told_count);
	for (size_t k = 0; k < r->told_count; k++)
		MUST(r->told[k] == at[i + k], "%" PRIu64 " was not told",
		     at[i + k]);
}

static uint64_t compare_saved(const struct log_run *r)
{
	struct part part = {0};
	size_t bytes;
	const void *data = spool_saved(r->spool, &bytes);

	MUST(bytes == 0 || bytes == sizeof(part), "%zu bytes saved", bytes);
	if (bytes)
		memcpy(&part, data, bytes);
	MUST(part.number >= r->m.saved && part.number <= r->m.save_told,
	     "saved %" PRIu64 ", not %" PRIu64 " to %" PRIu64, part.number,
	     r->m.saved, r->m.save_told);
	return part.position;
}

static void compare_first(const struct log_run *r, uint64_t first)
{
	MUST(first <= r->m.free_told, "freed to %" PRIu64 ", told to %" PRIu64,
	     first, r->m.free_told);
	MUST(first >= r->m.freed, "freed to %" PRIu64 ", was freed to %" PRIu64,
	     first, r->m.freed);
}

/* Opens nothing: the log is open, and just was. */
static void compare(struct log_run *r)
{
	struct model *m = &r->m;
	uint64_t position, next, last = 0, *at = NULL;
	char id[UUID_TEXT_BYTES];
	struct spool_stats stats;
	struct err err = {0};
	struct batch *b;
	size_t count = 0;
	int rc;

	spool_get_stats(r->spool, &stats);
	uuid_format(spool_id(r->spool), id);
	MUST(!m->opened || strcmp(id, m->id) == 0, "the id is %s, was %s", id,
	     m->id);
	compare_first(r, stats.first);
	MUST(stats.end >= m->durable, "durable to %" PRIu64 ", was to %" PRIu64,
	     stats.end, m->durable);
	for (size_t i = 0; i < m->count; i++)
		m->entries[i].found = false;
	position = stats.first;
	while ((rc = spool_read(r->spool, &position, &next, &b, &err)) == 1) {
		MUST(position >= last, "positions go back");
		compare_record(m, b, position);
		at = xreallocarray(at, count + 1, sizeof(*at));
		at[count++] = position;
		batch_unref(&b);
		position = last = next;
	}
	MUST(rc == 0, "cannot read: %s", err.text);
	for (size_t i = 0; i < m->count; i++)
		MUST(m->entries[i].found || !m->entries[i].placed ||
			 m->entries[i].position < stats.first ||
			 m->entries[i].position >= m->durable,
		     "record %" PRIu64 " at %" PRIu64 " is lost",
		     m->entries[i].sequence, m->entries[i].position);
	compare_told(r, at, count, compare_saved(r));
	spool_get_stats(r->spool, &stats);
	MUST(!stats.bad_records, "%" PRIu64 " bad records", stats.bad_records);
	free(at);
}

/* ---- the life that is recorded ---- */

static void tell_open(struct log_run *r)
{
	uint64_t position, next;
	char id[UUID_TEXT_BYTES];
	struct spool_stats stats;
	struct err err = {0};
	struct batch *b;

	spool_get_stats(r->spool, &stats);
	position = stats.first;
	while (spool_read(r->spool, &position, &next, &b, &err) == 1) {
		if (!entry_of(&r->m, sequence_of(b))->placed)
			say(r, "append %" PRIu64 " %" PRIu64 " %" PRIu64,
			    sequence_of(b), position, next);
		batch_unref(&b);
		position = next;
	}
	r->freed = stats.first;
	say(r, "open %s %" PRIu64 " %" PRIu64,
	    uuid_format(spool_id(r->spool), id), stats.first, stats.end);
}

static void do_append(struct log_run *r)
{
	size_t bytes = draw(&r->draw, 8) ? draw(&r->draw, 400) + 1
					 : draw(&r->draw, 9000) + 1;
	struct batch *b = make_batch(r->builder, r->m.newest + 1,
				     1 + (uint32_t)draw(&r->draw, 4), bytes);
	uint64_t sequence = r->m.newest + 1, position;
	struct err err;

	say(r, "intend %" PRIu64 " %" PRIu32, sequence, b->header.body_crc);
	if (spool_append(r->spool, b, &position, &err) == 0)
		say(r, "append %" PRIu64 " %" PRIu64 " %" PRIu64, sequence,
		    position, log_end(r));
	batch_unref(&b);
}

static void do_free(struct log_run *r)
{
	const struct model *m = &r->m;
	size_t at = 0, last;

	while (at < m->count && m->entries[at].placed &&
	       m->entries[at].next <= r->freed)
		at++;
	for (last = at; last < m->count && m->entries[last].placed &&
			m->entries[last].next <= r->durable;)
		last++;
	if (last == at)
		return;
	at += draw(&r->draw, last - at);
	r->freed = m->entries[at].next;
	if (r->freed > m->free_told)
		say(r, "free %" PRIu64, r->freed);
	spool_free_before(r->spool, r->freed);
}

static void on_checkpoint(void *arg, const struct err *err)
{
	*(int *)arg = err ? err->code : 0;
}

static void do_checkpoint(struct log_run *r)
{
	int64_t until = clock_mono_us() + WAIT_US;
	uint64_t first = r->freed, number;

	save(r, r->durable);
	number = r->m.save_told;
	r->answer = -1;
	spool_checkpoint(r->spool, on_checkpoint, &r->answer);
	while (r->answer == -1) {
		MUST(clock_mono_us() < until, "no answer to a checkpoint");
		loop_turn(r->loop, 10000);
	}
	if (r->answer == 0)
		say(r, "checkpoint %" PRIu64 " %" PRIu64, first, number);
}

static void do_restart(struct log_run *r)
{
	spool_close(&r->spool, WAIT_US);
	open_log(r);
	tell_open(r);
}

static void do_fault(struct log_run *r)
{
	MUST(record_fail_syncs, "not under recorddisk.so");
	record_fail_syncs((int)draw(&r->draw, 3), (int)draw(&r->draw, 2));
	do_append(r);
}

static void step(struct log_run *r)
{
	uint64_t what = draw(&r->draw, 1000);

	if (what < 620)
		do_append(r);
	else if (what < 800)
		wait_durable(r);
	else if (what < 920)
		do_free(r);
	else if (what < 975)
		do_checkpoint(r);
	else if (what < 988)
		do_restart(r);
	else
		do_fault(r);
}

static void run(const char *folder, uint64_t seed, uint64_t steps,
		const char *promises)
{
	struct log_run r = {0};

	draw_seed(&r.draw, seed);
	model_load(&r.m, promises);
	log_start(&r, folder);
	if (!*promises)
		say(&r, "log %d", (int)draw(&r.draw, 2));
	open_log(&r);
	tell_open(&r);
	for (uint64_t i = 0; i < steps; i++)
		step(&r);
	wait_durable(&r);
	if (draw(&r.draw, 2))
		spool_close(&r.spool, WAIT_US);
}

/* ---- what a loss of power left ---- */

static void check(const char *folder, const char *promises)
{
	struct log_run r = {0};

	model_load(&r.m, promises);
	log_start(&r, folder);
	open_log(&r);
	compare(&r);
	/* It goes on, and what it promises now holds too. */
	tell_open(&r);
	r.m.freed = r.m.saved = 0;
	do_append(&r);
	wait_durable(&r);
	spool_close(&r.spool, WAIT_US);
	open_log(&r);
	compare(&r);
	spool_close(&r.spool, WAIT_US);
}

int main(int argc, char **argv)
{
	static const struct subject subject = {run, check};

	return power_main(argc, argv, &subject);
}
