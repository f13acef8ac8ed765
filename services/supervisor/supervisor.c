/*
 * NAME          weftd - the supervisor of a Weft pipeline
 * IN            the configuration, the contracts, a control socket, signals
 * WORK          starts each service instance, watches it (sd_notify, watchdog,
 *               exit) and starts it again, with back-off and a budget
 * OUT           running services, run_dir/topology, their logs, status
 * GUARANTEE     nothing starts on a wrong configuration; one service's end
 *               never stops the others; two never run on one run_dir; an
 *               instance is started again only after its last life was reaped;
 *               listening sockets outlive the services that use them
 * ON FAILURE    says why and ends with 78 (configuration) or 1; when weftd
 *               itself is killed its services are killed with it
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/process.h"
#include "proto/control.h"
#include "run/notify.h"
#include "services/kinds.h"
#include "services/supervisor/supervisor.h"

#define HOUSEKEEPING_US 10000000

static void on_signal(void *arg, uint32_t events)
{
	struct supervisor *s = arg;
	struct signalfd_siginfo info;

	(void)events;
	while (read(s->signals.fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			supervisor_reload_logged(s);
		else if (info.ssi_signo != SIGCHLD)
			shutdown_begin(s, strsignal((int)info.ssi_signo), 0);
	}
	/* One SIGCHLD may stand for many. */
	instances_reap(s);
}

static void on_notify(void *arg, uint32_t events)
{
	struct supervisor *s = arg;
	struct notice notice;
	pid_t sender = 0;
	int rc;

	(void)events;
	while ((rc = notify_receive(s->notify.fd, &sender, &notice)) != 0) {
		struct instance *i = rc > 0 ? instance_of_pid(s, sender) : NULL;

		if (i) {
			instance_notice(s, i, &notice);
			continue;
		}
		s->notices_ignored++;
		log_warn("notice_ignored", "pid=%d reason=%s", sender,
			 rc > 0 ? "not_a_child" : "malformed");
	}
}

/* Runs before each wait: whatever follows from what has happened. */
static bool settle(void *arg)
{
	struct supervisor *s = arg;
	uint64_t before = s->changes;
	int64_t now = clock_mono_us();
	int64_t next = instances_deadline(s, now);
	int64_t leave_by = scale_settle(s, now);
	int64_t answer_by = control_settle(s, now);

	start_report(s);
	if (s->stopping)
		shutdown_advance(s);
	plan_sweep(s);
	if (leave_by && (!next || leave_by < next))
		next = leave_by;
	if (answer_by && (!next || answer_by < next))
		next = answer_by;
	if (next)
		loop_timer_set(s->loop, &s->alarm, next);
	else
		loop_timer_cancel(s->loop, &s->alarm);
	return s->changes != before;
}

/* The timer only ends the wait; settle() does what is due. */
static void on_alarm(void *arg)
{
	(void)arg;
}

static int open_own_log(struct supervisor *s, struct err *err)
{
	char *path =
	    xasprintf("%s/%s", s->conf->pipeline->log_dir, CONTROL_OWN_LOG);
	struct stat st;
	int fd, rc = 0;

	if (stat(path, &st) == 0 && st.st_size > LOGPIPE_FILE_BYTES)
		logpipe_rotate(path);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
		  0640);
	if (fd < 0)
		rc = err_errno(err, errno, "cannot open log %s", path);
	else if (dup3(fd, STDERR_FILENO, O_CLOEXEC) < 0 ||
		 dup3(fd, STDOUT_FILENO, O_CLOEXEC) < 0)
		rc = err_errno(err, errno, "cannot redirect stderr");
	if (fd >= 0)
		close(fd);
	free(path);
	return rc;
}

static void on_housekeeping(void *arg)
{
	struct supervisor *s = arg;
	struct stat st;
	struct err err;

	if (s->daemon && fstat(STDERR_FILENO, &st) == 0 &&
	    st.st_size > LOGPIPE_FILE_BYTES)
		(void)!open_own_log(s, &err);
	loop_timer_set(s->loop, &s->housekeeping,
		       clock_mono_us() + HOUSEKEEPING_US);
}

static void on_manager_ping(void *arg)
{
	struct supervisor *s = arg;

	notify_send("WATCHDOG=1");
	loop_timer_set(s->loop, &s->manager_ping,
		       clock_mono_us() + s->manager_ping_us);
}

static int open_signals(struct supervisor *s, struct err *err)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return err_errno(err, errno, "cannot block signals");
	s->signals.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (s->signals.fd < 0)
		return err_errno(err, errno, "cannot make a signalfd");
	return loop_io_add(s->loop, &s->signals, EPOLLIN, err);
}

static void start_timers(struct supervisor *s)
{
	int64_t now = clock_mono_us();

	s->alarm = (struct loop_timer){.fn = on_alarm};
	s->housekeeping = (struct loop_timer){.fn = on_housekeeping, .arg = s};
	s->manager_ping = (struct loop_timer){.fn = on_manager_ping, .arg = s};
	loop_timer_set(s->loop, &s->housekeeping, now + HOUSEKEEPING_US);
	s->manager_ping_us = notify_watchdog_us();
	if (s->manager_ping_us > 0)
		loop_timer_set(s->loop, &s->manager_ping,
			       now + s->manager_ping_us);
	s->settle = (struct loop_hook){.fn = settle, .arg = s};
	loop_hook_add(s->loop, &s->settle);
}

