/* Talking to weftd: where it is, and one question with its answer. */
#ifndef WEFT_PIPELINECTL_CONTROL_H
#define WEFT_PIPELINECTL_CONTROL_H

#include <cjson/cJSON.h>
#include <stdint.h>

#include "base/err.h"
#include "services/pipelinectl/options.h"

/* Where a pipeline lives. */
struct place {
	char *run_dir;
	char *log_dir;
	char *socket; /* the control socket */
};

/*
 * Finds the place of the pipeline that `config` (NULL: the built-in defaults)
 * describes. A file with errors gives it all the same as long as its pipeline
 * section can be read: a running pipeline must be reachable whatever its file
 * has become. -1 with *err, which then has the file's problems.
 */
int place_find(struct place *p, const char *config, struct err *err) MUST_CHECK;
void place_free(struct place *p);

/* {"op": op} with the target's service and instance. Owned by the caller. */
cJSON *control_request(const char *op, const struct options *o);

/*
 * Connects to weftd. Returns the socket; -1 with err->code ENOENT or
 * ECONNREFUSED when nothing runs, EACCES when it is another user's.
 */
int control_connect(const struct place *p, struct err *err) MUST_CHECK;

/*
 * Sends *request (taken) and reads the answer line, owned by the caller, within
 * timeout_us. NULL with *err.
 */
cJSON *control_ask(int fd, cJSON **request, int64_t timeout_us,
		   struct err *err) MUST_CHECK;

/* Waits until weftd closes the connection: it has ended. 0, or -1 with *err. */
int control_wait_end(int fd, int64_t timeout_us, struct err *err) MUST_CHECK;

/*
 * The common course of a command: finds the place, asks, and reports problems
 * on stderr (as JSON on stdout with o->json). Returns an enum cmd_exit; with
 * CMD_OK *answer has "ok": true and is owned by the caller.
 */
int control_simply(const struct options *o, cJSON **request, cJSON **answer);

/* Reports an error as control_simply() does. Returns the exit code for it. */
int control_report(const struct options *o, const struct err *err);

/* A string member of an object, "" when it is not there. */
const char *control_text(const cJSON *object, const char *name);
/* A number member, `otherwise` when it is not there. */
double control_number(const cJSON *object, const char *name, double otherwise);

/* Prints json (taken) on one line. */
void control_print(cJSON **json);

#endif
