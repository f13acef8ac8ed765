/* What lies in _delta_log: commits, checkpoints, the hint where to begin. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "lake/delta_inside.h"

#define HINT_BYTES_MOST (1 << 20)

struct lister {
	struct log_listing *l;
	size_t prefix_bytes;
	int64_t to;
};

/* Reads exactly `digits` digits. */
static bool take_digits(const char **at, int digits, int64_t *value)
{
	*value = 0;
	for (int i = 0; i < digits; i++) {
		char c = (*at)[i];

		if (c < '0' || c > '9' || *value > INT64_MAX / 10 - 1)
			return false;
		*value = *value * 10 + (c - '0');
	}
	*at += digits;
	return true;
}

/* "checkpoint.parquet", "checkpoint.0000000001.0000000003.parquet"; a UUID in
 * the middle is of a V2 checkpoint. */
static bool checkpoint_of(const char *name, struct log_checkpoint *c)
{
	static const char word[] = "checkpoint.";
	int64_t part, parts;

	if (strncmp(name, word, sizeof(word) - 1) != 0)
		return false;
	name += sizeof(word) - 1;
	if (strcmp(name, "parquet") == 0)
		return true;
	c->foreign = true;
	if (take_digits(&name, 10, &part) && *name++ == '.' &&
	    take_digits(&name, 10, &parts) && strcmp(name, ".parquet") == 0 &&
	    part >= 1 && part <= parts && parts < 1 << 20) {
		c->foreign = false;
		c->parts = (uint32_t)parts;
	}
	return true;
}

/* Counts another part of a checkpoint, or begins one. Parts come in order. */
static void add_checkpoint(struct log_listing *l,
			   const struct log_checkpoint *found)
{
	for (uint32_t i = l->checkpoint_count; i-- > 0;) {
		struct log_checkpoint *c = &l->checkpoints[i];

		if (c->version != found->version)
			break;
		if (c->parts == found->parts && c->foreign == found->foreign) {
			c->seen++;
			return;
		}
	}
	if (l->checkpoint_count == l->checkpoint_room) {
		l->checkpoint_room =
		    l->checkpoint_room ? 2 * l->checkpoint_room : 8;
		l->checkpoints =
		    xreallocarray(l->checkpoints, l->checkpoint_room,
				  sizeof(*l->checkpoints));
	}
	l->checkpoints[l->checkpoint_count] = *found;
	l->checkpoints[l->checkpoint_count++].seen = 1;
}

static void add_commit(struct log_listing *l, int64_t version, int64_t at_ms)
{
	if (l->commit_count == l->commit_room) {
		l->commit_room = l->commit_room ? 2 * l->commit_room : 64;
		l->commits = xreallocarray(l->commits, l->commit_room,
					   sizeof(*l->commits));
	}
	l->commits[l->commit_count].version = version;
	l->commits[l->commit_count++].modified_at_ms = at_ms;
}

static bool visit_log(void *arg, const struct store_file *file)
{
	struct lister *lister = arg;
	const char *at = file->name + lister->prefix_bytes;
	struct log_checkpoint c = {0};

	if (!take_digits(&at, DELTA_VERSION_DIGITS, &c.version) || *at++ != '.')
		return true;
	if (c.version > lister->to)
		return false;
	if (strcmp(at, "json") == 0)
		add_commit(lister->l, c.version, file->modified_at_ms);
	else if (checkpoint_of(at, &c))
		add_checkpoint(lister->l, &c);
	return true;
}

void delta_log_listing_free(struct log_listing *l)
{
	free(l->commits);
	free(l->checkpoints);
	memset(l, 0, sizeof(*l));
}

int delta_log_list(struct delta *t, int64_t from, int64_t to,
		   struct log_listing *l, struct err *err)
{
	struct buf name = {0};
	char *prefix = xasprintf("%s/_delta_log/", t->path);
	struct lister lister = {.l = l, .prefix_bytes = strlen(prefix)};
	int rc;

	lister.to = to;
	delta_log_listing_free(l);
	delta_path_log(&name, t->path, from, ".");
	rc = store_list(t->store, prefix, buf_str(&name), visit_log, &lister,
			err);
	if (rc != 0)
		err_wrap(err, "table %s: cannot list its log", t->path);
	free(prefix);
	buf_free(&name);
	return rc;
}

int64_t delta_log_hint(struct delta *t)
{
	char *name = xasprintf("%s/_delta_log/_last_checkpoint", t->path);
	char quoted[LOG_QUOTE_BYTES];
	struct buf data = {0};
	struct err err;
	int64_t version = -1;
	cJSON *json;

	/* Only a hint: without it, the listing tells as well. */
	if (store_get(t->store, name, HINT_BYTES_MOST, &data, &err) == 0) {
		json = cJSON_ParseWithLength(data.data, data.used);
		if (!delta_json_int(
			cJSON_GetObjectItemCaseSensitive(json, "version"),
			&version) ||
		    version < 0)
			version = -1;
		cJSON_Delete(json);
	} else if (err.code != ENOENT) {
		log_warn("last_checkpoint_unread", "table=%s error=%s", t->path,
			 log_quote(quoted, err.text));
	}
	buf_free(&data);
	free(name);
	return version;
}

int delta_log_get(struct delta *t, int64_t version, struct buf *data,
		  struct err *err)
{
	struct buf name = {0};
	int rc;

	buf_clear(data);
	rc = store_get(t->store,
		       delta_path_log(&name, t->path, version, ".json"),
		       DELTA_COMMIT_BYTES_MOST, data, err);
	if (rc != 0)
		err_wrap(err,
			 "table %s: cannot read version %" PRId64 " of its log",
			 t->path, version);
	buf_free(&name);
	return rc;
}
