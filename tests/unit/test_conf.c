/* Loading good files: defaults, values, secrets, services and links. */
#include "conf_fixture.h"

static void an_empty_file_gives_the_defaults(void **state)
{
	struct conf *conf = fixture_good("");
	const struct test_source *collector;
	const struct test_sink *publisher;

	(void)state;
	assert_int_equal(conf->service_count, 4);
	assert_string_equal(conf->pipeline->state_dir, "/var/lib/weft");
	assert_string_equal(conf->pipeline->run_dir, "/run/weft");
	assert_string_equal(conf->pipeline->log_dir, "/var/lib/weft/log");
	assert_int_equal(conf->pipeline->drain_timeout, 30000000);
	collector = conf_find_service(conf, "collector")->conf;
	assert_string_equal(collector->listen, "127.0.0.1:8080");
	assert_int_equal(collector->max_body, 16 << 20);
	assert_null(collector->api_keys);
	publisher = conf_find_service(conf, "eventhub-publisher")->conf;
	assert_string_equal(publisher->path,
			    "/var/lib/weft/out/eventhub-publisher");
	assert_string_equal(conf_consumer(conf, "raw")->name, "transformer");
	assert_null(conf_consumer(conf, "lake"));
	assert_null(conf_consumer(conf, ""));
	assert_null(conf_find_service(conf, "generator"));
	conf_free(&conf);
	assert_null(conf);
}

static void without_a_file_state_is_the_users(void **state)
{
	struct conf_report report = {0};
	struct conf *conf;

	(void)state;
	setenv("XDG_STATE_HOME", "/s", 1);
	setenv("XDG_RUNTIME_DIR", "/r", 1);
	assert_int_equal(conf_load(&conf, NULL, &test_kinds, &report), 0);
	assert_null(conf->path);
	assert_int_equal(conf->service_count, 4);
	assert_string_equal(conf->pipeline->state_dir, "/s/weft");
	assert_string_equal(conf->pipeline->log_dir, "/s/weft/log");
	assert_string_equal(conf->pipeline->run_dir, "/r/weft");
	conf_free(&conf);
	unsetenv("XDG_STATE_HOME");
	unsetenv("XDG_RUNTIME_DIR");
	setenv("HOME", "/h", 1);
	assert_int_equal(conf_load(&conf, NULL, &test_kinds, &report), 0);
	assert_string_equal(conf->pipeline->state_dir, "/h/.local/state/weft");
	conf_free(&conf);
	conf_report_free(&report);
}

static void the_environment_names_the_file(void **state)
{
	(void)state;
	setenv("WEFT_CONFIG", "/some/where.conf", 1);
	assert_string_equal(conf_default_path(), "/some/where.conf");
	unsetenv("WEFT_CONFIG");
}

static void values_of_the_file_count(void **state)
{
	struct conf *conf = fixture_good(
	    "\xef\xbb\xbfpipeline = { state_dir = \"../s/./x//\"; run_dir = "
	    "\"/r/../q\"; log_level = \"debug\"; };\r\n"
	    "# a comment \" /* 99999999999\n"
	    "// another one \" @include\n"
	    "collector = { listen = \"[::1]:9\"; max_events = 0x7;\n"
	    "max_body = \"2 MiB\"; /* \" */ idle_timeout = \"90s\"; };\n"
	    "generator = { autostart = TRUE; target = \"http://a\\\"b\"; }\n");
	const struct test_source *c =
	    conf_find_service(conf, "collector")->conf;

	(void)state;
	assert_string_equal(conf->pipeline->state_dir, "/tmp/s/x");
	assert_string_equal(conf->pipeline->run_dir, "/q");
	assert_string_equal(conf->pipeline->log_dir, "/tmp/s/x/log");
	assert_int_equal(conf->pipeline->log_level, 3);
	assert_string_equal(c->listen, "[::1]:9");
	assert_int_equal(c->max_events, 7);
	assert_int_equal(c->max_body, 2 << 20);
	assert_int_equal(c->idle_timeout, 90000000);
	conf_free(&conf);
}

static void included_files_count_with_their_own_lines(void **state)
{
	struct conf *conf;

	(void)state;
	fixture_write("part.conf", "\ncollector = { max_events = 9; };\n", 32);
	conf = fixture_good("@include \"part.conf\"\n"
			    "metrics = { stale = \"3s\"; }; # no line end");
	assert_int_equal(
	    ((const struct test_source *)conf_find_service(conf, "collector")
		 ->conf)
		->max_events,
	    9);
	conf_free(&conf);
	fixture_write("part.conf", "\ncollector = { max_event = 9; };\n", 31);
	fixture_expect("a = 1;\n@include \"part.conf\"\nb = 2;\n", -1,
		       "weft.conf:1: a: unknown key; pipelinectl docs manual "
		       "lists all keys\n"
		       "weft.conf:3: b: unknown key; pipelinectl docs manual "
		       "lists all keys\n"
		       "part.conf:2: collector.max_event: unknown key; did you "
		       "mean \"max_events\"?\n");
	unlink(fixture_path("part.conf"));
}

