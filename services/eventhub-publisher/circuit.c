#include "services/eventhub-publisher/circuit.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "services/eventhub-publisher/tables.h"

/* Trouble that the backend fights by itself is one failure more each time that
 * it has lasted so long. */
#define LASTING_US INT64_C(1000000)
/* What is sent through a half-open circuit has so long to be delivered. */
#define PROBE_US INT64_C(30000000)

/* After a reload they may be others. */
static struct breaker_options options_of(const struct circuit *c)
{
	const struct eventhub_publisher_conf *conf = run_conf(c->run);

	return (struct breaker_options){
	    .destination = c->backend,
	    .threshold = (unsigned)conf->circuit_threshold,
	    .cool_down_us = conf->circuit_cool_down,
	    .retry_first_us = conf->retry_first,
	    .retry_max_us = conf->retry_max,
	};
}

void circuit_init(struct circuit *c, struct run *run, const char *backend,
		  void (*on_timer)(void *arg))
{
	struct breaker_options options;

	c->run = run;
	c->backend = backend;
	c->timer = (struct loop_timer){.fn = on_timer, .arg = run};
	options = options_of(c);
	breaker_init(&c->breaker, &options);
}

static void show(struct circuit *c)
{
	bool open = c->breaker.state != BREAKER_CLOSED;
	char status[ERR_TEXT_BYTES + 64];

	snprintf(status, sizeof(status), "waiting for %s%s: %s", c->backend,
		 open ? " (circuit open)" : "", c->breaker.err.text);
	run_status(c->run, status);
}

void circuit_failed(struct circuit *c, const struct err *err, bool closed)
{
	const struct breaker_options options = options_of(c);
	int64_t now_us = clock_mono_us(), next_us;

	breaker_set(&c->breaker, &options);
	breaker_failed(&c->breaker, now_us, err);
	show(c);
	next_us = breaker_next_mono_us(&c->breaker);
	if (closed)
		c->waiting = false;
	else if (c->breaker.state == BREAKER_OPEN)
		next_us = now_us;
	else if (next_us < now_us + LASTING_US)
		next_us = now_us + LASTING_US;
	loop_timer_set(run_loop(c->run), &c->timer, next_us);
}

void circuit_waits(struct circuit *c, const struct err *err)
{
	c->why = *err;
	if (c->waiting) {
		c->breaker.err = *err;
		show(c);
		return;
	}
	c->waiting = true;
	circuit_failed(c, err, false);
}

bool circuit_lasts(struct circuit *c, bool probing)
{
	struct err err = c->why;

	if (probing && !c->waiting && c->breaker.state == BREAKER_HALF_OPEN)
		err_set(&err, ETIMEDOUT, "nothing was delivered in %d s",
			(int)(PROBE_US / 1000000));
	else if (!c->waiting)
		return false;
	if (c->breaker.state != BREAKER_OPEN)
		circuit_failed(c, &err, false);
	if (c->breaker.state != BREAKER_OPEN)
		return false;
	c->waiting = false;
	return true;
}

void circuit_probes(struct circuit *c)
{
	loop_timer_set(run_loop(c->run), &c->timer, clock_mono_us() + PROBE_US);
}

void circuit_works(struct circuit *c)
{
	if (!c->breaker.failures && !c->waiting)
		return;
	c->waiting = false;
	loop_timer_cancel(run_loop(c->run), &c->timer);
	breaker_succeeded(&c->breaker);
	run_status(c->run, "");
}
