#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/durable.h"
#include "run/private.h"

#define SECRET_BYTES 32
#define SECRET_LEAST 16

static int lock_busy(int fd, const char *path, struct err *err)
{
	char pid[32] = "";
	ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

	if (n > 0)
		pid[strcspn(pid, "\n")] = '\0';
	err_set(err, EBUSY,
		"%s is locked: process %s runs this instance already; stop it "
		"first, or give this one another name or state_dir",
		path, *pid ? pid : "(unknown)");
	err->retriable = true;
	return -1;
}

int statedir_take(struct run *run, struct err *err)
{
	char *path, pid[32];
	int n, rc = -1;

	if (durable_mkdir(run->state_dir, err) != 0)
		return -1;
	path = xasprintf("%s/lock", run->state_dir);
	run->lock_fd =
	    open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (run->lock_fd < 0) {
		err_errno(err, errno, "cannot open %s", path);
		goto out;
	}
	if (flock(run->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		lock_busy(run->lock_fd, path, err);
		goto out;
	}
	n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(run->lock_fd, 0) != 0 ||
	    pwrite(run->lock_fd, pid, (size_t)n, 0) != n) {
		err_errno(err, errno, "cannot write %s", path);
		goto out;
	}
	rc = 0;
out:
	free(path);
	return rc;
}

/* Links a fresh random secret into place; losing the race is fine. */
static int secret_make(const char *path, struct err *err)
{
	uint8_t random[SECRET_BYTES];
	char hex[2 * SECRET_BYTES + 1];
	char *own = xasprintf("%s.%d", path, (int)getpid());
	int rc = -1;

	if (getrandom(random, sizeof(random), 0) != sizeof(random)) {
		err_errno(err, errno, "cannot read random bytes");
		goto out;
	}
	for (size_t i = 0; i < SECRET_BYTES; i++)
		snprintf(hex + 2 * i, 3, "%02x", random[i]);
	if (durable_replace(own, hex, 2 * SECRET_BYTES, err) != 0)
		goto out;
	if (link(own, path) != 0 && errno != EEXIST) {
		err_errno(err, errno, "cannot create %s", path);
		goto out;
	}
	rc = 0;
out:
	unlink(own);
	free(own);
	return rc;
}

static int secret_take(struct run *run, const char *text, size_t bytes,
		       const char *where, struct err *err)
{
	while (bytes && (text[bytes - 1] == '\n' || text[bytes - 1] == '\r'))
		bytes--;
	if (bytes < SECRET_LEAST || bytes > sizeof(run->secret))
		return err_set(err, EINVAL,
			       "%s: the secret has %zu bytes; give %d to %zu",
			       where, bytes, SECRET_LEAST, sizeof(run->secret));
	memcpy(run->secret, text, bytes);
	run->secret_bytes = bytes;
	return 0;
}

int secret_load(struct run *run, struct err *err)
{
	const char *given = run->conf->pipeline->secret;
	char *path, *text = NULL;
	size_t bytes;
	int rc;

	if (given)
		return secret_take(run, given, strlen(given), "pipeline.secret",
				   err);
	path = xasprintf("%s/secret", run->conf->pipeline->state_dir);
	rc = durable_read(path, 4096, &text, &bytes, err);
	if (rc != 0 && err->code == ENOENT && secret_make(path, err) == 0)
		rc = durable_read(path, 4096, &text, &bytes, err);
	if (rc == 0)
		rc = secret_take(run, text, bytes, path, err);
	free(text);
	free(path);
	return rc;
}
