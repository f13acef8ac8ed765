/* Bad files: each gives exactly these lines, and no configuration. */
#include "conf_fixture.h"

#include "base/clock.h"

#include "services/kinds.h"

#define X10(x) x x x x x x x x x x

struct bad {
	const char *config;
	const char *report;
};

static const struct bad bad_files[] = {
    {"services = ( { name = \"collector\"; }, { name = \"transformer\"; },\n"
     "  { name = \"eventhub-publisher\"; instances = 60; },\n"
     "  { name = \"b\"; service = \"eventhub-publisher\"; in = \"b\";\n"
     "    instances = 5; } );\n",
     "weft.conf:3: services: with \"b\" all sinks together have 65 instances, "
     "64 is the most; lower their instances\n"},
    {"collector = { lisen = \"127.0.0.1:1\"; };\n",
     "weft.conf:1: collector.lisen: unknown key; did you mean \"listen\"?\n"},
    {"colector = { };\n",
     "weft.conf:1: colector: unknown key; did you mean \"collector\"?\n"},
    {"zzzzzzzz = { };\n", "weft.conf:1: zzzzzzzz: unknown key; pipelinectl "
			  "docs manual lists all keys\n"},
    {"collector = { log_cap = 10737418240; };\n",
     "weft.conf:1: log_cap: the integer 10737418240 is outside of -2147483648 "
     "to 2147483647; sizes and durations are strings with a unit, such as "
     "\"10GiB\" or \"5s\"\n"},
    {"collector = { max_events = 10737418240; };\n",
     "weft.conf:1: max_events: the integer 10737418240 is outside of "
     "-2147483648 to 2147483647; sizes and durations are strings with a unit, "
     "such as \"10GiB\" or \"5s\"\n"},
    {"collector = { max_events = 0x1FFFFFFFF; };\n",
     "weft.conf:1: max_events: the integer 0x1FFFFFFFF is outside of "
     "-2147483648 to 2147483647; sizes and durations are strings with a unit, "
     "such as \"10GiB\" or \"5s\"\n"},
    {"collector = { max_events = -9999999999L; };\n",
     "weft.conf:1: max_events: the integer -9999999999L is outside of "
     "-2147483648 to 2147483647; sizes and durations are strings with a unit, "
     "such as \"10GiB\" or \"5s\"\n"},
    {"collector = { max_events = 1.5; };\n",
     "weft.conf:1: collector.max_events: needs an integer, without quotes\n"},
    {"collector = { max_events = \"5\"; };\n",
     "weft.conf:1: collector.max_events: needs an integer, without quotes\n"},
    {"collector = { max_events = 0; };\n",
     "weft.conf:1: collector.max_events: 0 is outside of 1 to 1000000\n"},
    {"collector = { max_body = 16; };\n",
     "weft.conf:1: collector.max_body: needs a size in quotes with a unit, "
     "such as \"16MiB\"\n"},
    {"collector = { max_body = \"16 Mb\"; };\n",
     "weft.conf:1: collector.max_body: \"16 Mb\" is no size; write a whole "
     "number with B, KiB, MiB, GiB or TiB, such as \"16MiB\"\n"},
    {"collector = { max_body = \"100GiB\"; };\n",
     "weft.conf:1: collector.max_body: 100GiB is outside of 1KiB to 1GiB\n"},
    {"collector = { max_body = \"99999999999999999999GiB\"; };\n",
     "weft.conf:1: collector.max_body: \"99999999999999999999GiB\" is no size; "
     "write a whole number with B, KiB, MiB, GiB or TiB, such as \"16MiB\"\n"},
    {"collector = { idle_timeout = \"5\"; };\n",
     "weft.conf:1: collector.idle_timeout: \"5\" is no duration; write a whole "
     "number with us, ms, s, m, h or d, such as \"5s\"\n"},
    {"collector = { idle_timeout = 5; };\n",
     "weft.conf:1: collector.idle_timeout: needs a duration in quotes with a "
     "unit, such as \"5s\"\n"},
    {"collector = { idle_timeout = \"10ms\"; };\n",
     "weft.conf:1: collector.idle_timeout: 10ms is outside of 1s to 1h\n"},
    {"generator = { duration = \"-5s\"; events = -1; autostart = \"true\"; "
     "};\n",
     "weft.conf:1: generator.duration: \"-5s\" is no duration; write a whole "
     "number with us, ms, s, m, h or d, such as \"5s\"\n"
     "weft.conf:1: generator.events: -1 is less than 0, the least\n"
     "weft.conf:1: generator.autostart: needs true or false, without quotes\n"},
    {"pipeline = { log_level = \"inf\"; };\n",
     "weft.conf:1: pipeline.log_level: \"inf\" is none of the choices; write "
     "\"error\", \"warn\", \"info\" or \"debug\"\n"},
    {"pipeline = { log_level = 3; state_dir = \"\"; run_dir = true; };\n",
     "weft.conf:1: pipeline.log_level: needs a text in quotes\n"
     "weft.conf:1: pipeline.state_dir: is empty; write a path or leave the key "
     "out\n"
     "weft.conf:1: pipeline.run_dir: needs a text in quotes\n"},
    {"collector = { listen = \"localhost:80\"; };\n",
     "weft.conf:1: collector.listen: \"localhost:80\" is no address to listen "
     "on; write a numeric address and a port such as \"127.0.0.1:8080\" or "
     "\"[::1]:8080\", or \"unix:/path\"\n"},
    {"collector = { listen = \"127.0.0.1:70000\"; };\n",
     "weft.conf:1: collector.listen: \"127.0.0.1:70000\" is no address to "
     "listen on; write a numeric address and a port such as \"127.0.0.1:8080\" "
     "or \"[::1]:8080\", or \"unix:/path\"\n"},
    {"collector = { listen = \"127.0.0.1\"; };\n",
     "weft.conf:1: collector.listen: \"127.0.0.1\" is no address to listen on; "
     "write a numeric address and a port such as \"127.0.0.1:8080\" or "
     "\"[::1]:8080\", or \"unix:/path\"\n"},
    {"collector = { listen = \"unix:\"; };\n",
     "weft.conf:1: collector.listen: \"unix:\" is no address to listen on; "
     "write a numeric address and a port such as \"127.0.0.1:8080\" or "
     "\"[::1]:8080\", or \"unix:/path\"\n"},
    {"collector = { listen = \"[::1:80\"; };\n",
     "weft.conf:1: collector.listen: \"[::1:80\" is no address to listen on; "
     "write a numeric address and a port such as \"127.0.0.1:8080\" or "
     "\"[::1]:8080\", or \"unix:/path\"\n"},
    {"collector = { listen = \"${env:X}\"; };\n",
     "weft.conf:1: collector.listen: ${…} is filled in only in keys that hold "
     "a secret; write the value itself\n"},
    {"collector = { api_keys = \"${env:WEFT_NOT_SET}\"; };\n",
     "weft.conf:1: collector.api_keys: ${env:WEFT_NOT_SET}: the environment "
     "variable is not set; set it for weftd, or use ${file:PATH}\n"},
    {"collector = { api_keys = \"${vault:x}\"; };\n",
     "weft.conf:1: collector.api_keys: it has a ${ that is neither ${env:NAME} "
     "nor ${file:PATH}\n"},
    {"collector = { api_keys = \"abc${env:X\"; };\n",
     "weft.conf:1: collector.api_keys: it has a ${ without }\n"},
    {"collector = { api_keys = \"short\"; };\n",
     "weft.conf:1: warning: collector.api_keys: the secret is written out in "
     "this file; better refer to it by ${file:PATH} or ${env:NAME}\n"
     "weft.conf:1: collector.api_keys: is 5 bytes long, it must have 16 to "
     "65536\n"},
    {"collector = { api_keys = \"${env:A B}\"; };\n",
     "weft.conf:1: collector.api_keys: ${env:A B}: an environment variable has "
     "letters, digits and _ only\n"},
    {"collector = { api_keys = \"${file:/}\"; };\n",
     "weft.conf:1: collector.api_keys: ${file:/}: it is not a regular file\n"},
    {"collector = 5;\n", "weft.conf:1: collector: needs a group, such as "
			 "collector = { key = value; };\n"},
    {"collector = ( );\n", "weft.conf:1: collector: needs a group, such as "
			   "collector = { key = value; };\n"},
    {"services = ( );\n", "weft.conf:1: services: the list is empty; leave the "
			  "key out to run the default services\n"},
    {"services = { name = \"collector\"; };\n",
     "weft.conf:1: services: needs a list, such as services = ( { name = "
     "\"collector\"; } );\n"},
    {"services = ( \"collector\" );\n",
     "weft.conf:1: services: each row is a group, such as { name = "
     "\"collector\"; }\n"},
    {"services = ( { nam = \"collector\"; } );\n",
     "weft.conf:1: services.nam: unknown key; did you mean \"name\"?\n"
     "weft.conf:1: services: the key \"name\" is missing in this row\n"},
    {"services = ( { name = \"Collector\"; } );\n",
     "weft.conf:1: services.name: needs a name in quotes of small letters, "
     "digits and dashes, at most 40, the first a letter\n"},
    {"services = ( { name = \"colector\"; } );\n",
     "weft.conf:1: services: there is no service \"colector\"; did you mean "
     "\"collector\"?\n"},
    {"services = ( { name = \"collector\"; }, { name = \"transformer\"; },\n"
     "  { name = \"eventhub-publisher\"; }, { name = \"replay\"; } );\n",
     "weft.conf:2: services: pipelinectl starts \"replay\" when there is "
     "something to do; leave the row out\n"},
    {"services = ( { name = \"xyz\"; } );\n",
     "weft.conf:1: services: there is no service \"xyz\"; to run a service "
     "under a name of your own, add service = \"…\" to the row\n"},
    {"services = ( { name = \"collector\"; } );\n",
     "weft.conf:1: services: \"collector\" feeds link \"raw\", which no listed "
     "service consumes; add { name = \"transformer\"; }\n"},
    {"services = ( { name = \"transformer\"; } );\n",
     "weft.conf:1: services: \"transformer\" consumes link \"raw\", which no "
     "listed service feeds; add { name = \"collector\"; }\n"
     "weft.conf:1: services: \"transformer\" feeds the links of all sinks, but "
     "no sink is listed; add { name = \"eventhub-publisher\"; }\n"},
    {"services = ( { name = \"eventhub-publisher\"; } );\n",
     "weft.conf:1: services: \"eventhub-publisher\" consumes link "
     "\"eventhub\", which no listed service feeds; add { name = "
     "\"transformer\"; }\n"},
    {"services = ( { name = \"metrics\"; instances = 2; } );\n",
     "weft.conf:1: services: \"metrics\" runs once; leave instances out\n"},
    {"services = ( { name = \"metrics\"; }, { name = \"m2\"; service = "
     "\"metrics\"; } );\n",
     "weft.conf: m2.listen: \"127.0.0.1:9464\" is also the address of "
     "metrics.listen; choose another port\n"
     "weft.conf:1: services: \"metrics\" runs once, and \"metrics\" in line 1 "
     "is it already\n"},
    {"services = ( { name = \"collector\"; instances = 0; }, { name = "
     "\"transformer\"; instances = 65; }, { name = \"eventhub-publisher\"; "
     "instances = \"2\"; } );\n",
     "weft.conf:1: services: \"collector\": instances needs an integer from 1 "
     "to 64\n"
     "weft.conf:1: services: \"transformer\": instances needs an integer from "
     "1 to 64\n"
     "weft.conf:1: services: \"eventhub-publisher\": instances needs an "
     "integer from 1 to 64\n"},
    {"services = ( { name = \"collector\"; },\n"
     " { name = \"transformer\"; },\n"
     " { name = \"eventhub-publisher\"; },\n"
     " { name = \"collector\"; } );\n",
     "weft.conf: collector.listen: \"127.0.0.1:8080\" is also the address of "
     "collector.listen; choose another port\n"
     "weft.conf:4: services: \"collector\" is listed twice, first in line 1; "
     "to run more of it use instances, to run another one beside it give that "
     "another name and service = \"collector\"\n"},
    {"services = ( { name = \"collector\"; },\n"
     " { name = \"transformer\"; },\n"
     " { name = \"eventhub-publisher\"; },\n"
     " { name = \"archive\"; service = \"eventhub-publisher\"; } );\n",
     "weft.conf:4: services: \"eventhub-publisher\" and \"archive\" both "
     "consume link \"eventhub\"; give one of them a link of its own, such as "
     "in = \"archive\"\n"},
    {"services = ( { name = \"collector\"; in = \"raw\"; }, { name = "
     "\"transformer\"; },\n"
     " { name = \"t2\"; service = \"transformer\"; },\n"
     " { name = \"eventhub-publisher\"; } );\n",
     "weft.conf:1: services: \"collector\" consumes no link; leave out in = "
     "\"raw\"\n"
     "weft.conf:2: services: \"transformer\" and \"t2\" both consume link "
     "\"raw\"; list one of them, with instances\n"},
    {"services = ( { name = \"links\"; service = \"generator\"; } );\n",
     "weft.conf:1: services: a \"generator\" cannot be called \"links\", which "
     "is the name of another section; choose another name\n"},
    {"services = ( { name = \"metrics\"; service = \"generator\"; } );\n",
     "weft.conf:1: services: a \"generator\" cannot be called \"metrics\", "
     "which is the name of another section; choose another name\n"},
    {"links = { raw = { endpoint = \"tcp://10.0.0.5:7101\"; }; };\n",
     "weft.conf:1: links.raw: a tcp link needs CURVE keys, which this version "
     "does not have; use endpoint = \"ipc\", or set insecure = true when "
     "everybody on its network may read and write events\n"},
    {"links = { raw = { endpoint = \"tcp://10.0.0.5\"; }; };\n",
     "weft.conf:1: links.raw.endpoint: \"tcp://10.0.0.5\" is neither \"ipc\" "
     "nor \"tcp://address:port\"\n"},
    {"links = { raw = { endpoint = \"udp://x:1\"; insecur = true; }; };\n",
     "weft.conf:1: links.raw.insecur: unknown key; did you mean \"insecure\"?\n"
     "weft.conf:1: links.raw.endpoint: \"udp://x:1\" is neither \"ipc\" nor "
     "\"tcp://address:port\"\n"},
    {"links = { raw = \"ipc\"; };\n", "weft.conf:1: links.raw: needs a group, "
				      "such as raw = { key = value; };\n"},
    {"links = { raw = { endpoint = \"tcp://10.0.0.5:65535\"; insecure = true; "
     "}; };\n",
     "weft.conf:1: links.raw.endpoint: the last instance would need port "
     "65536; choose a smaller port\n"},
    {"links = { Raw = { endpoint = \"ipc\"; }; };\n",
     "weft.conf:1: links.Raw: a link's name has small letters, digits and "
     "dashes, at most 40, the first a letter\n"},
    {"links = ( );\n", "weft.conf:1: links: needs a group, such as links = { "
		       "raw = { endpoint = \"ipc\"; }; };\n"},
    {"pipeline = { name = \"x\" run_dir \n"
     "};\n",
     "weft.conf:2: syntax error near: }; (quotes, brackets and names before it "
     "are the usual suspects)\n"},
    {"pipeline = {\n"
     "  name = \"sec ret\n",
     "weft.conf:2: a string begins here and never ends; add the closing "
     "quote\n"},
    {"pipeline = { name = \"x\";\n"
     "/* open\n",
     "weft.conf:2: a comment begins here and never ends; add */\n"},
    {"pipeline = { name = \"x\";\n", "weft.conf:1: syntax error at the end of "
				     "the file; is a bracket not closed?\n"},
    {"# the end is not there\n"
     "pipeline = { name = \"x\"\n"
     " \n"
     "\n",
     "weft.conf:2: syntax error at the end of the file; is a bracket not "
     "closed?\n"},
    {"links = (", "weft.conf:1: syntax error at the end of the file; is a "
		  "bracket not closed?\n"},
    {"a = = 3; b = \"hush\";\n",
     "weft.conf:1: syntax error near: a = = 3; b = \"...\"; (quotes, brackets "
     "and names before it are the usual suspects)\n"},
    {"@include missing\n", "weft.conf:1: @include needs a path in quotes, such "
			   "as @include \"identities.conf\"\n"},
    {"pipeline = { name = \"\"; };\n",
     "weft.conf:1: pipeline.name: is 0 bytes long, it must have 1 to 64\n"},
    {"pipeline = { name = [ 1, 2 ]; };\n",
     "weft.conf:1: pipeline.name: needs a text in quotes\n"},
    {"services = ( { name = \"collector\"; },\n"
     "  { name = \"edge\"; service = \"collector\"; },\n"
     "  { name = \"transformer\"; }, { name = \"eventhub-publisher\"; } );\n"
     "edge = { max_body = \"1GiB\"; };\n",
     "weft.conf: edge.listen: \"127.0.0.1:8080\" is also the address of "
     "collector.listen; choose another port\n"},
    {"collector = { lisen = 1;\n"
     "  max_events = 0; };\n"
     "pipeline = { namee = \"x\"; };\n",
     "weft.conf:1: collector.lisen: unknown key; did you mean \"listen\"?\n"
     "weft.conf:2: collector.max_events: 0 is outside of 1 to 1000000\n"
     "weft.conf:3: pipeline.namee: unknown key; did you mean \"name\"?\n"},
    {"a-very-long-name-of-a-service-that-nobody-would-want-to-type = 1;\n",
     "weft.conf:1: "
     "a-very-long-name-of-a-service-that-nobody-would-want-to-type: unknown "
     "key; pipelinectl docs manual lists all keys\n"},
    {"services = ( { name = \"a23456789-123456789-123456789-123456789-1\"; "
     "service = \"metrics\"; } );\n",
     "weft.conf:1: services.name: needs a name in quotes of small letters, "
     "digits and dashes, at most 40, the first a letter\n"},
};

