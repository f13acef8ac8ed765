#include <errno.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "duck_help.h"
#include "lake/delta.h"
#include "lake/table.h"

#define APP    "weft/log/t"
#define MINUTE INT64_C(60000000)

/* A local store that has trouble when told to. */
struct scripted {
	struct store store;
	struct store *real;
	int lose_commits; /* so many are made, and not answered for */
	bool deafen;	  /* … nor is anything else from then on */
	bool deaf;
	int fail_commits; /* so many fail for sure */
	int fail_uploads;
	int delay_commits; /* so many get lost, the first comes late */
	char *late_name;   /* … before the next that does not */
	struct buf late;
	int uploads, removes;
};

static bool is_commit(const char *name)
{
	return strstr(name, "/_delta_log/") && strstr(name, ".json");
}

static int put_if_absent(struct store *s, const char *name, const void *data,
			 size_t bytes, enum store_put *result, struct err *err)
{
	struct scripted *x = (struct scripted *)s;

	if (is_commit(name) && x->fail_commits > 0) {
		x->fail_commits--;
		err_set(err, EIO, "no");
		err->retriable = true;
		return -1;
	}
	if (is_commit(name) && x->delay_commits > 0) {
		x->delay_commits--;
		if (!x->late_name) {
			x->late_name = xstrdup(name);
			buf_append(&x->late, data, bytes);
		}
		*result = STORE_UNKNOWN;
		err_set(err, ETIMEDOUT, "delayed");
		err->retriable = true;
		return 0;
	}
	if (is_commit(name) && x->late_name)
		assert_int_equal(store_put_if_absent(x->real, x->late_name,
						     x->late.data, x->late.used,
						     result, err),
				 0);
	if (store_put_if_absent(x->real, name, data, bytes, result, err) != 0)
		return -1;
	if (is_commit(name) && x->lose_commits > 0) {
		x->lose_commits--;
		x->deaf = x->deafen;
		*result = STORE_UNKNOWN;
		err_set(err, ETIMEDOUT, "lost");
		err->retriable = true;
	}
	return 0;
}

static int upload(struct store *s, const char *name, const char *path,
		  struct err *err)
{
	struct scripted *x = (struct scripted *)s;

	x->uploads++;
	if (x->fail_uploads > 0) {
		x->fail_uploads--;
		err_set(err, EIO, "no");
		err->retriable = true;
		return -1;
	}
	return store_upload(x->real, name, path, err);
}

static int put(struct store *s, const char *name, const void *data,
	       size_t bytes, struct err *err)
{
	return store_put(((struct scripted *)s)->real, name, data, bytes, err);
}

static int hear_nothing(struct err *err)
{
	err_set(err, EIO, "no answer");
	err->retriable = true;
	return -1;
}

static int get(struct store *s, const char *name, size_t limit,
	       struct buf *data, struct err *err)
{
	if (((struct scripted *)s)->deaf)
		return hear_nothing(err);
	return store_get(((struct scripted *)s)->real, name, limit, data, err);
}

static int fetch(struct store *s, const char *name, const char *path,
		 struct err *err)
{
	return store_fetch(((struct scripted *)s)->real, name, path, err);
}

static int list(struct store *s, const char *prefix, const char *from,
		bool (*visit)(void *arg, const struct store_file *file),
		void *arg, struct err *err)
{
	if (((struct scripted *)s)->deaf)
		return hear_nothing(err);
	return store_list(((struct scripted *)s)->real, prefix, from, visit,
			  arg, err);
}

static int list_dirs(struct store *s, const char *prefix,
		     bool (*visit)(void *arg, const char *name), void *arg,
		     struct err *err)
{
	return store_list_dirs(((struct scripted *)s)->real, prefix, visit, arg,
			       err);
}

static int remove_file(struct store *s, const char *name, struct err *err)
{
	((struct scripted *)s)->removes++;
	return store_remove(((struct scripted *)s)->real, name, err);
}

/* All files are remote, so that what is compared with is fetched first. */
static const char *local_path(struct store *s, const char *name,
			      struct buf *path)
{
	(void)s;
	(void)name;
	(void)path;
	return NULL;
}

static void close_store(struct store *s)
{
	store_close(&((struct scripted *)s)->real);
}

static const struct store_kind scripted_kind = {
    .put_if_absent = put_if_absent,
    .upload = upload,
    .put = put,
    .get = get,
    .fetch = fetch,
    .list = list,
    .list_dirs = list_dirs,
    .remove = remove_file,
    .local_path = local_path,
    .close = close_store,
};

