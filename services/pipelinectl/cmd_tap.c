/* tap: events as they pass, from the taps beside the producers. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/durable.h"
#include "base/text.h"
#include "bus/bus.h"
#include "contract/contract.h"
#include "proto/control.h"
#include "services/kinds.h"
#include "services/pipelinectl/cmd.h"
#include "services/pipelinectl/control.h"

#define MOST_TAPS	    256
#define MOST_TOPOLOGY_BYTES (4u << 20)
#define LOOK_US		    INT64_C(1000000)

struct one_tap {
	char endpoint[256];
	struct bus_tap_in *in;
};

struct tapping {
	const struct options *o;
	const struct place *place;
	struct loop *loop;
	struct bus *bus;
	struct loop_timer look;
	char link[64];
	char topic[200];
	struct one_tap taps[MOST_TAPS];
	size_t tap_count;
	uint32_t shown;
	uint64_t left_out, told; /* events that were not shown */
};

/* ---- who feeds the link ---- */

static cJSON *read_topology(const struct place *place, struct err *err)
{
	char *path = xasprintf("%s/%s", place->run_dir, CONTROL_TOPOLOGY);
	cJSON *topology = NULL;
	char *text = NULL;
	size_t bytes;

	if (durable_read(path, MOST_TOPOLOGY_BYTES, &text, &bytes, err) == 0) {
		topology = cJSON_ParseWithLength(text, bytes);
		if (!topology)
			err_set(err, EPROTO, "%s is damaged; restart weftd",
				path);
	}
	free(text);
	free(path);
	return topology;
}

static const struct conf_kind *kind_of(const cJSON *service)
{
	const char *name = control_text(service, "kind");

	for (size_t i = 0; i < weft_kinds.count; i++)
		if (strcmp(weft_kinds.kinds[i].name, name) == 0)
			return &weft_kinds.kinds[i];
	return NULL;
}

static bool is_sink_link(const cJSON *services, const char *link)
{
	const cJSON *one;

	cJSON_ArrayForEach (one, services) {
		const struct conf_kind *kind = kind_of(one);

		if (kind && (kind->flags & KIND_SINK) &&
		    strcmp(control_text(one, "link"), link) == 0)
			return true;
	}
	return false;
}

static bool feeds(const cJSON *services, const cJSON *service, const char *link)
{
	const struct conf_kind *kind = kind_of(service);

	if (!kind || !*link)
		return false;
	return strcmp(kind->out, link) == 0 ||
	       (strcmp(kind->out, "*") == 0 && is_sink_link(services, link));
}

static bool is_fed(const cJSON *services, const char *link)
{
	const cJSON *one;

	cJSON_ArrayForEach (one, services) {
		if (feeds(services, one, link))
			return true;
	}
	return false;
}

/* The link that was asked for, or the first of a sink. */
static int choose_link(struct tapping *t, const cJSON *services,
		       struct err *err)
{
	struct buf known = {0};
	const cJSON *one;

	if (t->o->link)
		snprintf(t->link, sizeof(t->link), "%s", t->o->link);
	cJSON_ArrayForEach (one, services) {
		const char *link = control_text(one, "link");

		if (!t->o->link && !t->link[0] && is_sink_link(services, link))
			snprintf(t->link, sizeof(t->link), "%s", link);
		if (*link)
			buf_printf(&known, "%s%s", known.used ? ", " : "",
				   link);
	}
	if (is_fed(services, t->link)) {
		buf_free(&known);
		return 0;
	}
	err_set(err, EINVAL, "no service feeds link \"%s\"; there is %s",
		t->link, known.used ? buf_str(&known) : "none");
	buf_free(&known);
	return -1;
}

/* ---- which stream ---- */

static int check_name(const struct contract_set *set, const char *stream,
		      struct err *err)
{
	uint32_t count = contract_set_count(set);
	const char **names = xcalloc(count + 1, sizeof(*names));
	const char *near;

	for (uint32_t i = 0; i < count; i++)
		names[i] = contract_set_at(set, i)->name;
	near = text_nearest(stream, names, count);
	free(names);
	if (contract_set_find(set, stream, strlen(stream)))
		return 0;
	return err_set(err, EINVAL,
		       "no contract has the name \"%s\"%s%s%s; a stream is "
		       "called as its contract is",
		       stream, near ? ": did you mean \"" : "",
		       near ? near : "", near ? "\"?" : "");
}

/* A stream that does not exist would be waited for in vain. */
static int check_stream(const struct options *o, struct err *err)
{
	static const uint8_t any_secret[32] = {0};
	struct contract_report problems = {0};
	struct conf_report report = {0};
	struct contract_set *set = NULL;
	struct conf *conf = NULL;
	int rc = 0;

	if (!o->target_text)
		return 0;
	/* With a file that has become wrong there is nothing to check by. */
	if (conf_load(&conf, o->config, &weft_kinds, &report) == 0 &&
	    contract_set_load(&set, conf->pipeline->contracts, any_secret,
			      sizeof(any_secret), &problems) == 0)
		rc = check_name(set, o->target_text, err);
	contract_set_unref(&set);
	contract_report_free(&problems);
	conf_report_free(&report);
	conf_free(&conf);
	return rc;
}

