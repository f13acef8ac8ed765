#include "run/run.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/process.h"
#include "run/notify.h"
#include "run/private.h"

#define TICK_US	 100000
#define STATS_US 1000000

static void usage(const struct service *service, FILE *to)
{
	fprintf(to,
		"usage: %s [--config FILE] [--name ROW] [--instance N]\n"
		"A service of Weft; weftd starts it. FILE defaults to "
		"$WEFT_CONFIG,\n/etc/weft/weft.conf, or built-in defaults; ROW "
		"to \"%s\"; N to 0.\n",
		service->name, service->name);
}

/* -1: go on; else the exit code. */
static int parse_arguments(struct run *run, int argc, char **argv)
{
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"name", required_argument, NULL, 'n'},
	    {"instance", required_argument, NULL, 'i'},
	    {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},
	    {NULL, 0, NULL, 0},
	};
	int c;

	run->config_path = conf_default_path();
	run->name = xstrdup(run->service->name);
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			run->config_path = optarg;
			break;
		case 'n':
			free(run->name);
			run->name = xstrdup(optarg);
			break;
		case 'i':
			run->instance = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'h':
			usage(run->service, stdout);
			return EX_OK;
		case 'V':
			printf("%s (weft) %s\n", run->service->name,
			       WEFT_VERSION);
			return EX_OK;
		default:
			usage(run->service, stderr);
			return EX_USAGE;
		}
	}
	if (optind != argc) {
		usage(run->service, stderr);
		return EX_USAGE;
	}
	return -1;
}

/* The row of *conf that this process is, NULL with *err. */
static const struct conf_service *find_row(const struct run *run,
					   const struct conf *conf,
					   struct err *err)
{
	const struct conf_service *row = conf_find_service(conf, run->name);

	if (!row)
		err_set(err, EINVAL, "no service \"%s\" in %s", run->name,
			conf->path ? conf->path : "the defaults");
	else if (strcmp(row->kind->name, run->service->name) != 0)
		err_set(err, EINVAL, "service \"%s\" is a %s, and this is a %s",
			run->name, row->kind->name, run->service->name);
	else
		return row;
	return NULL;
}

/* Reads the configuration; the caller owns *conf. */
static int read_config(const struct run *run, struct conf **conf,
		       struct err *err)
{
	struct conf_report report = {0};
	int rc = -1;

	*conf = NULL;
	if (conf_load_row(conf, run->config_path, run->kinds, run->name,
			  &report) != 0)
		err_set(err, EINVAL, "%s", buf_str(&report.lines));
	else if (find_row(run, *conf, err))
		rc = 0;
	if (rc != 0)
		conf_free(conf);
	conf_report_free(&report);
	return rc;
}

static void take_config(struct run *run, struct conf *conf)
{
	topology_apply(run, conf);
	run->previous_conf = run->conf;
	run->conf = conf;
	run->row = conf_find_service(conf, run->name);
}

static void start_drain(struct run *run)
{
	if (run->draining) {
		run->drain_by_mono_us = clock_mono_us();
		return;
	}
	run->draining = true;
	run->drain_by_mono_us =
	    clock_mono_us() + run->conf->pipeline->drain_timeout;
	notify_send("STOPPING=1");
	log_info("draining", "timeout_ms=%" PRId64,
		 run->conf->pipeline->drain_timeout / 1000);
}

/* Reads all that a reload needs, and changes nothing. */
static int read_anew(const struct run *run, struct conf **conf,
		     struct contract_set **set, struct err *err)
{
	*set = NULL;
	if (read_config(run, conf, err) != 0)
		return -1;
	if (strcmp((*conf)->pipeline->state_dir,
		   run->conf->pipeline->state_dir) != 0)
		err_set(err, EINVAL,
			"pipeline.state_dir cannot change while the pipeline "
			"runs: stop it, then start it again");
	else if (!run->contracts || contracts_read(run, *conf, set, err) == 0)
		return 0;
	conf_free(conf);
	return -1;
}

