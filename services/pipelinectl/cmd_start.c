#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "proto/control.h"
#include "services/pipelinectl/cmd.h"
#include "services/pipelinectl/control.h"
#include "services/pipelinectl/libexec.h"
#include "services/pipelinectl/pipeline.h"

#define REPORT_BYTES (1 << 20)

static _Noreturn void become_weftd(const char *path, const char *config,
				   bool daemon)
{
	const char *argv[5] = {path};
	int n = 1;

	if (daemon)
		argv[n++] = "--daemon";
	if (config) {
		argv[n++] = "--config";
		argv[n++] = config;
	}
	execv(path, (char *const *)(uintptr_t)argv);
	fprintf(stderr, "cannot execute %s: %s\n", path, strerror(errno));
	_exit(CMD_FAILED);
}

/* Forks weftd into a session of its own; *report reads what it says. */
static pid_t launch(const char *path, const char *config, int *report,
		    struct err *err)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return err_errno(err, errno, "cannot make a pipe");
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

		setsid();
		if (dup2(null_fd, STDIN_FILENO) < 0 ||
		    dup2(ends[1], STDOUT_FILENO) < 0 ||
		    dup2(ends[1], STDERR_FILENO) < 0)
			_exit(CMD_FAILED);
		become_weftd(path, config, true);
	}
	close(ends[1]);
	*report = ends[0];
	if (pid < 0) {
		close(ends[0]);
		return err_errno(err, errno, "cannot fork");
	}
	return pid;
}

