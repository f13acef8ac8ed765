#include "services/lake/args.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "conf/conf.h"

#define SHOWN_ROWS    100
#define SHOWN_COMMITS 20
#define CACHE_BYTES   ((int64_t)4 << 30)
#define TIMEOUT_US    300000000LL
#define MOST_TIMEOUT  86400000000LL

enum {
	OPT_JSON = 256,
	OPT_CSV,
	OPT_VERSION,
	OPT_CACHE_SIZE,
};

int args_usage(const struct args *a, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (*text)
		fprintf(stderr, "pipelinectl %s: %s\n", a->name, text);
	fprintf(stderr, "`pipelinectl %s --help` explains it\n", a->name);
	return EXIT_USAGE;
}

int args_number(const char *text, int64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoll(text, &end, 10);
	return *text < '0' || *text > '9' || *end || errno ? -1 : 0;
}

static int add_version(struct args *a, const char *table, size_t bytes,
		       const char *number)
{
	struct args_version *v = &a->versions[a->version_count];

	if (a->version_count == ARGS_VERSIONS)
		return args_usage(a, "--version is given more than %d times",
				  ARGS_VERSIONS);
	if (args_number(number, &v->version) != 0)
		return args_usage(
		    a, "--version '%s' must end in a number, such as 12",
		    optarg);
	v->table = xmemdup0(table, bytes);
	a->version_count++;
	return 0;
}

/* "orders=12", or "12" where the command names the table. */
static int read_version(struct args *a, const char *text)
{
	const char *equals = strrchr(text, '=');

	if (equals && equals > text)
		return add_version(a, text, (size_t)(equals - text),
				   equals + 1);
	if (a->command == COMMAND_SCHEMA)
		return add_version(a, "", 0, text);
	return args_usage(
	    a, "--version '%s' must be TABLE=N, such as orders=12", text);
}

static int read_limit(struct args *a, const char *text)
{
	int64_t value;

	if (args_number(text, &value) != 0)
		return args_usage(
		    a, "--limit '%s' must be a number; 0 shows all", text);
	a->limit = (uint64_t)value;
	return 0;
}

static int read_timeout(struct args *a, const char *text)
{
	if (text_parse_duration(text, &a->timeout_us) == 0 &&
	    a->timeout_us >= 0 && a->timeout_us <= MOST_TIMEOUT)
		return 0;
	return args_usage(a,
			  "--timeout '%s' must be a time up to 24h with its "
			  "unit, such as 30s; 0 is none",
			  text);
}

static int read_option(struct args *a, int letter)
{
	switch (letter) {
	case 'c':
		a->config = optarg;
		return 0;
	case OPT_JSON:
		a->form = FORM_JSON;
		return 0;
	case OPT_CSV:
		a->form = FORM_CSV;
		return 0;
	case 'n':
		return read_limit(a, optarg);
	case 't':
		return read_timeout(a, optarg);
	case OPT_VERSION:
		return read_version(a, optarg);
	case OPT_CACHE_SIZE:
		if (text_parse_bytes(optarg, &a->cache_bytes) == 0)
			return 0;
		return args_usage(a,
				  "--cache-size '%s' must be a size, such as "
				  "8GiB",
				  optarg);
	default:
		return args_usage(a, "%s", "");
	}
}

static const struct option config_option = {"config", required_argument, NULL,
					    'c'};
static const struct option json_option = {"json", no_argument, NULL, OPT_JSON};
static const struct option limit_option = {"limit", required_argument, NULL,
					   'n'};
static const struct option version_option = {"version", required_argument, NULL,
					     OPT_VERSION};

