/*
 * What the files of weftd share: the supervisor's state and its instances.
 * Everything runs on one thread, the loop's.
 */
#ifndef WEFT_SUPERVISOR_SUPERVISOR_H
#define WEFT_SUPERVISOR_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"
#include "conf/conf.h"
#include "services/supervisor/child.h"
#include "services/supervisor/logpipe.h"
#include "services/supervisor/notify.h"

#define MAX_INSTANCES 1024
#define LABEL_BYTES   96

/* In which order a clean stop asks services to end. */
enum phase { PHASE_CLIENT, PHASE_SOURCE, PHASE_RELAY, PHASE_SINK, PHASE_LAST };

/* One process to be kept alive: a service row's instance. */
struct instance {
	char *row;
	uint32_t number;
	char label[LABEL_BYTES]; /* "collector.0" */
	const struct conf_kind *kind;
	struct child child;
	pid_t pid; /* 0 while there is none; unreaped else */
	const struct conf *started_with; /* borrowed; NULL before any start */
	int64_t spawned_mono_us;
	bool leaving;	  /* no longer wanted: gone once stopped */
	uint64_t left_at; /* the generation without it, while it leaves */
	int64_t leave_by_mono_us; /* then it stops, whoever feeds it still */
	uint64_t follows; /* the generation that it goes by as a producer */
	bool bad_config;  /* last life ended with exit code 78 */
	bool reload_due;  /* a reload came before it could hear of it */
	bool relink_due;  /* likewise another number of those it feeds */
	char status[NOTICE_STATUS_BYTES]; /* as it said, or why it is not up */
	char last_exit[64];		  /* "killed by signal 9 (Killed)" */
	struct logpipe log;
};

/* A socket held for a service row. */
struct held {
	char *row;
	char *address; /* as configured */
	int fd;
	struct held *next;
};

/* A service that `scale` gave another number of instances than the file. */
struct scaled {
	char *row;
	uint32_t instances;  /* as it was scaled to */
	uint32_t configured; /* as the file had it then */
	bool overruled;	     /* a reload brought another number */
};

struct control;

struct supervisor {
	const struct conf_kinds *kinds;
	const char *config_path; /* absolute, NULL = built-in defaults */
	bool daemon;		 /* logs to its own file, not to stderr */
	struct conf *conf;
	const struct conf *started_with; /* what weftd itself began with */
	struct conf **old; /* earlier ones that a process may still run with */
	uint32_t old_count;
	char *run_dir, *libexec; /* fixed for its life */
	char *notify_path, *topology_path;
	int report_fd; /* tells who started it how the start went; -1 = told */
	int lock_fd;
	struct loop *loop;
	struct loop_io signals, notify;
	struct loop_timer alarm;
	struct loop_timer housekeeping;
	struct loop_timer manager_ping;
	struct loop_hook settle;
	struct child_policy policy;
	struct instance **instances;
	uint32_t instance_count;
	struct held *held;
	struct scaled *scaled;
	uint32_t scaled_count;
	struct control *control;
	uint64_t generation; /* of the topology file */
	uint64_t notices_ignored;
	uint64_t changes; /* of states, ever */
	int64_t started_mono_us, started_wall_us;
	bool start_is_over;	 /* all was ready once, or one has failed */
	int64_t manager_ping_us; /* how often our own manager wants one, or 0 */
	bool stopping;
	bool quick;	  /* stop without waiting for what is in flight */
	enum phase phase; /* while stopping */
	int exit_code;
};

/*
 * claim.c: makes the pipeline's directories, takes the lock on run_dir, and
 * fills in run_dir, libexec, notify_path and lock_fd.
 */
int claim_place(struct supervisor *s, struct err *err) MUST_CHECK;

/* instance.c: what happens to one instance. */
void instance_event(struct supervisor *s, struct instance *i,
		    enum child_event event);
void instance_notice(struct supervisor *s, struct instance *i,
		     const struct notice *notice);
/* Sends SIGHUP, once it is ready: before, it may not handle it yet. */
void instance_reload(struct instance *i);
/* Sends SIGUSR1 likewise: the topology is another one. */
void instance_relink(struct instance *i);
/* Reaps every process that has ended. */
void instances_reap(struct supervisor *s);
/* Applies deadlines that have passed; the next one, 0 when there is none. */
int64_t instances_deadline(struct supervisor *s, int64_t now);
struct instance *instance_of_pid(struct supervisor *s, pid_t pid);

