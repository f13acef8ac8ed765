#include "services/lake/sending.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"

#define LOOK_FIRST_US 100000
#define LOOK_LAST_US  2000000

void sending_progress(const char *fmt, ...)
{
	static bool shown;
	char text[200];
	va_list ap;

	if (!isatty(STDERR_FILENO))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (*text || shown)
		fprintf(stderr, "\r\033[K%s", text);
	shown = *text;
	fflush(stderr);
}

int sending_open(struct sending *s, struct letters *l, const struct args *a,
		 struct err *err)
{
	*s = (struct sending){
	    .letters = l, .name = a->name, .wait_us = a->events.wait_us};
	if (duck_run(l->catalog->duck,
		     "CREATE TEMP TABLE accepted (n BIGINT, stream VARCHAR, "
		     "tbl VARCHAR, columns VARCHAR, id VARCHAR, landed "
		     "BOOLEAN); CREATE TEMP TABLE refused (n BIGINT, code "
		     "VARCHAR, field VARCHAR, why VARCHAR)",
		     err) != 0)
		return -1;
	return door_open(&s->door, a->conf, !a->events.dry_run,
			 l->catalog->options.stop, err);
}

void sending_close(struct sending *s)
{
	door_close(&s->door);
	buf_free(&s->accepted);
	buf_free(&s->refused);
}

/* ---- answers ---- */

static void put_text(struct buf *row, const char *text, size_t bytes)
{
	buf_text(row, ", ");
	duck_literal(row, text, bytes);
}

/* A row of the texts of an answer, and of what is behind them. */
static void note(struct buf *rows, struct replay_frame *answer, int texts,
		 bool rest)
{
	buf_printf(rows, "%s(%" PRIu64, rows->used ? ", " : "", answer->number);
	for (int i = 0; i < texts; i++) {
		const char *text = replay_take(answer);

		put_text(rows, text ? text : "", text ? strlen(text) : 0);
	}
	if (rest)
		put_text(rows, answer->data, answer->bytes);
	buf_text(rows, rest ? ", false)" : ")");
}

static int write_book(struct sending *s, const char *table, struct buf *rows,
		      struct err *err)
{
	struct buf sql = {0};
	int rc = 0;

	if (rows->used) {
		buf_printf(&sql, "INSERT INTO %s VALUES ", table);
		buf_append(&sql, rows->data, rows->used);
		rc = duck_run(s->letters->catalog->duck, buf_str(&sql), err);
	}
	buf_clear(rows);
	buf_free(&sql);
	return rc;
}

static int told_late(const struct sending *s, enum replay_kind kind,
		     struct err *err)
{
	char time[32];

	if (err->code != ETIMEDOUT)
		return -1;
	return err_set(err, ETIMEDOUT,
		       "%s not taken what was sent within %s; `pipelinectl "
		       "status` tells what waits. What is on its way goes on "
		       "at the next `pipelinectl %s`, which may be called "
		       "again without harm",
		       kind == REPLAY_SYNC ? "the sinks have"
					   : "the log of the replay has",
		       text_format_duration(s->wait_us, time), s->name);
}

int sending_ask(struct sending *s, enum replay_kind kind, struct err *err)
{
	struct replay_frame answer = {0};
	size_t at = s->door.out.used;

	replay_begin(&s->door.out, kind, 0);
	replay_end(&s->door.out, at);
	if (door_send(&s->door, s->wait_us, err) != 0)
		return told_late(s, kind, err);
	while (answer.kind != REPLAY_DONE) {
		if (door_answer(&s->door, &answer, s->wait_us, err) != 0)
			return told_late(s, kind, err);
		if (answer.kind == REPLAY_ACCEPTED)
			note(&s->accepted, &answer, 3, true);
		else if (answer.kind == REPLAY_REFUSED)
			note(&s->refused, &answer, 3, false);
		else if (answer.kind == REPLAY_PASSED)
			s->passed++;
	}
	if (write_book(s, "accepted", &s->accepted, err) != 0)
		return -1;
	return write_book(s, "refused", &s->refused, err);
}

/* ---- landing ---- */

/* A table and the columns by which events are found in it. */
struct place {
	char *table, *columns;
	int64_t version; /* that was looked at last, -1: none */
};

struct places {
	struct place *list;
	size_t count;
};

static char *text_at(const struct duck_result *r, uint32_t column)
{
	struct buf text = {0};
	char *copy;

	duck_text(r, column, &text);
	copy = xstrdup(buf_str(&text));
	buf_free(&text);
	return copy;
}

