#include "services/supervisor/requests_inside.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"
#include "proto/control.h"
#include "services/supervisor/supervisor.h"

void request_put(struct buf *answer, cJSON *json)
{
	char *text = cJSON_PrintUnformatted(json);

	buf_text(answer, text);
	buf_char(answer, '\n');
	free(text);
	cJSON_Delete(json);
}

void request_refuse(struct buf *answer, const char *code, const char *fmt, ...)
{
	cJSON *json = cJSON_CreateObject();
	char text[ERR_TEXT_BYTES];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	cJSON_AddFalseToObject(json, "ok");
	cJSON_AddStringToObject(json, "code", code);
	cJSON_AddStringToObject(json, "error", text);
	request_put(answer, json);
}

static void accept_plain(struct buf *answer)
{
	cJSON *json = cJSON_CreateObject();

	cJSON_AddTrueToObject(json, "ok");
	request_put(answer, json);
}

bool request_covers(const struct request *r, const struct instance *i)
{
	return (!r->row[0] || strcmp(r->row, i->row) == 0) &&
	       (r->instance == REQUEST_ALL ||
		(uint32_t)r->instance == i->number);
}

/* -- start, stop, restart -- */

static void event_to_target(struct supervisor *s, const struct request *r,
			    enum child_event event)
{
	for (uint32_t n = 0; n < s->instance_count; n++) {
		struct instance *i = s->instances[n];

		if (request_covers(r, i) && !i->leaving)
			instance_event(s, i, event);
	}
}

static void answer_reload(struct supervisor *s, struct buf *answer)
{
	cJSON *json = cJSON_CreateObject();

	supervisor_reload(s, json);
	request_put(answer, json);
}

static void begin_scale(struct supervisor *s, struct request *r,
			struct buf *answer)
{
	const struct conf_service *row = conf_find_service(s->conf, r->row);
	struct err err;

	if (!r->row[0] || r->instance != REQUEST_ALL || !r->instances) {
		request_refuse(answer, "bad_request",
			       "scale needs a \"service\" and \"instances\"");
		return;
	}
	r->before = row ? row->instances : 0;
	if (scale_row(s, r->row, r->instances, &err) != 0)
		request_refuse(answer, "refused", "%s", err.text);
	else
		r->wait = WAIT_SCALED;
}

/* -- dispatch -- */

enum op {
	OP_STATUS,
	OP_START,
	OP_STOP,
	OP_RESTART,
	OP_RELOAD,
	OP_SHUTDOWN,
	OP_WAIT_READY,
	OP_SCALE,
	OPS,
};

static const char *const op_names[OPS] = {
    "status", "start",	  "stop",	"restart",
    "reload", "shutdown", "wait-ready", "scale",
};

static void carry_out(struct supervisor *s, enum op op, struct request *r,
		      struct buf *answer)
{
	if (s->stopping && op != OP_STATUS && op != OP_SHUTDOWN) {
		request_refuse(answer, "stopping",
			       "the pipeline is being stopped");
		return;
	}
	switch (op) {
	case OP_STATUS:
		request_status(s, r, answer);
		return;
	case OP_START:
		event_to_target(s, r, CHILD_START);
		r->wait = WAIT_READY;
		return;
	case OP_RESTART:
		event_to_target(s, r, CHILD_RESTART);
		r->wait = WAIT_READY;
		return;
	case OP_STOP:
		event_to_target(s, r, CHILD_STOP);
		r->wait = WAIT_STOPPED;
		return;
	case OP_WAIT_READY:
		r->wait = WAIT_READY;
		return;
	case OP_SCALE:
		begin_scale(s, r, answer);
		return;
	case OP_RELOAD:
		answer_reload(s, answer);
		return;
	case OP_SHUTDOWN:
		accept_plain(answer);
		r->wait = WAIT_END;
		shutdown_begin(s, "requested", 0);
		return;
	case OPS:
		return;
	}
}

static bool has_target(struct supervisor *s, const struct request *r,
		       struct buf *answer)
{
	const char **names;
	const char *near;
	uint32_t n;