/* ---- showing ---- */

static void show(void *arg, const char *message, size_t bytes)
{
	struct tapping *t = arg;
	const char *end = message + bytes, *at = message;

	/* Link, stream, how many were left out; then the events. */
	for (int line = 0; line < 3; line++) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));

		if (!stop)
			return;
		if (line == 2)
			t->left_out += strtoull(at, NULL, 10);
		at = stop + 1;
	}
	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));

		if (!stop || (t->o->has_lines && t->shown == t->o->lines))
			break;
		fwrite(at, 1, (size_t)(stop + 1 - at), stdout);
		t->shown++;
		at = stop + 1;
	}
	if (fflush(stdout) != 0 || (t->o->has_lines && t->shown == t->o->lines))
		loop_stop(t->loop);
}

static void tell_left_out(struct tapping *t)
{
	if (t->left_out != t->told)
		fprintf(stderr, "%" PRIu64 " more passed, and are not shown\n",
			t->left_out - t->told);
	t->told = t->left_out;
}

/* ---- taps come and go with instances ---- */

static int add_tap(struct tapping *t, const char *row, unsigned instance,
		   struct err *err)
{
	struct one_tap *one = &t->taps[t->tap_count];

	if (t->tap_count == MOST_TAPS)
		return 0;
	snprintf(one->endpoint, sizeof(one->endpoint), "ipc://%s/" CONTROL_TAP,
		 t->place->run_dir, row, instance);
	for (size_t i = 0; i < t->tap_count; i++)
		if (strcmp(t->taps[i].endpoint, one->endpoint) == 0)
			return 0;
	if (bus_tap_in_open(&one->in, t->bus, one->endpoint, t->topic, show, t,
			    err) != 0)
		return -1;
	t->tap_count++;
	return 0;
}

static int add_taps(struct tapping *t, const cJSON *services, struct err *err)
{
	const cJSON *one;

	cJSON_ArrayForEach (one, services) {
		int count = (int)control_number(one, "instances", 0);

		for (int n = 0; feeds(services, one, t->link) && n < count; n++)
			if (add_tap(t, control_text(one, "name"), (unsigned)n,
				    err) != 0)
				return -1;
	}
	return 0;
}

/* Instances that were added since; those that left say nothing. */
static void on_look(void *arg)
{
	struct tapping *t = arg;
	struct err err;
	cJSON *topology = read_topology(t->place, &err);

	if (topology)
		(void)!add_taps(t, cJSON_GetObjectItem(topology, "services"),
				&err);
	cJSON_Delete(topology);
	tell_left_out(t);
	loop_timer_set(t->loop, &t->look, clock_mono_us() + LOOK_US);
}

static int prepare(struct tapping *t, struct err *err)
{
	cJSON *topology = read_topology(t->place, err);
	const cJSON *services = cJSON_GetObjectItem(topology, "services");
	int rc = -1;

	if (topology && choose_link(t, services, err) == 0 &&
	    check_stream(t->o, err) == 0) {
		snprintf(t->topic, sizeof(t->topic), "%s\n%s%s", t->link,
			 t->o->target_text ? t->o->target_text : "",
			 t->o->target_text ? "\n" : "");
		rc = add_taps(t, services, err);
	}
	cJSON_Delete(topology);
	return rc;
}

static int tap(const struct options *o, const struct place *place)
{
	struct tapping *t = xcalloc(1, sizeof(*t));
	struct err err;
	int rc = CMD_OK;

	t->o = o;
	t->place = place;
	t->loop = loop_new();
	t->bus = bus_new(t->loop);
	t->look = (struct loop_timer){.fn = on_look, .arg = t};
	if (prepare(t, &err) != 0)
		rc = control_report(o, &err);
	if (rc == CMD_OK && !(o->has_lines && !o->lines)) {
		loop_timer_set(t->loop, &t->look, clock_mono_us() + LOOK_US);
		loop_run(t->loop);
		tell_left_out(t);
	}
	for (size_t i = 0; i < t->tap_count; i++)
		bus_tap_in_close(&t->taps[i].in);
	loop_timer_cancel(t->loop, &t->look);
	bus_free(&t->bus);
	loop_free(&t->loop);
	free(t);
	return rc;
}

int cmd_tap(int argc, char **argv)
{
	cJSON *request, *answer;
	struct place place;
	struct options o;
	struct err err;
	int rc = options_read(argc, argv, OPTIONS_TAP, &o);

	if (rc != 0)
		return rc;
	/* Only to see that it runs, and that this user may look into it. */
	request = control_request("status", &o);
	rc = control_simply(&o, &request, &answer);
	if (rc != CMD_OK)
		return rc;
	cJSON_Delete(answer);
	if (place_find(&place, o.config, &err) != 0)
		return control_report(&o, &err);
	rc = tap(&o, &place);
	place_free(&place);
	return rc;
}