struct fixture {
	struct duck_fixture f;
	struct scripted x;
	struct contract_set *set;
	struct table *table;
	struct recent_budget budget;
	struct lake_event *events;
	size_t count;
	char *lake, *scratch, *lines[64];
	size_t line_count;
	int bad;
	int64_t at_us; /* that events are appended at */
};

static void on_bad(void *arg, struct lake_event *e, const struct err *why)
{
	struct fixture *x = arg;

	assert_true(e->bad);
	assert_non_null(strstr(why->text, "log position"));
	x->bad++;
}

static void open_table(struct fixture *x)
{
	const struct table_options options = {
	    .store = &x->x.store,
	    .duck = x->f.duck,
	    .path = "Tables/t",
	    .scratch = x->scratch,
	    .app_id = APP,
	    .codec = "zstd",
	    .engine = "test",
	    .checkpoint_interval = 3,
	    .cache_bytes = 1 << 20,
	    .window_us = 10 * MINUTE,
	    .budget = &x->budget,
	    .bad = on_bad,
	    .arg = x,
	};

	x->table = table_new(&options);
}

/* As after a kill: nothing is known but what lies in the lake. */
static void restart(struct fixture *x)
{
	table_free(&x->table);
	open_table(x);
}

static void begin_with(struct fixture *x, const char *fields)
{
	char *text = xasprintf("%s%s%s", HEAD, fields, TAIL);

	*x = (struct fixture){.budget = {.limit_bytes = 1 << 20}};
	duck_begin(&x->f);
	x->lake = xasprintf("%s/lake", x->f.folder.path);
	x->scratch = xasprintf("%s/scratch", x->f.folder.path);
	assert_int_equal(mkdir(x->scratch, 0700), 0);
	x->x.store =
	    (struct store){.kind = &scripted_kind, .url = xstrdup("x")};
	assert_int_equal(store_open_local(&x->x.real, x->lake, &x->f.err), 0);
	x->set = set_of_text(text);
	/* As a clock would: files are compared by when they were made. */
	x->at_us = clock_wall_us();
	free(text);
	open_table(x);
}

static void begin(struct fixture *x)
{
	begin_with(x, ",{ name = \"n\"; type = \"int\"; }");
}

static void forget_events(struct fixture *x)
{
	while (x->line_count)
		free(x->lines[--x->line_count]);
	free(x->events);
	x->events = NULL;
	x->count = 0;
}

static void end(struct fixture *x)
{
	struct store *s = &x->x.store;
	DIR *d = opendir(x->scratch);
	struct dirent *entry;

	table_free(&x->table);
	/* Nothing is left behind. */
	while ((entry = readdir(d)))
		assert_int_equal(entry->d_name[0], '.');
	closedir(d);
	forget_events(x);
	store_close(&x->x.real);
	free(s->url);
	contract_set_unref(&x->set);
	duck_end(&x->f);
	free(x->lake);
	free(x->scratch);
}

static struct lake_event *add(struct fixture *x, uint64_t position,
			      const char *id, const char *more)
{
	struct lake_event *e;
	char *line = xasprintf("{\"event_id\":\"%s\"%s}", id, more);

	x->lines[x->line_count++] = line;
	x->events = xreallocarray(x->events, x->count + 1, sizeof(*e));
	e = &x->events[x->count++];
	*e = (struct lake_event){
	    .line = line,
	    .bytes = (uint32_t)strlen(line),
	    .id = line + strlen("{\"event_id\":\""),
	    .id_bytes = (uint16_t)strlen(id),
	    .contract = contract_set_at(x->set, 0),
	    .position = position,
	};
	return e;
}

static int prepare(struct fixture *x, uint64_t to)
{
	const struct table_range range = {
	    .events = x->events,
	    .count = x->count,
	    .end = to,
	    .first_at_us = x->at_us,
	    .last_at_us = x->at_us,
	};

	return table_prepare(x->table, &range, &x->f.err);
}

static void must_prepare(struct fixture *x, uint64_t to)
{
	if (prepare(x, to) != 0)
		fail_msg("%s", x->f.err.text);
}

static void must_commit(struct fixture *x)
{
	enum table_result result;

	if (table_commit(x->table, &result, &x->f.err) != 0)
		fail_msg("%s", x->f.err.text);
	assert_int_equal(result, TABLE_DONE);
	assert_false(table_prepared(x->table));
}

