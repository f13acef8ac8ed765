/*
 * A disk that remembers, for LD_PRELOAD: everything that changes the folder
 * $WEFT_RECORD_ROOT, and every sync in it, goes to the file $WEFT_RECORD_TRACE
 * in order, in the form of tests/power/record.h. From that tests/power builds
 * what a loss of power may leave.
 *
 * A change and its record are made under one mutex, so the trace is the order
 * in which they happened. A sync is recorded when it ends, with how much was
 * recorded when it began. Nothing is really synced: the machine does not lose
 * its power. Changes through mmap, io_uring and stdio are not seen.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../power/record.h"

#define INODES	  65536
#define TRACE_FD  900 /* beyond what anybody looks at */
#define COPY_SIZE 65536

static struct {
	pthread_mutex_t mutex;
	char root[PATH_MAX];
	size_t root_bytes;
	dev_t dev;
	uint64_t count; /* records */
	/* Inodes of the folder, an open hash. */
	uint64_t inodes[INODES];
	int fail_files, fail_dirs;
	bool on;
} rec = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* ---- the trace ---- */

static void die(const char *what)
{
	dprintf(STDERR_FILENO, "recorddisk: %s: %s\n", what, strerror(errno));
	abort();
}

static void put(const void *data, size_t bytes)
{
	const char *at = data;

	while (bytes) {
		ssize_t n = syscall(SYS_write, TRACE_FD, at, bytes);

		if (n <= 0)
			die("cannot write the trace");
		at += n;
		bytes -= (size_t)n;
	}
}

/* Under the mutex, as all below. name and more may be NULL. */
static void record(const struct record_head *head, const char *name,
		   const char *more, const void *data)
{
	struct record_head h = *head;
	char line[sizeof(h) + 2 * PATH_MAX];
	size_t used = sizeof(h);

	h.name_bytes = (uint32_t)(name ? strlen(name) : 0);
	h.more_bytes = (uint32_t)(more ? strlen(more) : 0);
	memcpy(line, &h, sizeof(h));
	memcpy(line + used, name ? name : "", h.name_bytes);
	used += h.name_bytes;
	memcpy(line + used, more ? more : "", h.more_bytes);
	put(line, used + h.more_bytes);
	if (h.data_bytes)
		put(data, h.data_bytes);
	rec.count++;
}

static void lock(void)
{
	pthread_mutex_lock(&rec.mutex);
}

static void unlock(void)
{
	pthread_mutex_unlock(&rec.mutex);
}

/* ---- what belongs to the folder ---- */

static uint64_t *slot_of(uint64_t ino)
{
	uint64_t i = ino * UINT64_C(0x9e3779b97f4a7c15) >> 48;

	while (rec.inodes[i % INODES] && rec.inodes[i % INODES] != ino)
		i++;
	return &rec.inodes[i % INODES];
}

/* The inode of a file of the folder, else 0. */
static uint64_t known(int fd)
{
	struct stat st;

	if (!rec.on || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
	    st.st_dev != rec.dev || !*slot_of(st.st_ino))
		return 0;
	return st.st_ino;
}

/* The path within the folder, or NULL: "" is the folder itself. */
static const char *inside(int dirfd, const char *path, char out[PATH_MAX])
{
	char link[64], at[PATH_MAX] = "", whole[2 * PATH_MAX];
	size_t used = 0;
	ssize_t n;

	if (!rec.on || !path)
		return NULL;
	if (*path != '/' && dirfd == AT_FDCWD && !getcwd(at, sizeof(at)))
		return NULL;
	if (*path != '/' && dirfd != AT_FDCWD) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
		n = readlink(link, at, sizeof(at) - 1);
		if (n < 0)
			return NULL;
		at[n] = '\0';
	}
	snprintf(whole, sizeof(whole), "%s/%s", at, path);
	for (const char *p = whole; *p && used + 1 < PATH_MAX; p++)
		if (*p != '/' || (p[1] != '/' && p[1] != '\0'))
			out[used++] = *p;
	out[used] = '\0';
	if (strncmp(out, rec.root, rec.root_bytes) != 0)
		return NULL;
	if (out[rec.root_bytes] == '\0')
		return "";
	return out[rec.root_bytes] == '/' ? out + rec.root_bytes + 1 : NULL;
}

static void record_file(const char *name, uint64_t ino)
{
	struct record_head head = {.kind = RECORD_CREATE, .ino = ino};

	*slot_of(ino) = ino;
	record(&head, name, NULL, NULL);
}

