/* Who is where: lookups in a loaded configuration. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conf/load.h"

const struct conf_link *link_find(const struct conf *conf, const char *name)
{
	for (uint32_t i = 0; i < conf->link_count; i++)
		if (strcmp(conf->links[i].name, name) == 0)
			return &conf->links[i];
	return NULL;
}

unsigned link_tcp_port(const char *endpoint)
{
	const char *colon = strrchr(endpoint, ':');
	unsigned port = 0;
	char rest;

	if (strncmp(endpoint, "tcp://", 6) != 0 || colon <= endpoint + 6 ||
	    strspn(endpoint + 6, "abcdefghijklmnopqrstuvwxyz"
				 "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				 "0123456789.-_:[]") != strlen(endpoint + 6) ||
	    sscanf(colon + 1, "%5u%c", &port, &rest) != 1)
		return 0;
	return port <= 65535 ? port : 0;
}

const struct conf_service *conf_find_service(const struct conf *conf,
					     const char *name)
{
	for (uint32_t i = 0; i < conf->service_count; i++)
		if (strcmp(conf->services[i].name, name) == 0)
			return &conf->services[i];
	return NULL;
}

const struct conf_service *conf_consumer(const struct conf *conf,
					 const char *link)
{
	for (uint32_t i = 0; i < conf->service_count; i++)
		if (*link && strcmp(conf->services[i].in, link) == 0)
			return &conf->services[i];
	return NULL;
}

int link_ipc_endpoint(const struct conf *conf, const char *name,
		      const char *suffix, char out[256], struct err *err)
{
	int n = snprintf(out, 256, "ipc://%s/%s%s", conf->pipeline->run_dir,
			 name, suffix);

	if (n - 6 <= CONF_SUN_BYTES)
		return 0;
	return err_set(err, ENAMETOOLONG,
		       "pipeline.run_dir: the socket %.200s/%s%s would have a "
		       "path of %d bytes, %d is the most; choose a shorter "
		       "run_dir",
		       conf->pipeline->run_dir, name, suffix, n - 6,
		       CONF_SUN_BYTES);
}

static int tcp_endpoint(const struct conf_link *link, unsigned offset,
			char out[256], struct err *err)
{
	unsigned port = link_tcp_port(link->endpoint) + offset;
	const char *colon = strrchr(link->endpoint, ':');

	if (port > 65535)
		return err_set(err, EINVAL,
			       "links.%s.endpoint: the last instance would "
			       "need port %u; choose a smaller port",
			       link->name, port);
	snprintf(out, 256, "%.*s:%u", (int)(colon - link->endpoint),
		 link->endpoint, port);
	return 0;
}

const char *conf_listen(const struct conf_service *s, const char **key)
{
	const struct conf_table *table = s->kind->conf;

	for (size_t i = 0; i < table->row_count; i++) {
		if (table->rows[i].type != CONF_LISTEN)
			continue;
		*key = table->rows[i].name;
		return *(char *const *)((const char *)s->conf +
					table->rows[i].offset);
	}
	return NULL;
}

const char *conf_text(const struct conf_service *s, const char *key)
{
	const struct conf_table *table = s->kind->conf;

	for (size_t i = 0; i < table->row_count; i++) {
		const struct conf_row *row = &table->rows[i];

		if (strcmp(row->name, key) == 0 &&
		    (row->type == CONF_STRING || row->type == CONF_PATH))
			return *(char *const *)((const char *)s->conf +
						row->offset);
	}
	return NULL;
}

/* Six parameters, because its callers keep the two addresses apart. */
/* NOLINTNEXTLINE(readability-function-size) */
int conf_endpoint(const struct conf *conf, const char *link, uint32_t instance,
		  char data[256], char state[256], struct err *err)
{
	const struct conf_link *l = link_find(conf, link);
	char suffix[32];

	if (!l)
		return err_set(err, ENOENT, "there is no link \"%s\"", link);
	if (strcmp(l->endpoint, "ipc") != 0)
		return tcp_endpoint(l, 2 * instance + 1, state, err) == -1
			   ? -1
			   : tcp_endpoint(l, 2 * instance, data, err);
	snprintf(suffix, sizeof(suffix), ".%u.state", instance);
	if (link_ipc_endpoint(conf, link, suffix, state, err) == -1)
		return -1;
	suffix[strlen(suffix) - strlen(".state")] = '\0';
	return link_ipc_endpoint(conf, link, suffix, data, err);
}

int conf_stats_endpoint(const struct conf *conf, char endpoint[256],
			struct err *err)
{
	return link_ipc_endpoint(conf, "stats", "", endpoint, err);
}
