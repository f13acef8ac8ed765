/* The client against a server that answers, dies and lies as it is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "http/client.h"

#define SECOND 1000000LL

/* ---- the server: one thread, one connection after the other ---- */

#define RESET "@reset" /* the request is read, then the connection reset */
#define HANG  "@hang"  /* the request is read, then nothing happens */
#define OK(n) "HTTP/1.1 200 OK\r\nContent-Length: " n "\r\n\r\n"

static struct {
	pthread_t thread;
	int listener, port;
	SSL_CTX *tls;
	const char *const *acts; /* one a request, NULL behind the last */
	pthread_mutex_t mutex;
	struct buf seen; /* all requests, head and body */
	int connections;
	int wake[2]; /* readable: end */
} server = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* A connection of it, with or without TLS. */
struct peer {
	int fd;
	SSL *tls;
	struct buf in;
};

/* Whether there is something to read before the server is to end. */
static bool readable(int fd)
{
	struct pollfd fds[] = {{.fd = fd, .events = POLLIN},
			       {.fd = server.wake[0], .events = POLLIN}};

	return poll(fds, 2, 20000) > 0 && !fds[1].revents;
}

static bool peer_read(struct peer *p)
{
	char data[65536];
	ssize_t n;

	if (!(p->tls && SSL_pending(p->tls)) && !readable(p->fd))
		return false;
	n = p->tls ? SSL_read(p->tls, data, sizeof(data))
		   : read(p->fd, data, sizeof(data));
	if (n > 0)
		buf_append(&p->in, data, (size_t)n);
	return n > 0;
}

/* Waits for a whole request, and keeps it in `seen`. */
static bool peer_request(struct peer *p)
{
	const char *end, *length;
	size_t bytes;

	buf_clear(&p->in);
	do {
		if (!peer_read(p))
			return false;
		end = strstr(buf_str(&p->in), "\r\n\r\n");
	} while (!end);
	bytes = (size_t)(end - p->in.data) + 4;
	length = strstr(p->in.data, "Content-Length: ");
	if (length)
		bytes += strtoul(length + 16, NULL, 10);
	while (p->in.used < bytes)
		if (!peer_read(p))
			return false;
	pthread_mutex_lock(&server.mutex);
	buf_append(&server.seen, p->in.data, p->in.used);
	pthread_mutex_unlock(&server.mutex);
	return true;
}

/* false when the connection is to be closed. */
static bool peer_act(struct peer *p, const char *act)
{
	struct linger hard = {1, 0};
	bool close_after = strncmp(act, "close:", 6) == 0;

	if (strcmp(act, HANG) == 0)
		return peer_read(p);
	if (strcmp(act, RESET) == 0) {
		setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		return false;
	}
	if (close_after)
		act += 6;
	if (p->tls)
		return SSL_write(p->tls, act, (int)strlen(act)) > 0 &&
		       !close_after;
	return write(p->fd, act, strlen(act)) > 0 && !close_after;
}

static void serve_one(int fd, const char *const **act)
{
	struct peer p = {.fd = fd};

	if (server.tls) {
		p.tls = SSL_new(server.tls);
		SSL_set_fd(p.tls, fd);
		if (SSL_accept(p.tls) <= 0)
			goto out;
	}
	while (**act && peer_request(&p))
		if (!peer_act(&p, *(*act)++))
			break;
out:
	SSL_free(p.tls);
	buf_free(&p.in);
	close(fd);
}

static void *serve(void *arg)
{
	const char *const *act = server.acts;

	(void)arg;
	while (readable(server.listener)) {
		int fd = accept(server.listener, NULL, NULL);

		server.connections++;
		serve_one(fd, &act);
	}
	return NULL;
}

static void server_begin(const char *const *acts)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t bytes = sizeof(at);

	server.acts = acts;
	server.connections = 0;
	buf_clear(&server.seen);
	assert_int_equal(pipe(server.wake), 0);
	server.listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(server.listener, (void *)&at, sizeof(at)), 0);
	assert_int_equal(listen(server.listener, 16), 0);
	getsockname(server.listener, (void *)&at, &bytes);
	server.port = ntohs(at.sin_port);
	assert_int_equal(pthread_create(&server.thread, NULL, serve, NULL), 0);
}