static void record_names(enum record_kind kind, const char *name,
			 const char *more)
{
	struct record_head head = {.kind = kind};

	record(&head, name, more, NULL);
}

static void record_write(uint64_t ino, int64_t offset, const void *data,
			 size_t bytes)
{
	struct record_head head = {.kind = RECORD_WRITE,
				   .ino = ino,
				   .a = (uint64_t)offset,
				   .data_bytes = bytes};

	record(&head, NULL, NULL, data);
}

/* ---- what is there already ---- */

static int record_present(const char *path, const struct stat *st, int type,
			  struct FTW *ftw)
{
	char name[PATH_MAX], data[COPY_SIZE];
	const char *in = inside(AT_FDCWD, path, name);
	int64_t offset = 0;
	ssize_t n;
	int fd;

	(void)ftw;
	if (type == FTW_D && in && *in)
		record_names(RECORD_MKDIR, in, NULL);
	if (type != FTW_F)
		return 0;
	record_file(in, st->st_ino);
	fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die(path);
	while ((n = pread(fd, data, sizeof(data), offset)) > 0) {
		record_write(st->st_ino, offset, data, (size_t)n);
		offset += n;
	}
	close(fd);
	return 0;
}

__attribute__((constructor)) static void begin(void)
{
	const char *root = getenv("WEFT_RECORD_ROOT");
	const char *trace = getenv("WEFT_RECORD_TRACE");
	struct stat st;
	int fd;

	if (!root || !trace)
		return;
	if (!realpath(root, rec.root) || stat(rec.root, &st) != 0)
		die(root);
	rec.root_bytes = strlen(rec.root);
	rec.dev = st.st_dev;
	fd = (int)syscall(SYS_openat, AT_FDCWD, trace,
			  O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || dup3(fd, TRACE_FD, O_CLOEXEC) < 0)
		die(trace);
	close(fd);
	rec.on = true;
	if (nftw(rec.root, record_present, 16, FTW_PHYS) != 0)
		die(rec.root);
	record_names(RECORD_BEGIN, NULL, NULL);
	/* Children are programs of their own. */
	unsetenv("LD_PRELOAD");
}

void record_promise(const char *text, size_t bytes)
{
	struct record_head head = {.kind = RECORD_PROMISE, .data_bytes = bytes};

	lock();
	if (rec.on)
		record(&head, NULL, NULL, text);
	unlock();
}

void record_fail_syncs(int files, int dirs)
{
	lock();
	rec.fail_files = files;
	rec.fail_dirs = dirs;
	unlock();
}

/* ---- opening ---- */

static int open_recorded(int dirfd, const char *path, int flags, mode_t mode)
{
	char name[PATH_MAX];
	const char *in;
	struct stat st;
	bool there;
	int fd;

	if (!(flags & (O_CREAT | O_TRUNC)))
		return (int)syscall(SYS_openat, dirfd, path, flags, mode);
	lock();
	in = inside(dirfd, path, name);
	there = in && fstatat(dirfd, path, &st, 0) == 0;
	fd = (int)syscall(SYS_openat, dirfd, path, flags, mode);
	if (fd >= 0 && in && !there && fstat(fd, &st) == 0)
		record_file(in, st.st_ino);
	else if (fd >= 0 && in && (flags & O_TRUNC) && st.st_size)
		record(&(struct record_head){.kind = RECORD_TRUNCATE,
					     .ino = st.st_ino},
		       NULL, NULL, NULL);
	unlock();
	return fd;
}

#define MODE_OF(flags)                         \
	mode_t mode = 0;                       \
	if ((flags) & (O_CREAT | O_TMPFILE)) { \
		va_list args;                  \
		va_start(args, flags);         \
		mode = va_arg(args, mode_t);   \
		va_end(args);                  \
	}

