/*
 * A lake in a local folder. A new file is written and synced under a temporary
 * name beside its own, then linked (put-if-absent) or renamed to it, then the
 * directory is synced: in this order, so that no crash shows half a file.
 */
#include "lake/store_local.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/durable.h"
#include "base/failpoint.h"
#include "base/uuid.h"

#define TEMPORARY_BEGIN ".weft-"
#define TEMPORARY_END	".tmp"
#define FILE_MODE	0666 /* and the umask: others may read a lake */
#define FOLDER_MODE	0777

/* Where a new file is made before it gets its name. */
struct attempt {
	char *path;	 /* of the name */
	char *dir;	 /* of that */
	char *temporary; /* in dir */
};

char *local_path(const struct local *l, const char *name)
{
	return xasprintf("%s/%s", l->root, name);
}

bool local_is_temporary(const char *name)
{
	size_t bytes = strlen(name), end = strlen(TEMPORARY_END);

	return strncmp(name, TEMPORARY_BEGIN, strlen(TEMPORARY_BEGIN)) == 0 &&
	       bytes > end && strcmp(name + bytes - end, TEMPORARY_END) == 0;
}

int local_failed(struct err *err)
{
	err->fatal = false; /* the next attempt has a file of its own */
	switch (err->code) {
	case EACCES:
	case EFBIG:
	case EINVAL:
	case EISDIR:
	case ELOOP:
	case ENAMETOOLONG:
	case ENOENT:
	case ENOTDIR:
	case EPERM:
		err->retriable = false;
		break;
	default:
		err->retriable = true;
	}
	return -1;
}

static char *dir_of(const char *path)
{
	char *copy = xstrdup(path);
	char *dir = xstrdup(dirname(copy));

	free(copy);
	return dir;
}

static void forget_settled(struct local *l)
{
	while (l->settled_count)
		free(l->settled[--l->settled_count]);
}

static bool is_settled(const struct local *l, const char *dir)
{
	for (size_t i = 0; i < l->settled_count; i++)
		if (strcmp(l->settled[i], dir) == 0)
			return true;
	return false;
}

/* One that we may not read is none that we made something in. */
static int sync_readable(const char *dir, struct err *err)
{
	return durable_sync_dir(dir, err) == 0 || err->code == EACCES ? 0 : -1;
}

int local_settle(struct local *l, const char *dir, struct err *err)
{
	char *parent;
	int rc;

	if (is_settled(l, dir))
		return 0;
	parent = dir_of(dir);
	rc = sync_readable(dir, err);
	if (rc == 0)
		rc = sync_readable(parent, err);
	free(parent);
	if (rc != 0)
		return -1;
	if (l->settled_count == LOCAL_SETTLED)
		forget_settled(l);
	l->settled[l->settled_count++] = xstrdup(dir);
	return 0;
}

/* The same for the folder that a file is to be read from. */
static int settle_around(struct local *l, const char *path, struct err *err)
{
	char *dir = dir_of(path);
	int rc = local_settle(l, dir, err);

	free(dir);
	return rc;
}

static int make_folder(struct local *l, const char *dir, struct err *err)
{
	if (is_settled(l, dir) && access(dir, F_OK) == 0)
		return 0;
	/* Somebody may have removed the whole table. */
	if (is_settled(l, dir))
		forget_settled(l);
	if (durable_mkdir_mode(dir, FOLDER_MODE, err) != 0)
		return -1;
	return local_settle(l, dir, err);
}

static int attempt_begin(struct local *l, struct attempt *a, const char *name,
			 struct err *err)
{
	struct uuid id = uuid_new();
	char text[UUID_TEXT_BYTES];

	a->path = local_path(l, name);
	a->dir = dir_of(a->path);
	a->temporary = xasprintf("%s/" TEMPORARY_BEGIN "%s" TEMPORARY_END,
				 a->dir, uuid_format(&id, text));
	return make_folder(l, a->dir, err);
}

