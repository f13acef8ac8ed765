#include "services/supervisor/unix_socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

int unix_socket_bind(const char *path, int type, struct err *err)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	mode_t mask;
	int fd, rc;

	if (strlen(path) >= sizeof(at.sun_path))
		return err_set(err, ENAMETOOLONG,
			       "%s: a socket's path has at most %zu bytes; "
			       "choose a shorter run_dir",
			       path, sizeof(at.sun_path) - 1);
	memcpy(at.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(err, errno, "cannot make a socket");
	unlink(path);
	mask = umask(0177);
	rc = bind(fd, (struct sockaddr *)&at, sizeof(at));
	umask(mask);
	if (rc != 0) {
		err_errno(err, errno, "cannot listen on %s", path);
		close(fd);
		return -1;
	}
	return fd;
}
