/*
 * The circuit of the publisher's backend: counts its failures, also those that
 * it fights by itself, tells status, and says by a timer when the backend is to
 * be looked after. Loop thread.
 */
#ifndef WEFT_SERVICES_EVENTHUB_PUBLISHER_CIRCUIT_H
#define WEFT_SERVICES_EVENTHUB_PUBLISHER_CIRCUIT_H

#include <stdbool.h>

#include "run/breaker.h"
#include "run/run.h"

struct circuit {
	struct run *run;
	const char *backend;
	struct breaker breaker;
	bool waiting; /* the backend delivers nothing, and says so */
	struct err why;
	struct loop_timer timer; /* fires when it is to be looked after */
};

/* on_timer is called with the run. */
void circuit_init(struct circuit *c, struct run *run, const char *backend,
		  void (*on_timer)(void *arg));

/*
 * The backend failed. When it was closed, the timer says when to open it; when
 * it is open, and its circuit now is too, the timer says at once to close it.
 */
void circuit_failed(struct circuit *c, const struct err *err, bool closed);

/* The backend is in trouble and goes on trying; it counts while it lasts. */
void circuit_waits(struct circuit *c, const struct err *err);

/*
 * The timer fired while the backend is open: counts trouble that has lasted,
 * and, when it is `probing`, a probe that nothing came of. True when the
 * backend is to be closed.
 */
bool circuit_lasts(struct circuit *c, bool probing);

/* A probe was handed to it: it has its time. */
void circuit_probes(struct circuit *c);

/* It has delivered something, or says that it works. */
void circuit_works(struct circuit *c);

#endif
