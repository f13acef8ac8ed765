/* Values that are text: strings, paths, addresses to listen on. */
#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "conf/load.h"

#define TEXT_BYTES   4096
#define SECRET_BYTES 65536

/* Whether it is UTF-8 without control characters; a secret may have lines. */
static bool is_clean(const char *text, bool lines)
{
	while (*text) {
		unsigned char byte = (unsigned char)*text;
		size_t bytes = text_utf8_bytes(text, 4);

		if (!bytes || byte == 0x7f ||
		    (byte < ' ' && !(lines && strchr("\r\n\t", byte))))
			return false;
		text += bytes;
	}
	return true;
}

static int check_text(const struct conf_row *row, const char *text,
		      struct why *why)
{
	bool secret = row->flags & CONF_SECRET;
	size_t n = strlen(text), most = secret ? SECRET_BYTES : TEXT_BYTES;
	int64_t low = 0, high = (int64_t)most;

	if (n > most)
		return why_set(why, "is %zu bytes long, %zu is the most", n,
			       most);
	if (!is_clean(text, secret))
		return why_set(
		    why,
		    "holds control characters or bytes that are not UTF-8");
	if (row->min)
		low = strtoll(row->min, NULL, 10);
	if (row->max)
		high = strtoll(row->max, NULL, 10);
	if ((int64_t)n < low || (int64_t)n > high)
		return why_set(why,
			       "is %zu bytes long, it must have %" PRId64
			       " to %" PRId64,
			       n, low, high);
	return 0;
}

char *value_join_path(const char *base, const char *path)
{
	char *joined =
	    *path == '/' ? xstrdup(path) : xasprintf("%s/%s", base, path);
	char *in = joined, *out = joined;

	while (*in) {
		size_t n;

		in += strspn(in, "/");
		n = strcspn(in, "/");
		if (n == 2 && memcmp(in, "..", 2) == 0) {
			while (out > joined && *--out != '/')
				;
		} else if (n && !(n == 1 && *in == '.')) {
			*out++ = '/';
			memmove(out, in, n);
			out += n;
		}
		in += n;
	}
	if (out == joined)
		*out++ = '/';
	*out = '\0';
	return joined;
}

static int set_path(char **field, const char *text, const struct places *places,
		    struct why *why)
{
	if (!*text)
		return why_set(why, "is empty; write a path or leave the key "
				    "out");
	*field = value_join_path(places->base, text);
	return 0;
}

static bool is_port(const char *text)
{
	char *end;
	unsigned long port;

	if (!isdigit((unsigned char)*text) || strlen(text) > 5)
		return false;
	port = strtoul(text, &end, 10);
	return !*end && port <= 65535;
}

static bool is_address(const char *text, size_t bytes)
{
	char address[64];
	unsigned char parsed[16];

	if (bytes >= sizeof(address))
		return false;
	memcpy(address, text, bytes);
	address[bytes] = '\0';
	if (*address != '[')
		return inet_pton(AF_INET, address, parsed) == 1;
	if (address[bytes - 1] != ']')
		return false;
	address[bytes - 1] = '\0';
	return inet_pton(AF_INET6, address + 1, parsed) == 1;
}

static int set_listen(char **field, const char *text,
		      const struct places *places, struct why *why)
{
	const char *colon = strrchr(text, ':');
	char *path, *listen;

	if (strncmp(text, "unix:", 5) != 0 || !text[5]) {
		if (!colon || !is_port(colon + 1) ||
		    !is_address(text, (size_t)(colon - text)))
			return why_set(why,
				       "\"%.60s\" is no address to listen on; "
				       "write a numeric address and a port "
				       "such as \"127.0.0.1:8080\" or "
				       "\"[::1]:8080\", or \"unix:/path\"",
				       text);
		*field = xstrdup(text);
		return 0;
	}
	path = value_join_path(places->base, text + 5);
	listen = xasprintf("unix:%s", path);
	free(path);
	if (strlen(listen) - 5 <= CONF_SUN_BYTES) {
		*field = listen;
		return 0;
	}
	free(listen);
	return why_set(why, "the path of a socket has at most %d bytes",
		       CONF_SUN_BYTES);
}

int value_set_text(const struct conf_row *row, char **field, const char *text,
		   const struct places *places, struct why *why)
{
	if (check_text(row, text, why) == -1)
		return -1;
	if (row->type == CONF_PATH)
		return set_path(field, text, places, why);
	if (row->type == CONF_LISTEN)
		return set_listen(field, text, places, why);
	*field = xstrdup(text);
	return 0;
}
