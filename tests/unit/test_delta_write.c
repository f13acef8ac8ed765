/* Committing to a Delta table: conflicts, lost answers, refusals. */
#include "delta_fixture.h"

static struct memory *m;
static struct delta *t;
static struct schema *schema;
static struct delta_add add = {
    .name = "part-1 ü.parquet", .bytes = 7, .stats = "{\"numRecords\":2}"};
static struct delta_commit commit;
static enum delta_result result;
static bool mine, uncertain;
static struct err err;

static int enter(void **state)
{
	(void)state;
	m = memory_open();
	schema = schema_of(COLUMN("x", "long"));
	commit = (struct delta_commit){.app_id = "weft/l/t",
				       .txn_version = 10,
				       .txn_from = -1,
				       .schema = schema,
				       .adds = &add,
				       .add_count = 1,
				       .operation = "WRITE",
				       .engine = "weft/0"};
	add.name = "part-1 ü.parquet";
	t = NULL;
	return 0;
}

static int leave(void **state)
{
	(void)state;
	delta_close(&t);
	schema_unref(&schema);
	memory_free(m);
	return 0;
}

static const char *log_text(int64_t version)
{
	struct memory_file *f;
	char name[80];

	snprintf(name, sizeof(name), "Tables/t/_delta_log/%020" PRId64 ".json",
		 version);
	f = memory_find(m, name);
	return f ? buf_str(&f->data) : "";
}

static int write_now(void)
{
	memset(&err, 0, sizeof(err));
	return delta_write(t, &commit, &result, &mine, &uncertain, &err);
}

static void commits(enum delta_result wanted, bool wanted_mine)
{
	if (write_now() != 0)
		fail_msg("%s", err.text);
	assert_int_equal(result, wanted);
	assert_int_equal(mine, wanted_mine);
	assert_false(uncertain);
}

static void fails(bool retriable, bool wanted_uncertain, const char *words)
{
	assert_int_equal(write_now(), -1);
	assert_int_equal(err.retriable, retriable);
	assert_int_equal(uncertain, wanted_uncertain);
	assert_false(mine);
	if (!strstr(err.text, words))
		fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

static void fate(enum fate f)
{
	m->fates[m->fate_count++] = f;
}

/* How often the data file was added in the whole log. */
static int times_added(void)
{
	int times = 0;

	for (int64_t v = 0; *log_text(v); v++)
		times += strstr(log_text(v), "part-1%20%C3%BC.parquet") != NULL;
	return times;
}

static void begin_with(const char *log)
{
	put_log(m, 0, log);
	t = open_table(m);
}

/* --- what is written --- */

static void the_first_commit_makes_the_table(void **state)
{
	const char *log;

	(void)state;
	t = open_table(m);
	commits(DELTA_COMMITTED, true);
	log = log_text(0);
	assert_memory_equal(log, "{\"commitInfo\":{\"timestamp\":", 27);
	assert_non_null(
	    strstr(log, "{\"protocol\":{\"minReaderVersion\":1,"
			"\"minWriterVersion\":2}}\n{\"metaData\":{\"id\":\""));
	assert_non_null(strstr(log, "\\\"name\\\":\\\"x\\\""));
	assert_non_null(strstr(log, "\"appId\":\"weft/l/t\",\"version\":10,"));
	assert_non_null(strstr(log, "\"path\":\"part-1%20%C3%BC.parquet\""));
	assert_non_null(
	    strstr(log, "\"stats\":\"{\\\"numRecords\\\":2}\"}}\n"));
	assert_int_equal(delta_version(t), 0);
	assert_int_equal(delta_txn(t, "weft/l/t"), 10);
	assert_int_equal(delta_file_at(t, 0)->records, 2);
	assert_string_equal(delta_file_at(t, 0)->name,
			    "Tables/t/part-1 ü.parquet");
	delta_close(&t);
	t = open_table(m);
	assert_int_equal(delta_file_count(t), 1);
}

static void a_quiet_table_costs_a_get_and_a_put_a_commit(void **state)
{
	(void)state;
	begin_with(PROTOCOL METADATA);
	m->puts = m->gets = m->lists = 0;
	for (int i = 0; i < 5; i++) {
		char name[20];

		snprintf(name, sizeof(name), "f%d", i);
		add.name = name;
		commits(DELTA_COMMITTED, true);
		commit.txn_from = commit.txn_version++;
	}
	assert_int_equal(delta_version(t), 5);
	assert_string_equal(live_files(t), "f0 f1 f2 f3 f4");
	assert_int_equal(m->puts, 5);
	assert_int_equal(m->gets, 5);
	assert_int_equal(m->lists, 0);
}

static void new_columns_come_with_metadata(void **state)
{
	(void)state;
	begin_with(PROTOCOL METADATA_OF(FIELD("X", "long"), "", "\"k\":\"v\""));
	schema_unref(&schema);
	schema = commit.schema =
	    schema_of(COLUMN("y", "string") "," COLUMN("x", "long"));
	commits(DELTA_COMMITTED, true);
	assert_int_equal(schema_count(delta_schema(t)), 2);
	assert_string_equal(schema_at(delta_schema(t), 0)->name, "X");
	assert_string_equal(schema_at(delta_schema(t), 1)->name, "y");
	assert_string_equal(delta_property(t, "k"), "v");
	assert_non_null(strstr(log_text(1), "{\"metaData\":{\"id\":\"i\","));
	commit.txn_from = commit.txn_version++;
	add.name = "other";
	commits(DELTA_COMMITTED, true);
	assert_null(strstr(log_text(2), "metaData"));
}

/* --- what is refused --- */

static void tables_that_we_cannot_serve_are_refused(void **state)
{
	static const struct {
		const char *log, *words;
	} cases[] = {
	    {PROTOCOL METADATA_OF(FIELD("x", "string"), "", ""), "x"},
	    {PROTOCOL METADATA_OF(FIELD("x", "long"), "\"x\"", ""),
	     "partitioned by x"},
	    {"{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":3}}"
	     "\n" METADATA_OF(FIELD("x", "long"), "",
			      "\"delta.constraints.c\":\"x > 1\""),
	     "lacks: checkConstraints;"},
	    {"{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":7,"
	     "\"writerFeatures\":[\"appendOnly\",\"rowTracking\","
	     "\"domainMetadata\"]}}\n" METADATA,
	     "lacks: rowTracking, domainMetadata;"},
	    {"{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":8}}"
	     "\n" METADATA,
	     "writer version 8"},
	    {PROTOCOL METADATA_OF("{\\\"name\\\":\\\"x\\\",\\\"type\\\":"
				  "\\\"long\\\",\\\"nullable\\\":true,"
				  "\\\"metadata\\\":{\\\"delta.invariants\\\":"
				  "\\\"{}\\\"}}",
				  "", ""),
	     "lacks: invariants;"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin_with(cases[i].log);
		fails(false, false, cases[i].words);
		assert_string_equal(log_text(1), "");
		delta_close(&t);
	}
}

