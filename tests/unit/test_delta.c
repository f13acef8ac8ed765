/* Reading the log of a Delta table, without checkpoints. */
#include "delta_fixture.h"

static struct memory *m;

static int enter(void **state)
{
	(void)state;
	m = memory_open();
	return 0;
}

static int leave(void **state)
{
	(void)state;
	memory_free(m);
	return 0;
}

static void no_log_is_no_table(void **state)
{
	struct delta *t = open_table(m);

	(void)state;
	assert_int_equal(delta_version(t), -1);
	assert_int_equal(delta_file_count(t), 0);
	assert_int_equal(delta_txn(t, "a"), -1);
	delta_close(&t);
}

static void commits_add_up(void **state)
{
	struct delta *t;

	(void)state;
	put_log(m, 0, PROTOCOL METADATA ADD("a") ADD("b"));
	put_log(m, 1, REMOVE("a") "\r\n\n" ADD("c") TXN("app", "7"));
	put_log(m, 2,
		"{\"commitInfo\":{\"operationParameters\":[1,{}]}}\n"
		"{\"cdc\":{\"path\":\"z\"}}\n{\"domainMetadata\":{}}\n"
		"{\"nobody knows\":1}\n{}\n{\"remove\":null,\"txn\":{"
		"\"appId\":\"late\",\"version\":1},\"add\":null}\n" TXN(
		    "app", "8") ADD("a"));
	t = open_table(m);
	assert_int_equal(delta_version(t), 2);
	assert_string_equal(live_files(t), "a b c");
	assert_int_equal(delta_txn(t, "app"), 8);
	assert_int_equal(delta_txn(t, "ap"), -1);
	assert_int_equal(delta_txn(t, "late"), 1);
	assert_int_equal(schema_count(delta_schema(t)), 1);
	assert_string_equal(delta_file_at(t, 1)->name, "Tables/t/b");
	assert_int_equal(delta_file_at(t, 1)->bytes, 10);
	assert_int_equal(delta_file_at(t, 1)->modified_at_ms, 20);
	assert_int_equal(delta_file_at(t, 1)->records, 3);
	delta_close(&t);
}

static void stats_keep_their_text(void **state)
{
	static const char stats[] =
	    "{\"minValues\":{\"d\":12345678901234567890.1234567890},"
	    "\"numRecords\":9007199254740993}";
	struct delta *t;

	(void)state;
	put_log(m, 0,
		PROTOCOL METADATA
		"{\"add\":{\"path\":\"a\",\"partitionValues\":{},\"size\":1,"
		"\"modificationTime\":1,\"dataChange\":true,\"stats\":"
		"\"{\\\"minValues\\\":{\\\"d\\\":12345678901234567890."
		"1234567890},\\\"numRecords\\\":9007199254740993}\"}}");
	t = open_table(m);
	assert_string_equal(delta_file_at(t, 0)->stats, stats);
	delta_close(&t);
}

static void sizes_and_counts_below_zero_are_none(void **state)
{
	struct delta *t;

	(void)state;
	put_log(m, 0,
		PROTOCOL METADATA
		"{\"add\":{\"path\":\"a\",\"partitionValues\":{},\"size\":-5,"
		"\"modificationTime\":1,\"dataChange\":true,\"stats\":"
		"\"{\\\"numRecords\\\":-7}\"}}");
	t = open_table(m);
	assert_int_equal(delta_file_at(t, 0)->bytes, 0);
	assert_int_equal(delta_file_at(t, 0)->records, -1);
	delta_close(&t);
}

static void txn_versions_are_exact(void **state)
{
	struct delta *t;

	(void)state;
	put_log(m, 0,
		PROTOCOL METADATA TXN("a", "9007199254740993")
		    TXN("b", "9223372036854775807") TXN(
			"\\\"version\\\":1", "3") "{\"txn\": {\"version\" : 4 "
						  ", \"appId\": \"version\"}}");
	t = open_table(m);
	assert_int_equal(delta_txn(t, "a"), INT64_C(9007199254740993));
	assert_int_equal(delta_txn(t, "b"), INT64_MAX);
	assert_int_equal(delta_txn(t, "\"version\":1"), 3);
	assert_int_equal(delta_txn(t, "version"), 4);
	delta_close(&t);
}

