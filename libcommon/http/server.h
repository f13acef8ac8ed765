/*
 * An HTTP/1.1 server on the process's event loop: llhttp parses, OpenSSL does
 * TLS, answers may come later (after an fsync, say). Everything a client sends
 * is bounded; what cannot be served gets an exact JSON error and, where the
 * stream is out of step, a close. Loop thread only.
 */
#ifndef WEFT_HTTP_SERVER_H
#define WEFT_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"

struct http_server;
struct http_request;

struct http_options {
	const char *listen; /* "127.0.0.1:8080", "[::1]:8080", "unix:/path" */
	int listen_fd; /* an inherited listening socket, or -1 to bind `listen`
			*/
	const char *tls_certificate; /* PEM chain; NULL = plain HTTP */
	const char *tls_key;
	uint32_t max_connections;  /* beyond it: 503 and close; 4096 */
	uint64_t max_header_bytes; /* 431 beyond it; 16 KiB */
	uint64_t max_body_bytes;   /* 413 beyond it; 16 MiB; decoded size too */
	uint64_t
	    max_buffered_bytes;	   /* of all bodies in memory; 503 beyond it */
	int64_t header_timeout_us; /* 408: first byte to end of headers; 10 s */
	int64_t body_timeout_us; /* 408: end of headers to end of body; 30 s */
	int64_t idle_timeout_us; /* keep-alive; 60 s */
	const char *server_name; /* Server: header, or NULL */
};

struct http_counters {
	uint64_t connections, requests;
	uint64_t responses[6]; /* by status / 100 */
	uint64_t bytes_in, bytes_out;
	uint64_t refused_connections, timeouts, tls_failures, parse_errors;
	uint32_t open_connections;
	uint64_t buffered_bytes;
};

/*
 * What the server asks of its owner.
 *  headers: once the headers are in, before any body is read; to refuse early,
 *    answer with http_respond() right here (401, 404, 405, 415 …): the body is
 *    then drained up to 1 MiB, or the connection closed behind the answer.
 *    Slices are valid during this call only, and request may never follow, so
 *    a context set here must not own anything. May be NULL.
 *  request: a whole request, body decoded from chunked framing, gzip and zstd
 *    undone within max_body_bytes. The owner answers now or later, exactly
 *    once, from the loop thread.
 *  gone: the client closed before the answer to a request that the owner has;
 *    http_respond() on it is still due: it sends nothing, but frees it. May be
 *    NULL.
 */
struct http_events {
	void (*headers)(void *arg, struct http_request *r);
	void (*request)(void *arg, struct http_request *r);
	void (*gone)(void *arg, struct http_request *r);
	void *arg;
};

int http_server_open(struct http_server **server, struct loop *loop,
		     const struct http_options *options,
		     const struct http_events *events,
		     struct err *err) MUST_CHECK;

/*
 * Stops to accept. Open connections finish their request, idle ones may send
 * one more for 500 ms; then they are closed. Harmless when repeated.
 */
void http_server_drain(struct http_server *s);
bool http_server_idle(const struct http_server *s);

/*
 * Closes everything at once and frees, unanswered requests too (each is said
 * to be gone first). Sets *s to NULL, accepts NULL.
 */
void http_server_close(struct http_server **server);

/* Loads the certificate again; the old one stays when that fails. */
int http_server_reload_tls(struct http_server *s, struct err *err) MUST_CHECK;

/* The port that was bound (listen "127.0.0.1:0"), 0 for a Unix socket. */
uint16_t http_server_port(const struct http_server *s);

const struct http_counters *http_server_counters(const struct http_server *s);

/* ---- the request; slices of a whole one are valid until it is answered ----
 */

struct http_slice {
	const char *at;
	size_t bytes;
};

struct http_slice http_method(const struct http_request *r);

/* The path without query, percent-decoded once; no NUL, no "..". */
struct http_slice http_path(const struct http_request *r);

/* A header's value, name in any case; bytes 0 and at NULL when absent. */
struct http_slice http_header(const struct http_request *r, const char *name);

/* Calls fn for each header in order until it returns false. */
void http_each_header(const struct http_request *r,
		      bool (*fn)(void *arg, struct http_slice name,
				 struct http_slice value),
		      void *arg);

struct http_slice http_body(const struct http_request *r);

/* The peer's address as text, for logs. */
const char *http_peer(const struct http_request *r);

/* A place for the owner's pointer, NULL at first. */
void http_set_context(struct http_request *r, void *context);
void *http_context(const struct http_request *r);

/* A header for the answer (copied); before http_respond(). */
void http_add_header(struct http_request *r, const char *name,
		     const char *value);

/*
 * Answers with a status and a body (copied; may be empty, "" content_type for
 * none). Ends the owner's use of r. HEAD sends no body. Pipelined answers leave
 * in the order of their requests.
 */
void http_respond(struct http_request *r, unsigned status,
		  const char *content_type, const void *body, size_t bytes);

/*
 * Answers with {"success":false,"error":{"code":…,"message":…},"message":…},
 * the form of all errors of the server itself, too. (The outer members are
 * those that clients of older collectors look at.)
 */
void http_respond_error(struct http_request *r, unsigned status,
			const char *code, const char *message);

#endif
