/* Bodies, encodings and limits of the HTTP server. */
#include "http_harness.h"

#include <zlib.h>
#include <zstd.h>

#define HEAD "POST / HTTP/1.1\r\nHost: a\r\n"

static void gzip(struct buf *out, const char *data, size_t bytes)
{
	z_stream z = {0};

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, 0), Z_OK);
	buf_reserve(out, deflateBound(&z, bytes));
	z.next_in = (Bytef *)(uintptr_t)data;
	z.avail_in = (uInt)bytes;
	z.next_out = (Bytef *)out->data + out->used;
	z.avail_out = (uInt)(out->size - out->used);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	out->used += z.total_out;
	deflateEnd(&z);
}

static void zstd(struct buf *out, const char *data, size_t bytes)
{
	buf_reserve(out, ZSTD_compressBound(bytes));
	out->used += ZSTD_compress(out->data + out->used, out->size - out->used,
				   data, bytes, 3);
}

/* Letters that hardly repeat. */
static void fill(struct buf *out, size_t bytes)
{
	uint32_t x = 12345;

	while (bytes--) {
		x = x * 1664525 + 1013904223;
		buf_char(out, (char)('a' + (x >> 24) % 26));
	}
}

static void post(struct world *w, struct client *c, const char *encoding,
		 const struct buf *body)
{
	struct buf head = {0};

	client_open(w, c);
	buf_printf(&head, HEAD "Content-Length: %zu\r\n", body->used);
	if (*encoding)
		buf_printf(&head, "Content-Encoding: %s\r\n", encoding);
	buf_text(&head, "\r\n");
	client_send(w, c, head.data, head.used);
	client_send(w, c, body->data, body->used);
	buf_free(&head);
}

static void decodes_bodies(void **state)
{
	static const char *const names[] = {"gzip", "X-GZIP", "zstd"};
	struct http_options o = default_options();
	struct buf plain = {0}, packed = {0};
	struct world w;
	struct client c;

	(void)state;
	fill(&plain, 100000); /* exactly the limit */
	world_open(&w, &o);
	for (int i = 0; i < 6; i++) {
		/* Half of them as two members or frames. */
		size_t cut = i < 3 ? plain.used : 50000;
		void (*pack)(struct buf *, const char *, size_t) =
		    i % 3 < 2 ? gzip : zstd;

		buf_clear(&packed);
		pack(&packed, plain.data, cut);
		if (cut < plain.used)
			pack(&packed, plain.data + cut, plain.used - cut);
		post(&w, &c, names[i % 3], &packed);
		client_expect(&w, &c, 200, NULL);
		assert_int_equal(w.body.used, plain.used);
		assert_memory_equal(w.body.data, plain.data, plain.used);
		client_close(&c);
	}
	WAIT_FOR(&w, http_server_idle(w.server));
	assert_int_equal(http_server_counters(w.server)->buffered_bytes, 0);
	buf_free(&plain);
	buf_free(&packed);
	world_close(&w);
}

static void refuses_bombs(void **state)
{
	struct http_options o = default_options();
	struct buf plain = {0}, packed = {0};
	struct world w;
	struct client c;

	(void)state;
	plain.data = calloc(1, 50 << 20);
	plain.used = plain.size = 50 << 20;
	world_open(&w, &o);
	for (int i = 0; i < 2; i++) {
		buf_clear(&packed);
		(i ? zstd : gzip)(&packed, plain.data, plain.used);
		assert_true(packed.used < 100000);
		post(&w, &c, i ? "zstd" : "gzip", &packed);
		client_expect(&w, &c, 413, "body_too_large");
		client_close(&c);
	}
	/* one byte over the limit is over it */
	plain.used = 100001;
	buf_clear(&packed);
	gzip(&packed, plain.data, plain.used);
	post(&w, &c, "gzip", &packed);
	client_expect(&w, &c, 413, "body_too_large");
	client_close(&c);
	expect_alive(&w);
	buf_free(&plain);
	buf_free(&packed);
	world_close(&w);
}

static void refuses_bad_encodings(void **state)
{
	struct http_options o = default_options();
	struct buf plain = {0}, packed = {0};
	struct world w;
	struct client c;

	(void)state;
	fill(&plain, 1000);
	world_open(&w, &o);
	for (int i = 0; i < 2; i++) {
		const char *name = i ? "zstd" : "gzip";

		post(&w, &c, name, &plain);
		client_expect(&w, &c, 400, "bad_encoding");
		client_close(&c);
		buf_clear(&packed);
		(i ? zstd : gzip)(&packed, plain.data, plain.used);
		packed.used -= 5;
		post(&w, &c, name, &packed);
		client_expect(&w, &c, 400, "ends too early");
		client_close(&c);
		packed.used += 5;
		buf_text(&packed, "tail");
		post(&w, &c, name, &packed);
		client_expect(&w, &c, 400, "bad_encoding");
		client_close(&c);
	}
	expect_alive(&w);
	buf_free(&plain);
	buf_free(&packed);
	world_close(&w);
}

