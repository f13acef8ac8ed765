/* Named credentials, and the keys that name one. */
#include "conf_fixture.h"

struct user {
	char *identity;
	char *other;
};

static const struct conf_row user_rows[] = {
    {CONF_FIELD(struct user, identity, CONF_STRING),
     .choices = "account_key|sas", .flags = CONF_IDENTITY, .doc = "Who."},
    {CONF_FIELD(struct user, other, CONF_STRING), .doc = "Other."},
};

static const struct conf_table user_table = {
    "lake-tool", "For tests.", user_rows, 2, sizeof(struct user), NULL};

static const struct conf_kind user_list[] = {
    {.name = "lake-tool",
     .in = "",
     .out = "",
     .flags = KIND_TOOL,
     .conf = &user_table},
    {.name = "other-tool",
     .in = "",
     .out = "",
     .flags = KIND_TOOL,
     .conf = &user_table},
};
static const struct conf_kinds users = {user_list, 2};

#define ONE "services = ( { name = \"lake-tool\"; } );\n"
#define USE ONE "lake-tool = { identity = \"lake\"; };\n"

/* The report of a file, without the directory's name. */
static char *load(struct conf **conf, const char *row, const char *text)
{
	struct conf_report report = {0};
	char *lines;

	fixture_write("weft.conf", text, strlen(text));
	(void)!conf_load_row(conf, fixture_path("weft.conf"), &users, row,
			     &report);
	lines = fixture_plain(buf_str(&report.lines));
	conf_report_free(&report);
	return lines;
}

static void says(const char *text, const char *expected)
{
	struct conf *conf;
	char *lines = load(&conf, NULL, text);

	if (strcmp(lines, expected) != 0)
		fail_msg("\n%s\ngives\n%s\ninstead of\n%s", text, lines,
			 expected);
	free(lines);
	conf_free(&conf);
}

static struct conf *good(const char *row, const char *text)
{
	struct conf *conf;
	char *lines = load(&conf, row, text);

	assert_string_equal(lines, "");
	assert_non_null(conf);
	free(lines);
	return conf;
}

static void each_type_has_its_keys(void **state)
{
	struct conf *conf;
	const struct conf_identity *id;

	(void)state;
	setenv("IDENTITY_TEST", "c2VjcmV0", 1);
	conf = good(NULL, USE "identities = {\n"
			      "  lake = { type = \"account_key\";\n"
			      "    account = \"acct\";\n"
			      "    key = \"${env:IDENTITY_TEST}\"; };\n"
			      "  unused = { type = \"sas\";\n"
			      "    token = \"${env:IDENTITY_NOT_SET}\"; };\n"
			      "};\n");
	id = conf_find_identity(conf, "lake");
	assert_int_equal(id->type, IDENTITY_ACCOUNT_KEY);
	assert_string_equal(id->account, "acct");
	assert_string_equal(id->key, "c2VjcmV0");
	assert_null(id->token);
	id = conf_find_identity(conf, "unused");
	assert_int_equal(id->type, IDENTITY_SAS);
	assert_null(id->token);
	assert_null(conf_find_identity(conf, "none"));
	conf_free(&conf);
}

/* Two processes of one pipeline need not be allowed the same secrets. */
static void only_the_row_that_names_it_reads_its_secrets(void **state)
{
	static const char text[] =
	    "services = ( { name = \"lake-tool\"; },\n"
	    "             { name = \"other-tool\"; } );\n"
	    "lake-tool = { identity = \"lake\"; };\n"
	    "other-tool = { identity = \"more\"; };\n"
	    "identities = {\n"
	    "  lake = { type = \"sas\"; token = \"${env:IDENTITY_TEST}\"; };\n"
	    "  more = { type = \"sas\"; token = \"${env:IDENTITY_MORE}\"; };\n"
	    "};\n";
	struct conf *conf;
	char *lines;

	(void)state;
	setenv("IDENTITY_TEST", "c2VjcmV0", 1);
	unsetenv("IDENTITY_MORE");
	conf = good("lake-tool", text);
	assert_non_null(conf_find_identity(conf, "lake")->token);
	assert_null(conf_find_identity(conf, "more")->token);
	conf_free(&conf);
	lines = load(&conf, "other-tool", text);
	assert_null(conf);
	assert_non_null(strstr(lines, "IDENTITY_MORE"));
	free(lines);
}

static void an_unknown_name_gets_a_hint(void **state)
{
	(void)state;
	says(USE "identities = { lakes = { type = \"plain\"; username = "
		 "\"u\"; password = \"${env:X}\"; }; };\n",
	     "weft.conf:2: lake-tool.identity: there is no identity \"lake\"; "
	     "did you mean \"lakes\"?\n");
	says(USE, "weft.conf:2: lake-tool.identity: there is no identity "
		  "\"lake\"; add identities = { lake = { type = \"…\"; … }; "
		  "};\n");
	/* Also where the service is not listed. */
	says(ONE "other-tool = { identity = \"x\"; };\n",
	     "weft.conf:2: other-tool.identity: there is no identity \"x\"; "
	     "add identities = { x = { type = \"…\"; … }; };\n");
}

