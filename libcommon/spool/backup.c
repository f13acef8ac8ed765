#include "spool/backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/durable.h"

#define COPY_BYTES ((size_t)1048576)
/* A file system's own blocks for so many bytes, and some for a checkpoint. */
#define EXTRA_BYTES UINT64_C(1048576)

/* What holds no record. */
static bool is_copied(int dir, const char *name, struct stat *st)
{
	size_t bytes = strlen(name);

	return strcmp(name, "lock") != 0 && strcmp(name, "reserve") != 0 &&
	       !(bytes > 6 && strcmp(name + bytes - 6, ".spare") == 0) &&
	       fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st->st_mode);
}

/* Calls fn for each file that is copied until it fails. */
static int each_file(const char *dir,
		     int (*fn)(void *arg, const char *name, struct stat *st,
			       struct err *err),
		     void *arg, struct err *err)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	struct stat st;
	int rc = 0;

	if (!d)
		return err_errno(err, errno, "cannot list %s", dir);
	while (rc == 0 && (entry = readdir(d)))
		if (is_copied(dirfd(d), entry->d_name, &st))
			rc = fn(arg, entry->d_name, &st, err);
	closedir(d);
	return rc;
}

static int count_bytes(void *arg, const char *name, struct stat *st,
		       struct err *err)
{
	uint64_t *bytes = arg;

	(void)name;
	(void)err;
	*bytes += (uint64_t)(st->st_size < st->st_blocks * 512
				 ? st->st_size
				 : st->st_blocks * 512) +
		  4096;
	return 0;
}

/*
 * Page by page where it cannot be read: those stay zero in the copy. Holes, as
 * void records have, stay holes.
 */
static int copy_bytes(int from, int to, const char *path, int64_t bytes,
		      struct err *err)
{
	char *data = xmalloc(COPY_BYTES);
	size_t step = COPY_BYTES;
	int64_t at = 0;
	int rc = 0;

	if (ftruncate(to, bytes) != 0)
		rc = err_errno(err, errno, "cannot write %s", path);
	while (at < bytes && rc == 0) {
		off_t there = lseek(from, at, SEEK_DATA);
		ssize_t n;

		if (there < 0 && errno == ENXIO)
			break;
		if (there > at)
			at = there;
		n = pread(from, data, step, at);

		if (n < 0 && errno == EIO && step > 4096) {
			step = 4096;
			continue;
		}
		if (n < 0 && errno == EIO) {
			memset(data, 0, step);
			n = (ssize_t)step;
		}
		if (n == 0)
			break;
		if (n < 0)
			rc = err_errno(err, errno, "cannot copy to %s", path);
		else if (pwrite(to, data, (size_t)n, at) != n)
			rc = err_errno(err, errno ? errno : ENOSPC,
				       "cannot write %s", path);
		at += n;
	}
	free(data);
	return rc;
}

struct copy {
	const char *dir;
	const char *to;
};

static int copy_file(void *arg, const char *name, struct stat *st,
		     struct err *err)
{
	struct copy *copy = arg;
	char *source = xasprintf("%s/%s", copy->dir, name);
	char *target = xasprintf("%s/%s", copy->to, name);
	int from = open(source, O_RDONLY | O_CLOEXEC);
	int to = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int rc = -1;

	if (from < 0)
		err_errno(err, errno, "cannot open %s", source);
	else if (to < 0)
		err_errno(err, errno, "cannot create %s", target);
	else if (copy_bytes(from, to, target, st->st_size, err) == 0)
		rc = durable_sync(to, target, err);
	if (from >= 0)
		close(from);
	if (to >= 0)
		close(to);
	free(target);
	free(source);
	return rc;
}

static int remove_file(void *arg, const char *name, struct stat *st,
		       struct err *err)
{
	struct copy *copy = arg;
	char *path = xasprintf("%s/%s", copy->to, name);

	(void)st;
	(void)err;
	unlink(path);
	free(path);
	return 0;
}

/* The directory that holds `path`, owned by the caller. */
static char *parent_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return xstrdup(".");
	return slash == path ? xstrdup("/")
			     : xmemdup0(path, (size_t)(slash - path));
}

static int check_room(const char *where, uint64_t need, struct err *err)
{
	struct statvfs st;
	uint64_t left;

	if (statvfs(where, &st) != 0)
		return err_errno(err, errno, "cannot look at the disk of %s",
				 where);
	left = (uint64_t)st.f_bavail * st.f_frsize;
	if (left >= need)
		return 0;
	return err_set(err, ENOSPC,
		       "a repair needs %" PRIu64 " bytes on the disk of %s for "
		       "the copy that it keeps and what it writes; %" PRIu64
		       " are free. Make room, or name a directory on another "
		       "disk with --backup",
		       need, where, left);
}

static int check_rooms(const char *dir, const char *parent, uint64_t bytes,
		       uint64_t more, struct err *err)
{
	struct stat log, copy;

	if (stat(dir, &log) != 0)
		return err_errno(err, errno, "cannot look at %s", dir);
	if (stat(parent, &copy) != 0)
		return err_errno(err, errno, "cannot look at %s", parent);
	more += EXTRA_BYTES;
	if (log.st_dev == copy.st_dev)
		return check_room(parent, bytes + more, err);
	if (check_room(parent, bytes + EXTRA_BYTES, err) != 0)
		return -1;
	return check_room(dir, more, err);
}

int backup_log(const char *dir, const char *to, uint64_t more, uint64_t *bytes,
	       struct err *err)
{
	struct copy copy = {dir, to};
	char *parent = parent_of(to);
	struct err ignored;
	int rc = -1;

	*bytes = 0;
	if (each_file(dir, count_bytes, bytes, err) != 0 ||
	    check_rooms(dir, parent, *bytes, more, err) != 0)
		goto out;
	if (mkdir(to, 0700) != 0) {
		err_errno(err, errno, "cannot make %s for the copy", to);
		goto out;
	}
	if (each_file(dir, copy_file, &copy, err) == 0 &&
	    durable_sync_dir(to, err) == 0 &&
	    durable_sync_dir(parent, err) == 0)
		rc = 0;
	if (rc != 0 && each_file(to, remove_file, &copy, &ignored) == 0)
		rmdir(to);
out:
	free(parent);
	return rc;
}

char *backup_name(const char *dir)
{
	time_t now = (time_t)(clock_wall_us() / 1000000);
	size_t bytes = strlen(dir);
	char text[32];
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(text, sizeof(text), "%Y%m%dT%H%M%SZ", &tm);
	while (bytes > 1 && dir[bytes - 1] == '/')
		bytes--;
	return xasprintf("%.*s.backup-%s", (int)bytes, dir, text);
}
