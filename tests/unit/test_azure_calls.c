/* Calls to a Blob service that answers as it is told: what is tried again,
 * what is certain, and what is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "azure/blob.h"
#include "base/clock.h"

#define SECOND INT64_C(1000000)
#define CREATED                                         \
	"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n" \
	"Connection: close\r\n\r\n"
#define EXISTS                                           \
	"HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n" \
	"x-ms-error-code: BlobAlreadyExists\r\nConnection: close\r\n\r\n"

/* ---- the service: one answer a connection ---- */

static struct {
	pthread_t thread;
	int listener, port, wake[2];
	const struct buf *answers;
	size_t count;
	atomic_uint asked;
} service;

static void answer(int fd, const struct buf *text)
{
	char request[65536];
	struct buf in = {0};
	ssize_t n;

	/* What is asked has a head, and here a body of a byte if any. */
	while (!in.used || !strstr(buf_str(&in), "\r\n\r\n")) {
		n = read(fd, request, sizeof(request));
		if (n <= 0)
			break;
		buf_append(&in, request, (size_t)n);
	}
	for (size_t at = 0; at < text->used; at += (size_t)n) {
		n = send(fd, text->data + at, text->used - at, MSG_NOSIGNAL);
		if (n <= 0)
			break;
	}
	shutdown(fd, SHUT_WR);
	while (read(fd, request, sizeof(request)) > 0)
		;
	buf_free(&in);
	close(fd);
}

/* The last answer is given again and again. */
static void *serve(void *arg)
{
	(void)arg;
	for (;;) {
		struct pollfd fds[] = {
		    {.fd = service.listener, .events = POLLIN},
		    {.fd = service.wake[0], .events = POLLIN}};
		unsigned i;

		if (poll(fds, 2, 30000) <= 0 || fds[1].revents)
			return NULL;
		i = service.asked++;
		answer(accept(service.listener, NULL, NULL),
		       &service.answers[i < service.count ? i
							  : service.count - 1]);
	}
}

static struct blob_client *client;
static struct err err;

static void begin(const struct buf *answers, size_t count)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct conf_identity id = {.type = IDENTITY_ACCOUNT_KEY, .key = "AAAA"};
	struct blob_options options = {.identity_name = "lake",
				       .identity = &id,
				       .deadline_us = 3 * SECOND};
	socklen_t bytes = sizeof(at);
	char url[80];

	service.answers = answers;
	service.count = count;
	service.asked = 0;
	assert_int_equal(pipe(service.wake), 0);
	service.listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(service.listener, (void *)&at, sizeof(at)), 0);
	assert_int_equal(listen(service.listener, 16), 0);
	getsockname(service.listener, (void *)&at, &bytes);
	assert_int_equal(pthread_create(&service.thread, NULL, serve, NULL), 0);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/acct/lake/t",
		 ntohs(at.sin_port));
	assert_int_equal(blob_open(&client, url, &options, &err), 0);
}

static void end(void)
{
	blob_close(&client);
	close(service.wake[1]);
	pthread_join(service.thread, NULL);
	close(service.wake[0]);
	close(service.listener);
}

static struct buf text_of(const char *text)
{
	struct buf b = {0};

	buf_text(&b, text);
	return b;
}

/* An answer with a body as long as a proxy's page may be. */
static struct buf page_of(const char *status, size_t bytes)
{
	struct buf b = {0};

	buf_printf(&b,
		   "HTTP/1.1 %s\r\nContent-Length: %zu\r\n"
		   "Connection: close\r\n\r\n",
		   status, bytes);
	for (size_t i = 0; i < bytes; i++)
		buf_char(&b, '<');
	return b;
}

static int put(enum blob_put *result)
{
	return blob_put_if_absent(client, "a", "x", 1, result, &err);
}

/* ---- tests ---- */

/* Something in between may have passed it on before it gave up. */
static void odd_answers_leave_a_put_in_doubt(void **state)
{
	static const char *const odd[] = {
	    "HTTP/1.1 524 A timeout occurred\r\nContent-Length: 0\r\n"
	    "Connection: close\r\n\r\n",
	    "HTTP/1.1 520 Unknown\r\nContent-Length: 0\r\n"
	    "Connection: close\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
	    "Connection: close\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
		struct buf answers[] = {text_of(odd[i]), text_of(EXISTS)};
		enum blob_put result = BLOB_CREATED;

		begin(answers, 2);
		assert_int_equal(put(&result), 0);
		assert_int_equal(result, BLOB_UNKNOWN);
		end();
		buf_free(&answers[0]);
		buf_free(&answers[1]);
	}
}

