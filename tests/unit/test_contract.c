#include <errno.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/test_contract_help.h"

static int directory_syncs;

/* Stands before the C library's. */
int fsync(int fd)
{
	directory_syncs++;
	return (int)syscall(SYS_fsync, fd);
}

/* A contract with one more field f of these keys. */
#define FIELD(keys) HEAD ",{ name = \"f\"; " keys " }" TAIL

struct problem {
	const char *contract;
	const char *wanted; /* part of a line, behind "t.conf:" */
};

static void check_problems(const struct problem *problems, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char *lines = problems_of_text(problems[i].contract);
		char *wanted = xasprintf("/t.conf:%s", problems[i].wanted);

		if (!strstr(lines, wanted))
			fail_msg("%s\ngave: %swanted: %s", problems[i].contract,
				 lines, wanted);
		free(lines);
		free(wanted);
	}
}
#define CHECK_PROBLEMS(list) check_problems(list, sizeof(list) / sizeof(*list))

static void every_contract_of_the_product_compiles(void **state)
{
	static const char *const names[] = {
	    "product", "order", "customer",    "admin",
	    "ai",      "agent", "dead_letter", "dead_letter_state"};
	struct contract_report report;
	struct contract_set *set;

	(void)state;
	assert_int_equal(contract_set_load(&set, "etc/contracts",
					   (const uint8_t *)SECRET,
					   SECRET_BYTES, &report),
			 0);
	assert_int_equal(report.warnings, 0);
	contract_report_free(&report);
	assert_int_equal(contract_set_count(set), 8);
	for (size_t i = 0; i < 8; i++) {
		const struct contract *c =
		    contract_set_find(set, names[i], strlen(names[i]));

		assert_non_null(c);
		for (uint32_t k = 0; k < c->field_count; k++)
			assert_true(strlen(c->fields[k].doc) > 5);
	}
	assert_null(contract_set_find(set, "base", 4));
	contract_set_unref(&set);
}

static const struct contract_field *field_of(const struct contract *c,
					     const char *name)
{
	for (uint32_t i = 0; i < c->field_count; i++)
		if (strcmp(c->fields[i].name, name) == 0)
			return &c->fields[i];
	fail_msg("no field %s", name);
	return NULL;
}

static void names_addresses_and_free_text_are_masked(void **state)
{
	struct contract_set *set = set_of_folder("etc/contracts");
	const struct contract *c = contract_set_find(set, "customer", 8);
	const struct contract *order = contract_set_find(set, "order", 5);

	(void)state;
	assert_int_equal(field_of(c, "customer_name")->mask,
			 CONTRACT_MASK_HASH);
	assert_int_equal(field_of(c, "customer_email")->mask,
			 CONTRACT_MASK_HASH);
	assert_int_equal(field_of(c, "query_text")->mask, CONTRACT_MASK_REDACT);
	assert_int_equal(field_of(c, "customer_id")->mask, CONTRACT_MASK_NONE);
	assert_string_equal(order->partition_key, "order_id");
	assert_string_equal(order->topic, "events");
	assert_int_equal(field_of(order, "order_total")->precision, 18);
	assert_int_equal(field_of(order, "order_total")->scale, 6);
	assert_string_equal(field_of(order, "environment")->default_text,
			    "\"production\"");
	assert_true(field_of(order, "event_id")->required);
	contract_set_unref(&set);
}

static void each_of_the_24_event_types_has_a_contract(void **state)
{
	static const char *const types[] = {
	    "product.viewed",	      "product.searched",
	    "product.listed",	      "order.placed",
	    "order.status_checked",   "order.completed",
	    "order.failed",	      "customer.session_started",
	    "customer.session_ended", "customer.query",
	    "customer.feedback",      "admin.inventory_updated",
	    "admin.product_created",  "admin.product_creation_failed",
	    "admin.product_updated",  "admin.product_deleted",
	    "ai.recommendation",      "ai.description_generated",
	    "agent.session_started",  "agent.session_ended",
	    "agent.task_started",     "agent.task_completed",
	    "agent.model_invocation", "agent.tool_call",
	};
	struct contract_set *set = set_of_folder("etc/contracts");

	(void)state;
	for (size_t i = 0; i < 24; i++) {
		char *body = xasprintf("{\"event_type\":\"%s\","
				       "\"event_source\":\"s\"}",
				       types[i]);
		struct taken *t = take_text(set, INTAKE_ONE, body);
		char name[BATCH_STREAM_NAME_BYTES + 1];

		assert_int_equal(t->result.accepted, 1);
		batch_stream(t->batch, t->batch->events[0].stream, name);
		assert_memory_equal(types[i], name, strlen(name));
		assert_int_equal(types[i][strlen(name)], '.');
		free(body);
		taken_free(&t);
	}
	contract_set_unref(&set);
}

