#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "proto/control.h"
#include "run/notify.h"
#include "services/supervisor/supervisor.h"

#define LAST_LINES 5

bool start_complete(const struct supervisor *s)
{
	for (uint32_t n = 0; n < s->instance_count; n++)
		if (s->instances[n]->child.state != CHILD_READY)
			return false;
	return true;
}

void start_explain(const struct instance *i, struct buf *out)
{
	size_t before;

	buf_printf(out, "%s is %s%s%s", i->label,
		   child_state_name(i->child.state), i->status[0] ? ": " : "",
		   i->status);
	before = out->used;
	buf_text(out, "\nIts last log lines:\n");
	logpipe_last(&i->log, LAST_LINES, out);
	if (out->data[out->used - 1] != '\n')
		buf_char(out, '\n');
	if (!i->log.tail_used)
		out->used = before + 1;
}

static void tell(struct supervisor *s, const struct buf *text)
{
	if (s->report_fd < 0)
		return;
	/* Who started us may be gone; the log has it too. */
	(void)!write(s->report_fd, text->data, text->used);
	close(s->report_fd);
	s->report_fd = -1;
}

static void all_ready(struct supervisor *s)
{
	struct buf verdict = {0};

	s->start_is_over = true;
	log_info("all_ready", "instances=%u ms=%lld", s->instance_count,
		 (long long)(loop_now_mono_us(s->loop) - s->started_mono_us) /
		     1000);
	notify_send("READY=1\nSTATUS=all processes are ready");
	buf_text(&verdict, CONTROL_READY_LINE);
	tell(s, &verdict);
	buf_free(&verdict);
}

void start_report(struct supervisor *s)
{
	struct buf text = {0};
	bool bad_config = false;

	if (s->start_is_over || s->stopping)
		return;
	if (start_complete(s)) {
		all_ready(s);
		return;
	}
	for (uint32_t n = 0; n < s->instance_count; n++) {
		const struct instance *i = s->instances[n];

		if (i->child.state != CHILD_FAILED)
			continue;
		start_explain(i, &text);
		bad_config |= i->bad_config;
	}
	if (text.used)
		tell(s, &text);
	/*
	 * A pipeline never starts half-way on a configuration that is wrong;
	 * but one that could start goes on without what has failed.
	 */
	if (bad_config) {
		s->quick = true;
		shutdown_begin(s, "bad_configuration", CONTROL_EXIT_CONFIG);
	} else if (text.used) {
		s->start_is_over = true;
		notify_send("READY=1\nSTATUS=not all processes are ready");
	}
	buf_free(&text);
}
