/*
 * Configuration as tables: one row per key gives the struct field, parser,
 * range check, default, sample file, manual and `pipelinectl config`. The file
 * is libconfig; every problem of a file is reported at once, as file:line.
 */
#ifndef WEFT_CONF_CONF_H
#define WEFT_CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "conf/counter.h"

enum conf_type {
	CONF_STRING,   /* char * */
	CONF_PATH,     /* char *, made absolute against the config file */
	CONF_LISTEN,   /* char *, "address:port", "[v6]:port", "unix:/path" */
	CONF_INT,      /* int64_t */
	CONF_BOOL,     /* bool */
	CONF_BYTES,    /* int64_t, "16MiB" */
	CONF_DURATION, /* int64_t microseconds, "5s" */
	CONF_CHOICE,   /* int, index into the row's choices */
};

enum conf_flags {
	CONF_RELOAD = 1 << 0, /* taken over on reload; others need a restart */
	CONF_SECRET = 1 << 1, /* prints as ***; ${env:X}, ${file:P} resolved */
	CONF_REQUIRED = 1 << 2, /* no default: must be given */
	CONF_EXISTS = 1 << 3,	/* a CONF_PATH that must be there */
	CONF_IDENTITY = 1 << 4, /* a CONF_STRING that names an identity of one
				 * of the types in choices; "" is none */
	CONF_PRIVATE = 1 << 5,	/* a CONF_PATH of what is a secret: a warning
				 * when everybody on the machine can read it */
};

/*
 * One key. Limits and default are written as a person would write them; the
 * limits of a CONF_STRING are its length in bytes. In the default of a
 * CONF_PATH "<state_dir>" and "<name>" (of the section) are filled in.
 */
struct conf_row {
	const char *name;
	enum conf_type type;
	size_t offset;	       /* of the field in the table's struct */
	const char *min, *max; /* NULL = none */
	const char *def;       /* NULL = unset (NULL, 0, false) */
	const char *choices;   /* "a|b|c" for CONF_CHOICE and CONF_IDENTITY */
	const char *needs;     /* the key that must be given with this one */
	unsigned flags;
	const char *doc; /* sentences for the manual */
};

/*
 * The name, type and place of a row, checked by the compiler against the type
 * of the field:
 *	{CONF_FIELD(struct x_conf, listen, CONF_LISTEN), .def = …, .doc = …},
 */
#define CONF_FIELD(s, f, t)      \
	.name = #f, .type = (t), \
	.offset =                \
	    offsetof(s, f) + 0 * sizeof(char[CONF_FITS(s, f, t) ? 1 : -1])
#define CONF_FITS(s, f, t) \
	_Generic(((s *)0)->f, char * : (t) <= CONF_LISTEN, int64_t          \
		 : (t) == CONF_INT || (t) == CONF_BYTES ||                  \
			(t) == CONF_DURATION,                               \
		   bool                                                     \
		 : (t) == CONF_BOOL, int                                    \
		 : (t) == CONF_CHOICE)

/*
 * Where a table's check says what is wrong with a section as a whole: at a key,
 * in words that may follow "section.key: ".
 */
struct conf_judge {
	void (*refuse)(void *arg, const char *key, const char *text);
	void (*warn)(void *arg, const char *key, const char *text);
	void *arg;
};

struct conf_table {
	const char *section; /* default section name, e.g. "collector" */
	const char *doc;
	const struct conf_row *rows;
	size_t row_count;
	size_t struct_bytes;
	/*
	 * Optional: judges values that are each good by themselves. Called for
	 * the sections of services that run, after every secret was found.
	 */
	void (*check)(const void *values, const struct conf_judge *judge);
};

enum kind_flags {
	KIND_SOURCE = 1 << 0, /* has a log, feeds a link */
	KIND_RELAY = 1 << 1,  /* one link in, every sink link out */
	KIND_SINK = 1 << 2,   /* one link in, has a log */
	KIND_TOOL = 1 << 3,   /* no links */
	KIND_SINGLE = 1 << 4, /* at most one row of one instance */
	/* Started by pipelinectl when there is something to do; no row lists
	 * it, and conf_load_row() of its name adds one. */
	KIND_ON_DEMAND = 1 << 5,
};

/* What services/pipeline.def says of a service, with its tables. */
struct conf_kind {
	const char *name;
	const char *in;	 /* default link it consumes, or "" */
	const char *out; /* link it feeds, "*" = every sink link, or "" */
	unsigned flags;
	const struct conf_table *conf;
	const struct counter_table *counters;
};

/* The whole catalogue: made of pipeline.def, handed in by every main(). */
struct conf_kinds {
	const struct conf_kind *kinds;
	size_t count;
};

struct conf_pipeline {
	char *name;
	char *state_dir;
	char *run_dir;
	char *log_dir;
	char *contracts;
	char *secret;		     /* NULL: one is made in state_dir */
	int log_level;		     /* as enum log_level */
	int log_format;		     /* as enum log_format */
	int64_t drain_timeout;	     /* us, from SIGTERM to SIGKILL */
	int64_t start_timeout;	     /* us, from exec to READY */
	int64_t watchdog;	     /* us, without a ping */
	int64_t restart_burst;	     /* deaths within restart_interval … */
	int64_t restart_interval;    /* us … until weftd gives up */
	int64_t restart_backoff;     /* us, the first; doubles each time */
	int64_t restart_backoff_max; /* us */
};
extern const struct conf_table conf_pipeline_table;
extern const struct conf_table conf_link_table; /* of each link's group */