/* A client that sends all before it reads still gets to read the 413. */
static void bounds_bodies(void **state)
{
	struct http_options o = default_options();
	struct buf big = {0};
	struct world w;
	struct client c;

	(void)state;
	fill(&big, 5 << 20);
	world_open(&w, &o);
	post(&w, &c, "", &big);
	client_expect(&w, &c, 413, "exceeds 100000 bytes");
	client_expect_end(&w, &c);
	client_close(&c);
	/* chunks */
	client_open(&w, &c);
	client_say(&w, &c, HEAD "Transfer-Encoding: chunked\r\n\r\n");
	for (int i = 0; i < 60; i++) {
		client_say(&w, &c, "800\r\n");
		client_send(&w, &c, big.data, 2048);
		client_say(&w, &c, "\r\n");
	}
	client_expect(&w, &c, 413, "body_too_large");
	client_expect_end(&w, &c);
	client_close(&c);
	assert_int_equal(w.requests, 0);
	expect_alive(&w);
	buf_free(&big);
	world_close(&w);
}

static void joins_chunks(void **state)
{
	struct http_options o = default_options();
	struct buf body = {0};
	struct world w;
	struct client c;
	char size[16];

	(void)state;
	fill(&body, 90000);
	world_open(&w, &o);
	client_open(&w, &c);
	client_say(&w, &c, HEAD "Transfer-Encoding: chunked\r\n\r\n");
	for (size_t at = 0, n; at < body.used; at += n) {
		n = at % 977 + 1;
		n = n < body.used - at ? n : body.used - at;
		snprintf(size, sizeof(size), "%zx\r\n", n);
		client_say(&w, &c, size);
		client_send(&w, &c, body.data + at, n);
		client_say(&w, &c, "\r\n");
	}
	client_say(&w, &c, "0\r\n\r\n");
	client_expect(&w, &c, 200, NULL);
	assert_int_equal(w.body.used, body.used);
	assert_memory_equal(w.body.data, body.data, body.used);
	buf_free(&body);
	client_close(&c);
	world_close(&w);
}