static void reload(struct run *run)
{
	char quoted[LOG_QUOTE_BYTES];
	struct contract_set *set;
	struct conf *conf;
	struct err err;

	if (read_anew(run, &conf, &set, &err) != 0) {
		log_error("reload_refused",
			  "error=%s action=\"nothing was changed: mend it and "
			  "reload again\"",
			  log_quote(quoted, err.text));
		return;
	}
	take_config(run, conf);
	if (set)
		contracts_take(run, set);
	log_info("reloaded", "config=%s",
		 run->conf->path ? run->conf->path : "defaults");
	if (run->service->reload)
		run->service->reload(run);
	conf_free(&run->previous_conf);
}

/* weftd has scaled a service; the file of the configuration is not read. */
static void relink(struct run *run)
{
	topology_apply(run, run->conf);
	log_info("relinked", "generation=%" PRIu64, run->generation);
	if (run->service->relink)
		run->service->relink(run);
}

static void on_signal(void *arg, uint32_t events)
{
	struct run *run = arg;
	struct signalfd_siginfo info;

	(void)events;
	while (read(run->signals.fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			reload(run);
		else if (info.ssi_signo == SIGUSR1)
			relink(run);
		else
			start_drain(run);
	}
}

static void on_tick(void *arg)
{
	struct run *run = arg;

	run->service->tick(run);
	loop_timer_set(run->loop, &run->tick, clock_mono_us() + TICK_US);
}

static void on_stats(void *arg)
{
	struct run *run = arg;

	if (run->service->stats)
		run->service->stats(run);
	export_stats(run);
	loop_timer_set(run->loop, &run->stats, clock_mono_us() + STATS_US);
}

static void on_watchdog(void *arg)
{
	struct run *run = arg;

	notify_send("WATCHDOG=1");
	loop_timer_set(run->loop, &run->watchdog,
		       clock_mono_us() + run->watchdog_us);
}

/* Runs before each wait, so that drain sees the effect of every callback. */
static bool on_turn(void *arg)
{
	struct run *run = arg;
	bool late;

	if (!run->draining)
		return false;
	late = clock_mono_us() >= run->drain_by_mono_us;
	if (late && run->service->drain && !run->service->drain(run))
		log_warn("drain_cut_short",
			 "hint=\"what was left is in the log and goes on at "
			 "the next start\"");
	if (late || !run->service->drain || run->service->drain(run))
		loop_stop(run->loop);
	return false;
}

static int open_loop(struct run *run, struct err *err)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return err_errno(err, errno, "cannot block signals");
	run->loop = loop_new();
	run->signals.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (run->signals.fd < 0)
		return err_errno(err, errno, "cannot make a signalfd");
	run->signals.fn = on_signal;
	run->signals.arg = run;
	if (loop_io_add(run->loop, &run->signals, EPOLLIN, err) != 0)
		return -1;
	run->bus = bus_new(run->loop);
	run->drain = (struct loop_hook){.fn = on_turn, .arg = run};
	loop_hook_add(run->loop, &run->drain);
	return 0;
}

static void start_timers(struct run *run)
{
	int64_t now = clock_mono_us();

	run->tick = (struct loop_timer){.fn = on_tick, .arg = run};
	run->stats = (struct loop_timer){.fn = on_stats, .arg = run};
	run->watchdog = (struct loop_timer){.fn = on_watchdog, .arg = run};
	if (run->service->tick)
		loop_timer_set(run->loop, &run->tick, now + TICK_US);
	loop_timer_set(run->loop, &run->stats, now + STATS_US);
	run->watchdog_us = notify_watchdog_us();
	if (run->watchdog_us > 0)
		loop_timer_set(run->loop, &run->watchdog,
			       now + run->watchdog_us);
}

static int open_stats(struct run *run, struct err *err)
{
	char endpoint[256];

	if (conf_stats_endpoint(run->conf, endpoint, err) != 0)
		return -1;
	return bus_stats_out_open(&run->stats_out, run->bus, endpoint, err);
}