/* What each command takes. */
static int read_options(struct args *a, int argc, char **argv)
{
	struct option options[8] = {config_option, json_option};
	const char *letters = "c:";
	size_t n = 2;
	int letter, rc;

	if (a->command == COMMAND_QUERY) {
		options[n++] = limit_option;
		options[n++] = version_option;
		options[n++] =
		    (struct option){"csv", no_argument, NULL, OPT_CSV};
		options[n++] =
		    (struct option){"timeout", required_argument, NULL, 't'};
		options[n++] = (struct option){"cache-size", required_argument,
					       NULL, OPT_CACHE_SIZE};
		letters = "c:n:t:";
	} else if (a->command == COMMAND_HISTORY) {
		options[n++] = limit_option;
		letters = "c:n:";
	} else if (a->command == COMMAND_SCHEMA) {
		options[n++] = version_option;
	}
	opterr = 1;
	optind = 1;
	while ((letter = getopt_long(argc, argv, letters, options, NULL)) !=
	       -1) {
		rc = read_option(a, letter);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int find_command(struct args *a, int argc, char **argv, int *at)
{
	static const char *const names[] = {"ls", "history", "schema"};
	const char *near;

	a->command = COMMAND_QUERY;
	*at = 1;
	if (strcmp(a->name, "query") == 0)
		return 0;
	/* Options may stand before it, as pipelinectl puts them. */
	while (*at + 1 < argc && argv[*at + 1][0] == '-')
		*at += strcmp(argv[*at + 1], "-c") == 0 ||
			       strcmp(argv[*at + 1], "--config") == 0
			   ? 2
			   : 1;
	++*at;
	if (*at >= argc)
		return args_usage(a, "say what to do: ls, history or schema");
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strcmp(argv[*at], names[i]) != 0)
			continue;
		a->command = COMMAND_LS + (enum command)i;
		return 0;
	}
	near = text_nearest(argv[*at], names, sizeof(names) / sizeof(*names));
	return args_usage(a, "there is no 'lake %s'; %s%s%s", argv[*at],
			  near ? "did you mean '"
			       : "it is ls, history or schema",
			  near ? near : "", near ? "'?" : "");
}

/* The SQL, the table, or nothing. */
static int read_rest(struct args *a, int argc, char **argv)
{
	bool wanted = a->command != COMMAND_LS;
	const char *what = a->command == COMMAND_QUERY
			       ? "say what to ask: \"SELECT …\", or - to read "
				 "it from standard input"
			       : "which table? `pipelinectl lake ls` lists "
				 "them";

	if (wanted && optind >= argc)
		return args_usage(a, "%s", what);
	if (wanted)
		a->what = argv[optind++];
	if (optind < argc)
		return args_usage(a, "'%s' is one argument too many",
				  argv[optind]);
	return 0;
}

int args_read(struct args *a, int argc, char **argv)
{
	static char program[] = "pipelinectl";
	int at, first, rc;

	*a = (struct args){.config = conf_default_path(),
			   .timeout_us = TIMEOUT_US,
			   .cache_bytes = CACHE_BYTES};
	a->name = argc > 1 ? argv[1] : "query";
	if (strcmp(a->name, "dlq") == 0 || strcmp(a->name, "replay") == 0)
		return args_read_events(a, argc, argv);
	if (strcmp(a->name, "query") != 0 && strcmp(a->name, "lake") != 0) {
		fprintf(stderr, "this is a part of pipelinectl: call "
				"`pipelinectl query`, lake, dlq or replay\n");
		return EXIT_USAGE;
	}
	rc = find_command(a, argc, argv, &at);
	if (rc != 0)
		return rc;
	/* The command's names go, so that only its arguments are left. */
	first = at > 1 ? 2 : 1;
	memmove(argv + first + 1, argv + first,
		(size_t)(at - first) * sizeof(*argv));
	argv[first] = program;
	a->limit = UINT64_MAX;
	rc = read_options(a, argc - first, argv + first);
	if (rc == 0)
		rc = read_rest(a, argc - first, argv + first);
	if (a->limit == UINT64_MAX)
		a->limit = a->command == COMMAND_HISTORY ? SHOWN_COMMITS
			   : a->form == FORM_TABLE	 ? SHOWN_ROWS
							 : 0;
	return rc;
}

void args_free(struct args *a)
{
	for (uint32_t i = 0; i < a->version_count; i++)
		free(a->versions[i].table);
	a->version_count = 0;
}
