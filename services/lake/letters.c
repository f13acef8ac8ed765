#include "services/lake/letters.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"

/* Columns that statements name, whatever a table has. */
#define LETTER_SHAPE                                                         \
	"SELECT NULL::VARCHAR AS event_id, NULL::VARCHAR AS event_type, "    \
	"NULL::TIMESTAMPTZ AS event_time, NULL::VARCHAR AS code, "           \
	"NULL::VARCHAR AS reason, NULL::VARCHAR AS stage, NULL::VARCHAR AS " \
	"stream, NULL::VARCHAR AS field, NULL::VARCHAR AS original, "        \
	"NULL::VARCHAR AS masked, NULL::VARCHAR AS source, "                 \
	"NULL::TIMESTAMPTZ AS received_at, NULL::VARCHAR AS trace WHERE "    \
	"false"
#define STATE_SHAPE                                                           \
	"SELECT NULL::VARCHAR AS event_id, NULL::TIMESTAMPTZ AS event_time, " \
	"NULL::VARCHAR AS stream, NULL::VARCHAR AS state WHERE false"

/* ---- tables ---- */

int letters_load(struct letters *l, const struct args *a, struct catalog *c,
		 struct err *err)
{
	/* Nothing is masked here. */
	static const uint8_t any_secret[32] = {0};
	const char *dir = a->conf->pipeline->contracts;
	struct contract_report report = {0};
	int rc = 0;

	*l = (struct letters){.catalog = c};
	query_init(&l->query, c);
	if (contract_set_load(&l->set, dir, any_secret, sizeof(any_secret),
			      &report) != 0)
		rc = err_set(err, EINVAL,
			     "the contracts of %s have %u errors; "
			     "`pipelinectl check` tells them",
			     dir, report.errors);
	contract_report_free(&report);
	return rc;
}

static int find_tables(struct letters *l, const char *dir, struct err *err)
{
	const struct contract *c =
	    contract_set_find(l->set, LETTER_STREAM, sizeof(LETTER_STREAM) - 1);

	if (!c || !c->table)
		return err_set(err, ENOENT,
			       "no contract \"" LETTER_STREAM
			       "\" in %s names a table, so dead letters are "
			       "not in the lake; take the one that comes with "
			       "Weft, and `pipelinectl reload`",
			       dir);
	l->letters = c->table;
	c = contract_set_find(l->set, STATE_STREAM, sizeof(STATE_STREAM) - 1);
	l->states = c ? c->table : NULL;
	return 0;
}

int letters_table(struct letters *l, const char *table, struct buf *sql,
		  int64_t *version, struct err *err)
{
	const struct catalog_options *o = &l->catalog->options;
	bool plain = !o->schema || !*o->schema;
	char *path = xasprintf("%s/%s%s%s", o->tables, plain ? "" : o->schema,
			       plain ? "" : "/", table);
	const struct catalog_table t = {
	    .name = (char *)(uintptr_t)table, .path = path, .version = -1};
	struct delta *delta = NULL;
	int rc = catalog_load(l->catalog, &t, &delta, err);

	*version = -1;
	if (rc == 0) {
		*version = delta_version(delta);
		rc = query_print_table(&l->query, delta, sql, err);
	} else if (err->code == ENOENT) {
		rc = 0;
	}
	delta_close(&delta);
	free(path);
	return rc;
}

static int make_view(struct letters *l, const char *view, const char *shape,
		     const char *table, struct err *err)
{
	struct buf sql = {0}, select = {0};
	int64_t version = -1;
	int rc = 0;

	if (table)
		rc = letters_table(l, table, &select, &version, err);
	buf_printf(&sql, "CREATE OR REPLACE TEMP VIEW %s AS %s", view, shape);
	if (version >= 0) {
		buf_text(&sql, " UNION ALL BY NAME SELECT * FROM (");
		buf_append(&sql, select.data, select.used);
		buf_char(&sql, ')');
	}
	if (rc == 0)
		rc = duck_run(l->catalog->duck, buf_str(&sql), err);
	buf_free(&sql);
	buf_free(&select);
	return rc;
}

int letters_open(struct letters *l, const struct args *a, struct catalog *c,
		 struct err *err)
{
	if (letters_load(l, a, c, err) != 0 ||
	    find_tables(l, a->conf->pipeline->contracts, err) != 0 ||
	    make_view(l, "letters", LETTER_SHAPE, l->letters, err) != 0 ||
	    make_view(l, "states", STATE_SHAPE, l->states, err) != 0)
		return -1;
	return duck_run(
	    c->duck,
	    "CREATE OR REPLACE TEMP VIEW open AS SELECT l.*, s.state FROM "
	    "letters l LEFT JOIN (SELECT stream, event_id, arg_max(state, "
	    "event_time) AS state FROM states GROUP BY ALL) s ON l.stream IS "
	    "NOT DISTINCT FROM s.stream AND l.event_id IS NOT DISTINCT FROM "
	    "s.event_id",
	    err);
}

