#include "services/onelake-writer/landing.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/durable.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "lake/store_blob.h"
#include "services/onelake-writer/landing_inside.h"

/* How long a call to a lake that is away may take before it is told. */
#define DEADLINE_US INT64_C(5000000)
/* So many tables that fail in one round are enough to say that it is away. */
#define FAILURES_MOST 2

/* Nothing in it outlived the process that made it. */
static int empty_folder(const char *path, struct err *err)
{
	struct dirent *entry;
	DIR *d;

	if (durable_mkdir(path, err) != 0)
		return -1;
	d = opendir(path);
	if (!d)
		return err_errno(err, errno, "cannot read %s", path);
	while ((entry = readdir(d)))
		if (entry->d_name[0] != '.')
			(void)!unlinkat(dirfd(d), entry->d_name, 0);
	closedir(d);
	return 0;
}

int landing_new(struct landing **landing, const struct landing_options *o,
		struct err *err)
{
	struct landing *l = xcalloc(1, sizeof(*l));
	struct blob_options blobs = {
	    .identity_name = o->identity_name,
	    .identity = o->identity,
	    .stop = &l->stop,
	    .deadline_us = DEADLINE_US,
	};
	pthread_condattr_t monotonic;

	l->options = *o;
	l->url = xstrdup(o->url);
	l->root = xstrdup(o->root);
	l->log_id = xstrdup(o->log_id);
	l->scratch = xstrdup(o->scratch);
	l->codec = xstrdup(o->codec);
	l->backoff = (struct backoff){.first_us = o->retry_first_us,
				      .max_us = o->retry_max_us};
	l->budget.limit_bytes = (size_t)o->window_bytes;
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&l->wanted, &monotonic);
	pthread_condattr_destroy(&monotonic);
	if (empty_folder(l->scratch, err) != 0 ||
	    store_open(&l->store, l->url, &blobs, err) != 0) {
		landing_free(&l);
		return -1;
	}
	if (o->archive)
		l->archive = archive_new(l->store, l->scratch, l->log_id);
	*landing = l;
	return 0;
}

void landing_free(struct landing **landing)
{
	struct landing *l = *landing;

	if (!l)
		return;
	for (size_t i = 0; i < l->table_count; i++) {
		table_free(&l->tables[i]->table);
		free(l->tables[i]->events);
		free(l->tables[i]->name);
		free(l->tables[i]);
	}
	free(l->tables);
	for (size_t i = 0; i < l->line_count; i++)
		free(l->lines[i]);
	free(l->lines);
	archive_free(&l->archive);
	duck_close(&l->duck);
	store_close(&l->store);
	pthread_cond_destroy(&l->wanted);
	pthread_mutex_destroy(&l->lock);
	free(l->url);
	free(l->root);
	free(l->log_id);
	free(l->scratch);
	free(l->codec);
	free(l);
	*landing = NULL;
}

void landing_stop(struct landing *l)
{
	pthread_mutex_lock(&l->lock);
	atomic_store(&l->stop, true);
	pthread_cond_signal(&l->wanted);
	if (l->duck)
		duck_interrupt(l->duck);
	pthread_mutex_unlock(&l->lock);
}

void landing_get_stats(struct landing *l, struct landing_stats *stats)
{
	pthread_mutex_lock(&l->lock);
	*stats = l->stats;
	pthread_mutex_unlock(&l->lock);
}

void landing_each_table(struct landing *l,
			void (*fn)(void *arg, const char *table, uint64_t rows),
			void *arg)
{
	pthread_mutex_lock(&l->lock);
	for (size_t i = 0; i < l->table_count; i++)
		fn(arg, l->tables[i]->name, l->tables[i]->rows);
	pthread_mutex_unlock(&l->lock);
}

/* --- one try after the other --- */

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

/* Lets others see how it goes. */
static void publish(struct landing *l)
{
	struct table_counts sum = {0};
	uint32_t waiting = l->archive_failing;

	pthread_mutex_lock(&l->lock);
	for (size_t i = 0; i < l->table_count; i++) {
		const struct table_counts *c =
		    table_get_counts(l->tables[i]->table);

		add_counts(&sum, c);
		l->tables[i]->rows = c->rows;
		waiting += l->tables[i]->failing;
	}
	l->stats.tables = sum;
	l->stats.waiting = waiting;
	if (!waiting)
		l->stats.err.code = 0;
	pthread_mutex_unlock(&l->lock);
	l->options.changed(l->options.arg);
}

