/*
 * Writing V1 checkpoints: PROTOCOL.md, "Checkpoint Schema". Rows go through a
 * file of JSON lines into DuckDB's COPY, without dictionaries: Fabric reads no
 * other encoding than PLAIN in checkpoints.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/uuid.h"
#include "lake/delta_inside.h"

#define RETENTION_MS INT64_C(604800000) /* a week, as the protocol's habit */

/* The columns, as both the lines and the Parquet file have them. */
static const char columns_sql[] =
    "{txn: 'STRUCT(appId VARCHAR, version BIGINT, lastUpdated BIGINT)', "
    "add: 'STRUCT(path VARCHAR, partitionValues MAP(VARCHAR, VARCHAR), "
    "size BIGINT, modificationTime BIGINT, dataChange BOOLEAN, "
    "tags MAP(VARCHAR, VARCHAR), stats VARCHAR)', "
    "remove: 'STRUCT(path VARCHAR, deletionTimestamp BIGINT, "
    "dataChange BOOLEAN, extendedFileMetadata BOOLEAN, "
    "partitionValues MAP(VARCHAR, VARCHAR), size BIGINT, "
    "tags MAP(VARCHAR, VARCHAR))', "
    "metaData: 'STRUCT(id VARCHAR, name VARCHAR, description VARCHAR, "
    "format STRUCT(provider VARCHAR, options MAP(VARCHAR, VARCHAR)), "
    "schemaString VARCHAR, partitionColumns VARCHAR[], "
    "configuration MAP(VARCHAR, VARCHAR), createdTime BIGINT)', "
    "protocol: 'STRUCT(minReaderVersion INTEGER, minWriterVersion INTEGER, "
    "readerFeatures VARCHAR[], writerFeatures VARCHAR[])'}";

/* A checkpoint that is being made. */
struct making {
	FILE *lines;
	size_t longest;
	int64_t rows, adds;
	char *lines_path, *parquet_path;
	struct buf line;
};

/* --- rows as lines --- */

static void end_line(struct making *m)
{
	buf_text(&m->line, "}}\n");
	fwrite(m->line.data, 1, m->line.used, m->lines);
	if (m->line.used > m->longest)
		m->longest = m->line.used;
	buf_clear(&m->line);
	m->rows++;
}

static void print_partition(const struct data_file *d, struct buf *out)
{
	buf_text(out, ",\"partitionValues\":{");
	for (uint32_t i = 0; i < d->part_count; i++) {
		const struct partition_value *p = &d->parts[i];

		if (p->value) {
			delta_body_text(out, p->column, p->value);
			continue;
		}
		buf_text(out, i ? ",\"" : "\"");
		buf_json_escape(out, p->column, strlen(p->column));
		buf_text(out, "\":null");
	}
	buf_char(out, '}');
}

static void print_add(struct making *m, const struct data_file *d)
{
	buf_text(&m->line, "{\"add\":{");
	delta_body_text(&m->line, "path", d->file.path);
	print_partition(d, &m->line);
	buf_printf(&m->line,
		   ",\"size\":%" PRId64 ",\"modificationTime\":%" PRId64
		   ",\"dataChange\":false",
		   d->file.bytes, d->file.modified_at_ms);
	if (d->tags)
		buf_printf(&m->line, ",\"tags\":%s", d->tags);
	if (d->file.stats)
		delta_body_text(&m->line, "stats", d->file.stats);
	end_line(m);
	m->adds++;
}

static void print_remove(struct making *m, const struct data_file *d)
{
	buf_text(&m->line, "{\"remove\":{");
	delta_body_text(&m->line, "path", d->file.path);
	buf_printf(&m->line,
		   ",\"deletionTimestamp\":%" PRId64 ",\"dataChange\":false",
		   d->deleted_at_ms);
	if (d->known) {
		buf_text(&m->line, ",\"extendedFileMetadata\":true");
		print_partition(d, &m->line);
		buf_printf(&m->line, ",\"size\":%" PRId64, d->file.bytes);
		if (d->tags)
			buf_printf(&m->line, ",\"tags\":%s", d->tags);
	}
	end_line(m);
}

