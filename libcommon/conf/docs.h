/* What the generated documents share; for the files of this directory only. */
#ifndef WEFT_CONF_DOCS_H
#define WEFT_CONF_DOCS_H

#include "conf/conf.h"

/* A heading and a paragraph, code between back-quotes. */
struct docs_text {
	const char *title;
	const char *text;
};

/* What is to be known before the keys, in reading order. */
extern const struct docs_text docs_intro[];
extern const size_t docs_intro_count;
extern const char docs_example[];

/* "1KiB to 1GiB", "a, b or c", "at most 5s", or "". */
void docs_range(const struct conf_row *row, struct buf *out);

/* The default as it would be written, or "" when there is none. */
void docs_default(const struct conf_row *row, struct buf *out);

/* Calls fn for the sections in a good order to read: pipeline, links, kinds. */
void docs_each_table(const struct conf_kinds *kinds,
		     void (*fn)(void *arg, const struct conf_table *table),
		     void *arg);

/* Whether a row of that name came before: the same family, other labels. */
bool docs_is_repeated(const struct counter_table *table, size_t row);

/* The names in the labels of a counter, "source, event_type". */
void docs_labels(const struct counter_row *row, struct buf *out);

#endif