static void answers_expect(void **state)
{
	struct http_options o = default_options();
	struct world w;
	struct client c;

	(void)state;
	world_open(&w, &o);
	client_open(&w, &c);
	client_say(&w, &c,
		   HEAD "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	client_expect(&w, &c, 100, NULL);
	client_say(&w, &c, "ab");
	client_expect(&w, &c, 200, "\r\n\r\nab");
	/* and not before the answers of earlier requests */
	w.deed = HOLD;
	client_say(&w, &c,
		   HEAD "\r\n" HEAD
			"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	WAIT_FOR(&w, w.held_count == 1);
	http_respond(w.held[0], 202, "", "", 0);
	client_expect(&w, &c, 202, NULL);
	client_expect(&w, &c, 100, NULL);
	client_say(&w, &c, "cd");
	WAIT_FOR(&w, w.held_count == 2);
	http_respond(w.held[1], 202, "", "", 0);
	client_expect(&w, &c, 202, NULL);
	client_close(&c);
	/* a refusal comes instead of it */
	w.deed = REFUSE_EARLY;
	client_open(&w, &c);
	client_say(&w, &c,
		   HEAD "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	client_expect(&w, &c, 401, "Connection: close\r\n");
	client_expect_end(&w, &c);
	client_close(&c);
	world_close(&w);
}

static void refuses_early(void **state)
{
	struct http_options o = default_options();
	struct buf big = {0};
	struct world w;
	struct client c;

	(void)state;
	world_open(&w, &o);
	w.deed = REFUSE_EARLY;
	/* A small body is read over, and the connection goes on. */
	client_open(&w, &c);
	client_say(&w, &c, HEAD "Content-Length: 5\r\n\r\nhe");
	client_expect(&w, &c, 401, "no_key");
	client_say(&w, &c, "llo");
	w.deed = ECHO;
	client_say(&w, &c, HEAD "Content-Length: 2\r\n\r\nab");
	client_expect(&w, &c, 200, "\r\n\r\nab");
	client_close(&c);
	/* After a large one it ends. */
	w.deed = REFUSE_EARLY;
	fill(&big, 3 << 20);
	post(&w, &c, "", &big);
	client_expect(&w, &c, 401, "Connection: close\r\n");
	client_expect_end(&w, &c);
	client_close(&c);
	buf_free(&big);
	world_close(&w);
}

static void bounds_memory(void **state)
{
	struct http_options o = default_options();
	struct client c[4];
	struct buf body = {0};
	struct world w;

	(void)state;
	o.max_buffered_bytes = 300000;
	fill(&body, 90000);
	world_open(&w, &o);
	w.deed = HOLD;
	for (int i = 0; i < 4; i++)
		post(&w, &c[i], "", &body);
	client_expect(&w, &c[3], 503, "Retry-After: 1\r\n");
	assert_true(http_server_counters(w.server)->buffered_bytes <= 300000);
	for (int i = 0; i < w.held_count; i++)
		http_respond(w.held[i], 202, "", "", 0);
	client_expect(&w, &c[0], 202, NULL);
	for (int i = 0; i < 4; i++)
		client_close(&c[i]);
	expect_alive(&w);
	buf_free(&body);
	world_close(&w);
}

static void bounds_connections(void **state)
{
	struct http_options o = default_options();
	struct client c[3];
	struct world w;

	(void)state;
	o.max_connections = 2;
	world_open(&w, &o);
	for (int i = 0; i < 3; i++) {
		client_open(&w, &c[i]);
		client_say(&w, &c[i], HEAD "\r\n");
	}
	client_expect(&w, &c[0], 200, NULL);
	client_expect(&w, &c[1], 200, NULL);
	client_expect(&w, &c[2], 503, "too_many_connections");
	assert_int_equal(http_server_counters(w.server)->refused_connections,
			 1);
	for (int i = 0; i < 3; i++)
		client_close(&c[i]);
	WAIT_FOR(&w, http_server_idle(w.server));
	expect_alive(&w);
	world_close(&w);
}

static void bounds_time(void **state)
{
	struct http_options o = default_options();
	struct client head, body, idle, silent;
	struct world w;

	(void)state;
	o.max_header_bytes = 1 << 20;
	o.header_timeout_us = 60000;
	o.body_timeout_us = 90000;
	o.idle_timeout_us = 120000;
	world_open(&w, &o);
	client_open(&w, &silent);
	client_open(&w, &head);
	client_say(&w, &head, HEAD "X-Slow: ");
	client_open(&w, &body);
	client_say(&w, &body, HEAD "Content-Length: 10\r\n\r\nab");
	client_open(&w, &idle);
	client_say(&w, &idle, HEAD "\r\n");
	client_expect(&w, &idle, 200, NULL);
	/* Drops of a request do not move its time limit. */
	while (answer_bytes(&head, false) == 0)
		client_say(&w, &head, "x");
	client_expect(&w, &head, 408, "headers did not arrive");
	client_expect(&w, &body, 408, "body did not arrive");
	client_expect_end(&w, &head);
	client_expect_end(&w, &body);
	client_expect_end(&w, &idle);
	client_expect_end(&w, &silent);
	assert_int_equal(http_server_counters(w.server)->timeouts, 2);
	client_close(&head);
	client_close(&body);
	client_close(&idle);
	client_close(&silent);
	expect_alive(&w);
	world_close(&w);
}

/* A client that reads no answers is not written to for ever. */
static void bounds_writing(void **state)
{
	struct http_options o = default_options();
	struct buf body = {0};
	struct world w;
	struct client c;

	(void)state;
	o.body_timeout_us = 200000;
	o.max_body_bytes = 16 << 20;
	o.max_buffered_bytes = 64 << 20;
	fill(&body, 8 << 20);
	world_open(&w, &o);
	post(&w, &c, "", &body);
	WAIT_FOR(&w, w.requests == 1);
	WAIT_FOR(&w, http_server_idle(w.server));
	assert_int_equal(http_server_counters(w.server)->timeouts, 1);
	client_close(&c);
	buf_free(&body);
	world_close(&w);
}

/* Large answers to a slow reader arrive whole. */
static void writes_in_pieces(void **state)
{
	struct http_options o = default_options();
	struct buf body = {0};
	struct world w;
	struct client c;
	char *answer;

	(void)state;
	o.max_body_bytes = 16 << 20;
	o.max_buffered_bytes = 64 << 20;
	fill(&body, 8 << 20);
	world_open(&w, &o);
	post(&w, &c, "", &body);
	answer = client_next(&w, &c);
	assert_memory_equal(strstr(answer, "\r\n\r\n") + 4, body.data,
			    body.used);
	free(answer);
	client_close(&c);
	buf_free(&body);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(decodes_bodies),
	    cmocka_unit_test(refuses_bombs),
	    cmocka_unit_test(refuses_bad_encodings),
	    cmocka_unit_test(bounds_bodies),
	    cmocka_unit_test(joins_chunks),
	    cmocka_unit_test(answers_expect),
	    cmocka_unit_test(refuses_early),
	    cmocka_unit_test(bounds_memory),
	    cmocka_unit_test(bounds_connections),
	    cmocka_unit_test(bounds_time),
	    cmocka_unit_test(bounds_writing),
	    cmocka_unit_test(writes_in_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
