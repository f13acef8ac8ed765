/*
 * pipelinectl spool, run as a person would, on logs that run, are stopped or
 * damaged.
 * LINK: services/pipelinectl/cmd_spool.c
 * LINK: services/pipelinectl/spool_args.c
 * LINK: services/pipelinectl/spool_export.c
 * LINK: services/pipelinectl/spool_print.c
 * LINK: services/pipelinectl/spool_problem.c
 * LINK: services/pipelinectl/spool_repair.c
 * LINK: services/pipelinectl/spool_verify.c
 */
#include "tests/unit/spool_fixture.h"

#include <cjson/cJSON.h>
#include <getopt.h>

#include "services/pipelinectl/cmd.h"
#include "spool/segments.h"

/* A state directory with one instance, whose log is the fixture's. */
struct ctl {
	struct log_test *t;
	char state_dir[64];
	char *instance; /* directory of collector.0 */
	char *log;	/* its log */
	char *out;	/* what the last run printed */
	char *err;
};

static char usage[512];

int cmd_usage_error(const char *name, const char *fmt, ...)
{
	va_list ap;

	assert_string_equal(name, "spool");
	va_start(ap, fmt);
	vsnprintf(usage, sizeof(usage), fmt, ap);
	va_end(ap);
	return CMD_USAGE;
}

static char *read_back(FILE *f)
{
	long bytes;
	char *text;

	fflush(f);
	bytes = ftell(f);
	rewind(f);
	text = xmalloc((size_t)bytes + 1);
	assert_int_equal(fread(text, 1, (size_t)bytes, f), bytes);
	text[bytes] = '\0';
	fclose(f);
	return text;
}

/* Runs the command; arguments end with NULL. Returns its exit code. */
static int run(struct ctl *c, ...)
{
	FILE *out = tmpfile(), *err = tmpfile();
	int saved_out, saved_err, argc = 1, rc;
	char *argv[16] = {(char *)(uintptr_t) "spool"};
	va_list ap;

	va_start(ap, c);
	while ((argv[argc] = va_arg(ap, char *)))
		argc++;
	va_end(ap);
	free(c->out);
	free(c->err);
	usage[0] = '\0';
	fflush(stdout);
	fflush(stderr);
	saved_out = dup(1);
	saved_err = dup(2);
	dup2(fileno(out), 1);
	dup2(fileno(err), 2);
	optind = 0;
	rc = cmd_spool(argc, argv);
	fflush(stdout);
	fflush(stderr);
	dup2(saved_out, 1);
	dup2(saved_err, 2);
	close(saved_out);
	close(saved_err);
	fseek(out, 0, SEEK_END);
	fseek(err, 0, SEEK_END);
	c->out = read_back(out);
	c->err = read_back(err);
	return rc;
}

static int setup(void **state)
{
	struct ctl *c = xcalloc(1, sizeof(*c));

	strcpy(c->state_dir, "/tmp/weft-test-state-XXXXXX");
	assert_non_null(mkdtemp(c->state_dir));
	c->instance = xasprintf("%s/collector.0", c->state_dir);
	c->log = xasprintf("%s/log", c->instance);
	c->t = log_test_new();
	assert_int_equal(mkdir(c->instance, 0700), 0);
	assert_int_equal(rmdir(c->t->dir), 0);
	c->t->options.dir = c->log;
	*state = c;
	return 0;
}

static int teardown(void **state)
{
	struct ctl *c = *state;

	close_log(c->t);
	remove_files(c->log);
	rmdir(c->log);
	rmdir(c->instance);
	rmdir(c->state_dir);
	log_test_free(c->t);
	free(c->instance);
	free(c->log);
	free(c->out);
	free(c->err);
	free(c);
	return 0;
}

static uint64_t fill(struct ctl *c, uint64_t records)
{
	uint64_t last = 0;

	open_log(c->t);
	for (uint64_t i = 1; i <= records; i++) {
		last = append(c->t, i, 3, 20);
		wait_durable(c->t);
	}
	return last;
}

/* The n-th line of what was printed as JSON; the caller deletes it. */
static cJSON *line(const struct ctl *c, int n)
{
	const char *at = c->out;
	cJSON *json;

	while (n-- > 0) {
		at = strchr(at, '\n');
		assert_non_null(at);
		at++;
	}
	json = cJSON_ParseWithOpts(at, NULL, 0);
	assert_non_null(json);
	return json;
}

