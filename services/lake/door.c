#include "services/lake/door.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/durable.h"
#include "proto/control.h"

#define SERVICE	   "replay"
#define READ_BYTES (64u << 10)
#define LOOK_MS	   100 /* how soon a stop is seen */
#define SAID_BYTES 600 /* of the log that an error shows */
#define LOG_BYTES  (4 << 20)
#define END_US	   10000000

/* ---- starting ---- */

/* What another user makes there the pipeline's own could not write. */
static int check_user(const struct conf *conf, struct err *err)
{
	const char *dir = conf->pipeline->state_dir;
	const struct passwd *owner;
	struct stat st;

	if (stat(dir, &st) != 0)
		return err_errno(err, errno, "cannot look into %s", dir);
	if (st.st_uid == geteuid())
		return 0;
	owner = getpwuid(st.st_uid);
	if (owner)
		return err_set(err, EACCES,
			       "%s belongs to user %s: run this as %s, with "
			       "sudo -u %s pipelinectl …",
			       dir, owner->pw_name, owner->pw_name,
			       owner->pw_name);
	return err_set(err, EACCES,
		       "%s belongs to user number %u: run this as that user",
		       dir, (unsigned)st.st_uid);
}

static int check_running(const struct conf *conf, struct err *err)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), bad;

	if (fd < 0)
		return err_errno(err, errno, "cannot make a socket");
	snprintf(at.sun_path, sizeof(at.sun_path), "%s/" CONTROL_SOCKET,
		 conf->pipeline->run_dir);
	bad = connect(fd, (struct sockaddr *)&at, sizeof(at)) ? errno : 0;
	close(fd);
	if (bad == ENOENT || bad == ECONNREFUSED)
		return err_set(err, ENOTCONN,
			       "not running: no weftd listens on %s; start it "
			       "with `pipelinectl start`",
			       at.sun_path);
	return bad ? err_errno(err, bad, "cannot reach weftd on %s",
			       at.sun_path)
		   : 0;
}

static int find_service(char path[PATH_MAX], struct err *err)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		return err_errno(err, errno, "cannot read /proc/self/exe");
	self[n] = '\0';
	n = snprintf(path, PATH_MAX, "%s/" SERVICE, dirname(self));
	if (n >= PATH_MAX || access(path, X_OK) != 0)
		return err_errno(err, errno, "cannot execute %s", path);
	return 0;
}

/* Ours, and where weftd says how many transformers there are. */
static char **make_environment(const char *topology)
{
	size_t count = 0, n = 0;
	char **vars;

	while (environ[count])
		count++;
	vars = xcalloc(count + 2, sizeof(*vars));
	for (size_t i = 0; i < count; i++)
		if (strncmp(environ[i], "WEFT_TOPOLOGY=", 14) != 0 &&
		    strncmp(environ[i], "NOTIFY_SOCKET=", 14) != 0)
			vars[n++] = environ[i];
	vars[n] = access(topology + 14, F_OK) == 0 ? (char *)(uintptr_t)topology
						   : NULL;
	return vars;
}

/* One file, and the one before it. */
static void turn_log(const struct door *d)
{
	struct stat st;
	char *old;

	if (stat(d->log, &st) != 0 || st.st_size < LOG_BYTES)
		return;
	old = xasprintf("%s.1", d->log);
	(void)!rename(d->log, old);
	free(old);
}

static int spawn(struct door *d, const char *path, const struct conf *conf,
		 const int ends[2], struct err *err)
{
	char *config = xasprintf("--config=%s", conf->path ? conf->path : "");
	char *topology = xasprintf("WEFT_TOPOLOGY=%s/%s",
				   conf->pipeline->run_dir, CONTROL_TOPOLOGY);
	char *argv[] = {(char *)(uintptr_t)path, conf->path ? config : NULL,
			NULL};
	char **vars = make_environment(topology);
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none;
	int bad;

	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, ends[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&files, ends[1], STDOUT_FILENO);
	posix_spawn_file_actions_addopen(&files, STDERR_FILENO, d->log,
					 O_WRONLY | O_CREAT | O_APPEND, 0640);
	bad = posix_spawn(&d->pid, path, &files, &attr, argv, vars);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	free(vars);
	free(topology);
	free(config);
	if (!bad)
		return 0;
	d->pid = 0;
	return err_errno(err, bad, "cannot start %s (its log is %s)", path,
			 d->log);
}

