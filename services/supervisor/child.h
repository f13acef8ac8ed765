/*
 * The life of one supervised process as a table of states and events. No I/O
 * and no clock of its own: the caller tells what happened and when, and does
 * what the answer says. Times are monotonic microseconds.
 *
 *   stopped ──start──▶ starting ──READY=1──▶ ready
 *      ▲                  │ exit  ▲            │ exit
 *      │                  ▼       │ time       ▼
 *      └──exit── stopping      backoff ◀───────┘
 *                              failed (start and restart leave it)
 */
#ifndef WEFT_SUPERVISOR_CHILD_H
#define WEFT_SUPERVISOR_CHILD_H

#include <stdbool.h>
#include <stdint.h>

#define CHILD_MAX_BURST 1000 /* as restart_burst of the pipeline */
/* A life that was ready so long resets the back-off. */
#define CHILD_LIVED_US 1000000

enum child_state {
	CHILD_STOPPED,	/* nobody wants it */
	CHILD_STARTING, /* runs, has not said READY=1 */
	CHILD_READY,
	CHILD_STOPPING, /* was told to end, or ends, or was killed */
	CHILD_BACKOFF,	/* died, waits to be started again */
	CHILD_FAILED,	/* gave up on it until somebody acts */
	CHILD_STATES,
};

enum child_event {
	CHILD_START,	     /* an operator or the configuration wants it */
	CHILD_STOP,	     /* … does not want it */
	CHILD_RESTART,	     /* … wants a fresh one */
	CHILD_SAYS_READY,    /* READY=1 */
	CHILD_SAYS_ALIVE,    /* WATCHDOG=1, or any other notice */
	CHILD_SAYS_STOPPING, /* STOPPING=1 */
	CHILD_DEADLINE,	     /* deadline_mono_us has passed */
	CHILD_EXIT,	     /* was reaped */
	CHILD_EXIT_TEMPFAIL, /* was reaped with code 75: no fault, try again */
	CHILD_EXIT_CONFIG,   /* was reaped with code 78: will not work ever */
	CHILD_EVENTS,
};

/* What the caller must do now; at most one of them. */
enum child_order {
	CHILD_DO_NOTHING,
	CHILD_DO_SPAWN,
	CHILD_DO_TERM, /* send SIGTERM */
	CHILD_DO_KILL, /* send SIGKILL */
};

struct child_policy {
	int64_t start_timeout_us; /* without any notice while starting */
	int64_t watchdog_us;	  /* without WATCHDOG=1 when ready */
	int64_t stop_timeout_us;
	int64_t backoff_first_us;
	int64_t backoff_max_us;
	int64_t restart_interval_us;
	uint32_t restart_burst; /* deaths in that interval; ≤ CHILD_MAX_BURST */
};

struct child {
	enum child_state state;
	bool wanted;		  /* start again after it has ended */
	bool at_fault;		  /* its end counts against the budget */
	int64_t since_mono_us;	  /* of the state */
	int64_t deadline_mono_us; /* 0 = none */
	int64_t ready_mono_us;	  /* of this life; 0 = not yet */
	int64_t backoff_us;	  /* the last one, 0 = none */
	uint64_t restarts;	  /* lives after the first, operator's too */
	uint64_t lives;
	int64_t deaths[CHILD_MAX_BURST]; /* a ring of the last ones' times */
	uint32_t death_at;
};

/*
 * Applies one event at time `now` and returns what to do. A spawn that cannot
 * be done is reported back as CHILD_EXIT_TEMPFAIL. Events that mean nothing in
 * a state are ignored. Zero-initialised is a stopped child.
 */
enum child_order child_step(struct child *c, enum child_event event,
			    const struct child_policy *policy, int64_t now);

const char *child_state_name(enum child_state state);

/* True while a process exists or may exist. */
bool child_runs(const struct child *c);

#endif
