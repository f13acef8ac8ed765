/* The generated documents and the effective configuration tell the truth. */
#include "conf_fixture.h"

#include "services/kinds.h"

static char *text_of(struct buf *b)
{
	char *text = strdup(buf_str(b));

	assert_non_null(text);
	buf_free(b);
	return text;
}

static char *print(const struct conf *conf, bool json)
{
	struct buf out = {0};

	conf_print(conf, json, &out);
	return text_of(&out);
}

/* With the real services' tables. */
static struct conf *load_real(const char *text)
{
	struct conf_report report = {0};
	struct conf *conf;

	fixture_write("weft.conf", text, strlen(text));
	if (conf_load(&conf, fixture_path("weft.conf"), &weft_kinds, &report))
		fail_msg("%s", buf_str(&report.lines));
	assert_int_equal(report.warnings, 0);
	conf_report_free(&report);
	return conf;
}

static void every_row_can_be_documented(void **state)
{
	(void)state;
	for (size_t k = 0; k < weft_kinds.count; k++) {
		const struct conf_table *t = weft_kinds.kinds[k].conf;
		const struct counter_table *c = weft_kinds.kinds[k].counters;

		assert_string_equal(t->section, weft_kinds.kinds[k].name);
		for (size_t i = 0; i < t->row_count; i++) {
			const char *doc = t->rows[i].doc;

			assert_non_null(doc);
			assert_int_equal(doc[strlen(doc) - 1], '.');
			assert_true(t->rows[i].offset < t->struct_bytes);
			if (t->rows[i].type == CONF_CHOICE)
				assert_non_null(t->rows[i].choices);
		}
		for (size_t i = 0; i < c->row_count; i++) {
			assert_non_null(c->rows[i].doc);
			assert_true(c->rows[i].offset < c->struct_bytes);
			assert_true(c->rows[i].scale > 0);
		}
	}
}

/* Each line "#key = value;", as if the user had removed the #. */
static void uncomment(char *text)
{
	for (char *at = text; (at = strchr(at, '#')); at++)
		if (at[1] != ' ')
			*at = ' ';
}

/* Lines of files that are examples, not defaults. */
static void drop_examples(char *text)
{
	char *line = text, *out = text;

	while (*line) {
		size_t n = strcspn(line, "\n") + 1;

		if (!memmem(line, n, " = \"${file:", 11) &&
		    !memmem(line, n, " = \"/etc/weft/collector.", 24) &&
		    !memmem(line, n, " = \"/etc/weft/eventhub-", 23)) {
			memmove(out, line, n);
			out += n;
		}
		line += n;
	}
	*out = '\0';
}

static void the_sample_is_the_defaults(void **state)
{
	struct buf b = {0};
	struct conf *sample, *defaults;
	char *text, *effective, *expected;

	(void)state;
	conf_write_sample(&weft_kinds, &b);
	text = text_of(&b);
	sample = load_real(text);
	defaults = load_real("");
	effective = print(sample, false);
	expected = print(defaults, false);
	assert_string_equal(effective, expected);
	conf_free(&sample);
	conf_free(&defaults);
	free(effective);
	free(expected);
	free(text);
}

/* "<state_dir>/x" stands for a default that a file cannot say so. */
static void drop_places(char *text)
{
	for (char *at = text; (at = strstr(at, "\"<state_dir>")); at++)
		memcpy(at, "\"/var/lib/w/", 12);
}

static void every_key_of_the_sample_may_be_given(void **state)
{
	struct buf b = {0};
	struct conf *conf;
	char *text;

	(void)state;
	conf_write_sample(&weft_kinds, &b);
	text = text_of(&b);
	drop_examples(text);
	drop_places(text);
	uncomment(text);
	conf = load_real(text);
	conf_free(&conf);
	free(text);
}

static void no_line_of_the_sample_is_too_wide(void **state)
{
	struct buf b = {0};
	const char *at;

	(void)state;
	conf_write_sample(&weft_kinds, &b);
	for (at = buf_str(&b); *at; at += strcspn(at, "\n") + 1)
		assert_true(strcspn(at, "\n") <= 80);
	buf_free(&b);
}

static void every_key_and_counter_is_in_the_manual(void **state)
{
	struct buf manual = {0}, man = {0};
	char name[100];

	(void)state;
	conf_write_manual(&weft_kinds, &manual);
	conf_write_man(&weft_kinds, &man);
	for (size_t k = 0; k < weft_kinds.count; k++) {
		const struct conf_table *t = weft_kinds.kinds[k].conf;
		const struct counter_table *c = weft_kinds.kinds[k].counters;

		for (size_t i = 0; i < t->row_count; i++) {
			snprintf(name, sizeof(name), "| `%s` | ",
				 t->rows[i].name);
			assert_non_null(strstr(buf_str(&manual), name));
			snprintf(name, sizeof(name), ".It Ic %s ",
				 t->rows[i].name);
			assert_non_null(strstr(buf_str(&man), name));
		}
		for (size_t i = 0; i < c->row_count; i++) {
			snprintf(name, sizeof(name), "| `%s` | ",
				 c->rows[i].name);
			assert_non_null(strstr(buf_str(&manual), name));
		}
	}
	buf_free(&manual);
	buf_free(&man);
}

