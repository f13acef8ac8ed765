#include "base/clock.h"
#include "base/log.h"
#include "run/notify.h"
#include "services/supervisor/supervisor.h"

#define QUICK_TIMEOUT_US 2000000

static const char *const phase_names[] = {
    [PHASE_CLIENT] = "clients", [PHASE_SOURCE] = "sources",
    [PHASE_RELAY] = "relays",	[PHASE_SINK] = "sinks",
    [PHASE_LAST] = "metrics",
};

void shutdown_begin(struct supervisor *s, const char *why, int exit_code)
{
	if (s->stopping) {
		if (!s->quick)
			log_warn("stopping_quickly", "reason=%s", why);
		s->quick = true;
		return;
	}
	log_info("stopping", "reason=%s", why);
	notify_send("STOPPING=1");
	s->stopping = true;
	s->exit_code = exit_code;
	s->phase = PHASE_CLIENT;
	s->changes++;
}

static void hurry(struct instance *i)
{
	int64_t by = clock_mono_us() + QUICK_TIMEOUT_US;

	if (i->child.deadline_mono_us > by)
		i->child.deadline_mono_us = by;
}

/* Asks the instances of the phase to stop; how many still run. */
static unsigned stop_phase(struct supervisor *s)
{
	unsigned running = 0;

	for (uint32_t n = 0; n < s->instance_count; n++) {
		struct instance *i = s->instances[n];

		if (!s->quick && plan_phase(i->kind) != s->phase)
			continue;
		instance_event(s, i, CHILD_STOP);
		if (s->quick)
			hurry(i);
		running += child_runs(&i->child);
	}
	return running;
}

void shutdown_advance(struct supervisor *s)
{
	while (stop_phase(s) == 0) {
		if (s->quick || s->phase == PHASE_LAST) {
			loop_stop(s->loop);
			return;
		}
		log_debug("phase_stopped", "phase=%s", phase_names[s->phase]);
		s->phase++;
	}
}
