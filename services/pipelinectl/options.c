#include "services/pipelinectl/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "conf/conf.h"
#include "services/pipelinectl/cmd.h"

#define TIMEOUT_US   60000000
#define LINES	     10
#define MOST_LINES   100000
#define MOST_COUNT   64
#define MOST_TIMEOUT 3600000000LL

static const struct {
	struct option option;
	unsigned needs;
} known[] = {
    {{"config", required_argument, NULL, 'c'}, 0},
    {{"json", no_argument, NULL, 'j'}, OPTIONS_JSON},
    {{"foreground", no_argument, NULL, 'F'}, OPTIONS_FOREGROUND},
    {{"follow", no_argument, NULL, 'f'}, OPTIONS_LOGS},
    {{"lines", required_argument, NULL, 'n'}, OPTIONS_LOGS | OPTIONS_TAP},
    {{"link", required_argument, NULL, 'l'}, OPTIONS_TAP},
    {{"timeout", required_argument, NULL, 't'}, OPTIONS_TIMEOUT},
};

#define KNOWN (sizeof(known) / sizeof(known[0]))

/* The part of the known options that the command takes, for getopt_long(). */
static void choose(unsigned allowed, struct option options[KNOWN + 1],
		   char letters[2 * KNOWN + 1])
{
	size_t n = 0;

	for (size_t i = 0; i < KNOWN; i++) {
		if (known[i].needs && !(known[i].needs & allowed))
			continue;
		options[n++] = known[i].option;
		if (known[i].option.val == 'j' || known[i].option.val == 'F')
			continue;
		*letters++ = (char)known[i].option.val;
		if (known[i].option.has_arg)
			*letters++ = ':';
	}
	options[n] = (struct option){0};
	*letters = '\0';
}

static int read_target(const char *cmd, const char *text,
		       struct options_target *t)
{
	const char *dot = strrchr(text, '.');
	size_t bytes = strlen(text);

	t->instance = -1;
	if (dot && dot[1] && strlen(dot + 1) <= 3 &&
	    strspn(dot + 1, "0123456789") == strlen(dot + 1)) {
		t->instance = (int32_t)strtol(dot + 1, NULL, 10);
		bytes = (size_t)(dot - text);
	}
	if (!bytes || bytes >= sizeof(t->name))
		return cmd_usage_error(cmd,
				       "'%s' is no service: it is a name of at "
				       "most %zu bytes, with .N for one "
				       "instance",
				       text, sizeof(t->name) - 1);
	memcpy(t->name, text, bytes);
	t->name[bytes] = '\0';
	return 0;
}

static int read_count(const char *cmd, const char *text, struct options *o)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (!*text || *end || n < 1 || n > MOST_COUNT)
		return cmd_usage_error(cmd,
				       "'%s' is no number of instances: 1 to "
				       "%d; `pipelinectl stop` stops a service",
				       text, MOST_COUNT);
	o->count = (uint32_t)n;
	return 0;
}

static int read_lines(const char *cmd, const char *text, struct options *o)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (!*text || *end || n < 0 || n > MOST_LINES)
		return cmd_usage_error(
		    cmd, "--lines '%s' must be a number from 0 to %d", text,
		    MOST_LINES);
	o->lines = (uint32_t)n;
	o->has_lines = true;
	return 0;
}

static int read_timeout(const char *cmd, const char *text, struct options *o)
{
	if (text_parse_duration(text, &o->timeout_us) == 0 &&
	    o->timeout_us > 0 && o->timeout_us <= MOST_TIMEOUT)
		return 0;
	return cmd_usage_error(cmd,
			       "--timeout '%s' must be a time up to 1h with "
			       "its unit, such as 30s",
			       text);
}

static int read_option(const char *cmd, int letter, struct options *o)
{
	switch (letter) {
	case 'c':
		o->config = optarg;
		return 0;
	case 'j':
		o->json = true;
		return 0;
	case 'F':
		o->foreground = true;
		return 0;
	case 'f':
		o->follow = true;
		return 0;
	case 'n':
		return read_lines(cmd, optarg, o);
	case 'l':
		o->link = optarg;
		return 0;
	case 't':
		return read_timeout(cmd, optarg, o);
	default:
		return cmd_usage_error(cmd, "%s", "");
	}
}

int options_read(int argc, char **argv, unsigned allowed, struct options *o)
{
	struct option options[KNOWN + 1];
	char letters[2 * KNOWN + 1];
	int letter, rc;

	*o = (struct options){.config = conf_default_path(),
			      .timeout_us = TIMEOUT_US,
			      .lines = LINES,
			      .target.instance = -1};
	choose(allowed, options, letters);
	while ((letter = getopt_long(argc, argv, letters, options, NULL)) !=
	       -1) {
		rc = read_option(argv[0], letter, o);
		if (rc != 0)
			return rc;
	}
	if (optind < argc && (allowed & OPTIONS_TARGET)) {
		o->target_text = argv[optind++];
		rc = read_target(argv[0], o->target_text, &o->target);
		if (rc != 0)
			return rc;
	}
	if (optind < argc && (allowed & OPTIONS_TAP))
		o->target_text = argv[optind++];
	if (optind < argc && (allowed & OPTIONS_COUNT)) {
		rc = read_count(argv[0], argv[optind++], o);
		if (rc != 0)
			return rc;
	}
	if (optind < argc)
		return cmd_usage_error(argv[0], "'%s' is one argument too many",
				       argv[optind]);
	return 0;
}
