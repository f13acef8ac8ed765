/*
 * Delta tables of a lake, for tests in Python. ROOT is a folder, or the URL of
 * a container, whose account's key is in STORE_KEY:
 *
 *   delta_driver ROOT show TABLE [VERSION]   what it holds, as JSON
 *   delta_driver ROOT history TABLE LIMIT    a JSON line for each commit
 *   delta_driver ROOT checkpoint TABLE       of the newest version
 *   delta_driver ROOT append TABLE SCHEMA SQL [APP FROM TO]
 *       SCHEMA is a schemaString, the rows are those of SQL (FROM is it);
 *       prints the result and the version
 *   delta_driver ROOT race TABLE APP COMMITS
 *       commits a file that is not there so often, one after another
 *
 * Exit code 1 and the error on stderr when something fails.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/uuid.h"
#include "lake/delta.h"
#include "lake/parquet.h"
#include "lake/store_blob.h"

static struct store *store;
static struct duck *duck;
static struct delta *table;
static char temp[] = "/tmp/delta_driver.XXXXXX";

static int fail(const struct err *err)
{
	fprintf(stderr, "%s%s\n", err->text, err->retriable ? " (again)" : "");
	return 1;
}

static void put_text(struct buf *out, const char *name, const char *text)
{
	buf_printf(out, ",\"%s\":", name);
	if (!text) {
		buf_text(out, "null");
		return;
	}
	buf_char(out, '"');
	buf_json_escape(out, text, strlen(text));
	buf_char(out, '"');
}

static void put_file(struct buf *out, const struct delta_file *f)
{
	buf_printf(out,
		   "{\"bytes\":%" PRId64 ",\"modified_at_ms\":%" PRId64
		   ",\"records\":%" PRId64,
		   f->bytes, f->modified_at_ms, f->records);
	put_text(out, "path", f->path);
	put_text(out, "name", f->name);
	put_text(out, "stats", f->stats);
	buf_text(out, ",\"partition\":{\"\":null");
	for (uint32_t i = 0; i < delta_partition_count(table); i++)
		put_text(out, delta_partition_column(table, i),
			 f->partition[i]);
	buf_text(out, "}}");
}

static int show(void)
{
	struct buf out = {0}, schema = {0};

	buf_printf(&out, "{\"version\":%" PRId64, delta_version(table));
	if (delta_schema(table)) {
		schema_print_delta(delta_schema(table), &schema);
		put_text(&out, "schema", buf_str(&schema));
	}
	buf_text(&out, ",\"files\":[");
	for (uint32_t i = 0; i < delta_file_count(table); i++) {
		if (i)
			buf_char(&out, ',');
		put_file(&out, delta_file_at(table, i));
	}
	buf_text(&out, "]}");
	puts(buf_str(&out));
	buf_free(&out);
	buf_free(&schema);
	return 0;
}

static bool print_entry(void *arg, const struct delta_entry *e)
{
	struct buf out = {0};

	(void)arg;
	buf_printf(&out,
		   "{\"version\":%" PRId64 ",\"at_ms\":%" PRId64
		   ",\"files_added\":%" PRId64 ",\"files_removed\":%" PRId64
		   ",\"records\":%" PRId64,
		   e->version, e->at_ms, e->files_added, e->files_removed,
		   e->records);
	put_text(&out, "operation", e->operation);
	put_text(&out, "engine", e->engine);
	buf_char(&out, '}');
	puts(buf_str(&out));
	buf_free(&out);
	return true;
}

static int commit(const struct delta_commit *c)
{
	static const char *const names[] = {"committed", "already", "moved"};
	enum delta_result result;
	bool mine, uncertain;
	struct err err;

	if (delta_write(table, c, &result, &mine, &uncertain, &err) != 0)
		return fail(&err);
	printf("%s %" PRId64 " %s\n", names[result], delta_version(table),
	       mine ? "mine" : "not mine");
	return 0;
}

/* TABLE SCHEMA SQL [APP FROM TO] */
static int append(int argc, char **argv)
{
	struct delta_commit c = {.operation = "WRITE", .engine = "weft/test"};
	struct parquet_written w = {0};
	struct uuid id = uuid_new();
	char text[UUID_TEXT_BYTES];
	char *name = xasprintf("part-%s.zstd.parquet", uuid_format(&id, text));
	char *path = xasprintf("%s/%s", temp, name);
	char *target = xasprintf("%s/%s", argv[0], name);
	struct delta_add add = {.name = name};
	struct err err;
	int rc = 1;

	if (schema_parse(&c.schema, argv[1], strlen(argv[1]), &err) != 0 ||
	    parquet_write(duck, c.schema, argv[2], path, "zstd", &w, &err) !=
		0 ||
	    store_upload(store, target, path, &err) != 0) {
		fail(&err);
		goto out;
	}
	add.bytes = w.bytes;
	add.stats = buf_str(&w.stats);
	c.adds = &add;
	c.add_count = 1;
	if (argc == 6) {
		c.app_id = argv[3];
		c.txn_from = atoll(argv[4]);
		c.txn_version = atoll(argv[5]);
	}
	rc = commit(&c);
out:
	schema_unref(&c.schema);
	parquet_written_free(&w);
	unlink(path);
	free(name);
	free(path);
	free(target);
	return rc;
}

