/* stop, restart and reload: one question each. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "services/pipelinectl/cmd.h"
#include "services/pipelinectl/control.h"
#include "services/pipelinectl/pipeline.h"

/* The drain has a time limit of its own for each stage; ours is for all. */
#define STOP_TIMEOUT_US INT64_C(3600000000)
#define EXIT_TIMEOUT_MS 10000

/* A handle on weftd's process, as the kernel names it; -1 without one. */
static int open_weftd(int fd)
{
	struct ucred who;
	socklen_t bytes = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &bytes) != 0 ||
	    who.pid <= 0)
		return -1;
	return pidfd_open(who.pid, 0);
}

/*
 * weftd's sockets close a moment before the process is gone; a start right
 * after must find its lock free.
 */
static void await_exit(int pidfd)
{
	struct pollfd one = {.fd = pidfd, .events = POLLIN};

	if (pidfd >= 0)
		poll(&one, 1, EXIT_TIMEOUT_MS);
}

static int say(const struct options *o, bool was_running, const char *text)
{
	cJSON *json;

	if (!o->json) {
		puts(text);
		return CMD_OK;
	}
	json = cJSON_CreateObject();
	cJSON_AddTrueToObject(json, "ok");
	cJSON_AddBoolToObject(json, "was_running", was_running);
	control_print(&json);
	return CMD_OK;
}

static int shut_down(const struct options *o, int fd)
{
	cJSON *request = control_request("shutdown", o);
	int pidfd = open_weftd(fd);
	struct err err;
	cJSON *answer = control_ask(fd, &request, 10000000, &err);
	int rc = CMD_OK;

	if (!answer || control_wait_end(fd, STOP_TIMEOUT_US, &err) != 0)
		rc = control_report(o, &err);
	else
		await_exit(pidfd);
	if (pidfd >= 0)
		close(pidfd);
	cJSON_Delete(answer);
	return rc;
}

int pipeline_stop(const struct options *o, bool quiet)
{
	struct place place;
	struct err err;
	int fd, rc;

	if (place_find(&place, o->config, &err) != 0)
		return control_report(o, &err);
	fd = control_connect(&place, &err);
	if (fd >= 0) {
		rc = shut_down(o, fd);
		close(fd);
		if (rc == CMD_OK && !quiet)
			rc = say(o, true, "stopped");
	} else if (err.code == ENOENT || err.code == ECONNREFUSED) {
		rc = quiet ? CMD_OK
			   : say(o, false,
				 "not running, so there is nothing to stop");
	} else {
		rc = control_report(o, &err);
	}
	place_free(&place);
	return rc;
}

/* An operation on one service that answers when it is done. */
static int on_service(const struct options *o, const char *op, const char *done)
{
	cJSON *request = control_request(op, o);
	cJSON *answer;
	int rc = control_simply(o, &request, &answer);

	if (rc == CMD_OK && o->json)
		control_print(&answer);
	else if (rc == CMD_OK)
		printf("%s %s\n", o->target_text, done);
	cJSON_Delete(answer);
	return rc;
}

int cmd_stop(int argc, char **argv)
{
	struct options o;
	int rc = options_read(
	    argc, argv, OPTIONS_JSON | OPTIONS_TIMEOUT | OPTIONS_TARGET, &o);

	if (rc != 0)
		return rc;
	return o.target.name[0] ? on_service(&o, "stop", "is stopped")
				: pipeline_stop(&o, false);
}

int cmd_restart(int argc, char **argv)
{
	struct options o;
	int rc = options_read(
	    argc, argv, OPTIONS_JSON | OPTIONS_TIMEOUT | OPTIONS_TARGET, &o);

	if (rc != 0)
		return rc;
	if (o.target.name[0])
		return on_service(&o, "restart", "is ready again");
	rc = pipeline_stop(&o, true);
	return rc == CMD_OK ? pipeline_start(&o) : rc;
}

static void print_names(const cJSON *list, const char *what)
{
	const cJSON *one;

	cJSON_ArrayForEach (one, list)
		printf("%s %s\n", what, one->valuestring);
}

static void print_needs(const cJSON *list)
{
	const cJSON *one, *key;

	cJSON_ArrayForEach (one, list) {
		const char *service = control_text(one, "service");

		printf("changed, but read only at a start:");
		cJSON_ArrayForEach (key, cJSON_GetObjectItem(one, "keys"))
			printf(" %s.%s", service, key->valuestring);
		if (strcmp(service, "pipeline") == 0)
			printf("; `pipelinectl restart` applies it\n");
		else
			printf("; `pipelinectl restart %s` applies it\n",
			       service);
	}
}

int cmd_reload(int argc, char **argv)
{
	struct options o;
	cJSON *request, *answer;
	int rc = options_read(argc, argv, OPTIONS_JSON | OPTIONS_TIMEOUT, &o);

	if (rc != 0)
		return rc;
	request = control_request("reload", &o);
	rc = control_simply(&o, &request, &answer);
	if (rc != CMD_OK)
		return rc;
	if (o.json) {
		control_print(&answer);
		return CMD_OK;
	}
	printf("the configuration was taken over\n");
	print_names(cJSON_GetObjectItem(answer, "started"), "started");
	print_names(cJSON_GetObjectItem(answer, "stopped"), "stopping");
	print_needs(cJSON_GetObjectItem(answer, "needs_restart"));
	cJSON_Delete(answer);
	return CMD_OK;
}
