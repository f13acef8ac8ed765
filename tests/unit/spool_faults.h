/*
 * A disk that fails on demand: this test binary's own fdatasync, fsync,
 * pwritev, write, fallocate and statvfs stand before the C library's. Included
 * by one file of a test binary only.
 */
#ifndef WEFT_TESTS_SPOOL_FAULTS_H
#define WEFT_TESTS_SPOOL_FAULTS_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* How often a call is to fail, and with what; -1 = for ever. */
struct fault {
	atomic_int times;
	atomic_int code;
	atomic_int hits;
	atomic_int skip; /* so many calls go well before */
};

static struct {
	struct fault sync;	 /* fdatasync: segments and checkpoints */
	struct fault dirsync;	 /* fsync: directories */
	struct fault write;	 /* pwritev: records */
	struct fault allocate;	 /* fallocate: new segments */
	struct fault checkpoint; /* write: the checkpoint's file */
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool hold;		/* fdatasync and fsync hang */
	int held;		/* threads that hang now */
	_Atomic long taken_kib; /* of a disk of 1 GiB, as statvfs tells */
} faults = {.mutex = PTHREAD_MUTEX_INITIALIZER,
	    .changed = PTHREAD_COND_INITIALIZER};

static inline void fault_set(struct fault *f, int times, int code)
{
	f->hits = 0;
	f->code = code;
	f->skip = 0;
	f->times = times;
}

/* The n-th call from now on fails, once. */
static inline void fault_after(struct fault *f, int n, int code)
{
	fault_set(f, 0, code);
	f->skip = n - 1;
	f->times = 1;
}

static inline bool fault_hit(struct fault *f)
{
	int times = f->times;

	if (times == 0)
		return false;
	if (f->skip > 0) {
		f->skip--;
		return false;
	}
	if (times > 0)
		f->times = times - 1;
	f->hits++;
	errno = f->code;
	return true;
}

static inline void fault_clear(void)
{
	fault_set(&faults.sync, 0, 0);
	fault_set(&faults.dirsync, 0, 0);
	fault_set(&faults.write, 0, 0);
	fault_set(&faults.allocate, 0, 0);
	fault_set(&faults.checkpoint, 0, 0);
	faults.taken_kib = 0;
}

static inline void hang_here(void)
{
	pthread_mutex_lock(&faults.mutex);
	faults.held++;
	pthread_cond_broadcast(&faults.changed);
	while (faults.hold)
		pthread_cond_wait(&faults.changed, &faults.mutex);
	faults.held--;
	pthread_mutex_unlock(&faults.mutex);
}

/* From now on syncs hang, until released. */
static inline void hold_syncs(bool hold)
{
	pthread_mutex_lock(&faults.mutex);
	faults.hold = hold;
	pthread_cond_broadcast(&faults.changed);
	pthread_mutex_unlock(&faults.mutex);
}

/* Waits until a sync hangs; false when none does within 10 s. */
static inline bool wait_held(void)
{
	struct timespec until;
	bool held;
	int rc = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 10;
	pthread_mutex_lock(&faults.mutex);
	while (!faults.held && rc == 0)
		rc = pthread_cond_timedwait(&faults.changed, &faults.mutex,
					    &until);
	held = faults.held > 0;
	pthread_mutex_unlock(&faults.mutex);
	return held;
}

int fdatasync(int fd)
{
	hang_here();
	if (fault_hit(&faults.sync))
		return -1;
	return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
	hang_here();
	if (fault_hit(&faults.dirsync))
		return -1;
	return (int)syscall(SYS_fsync, fd);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
	/* Writes a part first, as a disk that fills up does. */
	if (faults.write.times && count > 1)
		syscall(SYS_pwritev, fd, parts, 1, offset, 0);
	if (fault_hit(&faults.write))
		return -1;
	return syscall(SYS_pwritev, fd, parts, count, offset, 0);
}

int fallocate(int fd, int mode, off_t offset, off_t bytes)
{
	if (fault_hit(&faults.allocate))
		return -1;
	return (int)syscall(SYS_fallocate, fd, mode, offset, bytes);
}

int statvfs(const char *path, struct statvfs *v)
{
	(void)path;
	*v = (struct statvfs){.f_frsize = 1024, .f_blocks = 1 << 20};
	v->f_bavail = v->f_blocks - (fsblkcnt_t)faults.taken_kib;
	return 0;
}

ssize_t write(int fd, const void *data, size_t bytes)
{
	/* Only durable_replace() writes blocks of this size here. */
	if (bytes > 256 && fault_hit(&faults.checkpoint))
		return -1;
	return syscall(SYS_write, fd, data, bytes);
}

#endif