static void server_end(void)
{
	close(server.wake[1]);
	pthread_join(server.thread, NULL);
	close(server.wake[0]);
	close(server.listener);
}

/* ---- a call ---- */

static struct http_client *client;
static struct http_reply reply;
static struct err err;

static const char *url_of(const char *path)
{
	static char url[200];

	snprintf(url, sizeof(url), "%s://127.0.0.1:%d%s",
		 server.tls ? "https" : "http", server.port, path);
	return url;
}

static struct http_call get_call(const char *path)
{
	return (struct http_call){
	    .method = "GET", .url = url_of(path), .limit = 10000};
}

static int call(const struct http_call *c)
{
	memset(&err, 0, sizeof(err));
	return http_call(client, c, &reply, &err);
}

static int get(const char *path)
{
	struct http_call c = get_call(path);

	return call(&c);
}

static void body_is(const char *expected)
{
	assert_string_equal(buf_str(&reply.body), expected);
}

static void saw(const char *text)
{
	pthread_mutex_lock(&server.mutex);
	if (!strstr(buf_str(&server.seen), text))
		fail_msg("no %s in\n%s", text, buf_str(&server.seen));
	pthread_mutex_unlock(&server.mutex);
}

static int begin(void **state)
{
	(void)state;
	unsetenv("http_proxy");
	unsetenv("https_proxy");
	unsetenv("all_proxy");
	client = http_client_new(&(struct http_client_options){0});
	return 0;
}

static int end(void **state)
{
	(void)state;
	http_client_free(&client);
	http_reply_free(&reply);
	buf_free(&server.seen);
	return 0;
}

/* ---- tests ---- */

static void an_answer_is_brought_whole(void **state)
{
	static const char *const acts[] = {
	    "HTTP/1.1 201 Created\r\nETag:  \"0x8D\" \r\nX-Empty:\r\n"
	    "x-ms-error-code: None\r\nContent-Length: 5\r\n\r\nhello",
	    "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
	    NULL};
	char value[20];

	(void)state;
	server_begin(acts);
	assert_int_equal(get("/a%20b?c=d"), 0);
	assert_int_equal(reply.status, 201);
	assert_int_equal(reply.sent, HTTP_SENT);
	body_is("hello");
	assert_true(http_reply_header(&reply, "etag", value, sizeof(value)));
	assert_string_equal(value, "\"0x8D\"");
	assert_true(http_reply_header(&reply, "X-Empty", value, 20));
	assert_string_equal(value, "");
	assert_true(http_reply_header(&reply, "X-MS-Error-Code", value, 3));
	assert_string_equal(value, "No");
	assert_false(http_reply_header(&reply, "ETa", value, 20));
	assert_int_equal(get("/./x/../y"), 0);
	assert_int_equal(reply.status, 404);
	body_is("abcde");
	assert_false(http_reply_header(&reply, "ETag", value, 20));
	server_end();
	assert_int_equal(server.connections, 1);
	saw("GET /a%20b?c=d HTTP/1.1\r\n");
	saw("GET /./x/../y HTTP/1.1\r\n");
}

static void bodies_come_from_memory_or_a_file(void **state)
{
	static const char *const acts[] = {OK("0"), OK("0"), OK("0"), OK("0"),
					   NULL};
	static const char *const headers[] = {"x-ms-blob-type: BlockBlob",
					      "Content-Type:", NULL};
	struct http_call c = {.method = "PUT",
			      .headers = headers,
			      .body = "in memory",
			      .body_bytes = 9};
	char path[] = "/tmp/test_http_client.XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_int_equal(write(fd, "0123456789", 10), 10);
	server_begin(acts);
	c.url = url_of("/m");
	assert_int_equal(call(&c), 0);
	c.url = url_of("/f");
	c.body = NULL;
	c.body_fd = fd;
	c.body_at = 3;
	c.body_bytes = 5;
	assert_int_equal(call(&c), 0);
	c.url = url_of("/nothing");
	c.body_bytes = 0;
	assert_int_equal(call(&c), 0);
	c.method = "DELETE";
	c.headers = NULL;
	assert_int_equal(call(&c), 0);
	server_end();
	saw("PUT /m HTTP/1.1\r\n");
	saw("\r\nx-ms-blob-type: BlockBlob\r\n");
	saw("\r\n\r\nin memoryPUT /f");
	saw("\r\n\r\n34567PUT /nothing");
	saw("Content-Length: 0\r\n");
	saw("DELETE /nothing HTTP/1.1\r\n");
	assert_null(strstr(buf_str(&server.seen), "Expect"));
	assert_null(strstr(buf_str(&server.seen), "Content-Type"));
	close(fd);
	unlink(path);
}

