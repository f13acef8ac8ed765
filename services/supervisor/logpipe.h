/*
 * The log of one supervised process: a pipe that weftd reads and writes to a
 * file of bounded size. A pipe and not the file itself, because then the cap is
 * exact, a rotation needs nobody to reopen anything, a life that ends leaves no
 * gap, and the last lines are at hand when a start fails. A process is slowed
 * down, never stopped, when it logs faster than the disk takes it.
 */
#ifndef WEFT_SUPERVISOR_LOGPIPE_H
#define WEFT_SUPERVISOR_LOGPIPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"

#define LOGPIPE_FILE_BYTES (10 << 20)
#define LOGPIPE_FILES	   3
#define LOGPIPE_TAIL_BYTES 4096

struct logpipe {
	char *path;   /* <path>, <path>.1, <path>.2: newest first */
	int write_fd; /* what the process gets as stderr */
	int file_fd;
	int64_t file_bytes;
	bool at_line_start;
	bool echo;	     /* to our stderr too */
	uint64_t lost_bytes; /* that the disk did not take */
	struct loop *loop;
	struct loop_io io;
	size_t tail_used;
	char tail[LOGPIPE_TAIL_BYTES];
};

/* Opens the file (appending) and the pipe and watches it. *l stays in place. */
int logpipe_open(struct logpipe *l, struct loop *loop, const char *path,
		 struct err *err) MUST_CHECK;

/* Takes what is still in the pipe, then closes everything. */
void logpipe_close(struct logpipe *l);

/* Writes what waits in the pipe; called for the last words of a process. */
void logpipe_drain(struct logpipe *l);

/* Forgets the last lines: a new life begins. */
void logpipe_forget(struct logpipe *l);

/* Appends the last `lines` whole lines to out. */
void logpipe_last(const struct logpipe *l, unsigned lines, struct buf *out);

/* Moves path to path.1 and so on; the oldest is removed. */
void logpipe_rotate(const char *path);

#endif
