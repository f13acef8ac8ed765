#include "services/metrics/status.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "proto/stats.h"
#include "services/metrics/exposition.h"

#define NOTES 16 /* more than messages in the window */

enum { EVENTS_IN, EVENTS_OUT, CPU, TOTALS };
#define FAMILIES 3

/* What a process exports as each number: the first family that it has. */
static const char *const totals[TOTALS][FAMILIES] = {
    [EVENTS_IN] = {"weft_bus_events_in_total",
		   "business_telemetry_events_received_total"},
    [EVENTS_OUT] = {"weft_bus_events_out_total",
		    "business_telemetry_events_sent_total",
		    "weft_generator_sent_total"},
    [CPU] = {"weft_process_cpu_seconds_total"},
};

static const struct {
	const char *member;
	const char *families[FAMILIES];
} gauges[] = {
    {"log_bytes", {"weft_spool_backlog_bytes", "weft_spool_disk_bytes"}},
    {"log_age_s", {"weft_spool_oldest_seconds"}},
    {"unacked_batches", {"weft_bus_unacked_batches"}},
    {"unacked_bytes", {"weft_bus_unacked_bytes"}},
    {"lag_events", {"weft_lag_events"}},
    {"rss_bytes", {"weft_process_resident_memory_bytes"}},
};

/* The totals in one message; NAN = the process has no such. */
struct note {
	int64_t sent_at_us;
	double totals[TOTALS];
};

/* The last messages of the present life of one process. */
struct history {
	const struct registry_process *process;
	struct history *next;
	uint32_t pid;
	int64_t started_at_us;
	unsigned count;
	struct note notes[NOTES]; /* oldest first */
};

struct status {
	struct history *histories;
};

struct status *status_new(void)
{
	return xcalloc(1, sizeof(struct status));
}

void status_free(struct status **s)
{
	struct status *old = *s;

	*s = NULL;
	if (!old)
		return;
	while (old->histories) {
		struct history *h = old->histories;

		old->histories = h->next;
		free(h);
	}
	free(old);
}

static double value_of(const struct registry_process *p,
		       const char *const families[FAMILIES])
{
	double value;

	for (int i = 0; i < FAMILIES && families[i]; i++)
		if (registry_value(p, families[i], &value))
			return value;
	return (double)NAN;
}

static struct history *find(struct status *s, const struct registry_process *p)
{
	struct history *h = s->histories;

	while (h && h->process != p)
		h = h->next;
	return h;
}

void status_note(struct status *s, const struct registry_process *p)
{
	struct history *h = find(s, p);
	struct note *note;

	if (!h) {
		h = xcalloc(1, sizeof(*h));
		h->process = p;
		h->next = s->histories;
		s->histories = h;
	}
	/* A new life counts from zero; a clock set back has no differences. */
	if (h->pid != p->pid || h->started_at_us != p->started_at_us ||
	    (h->count && h->notes[h->count - 1].sent_at_us >= p->sent_at_us))
		h->count = 0;
	h->pid = p->pid;
	h->started_at_us = p->started_at_us;
	if (h->count == NOTES) {
		memmove(h->notes, h->notes + 1,
			(NOTES - 1) * sizeof(h->notes[0]));
		h->count--;
	}
	note = &h->notes[h->count++];
	note->sent_at_us = p->sent_at_us;
	for (int i = 0; i < TOTALS; i++)
		note->totals[i] = value_of(p, totals[i]);
}

/* Per second, over the window; NAN with less than two messages in it. */
static double rate(const struct history *h, int which)
{
	const struct note *last, *first;
	double seconds, rate;

	if (h->count < 2)
		return (double)NAN;
	last = &h->notes[h->count - 1];
	for (first = h->notes; first < last; first++)
		if (last->sent_at_us - first->sent_at_us <= STATUS_WINDOW_US)
			break;
	if (first == last)
		return (double)NAN;
	seconds = (double)(last->sent_at_us - first->sent_at_us) / 1e6;
	rate = (last->totals[which] - first->totals[which]) / seconds;
	/* A counter that came anew or was reset has no rate yet. */
	return rate < 0 ? (double)NAN : rate;
}

