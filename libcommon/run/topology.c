#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/durable.h"
#include "base/log.h"
#include "run/notify.h"
#include "run/private.h"

/* As weftd writes it: 64 instances of a row take about 10 KiB. */
#define MAX_BYTES     (4u << 20)
#define MAX_INSTANCES 64
#define VERSION	      1

static double number_of(const cJSON *object, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static void take_row(const cJSON *one, struct conf *conf)
{
	const cJSON *name = cJSON_GetObjectItemCaseSensitive(one, "name");
	double instances = number_of(one, "instances");

	if (!cJSON_IsString(name) || instances < 1 || instances > MAX_INSTANCES)
		return;
	for (uint32_t i = 0; i < conf->service_count; i++)
		if (strcmp(conf->services[i].name, name->valuestring) == 0)
			conf->services[i].instances = (uint32_t)instances;
}

int topology_read(const char *path, struct conf *conf, uint64_t *generation,
		  struct err *err)
{
	char *text = NULL;
	cJSON *top = NULL;
	const cJSON *one;
	size_t bytes;
	int rc = -1;

	if (durable_read(path, MAX_BYTES, &text, &bytes, err) != 0)
		goto out;
	top = cJSON_ParseWithLength(text, bytes);
	if (number_of(top, "version") != VERSION ||
	    number_of(top, "generation") < 1) {
		err_set(err, EPROTO,
			"%s is no topology of version %d; weftd and its "
			"services must be of one release",
			path, VERSION);
		goto out;
	}
	cJSON_ArrayForEach (one, cJSON_GetObjectItem(top, "services"))
		take_row(one, conf);
	*generation = (uint64_t)number_of(top, "generation");
	rc = 0;
out:
	cJSON_Delete(top);
	free(text);
	return rc;
}

void topology_apply(struct run *run, struct conf *conf)
{
	const char *path = getenv("WEFT_TOPOLOGY");
	char quoted[LOG_QUOTE_BYTES];
	struct err err;

	run->generation = 0;
	if (path && topology_read(path, conf, &run->generation, &err) != 0)
		log_error("topology_unreadable",
			  "error=%s hint=\"the numbers of the configuration "
			  "are used; restart weftd\"",
			  log_quote(quoted, err.text));
}

uint64_t run_generation(const struct run *run)
{
	return run->generation;
}

void run_follows(struct run *run, uint64_t generation)
{
	char text[64];

	(void)run;
	if (!generation)
		return;
	snprintf(text, sizeof(text), "X_WEFT_TOPOLOGY=%llu",
		 (unsigned long long)generation);
	notify_send(text);
}
