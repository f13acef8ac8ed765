#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "proto/control.h"
#include "services/supervisor/spawn.h"
#include "services/supervisor/supervisor.h"

static void spawn(struct supervisor *s, struct instance *i)
{
	char quoted[LOG_QUOTE_BYTES], number[16];
	char *path = xasprintf("%s/%s", s->libexec, i->kind->name);
	char *argv[8] = {path, "--name", i->row, "--instance", number};
	struct spawn plan = {.path = path,
			     .argv = argv,
			     .output_fd = i->log.write_fd,
			     .listen_name = "listen",
			     .notify_path = s->notify_path,
			     .topology_path = s->topology_path,
			     .watchdog_us = s->policy.watchdog_us};
	struct err err;
	pid_t pid = -1;

	snprintf(number, sizeof(number), "%" PRIu32, i->number);
	if (s->config_path) {
		argv[5] = "--config";
		argv[6] = (char *)(uintptr_t)s->config_path;
	}
	i->status[0] = '\0';
	i->reload_due = i->relink_due = false;
	i->follows = 0;
	i->started_with = s->conf;
	logpipe_forget(&i->log);
	if (plan_listener(s, i->row, &plan.listen_fd, &err) == 0)
		pid = spawn_process(&plan, &err);
	free(path);
	if (pid < 0) {
		log_error("spawn_failed", "instance=%s error=%s", i->label,
			  log_quote(quoted, err.text));
		notice_clean(i->status, err.text, strlen(err.text));
		instance_event(s, i, CHILD_EXIT_TEMPFAIL);
		return;
	}
	FAILPOINT("child_spawned");
	i->pid = pid;
	i->spawned_mono_us = clock_mono_us();
	log_info("started", "instance=%s pid=%d", i->label, pid);
}

/* Why an instance is not up, where it has not said so itself. */
static void explain(struct supervisor *s, struct instance *i)
{
	char text[NOTICE_STATUS_BYTES];

	if (i->child.state == CHILD_BACKOFF && i->last_exit[0])
		snprintf(text, sizeof(text), "%s; again in %" PRId64 " ms",
			 i->last_exit, i->child.backoff_us / 1000);
	else if (i->child.state == CHILD_FAILED && i->bad_config)
		snprintf(text, sizeof(text),
			 "%s; see `pipelinectl logs %s`, mend it and reload",
			 i->last_exit, i->label);
	else if (i->child.state == CHILD_FAILED)
		snprintf(text, sizeof(text),
			 "%s; died over %" PRIu32 " times in %" PRId64
			 " s, see `pipelinectl logs %s`, then start it",
			 i->last_exit, s->policy.restart_burst,
			 s->policy.restart_interval_us / 1000000, i->label);
	else if (i->child.state == CHILD_STOPPED)
		text[0] = '\0';
	else
		return;
	notice_clean(i->status, text, strlen(text));
}

static void log_change(const struct instance *i, enum child_state before)
{
	enum child_state now = i->child.state;
	char quoted[LOG_QUOTE_BYTES];

	if (now == before)
		return;
	if (now == CHILD_FAILED)
		log_error("failed", "instance=%s status=%s", i->label,
			  log_quote(quoted, i->status));
	else if (now == CHILD_BACKOFF)
		log_warn("backoff", "instance=%s status=%s", i->label,
			 log_quote(quoted, i->status));
	else
		log_info(child_state_name(now), "instance=%s", i->label);
}

void instance_event(struct supervisor *s, struct instance *i,
		    enum child_event event)
{
	enum child_state before = i->child.state;
	enum child_order order =
	    child_step(&i->child, event, &s->policy, clock_mono_us());

	s->changes += i->child.state != before;
	explain(s, i);
	log_change(i, before);
	if (order == CHILD_DO_KILL)
		log_warn("killed", "instance=%s pid=%d reason=%s", i->label,
			 i->pid,
			 before == CHILD_READY	    ? "watchdog"
			 : before == CHILD_STARTING ? "start_timeout"
						    : "stop_timeout");
	if (order == CHILD_DO_SPAWN)
		spawn(s, i);
	else if (order == CHILD_DO_TERM && i->pid)
		kill(i->pid, SIGTERM);
	else if (order == CHILD_DO_KILL && i->pid)
		kill(i->pid, SIGKILL);
}