/* `what`: a table, or the archive. */
static void note_failure(struct landing *l, const char *what,
			 const struct err *err)
{
	char quoted[LOG_QUOTE_BYTES];

	if (atomic_load(&l->stop))
		return;
	l->failures += err->retriable;
	if (err->retry_after_us > l->asked_us)
		l->asked_us = err->retry_after_us;
	log_error("table_failed", "table=%s retriable=%d error=%s", what,
		  err->retriable, log_quote(quoted, err->text));
	pthread_mutex_lock(&l->lock);
	l->stats.failures++;
	l->stats.err = *err;
	pthread_mutex_unlock(&l->lock);
	publish(l);
}

static void fail(struct landing_table *lt, const struct err *err)
{
	lt->failing = true;
	note_failure(lt->landing, lt->name, err);
}

static int prepare(struct landing_table *lt, struct err *err)
{
	const struct job *job = lt->landing->job;
	const struct table_range range = {
	    .events = lt->events,
	    .count = lt->count,
	    .end = job->end,
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

	if (lt->done || table_prepared(lt->table))
		return;
	lt->failing = false;
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

	if (lt->done || !table_prepared(lt->table))
		return;
	lt->failing = false;
	if (table_commit(lt->table, &result, &err) != 0)
		fail(lt, &err);
	else
		lt->done = result == TABLE_DONE;
}

/* Table number i of this round, or NULL when there are no more. */
static struct landing_table *nth(const struct landing *l, size_t i)
{
	if (i == l->table_count || l->failures >= FAILURES_MOST)
		return NULL;
	return l->tables[(l->first + i) % l->table_count];
}

static size_t count_done(const struct landing *l)
{
	size_t done = 0;

	for (size_t i = 0; i < l->table_count; i++)
		done += l->tables[i]->done;
	return done;
}

/* Behind the tables: what is in the archive twice does no harm. */
static bool archive(struct landing *l)
{
	struct err err;

	l->archive_failing =
	    l->archive && archive_job(l->archive, l->job, &err) != 0;
	if (l->archive_failing)
		note_failure(l, "(the raw archive)", &err);
	return !l->archive_failing;
}

/*
 * One round over all that is not done yet: dead letters are prepared last and
 * committed first. True when all is done.
 */
static bool try_all(struct landing *l, struct err *fatal)
{
	struct landing_table *lt;
	bool sent = false, all = false;

	l->failures = 0;
	l->asked_us = 0;
	l->first++;
	for (size_t i = 0; (lt = nth(l, i)); i++)
		if (lt != l->letters)
			prepare_next(lt, fatal);
	if (l->letters) {
		prepare_next(l->letters, fatal);
		commit(l->letters);
		sent = l->letters->done;
	}
	for (size_t i = 0; (lt = nth(l, i)); i++)
		if (sent || !lt->letters)
			commit(lt);
	if (count_done(l) == l->table_count)
		all = archive(l);
	publish(l);
	return all;
}

static void wait_for_next(struct landing *l)
{
	int64_t at =
	    clock_mono_us() + backoff_next_us(&l->backoff, l->asked_us);
	struct timespec until = {at / 1000000, at % 1000000 * 1000};

	pthread_mutex_lock(&l->lock);
	while (!atomic_load(&l->stop) &&
	       pthread_cond_timedwait(&l->wanted, &l->lock, &until) == 0)
		continue;
	pthread_mutex_unlock(&l->lock);
}

static int open_duck(struct landing *l, struct err *err)
{
	char *temp = xasprintf("%s/duckdb", l->scratch);
	const struct duck_options options = {
	    .temp_dir = temp,
	    .memory_bytes = l->options.memory_bytes,
	    .threads = 1,
	};
	struct duck *duck;
	int rc = duck_open(&duck, &options, err);

	free(temp);
	if (rc != 0)
		return -1;
	pthread_mutex_lock(&l->lock);
	l->duck = duck;
	pthread_mutex_unlock(&l->lock);
	return 0;
}

int landing_run(struct landing *l, struct job *job, struct err *err)
{
	struct err fatal = {0};
	bool all = false;

	if (!l->duck && open_duck(l, err) != 0)
		return -1;
	landing_split(l, job);
	backoff_reset(&l->backoff);
	while (!all && !atomic_load(&l->stop)) {
		size_t before = count_done(l);

		all = try_all(l, &fatal);
		if (fatal.code)
			break;
		if (count_done(l) > before)
			backoff_reset(&l->backoff);
		else if (!all)
			wait_for_next(l);
	}
	landing_forget(l);
	if (l->archive)
		archive_forget(l->archive);
	if (fatal.code)
		*err = fatal;
	return fatal.code ? -1 : !all;
}
