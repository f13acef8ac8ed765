#include "services/generator/cli.h"

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "services/generator/report.h"
#include "services/generator/sender.h"

#define PROGRESS_US 100000
#define BAR_CELLS   40

struct cli {
	struct loop *loop;
	struct sender *sender;
	struct sender_plan plan;
	struct loop_timer progress;
	char host[256];
	char port[8];
	bool quiet;
	bool failed;
};

static void usage(FILE *to)
{
	fputs("usage: generator --url http://HOST:PORT [options]\n"
	      "       generator [--config FILE] [--name ROW] [--instance N]\n"
	      "Posts business events to a collector and checks each answer.\n"
	      "  --count N        events in all (default 10000; 0 = no limit)\n"
	      "  --batch N        events a request; 1 posts single events "
	      "(100)\n"
	      "  --connections N  keep-alive connections (8)\n"
	      "  --rate N         events a second (0 = as fast as answered)\n"
	      "  --burst N        events that may go at once under a rate (0)\n"
	      "  --duration TIME  stop after this long, e.g. 30s\n"
	      "  --bad-share P    share of bad events, 0 to 1 (0)\n"
	      "  --seed N         the same seed gives the same events (1)\n"
	      "  --start TIME     event time of the first event (now)\n"
	      "  --ledger FILE    append each acknowledged event_id\n"
	      "  --give-up TIME   fail without any answer this long (30s)\n"
	      "  --quiet          no progress bar\n"
	      "Without any of these it is a service of Weft, which weftd "
	      "starts: FILE\n"
	      "defaults to $WEFT_CONFIG, /etc/weft/weft.conf, or built-in "
	      "defaults; ROW to\n\"generator\"; N to 0.\n"
	      "The API key, if one is needed, is taken from $WEFT_API_KEY.\n"
	      "Example: generator --url http://127.0.0.1:8080 --count 200000 "
	      "--bad-share 0.01\n",
	      to);
}

static int take_url(struct cli *cli, const char *url)
{
	if (sscanf(url, "http://[%255[0-9a-fA-F:.]]:%7[0-9]", cli->host,
		   cli->port) != 2 &&
	    sscanf(url, "http://%255[^:/]:%7[0-9]", cli->host, cli->port) != 2)
		return -1;
	cli->plan.host = cli->host;
	cli->plan.port = cli->port;
	return 0;
}

static int take_number(const char *text, uint64_t most, uint64_t *value)
{
	char *end;

	*value = strtoull(text, &end, 10);
	return *text < '0' || *text > '9' || *end || *value > most ? -1 : 0;
}

static int take_real(const char *text, double most, double *value)
{
	char *end;

	*value = strtod(text, &end);
	return end == text || *end || !(*value >= 0 && *value <= most) ? -1 : 0;
}

static int take_option(struct cli *cli, int option, const char *text)
{
	struct sender_plan *plan = &cli->plan;
	uint64_t n = 0;
	int rc = 0;

	switch (option) {
	case 'u':
		return take_url(cli, text);
	case 'c':
		return take_number(text, UINT64_MAX, &plan->count);
	case 'b':
		rc = take_number(text, 10000, &n);
		plan->batch = (uint32_t)n;
		return rc || !n ? -1 : 0;
	case 'k':
		rc = take_number(text, 256, &n);
		plan->connections = (uint32_t)n;
		return rc || !n ? -1 : 0;
	case 'r':
		return take_real(text, 1e9, &plan->rate);
	case 'B':
		return take_number(text, 1000000, &plan->burst);
	case 'd':
		return text_parse_duration(text, &plan->duration_us);
	case 'x':
		return take_real(text, 1, &plan->bad_share);
	case 's':
		return take_number(text, UINT64_MAX, &plan->seed);
	case 'S':
		return clock_parse(text, strlen(text), &plan->start_us);
	case 'l':
		plan->ledger = text;
		return 0;
	case 'g':
		return text_parse_duration(text, &plan->give_up_us);
	case 'q':
		cli->quiet = true;
		return 0;
	default:
		return -1;
	}
}

