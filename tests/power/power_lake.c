/*
 * Commits to a Delta table in a local folder under loss of power: data files
 * uploaded, commits linked, checkpoints, syncs that fail. The rows are numbers
 * from 0 on, the txn says how many. What it promises, one a line:
 *
 *   intend TO              the table may have TO rows from now on
 *   commit VERSION TO      it has, in that version
 *
 * check goes on where the table is; check_lake.py reads it before and after by
 * a reader that is not ours.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/uuid.h"
#include "lake/delta.h"
#include "lake/parquet.h"
#include "tests/power/common.h"
#include "tests/power/record.h"

#define TABLE "Tables/numbers"
#define APP   "weft/power/numbers"
#define TRIES 20
#define COLUMNS                                                               \
	"{\"type\":\"struct\",\"fields\":[{\"name\":\"id\",\"type\":\"long\"" \
	",\"nullable\":true,\"metadata\":{}},{\"name\":\"text\",\"type\":"    \
	"\"string\",\"nullable\":true,\"metadata\":{}}]}"

struct lake_run {
	struct draw draw;
	struct store *store;
	struct duck *duck;
	struct delta *table;
	struct schema *schema;
	char *scratch;
	char temp[64];
	int64_t committed, version, intended; /* as promised */
};

static void load(struct lake_run *r, const char *path)
{
	size_t count;
	char **lines = read_promises(path, &count);

	r->version = -1;
	for (size_t i = 0; i < count; i++) {
		int64_t a = 0, b = 0;

		if (sscanf(lines[i], "intend %" SCNd64, &a) == 1) {
			r->intended = a;
		} else {
			MUST(sscanf(lines[i], "commit %" SCNd64 " %" SCNd64, &a,
				    &b) == 2,
			     "no promise: %s", lines[i]);
			r->version = a;
			r->committed = b;
		}
	}
}

static void open_lake(struct lake_run *r, const char *folder)
{
	struct duck_options options = {
	    .temp_dir = r->temp, .memory_bytes = 300 << 20, .threads = 1};
	char *root = xasprintf("%s/lake", folder);
	struct err err = {0};

	strcpy(r->temp, "/tmp/weft-power-XXXXXX");
	MUST(mkdtemp(r->temp), "no folder for temporary files");
	/* Outside it is another file system to the shim: files are copied. */
	r->scratch = draw(&r->draw, 2) ? xasprintf("%s/scratch", folder)
				       : xasprintf("%s/scratch", r->temp);
	mkdir(r->scratch, 0700);
	MUST(duck_open(&r->duck, &options, &err) == 0 &&
		 schema_parse(&r->schema, COLUMNS, strlen(COLUMNS), &err) ==
		     0 &&
		 store_open_local(&r->store, root, &err) == 0,
	     "cannot begin: %s", err.text);
	free(root);
}

static void open_table(struct lake_run *r)
{
	struct err err = {0};

	delta_close(&r->table);
	MUST(delta_open(&r->table, r->store, r->duck, TABLE, &err) == 0,
	     "the table does not open: %s", err.text);
}

static void close_lake(struct lake_run *r)
{
	delta_close(&r->table);
	store_close(&r->store);
	schema_unref(&r->schema);
	duck_close(&r->duck);
	rmdir(r->scratch);
	rmdir(r->temp);
}

/* ---- commits ---- */

/* Uploads a file with the rows; its name is the caller's. */
static char *upload(struct lake_run *r, int64_t from, int64_t to,
		    struct delta_add *add, struct parquet_written *w)
{
	char text[UUID_TEXT_BYTES], *name = NULL, *path = NULL, *target = NULL;
	struct err err = {0};
	int tries = 0, rc;