static void problems_name_file_line_and_what_was_meant(void **state)
{
	static const struct problem list[] = {
	    {"name = \"t\";\nversion = 1;\nidentiy = [\"a\"];",
	     "3: unknown key \"identiy\" in a contract; did you mean "
	     "\"identity\"?"},
	    {"name = \"t\";\nversion = 1", " identity is missing"},
	    {"name = \"t\";\nversion = ;", "2: syntax error"},
	    {"version = 1;", " the contract has no name"},
	    {"name = \"a b\"; version = 1;", "1: name \"a b\" must be"},
	    {"name = \"t\"; version = 0; identity = [];",
	     "1: version must be given, from 1 to 65535"},
	    {"name = \"t\"; version = \"1\";",
	     "1: \"version\" in a contract must be an integer"},
	    {"name = \"t\"; extends = \"other\";",
	     "1: extends names no contract \"other\""},
	    {"name = \"t\"; extends = \"t\";", "1: extends goes in a circle"},
	    {"@include \"x\"\nname = \"t\";",
	     "1: @include is not for contracts"},
	    {FIELD("type = \"int\"; requird = true;"),
	     "1: unknown key \"requird\" in a field; did you mean "
	     "\"required\"?"},
	    {FIELD("type = \"integer\";"), "1: unknown type \"integer\""},
	    {FIELD("type = \"strng\";"), "1: unknown type \"strng\"; did you "
					 "mean \"string\"?"},
	    {FIELD("doc = \"x\";"), "1: field \"f\" has no type"},
	    {FIELD("type = \"int\"; }, { type = \"int\";"),
	     "1: a field has no name"},
	    {FIELD("type = \"int\"; }, { name = \"F\"; type = \"int\";"),
	     "1: field \"F\" is declared twice"},
	    {FIELD("type = \"int\"; }, { name = \"select\"; type = \"int\";"),
	     "1: name \"select\" is a reserved word"},
	    {FIELD("type = \"int\"; }, { name = \"a-b\"; type = \"int\";"),
	     "1: name \"a-b\" must be a letter"},
	    {FIELD("type = \"int\"; }, { name = \"g\"; type = \"int\"; "
		   "from = \"f\";"),
	     "1: fields \"f\" and \"g\" both take member \"f\""},
	};

	(void)state;
	CHECK_PROBLEMS(list);
}