static void only_utf8_without_controls_is_text(void **state)
{
	static const char told[] =
	    "weft.conf:1: pipeline.name: holds control characters or bytes "
	    "that are not UTF-8\n";

	(void)state;
	fixture_expect("pipeline = { name = \"a\\x01\"; };\n", -1, told);
	fixture_expect("pipeline = { name = \"a\xff\"; };\n", -1, told);
	fixture_expect("pipeline = { name = \"\xed\xa0\x80\"; };\n", -1, told);
	fixture_expect("pipeline = { name = \"\xc3\xa9\"; };\n", 0, "");
}

static void bad_files_are_told_exactly(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad_files) / sizeof(*bad_files); i++)
		fixture_expect(bad_files[i].config, -1, bad_files[i].report);
}

static void what_cannot_be_read_is_told(void **state)
{
	struct conf_report report = {0};
	struct conf *conf;

	(void)state;
	assert_int_equal(
	    conf_load(&conf, "/nonexistent/weft.conf", &test_kinds, &report),
	    -1);
	assert_string_equal(buf_str(&report.lines),
			    "/nonexistent/weft.conf: cannot read the file: No "
			    "such file or directory\n");
	conf_report_free(&report);
	assert_int_equal(conf_load(&conf, "/tmp", &test_kinds, &report), -1);
	assert_string_equal(buf_str(&report.lines),
			    "/tmp: cannot read the file: it is not a regular "
			    "file\n");
	conf_report_free(&report);
	fixture_expect("@include \"/nonexistent/x\"\n", -1,
		       "weft.conf:1: cannot read /nonexistent/x: No such file "
		       "or directory\n");
	fixture_expect("\n@include \"/tmp\"\n", -1,
		       "weft.conf:2: cannot read /tmp: it is not a regular "
		       "file\n");
	fixture_expect("@include \"weft.conf\"\n", -1,
		       "weft.conf:1: @include \"weft.conf\": more than 9 "
		       "levels of includes; does a file include itself?\n");
	fixture_expect("collector = { api_keys = \"${file:nothing}\"; };\n", -1,
		       "weft.conf:1: collector.api_keys: ${file:nothing}: No "
		       "such file or directory\n");
	fixture_expect("collector = { tls_key = \"/nonexistent/k\";\n"
		       "  tls_certificate = \"weft.conf\"; };\n",
		       -1,
		       "weft.conf:1: collector.tls_key: /nonexistent/k: No "
		       "such file or directory\n");
}

