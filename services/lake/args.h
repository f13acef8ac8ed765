/* The command lines of `pipelinectl query` and `pipelinectl lake`. */
#ifndef WEFT_LAKE_ARGS_H
#define WEFT_LAKE_ARGS_H

#include <stdbool.h>
#include <stdint.h>

/* As pipelinectl's: services/pipelinectl/cmd.h. */
enum exit_code { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

enum command { COMMAND_QUERY, COMMAND_LS, COMMAND_HISTORY, COMMAND_SCHEMA };

enum form { FORM_TABLE, FORM_JSON, FORM_CSV };

#define ARGS_VERSIONS 64

/* TABLE=N: read a table as it was at version N. */
struct args_version {
	char *table;
	int64_t version;
};

struct args {
	const char *name; /* "query" or "lake", for messages */
	enum command command;
	const char *config; /* or NULL: built-in defaults */
	enum form form;
	uint64_t limit;	    /* rows to show; 0: all */
	int64_t timeout_us; /* 0: none */
	int64_t cache_bytes;
	const char *what; /* the SQL, the table, or NULL */
	struct args_version versions[ARGS_VERSIONS];
	uint32_t version_count;
};

/*
 * Reads a command line: argv[0] is the program, argv[1] "query" or "lake".
 * Strings are borrowed. Returns 0, or EXIT_USAGE after it said on stderr what
 * was wrong.
 */
int args_read(struct args *a, int argc, char **argv);
void args_free(struct args *a);

#endif
