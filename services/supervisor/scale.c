/*
 * Another number of instances of one service, while all goes on. What it was
 * scaled to holds until weftd ends; a start goes by the file again.
 *
 * A relay that is to go is stopped last: those that feed it are told first, let
 * what is in flight come to rest, and say that they feed it no more.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "services/supervisor/listen.h"
#include "services/supervisor/supervisor.h"

#define MOST_INSTANCES 64 /* as in the file */

/* ---- who feeds whom ---- */

static const char *link_of(const struct supervisor *s, const struct instance *i)
{
	const struct conf_service *row = conf_find_service(s->conf, i->row);

	return row && row->kind == i->kind ? row->in : i->kind->in;
}

static bool feeds(const struct instance *i, const char *link)
{
	return *link && (i->kind->flags & KIND_SOURCE) &&
	       strcmp(i->kind->out, link) == 0;
}

/* Whether nobody that feeds the link goes by an older topology. */
static bool all_follow(const struct supervisor *s, const char *link,
		       uint64_t generation)
{
	for (uint32_t n = 0; n < s->instance_count; n++) {
		const struct instance *i = s->instances[n];

		if (i->pid && feeds(i, link) && i->follows < generation)
			return false;
	}
	return true;
}

static void relink(const struct supervisor *s, const char *link)
{
	for (uint32_t n = 0; n < s->instance_count; n++)
		if (feeds(s->instances[n], link))
			instance_relink(s->instances[n]);
}

/* ---- leaving ---- */

void scale_leave(struct supervisor *s, struct instance *i)
{
	if (!i->leaving) {
		i->left_at = s->generation;
		i->leave_by_mono_us =
		    clock_mono_us() + s->policy.stop_timeout_us;
	}
	i->leaving = true;
	if (!(i->kind->flags & KIND_RELAY))
		instance_event(s, i, CHILD_STOP);
}

int64_t scale_settle(struct supervisor *s, int64_t now)
{
	int64_t next = 0;

	for (uint32_t n = 0; n < s->instance_count; n++) {
		struct instance *i = s->instances[n];
		bool late = now >= i->leave_by_mono_us;

		if (!i->leaving || i->child.state == CHILD_STOPPING ||
		    i->child.state == CHILD_STOPPED)
			continue;
		if (late)
			log_warn("leave_cut_short",
				 "instance=%s hint=\"it is fed still; what it "
				 "loses is sent again\"",
				 i->label);
		if (late || all_follow(s, link_of(s, i), i->left_at))
			instance_event(s, i, CHILD_STOP);
		else if (!next || i->leave_by_mono_us < next)
			next = i->leave_by_mono_us;
	}
	return next;
}

/* ---- what was scaled ---- */

static struct scaled *find(const struct supervisor *s, const char *row)
{
	for (uint32_t n = 0; n < s->scaled_count; n++)
		if (strcmp(s->scaled[n].row, row) == 0)
			return &s->scaled[n];
	return NULL;
}

static void forget(struct supervisor *s, struct scaled *gone)
{
	free(gone->row);
	*gone = s->scaled[--s->scaled_count];
}

uint32_t scale_configured(const struct supervisor *s,
			  const struct conf_service *row)
{
	const struct scaled *known = find(s, row->name);

	return known ? known->configured : row->instances;
}

static void note(struct supervisor *s, const char *row, uint32_t instances,
		 uint32_t configured)
{
	struct scaled *known = find(s, row);

	if (known && instances == configured) {
		forget(s, known);
	} else if (known) {
		known->instances = instances;
	} else if (instances != configured) {
		s->scaled = xreallocarray(s->scaled, s->scaled_count + 1,
					  sizeof(*s->scaled));
		s->scaled[s->scaled_count++] =
		    (struct scaled){.row = xstrdup(row),
				    .instances = instances,
				    .configured = configured};
	}
}

static struct conf_service *row_of(const struct conf *conf, const char *name)
{
	for (uint32_t i = 0; i < conf->service_count; i++)
		if (strcmp(conf->services[i].name, name) == 0)
			return &conf->services[i];
	return NULL;
}

void scale_overlay(struct supervisor *s, struct conf *conf)
{
	for (uint32_t n = 0; n < s->scaled_count; n++) {
		struct scaled *one = &s->scaled[n];
		struct conf_service *row = row_of(conf, one->row);

		one->overruled = !row || row->instances != one->configured;
		if (!one->overruled)
			row->instances = one->instances;
	}
}

void scale_overlaid(struct supervisor *s, bool taken)
{
	for (uint32_t n = s->scaled_count; n--;)
		if (taken && s->scaled[n].overruled)
			forget(s, &s->scaled[n]);
}

void scale_free(struct supervisor *s)
{
	while (s->scaled_count)
		forget(s, s->scaled);
	free(s->scaled);
	s->scaled = NULL;
}

/* ---- scaling ---- */

static int check_kind(const struct conf_service *row, uint32_t instances,
		      struct err *err)
{
	const char *name = row->name;
	const char *key;