static void a_file_has_at_most_1_mib_and_no_nul(void **state)
{
	size_t bytes = 1 << 20;
	char *text = malloc(bytes + 2);
	struct conf *conf;

	(void)state;
	assert_non_null(text);
	memset(text, '#', bytes + 1);
	text[bytes] = '\0';
	conf = fixture_good(text);
	conf_free(&conf);
	text[bytes] = '#';
	text[bytes + 1] = '\0';
	fixture_expect(text, -1,
		       "weft.conf: weft.conf is too large: a configuration "
		       "with all its includes has at most 1 MiB\n");
	fixture_write("nul.conf", "a\0b", 3);
	fixture_expect("@include \"nul.conf\"\n", -1,
		       "weft.conf:1: nul.conf holds a NUL byte at offset 1; is "
		       "it a text file?\n");
	unlink(fixture_path("nul.conf"));
	free(text);
}

static void an_include_is_told_by_its_own_line(void **state)
{
	static const char part[] = "a = 1;\nb = ;\n";
	static const char wrap[] = "\nmetrics = { stale = 4294967296; };\n";

	(void)state;
	fixture_write("part.conf", part, strlen(part));
	fixture_expect("@include \"part.conf\"\n", -1,
		       "part.conf:2: syntax error near: b = ; (quotes, "
		       "brackets and names before it are the usual suspects)"
		       "\n");
	fixture_write("part.conf", wrap, strlen(wrap));
	fixture_expect("@include \"part.conf\"\n", -1,
		       "part.conf:2: stale: the integer 4294967296 is outside "
		       "of -2147483648 to 2147483647; sizes and durations are "
		       "strings with a unit, such as \"10GiB\" or \"5s\"\n");
	unlink(fixture_path("part.conf"));
}