static void bad_lines_are_named(void **state)
{
	(void)state;
	put_log(m, 0, PROTOCOL METADATA "{\"add\":{\"path\":\"a\"");
	refuses(m, "table Tables/t, version 0 of its log, line 3: it is not a "
		   "JSON object");
	put_log(m, 0, PROTOCOL METADATA ADD(""));
	refuses(m, "line 3: its add has no valid path");
	put_log(m, 0, PROTOCOL METADATA TXN("a", "1.5"));
	refuses(m, "line 3: its txn has no valid");
	put_log(m, 0, PROTOCOL METADATA TXN("a", "9223372036854775808"));
	refuses(m, "line 3: its txn has no valid");
	put_log(m, 0, PROTOCOL ADD("a"));
	refuses(m, "has no metaData action");
	put_log(m, 0, METADATA ADD("a"));
	refuses(m, "has no protocol action");
	put_log(m, 0, PROTOCOL METADATA_OF("7", "", ""));
	refuses(m, "table Tables/t, version 0: ");
}

static void missing_versions_are_named(void **state)
{
	(void)state;
	put_log(m, 0, PROTOCOL METADATA);
	put_log(m, 1, ADD("a"));
	put_log(m, 3, ADD("b"));
	refuses(m, "version 2 of its log is missing "
		   "(Tables/t/_delta_log/00000000000000000002.json)");
}

static void missing_beginnings_are_named(void **state)
{
	(void)state;
	put_log(m, 5, PROTOCOL METADATA);
	refuses(m, "version 0 of its log is missing");
	memory_write(m,
		     "Tables/t/_delta_log/00000000000000000005.checkpoint."
		     "80a083e8-7026-4e79-81be-64bd76c43a11.json",
		     "", 0);
	refuses(m, "its checkpoints are V2");
}

static void wrong_hints_do_no_harm(void **state)
{
	static const char *const hints[] = {"{\"version\":1}",
					    "{\"version\":99}",
					    "{\"version\":-3}",
					    "{\"version\":",
					    "{\"version\":\"1\"}",
					    "[]",
					    "",
					    "\xff"};
	struct delta *t;

	(void)state;
	put_log(m, 0, PROTOCOL METADATA ADD("a"));
	put_log(m, 1, ADD("b"));
	put_log(m, 2, ADD("c"));
	for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
		memory_write(m, "Tables/t/_delta_log/_last_checkpoint",
			     hints[i], strlen(hints[i]));
		t = open_table(m);
		assert_int_equal(delta_version(t), 2);
		assert_string_equal(live_files(t), "a b c");
		delta_close(&t);
	}
}

static void other_files_in_the_log_are_left_alone(void **state)
{
	static const char *const others[] = {
	    "00000000000000000001.crc",
	    "00000000000000000001.json.tmp",
	    "_commits/00000000000000000001.x.json",
	    "00000000000000000000.00000000000000000001.compacted.json",
	    "000000000000000000001.json",
	    "99999999999999999999.json",
	    ".00000000000000000001.json.crc"};
	struct delta *t;

	(void)state;
	put_log(m, 0, PROTOCOL METADATA ADD("a"));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		char *name = xasprintf("Tables/t/_delta_log/%s", others[i]);

		memory_write(m, name, "no", 2);
		free(name);
	}
	t = open_table(m);
	assert_int_equal(delta_version(t), 0);
	delta_close(&t);
}

static void features_that_we_lack_are_named(void **state)
{
	static const char three[] =
	    "{\"protocol\":{\"minReaderVersion\":3,\"minWriterVersion\":7,"
	    "\"readerFeatures\":[\"deletionVectors\",\"timestampNtz\","
	    "\"v2Checkpoint\"],\"writerFeatures\":[]}}\n" METADATA;
	static const char mapped[] =
	    "{\"protocol\":{\"minReaderVersion\":2,\"minWriterVersion\":5}}"
	    "\n" METADATA_OF(FIELD("x", "long"), "",
			     "\"delta.columnMapping.mode\":\"name\"");

	(void)state;
	put_log(m, 0, three);
	refuses(m, "lacks: deletionVectors, v2Checkpoint;");
	put_log(m, 0, mapped);
	refuses(m, "lacks: columnMapping;");
	put_log(m, 1,
		"{\"protocol\":{\"minReaderVersion\":3,"
		"\"minWriterVersion\":7,\"readerFeatures\":["
		"\"columnMapping\"],\"writerFeatures\":[]}}\n");
	refuses(m, "lacks: columnMapping;");
	put_log(m, 1, "");
	put_log(m, 0,
		"{\"protocol\":{\"minReaderVersion\":4,"
		"\"minWriterVersion\":7}}\n" METADATA);
	refuses(m, "reader version 4");
	put_log(m, 0, "{\"protocol\":{}}\n" METADATA);
	refuses(m, "reader version 0");
}