static void keys_that_do_not_fit_the_field_are_refused(void **state)
{
	static const struct problem list[] = {
	    {FIELD("type = \"decimal\";"), "1: type \"decimal\" must be"},
	    {FIELD("type = \"decimal(39,2)\";"), "1: type \"decimal(39,2)\""},
	    {FIELD("type = \"decimal(4,5)\";"), "1: type \"decimal(4,5)\""},
	    {FIELD("type = \"struct\";"), "1: struct field \"f\" needs"},
	    {FIELD("type = \"int\"; default = \"x\";"),
	     "1: the value of f does not fit type int: it is no JSON"},
	    {FIELD("type = \"int\"; default = \"1.5\";"),
	     "1: the value of f does not fit type int"},
	    {FIELD("type = \"int\"; max = 5; default = 6;"),
	     "1: the value of f does not fit type int: f: 6 is above"},
	    {FIELD("type = \"dynamic\"; default = \"[1,\";"),
	     "1: the value of f does not fit type dynamic: it is no JSON"},
	    {FIELD("type = \"decimal(9,2)\"; default = 0.125;"),
	     "1: the value of f does not fit type decimal(9,2)"},
	    {FIELD("type = \"int\"; default_null = true;"),
	     "1: default_null of \"f\" needs a default"},
	    {FIELD("type = \"string\"; min = 1;"), "1: min of \"f\" is for"},
	    {FIELD("type = \"int\"; min = 1.5;"),
	     "1: min of \"f\" does not fit type int"},
	    {FIELD("type = \"int\"; min = 5; max = 4;"),
	     "1: min of \"f\" is above its max"},
	    {FIELD("type = \"long\"; max = 10737418240;"),
	     "1: 10737418240 does not fit 32 bits"},
	    {FIELD("type = \"int\"; max_length = 5;"),
	     "1: max_length of \"f\" is for strings and arrays"},
	    {FIELD("type = \"string\"; max_length = 0;"),
	     "1: max_length of \"f\" must be from 1 to"},
	    {FIELD("type = \"boolean\"; enum = [\"a\"];"),
	     "1: enum of \"f\" is for"},
	    {FIELD("type = \"int\"; enum = [\"a\"];"),
	     "1: the value of f does not fit type int"},
	    {FIELD("type = \"string\"; enum = \"a\";"),
	     "1: enum of \"f\" must be a list"},
	    {FIELD("type = \"int\"; pattern = \"a\";"),
	     "1: pattern of \"f\" is for strings"},
	    {FIELD("type = \"string\"; pattern = \"(\";"),
	     "1: pattern of \"f\": "},
	    {FIELD("type = \"string\"; pattern = \"(a)\\\\1\";"),
	     "1: pattern of \"f\": back references"},
	    {FIELD("type = \"string\"; on_violation = \"drop\";"),
	     "1: on_violation of \"f\" must be one of \"reject\", \"flag\", "
	     "\"null\", not \"drop\""},
	    {FIELD("type = \"string\"; mask = \"md5\";"),
	     "1: mask of \"f\" must be one of"},
	    {FIELD("type = \"int\"; mask = \"hash\";"),
	     "1: mask = \"hash\" of \"f\" is for strings"},
	    {FIELD("type = \"double\"; round = true;"),
	     "1: round of \"f\" is for decimals"},
	    {FIELD("type = \"array(decimal(9,2))\"; round = true;"),
	     "1: round of \"f\" is for decimals"},
	    {FIELD("type = \"decimal(9,2)\"; round = 1;"),
	     "1: \"round\" in a field must be true or false"},
	    {FIELD("type = \"decimal(9,2)\"; round = true; default = 0.125;"),
	     "1: the value of f does not fit type decimal(9,2)"},
	    {FIELD("type = \"decimal(9,2)\"; round = true; max = 0.125;"),
	     "1: max of \"f\" does not fit type decimal(9,2)"},
	    {FIELD("type = \"string\"; mask_keep = 5;"),
	     "1: mask_keep of \"f\" needs mask = \"truncate\""},
	    {FIELD("type = \"string\"; value = \"now\";"),
	     "1: field \"f\": value = \"now\" needs type datetime"},
	    {FIELD("type = \"string\"; value = \"const\";"),
	     "1: field \"f\": value = \"const\" and const = … go together"},
	    {FIELD("type = \"string\"; value = \"env\"; "
		   "env = \"WEFT_TEST_UNSET\";"),
	     "1: field \"f\": value = \"env\" needs"},
	    {FIELD("type = \"string\"; value = \"uuid\"; required = true;"),
	     "1: field \"f\" with value = \"uuid\" cannot have"},
	    {FIELD("type = \"string\"; from = [\"a..b\"];"),
	     "1: from of \"f\" must be names joined by dots"},
	    {HEAD ",{ name = \"dq_flags\"; type = \"string\"; }" TAIL,
	     "1: field \"dq_flags\" is made by"},
	};

	(void)state;
	CHECK_PROBLEMS(list);
}

/* A contract with these keys instead of identity = ["a"]. */
#define KEYS(keys)                                                           \
	"name = \"t\"; version = 1; doc = \"d\"; unknown_fields = \"drop\";" \
	"match = { event_type = \"t\"; }; fields = ("                        \
	"{ name = \"a\"; type = \"string\"; },"                              \
	"{ name = \"m\"; type = \"string\"; mask = \"last4\"; },"            \
	"{ name = \"v\"; type = \"string\"; on_violation = \"flag\"; },"     \
	"{ name = \"d\"; type = \"dynamic\"; });" keys

