/*
 * What the control socket can be asked, apart from the socket: a line of JSON
 * in, a line of JSON out, now or when the condition it waits for holds.
 * proto/control.md has the requests and answers.
 */
#ifndef WEFT_SUPERVISOR_REQUESTS_H
#define WEFT_SUPERVISOR_REQUESTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct supervisor;

/* What to wait for. */
enum wait_for {
	WAIT_NOTHING,
	WAIT_READY,   /* the target is ready, or one of it failed */
	WAIT_STOPPED, /* the target is stopped */
	WAIT_SCALED,  /* the target has as many instances as asked for */
	WAIT_END,     /* weftd ends: no further answer, the connection closes */
};

#define REQUEST_NAME_BYTES 64
#define REQUEST_ALL	   (-1)

/* A request that waits. Zero-initialised is none. */
struct request {
	enum wait_for wait;
	char row[REQUEST_NAME_BYTES]; /* "" = every service */
	int32_t instance;	      /* or REQUEST_ALL */
	uint32_t instances;	      /* how many are asked for */
	uint32_t before;	      /* how many there were */
	int64_t until_mono_us;
};

/*
 * Carries out one line (without '\n', any bytes). Appends an answer line to
 * `answer` unless r->wait says that it comes later (WAIT_END has one at once).
 */
void request_begin(struct supervisor *s, const char *line, size_t bytes,
		   struct request *r, struct buf *answer);

/* Appends the answer when the wait is over, and then returns true. */
bool request_poll(struct supervisor *s, const struct request *r, int64_t now,
		  struct buf *answer);

/* Appends {"ok":false,"code":code,"error":…} as a line. */
void request_refuse(struct buf *answer, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
