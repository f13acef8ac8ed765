/* What was committed, newest first: read from the commits themselves. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "lake/delta_inside.h"

struct telling {
	struct delta_entry entry;
	char *operation, *engine;
};

static const char *later_text(char **kept, const cJSON *info, const char *name)
{
	cJSON *item = cJSON_GetObjectItemCaseSensitive(info, name);

	if (!cJSON_IsString(item))
		return *kept;
	free(*kept);
	*kept = xstrdup(item->valuestring);
	return *kept;
}

static void tell_add(struct delta_entry *e, const cJSON *add)
{
	const char *text = delta_json_text(add, "stats");
	cJSON *stats = text ? cJSON_Parse(text) : NULL;
	int64_t records;

	e->files_added++;
	if (delta_json_int(
		cJSON_GetObjectItemCaseSensitive(stats, "numRecords"),
		&records))
		e->records += records;
	cJSON_Delete(stats);
}

static void tell_action(struct telling *now, const cJSON *action)
{
	struct delta_entry *e = &now->entry;

	if (!cJSON_IsObject(action))
		return;
	if (strcmp(action->string, "add") == 0) {
		tell_add(e, action);
	} else if (strcmp(action->string, "remove") == 0) {
		e->files_removed++;
	} else if (strcmp(action->string, "commitInfo") == 0) {
		e->operation = later_text(&now->operation, action, "operation");
		e->engine = later_text(&now->engine, action, "engineInfo");
		delta_json_int(
		    cJSON_GetObjectItemCaseSensitive(action, "timestamp"),
		    &e->at_ms);
	}
}

/* Lines that are no JSON add nothing: history is for people. */
static void tell_commit(struct telling *now, const struct buf *data)
{
	const char *at = data->data, *end = at + data->used;

	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		size_t bytes = (size_t)((stop ? stop : end) - at);
		cJSON *root = cJSON_ParseWithLength(at, bytes);

		if (root && root->child)
			tell_action(now, root->child);
		cJSON_Delete(root);
		at += bytes + 1;
	}
}

static bool tell(const struct log_commit *commit, const struct buf *data,
		 bool (*visit)(void *arg, const struct delta_entry *entry),
		 void *arg)
{
	struct telling now = {.entry = {.version = commit->version,
					.at_ms = commit->modified_at_ms}};
	bool more;

	tell_commit(&now, data);
	if (!now.entry.operation)
		now.entry.operation = "";
	if (!now.entry.engine)
		now.entry.engine = "";
	more = visit(arg, &now.entry);
	free(now.operation);
	free(now.engine);
	return more;
}

int delta_history(struct delta *t, uint32_t limit,
		  bool (*visit)(void *arg, const struct delta_entry *entry),
		  void *arg, struct err *err)
{
	int64_t from = t->s.version >= limit ? t->s.version - limit + 1 : 0;
	struct log_listing l = {0};
	struct buf data = {0};
	int rc = 0;

	if (t->s.version < 0)
		return err_set(err, ENOENT, "there is no table %s", t->path);
	rc = delta_log_list(t, from, t->s.version, &l, err);
	for (uint32_t i = l.commit_count; i-- > 0 && rc == 0;) {
		rc = delta_log_get(t, l.commits[i].version, &data, err);
		if (rc == 0 && !tell(&l.commits[i], &data, visit, arg))
			break;
	}
	delta_log_listing_free(&l);
	buf_free(&data);
	return rc;
}