static void print_txn(struct making *m, const struct txn *txn)
{
	buf_text(&m->line, "{\"txn\":{");
	delta_body_text(&m->line, "appId", txn->app_id);
	buf_printf(&m->line, ",\"version\":%" PRId64, txn->version);
	if (txn->updated_at_ms >= 0)
		buf_printf(&m->line, ",\"lastUpdated\":%" PRId64,
			   txn->updated_at_ms);
	end_line(m);
}

/* An action that was kept as it came, without the brace that end_line() puts.
 */
static void print_kept(struct making *m, const char *name, const cJSON *action)
{
	char *text = cJSON_PrintUnformatted(action);

	buf_printf(&m->line, "{\"%s\":%.*s", name, (int)strlen(text) - 1, text);
	cJSON_free(text);
	end_line(m);
}

static int print_rows(struct delta *t, struct making *m, struct err *err)
{
	const struct files *f = &t->s.files;
	int rc = 0;

	m->lines = fopen(m->lines_path, "we");
	if (!m->lines)
		return err_errno(err, errno, "cannot create %s", m->lines_path);
	print_kept(m, "protocol", t->s.protocol);
	print_kept(m, "metaData", t->s.metadata);
	for (uint32_t i = 0; i < t->s.txn_count; i++)
		print_txn(m, &t->s.txns[i]);
	for (uint32_t i = 0; i < f->count; i++) {
		if (f->all[i]->live)
			print_add(m, f->all[i]);
		else
			print_remove(m, f->all[i]);
	}
	if (ferror(m->lines))
		rc = err_errno(err, EIO, "cannot write %s", m->lines_path);
	if (fclose(m->lines) != 0 && rc == 0)
		rc = err_errno(err, errno, "cannot write %s", m->lines_path);
	return rc;
}

/* --- lines to Parquet --- */

static int convert(struct delta *t, const struct making *m, struct err *err)
{
	struct buf sql = {0};
	int rc;

	buf_text(&sql, "COPY (SELECT txn, \"add\", remove, metaData, protocol "
		       "FROM read_json(");
	duck_path(&sql, m->lines_path);
	/* It reads by buffers of twice the longest line that is allowed. */
	buf_printf(&sql,
		   ", format = 'newline_delimited', "
		   "maximum_object_size = %zu, columns = %s)) TO ",
		   m->longest + (1 << 20), columns_sql);
	duck_literal(&sql, m->parquet_path, strlen(m->parquet_path));
	buf_text(&sql, " (FORMAT parquet, COMPRESSION snappy, "
		       "DICTIONARY_SIZE_LIMIT 0)");
	rc = duck_run(t->duck, buf_str(&sql), err);
	buf_free(&sql);
	return rc;
}

/* A checkpoint that lacks rows would lose files for every reader. */
static int verify(struct delta *t, const struct making *m, struct err *err)
{
	struct duck_result *result = NULL;
	struct buf sql = {0};
	int rc;

	buf_text(&sql, "SELECT count(*)::BIGINT, "
		       "count(\"add\".path)::BIGINT FROM read_parquet(");
	duck_path(&sql, m->parquet_path);
	buf_char(&sql, ')');
	rc = duck_query(t->duck, buf_str(&sql), &result, err);
	if (rc == 0)
		rc = duck_next(result, err) == 1 ? 0 : -1;
	if (rc == 0 &&
	    (duck_int(result, 0) != m->rows || duck_int(result, 1) != m->adds))
		rc = err_set(err, EIO,
			     "%s has %" PRId64 " rows and %" PRId64
			     " files instead of %" PRId64 " and %" PRId64,
			     m->parquet_path, duck_int(result, 0),
			     duck_int(result, 1), m->rows, m->adds);
	duck_result_free(&result);
	buf_free(&sql);
	return rc;
}

/* --- to the store --- */

