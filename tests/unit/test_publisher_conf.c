/* What the publisher's keys say together: exact lines of pipelinectl check. */
#include "conf_fixture.h"

#include "services/kinds.h"

#define SERVICES                                                               \
	"services = ( { name = \"collector\"; }, { name = \"transformer\"; }," \
	" { name = \"eventhub-publisher\"; } );\n"
#define PUBLISHER(text) SERVICES "eventhub-publisher = {\n" text "};\n"
#define AT(line, rest)	"weft.conf:" #line ": eventhub-publisher." rest "\n"
#define WARN(line, rest) \
	"weft.conf:" #line ": warning: eventhub-publisher." rest "\n"

static void expect(const char *config, bool good, const char *expected)
{
	struct conf_report report = {0};
	struct conf *conf;
	char *lines;
	int rc;

	fixture_write("weft.conf", config, strlen(config));
	rc = conf_load(&conf, fixture_path("weft.conf"), &weft_kinds, &report);
	lines = fixture_plain(buf_str(&report.lines));
	if (strcmp(lines, expected) != 0 || rc != (good ? 0 : -1))
		fail_msg("\n%s\ngives %d and\n%s\ninstead of\n%s", config, rc,
			 lines, expected);
	free(lines);
	conf_report_free(&report);
	conf_free(&conf);
}

static void test_good_ones(void **state)
{
	(void)state;
	expect(PUBLISHER("backend = \"kafka\"; bootstrap = \"a:9092\";"), true,
	       "");
	expect(PUBLISHER("backend = \"kafka\"; bootstrap = \"a:9092\"; topic = "
			 "\"shop-<stream>.v1\"; compression = \"zstd\";"),
	       true, "");
	expect("identities = { hub = { type = \"connection_string\";\n"
	       "connection_string = \"${env:HUB}\"; }; };\n" PUBLISHER(
		   "backend = \"kafka\"; preset = \"eventhubs\";\n"
		   "identity = \"hub\"; compression = \"gzip\";"),
	       true, "");
}

static void test_what_does_not_go_together(void **state)
{
	(void)state;
	expect(PUBLISHER("backend = \"kafka\";"), false,
	       AT(2, "bootstrap: is missing: name the brokers, such as "
		     "\"localhost:9092\""));
	expect(PUBLISHER("backend = \"kafka\"; bootstrap = \"a:1\";\n"
			 "topic = \"a b\";"),
	       false,
	       AT(4, "topic: a topic's name has letters, digits, '.', '_' and "
		     "'-', and at most one \"<stream>\""));
	expect(PUBLISHER("backend = \"kafka\"; bootstrap = \"a:1\";\n"
			 "preset = \"eventhubs\";\ncompression = \"lz4\";\n"
			 "max_message = \"2MiB\";\nrequest_timeout = \"5s\";"),
	       false,
	       AT(2, "identity: Event Hubs wants a login; name an identity of "
		     "type \"connection_string\"")
		   AT(5, "compression: Event Hubs takes \"none\" or \"gzip\" "
			 "only")
		       AT(6, "max_message: Event Hubs closes the connection on "
			     "larger requests; at most \"1000000B\"")
			   AT(7, "request_timeout: Event Hubs needs \"20s\" or "
				 "more"));
	expect(PUBLISHER("backend = \"kafka\"; bootstrap = \"a:1\";\n"
			 "ca_file = \"weft.conf\";"),
	       false,
	       AT(2, "tls: certificates are of no use without it; write tls = "
		     "true"));
	expect(PUBLISHER("backend = \"kafka\"; bootstrap = \"a:1\";\n"
			 "sasl = \"scram-sha-256\";"),
	       false, AT(4, "sasl: needs an identity of type \"plain\""));
}

static void test_keys_that_say_nothing(void **state)
{
	(void)state;
	expect(PUBLISHER("bootstrap = \"a:1\";\ntopic = \"t\";"), true,
	       WARN(3, "bootstrap: says nothing without backend = \"kafka\"")
		   WARN(4, "topic: says nothing without backend = "
			   "\"kafka\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_good_ones),
	    cmocka_unit_test(test_what_does_not_go_together),
	    cmocka_unit_test(test_keys_that_say_nothing),
	};

	setenv("HUB", "Endpoint=sb://x/", 1);
	return cmocka_run_group_tests(tests, fixture_begin, fixture_end);
}
