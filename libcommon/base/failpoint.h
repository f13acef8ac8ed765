/*
 * Points at which a test kills the process: FAILPOINT("name") is empty in
 * products. Built with -DWEFT_FAILPOINTS it reads WEFT_FAILPOINT=name[:count]
 * from the environment and ends the process as kill -9 would, the count-th
 * time (1 without a count) that the point of that name is passed.
 */
#ifndef WEFT_BASE_FAILPOINT_H
#define WEFT_BASE_FAILPOINT_H

#ifdef WEFT_FAILPOINTS

#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* One counter is enough: the environment names one point only. */
static inline void failpoint_pass(const char *name, int *passed)
{
	const char *want = getenv("WEFT_FAILPOINT");
	size_t bytes = strlen(name);
	int count = 1;

	if (!want || strncmp(want, name, bytes) != 0 ||
	    (want[bytes] != '\0' && want[bytes] != ':'))
		return;
	if (want[bytes] == ':')
		count = atoi(want + bytes + 1);
	if (__atomic_add_fetch(passed, 1, __ATOMIC_RELAXED) == count)
		raise(SIGKILL);
}

#define FAILPOINT(name)                                  \
	do {                                             \
		static int failpoint_passed;             \
		failpoint_pass(name, &failpoint_passed); \
	} while (0)

#else
#define FAILPOINT(name) \
	do {            \
	} while (0)
#endif

#endif
