#include "spool/segments.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/durable.h"
#include "base/failpoint.h"
#include "base/log.h"

#define NAME_DIGITS  20
#define PAGE_BYTES   4096
#define NEW_ENDING   ".log.new"
#define SPARE_ENDING ".log.spare"

void segments_free(struct segments *t)
{
	free(t->list);
	memset(t, 0, sizeof(*t));
}

void segments_push(struct segments *t, const struct segment *segment)
{
	if (t->count && t->list[t->count - 1].base == segment->base)
		t->count--;
	if (t->count == t->size) {
		t->size = t->size ? t->size * 2 : 16;
		t->list = xreallocarray(t->list, t->size, sizeof(*t->list));
	}
	t->list[t->count++] = *segment;
}

void segments_remove(struct segments *t, size_t at, size_t count)
{
	if (!count)
		return;
	memmove(t->list + at, t->list + at + count,
		(t->count - at - count) * sizeof(*t->list));
	t->count -= count;
}

const struct segment *segments_find(const struct segments *t, uint64_t position)
{
	size_t low = 0, high = t->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (t->list[middle].end > position)
			high = middle;
		else
			low = middle + 1;
	}
	/* Empty segments end where they begin and are never found. */
	while (low < t->count && t->list[low].end == t->list[low].base)
		low++;
	return low < t->count ? &t->list[low] : NULL;
}

char *segment_path(const char *dir, uint64_t base)
{
	return xasprintf("%s/%0*" PRIu64 ".log", dir, NAME_DIGITS, base);
}

static bool has_ending(const char *name, const char *ending)
{
	return strspn(name, "0123456789") == NAME_DIGITS &&
	       strcmp(name + NAME_DIGITS, ending) == 0;
}

static bool parse_name(const char *name, uint64_t *base)
{
	uint64_t value = 0;

	if (!has_ending(name, ".log"))
		return false;
	for (int i = 0; i < NAME_DIGITS; i++) {
		uint64_t digit = (uint64_t)(name[i] - '0');

		/* Leaves room for any record behind it. */
		if (value > (INT64_MAX / 2 - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*base = value;
	return true;
}

int segment_open(const char *dir, uint64_t base, struct err *err)
{
	char *path = segment_path(dir, base);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0) {
		err_errno(err, errno, "cannot open %s", path);
	} else if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		err_set(err, EINVAL, "%s is not a regular file", path);
		close(fd);
		fd = -1;
	}
	free(path);
	return fd;
}

/* 1 when it was read, 0 when it is gone, -1 with *err. */
static int inspect(const char *dir, uint64_t base, struct segment *segment,
		   struct err *err)
{
	uint8_t data[SEGMENT_HEADER_BYTES];
	struct segment_header header;
	int fd = segment_open(dir, base, err);
	struct stat st;
	ssize_t n;

	memset(segment, 0, sizeof(*segment));
	segment->base = segment->end = base;
	if (fd < 0)
		return err->code == ENOENT ? 0 : -1;
	if (fstat(fd, &st) != 0) {
		err_errno(err, errno,
			  "cannot look at segment %" PRIu64 " in %s", base,
			  dir);
		close(fd);
		return -1;
	}
	n = pread(fd, data, sizeof(data), 0);
	if (n == (ssize_t)sizeof(data) &&
	    segment_header_decode(data, &header) == 0 && header.base == base) {
		segment->header_good = true;
		segment->log = header.log;
	}
	if (st.st_size > SEGMENT_HEADER_BYTES)
		segment->end =
		    base + (uint64_t)(st.st_size - SEGMENT_HEADER_BYTES);
	close(fd);
	return 1;
}

static int by_base(const void *a, const void *b)
{
	uint64_t left = ((const struct segment *)a)->base;
	uint64_t right = ((const struct segment *)b)->base;

	return left < right ? -1 : left > right;
}

void segments_cut_overlaps(struct segments *t)
{
	for (size_t i = 0; i + 1 < t->count; i++)
		if (t->list[i].end > t->list[i + 1].base)
			t->list[i].end = t->list[i + 1].base;
}

int segments_load(const char *dir, struct segments *t, struct err *err)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	int rc = 0;

	if (!d)
		return err_errno(err, errno, "cannot list %s", dir);
	while (rc >= 0 && (entry = readdir(d))) {
		struct segment segment;
		uint64_t base;

		if (!parse_name(entry->d_name, &base))
			continue;
		rc = inspect(dir, base, &segment, err);
		if (rc == 1)
			segments_push(t, &segment);
	}
	closedir(d);
	if (rc < 0)
		return -1;
	if (t->count)
		qsort(t->list, t->count, sizeof(*t->list), by_base);
	return 0;
}

static char *temporary_path(const char *dir, uint64_t base)
{
	return xasprintf("%s/%0*" PRIu64 NEW_ENDING, dir, NAME_DIGITS, base);
}

static char *spare_path(const char *dir, uint64_t base)
{
	return xasprintf("%s/%0*" PRIu64 SPARE_ENDING, dir, NAME_DIGITS, base);
}

/*
 * Preallocated without growing the file: a commit costs the same either way,
 * and recovery need not look through a tail of zeros.
 */
