/* The command lines of dlq and replay: which events, and what to do. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"
#include "services/lake/args.h"

#define SHOWN_LETTERS 50
#define DAY_US	      INT64_C(86400000000)
#define WAIT_US	      INT64_C(120000000)

/* Which commands take an option. */
enum {
	FOR_LS = 1 << 0,
	FOR_SHOW = 1 << 1,
	FOR_REPLAY = 1 << 2,
	FOR_DROP = 1 << 3,
	FOR_ARCHIVE = 1 << 4,
	FOR_LETTERS = FOR_LS | FOR_REPLAY | FOR_DROP,
	FOR_CHANGES = FOR_REPLAY | FOR_DROP | FOR_ARCHIVE,
	FOR_ALL = 31,
};

static const struct known {
	const char *name;
	int argument;
	int letter;
	unsigned commands;
} known[] = {
    {"config", required_argument, 'c', FOR_ALL},
    {"json", no_argument, 'j', FOR_ALL},
    {"stream", required_argument, 's', FOR_LETTERS | FOR_SHOW | FOR_ARCHIVE},
    {"code", required_argument, 'C', FOR_LETTERS},
    {"stage", required_argument, 'S', FOR_LETTERS},
    {"since", required_argument, 'F', FOR_LETTERS},
    {"until", required_argument, 'U', FOR_LETTERS},
    {"from", required_argument, 'F', FOR_ARCHIVE},
    {"to", required_argument, 'T', FOR_ARCHIVE},
    {"limit", required_argument, 'n', FOR_LS},
    {"all", no_argument, 'a', FOR_LS | FOR_SHOW | FOR_REPLAY},
    {"dry-run", no_argument, 'd', FOR_CHANGES},
    {"yes", no_argument, 'y', FOR_DROP},
    {"timeout", required_argument, 't', FOR_CHANGES},
};
#define KNOWN (sizeof(known) / sizeof(*known))

static unsigned bit_of(enum command command)
{
	return command == COMMAND_REPLAY ? FOR_ARCHIVE
					 : 1u << (command - COMMAND_DLQ_LS);
}

/* ---- values ---- */

/* "2026-11-20": the day's first µs. */
static int read_day(const char *text, int64_t *at_us)
{
	char time[] = "yyyy-mm-ddT00:00Z";

	if (strlen(text) != 10)
		return -1;
	memcpy(time, text, 10);
	return clock_parse(time, sizeof(time) - 1, at_us);
}

/* A time, a day, or how long ago. `end`: a day counts to its end. */
static int read_time(struct args *a, const char *option, const char *text,
		     bool end, int64_t *at_us)
{
	int64_t ago;

	if (clock_parse(text, strlen(text), at_us) == 0) {
		a->events.days = false;
		return 0;
	}
	if (read_day(text, at_us) == 0) {
		*at_us += end ? DAY_US : 0;
		return 0;
	}
	a->events.days = false;
	if (text_parse_duration(text, &ago) == 0 && ago >= 0) {
		*at_us = clock_wall_us() - ago;
		return 0;
	}
	return args_usage(a,
			  "--%s '%s' must be a day such as 2026-11-20, a time "
			  "with its zone such as 2026-11-20T14:30:00Z, or how "
			  "long ago, such as 2h",
			  option, text);
}

