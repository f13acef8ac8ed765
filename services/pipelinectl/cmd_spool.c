/* spool: what the logs hold, whether the pipeline runs or not. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "services/pipelinectl/cmd.h"
#include "services/pipelinectl/spool_args.h"
#include "services/pipelinectl/spool_print.h"
#include "spool/spool.h"

/* ---- ls ---- */

static bool count_bad(void *arg, const struct spool_record *record)
{
	uint64_t *bad = arg;

	*bad += !record->batch;
	return true;
}

/* Fills one row; what is wrong with the log is a row too. */
static void look(const struct spool_args *a, const char *log,
		 struct spool_row *row)
{
	row->path = xstrdup(log);
	row->label = spool_args_label(log);
	row->unreadable =
	    spool_inspect(log, &row->id, &row->stats, &row->err) != 0;
	if (row->unreadable || !a->verify)
		return;
	row->stats.bad_records = 0;
	row->unreadable = spool_walk(log, 0, count_bad, &row->stats.bad_records,
				     &row->err) != 0;
}

static int print_rows(const struct spool_args *a, char **logs, size_t count)
{
	struct spool_row *rows = xcalloc(count, sizeof(*rows));
	int rc = CMD_OK;

	for (size_t i = 0; i < count; i++) {
		look(a, logs[i], &rows[i]);
		if (rows[i].unreadable || rows[i].stats.bad_records ||
		    rows[i].stats.checkpoint_lost)
			rc = CMD_FAILED;
	}
	if (a->json)
		spool_print_json(rows, count);
	else
		spool_print_table(rows, count, clock_wall_us());
	for (size_t i = 0; i < count; i++) {
		free(rows[i].path);
		free(rows[i].label);
	}
	free(rows);
	return rc;
}

static int spool_ls(int argc, char **argv)
{
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"state-dir", required_argument, NULL, OPT_STATE_DIR},
	    {"verify", no_argument, NULL, OPT_VERIFY},
	    {"json", no_argument, NULL, 'j'},
	    {0},
	};
	struct spool_args a;
	char **logs = NULL;
	size_t count = 0;
	int rc = spool_args_read(argc, argv, options, &a);

	if (rc != 0)
		return rc;
	rc = spool_args_logs(&a, &logs, &count);
	if (rc == CMD_OK && (count || a.json))
		rc = print_rows(&a, logs, count);
	spool_args_free_logs(logs, count);
	return rc;
}

/* ---- show ---- */

struct show {
	uint64_t left;
	bool bad;
	bool broken; /* nobody reads what is printed */
	struct buf out;
};

static bool show_record(void *arg, const struct spool_record *record)
{
	struct show *show = arg;

	if (!record->batch) {
		show->bad = true;
		fprintf(stderr,
			"pipelinectl spool: positions %" PRIu64 " to %" PRIu64
			" cannot be read: %s\n",
			record->position, record->next, record->err.text);
		return true;
	}
	buf_clear(&show->out);
	show->left -= spool_print_events(record, show->left, &show->out);
	if (show->out.used &&
	    fwrite(show->out.data, 1, show->out.used, stdout) != show->out.used)
		show->broken = true;
	return show->left > 0 && !show->broken;
}

static int spool_show(int argc, char **argv)
{
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"state-dir", required_argument, NULL, OPT_STATE_DIR},
	    {"from", required_argument, NULL, OPT_FROM},
	    {"limit", required_argument, NULL, OPT_LIMIT},
	    {"json", no_argument, NULL, 'j'},
	    {0},
	};
	struct show show = {0};
	struct spool_args a;
	struct err err;
	char *log;
	int rc = spool_args_read(argc, argv, options, &a);

	if (rc != 0)
		return rc;
	log = spool_args_log(&a, "show", &rc);
	if (!log)
		return rc;
	show.left = a.limit;
	if (show.left && spool_walk(log, a.from, show_record, &show, &err) != 0)
		rc = spool_args_fail(&err);
	else if (fflush(stdout) != 0 || show.broken || show.bad)
		rc = CMD_FAILED;
	buf_free(&show.out);
	free(log);
	return rc;
}

int cmd_spool(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*fn)(int argc, char **argv);
	} verbs[] = {
	    {"ls", spool_ls},
	    {"show", spool_show},
	    {"verify", spool_verb_verify},
	    {"export", spool_verb_export},
	    {"repair", spool_verb_repair},
	};

	if (argc < 2)
		return cmd_usage_error("spool",
				       "say what to do: ls, show, verify, "
				       "export or repair");
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(argv[1], verbs[i].name) == 0)
			return verbs[i].fn(argc - 1, argv + 1);
	return cmd_usage_error(
	    "spool",
	    "there is no 'spool %s'; it is ls, show, verify, "
	    "export or repair",
	    argv[1]);
}
