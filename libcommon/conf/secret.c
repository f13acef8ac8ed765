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

static void wipe(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->size);
	buf_free(b);
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

static int from_env(const char *name, bool check_only, struct buf *out,
		    struct why *why)
{
	const char *value;

	if (!is_env_name(name))
		return why_set(why,
			       "${env:%.60s}: an environment variable has "
			       "letters, digits and _ only",
			       name);
	if (check_only)
		return 0;
	value = getenv(name);
	if (!value)
		return why_set(why,
			       "${env:%.60s}: the environment variable is not "
			       "set; set it for weftd, or use ${file:PATH}",
			       name);
	if (!*value)
		return why_set(why,
			       "${env:%.60s}: the environment variable is "
			       "empty",
			       name);
	buf_text(out, value);
	return 0;
}

static int read_secret(const char *path, struct buf *out, struct why *warning,
		       struct why *why)
{
	struct stat st;
	struct err err;
	size_t bytes;
	char *data;

	if (stat(path, &st) == -1)
		return why_set(why, "${file:%.200s}: %s", path,
			       strerror(errno));
	if (!S_ISREG(st.st_mode))
		return why_set(why, "${file:%.200s}: it is not a regular file",
			       path);
	if (durable_read(path, SECRET_FILE_BYTES, &data, &bytes, &err) == -1)
		return why_set(why, "${file:%.200s}: %s", path,
			       err.code == EFBIG ? "it has more than 64 KiB"
						 : strerror(err.code));
	while (bytes && (data[bytes - 1] == '\n' || data[bytes - 1] == '\r'))
		data[--bytes] = '\0';
	if (st.st_mode & S_IROTH)
		why_set(warning,
			"everybody on this machine can read %.200s; "
			"chmod o-r it",
			path);
	if (bytes && strlen(data) == bytes)
		buf_append(out, data, bytes);
	else
		bytes = 0;
	explicit_bzero(data, strlen(data));
	free(data);
	return bytes ? 0
		     : why_set(why,
			       "${file:%.200s}: it is empty or holds a NUL "
			       "byte",
			       path);
}

static int from_file(const char *name, const char *base, struct buf *out,
		     struct why *warning, struct why *why)
{
	char *path = value_join_path(base, name);
	int rc = read_secret(path, out, warning, why);

	free(path);
	return rc;
}

/* `reference` is what stands between "${" and "}". */
static int resolve_one(const char *reference, const char *base, bool check_only,
		       struct buf *out, struct why *warning, struct why *why)
{
	if (strncmp(reference, "env:", 4) == 0)
		return from_env(reference + 4, check_only, out, why);
	if (strncmp(reference, "file:", 5) == 0 && reference[5]) {
		if (check_only)
			return 0;
		return from_file(reference + 5, base, out, warning, why);
	}
	return why_set(why, "it has a ${ that is neither ${env:NAME} nor "
			    "${file:PATH}");
}

static int resolve_all(const char *text, const char *base, bool check_only,
		       struct buf *out, struct why *warning, struct why *why)
{
	while (*text) {
		const char *open = strstr(text, "${");
		const char *close = open ? strchr(open, '}') : NULL;
		char *reference;
		int rc;

		if (open && !close)
			return why_set(why, "it has a ${ without }");
		if (!open) {
			buf_text(out, text);
			return 0;
		}
		buf_append(out, text, (size_t)(open - text));
		reference = xmemdup0(open + 2, (size_t)(close - open - 2));
		rc =
		    resolve_one(reference, base, check_only, out, warning, why);
		free(reference);
		if (rc == -1)
			return -1;
		text = close + 1;
	}
	return 0;
}

int secret_resolve(const char *text, const char *base, bool check_only,
		   char **out, struct why *warning, struct why *why)
{
	struct buf b = {0};
	int rc;

	*warning->text = '\0';
	rc = resolve_all(text, base, check_only, &b, warning, why);
	*out = rc == 0 ? xmemdup0(b.data ? b.data : "", b.used) : NULL;
	wipe(&b);
	return rc;
}
