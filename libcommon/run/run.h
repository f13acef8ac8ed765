/*
 * The skeleton of a service. It gives: the config of its row, reload on SIGHUP,
 * logging, the loop, the bus, stats once a second, readiness and watchdog by
 * sd_notify, the flock on its state directory, and drain on SIGTERM, so that a
 * service file reads as in, work, out. Everything on the loop thread.
 *
 *   <service> --config FILE --name ROW --instance N
 * started by weftd or straight by systemd or a person.
 */
#ifndef WEFT_RUN_RUN_H
#define WEFT_RUN_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"
#include "bus/bus.h"
#include "conf/conf.h"
#include "contract/contract.h"

struct run;

/*
 * What a service is.
 *  init: opens everything; -1 with *err ends the process with exit code 78
 *    (bad configuration, err->retriable false) or 75 (try again). The process
 *    is READY when init returned and run_ready() was called (init may leave
 *    that to later, e.g. until its log is recovered).
 *  tick: every 100 ms. reload: the new config is in place (run_conf() is
 *    new; what run_conf() gave before is freed when reload returns).
 *  relink: the number of instances of some service is another one, and nothing
 *    else is: run_endpoints() says so.
 *  stats: once a second, before the counters are exported, to refresh gauges.
 *  drain: after SIGTERM, at each turn, until it returns true or the pipeline's
 *    drain timeout passes. fini: releases everything; after a failed init too.
 * Optional ones may be NULL: all but init and fini.
 */
struct service {
	const char *name;   /* of its kind in pipeline.def */
	size_t state_bytes; /* of the struct that run_state() gives, zeroed */
	int (*init)(struct run *run, struct err *err);
	void (*tick)(struct run *run);
	void (*reload)(struct run *run);
	void (*relink)(struct run *run);
	void (*stats)(struct run *run);
	bool (*drain)(struct run *run);
	void (*fini)(struct run *run);
};

/* The whole main(): returns the exit code. */
int run_main(int argc, char **argv, const struct service *service,
	     const struct conf_kinds *kinds);

void *run_state(struct run *run);
struct loop *run_loop(struct run *run);
struct bus *run_bus(struct run *run);
const struct conf *run_config(const struct run *run);
/* The service's own section, as the struct of its conf_table. */
const void *run_conf(const struct run *run);
/* The struct of its counter_table. */
void *run_counters(struct run *run);

/*
 * Appends all counters of the process as a stats message (proto/stats.h), as
 * metrics gets it once a second. Refreshes nothing: stats() of the service is
 * the caller's business.
 */
void run_export(struct run *run, struct buf *out);

uint32_t run_instance(const struct run *run);
const char *run_label(const struct run *run); /* "collector.0" */
/* The link that the row consumes, or "". */
const char *run_link(const struct run *run);

/* <state_dir>/<row>.<instance>, made and locked. */
const char *run_state_dir(const struct run *run);

/* Says READY=1; call once, when the service really serves. */
void run_ready(struct run *run);

/* A line that status shows beside the process, e.g. why it waits. Copied. */
void run_status(struct run *run, const char *text);

/* True between SIGTERM and the end. */
bool run_draining(const struct run *run);

/* Ends the process after this turn with an error (logged, exit code 75). */
void run_fail(struct run *run, const struct err *err);

/* An inherited listening socket of that name (LISTEN_FDNAMES), or -1. */
int run_listen_fd(const struct run *run, const char *name);

/*
 * The newest contract set of the pipeline (owned by run; reloaded on SIGHUP
 * when valid) and the set that a batch names: newest, or pinned under
 * <state_dir>/contracts; NULL with *err when it is not here.
 */
struct contract_set *run_contracts(struct run *run);
struct contract_set *run_contracts_of(struct run *run, uint64_t hash,
				      struct err *err) MUST_CHECK;

/*
 * The generation of the topology that run_endpoints() goes by, 0 when it was
 * not weftd that started this process; and telling weftd that this process now
 * feeds the consumers of a generation, and no others.
 */
uint64_t run_generation(const struct run *run);
void run_follows(struct run *run, uint64_t generation);

/*
 * Consumer endpoints of a link, from config and <run_dir>/topology. "*" gives
 * those of all sinks' links. Returns how many (≤ BUS_MAX_PEERS), or -1.
 */
int run_endpoints(struct run *run, const char *link,
		  struct bus_endpoint endpoints[BUS_MAX_PEERS],
		  struct err *err) MUST_CHECK;

#endif