static void appending_is_what_append_only_is_for(void **state)
{
	(void)state;
	begin_with("{\"protocol\":{\"minReaderVersion\":1,"
		   "\"minWriterVersion\":4}}\n" METADATA_OF(
		       FIELD("x", "long"), "",
		       "\"delta.appendOnly\":\"true\","
		       "\"delta.enableChangeDataFeed\":\"true\""));
	commits(DELTA_COMMITTED, true);
}

static void an_older_version_takes_no_commit(void **state)
{
	(void)state;
	put_log(m, 0, PROTOCOL METADATA);
	assert_int_equal(
	    delta_open_at(&t, &m->store, NULL, "Tables/t", 0, &err), 0);
	fails(false, false, "an older version");
}

/* --- others --- */

static void others_append(struct memory *store)
{
	put_log(store, 1, ADD("theirs"));
	put_log(store, 2, TXN("spark", "10") ADD("theirs2"));
}

static void a_foreign_append_is_followed(void **state)
{
	(void)state;
	begin_with(PROTOCOL METADATA);
	m->meanwhile = others_append;
	commits(DELTA_COMMITTED, true);
	assert_int_equal(delta_version(t), 3);
	assert_string_equal(live_files(t),
			    "theirs theirs2 part-1%20%C3%BC.parquet");
	assert_int_equal(times_added(), 1);
}

static void others_create(struct memory *store)
{
	put_log(store, 0,
		PROTOCOL METADATA_OF(FIELD("z", "long"), "", "") ADD("theirs"));
}

static void two_that_create_a_table_share_it(void **state)
{
	(void)state;
	t = open_table(m);
	m->meanwhile = others_create;
	commits(DELTA_COMMITTED, true);
	assert_int_equal(delta_version(t), 1);
	assert_null(strstr(log_text(1), "protocol"));
	assert_int_equal(schema_count(delta_schema(t)), 2);
}

static void others_upgrade(struct memory *store)
{
	put_log(store, 1,
		"{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":7,"
		"\"writerFeatures\":[\"inCommitTimestamp\"]}}\n");
}

