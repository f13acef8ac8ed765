/* spool export: every event of a log as it is, a line each. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "services/pipelinectl/cmd.h"
#include "services/pipelinectl/spool_args.h"
#include "services/pipelinectl/spool_print.h"

/* What cannot be read is told at the end: so much of it in words. */
#define MOST_UNREAD_BYTES 65536
#define WRITE_BYTES	  262144

struct export
{
	const struct spool_args *args;
	FILE *to;
	bool broken; /* nobody reads what is printed, or the disk is full */
	uint64_t records, events;
	uint64_t unread;
	struct buf unread_text;
	uint64_t unread_untold;
	struct buf out;
};

static void flush(struct export *e)
{
	if (e->out.used &&
	    fwrite(e->out.data, 1, e->out.used, e->to) != e->out.used)
		e->broken = true;
	buf_clear(&e->out);
}

static bool is_wanted(const struct export *e, const struct batch *b, uint32_t i)
{
	const char *stream = e->args->stream;
	uint16_t n = b->events[i].stream;

	return !stream ||
	       (strlen(stream) == b->stream_bytes[n] &&
		memcmp(stream, b->streams[n], b->stream_bytes[n]) == 0);
}

static void put_batch(struct export *e, const struct batch *b,
		      uint64_t position, const char *more)
{
	e->records++;
	for (uint32_t i = 0; i < b->header.events && !e->broken; i++) {
		if (!is_wanted(e, b, i))
			continue;
		spool_print_event(b, i, position, more, &e->out);
		e->events++;
		if (e->out.used >= WRITE_BYTES)
			flush(e);
	}
}

static void note_unread(struct export *e, uint64_t from, uint64_t to,
			const char *why)
{
	e->unread++;
	if (e->unread_text.used > MOST_UNREAD_BYTES) {
		e->unread_untold++;
		return;
	}
	buf_printf(&e->unread_text,
		   "  positions %" PRIu64 " to %" PRIu64 ", %" PRIu64
		   " bytes: %s\n",
		   from, to, to - from, why);
}

static bool on_record(void *arg, const struct spool_record *record)
{
	struct export *e = arg;

	if (record->position >= e->args->to)
		return false;
	if (record->batch)
		put_batch(e, record->batch, record->position, "");
	else
		note_unread(e, record->position, record->next,
			    record->err.text);
	return !e->broken;
}

static bool on_salvaged(void *arg, const struct spool_problem *problem)
{
	struct export *e = arg;
	struct buf more = {0};

	if (problem->position < e->args->from ||
	    problem->position >= e->args->to)
		return true;
	if (!problem->save) {
		note_unread(e, problem->position, problem->next, problem->why);
		return true;
	}
	spool_print_string(&more, "file", problem->file);
	buf_printf(&more, "\"offset\":%" PRId64 ",", problem->offset);
	put_batch(e, problem->save, problem->position, buf_str(&more));
	buf_free(&more);
	return !e->broken;
}

static void tell_end(const struct export *e)
{
	fprintf(stderr,
		"pipelinectl spool: %" PRIu64 " events of %" PRIu64
		" records\n",
		e->events, e->records);
	if (!e->unread)
		return;
	fprintf(stderr, "%" PRIu64 " places cannot be read:\n%.*s", e->unread,
		(int)e->unread_text.used, e->unread_text.data);
	if (e->unread_untold)
		fprintf(stderr, "  … and %" PRIu64 " more\n", e->unread_untold);
	if (!e->args->set_aside)
		fputs("what a repair could save of them: the same with "
		      "--set-aside\n",
		      stderr);
}

/* Readable by nobody else: these are the events of the business. */
static FILE *open_output(const char *path)
{
	int fd;
	FILE *to;

	if (!path || strcmp(path, "-") == 0)
		return stdout;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	to = fd < 0 ? NULL : fdopen(fd, "w");
	if (!to)
		fprintf(stderr, "pipelinectl spool: cannot write %s: %s\n",
			path, strerror(errno));
	return to;
}

static int export_log(struct export *e, const char *log)
{
	const struct spool_args *a = e->args;
	struct err err;
	int rc = CMD_OK;

	e->to = open_output(a->output);
	if (!e->to)
		return CMD_FAILED;
	if ((a->set_aside ? spool_salvage(log, on_salvaged, e, &err)
			  : spool_walk(log, a->from, on_record, e, &err)) != 0)
		rc = spool_args_fail(&err);
	flush(e);
	if (fflush(e->to) != 0 || e->broken) {
		fprintf(stderr, "pipelinectl spool: cannot write %s: %s\n",
			a->output ? a->output : "the output", strerror(errno));
		rc = CMD_FAILED;
	}
	if (e->to != stdout && fclose(e->to) != 0)
		rc = CMD_FAILED;
	tell_end(e);
	return e->unread ? CMD_FAILED : rc;
}

int spool_verb_export(int argc, char **argv)
{
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"state-dir", required_argument, NULL, OPT_STATE_DIR},
	    {"from", required_argument, NULL, OPT_FROM},
	    {"to", required_argument, NULL, OPT_TO},
	    {"stream", required_argument, NULL, OPT_STREAM},
	    {"set-aside", no_argument, NULL, OPT_SET_ASIDE},
	    {"output", required_argument, NULL, 'o'},
	    {0},
	};
	struct spool_args a;
	struct export e = {.args = &a};
	char *log;
	int rc = spool_args_read(argc, argv, options, &a);

	if (rc != CMD_OK)
		return rc;
	log = spool_args_log(&a, "export", &rc);
	if (!log)
		return rc;
	rc = export_log(&e, log);
	buf_free(&e.out);
	buf_free(&e.unread_text);
	free(log);
	return rc;
}
