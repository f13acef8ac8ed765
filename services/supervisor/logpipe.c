#include "services/supervisor/logpipe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"

/* The longest line that a rotation waits for. */
#define LINE_BYTES (64 << 10)
#define READ_BYTES (16 << 10)
/* Reads in one go: one chatty process must not starve the others. */
#define READS_A_TURN 8

void logpipe_rotate(const char *path)
{
	for (int i = LOGPIPE_FILES - 1; i > 0; i--) {
		char *to = xasprintf("%s.%d", path, i);
		char *from =
		    i > 1 ? xasprintf("%s.%d", path, i - 1) : xstrdup(path);

		/* A missing one is normal: there was not that much yet. */
		(void)rename(from, to);
		free(from);
		free(to);
	}
}

static int open_file(struct logpipe *l, struct err *err)
{
	struct stat st;

	l->file_fd =
	    open(l->path,
		 O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (l->file_fd < 0)
		return err_errno(err, errno, "cannot open log %s", l->path);
	l->file_bytes = fstat(l->file_fd, &st) == 0 ? st.st_size : 0;
	return 0;
}

static void rotate(struct logpipe *l)
{
	char quoted[LOG_QUOTE_BYTES];
	struct err err;

	close(l->file_fd);
	logpipe_rotate(l->path);
	if (open_file(l, &err) != 0)
		log_warn("log_lost", "error=%s", log_quote(quoted, err.text));
}

static void keep_tail(struct logpipe *l, const char *data, size_t bytes)
{
	size_t room = sizeof(l->tail);

	if (bytes >= room) {
		memcpy(l->tail, data + bytes - room, room);
		l->tail_used = room;
		return;
	}
	if (l->tail_used + bytes > room) {
		size_t drop = l->tail_used + bytes - room;

		memmove(l->tail, l->tail + drop, l->tail_used - drop);
		l->tail_used -= drop;
	}
	memcpy(l->tail + l->tail_used, data, bytes);
	l->tail_used += bytes;
}

static void take(struct logpipe *l, const char *data, size_t bytes)
{
	int64_t after = l->file_bytes + (int64_t)bytes;
	size_t kept;

	/* Between lines, unless somebody writes lines without an end. */
	if (l->file_bytes > 0 && after > LOGPIPE_FILE_BYTES &&
	    (l->at_line_start || after > LOGPIPE_FILE_BYTES + LINE_BYTES))
		rotate(l);
	kept = io_write_all(l->file_fd, data, bytes);
	l->file_bytes += (int64_t)kept;
	if (kept < bytes) {
		l->lost_bytes += bytes - kept;
		log_warn("log_lost", "file=%s lost_bytes=%llu hint=%s", l->path,
			 (unsigned long long)l->lost_bytes,
			 "\"is the disk full?\"");
	}
	if (l->echo)
		io_write_all(STDERR_FILENO, data, bytes);
	keep_tail(l, data, bytes);
	l->at_line_start = data[bytes - 1] == '\n';
}

static bool read_some(struct logpipe *l)
{
	char data[READ_BYTES];
	ssize_t n = read(l->io.fd, data, sizeof(data));

	if (n <= 0)
		return false;
	take(l, data, (size_t)n);
	return true;
}

static void readable(void *arg, uint32_t events)
{
	(void)events;
	for (int i = 0; i < READS_A_TURN && read_some(arg); i++)
		;
}

void logpipe_drain(struct logpipe *l)
{
	/* A pipe holds 64 KiB; others than the dead one may write meanwhile. */
	for (int i = 0; i < 64 && read_some(l); i++)
		;
}

int logpipe_open(struct logpipe *l, struct loop *loop, const char *path,
		 struct err *err)
{
	int ends[2];

	*l = (struct logpipe){.write_fd = -1, .at_line_start = true};
	l->path = xstrdup(path);
	l->loop = loop;
	l->io = (struct loop_io){.fd = -1, .fn = readable, .arg = l};
	if (open_file(l, err) != 0)
		goto failed;
	if (pipe2(ends, O_CLOEXEC) != 0) {
		err_errno(err, errno, "cannot make a pipe");
		goto failed;
	}
	l->io.fd = ends[0];
	l->write_fd = ends[1];
	/* Only our end: the process itself may block. */
	if (fcntl(l->io.fd, F_SETFL, O_NONBLOCK) != 0) {
		err_errno(err, errno, "cannot set up a pipe");
		goto failed;
	}
	if (loop_io_add(loop, &l->io, EPOLLIN, err) != 0)
		goto failed;
	return 0;
failed:
	l->loop = NULL;
	logpipe_close(l);
	return -1;
}

void logpipe_close(struct logpipe *l)
{
	if (l->loop) {
		logpipe_drain(l);
		loop_io_del(l->loop, &l->io);
	}
	if (l->io.fd >= 0)
		close(l->io.fd);
	if (l->write_fd >= 0)
		close(l->write_fd);
	if (l->file_fd >= 0)
		close(l->file_fd);
	free(l->path);
	*l = (struct logpipe){.write_fd = -1, .file_fd = -1, .io.fd = -1};
}

void logpipe_forget(struct logpipe *l)
{
	l->tail_used = 0;
}

void logpipe_last(const struct logpipe *l, unsigned lines, struct buf *out)
{
	size_t at = l->tail_used;

	while (at > 0) {
		if (l->tail[at - 1] == '\n' && at < l->tail_used &&
		    lines-- <= 1)
			break;
		at--;
	}
	buf_append(out, l->tail + at, l->tail_used - at);
}