static int publish(struct delta *t, const struct making *m, struct err *err)
{
	struct buf name = {0}, hint = {0};
	struct stat st;
	int rc = 0;

	if (stat(m->parquet_path, &st) != 0)
		rc = err_errno(err, errno, "cannot find %s", m->parquet_path);
	if (rc == 0)
		rc = store_upload(t->store,
				  delta_path_log(&name, t->path, t->s.version,
						 ".checkpoint.parquet"),
				  m->parquet_path, err);
	if (rc == 0) {
		FAILPOINT("delta_checkpoint_uploaded");
		t->s.checkpoint = t->s.version;
		buf_clear(&name);
		buf_printf(&name, "%s/_delta_log/_last_checkpoint", t->path);
		buf_printf(&hint,
			   "{\"version\":%" PRId64 ",\"size\":%" PRId64
			   ",\"sizeInBytes\":%" PRId64
			   ",\"numOfAddFiles\":%" PRId64 "}",
			   t->s.version, m->rows, (int64_t)st.st_size, m->adds);
		rc = store_put(t->store, buf_str(&name), hint.data, hint.used,
			       err);
	}
	buf_free(&name);
	buf_free(&hint);
	return rc;
}

/* "interval 1 week": how long removed files are remembered. */
static int64_t retention_ms(const struct delta *t)
{
	static const struct {
		const char *name;
		int64_t ms;
	} units[] = {{"second", 1000},
		     {"minute", 60000},
		     {"hour", 3600000},
		     {"day", 86400000},
		     {"week", 604800000}};
	const char *text =
	    delta_property(t, "delta.deletedFileRetentionDuration");
	char word[16];
	int count;

	if (!text)
		return RETENTION_MS;
	if (sscanf(text, "interval %9d %15s", &count, word) == 2 ||
	    sscanf(text, "%9d %15s", &count, word) == 2) {
		for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
			size_t bytes = strlen(units[i].name);

			if (count >= 0 &&
			    strncmp(word, units[i].name, bytes) == 0)
				return count * units[i].ms;
		}
	}
	return INT64_MAX; /* of a form not known here: for ever */
}

static void forget_removed(struct delta *t)
{
	int64_t kept_ms = retention_ms(t);
	int64_t now_ms = clock_wall_us() / 1000;

	if (kept_ms < now_ms)
		files_expire(&t->s.files, now_ms - kept_ms);
}

/* Others make checkpoints too; those that nobody told of are seen here. */
static bool is_due(struct delta *t, int64_t interval)
{
	int64_t hint;

	if (t->s.version - t->s.checkpoint < interval)
		return false;
	hint = delta_log_hint(t);
	if (hint > t->s.checkpoint && hint <= t->s.version)
		t->s.checkpoint = hint;
	return t->s.version - t->s.checkpoint >= interval;
}

int delta_checkpoint(struct delta *t, int64_t interval, struct err *err)
{
	struct uuid id = uuid_new();
	char text[UUID_TEXT_BYTES];
	struct making m = {0};
	int rc;

	if (t->pinned || !t->duck || t->s.version < 0 || t->broken ||
	    !is_due(t, interval))
		return 0;
	if (delta_feature_check_write(t, &t->s, err) != 0)
		return -1;
	uuid_format(&id, text);
	m.lines_path = xasprintf("%s/%s.json", duck_temp_dir(t->duck), text);
	m.parquet_path =
	    xasprintf("%s/%s.parquet", duck_temp_dir(t->duck), text);
	forget_removed(t);
	rc = print_rows(t, &m, err);
	if (rc == 0)
		rc = convert(t, &m, err);
	if (rc == 0)
		rc = verify(t, &m, err);
	if (rc == 0)
		rc = publish(t, &m, err);
	if (rc != 0)
		err_wrap(err,
			 "table %s: cannot make a checkpoint of version "
			 "%" PRId64,
			 t->path, t->s.version);
	unlink(m.lines_path);
	unlink(m.parquet_path);
	free(m.lines_path);
	free(m.parquet_path);
	buf_free(&m.line);
	return rc;
}
