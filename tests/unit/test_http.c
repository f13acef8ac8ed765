/* The HTTP server against raw sockets: requests, pipelining, life and end. */
#include "http_harness.h"

#define POST_HELLO                                 \
	"POST /events?a=1 HTTP/1.1\r\nHost: a\r\n" \
	"X-Test: yes\r\nContent-Length: 5\r\n\r\nhello"

static void serves_a_request(void **state)
{
	struct http_options o = default_options();
	struct world w;
	struct client c;

	(void)state;
	world_open(&w, &o);
	client_open(&w, &c);
	client_say(&w, &c, POST_HELLO);
	client_expect(&w, &c, 200, "\r\n\r\nhello");
	assert_string_equal(w.last_path, "/events");
	assert_string_equal(w.last_header, "yes");
	client_say(&w, &c, POST_HELLO);
	client_expect(&w, &c, 200, "Server: weft\r\n");
	assert_int_equal(http_server_counters(w.server)->connections, 1);
	assert_int_equal(http_server_counters(w.server)->requests, 2);
	client_close(&c);
	world_close(&w);
}

static void serves_it_byte_by_byte(void **state)
{
	static const char chunked[] =
	    "\r\nPOST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
	    "X-Test:  padded \r\n\r\n3;ext=1\r\nabc\r\n0A\r\n0123456789\r\n"
	    "0\r\nTrailer: ignored\r\n\r\n";
	struct http_options o = default_options();
	struct world w;
	struct client c;

	(void)state;
	world_open(&w, &o);
	client_open(&w, &c);
	for (size_t i = 0; i < sizeof(chunked) - 1; i++) {
		client_send(&w, &c, chunked + i, 1);
		world_turn(&w);
	}
	client_expect(&w, &c, 200, "\r\n\r\nabc0123456789");
	assert_string_equal(w.last_header, "padded");
	for (size_t i = 0; i < sizeof(POST_HELLO) - 1; i++)
		client_send(&w, &c, POST_HELLO + i, 1);
	client_expect(&w, &c, 200, "\r\n\r\nhello");
	client_close(&c);
	world_close(&w);
}

/* Each prefix of a request, then the end: an answer or nothing, never harm. */
static void survives_truncation_at_every_byte(void **state)
{
	static const char whole[] =
	    "POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "3\r\nabc\r\n0\r\n\r\n";
	struct http_options o = default_options();
	struct world w;
	struct client c;

	(void)state;
	world_open(&w, &o);
	for (size_t i = 0; i < sizeof(whole); i++) {
		client_open(&w, &c);
		client_send(&w, &c, whole, i);
		shutdown(c.fd, SHUT_WR);
		if (i == sizeof(whole) - 1)
			client_expect(&w, &c, 200, "\r\n\r\nabc");
		else if (i)
			client_expect(&w, &c, 400, "incomplete_request");
		client_expect_end(&w, &c);
		client_close(&c);
	}
	WAIT_FOR(&w, http_server_idle(w.server));
	expect_alive(&w);
	world_close(&w);
}

static void truncation_by_reset_is_harmless(void **state)
{
	struct linger hard = {.l_onoff = 1};
	struct http_options o = default_options();
	struct world w;
	struct client c;

	(void)state;
	world_open(&w, &o);
	for (size_t i = 0; i < sizeof(POST_HELLO); i += 7) {
		client_open(&w, &c);
		client_send(&w, &c, POST_HELLO, i);
		setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		client_close(&c);
	}
	expect_alive(&w);
	world_close(&w);
}

static void answers_a_half_closed_client(void **state)
{
	struct http_options o = default_options();
	struct world w;
	struct client c;

	(void)state;
	world_open(&w, &o);
	w.deed = HOLD;
	client_open(&w, &c);
	client_say(&w, &c, POST_HELLO);
	shutdown(c.fd, SHUT_WR);
	WAIT_FOR(&w, w.held_count == 1);
	for (int i = 0; i < 5; i++)
		world_turn(&w);
	assert_int_equal(w.gone, 0);
	http_respond(w.held[0], 202, "", "", 0);
	client_expect(&w, &c, 202, NULL);
	client_expect_end(&w, &c);
	client_close(&c);
	world_close(&w);
}