static void attempt_end(struct attempt *a)
{
	free(a->temporary);
	free(a->dir);
	free(a->path);
}

/* 0 when the file has its name now, EEXIST when another one has. */
static int link_once(const struct attempt *a)
{
	struct stat st;
	int code;

	if (link(a->temporary, a->path) == 0)
		return 0;
	code = errno;
	/* Over NFS the answer to a link that was made can get lost. */
	if (stat(a->temporary, &st) == 0 && st.st_nlink == 2)
		return 0;
	return code;
}

static int link_failed(const struct attempt *a, int code, struct err *err)
{
	if (code == EPERM || code == EOPNOTSUPP || code == ENOSYS)
		return err_set(err, code,
			       "cannot link %s: its file system has no hard "
			       "links, which commits need; put the lake on "
			       "another one",
			       a->path);
	return err_errno(err, code, "cannot link %s", a->path);
}

static int put_if_absent(struct store *s, const char *name, const void *data,
			 size_t bytes, enum store_put *result, struct err *err)
{
	struct local *l = (struct local *)s;
	struct attempt a;
	int rc = -1, code;

	if (attempt_begin(l, &a, name, err) != 0 ||
	    durable_create(a.temporary, FILE_MODE, data, bytes, err) != 0)
		goto out;
	FAILPOINT("store_before_link");
	code = link_once(&a);
	FAILPOINT("store_after_link");
	unlink(a.temporary);
	if (code != 0 && code != EEXIST) {
		link_failed(&a, code, err);
		goto out;
	}
	rc = 0;
	*result = code == 0 ? STORE_CREATED : STORE_EXISTS;
	if (code == 0 && durable_sync_dir(a.dir, err) != 0) {
		/* Who reads it back has to settle the directory first. */
		forget_settled(l);
		local_failed(err);
		*result = STORE_UNKNOWN;
	}
out:
	attempt_end(&a);
	return rc == 0 ? 0 : local_failed(err);
}

static int put(struct store *s, const char *name, const void *data,
	       size_t bytes, struct err *err)
{
	struct local *l = (struct local *)s;
	struct attempt a;
	int rc = -1;

	if (attempt_begin(l, &a, name, err) != 0 ||
	    durable_create(a.temporary, FILE_MODE, data, bytes, err) != 0)
		goto out;
	if (rename(a.temporary, a.path) == 0) {
		rc = durable_sync_dir(a.dir, err);
	} else {
		err_errno(err, errno, "cannot rename %s to %s", a.temporary,
			  a.path);
		unlink(a.temporary);
	}
out:
	attempt_end(&a);
	return rc == 0 ? 0 : local_failed(err);
}

/* Appends all of one file to another; messages name both. */
static int copy_bytes(int from, const char *from_path, int to,
		      const char *to_path, struct err *err)
{
	ssize_t n;

	do {
		n = sendfile(to, from, NULL, 1 << 20);
	} while (n > 0 || (n < 0 && errno == EINTR));
	if (n == 0)
		return 0;
	return err_errno(err, errno, "cannot copy %s to %s", from_path,
			 to_path);
}

