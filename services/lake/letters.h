/*
 * Dead letters as SQL sees them. One thread: that of the catalog's DuckDB.
 *
 * Letters are rows of the table of the contract dead_letter, and never change.
 * What became of one is a row of the table of dead_letter_state, by the same
 * stream and event id.
 */
#ifndef WEFT_LAKE_LETTERS_H
#define WEFT_LAKE_LETTERS_H

#include "contract/contract.h"
#include "lake/query.h"
#include "services/lake/lake.h"

#define LETTER_STREAM "dead_letter"
#define STATE_STREAM  "dead_letter_state"

struct letters {
	struct catalog *catalog;
	struct query query;
	struct contract_set *set; /* for the names of tables alone */
	const char *letters;	  /* tables */
	const char *states;	  /* NULL: no contract names one */
};

/* Reads the contracts, and looks at no table. -1 with *err. */
int letters_load(struct letters *l, const struct args *a, struct catalog *c,
		 struct err *err) MUST_CHECK;

/*
 * Does that, finds the tables, and makes the view `open`: columns of letters,
 * and their `state`, NULL while nothing became of them. -1 with *err.
 */
int letters_open(struct letters *l, const struct args *a, struct catalog *c,
		 struct err *err) MUST_CHECK;
void letters_close(struct letters *l);

/*
 * Appends the SELECT of the newest version of a table by its contract's name
 * for it, and in *version which that is: -1 when it is not there yet, and then
 * nothing is appended.
 */
int letters_table(struct letters *l, const char *table, struct buf *sql,
		  int64_t *version, struct err *err) MUST_CHECK;

/* Appends " WHERE …": the letters that the command is for. */
void letters_where(const struct args *a, struct buf *sql);

/* -1 with *err when a letter that the command names is not there, or is done
 * with and the command is not for such. */
int letters_check_ids(struct letters *l, const struct args *a,
		      struct err *err) MUST_CHECK;

/* Runs SQL of ours; the first value of its first row, 0 without any. */
int letters_number(struct letters *l, const char *sql, int64_t *value,
		   struct err *err) MUST_CHECK;

/* The same, and appends the text of that value, nothing for NULL. */
int letters_text(struct letters *l, const char *sql, struct buf *text,
		 struct err *err) MUST_CHECK;

/*
 * Appends "3 wrong_type, 1 no_contract": the rows of a query of a text and a
 * number; and in *sum (NULL allowed) how many they are together.
 */
int letters_counts(struct letters *l, const char *sql, struct buf *out,
		   int64_t *sum, struct err *err) MUST_CHECK;

#endif
