#include "services/generator/control.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <string.h>

#include "base/text.h"

struct limit {
	const char *name;
	double least, most;
};

static const struct limit limits[] = {
    {"rate", 0, 1e9},	     {"batch", 1, 10000}, {"burst", 0, 1e6},
    {"count", 0, 1e15},	     {"bad_share", 0, 1}, {"seed", 0, 9007199254740992},
    {"connections", 1, 256},
};

static int take_number(const cJSON *item, struct sender_plan *plan,
		       struct err *err)
{
	double v = item->valuedouble;
	size_t i = 0;

	while (i < sizeof(limits) / sizeof(*limits) &&
	       strcmp(limits[i].name, item->string) != 0)
		i++;
	if (i == sizeof(limits) / sizeof(*limits))
		return err_set(err, EINVAL,
			       "\"%s\" is unknown; known are rate, batch, "
			       "burst, count, duration, bad_share, seed and "
			       "connections",
			       item->string);
	if (!cJSON_IsNumber(item) || !(v >= limits[i].least) ||
	    v > limits[i].most)
		return err_set(err, EINVAL,
			       "\"%s\" takes a number from %g to %g",
			       item->string, limits[i].least, limits[i].most);
	if (i == 0)
		plan->rate = v;
	else if (i == 1)
		plan->batch = (uint32_t)v;
	else if (i == 2)
		plan->burst = (uint64_t)v;
	else if (i == 3)
		plan->count = (uint64_t)v;
	else if (i == 4)
		plan->bad_share = v;
	else if (i == 5)
		plan->seed = (uint64_t)v;
	else
		plan->connections = (uint32_t)v;
	return 0;
}

int control_take_plan(const char *body, size_t bytes, struct sender_plan *plan,
		      struct err *err)
{
	const cJSON *item;
	cJSON *json;
	int rc = 0;

	if (!bytes)
		return 0;
	json = cJSON_ParseWithLength(body, bytes);
	if (!cJSON_IsObject(json)) {
		cJSON_Delete(json);
		return err_set(err, EINVAL, "the body is no JSON object");
	}
	cJSON_ArrayForEach (item, json) {
		if (strcmp(item->string, "duration") != 0)
			rc = take_number(item, plan, err);
		else if (!cJSON_IsString(item) ||
			 text_parse_duration(item->valuestring,
					     &plan->duration_us) != 0)
			rc = err_set(err, EINVAL,
				     "\"duration\" takes a text such as "
				     "\"30s\"");
		if (rc != 0)
			break;
	}
	cJSON_Delete(json);
	return rc;
}
