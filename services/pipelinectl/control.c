#include "services/pipelinectl/control.h"

#include <errno.h>
#include <libconfig.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "conf/conf.h"
#include "proto/control.h"
#include "services/kinds.h"
#include "services/pipelinectl/cmd.h"

/* -- the place -- */

static void take_place(struct place *p, const char *run_dir,
		       const char *log_dir)
{
	p->run_dir = xstrdup(run_dir);
	p->log_dir = xstrdup(log_dir);
	p->socket = xasprintf("%s/%s", run_dir, CONTROL_SOCKET);
}

/* A path of a broken file: the key's value or its default, made absolute. */
static char *lenient_path(const config_t *file, const char *key,
			  const char *folder, const char *otherwise)
{
	const char *text = otherwise;

	config_lookup_string(file, key, &text);
	return text[0] == '/' ? xstrdup(text)
			      : xasprintf("%s/%s", folder, text);
}

/* libconfig keeps what it had read before a syntax error. */
static int place_of_broken(struct place *p, const char *path)
{
	char absolute[PATH_MAX];
	char *folder, *run_dir, *state_dir, *log_dir, *by_default;
	config_t file;

	if (!realpath(path, absolute))
		return -1;
	folder = dirname(absolute);
	config_init(&file);
	(void)config_read_file(&file, path);
	if (!config_lookup(&file, "pipeline")) {
		config_destroy(&file);
		return -1;
	}
	run_dir = lenient_path(&file, "pipeline.run_dir", folder, "/run/weft");
	state_dir =
	    lenient_path(&file, "pipeline.state_dir", folder, "/var/lib/weft");
	by_default = xasprintf("%s/%s", state_dir, CONTROL_LOG_DIR);
	log_dir = lenient_path(&file, "pipeline.log_dir", folder, by_default);
	take_place(p, run_dir, log_dir);
	free(by_default);
	free(log_dir);
	free(state_dir);
	free(run_dir);
	config_destroy(&file);
	return 0;
}

int place_find(struct place *p, const char *config, struct err *err)
{
	struct conf_report report = {0};
	struct conf *conf = NULL;
	int rc = 0;

	*p = (struct place){0};
	if (conf_load(&conf, config, &weft_kinds, &report) == 0) {
		take_place(p, conf->pipeline->run_dir, conf->pipeline->log_dir);
	} else if (!config || place_of_broken(p, config) != 0) {
		err_set(err, EINVAL, "%s", buf_str(&report.lines));
		rc = -1;
	}
	conf_free(&conf);
	conf_report_free(&report);
	return rc;
}

void place_free(struct place *p)
{
	free(p->run_dir);
	free(p->log_dir);
	free(p->socket);
	*p = (struct place){0};
}

/* -- one question -- */

cJSON *control_request(const char *op, const struct options *o)
{
	cJSON *request = cJSON_CreateObject();
	int64_t timeout_ms = o->timeout_us / 1000;

	cJSON_AddStringToObject(request, "op", op);
	cJSON_AddNumberToObject(request, "timeout_ms", (double)timeout_ms);
	if (o->target.name[0])
		cJSON_AddStringToObject(request, "service", o->target.name);
	if (o->target.instance >= 0)
		cJSON_AddNumberToObject(request, "instance",
					o->target.instance);
	return request;
}

