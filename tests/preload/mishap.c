/*
 * A machine that misbehaves on demand, for LD_PRELOAD: the first 16 bytes of
 * the file $WEFT_MISHAP_FILE, mapped, say how.
 *   int64  microseconds by which the wall clock is off
 *   uint32 what the disk does, see enum disk; only files beneath
 *          $WEFT_MISHAP_DIR are on it
 * Nothing is changed without the file.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum disk {
	DISK_GOOD,
	DISK_SYNC_FAILS, /* EIO */
	DISK_SYNC_HANGS, /* until it is something else */
	DISK_FULL,	 /* ENOSPC for all that needs more room */
	DISK_READ_ONLY,	 /* EROFS for all that changes anything */
};

struct mishap {
	int64_t clock_us;
	uint32_t disk;
	uint32_t reserved;
};

static const struct mishap good;
static const volatile struct mishap *now = &good;
static const char *dir;
static size_t dir_bytes;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void begin(void)
{
	const char *path = getenv("WEFT_MISHAP_FILE");
	int fd = path ? (int)openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC) : -1;
	void *at = MAP_FAILED;

	if (fd >= 0)
		at = mmap(NULL, sizeof(good), PROT_READ, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	dir = getenv("WEFT_MISHAP_DIR");
	dir_bytes = dir ? strlen(dir) : 0;
	if (at != MAP_FAILED)
		now = at;
}

static enum disk disk_now(void)
{
	pthread_once(&once, begin);
	return (enum disk)now->disk;
}

/* ---- whose files ---- */

static bool is_ours(const char *path)
{
	return dir_bytes && strncmp(path, dir, dir_bytes) == 0 &&
	       (path[dir_bytes] == '/' || !path[dir_bytes]);
}

static bool is_our_fd(int fd)
{
	char link[32], path[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	return is_ours(path);
}

/* Whether a change of that file is to fail now; errno is set. */
static bool fails(bool ours, bool needs_room)
{
	enum disk disk = disk_now();

	if (!ours)
		return false;
	if (disk == DISK_FULL && needs_room)
		errno = ENOSPC;
	else if (disk == DISK_READ_ONLY)
		errno = EROFS;
	else
		return false;
	return true;
}

#define REAL(name)                     \
	static __typeof__(name) *real; \
	if (!real)                     \
	real = (__typeof__(name) *)(uintptr_t)dlsym(RTLD_NEXT, #name)

static bool fd_fails(int fd, bool needs_room)
{
	return disk_now() >= DISK_FULL && fails(is_our_fd(fd), needs_room);
}

static bool path_fails(const char *path, bool needs_room)
{
	return disk_now() >= DISK_FULL && fails(is_ours(path), needs_room);
}

/* ---- syncs ---- */

static bool sync_fails(int fd)
{
	if (disk_now() == DISK_GOOD || !is_our_fd(fd))
		return false;
	while (disk_now() == DISK_SYNC_HANGS)
		poll(NULL, 0, 20);
	if (disk_now() == DISK_SYNC_FAILS)
		errno = EIO;
	return disk_now() == DISK_SYNC_FAILS;
}

int fdatasync(int fd)
{
	REAL(fdatasync);
	return sync_fails(fd) ? -1 : real(fd);
}

int fsync(int fd)
{
	REAL(fsync);
	return sync_fails(fd) ? -1 : real(fd);
}

/* ---- changes ---- */

ssize_t write(int fd, const void *data, size_t bytes)
{
	REAL(write);
	return fd_fails(fd, true) ? -1 : real(fd, data, bytes);
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at)
{
	REAL(pwrite);
	return fd_fails(fd, true) ? -1 : real(fd, data, bytes, at);
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t at)
{
	REAL(pwrite64);
	return fd_fails(fd, true) ? -1 : real(fd, data, bytes, at);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
	REAL(writev);
	return fd_fails(fd, true) ? -1 : real(fd, parts, count);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
	REAL(pwritev);
	return fd_fails(fd, true) ? -1 : real(fd, parts, count, at);
}

int fallocate(int fd, int mode, off_t at, off_t bytes)
{
	REAL(fallocate);
	return fd_fails(fd, true) ? -1 : real(fd, mode, at, bytes);
}

/* This one returns its error. */
int posix_fallocate(int fd, off_t at, off_t bytes)
{
	REAL(posix_fallocate);
	return fd_fails(fd, true) ? errno : real(fd, at, bytes);
}

int open(const char *path, int flags, ...)
{
	bool makes = flags & O_CREAT, writes = makes || (flags & O_ACCMODE);
	mode_t mode = 0;
	va_list args;

	REAL(open);
	va_start(args, flags);
	if (makes)
		mode = va_arg(args, mode_t);
	va_end(args);
	if (writes && path_fails(path, makes && access(path, F_OK) != 0))
		return -1;
	return real(path, flags, mode);
}

int rename(const char *from, const char *to)
{
	REAL(rename);
	return path_fails(to, false) ? -1 : real(from, to);
}

int link(const char *from, const char *to)
{
	REAL(link);
	return path_fails(to, true) ? -1 : real(from, to);
}

int mkdir(const char *path, mode_t mode)
{
	REAL(mkdir);
	return path_fails(path, true) ? -1 : real(path, mode);
}

int unlink(const char *path)
{
	REAL(unlink);
	return path_fails(path, false) ? -1 : real(path);
}

int truncate(const char *path, off_t bytes)
{
	REAL(truncate);
	return path_fails(path, false) ? -1 : real(path, bytes);
}

int ftruncate(int fd, off_t bytes)
{
	REAL(ftruncate);
	return fd_fails(fd, false) ? -1 : real(fd, bytes);
}

/* ---- the clock ---- */

static int64_t clock_off_us(void)
{
	pthread_once(&once, begin);
	return now->clock_us;
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
	int64_t us;
	int rc;

	REAL(clock_gettime);
	rc = real(id, ts);
	if (rc != 0 || id != CLOCK_REALTIME || !clock_off_us())
		return rc;
	us =
	    (int64_t)ts->tv_sec * 1000000 + ts->tv_nsec / 1000 + clock_off_us();
	ts->tv_sec = us / 1000000;
	ts->tv_nsec = us % 1000000 * 1000 + ts->tv_nsec % 1000;
	return 0;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec ts;

	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &ts) != 0)
		return -1;
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *t)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (t)
		*t = ts.tv_sec;
	return ts.tv_sec;
}
