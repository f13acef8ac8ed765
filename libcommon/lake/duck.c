#include "lake/duck.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "lake/duck_impl.h"

/*
 * Plans are walked by recursion. The main thread's stack counts as a little
 * less than its limit, so that 8 MB of it have to do.
 */
#define MIN_STACK_BYTES (7u << 20)

static int check_stack(struct err *err)
{
	pthread_attr_t attr;
	size_t bytes = 0;
	int bad = pthread_getattr_np(pthread_self(), &attr);

	if (bad)
		return err_errno(err, bad, "cannot tell the stack's size");
	pthread_attr_getstacksize(&attr, &bytes);
	pthread_attr_destroy(&attr);
	if (bytes < MIN_STACK_BYTES)
		return err_set(err, EINVAL,
			       "DuckDB needs a stack of 8 MiB, and this thread "
			       "has %zu KiB; raise the limit (ulimit -s 8192)",
			       bytes >> 10);
	return 0;
}

static int set_option(duckdb_config config, const char *name, const char *value,
		      struct err *err)
{
	if (duckdb_set_config(config, name, value) == DuckDBSuccess)
		return 0;
	return err_set(err, EINVAL, "DuckDB refuses %s = %s", name, value);
}

static int set_options(duckdb_config config, const struct duck_options *options,
		       struct err *err)
{
	static const char *const fixed[][2] = {
	    {"autoinstall_known_extensions", "false"},
	    {"autoload_known_extensions", "false"},
	    {"allow_community_extensions", "false"},
	    {"allow_persistent_secrets", "false"},
	    /* Keeps what was read of files, which are read once here. */
	    {"enable_external_file_cache", "false"},
	};
	char threads[16], memory[32];

	for (size_t i = 0; i < sizeof(fixed) / sizeof(*fixed); i++)
		if (set_option(config, fixed[i][0], fixed[i][1], err) < 0)
			return -1;
	snprintf(threads, sizeof(threads), "%d", options->threads);
	snprintf(memory, sizeof(memory), "%" PRId64 "KiB",
		 options->memory_bytes >> 10);
	if (set_option(config, "threads", threads, err) < 0 ||
	    set_option(config, "memory_limit", memory, err) < 0 ||
	    set_option(config, "temp_directory", options->temp_dir, err) < 0 ||
	    /* Not somebody's home, where extensions may lie. */
	    set_option(config, "extension_directory", options->temp_dir, err) <
		0)
		return -1;
	return 0;
}

/* Only now, since a configuration without a database cannot hold folders. */
static int confine(struct duck *d, const struct duck_options *options,
		   struct err *err)
{
	struct buf sql = {0};
	int rc;

	buf_text(&sql, "SET parquet_metadata_cache = true; "
		       "SET allowed_directories = [");
	duck_literal(&sql, options->temp_dir, strlen(options->temp_dir));
	for (size_t i = 0; options->folders[i]; i++) {
		buf_char(&sql, ',');
		duck_literal(&sql, options->folders[i],
			     strlen(options->folders[i]));
	}
	buf_text(&sql, "]; SET enable_external_access = false");
	rc = duck_run(d, buf_str(&sql), err);
	buf_free(&sql);
	return rc;
}

static int open_database(struct duck *d, duckdb_config config,
			 const struct duck_options *options, struct err *err)
{
	char *why = NULL;

	if (duckdb_open_ext(NULL, &d->db, config, &why) != DuckDBSuccess) {
		err_set(err, EINVAL, "cannot open DuckDB: %s", why ? why : "");
		duckdb_free(why);
		return -1;
	}
	if (duckdb_connect(d->db, &d->connection) != DuckDBSuccess)
		return err_set(err, ENOMEM, "cannot connect to DuckDB");
	if (options->folders && confine(d, options, err) < 0)
		return -1;
	return duck_run(
	    d, "SET TimeZone = 'UTC'; SET lock_configuration = true", err);
}

int duck_open(struct duck **d, const struct duck_options *options,
	      struct err *err)
{
	duckdb_config config = NULL;
	int result = -1;

