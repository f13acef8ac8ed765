#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/durable.h"
#include "proto/control.h"
#include "services/supervisor/supervisor.h"

/* One weftd per run_dir: the lock goes with the process, however it ends. */
static int take_lock(struct supervisor *s, struct err *err)
{
	char *path = xasprintf("%s/%s", s->run_dir, CONTROL_LOCK);
	char pid[32] = "";
	int rc = 0;

	s->lock_fd =
	    open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->lock_fd < 0) {
		rc = err_errno(err, errno, "cannot open %s", path);
	} else if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		ssize_t n = read(s->lock_fd, pid, sizeof(pid) - 1);

		pid[n > 0 ? (size_t)n : 0] = '\0';
		pid[strcspn(pid, "\n")] = '\0';
		rc = err_set(err, EBUSY,
			     "the pipeline runs already: weftd with pid %s "
			     "holds %s; see `pipelinectl status`",
			     pid, path);
	} else if (ftruncate(s->lock_fd, 0) != 0 ||
		   dprintf(s->lock_fd, "%d\n", getpid()) < 0) {
		rc = err_errno(err, errno, "cannot write %s", path);
	}
	free(path);
	return rc;
}

/*
 * Whoever may write to a directory of ours can put a link or a file of his own
 * where a log, lock, secret or socket is to be; the default places without root
 * lie in /tmp, where anybody could have made them. In run_dir that would be
 * the control socket, so not even our group may; state_dir may be a volume
 * that an orchestrator gave to our group.
 */
static int check_dir(const char *key, const char *path, mode_t others,
		     struct err *err)
{
	struct stat name, dir;

	if (lstat(path, &name) != 0 || stat(path, &dir) != 0)
		return err_errno(err, errno, "cannot look at %s", path);
	if ((name.st_uid != geteuid() && name.st_uid != 0) ||
	    (dir.st_uid != geteuid() && dir.st_uid != 0))
		return err_set(err, EPERM,
			       "%s %s belongs to another user; choose "
			       "another one, or remove it",
			       key, path);
	if (dir.st_mode & others)
		return err_set(err, EPERM,
			       "%s %s can be written by others; do `chmod %s-w "
			       "%s`, or name a directory in it",
			       key, path, others & S_IWGRP ? "go" : "o", path);
	return 0;
}

static int make_dir(const char *key, const char *path, struct err *err)
{
	if (durable_mkdir(path, err) == 0)
		return 0;
	if (err->code == EACCES || err->code == EROFS)
		err_wrap(
		    err,
		    "pipeline.%s must be a directory that uid %u may write",
		    key, (unsigned)geteuid());
	return -1;
}

static int make_dirs(struct supervisor *s, struct err *err)
{
	const struct conf_pipeline *p = s->conf->pipeline;

	/* By turns: without a home state_dir lies in run_dir. */
	if (make_dir("run_dir", p->run_dir, err) != 0 ||
	    check_dir("run_dir", p->run_dir, S_IWGRP | S_IWOTH, err) != 0 ||
	    make_dir("state_dir", p->state_dir, err) != 0 ||
	    check_dir("state_dir", p->state_dir, S_IWOTH, err) != 0 ||
	    make_dir("log_dir", p->log_dir, err) != 0 ||
	    check_dir("log_dir", p->log_dir, S_IWOTH, err) != 0)
		return -1;
	s->run_dir = xstrdup(p->run_dir);
	s->notify_path = xasprintf("%s/%s", s->run_dir, CONTROL_NOTIFY);
	s->topology_path = xasprintf("%s/%s", s->run_dir, CONTROL_TOPOLOGY);
	return 0;
}

/* The services lie beside weftd; $WEFT_LIBEXEC names another place. */
static int find_libexec(struct supervisor *s, struct err *err)
{
	const char *given = getenv("WEFT_LIBEXEC");
	char self[PATH_MAX];
	ssize_t n;

	if (given) {
		s->libexec = xstrdup(given);
		return 0;
	}
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0)
		return err_errno(err, errno, "cannot read /proc/self/exe");
	self[n] = '\0';
	s->libexec = xstrdup(dirname(self));
	return 0;
}

int claim_place(struct supervisor *s, struct err *err)
{
	if (make_dirs(s, err) != 0 || find_libexec(s, err) != 0)
		return -1;
	return take_lock(s, err);
}