	for (n = 0; n < s->instance_count; n++)
		if (request_covers(r, s->instances[n]))
			return true;
	if (!r->row[0])
		return true;
	if (conf_find_service(s->conf, r->row)) {
		request_refuse(answer, "unknown_service",
			       "service \"%s\" has no instance %" PRId32,
			       r->row, r->instance);
		return false;
	}
	names = xcalloc(s->instance_count + 1, sizeof(*names));
	for (n = 0; n < s->instance_count; n++)
		names[n] = s->instances[n]->row;
	near = text_nearest(r->row, names, s->instance_count);
	request_refuse(answer, "unknown_service",
		       "no service \"%s\" runs here%s%s%s", r->row,
		       near ? "; did you mean \"" : "", near ? near : "",
		       near ? "\"?" : "");
	free(names);
	return false;
}

static bool read_target(const cJSON *json, struct request *r,
			struct buf *answer)
{
	const cJSON *row = cJSON_GetObjectItemCaseSensitive(json, "service");
	const cJSON *number =
	    cJSON_GetObjectItemCaseSensitive(json, "instance");

	r->instance = REQUEST_ALL;
	if (row && (!cJSON_IsString(row) || !row->valuestring[0] ||
		    strlen(row->valuestring) >= sizeof(r->row))) {
		request_refuse(answer, "bad_request",
			       "\"service\" must be a name of at most %zu "
			       "bytes",
			       sizeof(r->row) - 1);
		return false;
	}
	if (row)
		memcpy(r->row, row->valuestring, strlen(row->valuestring) + 1);
	if (!number)
		return true;
	if (!row || !cJSON_IsNumber(number) ||
	    !(number->valuedouble >= 0 && number->valuedouble < 1000) ||
	    number->valuedouble != (double)number->valueint) {
		request_refuse(answer, "bad_request",
			       "\"instance\" must be a number from 0 beside a "
			       "\"service\"");
		return false;
	}
	r->instance = number->valueint;
	return true;
}

static bool read_instances(const cJSON *json, struct request *r,
			   struct buf *answer)
{
	const cJSON *n = cJSON_GetObjectItemCaseSensitive(json, "instances");

	if (!n)
		return true;
	if (!cJSON_IsNumber(n) ||
	    !(n->valuedouble >= 1 && n->valuedouble < 1000) ||
	    n->valuedouble != (double)n->valueint) {
		request_refuse(answer, "bad_request",
			       "\"instances\" must be a number from 1");
		return false;
	}
	r->instances = (uint32_t)n->valueint;
	return true;
}

static bool read_timeout(const cJSON *json, struct request *r,
			 struct buf *answer)
{
	const cJSON *ms = cJSON_GetObjectItemCaseSensitive(json, "timeout_ms");
	double wait = CONTROL_WAIT_MS;

	if (ms && (!cJSON_IsNumber(ms) ||
		   !(ms->valuedouble >= 0 &&
		     ms->valuedouble <= CONTROL_MAX_WAIT_MS))) {
		request_refuse(answer, "bad_request",
			       "\"timeout_ms\" must be a number from 0 to %d",
			       CONTROL_MAX_WAIT_MS);
		return false;
	}
	if (ms)
		wait = ms->valuedouble;
	r->until_mono_us = clock_mono_us() + (int64_t)(wait * 1000);
	return true;
}

static bool read_op(const cJSON *json, enum op *op, struct buf *answer)
{
	const cJSON *name = cJSON_GetObjectItemCaseSensitive(json, "op");

	for (*op = 0; cJSON_IsString(name) && *op < OPS; (*op)++)
		if (strcmp(name->valuestring, op_names[*op]) == 0)
			return true;
	request_refuse(answer, "bad_request",
		       "\"op\" must be status, start, stop, restart, reload, "
		       "shutdown, wait-ready or scale");
	return false;
}

void request_begin(struct supervisor *s, const char *line, size_t bytes,
		   struct request *r, struct buf *answer)
{
	const char *end = NULL;
	cJSON *json = NULL;
	enum op op;

