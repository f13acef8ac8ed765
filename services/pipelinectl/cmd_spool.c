/* spool: what the logs hold, whether the pipeline runs or not. */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "services/kinds.h"
#include "services/pipelinectl/cmd.h"
#include "services/pipelinectl/spool_print.h"
#include "spool/spool.h"

#define MOST_LOGS 4096

enum {
	OPT_STATE_DIR = 256,
	OPT_FROM,
	OPT_LIMIT,
	OPT_VERIFY,
};

struct spool_args {
	const char *config;
	const char *state_dir;
	bool json;
	bool verify;
	uint64_t from;
	uint64_t limit;
	char **dirs; /* borrowed from argv */
	int dir_count;
};

/* ---- the command line ---- */

static int read_number(const char *option, const char *text, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno)
		return cmd_usage_error("spool",
				       "%s '%s' must be a number, such as 4096",
				       option, text);
	return 0;
}

static int read_option(int letter, struct spool_args *a)
{
	switch (letter) {
	case 'c':
		a->config = optarg;
		return 0;
	case 'j':
		a->json = true;
		return 0;
	case OPT_STATE_DIR:
		a->state_dir = optarg;
		return 0;
	case OPT_VERIFY:
		a->verify = true;
		return 0;
	case OPT_FROM:
		return read_number("--from", optarg, &a->from);
	case OPT_LIMIT:
		return read_number("--limit", optarg, &a->limit);
	default:
		return cmd_usage_error("spool", "%s", "");
	}
}

static int read_args(int argc, char **argv, const struct option *options,
		     struct spool_args *a)
{
	int letter, rc;