static int open_all(struct run *run, struct err *err)
{
	static const enum log_level levels[] = {LOG_ERROR, LOG_WARN, LOG_INFO,
						LOG_DEBUG};
	struct contract_set *set;
	struct conf *conf;

	if (read_config(run, &conf, err) != 0)
		return -1;
	take_config(run, conf);
	run->label = xasprintf("%s.%u", run->name, run->instance);
	log_open(run->label, levels[run->conf->pipeline->log_level],
		 run->conf->pipeline->log_format ? LOG_JSON : LOG_LOGFMT);
	run->state_dir =
	    xasprintf("%s/%s", run->conf->pipeline->state_dir, run->label);
	if (statedir_take(run, err) != 0 || open_loop(run, err) != 0)
		return -1;
	if (run->row->kind->flags & (KIND_SOURCE | KIND_RELAY | KIND_SINK)) {
		if (secret_load(run, err) != 0 ||
		    contracts_read(run, run->conf, &set, err) != 0)
			return -1;
		contracts_take(run, set);
	}
	if (open_stats(run, err) != 0)
		return -1;
	run->counters = xcalloc(1, run->row->kind->counters->struct_bytes);
	run->state = xcalloc(1, run->service->state_bytes);
	start_timers(run);
	run->initialised = true;
	return run->service->init(run, err);
}

static void close_all(struct run *run)
{
	if (run->initialised)
		run->service->fini(run);
	bus_stats_out_close(&run->stats_out);
	bus_free(&run->bus);
	contract_set_unref(&run->contracts);
	contract_set_unref(&run->pinned);
	loop_free(&run->loop);
	if (run->signals.fd >= 0)
		close(run->signals.fd);
	if (run->lock_fd >= 0)
		close(run->lock_fd);
	conf_free(&run->conf);
	explicit_bzero(run->secret, sizeof(run->secret));
	free(run->counters);
	free(run->state);
	free(run->state_dir);
	free(run->label);
	free(run->name);
}

/* Once it runs, a service waits for its disk; so it does when it starts. */
static bool is_of_disk(int code)
{
	return code == EIO || code == ENOSPC || code == EDQUOT ||
	       code == ESTALE || code == EROFS;
}

static int exit_code_of(const struct err *err)
{
	return err->retriable || is_of_disk(err->code) ? EX_TEMPFAIL
						       : EX_CONFIG;
}

int run_main(int argc, char **argv, const struct service *service,
	     const struct conf_kinds *kinds)
{
	struct run run = {.service = service,
			  .kinds = kinds,
			  .lock_fd = -1,
			  .signals.fd = -1,
			  .started_at_us = clock_wall_us()};
	char quoted[LOG_QUOTE_BYTES];
	struct err err;
	int code;

	signal(SIGPIPE, SIG_IGN);
	process_keep_private();
	code = parse_arguments(&run, argc, argv);
	if (code >= 0) {
		free(run.name);
		return code;
	}
	log_open(run.name, LOG_INFO, LOG_LOGFMT);
	if (open_all(&run, &err) != 0) {
		log_error("start_failed", "error=%s",
			  log_quote(quoted, err.text));
		code = exit_code_of(&err);
	} else {
		loop_run(run.loop);
		code = run.exit_code;
		log_info("stopped", "code=%d", code);
	}
	close_all(&run);
	return code;
}

void *run_state(struct run *run)
{
	return run->state;
}

struct loop *run_loop(struct run *run)
{
	return run->loop;
}

struct bus *run_bus(struct run *run)
{
	return run->bus;
}

const struct conf *run_config(const struct run *run)
{
	return run->conf;
}

const void *run_conf(const struct run *run)
{
	return run->row->conf;
}

void *run_counters(struct run *run)
{
	return run->counters;
}

uint32_t run_instance(const struct run *run)
{
	return run->instance;
}

const char *run_label(const struct run *run)
{
	return run->label;
}

const char *run_link(const struct run *run)
{
	return run->row->in;
}

const char *run_state_dir(const struct run *run)
{
	return run->state_dir;
}

void run_ready(struct run *run)
{
	if (run->ready)
		return;
	run->ready = true;
	log_info("ready", "version=%s", WEFT_VERSION);
	notify_send("READY=1");
}

void run_status(struct run *run, const char *text)
{
	char message[256];

	(void)run;
	snprintf(message, sizeof(message), "STATUS=%s", text);
	notify_send(message);
}

bool run_draining(const struct run *run)
{
	return run->draining;
}

void run_fail(struct run *run, const struct err *err)
{
	char quoted[LOG_QUOTE_BYTES];

	log_error("failed", "error=%s", log_quote(quoted, err->text));
	run->exit_code = EX_TEMPFAIL;
	loop_stop(run->loop);
}
