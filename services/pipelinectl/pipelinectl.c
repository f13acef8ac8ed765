/*
 * NAME          pipelinectl - run a Weft pipeline and look into it
 * IN            a command line
 * WORK          finds the command in commands.def and runs it
 * OUT           tables for people, --json for programs
 * GUARANTEE     exit codes as in cmd.h, the same for every command
 * ON FAILURE    says on stderr what was wrong and what to do
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/process.h"
#include "base/text.h"
#include "services/pipelinectl/cmd.h"

const struct cmd cmd_table[] = {
#define COMMAND(id, name, group, usage, help, more) \
	{name, cmd_##id, group, usage, help, more},
#include "services/pipelinectl/commands.def"
#undef COMMAND
};
const unsigned cmd_count = sizeof(cmd_table) / sizeof(cmd_table[0]);

static const char *const group_titles[] = {
    [GROUP_RUN] = "Run the pipeline",
    [GROUP_LOOK] = "Look into it",
    [GROUP_DATA] = "Work with its data",
    [GROUP_CONFIG] = "Configure it",
    [GROUP_ABOUT] = "About",
};

static const struct cmd *find_cmd(const char *name)
{
	for (unsigned i = 0; i < cmd_count; i++)
		if (strcmp(cmd_table[i].name, name) == 0)
			return &cmd_table[i];
	return NULL;
}

static int unknown_cmd(const char *name)
{
	const char **names = xcalloc(cmd_count, sizeof(*names));
	const char *near;

	for (unsigned i = 0; i < cmd_count; i++)
		names[i] = cmd_table[i].name;
	near = text_nearest(name, names, cmd_count);
	fprintf(stderr, "pipelinectl: there is no command '%s'", name);
	if (near)
		fprintf(stderr, "; did you mean '%s'?\n", near);
	else
		fprintf(stderr, "; `pipelinectl help` lists them\n");
	free(names);
	return CMD_USAGE;
}

static void print_help(FILE *out)
{
	fprintf(out, "Usage: pipelinectl COMMAND [OPTIONS]\n");
	for (unsigned g = 0; g <= GROUP_ABOUT; g++) {
		bool titled = false;

		for (unsigned i = 0; i < cmd_count; i++) {
			const struct cmd *c = &cmd_table[i];

			if (c->group != g)
				continue;
			if (!titled)
				fprintf(out, "\n%s\n", group_titles[g]);
			titled = true;
			fprintf(out, "  %-10s %s\n", c->name, c->help);
		}
	}
	fprintf(out,
		"\nThe configuration is --config FILE, else $WEFT_CONFIG, else "
		"/etc/weft/weft.conf,\nelse built-in defaults. "
		"`pipelinectl COMMAND --help` explains a command.\n"
		"Exit codes: 0 done, 1 failed, 2 wrong command line, "
		"3 not running.\n");
}

static void print_cmd_help(const struct cmd *c)
{
	printf("Usage: pipelinectl %s%s%s\n\n%c%s.\n", c->name,
	       c->usage[0] ? " " : "", c->usage,
	       c->help[0] >= 'a' && c->help[0] <= 'z' ? c->help[0] - 'a' + 'A'
						      : c->help[0],
	       c->help + 1);
	if (c->more[0])
		printf("\n%s", c->more);
}

int cmd_usage_error(const char *name, const char *fmt, ...)
{
	const struct cmd *c = find_cmd(name);
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (text[0])
		fprintf(stderr, "pipelinectl %s: %s\n", name, text);
	if (c)
		fprintf(stderr, "Usage: pipelinectl %s %s\n", c->name,
			c->usage);
	return CMD_USAGE;
}

int cmd_help(int argc, char **argv)
{
	const struct cmd *c;

	if (argc < 2) {
		print_help(stdout);
		return CMD_OK;
	}
	c = find_cmd(argv[1]);
	if (!c)
		return unknown_cmd(argv[1]);
	print_cmd_help(c);
	return CMD_OK;
}

static bool wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--help") == 0 ||
		    strcmp(argv[i], "-h") == 0)
			return true;
	return false;
}

/*
 * Options may stand before the command too (`pipelinectl --json status`): the
 * command is moved to the front. Returns its index in argv before that, or argc
 * when there is none.
 */
static int command_to_front(int argc, char **argv)
{
	int at = 1;
	char *name;

	while (at < argc && argv[at][0] == '-') {
		bool takes_value = strcmp(argv[at], "--config") == 0 ||
				   strcmp(argv[at], "-c") == 0;

		at += takes_value ? 2 : 1;
	}
	if (at >= argc)
		return argc;
	name = argv[at];
	memmove(argv + 2, argv + 1, (size_t)(at - 1) * sizeof(*argv));
	argv[1] = name;
	return at;
}

int main(int argc, char **argv)
{
	const struct cmd *c;

	process_keep_private();
	if (argc > 1 && strcmp(argv[1], "--version") == 0) {
		printf("pipelinectl %s\n", WEFT_VERSION);
		return CMD_OK;
	}
	if (command_to_front(argc, argv) == argc) {
		bool asked = wants_help(argc, argv);

		print_help(asked ? stdout : stderr);
		return asked ? CMD_OK : CMD_USAGE;
	}
	c = find_cmd(argv[1]);
	if (!c)
		return unknown_cmd(argv[1]);
	if (wants_help(argc - 1, argv + 1)) {
		print_cmd_help(c);
		return CMD_OK;
	}
	return c->fn(argc - 1, argv + 1);
}