static void features_not_in_use_hinder_nobody(void **state)
{
	struct delta *t;

	(void)state;
	put_log(m, 0,
		"{\"protocol\":{\"minReaderVersion\":2,"
		"\"minWriterVersion\":5}}\n" METADATA_OF(
		    FIELD("x", "long"), "",
		    "\"delta.columnMapping.mode\":\"none\"") ADD("a"));
	t = open_table(m);
	assert_string_equal(delta_property(t, "delta.columnMapping.mode"),
			    "none");
	assert_null(delta_property(t, "delta.appendOnly"));
	delta_close(&t);
}

/* Directories are escaped as Hive does, paths once more as URIs. */
static void paths_are_decoded_once(void **state)
{
	static const char *const pairs[][2] = {
	    {"x=A%252FA/f", "Tables/t/x=A%2FA/f"},
	    {"_2=bar+%252521/f", "Tables/t/_2=bar+%2521/f"},
	    {"a%20b%23%c3%a9/f", "Tables/t/a b#é/f"},
	    {"100%/f%zz%2", "Tables/t/100%/f%zz%2"},
	    {"a:b=1/f", "Tables/t/a:b=1/f"},
	    {"file:///lake/Tables/t/own%20one", "Tables/t/own one"},
	    {"file:/lake/Tables/t/own%20two", "Tables/t/own two"},
	    {"/lake/Tables/t/own3", "Tables/t/own3"},
	};
	const size_t count = sizeof(pairs) / sizeof(pairs[0]);
	struct buf log = {0};
	struct delta *t;

	(void)state;
	buf_text(&log, PROTOCOL METADATA);
	for (size_t i = 0; i < count; i++)
		buf_printf(&log, ADD("%s"), pairs[i][0]);
	put_log(m, 0, buf_str(&log));
	t = open_table(m);
	assert_int_equal(delta_file_count(t), count);
	for (size_t i = 0; i < count; i++) {
		assert_string_equal(delta_file_at(t, (uint32_t)i)->path,
				    pairs[i][0]);
		assert_string_equal(delta_file_at(t, (uint32_t)i)->name,
				    pairs[i][1]);
	}
	delta_close(&t);
	buf_free(&log);
}

static void files_elsewhere_are_refused_while_they_live(void **state)
{
	static const char *const paths[] = {
	    "s3://bucket/a", "file:///lake/Tables/u/a",
	    "/etc/passwd",   "file:///lake/Tables/t/../u/a",
	    "../u/a",	     "a//b",
	    "./a",	     "a%0Ab"};
	struct delta *t;

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		char *log = xasprintf(PROTOCOL METADATA ADD("%s"), paths[i]);

		put_log(m, 0, log);
		refuses(m, "which is not under file:///lake");
		free(log);
	}
	put_log(m, 0, PROTOCOL METADATA ADD("s3://bucket/a"));
	put_log(m, 1, REMOVE("s3://bucket/a") ADD("b"));
	t = open_table(m);
	assert_string_equal(live_files(t), "b");
	delta_close(&t);
}

