/*
 * A table's log: commits one behind the other, divided by lines of "---". The
 * first byte: 1 the first part is _last_checkpoint, 2 the commits begin at
 * version 3, 4 the next part is the checkpoint of version 2: rows as JSON, of
 * which DuckDB makes Parquet, with the columns that it sees in them, or with 8
 * those that a checkpoint has.
 */
#include "tests/fuzz/fuzz.h"

#include "lake/delta.h"

static bool on_entry(void *arg, const struct delta_entry *entry)
{
	(void)arg;
	FUZZ_CHECK(entry->version >= 0);
	return true;
}

static void use(struct delta *t)
{
	struct buf text = {0};
	struct err err;

	for (uint32_t i = 0; i < delta_file_count(t); i++) {
		const struct delta_file *f = delta_file_at(t, i);

		FUZZ_CHECK(f->path && f->name);
		FUZZ_CHECK(f->bytes >= 0 && f->records >= -1);
		for (uint32_t k = 0; k < delta_partition_count(t); k++)
			buf_text(&text, f->partition[k] ? f->partition[k] : "");
	}
	for (uint32_t k = 0; k < delta_partition_count(t); k++)
		buf_text(&text, delta_partition_column(t, k));
	delta_txn(t, "app");
	delta_property(t, "delta.appendOnly");
	(void)!delta_history(t, 10, on_entry, NULL, &err);
	buf_free(&text);
}

static struct duck *duck(void)
{
	static struct duck *d;
	char *dir = xasprintf("%s/duck", fuzz_folder());
	struct duck_options options = {
	    .temp_dir = dir, .memory_bytes = 256 << 20, .threads = 1};
	struct err err;

	if (!d && duck_open(&d, &options, &err) != 0) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	free(dir);
	return d;
}

static const char shape[] =
    "{\"add\":{\"path\":\"VARCHAR\",\"partitionValues\":"
    "\"MAP(VARCHAR, VARCHAR)\",\"size\":\"BIGINT\",\"modificationTime\":"
    "\"BIGINT\",\"dataChange\":\"BOOLEAN\",\"stats\":\"VARCHAR\"},"
    "\"remove\":{\"path\":\"VARCHAR\",\"deletionTimestamp\":\"BIGINT\","
    "\"dataChange\":\"BOOLEAN\"},"
    "\"metaData\":{\"id\":\"VARCHAR\",\"format\":{\"provider\":"
    "\"VARCHAR\"},\"schemaString\":\"VARCHAR\",\"partitionColumns\":"
    "[\"VARCHAR\"],\"configuration\":\"MAP(VARCHAR, VARCHAR)\","
    "\"createdTime\":\"BIGINT\"},"
    "\"protocol\":{\"minReaderVersion\":\"INTEGER\",\"minWriterVersion\":"
    "\"INTEGER\",\"readerFeatures\":[\"VARCHAR\"]},"
    "\"txn\":{\"appId\":\"VARCHAR\",\"version\":\"BIGINT\"}}";

/* What DuckDB makes no Parquet of is no checkpoint. */
static void write_checkpoint(const char *dir, const uint8_t *rows, size_t bytes,
			     bool shaped)
{
	char *json = xasprintf("%s/rows.json", fuzz_folder());
	char *what = shaped
			 ? xasprintf("SELECT s.\"add\", s.remove, s.metaData, "
				     "s.protocol, s.txn FROM (SELECT "
				     "json_transform(json, '%s') AS s FROM "
				     "read_json_objects('%s', format = "
				     "'newline_delimited'))",
				     shape, json)
			 : xasprintf("SELECT * FROM read_json('%s', format = "
				     "'newline_delimited', sample_size = -1)",
				     json);
	char *sql = xasprintf("COPY (%s) TO '%s/%020u.checkpoint.parquet' "
			      "(FORMAT parquet)",
			      what, dir, 2);
	struct err err;

	fuzz_write(json, rows, bytes);
	(void)!duck_run(duck(), sql, &err);
	free(sql);
	free(what);
	free(json);
}

static void write_log(const char *dir, struct fuzz_bytes input, uint64_t how)
{
	unsigned version = how & 6 ? 3 : 0;
	bool hint = how & 1;
	bool checkpoint = how & 4;

	for (int n = 0; n < 6; n++) {
		const uint8_t *end = memmem(input.at, input.left, "\n---\n", 5);
		size_t part = end ? (size_t)(end - input.at) : input.left;
		char *path = hint ? xasprintf("%s/_last_checkpoint", dir)
				  : xasprintf("%s/%020u.json", dir, version);

		if (hint || !checkpoint)
			fuzz_write(path, input.at, part);
		else
			write_checkpoint(dir, input.at, part, how & 8);
		version += !hint && !checkpoint;
		checkpoint = checkpoint && hint;
		hint = false;
		free(path);
		if (!end)
			break;
		input.at += part + 5;
		input.left -= part + 5;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct store *store;
	struct fuzz_bytes input = {data, bytes};
	uint64_t how = fuzz_take(&input, 1);
	char *table = xasprintf("%s/t", fuzz_folder());
	char *dir = xasprintf("%s/_delta_log", table);
	struct delta *t = NULL;
	struct err err = {0};

	if (!store)
		FUZZ_CHECK(store_open_local(&store, fuzz_folder(), &err) == 0);
	mkdir(table, 0700);
	mkdir(dir, 0700);
	write_log(dir, input, how);
	if (delta_open(&t, store, how & 4 ? duck() : NULL, "t", &err) == 0)
		use(t);
	else
		FUZZ_CHECK(strlen(err.text) > 0);
	delta_close(&t);
	if (delta_open_at(&t, store, how & 4 ? duck() : NULL, "t", 3, &err) ==
	    0)
		use(t);
	delta_close(&t);
	fuzz_empty(table);
	free(dir);
	free(table);
	return 0;
}