static void land(struct fixture *x, uint64_t to)
{
	must_prepare(x, to);
	must_commit(x);
	forget_events(x);
}

/* All ids in the table, sorted: "a b b c". */
static void expect(struct fixture *x, const char *wanted)
{
	struct buf sql = {0}, out = {0};
	struct delta *d;
	char *text;

	if (delta_open(&d, x->x.real, x->f.duck, "Tables/t", &x->f.err) != 0)
		fail_msg("%s", x->f.err.text);
	buf_text(&sql, "SELECT coalesce(string_agg(event_id, ' ' ORDER BY "
		       "event_id), '') FROM read_parquet([");
	for (uint32_t i = 0; i < delta_file_count(d); i++)
		buf_printf(&sql, "%s'%s/%s'", i ? "," : "", x->lake,
			   delta_file_at(d, i)->name);
	buf_text(&sql, "], union_by_name = true)");
	text = duck_rows_of(&x->f, buf_str(&sql));
	buf_printf(&out, "%s\n", wanted);
	assert_string_equal(text, buf_str(&out));
	free(text);
	buf_free(&sql);
	buf_free(&out);
	delta_close(&d);
}

static void test_a_range_lands_once_however_often_it_comes(void **state)
{
	struct fixture x;

	(void)state;
	begin(&x);
	add(&x, 10, "a", ",\"n\":1");
	add(&x, 20, "b", "");
	land(&x, 30);
	expect(&x, "a b");
	restart(&x);
	/* The log was not freed yet: other borders, the same events. */
	add(&x, 20, "b", "");
	add(&x, 30, "c", "");
	land(&x, 40);
	expect(&x, "a b c");
	assert_int_equal(table_get_counts(x.table)->rows, 1);
	assert_int_equal(table_get_counts(x.table)->duplicates, 0);
	end(&x);
}

static void test_what_a_client_sends_again_lands_once(void **state)
{
	struct fixture x;

	(void)state;
	begin(&x);
	add(&x, 10, "a", "");
	add(&x, 10, "a", "");
	add(&x, 20, "b", "");
	land(&x, 30);
	add(&x, 30, "b", "");
	add(&x, 30, "c", "");
	land(&x, 40);
	expect(&x, "a b c");
	assert_int_equal(table_get_counts(x.table)->duplicates, 2);
	/* What the window had in memory is read from the table. */
	restart(&x);
	add(&x, 50, "c", "");
	add(&x, 50, "d", "");
	land(&x, 60);
	expect(&x, "a b c d");
	/* Nobody sends again so late: it is another event by that name. */
	x.at_us += 12 * MINUTE;
	add(&x, 60, "d", "");
	land(&x, 70);
	expect(&x, "a b c d d");
	end(&x);
}

static void test_flagged_events_are_compared_with_the_whole_table(void **state)
{
	struct fixture x;

	(void)state;
	begin(&x);
	add(&x, 10, "a", "");
	land(&x, 20);
	add(&x, 20, "m", "");
	land(&x, 30);
	x.at_us += 100 * MINUTE;
	restart(&x);
	add(&x, 40, "a", "")->flagged = true;
	add(&x, 40, "b", "")->flagged = true;
	/* Its twin is not flagged, and comes first. */
	add(&x, 41, "m", "");
	add(&x, 42, "m", "")->flagged = true;
	add(&x, 43, "z", "");
	land(&x, 50);
	expect(&x, "a b m z");
	assert_int_equal(table_get_counts(x.table)->duplicates, 3);
	end(&x);
}

static void test_a_lost_answer_makes_no_second_row(void **state)
{
	struct fixture x;

	(void)state;
	begin(&x);
	add(&x, 10, "a", "");
	land(&x, 20);
	x.x.lose_commits = 1;
	add(&x, 20, "b", "");
	land(&x, 30);
	expect(&x, "a b");
	assert_int_equal(x.x.removes, 0);
	assert_int_equal(table_get_counts(x.table)->commits, 2);
	end(&x);
}

