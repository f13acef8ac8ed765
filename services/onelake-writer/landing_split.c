/* The events of a job by table, and those that no table can take. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "services/onelake-writer/landing_inside.h"
#include "services/onelake-writer/letter.h"

static void on_bad(void *arg, struct lake_event *e, const struct err *why);

static struct landing_table *add_table(struct landing *l, const char *name)
{
	struct landing_table *lt = xcalloc(1, sizeof(*lt));
	char *path = xasprintf("%s/%s", l->root, name);
	char *app_id = xasprintf("weft/%s/%s", l->log_id, name);
	struct table_options options = {
	    .store = l->store,
	    .duck = l->duck,
	    .path = path,
	    .scratch = l->scratch,
	    .app_id = app_id,
	    .codec = l->codec,
	    .engine = "weft/" WEFT_VERSION,
	    .checkpoint_interval = l->options.checkpoint_interval,
	    .cache_bytes = l->options.cache_bytes,
	    .window_us = l->options.window_us,
	    .budget = &l->budget,
	    .bad = on_bad,
	    .arg = lt,
	};

	lt->landing = l;
	lt->name = xstrdup(name);
	lt->table = table_new(&options);
	free(path);
	free(app_id);
	pthread_mutex_lock(&l->lock);
	l->tables = xreallocarray(l->tables, l->table_count + 1,
				  sizeof(struct landing_table *));
	l->tables[l->table_count++] = lt;
	pthread_mutex_unlock(&l->lock);
	return lt;
}

/* The table of a contract, or NULL when it names none. */
static struct landing_table *table_of(struct landing *l,
				      const struct contract *contract)
{
	struct landing_table *found = NULL;
	char *name;

	if (!contract || !contract->table)
		return NULL;
	name = xasprintf("%s%s", contract->table,
			 contract->upsert ? "_changes" : "");
	for (size_t i = 0; !found && i < l->table_count; i++)
		if (strcmp(l->tables[i]->name, name) == 0)
			found = l->tables[i];
	if (!found)
		found = add_table(l, name);
	free(name);
	return found;
}

static void add_event(struct landing_table *lt, const struct lake_event *e)
{
	if (lt->count == lt->room) {
		lt->room = lt->room ? 2 * lt->room : 256;
		lt->events =
		    xreallocarray(lt->events, lt->room, sizeof(*lt->events));
	}
	lt->events[lt->count++] = *e;
}

/* Deals the events of one batch out to their tables; how many have none. */
static uint64_t split_batch(struct landing *l, const struct job_batch *jb)
{
	const struct contract *contracts[BATCH_MAX_STREAMS];
	struct landing_table *tables[BATCH_MAX_STREAMS];
	const struct batch *b = jb->batch;
	uint64_t other = 0;

	for (uint16_t s = 0; s < b->stream_count; s++) {
		contracts[s] = contract_set_find(jb->set, b->streams[s],
						 b->stream_bytes[s]);
		tables[s] = table_of(l, contracts[s]);
	}
	for (uint32_t i = 0; i < b->header.events; i++) {
		const struct batch_event *e = &b->events[i];
		const struct lake_event event = {
		    .line = b->payload + e->offset,
		    .bytes = e->bytes,
		    .flagged = jb->flagged,
		    .id = b->payload + e->id_offset,
		    .id_bytes = e->id_bytes,
		    .contract = contracts[e->stream],
		    .position = jb->position,
		};

		if (tables[e->stream])
			add_event(tables[e->stream], &event);
		else
			other++;
	}
	return other;
}

void landing_split(struct landing *l, struct job *job)
{
	uint64_t other = 0;

	l->job = job;
	for (size_t i = 0; i < job->count; i++)
		other += split_batch(l, &job->batches[i]);
	l->letter_contract =
	    contract_set_find(job->batches[job->count - 1].set, LETTER_STREAM,
			      sizeof(LETTER_STREAM) - 1);
	l->letters = table_of(l, l->letter_contract);
	for (size_t i = 0; i < l->table_count; i++)
		l->tables[i]->done = l->tables[i]->count == 0;
	pthread_mutex_lock(&l->lock);
	l->stats.other += other;
	pthread_mutex_unlock(&l->lock);
}

void landing_forget(struct landing *l)
{
	for (size_t i = 0; i < l->table_count; i++) {
		struct landing_table *lt = l->tables[i];

		table_drop(lt->table);
		lt->count = 0;
		lt->done = true;
		lt->letters = lt->failing = false;
	}
	for (size_t i = 0; i < l->line_count; i++)
		free(l->lines[i]);
	l->line_count = 0;
	l->job = NULL;
}

/*
 * An event that cannot become a row becomes a dead letter of the same job. It
 * is in no table then but that of the letters, which is committed first: a
 * crash in between would otherwise lose it.
 */
static void on_bad(void *arg, struct lake_event *e, const struct err *why)
{
	struct landing_table *lt = arg;
	struct landing *l = lt->landing;
	char quoted[LOG_QUOTE_BYTES];
	struct lake_event letter;

	log_warn("event_not_a_row", "table=%s error=%s", lt->name,
		 log_quote(quoted, why->text));
	if (!l->letters || lt == l->letters) {
		lt->stuck = true;
		return;
	}
	letter_make(&letter, l->letter_contract, job_find(l->job, e->position),
		    e, why);
	l->lines =
	    xreallocarray(l->lines, l->line_count + 1, sizeof(*l->lines));
	l->lines[l->line_count++] = (char *)(uintptr_t)letter.line;
	/* What was prepared refers to the events as they were. */
	table_drop(l->letters->table);
	l->letters->done = false;
	add_event(l->letters, &letter);
	lt->letters = true;
	pthread_mutex_lock(&l->lock);
	l->stats.letters++;
	pthread_mutex_unlock(&l->lock);
}