static void includes_nest_nine_deep(void **state)
{
	char name[32], text[40];

	(void)state;
	for (int i = 1; i <= 9; i++) {
		snprintf(name, sizeof(name), "%d.conf", i);
		snprintf(text, sizeof(text), "@include \"%d.conf\"\n", i + 1);
		fixture_write(name, text, i < 9 ? strlen(text) : 0);
	}
	fixture_expect("@include \"1.conf\"\n", 0, "");
	fixture_write("9.conf", text, strlen(text));
	fixture_expect("@include \"1.conf\"\n", -1,
		       "9.conf:1: @include \"10.conf\": more than 9 levels of "
		       "includes; does a file include itself?\n");
	for (int i = 1; i <= 9; i++) {
		snprintf(name, sizeof(name), "%d.conf", i);
		unlink(fixture_path(name));
	}
}

static void doubtful_things_are_warnings(void **state)
{
	(void)state;
	fixture_expect("links = { lake = { endpoint = \"ipc\"; };\n"
		       "  rawe = { endpoint = \"ipc\"; }; };\n",
		       0,
		       "weft.conf:1: warning: links.lake: no listed service "
		       "consumes it; it is not used\n"
		       "weft.conf:2: warning: links.rawe: no listed service "
		       "consumes it; it is not used; did you mean \"raw\"?\n");
	fixture_expect("generator = { api_key = \"hush-hush\"; };\n", 0,
		       "weft.conf:1: warning: generator.api_key: the secret is "
		       "written out in this file; better refer to it by "
		       "${file:PATH} or ${env:NAME}\n");
	fixture_write("key", "0123456789abcdef\n", 17);
	assert_int_equal(chmod(fixture_path("key"), 0644), 0);
	fixture_expect("collector = { api_keys = \"${file:key}\"; };\n", 0,
		       "weft.conf:1: warning: collector.api_keys: everybody on "
		       "this machine can read key; chmod o-r it\n");
	fixture_expect("collector = { tls_key = \"key\"; "
		       "tls_certificate = \"key\"; };\n",
		       0,
		       "weft.conf:1: warning: collector.tls_key: everybody on "
		       "this machine can read key; chmod o-r it\n");
	assert_int_equal(chmod(fixture_path("key"), 0640), 0);
	fixture_expect("collector = { tls_key = \"key\"; "
		       "tls_certificate = \"key\"; };\n",
		       0, "");
	unlink(fixture_path("key"));
}