/* Its positions tell that it is there, but not who sends it again later. */
static void test_what_was_dropped_in_doubt_is_not_forgotten(void **state)
{
	enum table_result result;
	struct fixture x;

	(void)state;
	begin(&x);
	add(&x, 10, "a", "");
	land(&x, 20);
	add(&x, 20, "b", "");
	must_prepare(&x, 30);
	x.x.lose_commits = 1;
	x.x.deafen = true;
	assert_int_equal(table_commit(x.table, &result, &x.f.err), -1);
	table_drop(x.table);
	x.x.deaf = x.x.deafen = false;
	assert_int_equal(x.x.removes, 0);
	land(&x, 30);
	add(&x, 30, "b", "");
	land(&x, 40);
	expect(&x, "a b");
	end(&x);
}

static void test_a_failed_commit_is_made_with_the_same_file(void **state)
{
	struct fixture x;
	enum table_result result;

	(void)state;
	begin(&x);
	add(&x, 10, "a", "");
	must_prepare(&x, 20);
	x.x.fail_uploads = 1;
	assert_int_equal(table_commit(x.table, &result, &x.f.err), -1);
	assert_true(table_prepared(x.table));
	x.x.fail_commits = 1;
	assert_int_equal(table_commit(x.table, &result, &x.f.err), -1);
	assert_true(x.f.err.retriable);
	assert_true(table_prepared(x.table));
	must_commit(&x);
	assert_int_equal(x.x.uploads, 2);
	assert_int_equal(x.x.removes, 0);
	expect(&x, "a");
	end(&x);
}

static void test_what_was_dropped_for_sure_is_removed(void **state)
{
	struct fixture x;
	enum table_result result;

	(void)state;
	begin(&x);
	add(&x, 10, "a", "");
	must_prepare(&x, 20);
	x.x.fail_commits = 1;
	assert_int_equal(table_commit(x.table, &result, &x.f.err), -1);
	table_drop(x.table);
	assert_int_equal(x.x.removes, 1);
	land(&x, 20);
	expect(&x, "a");
	end(&x);
}

static void test_an_event_that_is_no_row_is_told_and_left_out(void **state)
{
	struct fixture x;

	(void)state;
	begin(&x);
	add(&x, 10, "a", "");
	add(&x, 11, "b", ",\"n\":\"text\"");
	/* The good one by that name is not taken for a repetition. */
	add(&x, 12, "b", ",\"n\":2");
	add(&x, 13, "c", ",\"n\":99999999999");
	land(&x, 20);
	assert_int_equal(x.bad, 2);
	expect(&x, "a b");
	/* The same among those that are to be compared. */
	add(&x, 30, "d", ",\"n\":[]")->flagged = true;
	add(&x, 30, "a", "")->flagged = true;
	add(&x, 31, "e", "");
	land(&x, 40);
	assert_int_equal(x.bad, 3);
	expect(&x, "a b e");
	end(&x);
}

static void test_new_columns_come_and_changed_ones_stop_it(void **state)
{
	struct fixture x;
	struct contract_set *first;

	(void)state;
	begin(&x);
	first = x.set;
	add(&x, 10, "a", ",\"n\":1");
	land(&x, 20);
	x.set =
	    set_of_text(HEAD ",{ name = \"n\"; type = \"int\"; },"
			     "{ name = \"more\"; type = \"string\"; }" TAIL);
	add(&x, 20, "b", ",\"n\":1,\"more\":\"x\"");
	x.events[0].contract = contract_set_at(x.set, 0);
	/* Batches of both sets come side by side. */
	add(&x, 21, "c", ",\"n\":2")->contract = contract_set_at(first, 0);
	land(&x, 30);
	expect(&x, "a b c");
	contract_set_unref(&x.set);
	x.set = set_of_text(HEAD ",{ name = \"n\"; type = \"string\"; }" TAIL);
	add(&x, 30, "d", ",\"n\":\"x\"");
	assert_int_equal(prepare(&x, 40), -1);
	assert_false(x.f.err.retriable);
	assert_non_null(strstr(x.f.err.text, "Tables/t"));
	assert_false(table_prepared(x.table));
	forget_events(&x);
	contract_set_unref(&x.set);
	x.set = first;
	add(&x, 30, "d", ",\"n\":4");
	land(&x, 40);
	expect(&x, "a b c d");
	end(&x);
}

static void test_events_without_a_position_land_behind_the_table(void **state)
{
	struct fixture x;

	(void)state;
	begin(&x);
	add(&x, 10, "a", "");
	land(&x, 20);
	/* The range is in the table, and finds something late. */
	for (int i = 0; i < 2; i++) {
		add(&x, 10, "a", "");
		add(&x, TABLE_NO_POSITION, "late", "")->flagged = true;
		land(&x, 20);
		restart(&x);
	}
	expect(&x, "a late");
	end(&x);
}