static int prepare(int fd, const char *path,
		   const struct segment_header *header, int64_t reserve_bytes,
		   struct err *err)
{
	uint8_t data[SEGMENT_HEADER_BYTES];

	if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0,
		      SEGMENT_HEADER_BYTES + reserve_bytes) != 0 &&
	    errno != EOPNOTSUPP && errno != ENOSYS)
		return err_errno(err, errno, "cannot preallocate %s", path);
	segment_header_encode(header, data);
	if (pwrite(fd, data, sizeof(data), 0) != (ssize_t)sizeof(data))
		return err_errno(err, errno ? errno : ENOSPC, "cannot write %s",
				 path);
	return 0;
}

int segment_begin(const char *dir, const struct segment_header *header,
		  int64_t reserve_bytes, int *fd, struct err *err)
{
	char *path = temporary_path(dir, header->base);
	int rc = -1;

	/* A left-over may have failed to sync: never the same file again. */
	unlink(path);
	*fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (*fd < 0) {
		err_errno(err, errno, "cannot create %s", path);
		goto out;
	}
	rc = prepare(*fd, path, header, reserve_bytes, err);
out:
	if (rc != 0 && *fd >= 0) {
		close(*fd);
		*fd = -1;
		unlink(path);
	}
	free(path);
	return rc;
}

/* NOLINTNEXTLINE(readability-function-size): segment_begin() and the spare */
int segment_begin_over(const char *dir, const struct segment_header *header,
		       uint64_t spare, int64_t reserve_bytes, int *fd,
		       struct err *err)
{
	char *from = spare_path(dir, spare);
	char *path = temporary_path(dir, header->base);
	int rc = -1;

	*fd = -1;
	if (rename(from, path) == 0)
		*fd = open(path, O_WRONLY | O_CLOEXEC);
	if (*fd < 0)
		err_errno(err, errno, "cannot use %s", from);
	else
		rc = prepare(*fd, path, header, reserve_bytes, err);
	if (rc != 0 && *fd >= 0) {
		close(*fd);
		*fd = -1;
	}
	if (rc != 0)
		unlink(path);
	free(path);
	free(from);
	return rc;
}

int segment_make_spare(const char *dir, uint64_t base, int64_t *bytes)
{
	char *path = segment_path(dir, base);
	char *spare = spare_path(dir, base);
	struct stat st;
	int rc = -1;

	if (stat(path, &st) == 0 && rename(path, spare) == 0)
		rc = 0;
	*bytes = rc == 0 ? (int64_t)st.st_blocks * 512 : 0;
	free(spare);
	free(path);
	return rc;
}

void segment_unlink_spare(const char *dir, uint64_t base)
{
	char *path = spare_path(dir, base);

	unlink(path);
	free(path);
}

void segments_sweep(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;

	while (d && (entry = readdir(d)))
		if (has_ending(entry->d_name, SPARE_ENDING) ||
		    has_ending(entry->d_name, NEW_ENDING))
			unlinkat(dirfd(d), entry->d_name, 0);
	if (d)
		closedir(d);
}

uint64_t segments_spare_bytes(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	uint64_t bytes = 0;
	struct stat st;

	while (d && (entry = readdir(d)))
		if (has_ending(entry->d_name, SPARE_ENDING) &&
		    fstatat(dirfd(d), entry->d_name, &st, 0) == 0)
			bytes += (uint64_t)st.st_blocks * 512;
	if (d)
		closedir(d);
	return bytes;
}

int segment_publish(const char *dir, uint64_t base, int fd, struct err *err)
{
	char *temporary = temporary_path(dir, base);
	char *path = segment_path(dir, base);
	int rc = -1;

	if (durable_sync(fd, temporary, err) != 0)
		goto out;
	FAILPOINT("spool_segment_created");
	if (rename(temporary, path) != 0) {
		err_errno(err, errno, "cannot rename %s", temporary);
		goto out;
	}
	FAILPOINT("spool_before_dirsync");
	rc = durable_sync_dir(dir, err);
out:
	free(temporary);
	free(path);
	return rc;
}

void segment_trim(const char *dir, uint64_t base, uint64_t end)
{
	int64_t keep = segment_offset(base, end);
	char *path = segment_path(dir, base);
	struct stat st;

	keep = (keep + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
	/* To the same size it still drops what is preallocated behind. */
	if (stat(path, &st) == 0 &&
	    truncate(path, keep < st.st_size ? keep : st.st_size) != 0)
		log_warn("spool_trim_failed", "path=%s errno=%d", path, errno);
	free(path);
}

void segment_unlink(const char *dir, uint64_t base)
{
	char *path = segment_path(dir, base);

	if (unlink(path) != 0 && errno != ENOENT)
		log_warn("spool_unlink_failed", "path=%s errno=%d", path,
			 errno);
	free(path);
}

void segment_set_aside(const char *dir, uint64_t base, const char *reason)
{
	char *path = segment_path(dir, base);
	char *aside = xasprintf("%s.aside", path);
	char quoted[LOG_QUOTE_BYTES];

	if (rename(path, aside) != 0)
		log_warn("spool_set_aside_failed", "path=%s errno=%d", path,
			 errno);
	else
		log_warn("spool_segment_set_aside", "path=%s reason=%s", aside,
			 log_quote(quoted, reason));
	free(aside);
	free(path);
}
