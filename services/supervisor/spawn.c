#include "services/supervisor/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/alloc.h"

#define FIRST_PASSED	 3
#define LISTEN_PID_BYTES 32

static const char *const replaced[] = {
    "NOTIFY_SOCKET=", "WATCHDOG_USEC=",	 "WATCHDOG_PID=",  "LISTEN_FDS=",
    "LISTEN_PID=",    "LISTEN_FDNAMES=", "WEFT_TOPOLOGY=",
};

struct environment {
	char **vars; /* NULL-terminated */
	size_t own;  /* from here on they are ours to free */
	char listen_pid[LISTEN_PID_BYTES];
};

static int is_replaced(const char *var)
{
	for (size_t i = 0; i < sizeof(replaced) / sizeof(replaced[0]); i++)
		if (strncmp(var, replaced[i], strlen(replaced[i])) == 0)
			return 1;
	return 0;
}

/* Made before the fork: the child may not allocate. */
static void make_environment(struct environment *env, const struct spawn *s)
{
	size_t count = 0;

	while (environ && environ[count])
		count++;
	env->vars = xcalloc(count + 7, sizeof(*env->vars));
	env->own = 0;
	for (size_t i = 0; i < count; i++)
		if (!is_replaced(environ[i]))
			env->vars[env->own++] = environ[i];
	count = env->own;
	env->vars[count++] = xasprintf("NOTIFY_SOCKET=%s", s->notify_path);
	env->vars[count++] =
	    xasprintf("WATCHDOG_USEC=%" PRId64, s->watchdog_us);
	env->vars[count++] = xasprintf("WEFT_TOPOLOGY=%s", s->topology_path);
	if (s->listen_fd < 0)
		return;
	env->vars[count++] = xstrdup("LISTEN_FDS=1");
	env->vars[count++] = xasprintf("LISTEN_FDNAMES=%s", s->listen_name);
	env->vars[count] = env->listen_pid;
}

static void free_environment(struct environment *env)
{
	for (size_t i = env->own; env->vars[i]; i++)
		if (env->vars[i] != env->listen_pid)
			free(env->vars[i]);
	free(env->vars);
}

/* snprintf() is not safe between fork and exec. */
static void write_listen_pid(char text[LISTEN_PID_BYTES], pid_t pid)
{
	char digits[16];
	size_t n = 0, at = strlen("LISTEN_PID=");

	memcpy(text, "LISTEN_PID=", at);
	for (; pid > 0 && n < sizeof(digits); pid /= 10)
		digits[n++] = (char)('0' + pid % 10);
	while (n)
		text[at++] = digits[--n];
	text[at] = '\0';
}

static void complain(const char *path, int code)
{
	const char *why = strerrordesc_np(code);

	(void)!write(STDERR_FILENO, "cannot execute ", 15);
	(void)!write(STDERR_FILENO, path, strlen(path));
	(void)!write(STDERR_FILENO, ": ", 2);
	if (why)
		(void)!write(STDERR_FILENO, why, strlen(why));
	(void)!write(STDERR_FILENO, "\n", 1);
}

static void default_signals(void)
{
	sigset_t none;

	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * Puts the descriptors where they belong. They are moved above the targets
 * first, so that no dup2() hits one that is still needed.
 */
static int place_descriptors(const struct spawn *s)
{
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	int in = fcntl(null_fd, F_DUPFD_CLOEXEC, FIRST_PASSED + 1);
	int out = fcntl(s->output_fd, F_DUPFD_CLOEXEC, FIRST_PASSED + 1);
	int listener = -1;
	unsigned first_closed = FIRST_PASSED;

	if (s->listen_fd >= 0) {
		listener =
		    fcntl(s->listen_fd, F_DUPFD_CLOEXEC, FIRST_PASSED + 1);
		first_closed++;
	}
	if (in < 0 || out < 0 || (s->listen_fd >= 0 && listener < 0))
		return -1;
	if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
	    dup2(out, STDERR_FILENO) < 0)
		return -1;
	if (listener >= 0 && dup2(listener, FIRST_PASSED) < 0)
		return -1;
	return close_range(first_closed, ~0U, 0);
}

static _Noreturn void become(const struct spawn *s, struct environment *env,
			     pid_t parent)
{
	struct rlimit no_core = {0, 0};
	int code;

	default_signals();
	setpgid(0, 0);
	setrlimit(RLIMIT_CORE, &no_core);
	if (place_descriptors(s) != 0)
		_exit(75);
	write_listen_pid(env->listen_pid, getpid());
	/* Asked for first, then checked: weftd may have died in between. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
		_exit(75);
	execve(s->path, s->argv, env->vars);
	code = errno;
	complain(s->path, code);
	_exit(code == EAGAIN || code == ENOMEM || code == ETXTBSY ? 75 : 78);
}

pid_t spawn_process(const struct spawn *s, struct err *err)
{
	struct environment env;
	pid_t parent = getpid();
	pid_t pid;

	make_environment(&env, s);
	pid = fork();
	if (pid == 0)
		become(s, &env, parent);
	if (pid < 0)
		err_errno(err, errno, "cannot fork");
	free_environment(&env);
	return pid;
}
