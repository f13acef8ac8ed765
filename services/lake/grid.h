/*
 * A table for people: columns as wide as what is in them, in characters of a
 * terminal. Text is made harmless: control characters and what is no UTF-8 are
 * shown as escapes.
 */
#ifndef WEFT_LAKE_GRID_H
#define WEFT_LAKE_GRID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct grid;

/* Longer cells are cut to `width` characters, with … at the end; 0: never. */
struct grid *grid_new(uint32_t columns, uint32_t width);
void grid_free(struct grid **g);

/* Fills the next cell, row by row; the first row are the titles. */
void grid_put(struct grid *g, const char *text, size_t bytes);
void grid_text(struct grid *g, const char *text);
void grid_int(struct grid *g, int64_t value);
void grid_right(struct grid *g, uint32_t column); /* of numbers */

/* Rows without the titles. */
size_t grid_rows(const struct grid *g);

/* How many characters wide grid_print() makes it. */
uint32_t grid_width(const struct grid *g);

/* Appends each row as lines of a title and a value, for what is too wide. */
void grid_print_long(const struct grid *g, struct buf *out);

/* Appends all complete rows, each a line; `line` draws one below the titles. */
void grid_print(const struct grid *g, bool line, struct buf *out);

#endif
