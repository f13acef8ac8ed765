/* The events of a job by table, and those that no table can take. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/uuid.h"
#include "services/onelake-writer/landing_inside.h"
#include "services/onelake-writer/letter.h"

static void on_bad(void *arg, struct lake_event *e, const struct err *why);

static void add_circuit(struct landing_table *lt)
{
	const struct landing_options *o = &lt->landing->options;
	const struct breaker_options circuit = {
	    .destination = lt->destination,
	    .threshold = o->threshold,
	    .cool_down_us = o->cool_down_us,
	    .retry_first_us = o->retry_first_us,
	    .retry_max_us = o->retry_max_us,
	};

	breaker_init(&lt->circuit, &circuit);
	lt->shown = lt->circuit;
}

static struct landing_table *add_table(struct landing *l, const char *name,
				       const char *log_id)
{
	struct landing_table *lt = xcalloc(1, sizeof(*lt));
	char *path = xasprintf("%s/%s", l->root, name);
	char *app_id = xasprintf("weft/%s/%s", log_id, name);
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
	lt->log_id = xstrdup(log_id);
	lt->destination = xasprintf("lake/%s", name);
	lt->done = true;
	lt->table = table_new(&options);
	add_circuit(lt);
	free(path);
	free(app_id);
	pthread_mutex_lock(&l->lock);
	l->tables = xreallocarray(l->tables, l->table_count + 1,
				  sizeof(struct landing_table *));
	l->tables[l->table_count++] = lt;
	pthread_mutex_unlock(&l->lock);
	return lt;
}

static struct landing_table *find_table(struct landing *l, const char *name)
{
	char log_id[UUID_TEXT_BYTES];

	uuid_format(&l->job->log_id, log_id);
	if (!l->job->side)
		memcpy(log_id, l->log_id, sizeof(log_id));
	for (size_t i = 0; i < l->table_count; i++)
		if (strcmp(l->tables[i]->name, name) == 0 &&
		    strcmp(l->tables[i]->log_id, log_id) == 0)
			return l->tables[i];
	return add_table(l, name, log_id);
}

/* The table of a contract, or NULL when it names none. */
static struct landing_table *table_of(struct landing *l,
				      const struct contract *contract)
{
	struct landing_table *found;
	char *name;

	if (!contract || !contract->table)
		return NULL;
	name = xasprintf("%s%s", contract->table,
			 contract->upsert ? "_changes" : "");
	found = find_table(l, name);
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

/* --- tables that are set aside --- */

/* The tables of the streams of a batch; NULL for those without one. */
static void tables_of(struct landing *l, const struct job_batch *jb,
		      const struct contract *contracts[BATCH_MAX_STREAMS],
		      struct landing_table *tables[BATCH_MAX_STREAMS])
{
	const struct batch *b = jb->batch;

	for (uint16_t s = 0; s < b->stream_count; s++) {
		contracts[s] = contract_set_find(jb->set, b->streams[s],
						 b->stream_bytes[s]);
		tables[s] = table_of(l, contracts[s]);
	}
}

/* What becomes of a batch's events of one table, NULL when it has none. */
static struct batch *cut(struct landing *l, struct job_batch *jb,
			 struct landing_table *const tables[BATCH_MAX_STREAMS],
			 const struct landing_table *lt)
{
	struct batch *b = jb->batch;
	struct batch_header header = b->header;
	uint32_t count = 0;

	for (uint32_t i = 0; i < header.events; i++)
		count += tables[b->events[i].stream] == lt;
	if (!count)
		return NULL;
	jb->moved += count;
	if (uuid_parse(l->log_id, strlen(l->log_id), &header.lane.source) != 0)
		abort();
	header.lane.epoch = (uint64_t)jb->appended_at_us;
	header.lane.number = 0;
	header.sequence = jb->position;
	if (jb->flagged)
		header.flags |= BATCH_REPLAY;
	for (uint32_t i = 0; i < header.events && count < header.events; i++)
		if (tables[b->events[i].stream] == lt &&
		    !batch_builder_copy(l->builder, b, i))
			count = header.events;
	if (count < header.events)
		return batch_builder_seal(l->builder, &header);
	/* All of it; or its events share so much that a part is larger. */
	batch_builder_rollback(l->builder, 0, 0);
	return batch_relabel(b, &header);
}

static void move_events(struct landing_table *lt)
{
	const struct contract *contracts[BATCH_MAX_STREAMS];
	struct landing_table *tables[BATCH_MAX_STREAMS];
	struct landing *l = lt->landing;

	for (size_t i = 0; i < l->job->count; i++) {
		struct job_batch *jb = &l->job->batches[i];
		struct batch *b;

		tables_of(l, jb, contracts, tables);
		b = cut(l, jb, tables, lt);
		if (b)
			job_move(l->job, lt->aside, &b);
	}
}

/* Keeps those that are no events of the log. */
static void drop_own(struct landing_table *lt)
{
	size_t kept = 0;

	for (size_t i = 0; i < lt->count; i++)
		if (lt->events[i].position == TABLE_NO_POSITION)
			lt->events[kept++] = lt->events[i];
	lt->count = kept;
}

/* Forgets the letters when everything that they were made of was moved. */
static void drop_letters(struct landing *l)
{
	struct landing_table *letters = l->letters;

	for (size_t i = 0; i < l->table_count; i++)
		if (l->tables[i]->letters)
			return;
	if (!letters || letters->done || !letters->aside)
		return;
	table_drop(letters->table);
	letters->count = 0;
	letters->done = true;
}

void landing_set_aside(struct landing_table *lt)
{
	struct landing *l = lt->landing;

	table_drop(lt->table);
	if (!lt->aside) {
		lt->aside = job_set_aside(l->job, lt->name);
		log_warn("table_set_aside",
			 "table=%s action=\"none: its events wait in its side "
			 "log until it works again\"",
			 lt->name);
		move_events(lt);
	}
	drop_own(lt);
	lt->letters = lt->stuck = false;
	lt->done = lt->count == 0;
	drop_letters(l);
}

/* Deals the events of one batch out to their tables; how many have none. */
static uint64_t split_batch(struct landing *l, const struct job_batch *jb)
{
	const struct contract *contracts[BATCH_MAX_STREAMS];
	struct landing_table *tables[BATCH_MAX_STREAMS];
	const struct landing_table *side =
	    l->job->side ? find_table(l, l->job->side) : NULL;
	const struct batch *b = jb->batch;
	uint64_t other = 0;

	tables_of(l, jb, contracts, tables);
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
		struct landing_table *lt = tables[e->stream];

		if (lt && !lt->aside && (!l->job->side || lt == side))
			add_event(lt, &event);
		other += !lt;
	}
	return other;
}

void landing_split(struct landing *l, struct job *job)
{
	uint64_t other = 0;

	l->job = job;
	for (size_t i = 0; i < job->aside_count; i++)
		find_table(l, job->aside[i])->aside = job->aside[i];
	for (size_t i = 0; i < job->count; i++)
		other += split_batch(l, &job->batches[i]);
	l->letter_contract =
	    contract_set_find(job->batches[job->count - 1].set, LETTER_STREAM,
			      sizeof(LETTER_STREAM) - 1);
	l->letters = table_of(l, l->letter_contract);
	for (size_t i = 0; i < l->table_count; i++) {
		struct landing_table *lt = l->tables[i];

		lt->done = lt->count == 0;
		if (lt->aside)
			move_events(lt);
	}
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
		lt->aside = NULL;
		lt->letters = lt->stuck = false;
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
