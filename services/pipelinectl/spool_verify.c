/* spool verify: reads everything, and tells exactly what is wrong. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "services/pipelinectl/cmd.h"
#include "services/pipelinectl/spool_args.h"
#include "services/pipelinectl/spool_print.h"

/* What is said of one log: findings first, kept until the counts are known. */
struct verify {
	bool json;
	struct buf findings;
};

static void on_problem(void *arg, const struct spool_problem *problem)
{
	struct verify *v = arg;

	if (!v->json) {
		spool_print_problem(problem, stdout);
		return;
	}
	if (v->findings.used)
		buf_char(&v->findings, ',');
	spool_print_problem_json(problem, &v->findings);
}

static uint64_t per_second(const struct spool_verified *r)
{
	int64_t us = r->elapsed_us > 0 ? r->elapsed_us : 1;

	return (uint64_t)((double)r->bytes * 1e6 / (double)us);
}

static void print_counts(const struct spool_verified *r)
{
	printf("  %" PRIu64 " records with %" PRIu64 " events at positions "
	       "%" PRIu64 " to %" PRIu64 " in %" PRIu32 " segments\n",
	       r->records, r->events, r->first, r->end, r->segments);
	printf("  %" PRIu64 " bytes read in %.3f s, %.1f MB/s\n", r->bytes,
	       (double)r->elapsed_us / 1e6, (double)per_second(r) / 1e6);
	if (r->voids)
		printf("  %" PRIu64 " places were given up by repairs before\n",
		       r->voids);
	if (r->problems)
		printf("  %" PRIu64 " findings; %" PRIu64
		       " bytes cannot be read nor saved, with %" PRIu64
		       " events in records whose headers can be read\n",
		       r->problems, r->lost_bytes, r->lost_events);
	else
		puts("  all is well");
}

static void print_json(const struct verify *v, const char *label,
		       const char *path, const struct spool_verified *r)
{
	char id[UUID_TEXT_BYTES];
	struct buf out = {0};

	buf_char(&out, '{');
	spool_print_string(&out, "log", label);
	spool_print_string(&out, "path", path);
	spool_print_string(&out, "id", uuid_format(&r->id, id));
	buf_printf(&out,
		   "\"first\":%" PRIu64 ",\"end\":%" PRIu64
		   ",\"segments\":%" PRIu32 ",\"records\":%" PRIu64
		   ",\"events\":%" PRIu64 ",\"voids\":%" PRIu64
		   ",\"bytes\":%" PRIu64 ",\"elapsed_us\":%" PRId64
		   ",\"bytes_per_second\":%" PRIu64 ",\"lost_bytes\":%" PRIu64
		   ",\"lost_events\":%" PRIu64 ",\"problems\":[",
		   r->first, r->end, r->segments, r->records, r->events,
		   r->voids, r->bytes, r->elapsed_us, per_second(r),
		   r->lost_bytes, r->lost_events);
	buf_append(&out, v->findings.data, v->findings.used);
	buf_text(&out, "]}");
	fwrite(out.data, 1, out.used, stdout);
	buf_free(&out);
}

/* One log; an enum cmd_exit. */
static int verify_log(const char *log, bool json)
{
	struct verify v = {.json = json};
	char *label = spool_args_label(log);
	struct spool_verified r;
	struct err err;
	int rc = CMD_OK;

	if (!json)
		printf("%s\n", label);
	if (spool_verify(log, on_problem, &v, &r, &err) != 0) {
		rc = spool_args_fail(&err);
		if (json) {
			struct buf out = {0};

			buf_char(&out, '{');
			spool_print_string(&out, "log", label);
			spool_print_string(&out, "path", log);
			spool_print_string(&out, "error", err.text);
			out.used--; /* the comma */
			buf_char(&out, '}');
			fwrite(out.data, 1, out.used, stdout);
			buf_free(&out);
		}
	} else {
		rc = r.problems ? CMD_FAILED : CMD_OK;
		if (json)
			print_json(&v, label, log, &r);
		else
			print_counts(&r);
	}
	buf_free(&v.findings);
	free(label);
	return rc;
}

int spool_verb_verify(int argc, char **argv)
{
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"state-dir", required_argument, NULL, OPT_STATE_DIR},
	    {"json", no_argument, NULL, 'j'},
	    {0},
	};
	struct spool_args a;
	char **logs = NULL;
	size_t count = 0;
	int rc = spool_args_read(argc, argv, options, &a);

	if (rc != CMD_OK)
		return rc;
	rc = spool_args_logs(&a, &logs, &count);
	if (a.json && rc == CMD_OK)
		fputs("{\"logs\":[", stdout);
	for (size_t i = 0; i < count; i++) {
		if (a.json && i)
			putchar(',');
		if (verify_log(logs[i], a.json) != CMD_OK)
			rc = CMD_FAILED;
	}
	if (a.json && (count || rc == CMD_OK))
		puts("]}");
	if (fflush(stdout) != 0)
		rc = CMD_FAILED;
	spool_args_free_logs(logs, count);
	return rc;
}