int control_connect(const struct place *p, struct err *err)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd, code;

	if (strlen(p->socket) >= sizeof(at.sun_path))
		return err_set(err, ENAMETOOLONG,
			       "%s is too long for a socket; choose a shorter "
			       "run_dir",
			       p->socket);
	memcpy(at.sun_path, p->socket, strlen(p->socket) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(err, errno, "cannot make a socket");
	if (connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
		return fd;
	code = errno;
	close(fd);
	if (code == ENOENT || code == ECONNREFUSED)
		return err_set(err, code,
			       "not running: no weftd listens on %s; start it "
			       "with `pipelinectl start`",
			       p->socket);
	if (code == EACCES)
		return err_set(err, code,
			       "%s is another user's; run this as root or as "
			       "the user that runs weftd",
			       p->socket);
	return err_errno(err, code, "cannot reach weftd on %s", p->socket);
}

static int await(int fd, int64_t until_mono_us, struct err *err)
{
	struct pollfd one = {.fd = fd, .events = POLLIN};
	int64_t left_us = until_mono_us - clock_mono_us();
	int n;

	do
		n = poll(&one, 1, left_us > 0 ? (int)(left_us / 1000 + 1) : 0);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return 0;
	return err_set(err, ETIMEDOUT,
		       "weftd did not answer in time; see "
		       "`pipelinectl logs weftd`");
}

static int send_all(int fd, const char *data, size_t bytes, struct err *err)
{
	while (bytes) {
		ssize_t n = send(fd, data, bytes, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_errno(err, errno, "cannot ask weftd");
		data += n;
		bytes -= (size_t)n;
	}
	return 0;
}

static int read_line(int fd, int64_t until_mono_us, struct buf *line,
		     struct err *err)
{
	while (!line->used || line->data[line->used - 1] != '\n') {
		ssize_t n;

		if (line->used > CONTROL_MAX_ANSWER_BYTES)
			return err_set(err, EPROTO,
				       "weftd's answer is too long");
		if (await(fd, until_mono_us, err) != 0)
			return -1;
		buf_reserve(line, 16384);
		n = recv(fd, line->data + line->used, 16384, 0);
		if (n == 0)
			return err_set(err, ECONNRESET,
				       "weftd ended before it answered");
		if (n < 0 && errno != EINTR)
			return err_errno(err, errno, "cannot read from weftd");
		line->used += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

cJSON *control_ask(int fd, cJSON **request, int64_t timeout_us, struct err *err)
{
	char *text = cJSON_PrintUnformatted(*request);
	struct buf line = {0};
	cJSON *answer = NULL;

	cJSON_Delete(*request);
	*request = NULL;
	buf_text(&line, text);
	buf_char(&line, '\n');
	free(text);
	if (send_all(fd, line.data, line.used, err) != 0)
		goto out;
	buf_clear(&line);
	if (read_line(fd, clock_mono_us() + timeout_us, &line, err) != 0)
		goto out;
	answer = cJSON_ParseWithLength(line.data, line.used);
	if (!cJSON_IsObject(answer)) {
		err_set(err, EPROTO,
			"weftd's answer is no JSON object; is it "
			"of another version?");
		cJSON_Delete(answer);
		answer = NULL;
	}
out:
	buf_free(&line);
	return answer;
}

int control_wait_end(int fd, int64_t timeout_us, struct err *err)
{
	int64_t until = clock_mono_us() + timeout_us;
	char data[256];
	ssize_t n;

	do {
		if (await(fd, until, err) != 0)
			return err_set(err, ETIMEDOUT,
				       "the pipeline has not stopped in time; "
				       "`pipelinectl status` says what runs");
		n = recv(fd, data, sizeof(data), 0);
	} while (n > 0 || (n < 0 && errno == EINTR));
	return 0;
}

/* -- what commands have in common -- */

int control_report(const struct options *o, const struct err *err)
{
	bool absent = err->code == ENOENT || err->code == ECONNREFUSED;
	size_t bytes = strlen(err->text);

	if (o->json) {
		cJSON *json = cJSON_CreateObject();

		cJSON_AddFalseToObject(json, "ok");
		cJSON_AddStringToObject(json, "code",
					absent ? "not_running" : "failed");
		cJSON_AddStringToObject(json, "error", err->text);
		control_print(&json);
	} else {
		fprintf(stderr, "%s%s", err->text,
			bytes && err->text[bytes - 1] == '\n' ? "" : "\n");
	}
	return absent ? CMD_NOT_RUNNING : CMD_FAILED;
}

static int refused(const struct options *o, cJSON **answer)
{
	const char *error = control_text(*answer, "error");
	size_t bytes = strlen(error);

	if (o->json) {
		control_print(answer);
		return CMD_FAILED;
	}
	fprintf(stderr, "%s%s%s", control_text(*answer, "lines"), error,
		bytes && error[bytes - 1] == '\n' ? "" : "\n");
	cJSON_Delete(*answer);
	*answer = NULL;
	return CMD_FAILED;
}

int control_simply(const struct options *o, cJSON **request, cJSON **answer)
{
	/* weftd keeps the time itself; ours is for one that hangs. */
	int64_t patience_us = o->timeout_us + 10000000;
	struct place place;
	struct err err;
	int fd = -1, rc = CMD_OK;

	*answer = NULL;
	if (place_find(&place, o->config, &err) == 0)
		fd = control_connect(&place, &err);
	if (fd >= 0)
		*answer = control_ask(fd, request, patience_us, &err);
	if (!*answer)
		rc = control_report(o, &err);
	else if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(*answer, "ok")))
		rc = refused(o, answer);
	if (fd >= 0)
		close(fd);
	cJSON_Delete(*request);
	*request = NULL;
	place_free(&place);
	return rc;
}

const char *control_text(const cJSON *object, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	return cJSON_IsString(item) ? item->valuestring : "";
}

double control_number(const cJSON *object, const char *name, double otherwise)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	return cJSON_IsNumber(item) ? item->valuedouble : otherwise;
}

void control_print(cJSON **json)
{
	char *text = cJSON_PrintUnformatted(*json);

	puts(text);
	free(text);
	cJSON_Delete(*json);
	*json = NULL;
}