	do {
		struct uuid id = uuid_new();
		char *sql = xasprintf(
		    "(SELECT i AS id, repeat('x', 20 + (i %% 50)::INT) || i AS "
		    "text FROM range(%" PRId64 ", %" PRId64 ") t(i))",
		    from, to);

		free(name);
		free(path);
		free(target);
		name = xasprintf("part-%s.parquet", uuid_format(&id, text));
		path = xasprintf("%s/%s", r->scratch, name);
		target = xasprintf(TABLE "/%s", name);
		parquet_written_free(w);
		rc = parquet_write(r->duck, r->schema, sql, path, "zstd", w,
				   &err);
		MUST(rc == 0, "cannot write rows: %s", err.text);
		rc = store_upload(r->store, target, path, &err);
		free(sql);
	} while (rc != 0 && ++tries < TRIES);
	MUST(rc == 0, "cannot upload: %s", err.text);
	free(path);
	free(target);
	add->name = name;
	add->bytes = w->bytes;
	add->stats = buf_str(&w->stats);
	return name;
}

static void commit(struct lake_run *r, int64_t rows)
{
	int64_t from = delta_txn(r->table, APP);
	struct delta_commit c = {.app_id = APP,
				 .txn_from = from,
				 .schema = r->schema,
				 .operation = "WRITE",
				 .engine = "weft/test"};
	struct parquet_written w = {0};
	struct delta_add add;
	enum delta_result result;
	bool mine, uncertain;
	struct err err = {0};
	char *name;
	int tries = 0, rc;

	c.txn_version = (from < 0 ? 0 : from) + rows;
	promise("intend %" PRId64, c.txn_version);
	name = upload(r, from < 0 ? 0 : from, c.txn_version, &add, &w);
	c.adds = &add;
	c.add_count = 1;
	do {
		rc =
		    delta_write(r->table, &c, &result, &mine, &uncertain, &err);
	} while (rc != 0 && ++tries < TRIES);
	MUST(rc == 0 && mine && result != DELTA_MOVED, "no commit: %s",
	     err.text);
	promise("commit %" PRId64 " %" PRId64, delta_version(r->table),
		c.txn_version);
	free(name);
	parquet_written_free(&w);
}

static void run(const char *folder, uint64_t seed, uint64_t steps,
		const char *promises)
{
	struct lake_run r = {0};
	struct err ignored;

	MUST(record_fail_syncs, "not under recorddisk.so");
	draw_seed(&r.draw, seed);
	load(&r, promises);
	open_lake(&r, folder);
	open_table(&r);
	for (uint64_t i = 0; i < steps; i++) {
		if (draw(&r.draw, 4) == 0)
			record_fail_syncs((int)draw(&r.draw, 3),
					  (int)draw(&r.draw, 3));
		commit(&r, 1 + (int64_t)draw(&r.draw, 60));
		record_fail_syncs(0, 0);
		if (draw(&r.draw, 3) == 0 &&
		    delta_checkpoint(r.table, 1, &ignored) != 0)
			continue;
		if (draw(&r.draw, 4) == 0)
			open_table(&r);
	}
	close_lake(&r);
}

/* ---- what a loss of power left ---- */

static void check(const char *folder, const char *promises)
{
	struct lake_run r = {.draw.state = 1};
	int64_t rows;

	load(&r, promises);
	open_lake(&r, folder);
	open_table(&r);
	rows = delta_txn(r.table, APP);
	rows = rows < 0 ? 0 : rows;
	MUST(rows >= r.committed && rows <= r.intended,
	     "%" PRId64 " rows, not %" PRId64 " to %" PRId64, rows, r.committed,
	     r.intended);
	MUST(delta_version(r.table) >= r.version,
	     "version %" PRId64 ", was %" PRId64, delta_version(r.table),
	     r.version);
	commit(&r, 10);
	open_table(&r);
	MUST(delta_txn(r.table, APP) == rows + 10, "%" PRId64 " rows",
	     delta_txn(r.table, APP));
	close_lake(&r);
}

int main(int argc, char **argv)
{
	static const struct subject subject = {run, check};

	return power_main(argc, argv, &subject);
}
