/*
 * A blocking HTTP client for worker threads; the only user of libcurl. One
 * thread at a time per client. Connections are kept and used again; TLS is 1.2
 * or later and always verified; redirects are not followed. A proxy is used
 * only as the environment says (https_proxy, no_proxy, … as curl(1) reads
 * them).
 */
#ifndef WEFT_HTTP_CLIENT_H
#define WEFT_HTTP_CLIENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct http_client;

struct http_client_options {
	const char *ca_file; /* PEM; NULL: those that the system trusts */
	int64_t connect_us;  /* 0: 10 s, name and TLS included */
	int64_t stall_us;    /* 0: 30 s without a byte either way */
	/* Borrowed, or NULL: set on any thread, it ends calls within 0.2 s. */
	const atomic_bool *stop;
};

/* One request. Everything is borrowed during the call. */
struct http_call {
	const char *method;	    /* "GET", "HEAD", "PUT", "POST", "DELETE" */
	const char *url;	    /* its query never appears in messages */
	const char *const *headers; /* "Name: value" each, then NULL; or NULL */
	/*
	 * The body of a PUT or POST, of body_bytes: `body`, or if that is NULL
	 * the bytes of body_fd from body_at on, read with pread().
	 */
	const void *body;
	int body_fd;
	int64_t body_at, body_bytes;
	/*
	 * Where the body of the reply goes: into reply->body, at most `limit`
	 * bytes (of an answer of status 300 or more the rest is left out); or
	 * if reply_fd is above 0 and the status 200 or 206 it is written there,
	 * however long.
	 */
	size_t limit;
	int reply_fd;
	int64_t deadline_mono_us; /* the whole call ends by then; 0: never */
};

/* How far a request came, whatever the answer. */
enum http_sent {
	HTTP_NOT_SENT, /* the server has certainly not seen it */
	HTTP_SENT,     /* it may have seen it, and acted */
	/* It may have seen it twice: a kept connection had died under it, so
	 * it was sent again. */
	HTTP_SENT_TWICE,
};

/* Zero-initialise; may be used for many calls, each clears it first. */
struct http_reply {
	int status;	    /* 200 …, or 0 without an answer */
	struct buf headers; /* "Name: value\r\n" lines of the final answer */
	struct buf body;
	enum http_sent sent;
};
void http_reply_free(struct http_reply *reply);

/*
 * The value of a header, without the blanks around it, in value[bytes] (cut);
 * false when there is none. Names ignore case.
 */
bool http_reply_header(const struct http_reply *reply, const char *name,
		       char *value, size_t bytes);

struct http_client *http_client_new(const struct http_client_options *options);
void http_client_free(struct http_client **c);

/*
 * Makes one request; 0 when there is a whole answer, of whatever status. -1
 * with *err when there is none, and reply->sent tells whether the server may
 * have acted nevertheless. err->code: ECONNREFUSED, EHOSTUNREACH, ECONNRESET,
 * ETIMEDOUT, EPROTO (TLS and malformed answers: not retriable), ECANCELED
 * (stopped: not retriable), EFBIG (beyond limit, or headers beyond 64 KiB),
 * EINVAL (url, headers), or what reading body_fd or writing reply_fd met.
 */
int http_call(struct http_client *c, const struct http_call *call,
	      struct http_reply *reply, struct err *err) MUST_CHECK;

#endif
