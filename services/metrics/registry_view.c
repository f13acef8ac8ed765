#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "services/metrics/registry_impl.h"

struct registry *registry_new(void)
{
	return xcalloc(1, sizeof(struct registry));
}

static void free_processes(struct registry *r)
{
	while (r->processes) {
		struct process *p = r->processes;

		r->processes = p->next;
		while (p->cells) {
			struct cell *c = p->cells;

			p->cells = c->next_in_process;
			free(c);
		}
		free(p);
	}
}

static void free_family(struct family *f)
{
	for (size_t i = 0; i < f->series_count; i++) {
		free(f->series[i]->labels);
		free(f->series[i]->group);
		free(f->series[i]);
	}
	free(f->series);
	free(f->name);
	free(f->help);
	free(f);
}

static void free_families(struct registry *r)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		while (r->families[i]) {
			struct family *f = r->families[i];

			r->families[i] = f->next;
			free_family(f);
		}
	}
}

void registry_free(struct registry **r)
{
	struct registry *old = *r;

	*r = NULL;
	if (!old)
		return;
	free_processes(old);
	free_families(old);
	free(old->sorted);
	free(old);
}

void registry_expire(struct registry *r, int64_t now_mono_us, int64_t silent_us)
{
	for (struct process *p = r->processes; p; p = p->next) {
		if (p->silent ||
		    now_mono_us - p->public.seen_mono_us <= silent_us)
			continue;
		p->silent = true;
		r->counts.processes--;
	}
}

/* Whether the process told it in its last message, and that is not old. */
static bool current(const struct cell *c)
{
	return !c->process->silent && c->message == c->process->messages;
}

/* The value of a series now; false when no process gives it one. */
static bool sum(const struct series *s, double *value)
{
	bool gauge = s->family->type == STATS_GAUGE, any = !gauge;

	*value = 0;
	for (const struct cell *c = s->cells; c; c = c->next_in_series) {
		if (gauge && !current(c))
			continue;
		any = true;
		*value += c->before + c->now;
	}
	return any;
}

static int rank(const struct series *s)
{
	switch (s->suffix[0] ? s->suffix[1] : 'b') {
	case 'b':
		return 0;
	case 's':
		return 1;
	default:
		return 2;
	}
}

static int compare_series(const void *a, const void *b)
{
	const struct series *x = *(struct series *const *)a;
	const struct series *y = *(struct series *const *)b;
	int order = strcmp(x->group, y->group);

	if (!order)
		order = rank(x) - rank(y);
	if (!order)
		order = (x->le > y->le) - (x->le < y->le);
	return order ? order : strcmp(x->labels, y->labels);
}

static int compare_families(const void *a, const void *b)
{
	const struct family *x = *(struct family *const *)a;
	const struct family *y = *(struct family *const *)b;

	return strcmp(x->name, y->name);
}

static void sort_families(struct registry *r)
{
	size_t count = 0;

	if (r->sorted)
		return;
	r->sorted = xcalloc(r->family_count, sizeof(struct family *));
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct family *f = r->families[i]; f; f = f->next)
			r->sorted[count++] = f;
	qsort(r->sorted, count, sizeof(struct family *), compare_families);
}

static void visit_family(struct family *f, const struct stats_visitor *visitor)
{
	bool named = false;
	double value;

	if (!f->sorted && f->series_count)
		qsort(f->series, f->series_count, sizeof(struct series *),
		      compare_series);
	f->sorted = true;
	for (size_t i = 0; i < f->series_count; i++) {
		const struct series *s = f->series[i];

		if (!sum(s, &value))
			continue;
		if (!named)
			visitor->family(visitor->arg, f->name, f->help,
					f->type);
		named = true;
		visitor->sample(visitor->arg, s->suffix, s->labels, value);
	}
}

void registry_visit(struct registry *r, const struct stats_visitor *visitor)
{
	sort_families(r);
	for (size_t i = 0; i < r->family_count; i++)
		visit_family(r->sorted[i], visitor);
}

void registry_each_process(struct registry *r,
			   void (*fn)(void *arg,
				      const struct registry_process *p),
			   void *arg)
{
	for (struct process *p = r->processes; p; p = p->next)
		if (!p->silent)
			fn(arg, &p->public);
}

bool registry_value(const struct registry_process *p, const char *family,
		    double *value)
{
	/* public is the first member of struct process */
	const struct process *of = (const struct process *)(const void *)p;
	bool any = false;

	*value = 0;
	for (size_t i = 0; i < of->counter_count; i++)
		any |= !strcmp(of->counters[i]->name, family);
	for (const struct cell *c = of->cells; c; c = c->next_in_process) {
		if (strcmp(c->series->family->name, family) != 0 ||
		    c->series->suffix[0] || c->message != of->messages)
			continue;
		any = true;
		*value += c->now;
	}
	return any;
}

void registry_each_value(const struct registry_process *p, const char *family,
			 void (*fn)(void *arg, const char *labels,
				    double value),
			 void *arg)
{
	const struct process *of = (const struct process *)(const void *)p;

	for (const struct cell *c = of->cells; c; c = c->next_in_process)
		if (strcmp(c->series->family->name, family) == 0 &&
		    !c->series->suffix[0] && c->message == of->messages)
			fn(arg, c->labels, c->now);
}

void registry_get_counts(const struct registry *r,
			 struct registry_counts *counts)
{
	*counts = r->counts;
}