/* One entry of `identities = { … }`; what its type does not have is NULL. */
#define IDENTITY_TYPES "account_key|sas|connection_string|plain"
enum identity_type {
	IDENTITY_ACCOUNT_KEY,	    /* key, perhaps account */
	IDENTITY_SAS,		    /* token */
	IDENTITY_CONNECTION_STRING, /* connection_string */
	IDENTITY_PLAIN,		    /* username, password */
};
struct conf_identity {
	int type; /* as enum identity_type */
	char *account;
	char *key;
	char *token;
	char *connection_string;
	char *username;
	char *password;
};
extern const struct conf_table conf_identity_table; /* of each one's group */

/* One entry of `services = ( … )`. */
struct conf_service {
	char *name;		      /* row name, unique */
	const struct conf_kind *kind; /* by `service`, default the name */
	uint32_t instances;	      /* 1 to 64 */
	char *in;		      /* link consumed, or "" */
	const void *conf;	      /* its section, as the kind's struct */
	char *file; /* where it is written; NULL: conf->path */
	int line;   /* 0 when it is a default */
};

/* One entry of `links = { … }`. */
struct conf_link {
	char *name;
	char *endpoint; /* "ipc" or "tcp://host:port" */
	bool insecure;	/* tcp without CURVE, said to be wanted */
	char *file;	/* where it is written; NULL: conf->path */
	int line;	/* 0 when it is a default */
};

struct conf_section; /* where each value came from; for conf_print() */

struct conf {
	char *path; /* the file, or NULL for the built-in defaults */
	struct conf_pipeline *pipeline;
	struct conf_service *services;
	uint32_t service_count;
	struct conf_link *links; /* those that listed services use */
	uint32_t link_count;
	struct conf_section *sections;
	uint32_t section_count;
};

/*
 * All problems of a file, in the order of its lines: one line each,
 * "file:line: what, and what to do", warnings as "file:line: warning: …".
 * Zero-initialise.
 */
struct conf_report {
	struct buf lines;
	uint32_t errors;
	uint32_t warnings;
	char *contracts; /* the directory, even of a file with errors; or NULL
			  */
};
void conf_report_free(struct conf_report *report);

/*
 * Reads and checks a config file: syntax, unknown keys and sections (with the
 * nearest known name), types, ranges, choices, secrets, identities, services
 * listed twice,
 * links whose ends do not join (which end is missing), tcp without CURVE or
 * insecure. path NULL = the built-in defaults. The result is owned by the
 * caller; with any error -1, *conf NULL and everything in *report.
 * ${env:X} and ${file:P} are resolved only in CONF_SECRET rows.
 */
int conf_load(struct conf **conf, const char *path,
	      const struct conf_kinds *kinds,
	      struct conf_report *report) MUST_CHECK;
/*
 * As conf_load, for the process of one service row (which need not exist):
 * secrets and files of the other rows, which it may not be allowed to read, are
 * left alone; their values are NULL.
 */
int conf_load_row(struct conf **conf, const char *path,
		  const struct conf_kinds *kinds, const char *row,
		  struct conf_report *report) MUST_CHECK;
void conf_free(struct conf **conf);

/*
 * Which file to use when none is named: $WEFT_CONFIG, else /etc/weft/weft.conf
 * when it exists, else NULL (built-in defaults).
 */
const char *conf_default_path(void);

/* NULL when no service row has that name. */
const struct conf_service *conf_find_service(const struct conf *conf,
					     const char *name);

/*
 * NULL when there is none of that name; the names that CONF_IDENTITY rows hold
 * were checked. Secrets are there only of those that a listed service (or,
 * after conf_load_row(), that row) names.
 */
const struct conf_identity *conf_find_identity(const struct conf *conf,
					       const char *name);

/* The row that consumes a link, or NULL. */
const struct conf_service *conf_consumer(const struct conf *conf,
					 const char *link);

/*
 * The address that a service listens on, of its first CONF_LISTEN row, and that
 * row's name; NULL when it has none. Borrowed from the configuration.
 */
const char *conf_listen(const struct conf_service *service, const char **key);

/*
 * What a CONF_STRING or CONF_PATH row of the service's section holds, which may
 * be NULL; NULL too when there is no such row. Borrowed from the configuration.
 */
const char *conf_text(const struct conf_service *service, const char *key);

/*
 * The endpoints of instance i of a link's consumer, as ZeroMQ addresses:
 * ipc: "ipc://<run_dir>/<link>.<i>" and "….state"; tcp: port + 2i and port +
 * 2i + 1. Both buffers take 256 bytes.
 */
int conf_endpoint(const struct conf *conf, const char *link, uint32_t instance,
		  char data[256], char state[256], struct err *err) MUST_CHECK;

/* Where all processes push their stats, and metrics binds. */
int conf_stats_endpoint(const struct conf *conf, char endpoint[256],
			struct err *err) MUST_CHECK;

/*
 * Appends the effective configuration with the source of each value, secrets
 * as ***: in the syntax of the file, or as JSON.
 */
void conf_print(const struct conf *conf, bool json, struct buf *out);

/* Generated documents, from the tables alone. */
void conf_write_sample(const struct conf_kinds *kinds, struct buf *out);
void conf_write_manual(const struct conf_kinds *kinds, struct buf *out);
void conf_write_man(const struct conf_kinds *kinds, struct buf *out);

/* The keys of one section as a list in mdoc, for the service's manual page. */
void conf_write_man_keys(const struct conf_table *t, struct buf *out);

#endif
