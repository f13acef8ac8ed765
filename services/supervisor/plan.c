#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "proto/control.h"
#include "services/supervisor/listen.h"
#include "services/supervisor/supervisor.h"

/* What the skeleton needs beyond its drain to flush, release and exit. */
#define EXIT_MARGIN_US 5000000

enum phase plan_phase(const struct conf_kind *kind)
{
	if (kind->flags & KIND_SOURCE)
		return PHASE_SOURCE;
	if (kind->flags & KIND_RELAY)
		return PHASE_RELAY;
	if (kind->flags & KIND_SINK)
		return PHASE_SINK;
	/* metrics counts what the others do until they have ended. */
	return strcmp(kind->name, "metrics") == 0 ? PHASE_LAST : PHASE_CLIENT;
}

struct child_policy plan_policy(const struct conf *conf)
{
	const struct conf_pipeline *p = conf->pipeline;
	int64_t burst = p->restart_burst < 1 ? 1 : p->restart_burst;

	return (struct child_policy){
	    .start_timeout_us = p->start_timeout,
	    .watchdog_us = p->watchdog,
	    .stop_timeout_us = p->drain_timeout + EXIT_MARGIN_US,
	    .backoff_first_us = p->restart_backoff,
	    .backoff_max_us = p->restart_backoff_max,
	    .restart_interval_us = p->restart_interval,
	    .restart_burst =
		(uint32_t)(burst < CHILD_MAX_BURST ? burst : CHILD_MAX_BURST),
	};
}

const struct held *plan_held(const struct supervisor *s, const char *row)
{
	for (const struct held *h = s->held; h; h = h->next)
		if (strcmp(h->row, row) == 0)
			return h;
	return NULL;
}

static void drop_held(struct supervisor *s, const char *row)
{
	for (struct held **at = &s->held; *at; at = &(*at)->next) {
		struct held *h = *at;

		if (strcmp(h->row, row) != 0)
			continue;
		*at = h->next;
		close(h->fd);
		free(h->address);
		free(h->row);
		free(h);
		return;
	}
}

int plan_listener(struct supervisor *s, const char *row, int *fd,
		  struct err *err)
{
	const struct conf_service *service = conf_find_service(s->conf, row);
	const char *address = service ? listen_address(service) : NULL;
	const struct held *old = plan_held(s, row);
	struct held *h;

	*fd = -1;
	if (old && (!address || strcmp(old->address, address) != 0)) {
		drop_held(s, row);
		old = NULL;
	}
	if (!address)
		return 0;
	if (old) {
		*fd = old->fd;
		return 0;
	}
	*fd = listen_open(address, err);
	if (*fd < 0)
		return err_wrap(err, "service \"%s\"", row);
	h = xcalloc(1, sizeof(*h));
	h->row = xstrdup(row);
	h->address = xstrdup(address);
	h->fd = *fd;
	h->next = s->held;
	s->held = h;
	return 0;
}

/* Rows that are new get their socket now, so that a taken port is known before
 * anything starts; one that moved gets it when its service is restarted. */
static int open_listeners(struct supervisor *s, struct err *err)
{
	for (uint32_t i = 0; i < s->conf->service_count; i++) {
		const char *row = s->conf->services[i].name;
		int fd;

		if (!plan_held(s, row) && plan_listener(s, row, &fd, err) != 0)
			return -1;
	}
	return 0;
}

static struct instance *find(struct supervisor *s,
			     const struct conf_service *service,
			     uint32_t number)
{
	for (uint32_t n = 0; n < s->instance_count; n++) {
		struct instance *i = s->instances[n];

		if (i->number == number && i->kind == service->kind &&
		    strcmp(i->row, service->name) == 0)
			return i;
	}
	return NULL;
}

static void free_instance(struct instance *i)
{
	logpipe_close(&i->log);
	free(i->row);
	free(i);
}

