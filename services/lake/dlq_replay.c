/* pipelinectl dlq replay: events of dead letters, sent again. */
#include <inttypes.h>
#include <stdio.h>

#include "services/lake/dlq_change.h"

#define MAPPED_STAGE "onelake-writer" /* whose letters hold mapped events */
#define SHOWN	     20		      /* of what was refused */

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

/* ---- the end ---- */

static int count(struct change *ch, struct err *err)
{
	struct letters *l = &ch->letters;

	if (letters_counts(l,
			   "SELECT code, count(*) FROM refused GROUP BY code "
			   "ORDER BY 2 DESC, 1",
			   &ch->failed, &ch->failed_count, err) != 0)
		return -1;
	if (letters_text(l,
			 "SELECT string_agg('\"' || code || '\":' || failed, "
			 "',' ORDER BY code) FROM (SELECT code, count(*) AS "
			 "failed FROM refused GROUP BY code)",
			 &ch->codes, err) != 0)
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
		printf("{\"dry_run\":%s,\"replayed\":%" PRId64
		       ",\"%s\":%" PRId64 ",\"waiting\":%" PRId64
		       ",\"failed\":%" PRId64 ",\"codes\":{%s}}\n",
		       dry ? "true" : "false", ch->chosen,
		       dry ? "accepted" : "landed",
		       dry ? ch->waiting : ch->landed, dry ? 0 : ch->waiting,
		       ch->failed_count, buf_str(&ch->codes));
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
	     change_note(ch, "SELECT n FROM accepted WHERE landed", "landed",
			 err) != 0 ||
	     change_check_noted(ch, err) != 0))
		return -1;
	tell(ch);
	return 0;
}

int command_dlq_replay(const struct args *a, struct catalog *c, struct err *err)
{
	struct change ch;
	int rc = change_open(&ch, a, c, err);

	if (rc == 0 && ch.chosen)
		rc = replay(&ch, err);
	else if (rc == 0 && a->form == FORM_JSON)
		tell(&ch);
	if (rc == 0)
		err->text[0] = '\0';
	if (ch.failed_count || ch.waiting)
		rc = a->events.dry_run && !ch.failed_count ? rc : -1;
	change_close(&ch);
	return rc == 0 ? EXIT_DONE : EXIT_FAILED;
}
