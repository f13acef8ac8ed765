/* The log, read back through a pipe in place of stderr. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

#define CAPTURE_BYTES (1 << 20)

static int pipe_fds[2], real_stderr;
static char *captured;

static int start(void **state)
{
	(void)state;
	captured = xmalloc(CAPTURE_BYTES);
	if (pipe2(pipe_fds, O_NONBLOCK | O_CLOEXEC) != 0)
		return -1;
	fcntl(pipe_fds[1], F_SETPIPE_SZ, CAPTURE_BYTES);
	real_stderr = dup(STDERR_FILENO);
	return dup2(pipe_fds[1], STDERR_FILENO) < 0;
}

/* What was written since the last call, as one text. */
static const char *taken(void)
{
	size_t used = 0;
	ssize_t n;

	while ((n = read(pipe_fds[0], captured + used,
			 CAPTURE_BYTES - used - 1)) > 0)
		used += (size_t)n;
	captured[used] = '\0';
	return captured;
}

/* What a failed assertion said went into the pipe as well. */
static int end(void **state)
{
	(void)state;
	dup2(real_stderr, STDERR_FILENO);
	fputs(taken(), stderr);
	close(real_stderr);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	free(captured);
	return 0;
}

static size_t lines_of(const char *text)
{
	size_t lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

/* The only line, as JSON; the caller frees it. */
static cJSON *taken_json(void)
{
	const char *text = taken();
	cJSON *json;

	assert_int_equal(lines_of(text), 1);
	json = cJSON_Parse(text);
	if (!json)
		fail_msg("not JSON: %s", text);
	return json;
}

static const char *text_of(const cJSON *json, const char *key)
{
	const char *text =
	    cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, key));

	return text ? text : "(none)";
}

static void before_log_open_lines_appear_too(void **state)
{
	(void)state;
	log_info("early", "a=1");
	assert_non_null(
	    strstr(taken(), " level=info service= event=early a=1\n"));
}

static void logfmt_has_time_level_service_event_pairs(void **state)
{
	char stamp[28];
	const char *line;
	int64_t at_us, now_us = clock_wall_us();

	(void)state;
	log_open("collector.0", LOG_INFO, LOG_LOGFMT);
	log_warn("batch_sent", "seq=%d path=%s", 7, "/x");
	line = taken();
	assert_memory_equal(line, "time=", 5);
	memcpy(stamp, line + 5, 27);
	stamp[27] = '\0';
	assert_int_equal(clock_parse(stamp, 27, &at_us), 0);
	assert_in_range(at_us - now_us, 0, 60000000);
	assert_string_equal(line + 32, " level=warn service=collector.0 "
				       "event=batch_sent seq=7 path=/x\n");
	log_error("no_pairs", "%s", "");
	line = taken();
	assert_string_equal(
	    line + 32, " level=error service=collector.0 event=no_pairs\n");
}

static void json_has_the_same_as_strings(void **state)
{
	char quoted[LOG_QUOTE_BYTES];
	cJSON *json;

	(void)state;
	log_open("collector.1", LOG_INFO, LOG_JSON);
	log_error("json_line", "seq=%d error=%s path=/x last=", 7,
		  log_quote(quoted, "a \"b\"\\ = c\nd"));
	json = taken_json();
	assert_string_equal(text_of(json, "level"), "error");
	assert_string_equal(text_of(json, "service"), "collector.1");
	assert_string_equal(text_of(json, "event"), "json_line");
	assert_string_equal(text_of(json, "seq"), "7");
	assert_string_equal(text_of(json, "error"), "a \"b\"\\ = c\nd");
	assert_string_equal(text_of(json, "path"), "/x");
	assert_string_equal(text_of(json, "last"), "");
	assert_int_equal(cJSON_GetArraySize(json), 8);
	cJSON_Delete(json);
}

/* Values that their caller should have quoted do not break the line. */
static void json_survives_careless_values(void **state)
{
	static const char *const values[] = {
	    "a\"b",	 "\"",	     "\\",	    "\"\\",
	    "\"open",	 "\"a\"b\"", "a\nb",	    "\x7f\x01",
	    "\"\\q\"",	 "\"\\\"",   "\"\\u12\"",   "\xc3",
	    "\"\xc3\"",	 "=",	     "\"a\" \"b\"", "x y=\"z\" w",
	    "\"a\\\\\"", "   ",	     "\"\x80\\\"",  "gr\xc3\xbc\xc3\x9f",
	};

	(void)state;
	log_open("x", LOG_INFO, LOG_JSON);
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		char event[20];

		snprintf(event, sizeof(event), "careless_%zu", i);
		log_info(event, "n=1 v=%s", values[i]);
		cJSON_Delete(taken_json());
	}
	log_info("careless_utf8", "v=gr\xc3\xbc\xc3\x9f");
	assert_non_null(strstr(taken(), "\"v\":\"gr\xc3\xbc\xc3\x9f\""));
}

