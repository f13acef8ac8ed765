/* spool repair: saves what can be saved of a log that nobody has open. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "services/pipelinectl/cmd.h"
#include "services/pipelinectl/spool_args.h"
#include "services/pipelinectl/spool_print.h"

static void on_problem(void *arg, const struct spool_problem *problem)
{
	(void)arg;
	spool_print_problem(problem, stdout);
}

static void tell_done(const struct spool_repaired *r)
{
	printf("copy of the log as it was: %s, %" PRIu64 " bytes\n", r->backup,
	       r->backup_bytes);
	if (r->end > r->saved_at)
		printf("saved records are new ones now, at positions %" PRIu64
		       " to %" PRIu64 ", flagged as replays: tables take no "
		       "event of them twice\n",
		       r->saved_at, r->end);
	if (r->renamed)
		puts("without its checkpoint the log goes on under a new id, "
		     "and all that it has is flagged as a replay: files and "
		     "topics may get events twice, tables do not");
	if (r->left)
		printf("%" PRIu64 " places are too small to be marked: they "
		       "will be told again as long as they are there\n",
		       r->left);
}

static void tell(const struct spool_repaired *r, bool dry_run)
{
	const char *saved = dry_run ? "can be saved" : "saved";

	if (!r->needed) {
		puts("nothing to repair");
		return;
	}
	printf("%s: %" PRIu64 " records with %" PRIu64 " events, %" PRIu64
	       " bytes\n",
	       saved, r->saved_records, r->saved_events, r->saved_bytes);
	printf("lost: %" PRIu64 " places, %" PRIu64 " bytes, with %" PRIu64
	       " events in records whose headers can be read\n",
	       r->lost_places, r->lost_bytes, r->lost_events);
	if (dry_run)
		puts("nothing was changed");
	else
		tell_done(r);
}

static void tell_json(const struct spool_repaired *r, bool dry_run)
{
	struct buf out = {0};

	buf_char(&out, '{');
	if (r->backup)
		spool_print_string(&out, "backup", r->backup);
	buf_printf(&out,
		   "\"dry_run\":%s,\"needed\":%s,\"saved_records\":%" PRIu64
		   ",\"saved_events\":%" PRIu64 ",\"saved_bytes\":%" PRIu64
		   ",\"lost_places\":%" PRIu64 ",\"lost_bytes\":%" PRIu64
		   ",\"lost_events\":%" PRIu64 ",\"saved_at\":%" PRIu64
		   ",\"end\":%" PRIu64 ",\"renamed\":%s,\"left\":%" PRIu64
		   ",\"problems\":[",
		   dry_run ? "true" : "false", r->needed ? "true" : "false",
		   r->saved_records, r->saved_events, r->saved_bytes,
		   r->lost_places, r->lost_bytes, r->lost_events, r->saved_at,
		   r->end, r->renamed ? "true" : "false", r->left);
	fwrite(out.data, 1, out.used, stdout);
	buf_free(&out);
}

static void on_problem_json(void *arg, const struct spool_problem *problem)
{
	struct buf *out = arg;

	if (out->used)
		buf_char(out, ',');
	spool_print_problem_json(problem, out);
}

static int repair_log(const struct spool_args *a, const char *log)
{
	struct spool_repair_options options = {.dry_run = a->dry_run,
					       .backup = a->backup};
	struct buf findings = {0};
	struct spool_repaired r;
	struct err err;
	int rc = CMD_OK;

	if (spool_repair(log, &options, a->json ? on_problem_json : on_problem,
			 &findings, &r, &err) != 0) {
		rc = spool_args_fail(&err);
		if (r.backup)
			fprintf(stderr,
				"the log as it was is in %s; the repair can be "
				"begun again\n",
				r.backup);
	} else if (a->json) {
		tell_json(&r, a->dry_run);
		fwrite(findings.data, 1, findings.used, stdout);
		puts("]}");
	} else {
		tell(&r, a->dry_run);
	}
	if (rc == CMD_OK && (r.lost_places || (a->dry_run && r.needed)))
		rc = CMD_FAILED;
	free(r.backup);
	buf_free(&findings);
	return rc;
}

int spool_verb_repair(int argc, char **argv)
{
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"state-dir", required_argument, NULL, OPT_STATE_DIR},
	    {"backup", required_argument, NULL, OPT_BACKUP},
	    {"dry-run", no_argument, NULL, OPT_DRY_RUN},
	    {"json", no_argument, NULL, 'j'},
	    {0},
	};
	struct spool_args a;
	char *log;
	int rc = spool_args_read(argc, argv, options, &a);

	if (rc != CMD_OK)
		return rc;
	log = spool_args_log(&a, "repair", &rc);
	if (!log)
		return rc;
	rc = repair_log(&a, log);
	free(log);
	return rc;
}
