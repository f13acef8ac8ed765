#include "services/lake/grid.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "base/alloc.h"
#include "base/text.h"

#define GAP	 2
#define ELLIPSIS "…"

struct cell {
	size_t at, bytes; /* in text */
	uint32_t width;
};

struct grid {
	uint32_t columns, most;
	uint32_t *widths;
	bool *right;
	struct buf text; /* of all cells */
	struct cell *cells;
	size_t count, room;
};

struct grid *grid_new(uint32_t columns, uint32_t width)
{
	struct grid *g = xcalloc(1, sizeof(*g));

	g->columns = columns;
	g->most = width;
	g->widths = xcalloc(columns, sizeof(*g->widths));
	g->right = xcalloc(columns, sizeof(*g->right));
	buf_reserve(&g->text, 256);
	return g;
}

void grid_free(struct grid **g)
{
	if (!*g)
		return;
	buf_free(&(*g)->text);
	free((*g)->cells);
	free((*g)->widths);
	free((*g)->right);
	free(*g);
	*g = NULL;
}

void grid_right(struct grid *g, uint32_t column)
{
	g->right[column] = true;
}

size_t grid_rows(const struct grid *g)
{
	size_t rows = g->columns ? g->count / g->columns : 0;

	return rows ? rows - 1 : 0;
}

/* ---- characters ---- */

static wchar_t decode(const unsigned char *at, size_t bytes)
{
	static const unsigned char masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	unsigned c = at[0] & masks[bytes];

	for (size_t i = 1; i < bytes; i++)
		c = c << 6 | (at[i] & 0x3f);
	return (wchar_t)c;
}

/* The next character as it is shown; how many bytes it took. */
static size_t show(const char *at, size_t left, char shown[16], uint32_t *width)
{
	const unsigned char *u = (const unsigned char *)at;
	size_t bytes = text_utf8_bytes(at, left);
	int columns = bytes ? wcwidth(decode(u, bytes)) : -1;

	if (columns >= 0 && *at) {
		memcpy(shown, at, bytes);
		shown[bytes] = '\0';
		*width = (uint32_t)columns;
		return bytes;
	}
	if (*at == '\n' || *at == '\t' || *at == '\r')
		snprintf(shown, 16, "\\%c",
			 *at == '\n'   ? 'n'
			 : *at == '\t' ? 't'
				       : 'r');
	else if (bytes > 1)
		snprintf(shown, 16, "\\u{%x}", (unsigned)decode(u, bytes));
	else
		snprintf(shown, 16, "\\x%02x", *u);
	*width = (uint32_t)strlen(shown);
	return bytes ? bytes : 1;
}

/* ---- cells ---- */

static struct cell *next_cell(struct grid *g)
{
	if (g->count == g->room) {
		g->room = g->room ? 2 * g->room : 256;
		g->cells = xreallocarray(g->cells, g->room, sizeof(*g->cells));
	}
	g->cells[g->count] = (struct cell){.at = g->text.used};
	return &g->cells[g->count++];
}

void grid_put(struct grid *g, const char *text, size_t bytes)
{
	uint32_t column = (uint32_t)(g->count % g->columns);
	struct cell *cell = next_cell(g);
	size_t cut = g->text.used; /* where it still fits with ELLIPSIS */
	uint32_t cut_width = 0;

	for (size_t at = 0; at < bytes;) {
		char shown[16];
		uint32_t width;

		at += show(text + at, bytes - at, shown, &width);
		if (g->most && cell->width + width > g->most) {
			g->text.used = cut;
			buf_text(&g->text, ELLIPSIS);
			cell->width = cut_width + 1;
			break;
		}
		buf_text(&g->text, shown);
		cell->width += width;
		if (cell->width < g->most) {
			cut = g->text.used;
			cut_width = cell->width;
		}
	}
	cell->bytes = g->text.used - cell->at;
	if (cell->width > g->widths[column])
		g->widths[column] = cell->width;
}

void grid_text(struct grid *g, const char *text)
{
	grid_put(g, text, strlen(text));
}

void grid_int(struct grid *g, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, value);
	grid_text(g, text);
}

/* ---- printing ---- */

static void spaces(struct buf *out, uint32_t count)
{
	if (!count)
		return;
	buf_reserve(out, count);
	memset(out->data + out->used, ' ', count);
	out->used += count;
}

static void print_row(const struct grid *g, size_t row, struct buf *out)
{
	size_t from = out->used;

	for (uint32_t i = 0; i < g->columns; i++) {
		const struct cell *cell = &g->cells[row * g->columns + i];
		uint32_t fill = g->widths[i] - cell->width;

		if (g->right[i])
			spaces(out, fill);
		buf_append(out, g->text.data + cell->at, cell->bytes);
		if (i + 1 < g->columns)
			spaces(out, GAP + (g->right[i] ? 0 : fill));
	}
	while (out->used > from && out->data[out->used - 1] == ' ')
		out->used--;
	buf_char(out, '\n');
}

static void print_line(const struct grid *g, struct buf *out)
{
	for (uint32_t i = 0; i < g->columns; i++) {
		for (uint32_t w = 0; w < g->widths[i]; w++)
			buf_text(out, "─");
		if (i + 1 < g->columns)
			spaces(out, GAP);
	}
	buf_char(out, '\n');
}

void grid_print(const struct grid *g, bool line, struct buf *out)
{
	for (size_t row = 0; (row + 1) * g->columns <= g->count; row++) {
		print_row(g, row, out);
		if (row == 0 && line)
			print_line(g, out);
	}
}

uint32_t grid_width(const struct grid *g)
{
	uint32_t width = g->columns ? GAP * (g->columns - 1) : 0;

	for (uint32_t i = 0; i < g->columns; i++)
		width += g->widths[i];
	return width;
}

void grid_print_long(const struct grid *g, struct buf *out)
{
	uint32_t widest = 0;

	for (uint32_t i = 0; i < g->columns; i++)
		if (g->cells[i].width > widest)
			widest = g->cells[i].width;
	for (size_t row = 1; row <= grid_rows(g); row++) {
		buf_printf(out, "── row %zu ──\n", row);
		for (uint32_t i = 0; i < g->columns; i++) {
			const struct cell *name = &g->cells[i];
			const struct cell *value = name + row * g->columns;

			buf_append(out, g->text.data + name->at, name->bytes);
			spaces(out, widest - name->width + GAP);
			buf_append(out, g->text.data + value->at, value->bytes);
			buf_char(out, '\n');
		}
	}
}
