/* Time limits, and the life of connections and of the server. */
#include "http/server.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "http/server_impl.h"

/* ---- time limits: a list for each, oldest first ---- */

void http_wait_leave(struct http_conn *c)
{
	struct http_waits *w = &c->server->waits[c->wait];

	if (!c->wait_mono_us)
		return;
	if (c->sooner)
		c->sooner->later = c->later;
	else
		w->first = c->later;
	if (c->later)
		c->later->sooner = c->sooner;
	else
		w->last = c->sooner;
	c->sooner = c->later = NULL;
	c->wait_mono_us = 0;
}

void http_wait_set(struct http_conn *c, enum http_wait wait)
{
	struct http_server *s = c->server;
	struct http_waits *w = &s->waits[wait];
	int64_t at_us;

	if (c->wait_mono_us && wait == c->wait && c->wait_serial == c->serial)
		return;
	http_wait_leave(c);
	c->wait = wait;
	c->wait_serial = c->serial;
	c->wait_mono_us = loop_now_mono_us(s->loop);
	c->sooner = w->last;
	if (w->last)
		w->last->later = c;
	else
		w->first = c;
	w->last = c;
	at_us = c->wait_mono_us + w->limit_us;
	if (w->limit_us &&
	    (!s->deadline.at_mono_us || at_us < s->deadline.at_mono_us))
		loop_timer_set(s->loop, &s->deadline, at_us);
}

static void on_deadline(void *arg)
{
	struct http_server *s = arg;
	int64_t now_us = loop_now_mono_us(s->loop), next_us = 0;

	for (int i = 0; i < HTTP_WAITS; i++) {
		struct http_waits *w = &s->waits[i];

		if (!w->limit_us)
			continue;
		while (w->first &&
		       w->first->wait_mono_us + w->limit_us <= now_us)
			http_conn_expire(w->first);
	}
	for (int i = 0; i < HTTP_WAITS; i++) {
		const struct http_waits *w = &s->waits[i];
		int64_t at_us;

		if (!w->limit_us || !w->first)
			continue;
		at_us = w->first->wait_mono_us + w->limit_us;
		if (!next_us || at_us < next_us)
			next_us = at_us;
	}
	if (next_us)
		loop_timer_set(s->loop, &s->deadline, next_us);
}

/* ---- answers leave at the end of the turn ---- */

void http_mark_dirty(struct http_conn *c)
{
	struct http_server *s = c->server;

	if (c->dirty)
		return;
	c->dirty = true;
	c->next_dirty = s->dirty;
	s->dirty = c;
	if (!s->flush.at_mono_us)
		loop_timer_set(s->loop, &s->flush, 1);
}

void http_mark_later(struct http_conn *c)
{
	struct http_server *s = c->server;

	if (!s->flush.at_mono_us)
		loop_timer_set(s->loop, &s->flush,
			       loop_now_mono_us(s->loop) + 1);
	http_mark_dirty(c);
}

static void on_flush(void *arg)
{
	struct http_server *s = arg;
	struct http_conn *now = s->dirty;

	s->dirty = NULL;
	while (now) {
		struct http_conn *c = now;

		now = c->next_dirty;
		c->dirty = false;
		http_conn_flush(c);
	}
}

/* ---- connections ---- */

struct http_conn *http_conn_take(struct http_server *s)
{
	struct http_conn *c = s->free_conns;

	if (c) {
		s->free_conns = c->next_free;
		memset(c, 0, sizeof(*c));
	} else {
		c = xcalloc(1, sizeof(*c));
	}
	c->server = s;
	c->io.fd = -1;
	s->counters.open_connections++;
	return c;
}

void http_conn_give(struct http_conn *c)
{
	struct http_server *s = c->server;

	if (c->dirty) {
		struct http_conn **at = &s->dirty;

		while (*at != c)
			at = &(*at)->next_dirty;
		*at = c->next_dirty;
		c->dirty = false;
	}
	s->counters.open_connections--;
	/*
	 * Its memory stays until the server closes: callers up the stack may
	 * still ask whether it is dead.
	 */
	c->next_free = s->free_conns;
	s->free_conns = c;
}