static void a_secret_in_a_file_that_all_can_read_is_told(void **state)
{
	static const char text[] =
	    "generator = { api_key = \"hush-hush\"; };\n";
	struct conf_report report = {0};
	struct conf *conf;

	(void)state;
	fixture_write("weft.conf", text, strlen(text));
	assert_int_equal(chmod(fixture_path("weft.conf"), 0644), 0);
	assert_int_equal(
	    conf_load(&conf, fixture_path("weft.conf"), &test_kinds, &report),
	    0);
	assert_non_null(strstr(buf_str(&report.lines),
			       "written out in this file, which everybody on "
			       "this machine can read; better"));
	conf_free(&conf);
	conf_report_free(&report);
}

static void a_long_run_dir_is_told_once(void **state)
{
	(void)state;
	fixture_expect(
	    "pipeline = { name = \"x\";\n  run_dir = \"/" X10(
		"123456789/") "1234567\"; };\n",
	    -1,
	    "weft.conf:2: pipeline.run_dir: the socket /" X10(
		"123456789/") "1234567/raw.0.state would have a path of 120 "
			      "bytes, 107 is the most; choose a shorter "
			      "run_dir\n");
}

static void hundreds_of_problems_are_cut(void **state)
{
	struct conf_report report = {0};
	struct buf text = {0};
	struct conf *conf;

	(void)state;
	for (int i = 0; i < 250; i++)
		buf_printf(&text, "zz%d = 1;\n", i);
	assert_int_equal(fixture_load(&conf, buf_str(&text), &report), -1);
	assert_int_equal(report.errors, 201);
	assert_non_null(strstr(buf_str(&report.lines),
			       "weft.conf: 50 more problems are not shown; "
			       "correct the first ones\n"));
	conf_report_free(&report);
	buf_free(&text);
}