static void partition_values_come_by_column(void **state)
{
	struct delta *t;

	(void)state;
	put_log(
	    m, 0,
	    PROTOCOL METADATA_OF(
		FIELD("x", "long") "," FIELD("p", "string") "," FIELD("q q",
								      "date"),
		"\"q q\",\"p\"",
		"") "{\"add\":{\"path\":\"a\",\"size\":1,\"partitionValues\":{"
		    "\"p\":\"A/A %\\\"ü\",\"q q\":\"2026-01-02\"}}}\n"
		    "{\"add\":{\"path\":\"b\",\"size\":1,\"partitionValues\":{"
		    "\"q q\":null,\"p\":\"\"}}}\n"
		    "{\"add\":{\"path\":\"c\",\"size\":1}}\n");
	t = open_table(m);
	assert_int_equal(delta_partition_count(t), 2);
	assert_string_equal(delta_partition_column(t, 0), "q q");
	assert_string_equal(delta_file_at(t, 0)->partition[0], "2026-01-02");
	assert_string_equal(delta_file_at(t, 0)->partition[1], "A/A %\"ü");
	for (uint32_t i = 1; i < 3; i++) {
		assert_null(delta_file_at(t, i)->partition[0]);
		assert_null(delta_file_at(t, i)->partition[1]);
		assert_int_equal(delta_file_at(t, i)->records, -1);
	}
	delta_close(&t);
}

static void older_versions_can_be_read(void **state)
{
	struct delta *t;
	struct err err;

	(void)state;
	put_log(m, 0, PROTOCOL METADATA ADD("a"));
	put_log(m, 1, REMOVE("a") ADD("b"));
	put_log(m, 2, ADD("c"));
	assert_int_equal(
	    delta_open_at(&t, &m->store, NULL, "Tables/t", 0, &err), 0);
	assert_string_equal(live_files(t), "a");
	assert_int_equal(delta_refresh(t, &err), 0);
	assert_int_equal(delta_version(t), 0);
	delta_close(&t);
	assert_int_equal(
	    delta_open_at(&t, &m->store, NULL, "Tables/t", 1, &err), 0);
	assert_string_equal(live_files(t), "b");
	delta_close(&t);
	assert_int_equal(
	    delta_open_at(&t, &m->store, NULL, "Tables/t", 3, &err), -1);
	assert_int_equal(err.code, ENOENT);
	assert_non_null(strstr(err.text, "has no version 3"));
	assert_int_equal(
	    delta_open_at(&t, &m->store, NULL, "Tables/t", -1, &err), -1);
}

static void refreshing_reads_only_what_is_new(void **state)
{
	struct delta *t;
	struct err err;

	(void)state;
	put_log(m, 0, PROTOCOL METADATA ADD("a"));
	put_log(m, 1, ADD("b"));
	t = open_table(m);
	put_log(m, 2, REMOVE("a"));
	put_log(
	    m, 3,
	    METADATA_OF(FIELD("x", "long") "," FIELD("y", "string"), "", ""));
	m->gets = 0;
	assert_int_equal(delta_refresh(t, &err), 0);
	assert_int_equal(m->gets, 2);
	assert_int_equal(delta_version(t), 3);
	assert_string_equal(live_files(t), "b");
	assert_int_equal(schema_count(delta_schema(t)), 2);
	assert_int_equal(delta_refresh(t, &err), 0);
	assert_int_equal(m->gets, 2);
	delta_close(&t);
}

static void a_table_made_anew_is_loaded_anew(void **state)
{
	struct delta *t;
	struct err err;

	(void)state;
	put_log(m, 0, PROTOCOL METADATA ADD("a"));
	put_log(m, 1, ADD("b"));
	t = open_table(m);
	/* Dropped, and another made under its name. */
	free(m->files[1].name);
	buf_free(&m->files[1].data);
	m->count = 1;
	put_log(m, 0, PROTOCOL METADATA ADD("z"));
	assert_int_equal(delta_refresh(t, &err), 0);
	assert_int_equal(delta_version(t), 0);
	assert_string_equal(live_files(t), "z");
	delta_close(&t);
}

static void a_bad_commit_leaves_no_half_state(void **state)
{
	struct delta *t;
	struct err err;

	(void)state;
	put_log(m, 0, PROTOCOL METADATA ADD("a"));
	t = open_table(m);
	put_log(m, 1, REMOVE("a") ADD("b") "no json\n");
	assert_int_equal(delta_refresh(t, &err), -1);
	assert_int_equal(delta_file_count(t), 0);
	assert_int_equal(delta_refresh(t, &err), -1);
	put_log(m, 1, ADD("b"));
	assert_int_equal(delta_refresh(t, &err), 0);
	assert_string_equal(live_files(t), "a b");
	delta_close(&t);
}

