/* The command lines of `pipelinectl query`, `lake`, `dlq` and `replay`. */
#ifndef WEFT_LAKE_ARGS_H
#define WEFT_LAKE_ARGS_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"

/* As pipelinectl's: services/pipelinectl/cmd.h. */
enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_NOT_RUNNING = 3,
};

enum command {
	COMMAND_QUERY,
	COMMAND_LS,
	COMMAND_HISTORY,
	COMMAND_SCHEMA,
	COMMAND_DLQ_LS,
	COMMAND_DLQ_SHOW,
	COMMAND_DLQ_REPLAY,
	COMMAND_DLQ_DROP,
	COMMAND_REPLAY,
};

enum form { FORM_TABLE, FORM_JSON, FORM_CSV };

#define ARGS_VERSIONS 64

/* TABLE=N: read a table as it was at version N. */
struct args_version {
	char *table;
	int64_t version;
};

/* Which events a command is for; each NULL, or INT64_MIN or _MAX: any. */
struct args_events {
	const char *stream, *code, *stage;
	int64_t from_us, to_us; /* from <= t < to */
	bool days;		/* they are borders of days */
	char *const *ids;	/* of dead letters */
	uint32_t id_count;
	bool all; /* also those that are done with */
	bool dry_run;
	bool yes;
	int64_t wait_us; /* for the sinks and tables */
};

struct args {
	const char *name; /* "query" or "dlq ls", for messages */
	enum command command;
	const char *config; /* or NULL: built-in defaults */
	enum form form;
	uint64_t limit;	    /* rows to show; 0: all */
	int64_t timeout_us; /* 0: none */
	int64_t cache_bytes;
	const char *what; /* the SQL, the table, or NULL */
	struct args_version versions[ARGS_VERSIONS];
	uint32_t version_count;
	struct args_events events; /* of dlq and replay */
	const struct conf *conf;   /* the configuration, once it was read */
};

/*
 * Reads a command line: argv[0] is the program, argv[1] "query", "lake", "dlq"
 * or "replay".
 * Strings are borrowed. Returns 0, or EXIT_USAGE after it said on stderr what
 * was wrong.
 */
int args_read(struct args *a, int argc, char **argv);
void args_free(struct args *a);

/* args_read() of dlq and replay (args_events.c). */
int args_read_events(struct args *a, int argc, char **argv);

/* Says what is wrong with a command line; EXIT_USAGE. */
int args_usage(const struct args *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
int args_number(const char *text, int64_t *value);

#endif
