/*
 * Statements of somebody else. What they may do is kept small three times over:
 * by how they begin, by the type that DuckDB gives them, and by the files that
 * can be reached at all.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "lake/duck_impl.h"

#define WORD_BYTES 64
#define WORD_LETTERS \
	"abcdefghijklmnopqrstuvwxyz_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* How a statement that reads may begin. */
static const char *const beginnings[] = {
    "SELECT", "FROM",	   "WITH", "VALUES", "TABLE",  "DESCRIBE",
    "DESC",   "SUMMARIZE", "SHOW", "PIVOT",  "UNPIVOT"};

/* Functions of FROM that write, that change settings, or that run text. */
static const char *const forbidden[] = {"arrow_scan",
					"arrow_scan_dumb",
					"enable_logging",
					"enable_profiling",
					"enable_peg_parser",
					"json_execute_serialized_sql",
					"query",
					"seq_scan"};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- the text ---- */

/* Comments nest, as DuckDB has them. */
static const char *skip_comment(const char *at)
{
	int depth = 0;

	if (at[0] == '-' && at[1] == '-')
		return at + strcspn(at, "\n");
	do {
		if (at[0] == '/' && at[1] == '*') {
			depth++;
			at += 2;
		} else if (depth && at[0] == '*' && at[1] == '/') {
			depth--;
			at += 2;
		} else if (depth) {
			at++;
		}
	} while (depth && *at);
	return at;
}

/* Space beyond ASCII too: DuckDB takes some of it for space. */
static const char *skip_space(const char *at)
{
	const char *from;

	do {
		from = at;
		at += strspn(at, " \t\r\n\f\v");
		while ((unsigned char)*at >= 0x80)
			at++;
		at = skip_comment(at);
	} while (at != from);
	return at;
}

/* Letters, digits and _ from `at` on, as many as fit; how many there are. */
static size_t read_word(const char *at, char word[WORD_BYTES])
{
	size_t bytes = strspn(at, WORD_LETTERS);
	size_t kept = bytes < WORD_BYTES ? bytes : WORD_BYTES - 1;

	memcpy(word, at, kept);
	word[kept] = '\0';
	return bytes;
}

static bool is_one_of(const char *word, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcasecmp(word, words[i]) == 0)
			return true;
	return false;
}

/*
 * What EXPLAIN explains, and how it is to be explained; or the statement
 * itself. Both are put together anew, so that they are what was checked.
 */
static const char *skip_explain(const char *sql, struct buf *explain)
{
	const char *at = skip_space(sql);
	char word[WORD_BYTES];
	size_t bytes = read_word(at, word);

	if (strcasecmp(word, "EXPLAIN") != 0)
		return sql;
	buf_text(explain, "EXPLAIN ");
	at = skip_space(at + bytes);
	bytes = read_word(at, word);
	if (strcasecmp(word, "ANALYZE") == 0) {
		buf_text(explain, "ANALYZE ");
		return skip_space(at + bytes);
	}
	if (*at != '(')
		return at;
	/* Options; or a SELECT in parentheses. */
	bytes = 1 + strspn(at + 1, WORD_LETTERS " ,");
	read_word(at + 1, word);
	if (at[bytes] != ')' || is_one_of(word, beginnings, COUNT(beginnings)))
		return at;
	buf_append(explain, at, bytes + 1);
	return skip_space(at + bytes + 1);
}

static int check_beginning(const char *sql, struct err *err)
{
	const char *at = skip_space(sql);
	char word[WORD_BYTES];

	while (*at == '(')
		at = skip_space(at + 1);
	read_word(at, word);
	if (is_one_of(word, beginnings, COUNT(beginnings)))
		return 0;
	if (!*at)
		return err_set(err, EINVAL, "there is no statement");
	return err_set(err, EPERM,
		       "only statements that read are run: SELECT, FROM, WITH, "
		       "DESCRIBE, SUMMARIZE, SHOW or EXPLAIN of one; \"%.*s\" "
		       "begins none",
		       *word ? 64 : 1, *word ? word : at);
}

/* Too much is found in texts and comments, and nothing is overlooked. */
static int check_functions(const char *sql, struct err *err)
{
	char word[WORD_BYTES];
	const char *at = sql;

	while (*at) {
		size_t bytes = read_word(at, word);
		const char *next = at + (bytes ? bytes : 1);

		at = next;
		if (!bytes || !is_one_of(word, forbidden, COUNT(forbidden)))
			continue;
		next = skip_space(next + (*next == '"'));
		if (*next == '(')
			return err_set(err, EPERM,
				       "the function %s() is refused: a query "
				       "only reads tables",
				       word);
	}
	return 0;
}