static int race(const char *app, int commits)
{
	static const char columns[] =
	    "{\"type\":\"struct\",\"fields\":[{\"name\":\"x\",\"type\":"
	    "\"long\",\"nullable\":true,\"metadata\":{}}]}";
	struct delta_commit c = {.operation = "WRITE",
				 .engine = "weft/test",
				 .app_id = app,
				 .txn_from = -1};
	struct err err;
	int rc = 0;

	if (schema_parse(&c.schema, columns, strlen(columns), &err) != 0)
		return fail(&err);
	for (int i = 0; i < commits && rc == 0; i++) {
		char *name = xasprintf("%s-%d.parquet", app, i);
		struct delta_add add = {.name = name, .bytes = 1};

		c.adds = &add;
		c.add_count = 1;
		c.txn_version = i;
		rc = commit(&c);
		c.txn_from = i;
		free(name);
	}
	schema_unref(&c.schema);
	return rc;
}

static int run(const char *command, int argc, char **argv)
{
	struct err err;
	int rc = 0;

	if (strcmp(command, "show") == 0 && argc == 2)
		rc = delta_open_at(&table, store, duck, argv[0], atoll(argv[1]),
				   &err);
	else
		rc = delta_open(&table, store, duck, argv[0], &err);
	if (rc != 0)
		return fail(&err);
	if (strcmp(command, "show") == 0)
		return show();
	if (strcmp(command, "append") == 0 && (argc == 3 || argc == 6))
		return append(argc, argv);
	if (strcmp(command, "race") == 0 && argc == 3)
		return race(argv[1], atoi(argv[2]));
	if (strcmp(command, "history") == 0 && argc == 2)
		rc = delta_history(table, (uint32_t)atoi(argv[1]), print_entry,
				   NULL, &err);
	else if (strcmp(command, "checkpoint") == 0)
		rc = delta_checkpoint(table, 1, &err);
	else
		rc = err_set(&err, 1, "no such command: %s", command);
	return rc == 0 ? 0 : fail(&err);
}

static int open_store(const char *root, struct err *err)
{
	static struct conf_identity identity;
	static const struct blob_options options = {.identity_name = "lake",
						    .identity = &identity};

	identity.type = IDENTITY_ACCOUNT_KEY;
	identity.key = getenv("STORE_KEY");
	return store_open(&store, root, &options, err);
}

int main(int argc, char **argv)
{
	struct duck_options options = {
	    .temp_dir = temp, .memory_bytes = 300 << 20, .threads = 1};
	struct err err;
	int rc;

	if (argc < 4 || !mkdtemp(temp))
		return 2;
	/* Those that race are many, and read no checkpoint. */
	if (open_store(argv[1], &err) != 0 ||
	    (strcmp(argv[2], "race") != 0 &&
	     duck_open(&duck, &options, &err) != 0))
		rc = fail(&err);
	else
		rc = run(argv[2], argc - 3, argv + 3);
	delta_close(&table);
	duck_close(&duck);
	store_close(&store);
	rmdir(temp);
	return rc;
}
