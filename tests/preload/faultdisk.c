/*
 * A disk that fails on demand, for LD_PRELOAD: before each sync it reads the
 * word in the file $WEFT_FAULT_FILE.
 *   ok        syncs as usual
 *   eio       file syncs fail with EIO
 *   hang      file syncs wait until the word changes
 *   dir-eio   directory syncs fail with EIO
 *   dir-hang  directory syncs wait until the word changes
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void read_word(char word[16])
{
	const char *path = getenv("WEFT_FAULT_FILE");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	ssize_t n = fd < 0 ? 0 : read(fd, word, 15);

	if (fd >= 0)
		close(fd);
	word[n > 0 ? n : 0] = '\0';
	word[strcspn(word, "\n")] = '\0';
}

/* 0 = go on; -1 = fail with errno set. */
static int fault(int fd)
{
	struct stat st;
	bool dir = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
	char word[16];

	for (;;) {
		read_word(word);
		if (strcmp(word, dir ? "dir-eio" : "eio") == 0) {
			errno = EIO;
			return -1;
		}
		if (strcmp(word, dir ? "dir-hang" : "hang") != 0)
			return 0;
		poll(NULL, 0, 20);
	}
}

int fdatasync(int fd)
{
	static int (*real)(int);

	if (!real)
		real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
	return fault(fd) ? -1 : real(fd);
}

int fsync(int fd)
{
	static int (*real)(int);

	if (!real)
		real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
	return fault(fd) ? -1 : real(fd);
}
