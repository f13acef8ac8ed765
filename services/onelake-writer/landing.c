#include "services/onelake-writer/landing.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/durable.h"
#include "base/log.h"
#include "lake/store_blob.h"
#include "services/onelake-writer/landing_inside.h"

/* How long a call to a lake that is away may take before it is told. */
#define DEADLINE_US INT64_C(5000000)

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
	const struct breaker_options circuit = {
	    .destination = "lake",
	    .threshold = o->threshold,
	    .cool_down_us = o->cool_down_us,
	    .retry_first_us = o->retry_first_us,
	    .retry_max_us = o->retry_max_us,
	};
	pthread_condattr_t monotonic;

	l->options = *o;
	l->url = xstrdup(o->url);
	l->root = xstrdup(o->root);
	l->log_id = xstrdup(o->log_id);
	l->scratch = xstrdup(o->scratch);
	l->codec = xstrdup(o->codec);
	breaker_init(&l->circuit, &circuit);
	l->shown = l->circuit;
	l->builder = batch_builder_new();
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
		free(l->tables[i]->destination);
		free(l->tables[i]->log_id);
		free(l->tables[i]);
	}
	free(l->tables);
	for (size_t i = 0; i < l->line_count; i++)
		free(l->lines[i]);
	free(l->lines);
	batch_builder_free(&l->builder);
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

void landing_each_circuit(struct landing *l,
			  void (*fn)(void *arg, const struct breaker *b),
			  void *arg)
{
	pthread_mutex_lock(&l->lock);
	fn(arg, &l->shown);
	for (size_t i = 0; i < l->table_count; i++)
		fn(arg, &l->tables[i]->shown);
	pthread_mutex_unlock(&l->lock);
}

static void wait_until(struct landing *l, int64_t at_mono_us)
{
	struct timespec until = {at_mono_us / 1000000,
				 at_mono_us % 1000000 * 1000};

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
	while (!all && !atomic_load(&l->stop)) {
		int64_t next_us;

		all = landing_try(l, &fatal);
		if (fatal.code)
			break;
		next_us = all ? 0 : landing_try_next(l);
		if (next_us && job->side) {
			job->retry_at_mono_us = next_us;
			break;
		}
		if (next_us)
			wait_until(l, next_us);
	}
	landing_forget(l);
	if (l->archive)
		archive_forget(l->archive);
	if (fatal.code)
		*err = fatal;
	return fatal.code ? -1 : !all;
}
