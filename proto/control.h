/*
 * The names and limits of weftd's control socket and files in run_dir, which
 * the supervisor serves and pipelinectl uses. Written down in proto/control.md.
 */
#ifndef WEFT_PROTO_CONTROL_H
#define WEFT_PROTO_CONTROL_H

/* In <run_dir>. */
#define CONTROL_SOCKET	 "control.sock"
#define CONTROL_NOTIFY	 "notify.sock"
#define CONTROL_LOCK	 "weftd.lock"
#define CONTROL_TOPOLOGY "topology"

/* Where a producer shows what passes it, as "ipc://<run_dir>/…": row,
 * instance. And how a message begins: link, stream, events left out before. */
#define CONTROL_TAP	  "%s.%u.tap"
#define CONTROL_TAP_TOPIC "%s\n%s\n"

/* In <state_dir>. */
#define CONTROL_LOG_DIR	  "log"
#define CONTROL_OWN_LOG	  "weftd.log"
#define CONTROL_CHILD_LOG "%s.%u.log" /* row, instance */

/* A request and an answer are one line of JSON each, '\n' included. */
#define CONTROL_MAX_REQUEST_BYTES 4096
#define CONTROL_MAX_ANSWER_BYTES  (4 << 20)

#define CONTROL_MAX_CLIENTS	   32
#define CONTROL_REQUEST_TIMEOUT_US 5000000 /* connect to end of request */
#define CONTROL_ANSWER_TIMEOUT_US  5000000 /* for the client to take it */
#define CONTROL_MAX_WAIT_MS	   3600000 /* timeout_ms of a request */
#define CONTROL_WAIT_MS		   60000   /* when the request has none */

/* The last line on the stderr of weftd --daemon when all has become ready. */
#define CONTROL_READY_LINE "weftd: ready\n"

/* Exit codes of weftd and of services, as in sysexits.h. */
#define CONTROL_EXIT_TEMPFAIL 75 /* try again later */
#define CONTROL_EXIT_CONFIG   78 /* never works with this configuration */

#endif