void letters_close(struct letters *l)
{
	query_free(&l->query);
	contract_set_unref(&l->set);
}

/* ---- which ---- */

static void put_equal(struct buf *sql, const char *column, const char *text)
{
	if (!text)
		return;
	buf_printf(sql, " AND %s = ", column);
	duck_literal(sql, text, strlen(text));
}

void letters_where(const struct args *a, struct buf *sql)
{
	const struct args_events *e = &a->events;

	buf_text(sql, e->all ? " WHERE true" : " WHERE state IS NULL");
	put_equal(sql, "stream", e->stream);
	put_equal(sql, "code", e->code);
	put_equal(sql, "stage", e->stage);
	if (e->from_us != INT64_MIN)
		buf_printf(sql, " AND epoch_us(event_time) >= %" PRId64,
			   e->from_us);
	if (e->to_us != INT64_MAX)
		buf_printf(sql, " AND epoch_us(event_time) < %" PRId64,
			   e->to_us);
	for (uint32_t i = 0; i < e->id_count; i++) {
		buf_text(sql, i ? ", " : " AND event_id IN (");
		duck_literal(sql, e->ids[i], strlen(e->ids[i]));
	}
	buf_text(sql, e->id_count ? ")" : "");
}

/* The first of the named letters that `where` finds wrong, and its state. */
static int find_wrong(struct letters *l, const struct args *a,
		      const char *where, struct buf *id, struct buf *state,
		      struct err *err)
{
	const struct args_events *e = &a->events;
	struct duck_result *r = NULL;
	struct buf sql = {0};
	int more;

	buf_text(&sql, "SELECT v.id, o.state FROM (VALUES ");
	for (uint32_t i = 0; i < e->id_count; i++) {
		buf_text(&sql, i ? ", (" : "(");
		duck_literal(&sql, e->ids[i], strlen(e->ids[i]));
		buf_char(&sql, ')');
	}
	buf_text(&sql, ") v(id) LEFT JOIN open o ON o.event_id = v.id");
	put_equal(&sql, "o.stream", e->stream);
	buf_printf(&sql, " WHERE %s LIMIT 1", where);
	more = duck_query(l->catalog->duck, buf_str(&sql), &r, err);
	if (more >= 0)
		more = duck_next(r, err);
	if (more > 0) {
		duck_text(r, 0, id);
		duck_text(r, 1, state);
	}
	duck_result_free(&r);
	buf_free(&sql);
	return more;
}

int letters_check_ids(struct letters *l, const struct args *a, struct err *err)
{
	const char *stream = a->events.stream;
	struct buf id = {0}, state = {0};
	int wrong = 0;

	if (!a->events.id_count)
		return 0;
	wrong = find_wrong(l, a, "o.event_id IS NULL", &id, &state, err);
	if (wrong > 0)
		err_set(err, ENOENT,
			"there is no dead letter \"%.200s\"%s%s; "
			"`pipelinectl dlq ls --all` lists them",
			buf_str(&id), stream ? " of stream " : "",
			stream ? stream : "");
	if (wrong == 0 && !a->events.all)
		wrong =
		    find_wrong(l, a, "o.state IS NOT NULL", &id, &state, err);
	if (wrong > 0 && state.used)
		err_set(
		    err, EALREADY, "dead letter \"%.200s\" was %s already%s",
		    buf_str(&id), buf_str(&state),
		    a->command == COMMAND_DLQ_REPLAY ? "; --all sends it again"
						     : "");
	buf_free(&id);
	buf_free(&state);
	return wrong ? -1 : 0;
}

/* ---- small answers ---- */

int letters_number(struct letters *l, const char *sql, int64_t *value,
		   struct err *err)
{
	struct duck_result *r = NULL;
	int more = duck_query(l->catalog->duck, sql, &r, err);

	*value = 0;
	if (more >= 0)
		more = duck_next(r, err);
	if (more > 0)
		*value = duck_int(r, 0);
	duck_result_free(&r);
	return more < 0 ? -1 : 0;
}

int letters_text(struct letters *l, const char *sql, struct buf *text,
		 struct err *err)
{
	struct duck_result *r = NULL;
	int more = duck_query(l->catalog->duck, sql, &r, err);

	if (more >= 0)
		more = duck_next(r, err);
	if (more > 0)
		duck_text(r, 0, text);
	duck_result_free(&r);
	return more < 0 ? -1 : 0;
}

int letters_counts(struct letters *l, const char *sql, struct buf *out,
		   int64_t *sum, struct err *err)
{
	struct duck_result *r = NULL;
	int more = duck_query(l->catalog->duck, sql, &r, err);
	bool any = false;

	while (more >= 0 && (more = duck_next(r, err)) > 0) {
		buf_printf(out, "%s%" PRId64 " ", any ? ", " : "",
			   duck_int(r, 1));
		duck_text(r, 0, out);
		any = true;
		if (sum)
			*sum += duck_int(r, 1);
	}
	duck_result_free(&r);
	return more < 0 ? -1 : 0;
}
