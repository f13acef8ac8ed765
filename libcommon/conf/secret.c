/*
 * Secrets by reference: ${env:NAME} and ${file:PATH} within the text of a value
 * that its row marks as secret.
 */
#include "conf/load.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/durable.h"

#define SECRET_FILE_BYTES 65536

bool secret_is_reference(const char *text)
{
	return strstr(text, "${") != NULL;
}

void secret_free(char **text)
{
	if (*text)
		explicit_bzero(*text, strlen(*text));
	free(*text);
	*text = NULL;
}

static bool is_env_name(const char *name)
{
	if (!isalpha((unsigned char)*name) && *name != '_')
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && *name != '_')
			return false;
	return true;
}

/* What it takes to fill in one text. */
struct resolving {
	const char *base;
	bool check_only;
	struct buf out;
	struct why *warning, *why;
};

static int from_env(struct resolving *r, const char *name)
{
	const char *value;

	if (!is_env_name(name))
		return why_set(r->why,
			       "${env:%.60s}: an environment variable has "
			       "letters, digits and _ only",
			       name);
	if (r->check_only)
		return 0;
	value = getenv(name);
	if (!value || !*value)
		return why_set(r->why,
			       "${env:%.60s}: the environment variable is %s; "
			       "set it for weftd, or use ${file:PATH}",
			       name, value ? "empty" : "not set");
	buf_text(&r->out, value);
	return 0;
}

static void wipe(char *data, size_t bytes)
{
	explicit_bzero(data, bytes);
	free(data);
}

/* Appends a file's contents without its last newlines. */
static int take_file(struct resolving *r, const char *path)
{
	struct err err;
	size_t bytes, kept;
	char *data;
	bool good;

	if (durable_read(path, SECRET_FILE_BYTES, &data, &bytes, &err) == -1)
		return why_set(r->why, "${file:%.200s}: %s", path,
			       err.code == EFBIG ? "it has more than 64 KiB"
						 : strerror(err.code));
	kept = bytes;
	while (kept && (data[kept - 1] == '\n' || data[kept - 1] == '\r'))
		kept--;
	good = kept && !memchr(data, '\0', kept);
	if (good)
		buf_append(&r->out, data, kept);
	wipe(data, bytes);
	if (good)
		return 0;
	return why_set(r->why, "${file:%.200s}: it %s", path,
		       kept ? "holds a NUL byte" : "is empty");
}

static int from_file(struct resolving *r, const char *path)
{
	struct stat st;

	if (stat(path, &st) == -1)
		return why_set(r->why, "${file:%.200s}: %s", path,
			       strerror(errno));
	if (!S_ISREG(st.st_mode))
		return why_set(
		    r->why, "${file:%.200s}: it is not a regular file", path);
	if (st.st_mode & S_IROTH)
		why_set(r->warning,
			"everybody on this machine can read %.200s; chmod o-r "
			"it",
			path);
	return take_file(r, path);
}

/* `reference` is what stands between "${" and "}". */
static int resolve_one(struct resolving *r, const char *reference)
{
	char *path;
	int rc;

	if (strncmp(reference, "env:", 4) == 0)
		return from_env(r, reference + 4);
	if (strncmp(reference, "file:", 5) != 0 || !reference[5])
		return why_set(r->why, "it has a ${ that is neither "
				       "${env:NAME} nor ${file:PATH}");
	if (r->check_only)
		return 0;
	path = value_join_path(r->base, reference + 5);
	rc = from_file(r, path);
	free(path);
	return rc;
}

static int resolve_all(struct resolving *r, const char *text)
{
	while (*text) {
		const char *open = strstr(text, "${");
		const char *close = open ? strchr(open, '}') : NULL;
		char *reference;
		int rc;

		if (open && !close)
			return why_set(r->why, "it has a ${ without }");
		if (!open) {
			buf_text(&r->out, text);
			return 0;
		}
		buf_append(&r->out, text, (size_t)(open - text));
		reference = xmemdup0(open + 2, (size_t)(close - open - 2));
		rc = resolve_one(r, reference);
		free(reference);
		if (rc == -1)
			return -1;
		text = close + 1;
	}
	return 0;
}

int secret_resolve(const char *text, const struct secret_places *places,
		   char **out, struct why *warning, struct why *why)
{
	struct resolving r = {.base = places->base,
			      .check_only = places->check_only,
			      .warning = warning,
			      .why = why};
	int rc;

	*warning->text = '\0';
	rc = resolve_all(&r, text);
	*out =
	    rc == 0 ? xmemdup0(r.out.data ? r.out.data : "", r.out.used) : NULL;
	if (r.out.data)
		explicit_bzero(r.out.data, r.out.size);
	buf_free(&r.out);
	return rc;
}
