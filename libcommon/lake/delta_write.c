/*
 * Committing: one put-if-absent at the next version, and what its answer, or
 * the lack of one, means.
 *
 * Once a version exists in the log, an attempt at it is settled for good: it
 * is ours, or lost. So an attempt whose answer was lost is made again with the
 * same bytes at the same version until something is there, and no attempt is
 * made anywhere else before.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/failpoint.h"
#include "base/uuid.h"
#include "lake/delta_inside.h"

/* Each lost race means that somebody else got on; 1,000 in a row, that this
 * table has far too many writers. */
#define ATTEMPTS_MOST	 1000
#define SAME_BYTES_TRIES 3

enum try {
	TRY_DONE,  /* committed by us */
	TRY_AGAIN, /* lost to another at that version */
	TRY_FAILED,
};

/* Whether the files of this commit were added to the table, once. */
static bool adds_known(const struct delta *t, const struct delta_commit *c)
{
	for (uint32_t i = 0; i < c->add_count; i++) {
		if (!files_find(&t->s.files, c->adds[i].name))
			return false;
	}
	return true;
}

/* Whether what is loaded has settled the commit already. */
static bool settled(const struct delta *t, const struct delta_commit *c,
		    enum delta_result *result, bool *mine)
{
	*mine = adds_known(t, c);
	if (c->app_id) {
		int64_t have = delta_txn(t, c->app_id);

		*result = have >= c->txn_version ? DELTA_ALREADY : DELTA_MOVED;
		if (have >= c->txn_version || have != c->txn_from)
			return true;
	} else if (c->add_count && *mine) {
		*result = DELTA_ALREADY;
		return true;
	}
	*mine = false;
	return false;
}

/*
 * What others committed shows when the next version is not free. What would
 * not show is that the table was dropped, or made anew: a commit of ours would
 * then lie behind a gap. So the last version we know must still be the same.
 */
static int prepare(struct delta *t, struct err *err)
{
	struct buf data = {0};
	int rc = 0;

	if (!t->broken && t->s.version >= 0) {
		rc = delta_log_get(t, t->s.version, &data, err);
		if (rc == 0 && t->s.hash &&
		    t->s.hash != XXH3_64bits(data.data, data.used))
			delta_spoil(t);
		/* Or was its commit cleaned up? The listing tells. */
		if (rc != 0 && err->code == ENOENT)
			rc = delta_refresh(t, err);
	}
	if (rc == 0 && (t->broken || t->s.version < 0))
		rc = delta_refresh(t, err);
	buf_free(&data);
	return rc;
}

/*
 * Takes what we committed into what is loaded. It is committed whatever comes
 * of that.
 */
static void take_own(struct delta *t, const struct buf *body)
{
	struct err err;

	if (delta_state_commit(t, &t->s, t->s.version + 1, body, &err) != 0 ||
	    delta_state_settle(t, &t->s, &err) != 0)
		delta_spoil(t);
}

/* Reads what is at our version now, after an answer that was not CREATED. */
static enum try read_back(struct delta *t, const char *id, struct err *err)
{
	int64_t before = t->s.version;
	bool ours = false;
	int rc = delta_catch_up(t, id, &ours, err);

	/* What came behind our commit may be more than we can read. */
	if (ours)
		return TRY_DONE;
	if (rc != 0)
		return TRY_FAILED;
	if (t->s.version == before) {
		err_set(err, EAGAIN,
			"table %s: version %" PRId64
			" was not answered for and is not there",
			t->path, before + 1);
		err->retriable = true;
		return TRY_FAILED;
	}
	return TRY_AGAIN;
}

/* Puts one body at the next version until it is known what is there. */
static enum try put_body(struct delta *t, const char *id,
			 const struct buf *body, struct err *err)
{
	int64_t version = t->s.version + 1;
	struct buf name = {0};
	enum try rc = TRY_FAILED;
	enum store_put put;

	delta_path_log(&name, t->path, version, ".json");
	for (int i = 0; i < SAME_BYTES_TRIES; i++) {
		FAILPOINT("delta_before_put");
		if (store_put_if_absent(t->store, buf_str(&name), body->data,
					body->used, &put, err) != 0)
			break;
		FAILPOINT("delta_after_put");
		if (put == STORE_CREATED) {
			take_own(t, body);
			rc = TRY_DONE;
			break;
		}
		/* A store may have tried twice: EXISTS may be our own too. */
		t->doubt = version;
		rc = read_back(t, id, err);
		/* Nothing there: the same bytes again can do no harm. */
		if (rc != TRY_FAILED || t->s.version >= version || t->broken ||
		    err->code != EAGAIN)
			break;
	}
	buf_free(&name);
	return rc;
}

static enum try attempt(struct delta *t, const struct delta_commit *commit,
			struct err *err)
{
	struct uuid id = uuid_new();
	char text[UUID_TEXT_BYTES];
	struct buf body = {0};
	enum try rc = TRY_FAILED;

	uuid_format(&id, text);
	if (delta_body_print(t, commit, text, &body, err) == 0)
		rc = put_body(t, text, &body, err);
	buf_free(&body);
	return rc;
}

static enum try attempts(struct delta *t, const struct delta_commit *commit,
			 enum delta_result *result, bool *mine, struct err *err)
{
	if (prepare(t, err) != 0)
		return TRY_FAILED;
	for (int i = 0; i < ATTEMPTS_MOST; i++) {
		enum try rc;

		if (settled(t, commit, result, mine))
			return TRY_DONE;
		rc = attempt(t, commit, err);
		if (rc == TRY_DONE) {
			*result = DELTA_COMMITTED;
			*mine = true;
		}
		if (rc != TRY_AGAIN)
			return rc;
	}
	err_set(err, EAGAIN,
		"table %s: %d commits in a row were lost to others; too many "
		"write to it",
		t->path, ATTEMPTS_MOST);
	err->retriable = true;
	return TRY_FAILED;
}

int delta_write(struct delta *t, const struct delta_commit *commit,
		enum delta_result *result, bool *mine, bool *uncertain,
		struct err *err)
{
	enum try rc;

	*mine = *uncertain = false;
	if (t->pinned)
		return err_set(err, EINVAL,
			       "table %s is open at an older version, where "
			       "nothing is committed",
			       t->path);
	rc = attempts(t, commit, result, mine, err);
	/* What was applied up to there tells what became of the attempt. */
	if (rc == TRY_DONE || t->s.version >= t->doubt)
		t->doubt = -1;
	if (rc == TRY_DONE)
		return 0;
	*uncertain =
	    t->doubt >= 0 || (commit->add_count && adds_known(t, commit));
	if (t->doubt >= 0)
		err->retriable = true;
	return -1;
}
