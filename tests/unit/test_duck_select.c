/* Statements of somebody else: what reads is run, all else is refused. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "duck_help.h"

struct lookups {
	struct duck_fixture f;
	char *inside, *outside; /* files: in the folder that can be read, not */
	unsigned asked;
};

static char *make_file(struct lookups *l, const char *folder, const char *name)
{
	char *dir = xasprintf("%s/%s", l->f.folder.path, folder);
	char *path = xasprintf("%s/%s", dir, name);
	struct buf sql = {0};

	assert_true(mkdir(dir, 0700) == 0 || errno == EEXIST);
	buf_text(&sql, "COPY (SELECT 7 AS a) TO ");
	duck_literal(&sql, path, strlen(path));
	duck_must(&l->f, buf_str(&sql));
	buf_free(&sql);
	free(dir);
	return path;
}

static void begin(struct lookups *l)
{
	char *temp, *lake;
	const char *folders[2] = {NULL};
	struct duck_options options = {
	    .memory_bytes = 256 << 20, .threads = 1, .folders = folders};

	*l = (struct lookups){0};
	duck_begin(&l->f);
	l->inside = make_file(l, "la'ke", "a[1]*?.parquet");
	l->outside = make_file(l, "other", "b.parquet");
	duck_close(&l->f.duck);
	temp = xasprintf("%s/temp", l->f.folder.path);
	lake = xasprintf("%s/la'ke", l->f.folder.path);
	folders[0] = lake;
	options.temp_dir = temp;
	assert_int_equal(duck_open(&l->f.duck, &options, &l->f.err), 0);
	free(temp);
	free(lake);
}

static void end(struct lookups *l)
{
	free(l->inside);
	free(l->outside);
	duck_end(&l->f);
}

/* Makes a view of the name, once; "broken" cannot be made. */
static int find(void *arg, const char *name, struct err *err)
{
	struct lookups *l = arg;
	struct buf sql = {0};
	int rc;

	if (l->asked++ > 5 || strcmp(name, "nothing") == 0)
		return err_set(err, ENOENT, "no table %s", name);
	buf_text(&sql, "CREATE VIEW ");
	duck_name(&sql, name);
	buf_text(&sql, " AS SELECT * FROM read_parquet(");
	duck_path(&sql, l->inside);
	buf_char(&sql, ')');
	rc = duck_run(l->f.duck, buf_str(&sql), err);
	buf_free(&sql);
	return rc;
}

/* The first value, or the error in angle brackets; owned by the caller. */
static char *ask(struct lookups *l, const char *sql)
{
	struct duck_lookup lookup = {.find = find, .arg = l};
	struct duck_result *r;
	struct buf out = {0};
	char *text;

	l->asked = 0;
	if (duck_select(l->f.duck, sql, &lookup, &r, &l->f.err) != 0)
		buf_printf(&out, "<%s>", l->f.err.text);
	else if (duck_next(r, &l->f.err) == 1)
		duck_text(r, 0, &out);
	duck_result_free(&r);
	text = xstrdup(buf_str(&out));
	buf_free(&out);
	return text;
}

static void expect(struct lookups *l, const char *sql, const char *wanted)
{
	char *text = ask(l, sql);

	if (strcmp(text, wanted) != 0)
		fail_msg("%s\n%s instead of %s", sql, text, wanted);
	free(text);
}

static void expect_refused(struct lookups *l, const char *sql, int code,
			   const char *part)
{
	char *text = ask(l, sql);

	if (*text != '<' || !strstr(text, part) || l->f.err.code != code)
		fail_msg("%s\ncode %d: %s", sql, l->f.err.code, text);
	free(text);
}

static void what_reads_is_run(void **state)
{
	struct lookups l;

	(void)state;
	begin(&l);
	expect(&l, "SELECT 1", "1");
	expect(&l, " -- a remark\n /* a /* nested */ one */ ((SELECT 2));",
	       "2");
	expect(&l, "WITH x AS (SELECT 3 AS a) FROM x", "3");
	expect(&l, "VALUES (4)", "4");
	expect(&l, "DESCRIBE SELECT 5 AS b", "b");
	expect(&l, "SUMMARIZE SELECT 5 AS b", "b");
	expect(&l, "PIVOT (SELECT 1 a, 2 b) ON a IN (1) USING sum(b)", "2");
	expect(&l, "EXPLAIN SELECT 1", "physical_plan");
	expect(&l, "EXPLAIN ANALYZE SELECT 1", "analyzed_plan");
	expect(&l, "EXPLAIN (ANALYZE, FORMAT json) FROM range(1)",
	       "analyzed_plan");
	expect(&l, "EXPLAIN (SELECT 1)", "physical_plan");
	expect(&l, "SELECT query FROM (SELECT 6 AS query)", "6");
	end(&l);
}