	*r = (struct request){0};
	/* A NUL would hide what stands behind it. */
	if (!memchr(line, '\0', bytes))
		json = cJSON_ParseWithLengthOpts(line, bytes, &end, 0);
	while (json && end < line + bytes && (*end == ' ' || *end == '\r'))
		end++;
	if (!cJSON_IsObject(json) || end != line + bytes) {
		request_refuse(answer, "bad_request",
			       "a request is one line with one JSON object");
		goto out;
	}
	if (read_op(json, &op, answer) && read_target(json, r, answer) &&
	    read_instances(json, r, answer) && read_timeout(json, r, answer) &&
	    has_target(s, r, answer))
		carry_out(s, op, r, answer);
out:
	cJSON_Delete(json);
}

/* -- waiting -- */

struct tally {
	unsigned all, ready, stopped, failed;
};

static struct tally count(const struct supervisor *s, const struct request *r)
{
	struct tally t = {0};

	for (uint32_t n = 0; n < s->instance_count; n++) {
		const struct instance *i = s->instances[n];

		/* What an operator stopped is not waited for, unless it is
		 * what was asked for. */
		if (!request_covers(r, i))
			continue;
		if (r->wait == WAIT_READY && !r->row[0] &&
		    i->child.state == CHILD_STOPPED)
			continue;
		t.all++;
		t.ready += i->child.state == CHILD_READY;
		t.stopped += !child_runs(&i->child);
		t.failed += i->child.state == CHILD_FAILED;
	}
	return t;
}

static void answer_late(struct supervisor *s, const struct request *r,
			const char *code, struct buf *answer)
{
	struct buf text = {0};
	cJSON *json = cJSON_CreateObject();

	for (uint32_t n = 0; n < s->instance_count; n++) {
		const struct instance *i = s->instances[n];

		if (request_covers(r, i) &&
		    i->child.state !=
			(r->wait == WAIT_STOPPED ? CHILD_STOPPED : CHILD_READY))
			start_explain(i, &text);
	}
	if (!text.used)
		buf_text(&text, "not all that feed it have let go of the old "
				"instances; it goes on");
	cJSON_AddFalseToObject(json, "ok");
	cJSON_AddStringToObject(json, "code", code);
	cJSON_AddStringToObject(json, "error", buf_str(&text));
	request_put(answer, json);
	buf_free(&text);
}

static void answer_scaled(const struct supervisor *s, const struct request *r,
			  struct buf *answer)
{
	const struct conf_service *row = conf_find_service(s->conf, r->row);
	cJSON *json = cJSON_CreateObject();

	cJSON_AddTrueToObject(json, "ok");
	cJSON_AddStringToObject(json, "service", r->row);
	cJSON_AddNumberToObject(json, "before", r->before);
	cJSON_AddNumberToObject(json, "instances", r->instances);
	cJSON_AddNumberToObject(json, "configured", scale_configured(s, row));
	request_put(answer, json);
}

static bool poll_scale(struct supervisor *s, const struct request *r,
		       int64_t now, struct buf *answer)
{
	const struct conf_service *row = conf_find_service(s->conf, r->row);
	bool failed;

	if (!row || row->instances != r->instances)
		request_refuse(answer, "refused",
			       "another scale or a reload came in between");
	else if (scale_is_done(s, r->row, &failed))
		answer_scaled(s, r, answer);
	else if (failed)
		answer_late(s, r, "failed", answer);
	else if (now >= r->until_mono_us)
		answer_late(s, r, "timeout", answer);
	else
		return false;
	return true;
}

bool request_poll(struct supervisor *s, const struct request *r, int64_t now,
		  struct buf *answer)
{
	struct tally t;

	if (r->wait == WAIT_END)
		return false;
	if (r->wait == WAIT_SCALED && !s->stopping)
		return poll_scale(s, r, now, answer);
	t = count(s, r);
	if (r->wait == WAIT_READY ? t.ready == t.all : t.stopped == t.all)
		accept_plain(answer);
	else if (r->wait == WAIT_READY && t.failed)
		answer_late(s, r, "failed", answer);
	else if (s->stopping)
		request_refuse(answer, "stopping",
			       "the pipeline is being stopped");
	else if (now >= r->until_mono_us)
		answer_late(s, r, "timeout", answer);
	else
		return false;
	return true;
}
