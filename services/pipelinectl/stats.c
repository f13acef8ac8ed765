#include "services/pipelinectl/stats.h"

#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/durable.h"
#include "proto/control.h"

#define PATIENCE_US	    1000000
#define MOST_ANSWER_BYTES   (4u << 20)
#define MOST_TOPOLOGY_BYTES (4u << 20)

/* Where metrics listens, from the topology file. Owned by the caller. */
static char *find_address(const struct place *p)
{
	char *path = xasprintf("%s/%s", p->run_dir, CONTROL_TOPOLOGY);
	const cJSON *one;
	cJSON *topology = NULL;
	char *text = NULL, *address = NULL;
	struct err err;
	size_t bytes;

	if (durable_read(path, MOST_TOPOLOGY_BYTES, &text, &bytes, &err) == 0)
		topology = cJSON_ParseWithLength(text, bytes);
	cJSON_ArrayForEach (one, cJSON_GetObjectItem(topology, "services")) {
		if (strcmp(control_text(one, "kind"), "metrics") == 0 &&
		    control_text(one, "listen")[0])
			address = xstrdup(control_text(one, "listen"));
	}
	cJSON_Delete(topology);
	free(text);
	free(path);
	return address;
}

/* Connects to "host:port" or "[v6]:port"; `address` is cut up. */
static int reach(char *address)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				 .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	struct addrinfo *found = NULL;
	char *colon = strrchr(address, ':');
	char *host = address;
	int fd;

	if (!colon)
		return -1;
	*colon = '\0';
	if (host[0] == '[' && colon > host + 1) {
		host++;
		colon[-1] = '\0';
	}
	/* A wildcard means here too. */
	if (strcmp(host, "0.0.0.0") == 0)
		host = "127.0.0.1";
	else if (strcmp(host, "::") == 0)
		host = "::1";
	if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
		return -1;
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
		close(fd);
		fd = -1;
	}
	freeaddrinfo(found);
	return fd;
}

static int get(int fd, struct buf *answer)
{
	static const char request[] = "GET /stats.json HTTP/1.0\r\n\r\n";
	int64_t until = clock_mono_us() + PATIENCE_US;

	if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) !=
	    (ssize_t)sizeof(request) - 1)
		return -1;
	while (answer->used < MOST_ANSWER_BYTES) {
		struct pollfd one = {.fd = fd, .events = POLLIN};
		int64_t left_us = until - clock_mono_us();
		ssize_t n;

		if (left_us <= 0 ||
		    poll(&one, 1, (int)(left_us / 1000 + 1)) <= 0)
			return -1;
		buf_reserve(answer, 16384);
		n = recv(fd, answer->data + answer->used, 16384, 0);
		if (n < 0)
			return -1;
		if (n == 0)
			return 0;
		answer->used += (size_t)n;
	}
	return -1;
}

static cJSON *body_of(const struct buf *answer)
{
	const char *end = memmem(answer->data, answer->used, "\r\n\r\n", 4);
	size_t head;

	if (!end || answer->used < 12 ||
	    memcmp(answer->data, "HTTP/1.", 7) != 0 ||
	    memcmp(answer->data + 8, " 200", 4) != 0)
		return NULL;
	head = (size_t)(end - answer->data) + 4;
	return cJSON_ParseWithLength(end + 4, answer->used - head);
}

cJSON *stats_fetch(const struct place *p)
{
	struct buf answer = {0};
	char *address = find_address(p);
	cJSON *snapshot = NULL;
	int fd = address ? reach(address) : -1;

	if (fd >= 0 && get(fd, &answer) == 0)
		snapshot = body_of(&answer);
	if (fd >= 0)
		close(fd);
	buf_free(&answer);
	free(address);
	return snapshot;
}

const cJSON *stats_of(const cJSON *snapshot, const char *service, int instance)
{
	const cJSON *one;

	cJSON_ArrayForEach (one, cJSON_GetObjectItem(snapshot, "processes")) {
		if (strcmp(control_text(one, "service"), service) == 0 &&
		    (int)control_number(one, "instance", -1) == instance)
			return one;
	}
	return NULL;
}
