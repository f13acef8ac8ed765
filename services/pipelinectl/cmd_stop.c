/* stop, restart and reload: one question each. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "proto/control.h"
#include "services/pipelinectl/cmd.h"
#include "services/pipelinectl/control.h"
#include "services/pipelinectl/pipeline.h"

#include <stdlib.h>

/* The drain has a time limit of its own for each stage; ours is for all. */
#define STOP_TIMEOUT_US INT64_C(3600000000)
#define LOCK_WAIT_MS	5
#define LOCK_TRIES	400

/*
 * weftd's sockets close a moment before its lock goes; a start right after
 * must find both gone.
 */
static void await_lock(const struct place *p)
{
	char *path = xasprintf("%s/%s", p->run_dir, CONTROL_LOCK);
	int fd = open(path, O_RDWR | O_CLOEXEC);

	for (int i = 0; fd >= 0 && i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			break;
		poll(NULL, 0, LOCK_WAIT_MS);
	}
	if (fd >= 0)
		close(fd);
	free(path);
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

static int shut_down(const struct options *o, const struct place *p, int fd)
{
	cJSON *request = control_request("shutdown", o);
	struct err err;
	cJSON *answer = control_ask(fd, &request, 10000000, &err);
	int rc = CMD_OK;

	if (!answer || control_wait_end(fd, STOP_TIMEOUT_US, &err) != 0)
		rc = control_report(o, &err);
	else
		await_lock(p);
	cJSON_Delete(answer);
	return rc;
}

int pipeline_stop(const struct options *o)
{
	struct place place;
	struct err err;
	int fd, rc;

	if (place_find(&place, o->config, &err) != 0)
		return control_report(o, &err);
	fd = control_connect(&place, &err);
	if (fd >= 0) {
		rc = shut_down(o, &place, fd);
		close(fd);
		if (rc == CMD_OK)
			rc = say(o, true, "stopped");
	} else if (err.code == ENOENT || err.code == ECONNREFUSED) {
		rc = say(o, false, "not running, so there is nothing to stop");
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
				: pipeline_stop(&o);
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
	rc = pipeline_stop(&o);
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
