#include "services/pipelinectl/libexec.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int libexec_find(const char *program, char path[PATH_MAX], struct err *err)
{
	const char *libexec = getenv("WEFT_LIBEXEC");
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		return err_errno(err, errno, "cannot read /proc/self/exe");
	self[n] = '\0';
	if (libexec)
		n = snprintf(path, PATH_MAX, "%s/%s", libexec, program);
	else
		n = snprintf(path, PATH_MAX, "%s/../libexec/weft/%s",
			     dirname(self), program);
	if (n >= PATH_MAX || access(path, X_OK) != 0)
		return err_errno(err, errno, "cannot execute %s", path);
	return 0;
}
