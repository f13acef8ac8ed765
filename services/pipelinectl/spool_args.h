/* The command line of `spool`, and which logs it means. */
#ifndef WEFT_PIPELINECTL_SPOOL_ARGS_H
#define WEFT_PIPELINECTL_SPOOL_ARGS_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Long options without a letter. */
enum {
	OPT_STATE_DIR = 256,
	OPT_FROM,
	OPT_TO,
	OPT_LIMIT,
	OPT_VERIFY,
	OPT_STREAM,
	OPT_SET_ASIDE,
	OPT_DRY_RUN,
	OPT_BACKUP,
};

struct spool_args {
	const char *config;
	const char *state_dir;
	const char *output;
	const char *stream;
	const char *backup;
	bool json;
	bool verify;
	bool set_aside;
	bool dry_run;
	uint64_t from;
	uint64_t to;
	uint64_t limit;
	char **dirs; /* borrowed from argv */
	int dir_count;
};

/* Reads argv by `options`. 0, or CMD_USAGE after saying what is wrong. */
int spool_args_read(int argc, char **argv, const struct option *options,
		    struct spool_args *a);

/*
 * The one log that `verb` needs, owned by the caller. NULL with *rc, after
 * saying why not.
 */
char *spool_args_log(const struct spool_args *a, const char *verb, int *rc);

/*
 * The logs that are named, or all below the state directory. Paths and list
 * are owned by the caller: spool_args_free_logs(). An enum cmd_exit.
 */
int spool_args_logs(const struct spool_args *a, char ***logs, size_t *count);
void spool_args_free_logs(char **logs, size_t count);

/* "collector.0" of ".../collector.0/log", else the path; owned by the caller.
 */
char *spool_args_label(const char *log);

/* Says what went wrong; returns CMD_FAILED. */
int spool_args_fail(const struct err *err);

/* The verbs beside ls and show, in files of their own. An enum cmd_exit. */
int spool_verb_verify(int argc, char **argv);
int spool_verb_export(int argc, char **argv);
int spool_verb_repair(int argc, char **argv);

#endif
