/* What tests of DuckDB share: one that is open in a folder of its own. */
#ifndef WEFT_TEST_DUCK_HELP_H
#define WEFT_TEST_DUCK_HELP_H

#include "lake/duck.h"
#include "test_contract_help.h"

struct duck_fixture {
	struct folder folder;
	struct duck *duck;
	struct err err;
};

static inline void duck_begin(struct duck_fixture *f)
{
	struct duck_options options = {.memory_bytes = 256 << 20, .threads = 1};
	char *temp;

	folder_make(&f->folder);
	temp = xasprintf("%s/temp", f->folder.path);
	options.temp_dir = temp;
	if (duck_open(&f->duck, &options, &f->err) < 0)
		fail_msg("%s", f->err.text);
	free(temp);
}

static inline void duck_end(struct duck_fixture *f)
{
	duck_close(&f->duck);
	folder_remove(&f->folder);
}

static inline void duck_must(struct duck_fixture *f, const char *sql)
{
	if (duck_run(f->duck, sql, &f->err) < 0)
		fail_msg("%s\n%s", sql, f->err.text);
}

/* All rows of a query as text: "a|b\n" each, NULL as "-"; owned by caller. */
static inline char *duck_rows_of(struct duck_fixture *f, const char *sql)
{
	struct duck_result *r;
	struct buf out = {0};
	char *text;
	int more;

	if (duck_query(f->duck, sql, &r, &f->err) < 0)
		fail_msg("%s\n%s", sql, f->err.text);
	while ((more = duck_next(r, &f->err)) > 0) {
		for (uint32_t i = 0; i < duck_columns(r); i++) {
			buf_text(&out, i ? "|" : "");
			if (duck_is_null(r, i))
				buf_char(&out, '-');
			else
				duck_text(r, i, &out);
		}
		buf_char(&out, '\n');
	}
	if (more < 0)
		fail_msg("%s\n%s", sql, f->err.text);
	duck_result_free(&r);
	text = xstrdup(buf_str(&out));
	buf_free(&out);
	return text;
}

static inline void duck_expect(struct duck_fixture *f, const char *sql,
			       const char *wanted)
{
	char *text = duck_rows_of(f, sql);

	assert_string_equal(text, wanted);
	free(text);
}

#endif
