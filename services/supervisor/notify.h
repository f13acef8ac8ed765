/*
 * The receiving end of sd_notify(3): the socket on which children say READY=1
 * and WATCHDOG=1.
 */
#ifndef WEFT_SUPERVISOR_NOTIFY_H
#define WEFT_SUPERVISOR_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define NOTICE_MAX_BYTES    4096
#define NOTICE_STATUS_BYTES 256

/* What one datagram said. status is printable UTF-8, cut to fit. */
struct notice {
	bool ready;
	bool alive;
	bool stopping;
	bool has_status;
	uint64_t topology; /* the generation that it goes by; 0 = not said */
	char status[NOTICE_STATUS_BYTES];
};

/*
 * Reads KEY=VALUE lines. Unknown keys are ignored, as sd_notify(3) asks. -1
 * when the datagram is empty, too long, has a NUL or a line without '='.
 */
int notice_parse(const char *data, size_t bytes,
		 struct notice *notice) MUST_CHECK;

/*
 * Binds a datagram socket at `path` (an older one is removed; mode 0600) that
 * gets the sender's credentials with each datagram. Returns it, or -1.
 */
int notify_open(const char *path, struct err *err) MUST_CHECK;

/*
 * Takes one datagram. 1: *notice from the process *sender, as the kernel
 * vouches for it; 0: none waits; -1: one was malformed, or had no credentials,
 * and was dropped. Descriptors sent along are closed.
 */
int notify_receive(int fd, pid_t *sender, struct notice *notice);

/* Puts text into out[NOTICE_STATUS_BYTES] as printable UTF-8. */
void notice_clean(char *out, const char *text, size_t bytes);

#endif