void instance_reload(struct instance *i)
{
	i->reload_due = i->child.state == CHILD_STARTING;
	if (i->child.state == CHILD_READY && i->pid)
		kill(i->pid, SIGHUP);
}

void instance_relink(struct instance *i)
{
	i->relink_due = i->child.state == CHILD_STARTING;
	if (i->child.state == CHILD_READY && i->pid)
		kill(i->pid, SIGUSR1);
}

void instance_notice(struct supervisor *s, struct instance *i,
		     const struct notice *notice)
{
	if (notice->has_status && child_runs(&i->child))
		memcpy(i->status, notice->status, sizeof(i->status));
	if (notice->topology)
		i->follows = notice->topology;
	if (notice->ready)
		instance_event(s, i, CHILD_SAYS_READY);
	if (notice->ready && i->reload_due)
		instance_reload(i);
	if (notice->ready && i->relink_due)
		instance_relink(i);
	/* A STATUS= alone proves no turn of the loop: it does not feed the
	 * watchdog of a ready process. */
	if (notice->alive ||
	    (notice->has_status && i->child.state == CHILD_STARTING))
		instance_event(s, i, CHILD_SAYS_ALIVE);
	if (notice->stopping)
		instance_event(s, i, CHILD_SAYS_STOPPING);
}

struct instance *instance_of_pid(struct supervisor *s, pid_t pid)
{
	for (uint32_t n = 0; pid > 0 && n < s->instance_count; n++)
		if (s->instances[n]->pid == pid)
			return s->instances[n];
	return NULL;
}

static void describe_exit(struct instance *i, int status)
{
	if (WIFSIGNALED(status))
		snprintf(i->last_exit, sizeof(i->last_exit),
			 "killed by signal %d (%s)", WTERMSIG(status),
			 sigdescr_np(WTERMSIG(status))
			     ? sigdescr_np(WTERMSIG(status))
			     : "unknown");
	else
		snprintf(i->last_exit, sizeof(i->last_exit),
			 "ended with exit code %d%s", WEXITSTATUS(status),
			 WEXITSTATUS(status) == CONTROL_EXIT_CONFIG
			     ? " (bad configuration)"
			 : WEXITSTATUS(status) == CONTROL_EXIT_TEMPFAIL
			     ? " (to be tried again)"
			     : "");
}

static void reaped(struct supervisor *s, struct instance *i, int status)
{
	enum child_event event = CHILD_EXIT;

	log_info("ended", "instance=%s pid=%d status=%d signal=%d", i->label,
		 i->pid, WIFEXITED(status) ? WEXITSTATUS(status) : -1,
		 WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	FAILPOINT("child_reaped");
	logpipe_drain(&i->log);
	i->pid = 0;
	describe_exit(i, status);
	if (WIFEXITED(status) && WEXITSTATUS(status) == CONTROL_EXIT_CONFIG)
		event = CHILD_EXIT_CONFIG;
	if (WIFEXITED(status) && WEXITSTATUS(status) == CONTROL_EXIT_TEMPFAIL)
		event = CHILD_EXIT_TEMPFAIL;
	i->bad_config = event == CHILD_EXIT_CONFIG;
	instance_event(s, i, event);
}

void instances_reap(struct supervisor *s)
{
	for (;;) {
		siginfo_t info = {0};
		struct instance *i;
		int status;

		/* Not reaped yet, so that neither its pid nor its process
		 * group can be another's when the group is killed. */
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
		    info.si_pid == 0)
			return;
		i = instance_of_pid(s, info.si_pid);
		if (i)
			kill(-info.si_pid, SIGKILL);
		if (waitpid(info.si_pid, &status, 0) != info.si_pid)
			return;
		if (i)
			reaped(s, i, status);
	}
}

int64_t instances_deadline(struct supervisor *s, int64_t now)
{
	int64_t next = 0;

	for (uint32_t n = 0; n < s->instance_count; n++) {
		struct instance *i = s->instances[n];
		int64_t at = i->child.deadline_mono_us;

		if (at && at <= now) {
			instance_event(s, i, CHILD_DEADLINE);
			at = i->child.deadline_mono_us;
		}
		if (at && (!next || at < next))
			next = at;
	}
	return next;
}
