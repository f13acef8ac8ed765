#include "services/supervisor/notify.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"
#include "services/supervisor/unix_socket.h"

/* Descriptors that one datagram can carry at most (SCM_MAX_FD of Linux). */
#define MOST_DESCRIPTORS 253

void notice_clean(char *out, const char *text, size_t bytes)
{
	const unsigned char *in = (const unsigned char *)text;
	size_t at = 0;

	while (bytes) {
		size_t n = text_utf8_bytes((const char *)in, bytes);

		if (at + (n ? n : 1) >= NOTICE_STATUS_BYTES)
			break;
		if (n == 0 || in[0] < 0x20 || in[0] == 0x7f)
			out[at] = n == 0 ? '?' : ' ';
		else
			memcpy(out + at, in, n);
		n = n ? n : 1;
		at += n;
		in += n;
		bytes -= n;
	}
	out[at] = '\0';
}

static bool is(const char *line, size_t bytes, const char *text)
{
	return bytes == strlen(text) && memcmp(line, text, bytes) == 0;
}

/* A number of at most 18 digits; 0 for anything else. */
static uint64_t number(const char *text, size_t bytes)
{
	uint64_t n = 0;

	if (bytes > 18)
		return 0;
	for (; bytes; text++, bytes--) {
		if (*text < '0' || *text > '9')
			return 0;
		n = n * 10 + (uint64_t)(*text - '0');
	}
	return n;
}

int notice_parse(const char *data, size_t bytes, struct notice *notice)
{
	*notice = (struct notice){0};
	if (!bytes || bytes > NOTICE_MAX_BYTES || memchr(data, '\0', bytes))
		return -1;
	while (bytes) {
		const char *end = memchr(data, '\n', bytes);
		size_t n = end ? (size_t)(end - data) : bytes;

		if (n && !memchr(data, '=', n))
			return -1;
		if (is(data, n, "READY=1")) {
			notice->ready = true;
		} else if (is(data, n, "WATCHDOG=1")) {
			notice->alive = true;
		} else if (is(data, n, "STOPPING=1")) {
			notice->stopping = true;
		} else if (n >= 7 && memcmp(data, "STATUS=", 7) == 0) {
			notice->has_status = true;
			notice_clean(notice->status, data + 7, n - 7);
		} else if (n >= 16 &&
			   memcmp(data, "X_WEFT_TOPOLOGY=", 16) == 0) {
			notice->topology = number(data + 16, n - 16);
		}
		n += end != NULL;
		data += n;
		bytes -= n;
	}
	return 0;
}

int notify_open(const char *path, struct err *err)
{
	int fd = unix_socket_bind(path, SOCK_DGRAM, err), on = 1;

	if (fd >= 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) != 0) {
		err_errno(err, errno, "cannot listen on %s", path);
		close(fd);
		return -1;
	}
	return fd;
}

/* Closes what came along and returns the sender, 0 when it is not known. */
static pid_t take_ancillary(struct msghdr *message)
{
	struct ucred who = {0};

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c;
	     c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS)
			memcpy(&who, CMSG_DATA(c), sizeof(who));
		if (c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0;
		     at + sizeof(int) <= c->cmsg_len - CMSG_LEN(0);
		     at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + at, sizeof(fd));
			close(fd);
		}
	}
	return who.pid;
}

int notify_receive(int fd, pid_t *sender, struct notice *notice)
{
	char data[NOTICE_MAX_BYTES + 1];
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(struct ucred)) +
			  CMSG_SPACE(sizeof(int) * MOST_DESCRIPTORS)];
	} control;
	struct iovec part = {.iov_base = data, .iov_len = sizeof(data)};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	if (n < 0)
		return 0;
	*sender = take_ancillary(&message);
	if (*sender <= 0 || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return -1;
	return notice_parse(data, (size_t)n, notice) == 0 ? 1 : -1;
}