static void a_file_that_shrank_is_told(void **state)
{
	static const char *const acts[] = {OK("0"), NULL};
	struct http_call c = {.method = "PUT", .body_bytes = 100};
	char path[] = "/tmp/test_http_client.XXXXXX";

	(void)state;
	c.body_fd = mkstemp(path);
	unlink(path);
	server_begin(acts);
	c.url = url_of("/f");
	assert_int_equal(call(&c), -1);
	assert_int_equal(err.code, EIO);
	assert_false(err.retriable);
	server_end();
	close(c.body_fd);
}

static void an_answer_goes_to_a_file(void **state)
{
	static const char *const acts[] = {
	    OK("6") "wanted",
	    "HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\nabsent",
	    "HTTP/1.1 206 Partial\r\nContent-Length: 4\r\n\r\npart", NULL};
	struct http_call c = {.method = "GET", .limit = 6};
	char path[] = "/tmp/test_http_client.XXXXXX", got[20] = "";

	(void)state;
	c.reply_fd = mkstemp(path);
	unlink(path);
	server_begin(acts);
	c.url = url_of("/x");
	assert_int_equal(call(&c), 0);
	body_is("");
	assert_int_equal(pread(c.reply_fd, got, 19, 0), 6);
	assert_string_equal(got, "wanted");
	assert_int_equal(call(&c), 0);
	assert_int_equal(reply.status, 404);
	body_is("absent");
	assert_int_equal(lseek(c.reply_fd, 0, SEEK_CUR), 6);
	assert_int_equal(call(&c), 0);
	assert_int_equal(lseek(c.reply_fd, 0, SEEK_CUR), 10);
	server_end();
	close(c.reply_fd);
}

static void head_brings_headers_alone(void **state)
{
	static const char *const acts[] = {OK("1234567"), OK("2") "ok", NULL};
	struct http_call c = {.method = "HEAD", .limit = 10};
	char value[20];

	(void)state;
	server_begin(acts);
	c.url = url_of("/x");
	assert_int_equal(call(&c), 0);
	assert_true(http_reply_header(&reply, "Content-Length", value, 20));
	assert_string_equal(value, "1234567");
	body_is("");
	assert_int_equal(get("/y"), 0);
	body_is("ok");
	server_end();
	assert_int_equal(server.connections, 1);
}

static void an_answer_beyond_its_limit_is_cut_off(void **state)
{
	static const char *const acts[] = {OK("10001") "x", OK("2") "ok", NULL};
	struct http_call c;

	(void)state;
	server_begin(acts);
	c = get_call("/x");
	c.limit = 0;
	assert_int_equal(call(&c), -1);
	assert_int_equal(err.code, EFBIG);
	assert_false(err.retriable);
	assert_int_equal(get("/y"), 0);
	body_is("ok");
	server_end();
}

static void what_comes_before_the_answer_is_left_out(void **state)
{
	static const char *const acts[] = {
	    "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" OK("2") "ok", NULL};
	char value[20];

	(void)state;
	server_begin(acts);
	assert_int_equal(get("/x"), 0);
	assert_int_equal(reply.status, 200);
	assert_false(http_reply_header(&reply, "Link", value, 20));
	server_end();
}

static void nobody_there_means_not_sent(void **state)
{
	static const char *const acts[] = {NULL};

	(void)state;
	server_begin(acts);
	server_end();
	assert_int_equal(get("/x?sig=hidden"), -1);
	assert_int_equal(err.code, ECONNREFUSED);
	assert_true(err.retriable);
	assert_int_equal(reply.sent, HTTP_NOT_SENT);
	assert_int_equal(reply.status, 0);
	assert_non_null(strstr(err.text, "GET http://127.0.0.1:"));
	assert_null(strstr(err.text, "hidden"));
}

