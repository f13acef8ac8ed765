/* Errors: what they carry, what they clear, where they are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "base/err.h"

static void set_fills_everything(void **state)
{
	struct err err = {.retriable = true, .fatal = true};

	(void)state;
	assert_int_equal(err_set(&err, EINVAL, "%s:%d: bad", "weft.conf", 7),
			 -1);
	assert_int_equal(err.code, EINVAL);
	assert_false(err.retriable);
	assert_false(err.fatal);
	assert_string_equal(err.text, "weft.conf:7: bad");
}

static void errno_says_why(void **state)
{
	struct err err = {.retriable = true, .fatal = true};

	(void)state;
	assert_int_equal(err_errno(&err, ENOENT, "cannot open %s", "x"), -1);
	assert_int_equal(err.code, ENOENT);
	assert_false(err.retriable);
	assert_false(err.fatal);
	assert_string_equal(err.text,
			    "cannot open x: No such file or directory");
}

static void wrap_keeps_code_and_flags(void **state)
{
	struct err err;

	(void)state;
	err_set(&err, EIO, "sync failed");
	err.fatal = true;
	err.retriable = true;
	assert_int_equal(err_wrap(&err, "spool %d", 3), -1);
	assert_int_equal(err.code, EIO);
	assert_true(err.fatal);
	assert_true(err.retriable);
	assert_string_equal(err.text, "spool 3: sync failed");
}

static void long_text_is_cut(void **state)
{
	char text[2 * ERR_TEXT_BYTES];
	struct err err;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	err_set(&err, EINVAL, "%s", text);
	assert_int_equal(strlen(err.text), ERR_TEXT_BYTES - 1);
	err_errno(&err, EIO, "%s", text);
	assert_in_range(strlen(err.text), ERR_TEXT_BYTES - 3,
			ERR_TEXT_BYTES - 1);
	assert_non_null(strstr(err.text, "xxx: Input/output error"));
	err_set(&err, EINVAL, "inner");
	err_wrap(&err, "%s", text);
	assert_int_equal(strlen(err.text), ERR_TEXT_BYTES - 1);
	err_set(&err, EINVAL, "%s", text);
	err_wrap(&err, "outer");
	assert_int_equal(strlen(err.text), ERR_TEXT_BYTES - 1);
	assert_memory_equal(err.text, "outer: xxx", 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(set_fills_everything),
	    cmocka_unit_test(errno_says_why),
	    cmocka_unit_test(wrap_keeps_code_and_flags),
	    cmocka_unit_test(long_text_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
