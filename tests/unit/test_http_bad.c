/* The HTTP server and bad input: each gets an exact answer and a close. */
#include "http_harness.h"

#define HEAD	  "POST / HTTP/1.1\r\nHost: a\r\n"
#define RAW(text) text, sizeof(text) - 1
#define NEXT	  "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

struct bad {
	const char *what;
	const char *bytes;
	size_t count; /* 0: strlen */
	int status;
	const char *text;
};

static const struct bad bads[] = {
    {"no HTTP", "hello world\r\n\r\n", 0, 400, "bad_request"},
    {"binary", RAW("\x16\x03\x01\x02\x00\x01\x00"), 400, "bad_request"},
    {"lower case", "get / HTTP/1.1\r\n\r\n", 0, 400, "bad_request"},
    {"HTTP/0.9", "GET /\r\n", 0, 400, "bad_request"},
    {"HTTP/2", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 0, 505, "speaks HTTP/1.1"},
    {"HTTP/3", "GET / HTTP/3.0\r\nHost: a\r\n\r\n", 0, 505, "speaks HTTP/1.1"},
    {"h2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, 505, NULL},
    {"wrong protocol", "GET / HTPP/1.1\r\n\r\n", 0, 400, "bad_request"},
    {"two lengths", HEAD "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 0,
     400, "bad_request"},
    {"length and chunked",
     HEAD "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 0, 400,
     "bad_request"},
    {"chunked and length",
     HEAD "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 0, 400,
     "bad_request"},
    {"length -1", HEAD "Content-Length: -1\r\n\r\n", 0, 400, "bad_request"},
    {"length +1", HEAD "Content-Length: +1\r\n\r\n", 0, 400, "bad_request"},
    {"length 1,1", HEAD "Content-Length: 1,1\r\n\r\n", 0, 400, "bad_request"},
    {"length 0x1", HEAD "Content-Length: 0x1\r\n\r\n", 0, 400, "bad_request"},
    {"length 1 1", HEAD "Content-Length: 1 1\r\n\r\n", 0, 400, "bad_request"},
    {"length empty", HEAD "Content-Length:\r\n\r\n", 0, 400, "bad_request"},
    {"length 2^64", HEAD "Content-Length: 18446744073709551616\r\n\r\n", 0, 400,
     "bad_request"},
    {"chunk size", HEAD "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 0, 400,
     "bad_request"},
    {"chunk -1", HEAD "Transfer-Encoding: chunked\r\n\r\n-1\r\n", 0, 400,
     "bad_request"},
    {"chunk 2^64",
     HEAD "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n", 0, 400,
     "bad_request"},
    {"chunk too long", HEAD "Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", 0,
     400, "bad_request"},
    {"chunk LF", HEAD "Transfer-Encoding: chunked\r\n\r\n2\nab\r\n", 0, 400,
     "bad_request"},
    {"gzip, chunked", HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n", 0, 501,
     "may only be chunked"},
    {"chunked, gzip", HEAD "Transfer-Encoding: chunked, gzip\r\n\r\n", 0, 400,
     "bad_request"},
    {"xchunked", HEAD "Transfer-Encoding: xchunked\r\n\r\n", 0, 501,
     "may only be chunked"},
    {"chunked twice",
     HEAD "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 0,
     400, "bad_request"},
    {"chunked in 1.0",
     "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, 400,
     "HTTP/1.0 has no Transfer-Encoding"},
    {"folded header", HEAD "X-A: b\r\n  c\r\n\r\n", 0, 400, "bad_request"},
    {"space before colon", HEAD "X-A : b\r\n\r\n", 0, 400, "bad_request"},
    {"leading space", HEAD " X-A: b\r\n\r\n", 0, 400, "bad_request"},
    {"no colon", HEAD "X-A\r\n\r\n", 0, 400, "bad_request"},
    {"empty name", HEAD ": b\r\n\r\n", 0, 400, "bad_request"},
    {"NUL in a value", RAW(HEAD "X-A: b\0c\r\n\r\n"), 400, "bad_request"},
    {"NUL in a name", RAW(HEAD "X\0A: b\r\n\r\n"), 400, "bad_request"},
    {"NUL in the target", RAW("GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n"), 400,
     "bad_request"},
    {"bare LF", "GET / HTTP/1.1\nHost: a\n\n", 0, 400, "bad_request"},
    {"bare LF in headers", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 0, 400,
     "bad_request"},
    {"bare CR", HEAD "X-A: b\rX-B: c\r\n\r\n", 0, 400, "bad_request"},
    {"no Host", "GET / HTTP/1.1\r\n\r\n", 0, 400, "one Host header"},
    {"two Hosts", HEAD "Host: b\r\n\r\n", 0, 400, "one Host header"},
    {"no path", "GET foo HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400, "bad_request"},
    {"%00", "GET /a%00 HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400, "hexadecimal"},
    {"%zz", "GET /a%zz HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400, "hexadecimal"},
    {"%2", "GET /a%2 HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400, "hexadecimal"},
    {"..", "GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400, ".. segment"},
    {"%2e%2e", "GET /%2e%2E HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400, ".. segment"},
    {"CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 0, 501, "no proxy"},
    {"Expect", HEAD "Expect: magic\r\nContent-Length: 1\r\n\r\n", 0, 417,
     "100-continue"},
    {"encoding", HEAD "Content-Encoding: br\r\nContent-Length: 1\r\n\r\n", 0,
     415, "unsupported_encoding"},
    {"encodings",
     HEAD "Content-Encoding: gzip, gzip\r\nContent-Length: 1\r\n\r\n", 0, 415,
     "unsupported_encoding"},
    {"length over the limit", HEAD "Content-Length: 100001\r\n\r\n", 0, 413,
     "exceeds 100000 bytes"},
};

static void try_bad(struct world *w, const struct bad *bad, bool slowly)
{
	size_t bytes = bad->count ? bad->count : strlen(bad->bytes);
	int requests = w->requests;
	struct client c;

	client_open(w, &c);
	for (size_t i = 0; slowly && i < bytes; i++)
		client_send(w, &c, bad->bytes + i, 1);
	if (!slowly)
		client_send(w, &c, bad->bytes, bytes);
	/* What follows in a broken stream must never be served. */
	client_say(w, &c, NEXT);
	print_message("  %s%s\n", bad->what, slowly ? ", byte by byte" : "");
	client_expect(w, &c, bad->status, bad->text);
	client_expect_end(w, &c);
	assert_int_equal(w->requests, requests);
	client_close(&c);
}

static void bad_requests_get_exact_answers(void **state)
{
	struct http_options o = default_options();
	struct world w;

	(void)state;
	world_open(&w, &o);
	for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
		try_bad(&w, &bads[i], false);
		try_bad(&w, &bads[i], true);
	}
	expect_alive(&w);
	world_close(&w);
}

static void headers_are_bounded(void **state)
{
	struct http_options o = default_options();
	struct world w;
	struct client c;
	struct buf text = {0};

	(void)state;
	world_open(&w, &o);
	/* one long value, in one piece */
	buf_text(&text, HEAD "X-Long: ");
	while (text.used < 5000)
		buf_char(&text, 'x');
	client_open(&w, &c);
	client_send(&w, &c, text.data, text.used);
	client_expect(&w, &c, 431, "header_too_large");
	client_expect_end(&w, &c);
	client_close(&c);
	/* only blanks, drop by drop: no value ever begins */
	buf_clear(&text);
	buf_text(&text, HEAD "X-Long: ");
	while (text.used < 5000)
		buf_char(&text, ' ');
	client_open(&w, &c);
	for (size_t i = 0; i < text.used; i += 100)
		client_send(&w, &c, text.data + i, 100);
	client_expect(&w, &c, 431, "header_too_large");
	client_close(&c);
	/* too many */
	buf_clear(&text);
	buf_text(&text, HEAD);
	for (int i = 0; i < 101; i++)
		buf_printf(&text, "X%d: 1\r\n", i);
	buf_text(&text, "\r\n");
	client_open(&w, &c);
	client_send(&w, &c, text.data, text.used);
	client_expect(&w, &c, 431, "header_too_large");
	client_close(&c);
	expect_alive(&w);
	buf_free(&text);
	world_close(&w);
}

static void targets_are_bounded(void **state)
{
	struct http_options o = default_options();
	struct world w;
	struct client c;
	struct buf text = {0};

	(void)state;
	o.max_header_bytes = 32768;
	world_open(&w, &o);
	buf_text(&text, "GET /");
	while (text.used < 9000)
		buf_char(&text, 'x');
	client_open(&w, &c);
	client_send(&w, &c, text.data, text.used);
	client_expect(&w, &c, 414, "uri_too_long");
	client_expect_end(&w, &c);
	client_close(&c);
	buf_free(&text);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bad_requests_get_exact_answers),
	    cmocka_unit_test(headers_are_bounded),
	    cmocka_unit_test(targets_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