static void an_unknown_host_means_not_sent(void **state)
{
	struct http_call c = {.method = "GET", .url = "http://weft.invalid/x"};
	struct http_client_options o = {.connect_us = 2 * SECOND};
	struct http_client *quick = http_client_new(&o);

	(void)state;
	assert_int_equal(http_call(quick, &c, &reply, &err), -1);
	assert_true(err.code == EHOSTUNREACH || err.code == ETIMEDOUT);
	assert_true(err.retriable);
	assert_int_equal(reply.sent, HTTP_NOT_SENT);
	http_client_free(&quick);
}

static void a_lost_answer_may_have_been_acted_on(void **state)
{
	static const char *const acts[] = {RESET, "close:" OK("10") "short",
					   "close:HTTP/1.1 2", NULL};

	(void)state;
	server_begin(acts);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(get("/x"), -1);
		assert_int_equal(err.code, ECONNRESET);
		assert_true(err.retriable);
		assert_int_equal(reply.sent, HTTP_SENT);
	}
	server_end();
	assert_int_equal(server.connections, 3);
}

/* libcurl sends anew what a kept connection seems to have lost. */
static void a_kept_connection_that_dies_sends_twice(void **state)
{
	static const char *const acts[] = {
	    OK("0"), RESET,
	    "HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n", NULL};
	struct http_call c = {.method = "PUT", .body = "once", .body_bytes = 4};

	(void)state;
	server_begin(acts);
	c.url = url_of("/x");
	assert_int_equal(call(&c), 0);
	assert_int_equal(reply.sent, HTTP_SENT);
	assert_int_equal(call(&c), 0);
	assert_int_equal(reply.status, 409);
	assert_int_equal(reply.sent, HTTP_SENT_TWICE);
	server_end();
	assert_int_equal(server.connections, 2);
	saw("oncePUT /x");
}

static void nonsense_is_no_answer(void **state)
{
	static const char *const acts[] = {"close:hello\r\n\r\n", NULL};

	(void)state;
	server_begin(acts);
	assert_int_equal(get("/x"), -1);
	assert_int_equal(err.code, EPROTO);
	assert_int_equal(reply.sent, HTTP_SENT);
	server_end();
}

static void bad_requests_are_not_sent(void **state)
{
	static const char *const headers[] = {"X: a\r\nY: b", NULL};
	struct http_call c = {
	    .method = "GET", .url = "http://127.0.0.1:1/", .headers = headers};

	(void)state;
	assert_int_equal(call(&c), -1);
	assert_int_equal(err.code, EINVAL);
	c.headers = NULL;
	c.url = "file:///etc/passwd";
	assert_int_equal(call(&c), -1);
	assert_int_equal(err.code, EINVAL);
	assert_int_equal(reply.sent, HTTP_NOT_SENT);
	c.url = "http://exa mple/";
	assert_int_equal(call(&c), -1);
	assert_int_equal(err.code, EINVAL);
}

static void silence_is_not_waited_for(void **state)
{
	static const char *const acts[] = {HANG, HANG, NULL};
	struct http_client_options o = {.stall_us = SECOND / 2};
	struct http_client *quick = http_client_new(&o);
	int64_t began = clock_mono_us();
	struct http_call c;

	(void)state;
	server_begin(acts);
	c = get_call("/x");
	assert_int_equal(http_call(quick, &c, &reply, &err), -1);
	assert_int_equal(err.code, ETIMEDOUT);
	assert_true(err.retriable);
	assert_int_equal(reply.sent, HTTP_SENT);
	c.deadline_mono_us = clock_mono_us() + SECOND / 5;
	assert_int_equal(call(&c), -1);
	assert_int_equal(err.code, ETIMEDOUT);
	assert_true(clock_mono_us() - began < 10 * SECOND);
	http_client_free(&quick);
	server_end();
}

static atomic_bool stop;

static void *stop_when_seen(void *arg)
{
	bool seen = false;

	while (!seen) {
		pthread_mutex_lock(&server.mutex);
		seen = server.seen.used > 0;
		pthread_mutex_unlock(&server.mutex);
		poll(NULL, 0, 10);
	}
	stop = true;
	return arg;
}