/*
 * Everything that may fail, before any service starts. What started weftd hears
 * of problems on the stderr that it gave; only then is that replaced.
 */
static int open_all(struct supervisor *s, struct err *err)
{
	const struct conf_pipeline *p = s->conf->pipeline;

	log_open("weftd", (enum log_level)p->log_level,
		 (enum log_format)p->log_format);
	s->started_mono_us = clock_mono_us();
	s->started_wall_us = clock_wall_us();
	s->policy = plan_policy(s->conf);
	s->loop = loop_new();
	s->signals = (struct loop_io){.fd = -1, .fn = on_signal, .arg = s};
	s->notify = (struct loop_io){.fd = -1, .fn = on_notify, .arg = s};
	if (claim_place(s, err) != 0 || open_signals(s, err) != 0)
		return -1;
	s->notify.fd = notify_open(s->notify_path, err);
	if (s->notify.fd < 0 ||
	    loop_io_add(s->loop, &s->notify, EPOLLIN, err) != 0)
		return -1;
	if (plan_apply(s, err) != 0 || topology_write(s, err) != 0 ||
	    control_open(s, err) != 0)
		return -1;
	if (!s->daemon)
		return 0;
	s->report_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	return open_own_log(s, err);
}

static void close_all(struct supervisor *s)
{
	control_close(s);
	plan_free(s);
	if (s->notify.fd >= 0) {
		close(s->notify.fd);
		unlink(s->notify_path);
	}
	if (s->signals.fd >= 0)
		close(s->signals.fd);
	loop_free(&s->loop);
	if (s->report_fd >= 0)
		close(s->report_fd);
	/* The lock stays until the process is gone. */
	conf_free(&s->conf);
	changes_free(s);
	scale_free(s);
	free(s->run_dir);
	free(s->libexec);
	free(s->notify_path);
	free(s->topology_path);
}

static void usage(FILE *to)
{
	fprintf(
	    to,
	    "usage: weftd [--config FILE] [--daemon]\n"
	    "The supervisor of a Weft pipeline; `pipelinectl start` starts "
	    "it. FILE defaults\nto $WEFT_CONFIG, /etc/weft/weft.conf, or "
	    "built-in defaults. With --daemon it\nlogs to its own file, and "
	    "reports on stderr only how the start went.\n");
}

/* -1: go on; else the exit code. */
static int parse_arguments(struct supervisor *s, int argc, char **argv)
{
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"daemon", no_argument, NULL, 'd'},
	    {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},
	    {NULL, 0, NULL, 0},
	};
	int c;

	s->config_path = conf_default_path();
	while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			s->config_path = optarg;
			break;
		case 'd':
			s->daemon = true;
			break;
		case 'h':
			usage(stdout);
			return 0;
		case 'V':
			printf("weftd %s\n", WEFT_VERSION);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind == argc)
		return -1;
	usage(stderr);
	return 2;
}

/* Services get the path too, and must not depend on where weftd stands. */
static void make_path_absolute(struct supervisor *s, char absolute[PATH_MAX])
{
	if (s->config_path && realpath(s->config_path, absolute))
		s->config_path = absolute;
	if (s->daemon)
		(void)!chdir("/");
}

static int run(struct supervisor *s)
{
	struct buf problems = {0};
	struct err err;
	char quoted[LOG_QUOTE_BYTES];
	int rc;

	rc = supervisor_load(s, &s->conf, &problems);
	fputs(buf_str(&problems), stderr);
	buf_free(&problems);
	if (rc != 0) {
		fputs("weftd: nothing was started\n", stderr);
		return CONTROL_EXIT_CONFIG;
	}
	s->started_with = s->conf;
	if (open_all(s, &err) != 0) {
		fprintf(stderr, "weftd: %s; nothing was started\n", err.text);
		close_all(s);
		return 1;
	}
	log_info("weftd_started",
		 "pipeline=%s version=%s config=%s instances=%u",
		 s->conf->pipeline->name, WEFT_VERSION,
		 log_quote(quoted, s->config_path ? s->config_path : ""),
		 s->instance_count);
	start_timers(s);
	plan_start(s);
	loop_run(s->loop);
	log_info("weftd_ended", "code=%d", s->exit_code);
	close_all(s);
	return s->exit_code;
}

/*
 * A login shell's limit of 1024 is too low for a collector's connections, and
 * services take theirs over from here.
 */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
	struct supervisor s = {.kinds = &weft_kinds,
			       .lock_fd = -1,
			       .report_fd = -1,
			       .signals.fd = -1,
			       .notify.fd = -1};
	char absolute[PATH_MAX];
	int code;

	process_keep_private();
	code = parse_arguments(&s, argc, argv);
	if (code >= 0)
		return code;
	raise_descriptor_limit();
	make_path_absolute(&s, absolute);
	return run(&s);
}