/* plan.c: which instances there are. */
enum phase plan_phase(const struct conf_kind *kind);
/*
 * Makes everything that s->conf needs and that may fail: sockets, logs and
 * instances, stopped as yet. On an error no instance is left over.
 */
int plan_apply(struct supervisor *s, struct err *err) MUST_CHECK;
/* Forgets the instances behind the first `count`; none of them has run. */
void plan_shrink(struct supervisor *s, uint32_t count);
/* Starts the instances that are new or refused their old configuration, stops
 * those no longer planned. */
void plan_start(struct supervisor *s);
/* Puts the instances into the order of the configuration. */
void plan_sort(struct supervisor *s);
/* Removes those that have left and stopped. */
void plan_sweep(struct supervisor *s);
void plan_free(struct supervisor *s);
struct child_policy plan_policy(const struct conf *conf);
/*
 * The listening socket of a row, borrowed: opened when it is new or the address
 * has changed. *fd is -1 for a row that does not listen.
 */
int plan_listener(struct supervisor *s, const char *row, int *fd,
		  struct err *err) MUST_CHECK;
const struct held *plan_held(const struct supervisor *s, const char *row);

/*
 * scale.c: another number of instances while all goes on.
 *
 * Sets the number of a row until weftd ends. 0 once it is under way; -1 with
 * *err when it cannot be, and nothing has changed.
 */
int scale_row(struct supervisor *s, const char *row, uint32_t instances,
	      struct err *err) MUST_CHECK;
/* True when the row's instances are ready, the others gone, and all that feed
 * it know; *failed: one of them has failed. */
bool scale_is_done(const struct supervisor *s, const char *row, bool *failed);
/* An instance that is not planned any more stops: a relay only when nobody
 * feeds it, or after a time. */
void scale_leave(struct supervisor *s, struct instance *i);
/* Stops those that may stop now; when to look again, 0 for never. */
int64_t scale_settle(struct supervisor *s, int64_t now);
/*
 * Puts the scaled numbers into a configuration that was read anew, but for rows
 * where the file has changed its mind; then takes that over, or not.
 */
void scale_overlay(struct supervisor *s, struct conf *conf);
void scale_overlaid(struct supervisor *s, bool taken);
/* The number that the file has for a row. */
uint32_t scale_configured(const struct supervisor *s,
			  const struct conf_service *row);
void scale_free(struct supervisor *s);

/* topology.c: writes <run_dir>/topology. */
int topology_write(struct supervisor *s, struct err *err) MUST_CHECK;

/* reload.c */
struct cJSON;
/*
 * Loads the configuration anew and puts it to work. Fills `answer` (JSON
 * object): "ok", and "error" and "lines", or "started", "stopped" and
 * "needs_restart". A configuration that is refused changes nothing.
 */
void supervisor_reload(struct supervisor *s, struct cJSON *answer);
/* The same for SIGHUP: problems go to the log. */
void supervisor_reload_logged(struct supervisor *s);
/* Reads config and contracts; problems and warnings go to *problems, one a
 * line. */
int supervisor_load(struct supervisor *s, struct conf **conf,
		    struct buf *problems) MUST_CHECK;

/* changes.c */
bool changes_same_text(const char *a, const char *b);
/* Adds {"service", "keys"} for what differs between s->conf and what running
 * processes began with, and is read only at a start. */
void changes_list(const struct supervisor *s, struct cJSON *list);
/* Takes over the configuration that s->conf has replaced, as long as anything
 * began with it. */
void changes_keep(struct supervisor *s, struct conf **conf);
void changes_free(struct supervisor *s);

/* report.c: how the start went, told once. */
/* True when every instance is ready. */
bool start_complete(const struct supervisor *s);
/* Says on report_fd that all is ready, or which failed with their last lines,
 * as soon as that is known. */
void start_report(struct supervisor *s);
/* Why one instance is not up, with its last lines of log. */
void start_explain(const struct instance *i, struct buf *out);

/* control.c: the control socket. */
int control_open(struct supervisor *s, struct err *err) MUST_CHECK;
/* Answers what can be answered; the next deadline, 0 when there is none. */
int64_t control_settle(struct supervisor *s, int64_t now);
void control_close(struct supervisor *s);

/* shutdown.c */
void shutdown_begin(struct supervisor *s, const char *why, int exit_code);
/* Goes on with the phases; stops the loop when nothing runs. */
void shutdown_advance(struct supervisor *s);

#endif
