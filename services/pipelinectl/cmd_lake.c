/*
 * query, lake, dlq and replay: done by a program of their own, which loads
 * DuckDB; no other command has to wait for that.
 */
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "services/pipelinectl/cmd.h"
#include "services/pipelinectl/libexec.h"

/* Becomes that program, with the command's arguments as they are. */
static int become_lake(int argc, char **argv)
{
	const char **args = xcalloc((size_t)argc + 2, sizeof(*args));
	char path[PATH_MAX];
	struct err err;

	if (libexec_find("lake", path, &err) != 0) {
		fprintf(stderr, "pipelinectl %s: %s\n", argv[0], err.text);
		return CMD_FAILED;
	}
	args[0] = path;
	for (int i = 0; i < argc; i++)
		args[i + 1] = argv[i];
	execv(path, (char *const *)(uintptr_t)args);
	fprintf(stderr, "pipelinectl %s: cannot execute %s: %s\n", argv[0],
		path, strerror(errno));
	return CMD_FAILED;
}

int cmd_query(int argc, char **argv)
{
	return become_lake(argc, argv);
}

int cmd_lake(int argc, char **argv)
{
	return become_lake(argc, argv);
}

int cmd_dlq(int argc, char **argv)
{
	return become_lake(argc, argv);
}

int cmd_replay(int argc, char **argv)
{
	return become_lake(argc, argv);
}