static void keys_of_a_contract_are_checked(void **state)
{
	static const struct problem list[] = {
	    {KEYS("identity = [\"aa\"];"),
	     "1: identity names no field \"aa\"; did you mean \"a\"?"},
	    {KEYS("identity = [\"m\"];"),
	     "1: \"m\" is in identity, where only mask = \"hash\""},
	    {KEYS("identity = [\"a\"]; partition_key = \"m\";"),
	     "1: \"m\" is in partition_key, where only"},
	    {KEYS("identity = [\"d\"];"),
	     "1: \"d\" is in identity, and so must have a plain type"},
	    {HEAD ",{ name = \"g\"; type = \"string\"; from = \"a.b\"; }" TAIL
		  "key = \"g\";",
	     "1: \"g\" is in key, where a from of several or nested paths"},
	    {KEYS("identity = [\"v\"];"),
	     "1: \"v\" is in identity, so its on_violation must be"},
	    {HEAD ",{ name = \"g\"; type = \"decimal(9,2)\"; "
		  "round = true; }" TAIL "key = \"g\";",
	     "1: \"g\" is in key, so it cannot be rounded"},
	    {KEYS("identity = [\"a\"]; event_time = \"a\";"),
	     "1: event_time field \"a\" must be of type datetime"},
	    {KEYS("identity = [\"a\"]; lake = { mode = \"upsert\"; };"),
	     "1: mode = \"upsert\" needs both key and order"},
	    {KEYS("identity = [\"a\"]; lake = { mode = \"x\"; };"),
	     "1: \"mode\" must be one of \"append\", \"upsert\", not \"x\""},
	    {KEYS("identity = [\"a\"]; eventhub = { topic = \"a b\"; };"),
	     "1: eventhub.topic has 1 to 249 letters"},
	    {KEYS("identity = [\"a\"]; eventhub = { topic = \"\"; };"),
	     "1: eventhub.topic has"},
	    {KEYS("identity = [\"a\"]; eventhub = { topic = "
		  "\"<stream><stream>\"; };"),
	     "1: eventhub.topic has"},
	    {KEYS("identity = [\"a\"]; lake = { table = \"a b\"; };"),
	     "1: table \"a b\" must be a lower-case letter or _"},
	    {KEYS("identity = [\"a\"]; lake = { table = \"Orders\"; };"),
	     "1: table \"Orders\" must be a lower-case letter or _"},
	    {KEYS("identity = [\"a\"]; lake = { table = \"1a\"; };"),
	     "1: table \"1a\" must be a lower-case letter or _"},
	    {KEYS("identity = [\"a\"]; lake = { table = \"\"; };"),
	     "1: table \"\" must be a lower-case letter or _"},
	    {KEYS("identity = [\"a\"]; lake = { table = \"order\"; };"),
	     "1: table \"order\" is a reserved word"},
	    {KEYS("identity = [\"a\"]; lake = { tables = \"a\"; };"),
	     "1: unknown key \"tables\" in lake; did you mean \"table\"?"},
	    {KEYS("identity = [\"a\"]; eventhub = { topc = \"a\"; };"),
	     "1: unknown key \"topc\" in eventhub"},
	    {KEYS("identity = [\"a\"]; nulls = \"maybe\";"),
	     "1: \"nulls\" must be one of \"omit\", \"emit\""},
	    {"name = \"t\"; version = 1; identity = [\"a\"]; fields = ("
	     "{ name = \"a\"; type = \"string\"; });",
	     " unknown_fields = \"keep\" needs a field "
	     "\"custom_properties\""},
	    {"name = \"t\"; version = 1; identity = [\"a\"]; "
	     "unknown_column = \"a\"; fields = ("
	     "{ name = \"a\"; type = \"string\"; });",
	     "1: field \"a\", which unknown fields go to, must be of type "
	     "dynamic"},
	};

	(void)state;
	CHECK_PROBLEMS(list);
}

static void what_is_not_there_yet_is_refused_by_name(void **state)
{
	static const char *const top[] = {"also", "explode", "rules",
					  "delete_when"};
	static const char *const field[] = {"compute", "lookup", "accept"};
	static const struct problem list[] = {
	    {HEAD TAIL "root = \"a\";", "1: \"root\" other than \"\" is not "
					"supported yet"},
	    {"name = \"t\"; version = 1; match = { container = \"c\"; };"
	     "identity = [\"a\"]; unknown_fields = \"drop\"; fields = ("
	     "{ name = \"a\"; type = \"string\"; });",
	     "1: \"container\" in match is not supported yet"},
	    {FIELD("type = \"struct\"; fields = ( { name = \"x\"; type = "
		   "\"string\"; mask = \"hash\"; });"),
	     "1: \"mask\" in a field of a struct is not supported yet"},
	};

	(void)state;
	for (size_t i = 0; i < 7; i++) {
		const char *key = i < 4 ? top[i] : field[i - 4];
		char *text =
		    i < 4
			? xasprintf(HEAD TAIL "%s = \"x\";", key)
			: xasprintf(FIELD("type = \"int\"; %s = \"x\";"), key);
		char *wanted = xasprintf("1: \"%s\" in %s is not supported yet",
					 key, i < 4 ? "a contract" : "a field");
		const struct problem one = {text, wanted};

		check_problems(&one, 1);
		free(text);
		free(wanted);
	}
	CHECK_PROBLEMS(list);
}