static void put(struct buf *out, const char *member, double value)
{
	buf_printf(out, ",\"%s\":", member);
	if (isfinite(value))
		exposition_put_value(out, value);
	else
		buf_text(out, "null");
}

/* The value of the label `name`, cut; "" when it is not there, or has what
 * would have to be quoted. */
static void find_label(const char *labels, const char *wanted, char *text,
		       size_t size)
{
	const char *name, *value;
	size_t name_bytes, value_bytes;

	*text = '\0';
	while (
	    stats_next_label(&labels, &name, &name_bytes, &value, &value_bytes))
		if (name_bytes == strlen(wanted) &&
		    memcmp(name, wanted, name_bytes) == 0)
			snprintf(text, size, "%.*s", (int)value_bytes, value);
	for (const char *at = text; *at; at++)
		if (*at < ' ' || *at > '~' || *at == '"' || *at == '\\')
			*text = '\0';
}

struct list {
	struct buf *out;
	bool first;
};

/* As run/breaker.h numbers them. */
static void write_circuit(void *arg, const char *labels, double value)
{
	static const char *const names[] = {"closed", "half-open", "open"};
	struct list *list = arg;
	char destination[128];

	find_label(labels, "destination", destination, sizeof(destination));
	if (!*destination || value < 0 || value > 2)
		return;
	buf_printf(list->out, "%s{\"destination\":\"%s\",\"state\":\"%s\"}",
		   list->first ? "" : ",", destination, names[(int)value]);
	list->first = false;
}

static void write_side_log(void *arg, const char *labels, double value)
{
	struct list *list = arg;
	char table[128];

	find_label(labels, "table", table, sizeof(table));
	if (!*table || value <= 0)
		return;
	buf_printf(list->out,
		   "%s{\"table\":\"%s\",\"bytes\":", list->first ? "" : ",",
		   table);
	exposition_put_value(list->out, value);
	buf_char(list->out, '}');
	list->first = false;
}

static void put_list(struct buf *out, const char *member,
		     const struct registry_process *p, const char *family,
		     void (*fn)(void *arg, const char *labels, double value))
{
	struct list list = {out, true};

	buf_printf(out, ",\"%s\":[", member);
	registry_each_value(p, family, fn, &list);
	buf_char(out, ']');
}

struct writer {
	struct status *status;
	struct buf *out;
	int64_t now_mono_us;
	bool first;
};

static void write_process(void *arg, const struct registry_process *p)
{
	struct writer *w = arg;
	const struct history *h = find(w->status, p);
	const struct note *last;
	char started[CLOCK_TEXT_BYTES];

	if (!h)
		return;
	last = &h->notes[h->count - 1];
	buf_printf(w->out,
		   "%s{\"service\":\"%s\",\"instance\":%" PRIu32
		   ",\"pid\":%" PRIu32
		   ",\"started_at\":\"%s\",\"heard_ms_ago\":%" PRId64,
		   w->first ? "" : ",", p->service, p->instance, p->pid,
		   clock_format(p->started_at_us, started),
		   (w->now_mono_us - p->seen_mono_us) / 1000);
	w->first = false;
	put(w->out, "events_in", last->totals[EVENTS_IN]);
	put(w->out, "events_in_per_s", rate(h, EVENTS_IN));
	put(w->out, "events_out", last->totals[EVENTS_OUT]);
	put(w->out, "events_out_per_s", rate(h, EVENTS_OUT));
	for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++)
		put(w->out, gauges[i].member, value_of(p, gauges[i].families));
	put(w->out, "cpu", rate(h, CPU));
	put_list(w->out, "circuits", p, "weft_circuit_state", write_circuit);
	put_list(w->out, "side_logs", p, "weft_side_log_bytes", write_side_log);
	buf_char(w->out, '}');
}

void status_write(struct status *s, struct registry *r, int64_t now_us,
		  int64_t now_mono_us, struct buf *out)
{
	struct writer w = {s, out, now_mono_us, true};
	char now[CLOCK_TEXT_BYTES];

	buf_printf(out, "{\"at\":\"%s\",\"processes\":[",
		   clock_format(now_us, now));
	registry_each_process(r, write_process, &w);
	buf_text(out, "]}\n");
}
