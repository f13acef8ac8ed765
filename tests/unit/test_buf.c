/* The growing buffer, and the escaping of JSON strings into it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"

static void an_empty_buffer_owns_nothing(void **state)
{
	struct buf b = {0};

	(void)state;
	buf_append(&b, NULL, 0);
	assert_int_equal(b.used, 0);
	assert_string_equal(buf_str(&b), "");
	buf_free(&b);
	assert_null(b.data);
	assert_int_equal(b.used + b.size, 0);
	buf_free(&b);
}

static void what_goes_in_stays_in_order(void **state)
{
	struct buf b = {0};
	size_t want = 0;

	(void)state;
	for (int i = 0; i < 5000; i++) {
		buf_char(&b, (char)('a' + i % 26));
		buf_text(&b, "--");
		buf_append(&b, "\0x", 2);
		want += 5;
		assert_int_equal(b.used, want);
		assert_true(b.size >= b.used);
	}
	for (int i = 0; i < 5000; i++) {
		const char expected[] = {(char)('a' + i % 26), '-', '-', 0,
					 'x'};

		assert_memory_equal(b.data + (size_t)i * 5, expected, 5);
	}
	buf_clear(&b);
	assert_int_equal(b.used, 0);
	assert_true(b.size >= want);
	buf_free(&b);
}

static void str_ends_the_text_without_changing_it(void **state)
{
	struct buf b = {0};

	(void)state;
	/* At each fill level, that of a full buffer included. */
	for (size_t i = 0; i < 1000; i++) {
		assert_int_equal(strlen(buf_str(&b)), i);
		assert_int_equal(b.used, i);
		buf_char(&b, 'x');
	}
	buf_free(&b);
}

static void grow_makes_the_room_asked_for(void **state)
{
	struct buf b = {0};

	(void)state;
	buf_grow(&b, 1);
	assert_true(b.size >= 1);
	buf_reserve(&b, 1000003);
	assert_true(b.size - b.used >= 1000003);
	memset(b.data, 'x', 1000003);
	b.used = 1000003;
	buf_reserve(&b, 0);
	assert_int_equal(b.used, 1000003);
	buf_free(&b);
}

static void printf_fits_any_length(void **state)
{
	char text[3000];

	(void)state;
	for (size_t n = 0; n < sizeof(text); n += 7) {
		struct buf b = {0};

		memset(text, 'y', n);
		text[n] = '\0';
		buf_text(&b, "a");
		buf_printf(&b, "%s-%d", text, 42);
		assert_int_equal(b.used, n + 4);
		assert_memory_equal(b.data + 1, text, n);
		assert_memory_equal(b.data + 1 + n, "-42", 3);
		buf_free(&b);
	}
}

static void escaped(const char *text, size_t bytes, const char *want)
{
	struct buf b = {0};

	buf_json_escape(&b, text, bytes);
	assert_string_equal(buf_str(&b), want);
	buf_free(&b);
}

static void json_escapes_what_json_needs(void **state)
{
	(void)state;
	escaped("", 0, "");
	escaped("plain", 5, "plain");
	escaped("\"", 1, "\\\"");
	escaped("\\", 1, "\\\\");
	escaped("a\"b\\c", 5, "a\\\"b\\\\c");
	escaped("\n\t\r", 3, "\\n\\t\\r");
	escaped("\b\f\x1f", 3, "\\u0008\\u000c\\u001f");
	escaped("\0x", 2, "\\u0000x");
	escaped("/", 1, "/");
	escaped("\x7f", 1, "\x7f");
	escaped("gr\xc3\xbc\xc3\x9f \xf0\x9f\xa7\xb5", 11,
		"gr\xc3\xbc\xc3\x9f \xf0\x9f\xa7\xb5");
	escaped("cut here", 3, "cut");
}

/* Long texts are looked through eight bytes at a time. */
static void json_escapes_at_every_place(void **state)
{
	static const char specials[] = "\"\\\n\x1f\x01";
	char text[27], want[40];

	(void)state;
	for (size_t at = 0; at < sizeof(text); at++)
		for (size_t k = 0; k < sizeof(specials) - 1; k++) {
			struct buf one = {0};

			memset(text, k % 2 ? 0x20 : 0xff, sizeof(text));
			text[at] = specials[k];
			buf_json_escape(&one, &specials[k], 1);
			memcpy(want, text, at);
			memcpy(want + at, one.data, one.used);
			memcpy(want + at + one.used, text + at + 1,
			       sizeof(text) - at - 1);
			want[sizeof(text) - 1 + one.used] = '\0';
			escaped(text, sizeof(text), want);
			buf_free(&one);
		}
}

static void json_escapes_every_control_character(void **state)
{
	(void)state;
	for (unsigned c = 0; c < 0x20; c++) {
		const char text = (char)c;
		struct buf b = {0};

		buf_json_escape(&b, &text, 1);
		assert_int_equal(b.data[0], '\\');
		for (size_t i = 0; i < b.used; i++)
			assert_true((unsigned char)b.data[i] >= 0x20);
		buf_free(&b);
	}
}

static void copies_end_in_nul(void **state)
{
	char *copy = xmemdup0("ab\0cd", 5);
	char *empty = xmemdup0(NULL, 0);
	char *text = xasprintf("%d-%s", 7, "x");

	(void)state;
	assert_memory_equal(copy, "ab\0cd", 6);
	assert_string_equal(empty, "");
	assert_string_equal(text, "7-x");
	free(copy);
	free(empty);
	free(text);
}

static void sizes_of_zero_are_memory(void **state)
{
	void *a = xmalloc(0), *b = xcalloc(0, 8),
	     *c = xreallocarray(NULL, 0, 8);

	(void)state;
	assert_non_null(a);
	assert_non_null(b);
	assert_non_null(c);
	free(a);
	free(b);
	free(c);
}

static void grow_too_far(void)
{
	struct buf b = {0};

	buf_text(&b, "some");
	buf_grow(&b, SIZE_MAX - 2);
}

static void grow_almost_too_far(void)
{
	struct buf b = {0};

	buf_grow(&b, SIZE_MAX / 2 + 2);
}

static void multiply_too_far(void)
{
	free(xreallocarray(NULL, SIZE_MAX / 4, 8));
}

/* A child that asks for the impossible ends there, instead of getting less. */
static void impossible_sizes_abort(void **state)
{
	static void (*const asks[])(void) = {grow_too_far, grow_almost_too_far,
					     multiply_too_far};

	(void)state;
	for (size_t i = 0; i < sizeof(asks) / sizeof(*asks); i++) {
		struct rlimit none = {0, 0};
		pid_t pid = fork();
		int status;

		if (pid == 0) {
			setrlimit(RLIMIT_CORE, &none);
			close(STDERR_FILENO);
			alarm(20);
			asks[i]();
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		assert_false(WIFSIGNALED(status) &&
			     WTERMSIG(status) != SIGABRT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_empty_buffer_owns_nothing),
	    cmocka_unit_test(what_goes_in_stays_in_order),
	    cmocka_unit_test(str_ends_the_text_without_changing_it),
	    cmocka_unit_test(grow_makes_the_room_asked_for),
	    cmocka_unit_test(printf_fits_any_length),
	    cmocka_unit_test(json_escapes_what_json_needs),
	    cmocka_unit_test(json_escapes_at_every_place),
	    cmocka_unit_test(json_escapes_every_control_character),
	    cmocka_unit_test(copies_end_in_nul),
	    cmocka_unit_test(sizes_of_zero_are_memory),
	    cmocka_unit_test(impossible_sizes_abort),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
