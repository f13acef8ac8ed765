#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "base/durable.h"
#include "services/supervisor/listen.h"
#include "services/supervisor/supervisor.h"

static int add_endpoints(struct supervisor *s, const struct conf_service *row,
			 cJSON *to, struct err *err)
{
	cJSON *list = cJSON_AddArrayToObject(to, "endpoints");

	for (uint32_t n = 0; n < row->instances; n++) {
		char data[256], state[256];
		cJSON *one;

		if (conf_endpoint(s->conf, row->in, n, data, state, err) != 0)
			return -1;
		one = cJSON_CreateObject();
		cJSON_AddItemToArray(list, one);
		cJSON_AddNumberToObject(one, "instance", n);
		cJSON_AddStringToObject(one, "data", data);
		cJSON_AddStringToObject(one, "state", state);
	}
	return 0;
}

static int add_service(struct supervisor *s, const struct conf_service *row,
		       cJSON *to, struct err *err)
{
	const struct held *held = plan_held(s, row->name);
	char address[128];

	cJSON_AddStringToObject(to, "name", row->name);
	cJSON_AddStringToObject(to, "kind", row->kind->name);
	cJSON_AddNumberToObject(to, "instances", row->instances);
	if (held)
		cJSON_AddStringToObject(to, "listen",
					listen_format(held->fd, address));
	if (!row->in || !row->in[0])
		return 0;
	cJSON_AddStringToObject(to, "link", row->in);
	return add_endpoints(s, row, to, err);
}

int topology_write(struct supervisor *s, struct err *err)
{
	cJSON *top = cJSON_CreateObject();
	cJSON *list;
	char *text = NULL;
	int rc = -1;

	cJSON_AddNumberToObject(top, "version", 1);
	cJSON_AddNumberToObject(top, "generation", (double)++s->generation);
	cJSON_AddStringToObject(top, "pipeline", s->conf->pipeline->name);
	list = cJSON_AddArrayToObject(top, "services");
	for (uint32_t i = 0; i < s->conf->service_count; i++) {
		cJSON *one = cJSON_CreateObject();

		cJSON_AddItemToArray(list, one);
		if (add_service(s, &s->conf->services[i], one, err) != 0)
			goto out;
	}
	text = cJSON_Print(top);
	rc = durable_replace(s->topology_path, text, strlen(text), err);
out:
	free(text);
	cJSON_Delete(top);
	return rc;
}
