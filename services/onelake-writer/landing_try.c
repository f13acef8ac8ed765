/* One round over the tables of a job, and whose fault it is when one fails. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "services/onelake-writer/landing_inside.h"

/* Lies where tables do, and nobody has it. */
#define NO_SUCH_FILE "_weft_answers"

static void add_counts(struct table_counts *to, const struct table_counts *c)
{
	to->commits += c->commits;
	to->conflicts += c->conflicts;
	to->duplicates += c->duplicates;
	to->compared += c->compared;
	to->rows += c->rows;
	to->files += c->files;
	to->bytes += c->bytes;
}

void landing_publish(struct landing *l)
{
	struct landing_stats *s = &l->stats;
	struct table_counts sum = {0};
	uint32_t waiting = l->archive_failing;
	const struct err *why = l->archive_failing ? &l->archive_err : NULL;

	pthread_mutex_lock(&l->lock);
	for (size_t i = 0; i < l->table_count; i++) {
		struct landing_table *lt = l->tables[i];
		const struct table_counts *c = table_get_counts(lt->table);

		add_counts(&sum, c);
		lt->rows = c->rows;
		lt->shown = lt->circuit;
		waiting += lt->failing;
		if (lt->failing)
			why = &lt->err;
	}
	l->shown = l->circuit;
	s->tables = sum;
	s->waiting = waiting;
	if (why)
		s->err = *why;
	else
		s->err.code = 0;
	pthread_mutex_unlock(&l->lock);
	l->options.changed(l->options.arg);
}

/* --- the store --- */

/* A small question, that has nothing to do with any table. */
static int ask_store(struct landing *l, struct err *err)
{
	char *name = xasprintf("%s/%s", l->root, NO_SUCH_FILE);
	struct buf data = {0};
	int rc = store_get(l->store, name, 1, &data, err);

	if (rc != 0 && (err->code == ENOENT || err->code == EFBIG))
		rc = 0;
	buf_free(&data);
	free(name);
	return rc;
}

/*
 * Whether a failure at a table is the store's, that all tables share. A full
 * disk is, and a wait that was asked for; of all else the store is asked.
 */
static bool is_of_store(struct landing *l, const struct err *err)
{
	struct err none;

	return err->code == ENOSPC || err->code == EROFS ||
	       err->code == EDQUOT || err->retry_after_us > 0 ||
	       ask_store(l, &none) != 0;
}

/* Whether it may be called; through a half-open circuit it is asked first. */
static bool store_is_open(struct landing *l)
{
	struct err err;

	if (!breaker_allows(&l->circuit, clock_mono_us()))
		return false;
	if (l->circuit.state != BREAKER_HALF_OPEN)
		return true;
	landing_publish(l);
	if (ask_store(l, &err) == 0) {
		breaker_succeeded(&l->circuit);
		return true;
	}
	breaker_failed(&l->circuit, clock_mono_us(), &err);
	return false;
}

static void note_failure(struct landing *l, struct breaker *circuit,
			 const char *what, const struct err *err)
{
	char quoted[LOG_QUOTE_BYTES];
	bool of_store = circuit == &l->circuit;

	log_error("table_failed", "table=%s of_store=%d retriable=%d error=%s",
		  what, of_store, err->retriable, log_quote(quoted, err->text));
	breaker_failed(circuit, clock_mono_us(), err);
	pthread_mutex_lock(&l->lock);
	l->stats.failures++;
	pthread_mutex_unlock(&l->lock);
	landing_publish(l);
}

static void fail(struct landing_table *lt, const struct err *err)
{
	struct landing *l = lt->landing;

	if (atomic_load(&l->stop))
		return;
	lt->failing = true;
	lt->err = *err;
	note_failure(l, is_of_store(l, err) ? &l->circuit : &lt->circuit,
		     lt->name, err);
}

static void work(struct landing_table *lt)
{
	lt->failing = false;
	breaker_succeeded(&lt->circuit);
	breaker_succeeded(&lt->landing->circuit);
}

/* --- a table --- */

/* Whether it is to be called, and may be. */
static bool is_its_turn(struct landing_table *lt)
{
	return !lt->done &&
	       breaker_next_mono_us(&lt->landing->circuit) <= clock_mono_us() &&
	       breaker_allows(&lt->circuit, clock_mono_us());
}

static int prepare(struct landing_table *lt, struct err *err)
{
	const struct job *job = lt->landing->job;
	bool letters = lt->aside || (job->side && lt == lt->landing->letters &&
				     strcmp(job->side, lt->name) != 0);
	const struct table_range range = {
	    .events = lt->events,
	    .count = lt->count,
	    /* Its own events wait elsewhere: letters alone prove nothing about
	     * the positions that it has. */
	    .end = letters ? 0 : job->end,
	    .first_at_us = job->batches[0].appended_at_us,
	    .last_at_us = job->batches[job->count - 1].appended_at_us,
	};

	if (!lt->stuck && table_prepare(lt->table, &range, err) != 0)
		return -1;
	if (!lt->stuck)
		return 0;
	table_drop(lt->table);
	return err_set(err, EINVAL,
		       "table %s: an event cannot become a row, and no "
		       "contract dead_letter names a table for it; add "
		       "one and restart the writer (see the log)",
		       lt->name);
}

