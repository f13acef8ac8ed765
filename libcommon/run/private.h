/* What the parts of the skeleton share; not for services. */
#ifndef WEFT_RUN_PRIVATE_H
#define WEFT_RUN_PRIVATE_H

#include "run/run.h"

struct run {
	const struct service *service;
	const struct conf_kinds *kinds;
	const char *config_path; /* NULL = the built-in defaults */
	char *name;
	uint32_t instance;
	char *label;
	char *state_dir;
	int lock_fd;
	struct conf *conf;
	struct conf *previous_conf; /* only while a reload is under way */
	uint64_t generation; /* of the topology that conf was joined with */
	const struct conf_service *row;
	void *counters;
	void *state;
	struct loop *loop;
	struct bus *bus;
	struct bus_stats_out *stats_out;
	struct contract_set *contracts;
	struct contract_set
	    *pinned; /* the one last asked for, beside contracts */
	uint8_t secret[64];
	size_t secret_bytes;
	struct loop_io signals;
	struct loop_timer tick;
	struct loop_timer stats;
	struct loop_timer watchdog;
	struct loop_hook drain;
	int64_t watchdog_us;
	int64_t started_at_us;
	int64_t drain_by_mono_us;
	bool initialised;
	bool ready;
	bool draining;
	int exit_code;
};

/*
 * Makes run->state_dir and takes the flock on it, before anything in it is
 * opened: two processes of one instance would corrupt its log. -1 with *err
 * (EBUSY names the holder).
 */
int statedir_take(struct run *run, struct err *err) MUST_CHECK;

/*
 * Reads a topology file (proto/control.md): the rows of *conf get the numbers
 * of instances in it. -1 with *err, and *conf as it was.
 */
int topology_read(const char *path, struct conf *conf, uint64_t *generation,
		  struct err *err) MUST_CHECK;

/* The same with the file that weftd named, if it was weftd who started us;
 * sets run->generation. */
void topology_apply(struct run *run, struct conf *conf);

/*
 * The secret behind the hash mask: the configured one, or one made at random
 * in <state_dir>/secret by whichever process comes first.
 */
int secret_load(struct run *run, struct err *err) MUST_CHECK;

/*
 * Loads the contract set that `conf` names, and pins it; run->secret is there.
 * The caller owns *set. -1 with *err; nothing of run changes either way.
 */
int contracts_read(const struct run *run, const struct conf *conf,
		   struct contract_set **set, struct err *err) MUST_CHECK;

/* Makes it the newest set, in place of the one before; takes it over. */
void contracts_take(struct run *run, struct contract_set *set);

/* Sends all counters of the process to metrics. */
void export_stats(struct run *run);

#endif
