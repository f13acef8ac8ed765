/* pipelinectl replay: events of the raw archive, sent again. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"
#include "services/lake/archive.h"
#include "services/lake/sending.h"

#define CHUNK_BYTES (1u << 20) /* of events that go at once */
#define BAR_WIDTH   30

struct archive_replay {
	const struct args *a;
	struct letters letters;
	struct sending sending;
	struct archive_files files;
	char from[24], to[24]; /* µs, "0" when whole days are wanted */
	uint64_t read;	       /* events */
	int64_t bytes;	       /* of files that are done */
	uint32_t damaged;
	char *temp;
};

/* ---- what is asked for ---- */

static int check_stream(const struct archive_replay *r, struct err *err)
{
	const char *stream = r->a->events.stream, *near;
	uint32_t count = contract_set_count(r->letters.set);
	const char **names = xcalloc(count + 1, sizeof(*names));

	for (uint32_t i = 0; i < count; i++)
		names[i] = contract_set_at(r->letters.set, i)->name;
	near = text_nearest(stream, names, count);
	free(names);
	if (strcmp(stream, LETTER_STREAM) == 0 ||
	    strcmp(stream, STATE_STREAM) == 0)
		return err_set(err, EINVAL,
			       "the pipeline makes the events of %s itself; "
			       "`pipelinectl dlq replay` sends what they are "
			       "about",
			       stream);
	if (contract_set_find(r->letters.set, stream, strlen(stream)))
		return 0;
	return err_set(err, EINVAL,
		       "no contract has the name \"%.100s\"%s%s%s; a stream "
		       "is called as its contract is",
		       stream, near ? ": did you mean \"" : "",
		       near ? near : "", near ? "\"?" : "");
}

/* The files of the days that the times touch. */
static int find_files(struct archive_replay *r, struct err *err)
{
	const struct args_events *e = &r->a->events;
	char first[CLOCK_TEXT_BYTES], last[CLOCK_TEXT_BYTES];
	struct store *store = r->letters.catalog->store;

	clock_format(e->from_us, first);
	clock_format(e->to_us - 1, last);
	first[10] = last[10] = '\0';
	snprintf(r->from, sizeof(r->from), "%" PRId64,
		 e->days ? 0 : e->from_us);
	snprintf(r->to, sizeof(r->to), "%" PRId64, e->days ? 0 : e->to_us);
	if (archive_list(store, first, last, &r->files, err) != 0)
		return -1;
	if (r->files.any)
		return 0;
	return err_set(err, ENOENT,
		       "the lake %s has no raw archive; set archive = true in "
		       "the onelake-writer's section to have one from then on",
		       store->url);
}

/* ---- sending ---- */

static void show_bar(const struct archive_replay *r)
{
	int64_t all = r->files.bytes ? r->files.bytes : 1;
	int full = (int)(r->bytes * BAR_WIDTH / all);

	sending_progress("[%.*s%.*s] %3d %%  %" PRIu64 " events", full,
			 "##############################", BAR_WIDTH - full,
			 "..............................",
			 (int)(r->bytes * 100 / all), r->read);
}

static int send_line(void *arg, const char *line, size_t bytes, struct err *err)
{
	struct archive_replay *r = arg;
	const atomic_bool *stop = r->letters.catalog->options.stop;
	struct buf *out = &r->sending.door.out;
	size_t at = out->used;

	replay_begin(out, REPLAY_ARCHIVED, r->read++);
	replay_text(out, r->a->events.stream);
	replay_text(out, r->from);
	replay_text(out, r->to);
	replay_data(out, line, bytes);
	replay_end(out, at);
	if (out->used < CHUNK_BYTES)
		return 0;
	if (stop && atomic_load(stop))
		return err_set(err, ECANCELED, "stopped");
	show_bar(r);
	return sending_ask(&r->sending, REPLAY_FLUSH, err);
}

/* Whether some event of a folder may be of the stream: 1, 0; -1 with *err. */
static int ask_type(struct archive_replay *r, const char *type, struct err *err)
{
	struct door *d = &r->sending.door;
	struct replay_frame answer = {0};
	size_t at = d->out.used;

	if (!type)
		return 1;
	replay_begin(&d->out, REPLAY_TAKES, 0);
	replay_text(&d->out, r->a->events.stream);
	replay_text(&d->out, type);
	replay_end(&d->out, at);
	if (door_send(d, r->sending.wait_us, err) != 0 ||
	    door_answer(d, &answer, r->sending.wait_us, err) != 0)
		return -1;
	return answer.kind == REPLAY_YES;
}

