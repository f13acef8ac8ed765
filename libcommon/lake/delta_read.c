/* Loading a table: the newest checkpoint that is whole, and the commits behind
 * it, each of which must be there. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "lake/delta_inside.h"

/* --- from a listing to a state --- */

/* The newest checkpoint of the listing below `below`, or NULL. */
static const struct log_checkpoint *newest_below(const struct log_listing *l,
						 int64_t below)
{
	for (uint32_t i = l->checkpoint_count; i-- > 0;) {
		const struct log_checkpoint *c = &l->checkpoints[i];

		if (c->version < below && !c->foreign &&
		    c->seen == (c->parts ? c->parts : 1))
			return c;
	}
	return NULL;
}

static bool foreign_checkpoint(const struct log_listing *l)
{
	for (uint32_t i = 0; i < l->checkpoint_count; i++) {
		if (l->checkpoints[i].foreign)
			return true;
	}
	return false;
}

/*
 * Begins a state with the newest checkpoint that can be read; one that is
 * broken is passed over for an older. *s is empty without any.
 */
static int begin_state(struct delta *t, const struct log_listing *l,
		       struct delta_state *s, struct err *err)
{
	const struct log_checkpoint *c = newest_below(l, INT64_MAX);
	char quoted[LOG_QUOTE_BYTES];

	delta_state_free(s);
	for (; c; c = newest_below(l, c->version)) {
		if (delta_checkpoint_read(t, s, c, err) == 0) {
			s->checkpoint = c->version;
			return 0;
		}
		delta_state_free(s);
		/* A store that is away, memory that is short and the like say
		 * nothing of the file; EIO is how DuckDB finds it broken. */
		if ((err->retriable && err->code != EIO) || !t->duck)
			return -1;
		log_warn("checkpoint_unreadable",
			 "table=%s version=%" PRId64 " error=%s", t->path,
			 c->version, log_quote(quoted, err->text));
	}
	return 0;
}

static int missing(struct delta *t, const struct log_listing *l,
		   int64_t version, struct err *err)
{
	return err_set(
	    err, EINVAL,
	    "table %s: version %" PRId64
	    " of its log is missing (%s/_delta_log/%020" PRId64 ".json)%s",
	    t->path, version, t->path, version,
	    foreign_checkpoint(l)
		? "; its checkpoints are V2, which Weft does not read"
		: ", and no checkpoint that can be read covers it");
}

/* Applies the listed commits behind the state; they must have no gap. */
static int replay(struct delta *t, const struct log_listing *l,
		  struct delta_state *s, struct err *err)
{
	struct buf data = {0};
	int rc = 0;

	for (uint32_t i = 0; i < l->commit_count && rc == 0; i++) {
		int64_t version = l->commits[i].version;

		if (version <= s->version)
			continue;
		if (version != s->version + 1) {
			rc = missing(t, l, s->version + 1, err);
			break;
		}
		rc = delta_log_get(t, version, &data, err);
		if (rc == 0)
			rc = delta_state_commit(t, s, version, &data, err);
	}
	buf_free(&data);
	return rc;
}

/* Whether what was listed from a hint on is enough to begin with. */
static bool enough(const struct log_listing *l, int64_t from)
{
	return from == 0 || newest_below(l, INT64_MAX) != NULL;
}

/*
 * Loads the newest version that is <= `to` into *s. Version -1 when there is
 * no table.
 */
static int load(struct delta *t, int64_t to, struct delta_state *s,
		struct err *err)
{
	struct log_listing l = {0};
	int64_t from = delta_log_hint(t);
	int rc;

	if (from < 0 || from > to)
		from = 0;
	for (;;) {
		rc = delta_log_list(t, from, to, &l, err);
		if (rc == 0 && enough(&l, from)) {
			rc = begin_state(t, &l, s, err);
			if (rc == 0)
				rc = replay(t, &l, s, err);
		} else if (rc == 0) {
			rc = err_set(err, EINVAL, "no checkpoint");
		}
		/* A hint that misleads must not hide what is there. */
		if (rc == 0 || from == 0 || err->retriable)
			break;
		from = 0;
	}
	if (rc == 0 && s->version >= 0)
		rc = delta_state_settle(t, s, err);
	delta_log_listing_free(&l);
	return rc;
}

static int reload(struct delta *t, struct err *err)
{
	struct delta_state s = {.version = -1, .checkpoint = -1};

	if (load(t, INT64_MAX, &s, err) != 0) {
		delta_state_free(&s);
		return -1;
	}
	delta_state_free(&t->s);
	t->s = s;
	t->broken = false;
	return 0;
}

/* --- opening and refreshing --- */