static void a_feature_that_comes_between_stops_us(void **state)
{
	(void)state;
	begin_with(PROTOCOL METADATA);
	m->meanwhile = others_upgrade;
	fails(false, false, "inCommitTimestamp");
	assert_int_equal(times_added(), 0);
	/* It was dropped again. */
	put_log(m, 2, PROTOCOL);
	assert_int_equal(delta_refresh(t, &err), 0);
	commits(DELTA_COMMITTED, true);
}

static void others_need_readers(struct memory *store)
{
	put_log(store, 1,
		"{\"protocol\":{\"minReaderVersion\":3,\"minWriterVersion\":7,"
		"\"readerFeatures\":[\"deletionVectors\"],"
		"\"writerFeatures\":[\"deletionVectors\"]}}\n");
}

static void a_table_that_cannot_be_read_any_more_stops_us(void **state)
{
	(void)state;
	begin_with(PROTOCOL METADATA);
	m->meanwhile = others_need_readers;
	fails(false, false, "deletionVectors");
	fails(false, false, "deletionVectors");
	assert_int_equal(times_added(), 0);
}

static void others_write_for_us(struct memory *store)
{
	put_log(store, 1, TXN("weft/l/t", "12") ADD("theirs"));
}

static void what_another_life_committed_is_not_committed_twice(void **state)
{
	(void)state;
	begin_with(PROTOCOL METADATA);
	m->meanwhile = others_write_for_us;
	commits(DELTA_ALREADY, false);
	assert_int_equal(times_added(), 0);
	commits(DELTA_ALREADY, false);
}

static void others_write_less_for_us(struct memory *store)
{
	put_log(store, 1, TXN("weft/l/t", "5") ADD("theirs"));
}

/* Rows up to 5 are in: committing -1 to 10 would bring them twice. */
static void a_place_that_moved_below_is_told(void **state)
{
	(void)state;
	begin_with(PROTOCOL METADATA);
	m->meanwhile = others_write_less_for_us;
	commits(DELTA_MOVED, false);
	assert_int_equal(delta_txn(t, "weft/l/t"), 5);
	assert_int_equal(times_added(), 0);
	commit.txn_from = 5;
	commits(DELTA_COMMITTED, true);
}

/* --- tables that are not what they were --- */

static void drop_table(void)
{
	while (m->count) {
		struct memory_file *f = &m->files[--m->count];

		free(f->name);
		buf_free(&f->data);
	}
}

static void a_table_that_was_dropped_is_begun_anew(void **state)
{
	(void)state;
	begin_with(PROTOCOL METADATA);
	commits(DELTA_COMMITTED, true);
	drop_table();
	commit.txn_from = commit.txn_version++;
	add.name = "next";
	/* Rows that were in it may be wanted again. */
	commits(DELTA_MOVED, false);
	assert_int_equal(delta_txn(t, "weft/l/t"), -1);
	commit.txn_from = -1;
	commits(DELTA_COMMITTED, true);
	assert_int_equal(delta_version(t), 0);
	assert_string_equal(live_files(t), "next");
}

static void a_table_that_was_replaced_is_read_anew(void **state)
{
	(void)state;
	begin_with(PROTOCOL METADATA);
	commits(DELTA_COMMITTED, true);
	put_log(m, 0, PROTOCOL METADATA_OF(FIELD("z", "long"), "", ""));
	put_log(m, 1, ADD("theirs"));
	commit.txn_from = commit.txn_version++;
	commits(DELTA_MOVED, false);
	assert_string_equal(live_files(t), "theirs");
	commit.txn_from = -1;
	commits(DELTA_COMMITTED, true);
	assert_int_equal(schema_count(delta_schema(t)), 2);
}

/* --- answers that are lost --- */

static void a_lost_answer_is_read_back(void **state)
{
	(void)state;
	begin_with(PROTOCOL METADATA);
	fate(FATE_ANSWER_LOST);
	commits(DELTA_COMMITTED, true);
	assert_int_equal(delta_version(t), 1);
	assert_int_equal(times_added(), 1);
}

static void a_lost_request_is_made_again(void **state)
{
	(void)state;
	begin_with(PROTOCOL METADATA);
	fate(FATE_REQUEST_LOST);
	commits(DELTA_COMMITTED, true);
	assert_int_equal(delta_version(t), 1);
	assert_int_equal(times_added(), 1);
	assert_int_equal(m->puts, 2);
}

static void a_lost_answer_to_a_lost_race_is_a_lost_race(void **state)
{
	(void)state;
	begin_with(PROTOCOL METADATA);
	m->meanwhile = others_append;
	fate(FATE_REQUEST_LOST);
	commits(DELTA_COMMITTED, true);
	assert_int_equal(delta_version(t), 3);
	assert_int_equal(times_added(), 1);
}

