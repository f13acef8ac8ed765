/* The lines of a commit: PROTOCOL.md, "Actions". */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "lake/delta_inside.h"

void delta_body_text(struct buf *out, const char *name, const char *text)
{
	if (out->used && out->data[out->used - 1] != '{')
		buf_char(out, ',');
	buf_printf(out, "\"%s\":\"", name);
	buf_json_escape(out, text, strlen(text));
	buf_char(out, '"');
}

static void print_info(const struct delta_commit *c, const char *id,
		       int64_t now_ms, struct buf *body)
{
	int64_t bytes = 0;

	for (uint32_t i = 0; i < c->add_count; i++)
		bytes += c->adds[i].bytes;
	buf_printf(body, "{\"commitInfo\":{\"timestamp\":%" PRId64, now_ms);
	delta_body_text(body, "operation", c->operation);
	buf_printf(body,
		   ",\"operationParameters\":{\"mode\":\"Append\"},"
		   "\"isBlindAppend\":true,\"operationMetrics\":{"
		   "\"numFiles\":\"%u\",\"numOutputBytes\":\"%" PRId64 "\"}",
		   c->add_count, bytes);
	delta_body_text(body, "engineInfo", c->engine);
	delta_body_text(body, "txnId", id);
	buf_text(body, "}}\n");
}

static void print_new_table(const struct delta_commit *c, int64_t now_ms,
			    struct buf *body)
{
	struct uuid id = uuid_new();
	char text[UUID_TEXT_BYTES];
	struct buf schema = {0};

	schema_print_delta(c->schema, &schema);
	buf_text(body, "{\"protocol\":{\"minReaderVersion\":1,"
		       "\"minWriterVersion\":2}}\n{\"metaData\":{");
	delta_body_text(body, "id", uuid_format(&id, text));
	buf_text(body, ",\"format\":{\"provider\":\"parquet\",\"options\":{}}");
	delta_body_text(body, "schemaString", buf_str(&schema));
	buf_printf(body,
		   ",\"partitionColumns\":[],\"configuration\":{},"
		   "\"createdTime\":%" PRId64 "}}\n",
		   now_ms);
	buf_free(&schema);
}

/* The table's metaData with a new schemaString, all else as it was. */
static void print_evolved(const struct delta *t, const struct schema *merged,
			  struct buf *body)
{
	cJSON *metadata = cJSON_Duplicate(t->s.metadata, true);
	struct buf schema = {0};
	char *text;

	schema_print_delta(merged, &schema);
	cJSON_ReplaceItemInObjectCaseSensitive(
	    metadata, "schemaString", cJSON_CreateString(buf_str(&schema)));
	text = cJSON_PrintUnformatted(metadata);
	buf_printf(body, "{\"metaData\":%s}\n", text);
	cJSON_free(text);
	cJSON_Delete(metadata);
	buf_free(&schema);
}

static int print_schema(const struct delta *t, const struct delta_commit *c,
			int64_t now_ms, struct buf *body, struct err *err)
{
	struct schema *merged;
	bool changed;

	if (t->s.version < 0) {
		if (!c->schema)
			return err_set(err, ENOENT, "there is no table %s",
				       t->path);
		print_new_table(c, now_ms, body);
		return 0;
	}
	if (delta_feature_check_write(t, &t->s, err) != 0)
		return -1;
	if (!c->schema)
		return 0;
	if (schema_merge(&merged, t->s.schema, c->schema, &changed, err) != 0)
		return err_wrap(err, "table %s", t->path);
	if (changed)
		print_evolved(t, merged, body);
	schema_unref(&merged);
	return 0;
}

static void print_add(const struct delta_add *add, int64_t now_ms,
		      struct buf *body)
{
	buf_text(body, "{\"add\":{\"path\":\"");
	delta_path_encode(body, add->name);
	buf_printf(body,
		   "\",\"partitionValues\":{},\"size\":%" PRId64
		   ",\"modificationTime\":%" PRId64 ",\"dataChange\":true",
		   add->bytes, now_ms);
	if (add->stats)
		delta_body_text(body, "stats", add->stats);
	buf_text(body, "}}\n");
}

int delta_body_print(struct delta *t, const struct delta_commit *commit,
		     const char *id, struct buf *body, struct err *err)
{
	int64_t now_ms = clock_wall_us() / 1000;

	print_info(commit, id, now_ms, body);
	if (print_schema(t, commit, now_ms, body, err) != 0)
		return -1;
	if (commit->app_id) {
		buf_text(body, "{\"txn\":{");
		delta_body_text(body, "appId", commit->app_id);
		buf_printf(body,
			   ",\"version\":%" PRId64 ",\"lastUpdated\":%" PRId64
			   "}}\n",
			   commit->txn_version, now_ms);
	}
	for (uint32_t i = 0; i < commit->add_count; i++)
		print_add(&commit->adds[i], now_ms, body);
	return 0;
}
