#include "services/metrics/registry.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "services/metrics/labels.h"
#include "services/metrics/registry_impl.h"

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

/* ---- processes ---- */

/* Where the process is, or belongs, in the sorted list. */
static struct process **process_place(struct registry *r,
				      const struct stats_process *of)
{
	struct process **at = &r->processes;

	for (; *at; at = &(*at)->next) {
		int order = strcmp((*at)->public.service, of->service);

		if (order > 0 ||
		    (order == 0 && (*at)->public.instance >= of->instance))
			break;
	}
	return at;
}

static struct process *find_process(struct registry *r,
				    const struct stats_process *of)
{
	struct process *p = *process_place(r, of);

	if (p && p->public.instance == of->instance &&
	    !strcmp(p->public.service, of->service))
		return p;
	return NULL;
}

static struct process *add_process(struct registry *r,
				   const struct stats_process *of)
{
	struct process **at = process_place(r, of);
	struct process *p = xcalloc(1, sizeof(*p));

	p->next = *at;
	*at = p;
	r->process_count++;
	p->silent = true; /* until its message is taken */
	snprintf(p->public.service, sizeof(p->public.service), "%s",
		 of->service);
	p->public.instance = of->instance;
	p->public.pid = of->pid;
	p->public.started_at_us = of->started_at_us;
	snprintf(p->service_label, sizeof(p->service_label), "service=\"%s\"",
		 of->service);
	snprintf(p->process_label, sizeof(p->process_label),
		 "process=\"%s.%" PRIu32 "\",service=\"%s\"", of->service,
		 of->instance, of->service);
	return p;
}

/* Gauges go by themselves: no message of the new life has told them yet. */
static void begin_life(struct process *p, const struct stats_process *of)
{
	p->old_pid = p->public.pid;
	p->old_started_at_us = p->public.started_at_us;
	p->public.pid = of->pid;
	p->public.started_at_us = of->started_at_us;
	for (struct cell *c = p->cells; c; c = c->next_in_process) {
		if (c->series->family->type != STATS_GAUGE)
			c->before += c->now;
		c->now = 0;
	}
}

/* Visits a message that is known to be good. */
static void take_process(void *arg, const struct stats_process *of)
{
	struct registry *r = arg;
	struct process *p = find_process(r, of);

	if (!p && r->process_count == REGISTRY_MAX_PROCESSES) {
		r->counts.crowded++;
		return;
	}
	if (!p)
		p = add_process(r, of);
	if (p->public.pid != of->pid ||
	    p->public.started_at_us != of->started_at_us) {
		if (p->old_pid == of->pid &&
		    p->old_started_at_us == of->started_at_us) {
			r->counts.stale++;
			return;
		}
		begin_life(p, of);
	}
	p->counter_count = 0;
	p->public.sent_at_us = of->sent_at_us;
	p->public.seen_mono_us = r->now_mono_us;
	p->messages++;
	if (p->silent)
		r->counts.processes++;
	p->silent = false;
	r->counts.messages++;
	r->from = p;
}

/* ---- families and series ---- */

static struct family **family_place(const struct registry *r, const char *name)
{
	size_t slot = XXH3_64bits(name, strlen(name)) % BUCKETS;
	struct family *const *at = &r->families[slot];

	while (*at && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	return (struct family **)at;
}

static void take_family(void *arg, const char *name, const char *help,
			enum stats_type type)
{
	struct registry *r = arg;
	struct family **at = family_place(r, name);
	struct buf text = {0};

