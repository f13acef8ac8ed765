/* Starting one process: what it inherits, and nothing else. */
#ifndef WEFT_SUPERVISOR_SPAWN_H
#define WEFT_SUPERVISOR_SPAWN_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* Everything is borrowed for the call. */
struct spawn {
	const char *path;  /* of the program, absolute */
	char *const *argv; /* NULL-terminated */
	int output_fd;	   /* its stdout and stderr */
	int listen_fd;	   /* becomes descriptor 3, or -1 for none */
	const char *listen_name;
	const char *notify_path;   /* its NOTIFY_SOCKET */
	const char *topology_path; /* its WEFT_TOPOLOGY */
	int64_t watchdog_us;
};

/*
 * Forks and executes. The child has /dev/null as stdin, output_fd as stdout and
 * stderr, perhaps the listening socket, and no other descriptor; a process
 * group of its own, default signals, no core dumps (they would hold secrets),
 * NOTIFY_SOCKET, WATCHDOG_USEC, WEFT_TOPOLOGY and LISTEN_* in place of weftd's
 * own; and it is killed when weftd dies. A program that cannot be executed says
 * so on output_fd and ends with code 78 (75 when the system was short of
 * something). Returns its pid, or -1 with *err when there was no fork.
 */
pid_t spawn_process(const struct spawn *spawn, struct err *err) MUST_CHECK;

#endif
