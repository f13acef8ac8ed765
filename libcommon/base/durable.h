/*
 * The only caller of fsync. Whatever must survive power loss goes through here;
 * nothing in Weft retries a failed sync on the same file, because the kernel
 * drops the dirty pages it could not write.
 */
#ifndef WEFT_BASE_DURABLE_H
#define WEFT_BASE_DURABLE_H

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

/*
 * fdatasync(fd); `path` is for the message. On an error err->fatal is set: what
 * was written since the last good sync may be gone, so the file is to be sealed
 * and its contents written again elsewhere. Any thread; blocks.
 */
int durable_sync(int fd, const char *path, struct err *err) MUST_CHECK;

/* The same for a file that somebody else wrote and closed, by its path. */
int durable_sync_file(const char *path, struct err *err) MUST_CHECK;

/* Syncs a directory, so that the names in it survive. Any thread; blocks. */
int durable_sync_dir(const char *path, struct err *err) MUST_CHECK;

/*
 * Replaces the file `path` by `bytes` bytes, all or nothing: a temporary file
 * beside it (<path>.new, gone again after an error), sync, rename, directory
 * sync. Mode 0600. One writer per path. When only the last step fails, the new
 * contents are in place but may not survive power loss.
 */
int durable_replace(const char *path, const void *data, size_t bytes,
		    struct err *err) MUST_CHECK;

/*
 * Makes the file `path`, which must not be there (EEXIST), with these bytes,
 * synced; its name is not: the caller links or renames it and then syncs that
 * directory. After an error nothing of it is left. Any thread; blocks.
 */
int durable_create(const char *path, mode_t mode, const void *data,
		   size_t bytes, struct err *err) MUST_CHECK;

/*
 * Makes a directory and its missing parents (mode 0700 and the umask), each
 * synced into its parent. One that exists is success, and is synced too, lest
 * whoever made it did not get that far.
 */
int durable_mkdir(const char *path, struct err *err) MUST_CHECK;
/* The same with another mode, for what others than we read. */
int durable_mkdir_mode(const char *path, mode_t mode,
		       struct err *err) MUST_CHECK;

/*
 * Reads a whole file of at most `limit` bytes; *data is owned by the caller and
 * has a NUL behind its *bytes bytes. ENOENT, EFBIG, and EINVAL for what is no
 * regular file come as err->code.
 */
int durable_read(const char *path, size_t limit, char **data, size_t *bytes,
		 struct err *err) MUST_CHECK;

#endif