/* ---- preparing ---- */

static void note_missing(duckdb_replacement_scan_info info, const char *name,
			 void *arg)
{
	struct duck *d = arg;

	(void)info;
	free(d->missing);
	d->missing = xstrdup(name);
}

static int extract(struct duck *d, const char *sql,
		   duckdb_extracted_statements *all, struct err *err)
{
	idx_t count = duckdb_extract_statements(d->connection, sql, all);
	const char *why = duckdb_extract_statements_error(*all);

	if (count == 1)
		return 0;
	if (count == 0)
		return why ? duck_fail(d, err, why)
			   : err_set(err, EINVAL, "there is no statement");
	return err_set(err, EINVAL,
		       "one statement at a time, please (and PIVOT needs its "
		       "values: ON … IN (…))");
}

/* What DuckDB could not prepare, in words of a query. */
static int explain_failure(const char *sql, struct err *err)
{
	static const char *const writing[] = {"INSERT", "UPDATE", "DELETE",
					      "MERGE"};
	char word[WORD_BYTES];

	if (err->code == EACCES)
		return err_wrap(err, "a query reads tables of the lake and no "
				     "other files");
	read_word(skip_space(sql), word);
	if (strcasecmp(word, "WITH") != 0)
		return -1;
	for (const char *at = sql; *at;) {
		size_t bytes = read_word(at, word);

		at += bytes ? bytes : 1;
		if (bytes && is_one_of(word, writing, COUNT(writing)))
			return err_wrap(err,
					"only statements that read are "
					"run, and in this one is %s",
					word);
	}
	return -1;
}

/* 1: prepared. 0: a table was missing, which is there now. -1: *err. */
static int try_prepare(struct duck *d, const char *sql,
		       const struct duck_lookup *lookup,
		       duckdb_prepared_statement *statement, struct err *err)
{
	duckdb_extracted_statements all = NULL;
	int rc = extract(d, sql, &all, err);

	free(d->missing);
	d->missing = NULL;
	if (rc == 0 && duckdb_prepare_extracted_statement(
			   d->connection, all, 0, statement) == DuckDBSuccess) {
		rc = 1;
	} else if (rc == 0) {
		duck_fail(d, err, duckdb_prepare_error(*statement));
		duckdb_destroy_prepare(statement);
		rc = d->missing ? lookup->find(lookup->arg, d->missing, err)
				: explain_failure(sql, err);
	}
	duckdb_destroy_extracted(&all);
	return rc;
}

/* A statement of that type, and no other. */
static int prepare_as(struct duck *d, const char *sql,
		      const struct duck_lookup *lookup,
		      duckdb_statement_type type,
		      duckdb_prepared_statement *statement, struct err *err)
{
	int rc;

	*statement = NULL;
	do {
		rc = try_prepare(d, sql, lookup, statement, err);
	} while (rc == 0);
	if (rc < 0)
		return -1;
	if (duckdb_prepared_statement_type(*statement) == type)
		return 0;
	duckdb_destroy_prepare(statement);
	return err_set(err, EPERM,
		       "only statements that read are run, and this one would "
		       "do more");
}

int duck_select(struct duck *d, const char *sql,
		const struct duck_lookup *lookup, struct duck_result **result,
		struct err *err)
{
	struct buf explain = {0};
	const char *inner = skip_explain(sql, &explain);
	duckdb_prepared_statement statement;
	bool plain = explain.used == 0;
	int rc = -1;

	*result = NULL;
	d->rows_failed = false;
	if (!d->watches)
		duckdb_add_replacement_scan(d->db, note_missing, d, NULL);
	d->watches = true;
	if (check_beginning(inner, err) < 0 ||
	    check_functions(inner, err) < 0 ||
	    prepare_as(d, inner, lookup, DUCKDB_STATEMENT_TYPE_SELECT,
		       &statement, err) < 0)
		goto out;
	if (!plain) {
		duckdb_destroy_prepare(&statement);
		buf_text(&explain, inner);
		if (prepare_as(d, buf_str(&explain), lookup,
			       DUCKDB_STATEMENT_TYPE_EXPLAIN, &statement,
			       err) < 0)
			goto out;
	}
	rc = duck_result_start(d, statement, result, err);
out:
	buf_free(&explain);
	return rc;
}
