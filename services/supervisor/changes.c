/*
 * What the configuration says and what the processes run with: many keys are
 * read only at a start, so each process is compared with the configuration of
 * its own start, however many reloads came since.
 */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "services/supervisor/supervisor.h"

bool changes_same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_value(const struct conf_row *row, const void *a, const void *b)
{
	const char *x = (const char *)a + row->offset;
	const char *y = (const char *)b + row->offset;

	switch (row->type) {
	case CONF_STRING:
	case CONF_PATH:
	case CONF_LISTEN:
		return changes_same_text(*(char *const *)(const void *)x,
					 *(char *const *)(const void *)y);
	case CONF_INT:
	case CONF_BYTES:
	case CONF_DURATION:
		return memcmp(x, y, sizeof(int64_t)) == 0;
	case CONF_BOOL:
		return memcmp(x, y, sizeof(bool)) == 0;
	case CONF_CHOICE:
		return memcmp(x, y, sizeof(int)) == 0;
	}
	return true;
}

/* Sets differs[] of the rows that are read only at a start and do differ. */
static bool compare(const struct conf_table *table, const void *old,
		    const void *new, bool *differs)
{
	bool any = false;

	for (size_t i = 0; old && new &&i < table->row_count; i++) {
		const struct conf_row *row = &table->rows[i];

		if ((row->flags & CONF_RELOAD) || same_value(row, old, new))
			continue;
		differs[i] = true;
		any = true;
	}
	return any;
}

static void add(cJSON *list, const char *name, const struct conf_table *table,
		const bool *differs)
{
	cJSON *one = cJSON_CreateObject();
	cJSON *keys;

	cJSON_AddItemToArray(list, one);
	cJSON_AddStringToObject(one, "service", name);
	keys = cJSON_AddArrayToObject(one, "keys");
	for (size_t i = 0; i < table->row_count; i++)
		if (differs[i])
			cJSON_AddItemToArray(
			    keys, cJSON_CreateString(table->rows[i].name));
}

static void list_service(const struct supervisor *s,
			 const struct conf_service *now, cJSON *list)
{
	const struct conf_table *table = now->kind->conf;
	bool *differs;
	bool any = false;

	if (!table)
		return;
	differs = xcalloc(table->row_count + 1, sizeof(*differs));
	for (uint32_t n = 0; n < s->instance_count; n++) {
		const struct instance *i = s->instances[n];
		const struct conf_service *was = NULL;

		if (i->pid && i->kind == now->kind &&
		    strcmp(i->row, now->name) == 0)
			was = conf_find_service(i->started_with, i->row);
		if (was && compare(table, was->conf, now->conf, differs))
			any = true;
	}
	if (any)
		add(list, now->name, table, differs);
	free(differs);
}

/* weftd itself is one of those who read that section at their start. */
static void list_pipeline(const struct supervisor *s, cJSON *list)
{
	const struct conf_table *table = &conf_pipeline_table;
	bool *differs = xcalloc(table->row_count + 1, sizeof(*differs));
	bool any = compare(table, s->started_with->pipeline, s->conf->pipeline,
			   differs);

	for (uint32_t n = 0; n < s->instance_count; n++) {
		const struct instance *i = s->instances[n];

		if (i->pid && compare(table, i->started_with->pipeline,
				      s->conf->pipeline, differs))
			any = true;
	}
	if (any)
		add(list, "pipeline", table, differs);
	free(differs);
}

void changes_list(const struct supervisor *s, cJSON *list)
{
	list_pipeline(s, list);
	for (uint32_t i = 0; i < s->conf->service_count; i++)
		list_service(s, &s->conf->services[i], list);
}

static bool is_used(const struct supervisor *s, const struct conf *conf)
{
	if (conf == s->started_with)
		return true;
	for (uint32_t n = 0; n < s->instance_count; n++)
		if (s->instances[n]->started_with == conf)
			return true;
	return false;
}

void changes_keep(struct supervisor *s, struct conf **conf)
{
	uint32_t kept = 0;

	s->old = xreallocarray(s->old, s->old_count + 1, sizeof(*s->old));
	s->old[s->old_count++] = *conf;
	*conf = NULL;
	for (uint32_t i = 0; i < s->old_count; i++)
		if (is_used(s, s->old[i]))
			s->old[kept++] = s->old[i];
		else
			conf_free(&s->old[i]);
	s->old_count = kept;
}

void changes_free(struct supervisor *s)
{
	for (uint32_t i = 0; i < s->old_count; i++)
		conf_free(&s->old[i]);
	free(s->old);
	s->old = NULL;
	s->old_count = 0;
}
