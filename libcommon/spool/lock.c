#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "spool/lock.h"

/* What the holder wrote, for the message only: "an unknown process" if not. */
static void describe_holder(int fd, char *text, size_t size)
{
	char pid[16] = {0};
	ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

	if (n > 0 && strspn(pid, "0123456789") > 0)
		snprintf(text, size, "process %.*s",
			 (int)strspn(pid, "0123456789"), pid);
	else
		snprintf(text, size, "an unknown process");
}

static int write_pid(int fd)
{
	char pid[16];
	int n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());

	if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)n, 0) != n)
		return -1;
	return 0;
}

int spool_lock(const char *dir, int *fd, struct err *err)
{
	char *path = xasprintf("%s/lock", dir);
	char holder[40];
	int rc = -1;

	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*fd < 0) {
		err_errno(err, errno, "cannot open %s", path);
		goto out;
	}
	if (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
		int code = errno;

		if (code != EWOULDBLOCK) {
			err_errno(err, code, "cannot lock %s", path);
			goto out;
		}
		describe_holder(*fd, holder, sizeof(holder));
		err_set(err, EBUSY,
			"the log in %s is in use by %s; stop it first", dir,
			holder);
		goto out;
	}
	/* The pid is for people; a full disk must not keep a log shut. */
	if (write_pid(*fd) != 0 && errno != ENOSPC) {
		err_errno(err, errno, "cannot write %s", path);
		goto out;
	}
	rc = 0;
out:
	if (rc != 0 && *fd >= 0) {
		close(*fd);
		*fd = -1;
	}
	free(path);
	return rc;
}

/* The inode alone: file systems in layers have several device numbers. */
static bool is_lock_of(const char *line, unsigned long inode)
{
	unsigned long found;

	return strstr(line, " FLOCK ") &&
	       sscanf(line, "%*s %*s %*s %*s %*s %*x:%*x:%lu", &found) == 1 &&
	       found == inode;
}

bool spool_lock_is_held(const char *dir)
{
	char *path = xasprintf("%s/lock", dir);
	FILE *locks = fopen("/proc/locks", "re");
	struct stat st;
	char line[256];
	bool held = false;

	if (locks && stat(path, &st) == 0)
		while (!held && fgets(line, sizeof(line), locks))
			held = is_lock_of(line, (unsigned long)st.st_ino);
	if (locks)
		fclose(locks);
	free(path);
	return held;
}
