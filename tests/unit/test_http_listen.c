/* Where the HTTP server listens: TCP, Unix sockets, inherited ones. */
#include "http_harness.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

static int open_on(struct http_server **server, struct loop *loop,
		   const char *listen, int fd, struct err *err)
{
	struct http_options o = default_options();
	struct world *none = NULL;
	struct http_events events = {.request = world_request, .arg = none};

	o.listen = listen;
	o.listen_fd = fd;
	*server = NULL;
	return http_server_open(server, loop, &o, &events, err);
}

static void says_what_is_wrong_with_listen(void **state)
{
	static const char *const bad[][2] = {
	    {"8080", "is not address:port"},
	    {"127.0.0.1:http-of-weft", "cannot listen on"},
	    {"256.1.1.1:0", "cannot listen on"},
	    {"203.0.113.7:0", "cannot listen on"},
	    {"unix:/nowhere/at/all/socket", "unix:/nowhere/at/all/socket"},
	};
	struct loop *loop = loop_new();
	struct http_server *server;
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(open_on(&server, loop, bad[i][0], -1, &err),
				 -1);
		assert_null(server);
		if (!strstr(err.text, bad[i][1]))
			fail_msg("'%s' is not in: %s", bad[i][1], err.text);
	}
	loop_free(&loop);
}

static void refuses_a_port_in_use(void **state)
{
	struct http_options o = default_options();
	struct http_server *second;
	struct world w;
	struct err err;
	char listen[64];

	(void)state;
	world_open(&w, &o);
	snprintf(listen, sizeof(listen), "127.0.0.1:%u",
		 http_server_port(w.server));
	assert_int_equal(open_on(&second, w.loop, listen, -1, &err), -1);
	assert_non_null(strstr(err.text, listen));
	assert_int_equal(err.code, EADDRINUSE);
	expect_alive(&w);
	world_close(&w);
}

static void serves_ipv6(void **state)
{
	struct http_options o = default_options();
	struct sockaddr_in6 address = {.sin6_family = AF_INET6,
				       .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct client c = {0};
	struct world w;

	(void)state;
	c.fd = socket(AF_INET6, SOCK_STREAM, 0);
	if (c.fd < 0 ||
	    bind(c.fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		/* A machine without IPv6 has nothing to serve. */
		client_close(&c);
		return;
	}
	close(c.fd);
	o.listen = "[::1]:0";
	world_open(&w, &o);
	address.sin6_port = htons(http_server_port(w.server));
	c.fd = socket(AF_INET6, SOCK_STREAM, 0);
	assert_int_equal(
	    connect(c.fd, (struct sockaddr *)&address, sizeof(address)), 0);
	fcntl(c.fd, F_SETFL, O_NONBLOCK);
	w.deed = HOLD;
	client_say(&w, &c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	WAIT_FOR(&w, w.held_count == 1);
	assert_memory_equal(http_peer(w.held[0]), "[::1]:", 6);
	http_respond(w.held[0], 200, "", "", 0);
	client_expect(&w, &c, 200, NULL);
	client_close(&c);
	world_close(&w);
}

static void unix_client(struct client *c, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memset(c, 0, sizeof(*c));
	memcpy(address.sun_path, path, strlen(path) + 1);
	c->fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(
	    connect(c->fd, (struct sockaddr *)&address, sizeof(address)), 0);
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
}

static void serves_unix_sockets(void **state)
{
	char folder[] = "/tmp/test_http.XXXXXX", path[64], listen[80];
	struct http_options o = default_options();
	struct http_server *second;
	struct client c;
	struct world w;
	struct err err;
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/socket", folder);
	snprintf(listen, sizeof(listen), "unix:%s", path);
	o.listen = listen;
	for (int i = 0; i < 2; i++) {
		world_open(&w, &o);
		assert_int_equal(http_server_port(w.server), 0);
		/* Somebody answers there: it must not be taken away. */
		assert_int_equal(open_on(&second, w.loop, listen, -1, &err),
				 -1);
		unix_client(&c, path);
		client_say(&w, &c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
		client_expect(&w, &c, 200, NULL);
		client_close(&c);
		world_close(&w);
		assert_int_equal(stat(path, &st), -1);
		if (i == 0) {
			/* What a crash leaves behind is in nobody's way. */
			struct sockaddr_un address = {.sun_family = AF_UNIX};
			int fd = socket(AF_UNIX, SOCK_STREAM, 0);

			memcpy(address.sun_path, path, strlen(path) + 1);
			assert_int_equal(bind(fd, (struct sockaddr *)&address,
					      sizeof(address)),
					 0);
			close(fd);
		}
	}
	rmdir(folder);
}

static void takes_over_an_inherited_socket(void **state)
{
	struct sockaddr_in address = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct http_options o = default_options();
	struct client c;
	struct world w;

	(void)state;
	o.listen = NULL;
	o.listen_fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(
	    bind(o.listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(o.listen_fd, 16), 0);
	world_open(&w, &o);
	assert_int_not_equal(http_server_port(w.server), 0);
	expect_alive(&w);
	client_open(&w, &c);
	client_close(&c);
	world_close(&w);
}

/* Without a descriptor for another client, it waits instead of spinning. */
static void runs_out_of_descriptors(void **state)
{
	struct http_options o = default_options();
	struct rlimit limit, low;
	struct client first, second;
	struct world w;
	const char *preload = getenv("LD_PRELOAD");
	int next;

	(void)state;
	/* It accepts for real and closes what is beyond the limit. */
	if (preload && strstr(preload, "vgpreload"))
		skip();
	world_open(&w, &o);
	client_open(&w, &first);
	client_say(&w, &first, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	client_expect(&w, &first, 200, NULL);
	client_open(&w, &second);
	next = dup(0);
	close(next);
	getrlimit(RLIMIT_NOFILE, &limit);
	low = limit;
	low.rlim_cur = (rlim_t)next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	for (int i = 0; i < 20; i++)
		world_turn(&w);
	assert_int_equal(http_server_counters(w.server)->connections, 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	client_say(&w, &second, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	client_expect(&w, &second, 200, NULL);
	client_close(&first);
	client_close(&second);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(says_what_is_wrong_with_listen),
	    cmocka_unit_test(refuses_a_port_in_use),
	    cmocka_unit_test(serves_ipv6),
	    cmocka_unit_test(serves_unix_sockets),
	    cmocka_unit_test(takes_over_an_inherited_socket),
	    cmocka_unit_test(runs_out_of_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
