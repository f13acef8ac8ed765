/*
 * What a command of pipelinectl is. A command lives in cmd_<name>.c as
 * `int cmd_<name>(int argc, char **argv)` and has one row in commands.def, from
 * which dispatch, help, the nearest-name hint and the completion come.
 */
#ifndef WEFT_PIPELINECTL_CMD_H
#define WEFT_PIPELINECTL_CMD_H

/* Exit codes of every command; 3 as an LSB init script's status says it. */
enum cmd_exit {
	CMD_OK = 0,
	CMD_FAILED = 1,	     /* it was tried, and said why on stderr */
	CMD_USAGE = 2,	     /* the command line was wrong; nothing was done */
	CMD_NOT_RUNNING = 3, /* no weftd listens */
};

/* Groups of `pipelinectl help`, in its order. */
enum cmd_group { GROUP_RUN, GROUP_LOOK, GROUP_DATA, GROUP_CONFIG, GROUP_ABOUT };

/*
 * One command. argv[0] is the command's name, the rest its arguments;
 * `--help` never reaches fn. fn parses with getopt_long() (optind is 1) and
 * returns an enum cmd_exit.
 */
struct cmd {
	const char *name;
	int (*fn)(int argc, char **argv);
	enum cmd_group group;
	const char *usage; /* arguments: "[--json] [SERVICE[.N]]" */
	const char *help;  /* one line, no full stop */
	const char *more;  /* lines for `--help`: options, then an example */
};

/* Every command, in the order of commands.def. */
extern const struct cmd cmd_table[];
extern const unsigned cmd_count;

/*
 * Says on stderr what is wrong with the command line of command `name`, then
 * its usage line. Returns CMD_USAGE. An empty text prints the usage alone (for
 * getopt_long(), which has complained already).
 */
int cmd_usage_error(const char *name, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#define COMMAND(id, name, group, usage, help, more) \
	int cmd_##id(int argc, char **argv);
#include "services/pipelinectl/commands.def"
#undef COMMAND

#endif