static void an_empty_name_is_none(void **state)
{
	struct conf *conf =
	    good(NULL, ONE "lake-tool = { identity = \"\"; };\n");
	const struct user *user = conf->services[0].conf;

	(void)state;
	assert_null(user->identity);
	conf_free(&conf);
}

static void a_type_of_no_use_is_told(void **state)
{
	(void)state;
	setenv("IDENTITY_TEST", "p", 1);
	says(USE "identities = { lake = { type = \"plain\"; username = "
		 "\"u\"; password = \"${env:IDENTITY_TEST}\"; }; };\n",
	     "weft.conf:2: lake-tool.identity: the identity \"lake\" is of "
	     "type plain, which is of no use here; choose one of type "
	     "account_key|sas\n");
}

static void the_keys_must_be_those_of_the_type(void **state)
{
	(void)state;
	setenv("IDENTITY_TEST", "c2VjcmV0", 1);
	says(USE "identities = { lake = { type = \"sas\";\n"
		 "  key = \"${env:IDENTITY_TEST}\"; }; };\n",
	     "weft.conf:3: identities.lake: an identity of type sas needs the "
	     "key \"token\"\n"
	     "weft.conf:4: identities.lake.key: an identity of type sas has "
	     "no such key; it has token\n");
	says(USE "identities = { lake = { type = \"account_key\"; }; };\n",
	     "weft.conf:3: identities.lake: an identity of type account_key "
	     "needs the key \"key\"\n");
	says(USE "identities = { lake = { key = \"${env:IDENTITY_TEST}\"; }; "
		 "};\n",
	     "weft.conf:3: identities.lake: the key \"type\" (choice) is "
	     "missing\n");
	says(ONE "identities = { lake = { key = \"${env:IDENTITY_TEST}\"; }; "
		 "};\n",
	     "weft.conf:2: identities.lake: the key \"type\" (choice) is "
	     "missing\n");
	says(USE "identities = { lake = { type = \"acount\"; }; };\n",
	     "weft.conf:3: identities.lake.type: \"acount\" is none of the "
	     "choices; write \"account_key\", \"sas\", \"connection_string\" "
	     "or \"plain\"\n");
	says(USE "identities = { lake = { type = \"sas\"; tokn = \"x\"; };};\n",
	     "weft.conf:3: identities.lake.tokn: unknown key; did you mean "
	     "\"token\"?\n"
	     "weft.conf:3: identities.lake: an identity of type sas needs the "
	     "key \"token\"\n");
}

static void forms_are_told(void **state)
{
	(void)state;
	says(ONE "identities = \"x\";\n",
	     "weft.conf:2: identities: needs a group, such as identities = { "
	     "lake = { type = \"account_key\"; key = \"${file:lake.key}\"; }; "
	     "};\n");
	says(ONE "identities = { lake = \"x\"; };\n",
	     "weft.conf:2: identities.lake: needs a group, such as lake = { "
	     "key = value; };\n");
	says(ONE "identities = { Lake = { }; };\n",
	     "weft.conf:2: identities.Lake: an identity's name has small "
	     "letters, digits and dashes, at most 40, the first a letter\n");
}

static void a_secret_written_out_is_a_warning(void **state)
{
	struct buf text = {0};
	struct conf *conf;
	char *lines;

	(void)state;
	lines = load(&conf, NULL,
		     USE "identities = { lake = { type = \"sas\"; token = "
			 "\"sig=hidden\"; account = \"a\"; }; };\n");
	assert_null(conf);
	assert_non_null(strstr(lines, "identities.lake.token: the secret is "
				      "written out"));
	assert_non_null(strstr(lines, "identities.lake.account: an identity of "
				      "type sas has no such key"));
	assert_null(strstr(lines, "hidden"));
	free(lines);
	lines = load(&conf, NULL,
		     USE "identities = { lake = { type = \"sas\"; token = "
			 "\"sig=hidden\"; }; };\n");
	free(lines);
	conf_print(conf, false, &text);
	conf_print(conf, true, &text);
	assert_null(strstr(buf_str(&text), "hidden"));
	assert_non_null(strstr(buf_str(&text), "identities = {\n  lake = {\n"
					       "    type = \"sas\";"));
	assert_non_null(strstr(buf_str(&text), "    token = \"***\";"));
	assert_non_null(
	    strstr(buf_str(&text), "\"identities\":[{\"name\":\"lake\","));
	buf_free(&text);
	conf_free(&conf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_type_has_its_keys),
	    cmocka_unit_test(only_the_row_that_names_it_reads_its_secrets),
	    cmocka_unit_test(an_unknown_name_gets_a_hint),
	    cmocka_unit_test(an_empty_name_is_none),
	    cmocka_unit_test(a_type_of_no_use_is_told),
	    cmocka_unit_test(the_keys_must_be_those_of_the_type),
	    cmocka_unit_test(forms_are_told),
	    cmocka_unit_test(a_secret_written_out_is_a_warning),
	};

	return cmocka_run_group_tests(tests, fixture_begin, fixture_end);
}
