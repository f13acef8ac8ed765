#include "services/pipelinectl/spool_args.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "services/kinds.h"
#include "services/pipelinectl/cmd.h"

#define MOST_LOGS 4096

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

/* Options of single verbs. */
static int read_more(int letter, struct spool_args *a)
{
	switch (letter) {
	case 'o':
		a->output = optarg;
		return 0;
	case OPT_STREAM:
		a->stream = optarg;
		return 0;
	case OPT_SET_ASIDE:
		a->set_aside = true;
		return 0;
	case OPT_DRY_RUN:
		a->dry_run = true;
		return 0;
	case OPT_BACKUP:
		a->backup = optarg;
		return 0;
	default:
		return cmd_usage_error("spool", "%s", "");
	}
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
	case OPT_TO:
		return read_number("--to", optarg, &a->to);
	case OPT_LIMIT:
		return read_number("--limit", optarg, &a->limit);
	default:
		return read_more(letter, a);
	}
}

int spool_args_read(int argc, char **argv, const struct option *options,
		    struct spool_args *a)
{
	const char *letters = "c:";
	int letter, rc;

	for (const struct option *o = options; o->name; o++)
		if (o->val == 'o')
			letters = "c:o:";
	*a = (struct spool_args){.config = conf_default_path(),
				 .to = UINT64_MAX,
				 .limit = UINT64_MAX};
	while ((letter = getopt_long(argc, argv, letters, options, NULL)) !=
	       -1) {
		rc = read_option(letter, a);
		if (rc != 0)
			return rc;
	}
	a->dirs = argv + optind;
	a->dir_count = argc - optind;
	return 0;
}

/* ---- where logs are ---- */

int spool_args_fail(const struct err *err)
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

/* The logs that are named, or all below the state directory. */
int spool_args_logs(const struct spool_args *a, char ***logs, size_t *count)
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
		rc = spool_args_fail(&err);
	else if (!*count && !a->json)
		fprintf(stderr,
			"pipelinectl spool: there is no log below %s; has the "
			"pipeline run with this configuration?\n",
			state_dir);
	free(state_dir);
	return rc;
}

void spool_args_free_logs(char **logs, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(logs[i]);
	free(logs);
}

char *spool_args_log(const struct spool_args *a, const char *verb, int *rc)
{
	char *log;

	if (a->dir_count != 1) {
		*rc = cmd_usage_error(
		    "spool",
		    "%s needs one log: its directory, or an instance such as "
		    "collector.0",
		    verb);
		return NULL;
	}
	log = find_log(a, a->dirs[0]);
	if (!log)
		*rc = CMD_FAILED;
	return log;
}

char *spool_args_label(const char *log)
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