	*a = (struct spool_args){.config = conf_default_path(),
				 .limit = UINT64_MAX};
	while ((letter = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
		rc = read_option(letter, a);
		if (rc != 0)
			return rc;
	}
	a->dirs = argv + optind;
	a->dir_count = argc - optind;
	return 0;
}

/* ---- where logs are ---- */

static int fail(const struct err *err)
{
	fprintf(stderr, "pipelinectl spool: %s\n", err->text);
	return CMD_FAILED;
}

/* The state directory, owned by the caller, or NULL after saying why not. */
static char *find_state_dir(const struct spool_args *a)
{
	struct conf_report report = {0};
	struct conf *conf = NULL;
	char *dir = NULL;

	if (a->state_dir)
		return xstrdup(a->state_dir);
	if (conf_load(&conf, a->config, &weft_kinds, &report) == 0)
		dir = xstrdup(conf->pipeline->state_dir);
	else
		fprintf(stderr,
			"%spipelinectl spool: the configuration does not say "
			"where the logs are; name it with --state-dir DIR\n",
			buf_str(&report.lines));
	conf_free(&conf);
	conf_report_free(&report);
	return dir;
}

static bool is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/*
 * The log that a person means by `name`, owned by the caller: a log's
 * directory, the directory of its instance, or the instance's name. NULL after
 * saying why not.
 */
static char *find_log(const struct spool_args *a, const char *name)
{
	char *log = xasprintf("%s/log", name);
	char *state_dir;

	if (is_dir(log))
		return log;
	free(log);
	if (is_dir(name) || strchr(name, '/'))
		return xstrdup(name);
	state_dir = find_state_dir(a);
	if (!state_dir)
		return NULL;
	log = xasprintf("%s/%s/log", state_dir, name);
	if (!is_dir(log)) {
		fprintf(stderr,
			"pipelinectl spool: there is no log \"%s\" in %s; "
			"`pipelinectl spool ls` lists them\n",
			name, state_dir);
		free(log);
		log = NULL;
	}
	free(state_dir);
	return log;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Every <state_dir>/<instance>/log; owned by the caller. -1 with *err. */
static int list_logs(const char *state_dir, char ***logs, size_t *count,
		     struct err *err)
{
	DIR *d = opendir(state_dir);
	struct dirent *entry;

	*logs = NULL;
	*count = 0;
	if (!d && errno == ENOENT)
		return err_set(err, ENOENT,
			       "there is no log yet, nor the directory %s",
			       state_dir);
	if (!d)
		return err_errno(err, errno, "cannot list %s", state_dir);
	while (*count < MOST_LOGS && (entry = readdir(d))) {
		char *log;

		if (entry->d_name[0] == '.')
			continue;
		log = xasprintf("%s/%s/log", state_dir, entry->d_name);
		if (!is_dir(log)) {
			free(log);
			continue;
		}
		*logs = xreallocarray(*logs, *count + 1, sizeof(**logs));
		(*logs)[(*count)++] = log;
	}
	closedir(d);
	if (*count)
		qsort(*logs, *count, sizeof(**logs), by_name);
	return 0;
}

/* ---- ls ---- */

static bool count_bad(void *arg, const struct spool_record *record)
{
	uint64_t *bad = arg;

	*bad += !record->batch;
	return true;
}

/* "collector.0" of ".../collector.0/log"; else the path itself. */
static char *label_of(const char *log)
{
	size_t bytes = strlen(log);
	const char *name;

	if (bytes < 5 || strcmp(log + bytes - 4, "/log") != 0)
		return xstrdup(log);
	bytes -= 4;
	for (name = log + bytes; name > log && name[-1] != '/';)
		name--;
	return xmemdup0(name, (size_t)(log + bytes - name));
}

/* Fills one row; what is wrong with the log is a row too. */
static void look(const struct spool_args *a, const char *log,
		 struct spool_row *row)
{
	row->path = xstrdup(log);
	row->label = label_of(log);
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

/* The logs that are named, or all below the state directory. */
static int find_logs(const struct spool_args *a, char ***logs, size_t *count)
{
	char *state_dir;
	struct err err;
	int rc = CMD_OK;

	if (a->dir_count) {
		*logs = xcalloc((size_t)a->dir_count, sizeof(**logs));
		for (int i = 0; i < a->dir_count; i++) {
			char *log = find_log(a, a->dirs[i]);

			if (!log)
				return CMD_FAILED;
			(*logs)[(*count)++] = log;
		}
		return CMD_OK;
	}
	state_dir = find_state_dir(a);
	if (!state_dir)
		return CMD_FAILED;
	if (list_logs(state_dir, logs, count, &err) != 0)
		rc = fail(&err);
	else if (!*count && !a->json)
		fprintf(stderr,
			"pipelinectl spool: there is no log below %s; has the "
			"pipeline run with this configuration?\n",
			state_dir);
	free(state_dir);
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
	int rc = read_args(argc, argv, options, &a);

	if (rc != 0)
		return rc;
	rc = find_logs(&a, &logs, &count);
	if (rc == CMD_OK && (count || a.json))
		rc = print_rows(&a, logs, count);
	for (size_t i = 0; i < count; i++)
		free(logs[i]);
	free(logs);
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
	int rc = read_args(argc, argv, options, &a);

	if (rc != 0)
		return rc;
	if (a.dir_count != 1)
		return cmd_usage_error("spool",
				       "show needs one log: its directory, or "
				       "an instance such as collector.0");
	log = find_log(&a, a.dirs[0]);
	if (!log)
		return CMD_FAILED;
	show.left = a.limit;
	if (show.left && spool_walk(log, a.from, show_record, &show, &err) != 0)
		rc = fail(&err);
	else if (fflush(stdout) != 0 || show.broken || show.bad)
		rc = CMD_FAILED;
	buf_free(&show.out);
	free(log);
	return rc;
}

int cmd_spool(int argc, char **argv)
{
	if (argc < 2)
		return cmd_usage_error("spool", "say what to do: ls or show");
	if (strcmp(argv[1], "ls") == 0)
		return spool_ls(argc - 1, argv + 1);
	if (strcmp(argv[1], "show") == 0)
		return spool_show(argc - 1, argv + 1);
	return cmd_usage_error(
	    "spool", "there is no 'spool %s'; it is ls or show", argv[1]);
}
