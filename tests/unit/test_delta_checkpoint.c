/* Checkpoints of a Delta table in a local folder: ours and foreign ones. */
#include "delta_fixture.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

#define LOG   "Tables/t/_delta_log/"
#define V(n)  LOG "000000000000000000" n
#define STATS "{\"numRecords\":3,\"maxValues\":{\"d\":12345678901234567.10}}"

static char dir[] = "/tmp/test_delta_checkpoint.XXXXXX";
static struct store *store;
static struct duck *duck;
static struct delta *t;
static struct err err;

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static int enter(void **state)
{
	struct duck_options options = {.memory_bytes = 300 << 20, .threads = 1};
	char *root, *temp;

	(void)state;
	strcpy(strrchr(dir, '.'), ".XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	root = xasprintf("%s/lake", dir);
	temp = xasprintf("%s/temp", dir);
	options.temp_dir = temp;
	if (mkdir(temp, 0700) != 0 || store_open_local(&store, root, &err) ||
	    duck_open(&duck, &options, &err))
		fail_msg("%s", err.text);
	free(root);
	free(temp);
	return 0;
}

static int leave(void **state)
{
	(void)state;
	delta_close(&t);
	duck_close(&duck);
	store_close(&store);
	return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *name, const char *text)
{
	if (store_put(store, name, text, strlen(text), &err) != 0)
		fail_msg("%s", err.text);
}

static void put_version(int64_t version, const char *text)
{
	char name[80];

	snprintf(name, sizeof(name), LOG "%020" PRId64 ".json", version);
	put(name, text);
}

static void opens(void)
{
	delta_close(&t);
	if (delta_open(&t, store, duck, "Tables/t", &err) != 0)
		fail_msg("%s", err.text);
}

static void checkpoints(int64_t interval)
{
	if (delta_checkpoint(t, interval, &err) != 0)
		fail_msg("%s", err.text);
}

static bool exists(const char *name)
{
	struct buf data = {0};
	int rc = store_get(store, name, 1 << 20, &data, &err);

	buf_free(&data);
	return rc == 0;
}

static void forget(const char *name)
{
	assert_int_equal(store_remove(store, name, &err), 0);
}

/* Runs SQL in which %s is the path of a name in the store. */
static void sql(const char *format, const char *name)
{
	char *path = xasprintf("%s/lake/%s", dir, name);
	char *text;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	text = xasprintf(format, path);
#pragma GCC diagnostic pop
	if (duck_run(duck, text, &err) != 0)
		fail_msg("%s", err.text);
	free(text);
	free(path);
}

/* The only value of a query about a file of the store. */
static int64_t value_of(const char *query, const char *name)
{
	char *text = xasprintf("SELECT (%s)::BIGINT FROM read_parquet("
			       "'%s/lake/%s')",
			       query, dir, name);
	struct duck_result *result;
	int64_t value;

	if (duck_query(duck, text, &result, &err) != 0 ||
	    duck_next(result, &err) != 1)
		fail_msg("%s", err.text);
	value = duck_int(result, 0);
	duck_result_free(&result);
	free(text);
	return value;
}

/* A table with all kinds of what a checkpoint holds, at version 2. */
static void make_table(void)
{
	char *removed = xasprintf(
	    "{\"remove\":{\"path\":\"b\",\"deletionTimestamp\":%" PRId64
	    ",\"dataChange\":true,\"extendedFileMetadata\":true,"
	    "\"partitionValues\":{\"p\":\"1\"},\"size\":10}}\n%s",
	    clock_wall_us() / 1000,
	    REMOVE("old") TXN("a", "9007199254740993") TXN("b", "2"));

	put_version(
	    0, PROTOCOL METADATA_OF(FIELD("x", "long") "," FIELD("p", "string"),
				    "\"p\"", "\"k\":\"v\""));
	put_version(
	    1,
	    "{\"add\":{\"path\":\"a%20b\",\"partitionValues\":{\"p\":"
	    "\"A/\\\"Ä\"},\"size\":1099511627776,\"modificationTime\":"
	    "1700000000123,\"dataChange\":true,\"tags\":{\"k\":\"v\"},"
	    "\"stats\":\"{\\\"numRecords\\\":3,\\\"maxValues\\\":"
	    "{\\\"d\\\":12345678901234567.10}}\"}}\n"
	    "{\"add\":{\"path\":\"n\",\"partitionValues\":{\"p\":null},"
	    "\"size\":1,\"modificationTime\":1,\"dataChange\":true}}\n" ADD("b")
		ADD("old"));
	put_version(2, removed);
	free(removed);
}

static void expect_table(void)
{
	const struct delta_file *f = delta_file_at(t, 0);

	assert_int_equal(delta_file_count(t), 2);
	assert_string_equal(f->path, "a%20b");
	assert_string_equal(f->name, "Tables/t/a b");
	assert_int_equal(f->bytes, INT64_C(1099511627776));
	assert_int_equal(f->modified_at_ms, INT64_C(1700000000123));
	assert_string_equal(f->partition[0], "A/\"Ä");
	assert_string_equal(f->stats, STATS);
	assert_int_equal(f->records, 3);
	assert_null(delta_file_at(t, 1)->partition[0]);
	assert_null(delta_file_at(t, 1)->stats);
	assert_int_equal(delta_txn(t, "a"), INT64_C(9007199254740993));
	assert_int_equal(delta_txn(t, "b"), 2);
	assert_string_equal(delta_property(t, "k"), "v");
	assert_int_equal(schema_count(delta_schema(t)), 2);
	assert_string_equal(delta_partition_column(t, 0), "p");
}

/* --- ours --- */

/* Partitioned tables take no commit of ours, and so no checkpoint. */
static void unpartition(void)
{
	put_version(3, METADATA_OF(FIELD("x", "long") "," FIELD("p", "string"),
				   "", "\"k\":\"v\""));
}

static void a_checkpoint_holds_all_that_its_commits_said(void **state)
{
	(void)state;
	make_table();
	unpartition();
	opens();
	checkpoints(4);
	for (int i = 0; i < 4; i++) {
		char name[80];

		snprintf(name, sizeof(name), LOG "%020d.json", i);
		forget(name);
	}
	/* Back to the columns that the other tests know. */
	put_version(4, METADATA_OF(FIELD("x", "long") "," FIELD("p", "string"),
				   "\"p\"", "\"k\":\"v\""));
	opens();
	assert_int_equal(delta_version(t), 4);
	expect_table();
	/* What was removed within the week stays known, older is forgotten. */
	assert_int_equal(
	    value_of("count(remove.path)", V("03.checkpoint.parquet")), 1);
	assert_int_equal(value_of("count(*) FILTER (remove.path = 'b' AND "
				  "remove.partitionValues['p'] = '1')",
				  V("03.checkpoint.parquet")),
			 1);
	assert_int_equal(value_of("count(*) FILTER (\"add\".tags['k'] = 'v')",
				  V("03.checkpoint.parquet")),
			 1);
}

static void the_hint_points_at_it(void **state)
{
	struct buf hint = {0};

	(void)state;
	put_version(0, PROTOCOL METADATA ADD("a") ADD("b"));
	opens();
	checkpoints(1);
	assert_int_equal(
	    store_get(store, LOG "_last_checkpoint", 1000, &hint, &err), 0);
	assert_memory_equal(buf_str(&hint), "{\"version\":0,\"size\":4,", 22);
	assert_non_null(strstr(buf_str(&hint), ",\"numOfAddFiles\":2}"));
	buf_free(&hint);
}

static void it_is_made_once_an_interval(void **state)
{
	(void)state;
	put_version(0, PROTOCOL METADATA ADD("a"));
	opens();
	checkpoints(2);
	assert_false(exists(V("00.checkpoint.parquet")));
	put_version(1, ADD("b"));
	opens();
	checkpoints(2);
	assert_true(exists(V("01.checkpoint.parquet")));
	put_version(2, ADD("c"));
	assert_int_equal(delta_refresh(t, &err), 0);
	checkpoints(2);
	assert_false(exists(V("02.checkpoint.parquet")));
	/* Somebody else makes one: the next is counted from there. */
	put_version(3, ADD("d"));
	sql("COPY (SELECT 1 AS x) TO '%s' (FORMAT parquet)",
	    V("03.checkpoint.parquet"));
	assert_int_equal(delta_refresh(t, &err), 0);
	put_version(4, ADD("e"));
	assert_int_equal(delta_refresh(t, &err), 0);
	checkpoints(2);
	assert_false(exists(V("04.checkpoint.parquet")));
}

static void no_dictionaries_are_in_it(void **state)
{
	char *query;
	struct duck_result *result;

	(void)state;
	put_version(0, PROTOCOL METADATA ADD("a") ADD("b") ADD("c"));
	opens();
	checkpoints(1);
	query = xasprintf("SELECT count(*)::BIGINT FROM parquet_metadata("
			  "'%s/lake/%s') WHERE encodings NOT IN "
			  "('PLAIN', 'PLAIN, RLE', 'RLE, PLAIN')",
			  dir, V("00.checkpoint.parquet"));
	assert_int_equal(duck_query(duck, query, &result, &err), 0);
	assert_int_equal(duck_next(result, &err), 1);
	assert_int_equal(duck_int(result, 0), 0);
	duck_result_free(&result);
	free(query);
}

static void a_broken_one_is_passed_over(void **state)
{
	(void)state;
	put_version(0, PROTOCOL METADATA ADD("a"));
	opens();
	checkpoints(1);
	put_version(1, ADD("b"));
	put(V("01.checkpoint.parquet"), "PAR1 no more");
	put(LOG "_last_checkpoint", "{\"version\":1,\"size\":4}");
	opens();
	assert_int_equal(delta_version(t), 1);
	assert_string_equal(live_files(t), "a b");
	/* Nothing else is left to begin with. */
	forget(V("00.json"));
	forget(V("00.checkpoint.parquet"));
	delta_close(&t);
	assert_int_equal(delta_open(&t, store, duck, "Tables/t", &err), -1);
	assert_non_null(strstr(err.text, "version 0 of its log is missing"));
}

static void a_log_cleaned_up_ahead_of_us_is_loaded_anew(void **state)
{
	struct delta *other;

	(void)state;
	put_version(0, PROTOCOL METADATA ADD("a"));
	opens();
	put_version(1, ADD("b"));
	put_version(2, ADD("c"));
	assert_int_equal(delta_open(&other, store, duck, "Tables/t", &err), 0);
	assert_int_equal(delta_checkpoint(other, 1, &err), 0);
	delta_close(&other);
	put_version(3, ADD("d"));
	forget(V("00.json"));
	forget(V("01.json"));
	forget(V("02.json"));
	assert_int_equal(delta_refresh(t, &err), 0);
	assert_int_equal(delta_version(t), 3);
	assert_string_equal(live_files(t), "a b c d");
}

static void versions_below_it_need_their_commits(void **state)
{
	struct delta *old;

	(void)state;
	put_version(0, PROTOCOL METADATA ADD("a"));
	put_version(1, ADD("b"));
	opens();
	checkpoints(1);
	put_version(2, ADD("c"));
	assert_int_equal(delta_open_at(&old, store, duck, "Tables/t", 0, &err),
			 0);
	assert_int_equal(delta_file_count(old), 1);
	delta_close(&old);
	forget(V("00.json"));
	assert_int_equal(delta_open_at(&old, store, duck, "Tables/t", 0, &err),
			 -1);
	assert_int_equal(delta_open_at(&old, store, duck, "Tables/t", 1, &err),
			 0);
	assert_int_equal(delta_file_count(old), 2);
	delta_close(&old);
}

static void without_duckdb_a_checkpoint_is_not_read(void **state)
{
	(void)state;
	put_version(0, PROTOCOL METADATA ADD("a"));
	opens();
	checkpoints(1);
	delta_close(&t);
	assert_int_equal(delta_open(&t, store, NULL, "Tables/t", &err), -1);
	assert_non_null(strstr(err.text, "checkpoint at version 0"));
}

static const char *nowhere_local(struct store *s, const char *name,
				 struct buf *path)
{
	(void)s;
	(void)name;
	(void)path;
	return NULL;
}

static void a_checkpoint_far_away_is_fetched(void **state)
{
	const struct store_kind *local = store->kind;
	struct store_kind remote = *local;
	char *temp = xasprintf("%s/temp", dir);

	(void)state;
	put_version(0, PROTOCOL METADATA ADD("a"));
	opens();
	checkpoints(1);
	forget(V("00.json"));
	put_version(1, ADD("b"));
	remote.local_path = nowhere_local;
	store->kind = &remote;
	opens();
	store->kind = local;
	assert_string_equal(live_files(t), "a b");
	/* No copy is left behind. */
	assert_int_equal(rmdir(temp), 0);
	free(temp);
}

/* --- foreign ones --- */

/* As Spark writes them: stats as structs, columns that we do not know. */
static const char foreign[] =
    "COPY (SELECT * FROM (VALUES "
    "({'minReaderVersion': 1::INTEGER, 'minWriterVersion': 2::INTEGER}, "
    "NULL, NULL, NULL, NULL), "
    "(NULL, {'id': 'i', 'format': {'provider': 'parquet', "
    "'options': MAP {}::MAP(VARCHAR, VARCHAR)}, 'schemaString': "
    "'{\"type\":\"struct\",\"fields\":[]}', "
    "'partitionColumns': ['p'], 'configuration': MAP {'k': 'v'}, "
    "'createdTime': 1::BIGINT}, NULL, NULL, NULL), "
    "(NULL, NULL, {'path': 'x=%%2520y/f', 'partitionValues': MAP {'p': 'q'}, "
    "'size': 5::BIGINT, 'modificationTime': 6::BIGINT, 'dataChange': false, "
    "'partitionValues_parsed': {'p': 'q'}, 'stats_parsed': {'numRecords': "
    "77::BIGINT, 'minValues': {'b': '\\x00'::BLOB, 'm': {'deep': "
    "{'er': {'and': {'on': 1}}}}}}}, NULL, NULL), "
    "(NULL, NULL, NULL, {'appId': 'a', 'version': 9007199254740993::BIGINT}, "
    "NULL), "
    "(NULL, NULL, NULL, NULL, {'version': 3})) "
    "v(protocol, \"metaData\", \"add\", txn, checkpointMetadata)) "
    "TO '%s' (FORMAT parquet)";

static void expect_foreign(void)
{
	opens();
	assert_int_equal(delta_version(t), 3);
	assert_int_equal(delta_file_count(t), 1);
	assert_string_equal(delta_file_at(t, 0)->name, "Tables/t/x=%20y/f");
	assert_string_equal(delta_file_at(t, 0)->partition[0], "q");
	assert_int_equal(delta_file_at(t, 0)->records, 77);
	assert_string_equal(delta_file_at(t, 0)->stats, "{\"numRecords\":77}");
	assert_int_equal(delta_txn(t, "a"), INT64_C(9007199254740993));
	assert_string_equal(delta_property(t, "k"), "v");
}

static void foreign_columns_are_left_alone(void **state)
{
	(void)state;
	put_version(3, "");
	sql(foreign, V("03.checkpoint.parquet"));
	expect_foreign();
}

static void parts_are_read_when_all_are_there(void **state)
{
	static const char first[] = V("03.checkpoint.0000000001.0000000002."
				      "parquet");
	static const char second[] = V("03.checkpoint.0000000002.0000000002."
				       "parquet");

	(void)state;
	put_version(3, "");
	sql(foreign, first);
	delta_close(&t);
	assert_int_equal(delta_open(&t, store, duck, "Tables/t", &err), -1);
	assert_non_null(strstr(err.text, "version 0 of its log is missing"));
	sql("COPY (SELECT {'path': 'gone', 'deletionTimestamp': 1::BIGINT} AS "
	    "remove) TO '%s' (FORMAT parquet)",
	    second);
	put(LOG "_last_checkpoint", "{\"version\":3,\"size\":6,\"parts\":2}");
	expect_foreign();
}

/* --- many --- */

static void put_many(int commits)
{
	put_version(0, PROTOCOL METADATA);
	for (int i = 1; i < commits; i++) {
		char *path = xasprintf("%s/lake/" LOG "%020d.json", dir, i);
		FILE *f = fopen(path, "w");

		assert_non_null(f);
		fprintf(f,
			ADD("%d-a") ADD("%d-b") ADD("%d-c") REMOVE("%d-c")
			    TXN("app", "%d"),
			i, i, i, i - 1, i);
		assert_int_equal(fclose(f), 0);
		free(path);
	}
}

static void expect_many(int commits)
{
	assert_int_equal(delta_version(t), commits - 1);
	assert_int_equal(delta_file_count(t), 2 * (commits - 1) + 1);
	assert_int_equal(delta_txn(t, "app"), commits - 1);
}

static void many_files_and_commits_are_read(void **state)
{
	const int commits = 10000;
	int64_t start;

	(void)state;
	put_many(commits);
	start = clock_mono_us();
	opens();
	print_message("%d commits read in %" PRId64 " ms\n", commits,
		      (clock_mono_us() - start) / 1000);
	expect_many(commits);
	start = clock_mono_us();
	checkpoints(1);
	print_message("their checkpoint made in %" PRId64 " ms\n",
		      (clock_mono_us() - start) / 1000);
	/* All of it comes from the checkpoint now. */
	forget(V("00.json"));
	start = clock_mono_us();
	opens();
	print_message("and read in %" PRId64 " ms\n",
		      (clock_mono_us() - start) / 1000);
	expect_many(commits);
}

/* DuckDB takes [k] in a path for a pattern, which finds the lake beside. */
static void a_folder_named_like_a_pattern_is_none(void **state)
{
	char *root = xasprintf("%s/la[k]e", dir);

	(void)state;
	put_version(0, PROTOCOL METADATA ADD("x"));
	put_version(1, ADD("y"));
	opens();
	checkpoints(1);
	store_close(&store);
	if (store_open_local(&store, root, &err) != 0)
		fail_msg("%s", err.text);
	put_version(0, PROTOCOL METADATA ADD("a"));
	put_version(1, ADD("b"));
	opens();
	checkpoints(1);
	forget(V("00") ".json");
	opens();
	assert_int_equal(delta_version(t), 1);
	assert_string_equal(live_files(t), "a b");
	free(root);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, enter, leave)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_checkpoint_holds_all_that_its_commits_said),
	    TEST(the_hint_points_at_it),
	    TEST(a_folder_named_like_a_pattern_is_none),
	    TEST(it_is_made_once_an_interval),
	    TEST(no_dictionaries_are_in_it),
	    TEST(a_broken_one_is_passed_over),
	    TEST(a_log_cleaned_up_ahead_of_us_is_loaded_anew),
	    TEST(versions_below_it_need_their_commits),
	    TEST(without_duckdb_a_checkpoint_is_not_read),
	    TEST(a_checkpoint_far_away_is_fetched),
	    TEST(foreign_columns_are_left_alone),
	    TEST(parts_are_read_when_all_are_there),
	    TEST(many_files_and_commits_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