	r->family = NULL;
	if (!r->from)
		return;
	if (!*at && r->family_count < REGISTRY_MAX_FAMILIES) {
		struct family *f = xcalloc(1, sizeof(*f));

		labels_put_utf8(&text, help, strlen(help));
		f->name = xstrdup(name);
		f->help = xstrdup(buf_str(&text));
		f->type = type;
		*at = f;
		buf_free(&text);
		r->family_count++;
		free(r->sorted);
		r->sorted = NULL;
	}
	r->family = *at;
	r->left_out = &r->counts.dropped;
	if (*at && (*at)->type != type) {
		/* Two releases, or two services, mean different things by it;
		 * the first that came is shown. */
		r->left_out = &r->counts.conflicts;
		r->family = NULL;
	}
	if (r->family && type == STATS_COUNTER &&
	    r->from->counter_count < MAX_COUNTERS)
		r->from->counters[r->from->counter_count++] = r->family;
}

static const char *added_labels(const struct registry *r)
{
	const struct family *f = r->family;

	if (begins(f->name, "business_telemetry_"))
		return "";
	if (f->type == STATS_GAUGE || begins(f->name, "weft_process_"))
		return r->from->process_label;
	return r->from->service_label;
}

static size_t hash(const void *a, const void *b, const char *suffix,
		   const char *labels)
{
	const void *of[2] = {a, b};
	/* the second letter tells the suffixes apart: b, s, c or none */
	uint64_t seed = XXH3_64bits(of, sizeof(of)) +
			(*suffix ? (unsigned char)suffix[1] : 0);

	return XXH3_64bits_withSeed(labels, strlen(labels), seed) % BUCKETS;
}

static void add_to_family(struct family *f, struct series *s)
{
	if (f->series_count == f->series_size) {
		f->series_size = f->series_size ? 2 * f->series_size : 4;
		f->series = xreallocarray(f->series, f->series_size,
					  sizeof(struct series *));
	}
	f->series[f->series_count++] = s;
	f->sorted = false;
}

static const char *static_suffix(const char *suffix)
{
	static const char *const all[] = {"_bucket", "_sum", "_count"};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (!strcmp(all[i], suffix))
			return all[i];
	return "";
}

/* Of one family and suffix; NULL when there are too many. */
static struct series *find_series(struct registry *r, const char *suffix,
				  const char *labels)
{
	size_t slot = hash(r->family, NULL, suffix, labels);
	struct series *s = r->series[slot];
	struct buf group = {0};

	for (; s; s = s->next)
		if (s->family == r->family && !strcmp(s->suffix, suffix) &&
		    !strcmp(s->labels, labels))
			return s;
	if (r->counts.series == REGISTRY_MAX_SERIES)
		return NULL;
	r->counts.series++;
	s = xcalloc(1, sizeof(*s));
	s->family = r->family;
	s->suffix = static_suffix(suffix);
	s->labels = xstrdup(labels);
	labels_without(&group, labels, "le");
	s->group = xstrdup(buf_str(&group));
	s->le = labels_le(labels);
	buf_free(&group);
	s->next = r->series[slot];
	r->series[slot] = s;
	add_to_family(r->family, s);
	return s;
}

static struct cell *add_cell(struct registry *r, size_t slot,
			     const char *suffix, const char *labels)
{
	struct buf all = {0};
	struct series *s;
	struct cell *c;

	if (r->cell_count == REGISTRY_MAX_CELLS)
		return NULL;
	labels_merge(&all, added_labels(r), labels);
	s = find_series(r, suffix, buf_str(&all));
	buf_free(&all);
	if (!s)
		return NULL;
	c = xcalloc(1, sizeof(*c) + strlen(labels) + 1);
	memcpy(c->labels, labels, strlen(labels));
	c->process = r->from;
	c->series = s;
	c->next = r->cells[slot];
	r->cells[slot] = c;
	c->next_in_process = r->from->cells;
	r->from->cells = c;
	c->next_in_series = s->cells;
	s->cells = c;
	r->cell_count++;
	return c;
}

static void take_sample(void *arg, const char *suffix, const char *labels,
			double value)
{
	struct registry *r = arg;
	struct family *f = r->family;
	size_t slot;
	struct cell *c;

	if (!r->from)
		return;
	if (!f) {
		++*r->left_out;
		return;
	}
	slot = hash(r->from, f, suffix, labels);
	for (c = r->cells[slot]; c; c = c->next)
		if (c->process == r->from && c->series->family == f &&
		    !strcmp(c->series->suffix, suffix) &&
		    !strcmp(c->labels, labels))
			break;
	if (!c)
		c = add_cell(r, slot, suffix, labels);
	if (!c) {
		r->counts.dropped++;
		return;
	}
	/* A part of a process may begin anew without it (a log reopened). */
	if (f->type != STATS_GAUGE && value < c->now &&
	    c->message != r->from->messages)
		c->before += c->now;
	c->now = value;
	c->message = r->from->messages;
}

int registry_take(struct registry *r, const uint8_t *data, size_t bytes,
		  int64_t now_mono_us, struct err *err)
{
	const struct stats_visitor visitor = {take_process, take_family,
					      take_sample, r};

	r->from = NULL;
	r->now_mono_us = now_mono_us;
	if (stats_decode(data, bytes, &visitor, err) == 0)
		return 0;
	r->counts.refused++;
	return -1;
}

const struct registry_process *registry_sender(const struct registry *r)
{
	return r->from ? &r->from->public : NULL;
}
