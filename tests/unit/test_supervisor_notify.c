/*
 * The notices of children: what is understood, and from whom.
 * LINK: services/supervisor/notify.c services/supervisor/unix_socket.c
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "services/supervisor/notify.h"

static int parse(const char *text, struct notice *n)
{
	return notice_parse(text, strlen(text), n);
}

static void keys_are_understood(void **state)
{
	struct notice n;

	(void)state;
	assert_int_equal(parse("READY=1", &n), 0);
	assert_true(n.ready && !n.alive && !n.stopping && !n.has_status);
	assert_int_equal(
	    parse("MAINPID=4\nSTATUS=wait = here\nWATCHDOG=1\n\nSTOPPING=1\n",
		  &n),
	    0);
	assert_true(!n.ready && n.alive && n.stopping && n.has_status);
	assert_string_equal(n.status, "wait = here");
	assert_int_equal(parse("READY=0\nready=1\nREADY=11\nXREADY=1", &n), 0);
	assert_true(!n.ready);
	assert_int_equal(parse("STATUS=", &n), 0);
	assert_true(n.has_status);
	assert_string_equal(n.status, "");
}

static void a_producer_tells_which_topology_it_goes_by(void **state)
{
	struct notice n;

	(void)state;
	assert_int_equal(parse("X_WEFT_TOPOLOGY=42\nREADY=1", &n), 0);
	assert_true(n.ready && n.topology == 42);
	assert_int_equal(parse("X_WEFT_TOPOLOGY=", &n), 0);
	assert_true(n.topology == 0);
	assert_int_equal(parse("X_WEFT_TOPOLOGY=4x", &n), 0);
	assert_true(n.topology == 0);
	assert_int_equal(parse("X_WEFT_TOPOLOGY=-4", &n), 0);
	assert_true(n.topology == 0);
	assert_int_equal(parse("X_WEFT_TOPOLOGY=9999999999999999999", &n), 0);
	assert_true(n.topology == 0);
}

static void malformed_ones_are_refused(void **state)
{
	char huge[NOTICE_MAX_BYTES + 1];
	struct notice n;

	(void)state;
	assert_int_equal(notice_parse("", 0, &n), -1);
	assert_int_equal(parse("READY", &n), -1);
	assert_int_equal(parse("READY=1\nnonsense\n", &n), -1);
	assert_false(n.ready && notice_parse("READY=1\0", 8, &n) == 0);
	memset(huge, 'x', sizeof(huge));
	memcpy(huge, "READY=1\nX=", 10);
	assert_int_equal(notice_parse(huge, NOTICE_MAX_BYTES, &n), 0);
	assert_int_equal(notice_parse(huge, NOTICE_MAX_BYTES + 1, &n), -1);
}

static void status_is_clean_text(void **state)
{
	char text[600] = "STATUS=";
	struct notice n;

	(void)state;
	parse("STATUS=a\tb\x7f"
	      "c\xff\xc3(\xc3\xa9\xe2\x82\xac\xed\xa0\x80",
	      &n);
	assert_string_equal(n.status, "a b c?\?(\xc3\xa9\xe2\x82\xac?\?\?");
	/* Cut between characters, never inside one. */
	for (int i = 0; i < 290; i++)
		strcat(text, "\xc3\xa9");
	parse(text, &n);
	assert_int_equal(strlen(n.status), NOTICE_STATUS_BYTES - 2);
	assert_int_equal((unsigned char)n.status[NOTICE_STATUS_BYTES - 3],
			 0xa9);
}

struct receiver {
	char folder[64];
	char path[96];
	int fd;
};

static void open_receiver(struct receiver *r)
{
	struct err err;

	strcpy(r->folder, "/tmp/weft-notify-XXXXXX");
	assert_non_null(mkdtemp(r->folder));
	snprintf(r->path, sizeof(r->path), "%s/n", r->folder);
	r->fd = notify_open(r->path, &err);
	assert_true(r->fd >= 0);
}

static void close_receiver(struct receiver *r)
{
	close(r->fd);
	unlink(r->path);
	rmdir(r->folder);
}

static int dial(const struct receiver *r)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	strcpy(at.sun_path, r->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static void sender_is_vouched_for(void **state)
{
	struct receiver r;
	struct notice n;
	pid_t sender = 0, child;
	struct stat st;

	(void)state;
	open_receiver(&r);
	assert_int_equal(stat(r.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(notify_receive(r.fd, &sender, &n), 0);
	child = fork();
	if (child == 0) {
		(void)!write(dial(&r), "READY=1", 7);
		_exit(0);
	}
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(notify_receive(r.fd, &sender, &n), 1);
	assert_int_equal(sender, child);
	assert_true(n.ready);
	close_receiver(&r);
}

static void oversized_datagrams_are_dropped_whole(void **state)
{
	char data[NOTICE_MAX_BYTES + 1];
	struct receiver r;
	struct notice n;
	pid_t sender;
	int fd;

	(void)state;
	open_receiver(&r);
	fd = dial(&r);
	memset(data, '=', sizeof(data));
	assert_true(write(fd, data, sizeof(data)) > 0);
	assert_true(write(fd, "WATCHDOG=1", 10) > 0);
	assert_int_equal(notify_receive(r.fd, &sender, &n), -1);
	assert_int_equal(notify_receive(r.fd, &sender, &n), 1);
	assert_true(n.alive && !n.ready);
	assert_int_equal(notify_receive(r.fd, &sender, &n), 0);
	close(fd);
	close_receiver(&r);
}

static int lowest_free_fd(void)
{
	int fd = open("/dev/null", O_RDONLY);

	close(fd);
	return fd;
}

static void descriptors_sent_along_are_closed(void **state)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(3 * sizeof(int))];
	} control = {.room = {0}};
	char text[] = "READY=1";
	struct iovec part = {.iov_base = text, .iov_len = 7};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	int fds[3] = {0, 1, 2}, fd, before;
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	struct receiver r;
	struct notice n;
	pid_t sender;

	(void)state;
	open_receiver(&r);
	fd = dial(&r);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	before = lowest_free_fd();
	assert_int_equal(sendmsg(fd, &message, 0), 7);
	assert_int_equal(notify_receive(r.fd, &sender, &n), 1);
	assert_int_equal(sender, getpid());
	assert_int_equal(lowest_free_fd(), before);
	close(fd);
	close_receiver(&r);
}

static void long_path_is_refused_exactly(void **state)
{
	char path[200];
	struct err err;

	(void)state;
	memset(path, 'a', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(notify_open(path, &err), -1);
	assert_non_null(strstr(err.text, "shorter run_dir"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(keys_are_understood),
	    cmocka_unit_test(a_producer_tells_which_topology_it_goes_by),
	    cmocka_unit_test(malformed_ones_are_refused),
	    cmocka_unit_test(status_is_clean_text),
	    cmocka_unit_test(sender_is_vouched_for),
	    cmocka_unit_test(oversized_datagrams_are_dropped_whole),
	    cmocka_unit_test(descriptors_sent_along_are_closed),
	    cmocka_unit_test(long_path_is_refused_exactly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