static int line_count(const struct ctl *c)
{
	int n = 0;

	for (const char *at = c->out; *at; at++)
		n += *at == '\n';
	return n;
}

static double number(const cJSON *json, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);

	assert_true(cJSON_IsNumber(item));
	return item->valuedouble;
}

static void break_byte(const struct ctl *c, uint64_t position)
{
	char *path = segment_path(c->log, 0);
	int fd = open(path, O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "XXXX", 4, segment_offset(0, position)), 4);
	close(fd);
	free(path);
}

/* ---- ls ---- */

static void test_ls_shows_a_running_log(void **state)
{
	struct ctl *c = *state;
	struct spool_stats stats;
	char end[32], id[UUID_TEXT_BYTES];

	fill(c, 5);
	stats = stats_of(c->t);
	assert_int_equal(run(c, "ls", "--state-dir", c->state_dir, NULL), 0);
	assert_int_equal(line_count(c), 3);
	assert_ptr_equal(strstr(c->out, "as of each log's last checkpoint"),
			 c->out);
	assert_non_null(strstr(c->out, "\nLOG "));
	assert_non_null(strstr(c->out, "\ncollector.0  "));
	assert_non_null(strstr(c->out, uuid_format(spool_id(c->t->spool), id)));
	snprintf(end, sizeof(end), " %" PRIu64 " ", stats.end);
	assert_non_null(strstr(c->out, end));
	assert_string_equal(c->err, "");
}

static void test_ls_as_json(void **state)
{
	struct ctl *c = *state;
	struct spool_stats stats;
	cJSON *json, *row;

	fill(c, 5);
	stats = stats_of(c->t);
	close_log(c->t);
	assert_int_equal(
	    run(c, "ls", "--json", "--state-dir", c->state_dir, NULL), 0);
	json = line(c, 0);
	row = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "logs"), 0);
	assert_string_equal(cJSON_GetObjectItem(row, "log")->valuestring,
			    "collector.0");
	assert_string_equal(cJSON_GetObjectItem(row, "path")->valuestring,
			    c->log);
	assert_int_equal(number(row, "first"), 0);
	assert_int_equal(number(row, "durable"), stats.durable);
	assert_int_equal(number(row, "end"), stats.end);
	assert_int_equal(number(row, "records"), 5);
	assert_int_equal(number(row, "segments"), 1);
	assert_int_equal(number(row, "bad_records"), 0);
	cJSON_Delete(json);
}

static void test_a_log_may_be_named_in_three_ways(void **state)
{
	struct ctl *c = *state;

	fill(c, 1);
	assert_int_equal(run(c, "ls", c->log, NULL), 0);
	assert_int_equal(line_count(c), 3);
	assert_int_equal(run(c, "ls", c->instance, NULL), 0);
	assert_int_equal(line_count(c), 3);
	assert_int_equal(
	    run(c, "ls", "--state-dir", c->state_dir, "collector.0", NULL), 0);
	assert_int_equal(line_count(c), 3);
}

static void test_ls_tells_what_is_damaged(void **state)
{
	struct ctl *c = *state;

	fill(c, 5);
	crash_log(c->t);
	break_byte(c, 0);
	assert_int_equal(run(c, "ls", "--state-dir", c->state_dir, NULL), 1);
	assert_non_null(strstr(c->err, "collector.0: bad records: 1"));
	assert_int_equal(run(c, "ls", c->state_dir, NULL), 1);
	assert_non_null(strstr(c->err, "holds no log"));
}

/* Only bodies are damaged: headers alone do not tell. */
static void test_ls_verify_reads_bodies(void **state)
{
	struct ctl *c = *state;

	fill(c, 5);
	close_log(c->t);
	break_byte(c, 300);
	assert_int_equal(run(c, "ls", c->log, NULL), 0);
	assert_int_equal(run(c, "ls", "--verify", c->log, NULL), 1);
	assert_non_null(strstr(c->err, "bad records: 1"));
}