/* Reads until weftd closes its end: it is up, or it has said why not. */
static int read_report(int fd, int64_t until_mono_us, struct buf *text)
{
	while (text->used < REPORT_BYTES) {
		struct pollfd one = {.fd = fd, .events = POLLIN};
		int64_t left_us = until_mono_us - clock_mono_us();
		ssize_t n;

		n = poll(&one, 1, left_us > 0 ? (int)(left_us / 1000 + 1) : 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		buf_reserve(text, 4096);
		n = read(fd, text->data + text->used, 4096);
		if (n <= 0)
			return 0;
		text->used += (size_t)n;
	}
	return 0;
}

static int running_state(const struct place *p, const struct options *o,
			 cJSON **status)
{
	cJSON *request = control_request("status", o);
	struct err err;
	int fd = control_connect(p, &err);

	*status = NULL;
	if (fd >= 0) {
		*status = control_ask(fd, &request, 5000000, &err);
		close(fd);
	}
	cJSON_Delete(request);
	return *status ? 0 : -1;
}

/* Waits for weftd's end after a start that it takes back. */
static bool has_ended(const struct place *p, const struct options *o, pid_t pid)
{
	cJSON *status = NULL;
	bool stays = running_state(p, o, &status) == 0 &&
		     strcmp(control_text(status, "state"), "stopping") != 0;

	cJSON_Delete(status);
	return !stays && waitpid(pid, NULL, 0) == pid;
}

/*
 * Takes the verdict off the end of what weftd said. What stands before it (a
 * warning, the dynamic linker) did not keep it from starting.
 */
static bool take_verdict(struct buf *text)
{
	size_t bytes = strlen(CONTROL_READY_LINE);

	if (text->used < bytes || memcmp(text->data + text->used - bytes,
					 CONTROL_READY_LINE, bytes) != 0)
		return false;
	text->used -= bytes;
	return true;
}

static int say_failed(const struct options *o, struct buf *text, bool ended)
{
	if (text->used && text->data[text->used - 1] != '\n')
		buf_char(text, '\n');
	buf_text(text, ended ? "The pipeline was not started.\n"
			     : "The other services run: see `pipelinectl "
			       "status`; `pipelinectl stop` stops them.\n");
	if (o->json) {
		cJSON *json = cJSON_CreateObject();

		cJSON_AddFalseToObject(json, "ok");
		cJSON_AddStringToObject(json, "code", "failed");
		cJSON_AddBoolToObject(json, "running", !ended);
		cJSON_AddStringToObject(json, "error", buf_str(text));
		control_print(&json);
	} else {
		fputs(buf_str(text), stderr);
	}
	return CMD_FAILED;
}

static int say_late(const struct place *p, const struct options *o)
{
	struct buf text = {0};
	cJSON *status, *one;
	int rc;

	buf_printf(&text, "Not all is ready after %" PRId64 " s:\n",
		   o->timeout_us / 1000000);
	if (running_state(p, o, &status) == 0) {
		const cJSON *list = cJSON_GetObjectItem(status, "services");

		cJSON_ArrayForEach (one, list) {
			const char *state = control_text(one, "state");

			if (strcmp(state, "ready") == 0)
				continue;
			buf_printf(&text, "  %s.%d is %s: %s\n",
				   control_text(one, "service"),
				   (int)control_number(one, "instance", 0),
				   state, control_text(one, "status"));
		}
		cJSON_Delete(status);
	}
	rc = say_failed(o, &text, false);
	buf_free(&text);
	return rc;
}

static int say_running(const struct place *p, const struct options *o,
		       int64_t began_mono_us, bool before)
{
	cJSON *status;
	int services;

	if (running_state(p, o, &status) != 0) {
		fprintf(stderr, "weftd has ended; see `pipelinectl "
				"logs weftd`\n");
		return CMD_FAILED;
	}
	services = cJSON_GetArraySize(cJSON_GetObjectItem(status, "services"));
	if (o->json)
		control_print(&status);
	else if (before)
		printf("%s runs already, weftd has pid %d\n",
		       control_text(status, "pipeline"),
		       (int)control_number(status, "pid", 0));
	else
		printf("%s runs: %d process%s ready in %.1f s\n",
		       control_text(status, "pipeline"), services,
		       services == 1 ? "" : "es",
		       (double)(clock_mono_us() - began_mono_us) / 1e6);
	cJSON_Delete(status);
	return CMD_OK;
}

static int start_and_wait(const struct place *p, const struct options *o,
			  const char *weftd)
{
	int64_t began = clock_mono_us();
	struct buf text = {0};
	struct err err;
	int report = -1, rc;
	pid_t pid = launch(weftd, o->config, &report, &err);

	if (pid < 0)
		return control_report(o, &err);
	if (read_report(report, began + o->timeout_us, &text) != 0)
		rc = say_late(p, o);
	else if (!take_verdict(&text))
		rc = say_failed(o, &text, has_ended(p, o, pid));
	else
		rc = say_running(p, o, began, false);
	if (rc == CMD_OK)
		fputs(buf_str(&text), stderr);
	close(report);
	buf_free(&text);
	return rc;
}

int pipeline_start(const struct options *o)
{
	char weftd[PATH_MAX];
	struct place place;
	struct err err;
	int fd, rc;

	if (libexec_find("weftd", weftd, &err) != 0)
		return control_report(o, &err) == CMD_OK ? CMD_OK : CMD_FAILED;
	if (o->foreground)
		become_weftd(weftd, o->config, false);
	if (place_find(&place, o->config, &err) != 0)
		return control_report(o, &err);
	fd = control_connect(&place, &err);
	if (fd >= 0) {
		close(fd);
		rc = say_running(&place, o, 0, true);
	} else if (err.code == ENOENT || err.code == ECONNREFUSED) {
		rc = start_and_wait(&place, o, weftd);
	} else {
		rc = control_report(o, &err);
	}
	place_free(&place);
	return rc;
}

static int start_service(const struct options *o)
{
	cJSON *request = control_request("start", o);
	cJSON *answer;
	int rc = control_simply(o, &request, &answer);

	if (rc == CMD_OK && o->json)
		control_print(&answer);
	else if (rc == CMD_OK)
		printf("%s is ready\n", o->target_text);
	cJSON_Delete(answer);
	return rc;
}

int cmd_start(int argc, char **argv)
{
	struct options o;
	int rc = options_read(argc, argv,
			      OPTIONS_JSON | OPTIONS_FOREGROUND |
				  OPTIONS_TIMEOUT | OPTIONS_TARGET,
			      &o);

	if (rc != 0)
		return rc;
	return o.target.name[0] ? start_service(&o) : pipeline_start(&o);
}