static int read_wait(struct args *a, const char *text)
{
	if (text_parse_duration(text, &a->events.wait_us) == 0 &&
	    a->events.wait_us > 0)
		return 0;
	return args_usage(a,
			  "--timeout '%s' must be a time with its unit, such "
			  "as 2m",
			  text);
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

/* ---- options ---- */

static int read_option(struct args *a, const struct known *k)
{
	struct args_events *e = &a->events;

	switch (k->letter) {
	case 'c':
		a->config = optarg;
		return 0;
	case 'j':
		a->form = FORM_JSON;
		return 0;
	case 's':
		e->stream = optarg;
		return 0;
	case 'C':
		e->code = optarg;
		return 0;
	case 'S':
		e->stage = optarg;
		return 0;
	case 'F':
		return read_time(a, k->name, optarg, false, &e->from_us);
	case 'U':
		return read_time(a, k->name, optarg, false, &e->to_us);
	case 'T':
		return read_time(a, k->name, optarg, true, &e->to_us);
	case 'n':
		return read_limit(a, optarg);
	case 't':
		return read_wait(a, optarg);
	case 'a':
		e->all = true;
		return 0;
	case 'd':
		e->dry_run = true;
		return 0;
	default:
		e->yes = true;
		return 0;
	}
}

/* Options may stand before the word that says which command it is. */
static int read_options(struct args *a, int argc, char **argv,
			const struct known *used[KNOWN])
{
	struct option options[KNOWN + 1] = {0};
	int index, letter, rc;

	for (size_t i = 0; i < KNOWN; i++)
		options[i] = (struct option){known[i].name, known[i].argument,
					     NULL, (int)i + 256};
	opterr = 1;
	optind = 1;
	while ((letter = getopt_long(argc, argv, "c:n:t:y", options, &index)) !=
	       -1) {
		const struct known *k = NULL;

		for (size_t i = 0; i < KNOWN && !k; i++)
			if (letter == (int)i + 256 || letter == known[i].letter)
				k = &known[i];
		if (!k)
			return args_usage(a, "%s", "");
		used[k - known] = k;
		rc = read_option(a, k);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* ---- what to do ---- */

static int find_command(struct args *a, int argc, char **argv)
{
	static const char *const words[] = {"ls", "show", "replay", "drop"};
	static const char *const names[] = {"dlq ls", "dlq show", "dlq replay",
					    "dlq drop"};
	const char *word = optind < argc ? argv[optind++] : NULL;
	const char *near;

	if (!word)
		return args_usage(a,
				  "say what to do: ls, show, replay or drop");
	for (size_t i = 0; i < 4; i++) {
		if (strcmp(word, words[i]) != 0)
			continue;
		a->command = COMMAND_DLQ_LS + (enum command)i;
		a->name = names[i];
		return 0;
	}
	near = text_nearest(word, words, 4);
	return args_usage(a, "there is no 'dlq %s'; %s%s%s", word,
			  near ? "did you mean '"
			       : "it is ls, show, replay or drop",
			  near ? near : "", near ? "'?" : "");
}

static int check(struct args *a, const char *extra)
{
	struct args_events *e = &a->events;

	if (a->command == COMMAND_REPLAY && extra)
		return args_usage(a, "'%s' is one argument too many", extra);
	if (a->command == COMMAND_REPLAY &&
	    (!e->stream || e->from_us == INT64_MIN || e->to_us == INT64_MAX))
		return args_usage(a, "say what to replay: --stream STREAM "
				     "--from TIME --to TIME");
	if (a->command == COMMAND_DLQ_SHOW && !extra)
		return args_usage(a, "which letter? `pipelinectl dlq ls` lists "
				     "their ids");
	if (a->command == COMMAND_DLQ_LS && extra)
		return args_usage(a,
				  "'%s' is one argument too many; `pipelinectl "
				  "dlq show %s` shows one letter",
				  extra, extra);
	if (e->from_us >= e->to_us)
		return args_usage(a, "the time from which is not before the "
				     "one until which: nothing is in between");
	return 0;
}

int args_read_events(struct args *a, int argc, char **argv)
{
	static char program[] = "pipelinectl";
	const struct known *used[KNOWN] = {NULL};
	int rc;

	a->events = (struct args_events){.from_us = INT64_MIN,
					 .to_us = INT64_MAX,
					 .days = true,
					 .wait_us = WAIT_US};
	a->limit = UINT64_MAX;
	a->timeout_us = 0;
	a->command = COMMAND_REPLAY;
	argv[1] = program;
	rc = read_options(a, argc - 1, argv + 1, used);
	argc--;
	argv++;
	if (rc == 0 && strcmp(a->name, "dlq") == 0)
		rc = find_command(a, argc, argv);
	if (rc != 0)
		return rc;
	for (size_t i = 0; i < KNOWN; i++)
		if (used[i] && !(used[i]->commands & bit_of(a->command)))
			return args_usage(a, "there is no option --%s here",
					  used[i]->name);
	if (a->limit == UINT64_MAX)
		a->limit = a->form == FORM_TABLE ? SHOWN_LETTERS : 0;
	a->events.ids = argv + optind;
	a->events.id_count = (uint32_t)(argc - optind);
	return check(a, optind < argc ? argv[optind] : NULL);
}