static void test_ls_without_logs(void **state)
{
	struct ctl *c = *state;

	assert_int_equal(run(c, "ls", "--state-dir", c->state_dir, NULL), 0);
	assert_non_null(strstr(c->err, c->state_dir));
	assert_string_equal(c->out, "");
	assert_int_equal(
	    run(c, "ls", "--json", "--state-dir", c->state_dir, NULL), 0);
	assert_string_equal(c->out, "{\"logs\":[]}\n");
	assert_int_equal(run(c, "ls", "--state-dir", "/nonexistent", NULL), 1);
	assert_non_null(strstr(c->err, "/nonexistent"));
}

/* ---- show ---- */

static void test_show_prints_an_event_a_line(void **state)
{
	struct ctl *c = *state;
	uint64_t last = fill(c, 4);
	cJSON *json, *event;

	assert_int_equal(run(c, "show", c->log, NULL), 0);
	assert_int_equal(line_count(c), 12);
	json = line(c, 11);
	assert_int_equal(number(json, "position"), last);
	assert_int_equal(number(json, "sequence"), 4);
	assert_true(cJSON_IsNull(cJSON_GetObjectItem(json, "lane")));
	assert_string_equal(cJSON_GetObjectItem(json, "stream")->valuestring,
			    "orders");
	event = cJSON_GetObjectItem(json, "event");
	assert_int_equal(number(event, "n"), 4);
	assert_int_equal(number(event, "i"), 2);
	cJSON_Delete(json);
}

static void test_show_from_and_limit(void **state)
{
	struct ctl *c = *state;
	uint64_t last = fill(c, 40);
	char from[32];
	cJSON *json;

	assert_int_equal(run(c, "show", "--limit", "5", c->log, NULL), 0);
	assert_int_equal(line_count(c), 5);
	assert_int_equal(run(c, "show", "--limit", "0", c->log, NULL), 0);
	assert_int_equal(line_count(c), 0);
	/* A position that is no record's shows from the next one on. */
	snprintf(from, sizeof(from), "%" PRIu64, last - 1);
	assert_int_equal(run(c, "show", "--from", from, c->log, NULL), 0);
	assert_int_equal(line_count(c), 3);
	json = line(c, 0);
	assert_int_equal(number(json, "position"), last);
	cJSON_Delete(json);
	assert_int_equal(run(c, "show", "--from", "99999999999", c->log, NULL),
			 0);
	assert_int_equal(line_count(c), 0);
}

static void test_show_goes_on_behind_what_is_bad(void **state)
{
	struct ctl *c = *state;

	fill(c, 4);
	crash_log(c->t);
	break_byte(c, 300);
	assert_int_equal(run(c, "show", c->log, NULL), 1);
	assert_int_equal(line_count(c), 9);
	assert_non_null(strstr(c->err, "positions 0 to "));
}

static void test_wrong_command_lines(void **state)
{
	struct ctl *c = *state;

	assert_int_equal(run(c, NULL), 2);
	assert_int_equal(run(c, "list", NULL), 2);
	assert_non_null(strstr(usage, "'spool list'"));
	assert_int_equal(run(c, "show", NULL), 2);
	assert_int_equal(run(c, "show", c->log, c->log, NULL), 2);
	assert_int_equal(run(c, "show", "--from", "x", c->log, NULL), 2);
	assert_non_null(strstr(usage, "--from 'x'"));
	assert_int_equal(run(c, "show", "--limit", "-1", c->log, NULL), 2);
	assert_int_equal(run(c, "ls", "--nonsense", NULL), 2);
	assert_int_equal(run(c, "show", "/nonexistent", NULL), 1);
	assert_non_null(strstr(c->err, "/nonexistent"));
}

#define CTL_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CTL_TEST(test_ls_shows_a_running_log),
	    CTL_TEST(test_ls_as_json),
	    CTL_TEST(test_a_log_may_be_named_in_three_ways),
	    CTL_TEST(test_ls_tells_what_is_damaged),
	    CTL_TEST(test_ls_verify_reads_bodies),
	    CTL_TEST(test_ls_without_logs),
	    CTL_TEST(test_show_prints_an_event_a_line),
	    CTL_TEST(test_show_from_and_limit),
	    CTL_TEST(test_show_goes_on_behind_what_is_bad),
	    CTL_TEST(test_wrong_command_lines),
	};

	quiet();
	return cmocka_run_group_tests_name("spool ctl", tests, NULL, NULL);
}