int door_open(struct door *d, const struct conf *conf, bool sends,
	      const atomic_bool *stop, struct err *err)
{
	char path[PATH_MAX];
	int to[2], from[2], rc;

	*d = (struct door){.to = -1, .from = -1, .stop = stop};
	if ((sends && check_running(conf, err) != 0) ||
	    check_user(conf, err) != 0 || find_service(path, err) != 0 ||
	    durable_mkdir(conf->pipeline->log_dir, err) != 0)
		return -1;
	d->log = xasprintf("%s/" SERVICE ".0.log", conf->pipeline->log_dir);
	turn_log(d);
	if (pipe2(to, O_CLOEXEC) != 0)
		return err_errno(err, errno, "cannot make a pipe");
	if (pipe2(from, O_CLOEXEC) != 0) {
		close(to[0]);
		close(to[1]);
		return err_errno(err, errno, "cannot make a pipe");
	}
	d->to = to[1];
	d->from = from[0];
	/* The service's end of it stays as it is. */
	(void)fcntl(d->to, F_SETFL, O_NONBLOCK);
	rc = spawn(d, path, conf, (const int[]){to[0], from[1]}, err);
	close(to[0]);
	close(from[1]);
	return rc;
}

/* It ends by itself, unless the disk of its log hangs. */
static void await_end(pid_t pid)
{
	const struct timespec pause = {0, 10000000};
	int64_t until_us = clock_mono_us() + END_US;

	while (waitpid(pid, NULL, WNOHANG) == 0) {
		if (clock_mono_us() > until_us) {
			kill(pid, SIGKILL);
			until_us = INT64_MAX;
		}
		nanosleep(&pause, NULL);
	}
}

void door_close(struct door *d)
{
	if (d->pid) {
		close(d->to);
		await_end(d->pid);
		d->to = -1;
	}
	if (d->to > 0)
		close(d->to);
	if (d->from > 0)
		close(d->from);
	buf_free(&d->out);
	buf_free(&d->in);
	free(d->log);
	*d = (struct door){.to = -1, .from = -1};
}

/* ---- talking ---- */

/* The last line that it logged, which says why it ended. */
static int has_ended(const struct door *d, struct err *err)
{
	char said[SAID_BYTES + 1] = "", *line;
	int fd = open(d->log, O_RDONLY | O_CLOEXEC);
	off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	ssize_t n;

	if (end > 0) {
		n = pread(fd, said, SAID_BYTES,
			  end > SAID_BYTES ? end - SAID_BYTES : 0);
		while (n > 0 && said[n - 1] == '\n')
			n--;
		said[n > 0 ? n : 0] = '\0';
	}
	if (fd >= 0)
		close(fd);
	line = strrchr(said, '\n');
	line = line ? line + 1 : said;
	return err_set(err, ECONNABORTED,
		       "the replay service has ended; it said in %s: %s",
		       d->log, *line ? line : "(nothing)");
}

/* Until the service takes or says more, which `events` tells. -1 with *err. */
static int await(const struct door *d, int fd, short events, int64_t until_us,
		 struct err *err)
{
	struct pollfd p = {.fd = fd, .events = events};

	while (poll(&p, 1, LOOK_MS) <= 0) {
		if (d->stop && atomic_load(d->stop))
			return err_set(err, ECANCELED, "stopped");
		if (until_us && clock_mono_us() > until_us)
			return err_set(err, ETIMEDOUT, "no answer in time");
	}
	return 0;
}

static int64_t until(int64_t timeout_us)
{
	return timeout_us ? clock_mono_us() + timeout_us : 0;
}

int door_send(struct door *d, int64_t timeout_us, struct err *err)
{
	int64_t until_us = until(timeout_us);
	size_t sent = 0;

	while (sent < d->out.used) {
		ssize_t n;

		/* A service whose log is full reads no more. */
		if (await(d, d->to, POLLOUT, until_us, err) != 0)
			return -1;
		n = write(d->to, d->out.data + sent, d->out.used - sent);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return has_ended(d, err);
		sent += n > 0 ? (size_t)n : 0;
	}
	buf_clear(&d->out);
	return 0;
}

/* More of what it answers. */
static int read_more(struct door *d, int64_t until_us, struct err *err)
{
	ssize_t n;

	if (await(d, d->from, POLLIN, until_us, err) != 0)
		return -1;
	buf_reserve(&d->in, READ_BYTES);
	n = read(d->from, d->in.data + d->in.used, READ_BYTES);
	if (n <= 0)
		return has_ended(d, err);
	d->in.used += (size_t)n;
	return 0;
}

int door_answer(struct door *d, struct replay_frame *answer, int64_t timeout_us,
		struct err *err)
{
	int64_t until_us = until(timeout_us);
	size_t used;
	int whole;

	for (;;) {
		whole = replay_next(d->in.data + d->taken,
				    d->in.used - d->taken, answer, &used, err);
		if (whole < 0)
			return -1;
		if (whole > 0)
			break;
		if (d->taken) {
			memmove(d->in.data, d->in.data + d->taken,
				d->in.used - d->taken);
			d->in.used -= d->taken;
			d->taken = 0;
		}
		if (read_more(d, until_us, err) != 0)
			return -1;
	}
	d->taken += used;
	return 0;
}
