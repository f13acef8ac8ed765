/*
 * TLS for the server: OpenSSL 3, TLS 1.2 and 1.3, forward-secret AEAD ciphers
 * only (Mozilla's "intermediate" list without CBC and DHE). Loop thread only.
 */
#ifndef WEFT_HTTP_SERVER_TLS_H
#define WEFT_HTTP_SERVER_TLS_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct http_tls;
struct ssl_st;

/*
 * Loads a PEM chain and its key (both paths copied). -1 with *err naming the
 * file. The process ignores SIGPIPE from then on, since OpenSSL writes to
 * sockets whose peers may be gone.
 */
int http_tls_open(struct http_tls **t, const char *certificate, const char *key,
		  struct err *err) MUST_CHECK;
void http_tls_close(struct http_tls **t);

/* Loads both files again; on an error the old ones stay in use. */
int http_tls_reload(struct http_tls *t, struct err *err) MUST_CHECK;

/* A session for an accepted socket, or NULL. The socket stays the caller's. */
struct ssl_st *http_tls_session(struct http_tls *t, int fd);

/* Says goodbye as far as that goes without waiting, and frees. */
void http_tls_end(struct ssl_st **ssl);

enum http_tls_state {
	HTTP_TLS_DONE,
	HTTP_TLS_WANT_READ,
	HTTP_TLS_WANT_WRITE,
	HTTP_TLS_FAILED,
	HTTP_TLS_PLAIN, /* the client speaks HTTP without TLS */
};

enum http_tls_state http_tls_handshake(struct ssl_st *ssl);

/*
 * As recv() and send(): bytes, 0 at the end (read only), or -1 with errno
 * EAGAIN (*state says what to wait for) or ECONNRESET.
 */
ssize_t http_tls_read(struct ssl_st *ssl, void *to, size_t bytes,
		      enum http_tls_state *state);
ssize_t http_tls_write(struct ssl_st *ssl, const void *data, size_t bytes,
		       enum http_tls_state *state);

#endif