static struct delta *delta_new(struct store *store, struct duck *duck,
			       const char *path)
{
	struct delta *t = xcalloc(1, sizeof(*t));

	t->store = store;
	t->duck = duck;
	t->path = xstrdup(path);
	t->s.version = t->s.checkpoint = t->doubt = -1;
	return t;
}

void delta_close(struct delta **t)
{
	if (!*t)
		return;
	delta_state_free(&(*t)->s);
	free((*t)->path);
	free(*t);
	*t = NULL;
}

int delta_open(struct delta **t, struct store *store, struct duck *duck,
	       const char *path, struct err *err)
{
	*t = delta_new(store, duck, path);
	if (reload(*t, err) == 0)
		return 0;
	delta_close(t);
	return -1;
}

int delta_open_at(struct delta **t, struct store *store, struct duck *duck,
		  const char *path, int64_t version, struct err *err)
{
	struct delta *n = delta_new(store, duck, path);
	int rc = 0;

	*t = NULL;
	n->pinned = true;
	if (version < 0)
		rc = err_set(err, EINVAL, "version %" PRId64 " is none",
			     version);
	if (rc == 0)
		rc = load(n, version, &n->s, err);
	if (rc == 0 && n->s.version != version)
		rc = err_set(err, ENOENT,
			     "table %s has no version %" PRId64
			     ": it was not written yet, or its log was "
			     "cleaned up",
			     path, version);
	if (rc != 0)
		delta_close(&n);
	*t = n;
	return rc;
}

/*
 * Whether the listing from our version on continues it: that version is still
 * there and the next ones follow. Else the log was cleaned up over a newer
 * checkpoint, or the table was removed, or made anew.
 */
static bool continues(const struct delta *t, const struct log_listing *l)
{
	int64_t expected = t->s.version;

	if (!l->commit_count)
		return l->checkpoint_count > 0 &&
		       l->checkpoints[0].version == expected;
	if (l->commits[0].version > expected)
		expected++;
	for (uint32_t i = 0; i < l->commit_count; i++) {
		if (l->commits[i].version != expected++)
			return false;
	}
	return true;
}

static void note_checkpoints(struct delta *t, const struct log_listing *l)
{
	const struct log_checkpoint *c = newest_below(l, INT64_MAX);

	if (c && c->version > t->s.checkpoint)
		t->s.checkpoint = c->version;
}

void delta_spoil(struct delta *t)
{
	t->broken = true;
	t->s.files.live_count = 0;
}

int delta_refresh(struct delta *t, struct err *err)
{
	struct log_listing l = {0};
	int rc;

	if (t->pinned)
		return 0;
	if (t->broken || t->s.version < 0)
		return reload(t, err);
	rc = delta_log_list(t, t->s.version, INT64_MAX, &l, err);
	if (rc == 0 && !continues(t, &l)) {
		rc = reload(t, err);
	} else if (rc == 0) {
		int64_t before = t->s.version;

		note_checkpoints(t, &l);
		rc = replay(t, &l, &t->s, err);
		if (rc == 0 && t->s.version != before)
			rc = delta_state_settle(t, &t->s, err);
		if (rc != 0)
			delta_spoil(t);
	}
	delta_log_listing_free(&l);
	return rc;
}

int delta_catch_up(struct delta *t, const char *id, bool *ours, struct err *err)
{
	struct buf data = {0};
	bool applied = false;
	int rc;

	while ((rc = delta_log_get(t, t->s.version + 1, &data, err)) == 0) {
		if (id && memmem(data.data, data.used, id, strlen(id)))
			*ours = true;
		applied = true;
		rc = delta_state_commit(t, &t->s, t->s.version + 1, &data, err);
		if (rc != 0)
			break;
	}
	if (rc != 0 && err->code == ENOENT)
		rc = 0;
	if (rc == 0 && applied)
		rc = delta_state_settle(t, &t->s, err);
	if (rc != 0 && applied)
		delta_spoil(t);
	buf_free(&data);
	return rc;
}

/* --- what it holds --- */

int64_t delta_version(const struct delta *t)
{
	return t->s.version;
}

const struct schema *delta_schema(const struct delta *t)
{
	return t->s.schema;
}

uint32_t delta_partition_count(const struct delta *t)
{
	return t->s.column_count;
}

const char *delta_partition_column(const struct delta *t, uint32_t i)
{
	return t->s.columns[i];
}

const char *delta_property(const struct delta *t, const char *name)
{
	return delta_state_property(&t->s, name);
}

uint32_t delta_file_count(const struct delta *t)
{
	return t->s.files.live_count;
}

const struct delta_file *delta_file_at(struct delta *t, uint32_t i)
{
	return &t->s.files.live[i]->file;
}

int64_t delta_txn(const struct delta *t, const char *app_id)
{
	const struct txn *txn = delta_state_txn(&t->s, app_id);

	return txn ? txn->version : -1;
}
