/*
 * NAME          lake - look into the tables of the lake, for pipelinectl
 * IN            the command line of `pipelinectl query`, `lake`, `dlq` or
 *               `replay`; the lake that the configuration's onelake-writer
 * fills WORK          lists Delta tables, runs one SQL statement that reads
 * them, or hands dead letters and the raw archive to the service replay OUT
 * rows, as a table, JSON or CSV, on standard output GUARANTEE     nothing in
 * the lake is written by it; a statement sees one version of each table ON
 * FAILURE    says on stderr what was wrong and what to do; exit codes are those
 * of pipelinectl
 *
 * A program of its own, because loading DuckDB would make every other command
 * of pipelinectl slower. Whether the pipeline runs makes no difference.
 */
#include <errno.h>
#include <ftw.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/process.h"
#include "base/text.h"
#include "services/kinds.h"
#include "services/lake/lake.h"

#define WRITER	     "onelake-writer"
#define STACK_BYTES  ((size_t)16 << 20)
#define INTERRUPT_US 50000 /* again and again, until the work ends */

struct lake {
	struct args args;
	struct conf *conf;
	struct catalog_options options;
	char *url, *temp_dir, *cache_dir; /* owned, for options */

	/* The thread that works; the main one waits for it, and for signals. */
	pthread_t worker;
	sigset_t signals;
	atomic_bool stop, done;
	bool late; /* the time was over */
	struct catalog catalog;
	struct duck *_Atomic duck; /* the catalog's, once it is open */
	int code;
	struct err err;
};

/* ---- where the lake is ---- */

static const struct conf_service *find_writer(const struct conf *conf)
{
	for (uint32_t i = 0; i < conf->service_count; i++)
		if (strcmp(conf->services[i].kind->name, WRITER) == 0)
			return &conf->services[i];
	return NULL;
}

/* Where dead letters are instead: with the sinks that there are. */
static void tell_letters(const struct conf *conf)
{
	for (uint32_t i = 0; i < conf->service_count; i++) {
		const struct conf_service *s = &conf->services[i];
		const char *path = conf_text(s, "path");

		if (!(s->kind->flags & KIND_SINK))
			continue;
		if (path && *path)
			fprintf(stderr,
				"its dead letters are in %s/dead_letter-*."
				"ndjson\n",
				path);
		else
			fprintf(stderr,
				"its dead letters go where \"%s\" takes the "
				"stream dead_letter, in Kafka to the topic "
				"that its contract or topic says\n",
				s->name);
	}
	fprintf(stderr, "add { name = \"" WRITER "\"; } to services to have "
			"them in a table, which this command needs\n");
}

/* Secrets of other services may not be ours to read, so they stay unread. */
static int load(struct lake *l, const char *row, const char **found)
{
	struct conf_report report = {0};
	const struct conf_service *writer;
	int rc =
	    conf_load_row(&l->conf, l->args.config, &weft_kinds, row, &report);

	fputs(buf_str(&report.lines), stderr);
	conf_report_free(&report);
	if (rc != 0)
		return -1;
	writer = find_writer(l->conf);
	*found = writer ? writer->name : NULL;
	if (writer)
		return 0;
	fprintf(stderr,
		"pipelinectl %s: %s has no lake: it lists no service "
		"\"" WRITER "\"\n",
		l->args.name,
		l->args.config ? l->args.config : "the built-in configuration");
	if (strncmp(l->args.name, "dlq", 3) == 0)
		tell_letters(l->conf);
	return -1;
}

static int find_lake(struct lake *l)
{
	struct catalog_options *o = &l->options;
	const struct conf_service *writer;
	const char *row, *url;
	char *other;
	int rc = load(l, WRITER, &row);

	if (rc == 0 && strcmp(row, WRITER) != 0) {
		other = xstrdup(row);
		conf_free(&l->conf);
		rc = load(l, other, &row);
		free(other);
	}
	if (rc != 0)
		return -1;
	writer = find_writer(l->conf);
	url = conf_text(writer, "lake");
	l->url = url && *url
		     ? xstrdup(url)
		     : xasprintf("%s/lake", l->conf->pipeline->state_dir);
	o->url = l->url;
	o->identity_name = conf_text(writer, "identity");
	if (o->identity_name && *o->identity_name)
		o->identity = conf_find_identity(l->conf, o->identity_name);
	o->tables = conf_text(writer, "tables");
	o->schema = conf_text(writer, "schema");
	return 0;
}

/* ---- folders of our own ---- */

static int make_temp_dir(struct lake *l, struct err *err)
{
	const char *base = getenv("TMPDIR");

	l->temp_dir = xasprintf("%s/weft-lake-XXXXXX",
				base && *base == '/' ? base : "/tmp");
	if (mkdtemp(l->temp_dir))
		return 0;
	err_errno(err, errno, "cannot make %s", l->temp_dir);
	free(l->temp_dir);
	l->temp_dir = NULL;
	return -1;
}

static int remove_one(const char *path, const struct stat *st, int flag,
		      struct FTW *at)
{
	(void)st;
	(void)flag;
	(void)at;
	remove(path);
	return 0;
}