static void all_problems_come_at_once(void **state)
{
	struct contract_report report;
	struct contract_set *set;
	struct folder d;

	(void)state;
	folder_make(&d);
	folder_put(&d, "a.conf", "name = \"a\";\nbogus = 1;\nversion = 0;");
	folder_put(&d, "b.conf", "name = ;");
	folder_put(&d, "c.conf", "name = \"A\";");
	folder_put(&d, "ignored.txt", "name = ;");
	assert_int_equal(
	    contract_set_load(&set, d.path, (const uint8_t *)"x", 1, &report),
	    -1);
	buf_str(&report.lines);
	assert_non_null(strstr(report.lines.data, "a.conf:2: unknown key"));
	assert_non_null(strstr(report.lines.data, "a.conf:3: version"));
	assert_non_null(strstr(report.lines.data, "b.conf:1: syntax error"));
	assert_non_null(strstr(report.lines.data, "c.conf:1: name \"A\" is "
						  "taken by "));
	assert_non_null(strstr(report.lines.data, "the secret for mask"));
	assert_null(strstr(report.lines.data, "ignored"));
	contract_report_free(&report);
	folder_remove(&d);
	assert_int_equal(contract_set_load(&set, "/nonexistent",
					   (const uint8_t *)SECRET,
					   SECRET_BYTES, &report),
			 -1);
	contract_report_free(&report);
}

/* A contract by name and match. */
#define MATCHING                                                       \
	"name = \"%s\"; version = 1; doc = \"d\"; identity = [\"i\"];" \
	"unknown_fields = \"drop\"; match = %s; fields = ("            \
	"{ name = \"i\"; type = \"string\"; });"

/* Two contracts that match the same; the report must speak of a tie. */
static bool ties(const char *match_a, const char *match_b)
{
	struct contract_report report;
	struct contract_set *set;
	struct folder d;
	char *a = xasprintf(MATCHING, "a", match_a);
	char *b = xasprintf(MATCHING, "b", match_b);
	bool bad;

	folder_make(&d);
	folder_put(&d, "a.conf", a);
	folder_put(&d, "b.conf", b);
	bad = contract_set_load(&set, d.path, (const uint8_t *)SECRET,
				SECRET_BYTES, &report) < 0;
	if (bad)
		assert_non_null(
		    strstr(buf_str(&report.lines), "match ties with"));
	contract_report_free(&report);
	contract_set_unref(&set);
	folder_remove(&d);
	free(a);
	free(b);
	return bad;
}

static void a_tie_is_an_error(void **state)
{
	(void)state;
	assert_true(ties("{ event_type = \"x\"; }", "{ event_type = \"x\"; }"));
	assert_true(ties("{ event_type = \"x.*\"; }",
			 "( { has = \"q\"; }, { event_type = \"x.*\"; } )"));
	assert_true(ties("{ has = [\"p\"]; }", "{ has = [\"q\"]; }"));
	assert_false(ties("{ has = [\"p\", \"r\"]; }", "{ has = [\"q\"]; }"));
	assert_false(
	    ties("{ event_type = \"x.*\"; }", "{ event_type = \"x.y\"; }"));
	assert_false(ties("{ event_type = \"x\"; has = \"a\"; }",
			  "{ event_type = \"x\"; }"));
}

/* What is wrong with two contracts of these settings of the lake; owned. */
static char *problems_of_lakes(const char *first, const char *second)
{
	const char *const lakes[] = {first, second};
	struct contract_report report;
	struct contract_set *set;
	struct folder d;
	char *lines;

	folder_make(&d);
	for (int i = 0; i < 2; i++) {
		char *name = xasprintf("%c.conf", 'a' + i);
		char *text = xasprintf(
		    "name = \"c%d\"; version = 1; doc = \"d\";"
		    "match = { event_type = \"%d\"; }; identity = \"x\";"
		    "key = \"x\"; order = \"x\"; unknown_fields = \"drop\";"
		    "fields = ( { name = \"x\"; type = \"string\"; } );"
		    "lake = { %s };",
		    i, i, lakes[i]);

		folder_put(&d, name, text);
		free(text);
		free(name);
	}
	if (contract_set_load(&set, d.path, (const uint8_t *)SECRET,
			      SECRET_BYTES, &report) == 0)
		contract_set_unref(&set);
	lines = xstrdup(buf_str(&report.lines));
	contract_report_free(&report);
	folder_remove(&d);
	return lines;
}