/* What a user never wants to read on a terminal or in a ticket. */
static void no_message_holds_a_secret(void **state)
{
	static const char *const configs[] = {
	    "collector = { api_keys = \"Tr0ub4dor\"; };\n",
	    "collector = { api_keys = \"Tr0ub4dor and more\" x };\n",
	    "collector = { api_keys = \"Tr0ub4dor and\n  Tr0ub4dor\" = };\n",
	    "collector = { api_keys = \"Tr0ub4dor and more; };\n",
	    "collector = { api_keys = \"Tr0ub4dor ${env:WEFT_T9}\"; };\n",
	    "collector = { api_keys = \"Tr0ub4dor ${x}\"; };\n",
	    "collector = { api_keys = \"Tr0ub4dor\\x01 and more\"; };\n",
	    "collector = { api_keys = \"${env:WEFT_T8}\"; };\n",
	    "generator = { api_key = \"Tr0ub4dor\"; }; x\n",
	    "collector = { api_keys = \"Tr0ub4dor\"; api_keys = \"\"; };\n",
	};

	(void)state;
	unsetenv("WEFT_T9");
	setenv("WEFT_T8", "Tr0ub4dor", 1);
	for (size_t i = 0; i < sizeof(configs) / sizeof(*configs); i++) {
		struct conf_report report = {0};
		struct conf *conf;

		assert_int_equal(fixture_load(&conf, configs[i], &report), -1);
		if (strstr(buf_str(&report.lines), "0ub4"))
			fail_msg("%s", buf_str(&report.lines));
		conf_report_free(&report);
	}
}

