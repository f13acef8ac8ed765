#include "services/supervisor/child.h"

static void enter(struct child *c, enum child_state state, int64_t now,
		  int64_t wait_us)
{
	if (c->state != state)
		c->since_mono_us = now;
	c->state = state;
	c->deadline_mono_us = wait_us ? now + wait_us : 0;
}

static enum child_order spawn(struct child *c, const struct child_policy *p,
			      int64_t now)
{
	c->wanted = true;
	c->at_fault = false;
	c->ready_mono_us = 0;
	if (c->lives++)
		c->restarts++;
	enter(c, CHILD_STARTING, now, p->start_timeout_us);
	return CHILD_DO_SPAWN;
}

/* An operator's start: what happened before is forgiven. */
static enum child_order spawn_afresh(struct child *c,
				     const struct child_policy *p, int64_t now)
{
	for (uint32_t i = 0; i < CHILD_MAX_BURST; i++)
		c->deaths[i] = 0;
	c->backoff_us = 0;
	return spawn(c, p, now);
}

static enum child_order want(struct child *c, const struct child_policy *p,
			     int64_t now)
{
	(void)p;
	(void)now;
	c->wanted = true;
	return CHILD_DO_NOTHING;
}

static enum child_order unwant(struct child *c, const struct child_policy *p,
			       int64_t now)
{
	(void)p;
	(void)now;
	c->wanted = false;
	return CHILD_DO_NOTHING;
}

static enum child_order rest(struct child *c, const struct child_policy *p,
			     int64_t now)
{
	(void)p;
	c->wanted = false;
	enter(c, CHILD_STOPPED, now, 0);
	return CHILD_DO_NOTHING;
}

static enum child_order term(struct child *c, const struct child_policy *p,
			     int64_t now)
{
	c->wanted = false;
	enter(c, CHILD_STOPPING, now, p->stop_timeout_us);
	return CHILD_DO_TERM;
}

static enum child_order term_and_again(struct child *c,
				       const struct child_policy *p,
				       int64_t now)
{
	term(c, p, now);
	c->wanted = true;
	return CHILD_DO_TERM;
}

/* It ends by itself: it gets the time to, then counts as having died. */
static enum child_order ends_itself(struct child *c,
				    const struct child_policy *p, int64_t now)
{
	c->at_fault = true;
	enter(c, CHILD_STOPPING, now, p->stop_timeout_us);
	return CHILD_DO_NOTHING;
}

static enum child_order become_ready(struct child *c,
				     const struct child_policy *p, int64_t now)
{
	c->ready_mono_us = now;
	enter(c, CHILD_READY, now, p->watchdog_us);
	return CHILD_DO_NOTHING;
}

/* A start that shows signs of life is never too slow: a log may be long. */
static enum child_order extend_start(struct child *c,
				     const struct child_policy *p, int64_t now)
{
	enter(c, CHILD_STARTING, now, p->start_timeout_us);
	return CHILD_DO_NOTHING;
}

static enum child_order extend_watchdog(struct child *c,
					const struct child_policy *p,
					int64_t now)
{
	enter(c, CHILD_READY, now, p->watchdog_us);
	return CHILD_DO_NOTHING;
}

/*
 * SIGKILL at once and not SIGABRT first: cores are off, for they would hold
 * secrets, and a process that is stopped or stuck answers nothing else.
 */
static enum child_order kill_hung(struct child *c, const struct child_policy *p,
				  int64_t now)
{
	(void)p;
	c->at_fault = true;
	enter(c, CHILD_STOPPING, now, 0);
	return CHILD_DO_KILL;
}

static enum child_order kill_slow(struct child *c, const struct child_policy *p,
				  int64_t now)
{
	(void)p;
	enter(c, CHILD_STOPPING, now, 0);
	return CHILD_DO_KILL;
}

static enum child_order back_off(struct child *c, const struct child_policy *p,
				 int64_t now)
{
	bool lived =
	    c->ready_mono_us && now - c->ready_mono_us >= CHILD_LIVED_US;

	if (!c->backoff_us || lived)
		c->backoff_us = p->backoff_first_us;
	else if (c->backoff_us > p->backoff_max_us / 2)
		c->backoff_us = p->backoff_max_us;
	else
		c->backoff_us *= 2;
	enter(c, CHILD_BACKOFF, now, c->backoff_us);
	return CHILD_DO_NOTHING;
}