static void a_table_is_of_one_contract(void **state)
{
	char *lines;

	(void)state;
	lines = problems_of_lakes("table = \"t\";", "table = \"t2\";");
	assert_string_equal(lines, "");
	free(lines);
	lines = problems_of_lakes("mode = \"append\";", "mode = \"append\";");
	assert_string_equal(lines, "");
	free(lines);
	lines = problems_of_lakes("table = \"t\";", "table = \"t\";");
	assert_non_null(
	    strstr(lines, "b.conf: lake.table \"t\" is that of contract "
			  "\"c0\" already; several contracts in one table are "
			  "not supported yet"));
	free(lines);
	lines = problems_of_lakes("table = \"t_changes\";",
				  "table = \"t\"; mode = \"upsert\";");
	assert_non_null(strstr(lines, "a.conf: lake.table \"t_changes\" is "
				      "where the changes of \"t\" go"));
	free(lines);
}

static void the_lake_of_a_contract_is_known(void **state)
{
	struct contract_set *set = set_of_text(
	    HEAD TAIL "key = \"k\"; order = \"event_time\";"
		      "lake = { table = \"t_1\"; mode = \"upsert\"; };");

	(void)state;
	assert_string_equal(contract_set_at(set, 0)->table, "t_1");
	assert_true(contract_set_at(set, 0)->upsert);
	contract_set_unref(&set);
	set = set_of_text(HEAD TAIL);
	assert_null(contract_set_at(set, 0)->table);
	assert_false(contract_set_at(set, 0)->upsert);
	contract_set_unref(&set);
}

static const char *stream_of(struct contract_set *set, const char *body,
			     char name[BATCH_STREAM_NAME_BYTES + 1])
{
	struct taken *t = take_text(set, INTAKE_ONE, body);

	strcpy(name, "-");
	if (t->result.accepted)
		batch_stream(t->batch, t->batch->events[0].stream, name);
	taken_free(&t);
	return name;
}

static void the_most_exact_match_wins(void **state)
{
	static const char *const matches[][2] = {
	    {"exact", "{ event_type = [\"a.b\", \"z\"]; }"},
	    {"exact_has", "{ event_type = \"a.b\"; has = \"q\"; }"},
	    {"prefix", "{ event_type = \"a.*\"; }"},
	    {"longer", "{ event_type = \"a.b.*\"; }"},
	    {"has_two", "{ has = [\"p\", \"q\"]; }"},
	    {"has_one", "{ has = [\"p\"]; }"},
	};
	char name[BATCH_STREAM_NAME_BYTES + 1];
	struct contract_set *set;
	struct folder d;

	(void)state;
	folder_make(&d);
	for (size_t i = 0; i < 6; i++) {
		char *text = xasprintf(MATCHING, matches[i][0], matches[i][1]);
		char *file = xasprintf("%s.conf", matches[i][0]);

		folder_put(&d, file, text);
		free(text);
		free(file);
	}
	set = set_of_folder(d.path);
#define GOES(body, wanted)                                                  \
	assert_string_equal(stream_of(set, "{\"i\":\"1\"," body "}", name), \
			    wanted)
	GOES("\"event_type\":\"a.b\"", "exact");
	GOES("\"event_type\":\"z\",\"p\":1", "exact");
	GOES("\"event_type\":\"a.b\",\"q\":1", "exact_has");
	GOES("\"event_type\":\"a.b\",\"q\":null", "exact");
	GOES("\"event_type\":\"a.bc\"", "prefix");
	GOES("\"event_type\":\"a.b.c\"", "longer");
	GOES("\"event_type\":\"b\",\"p\":1,\"q\":2", "has_two");
	GOES("\"p\":1", "has_one");
	GOES("\"data\":{\"p\":1}", "has_one");
	GOES("\"q\":1", "-");
	contract_set_unref(&set);
	folder_remove(&d);
}