	if (row->kind->flags & KIND_SINGLE)
		return err_set(err, EINVAL,
			       "%s runs once: a second one would count "
			       "everything again",
			       name);
	if (row->kind->flags & KIND_SINK)
		return err_set(err, EINVAL,
			       "%s is a sink, and a table has one writer: each "
			       "instance has a log with its share of the keys. "
			       "Stop the pipeline, set its `instances` in the "
			       "configuration, and start it",
			       name);
	if (!(row->kind->flags & (KIND_SOURCE | KIND_RELAY)))
		return err_set(err, EINVAL,
			       "%s is no stage that can share its work; only "
			       "sources and transformers can be scaled",
			       name);
	if (instances > 1 && conf_listen(row, &key) && !listen_address(row))
		return err_set(err, EINVAL,
			       "%s listens on a Unix socket, which instances "
			       "cannot share; give it an address:port as %s.%s",
			       name, name, key);
	return 0;
}

/* The two sockets of one instance of a row that consumes a link. */
struct ends {
	char at[2][256];
};

static int find_ends(const struct conf *conf, const struct conf_service *row,
		     uint32_t n, struct ends *ends, struct err *err)
{
	return conf_endpoint(conf, row->in, n, ends->at[0], ends->at[1], err);
}

static const char *shared_end(const struct ends *a, const struct ends *b)
{
	for (int i = 0; i < 4; i++)
		if (strcmp(a->at[i / 2], b->at[i % 2]) == 0)
			return a->at[i / 2];
	return NULL;
}

static int check_against(const struct conf *conf,
			 const struct conf_service *row,
			 const struct conf_service *other,
			 const struct ends *mine, struct err *err)
{
	for (uint32_t k = 0; *other->in && k < other->instances; k++) {
		struct ends theirs;
		const char *at;

		if (find_ends(conf, other, k, &theirs, err) != 0)
			return -1;
		at = shared_end(mine, &theirs);
		if (at)
			return err_set(err, EINVAL,
				       "%s would need the endpoint %s, which "
				       "%s.%" PRIu32 " has; move links.%s",
				       row->name, at, other->name, k,
				       other->in);
	}
	return 0;
}

/* On tcp each instance takes two ports more: of no other link. */
static int check_ports(const struct conf *conf, const struct conf_service *row,
		       struct err *err)
{
	for (uint32_t n = 0; *row->in && n < row->instances; n++) {
		struct ends mine;

		if (find_ends(conf, row, n, &mine, err) != 0)
			return -1;
		for (uint32_t r = 0; r < conf->service_count; r++)
			if (&conf->services[r] != row &&
			    check_against(conf, row, &conf->services[r], &mine,
					  err) != 0)
				return -1;
	}
	return 0;
}

static int apply(struct supervisor *s, struct conf_service *row,
		 uint32_t instances, struct err *err)
{
	uint32_t before = s->instance_count, old = row->instances;

	row->instances = instances;
	if (check_ports(s->conf, row, err) == 0 && plan_apply(s, err) == 0 &&
	    topology_write(s, err) == 0)
		return 0;
	row->instances = old;
	plan_shrink(s, before);
	return -1;
}

int scale_row(struct supervisor *s, const char *name, uint32_t instances,
	      struct err *err)
{
	struct conf_service *row = row_of(s->conf, name);
	uint32_t configured, old;

	if (!row)
		return err_set(err, ENOENT,
			       "service \"%s\" is leaving the pipeline", name);
	if (instances < 1 || instances > MOST_INSTANCES)
		return err_set(err, EINVAL,
			       "%s can have 1 to %d instances, not %" PRIu32
			       "; `pipelinectl stop %s` stops it",
			       name, MOST_INSTANCES, instances, name);
	if (check_kind(row, instances, err) != 0)
		return -1;
	configured = scale_configured(s, row);
	old = row->instances;
	if (old == instances)
		return 0;
	if (apply(s, row, instances, err) != 0)
		return -1;
	note(s, name, instances, configured);
	log_info("scaled",
		 "service=%s from=%" PRIu32 " to=%" PRIu32
		 " generation=%" PRIu64,
		 name, old, instances, s->generation);
	relink(s, row->in);
	plan_start(s);
	plan_sort(s);
	return 0;
}

bool scale_is_done(const struct supervisor *s, const char *name, bool *failed)
{
	const struct conf_service *row = conf_find_service(s->conf, name);
	bool done = !row || all_follow(s, row->in, s->generation);

	*failed = false;
	for (uint32_t n = 0; n < s->instance_count; n++) {
		const struct instance *i = s->instances[n];
		enum child_state state = i->child.state;

		if (strcmp(i->row, name) != 0 || state == CHILD_STOPPED)
			continue;
		if (i->leaving || state != CHILD_READY)
			done = false;
		*failed |= !i->leaving && state == CHILD_FAILED;
	}
	return done;
}