static void pipelined_answers_keep_their_order(void **state)
{
	struct http_options o = default_options();
	struct world w;
	struct client c;
	char text[32];

	(void)state;
	world_open(&w, &o);
	w.deed = HOLD;
	client_open(&w, &c);
	for (int i = 0; i < 40; i++)
		client_say(&w, &c, "GET /p HTTP/1.1\r\nHost: a\r\n\r\n");
	WAIT_FOR(&w, w.held_count >= 16);
	for (int i = 0; i < 5; i++)
		world_turn(&w);
	/* At most 16 are outstanding; the rest waits unread. */
	assert_int_equal(w.held_count, 16);
	for (int i = 15; i >= 0; i--) {
		snprintf(text, sizeof(text), "n%d.", i);
		http_respond(w.held[i], 200, "text/plain", text, strlen(text));
	}
	for (int i = 0; i < 16; i++) {
		snprintf(text, sizeof(text), "\r\n\r\nn%d.", i);
		client_expect(&w, &c, 200, text);
	}
	WAIT_FOR(&w, w.held_count == 32);
	for (int i = 16; i < 32; i++)
		http_respond(w.held[i], 200, "", "", 0);
	WAIT_FOR(&w, w.held_count == 40);
	for (int i = 32; i < 40; i++)
		http_respond(w.held[i], 200, "", "", 0);
	for (int i = 16; i < 40; i++)
		client_expect(&w, &c, 200, NULL);
	client_close(&c);
	world_close(&w);
}

/* Heads are kept for the next answer: it takes none of another kind. */
static void each_answer_has_its_own_head(void **state)
{
	static const char long_type[] =
	    "text/plain; of=a-type-longer-than-what-is-kept-to-compare; n=1";
	static const struct {
		unsigned status;
		const char *type, *head;
	} answers[] = {
	    {202, "application/json", "Content-Type: application/json\r\n"},
	    {202, "application/json", "Content-Type: application/json\r\n"},
	    {202, "text/plain", "202 Accepted\r\nServer"},
	    {202, "text/plain", "Content-Type: text/plain\r\n"},
	    {404, "text/plain", "404 Not Found\r\nServer"},
	    {404, long_type, "n=1\r\nContent-Length: 2"},
	    {404, long_type, "n=1\r\nContent-Length: 2"},
	    {404, "", "GMT\r\nContent-Length: 2\r\n"},
	};
	const int count = sizeof(answers) / sizeof(answers[0]);
	struct http_options o = default_options();
	struct world w;
	struct client c;

	(void)state;
	o.server_name = "weft";
	world_open(&w, &o);
	w.deed = HOLD;
	client_open(&w, &c);
	for (int i = 0; i < count; i++)
		client_say(&w, &c, "GET /p HTTP/1.1\r\nHost: a\r\n\r\n");
	WAIT_FOR(&w, w.held_count == count);
	for (int i = 0; i < count; i++)
		http_respond(w.held[i], answers[i].status, answers[i].type,
			     "ok", 2);
	for (int i = 0; i < count; i++)
		client_expect(&w, &c, (int)answers[i].status, answers[i].head);
	client_close(&c);
	world_close(&w);
}

/* Names of one length, and of one 64 bytes longer, are told apart. */
static void finds_headers_by_their_names(void **state)
{
	struct http_options o = default_options();
	struct world w;
	struct client c;

	(void)state;
	world_open(&w, &o);
	w.deed = HOLD;
	client_open(&w, &c);
	client_say(&w, &c,
		   "GET /p HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nx-TWO: 2\r\n"
		   "X-0123456789012345678901234567890123456789012345678901234"
		   "567890123: 3\r\n\r\n");
	WAIT_FOR(&w, w.held_count == 1);
	assert_memory_equal(http_header(w.held[0], "x-two").at, "2", 1);
	assert_memory_equal(http_header(w.held[0], "X-ONE").at, "1", 1);
	assert_null(http_header(w.held[0], "x-six").at);
	assert_null(http_header(w.held[0], "x").at);
	assert_null(http_header(w.held[0], "xy").at);
	assert_memory_equal(
	    http_header(w.held[0], "x-0123456789012345678901234567890123456"
				   "78901234567890123456"
				   "7890123")
		.at,
	    "3", 1);
	http_respond(w.held[0], 200, "", "", 0);
	client_expect(&w, &c, 200, NULL);
	client_close(&c);
	world_close(&w);
}

