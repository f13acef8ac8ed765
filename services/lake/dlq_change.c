/* pipelinectl dlq replay and drop: what becomes of dead letters. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/uuid.h"
#include "services/lake/sending.h"

/* So many bytes of letters go at once; it is also what is in memory of them. */
#define PAGE_BYTES   "4000000"
#define MAPPED_STAGE "onelake-writer" /* whose letters hold mapped events */
#define SHOWN	     20		      /* of what was refused */

/* What was chosen, in the table `chosen`; page after page of it is sent. */
struct change {
	const struct args *a;
	struct letters letters;
	struct sending sending;
	char run[UUID_TEXT_BYTES];
	int64_t chosen, pages;
	struct buf failed; /* "2 masked, 1 wrong_type" */
	int64_t failed_count, landed, waiting;
};

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

/* ---- sending ---- */

static void put_column(struct buf *out, const struct duck_result *r,
		       uint32_t column)
{
	duck_text(r, column, out);
	buf_char(out, '\0');
}

/* n, stream, event_id, mapped, masked, received_us, original */
static void put_letter(struct buf *out, const struct duck_result *r)
{
	bool mapped = duck_int(r, 3);
	size_t at = out->used;

	replay_begin(out, mapped ? REPLAY_MAPPED : REPLAY_RAW,
		     (uint64_t)duck_int(r, 0));
	if (mapped) {
		put_column(out, r, 1);
	} else {
		put_column(out, r, 2);
		put_column(out, r, 4);
		put_column(out, r, 5);
	}
	duck_text(r, 6, out);
	replay_end(out, at);
}

static int put_page(struct change *ch, int64_t page, struct err *err)
{
	struct duck_result *r = NULL;
	struct buf sql = {0};
	int more;

	buf_printf(&sql,
		   "SELECT n, stream, event_id, (stage = '" MAPPED_STAGE
		   "')::INTEGER, masked, received_us, original FROM chosen "
		   "WHERE page = %" PRId64 " AND original IS NOT NULL "
		   "ORDER BY n",
		   page);
	more = duck_query(ch->letters.catalog->duck, buf_str(&sql), &r, err);
	while (more >= 0 && (more = duck_next(r, err)) > 0)
		put_letter(&ch->sending.door.out, r);
	duck_result_free(&r);
	buf_free(&sql);
	return more;
}

/* Letters of events that a full batch had no room for. */
static int refuse_empty(struct change *ch, struct err *err)
{
	return duck_run(ch->letters.catalog->duck,
			"INSERT INTO refused SELECT n, 'no_original', '', 'the "
			"letter does not hold the event' FROM chosen WHERE "
			"original IS NULL",
			err);
}

