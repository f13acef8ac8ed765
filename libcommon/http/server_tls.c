#include "http/server_tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define CIPHERS                                                      \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:" \
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

struct http_tls {
	SSL_CTX *context;
	char *certificate;
	char *key;
};

static const char *last_error(char text[256])
{
	unsigned long code = ERR_peek_last_error();

	if (!code)
		return "no reason given";
	ERR_error_string_n(code, text, 256);
	return text;
}

/* Of what the client offers only http/1.1 is spoken here. The parameters are
 * OpenSSL's. NOLINTNEXTLINE(readability-function-size) */
static int choose_protocol(SSL *ssl, const unsigned char **out,
			   unsigned char *out_bytes, const unsigned char *in,
			   unsigned in_bytes, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";
	unsigned char *chosen;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&chosen, out_bytes, ours, sizeof(ours) - 1,
				  in, in_bytes) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* OpenSSL would ask for it on the terminal, and hold the whole process.
 * The parameters are its. NOLINTNEXTLINE(readability-non-const-parameter) */
static int has_no_passphrase(char *out, int bytes, int writing, void *arg)
{
	bool *asked = arg;

	(void)out;
	(void)bytes;
	(void)writing;
	if (asked)
		*asked = true;
	return -1;
}

static int load_key(SSL_CTX *context, const struct http_tls *t, struct err *err)
{
	bool asked = false;
	char text[256];
	int good;

	SSL_CTX_set_default_passwd_cb(context, has_no_passphrase);
	SSL_CTX_set_default_passwd_cb_userdata(context, &asked);
	good = SSL_CTX_use_PrivateKey_file(context, t->key, SSL_FILETYPE_PEM);
	SSL_CTX_set_default_passwd_cb_userdata(context, NULL);
	if (good == 1)
		return 0;
	if (asked)
		return err_set(err, EINVAL,
			       "%s is protected by a passphrase, which nobody "
			       "can enter here; take it off with openssl pkey "
			       "and let nobody else read the file",
			       t->key);
	return err_set(err, EINVAL,
		       "%s is not a readable PEM private key that "
		       "belongs to %s: %s",
		       t->key, t->certificate, last_error(text));
}

static int load_files(SSL_CTX *context, const struct http_tls *t,
		      struct err *err)
{
	char text[256];

	if (SSL_CTX_use_certificate_chain_file(context, t->certificate) != 1)
		return err_set(err, EINVAL,
			       "%s is not a readable PEM certificate chain: %s",
			       t->certificate, last_error(text));
	if (load_key(context, t, err) != 0)
		return -1;
	if (SSL_CTX_check_private_key(context) != 1)
		return err_set(err, EINVAL, "the key %s does not belong to %s",
			       t->key, t->certificate);
	return 0;
}

static SSL_CTX *new_context(const struct http_tls *t, struct err *err)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());

	if (!context)
		abort();
	ERR_clear_error();
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	SSL_CTX_set_cipher_list(context, CIPHERS);
	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION |
					 SSL_OP_NO_COMPRESSION |
					 SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_id_context(context, (const unsigned char *)"weft",
				       4);
	SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
	if (load_files(context, t, err) != 0) {
		SSL_CTX_free(context);
		ERR_clear_error();
		return NULL;
	}
	return context;
}

int http_tls_open(struct http_tls **out, const char *certificate,
		  const char *key, struct err *err)
{
	struct http_tls *t = xcalloc(1, sizeof(*t));

	t->certificate = xstrdup(certificate);
	t->key = xstrdup(key);
	t->context = new_context(t, err);
	if (!t->context) {
		http_tls_close(&t);
		return -1;
	}
	signal(SIGPIPE, SIG_IGN);
	*out = t;
	return 0;
}

void http_tls_close(struct http_tls **t)
{
	if (!*t)
		return;
	SSL_CTX_free((*t)->context);
	free((*t)->certificate);
	free((*t)->key);
	free(*t);
	*t = NULL;
}

int http_tls_reload(struct http_tls *t, struct err *err)
{
	SSL_CTX *fresh = new_context(t, err);

	if (!fresh)
		return -1;
	/* Open sessions hold a reference to the old one. */
	SSL_CTX_free(t->context);
	t->context = fresh;
	return 0;
}

struct ssl_st *http_tls_session(struct http_tls *t, int fd)
{
	SSL *ssl = SSL_new(t->context);

	if (!ssl)
		return NULL;
	if (SSL_set_fd(ssl, fd) != 1) {
		SSL_free(ssl);
		return NULL;
	}
	SSL_set_accept_state(ssl);
	return ssl;
}

void http_tls_end(struct ssl_st **ssl)
{
	if (!*ssl)
		return;
	ERR_clear_error();
	if (SSL_is_init_finished(*ssl))
		SSL_shutdown(*ssl);
	SSL_free(*ssl);
	ERR_clear_error();
	*ssl = NULL;
}

static enum http_tls_state state_of(SSL *ssl, int rc)
{
	switch (SSL_get_error(ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		return HTTP_TLS_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return HTTP_TLS_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return HTTP_TLS_DONE;
	default:
		return HTTP_TLS_FAILED;
	}
}

enum http_tls_state http_tls_handshake(struct ssl_st *ssl)
{
	enum http_tls_state state;
	int rc;

	ERR_clear_error();
	rc = SSL_do_handshake(ssl);
	if (rc == 1)
		return HTTP_TLS_DONE;
	state = state_of(ssl, rc);
	if (state == HTTP_TLS_WANT_READ || state == HTTP_TLS_WANT_WRITE)
		return state;
	if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_HTTP_REQUEST)
		return HTTP_TLS_PLAIN;
	return HTTP_TLS_FAILED;
}

static ssize_t failed(enum http_tls_state state)
{
	errno = state == HTTP_TLS_FAILED ? ECONNRESET : EAGAIN;
	return -1;
}

ssize_t http_tls_read(struct ssl_st *ssl, void *to, size_t bytes,
		      enum http_tls_state *state)
{
	size_t got;
	int rc;

	ERR_clear_error();
	rc = SSL_read_ex(ssl, to, bytes, &got);
	if (rc == 1)
		return (ssize_t)got;
	*state = state_of(ssl, rc);
	return *state == HTTP_TLS_DONE ? 0 : failed(*state);
}

ssize_t http_tls_write(struct ssl_st *ssl, const void *data, size_t bytes,
		       enum http_tls_state *state)
{
	size_t sent;
	int rc;

	ERR_clear_error();
	rc = SSL_write_ex(ssl, data, bytes, &sent);
	if (rc == 1)
		return (ssize_t)sent;
	*state = state_of(ssl, rc);
	if (*state == HTTP_TLS_DONE)
		*state = HTTP_TLS_FAILED;
	return failed(*state);
}