static void a_line_break_in_a_value_breaks_no_line(void **state)
{
	(void)state;
	log_open("x", LOG_INFO, LOG_LOGFMT);
	log_info("one_line", "v=a\nb\r\n level=error");
	assert_int_equal(lines_of(taken()), 1);
}

static void what_is_too_long_loses_whole_pairs(void **state)
{
	char quoted[LOG_QUOTE_BYTES], text[LOG_QUOTE_BYTES];
	cJSON *json;
	const char *line;

	(void)state;
	memset(text, '"', 280);
	text[280] = '\0';
	log_quote(quoted, text);
	for (int json_too = 0; json_too < 2; json_too++) {
		log_open("x", LOG_INFO, json_too ? LOG_JSON : LOG_LOGFMT);
		log_info("too_long", "a=%s b=%s c=%s d=%s e=1", quoted, quoted,
			 quoted, quoted);
		if (json_too)
			break;
		line = taken();
		assert_non_null(strstr(line, " c=\"\\\""));
		assert_null(strstr(line, " d="));
		assert_string_equal(line + strlen(line) - 8, "\" cut=1\n");
	}
	json = taken_json();
	assert_string_equal(text_of(json, "c"), text);
	assert_string_equal(text_of(json, "cut"), "1");
	assert_string_equal(text_of(json, "d"), "(none)");
	cJSON_Delete(json);
}

/* The longest pairs of every shape: whole JSON, whatever is left out. */
static void json_is_whole_at_any_length(void **state)
{
	static const char *const shapes[] = {
	    "a=b ", "k=\" ", "=", "\x7f", "x", "a=\xff ", "a=\"\\\\\" ", "\" "};
	char pairs[2200], event[24];

	(void)state;
	log_open("x", LOG_INFO, LOG_JSON);
	for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++)
		for (size_t n = 1700; n < 1820; n += 1) {
			size_t at = 0;

			while (at < n) {
				pairs[at] = shapes[i][at % strlen(shapes[i])];
				at++;
			}
			pairs[at] = '\0';
			snprintf(event, sizeof(event), "w%zu_%zu", i, n);
			log_info(event, "v=%s", pairs);
			cJSON_Delete(taken_json());
		}
}

static void levels_above_the_chosen_are_silent(void **state)
{
	(void)state;
	log_open("x", LOG_WARN, LOG_LOGFMT);
	assert_true(log_enabled(LOG_ERROR));
	assert_true(log_enabled(LOG_WARN));
	assert_false(log_enabled(LOG_INFO));
	assert_false(log_enabled(LOG_DEBUG));
	log_info("silent", "a=1");
	log_debug("silent", "a=1");
	assert_string_equal(taken(), "");
	log_open("x", LOG_DEBUG, LOG_LOGFMT);
	log_debug("spoken", "a=1");
	assert_non_null(strstr(taken(), " level=debug "));
}

/* Ten a second of one word; others are not held back with it. */
static void repeats_are_held_back_and_counted(void **state)
{
	int64_t started = clock_mono_us();
	const char *found;
	size_t lines;

	(void)state;
	log_open("x", LOG_INFO, LOG_LOGFMT);
	for (int i = 0; i < 35; i++)
		log_info("noisy", "i=%d", i);
	lines = lines_of(taken());
	if (clock_mono_us() - started < 1000000)
		assert_int_equal(lines, 10);
	log_info("other_word", "i=1");
	assert_int_equal(lines_of(taken()), 1);
	/* The next second lets it through, with what was held back. */
	do {
		log_info("noisy", "i=again");
		found = strstr(taken(), "suppressed=");
	} while (!found && clock_mono_us() - started < 20000000);
	assert_non_null(found);
	assert_true(atoi(found + strlen("suppressed=")) >= 25);
	/* Owned up to once. */
	log_info("noisy", "i=later");
	assert_null(strstr(taken(), "suppressed="));
}

static void many_words_share_the_table(void **state)
{
	char event[24];

	(void)state;
	for (int i = 0; i < 500; i++) {
		snprintf(event, sizeof(event), "word_%d", i);
		log_info(event, "i=%d", i);
	}
	assert_int_equal(lines_of(taken()), 500);
}