/*
 * A commit is lost, more is found for its range, and as that is committed the
 * lost one arrives: it does not have what was found.
 */
static void test_a_late_commit_does_not_stand_for_more(void **state)
{
	enum table_result result = TABLE_DONE;
	struct fixture x;

	(void)state;
	begin(&x);
	add(&x, 10, "a", "");
	land(&x, 20);
	add(&x, 20, "b", "");
	must_prepare(&x, 30);
	x.x.delay_commits = 3;
	assert_int_equal(table_commit(x.table, &result, &x.f.err), -1);
	assert_true(x.f.err.retriable);
	add(&x, TABLE_NO_POSITION, "found", "")->flagged = true;
	must_prepare(&x, 30);
	assert_int_equal(table_commit(x.table, &result, &x.f.err), 0);
	assert_int_equal(result, TABLE_MOVED);
	land(&x, 30);
	expect(&x, "a b found");
	/* What the late one has is still known. */
	add(&x, 40, "b", "");
	land(&x, 50);
	expect(&x, "a b found");
	free(x.x.late_name);
	buf_free(&x.x.late);
	end(&x);
}

static void test_identities_of_numbers_are_compared_as_numbers(void **state)
{
	struct fixture x;
	struct contract_set *set;

	(void)state;
	begin(&x);
	set = set_of_text("name = \"t\"; version = 1; doc = \"x\";\n"
			  "match = { event_type = \"x\"; };\n"
			  "identity = [\"n\", \"event_id\"];\n"
			  "unknown_fields = \"drop\"; fields = (\n"
			  "{ name = \"event_id\"; type = \"string\"; },\n"
			  "{ name = \"n\"; type = \"long\"; });");
	contract_set_unref(&x.set);
	x.set = set;
	add(&x, 10, "a", ",\"n\":1")->id_bytes = 0;
	add(&x, 11, "a", ",\"n\":2")->id_bytes = 0;
	add(&x, 12, "b", "")->id_bytes = 0;
	land(&x, 20);
	restart(&x);
	/* Unflagged, within the window, and no text to tell it by. */
	add(&x, 20, "a", ",\"n\":2")->id_bytes = 0;
	add(&x, 21, "a", ",\"n\":3")->id_bytes = 0;
	add(&x, 22, "b", "")->id_bytes = 0;
	land(&x, 30);
	expect(&x, "a a a b");
	end(&x);
}

static void test_checkpoints_are_written(void **state)
{
	struct fixture x;
	struct stat st;
	char *path;

	(void)state;
	begin(&x);
	for (uint64_t i = 0; i < 8; i++) {
		char id[8];

		snprintf(id, sizeof(id), "e%u", (unsigned)i);
		add(&x, 10 * i + 10, id, "");
		land(&x, 10 * i + 20);
	}
	path = xasprintf("%s/Tables/t/_delta_log/_last_checkpoint", x.lake);
	assert_int_equal(stat(path, &st), 0);
	free(path);
	restart(&x);
	add(&x, 90, "e3", "");
	add(&x, 90, "e9", "");
	land(&x, 100);
	expect(&x, "e0 e1 e2 e3 e4 e5 e6 e7 e9");
	end(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_a_range_lands_once_however_often_it_comes),
	    cmocka_unit_test(test_what_a_client_sends_again_lands_once),
	    cmocka_unit_test(
		test_flagged_events_are_compared_with_the_whole_table),
	    cmocka_unit_test(test_a_lost_answer_makes_no_second_row),
	    cmocka_unit_test(test_what_was_dropped_in_doubt_is_not_forgotten),
	    cmocka_unit_test(test_a_failed_commit_is_made_with_the_same_file),
	    cmocka_unit_test(test_what_was_dropped_for_sure_is_removed),
	    cmocka_unit_test(test_an_event_that_is_no_row_is_told_and_left_out),
	    cmocka_unit_test(test_new_columns_come_and_changed_ones_stop_it),
	    cmocka_unit_test(
		test_events_without_a_position_land_behind_the_table),
	    cmocka_unit_test(test_a_late_commit_does_not_stand_for_more),
	    cmocka_unit_test(
		test_identities_of_numbers_are_compared_as_numbers),
	    cmocka_unit_test(test_checkpoints_are_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