static void a_call_can_be_stopped(void **state)
{
	static const char *const acts[] = {HANG, NULL};
	struct http_client_options o = {.stop = &stop};
	struct http_client *stopped = http_client_new(&o);
	int64_t began = clock_mono_us();
	struct http_call c;
	pthread_t thread;

	(void)state;
	server_begin(acts);
	pthread_create(&thread, NULL, stop_when_seen, NULL);
	c = get_call("/x");
	assert_int_equal(http_call(stopped, &c, &reply, &err), -1);
	assert_int_equal(err.code, ECANCELED);
	assert_false(err.retriable);
	assert_true(clock_mono_us() - began < 10 * SECOND);
	pthread_join(thread, NULL);
	assert_int_equal(http_call(stopped, &c, &reply, &err), -1);
	assert_int_equal(err.code, ECANCELED);
	assert_int_equal(reply.sent, HTTP_NOT_SENT);
	http_client_free(&stopped);
	server_end();
}

/* ---- TLS ---- */

/* A key and a certificate that signs itself; written to `path` for clients. */
static SSL_CTX *tls_for(const char *names, const char *path)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
	X509_EXTENSION *alt =
	    X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
	FILE *f = fopen(path, "w");

	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	X509_set_version(x, 2);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
				   (const unsigned char *)"weft", -1, -1, 0);
	X509_set_issuer_name(x, name);
	X509_add_ext(x, alt, -1);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	PEM_write_X509(f, x);
	fclose(f);
	SSL_CTX_use_certificate(tls, x);
	SSL_CTX_use_PrivateKey(tls, key);
	X509_EXTENSION_free(alt);
	X509_free(x);
	EVP_PKEY_free(key);
	return tls;
}

static int get_with(const char *ca_file)
{
	struct http_client_options o = {.ca_file = ca_file};
	struct http_client *c = http_client_new(&o);
	struct http_call call = get_call("/x");
	int rc = http_call(c, &call, &reply, &err);

	http_client_free(&c);
	return rc;
}

static void certificates_are_verified(void **state)
{
	static const char *const acts[] = {OK("2") "ok", NULL};
	char path[] = "/tmp/test_http_client.XXXXXX";

	(void)state;
	close(mkstemp(path));
	server.tls = tls_for("IP:127.0.0.1", path);
	server_begin(acts);
	assert_int_equal(get_with(NULL), -1);
	assert_int_equal(err.code, EPROTO);
	assert_false(err.retriable);
	assert_int_equal(reply.sent, HTTP_NOT_SENT);
	assert_int_equal(get_with("/nonexistent/ca.pem"), -1);
	assert_int_equal(err.code, EPROTO);
	assert_int_equal(get_with(path), 0);
	body_is("ok");
	server_end();
	SSL_CTX_free(server.tls);
	server.tls = tls_for("DNS:elsewhere.example", path);
	server_begin(acts);
	assert_int_equal(get_with(path), -1);
	assert_int_equal(err.code, EPROTO);
	server_end();
	SSL_CTX_free(server.tls);
	server.tls = NULL;
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_answer_is_brought_whole),
	    cmocka_unit_test(bodies_come_from_memory_or_a_file),
	    cmocka_unit_test(a_file_that_shrank_is_told),
	    cmocka_unit_test(an_answer_goes_to_a_file),
	    cmocka_unit_test(head_brings_headers_alone),
	    cmocka_unit_test(an_answer_beyond_its_limit_is_cut_off),
	    cmocka_unit_test(what_comes_before_the_answer_is_left_out),
	    cmocka_unit_test(nobody_there_means_not_sent),
	    cmocka_unit_test(an_unknown_host_means_not_sent),
	    cmocka_unit_test(a_lost_answer_may_have_been_acted_on),
	    cmocka_unit_test(a_kept_connection_that_dies_sends_twice),
	    cmocka_unit_test(nonsense_is_no_answer),
	    cmocka_unit_test(bad_requests_are_not_sent),
	    cmocka_unit_test(silence_is_not_waited_for),
	    cmocka_unit_test(a_call_can_be_stopped),
	    cmocka_unit_test(certificates_are_verified),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