/* Slices of a held request stay put while later ones are read behind it. */
static void held_requests_keep_their_bytes(void **state)
{
	struct http_options o = default_options();
	struct http_slice body;
	struct world w;
	struct client c;
	struct buf big = {0};
	const char *at;

	(void)state;
	world_open(&w, &o);
	w.deed = HOLD;
	client_open(&w, &c);
	client_say(&w, &c, POST_HELLO);
	WAIT_FOR(&w, w.held_count == 1);
	at = http_body(w.held[0]).at;
	buf_printf(&big, "POST /2 HTTP/1.1\r\nHost: a\r\n"
			 "Content-Length: 90000\r\n\r\n");
	for (int i = 0; i < 90000; i++)
		buf_char(&big, (char)('a' + i % 26));
	client_send(&w, &c, big.data, big.used);
	WAIT_FOR(&w, w.held_count == 2);
	body = http_body(w.held[0]);
	assert_ptr_equal(body.at, at);
	assert_memory_equal(body.at, "hello", 5);
	body = http_body(w.held[1]);
	assert_int_equal(body.bytes, 90000);
	assert_memory_equal(body.at, big.data + big.used - 90000, 90000);
	buf_free(&big);
	client_close(&c);
	world_close(&w);
}

static void tells_when_the_client_is_gone(void **state)
{
	struct linger hard = {.l_onoff = 1};
	struct http_options o = default_options();
	struct world w;
	struct client c;

	(void)state;
	world_open(&w, &o);
	w.deed = HOLD;
	client_open(&w, &c);
	client_say(&w, &c, POST_HELLO POST_HELLO);
	WAIT_FOR(&w, w.held_count == 2);
	setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	client_close(&c);
	WAIT_FOR(&w, w.gone == 2);
	/* Its bytes are still there, and an answer does nothing. */
	assert_memory_equal(http_body(w.held[1]).at, "hello", 5);
	http_respond(w.held[1], 200, "", "", 0);
	expect_alive(&w);
	world_close(&w); /* the other one is never answered */
}

/* A good request before a bad one in the same packet is answered first. */
static void errors_wait_their_turn(void **state)
{
	struct http_options o = default_options();
	struct world w;
	struct client c;

	(void)state;
	world_open(&w, &o);
	w.deed = HOLD;
	client_open(&w, &c);
	client_say(&w, &c, POST_HELLO "garbage\r\n\r\n");
	WAIT_FOR(&w, w.held_count == 1);
	for (int i = 0; i < 5; i++)
		world_turn(&w);
	client_read(&c);
	assert_int_equal(c.in.used, 0);
	http_respond(w.held[0], 202, "", "", 0);
	client_expect(&w, &c, 202, NULL);
	client_expect(&w, &c, 400, "bad_request");
	client_expect_end(&w, &c);
	client_close(&c);
	world_close(&w);
}

static void splits_targets(void **state)
{
	static const char *const pairs[][2] = {
	    {"/a%20b?x=%20", "/a b"},
	    {"http://host:1/p?q", "/p"},
	    {"http://host", "/"},
	    {"/?q", "/"},
	    {"*", "*"},
	    {"/a/..b", "/a/..b"},
	};
	struct http_options o = default_options();
	struct world w;
	struct client c;
	char text[128];

	(void)state;
	world_open(&w, &o);
	client_open(&w, &c);
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		snprintf(text, sizeof(text),
			 "OPTIONS %s HTTP/1.1\r\nHost: a\r\n\r\n", pairs[i][0]);
		client_say(&w, &c, text);
		client_expect(&w, &c, 200, NULL);
		assert_string_equal(w.last_path, pairs[i][1]);
	}
	client_close(&c);
	world_close(&w);
}