static void find_cache_dir(struct lake *l)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

	if (cache && *cache == '/')
		l->cache_dir = xasprintf("%s/weft/lake", cache);
	else if (home && *home == '/')
		l->cache_dir = xasprintf("%s/.cache/weft/lake", home);
	else
		l->cache_dir = xasprintf("%s/cache", l->temp_dir);
}

/* ---- the work ---- */

static void *work(void *arg)
{
	static int (*const commands[])(const struct args *, struct catalog *,
				       struct err *) = {
	    [COMMAND_QUERY] = command_query,
	    [COMMAND_LS] = command_ls,
	    [COMMAND_HISTORY] = command_history,
	    [COMMAND_SCHEMA] = command_schema,
	    [COMMAND_DLQ_LS] = command_dlq_ls,
	    [COMMAND_DLQ_SHOW] = command_dlq_show,
	    [COMMAND_DLQ_REPLAY] = command_dlq_replay,
	    [COMMAND_DLQ_DROP] = command_dlq_drop,
	    [COMMAND_REPLAY] = command_replay,
	};
	struct lake *l = arg;

	l->code = EXIT_FAILED;
	if (catalog_open(&l->catalog, &l->options, &l->err) == 0) {
		atomic_store(&l->duck, l->catalog.duck);
		l->code =
		    commands[l->args.command](&l->args, &l->catalog, &l->err);
	}
	if (l->code == EXIT_FAILED && l->err.code == ENOTCONN)
		l->code = EXIT_NOT_RUNNING;
	atomic_store(&l->done, true);
	kill(getpid(), SIGUSR1);
	return NULL;
}

/* Until the next signal, or the time when something is to be done. */
static int wait_signal(struct lake *l, int64_t deadline_us)
{
	bool stopping = atomic_load(&l->stop);
	int64_t left = stopping ? INTERRUPT_US : deadline_us - clock_mono_us();
	struct timespec wait;

	if (left < 0)
		left = 0;
	wait.tv_sec = left / 1000000;
	wait.tv_nsec = left % 1000000 * 1000;
	if (!stopping && !l->args.timeout_us)
		return sigwaitinfo(&l->signals, NULL);
	return sigtimedwait(&l->signals, NULL, &wait);
}

/* Waits for the worker; ends its work on a signal, or when it takes too long.
 */
static void watch(struct lake *l)
{
	int64_t deadline_us = clock_mono_us() + l->args.timeout_us;

	while (!atomic_load(&l->done)) {
		int signal = wait_signal(l, deadline_us);
		struct duck *duck = atomic_load(&l->duck);
		bool stopping = atomic_load(&l->stop);

		if (signal == SIGUSR1 || (signal < 0 && errno == EINTR))
			continue;
		if (signal > 0 && stopping && !l->late) {
			/* Asked twice: whatever it is that does not end. */
			nftw(l->temp_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
			_exit(EXIT_FAILED);
		}
		if (signal < 0 && !stopping)
			l->late = true;
		atomic_store(&l->stop, true);
		if (duck)
			duck_interrupt(duck);
	}
}

static int run_worker(struct lake *l)
{
	pthread_attr_t attr;
	int bad;

	sigemptyset(&l->signals);
	sigaddset(&l->signals, SIGINT);
	sigaddset(&l->signals, SIGTERM);
	sigaddset(&l->signals, SIGHUP);
	sigaddset(&l->signals, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &l->signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	bad = pthread_create(&l->worker, &attr, work, l);
	pthread_attr_destroy(&attr);
	if (bad)
		return err_errno(&l->err, bad, "cannot start a thread");
	watch(l);
	pthread_join(l->worker, NULL);
	catalog_close(&l->catalog);
	return 0;
}

static void report(const struct lake *l)
{
	char time[32];

	if (l->code == EXIT_DONE || l->err.code == EPIPE)
		return;
	if (l->late)
		fprintf(stderr,
			"pipelinectl %s: stopped after %s; --timeout allows it "
			"more\n",
			l->args.name,
			text_format_duration(l->args.timeout_us, time));
	else if (atomic_load(&l->stop))
		fprintf(stderr, "pipelinectl %s: stopped\n", l->args.name);
	else if (l->err.text[0])
		fprintf(stderr, "pipelinectl %s: %s\n", l->args.name,
			l->err.text);
}

int main(int argc, char **argv)
{
	struct lake l = {0};
	int rc;

	process_keep_private();
	setlocale(LC_CTYPE, "C.UTF-8"); /* how wide characters are */
	rc = args_read(&l.args, argc, argv);
	if (rc != 0)
		goto out;
	rc = EXIT_FAILED;
	if (find_lake(&l) != 0)
		goto out;
	l.args.conf = l.conf;
	l.code = EXIT_FAILED;
	if (make_temp_dir(&l, &l.err) == 0) {
		find_cache_dir(&l);
		l.options.temp_dir = l.temp_dir;
		l.options.cache_dir = l.cache_dir;
		l.options.cache_bytes = l.args.cache_bytes;
		l.options.stop = &l.stop;
		if (run_worker(&l) != 0)
			l.code = EXIT_FAILED;
	}
	report(&l);
	rc = l.code;
out:
	if (l.temp_dir)
		nftw(l.temp_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(l.temp_dir);
	free(l.cache_dir);
	free(l.url);
	conf_free(&l.conf);
	args_free(&l.args);
	return rc;
}