static int send_all(struct change *ch, struct err *err)
{
	struct sending *s = &ch->sending;
	size_t at = s->door.out.used;
	int rc = refuse_empty(ch, err);

	if (ch->a->events.dry_run) {
		replay_begin(&s->door.out, REPLAY_CHECK, 0);
		replay_end(&s->door.out, at);
	}
	for (int64_t page = 0; rc == 0 && page < ch->pages; page++) {
		sending_progress("replaying %" PRId64 " letters: %" PRId64
				 " %%",
				 ch->chosen, 100 * page / ch->pages);
		rc = put_page(ch, page, err);
		if (rc == 0)
			rc = sending_ask(s, REPLAY_FLUSH, err);
	}
	sending_progress("%s", "");
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
static int note_state(struct change *ch, const char *which, const char *state,
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

static int is_noted(struct change *ch, struct err *err)
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

/* ---- replay ---- */

static int count(struct change *ch, struct err *err)
{
	struct letters *l = &ch->letters;

	if (letters_counts(l,
			   "SELECT code, count(*) FROM refused GROUP BY code "
			   "ORDER BY 2 DESC, 1",
			   &ch->failed, &ch->failed_count, err) != 0)
		return -1;
	if (letters_number(l, "SELECT count(*) FROM accepted WHERE landed",
			   &ch->landed, err) != 0)
		return -1;
	return letters_number(l,
			      "SELECT count(*) FROM accepted WHERE NOT landed",
			      &ch->waiting, err);
}

/* The first letters that failed again, each with the reason. */
static int tell_refused(struct change *ch, struct err *err)
{
	struct duck_result *r = NULL;
	struct buf line = {0}, sql = {0};
	int more;

	buf_printf(&sql,
		   "SELECT c.event_id, c.stream, r.code, r.why FROM refused r "
		   "JOIN chosen c USING (n) ORDER BY n LIMIT %d",
		   SHOWN);
	more = duck_query(ch->letters.catalog->duck, buf_str(&sql), &r, err);
	while (more >= 0 && (more = duck_next(r, err)) > 0) {
		buf_clear(&line);
		buf_text(&line, "pipelinectl dlq replay: ");
		duck_text(r, 0, &line);
		buf_text(&line, " of ");
		duck_text(r, 1, &line);
		buf_text(&line, ": cannot be replayed: ");
		duck_text(r, 2, &line);
		buf_text(&line, ": ");
		duck_text(r, 3, &line);
		fprintf(stderr, "%s\n", buf_str(&line));
	}
	if (more == 0 && ch->failed_count > SHOWN)
		fprintf(stderr,
			"pipelinectl dlq replay: … and %" PRId64 " more\n",
			ch->failed_count - SHOWN);
	duck_result_free(&r);
	buf_free(&line);
	buf_free(&sql);
	return more;
}

static void tell(struct change *ch)
{
	bool dry = ch->a->events.dry_run;
	const char *good = dry ? "would be accepted" : "landed";
	struct buf failed = {0};

	if (ch->a->form == FORM_JSON) {
		printf(
		    "{\"dry_run\":%s,\"replayed\":%" PRId64 ",\"%s\":%" PRId64
		    ",\"waiting\":%" PRId64 ",\"failed\":%" PRId64 "}\n",
		    dry ? "true" : "false", ch->chosen,
		    dry ? "accepted" : "landed", dry ? ch->waiting : ch->landed,
		    dry ? 0 : ch->waiting, ch->failed_count);
		return;
	}
	if (ch->failed_count)
		buf_printf(&failed, ", %" PRId64 " %s (%s)", ch->failed_count,
			   dry ? "would fail again" : "failed again",
			   buf_str(&ch->failed));
	printf("%s%" PRId64 " letter%s: %" PRId64 " %s%s\n",
	       dry ? "would replay " : "replayed ", ch->chosen,
	       ch->chosen == 1 ? "" : "s", dry ? ch->waiting : ch->landed, good,
	       buf_str(&failed));
	buf_free(&failed);
	if (!dry && ch->waiting)
		fprintf(stderr,
			"pipelinectl dlq replay: %" PRId64
			" were accepted and are not in their tables yet; they "
			"stay in `pipelinectl dlq ls`, and may be replayed "
			"again without harm. `pipelinectl status` tells what "
			"the lake waits for\n",
			ch->waiting);
}

static int replay(struct change *ch, struct err *err)
{
	bool dry = ch->a->events.dry_run;

	if (sending_open(&ch->sending, &ch->letters, ch->a, err) != 0 ||
	    send_all(ch, err) != 0)
		return -1;
	if (!dry && (sending_ask(&ch->sending, REPLAY_SYNC, err) != 0 ||
		     sending_await(&ch->sending, err) != 0))
		return -1;
	if (count(ch, err) != 0 || tell_refused(ch, err) != 0)
		return -1;
	if (!dry && ch->landed &&
	    (duck_run(ch->letters.catalog->duck, "DELETE FROM refused", err) !=
		 0 ||
	     note_state(ch, "SELECT n FROM accepted WHERE landed", "landed",
			err) != 0 ||
	     is_noted(ch, err) != 0))
		return -1;
	tell(ch);
	return 0;
}

static int open_change(struct change *ch, const struct args *a,
		       struct catalog *c, struct err *err)
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

static void close_change(struct change *ch)
{
	sending_close(&ch->sending);
	letters_close(&ch->letters);
	buf_free(&ch->failed);
}

int command_dlq_replay(const struct args *a, struct catalog *c, struct err *err)
{
	struct change ch;
	int rc = open_change(&ch, a, c, err);

	if (rc == 0 && ch.chosen)
		rc = replay(&ch, err);
	else if (rc == 0 && a->form == FORM_JSON)
		tell(&ch);
	if (rc == 0)
		err->text[0] = '\0';
	if (ch.failed_count || ch.waiting)
		rc = a->events.dry_run && !ch.failed_count ? rc : -1;
	close_change(&ch);
	return rc == 0 ? EXIT_DONE : EXIT_FAILED;
}

/* ---- drop ---- */

static int tell_drop(struct change *ch, bool done, struct err *err)
{
	struct buf codes = {0};
	int rc = letters_counts(&ch->letters,
				"SELECT code, count(*) FROM chosen GROUP BY "
				"code ORDER BY 2 DESC, 1",
				&codes, NULL, err);

	if (rc == 0 && ch->a->form == FORM_JSON)
		printf("{\"dry_run\":%s,\"dropped\":%" PRId64 "}\n",
		       done ? "false" : "true", ch->chosen);
	else if (rc == 0 && ch->chosen)
		printf("%s %" PRId64 " letter%s: %s\n",
		       done ? "dropped" : "would drop", ch->chosen,
		       ch->chosen == 1 ? "" : "s", buf_str(&codes));
	buf_free(&codes);
	return rc;
}

static int drop(struct change *ch, struct err *err)
{
	if (sending_open(&ch->sending, &ch->letters, ch->a, err) != 0 ||
	    note_state(ch, "SELECT n FROM chosen", "dropped", err) != 0 ||
	    is_noted(ch, err) != 0)
		return -1;
	return tell_drop(ch, true, err);
}

int command_dlq_drop(const struct args *a, struct catalog *c, struct err *err)
{
	bool wanted = a->events.yes && !a->events.dry_run;
	struct change ch;
	int rc = open_change(&ch, a, c, err), code;

	if (rc == 0 && ch.chosen && wanted)
		rc = drop(&ch, err);
	else if (rc == 0)
		rc = tell_drop(&ch, false, err);
	code = rc == 0 ? EXIT_DONE : EXIT_FAILED;
	if (rc == 0 && ch.chosen && !wanted && !a->events.dry_run) {
		err->text[0] = '\0';
		fprintf(stderr, "pipelinectl dlq drop: nothing was done; --yes "
				"drops them\n");
		code = EXIT_USAGE;
	}
	close_change(&ch);
	return code;
}
