/*
 * Requests damaged at random (by a fixed seed), in random pieces: the server
 * answers with whole, well-formed answers, or with nothing, and closes.
 */
#include "http_harness.h"

#define ROUNDS 3000

static uint32_t seed;

static uint32_t dice(uint32_t sides)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % sides;
}

static const char *const corpus[] = {
    "POST /events HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    "3\r\nabc\r\n5;x=y\r\n01234\r\n0\r\nT: v\r\n\r\n",
    "GET /a%20b?c=d HTTP/1.1\r\nHost: a\r\nX-Test:  v \r\n\r\n"
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "GET http://h/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
    "Content-Length: 2\r\n\r\nab",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\n"
    "Content-Length: 25\r\n\r\n\x1f\x8b\x08\x01\x01\x01\x01\x01\x02\x03\x4b"
    "\x4c\x4a\x06\x01\xc2\x41\x24\x35\x03\x01\x01\x01",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n"
    "Connection: upgrade\r\n\r\n",
};
#define CORPUS (sizeof(corpus) / sizeof(corpus[0]))

/* Cuts, repeats, changes and splices what was a good request. */
static void damage(struct buf *b)
{
	static const char odd[] = "\r\n\0: ,;\t%0aF-+\"\x7f\xff";

	for (uint32_t n = dice(4); n; n--) {
		size_t at = dice((uint32_t)b->used), count = dice(8) + 1;

		if (count > b->used - at)
			count = b->used - at;
		switch (dice(4)) {
		case 0:
			b->data[at] = odd[dice(sizeof(odd) - 1)];
			break;
		case 1:
			b->data[at] = (char)dice(256);
			break;
		case 2:
			memmove(b->data + at, b->data + at + count,
				b->used - at - count);
			b->used -= count;
			break;
		default:
			buf_reserve(b, count);
			memmove(b->data + at + count, b->data + at,
				b->used - at);
			b->used += count;
			break;
		}
		if (!b->used)
			buf_char(b, 'x');
	}
}

/* All that came is whole answers: "HTTP/1.1 NNN …" one behind the other. */
static void check_answers(struct client *c, const struct buf *sent)
{
	size_t bytes;

	while (c->in.used) {
		const char *status = c->in.data + 9;

		/* HEAD may come out of the dice; then there is no body. */
		bytes = answer_bytes(c, false);
		if (!bytes)
			bytes = answer_bytes(c, true);
		if (!bytes || strncmp(c->in.data, "HTTP/1.1 ", 9) != 0 ||
		    !strchr("12345", *status))
			fail_msg("no answer: '%s' to '%.*s'", c->in.data,
				 (int)sent->used, sent->data);
		memmove(c->in.data, c->in.data + bytes, c->in.used - bytes);
		c->in.used -= bytes;
		c->in.data[c->in.used] = '\0';
	}
}

static void survives_damage(void **state)
{
	struct http_options o = default_options();
	struct buf b = {0};
	struct world w;
	struct client c;

	(void)state;
	world_open(&w, &o);
	for (uint32_t round = 1; round <= ROUNDS; round++) {
		seed = round * 7919;
		buf_clear(&b);
		buf_text(&b, corpus[dice(CORPUS)]);
		buf_text(&b, corpus[dice(CORPUS)]);
		damage(&b);
		client_open(&w, &c);
		for (size_t at = 0, n; at < b.used; at += n) {
			n = dice(2) ? b.used - at : dice(40) + 1;
			n = n < b.used - at ? n : b.used - at;
			client_send(&w, &c, b.data + at, n);
		}
		shutdown(c.fd, SHUT_WR);
		WAIT_FOR(&w, (client_read(&c), c.closed || c.reset));
		assert_false(c.reset);
		check_answers(&c, &b);
		client_close(&c);
	}
	WAIT_FOR(&w, http_server_idle(w.server));
	assert_int_equal(http_server_counters(w.server)->buffered_bytes, 0);
	/* It did not only refuse. */
	assert_true(w.requests > ROUNDS / 2);
	expect_alive(&w);
	buf_free(&b);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(survives_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