static void a_request_that_is_late_comes_once(void **state)
{
	(void)state;
	begin_with(PROTOCOL METADATA);
	for (int i = 0; i < 3; i++)
		fate(i ? FATE_REQUEST_LOST : FATE_LATE);
	fails(true, true, "is not there");
	memory_let_in(m);
	commits(DELTA_ALREADY, true);
	assert_int_equal(times_added(), 1);
}

static void a_late_request_loses_against_the_next_try(void **state)
{
	(void)state;
	begin_with(PROTOCOL METADATA);
	for (int i = 0; i < 3; i++)
		fate(i ? FATE_REQUEST_LOST : FATE_LATE);
	fails(true, true, "is not there");
	commits(DELTA_COMMITTED, true);
	memory_let_in(m);
	assert_int_equal(times_added(), 1);
}

static void what_cannot_be_read_back_is_uncertain(void **state)
{
	(void)state;
	begin_with(PROTOCOL METADATA);
	fate(FATE_ANSWER_LOST);
	m->gets_well = m->gets_fail = 1;
	fails(true, true, "no answer");
	commits(DELTA_ALREADY, true);
	assert_int_equal(times_added(), 1);
}

static void uncertainty_stays_until_it_is_settled(void **state)
{
	(void)state;
	begin_with(PROTOCOL METADATA);
	fate(FATE_ANSWER_LOST);
	fate(FATE_REFUSED);
	m->gets_well = m->gets_fail = 1;
	fails(true, true, "no answer");
	/* Refused for certain now, but what of the first? */
	fails(true, true, "no answer");
	commits(DELTA_ALREADY, true);
	assert_int_equal(times_added(), 1);
}

static void without_a_txn_its_files_tell(void **state)
{
	(void)state;
	commit.app_id = NULL;
	begin_with(PROTOCOL METADATA);
	fate(FATE_ANSWER_LOST);
	m->gets_well = m->gets_fail = 1;
	fails(true, true, "no answer");
	commits(DELTA_ALREADY, true);
	assert_int_equal(times_added(), 1);
	assert_null(strstr(log_text(1), "txn\":{"));
}

static void a_refused_put_is_certain(void **state)
{
	(void)state;
	begin_with(PROTOCOL METADATA);
	fate(FATE_REFUSED);
	fails(true, false, "no answer");
	commits(DELTA_COMMITTED, true);
}

static void come_behind(struct memory *store)
{
	put_log(store, 2,
		"{\"protocol\":{\"minReaderVersion\":3,\"minWriterVersion\":7,"
		"\"readerFeatures\":[\"deletionVectors\"],"
		"\"writerFeatures\":[\"deletionVectors\"]}}\n");
}

/* Ours is in, whatever came behind: its files must stay. */
static void our_commit_counts_though_the_table_is_lost_to_us(void **state)
{
	(void)state;
	begin_with(PROTOCOL METADATA);
	m->meanwhile = come_behind;
	fate(FATE_ANSWER_LOST);
	commits(DELTA_COMMITTED, true);
	commit.txn_from = commit.txn_version++;
	add.name = "next";
	fails(false, false, "deletionVectors");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, enter, leave)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(the_first_commit_makes_the_table),
	    TEST(a_quiet_table_costs_a_get_and_a_put_a_commit),
	    TEST(new_columns_come_with_metadata),
	    TEST(tables_that_we_cannot_serve_are_refused),
	    TEST(appending_is_what_append_only_is_for),
	    TEST(an_older_version_takes_no_commit),
	    TEST(a_foreign_append_is_followed),
	    TEST(two_that_create_a_table_share_it),
	    TEST(a_feature_that_comes_between_stops_us),
	    TEST(a_table_that_cannot_be_read_any_more_stops_us),
	    TEST(what_another_life_committed_is_not_committed_twice),
	    TEST(a_place_that_moved_below_is_told),
	    TEST(a_table_that_was_dropped_is_begun_anew),
	    TEST(a_table_that_was_replaced_is_read_anew),
	    TEST(a_lost_answer_is_read_back),
	    TEST(a_lost_request_is_made_again),
	    TEST(a_lost_answer_to_a_lost_race_is_a_lost_race),
	    TEST(a_request_that_is_late_comes_once),
	    TEST(a_late_request_loses_against_the_next_try),
	    TEST(what_cannot_be_read_back_is_uncertain),
	    TEST(uncertainty_stays_until_it_is_settled),
	    TEST(without_a_txn_its_files_tell),
	    TEST(a_refused_put_is_certain),
	    TEST(our_commit_counts_though_the_table_is_lost_to_us),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
