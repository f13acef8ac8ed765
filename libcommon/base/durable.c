#include "base/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/failpoint.h"
#include "base/io.h"

int durable_sync(int fd, const char *path, struct err *err)
{
	if (fdatasync(fd) == 0)
		return 0;
	err_errno(err, errno, "cannot sync %s", path);
	err->fatal = true;
	return -1;
}

int durable_sync_file(const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return err_errno(err, errno, "cannot open %s", path);
	rc = durable_sync(fd, path, err);
	close(fd);
	return rc;
}

int durable_sync_dir(const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = 0;

	if (fd < 0)
		return err_errno(err, errno, "cannot open directory %s", path);
	if (fsync(fd) != 0)
		rc = err_errno(err, errno, "cannot sync directory %s", path);
	close(fd);
	return rc;
}

static int sync_parent(const char *path, struct err *err)
{
	char *copy = xstrdup(path);
	int rc = durable_sync_dir(dirname(copy), err);

	free(copy);
	return rc;
}

/* Writes and syncs a new file; closes it, and removes it after an error. */
static int fill(int fd, const char *path, const void *data, size_t bytes,
		struct err *err)
{
	int rc = -1;

	if (io_write_all(fd, data, bytes) != bytes)
		err_errno(err, errno, "cannot write %s", path);
	else
		rc = durable_sync(fd, path, err);
	close(fd);
	/* What is left of a full disk's attempt would keep it full. */
	if (rc != 0)
		unlink(path);
	return rc;
}

int durable_create(const char *path, mode_t mode, const void *data,
		   size_t bytes, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

	if (fd < 0)
		return err_errno(err, errno, "cannot create %s", path);
	return fill(fd, path, data, bytes, err);
}

int durable_replace(const char *path, const void *data, size_t bytes,
		    struct err *err)
{
	char *temporary = xasprintf("%s.new", path);
	int fd =
	    open(temporary,
		 O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int rc = -1;

	if (fd < 0) {
		err_errno(err, errno, "cannot create %s", temporary);
		goto out;
	}
	if (fill(fd, temporary, data, bytes, err) != 0)
		goto out;
	FAILPOINT("replace_before_rename");
	if (rename(temporary, path) == 0) {
		FAILPOINT("replace_before_dirsync");
		rc = sync_parent(path, err);
		goto out;
	}
	err_errno(err, errno, "cannot rename %s to %s", temporary, path);
	unlink(temporary);
out:
	free(temporary);
	return rc;
}

/*
 * A directory that exists may have been made by a process that was killed
 * before it synced the name, so the name is synced again. A parent that we may
 * not read is not one that we made it in.
 */
static int settle_existing(const char *path, struct err *err)
{
	struct stat st;

	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
		return err_set(err, ENOTDIR, "%s exists and is not a directory",
			       path);
	if (sync_parent(path, err) != 0 && err->code != EACCES)
		return -1;
	return 0;
}

int durable_mkdir(const char *path, struct err *err)
{
	return durable_mkdir_mode(path, 0700, err);
}

int durable_mkdir_mode(const char *path, mode_t mode, struct err *err)
{
	char *copy;
	int rc;

	if (mkdir(path, mode) == 0)
		return sync_parent(path, err);
	if (errno == EEXIST)
		return settle_existing(path, err);
	if (errno != ENOENT)
		return err_errno(err, errno, "cannot make directory %s", path);
	copy = xstrdup(path);
	rc = durable_mkdir_mode(dirname(copy), mode, err);
	free(copy);
	if (rc != 0)
		return -1;
	if (mkdir(path, mode) != 0 && errno != EEXIST)
		return err_errno(err, errno, "cannot make directory %s", path);
	return sync_parent(path, err);
}

int durable_read(const char *path, size_t limit, char **data, size_t *bytes,
		 struct err *err)
{
	/* Without O_NONBLOCK a FIFO would hold us until somebody writes. */
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	size_t used = 0;
	char *text = NULL;
	int rc = -1;

	if (fd < 0)
		return err_errno(err, errno, "cannot open %s", path);
	if (fstat(fd, &st) != 0) {
		err_errno(err, errno, "cannot stat %s", path);
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		err_set(err, EINVAL, "%s is not a regular file", path);
		goto out;
	}
	if ((size_t)st.st_size > limit) {
		err_set(err, EFBIG,
			"%s has %lld bytes, more than the limit %zu", path,
			(long long)st.st_size, limit);
		goto out;
	}
	text = xmalloc((size_t)st.st_size + 1);
	while (used < (size_t)st.st_size) {
		ssize_t n = read(fd, text + used, (size_t)st.st_size - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err_errno(err, errno, "cannot read %s", path);
			goto out;
		}
		if (n == 0)
			break;
		used += (size_t)n;
	}
	text[used] = '\0';
	*data = text;
	*bytes = used;
	text = NULL;
	rc = 0;
out:
	free(text);
	close(fd);
	return rc;
}
