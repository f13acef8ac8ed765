#include "services/lake/dlq_change.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"

/* So many bytes of letters go at once; it is also what is in memory of them. */
#define PAGE_BYTES "4000000"

static int choose(struct change *ch, struct err *err)
{
	struct letters *l = &ch->letters;
	struct buf sql = {0};
	int rc = letters_check_ids(l, ch->a, err);

	/* In the order in which they failed, which events were sent in. */
	buf_text(&sql, "CREATE TEMP TABLE chosen AS SELECT row_number() OVER w "
		       "- 1 AS n, sum(coalesce(strlen(original), 0) + 1000) "
		       "OVER w // " PAGE_BYTES " AS page, * FROM (SELECT "
		       "stream, event_id, code, stage, original, masked, "
		       "epoch_us(received_at) AS received_us, event_time FROM "
		       "open");
	letters_where(ch->a, &sql);
	buf_text(&sql, ") WINDOW w AS (ORDER BY event_time, stream, event_id "
		       "ROWS UNBOUNDED PRECEDING)");
	if (rc == 0)
		rc = duck_run(l->catalog->duck, buf_str(&sql), err);
	if (rc == 0)
		rc = letters_number(l, "SELECT count(*) FROM chosen",
				    &ch->chosen, err);
	if (rc == 0)
		rc = letters_number(l, "SELECT max(page)::BIGINT FROM chosen",
				    &ch->pages, err);
	ch->pages++;
	buf_free(&sql);
	return rc;
}

/* ---- what became of them ---- */

static void put_member(struct buf *out, const char *name, const char *text,
		       size_t bytes)
{
	buf_printf(out, ",\"%s\":\"", name);
	buf_json_escape(out, text, bytes);
	buf_char(out, '"');
}

/* One row of the table of states. Its own identity is that and the letter's. */
static void put_state(struct change *ch, const struct duck_result *r,
		      const char *state)
{
	struct buf *out = &ch->sending.door.out, text = {0};
	char at_text[CLOCK_TEXT_BYTES];
	size_t at = out->used;

	replay_begin(out, REPLAY_MAPPED, (uint64_t)duck_int(r, 0));
	replay_text(out, STATE_STREAM);
	buf_text(out, "{\"event_id\":\"");
	duck_text(r, 2, &text);
	buf_json_escape(out, text.data, text.used);
	buf_text(out, "\",\"event_type\":\"" STATE_STREAM "\"");
	clock_format(clock_wall_us(), at_text);
	put_member(out, "event_time", at_text, strlen(at_text));
	buf_clear(&text);
	duck_text(r, 1, &text);
	put_member(out, "stream", text.data, text.used);
	put_member(out, "state", state, strlen(state));
	put_member(out, "run", ch->run, strlen(ch->run));
	buf_char(out, '}');
	replay_end(out, at);
	buf_free(&text);
}

/* Says of each letter that `which` finds what became of it, durably. */
int change_note(struct change *ch, const char *which, const char *state,
		struct err *err)
{
	struct sending *s = &ch->sending;
	struct duck_result *r = NULL;
	struct buf sql = {0};
	int more;

	buf_printf(&sql,
		   "CREATE OR REPLACE TEMP TABLE done AS SELECT n, stream, "
		   "event_id FROM chosen WHERE n IN (%s); DELETE FROM accepted",
		   which);
	more = duck_run(ch->letters.catalog->duck, buf_str(&sql), err);
	for (int64_t n = 0; more == 0 && n < ch->chosen; n += 10000) {
		buf_clear(&sql);
		buf_printf(&sql,
			   "SELECT n, stream, event_id FROM done WHERE n >= "
			   "%" PRId64 " AND n < %" PRId64,
			   n, n + 10000);
		more = duck_query(ch->letters.catalog->duck, buf_str(&sql), &r,
				  err);
		while (more >= 0 && (more = duck_next(r, err)) > 0)
			put_state(ch, r, state);
		duck_result_free(&r);
		if (more == 0)
			more = sending_ask(s, REPLAY_FLUSH, err);
	}
	buf_free(&sql);
	if (more == 0)
		more = sending_ask(s, REPLAY_SYNC, err);
	return more == 0 ? sending_await(s, err) : -1;
}

static int check_states(const struct change *ch, struct err *err)
{
	if (ch->letters.states)
		return 0;
	return err_set(err, ENOENT,
		       "no contract \"" STATE_STREAM "\" in %s names a table, "
		       "so what becomes of a letter cannot be noted; take the "
		       "one that comes with Weft, and `pipelinectl reload`",
		       ch->a->conf->pipeline->contracts);
}

int change_check_noted(struct change *ch, struct err *err)
{
	int64_t refused = 0, left = 0;

	if (letters_number(&ch->letters,
			   "SELECT count(*) FROM accepted WHERE NOT landed",
			   &left, err) != 0 ||
	    letters_number(&ch->letters, "SELECT count(*) FROM refused",
			   &refused, err) != 0)
		return -1;
	if (left || refused)
		return err_set(err, ETIMEDOUT,
			       "what became of %" PRId64 " letters is not in "
			       "table %s yet; `pipelinectl status` tells what "
			       "the lake waits for",
			       left + refused, ch->letters.states);
	return 0;
}

/* ---- the whole ---- */

int change_open(struct change *ch, const struct args *a, struct catalog *c,
		struct err *err)
{
	struct uuid run = uuid_new();

	*ch = (struct change){.a = a, .sending.door = {.to = -1, .from = -1}};
	uuid_format(&run, ch->run);
	if (letters_open(&ch->letters, a, c, err) != 0 ||
	    check_states(ch, err) != 0 || choose(ch, err) != 0)
		return -1;
	if (!ch->chosen && a->form == FORM_TABLE)
		fprintf(stderr, "no dead letter matches; nothing was done\n");
	return 0;
}

void change_close(struct change *ch)
{
	sending_close(&ch->sending);
	letters_close(&ch->letters);
	buf_free(&ch->failed);
	buf_free(&ch->codes);
}
