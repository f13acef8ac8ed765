/* pipelinectl query: SQL over the tables of the lake. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "lake/query.h"
#include "services/lake/lake.h"
#include "services/lake/rows.h"

#define MOST_SQL_BYTES (1 << 20)

static int read_sql(const char *what, struct buf *sql, struct err *err)
{
	if (strcmp(what, "-") != 0) {
		buf_text(sql, what);
		return 0;
	}
	for (;;) {
		ssize_t n;

		buf_reserve(sql, 65536);
		n = read(STDIN_FILENO, sql->data + sql->used, 65536);
		if (n < 0 && errno != EINTR)
			return err_errno(err, errno,
					 "cannot read standard input");
		if (n == 0)
			return 0;
		sql->used += n > 0 ? (size_t)n : 0;
		if (sql->used > MOST_SQL_BYTES)
			return err_set(err, EFBIG,
				       "the statement is longer than 1 MiB");
	}
}

static int pin(const struct args *a, struct catalog *c, struct err *err)
{
	for (uint32_t i = 0; i < a->version_count; i++) {
		struct catalog_table *t =
		    catalog_find(c, a->versions[i].table, err);

		if (!t)
			return -1;
		t->version = a->versions[i].version;
	}
	return 0;
}

static void say(const struct rows_shown *shown, const struct query *q,
		int64_t since_us)
{
	fprintf(stderr, "%" PRIu64 " row%s%s in %.2f s\n", shown->count,
		shown->count == 1 ? "" : "s",
		shown->more ? " shown, there are more (--limit 0 shows all),"
			    : "",
		(double)(clock_mono_us() - since_us) / 1e6);
	if (q->skipped)
		fprintf(stderr,
			"%" PRIu32 " table%s cannot be read and %s left out; "
			"`pipelinectl lake ls` tells why\n",
			q->skipped, q->skipped == 1 ? "" : "s",
			q->skipped == 1 ? "is" : "are");
}

int command_query(const struct args *a, struct catalog *c, struct err *err)
{
	int64_t since_us = clock_mono_us();
	struct duck_result *result = NULL;
	struct rows_shown shown;
	struct buf sql = {0};
	struct query q;
	int rc;

	query_init(&q, c);
	rc = read_sql(a->what, &sql, err);
	if (rc == 0)
		rc = pin(a, c, err);
	if (rc == 0)
		rc = query_run(&q, buf_str(&sql), &result, err);
	if (rc == 0)
		rc = rows_print(result, a->form, a->limit, stdout, &shown, err);
	if (rc == 0)
		say(&shown, &q, since_us);
	duck_result_free(&result);
	buf_free(&sql);
	query_free(&q);
	return rc == 0 ? EXIT_DONE : EXIT_FAILED;
}
