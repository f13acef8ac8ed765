/* pipelinectl dlq ls and show: which events failed, and why. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "services/lake/letters.h"
#include "services/lake/rows.h"

/* ---- ls ---- */

static int list(struct letters *l, const struct args *a,
		struct rows_shown *shown, struct err *err)
{
	struct duck_result *r = NULL;
	struct buf sql = {0};
	int rc;

	buf_text(&sql, "SELECT event_id AS id, event_time AS \"when\", stream, "
		       "code, ");
	if (a->form == FORM_JSON)
		buf_text(&sql, "field, reason, stage, source, received_at, "
			       "trace, masked, state");
	else
		buf_text(&sql, "coalesce(field, '') AS field, coalesce(reason, "
			       "'') AS reason");
	if (a->form != FORM_JSON && a->events.all)
		buf_text(&sql, ", coalesce(state, 'open') AS state");
	buf_text(&sql, " FROM open");
	letters_where(a, &sql);
	buf_text(&sql, " ORDER BY event_time DESC, stream, event_id");
	rc = duck_query(l->catalog->duck, buf_str(&sql), &r, err);
	if (rc == 0)
		rc = rows_print(r, a->form, a->limit, stdout, shown, err);
	duck_result_free(&r);
	buf_free(&sql);
	return rc;
}

/* "1,204 dead letters: 1,200 wrong_type, 4 no_contract" */
static int count(struct letters *l, const struct args *a,
		 const struct rows_shown *shown, struct err *err)
{
	struct buf sql = {0}, codes = {0};
	int64_t sum = 0;
	int rc;

	buf_text(&sql, "SELECT code, count(*) FROM open");
	letters_where(a, &sql);
	buf_text(&sql, " GROUP BY code ORDER BY 2 DESC, 1");
	rc = letters_counts(l, buf_str(&sql), &codes, &sum, err);
	if (rc == 0)
		printf("\n%" PRId64 " dead letter%s: %s%s\n", sum,
		       sum == 1 ? "" : "s", buf_str(&codes),
		       shown->more ? " (--limit 0 shows all)" : "");
	buf_free(&sql);
	buf_free(&codes);
	return rc;
}

int command_dlq_ls(const struct args *a, struct catalog *c, struct err *err)
{
	struct rows_shown shown = {0};
	struct letters l;
	int64_t any = 0;
	struct buf sql = {0};
	int rc = letters_open(&l, a, c, err);

	buf_text(&sql, "SELECT count(*) FROM open");
	letters_where(a, &sql);
	if (rc == 0)
		rc = letters_number(&l, buf_str(&sql), &any, err);
	if (rc == 0 && (any || a->form == FORM_JSON))
		rc = list(&l, a, &shown, err);
	if (rc == 0 && any && a->form == FORM_TABLE)
		rc = count(&l, a, &shown, err);
	if (rc == 0 && !any && a->form == FORM_TABLE)
		fprintf(stderr, "no dead letters\n");
	buf_free(&sql);
	letters_close(&l);
	return rc == 0 ? EXIT_DONE : EXIT_FAILED;
}

/* ---- show ---- */

/* The texts of a letter, one below the other. */
static void print_letter(const struct duck_result *r, uint64_t number)
{
	struct buf text = {0};

	printf("%s", number ? "\n" : "");
	for (uint32_t i = 0; i < duck_columns(r); i++) {
		if (duck_is_null(r, i))
			continue;
		buf_clear(&text);
		duck_text(r, i, &text);
		printf("%-12s ", duck_column_name(r, i));
		fwrite(text.data ? text.data : "", 1, text.used, stdout);
		putchar('\n');
	}
	buf_free(&text);
}

static int show(const struct args *a, struct duck_result *r, struct err *err)
{
	struct rows_shown rows;
	uint64_t shown = 0;
	int more;

	if (a->form == FORM_JSON)
		return rows_print(r, FORM_JSON, 0, stdout, &rows, err);
	while ((more = duck_next(r, err)) > 0)
		print_letter(r, shown++);
	if (more == 0 && fflush(stdout) != 0)
		return err_errno(err, errno, "cannot write the letter");
	return more;
}

int command_dlq_show(const struct args *a, struct catalog *c, struct err *err)
{
	struct args any = *a;
	struct duck_result *r = NULL;
	struct buf sql = {0};
	struct letters l;
	int rc = letters_open(&l, a, c, err);

	/* Who names a letter sees it, whatever became of it. */
	any.events.all = true;
	buf_text(&sql, "SELECT event_id AS id, event_time AS \"when\", stream, "
		       "code, field, reason, stage, source, received_at, "
		       "trace, state, masked, original FROM open");
	letters_where(&any, &sql);
	buf_text(&sql, " ORDER BY event_time DESC, stream");
	if (rc == 0)
		rc = letters_check_ids(&l, &any, err);
	if (rc == 0)
		rc = duck_query(c->duck, buf_str(&sql), &r, err);
	if (rc == 0)
		rc = show(a, r, err);
	duck_result_free(&r);
	buf_free(&sql);
	letters_close(&l);
	return rc == 0 ? EXIT_DONE : EXIT_FAILED;
}
