#include "services/supervisor/listen.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"

#define LISTEN_KEY "listen"

const char *listen_address(const struct conf_service *service)
{
	const struct conf_table *t = service->kind->conf;

	for (size_t i = 0; t && service->conf && i < t->row_count; i++) {
		const struct conf_row *row = &t->rows[i];
		const char *text;

		if (row->type != CONF_LISTEN ||
		    strcmp(row->name, LISTEN_KEY) != 0)
			continue;
		text =
		    *(char *const *)((const char *)service->conf + row->offset);
		return text && strncmp(text, "unix:", 5) != 0 ? text : NULL;
	}
	return NULL;
}

/* Splits "host:port" in place of a copy; *host may be bracketed. */
static int split(const char *address, char **host, char **port, struct err *err)
{
	char *copy = xstrdup(address);
	char *colon = strrchr(copy, ':');

	if (!colon || !colon[1]) {
		free(copy);
		err_set(err, EINVAL,
			"listen = \"%s\": must be \"address:port\"", address);
		return -1;
	}
	*colon = '\0';
	*port = xstrdup(colon + 1);
	if (copy[0] == '[' && colon > copy && colon[-1] == ']') {
		colon[-1] = '\0';
		*host = xstrdup(copy + 1);
		free(copy);
	} else {
		*host = copy;
	}
	return 0;
}

static int bind_one(const struct addrinfo *at)
{
	int on = 1;
	int fd = socket(at->ai_family,
			SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int code;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, at->ai_addr, at->ai_addrlen) == 0 &&
	    listen(fd, SOMAXCONN) == 0)
		return fd;
	code = errno;
	close(fd);
	errno = code;
	return -1;
}

int listen_open(const char *address, struct err *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				 .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *found = NULL;
	char *host = NULL, *port = NULL;
	int fd = -1, rc;

	if (split(address, &host, &port, err) != 0)
		return -1;
	rc = getaddrinfo(host[0] && strcmp(host, "*") != 0 ? host : NULL, port,
			 &hints, &found);
	if (rc != 0) {
		err_set(err, EINVAL, "listen = \"%s\": %s", address,
			gai_strerror(rc));
		goto out;
	}
	fd = bind_one(found);
	if (fd < 0)
		err_errno(err, errno,
			  "cannot listen on %s (is another program there?)",
			  address);
out:
	if (found)
		freeaddrinfo(found);
	free(host);
	free(port);
	return fd;
}

const char *listen_format(int fd, char text[128])
{
	struct sockaddr_storage at = {0};
	socklen_t bytes = sizeof(at);
	char host[64] = "", port[8] = "";

	text[0] = '\0';
	if (getsockname(fd, (struct sockaddr *)&at, &bytes) != 0 ||
	    getnameinfo((struct sockaddr *)&at, bytes, host, sizeof(host), port,
			sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return text;
	snprintf(text, 128, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host,
		 port);
	return text;
}
