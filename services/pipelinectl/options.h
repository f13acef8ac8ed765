/* The options that commands share, read in one place so that they agree. */
#ifndef WEFT_PIPELINECTL_OPTIONS_H
#define WEFT_PIPELINECTL_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#define OPTIONS_NAME_BYTES 64

/* A service row, or one instance of it; name "" = everything. */
struct options_target {
	char name[OPTIONS_NAME_BYTES];
	int32_t instance; /* -1 = all */
};

struct options {
	const char *config; /* as given, else conf_default_path(); may be NULL
			     */
	bool json;
	bool foreground;
	bool follow;
	int64_t timeout_us;
	uint32_t lines;
	bool has_lines; /* was given */
	const char *link;
	struct options_target target;
	const char *target_text; /* as given: "collector.0", or NULL */
	uint32_t count;		 /* 0 = not given */
};

/* Which of them a command takes; --config always. */
enum options_allowed {
	OPTIONS_JSON = 1 << 0,
	OPTIONS_FOREGROUND = 1 << 1,
	OPTIONS_LOGS = 1 << 2, /* --follow, --lines */
	OPTIONS_TIMEOUT = 1 << 3,
	OPTIONS_TARGET = 1 << 4, /* an argument SERVICE[.N] */
	OPTIONS_TAP = 1 << 6,	 /* --link, --lines, an argument STREAM */
	OPTIONS_COUNT = 1 << 5,	 /* and behind it a number of instances */
};

/*
 * Reads a command's arguments (argv[0] is its name; strings are borrowed).
 * Returns 0, or the exit code after it said on stderr what was wrong.
 */
int options_read(int argc, char **argv, unsigned allowed, struct options *o);

#endif