static int find_places(struct sending *s, struct places *p, struct err *err)
{
	struct duck_result *r = NULL;
	int more = duck_query(s->letters->catalog->duck,
			      "SELECT DISTINCT tbl, columns FROM accepted "
			      "WHERE NOT landed ORDER BY ALL",
			      &r, err);

	*p = (struct places){0};
	while (more >= 0 && (more = duck_next(r, err)) > 0) {
		p->list =
		    xreallocarray(p->list, p->count + 1, sizeof(*p->list));
		p->list[p->count++] = (struct place){
		    .table = text_at(r, 0),
		    .columns = text_at(r, 1),
		    .version = -1,
		};
	}
	duck_result_free(&r);
	return more;
}

static void free_places(struct places *p)
{
	for (size_t i = 0; i < p->count; i++) {
		free(p->list[i].table);
		free(p->list[i].columns);
	}
	free(p->list);
}

static void put_place(struct buf *sql, const struct place *p)
{
	buf_text(sql, "a.tbl = ");
	duck_literal(sql, p->table, strlen(p->table));
	buf_text(sql, " AND a.columns = ");
	duck_literal(sql, p->columns, strlen(p->columns));
}

/* An identity's part as a value of its column, and a missing one as "". */
static int put_parts(struct sending *s, const struct place *p,
		     const struct buf *select, struct buf *sql, struct err *err)
{
	struct duck_result *r = NULL;
	struct buf head = {0};
	int rc;

	buf_text(&head, "SELECT ");
	for (const char *at = p->columns; *at;) {
		size_t bytes = strcspn(at, ",");
		char *name = xmemdup0(at, bytes);

		duck_name(&head, name);
		free(name);
		at += bytes;
		if (*at == ',') {
			buf_text(&head, ", ");
			at++;
		}
	}
	buf_text(&head, " FROM (");
	buf_append(&head, select->data, select->used);
	buf_text(&head, ") LIMIT 0");
	rc = duck_query(s->letters->catalog->duck, buf_str(&head), &r, err);
	for (uint32_t i = 0; rc == 0 && i < duck_columns(r); i++) {
		buf_printf(sql,
			   " AND TRY_CAST(nullif(string_split(a.id, chr(31))"
			   "[%u], '') AS %s) IS NOT DISTINCT FROM f.",
			   i + 1, duck_column_type(r, i));
		duck_name(sql, duck_column_name(r, i));
	}
	duck_result_free(&r);
	buf_free(&head);
	return rc;
}

/* Notes what of a place is in its table, if that is another than before. */
static int look_at(struct sending *s, struct place *p, struct err *err)
{
	struct buf select = {0}, sql = {0};
	int64_t version;
	int rc = letters_table(s->letters, p->table, &select, &version, err);

	if (rc == 0 && version > p->version) {
		p->version = version;
		buf_text(&sql, "UPDATE accepted SET landed = true WHERE n IN ("
			       "SELECT a.n FROM (");
		buf_append(&sql, select.data, select.used);
		buf_text(&sql, ") f JOIN accepted a ON ");
		put_place(&sql, p);
		rc = put_parts(s, p, &select, &sql, err);
		buf_text(&sql, " WHERE NOT a.landed)");
		if (rc == 0)
			rc = duck_run(s->letters->catalog->duck, buf_str(&sql),
				      err);
	}
	buf_free(&select);
	buf_free(&sql);
	return rc;
}

static void pause_us(int64_t us)
{
	const struct timespec t = {us / 1000000, us % 1000000 * 1000};

	nanosleep(&t, NULL);
}

static int look_until_landed(struct sending *s, struct places *p,
			     struct err *err)
{
	const atomic_bool *stop = s->letters->catalog->options.stop;
	int64_t until_us = clock_mono_us() + s->wait_us;
	int64_t wait_us = LOOK_FIRST_US, left = 0;

	for (;;) {
		for (size_t i = 0; i < p->count; i++)
			if (look_at(s, &p->list[i], err) != 0)
				return -1;
		if (letters_number(s->letters,
				   "SELECT count(*) FROM accepted WHERE NOT "
				   "landed",
				   &left, err) != 0)
			return -1;
		if (!left || clock_mono_us() > until_us)
			return 0;
		if (stop && atomic_load(stop))
			return err_set(err, ECANCELED, "stopped");
		sending_progress(
		    "waiting for %" PRId64 " to be in their tables", left);
		pause_us(wait_us);
		wait_us = wait_us * 3 / 2;
		if (wait_us > LOOK_LAST_US)
			wait_us = LOOK_LAST_US;
	}
}

int sending_await(struct sending *s, struct err *err)
{
	struct places p = {0};
	int rc = duck_run(s->letters->catalog->duck,
			  "UPDATE accepted SET landed = true WHERE tbl = '' "
			  "OR columns = ''",
			  err);

	if (rc == 0)
		rc = find_places(s, &p, err);
	if (rc == 0)
		rc = look_until_landed(s, &p, err);
	free_places(&p);
	sending_progress("%s", "");
	return rc;
}