/* Copies a regular file, synced if asked; nothing is left after an error. */
static int copy_file(const char *from_path, const char *to_path, bool sync,
		     struct err *err)
{
	/* Without O_NONBLOCK a FIFO would hold us until somebody writes. */
	int from = open(from_path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	int to = -1, rc = -1;
	struct stat st;

	if (from < 0)
		return err_errno(err, errno, "cannot open %s", from_path);
	if (fstat(from, &st) != 0 || !S_ISREG(st.st_mode)) {
		err_set(err, EINVAL, "%s is not a regular file", from_path);
		goto out;
	}
	to = open(to_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, FILE_MODE);
	if (to < 0) {
		err_errno(err, errno, "cannot create %s", to_path);
		goto out;
	}
	rc = copy_bytes(from, from_path, to, to_path, err);
	if (rc == 0 && sync)
		rc = durable_sync(to, to_path, err);
	close(to);
	if (rc != 0)
		unlink(to_path);
out:
	close(from);
	return rc;
}

/* Gives the file at `path` the name, over file systems by a copy. */
static int move_or_copy(const struct attempt *a, const char *path,
			struct err *err)
{
	if (durable_sync_file(path, err) != 0)
		return -1;
	if (rename(path, a->path) == 0) {
		if (durable_sync_dir(a->dir, err) == 0)
			return 0;
		/* So that the caller can try again. */
		(void)!rename(a->path, path);
		return -1;
	}
	if (errno != EXDEV)
		return err_errno(err, errno, "cannot rename %s to %s", path,
				 a->path);
	if (copy_file(path, a->temporary, true, err) != 0)
		return -1;
	if (rename(a->temporary, a->path) == 0)
		return durable_sync_dir(a->dir, err);
	err_errno(err, errno, "cannot rename %s to %s", a->temporary, a->path);
	unlink(a->temporary);
	return -1;
}

static int upload(struct store *s, const char *name, const char *path,
		  struct err *err)
{
	struct local *l = (struct local *)s;
	struct attempt a;
	int rc = attempt_begin(l, &a, name, err);

	if (rc == 0)
		rc = move_or_copy(&a, path, err);
	attempt_end(&a);
	return rc == 0 ? 0 : local_failed(err);
}

static int get(struct store *s, const char *name, size_t limit,
	       struct buf *data, struct err *err)
{
	struct local *l = (struct local *)s;
	char *path = local_path(l, name), *text = NULL;
	size_t bytes = 0;
	int rc = settle_around(l, path, err);

	if (rc == 0)
		rc = durable_read(path, limit, &text, &bytes, err);
	if (rc == 0)
		buf_append(data, text, bytes);
	free(text);
	free(path);
	return rc == 0 ? 0 : local_failed(err);
}

static int fetch(struct store *s, const char *name, const char *path,
		 struct err *err)
{
	struct local *l = (struct local *)s;
	char *from = local_path(l, name);
	int rc = settle_around(l, from, err);

	if (rc == 0)
		rc = copy_file(from, path, false, err);
	free(from);
	return rc == 0 ? 0 : local_failed(err);
}

static int remove_name(struct store *s, const char *name, struct err *err)
{
	char *path = local_path((struct local *)s, name);
	int rc = 0;

	if (unlink(path) != 0 && errno != ENOENT && errno != ENOTDIR) {
		err_errno(err, errno, "cannot remove %s", path);
		rc = local_failed(err);
	}
	free(path);
	return rc;
}

static const char *path_of_name(struct store *s, const char *name,
				struct buf *path)
{
	buf_clear(path);
	buf_printf(path, "%s/%s", ((struct local *)s)->root, name);
	return buf_str(path);
}

static void close_local(struct store *s)
{
	struct local *l = (struct local *)s;

	forget_settled(l);
	free(l->root);
	free(l);
}

static const struct store_kind kind = {
    .put_if_absent = put_if_absent,
    .upload = upload,
    .put = put,
    .get = get,
    .fetch = fetch,
    .list = local_list,
    .list_dirs = local_list_dirs,
    .remove = remove_name,
    .local_path = path_of_name,
    .close = close_local,
};

int store_open_local(struct store **s, const char *root, struct err *err)
{
	struct local *l;
	size_t bytes = strlen(root);

	*s = NULL;
	if (root[0] != '/')
		return err_set(err, EINVAL,
			       "the folder of a lake is an absolute path, not "
			       "\"%.200s\"",
			       root);
	if (durable_mkdir_mode(root, FOLDER_MODE, err) != 0)
		return local_failed(err);
	while (bytes > 1 && root[bytes - 1] == '/')
		bytes--;
	l = xcalloc(1, sizeof(*l));
	l->store.kind = &kind;
	l->root = xmemdup0(root, bytes);
	l->store.url = xasprintf("file://%s", l->root);
	*s = &l->store;
	return 0;
}