	*d = NULL;
	if (check_stack(err) < 0)
		return -1;
	if (mkdir(options->temp_dir, 0700) < 0 && errno != EEXIST)
		return err_errno(err, errno, "cannot make %s",
				 options->temp_dir);
	if (duckdb_create_config(&config) != DuckDBSuccess) {
		err_set(err, ENOMEM, "cannot configure DuckDB");
		goto out;
	}
	if (set_options(config, options, err) < 0)
		goto out;
	*d = xcalloc(1, sizeof(**d));
	(*d)->temp_dir = xstrdup(options->temp_dir);
	result = open_database(*d, config, options, err);
	if (result < 0)
		duck_close(d);
out:
	duckdb_destroy_config(&config);
	return result;
}

void duck_close(struct duck **d)
{
	if (!*d)
		return;
	duckdb_disconnect(&(*d)->connection);
	duckdb_close(&(*d)->db);
	duck_tables_free(*d);
	free((*d)->temp_dir);
	free((*d)->missing);
	free(*d);
	*d = NULL;
}

const char *duck_temp_dir(const struct duck *d)
{
	return d->temp_dir;
}

/* DuckDB's text in one line. */
static void one_line(char *to, size_t room, const char *text)
{
	size_t n = 0;

	for (; *text && n + 1 < room; text++) {
		bool space = *text == ' ' || *text == '\n' || *text == '\t';

		if (!space)
			to[n++] = *text;
		else if (n && to[n - 1] != ' ')
			to[n++] = ' ';
	}
	while (n && to[n - 1] == ' ')
		n--;
	to[n] = '\0';
}

int duck_fail(struct duck *d, struct err *err, const char *text)
{
	static const struct {
		const char *says;
		int code;
		bool retriable, fatal;
	} kinds[] = {
	    {"No space left on device", ENOSPC, true, false},
	    {"operations are disabled by configuration", EACCES, false, false},
	    {"IO Error", EIO, true, false},
	    {"Out of Memory Error", ENOMEM, true, false},
	    {"INTERRUPT Error", EINTR, true, false},
	    {"FATAL Error", EIO, false, true},
	    {"INTERNAL Error", EIO, false, true},
	};
	char line[ERR_TEXT_BYTES];

	if (d->rows_failed) {
		d->rows_failed = false;
		*err = d->rows_err;
		return -1;
	}
	one_line(line, sizeof(line), text ? text : "DuckDB failed");
	err_set(err, EINVAL, "%s", line);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (!strstr(line, kinds[i].says))
			continue;
		err->code = kinds[i].code;
		err->retriable = kinds[i].retriable;
		err->fatal = kinds[i].fatal;
		break;
	}
	return -1;
}

int duck_run(struct duck *d, const char *sql, struct err *err)
{
	duckdb_result result;
	int bad = 0;

	d->rows_failed = false;
	if (duckdb_query(d->connection, sql, &result) != DuckDBSuccess)
		bad = duck_fail(d, err, duckdb_result_error(&result));
	duckdb_destroy_result(&result);
	return bad;
}

void duck_interrupt(struct duck *d)
{
	duckdb_interrupt(d->connection);
}

static void put_quoted(struct buf *sql, char c)
{
	if (c == '\'')
		buf_char(sql, c);
	buf_char(sql, c);
}

void duck_literal(struct buf *sql, const char *text, size_t bytes)
{
	buf_char(sql, '\'');
	for (size_t i = 0; i < bytes; i++)
		put_quoted(sql, text[i]);
	buf_char(sql, '\'');
}

void duck_name(struct buf *sql, const char *name)
{
	buf_char(sql, '"');
	for (; *name; name++) {
		if (*name == '"')
			buf_char(sql, '"');
		buf_char(sql, *name);
	}
	buf_char(sql, '"');
}

void duck_path(struct buf *sql, const char *path)
{
	buf_char(sql, '\'');
	for (; *path; path++) {
		if (*path == '*' || *path == '?' || *path == '[')
			buf_printf(sql, "[%c]", *path);
		else
			put_quoted(sql, *path);
	}
	buf_char(sql, '\'');
}
