#include "spool/aside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/durable.h"
#include "base/log.h"
#include "spool/segments.h"

#define COPY_BYTES    ((size_t)262144)
#define NAME_DIGITS   20
#define ENDING	      ".aside"
#define RECORD_ENDING ".record.aside"
#define LOG_ENDING    ".log.aside"
#define MOST	      65536

/* Copies [offset, end) of one file to the start of another; what cannot be read
 * is left zero. */
static int copy_range(int from, int to, int64_t offset, int64_t end)
{
	char *data = xmalloc(COPY_BYTES);
	int64_t at = 0;
	int rc = 0;

	while (offset + at < end && rc == 0) {
		size_t bytes = (size_t)(end - offset - at) < COPY_BYTES
				   ? (size_t)(end - offset - at)
				   : COPY_BYTES;
		ssize_t n = pread(from, data, bytes, offset + at);

		if (n < 0) {
			memset(data, 0, bytes);
			n = (ssize_t)bytes;
		}
		if (n == 0)
			break;
		if (pwrite(to, data, (size_t)n, at) != n)
			rc = -1;
		at += n;
	}
	free(data);
	return rc;
}

static int copy_out(const char *segment, const char *path, int64_t offset,
		    int64_t end, struct err *err)
{
	int from = open(segment, O_RDONLY | O_CLOEXEC);
	int to = -1;
	int rc = -1;

	if (from >= 0)
		to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (to < 0) {
		err_errno(err, errno, "cannot make %s", path);
		goto out;
	}
	if (copy_range(from, to, offset, end) != 0)
		err_errno(err, errno ? errno : ENOSPC, "cannot write %s", path);
	else
		rc = durable_sync(to, path, err);
	if (rc != 0)
		unlink(path);
out:
	if (to >= 0)
		close(to);
	if (from >= 0)
		close(from);
	return rc;
}

void aside_keep(const char *dir, uint64_t base, uint64_t from, uint64_t to)
{
	char *segment = segment_path(dir, base);
	char *path =
	    xasprintf("%s/%0*" PRIu64 RECORD_ENDING, dir, NAME_DIGITS, from);
	char quoted[LOG_QUOTE_BYTES];
	struct err err = {0};

	if (access(path, F_OK) == 0)
		goto out;
	if (copy_out(segment, path, segment_offset(base, from),
		     segment_offset(base, to), &err) != 0 ||
	    durable_sync_dir(dir, &err) != 0)
		log_warn("spool_set_aside_failed", "path=%s error=%s", path,
			 log_quote(quoted, err.text));
	else
		log_warn("spool_record_set_aside",
			 "path=%s action=\"stop the service and run "
			 "pipelinectl spool repair\"",
			 path);
out:
	free(path);
	free(segment);
}

static bool ends_with(const char *name, const char *ending)
{
	size_t bytes = strlen(name), more = strlen(ending);

	return bytes > more && strcmp(name + bytes - more, ending) == 0;
}

static void judge_name(struct aside *a)
{
	const char *rest = a->name + NAME_DIGITS;

	a->kind = ASIDE_OTHER;
	if (strspn(a->name, "0123456789") != NAME_DIGITS)
		return;
	errno = 0;
	a->position = strtoull(a->name, NULL, 10);
	if (errno || a->position > INT64_MAX / 2)
		return;
	if (strcmp(rest, RECORD_ENDING) == 0)
		a->kind = ASIDE_RECORD;
	else if (strcmp(rest, LOG_ENDING) == 0)
		a->kind = ASIDE_SEGMENT;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct aside *)a)->name,
		      ((const struct aside *)b)->name);
}

int aside_list(const char *dir, struct aside **list, size_t *count,
	       struct err *err)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	struct stat st;

	*list = NULL;
	*count = 0;
	if (!d)
		return err_errno(err, errno, "cannot list %s", dir);
	while (*count < MOST && (entry = readdir(d))) {
		struct aside a = {0};

		if (!ends_with(entry->d_name, ENDING) ||
		    fstatat(dirfd(d), entry->d_name, &st, 0) != 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		a.name = xstrdup(entry->d_name);
		a.bytes = st.st_size;
		judge_name(&a);
		*list = xreallocarray(*list, *count + 1, sizeof(**list));
		(*list)[(*count)++] = a;
	}
	closedir(d);
	if (*count)
		qsort(*list, *count, sizeof(**list), by_name);
	return 0;
}

void aside_free(struct aside *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(list[i].name);
	free(list);
}