/*
 * Random damage to the sample file: whatever comes, no crash (the sanitizers
 * watch), and a refusal always has a message. Bounded by time.
 */
static void damaged_files_never_crash(void **state)
{
	static const char bits[] = "{}()[]\"=;,#/*@$\\\n0 9a-L.x";
	struct buf sample = {0};
	unsigned seed = 1;
	int64_t end = clock_mono_us() + 1500000;

	(void)state;
	conf_write_sample(&weft_kinds, &sample);
	for (int i = 0; i < 3000 && clock_mono_us() < end; i++) {
		struct conf_report report = {0};
		struct conf *conf;
		char *text = malloc(sample.used + 1);

		assert_non_null(text);
		memcpy(text, sample.data, sample.used);
		text[sample.used] = '\0';
		/* Uncomment some keys, then damage some bytes. */
		for (size_t k = 1; k < sample.used; k++)
			if (text[k] == '#' && text[k + 1] != ' ' &&
			    rand_r(&seed) % 2)
				text[k] = ' ';
		for (int n = rand_r(&seed) % 4; n > 0; n--)
			text[(size_t)rand_r(&seed) % sample.used] =
			    bits[(size_t)rand_r(&seed) % (sizeof(bits) - 1)];
		fixture_write("weft.conf", text, sample.used);
		if (conf_load(&conf, fixture_path("weft.conf"), &weft_kinds,
			      &report) == -1)
			assert_true(report.errors && report.lines.used);
		else
			assert_non_null(conf);
		conf_free(&conf);
		conf_report_free(&report);
		free(text);
	}
	buf_free(&sample);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(only_utf8_without_controls_is_text),
	    cmocka_unit_test(bad_files_are_told_exactly),
	    cmocka_unit_test(what_cannot_be_read_is_told),
	    cmocka_unit_test(a_file_has_at_most_1_mib_and_no_nul),
	    cmocka_unit_test(an_include_is_told_by_its_own_line),
	    cmocka_unit_test(includes_nest_nine_deep),
	    cmocka_unit_test(doubtful_things_are_warnings),
	    cmocka_unit_test(a_secret_in_a_file_that_all_can_read_is_told),
	    cmocka_unit_test(a_long_run_dir_is_told_once),
	    cmocka_unit_test(hundreds_of_problems_are_cut),
	    cmocka_unit_test(no_message_holds_a_secret),
	    cmocka_unit_test(damaged_files_never_crash),
	};

	return cmocka_run_group_tests(tests, fixture_begin, fixture_end);
}