static const struct option options[] = {
    {"url", required_argument, NULL, 'u'},
    {"count", required_argument, NULL, 'c'},
    {"batch", required_argument, NULL, 'b'},
    {"connections", required_argument, NULL, 'k'},
    {"rate", required_argument, NULL, 'r'},
    {"burst", required_argument, NULL, 'B'},
    {"duration", required_argument, NULL, 'd'},
    {"bad-share", required_argument, NULL, 'x'},
    {"seed", required_argument, NULL, 's'},
    {"start", required_argument, NULL, 'S'},
    {"ledger", required_argument, NULL, 'l'},
    {"give-up", required_argument, NULL, 'g'},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static void on_done(void *arg, const struct err *err)
{
	struct cli *cli = arg;

	if (err) {
		fprintf(stderr, "generator: %s\n", err->text);
		cli->failed = true;
	}
	loop_stop(cli->loop);
}

static void on_progress(void *arg)
{
	struct cli *cli = arg;
	const struct sender_result *r = sender_result(cli->sender);
	double seconds = (double)(clock_mono_us() - r->started_mono_us) / 1e6;
	int cells = 0;

	if (cli->plan.count)
		cells = (int)(r->sent * BAR_CELLS / cli->plan.count);
	fprintf(stderr, "\r  [%.*s%*s] %" PRIu64 " events, %.0f/s  ", cells,
		"########################################", BAR_CELLS - cells,
		"", r->sent, seconds > 0 ? (double)r->sent / seconds : 0);
	loop_timer_set(cli->loop, &cli->progress,
		       clock_mono_us() + PROGRESS_US);
}

static int run_plan(struct cli *cli)
{
	struct err err;
	char *text;
	cJSON *json;

	cli->loop = loop_new();
	if (sender_start(&cli->sender, cli->loop, &cli->plan, on_done, cli,
			 &err) != 0) {
		fprintf(stderr, "generator: %s\n", err.text);
		loop_free(&cli->loop);
		return 1;
	}
	cli->progress = (struct loop_timer){.fn = on_progress, .arg = cli};
	if (!cli->quiet && isatty(STDERR_FILENO))
		loop_timer_set(cli->loop, &cli->progress, 1);
	loop_run(cli->loop);
	if (cli->progress.at_mono_us) {
		on_progress(cli);
		fputc('\n', stderr);
	}
	json = report_json(cli->sender, false);
	cJSON_AddNumberToObject(json, "cpu_seconds",
				(double)clock_cpu_us() / 1e6);
	text = cJSON_Print(json);
	puts(text);
	free(text);
	cJSON_Delete(json);
	cli->failed |= sender_result(cli->sender)->mismatches != 0;
	sender_free(&cli->sender);
	loop_free(&cli->loop);
	return cli->failed;
}

bool cli_wanted(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		for (const struct option *o = options; o->name; o++)
			if (strncmp(argv[i], "--", 2) == 0 &&
			    strcspn(argv[i] + 2, "=") == strlen(o->name) &&
			    strncmp(argv[i] + 2, o->name, strlen(o->name)) == 0)
				return true;
	return false;
}

int cli_main(int argc, char **argv)
{
	struct cli cli = {
	    .plan = {.connections = 8,
		     .batch = 100,
		     .count = 10000,
		     .seed = 1,
		     .start_us = clock_wall_us(),
		     .give_up_us = 30000000,
		     .api_key = getenv("WEFT_API_KEY")},
	};
	int c;

	signal(SIGPIPE, SIG_IGN);
	log_open("generator", LOG_INFO, LOG_LOGFMT);
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'h') {
			usage(stdout);
			return 0;
		}
		if (c == '?' || take_option(&cli, c, optarg) != 0) {
			if (c != '?')
				fprintf(stderr,
					"generator: \"%s\" will not do for "
					"%s\n",
					optarg, argv[optind - 2]);
			usage(stderr);
			return 2;
		}
	}
	if (optind != argc || !cli.plan.host) {
		usage(stderr);
		return 2;
	}
	return run_plan(&cli);
}