static void quotes_are_escaped_as_json(void **state)
{
	char out[LOG_QUOTE_BYTES];

	(void)state;
	assert_ptr_equal(log_quote(out, ""), out);
	assert_string_equal(out, "\"\"");
	assert_string_equal(log_quote(out, "a b"), "\"a b\"");
	assert_string_equal(log_quote(out, "\"\\"), "\"\\\"\\\\\"");
	assert_string_equal(log_quote(out, "\n\x7f"), "\"\\u000a\\u007f\"");
	assert_string_equal(
	    log_quote(out, "\xc3\xbc\xe2\x82\xac\xf0\x9f\xa7\xb5"),
	    "\"\xc3\xbc\xe2\x82\xac\xf0\x9f\xa7\xb5\"");
}

static void what_is_no_utf8_is_replaced(void **state)
{
	static const char *const bad[] = {
	    "\x80",
	    "\xc0\xaf",
	    "\xc3",
	    "\xe0\x80\x80",
	    "\xed\xa0\x80",
	    "\xf0\x80\x80\x80",
	    "\xf4\x90\x80\x80",
	    "\xff",
	    "\xe2\x82",
	    "\xf0\x9f\xa7",
	};
	char out[LOG_QUOTE_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		const char *c = log_quote(out, bad[i]);

		assert_memory_equal(c, "\"\\ufffd", 7);
		for (; *c; c++)
			assert_true((unsigned char)*c < 0x80);
	}
}

static void a_long_value_is_cut_between_characters(void **state)
{
	char text[2000], out[LOG_QUOTE_BYTES];

	(void)state;
	for (size_t shift = 0; shift < 6; shift++) {
		cJSON *json;

		memset(text, 'x', shift);
		for (size_t i = shift; i + 4 < sizeof(text); i += 4)
			memcpy(text + i, "\xf0\x9f\xa7\xb5", 5);
		log_quote(out, text);
		assert_true(strlen(out) > LOG_QUOTE_BYTES - 20);
		assert_true(strlen(out) < LOG_QUOTE_BYTES);
		json = cJSON_Parse(out);
		assert_non_null(json);
		assert_int_equal((strlen(json->valuestring) - shift) % 4, 0);
		cJSON_Delete(json);
	}
}

static void errno_is_kept(void **state)
{
	(void)state;
	close(STDERR_FILENO);
	errno = ENOSPC;
	log_info("errno_kept", "a=1");
	assert_int_equal(errno, ENOSPC);
	dup2(pipe_fds[1], STDERR_FILENO);
}

static void *write_some(void *arg)
{
	for (int i = 0; i < 50; i++) {
		char event[32];

		snprintf(event, sizeof(event), "thread_%d_%d", *(int *)arg, i);
		log_open("x", LOG_INFO, i % 2 ? LOG_JSON : LOG_LOGFMT);
		log_info(event, "end=1");
	}
	return NULL;
}

static void threads_do_not_mix_their_lines(void **state)
{
	pthread_t threads[4];
	int numbers[4];
	char *line, *rest = NULL;
	int lines = 0;

	(void)state;
	for (int i = 0; i < 4; i++) {
		numbers[i] = i;
		assert_int_equal(
		    pthread_create(&threads[i], NULL, write_some, &numbers[i]),
		    0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	taken();
	for (line = strtok_r(captured, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		size_t n = strlen(line);

		lines++;
		assert_true(memcmp(line, "time=", 5) == 0 ||
			    memcmp(line, "{\"time", 6) == 0);
		assert_true(memcmp(line + n - 6, " end=1", 6) == 0 ||
			    memcmp(line + n - 4, "\"1\"}", 4) == 0);
	}
	assert_int_equal(lines, 200);
}

#define LOGGED(test) cmocka_unit_test_setup_teardown(test, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    LOGGED(before_log_open_lines_appear_too),
	    LOGGED(logfmt_has_time_level_service_event_pairs),
	    LOGGED(json_has_the_same_as_strings),
	    LOGGED(json_survives_careless_values),
	    LOGGED(a_line_break_in_a_value_breaks_no_line),
	    LOGGED(what_is_too_long_loses_whole_pairs),
	    LOGGED(json_is_whole_at_any_length),
	    LOGGED(levels_above_the_chosen_are_silent),
	    LOGGED(repeats_are_held_back_and_counted),
	    LOGGED(many_words_share_the_table),
	    LOGGED(quotes_are_escaped_as_json),
	    LOGGED(what_is_no_utf8_is_replaced),
	    LOGGED(a_long_value_is_cut_between_characters),
	    LOGGED(errno_is_kept),
	    LOGGED(threads_do_not_mix_their_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
