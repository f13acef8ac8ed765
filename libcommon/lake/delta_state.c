/* Actions, one by one, to the state that they add up to. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "lake/delta_inside.h"

struct text {
	const char *at;
	size_t bytes;
};

bool delta_json_int(const cJSON *item, int64_t *value)
{
	double d;

	if (!cJSON_IsNumber(item))
		return false;
	d = item->valuedouble;
	if (!(d >= -(double)DELTA_INT_MOST && d <= (double)DELTA_INT_MOST))
		return false;
	*value = (int64_t)d;
	return (double)*value == d;
}

const char *delta_json_text(const cJSON *object, const char *name)
{
	return cJSON_GetStringValue(
	    cJSON_GetObjectItemCaseSensitive(object, name));
}

static int64_t int_or(const cJSON *object, const char *name, int64_t otherwise)
{
	int64_t value;

	return delta_json_int(cJSON_GetObjectItemCaseSensitive(object, name),
			      &value)
		   ? value
		   : otherwise;
}

static void columns_free(struct delta_state *s)
{
	for (uint32_t i = 0; i < s->column_count; i++)
		free(s->columns[i]);
	free(s->columns);
	s->columns = NULL;
	s->column_count = 0;
}

void delta_state_free(struct delta_state *s)
{
	cJSON_Delete(s->protocol);
	cJSON_Delete(s->metadata);
	schema_unref(&s->schema);
	columns_free(s);
	files_free(&s->files);
	for (uint32_t i = 0; i < s->txn_count; i++)
		free(s->txns[i].app_id);
	free(s->txns);
	memset(s, 0, sizeof(*s));
	s->version = s->checkpoint = -1;
}

/* The place of an application in the sorted txns: the first that is not less.
 */
