/*
 * Tables for people.
 * LINK: services/lake/grid.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <locale.h>

#include "services/lake/grid.h"

static void expect(struct grid *g, bool line, const char *wanted)
{
	struct buf out = {0};

	grid_print(g, line, &out);
	assert_string_equal(buf_str(&out), wanted);
	buf_free(&out);
	grid_free(&g);
}

static void columns_are_as_wide_as_their_cells(void **state)
{
	struct grid *g = grid_new(3, 0);

	(void)state;
	grid_text(g, "a");
	grid_text(g, "number");
	grid_text(g, "c");
	grid_right(g, 1);
	grid_text(g, "long text");
	grid_int(g, -12);
	grid_text(g, "x");
	grid_text(g, "");
	grid_int(g, INT64_MAX);
	grid_text(g, "");
	assert_int_equal(grid_rows(g), 2);
	expect(g, true,
	       "a                       number  c\n"
	       "─────────  ───────────────────  ─\n"
	       "long text                  -12  x\n"
	       "           9223372036854775807\n");
}

static void width_is_that_of_a_terminal(void **state)
{
	struct grid *g = grid_new(2, 0);

	(void)state;
	grid_text(g, "日本");
	grid_text(g, "b");
	grid_text(g, "e\xcc\x81"); /* e and a combining accent */
	grid_text(g, "b");
	grid_text(g, "word");
	grid_text(g, "b");
	expect(g, false,
	       "日本  b\n"
	       "e\xcc\x81     b\n"
	       "word  b\n");
}

static void long_cells_are_cut(void **state)
{
	struct grid *g = grid_new(1, 5);

	(void)state;
	grid_text(g, "12345");
	grid_text(g, "123456");
	grid_text(g, "日本語");
	grid_text(g, "1234\n");
	expect(g, false, "12345\n1234…\n日本…\n1234…\n");
}

static void what_is_too_wide_is_shown_row_by_row(void **state)
{
	struct grid *g = grid_new(2, 0);
	struct buf out = {0};

	(void)state;
	grid_text(g, "a");
	grid_text(g, "日本");
	grid_right(g, 0);
	grid_text(g, "");
	grid_text(g, "value");
	grid_text(g, "1");
	grid_text(g, "NULL");
	assert_int_equal(grid_width(g), 8);
	grid_print_long(g, &out);
	assert_string_equal(buf_str(&out), "── row 1 ──\n"
					   "a     \n"
					   "日本  value\n"
					   "── row 2 ──\n"
					   "a     1\n"
					   "日本  NULL\n");
	buf_free(&out);
	expect(g, false,
	       "a  日本\n"
	       "   value\n"
	       "1  NULL\n");
}

static void text_is_made_harmless(void **state)
{
	struct grid *g = grid_new(1, 0);

	(void)state;
	grid_text(g, "a\033[31mb");
	grid_text(g, "a\nb\tc\r");
	grid_text(g, "\xff\xc3");
	grid_text(g, "\xc2\x9b"); /* a control character beyond ASCII */
	grid_put(g, "a\0b", 3);
	expect(g, false,
	       "a\\x1b[31mb\na\\nb\\tc\\r\n\\xff\\xc3\n\\u{9b}\na\\x00b\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(columns_are_as_wide_as_their_cells),
	    cmocka_unit_test(width_is_that_of_a_terminal),
	    cmocka_unit_test(long_cells_are_cut),
	    cmocka_unit_test(what_is_too_wide_is_shown_row_by_row),
	    cmocka_unit_test(text_is_made_harmless),
	};

	setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