static void a_refusal_leaves_no_doubt(void **state)
{
	struct buf answers[] = {page_of("403 Forbidden", 10)};
	enum blob_put result;

	(void)state;
	begin(answers, 1);
	assert_int_equal(put(&result), -1);
	assert_int_equal(err.code, EACCES);
	end();
	buf_free(&answers[0]);
}

static void a_long_page_is_an_answer_all_the_same(void **state)
{
	struct buf answers[] = {page_of("503 Busy", 200000),
				page_of("403 Forbidden", 200000)};
	int64_t bytes;

	(void)state;
	begin(answers, 2);
	assert_int_equal(blob_delete(client, "a", &err), -1);
	assert_int_equal(err.code, EACCES);
	assert_int_equal(service.asked, 2);
	assert_int_equal(blob_head(client, "a", &bytes, &err), -1);
	end();
	buf_free(&answers[0]);
	buf_free(&answers[1]);
}

static void nobody_waits_for_ever(void **state)
{
	static const char *const asked[] = {
	    "Retry-After: 9223372036854775807",
	    "Retry-After: 9223372036853",
	    "x-ms-retry-after-ms: 9223372036854775807",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(asked) / sizeof(*asked); i++) {
		struct buf answers[1] = {{0}};

		buf_printf(&answers[0],
			   "HTTP/1.1 503 Busy\r\n%s\r\nContent-Length: 0\r\n"
			   "Connection: close\r\n\r\n",
			   asked[i]);
		begin(answers, 1);
		assert_int_equal(blob_delete(client, "a", &err), -1);
		assert_true(err.retriable);
		assert_int_equal(service.asked, 1);
		end();
		buf_free(&answers[0]);
	}
}

static bool count_entry(void *arg, const struct blob_entry *e)
{
	(void)e;
	++*(unsigned *)arg;
	return true;
}

/* A listing that begins again and again would be read for ever. */
static void a_listing_goes_on(void **state)
{
	static const char xml[] =
	    "<EnumerationResults><Blobs><Blob><Name>t/a</Name></Blob></Blobs>"
	    "<NextMarker>m</NextMarker></EnumerationResults>";
	struct buf answers[1] = {{0}};
	struct blob_query query = {.prefix = ""};
	unsigned count = 0;

	(void)state;
	buf_printf(&answers[0],
		   "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n"
		   "Connection: close\r\n\r\n%s",
		   strlen(xml), xml);
	begin(answers, 1);
	assert_int_equal(blob_list(client, &query, count_entry, &count, &err),
			 -1);
	assert_int_equal(err.code, EPROTO);
	assert_int_equal(count, 1);
	end();
	buf_free(&answers[0]);
}

static void half_an_answer_is_none(void **state)
{
	struct buf answers[] = {
	    text_of("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}\n"),
	    text_of("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n"
		    "Connection: close\r\n\r\n{}\n"),
	    text_of("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
		    "Connection: close\r\n\r\n3\r\n{}\n\r\n0\r\n\r\n")};
	struct buf data = {0};

	(void)state;
	begin(answers, 3);
	assert_int_equal(blob_get(client, "a", NULL, 100, &data, &err), -1);
	assert_int_equal(err.code, EPROTO);
	assert_int_equal(data.used, 0);
	assert_int_equal(blob_get(client, "a", NULL, 100, &data, &err), 0);
	assert_string_equal(buf_str(&data), "{}\n");
	assert_int_equal(service.asked, 3);
	end();
	buf_free(&data);
	for (int i = 0; i < 3; i++)
		buf_free(&answers[i]);
}

static void a_created_blob_is_created(void **state)
{
	struct buf answers[] = {text_of(CREATED), text_of(EXISTS)};
	enum blob_put result = BLOB_UNKNOWN;

	(void)state;
	begin(answers, 2);
	assert_int_equal(put(&result), 0);
	assert_int_equal(result, BLOB_CREATED);
	assert_int_equal(put(&result), 0);
	assert_int_equal(result, BLOB_EXISTS);
	end();
	buf_free(&answers[0]);
	buf_free(&answers[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_created_blob_is_created),
	    cmocka_unit_test(odd_answers_leave_a_put_in_doubt),
	    cmocka_unit_test(a_refusal_leaves_no_doubt),
	    cmocka_unit_test(a_long_page_is_an_answer_all_the_same),
	    cmocka_unit_test(nobody_waits_for_ever),
	    cmocka_unit_test(a_listing_goes_on),
	    cmocka_unit_test(half_an_answer_is_none),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