/* ---- open and close ---- */

static void set_limits(struct http_server *s)
{
	const struct http_options *o = &s->options;

	s->waits[HTTP_WAIT_IDLE].limit_us = o->idle_timeout_us;
	s->waits[HTTP_WAIT_HEADERS].limit_us = o->header_timeout_us;
	s->waits[HTTP_WAIT_BODY].limit_us = o->body_timeout_us;
	s->waits[HTTP_WAIT_WRITE].limit_us = o->body_timeout_us;
	s->waits[HTTP_WAIT_LINGER].limit_us = HTTP_LINGER_US;
	s->deadline.fn = on_deadline;
	s->deadline.arg = s;
	s->flush.fn = on_flush;
	s->flush.arg = s;
	s->blocks.buffered_bytes = &s->counters.buffered_bytes;
}

static int open_all(struct http_server *s, struct err *err)
{
	const struct http_options *o = &s->options;

	if (o->tls_certificate &&
	    http_tls_open(&s->tls, o->tls_certificate, o->tls_key, err) != 0)
		return -1;
	return http_listen(s, err);
}

int http_server_open(struct http_server **server, struct loop *loop,
		     const struct http_options *options,
		     const struct http_events *events, struct err *err)
{
	struct http_server *s = xcalloc(1, sizeof(*s));

	s->loop = loop;
	s->options = *options;
	s->options.listen = xstrdup(options->listen ? options->listen : "");
	s->options.server_name =
	    options->server_name ? xstrdup(options->server_name) : NULL;
	s->events = *events;
	s->listener.fd = -1;
	set_limits(s);
	if (open_all(s, err) != 0) {
		http_server_close(&s);
		return -1;
	}
	*server = s;
	return 0;
}

static void kill_all(struct http_server *s, enum http_wait wait)
{
	while (s->waits[wait].first)
		http_conn_kill(s->waits[wait].first);
}

void http_server_drain(struct http_server *s)
{
	if (s->draining)
		return;
	s->draining = true;
	http_listen_stop(s);
	/*
	 * A request may be on its way over a connection that looks idle, so it
	 * gets a moment: whoever sends one is answered, and told to go.
	 */
	s->waits[HTTP_WAIT_IDLE].limit_us = HTTP_DRAIN_US;
	s->waits[HTTP_WAIT_LINGER].limit_us = HTTP_DRAIN_US;
	loop_timer_set(s->loop, &s->deadline,
		       loop_now_mono_us(s->loop) + HTTP_DRAIN_US);
}

bool http_server_idle(const struct http_server *s)
{
	return s->counters.open_connections == 0;
}

void http_server_close(struct http_server **server)
{
	struct http_server *s = *server;

	*server = NULL;
	if (!s)
		return;
	for (int i = 0; i < HTTP_WAITS; i++)
		kill_all(s, (enum http_wait)i);
	http_listen_stop(s);
	while (s->orphans)
		http_request_give(s->orphans);
	for (struct http_request *r; (r = s->free_requests);) {
		s->free_requests = r->next;
		buf_free(&r->out);
		buf_free(&r->extra);
		free(r);
	}
	for (struct http_conn *c; (c = s->free_conns);) {
		s->free_conns = c->next_free;
		free(c);
	}
	for (int i = 0; i < HTTP_CODING_UNKNOWN; i++)
		http_decoder_free(&s->decoders[i]);
	http_blocks_free(&s->blocks);
	buf_free(&s->head.text);
	loop_timer_cancel(s->loop, &s->deadline);
	loop_timer_cancel(s->loop, &s->flush);
	loop_timer_cancel(s->loop, &s->reopen);
	http_tls_close(&s->tls);
	free((char *)(uintptr_t)s->options.listen);
	free((char *)(uintptr_t)s->options.server_name);
	free(s);
}

int http_server_reload_tls(struct http_server *s, struct err *err)
{
	return s->tls ? http_tls_reload(s->tls, err) : 0;
}

uint16_t http_server_port(const struct http_server *s)
{
	return s->port;
}

const struct http_counters *http_server_counters(const struct http_server *s)
{
	return &s->counters;
}
