/* Loading whole files: defaults, values, and what is refused how. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/conf.h"
#include "services/collector/tables.h"
#include "services/kinds.h"

static char dir[] = "/tmp/weft-conf-XXXXXX";
static char file[64];

static void write_file(const char *path, const void *text, size_t bytes)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, bytes, f), bytes);
	assert_int_equal(fclose(f), 0);
}

static int load(struct conf **conf, const char *text,
		struct conf_report *report)
{
	write_file(file, text, strlen(text));
	return conf_load(conf, file, &weft_kinds, report);
}

static struct conf *load_good(const char *text)
{
	struct conf_report report = {0};
	struct conf *conf;
	int rc = load(&conf, text, &report);

	if (rc != 0 || report.errors || report.warnings)
		fail_msg("%s", buf_str(&report.lines));
	assert_non_null(conf);
	conf_report_free(&report);
	return conf;
}

/* Takes the directory's name out of messages, so that tests can state them. */
static char *without_dir(const char *lines)
{
	char *text = calloc(1, strlen(lines) + 1), *out = text;
	size_t n = strlen(dir);

	assert_non_null(text);
	while (*lines) {
		if (strncmp(lines, dir, n) == 0 && lines[n] == '/')
			lines += n + 1;
		else
			*out++ = *lines++;
	}
	return text;
}

static void expect_report(const char *config, int rc, const char *expected)
{
	struct conf_report report = {0};
	struct conf *conf;
	char *lines;

	assert_int_equal(load(&conf, config, &report), rc);
	assert_int_equal(conf == NULL, rc == -1);
	lines = without_dir(buf_str(&report.lines));
	assert_string_equal(lines, expected);
	free(lines);
	conf_report_free(&report);
	conf_free(&conf);
}

static void an_empty_file_gives_the_defaults(void **state)
{
	struct conf *conf = load_good("");
	const struct collector_conf *collector;

	(void)state;
	assert_int_equal(conf->service_count, 4);
	assert_string_equal(conf->pipeline->state_dir, "/var/lib/weft");
	assert_string_equal(conf->pipeline->log_dir, "/var/lib/weft/log");
	assert_int_equal(conf->pipeline->drain_timeout, 30000000);
	collector = conf_find_service(conf, "collector")->conf;
	assert_string_equal(collector->listen, "127.0.0.1:8080");
	assert_int_equal(collector->max_body, 16 << 20);
	assert_null(collector->api_keys);
	assert_string_equal(conf_consumer(conf, "raw")->name, "transformer");
	assert_null(conf_consumer(conf, "lake"));
	conf_free(&conf);
	assert_null(conf);
}

static void values_of_the_file_count(void **state)
{
	struct conf *conf =
	    load_good("pipeline = { state_dir = \"../s/./x\"; run_dir = "
		      "\"/r\"; log_level = \"debug\"; };\n"
		      "collector = { listen = \"[::1]:9\"; max_events = 7; "
		      "max_body = \"2 MiB\"; idle_timeout = \"90s\"; };\n");
	const struct collector_conf *c =
	    conf_find_service(conf, "collector")->conf;

	(void)state;
	assert_string_equal(conf->pipeline->state_dir, "/tmp/s/x");
	assert_string_equal(conf->pipeline->log_dir, "/tmp/s/x/log");
	assert_int_equal(conf->pipeline->log_level, 3);
	assert_string_equal(c->listen, "[::1]:9");
	assert_int_equal(c->max_events, 7);
	assert_int_equal(c->max_body, 2 << 20);
	assert_int_equal(c->idle_timeout, 90000000);
	conf_free(&conf);
}

static void endpoints_follow_link_and_instance(void **state)
{
	struct conf *conf = load_good(
	    "pipeline = { run_dir = \"/r\"; };\n"
	    "services = ( { name = \"collector\"; },\n"
	    "  { name = \"transformer\"; instances = 3; },\n"
	    "  { name = \"eventhub-publisher\"; },\n"
	    "  { name = \"archive\"; service = \"eventhub-publisher\";\n"
	    "    in = \"archive\"; } );\n"
	    "links = { raw = { endpoint = \"tcp://10.0.0.5:7101\";\n"
	    "  insecure = true; }; };\n");
	char data[256], states[256];
	struct err err;

	(void)state;
	assert_int_equal(conf_endpoint(conf, "raw", 2, data, states, &err), 0);
	assert_string_equal(data, "tcp://10.0.0.5:7105");
	assert_string_equal(states, "tcp://10.0.0.5:7106");
	assert_int_equal(conf_endpoint(conf, "archive", 0, data, states, &err),
			 0);
	assert_string_equal(data, "ipc:///r/archive.0");
	assert_string_equal(states, "ipc:///r/archive.0.state");
	assert_int_equal(conf_endpoint(conf, "lake", 0, data, states, &err),
			 -1);
	assert_string_equal(err.text, "there is no link \"lake\"");
	assert_int_equal(conf_stats_endpoint(conf, data, &err), 0);
	assert_string_equal(data, "ipc:///r/stats");
	assert_string_equal(conf_consumer(conf, "archive")->kind->name,
			    "eventhub-publisher");
	conf_free(&conf);
}

struct bad {
	const char *config;
	const char *report;
};

static const struct bad bad_files[] = {
    {"collector = { lisen = \"127.0.0.1:1\"; };",
     "weft.conf:1: collector.lisen: unknown key; did you mean \"listen\"?\n"},
};

static void bad_files_are_told_exactly(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad_files) / sizeof(*bad_files); i++)
		expect_report(bad_files[i].config, -1, bad_files[i].report);
}

static int make_dir(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(file, sizeof(file), "%s/weft.conf", dir);
	return 0;
}

static int remove_dir(void **state)
{
	(void)state;
	unlink(file);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_empty_file_gives_the_defaults),
	    cmocka_unit_test(values_of_the_file_count),
	    cmocka_unit_test(endpoints_follow_link_and_instance),
	    cmocka_unit_test(bad_files_are_told_exactly),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