static int add(struct supervisor *s, const struct conf_service *service,
	       uint32_t number, struct err *err)
{
	struct instance *i;
	char *path;
	int rc;

	if (s->instance_count == MAX_INSTANCES)
		return err_set(err, EINVAL,
			       "more than %d instances in all; lower "
			       "`instances` of a service",
			       MAX_INSTANCES);
	i = xcalloc(1, sizeof(*i));
	snprintf(i->label, sizeof(i->label), "%s.%" PRIu32, service->name,
		 number);
	path = xasprintf("%s/%s.log", s->conf->pipeline->log_dir, i->label);
	rc = logpipe_open(&i->log, s->loop, path, err);
	free(path);
	if (rc != 0) {
		free(i);
		return -1;
	}
	i->row = xstrdup(service->name);
	i->number = number;
	i->kind = service->kind;
	i->log.echo = !s->daemon;
	s->instances = xreallocarray(s->instances, s->instance_count + 1,
				     sizeof(struct instance *));
	s->instances[s->instance_count++] = i;
	return 0;
}

static bool is_planned(const struct supervisor *s, const struct instance *i)
{
	const struct conf_service *row = conf_find_service(s->conf, i->row);

	return row && row->kind == i->kind && i->number < row->instances;
}

/* Adds what is missing, still stopped. */
static int add_missing(struct supervisor *s, struct err *err)
{
	for (uint32_t r = 0; r < s->conf->service_count; r++) {
		const struct conf_service *row = &s->conf->services[r];

		for (uint32_t n = 0; n < row->instances; n++)
			if (!find(s, row, n) && add(s, row, n, err) != 0)
				return -1;
	}
	return 0;
}

int plan_apply(struct supervisor *s, struct err *err)
{
	uint32_t before = s->instance_count;

	if (open_listeners(s, err) == 0 && add_missing(s, err) == 0)
		return 0;
	plan_shrink(s, before);
	return -1;
}

void plan_shrink(struct supervisor *s, uint32_t count)
{
	while (s->instance_count > count)
		free_instance(s->instances[--s->instance_count]);
}

void plan_start(struct supervisor *s)
{
	for (uint32_t n = 0; n < s->instance_count; n++) {
		struct instance *i = s->instances[n];

		if (!is_planned(s, i)) {
			scale_leave(s, i);
		} else if (i->leaving || !i->child.lives ||
			   (i->child.state == CHILD_FAILED && i->bad_config)) {
			/* What refused the old configuration may like this. */
			i->leaving = false;
			instance_event(s, i, CHILD_START);
		}
	}
}

/* Where an instance's row stands; those without one come last. */
static uint32_t rank(const struct supervisor *s, const struct instance *i)
{
	uint32_t at = 0;

	while (at < s->conf->service_count &&
	       strcmp(s->conf->services[at].name, i->row) != 0)
		at++;
	return at;
}

static bool stands_before(const struct supervisor *s, const struct instance *a,
			  const struct instance *b)
{
	uint32_t x = rank(s, a), y = rank(s, b);

	return x < y || (x == y && a->number < b->number);
}

void plan_sort(struct supervisor *s)
{
	for (uint32_t n = 1; n < s->instance_count; n++) {
		struct instance *i = s->instances[n];
		uint32_t at = n;

		for (; at && stands_before(s, i, s->instances[at - 1]); at--)
			s->instances[at] = s->instances[at - 1];
		s->instances[at] = i;
	}
}

void plan_sweep(struct supervisor *s)
{
	uint32_t kept = 0;

	for (uint32_t n = 0; n < s->instance_count; n++) {
		struct instance *i = s->instances[n];

		if (i->leaving && i->child.state == CHILD_STOPPED) {
			log_info("removed", "instance=%s", i->label);
			if (!conf_find_service(s->conf, i->row))
				drop_held(s, i->row);
			free_instance(i);
		} else {
			s->instances[kept++] = i;
		}
	}
	s->instance_count = kept;
}

void plan_free(struct supervisor *s)
{
	for (uint32_t n = 0; n < s->instance_count; n++)
		free_instance(s->instances[n]);
	free(s->instances);
	s->instances = NULL;
	s->instance_count = 0;
	while (s->held)
		drop_held(s, s->held->row);
}
