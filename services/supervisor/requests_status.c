/* The answer to "status". */
#include <cjson/cJSON.h>
#include <unistd.h>

#include "base/clock.h"
#include "services/supervisor/requests_inside.h"

static double ms_between(int64_t from_mono_us, int64_t to_mono_us)
{
	int64_t ms = (to_mono_us - from_mono_us) / 1000;

	return (double)ms;
}

static void add_instance(const struct instance *i, int64_t now, cJSON *to)
{
	const struct child *c = &i->child;

	cJSON_AddStringToObject(to, "service", i->row);
	cJSON_AddNumberToObject(to, "instance", i->number);
	cJSON_AddStringToObject(to, "kind", i->kind->name);
	cJSON_AddStringToObject(to, "state", child_state_name(c->state));
	cJSON_AddNumberToObject(to, "since_ms",
				ms_between(c->since_mono_us, now));
	if (i->pid) {
		cJSON_AddNumberToObject(to, "pid", i->pid);
		cJSON_AddNumberToObject(to, "uptime_ms",
					ms_between(i->spawned_mono_us, now));
	} else {
		cJSON_AddNullToObject(to, "pid");
		cJSON_AddNullToObject(to, "uptime_ms");
	}
	cJSON_AddNumberToObject(to, "restarts", (double)c->restarts);
	cJSON_AddStringToObject(to, "status", i->status);
	cJSON_AddStringToObject(to, "last_exit", i->last_exit);
	cJSON_AddStringToObject(to, "log", i->log.path);
}

static void add_head(const struct supervisor *s, int64_t now, cJSON *to)
{
	char text[CLOCK_TEXT_BYTES];

	cJSON_AddTrueToObject(to, "ok");
	cJSON_AddStringToObject(to, "pipeline", s->conf->pipeline->name);
	cJSON_AddStringToObject(to, "version", WEFT_VERSION);
	cJSON_AddNumberToObject(to, "pid", getpid());
	cJSON_AddStringToObject(to, "state",
				s->stopping	    ? "stopping"
				: start_complete(s) ? "running"
				: !s->start_is_over ? "starting"
						    : "degraded");
	if (s->config_path)
		cJSON_AddStringToObject(to, "config", s->config_path);
	else
		cJSON_AddNullToObject(to, "config");
	cJSON_AddStringToObject(to, "started_at",
				clock_format(s->started_wall_us, text));
	cJSON_AddNumberToObject(to, "uptime_ms",
				ms_between(s->started_mono_us, now));
	cJSON_AddNumberToObject(to, "topology_generation",
				(double)s->generation);
	cJSON_AddNumberToObject(to, "notices_ignored",
				(double)s->notices_ignored);
}

static void add_scaled(const struct supervisor *s, cJSON *to)
{
	cJSON *list = cJSON_AddArrayToObject(to, "scaled");

	for (uint32_t n = 0; n < s->scaled_count; n++) {
		const struct scaled *one = &s->scaled[n];
		cJSON *json = cJSON_CreateObject();

		cJSON_AddItemToArray(list, json);
		cJSON_AddStringToObject(json, "service", one->row);
		cJSON_AddNumberToObject(json, "instances", one->instances);
		cJSON_AddNumberToObject(json, "configured", one->configured);
	}
}

void request_status(struct supervisor *s, const struct request *r,
		    struct buf *answer)
{
	int64_t now = clock_mono_us();
	cJSON *top = cJSON_CreateObject();
	cJSON *list;

	add_head(s, now, top);
	add_scaled(s, top);
	list = cJSON_AddArrayToObject(top, "services");
	for (uint32_t n = 0; n < s->instance_count; n++) {
		cJSON *one;

		if (!request_covers(r, s->instances[n]))
			continue;
		one = cJSON_CreateObject();
		cJSON_AddItemToArray(list, one);
		add_instance(s->instances[n], now, one);
	}
	request_put(answer, top);
}