int open(const char *path, int flags, ...)
{
	MODE_OF(flags)
	return open_recorded(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	MODE_OF(flags)
	return open_recorded(AT_FDCWD, path, flags, mode);
}

int openat(int dirfd, const char *path, int flags, ...)
{
	MODE_OF(flags)
	return open_recorded(dirfd, path, flags, mode);
}

int openat64(int dirfd, const char *path, int flags, ...)
{
	MODE_OF(flags)
	return open_recorded(dirfd, path, flags, mode);
}

int creat(const char *path, mode_t mode)
{
	return open_recorded(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC,
			     mode);
}

/* ---- writing ---- */

static ssize_t write_at(int fd, const void *data, size_t bytes, off_t offset,
			bool moves)
{
	uint64_t ino;
	ssize_t n;

	lock();
	ino = known(fd);
	if (!ino) {
		unlock(); /* may block: a pipe, a socket */
		return moves ? syscall(SYS_write, fd, data, bytes)
			     : syscall(SYS_pwrite64, fd, data, bytes, offset);
	}
	if (moves) {
		offset = fcntl(fd, F_GETFL) & O_APPEND ? lseek(fd, 0, SEEK_END)
						       : lseek(fd, 0, SEEK_CUR);
		n = syscall(SYS_write, fd, data, bytes);
	} else {
		n = syscall(SYS_pwrite64, fd, data, bytes, offset);
	}
	if (n > 0)
		record_write(ino, offset, data, (size_t)n);
	unlock();
	return n;
}

ssize_t write(int fd, const void *data, size_t bytes)
{
	return write_at(fd, data, bytes, 0, true);
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset)
{
	return write_at(fd, data, bytes, offset, false);
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t offset)
{
	return write_at(fd, data, bytes, offset, false);
}

/* The parts as one write, as the kernel takes them. */
static ssize_t write_parts(int fd, const struct iovec *parts, int count,
			   off_t offset, bool moves)
{
	size_t bytes = 0, used = 0;
	char *joined;
	ssize_t n;

	lock();
	n = known(fd) ? 1 : 0;
	unlock();
	if (n == 0)
		return moves
			   ? syscall(SYS_writev, fd, parts, count)
			   : syscall(SYS_pwritev, fd, parts, count, offset, 0);
	for (int i = 0; i < count; i++)
		bytes += parts[i].iov_len;
	joined = malloc(bytes + 1);
	if (!joined)
		die("no memory");
	for (int i = 0; i < count; i++) {
		memcpy(joined + used, parts[i].iov_base, parts[i].iov_len);
		used += parts[i].iov_len;
	}
	n = write_at(fd, joined, bytes, offset, moves);
	free(joined);
	return n;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
	return write_parts(fd, parts, count, 0, true);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
	return write_parts(fd, parts, count, offset, false);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
	return write_parts(fd, parts, count, offset, false);
}

/* Into the folder by read and write, so that the bytes are known. */
ssize_t sendfile(int to, int from, off_t *offset, size_t bytes)
{
	char data[COPY_SIZE];
	ssize_t n;
	bool ours;

	lock();
	ours = known(to) != 0;
	unlock();
	if (!ours || offset)
		return syscall(SYS_sendfile, to, from, offset, bytes);
	n = read(from, data, bytes < sizeof(data) ? bytes : sizeof(data));
	return n > 0 ? write(to, data, (size_t)n) : n;
}

/* ---- sizes ---- */

static void record_size(uint64_t ino, off_t bytes)
{
	struct record_head head = {
	    .kind = RECORD_TRUNCATE, .ino = ino, .a = (uint64_t)bytes};

	record(&head, NULL, NULL, NULL);
}

int ftruncate(int fd, off_t bytes)
{
	uint64_t ino;
	int rc;

	lock();
	ino = known(fd);
	rc = (int)syscall(SYS_ftruncate, fd, bytes);
	if (rc == 0 && ino)
		record_size(ino, bytes);
	unlock();
	return rc;
}

int ftruncate64(int fd, off64_t bytes)
{
	return ftruncate(fd, bytes);
}

int truncate(const char *path, off_t bytes)
{
	char name[PATH_MAX];
	struct stat st;
	int rc;

	lock();
	rc = (int)syscall(SYS_truncate, path, bytes);
	if (rc == 0 && inside(AT_FDCWD, path, name) && stat(path, &st) == 0)
		record_size(st.st_ino, bytes);
	unlock();
	return rc;
}

int truncate64(const char *path, off64_t bytes)
{
	return truncate(path, bytes);
}

static int allocate(int fd, int mode, off_t offset, off_t bytes)
{
	uint64_t ino;
	int rc;

	lock();
	ino = known(fd);
	rc = (int)syscall(SYS_fallocate, fd, mode, offset, bytes);
	/* Space alone changes nothing that could be read. */
	if (rc == 0 && ino && mode == 0)
		record(&(struct record_head){.kind = RECORD_ALLOCATE,
					     .ino = ino,
					     .a = (uint64_t)offset,
					     .b = (uint64_t)bytes},
		       NULL, NULL, NULL);
	if (rc == 0 && ino && (mode & ~FALLOC_FL_KEEP_SIZE)) {
		errno = ENOSYS;
		die("fallocate of a kind that is not recorded");
	}
	unlock();
	return rc;
}

int fallocate(int fd, int mode, off_t offset, off_t bytes)
{
	return allocate(fd, mode, offset, bytes);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t bytes)
{
	return allocate(fd, mode, offset, bytes);
}

int posix_fallocate(int fd, off_t offset, off_t bytes)
{
	return allocate(fd, 0, offset, bytes) == 0 ? 0 : errno;
}

int posix_fallocate64(int fd, off64_t offset, off64_t bytes)
{
	return allocate(fd, 0, offset, bytes) == 0 ? 0 : errno;
}

/* ---- names ---- */

int renameat2(int from_fd, const char *from, int to_fd, const char *to,
	      unsigned int flags)
{
	char name[PATH_MAX], more[PATH_MAX];
	const char *in, *in_more;
	int rc;

	lock();
	in = inside(from_fd, from, name);
	in_more = inside(to_fd, to, more);
	if (!in != !in_more || (in && flags)) {
		unlock();
		errno = EXDEV; /* as if it were another file system */
		return -1;
	}
	rc = (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
	if (rc == 0 && in)
		record_names(RECORD_RENAME, in, in_more);
	unlock();
	return rc;
}

int rename(const char *from, const char *to)
{
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	return renameat2(from_fd, from, to_fd, to, 0);
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
	char name[PATH_MAX], more[PATH_MAX];
	const char *in, *in_more;
	int rc;

	lock();
	in = inside(from_fd, from, name);
	in_more = inside(to_fd, to, more);
	rc = (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
	if (rc == 0 && in && in_more)
		record_names(RECORD_LINK, in, in_more);
	unlock();
	return rc;
}

int link(const char *from, const char *to)
{
	return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat(int dirfd, const char *path, int flags)
{
	char name[PATH_MAX];
	const char *in;
	int rc;

	lock();
	in = inside(dirfd, path, name);
	rc = (int)syscall(SYS_unlinkat, dirfd, path, flags);
	if (rc == 0 && in)
		record_names(flags & AT_REMOVEDIR ? RECORD_RMDIR
						  : RECORD_UNLINK,
			     in, NULL);
	unlock();
	return rc;
}

int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int mkdirat(int dirfd, const char *path, mode_t mode)
{
	char name[PATH_MAX];
	const char *in;
	int rc;

	lock();
	in = inside(dirfd, path, name);
	rc = (int)syscall(SYS_mkdirat, dirfd, path, mode);
	if (rc == 0 && in)
		record_names(RECORD_MKDIR, in, NULL);
	unlock();
	return rc;
}

int mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}

/* ---- syncs ---- */

static int sync_recorded(int fd)
{
	struct record_head head = {.kind = RECORD_SYNC};
	char link[64], path[PATH_MAX], name[PATH_MAX];
	const char *in = NULL;
	struct stat st;
	int *fails;
	ssize_t n;

	lock();
	head.a = rec.count;
	head.ino = known(fd);
	unlock();
	if (fstat(fd, &st) != 0)
		return -1;
	if (S_ISDIR(st.st_mode)) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, path, sizeof(path) - 1);
		path[n > 0 ? n : 0] = '\0';
		in = inside(AT_FDCWD, path, name);
		head.kind = RECORD_SYNC_DIR;
	}
	if (!head.ino && !in)
		return (int)syscall(SYS_fsync, fd);
	lock();
	fails = in ? &rec.fail_dirs : &rec.fail_files;
	if (*fails > 0) {
		(*fails)--;
		head.b = EIO;
	}
	record(&head, in, NULL, NULL);
	unlock();
	errno = (int)head.b;
	return head.b ? -1 : 0;
}

int fsync(int fd)
{
	return sync_recorded(fd);
}

int fdatasync(int fd)
{
	return sync_recorded(fd);
}

int syncfs(int fd)
{
	struct record_head head = {.kind = RECORD_SYNC_ALL};

	(void)fd;
	lock();
	head.a = rec.count;
	if (rec.on)
		record(&head, NULL, NULL, NULL);
	unlock();
	return 0;
}