static void tables_are_made_when_they_are_named(void **state)
{
	struct lookups l;

	(void)state;
	begin(&l);
	expect(&l, "SELECT 1", "1");
	assert_int_equal(l.asked, 0);
	expect(&l, "SELECT o.a + p.a FROM orders o JOIN \"p q\" p USING (a)",
	       "14");
	assert_int_equal(l.asked, 2);
	expect(&l, "EXPLAIN SELECT * FROM more", "physical_plan");
	expect(&l, "FROM orders", "7");
	assert_int_equal(l.asked, 0);
	expect(&l, "FROM nothing", "<no table nothing>");
	end(&l);
}

static void what_writes_is_refused(void **state)
{
	static const char *const statements[] = {
	    "INSERT INTO t VALUES (1)", "CREATE TABLE t (a INT)",
	    "COPY (SELECT 1) TO 'x.csv'", "SET threads = 2",
	    "PRAGMA enable_profiling", "ATTACH 'x.db'", "INSTALL httpfs",
	    "CALL enable_logging()", "EXPORT DATABASE 'x'",
	    "EXPLAIN ANALYZE COPY (SELECT 1) TO 'x.csv'",
	    "EXPLAIN (ANALYZE) INSERT INTO t VALUES (1)",
	    /* What looks like a SELECT only to who counts comments wrongly. */
	    "EXPLAIN ANALYZE /* /* */ SELECT 1 -- */ */ COPY (SELECT 1) TO 'x'",
	    "EXPLAIN (FORMAT /*) SELECT 1 --*/ json) COPY (SELECT 1) TO 'x'",
	    "FROM enable_logging(storage = 'file', storage_path = 'x')",
	    "FROM \"Enable_Profiling\" (save_location = 'x')",
	    "FROM query /* /* */ */ ('SELECT 1')",
	    "FROM query\xc2\xa0('SELECT 1')",
	    "FROM json_execute_serialized_sql('{}')", "SELEC 1", "*"};
	struct lookups l;

	(void)state;
	begin(&l);
	for (size_t i = 0; i < sizeof(statements) / sizeof(*statements); i++)
		expect_refused(&l, statements[i], EPERM, "");
	expect_refused(&l, "WITH x AS (SELECT 1) INSERT INTO t FROM x", EINVAL,
		       "only statements that read are run, and in this one is "
		       "INSERT");
	expect_refused(&l, "SELECT 1; SELECT 2", EINVAL, "one statement");
	expect_refused(&l, " -- nothing", EINVAL, "there is no statement");
	expect_refused(&l, "", EINVAL, "there is no statement");
	expect_refused(&l, "SELECT 1 FROM", EINVAL, "syntax error");
	end(&l);
}

static void files_elsewhere_are_out_of_reach(void **state)
{
	struct lookups l;
	char *sql;

	(void)state;
	begin(&l);
	sql = xasprintf("FROM read_parquet('%s')", l.outside);
	expect_refused(&l, sql, EACCES, "no other files");
	free(sql);
	sql = xasprintf("FROM '%s'", l.outside);
	expect_refused(&l, sql, EACCES, "no other files");
	free(sql);
	expect_refused(&l, "FROM read_csv('/etc/passwd')", EACCES, "passwd");
	expect_refused(&l, "FROM glob('/etc/*')", EACCES, "/etc");
	sql = xasprintf("FROM read_text('%s/la''ke/../other/b.parquet')",
			l.f.folder.path);
	expect_refused(&l, sql, EACCES, "no other files");
	free(sql);
	end(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_reads_is_run),
	    cmocka_unit_test(tables_are_made_when_they_are_named),
	    cmocka_unit_test(what_writes_is_refused),
	    cmocka_unit_test(files_elsewhere_are_out_of_reach),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
