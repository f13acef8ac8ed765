/* The pipeline section: its rows, and the places that depend on who runs it. */
#include "conf/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

#define PIPELINE(f, t) CONF_FIELD(struct conf_pipeline, f, t)

static const struct conf_row rows[] = {
    {PIPELINE(name, CONF_STRING), .min = "1", .max = "64", .def = "weft",
     .doc = "Name of the pipeline, in statistics and status."},
    {PIPELINE(state_dir, CONF_PATH), .def = "/var/lib/weft",
     .doc = "What must survive a restart: one directory a process with its "
	    "log. Needs a local file system. Without a config file it is "
	    "$XDG_STATE_HOME/weft, or ~/.local/state/weft."},
    {PIPELINE(run_dir, CONF_PATH), .def = "/run/weft",
     .doc = "Sockets between the processes, and the control socket. Without a "
	    "config file it is $XDG_RUNTIME_DIR/weft, or /tmp/weft-<uid>."},
    {PIPELINE(log_dir, CONF_PATH), .def = "<state_dir>/log",
     .doc = "Where weftd keeps what the processes log, one file a process."},
    {PIPELINE(contracts, CONF_PATH), .def = "/etc/weft/contracts",
     .doc = "Directory of the contracts, one file a stream. A program that "
	    "was built in a source tree and runs from there takes that tree's "
	    "etc/contracts instead."},
    {PIPELINE(secret, CONF_STRING), .min = "16", .max = "64",
     .flags = CONF_SECRET,
     .doc = "Key of the hash mask. The same secret gives the same hashes, so "
	    "keep it when machines change. When it is not given one is made "
	    "in state_dir."},
    {PIPELINE(log_level, CONF_CHOICE), .choices = "error|warn|info|debug",
     .def = "info", .flags = CONF_RELOAD,
     .doc = "The least important lines to log."},
    {PIPELINE(log_format, CONF_CHOICE), .choices = "logfmt|json",
     .def = "logfmt", .flags = CONF_RELOAD, .doc = "Form of a log line."},
    {PIPELINE(drain_timeout, CONF_DURATION), .min = "0s", .max = "1h",
     .def = "30s", .flags = CONF_RELOAD,
     .doc = "How long a process may take to finish its work when it is "
	    "stopped; then it is killed. What it had accepted is in its log "
	    "either way."},
    {PIPELINE(start_timeout, CONF_DURATION), .min = "1s", .max = "1h",
     .def = "60s", .flags = CONF_RELOAD,
     .doc = "How long a process may take to become ready, its recovery "
	    "included."},
    {PIPELINE(watchdog, CONF_DURATION), .min = "1s", .max = "10m", .def = "10s",
     .doc = "A process that shows no sign of life for so long is killed and "
	    "started again."},
    {PIPELINE(restart_burst, CONF_INT), .min = "1", .max = "1000", .def = "10",
     .flags = CONF_RELOAD,
     .doc = "After so many deaths of a process within restart_interval weftd "
	    "gives it up, until it is started by hand."},
    {PIPELINE(restart_interval, CONF_DURATION), .min = "1s", .max = "1d",
     .def = "10m", .flags = CONF_RELOAD,
     .doc = "The time over which restart_burst counts."},
    {PIPELINE(restart_backoff, CONF_DURATION), .min = "1ms", .max = "1m",
     .def = "100ms", .flags = CONF_RELOAD,
     .doc = "Wait before the first restart of a process; it doubles with each "
	    "death until the process was ready for a second."},
    {PIPELINE(restart_backoff_max, CONF_DURATION), .min = "1ms", .max = "1h",
     .def = "30s", .flags = CONF_RELOAD,
     .doc = "The longest wait before a restart."},
};

const struct conf_table conf_pipeline_table = {
    .section = "pipeline",
    .doc = "What all processes share.",
    .rows = rows,
    .row_count = sizeof(rows) / sizeof(*rows),
    .struct_bytes = sizeof(struct conf_pipeline),
};

static bool is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/*
 * The contracts of the source tree that the running program was built in: the
 * nearest directory above it that holds services/pipeline.def and
 * etc/contracts. NULL for an installed program. Owned by the caller.
 */
static char *tree_contracts(void)
{
	char path[4096], probe[4200];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;

	if (n <= 0)
		return NULL;
	path[n] = '\0';
	while ((slash = strrchr(path, '/')) && slash != path) {
		*slash = '\0';
		snprintf(probe, sizeof(probe), "%s/services/pipeline.def",
			 path);
		if (access(probe, F_OK) != 0)
			continue;
		snprintf(probe, sizeof(probe), "%s/etc/contracts", path);
		if (is_directory(probe))
			return xstrdup(probe);
	}
	return NULL;
}

static char *user_state_dir(void)
{
	const char *xdg = getenv("XDG_STATE_HOME");
	const char *home = getenv("HOME");

	if (xdg && *xdg == '/')
		return xasprintf("%s/weft", xdg);
	if (home && *home == '/')
		return xasprintf("%s/.local/state/weft", home);
	return xasprintf("/tmp/weft-%u/state", (unsigned)getuid());
}

static char *user_run_dir(void)
{
	const char *xdg = getenv("XDG_RUNTIME_DIR");

	if (xdg && *xdg == '/')
		return xasprintf("%s/weft", xdg);
	return xasprintf("/tmp/weft-%u", (unsigned)getuid());
}

/* Takes `path` (NULL: leaves it) for a key that the file does not give. */
static void place(struct conf_section *s, const char *key, char **at,
		  char *path, enum origin_from from)
{
	for (size_t i = 0; i < s->table->row_count; i++) {
		struct origin *origin = &s->origins[i];

		if (strcmp(s->table->rows[i].name, key) != 0)
			continue;
		if (!path || origin->from == FROM_FILE) {
			free(path);
			return;
		}
		origin->from = from;
		free(*at);
		*at = path;
		return;
	}
}

void places_default(struct loading *l, struct conf_section *pipeline)
{
	struct conf_pipeline *p = pipeline->values;

	place(pipeline, "contracts", &p->contracts, tree_contracts(),
	      FROM_PLACE);
	if (!l->conf->path) {
		place(pipeline, "state_dir", &p->state_dir, user_state_dir(),
		      FROM_PLACE);
		place(pipeline, "run_dir", &p->run_dir, user_run_dir(),
		      FROM_PLACE);
	}
	place(pipeline, "log_dir", &p->log_dir,
	      xasprintf("%s/log", p->state_dir), FROM_DEFAULT);
}
