/*
 * A directory that one program may not read, for LD_PRELOAD: as with another
 * user, or in a mount namespace of its own. $WEFT_HIDE_FROM names the program,
 * $WEFT_HIDE_DIR is what the end of a path must be; listing that fails with
 * EACCES.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool is_hidden(const char *path)
{
	const char *from = getenv("WEFT_HIDE_FROM");
	const char *end = getenv("WEFT_HIDE_DIR");

	if (!from || !end || strcmp(program_invocation_short_name, from) != 0 ||
	    strlen(path) < strlen(end))
		return false;
	return strcmp(path + strlen(path) - strlen(end), end) == 0;
}

DIR *opendir(const char *path)
{
	static DIR *(*real)(const char *);

	if (!real)
		real = (DIR * (*)(const char *)) dlsym(RTLD_NEXT, "opendir");
	if (is_hidden(path)) {
		errno = EACCES;
		return NULL;
	}
	return real(path);
}