static void prepare_next(struct landing_table *lt, struct err *fatal)
{
	struct err err;

	if (table_prepared(lt->table) || !is_its_turn(lt))
		return;
	if (prepare(lt, &err) == 0) {
		FAILPOINT("table_prepared");
		return;
	}
	fail(lt, &err);
	if (err.fatal)
		*fatal = err;
}

static void commit(struct landing_table *lt)
{
	enum table_result result;
	struct err err;

	if (!table_prepared(lt->table) || !is_its_turn(lt))
		return;
	if (table_commit(lt->table, &result, &err) != 0) {
		fail(lt, &err);
		return;
	}
	lt->done = result == TABLE_DONE;
	work(lt);
}

/* --- a round --- */

/* Table number i of this round, or NULL when there are no more. */
static struct landing_table *nth(const struct landing *l, size_t i)
{
	if (i == l->table_count)
		return NULL;
	return l->tables[(l->first + i) % l->table_count];
}

static bool all_done(const struct landing *l)
{
	for (size_t i = 0; i < l->table_count; i++)
		if (!l->tables[i]->done)
			return false;
	return true;
}

/* Behind the tables: what is in the archive twice does no harm. */
static bool archive(struct landing *l)
{
	struct err err;

	if (!l->archive || l->job->side)
		return true;
	l->archive_failing = archive_job(l->archive, l->job, &err) != 0;
	if (!l->archive_failing) {
		breaker_succeeded(&l->circuit);
		return true;
	}
	l->archive_err = err;
	if (!atomic_load(&l->stop))
		note_failure(l, &l->circuit, "(the raw archive)", &err);
	return false;
}

/* Dead letters go first. True when those that were made of this job's events
 * are where they belong. */
static bool send_letters(struct landing *l, struct err *fatal)
{
	struct landing_table *lt = l->letters;

	if (!lt)
		return true;
	prepare_next(lt, fatal);
	commit(lt);
	return lt->done;
}

/* While one waits that only its own circuit holds up, the others would too. */
static void set_aside(struct landing *l)
{
	bool no_letters = l->letters && !l->letters->done &&
			  l->letters->circuit.state == BREAKER_OPEN;

	for (size_t i = 0; i < l->table_count; i++) {
		struct landing_table *lt = l->tables[i];

		if (!lt->done && (lt->circuit.state == BREAKER_OPEN ||
				  (lt->letters && no_letters)))
			landing_set_aside(lt);
	}
}

/* Those whose letters cannot be written now, out of a side log. */
static void wait_for_letters(struct landing *l)
{
	for (size_t i = 0; i < l->table_count; i++) {
		struct landing_table *lt = l->tables[i];
		struct err err = l->letters->err;

		if (!lt->letters || lt->done)
			continue;
		err_wrap(&err, "table %s waits for its dead letters", lt->name);
		/* Not the store's. */
		err.retriable = false;
		err.retry_after_us = 0;
		err.code = EAGAIN;
		fail(lt, &err);
	}
}

bool landing_try(struct landing *l, struct err *fatal)
{
	struct landing_table *lt;
	bool sent, all;

	if (!store_is_open(l)) {
		landing_publish(l);
		return false;
	}
	l->first++;
	for (size_t i = 0; (lt = nth(l, i)); i++)
		if (lt != l->letters)
			prepare_next(lt, fatal);
	sent = send_letters(l, fatal);
	for (size_t i = 0; (lt = nth(l, i)); i++)
		if (lt != l->letters && (sent || !lt->letters))
			commit(lt);
	if (!l->job->side)
		set_aside(l);
	else if (!sent && l->letters->circuit.failures)
		wait_for_letters(l);
	all = all_done(l) && archive(l);
	landing_publish(l);
	return all;
}

int64_t landing_try_next(const struct landing *l)
{
	int64_t next_us = breaker_next_mono_us(&l->circuit), first_us = 0;
	bool any = false;

	for (size_t i = 0; i < l->table_count; i++) {
		const struct landing_table *lt = l->tables[i];
		int64_t at_us = breaker_next_mono_us(&lt->circuit);

		/* Who waits for letters has nothing to wait for itself. */
		if (lt->done || (lt->letters && !l->letters->done))
			continue;
		first_us = any && first_us < at_us ? first_us : at_us;
		any = true;
	}
	return first_us > next_us ? first_us : next_us;
}
