/*
 * A wire that a test can cut: forwards connections from one Unix socket to
 * another without blocking. cut drops all connections with what is in them;
 * while held, nothing passes, and nobody is told.
 */
#ifndef TEST_BUS_PROXY_H
#define TEST_BUS_PROXY_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PROXY_PAIRS 16
#define PROXY_BYTES 16384

struct proxy_way {
	char data[PROXY_BYTES];
	size_t at, used;
};

struct proxy_pair {
	bool open;
	int ends[2];
	struct proxy_way ways[2];
};

struct proxy {
	int listener;
	char from[256], to[256];
	bool held;
	struct proxy_pair pairs[PROXY_PAIRS];
};

static inline struct sockaddr_un proxy_address(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	assert_true(strlen(path) < sizeof(at.sun_path));
	memcpy(at.sun_path, path, strlen(path) + 1);
	return at;
}

static inline void proxy_open(struct proxy *p, const char *from, const char *to)
{
	struct sockaddr_un at = proxy_address(from);

	memcpy(p->from, from, strlen(from) + 1);
	memcpy(p->to, to, strlen(to) + 1);
	p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(p->listener, (struct sockaddr *)&at, sizeof(at)),
			 0);
	assert_int_equal(listen(p->listener, PROXY_PAIRS), 0);
}

static inline void pair_close(struct proxy_pair *pair)
{
	if (!pair->open)
		return;
	close(pair->ends[0]);
	close(pair->ends[1]);
	pair->open = false;
}

static inline void proxy_cut(struct proxy *p)
{
	for (int i = 0; i < PROXY_PAIRS; i++)
		pair_close(&p->pairs[i]);
}

static inline void proxy_close(struct proxy *p)
{
	if (!p->from[0])
		return;
	proxy_cut(p);
	close(p->listener);
	unlink(p->from);
}

static inline void proxy_accept(struct proxy *p)
{
	struct sockaddr_un to = proxy_address(p->to);
	struct proxy_pair *pair = NULL;
	int a = accept4(p->listener, NULL, NULL, SOCK_NONBLOCK), b;

	if (a < 0)
		return;
	for (int i = 0; i < PROXY_PAIRS && !pair; i++)
		if (!p->pairs[i].open)
			pair = &p->pairs[i];
	b = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (!pair || connect(b, (struct sockaddr *)&to, sizeof(to)) != 0) {
		close(a);
		close(b);
		return;
	}
	memset(pair, 0, sizeof(*pair));
	pair->open = true;
	pair->ends[0] = a;
	pair->ends[1] = b;
}

/* False when an end is gone. */
static inline bool way_turn(struct proxy_way *w, int from, int to)
{
	for (int i = 0; i < 8; i++) {
		ssize_t n;

		if (w->at == w->used) {
			n = read(from, w->data, sizeof(w->data));
			if (n <= 0)
				return n < 0 && errno == EAGAIN;
			w->at = 0;
			w->used = (size_t)n;
		}
		n = send(to, w->data + w->at, w->used - w->at, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN;
		w->at += (size_t)n;
	}
	return true;
}

static inline void proxy_turn(struct proxy *p)
{
	if (!p->from[0] || p->held)
		return;
	proxy_accept(p);
	for (int i = 0; i < PROXY_PAIRS; i++) {
		struct proxy_pair *pair = &p->pairs[i];

		if (pair->open &&
		    (!way_turn(&pair->ways[0], pair->ends[0], pair->ends[1]) ||
		     !way_turn(&pair->ways[1], pair->ends[1], pair->ends[0])))
			pair_close(pair);
	}
}

#endif