static void endpoints_follow_link_and_instance(void **state)
{
	struct conf *conf = fixture_good(
	    "pipeline = { run_dir = \"/r\"; };\n"
	    "services = ( { name = \"collector\"; },\n"
	    "  { name = \"transformer\"; instances = 3; },\n"
	    "  { name = \"eventhub-publisher\"; },\n"
	    "  { name = \"archive\"; service = \"eventhub-publisher\";\n"
	    "    in = \"archive\"; } );\n"
	    "links = { raw = { endpoint = \"tcp://10.0.0.5:7101\";\n"
	    "  insecure = true; }; };\n"
	    "archive = { backend = \"null\"; };\n");
	const struct test_sink *archive;
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
	archive = conf_find_service(conf, "archive")->conf;
	assert_int_equal(archive->backend, 2 /* null */);
	assert_string_equal(archive->path, "/var/lib/weft/out/archive");
	conf_free(&conf);
}

static void a_socket_path_of_107_bytes_is_the_most(void **state)
{
	char text[400], dir[128] = "/", data[256], states[256];
	struct conf *conf;
	struct err err;

	(void)state;
	/* "/eventhub.0.state" has 17 bytes */
	memset(dir + 1, 'd', 89);
	snprintf(text, sizeof(text), "pipeline = { run_dir = \"%s\"; };\n",
		 dir);
	conf = fixture_good(text);
	assert_int_equal(conf_endpoint(conf, "eventhub", 0, data, states, &err),
			 0);
	assert_int_equal(strlen(states + 6), 107);
	assert_int_equal(
	    conf_endpoint(conf, "eventhub", 10, data, states, &err), -1);
	conf_free(&conf);
}

static void secrets_come_from_environment_and_files(void **state)
{
	const char *text = "collector = {\n"
			   "  api_keys = \"${env:WEFT_T1}-${file:key}\"; };\n"
			   "generator = { api_key = \"${env:WEFT_T2}\"; };\n";
	const struct test_source *c;
	struct conf *conf;

	(void)state;
	setenv("WEFT_T1", "one$", 1);
	unsetenv("WEFT_T2"); /* the generator does not run */
	fixture_write("key", "two\nthree-and-more\r\n\n", 21);
	assert_int_equal(chmod(fixture_path("key"), 0600), 0);
	conf = fixture_good(text);
	c = conf_find_service(conf, "collector")->conf;
	assert_string_equal(c->api_keys, "one$-two\nthree-and-more");
	conf_free(&conf);
	unlink(fixture_path("key"));
}

static void a_process_needs_only_its_own_secrets(void **state)
{
	static const char text[] =
	    "collector = { api_keys = \"${env:WEFT_T2}\"; };\n";
	struct conf_report report = {0};
	struct conf *conf;
	const struct test_source *c;

	(void)state;
	unsetenv("WEFT_T2");
	fixture_write("weft.conf", text, strlen(text));
	assert_int_equal(conf_load_row(&conf, fixture_path("weft.conf"),
				       &test_kinds, "collector", &report),
			 -1);
	assert_int_equal(report.errors, 1);
	assert_int_equal(conf_load_row(&conf, fixture_path("weft.conf"),
				       &test_kinds, "metrics", &report),
			 0);
	c = conf_find_service(conf, "collector")->conf;
	assert_null(c->api_keys);
	conf_free(&conf);
	conf_report_free(&report);
}

static void what_is_started_on_demand_has_a_row_when_asked_for(void **state)
{
	struct conf_report report = {0};
	struct conf *conf;

	(void)state;
	fixture_write("weft.conf", "\n", 1);
	assert_int_equal(conf_load_row(&conf, fixture_path("weft.conf"),
				       &test_kinds, "metrics", &report),
			 0);
	assert_null(conf_find_service(conf, "replay"));
	conf_free(&conf);
	assert_int_equal(conf_load_row(&conf, fixture_path("weft.conf"),
				       &test_kinds, "replay", &report),
			 0);
	assert_int_equal(conf_find_service(conf, "replay")->instances, 1);
	conf_free(&conf);
	conf_report_free(&report);
}

static void two_loads_are_independent(void **state)
{
	struct conf *a =
	    fixture_good("collector = { listen = \"127.0.0.1:1\"; };\n");
	struct conf *b =
	    fixture_good("collector = { listen = \"127.0.0.1:2\"; };\n");
	const struct test_source *c;

	(void)state;
	conf_free(&a);
	c = conf_find_service(b, "collector")->conf;
	assert_string_equal(c->listen, "127.0.0.1:2");
	conf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_empty_file_gives_the_defaults),
	    cmocka_unit_test(without_a_file_state_is_the_users),
	    cmocka_unit_test(the_environment_names_the_file),
	    cmocka_unit_test(values_of_the_file_count),
	    cmocka_unit_test(included_files_count_with_their_own_lines),
	    cmocka_unit_test(endpoints_follow_link_and_instance),
	    cmocka_unit_test(a_socket_path_of_107_bytes_is_the_most),
	    cmocka_unit_test(secrets_come_from_environment_and_files),
	    cmocka_unit_test(a_process_needs_only_its_own_secrets),
	    cmocka_unit_test(
		what_is_started_on_demand_has_a_row_when_asked_for),
	    cmocka_unit_test(two_loads_are_independent),
	};

	return cmocka_run_group_tests(tests, fixture_begin, fixture_end);
}