static void keeps_alive_as_asked(void **state)
{
	struct http_options o = default_options();
	struct world w;
	struct client c;

	(void)state;
	world_open(&w, &o);
	client_open(&w, &c);
	client_say(&w, &c, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	client_expect(&w, &c, 200, "Connection: keep-alive\r\n");
	client_say(&w, &c, "GET / HTTP/1.0\r\n\r\n");
	client_expect(&w, &c, 200, "Connection: close\r\n");
	client_expect_end(&w, &c);
	client_close(&c);
	client_open(&w, &c);
	client_say(&w, &c,
		   "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
		   "GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
	client_expect(&w, &c, 200, "Connection: close\r\n");
	client_expect_end(&w, &c);
	assert_string_equal(w.last_path, "/");
	client_close(&c);
	world_close(&w);
}

static void head_has_no_body(void **state)
{
	struct http_options o = default_options();
	struct world w;
	struct client c;
	size_t bytes;

	(void)state;
	world_open(&w, &o);
	client_open(&w, &c);
	client_say(&w, &c,
		   "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab");
	WAIT_FOR(&w, (bytes = answer_bytes(&c, true)) > 0);
	assert_non_null(strstr(c.in.data, "Content-Length: 2\r\n"));
	assert_int_equal(bytes, c.in.used);
	client_close(&c);
	world_close(&w);
}

static void ignores_upgrades(void **state)
{
	struct http_options o = default_options();
	struct world w;
	struct client c;

	(void)state;
	world_open(&w, &o);
	client_open(&w, &c);
	client_say(&w, &c,
		   "POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
		   "Upgrade: h2c\r\nContent-Length: 2\r\n\r\nab" POST_HELLO);
	client_expect(&w, &c, 200, "\r\n\r\nab");
	client_expect(&w, &c, 200, "\r\n\r\nhello");
	client_close(&c);
	world_close(&w);
}

static void drains_when_told(void **state)
{
	struct http_options o = default_options();
	struct world w;
	struct client idle, busy, late;

	(void)state;
	world_open(&w, &o);
	client_open(&w, &late);
	client_say(&w, &late, POST_HELLO);
	client_expect(&w, &late, 200, NULL);
	client_open(&w, &idle);
	client_say(&w, &idle, POST_HELLO);
	client_expect(&w, &idle, 200, NULL);
	w.deed = HOLD;
	client_open(&w, &busy);
	client_say(&w, &busy, POST_HELLO);
	WAIT_FOR(&w, w.held_count == 1);
	http_server_drain(w.server);
	/* Its request crossed the end: it is served, and sent away. */
	w.deed = ECHO;
	client_say(&w, &late, POST_HELLO);
	client_expect(&w, &late, 200, "Connection: close\r\n");
	client_expect_end(&w, &late);
	http_server_drain(w.server);
	client_expect_end(&w, &idle);
	assert_false(http_server_idle(w.server));
	http_respond(w.held[0], 202, "", "", 0);
	client_expect(&w, &busy, 202, "Connection: close\r\n");
	client_expect_end(&w, &busy);
	client_close(&busy);
	client_close(&idle);
	client_close(&late);
	WAIT_FOR(&w, http_server_idle(w.server));
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(serves_a_request),
	    cmocka_unit_test(serves_it_byte_by_byte),
	    cmocka_unit_test(survives_truncation_at_every_byte),
	    cmocka_unit_test(truncation_by_reset_is_harmless),
	    cmocka_unit_test(answers_a_half_closed_client),
	    cmocka_unit_test(pipelined_answers_keep_their_order),
	    cmocka_unit_test(each_answer_has_its_own_head),
	    cmocka_unit_test(finds_headers_by_their_names),
	    cmocka_unit_test(held_requests_keep_their_bytes),
	    cmocka_unit_test(tells_when_the_client_is_gone),
	    cmocka_unit_test(errors_wait_their_turn),
	    cmocka_unit_test(splits_targets),
	    cmocka_unit_test(keeps_alive_as_asked),
	    cmocka_unit_test(head_has_no_body),
	    cmocka_unit_test(ignores_upgrades),
	    cmocka_unit_test(drains_when_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