static uint32_t txn_place(const struct delta_state *s, const char *id)
{
	uint32_t low = 0, high = s->txn_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (strcmp(s->txns[middle].app_id, id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct txn *delta_state_txn(const struct delta_state *s, const char *id)
{
	uint32_t at = txn_place(s, id);

	return at < s->txn_count && strcmp(s->txns[at].app_id, id) == 0
		   ? &s->txns[at]
		   : NULL;
}

static struct txn *txn_of(struct delta_state *s, const char *id)
{
	uint32_t at = txn_place(s, id);

	if (at < s->txn_count && strcmp(s->txns[at].app_id, id) == 0)
		return &s->txns[at];
	if (s->txn_count == s->txn_room) {
		s->txn_room = s->txn_room ? 2 * s->txn_room : 8;
		s->txns = xreallocarray(s->txns, s->txn_room, sizeof(*s->txns));
	}
	memmove(&s->txns[at + 1], &s->txns[at],
		(s->txn_count++ - at) * sizeof(*s->txns));
	s->txns[at] = (struct txn){.app_id = xstrdup(id)};
	return &s->txns[at];
}

/* What follows "version": in a JSON line, or NULL. Inside of a string its
 * quotes would be escaped, and a string of that text has no colon behind it. */
static const char *after_version(const char *at, const char *end)
{
	static const char name[] = "\"version\"";

	while ((at = memmem(at, (size_t)(end - at), name, sizeof(name) - 1))) {
		at += sizeof(name) - 1;
		while (at < end && (*at == ' ' || *at == '\t'))
			at++;
		if (at < end && *at == ':')
			return at + 1;
	}
	return NULL;
}

/* The version of a txn to the last digit, which a double may not hold. */
static bool exact_version(const struct text *line, int64_t *version)
{
	const char *end = line->at + line->bytes;
	const char *at = after_version(line->at, end);
	char digits[24] = {0}, *stop;
	size_t used = 0;

	while (at && at < end && (*at == ' ' || *at == '\t'))
		at++;
	while (at && at < end && used < sizeof(digits) - 1 &&
	       (*at == '-' || (*at >= '0' && *at <= '9')))
		digits[used++] = *at++;
	errno = 0;
	*version = strtoll(digits, &stop, 10);
	return used && !*stop && errno == 0 &&
	       (at == end || (*at && strchr(" \t,}", *at)));
}

static int apply_txn(struct delta_state *s, const cJSON *action,
		     const struct text *line)
{
	const char *id = delta_json_text(action, "appId");
	int64_t version;
	struct txn *txn;

	if (!id || !exact_version(line, &version))
		return -1;
	txn = txn_of(s, id);
	txn->version = version;
	txn->updated_at_ms = int_or(action, "lastUpdated", -1);
	return 0;
}

/* numRecords of a file's stats, which writers put first; or -1. */
static int64_t records_of(const char *stats)
{
	static const char first[] = "{\"numRecords\":";
	int64_t records = -1;
	cJSON *json;

	if (!stats)
		return -1;
	if (strncmp(stats, first, sizeof(first) - 1) == 0)
		records = strtoll(stats + sizeof(first) - 1, NULL, 10);
	else {
		json = cJSON_Parse(stats);
		records = int_or(json, "numRecords", -1);
		cJSON_Delete(json);
	}
	return records < 0 ? -1 : records;
}

static void take_partition(struct data_file *d, const cJSON *values)
{
	const cJSON *value;

	if (!cJSON_IsObject(values))
		return;
	d->parts =
	    xcalloc((size_t)cJSON_GetArraySize(values) + 1, sizeof(*d->parts));
	cJSON_ArrayForEach (value, values) {
		struct partition_value *p = &d->parts[d->part_count++];

		p->column = xstrdup(value->string);
		/* Null and "" both mean null. */
		if (cJSON_IsString(value) && *value->valuestring)
			p->value = xstrdup(value->valuestring);
	}
}

/* What add and remove have in common. NULL when it has no path. */
static struct data_file *file_of(const struct delta *t, const cJSON *action)
{
	const char *path = delta_json_text(action, "path");
	const cJSON *tags = cJSON_GetObjectItemCaseSensitive(action, "tags");
	struct data_file *d;
	char *name;

	if (!path || !*path)
		return NULL;
	d = xcalloc(1, sizeof(*d));
	d->file.path = xstrdup(path);
	name = delta_path_name(path, t->store->url, t->path, &d->outside);
	d->file.name = xasprintf("%s/%s", t->path, name);
	d->key = d->file.name + strlen(t->path) + 1;
	free(name);
	d->file.bytes = int_or(action, "size", -1);
	if (d->file.bytes < 0)
		d->file.bytes = -1;
	d->file.records = -1;
	take_partition(
	    d, cJSON_GetObjectItemCaseSensitive(action, "partitionValues"));
	if (cJSON_IsObject(tags) && tags->child)
		d->tags = cJSON_PrintUnformatted(tags);
	return d;
}

static int apply_add(struct delta *t, struct delta_state *s,
		     const cJSON *action)
{
	struct data_file *d = file_of(t, action);
	const char *stats = delta_json_text(action, "stats");

	if (!d)
		return -1;
	d->live = true;
	/* The format wants one: what has none is taken for empty. */
	if (d->file.bytes < 0)
		d->file.bytes = 0;
	d->file.modified_at_ms = int_or(action, "modificationTime", 0);
	if (stats && *stats)
		d->file.stats = xstrdup(stats);
	d->file.records = records_of(stats);
	files_put(&s->files, &d);
	return 0;
}

static int apply_remove(struct delta *t, struct delta_state *s,
			const cJSON *action)
{
	struct data_file *d = file_of(t, action);

	if (!d)
		return -1;
	d->deleted_at_ms = int_or(action, "deletionTimestamp", 0);
	d->known = cJSON_IsTrue(
	    cJSON_GetObjectItemCaseSensitive(action, "extendedFileMetadata"));
	files_put(&s->files, &d);
	return 0;
}

/* Keeps an action whole, for the checkpoint that repeats it. */
static void keep(cJSON **kept, cJSON *root, cJSON *action)
{
	cJSON_Delete(*kept);
	*kept = cJSON_DetachItemViaPointer(root, action);
}

static int apply(struct delta *t, struct delta_state *s, cJSON *root,
		 cJSON *action, const struct text *line)
{
	const char *name = action->string;

	if (!cJSON_IsObject(action))
		return 0; /* null: of another kind */
	if (strcmp(name, "add") == 0)
		return apply_add(t, s, action);
	if (strcmp(name, "remove") == 0)
		return apply_remove(t, s, action);
	if (strcmp(name, "txn") == 0)
		return apply_txn(s, action, line);
	if (strcmp(name, "protocol") == 0) {
		keep(&s->protocol, root, action);
	} else if (strcmp(name, "metaData") == 0) {
		keep(&s->metadata, root, action);
		s->fresh_schema = true;
	}
	return 0;
}

int delta_state_apply(struct delta *t, struct delta_state *s, const char *line,
		      size_t bytes, struct err *err)
{
	const struct text text = {line, bytes};
	cJSON *root = cJSON_ParseWithLength(line, bytes);
	cJSON *action, *next;
	int rc = 0;

	if (!cJSON_IsObject(root))
		rc = err_set(err, EINVAL, "it is not a JSON object");
	for (action = rc == 0 ? root->child : NULL; action && rc == 0;
	     action = next) {
		next = action->next;
		rc = apply(t, s, root, action, &text);
		if (rc != 0)
			err_set(err, EINVAL,
				"its %s has no valid path, appId or version",
				action->string);
	}
	cJSON_Delete(root);
	return rc;
}

int delta_state_commit(struct delta *t, struct delta_state *s, int64_t version,
		       const struct buf *data, struct err *err)
{
	const char *at = data->used ? data->data : "", *end = at + data->used;
	uint32_t line = 0;

	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		size_t bytes = (size_t)((stop ? stop : end) - at);

		line++;
		if (bytes && at[bytes - 1] == '\r')
			bytes--;
		if (bytes && delta_state_apply(t, s, at, bytes, err) != 0)
			return err_wrap(err,
					"table %s, version %" PRId64
					" of its log, line %u",
					t->path, version, line);
		at = stop ? stop + 1 : end;
	}
	s->version = version;
	s->hash = XXH3_64bits(data->data, data->used);
	return 0;
}

/* --- settling --- */

static int take_columns(struct delta *t, struct delta_state *s, struct err *err)
{
	const cJSON *list =
	    cJSON_GetObjectItemCaseSensitive(s->metadata, "partitionColumns");
	const cJSON *item;

	columns_free(s);
	s->columns =
	    xcalloc((size_t)cJSON_GetArraySize(list) + 1, sizeof(*s->columns));
	cJSON_ArrayForEach (item, list) {
		if (!cJSON_IsString(item))
			return err_set(err, EINVAL,
				       "table %s: its metaData at version "
				       "%" PRId64 " has partitionColumns that "
				       "are no names",
				       t->path, s->version);
		s->columns[s->column_count++] = xstrdup(item->valuestring);
	}
	return 0;
}

static int take_schema(struct delta *t, struct delta_state *s, struct err *err)
{
	const char *text = delta_json_text(s->metadata, "schemaString");
	struct schema *schema;

	if (!text) /* early writers made tables without columns so */
		text = "{\"type\":\"struct\",\"fields\":[]}";
	if (schema_parse(&schema, text, strlen(text), err) != 0)
		return err_wrap(err, "table %s, version %" PRId64, t->path,
				s->version);
	schema_unref(&s->schema);
	s->schema = schema;
	return take_columns(t, s, err);
}

static int check_files(struct delta *t, struct delta_state *s, struct err *err)
{
	for (uint32_t i = 0; i < s->files.live_count; i++) {
		const struct data_file *d = s->files.live[i];

		if (d->outside)
			return err_set(err, EINVAL,
				       "table %s holds the file %s, which is "
				       "not under %s (a shallow clone?): read "
				       "it with an engine that can, or make a "
				       "deep clone",
				       t->path, d->file.path, t->store->url);
	}
	return 0;
}

int delta_state_settle(struct delta *t, struct delta_state *s, struct err *err)
{
	bool anew = s->fresh_schema;

	if (!s->protocol || !s->metadata)
		return err_set(err, EINVAL,
			       "table %s: its log up to version %" PRId64
			       " has no %s action, so it is broken",
			       t->path, s->version,
			       s->protocol ? "metaData" : "protocol");
	if (delta_feature_check_read(t, s, err) != 0)
		return -1;
	if (anew && take_schema(t, s, err) != 0)
		return -1;
	s->fresh_schema = false;
	files_settle(&s->files, s->columns, s->column_count, anew);
	return check_files(t, s, err);
}