static void fields_are_inherited_key_by_key(void **state)
{
	struct contract_set *set;
	const struct contract *c;
	struct folder d;

	(void)state;
	folder_make(&d);
	folder_put(&d, "1.conf",
		   "name = \"root\"; abstract = true; identity = [\"i\"];"
		   "unknown_fields = \"drop\"; eventhub = { topic = "
		   "\"x-<stream>.1\"; };"
		   "fields = ( { name = \"i\"; type = \"string\"; },"
		   "{ name = \"a\"; type = \"int\"; min = 1; doc = \"A\"; });");
	folder_put(&d, "2.conf",
		   "name = \"mid\"; abstract = true; extends = \"root\";"
		   "fields = ( { name = \"a\"; required = true; });");
	folder_put(&d, "3.conf",
		   "name = \"leaf\"; version = 3; extends = \"mid\"; "
		   "match = { event_type = \"t\"; }; doc = \"d\";"
		   "fields = ( { name = \"a\"; type = \"long\"; },"
		   "{ name = \"b\"; type = \"date\"; });");
	set = set_of_folder(d.path);
	assert_int_equal(contract_set_count(set), 1);
	c = contract_set_at(set, 0);
	assert_string_equal(c->name, "leaf");
	assert_string_equal(c->file, "3.conf");
	assert_string_equal(c->topic, "x-<stream>.1");
	assert_int_equal(c->version, 3);
	assert_int_equal(c->field_count, 3);
	assert_string_equal(c->fields[1].name, "a");
	assert_string_equal(c->fields[1].doc, "A");
	assert_int_equal(c->fields[1].type, CONTRACT_LONG);
	assert_true(c->fields[1].required);
	assert_string_equal(
	    code_of(set, INTAKE_ONE,
		    "{\"event_type\":\"t\",\"i\":\"1\",\"a\":0}"),
	    "out_of_range");
	contract_set_unref(&set);
	folder_remove(&d);
}

static void the_hash_changes_with_the_text_alone(void **state)
{
	struct contract_set *set;
	struct folder d;
	uint64_t first;

	(void)state;
	folder_make(&d);
	folder_put(&d, "t.conf", HEAD TAIL);
	set = set_of_folder(d.path);
	first = contract_set_hash(set);
	assert_true(first != 0);
	contract_set_unref(&set);
	set = set_of_folder(d.path);
	assert_int_equal(contract_set_hash(set), first);
	contract_set_unref(&set);
	folder_put(&d, "t.conf", HEAD TAIL " ");
	set = set_of_folder(d.path);
	assert_true(contract_set_hash(set) != first);
	contract_set_unref(&set);
	folder_put(&d, "t.conf", HEAD TAIL);
	folder_put(&d, "notes.txt", "x");
	set = set_of_folder(d.path);
	assert_int_equal(contract_set_hash(set), first);
	contract_set_unref(&set);
	folder_remove(&d);
}

static void a_pinned_set_outlives_its_files(void **state)
{
	struct contract_set *set = set_of_folder("etc/contracts");
	uint64_t hash = contract_set_hash(set);
	struct contract_set *again;
	struct folder d;
	struct err err;
	char *path;

	(void)state;
	folder_make(&d);
	assert_int_equal(contract_set_load_pinned(&again, d.path, hash,
						  (const uint8_t *)SECRET,
						  SECRET_BYTES, &err),
			 -1);
	assert_int_equal(err.code, ENOENT);
	assert_null(again);
	assert_int_equal(contract_set_pin(set, d.path, &err), 0);
	/* As another process left it that did not get to its sync. */
	directory_syncs = 0;
	assert_int_equal(contract_set_pin(set, d.path, &err), 0);
	assert_int_equal(directory_syncs, 1);
	assert_int_equal(contract_set_load_pinned(&again, d.path, hash,
						  (const uint8_t *)SECRET,
						  SECRET_BYTES, &err),
			 0);
	assert_int_equal(contract_set_hash(again), hash);
	assert_int_equal(contract_set_count(again), contract_set_count(set));
	contract_set_unref(&again);
	path = xasprintf("%s/%016lx", d.path, (unsigned long)hash);
	{
		struct folder pinned;

		snprintf(pinned.path, sizeof(pinned.path), "%s", path);
		folder_put(&pinned, "extra.conf",
			   "name = \"x\"; abstract = true;");
	}
	assert_int_equal(contract_set_load_pinned(&again, d.path, hash,
						  (const uint8_t *)SECRET,
						  SECRET_BYTES, &err),
			 -1);
	assert_int_equal(err.code, EBADMSG);
	free(path);
	folder_remove(&d);
	contract_set_unref(&set);
}

#define BASE                                                               \
	"name = \"b\"; version = 1; abstract = true; doc = \"d\";"         \
	"identity = [\"event_id\"]; unknown_fields = \"drop\"; fields = (" \
	"{ name = \"event_id\"; type = \"string\"; %s });"