static enum child_order give_up(struct child *c, const struct child_policy *p,
				int64_t now)
{
	(void)p;
	enter(c, CHILD_FAILED, now, 0);
	return CHILD_DO_NOTHING;
}

/* A death that counts: the budget's ring is full when its oldest is recent. */
static enum child_order died(struct child *c, const struct child_policy *p,
			     int64_t now)
{
	int64_t *oldest = &c->deaths[c->death_at % p->restart_burst];
	bool spent = *oldest && now - *oldest < p->restart_interval_us;

	*oldest = now;
	c->death_at = (c->death_at + 1) % p->restart_burst;
	return spent ? give_up(c, p, now) : back_off(c, p, now);
}

static enum child_order ended(struct child *c, const struct child_policy *p,
			      int64_t now)
{
	if (!c->wanted)
		return rest(c, p, now);
	if (c->at_fault)
		return died(c, p, now);
	return spawn(c, p, now);
}

/* It said STOPPING=1 first, then why: the same as without that. */
static enum child_order ended_tempfail(struct child *c,
				       const struct child_policy *p,
				       int64_t now)
{
	return c->wanted && c->at_fault ? back_off(c, p, now)
					: ended(c, p, now);
}

static enum child_order ended_config(struct child *c,
				     const struct child_policy *p, int64_t now)
{
	return c->wanted && c->at_fault ? give_up(c, p, now) : ended(c, p, now);
}

typedef enum child_order transition(struct child *, const struct child_policy *,
				    int64_t);

/* What is not in the table means nothing in that state. */
static transition *const table[CHILD_STATES][CHILD_EVENTS] = {
    [CHILD_STOPPED] =
	{
	    [CHILD_START] = spawn_afresh,
	    [CHILD_RESTART] = spawn_afresh,
	},
    [CHILD_STARTING] =
	{
	    [CHILD_STOP] = term,
	    [CHILD_RESTART] = term_and_again,
	    [CHILD_SAYS_READY] = become_ready,
	    [CHILD_SAYS_ALIVE] = extend_start,
	    [CHILD_SAYS_STOPPING] = ends_itself,
	    [CHILD_DEADLINE] = kill_hung,
	    [CHILD_EXIT] = died,
	    [CHILD_EXIT_TEMPFAIL] = back_off,
	    [CHILD_EXIT_CONFIG] = give_up,
	},
    [CHILD_READY] =
	{
	    [CHILD_STOP] = term,
	    [CHILD_RESTART] = term_and_again,
	    [CHILD_SAYS_ALIVE] = extend_watchdog,
	    [CHILD_SAYS_STOPPING] = ends_itself,
	    [CHILD_DEADLINE] = kill_hung,
	    [CHILD_EXIT] = died,
	    [CHILD_EXIT_TEMPFAIL] = back_off,
	    [CHILD_EXIT_CONFIG] = give_up,
	},
    [CHILD_STOPPING] =
	{
	    [CHILD_START] = want,
	    [CHILD_RESTART] = want,
	    [CHILD_STOP] = unwant,
	    [CHILD_DEADLINE] = kill_slow,
	    [CHILD_EXIT] = ended,
	    [CHILD_EXIT_TEMPFAIL] = ended_tempfail,
	    [CHILD_EXIT_CONFIG] = ended_config,
	},
    [CHILD_BACKOFF] =
	{
	    [CHILD_START] = spawn_afresh,
	    [CHILD_RESTART] = spawn_afresh,
	    [CHILD_STOP] = rest,
	    [CHILD_DEADLINE] = spawn,
	},
    [CHILD_FAILED] =
	{
	    [CHILD_START] = spawn_afresh,
	    [CHILD_RESTART] = spawn_afresh,
	    [CHILD_STOP] = rest,
	},
};

enum child_order child_step(struct child *c, enum child_event event,
			    const struct child_policy *policy, int64_t now)
{
	transition *act = table[c->state][event];

	return act ? act(c, policy, now) : CHILD_DO_NOTHING;
}

const char *child_state_name(enum child_state state)
{
	static const char *const names[CHILD_STATES] = {
	    [CHILD_STOPPED] = "stopped", [CHILD_STARTING] = "starting",
	    [CHILD_READY] = "ready",	 [CHILD_STOPPING] = "stopping",
	    [CHILD_BACKOFF] = "backoff", [CHILD_FAILED] = "failed",
	};

	return names[state];
}

bool child_runs(const struct child *c)
{
	return c->state == CHILD_STARTING || c->state == CHILD_READY ||
	       c->state == CHILD_STOPPING;
}
