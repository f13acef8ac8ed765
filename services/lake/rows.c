#include "services/lake/rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/alloc.h"
#include "services/lake/grid.h"

#define CELL_WIDTH  64
#define FLUSH_BYTES (64 << 10)

enum look { LOOK_TEXT, LOOK_NUMBER, LOOK_BOOLEAN, LOOK_NESTED };

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* How a value of DuckDB's type is written. */
static enum look look_of(const char *type)
{
	static const char *const numbers[] = {
	    "TINYINT",	"SMALLINT",  "INTEGER",	 "BIGINT",
	    "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
	    "HUGEINT",	"UHUGEINT",  "FLOAT",	 "DOUBLE"};
	size_t bytes = strlen(type);

	if (bytes && type[bytes - 1] == ']')
		return LOOK_NESTED;
	if (begins(type, "STRUCT(") || begins(type, "MAP("))
		return LOOK_NESTED;
	if (begins(type, "DECIMAL("))
		return LOOK_NUMBER;
	if (strcmp(type, "BOOLEAN") == 0)
		return LOOK_BOOLEAN;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		if (strcmp(type, numbers[i]) == 0)
			return LOOK_NUMBER;
	return LOOK_TEXT;
}

struct printing {
	struct duck_result *r;
	enum look *looks;
	uint32_t columns;
	FILE *out;
	struct buf text, cell;
};

static int flush(struct printing *p, struct err *err)
{
	size_t bytes = p->text.used;

	if ((bytes && fwrite(p->text.data, 1, bytes, p->out) != bytes) ||
	    fflush(p->out) != 0)
		return err_errno(err, errno, "cannot write the rows");
	buf_clear(&p->text);
	return 0;
}

static const struct buf *cell_of(struct printing *p, uint32_t column)
{
	buf_clear(&p->cell);
	duck_text(p->r, column, &p->cell);
	return &p->cell;
}

/* ---- JSON ---- */

static void json_value(struct printing *p, uint32_t i)
{
	const struct buf *cell = cell_of(p, i);
	/* NaN and infinities are no numbers in JSON. */
	bool raw = p->looks[i] == LOOK_NUMBER
		       ? cell->used && memchr("0123456789",
					      cell->data[cell->used - 1], 10)
		       : p->looks[i] != LOOK_TEXT;

	if (duck_is_null(p->r, i)) {
		buf_text(&p->text, "null");
		return;
	}
	if (raw) {
		buf_append(&p->text, cell->data, cell->used);
		return;
	}
	buf_char(&p->text, '"');
	buf_json_escape(&p->text, cell->data, cell->used);
	buf_char(&p->text, '"');
}

static void json_row(struct printing *p)
{
	for (uint32_t i = 0; i < p->columns; i++) {
		const char *name = duck_column_name(p->r, i);

		buf_text(&p->text, i ? ",\"" : "{\"");
		buf_json_escape(&p->text, name, strlen(name));
		buf_text(&p->text, "\":");
		json_value(p, i);
	}
	buf_text(&p->text, "}\n");
}

/* ---- CSV ---- */

static void csv_text(struct buf *out, const char *text, size_t bytes)
{
	bool plain = bytes > 0;

	for (size_t i = 0; i < bytes && plain; i++)
		plain = !strchr("\",\r\n", text[i]) || !text[i];
	if (plain) {
		buf_append(out, text, bytes);
		return;
	}
	buf_char(out, '"');
	for (size_t i = 0; i < bytes; i++) {
		if (text[i] == '"')
			buf_char(out, '"');
		buf_char(out, text[i]);
	}
	buf_char(out, '"');
}

static void csv_titles(struct printing *p)
{
	for (uint32_t i = 0; i < p->columns; i++) {
		const char *name = duck_column_name(p->r, i);

		buf_text(&p->text, i ? "," : "");
		csv_text(&p->text, name, strlen(name));
	}
	buf_text(&p->text, "\r\n");
}

static void csv_row(struct printing *p)
{
	for (uint32_t i = 0; i < p->columns; i++) {
		const struct buf *cell = cell_of(p, i);

		buf_text(&p->text, i ? "," : "");
		if (!duck_is_null(p->r, i))
			csv_text(&p->text, cell->data, cell->used);
	}
	buf_text(&p->text, "\r\n");
}

static int print_lines(struct printing *p, bool json, uint64_t limit,
		       struct rows_shown *shown, struct err *err)
{
	int more;

	if (!json)
		csv_titles(p);
	while ((more = duck_next(p->r, err)) > 0) {
		if (limit && shown->count == limit) {
			shown->more = true;
			break;
		}
		if (json)
			json_row(p);
		else
			csv_row(p);
		shown->count++;
		if (p->text.used >= FLUSH_BYTES && flush(p, err) != 0)
			return -1;
	}
	return more < 0 || flush(p, err) != 0 ? -1 : 0;
}

/* ---- for people ---- */

static void grid_row(struct printing *p, struct grid *g)
{
	for (uint32_t i = 0; i < p->columns; i++) {
		const struct buf *cell = cell_of(p, i);

		if (duck_is_null(p->r, i))
			grid_text(g, "NULL");
		else
			grid_put(g, cell->data, cell->used);
	}
}

/* Whether the table would not fit on the terminal that it goes to. */
static bool is_too_wide(const struct grid *g, FILE *out)
{
	struct winsize size;

	return ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col &&
	       grid_width(g) > size.ws_col && grid_rows(g);
}

static int print_table(struct printing *p, uint64_t limit,
		       struct rows_shown *shown, struct err *err)
{
	struct grid *g = grid_new(p->columns, CELL_WIDTH);
	int more;

	for (uint32_t i = 0; i < p->columns; i++) {
		grid_text(g, duck_column_name(p->r, i));
		if (p->looks[i] == LOOK_NUMBER)
			grid_right(g, i);
	}
	while ((more = duck_next(p->r, err)) > 0) {
		if (limit && shown->count == limit) {
			shown->more = true;
			break;
		}
		grid_row(p, g);
		shown->count++;
	}
	if (more >= 0 && is_too_wide(g, p->out))
		grid_print_long(g, &p->text);
	else if (more >= 0)
		grid_print(g, true, &p->text);
	grid_free(&g);
	return more < 0 ? -1 : flush(p, err);
}

/* EXPLAIN draws its plan itself, over many lines. */
static int print_plan(struct printing *p, struct rows_shown *shown,
		      struct err *err)
{
	int more;

	while ((more = duck_next(p->r, err)) > 0) {
		const struct buf *cell = cell_of(p, 1);

		buf_append(&p->text, cell->data, cell->used);
		shown->count++;
	}
	return more < 0 ? -1 : flush(p, err);
}

int rows_print(struct duck_result *r, enum form form, uint64_t limit, FILE *out,
	       struct rows_shown *shown, struct err *err)
{
	struct printing p = {.r = r, .out = out, .columns = duck_columns(r)};
	int rc;

	*shown = (struct rows_shown){0};
	p.looks = xcalloc(p.columns ? p.columns : 1, sizeof(*p.looks));
	for (uint32_t i = 0; i < p.columns; i++)
		p.looks[i] = look_of(duck_column_type(r, i));
	if (form != FORM_TABLE)
		rc = print_lines(&p, form == FORM_JSON, limit, shown, err);
	else if (p.columns == 2 &&
		 strcmp(duck_column_name(r, 0), "explain_key") == 0)
		rc = print_plan(&p, shown, err);
	else
		rc = print_table(&p, limit, shown, err);
	buf_free(&p.text);
	buf_free(&p.cell);
	free(p.looks);
	return rc;
}