#define CHILD                                                           \
	"name = \"t\"; version = %d; extends = \"b\"; doc = \"d\";"     \
	"match = { event_type = \"t\"; }; fields = ("                   \
	"{ name = \"a\"; type = \"int\"; %s }, { name = \"c\"; type = " \
	"\"int\"; });"

struct edit {
	const char *base, *field; /* keys of a field there and here */
	int version;
	const char *wanted; /* NULL: fine */
};

/* The set of one edit, checked against what was pinned, then pinned. */
static void check_edit(const struct folder *pins, const struct edit *edit)
{
	char *base = xasprintf(BASE, edit->base);
	char *child = xasprintf(CHILD, edit->version, edit->field);
	struct contract_set *set;
	struct folder d;
	struct err err = {0};
	int bad;

	folder_make(&d);
	folder_put(&d, "b.conf", base);
	folder_put(&d, "t.conf", child);
	set = set_of_folder(d.path);
	bad = contract_set_check_versions(set, pins->path, &err);
	if (bad != (edit->wanted ? -1 : 0) ||
	    (edit->wanted && !strstr(err.text, edit->wanted)))
		fail_msg("%s, %s: %d %s", edit->base, edit->field, bad,
			 err.text);
	if (!bad)
		assert_int_equal(contract_set_pin(set, pins->path, &err), 0);
	contract_set_unref(&set);
	folder_remove(&d);
	free(base);
	free(child);
}

static void a_changed_contract_needs_a_new_version(void **state)
{
	static const char refused[] =
	    "t.conf: contract t version 1 was changed since it was used (set ";
	static const struct edit edits[] = {
	    {"", "", 1, NULL},
	    {"", "", 1, NULL},
	    {"", "min = 5;", 1, refused},
	    {"", "doc = \"said better\"; /* why */", 1, NULL},
	    {"required = true;", "", 1, refused},
	    {"required = true;", "min = 5; max = 6;", 2, NULL},
	    {"required = true;", "max = 6; min = 5;", 2, NULL},
	    {"required = true;", "max = 5; min = 5;", 2, "t version 2 was"},
	    {"required = true;", "max = \"6\"; min = 5;", 2, "t version 2"},
	    {"", "", 1, NULL}, /* back to what it was */
	};
	struct folder pins;

	(void)state;
	folder_make(&pins);
	for (size_t i = 0; i < sizeof(edits) / sizeof(*edits); i++)
		check_edit(&pins, &edits[i]);
	/* A note that says nothing stops nobody. */
	folder_put(&pins, "newest", "nonsense that is far too long for a hash");
	check_edit(&pins, &(const struct edit){"", "min = 5;", 1, NULL});
	folder_put(&pins, "newest", "00000000000000aa\n");
	check_edit(&pins, &(const struct edit){"", "min = 6;", 1, NULL});
	check_edit(&pins, &(const struct edit){"", "min = 7;", 1, refused});
	folder_remove(&pins);
}

static void a_set_lives_until_its_last_reference(void **state)
{
	struct contract_set *set = set_of_text(HEAD TAIL);
	struct contract_set *other = contract_set_ref(set);

	(void)state;
	contract_set_unref(&set);
	assert_null(set);
	assert_int_equal(contract_set_count(other), 1);
	contract_set_unref(&other);
	contract_set_unref(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_contract_of_the_product_compiles),
	    cmocka_unit_test(names_addresses_and_free_text_are_masked),
	    cmocka_unit_test(each_of_the_24_event_types_has_a_contract),
	    cmocka_unit_test(problems_name_file_line_and_what_was_meant),
	    cmocka_unit_test(keys_that_do_not_fit_the_field_are_refused),
	    cmocka_unit_test(keys_of_a_contract_are_checked),
	    cmocka_unit_test(what_is_not_there_yet_is_refused_by_name),
	    cmocka_unit_test(all_problems_come_at_once),
	    cmocka_unit_test(a_tie_is_an_error),
	    cmocka_unit_test(a_table_is_of_one_contract),
	    cmocka_unit_test(the_lake_of_a_contract_is_known),
	    cmocka_unit_test(the_most_exact_match_wins),
	    cmocka_unit_test(fields_are_inherited_key_by_key),
	    cmocka_unit_test(the_hash_changes_with_the_text_alone),
	    cmocka_unit_test(a_pinned_set_outlives_its_files),
	    cmocka_unit_test(a_changed_contract_needs_a_new_version),
	    cmocka_unit_test(a_set_lives_until_its_last_reference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
