/* Names of files, and how a log writes them. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "lake/delta_inside.h"

/* Kept as they are: unreserved characters, and '/', '=' and '+' of habit. */
static bool plain(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
	       (c >= 'a' && c <= 'z') || (c && strchr("-_.~/=+", c));
}

void delta_path_encode(struct buf *out, const char *name)
{
	for (const unsigned char *at = (const unsigned char *)name; *at; at++) {
		if (plain(*at))
			buf_char(out, (char)*at);
		else
			buf_printf(out, "%%%02X", *at);
	}
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *delta_path_decode(const char *path)
{
	char *name = xmalloc(strlen(path) + 1), *to = name;

	while (*path) {
		int high = *path == '%' ? nibble(path[1]) : -1;
		int low = high >= 0 ? nibble(path[2]) : -1;

		/* %00 would end the name before its end. */
		if (low >= 0 && (high || low)) {
			*to++ = (char)(high << 4 | low);
			path += 3;
		} else {
			*to++ = *path++;
		}
	}
	*to = '\0';
	return name;
}

/* "file:///a", "file:/a", "/a" and "s3://b/a" are; "x=1:2/a" is not. */
static bool absolute(const char *path)
{
	size_t scheme = strspn(path, "abcdefghijklmnopqrstuvwxyz"
				     "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");

	return *path == '/' || (scheme && strncmp(path + scheme, ":/", 2) == 0);
}

/* Without "file:" and with one slash at the beginning, if it is local. */
static const char *local_form(const char *url)
{
	if (strncmp(url, "file:", 5) == 0)
		url += 5;
	while (url[0] == '/' && url[1] == '/')
		url++;
	return url;
}

/* What follows "<url>/<table>/" in a decoded absolute path, or NULL. */
static const char *below(const char *path, const char *url, const char *table)
{
	char *root = delta_path_decode(local_form(url));
	size_t bytes = strlen(root);

	path = local_form(path);
	while (bytes > 1 && root[bytes - 1] == '/')
		bytes--;
	path = strncmp(path, root, bytes) == 0 ? path + bytes : NULL;
	free(root);
	bytes = strlen(table);
	if (!path || *path++ != '/' || strncmp(path, table, bytes) != 0 ||
	    path[bytes] != '/')
		return NULL;
	return path + bytes + 1;
}

char *delta_path_name(const char *path, const char *url, const char *table,
		      bool *outside)
{
	char *name = delta_path_decode(path);

	*outside = false;
	if (absolute(path)) {
		const char *inside = below(name, url, table);

		if (inside)
			memmove(name, inside, strlen(inside) + 1);
		else
			*outside = true;
	}
	if (!store_is_name(name))
		*outside = true;
	return name;
}

const char *delta_path_log(struct buf *name, const char *table, int64_t version,
			   const char *suffix)
{
	buf_clear(name);
	buf_printf(name, "%s/_delta_log/%0*" PRId64 "%s", table,
		   DELTA_VERSION_DIGITS, version, suffix);
	return buf_str(name);
}
