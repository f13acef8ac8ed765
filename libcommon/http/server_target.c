/* The request target (RFC 9112 section 3.2) into its path. */
#include <string.h>
#include <strings.h>

#include "http/server_impl.h"

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Undoes %XX in place. Returns the new length, or -1 when it is none. */
static ssize_t decode(char *text, size_t bytes)
{
	size_t to = 0;

	for (size_t from = 0; from < bytes; from++) {
		char c = text[from];

		if (c == '%') {
			int high, low;

			if (bytes - from < 3)
				return -1;
			high = hex(text[from + 1]);
			low = hex(text[from + 2]);
			if (high < 0 || low < 0 || !(high | low))
				return -1;
			c = (char)(high << 4 | low);
			from += 2;
		}
		text[to++] = c;
	}
	return (ssize_t)to;
}

static bool has_dot_dot(const char *path, size_t bytes)
{
	const char *end = path + bytes;

	for (const char *at = path; at < end; at++)
		if (*at == '/' && end - at >= 3 && at[1] == '.' &&
		    at[2] == '.' && (end - at == 3 || at[3] == '/'))
			return true;
	return false;
}

/* Where the path begins in "http://host/path"; bytes when there is none. */
static size_t skip_authority(const char *target, size_t bytes)
{
	static const char *const schemes[] = {"http://", "https://"};

	for (int i = 0; i < 2; i++) {
		size_t n = strlen(schemes[i]);
		const char *slash;

		if (bytes < n || strncasecmp(target, schemes[i], n) != 0)
			continue;
		slash = memchr(target + n, '/', bytes - n);
		return slash ? (size_t)(slash - target) : bytes;
	}
	return 0;
}

const char *http_target_split(struct http_request *r)
{
	char *target = r->data + r->target;
	size_t bytes = r->target_bytes, skip;
	char *mark = memchr(target, '#', bytes);
	ssize_t decoded;

	if (mark)
		bytes = (size_t)(mark - target);
	mark = memchr(target, '?', bytes);
	if (mark)
		bytes = (size_t)(mark - target);
	skip = skip_authority(target, bytes);
	r->path = r->target + (uint32_t)skip;
	r->path_bytes = (uint32_t)(bytes - skip);
	if (!r->path_bytes || (bytes == 1 && *target == '*'))
		return NULL;
	if (target[skip] != '/')
		return "the request target must be a path";
	if (memchr(target + skip, '%', r->path_bytes)) {
		decoded = decode(target + skip, r->path_bytes);
		if (decoded < 0)
			return "the path has a % that no two hexadecimal "
			       "digits (but not 00) follow";
		r->path_bytes = (uint32_t)decoded;
	}
	if (has_dot_dot(target + skip, r->path_bytes))
		return "the path must not contain a .. segment";
	return NULL;
}
