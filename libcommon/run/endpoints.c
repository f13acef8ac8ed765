#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run/private.h"

#define FIRST_LISTEN_FD 3

int run_listen_fd(const struct run *run, const char *name)
{
	const char *pid = getenv("LISTEN_PID");
	const char *count = getenv("LISTEN_FDS");
	const char *at = getenv("LISTEN_FDNAMES");
	size_t bytes = strlen(name);
	long fds;

	(void)run;
	if (!pid || !count || !at || strtol(pid, NULL, 10) != (long)getpid())
		return -1;
	fds = strtol(count, NULL, 10);
	for (int fd = FIRST_LISTEN_FD; fd < FIRST_LISTEN_FD + fds; fd++) {
		size_t n = strcspn(at, ":");

		if (n == bytes && memcmp(at, name, n) == 0)
			return fd;
		at += n;
		if (*at++ != ':')
			break;
	}
	return -1;
}

static int add_link(struct run *run, const struct conf_service *consumer,
		    struct bus_endpoint *endpoints, uint32_t *count,
		    struct err *err)
{
	for (uint32_t i = 0; i < consumer->instances; i++) {
		struct bus_endpoint *e = &endpoints[*count];

		if (*count == BUS_MAX_PEERS)
			return err_set(err, EINVAL,
				       "more than %d consumers on one side; "
				       "lower the instances",
				       BUS_MAX_PEERS);
		snprintf(e->link, sizeof(e->link), "%s", consumer->in);
		e->instance = i;
		if (conf_endpoint(run->conf, consumer->in, i, e->data, e->state,
				  err) != 0)
			return -1;
		(*count)++;
	}
	return 0;
}

int run_endpoints(struct run *run, const char *link,
		  struct bus_endpoint endpoints[BUS_MAX_PEERS], struct err *err)
{
	bool all = strcmp(link, "*") == 0;
	uint32_t count = 0;

	for (uint32_t i = 0; i < run->conf->service_count; i++) {
		const struct conf_service *row = &run->conf->services[i];
		bool wanted = all ? row->kind->flags & KIND_SINK
				  : row->in && strcmp(row->in, link) == 0;

		if (wanted && add_link(run, row, endpoints, &count, err) != 0)
			return -1;
	}
	if (!count)
		return err_set(err, EINVAL, "no service consumes link \"%s\"",
			       link);
	return (int)count;
}