/* A damaged file does not keep the others back. */
static int send_file(struct archive_replay *r, const struct archive_file *file,
		     struct err *err)
{
	int rc = archive_read(r->letters.catalog->store, file, r->temp,
			      send_line, r, err);

	if (rc != 0 && err->code == EIO) {
		sending_progress("%s", "");
		fprintf(stderr,
			"pipelinectl replay: %s; what is before that "
			"was sent, the rest of it was not\n",
			err->text);
		r->damaged++;
		rc = 0;
	}
	return rc == 0 ? sending_ask(&r->sending, REPLAY_FLUSH, err) : -1;
}

static int send_files(struct archive_replay *r, struct err *err)
{
	const char *last = NULL;
	int takes = 1;

	for (size_t i = 0; i < r->files.count; i++) {
		const struct archive_file *file = &r->files.list[i];

		if (!i || !last || !file->type || strcmp(last, file->type) != 0)
			takes = ask_type(r, file->type, err);
		last = file->type;
		if (takes < 0 || (takes && send_file(r, file, err) != 0))
			return -1;
		r->bytes += file->bytes;
		show_bar(r);
	}
	sending_progress("%s", "");
	return 0;
}

/* ---- the end ---- */

static int tell(struct archive_replay *r, int64_t *refused, struct err *err)
{
	bool dry = r->a->events.dry_run;
	struct buf codes = {0};
	uint64_t sent;
	int rc = letters_counts(&r->letters,
				"SELECT code, count(*) FROM refused GROUP BY "
				"code ORDER BY 2 DESC, 1",
				&codes, refused, err);

	sent = r->read - (uint64_t)r->sending.passed - (uint64_t)*refused;
	if (rc == 0 && r->a->form == FORM_JSON)
		printf("{\"dry_run\":%s,\"files\":%zu,\"read\":%" PRIu64
		       ",\"replayed\":%" PRIu64 ",\"refused\":%" PRId64
		       ",\"damaged_files\":%u}\n",
		       dry ? "true" : "false", r->files.count, r->read, sent,
		       *refused, r->damaged);
	else if (rc == 0)
		printf("%s %" PRIu64 " event%s of %s%s%s%s\n",
		       dry ? "would replay" : "replayed", sent,
		       sent == 1 ? "" : "s", r->a->events.stream,
		       *refused ? "; refused: " : "", buf_str(&codes),
		       dry || !sent ? ""
				    : "; they are on disk in every sink, and "
				      "tables take those that they lack");
	if (rc == 0 && *refused)
		fprintf(stderr,
			"pipelinectl replay: what was refused is no row of the "
			"table, or has no identity; it stays in the archive\n");
	buf_free(&codes);
	return rc;
}

static int run_replay(struct archive_replay *r, int64_t *refused,
		      struct err *err)
{
	struct door *d = &r->sending.door;
	size_t at;

	if (sending_open(&r->sending, &r->letters, r->a, err) != 0)
		return -1;
	at = d->out.used;
	if (r->a->events.dry_run) {
		replay_begin(&d->out, REPLAY_CHECK, 0);
		replay_end(&d->out, at);
	}
	if (send_files(r, err) != 0 ||
	    (!r->a->events.dry_run &&
	     sending_ask(&r->sending, REPLAY_SYNC, err) != 0))
		return -1;
	return tell(r, refused, err);
}

int command_replay(const struct args *a, struct catalog *c, struct err *err)
{
	struct archive_replay r = {.a = a,
				   .sending.door = {.to = -1, .from = -1}};
	int64_t refused = 0;
	int rc = letters_load(&r.letters, a, c, err);

	r.temp = xasprintf("%s/archive.ndjson.zst", c->options.temp_dir);
	if (rc == 0)
		rc = check_stream(&r, err);
	if (rc == 0)
		rc = find_files(&r, err);
	if (rc == 0 && !r.files.count)
		fprintf(stderr, "the archive has nothing of these days\n");
	if (rc == 0)
		rc = run_replay(&r, &refused, err);
	sending_progress("%s", "");
	if (rc == 0)
		err->text[0] = '\0';
	sending_close(&r.sending);
	archive_files_free(&r.files);
	letters_close(&r.letters);
	free(r.temp);
	return rc == 0 && !refused && !r.damaged ? EXIT_DONE : EXIT_FAILED;
}