static void a_row_of_the_manual_says_all(void **state)
{
	struct counter_row rows[] = {
	    {"x_total", COUNTER_TOTAL, 0, "a=\"1\"", 1, "Of <x> | y."},
	    {"x_total", COUNTER_TOTAL, 0, "a=\"2\"", 1, "Of x."},
	    {"y", COUNTER_LABELLED_GAUGE, 0, "b,c", 1, "Of y."},
	};
	struct counter_table counters = {rows, 3, 8};
	struct conf_kind kind = test_kind_list[0];
	struct conf_kinds kinds = {&kind, 1};
	struct conf_row key = {.name = "k",
			       .type = CONF_BYTES,
			       .min = "1KiB",
			       .max = "1GiB",
			       .def = "1MiB",
			       .flags = CONF_RELOAD,
			       .doc = "Of *k*."};
	struct conf_table table = {"collector", "T.", &key, 1, 8, NULL};
	struct buf b = {0};

	(void)state;
	kind.counters = &counters;
	kind.conf = &table;
	conf_write_manual(&kinds, &b);
	assert_non_null(strstr(buf_str(&b), "\n### collector\n\nT.\n\n"));
	assert_non_null(strstr(buf_str(&b),
			       "| `k` | size | `\"1MiB\"` | 1KiB to 1GiB | yes "
			       "| Of \\*k\\*. |\n"));
	assert_non_null(strstr(buf_str(&b),
			       "|\n| `x_total` | counter | a | Of \\<x> \\| "
			       "y. |\n| `y` | gauge | b, c | Of y. |\n"));
	buf_free(&b);
}

static void the_effective_configuration_names_its_sources(void **state)
{
	struct conf *conf = fixture_good("# one\ncollector = {\n"
					 "  max_events = 7; };\n");
	char *text = print(conf, false), *plain = fixture_plain(text);

	(void)state;
	assert_non_null(strstr(plain, "  max_events = 7;                     "
				      "          # weft.conf:3\n"));
	assert_non_null(strstr(plain, "  listen = \"127.0.0.1:8080\";         "
				      "           # default\n"));
	assert_non_null(strstr(plain, "  # tls_key is not set"));
	free(text);
	free(plain);
	text = print(conf, true);
	plain = fixture_plain(text);
	assert_non_null(strstr(plain, "\"max_events\":{\"value\":7,"
				      "\"source\":\"weft.conf:3\"}"));
	assert_non_null(strstr(plain, "\"tls_key\":{\"value\":null,"
				      "\"source\":\"default\"}"));
	free(text);
	free(plain);
	conf_free(&conf);
}

/* It may be given to weft again, and then says the same. */
static void the_effective_configuration_is_a_configuration(void **state)
{
	struct conf *conf = fixture_good(
	    "services = ( { name = \"collector\"; },\n"
	    "  { name = \"transformer\"; instances = 3; },\n"
	    "  { name = \"a\"; service = \"eventhub-publisher\";\n"
	    "    in = \"b\"; } );\n"
	    "links = { raw = { endpoint = \"tcp://10.0.0.5:7101\";\n"
	    "  insecure = true; }; };\n"
	    "collector = { cors_origins = \"a\\\\b\\\"c\"; };\n");
	char *again, *file;

	(void)state;
	file = print(conf, false);
	conf_free(&conf);
	conf = fixture_good(file);
	again = print(conf, true);
	assert_non_null(strstr(again, "\"cors_origins\":{\"value\":"
				      "\"a\\\\b\\\"c\""));
	assert_non_null(strstr(again, "{\"name\":\"a\",\"service\":"
				      "\"eventhub-publisher\",\"instances\":1,"
				      "\"in\":\"b\""));
	assert_non_null(strstr(again, "\"links\":[{\"name\":\"raw\","
				      "\"endpoint\":\"tcp://10.0.0.5:7101\","
				      "\"insecure\":true},{\"name\":\"b\""));
	conf_free(&conf);
	free(file);
	free(again);
}

static void secrets_print_as_stars(void **state)
{
	struct conf *conf;
	char *text;

	(void)state;
	setenv("WEFT_T1", "Tr0ub4dor-and-more", 1);
	conf = fixture_good("collector = { api_keys = \"${env:WEFT_T1}\"; };");
	for (int json = 0; json < 2; json++) {
		text = print(conf, json);
		assert_null(strstr(text, "Tr0ub4"));
		assert_non_null(strstr(text, json ? "\"api_keys\":{\"value\":"
						    "\"***\""
						  : "api_keys = \"***\";"));
		free(text);
	}
	conf_free(&conf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_row_can_be_documented),
	    cmocka_unit_test(the_sample_is_the_defaults),
	    cmocka_unit_test(every_key_of_the_sample_may_be_given),
	    cmocka_unit_test(no_line_of_the_sample_is_too_wide),
	    cmocka_unit_test(every_key_and_counter_is_in_the_manual),
	    cmocka_unit_test(a_row_of_the_manual_says_all),
	    cmocka_unit_test(the_effective_configuration_names_its_sources),
	    cmocka_unit_test(the_effective_configuration_is_a_configuration),
	    cmocka_unit_test(secrets_print_as_stars),
	};

	return cmocka_run_group_tests(tests, fixture_begin, fixture_end);
}
