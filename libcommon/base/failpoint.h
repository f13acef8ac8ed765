/*
 * Points at which a test kills or stops the process: FAILPOINT("name") is empty
 * in products. Built with -DWEFT_FAILPOINTS (`make FAILPOINTS=1`) each looks
 * for its row in the file that $WEFT_FAILPOINT_FILE names, counts its passes
 * there, and sends its process the row's signal when the row's countdown gets
 * to zero. The file is mapped, so that what was counted is there after a
 * SIGKILL too. tests/chaos/points.py makes the file and arms the rows.
 */
#ifndef WEFT_BASE_FAILPOINT_H
#define WEFT_BASE_FAILPOINT_H

#ifdef WEFT_FAILPOINTS

#include <stdbool.h>
#include <stdint.h>

#define FAILPOINT_NAME_BYTES 96

/* As it lies in the file, one after the other. */
struct failpoint_row {
	char name[FAILPOINT_NAME_BYTES]; /* "collector.0:spool_after_sync" */
	uint64_t passes;
	int64_t countdown; /* to the signal; 0 = not armed */
	uint64_t fired;	   /* signals sent */
	uint64_t signal;
};

/* A place in the code. */
struct failpoint {
	const char *name;
	struct failpoint_row *row; /* NULL: the file does not name it */
	bool known;		   /* the row was looked for */
};

/*
 * Counts a pass, and sends the process its signal when it is time. Does nothing
 * without the file. Any thread.
 */
void failpoint_pass(struct failpoint *point);

#define FAILPOINT(point_name)                                            \
	do {                                                             \
		static struct failpoint point_ = {.name = (point_name)}; \
                                                                         \
		failpoint_pass(&point_);                                 \
	} while (0)

#else
#define FAILPOINT(name) \
	do {            \
	} while (0)
#endif

#endif