/* The same damage in each run. */
static uint32_t chance(uint32_t *seed, uint32_t below)
{
	*seed = *seed * 1664525 + 1013904223;
	return (*seed >> 8) % below;
}

static void damage_is_an_error_and_no_more(void **state)
{
	static const char log[] =
	    PROTOCOL METADATA_OF(FIELD("x", "long"), "\"x\"", "\"k\":\"v\"")
		ADD("a%20b") ADD("file:///lake/Tables/t/c") REMOVE("a%20b")
		    TXN("app", "12");
	uint32_t seed = 7;
	int opened = 0;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		char text[sizeof(log)];
		uint32_t bytes = sizeof(log) - 1;
		struct delta *t;
		struct err err;

		memcpy(text, log, bytes);
		for (uint32_t n = 1 + chance(&seed, 3); n > 0; n--)
			text[chance(&seed, bytes)] =
			    (char)chance(&seed, chance(&seed, 2) ? 256 : 64);
		if (chance(&seed, 4) == 0)
			bytes = chance(&seed, bytes);
		memory_write(m, "Tables/t/_delta_log/00000000000000000000.json",
			     text, bytes);
		memory_write(m, "Tables/t/_delta_log/_last_checkpoint", text,
			     bytes);
		if (delta_open(&t, &m->store, NULL, "Tables/t", &err) == 0)
			opened++;
		else
			assert_true(*err.text && err.code != 0);
		delta_close(&t);
	}
	assert_in_range(opened, 1, 19999);
}

struct told {
	struct buf text;
	uint32_t most;
};

static bool write_down(void *arg, const struct delta_entry *e)
{
	struct told *told = arg;

	buf_printf(&told->text,
		   "%" PRId64 " at %" PRId64 " %s by %s +%" PRId64 " -%" PRId64
		   " %" PRId64 " rows;",
		   e->version, e->at_ms, e->operation, e->engine,
		   e->files_added, e->files_removed, e->records);
	return --told->most > 0;
}

static void history_tells_the_newest_first(void **state)
{
	struct told told = {.most = 100};
	struct delta *t;
	struct err err;

	(void)state;
	put_log(m, 0, PROTOCOL METADATA ADD("a") ADD("b"));
	put_log(m, 1,
		"{\"commitInfo\":{\"timestamp\":1700000000123,"
		"\"operation\":\"MERGE\",\"engineInfo\":\"spark\"}}\n" REMOVE(
		    "a") ADD("c"));
	put_log(m, 2, ADD("d"));
	t = open_table(m);
	assert_int_equal(delta_history(t, 2, write_down, &told, &err), 0);
	assert_string_equal(buf_str(&told.text),
			    "2 at 1000  by  +1 -0 3 rows;"
			    "1 at 1700000000123 MERGE by spark +1 -1 3 rows;");
	buf_clear(&told.text);
	told.most = 1;
	assert_int_equal(delta_history(t, 100, write_down, &told, &err), 0);
	assert_string_equal(buf_str(&told.text),
			    "2 at 1000  by  +1 -0 3 rows;");
	delta_close(&t);
	buf_free(&told.text);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, enter, leave)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(no_log_is_no_table),
	    TEST(commits_add_up),
	    TEST(stats_keep_their_text),
	    TEST(txn_versions_are_exact),
	    TEST(sizes_and_counts_below_zero_are_none),
	    TEST(bad_lines_are_named),
	    TEST(missing_versions_are_named),
	    TEST(missing_beginnings_are_named),
	    TEST(wrong_hints_do_no_harm),
	    TEST(other_files_in_the_log_are_left_alone),
	    TEST(features_that_we_lack_are_named),
	    TEST(features_not_in_use_hinder_nobody),
	    TEST(paths_are_decoded_once),
	    TEST(files_elsewhere_are_refused_while_they_live),
	    TEST(partition_values_come_by_column),
	    TEST(older_versions_can_be_read),
	    TEST(refreshing_reads_only_what_is_new),
	    TEST(a_table_made_anew_is_loaded_anew),
	    TEST(a_bad_commit_leaves_no_half_state),
	    TEST(damage_is_an_error_and_no_more),
	    TEST(history_tells_the_newest_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
